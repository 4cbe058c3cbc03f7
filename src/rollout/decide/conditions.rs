//! The whole rollout in a few words: phase, progress, conditions, and when to look again.

use super::Desk;
use crate::rollout::observation::Routers;
use crate::rollout::reason::{Reason, State};
use crate::rollout::several;
use crate::rollout::status::{Condition, GradualRolloutStatus};
use crate::rollout::window::Opening;
use jiff::Timestamp;

/// How many components there are, and how many of them are where.
struct Counts {
    total: usize,
    completed: usize,
    going: usize,
    back: usize,
    lost: usize,
}

impl Counts {
    /// How far the rollback is, for people.
    fn rolled_back(&self) -> String {
        let mut text = format!("{} of {} rolled back", self.back, self.total);
        if self.lost > 0 {
            text = format!("{text}, {} not sure to be back: see Ready", self.lost);
        }
        if self.going > 0 {
            text = format!("{text}, {} still going back", self.going);
        }
        text
    }
}

/// The longest message of a condition, in characters.
const ROOM: usize = 1000;

/// The phase that is shown when all phases are over.
pub(super) const DONE: &str = "done";

impl Desk<'_> {
    /// Writes what concerns the rollout as a whole.
    pub(super) fn conclude(&mut self) {
        self.find_phase();
        let phase = self.plan.phases.get(self.phase).map_or(DONE, |p| p.name.as_str());
        if self.status.phase.as_deref() != Some(phase) {
            self.status.phase = Some(phase.to_owned());
            self.news = true;
        }
        let count = |state| self.status.components.iter().filter(|c| c.state == state).count();
        let (total, completed) = (self.status.components.len(), count(State::Completed));
        let (going, back, lost) = self.on_the_way_and_back();
        let paused = self.plan.paused || self.status.components.iter().any(|c| c.paused_by.is_some());
        let mut progress = format!("{completed}/{total}");
        for (n, what) in [(back, "back"), (lost, "not back"), (going, "going back")] {
            if n > 0 {
                progress = format!("{progress}, {n} {what}");
            }
        }
        if self.status.progress.as_ref() != Some(&progress) {
            self.status.progress = Some(progress);
            self.news = true;
        }
        let claimed = self.claimed();
        let counts = Counts {
            total,
            completed,
            going,
            back,
            lost,
        };
        let (ready, reason, message) = self.headline(phase, &counts, &claimed, paused);
        let none = |text: &str| text.to_owned();
        let stuck = back + lost + going + claimed.len() > 0
            || self.seen.invalid.is_some()
            || self.waits_for_control().is_some();
        let stalled = if stuck {
            message.clone()
        } else {
            none("nothing stands in the way for good")
        };
        let wanted = [
            ("Ready", ready, reason, message.clone()),
            (
                "Reconciling",
                false,
                "Accepted",
                none("this generation is being worked by"),
            ),
            ("Stalled", stuck, if stuck { reason } else { "Moving" }, stalled),
            (
                "Completed",
                completed == total && total > 0,
                "Plan",
                format!("{completed} of {total} finished"),
            ),
            (
                "RolledBack",
                back > 0 && going + lost == 0,
                "Plan",
                counts.rolled_back(),
            ),
            (
                "Paused",
                paused,
                "Plan",
                none(if paused {
                    "a person said stop"
                } else {
                    "nothing is paused"
                }),
            ),
        ];
        for (kind, holds, reason, message) in wanted {
            self.news |= set_condition(
                &mut self.status,
                kind,
                holds,
                reason,
                &message,
                self.seen.generation,
                self.now,
            );
        }
        self.conclude_freeze();
        self.conclude_traffic();
        self.timers();
    }

    /// Whether it is well, and what is to be said of it first.
    fn headline(
        &self,
        phase: &str,
        counts: &Counts,
        claimed: &[String],
        paused: bool,
    ) -> (bool, &'static str, String) {
        let Counts {
            total,
            completed,
            going,
            back,
            lost: _,
        } = *counts;
        if let Some(problem) = &self.seen.invalid {
            (false, "InvalidSpec", problem.chars().take(1024).collect())
        } else if claimed.len() == total && total > 0 {
            (false, "Claimed", several::told(claimed, ROOM, several::IN_STATUS))
        } else if going > 0 {
            (false, "RollingBack", self.who_goes_back())
        } else if let Some((reason, lost)) = self.not_back() {
            (false, reason, lost)
        } else if let Some(kept) = self.waits_for_control() {
            (false, "ControlNotReady", kept)
        } else if let Some((reason, taken)) = self.taken() {
            (false, reason, taken)
        } else if self.phase_failed {
            (
                false,
                "PhaseFailed",
                format!(
                    "every component of phase {phase} was rolled back{}",
                    self.fought_over().unwrap_or_default()
                ),
            )
        } else if !claimed.is_empty() {
            (
                false,
                "PartlyClaimed",
                several::told(claimed, ROOM, several::IN_STATUS),
            )
        } else if back > 0 {
            (false, "RolledBack", self.who_is_back())
        } else if let Some(unread) = self.unreadable() {
            (false, "RouterUnreadable", unread)
        } else if completed == total {
            (true, "Completed", "every component finished its plan".to_owned())
        } else if paused {
            (true, "Paused", "paused: nothing rises".to_owned())
        } else if let Some(frozen) = &self.seen.frozen {
            (true, "Frozen", frozen.says.chars().take(1024).collect())
        } else {
            (true, "Progressing", format!("walking the plan, in phase {phase}"))
        }
    }

    /// The components whose routes are another resource's, and whose.
    fn claimed(&self) -> Vec<String> {
        let all = self.status.components.iter().enumerate();
        let named = all.filter_map(|(i, c)| match &self.sight(i).routers {
            Routers::Claimed(owner) => Some(format!("{}: {owner}", c.name)),
            Routers::Unread | Routers::Unreadable(_) | Routers::Read(_) => None,
        });
        named.collect()
    }

    /// The components whose routed objects cannot be read, so that nobody knows where their traffic goes; `None` where
    /// there is none. What has finished its plan is its owner's.
    fn unreadable(&self) -> Option<String> {
        let all = self.status.components.iter().enumerate();
        let ours = all.filter(|(_, c)| c.state != State::Completed && !c.detached);
        let named = ours.filter_map(|(i, c)| match &self.sight(i).routers {
            Routers::Unreadable(why) => Some(format!("{}: {why}", c.name)),
            Routers::Unread | Routers::Claimed(_) | Routers::Read(_) => None,
        });
        let named: Vec<String> = named.collect();
        (!named.is_empty()).then(|| several::told(&named, ROOM, several::IN_STATUS))
    }

    /// How many were rolled back: those whose traffic is still on its way, those whose is back, and those whose reaches the
    /// canary all the same, or may. On its way is not back: whoever waits for a rollback waits for the traffic.
    fn on_the_way_and_back(&self) -> (usize, usize, usize) {
        let rolled = self
            .status
            .components
            .iter()
            .filter(|c| c.state == State::RolledBack);
        let (going, back) = rolled.partition::<Vec<_>, _>(|c| c.lowering.is_some());
        let lost = self.lost().len();
        (going.len(), back.len().saturating_sub(lost), lost)
    }

    /// Whose traffic is on its way back, and what keeps it.
    fn who_goes_back(&self) -> String {
        let going = self
            .status
            .components
            .iter()
            .filter(|c| c.state == State::RolledBack && c.lowering.is_some());
        let each: Vec<String> = going.map(|c| format!("{}: {}", c.name, c.message)).collect();
        format!("going back: {}", several::told(&each, ROOM, several::IN_STATUS))
    }

    /// Who was rolled back, and when the next of them begins again.
    fn who_is_back(&self) -> String {
        let back = self
            .status
            .components
            .iter()
            .filter(|c| c.state == State::RolledBack);
        let names: Vec<&str> = back.map(|c| c.name.as_str()).collect();
        let again = self
            .next_retry()
            .map(|at| format!("; begins again by itself at {at:.0}"));
        format!(
            "rolled back: {}{}{}",
            names.join(", "),
            again.unwrap_or_default(),
            self.fought_over().unwrap_or_default()
        )
    }

    fn conclude_freeze(&mut self) {
        let frozen = self.seen.frozen.as_ref();
        let frozen = frozen.map(|frozen| frozen.says.chars().take(512).collect());
        self.news |= self.status.frozen != frozen;
        self.status.frozen = frozen;
    }

    /// When the next component begins again by itself.
    fn next_retry(&self) -> Option<Timestamp> {
        let due = self.status.components.iter().filter_map(|c| c.retry?.due);
        due.min()
    }

    /// Whether traffic arrives as asked: said from the first deviation on, and false for a rollout that is well.
    fn conclude_traffic(&mut self) {
        let faults: Vec<String> = self
            .status
            .components
            .iter()
            .filter_map(|c| {
                let measured = c.measured.filter(|m| m.verdict.is_amiss())?;
                Some(format!("{}: {}", c.name, measured.sentence(c.weight.written)))
            })
            .collect();
        let amiss = !faults.is_empty();
        if !amiss && self.status.condition("TrafficDeviates").is_none() {
            return;
        }
        let (reason, message) = if amiss {
            ("Deviates", several::told(&faults, ROOM, several::IN_STATUS))
        } else {
            ("Arrives", "traffic arrives as the weights ask".to_owned())
        };
        self.news |= set_condition(
            &mut self.status,
            "TrafficDeviates",
            amiss,
            reason,
            &message,
            self.seen.generation,
            self.now,
        );
    }

    /// When something will be due although nothing happens.
    fn timers(&mut self) {
        let now = self.now;
        let waits = self
            .status
            .components
            .iter()
            .any(|c| matches!(c.reason, Reason::OutsideWindow | Reason::Frozen));
        if waits {
            match self.plan.calendar.at(now) {
                Opening::Closed(Some(at)) | Opening::Frozen { until: at, .. } => self.wake(at),
                Opening::Closed(None) | Opening::Open => {}
            }
        }
        if let Some(until) = self.seen.frozen.as_ref().and_then(|frozen| frozen.until) {
            self.wake(until);
        }
        if let Some(due) = self.next_retry().filter(|due| *due > now) {
            self.wake(due);
        }
        // Nobody tells when another rollout comes further.
        if self
            .status
            .components
            .iter()
            .any(|c| c.reason == Reason::WaitingForRollout)
        {
            self.wake(now + self.plan.judge.interval);
        }
        let deadlines: Vec<Timestamp> = self.status.components.iter().filter_map(|c| c.raise_by).collect();
        for at in deadlines {
            self.wake(at + std::time::Duration::from_millis(1));
        }
    }
}

/// Sets a condition; `lastTransitionTime` moves only when its status does. True when anything changed.
pub fn set_condition(
    status: &mut GradualRolloutStatus,
    kind: &str,
    holds: bool,
    reason: &str,
    message: &str,
    generation: i64,
    now: Timestamp,
) -> bool {
    let value = if holds { "True" } else { "False" };
    let Some(known) = status.conditions.iter_mut().find(|c| c.kind == kind) else {
        status.conditions.push(Condition {
            kind: kind.to_owned(),
            status: value.to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
            last_transition_time: now,
            observed_generation: Some(generation),
        });
        return true;
    };
    let same = known.status == value
        && known.reason == reason
        && known.message == message
        && known.observed_generation == Some(generation);
    if known.status != value {
        value.clone_into(&mut known.status);
        known.last_transition_time = now;
    }
    reason.clone_into(&mut known.reason);
    message.clone_into(&mut known.message);
    known.observed_generation = Some(generation);
    !same
}
