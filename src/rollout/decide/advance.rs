//! Whether a component may go on: every reason not to, in order, and only then the next declared step.

use super::{Desk, say};
use crate::rollout::duration::Span;
use crate::rollout::judge::Outlook;
use crate::rollout::observation::{Raise, Routers};
use crate::rollout::plan::{PlannedComponent, PlannedStep};
use crate::rollout::reason::{Reason, State};
use crate::rollout::spec::{InsufficientThen, OnFailure};
use crate::rollout::status::ComponentStatus;
use crate::rollout::weight::Weight;
use crate::rollout::window::Opening;

/// How the sentence begins when nothing was seen for `judge.blindAfter`: an alarm.
const LONG_BLIND: &str = "nothing was seen for more than";

/// How a sentence about a lowering that fails begins.
pub(super) const NOT_WRITTEN: &str = "not written yet, going to";

/// Above this weight control has less than 10% left to compare with.
const FREEZE_ABOVE: u16 = 900;

/// Why nothing rises now.
struct Stop(Reason, String);

impl Desk<'_> {
    /// Raises a component's weight, or says why not.
    pub(super) fn advance(&mut self, i: usize) {
        let Some(planned) = self.planned(i) else { return };
        self.rejoin(i);
        self.place(i);
        self.tell_failure(i);
        let Some(c) = self.status.components.get(i) else {
            return;
        };
        if c.state == State::Manual {
            self.by_hand(i);
        }
        let Some(c) = self.status.components.get(i) else {
            return;
        };
        let watched = planned.component.arms.is_some()
            && (!c.state.is_terminal() || self.has_more_to_lose(c))
            && self.worth_watching(i, c, planned);
        if watched {
            self.out.watched.push(c.name.clone());
        }
        if c.state != State::Walking {
            return;
        }
        match self.may_rise(i, c, planned) {
            Ok((step, reason)) => self.rise(i, step, reason),
            Err(Stop(Reason::Completed, message)) => self.complete(i, planned, message),
            Err(Stop(reason, message)) => {
                let refresh = self.seen.refresh;
                let alarm = matches!(
                    reason,
                    Reason::SharedOutage
                        | Reason::ControlBad
                        | Reason::NotArriving
                        | Reason::RouterUnreadable
                        | Reason::RouterSplit
                        | Reason::SpecChanged
                        | Reason::AwaitingApproval
                );
                let Some(c) = self.status.components.get_mut(i) else {
                    return;
                };
                // The sentence itself remembers that the alarm was raised, also over a restart.
                let long_blind = message.starts_with(LONG_BLIND) && !c.message.starts_with(LONG_BLIND);
                self.out.changed |= long_blind;
                let news = (c.reason != reason && alarm) || long_blind;
                say(c, reason, refresh || long_blind, || message.clone());
                if news {
                    self.note(i, reason, message, true);
                }
            }
        }
    }

    /// A lowering that cannot be written must not look as if it were only slow.
    fn tell_failure(&mut self, i: usize) {
        let Some(failure) = self.sight(i).failure.clone() else {
            return;
        };
        let Some(c) = self.status.components.get_mut(i) else {
            return;
        };
        let Some(order) = &c.lowering else { return };
        let message = format!("{NOT_WRITTEN} {}: {failure}", order.weight);
        if c.message != message {
            c.message.clone_from(&message);
            self.out.changed = true;
            self.note(i, Reason::WriteFailed, message, true);
        }
    }

    /// One that walks alone has caught up when what it does next belongs to the phase the rollout is in.
    fn rejoin(&mut self, i: usize) {
        let Some(c) = self.status.components.get(i).filter(|c| c.alone) else {
            return;
        };
        let next = self
            .planned(i)
            .and_then(|p| p.next_above(c.weight.written))
            .map(|s| s.phase);
        let caught_up = next.is_none_or(|phase| phase >= self.phase) && self.hold_over(i, c);
        if caught_up && let Some(c) = self.status.components.get_mut(i) {
            c.alone = false;
        }
    }

    /// Phase and step for people.
    fn place(&mut self, i: usize) {
        let standing = self
            .status
            .components
            .get(i)
            .and_then(|c| self.standing(i, c))
            .copied();
        let first = self.plan.components.get(i).and_then(|p| p.steps.first()).copied();
        let name = standing
            .or(first)
            .and_then(|s| self.plan.phases.get(s.phase))
            .map(|p| p.name.clone());
        if let Some(c) = self.status.components.get_mut(i) {
            c.phase = name;
            c.step = Some(standing.map_or(0, |s| i32::try_from(s.index + 1).unwrap_or(i32::MAX)));
        }
    }

    fn worth_watching(&self, i: usize, c: &ComponentStatus, planned: &PlannedComponent) -> bool {
        if !c.weight.written.is_zero() || c.state == State::Manual {
            return true;
        }
        // At 0% there is nothing to judge until it is this component's turn.
        !self.paused(c)
            && planned
                .next_above(Weight::ZERO)
                .is_some_and(|next| self.gates(i, c, next).is_ok())
            && self.plan.calendar.at(self.now) == Opening::Open
    }

    /// A person's raise: asked for until it is written, breached, or no longer wanted.
    fn by_hand(&mut self, i: usize) {
        let Some(c) = self.status.components.get(i) else {
            return;
        };
        if c.weight.asked <= c.weight.written || c.lowering.is_some() {
            return;
        }
        match self.wanted_by_hand(c) {
            Some(weight) if self.routers_ready(i, c).is_ok() => self.ask(i, weight, Reason::Manual),
            Some(_) => {}
            None => {
                let Some(c) = self.status.components.get_mut(i) else {
                    return;
                };
                let message = format!(
                    "{} was asked for and could not be written in time; it stays at {}",
                    c.weight.asked, c.weight.written
                );
                c.weight.asked = c.weight.written;
                c.raise_by = None;
                c.message.clone_from(&message);
                self.note(i, Reason::WriteFailed, message, true);
            }
        }
    }

    /// Every reason not to rise, in order.
    fn may_rise(
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
        if written.is_zero()
            && let Some(next) = &next
        {
            self.gates(i, c, next)?;
            self.open()?;
        }
        let insufficient = self.judged_well(i, c)?;
        if cfg!(sabotage_1) {
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
        if cfg!(sabotage_10) {
            let beyond = planned.steps.iter().rev().find(|s| s.weight > written).copied();
            return Ok((beyond.unwrap_or(next), reason));
        }
        Ok((next, reason))
    }

    /// The routed objects were read, agree with what was written, and nothing is under way.
    fn routers_ready(&self, i: usize, c: &ComponentStatus) -> Result<(), Stop> {
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
            Routers::Read(_) => {}
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
                    "its routed objects disagree ({}): make them agree",
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
        if !self.settled(i) {
            return stop(
                Reason::RouterSettling,
                format!("{} has not taken up {} yet", self.unsettled(i), c.weight.written),
            );
        }
        Ok(())
    }

    fn spread(&self, i: usize) -> String {
        let Routers::Read(objects) = &self.sight(i).routers else {
            return String::new();
        };
        let each: Vec<String> = objects
            .iter()
            .map(|o| format!("{} {}", o.object, o.highest))
            .collect();
        each.join(", ")
    }

    fn unsettled(&self, i: usize) -> String {
        let Routers::Read(objects) = &self.sight(i).routers else {
            return String::new();
        };
        objects
            .iter()
            .find(|o| !o.settled)
            .map(|o| o.object.clone())
            .unwrap_or_default()
    }

    /// Phase, approval and the fate of the others.
    fn gates(&self, i: usize, c: &ComponentStatus, next: &PlannedStep) -> Result<(), Stop> {
        let stop = |reason, message: String| Err(Stop(reason, message));
        let Some(phase) = self.plan.phases.get(next.phase) else {
            return Ok(());
        };
        if self.plan.on_failure == OnFailure::Stop
            && let Some(failed) = self
                .status
                .components
                .iter()
                .find(|o| o.state == State::RolledBack)
            && failed.name != c.name
        {
            let message = format!(
                "{} was rolled back, and spec.rollback.onFailure is stop",
                failed.name
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
        let entered = self.standing(i, c).is_some_and(|s| s.phase == next.phase);
        if phase.approval && !entered && !self.status.approvals.iter().any(|a| a.phase == phase.name) {
            return stop(
                Reason::AwaitingApproval,
                format!("{} needs a person's `approve`", phase.name),
            );
        }
        Ok(())
    }

    fn open(&self) -> Result<(), Stop> {
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
    fn judged_well(&self, i: usize, c: &ComponentStatus) -> Result<Option<String>, Stop> {
        let stop = |reason, message: &str| Err(Stop(reason, message.to_owned()));
        let Some(outlook) = self.judged.get(i).and_then(Option::as_ref) else {
            return stop(Reason::Blind, "nothing was judged yet");
        };
        match outlook {
            Outlook::Promotable => Ok(None),
            Outlook::Insufficient { message } => Ok(Some(message.clone())),
            Outlook::Between { check, message } => {
                Err(Stop(Reason::BetweenLimits, format!("{check}: {message}")))
            }
            Outlook::Unknown { since, message, .. } | Outlook::Unclear { since, message, .. } => {
                let judge = &self.plan.judge;
                let message = match outlook {
                    Outlook::Unclear { check, .. } => &format!("{check}: {message}"),
                    _ => message,
                };
                let long = self.now.duration_since(*since).unsigned_abs() >= judge.blind_after;
                let text = if long {
                    format!("{LONG_BLIND} {}: {message}", Span(judge.blind_after))
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

    fn rise(&mut self, i: usize, step: PlannedStep, reason: Reason) {
        let now = self.now;
        if let Some(c) = self.status.components.get_mut(i)
            && step.weight.permille() > FREEZE_ABOVE
            && c.baseline.is_none()
            && !cfg!(sabotage_12)
        {
            c.baseline = c.evidence.as_ref().and_then(|l| l.freeze(now));
        }
        if reason == Reason::PromotedInsufficient
            && let Some(c) = self.status.components.get(i)
        {
            let message = format!(
                "{} had too few requests to tell for {}; going on, as the resource says",
                c.weight.written,
                Span(self.plan.judge.insufficient_after)
            );
            self.note(i, reason, message, false);
        }
        self.ask(i, step.weight, reason);
    }

    fn ask(&mut self, i: usize, weight: Weight, reason: Reason) {
        let id = self.id(i);
        let failure = self.sight(i).failure.clone();
        let Some(c) = self.status.components.get_mut(i) else {
            return;
        };
        let (code, message) = match failure {
            Some(failure) => (Reason::WriteFailed, format!("writing {weight} failed: {failure}")),
            None => (
                Reason::Raising,
                format!("writing {weight}, {} now", c.weight.written),
            ),
        };
        if c.state == State::Walking {
            say(c, code, true, || message);
        }
        self.out.raises.push(Raise {
            component: c.name.clone(),
            id,
            weight,
            reason,
        });
    }

    fn complete(&mut self, i: usize, planned: &PlannedComponent, message: String) {
        let fingerprint = planned.fingerprint.clone();
        let Some(c) = self.status.components.get_mut(i) else {
            return;
        };
        c.state = State::Completed;
        c.fingerprint = Some(fingerprint);
        c.alone = false;
        say(c, Reason::Completed, true, || message.clone());
        self.out.watched.retain(|name| *name != c.name);
        self.note(i, Reason::Completed, message, false);
    }
}
