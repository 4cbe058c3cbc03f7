//! Beginning again by itself after a rollback that no person asked for, where the resource says so.

use super::{Desk, remember, restart};
use crate::rollout::reason::{Reason, State};
use crate::rollout::status::{ComponentStatus, Retried};

/// Whether a component stands where a person put it rather than its plan: only a person goes on from there, whatever
/// becomes of the canary meanwhile.
pub(super) fn is_where_a_person_put_it(c: &ComponentStatus) -> bool {
    match c.state {
        State::Manual | State::Drifted => true,
        // What went back by itself knows of its retries, if only that there is none left.
        State::RolledBack => c.retry.is_none(),
        State::Walking | State::Completed | State::Orphaned => false,
    }
}

impl Desk<'_> {
    /// Sets when a component that is put back begins again, and says so; nothing where it does not.
    pub(super) fn schedule_retry(&mut self, i: usize) -> Option<String> {
        let rule = self.plan.retry?;
        let now = self.now;
        let c = self.status.components.get_mut(i)?;
        let before = c.retry.unwrap_or_default();
        let due = rule
            .wait(before.tried)
            .and_then(|wait| now.checked_add(wait).ok());
        c.retry = Some(Retried { due, ..before });
        self.out.changed = true;
        let said = match due {
            Some(due) => format!(
                "begins again by itself at {due:.0}, retry {} of {}",
                before.tried + 1,
                rule.times
            ),
            None => format!(
                "it began again {} times, which is all that spec.rollback.retry allows: `retry` begins again",
                before.tried
            ),
        };
        Some(said)
    }

    /// Begins the plan again wherever that is due.
    pub(super) fn begin_again(&mut self) {
        for i in 0..self.status.components.len() {
            let in_spec = self.in_spec(i);
            let Some(c) = self.status.components.get_mut(i) else {
                continue;
            };
            let Some(retry) = c.retry.filter(|retry| retry.due.is_some()) else {
                continue;
            };
            if self.plan.retry.is_none() || c.state != State::RolledBack || c.detached || !in_spec {
                c.retry = Some(Retried { due: None, ..retry });
                self.out.changed = true;
                continue;
            }
            let due = retry.due.is_some_and(|due| due <= self.now);
            let Some(c) = self.status.components.get(i) else {
                continue;
            };
            if !due || c.lowering.is_some() || self.paused(c) {
                continue;
            }
            let times = self.plan.retry.map_or(0, |rule| rule.times);
            let message = format!(
                "the plan begins again by itself, retry {} of {times}",
                retry.tried + 1
            );
            self.begin_anew(i, Reason::AutomaticRetry, &message);
            if let Some(c) = self.status.components.get_mut(i) {
                c.retry = Some(Retried {
                    tried: retry.tried + 1,
                    due: None,
                    begun: Some(self.now),
                });
            }
            self.note(i, Reason::AutomaticRetry, message, false);
        }
    }

    /// Begins a component's plan at its first step.
    pub(super) fn begin_anew(&mut self, i: usize, reason: Reason, message: &str) {
        let (now, judge) = (self.now, &self.plan.judge);
        self.find_phase();
        // Whoever begins in a phase that the others have left walks alone, and they do not wait.
        let behind = self
            .plan
            .components
            .get(i)
            .and_then(|p| p.steps.first())
            .is_some_and(|s| s.phase < self.phase);
        let Some(c) = self.status.components.get_mut(i) else {
            return;
        };
        let at = c.weight.written;
        restart(c, now, judge);
        c.alone = behind;
        remember(c, now, at, at, reason, message);
        self.out.changed = true;
    }
}
