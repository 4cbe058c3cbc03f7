//! Evidence is about the arms that it was counted by: an edit of them begins it anew, in the middle of a hold, too.

use super::{Desk, forget};
use crate::rollout::ledger::Ledger;
use crate::rollout::plan::PlannedComponent;
use crate::rollout::reason::Reason;

impl Desk<'_> {
    /// Where the arms are not those that a component's evidence was counted by, nothing of it counts any more: what they
    /// passed, how long they held, and what a person ended the hold by. The weight settled long ago, so that a canary
    /// that fails under its new name goes back as soon as it would have under the old one.
    pub(super) fn heed_arms(&mut self, i: usize, planned: &PlannedComponent) {
        let now = self.now;
        let Some(c) = self.status.components.get_mut(i) else {
            return;
        };
        if c.evidence.is_none() {
            forget(c, now, &self.plan.judge);
        }
        let Some(ledger) = &mut c.evidence else { return };
        // What an older daemon wrote does not say whose it is.
        let counted_by = *ledger.arms.get_or_insert(planned.arms);
        if counted_by == planned.arms {
            return;
        }
        let settled = ledger.settled_at.max(now);
        let same_control = counted_by[1] == planned.arms[1];
        let begun = if same_control {
            ledger.with_control(now, settled)
        } else {
            Ledger::begin(now, settled)
        };
        c.evidence = Some(Ledger {
            arms: Some(planned.arms),
            ..begun
        });
        if !same_control {
            c.baseline = None;
            c.recorded = None;
        }
        c.beside = None;
        c.held = None;
        c.hold_ended = false;
        c.released = false;
        c.measured = None;
        c.checks.clear();
        self.out.changed = true;
        self.renewed.push(i);
        let c = self.status.components.get(i);
        if let Some(at) = c.map(|c| c.weight.written).filter(|at| !at.is_zero()) {
            let message = format!(
                "its arms were edited at {at}: what was counted by the old ones says nothing about the new, and its hold begins again"
            );
            self.note(i, Reason::SpecChanged, message, false);
        }
    }
}
