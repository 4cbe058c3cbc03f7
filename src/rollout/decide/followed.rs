//! An emergency of one that only follows another's: what its own marks say is graver than why it was put back along.

use super::{Desk, remember};
use crate::rollout::observation::Routed;
use crate::rollout::reason::{Reason, State};
use crate::rollout::status::ComponentStatus;

impl Desk<'_> {
    /// Takes up the emergency of a component that follows another (`rollback.scope: rollout`), found by its marks alone. The
    /// other's were seen first, and by them this one was put back along; who called it, and that it waits for a person,
    /// stand in its own. Where its wish waits, that tells all of it.
    pub(super) fn hear_emergency(&mut self, i: usize, objects: &[Routed]) {
        let Some(c) = self.status.components.get(i).filter(|c| follows(c)) else {
            return;
        };
        let known = c.mark.clone().unwrap_or_default();
        let going = c.lowering.as_ref().map(|order| order.weight);
        let at = c.weight.written;
        let marks = objects.iter().filter_map(|o| o.stamp.as_ref());
        let its = marks.filter(|mark| {
            mark.reason == Some(Reason::Emergency)
                && mark.id > known
                && super::routers::is_past(mark, self.now)
        });
        let Some(mark) = its.max_by(|a, b| a.id.cmp(&b.id)).cloned() else {
            return;
        };
        if self.waits_with_its_mark(i, objects) {
            return;
        }
        let to = going.unwrap_or(at).min(mark.weight);
        let reason = Reason::Emergency;
        let message = format!("it was rolled back to {to} ({reason}); `retry` begins again");
        let bears = |o: &Routed| o.stamp.as_ref().is_some_and(|m| m.id == mark.id) && o.highest <= to;
        let whole = going.is_none() && to == at && objects.iter().all(bears);
        if !whole {
            self.order(i, to, reason, true, Some(mark.id.clone()));
        }
        let now = self.now;
        let Some(c) = self.status.components.get_mut(i) else {
            return;
        };
        c.state = State::RolledBack;
        c.reason = reason;
        c.message.clone_from(&message);
        // What a person put back in an emergency waits for a person.
        c.fingerprint = None;
        c.retry = None;
        if whole {
            c.mark = Some(mark.id.clone());
            remember(c, now, at, at, reason, &message);
            if let Some(entry) = c.history.last_mut() {
                entry.id = Some(mark.id);
                entry.who = Some("unknown".to_owned());
            }
        }
        self.out.changed = true;
        self.note(i, reason, message, true);
    }
}

/// Whether it was put back, or is, for another's sake alone.
fn follows(c: &ComponentStatus) -> bool {
    let reason = c.lowering.as_ref().map_or(c.reason, |order| order.reason);
    c.state == State::RolledBack && reason == Reason::OtherFailed && !c.detached
}
