//! Components that go after others.

use super::Desk;
use super::advance::Stop;
use crate::rollout::plan::PlannedStep;
use crate::rollout::reason::{Reason, State};
use crate::rollout::status::ComponentStatus;

impl Desk<'_> {
    /// Whether every component that this one depends on has come as far as its next step.
    pub(super) fn dependencies(&self, i: usize, next: &PlannedStep) -> Result<(), Stop> {
        let names = self.planned(i).and_then(|p| p.component.depends_on.as_ref());
        let all = || {
            names
                .into_iter()
                .flatten()
                .filter_map(|name| self.status.component(name))
        };
        if let Some(failed) = all().find(|c| c.state == State::RolledBack) {
            let message = format!(
                "{}, which it depends on, was put back ({}): it goes on when that one is retried and has {}",
                failed.name, failed.reason, next.weight
            );
            return Err(Stop(Reason::DependencyFailed, message));
        }
        let reached = |c: &ComponentStatus| {
            let going = c.lowering.as_ref().map_or(c.weight.written, |order| order.weight);
            c.state == State::Completed || going.min(c.weight.written) >= next.weight
        };
        match all().find(|c| !reached(c)) {
            Some(behind) => {
                let message = format!(
                    "{} begins when {}, which it depends on, has it too ({} now)",
                    next.weight, behind.name, behind.weight.written
                );
                Err(Stop(Reason::WaitingForDependency, message))
            }
            None => Ok(()),
        }
    }
}
