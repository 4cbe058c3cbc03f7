//! Every reason for a weight not to rise, in order.

use super::Desk;
use super::advance::{Stop, long_dark};
use super::recalls::unrecalled;
use crate::rollout::duration::Span;
use crate::rollout::judge::Outlook;
use crate::rollout::observation::Routers;
use crate::rollout::plan::{PlannedComponent, PlannedStep};
use crate::rollout::reason::{Reason, State};
use crate::rollout::sabotage;
use crate::rollout::spec::{InsufficientThen, OnFailure, Scope};
use crate::rollout::status::ComponentStatus;

use crate::rollout::window::Opening;

impl Desk<'_> {
    /// Every reason not to rise, in order.
    pub(super) fn may_rise(
        &self,
        i: usize,
        c: &ComponentStatus,
        planned: &PlannedComponent,
    ) -> Result<(PlannedStep, Reason), Stop> {
        let stop = |reason, message: String| Err(Stop(reason, message));
        self.routers_ready(i, c)?;
        let written = c.weight.written;
        let next = planned.next_above(written).copied();
        if planned.component.arms.is_none() {
            return stop(
                Reason::NoSource,
                "spec names no arms, so nothing can be judged: add arms, or set weights by hand".into(),
            );
        }
        if let Some(problem) = &self.seen.invalid {
            return stop(Reason::InvalidSpec, problem.clone());
        }
        if self.paused(c) {
            let by = c.paused_by.as_deref().unwrap_or("spec.paused");
            return stop(
                Reason::Paused,
                format!("paused at {written} by {by}; `resume` goes on"),
            );
        }
        unrecalled(c)?;
        self.uncomplained(c)?;
        if written.is_zero()
            && let Some(next) = &next
        {
            self.gates(i, c, next)?;
            self.open()?;
        }
        let insufficient = self.judged_well(i, c)?;
        if sabotage::broken(1) {
            return next.map_or(stop(Reason::HoldingStep, String::new()), |n| {
                Ok((n, Reason::Step))
            });
        }
        if !self.hold_over(i, c) {
            let hold = Span(self.standing(i, c).map_or_else(Default::default, |s| s.hold));
            return stop(
                Reason::HoldingStep,
                format!("holds {written} for {hold} of judged time"),
            );
        }
        let mut reason = Reason::Step;
        if let Some(message) = insufficient {
            let judge = &self.plan.judge;
            let waited = c
                .evidence
                .as_ref()
                .is_some_and(|l| l.judged.0 >= judge.insufficient_after);
            if !(waited && judge.insufficient_then == InsufficientThen::Promote) {
                return stop(Reason::Insufficient, message);
            }
            reason = Reason::PromotedInsufficient;
        }
        let Some(next) = next else {
            let declared = planned.step_at(written).is_some();
            let (reason, message) = if declared {
                (
                    Reason::Completed,
                    format!("the plan is finished at {written}, and its last hold is over"),
                )
            } else {
                (
                    Reason::SpecChanged,
                    format!("no declared weight follows {written}: add a step, or set a declared weight"),
                )
            };
            return stop(reason, message);
        };
        self.gates(i, c, &next)?;
        self.open()?;
        self.has_turn()?;
        self.answered(i, c, &next)?;
        if sabotage::broken(10) {
            let beyond = planned.steps.iter().rev().find(|s| s.weight > written).copied();
            return Ok((beyond.unwrap_or(next), reason));
        }
        Ok((next, reason))
    }

    /// The routed objects were read, agree with what was written, and nothing is under way.
    pub(super) fn routers_ready(&self, i: usize, c: &ComponentStatus) -> Result<(), Stop> {
        let seen = self.sight(i);
        let stop = |reason, message: String| Err(Stop(reason, message));
        if let Some(order) = &c.lowering {
            let failure = seen
                .failure
                .as_ref()
                .map(|f| format!(": {f}"))
                .unwrap_or_default();
            return stop(Reason::Lowering, format!("going to {}{failure}", order.weight));
        }
        match &seen.routers {
            Routers::Unread => return stop(Reason::Starting, "its routed objects are being read".into()),
            Routers::Unreadable(message) => return stop(Reason::RouterUnreadable, message.clone()),
            Routers::Claimed(message) => return stop(Reason::Claimed, message.clone()),
            Routers::Read(_) => {}
        }
        if let Some(obstacle) = &seen.obstacle {
            return stop(Reason::Ineligible, obstacle.clone());
        }
        if seen.busy || c.intent.is_some() {
            return stop(
                Reason::Raising,
                format!("writing {}, {} now", c.weight.asked, c.weight.written),
            );
        }
        let Some(observed) = c.weight.observed else {
            return stop(
                Reason::RouterSplit,
                format!(
                    "its routed objects disagree ({}): make them agree, or `resume`, which brings all of them to the lowest",
                    self.spread(i)
                ),
            );
        };
        if observed != c.weight.written {
            return stop(
                Reason::RouterSplit,
                format!("{} was written, {observed} is read back", c.weight.written),
            );
        }
        if let Some(refusal) = self.refused_by_gateways(i) {
            return stop(Reason::RouteNotAccepted, refusal);
        }
        if !self.settled(i) {
            return stop(
                Reason::RouterSettling,
                format!("{} has not taken up {} yet", self.unsettled(i), c.weight.written),
            );
        }
        Ok(())
    }

    pub(super) fn spread(&self, i: usize) -> String {
        let Routers::Read(objects) = &self.sight(i).routers else {
            return String::new();
        };
        super::drift::spread(objects)
    }

    /// Phase, the fate of the others, and what must be given.
    pub(super) fn gates(&self, i: usize, c: &ComponentStatus, next: &PlannedStep) -> Result<(), Stop> {
        let stop = |reason, message: String| Err(Stop(reason, message));
        let Some(phase) = self.plan.phases.get(next.phase) else {
            return Ok(());
        };
        if let Some((failed, field)) = self.stopped_by(c) {
            let message = format!(
                "{failed} was rolled back, and spec.rollback.{field}: it goes on when that one is retried"
            );
            return stop(Reason::StoppedByFailure, message);
        }
        let current = self.plan.phases.get(self.phase).map_or("", |p| p.name.as_str());
        if self.phase_failed && !c.alone {
            return stop(
                Reason::PhaseFailed,
                format!("every component of phase {current} failed: retry one, or edit the plan"),
            );
        }
        if next.phase > self.phase && !c.alone {
            return stop(
                Reason::WaitingForPhase,
                format!("{} begins when phase {current} is done", phase.name),
            );
        }
        // A component that walks alone catches up, and no further.
        let ahead = c.alone && next.phase > self.phase && self.phase < self.plan.phases.len();
        if ahead {
            return stop(
                Reason::WaitingForPhase,
                format!("{} begins when phase {current} is done", phase.name),
            );
        }
        self.dependencies(i, next)?;
        self.required(i, c, next)
    }

    /// Whose rollback keeps a component from going on, and by which field.
    pub(super) fn stopped_by(&self, c: &ComponentStatus) -> Option<(&str, &'static str)> {
        let mut others = self
            .status
            .components
            .iter()
            .filter(|o| o.name != c.name && o.state == State::RolledBack);
        if self.plan.on_failure == OnFailure::Stop {
            return others
                .next()
                .map(|failed| (failed.name.as_str(), "onFailure is stop"));
        }
        if self.plan.scope != Scope::Rollout {
            return None;
        }
        // Whoever went back with the others keeps nobody from beginning again.
        let failed = others.find(|o| o.reason != Reason::OtherFailed && self.plan.names(&o.name))?;
        Some((&failed.name, "scope is rollout"))
    }

    pub(super) fn open(&self) -> Result<(), Stop> {
        if let Some(frozen) = &self.seen.frozen {
            return Err(Stop(Reason::Frozen, frozen.says.clone()));
        }
        match self.plan.calendar.at(self.now) {
            Opening::Open => Ok(()),
            Opening::Closed(next) => {
                let when = next.map_or_else(|| "not within a month".to_owned(), |t| t.to_string());
                Err(Stop(
                    Reason::OutsideWindow,
                    format!("no window is open; next: {when}"),
                ))
            }
            Opening::Frozen { until, reason } => Err(Stop(
                Reason::Frozen,
                format!("weights are frozen until {until}: {reason}"),
            )),
        }
    }

    /// What the judge says about rising. `Ok(Some(_))`: too few requests, which may be enough after long enough.
    pub(super) fn judged_well(&self, i: usize, c: &ComponentStatus) -> Result<Option<String>, Stop> {
        let stop = |reason, message: &str| Err(Stop(reason, message.to_owned()));
        let Some(outlook) = self.judged.get(i).and_then(Option::as_ref) else {
            return stop(Reason::Blind, "nothing was judged yet");
        };
        match self.shared(i, c).unwrap_or(outlook) {
            Outlook::Promotable => Ok(None),
            Outlook::Insufficient { message } => Ok(Some(self.with_pool(i, c, message))),
            Outlook::Between { check, message } => {
                Err(Stop(Reason::BetweenLimits, format!("{check}: {message}")))
            }
            told @ (Outlook::Unknown { since, message, .. } | Outlook::Unclear { since, message }) => {
                let after = self.plan.judge.blind_after;
                let long = self.now.duration_since(*since).unsigned_abs() >= after;
                let text = if long {
                    long_dark(matches!(told, Outlook::Unclear { .. }), after, message)
                } else {
                    message.clone()
                };
                Err(Stop(Reason::Blind, text))
            }
            Outlook::Settling { .. } => Err(Stop(
                Reason::Settling,
                format!("data since the change to {} is not judged yet", c.weight.written),
            )),
            Outlook::SharedOutage { message } => stop(Reason::SharedOutage, message),
            Outlook::ControlBad { message } => stop(Reason::ControlBad, message),
            Outlook::NotArriving { message } => stop(Reason::NotArriving, message),
            Outlook::NotAchievable { message } => stop(Reason::NotAchievable, message),
            Outlook::Breach { check, message, .. } => {
                let known = if c.reason == Reason::ControlNotReady {
                    c.reason
                } else {
                    Reason::Breach
                };
                Err(Stop(known, format!("{check}: {message}")))
            }
        }
    }
}
