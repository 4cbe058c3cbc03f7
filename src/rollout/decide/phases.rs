//! Where the rollout is: phases run in order, and end when each of their components is done or at an end.

use super::Desk;
use crate::rollout::plan::PlannedStep;
use crate::rollout::reason::State;
use crate::rollout::status::ComponentStatus;
use std::time::Duration;

impl Desk<'_> {
    /// Finds the phase the rollout is in. It never goes back: a component that fails later does not reopen the
    /// phases it has left.
    pub(super) fn find_phase(&mut self) {
        let last = self.plan.phases.len();
        let stands = self.status.phase.as_ref();
        let mut at = stands
            .and_then(|name| self.plan.phases.iter().position(|p| &p.name == name))
            .unwrap_or(0);
        let ended_all = stands.is_some_and(|name| name == super::conditions::DONE);
        if ended_all
            && self
                .status
                .components
                .iter()
                .all(|c| c.state.is_terminal() || c.alone)
        {
            at = last;
        }
        self.phase_failed = false;
        while let Some(phase) = self.plan.phases.get(at) {
            let members: Vec<(usize, &ComponentStatus)> = phase
                .components
                .iter()
                .filter_map(|i| Some((*i, self.status.components.get(*i)?)))
                .filter(|(_, c)| !c.alone)
                .collect();
            let ended = members
                .iter()
                .all(|(i, c)| c.state.is_terminal() || self.has_done(*i, c, at));
            if !ended {
                break;
            }
            if !members.is_empty() && members.iter().all(|(_, c)| c.state == State::RolledBack) {
                self.phase_failed = true;
                break;
            }
            at += 1;
        }
        self.phase = at;
    }

    /// Whether a component has finished its steps of a phase.
    fn has_done(&self, i: usize, c: &ComponentStatus, phase: usize) -> bool {
        let Some(planned) = self.plan.components.get(i) else {
            return true;
        };
        let Some(top) = planned.steps.iter().rev().find(|s| s.phase <= phase) else {
            return true;
        };
        if c.state != State::Walking {
            return false;
        }
        let written = c.weight.written;
        written > top.weight || (written == top.weight && self.hold_over(i, c))
    }

    /// The step whose weight a component has, or else the highest declared below it.
    pub(super) fn standing(&self, i: usize, c: &ComponentStatus) -> Option<&PlannedStep> {
        let planned = self.plan.components.get(i)?;
        planned.steps.iter().rev().find(|s| s.weight <= c.weight.written)
    }

    /// Whether the time that the step asks for was spent, in time judged on fresh data.
    pub(super) fn hold_over(&self, i: usize, c: &ComponentStatus) -> bool {
        let hold = self.standing(i, c).map_or(Duration::ZERO, |s| s.hold);
        let judged = c.evidence.as_ref().map_or(Duration::ZERO, |l| l.judged.0);
        c.hold_ended || judged >= hold
    }
}
