//! Requests that choose the canary by themselves, because somebody let them: drift without another weight.

use super::drift::{blamed, ignore_rule};
use super::{Desk, is_fight, remember, was_fought};
use crate::rollout::reason::{Reason, State};
use crate::rollout::status::Drift;

impl Desk<'_> {
    /// Takes off what lets requests choose the canary, for no plan allows that traffic; where a raise by others would
    /// stay, it stays too, and nothing rises.
    pub(super) fn choose(&mut self, i: usize) {
        // Also of what is new and says no weight yet: a cookie does not wait for that.
        let Some(object) = self.routed(i).iter().find(|o| o.choosers.is_some()).cloned() else {
            return;
        };
        let choosers = object.choosers.as_deref().unwrap_or_default();
        let (paused, ready) = match self.status.components.get(i) {
            // Its owner's again.
            Some(c) if c.state == State::Completed || c.detached || !self.in_spec(i) => return,
            Some(c) => (self.is_paused_by_a_person(c), self.sight(i).control_ready),
            None => return,
        };
        let now = self.now;
        let glass = self.sight(i).break_glass.as_ref();
        let open = glass.is_some_and(|(_, until)| *until > now);
        let Some(c) = self.status.components.get_mut(i) else {
            return;
        };
        let (written, manager) = (c.weight.written, blamed(&object));
        let fought = c.state == State::Drifted && was_fought(c);
        let yields = c.state == State::Manual || paused || open || ready == Some(false);
        // One change, however often it is looked at while it stays.
        let last = c.drifts.last();
        let known = last.is_some_and(|d| d.found == d.expected && d.manager == manager);
        if fought || yields && known && c.state != State::Walking {
            return;
        }
        let drift = Drift {
            at: now,
            manager: manager.clone(),
            found: written,
            expected: written,
        };
        let fight = is_fight(c, drift);
        let what = format!(
            "{manager} let requests choose the canary of {} ({choosers})",
            object.object
        );
        if !yields && (!fight || c.state == State::RolledBack) {
            let message = format!("{what}; taking that off");
            remember(c, now, written, written, Reason::DriftReverted, &message);
            self.order(i, written, Reason::DriftReverted, false, None);
            self.note(i, Reason::DriftReverted, message, true);
            return;
        }
        let (state, reason) = if fight && !yields {
            (State::Drifted, Reason::GitOpsFight)
        } else {
            (State::Manual, Reason::DriftAdopted)
        };
        if c.state != State::RolledBack {
            c.state = state;
        }
        c.reason = reason;
        c.message = if reason == Reason::GitOpsFight {
            let rule = ignore_rule(&object.object);
            format!("{what}, the third time within an hour. Stop it ({rule}), then `resume`")
        } else {
            format!("{what}; that stays until `resume`")
        };
        let message = c.message.clone();
        remember(c, now, written, written, reason, &message);
        self.note(i, reason, message, true);
    }
}
