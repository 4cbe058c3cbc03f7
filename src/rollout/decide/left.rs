//! What still gives the canary requests after a lowering: told until it is gone.

use super::Desk;
use crate::rollout::observation::{Routed, Routers};
use crate::rollout::reason::{Reason, State};
use crate::rollout::several;
use crate::rollout::status::{ComponentStatus, LeftOver};

/// As much as the status holds of it.
const LONGEST: usize = 512;
/// The longest message of a condition, in characters.
const ROOM: usize = 1000;

impl Desk<'_> {
    /// Records what of its requests reaches the canary although its weight was lowered, and tells when that changes.
    /// What was never lowered has nothing left: then such routes are people's own plan.
    pub(super) fn hear_left(&mut self, i: usize) {
        let seen = self.sight(i);
        let unknown = match &seen.routers {
            Routers::Unread => return,
            Routers::Unreadable(why) if seen.unknown => Some(why.clone()),
            Routers::Unreadable(_) | Routers::Claimed(_) | Routers::Read(_) => None,
        };
        let objects: &[Routed] = match &seen.routers {
            Routers::Read(objects) => objects,
            Routers::Unreadable(_) => &seen.partly,
            Routers::Unread | Routers::Claimed(_) => &[],
        };
        let Some(c) = self.status.components.get(i) else {
            return;
        };
        if c.lowering.is_some() {
            // Nothing is left before it is over.
            return;
        }
        let all: Vec<&LeftOver> = objects.iter().filter_map(|o| o.left.as_ref()).collect();
        let mut says: Vec<String> = all.iter().map(|left| left.message.clone()).collect();
        if c.state == State::RolledBack {
            says.extend(
                unknown.map(|why| format!("whether it is still at {} nobody knows: {why}", c.weight.written)),
            );
        }
        let left = (fell(c) && !says.is_empty()).then(|| LeftOver {
            message: says.join("; ").chars().take(LONGEST).collect(),
            all: all.iter().any(|left| left.all),
        });
        if c.left == left {
            return;
        }
        if let Some(c) = self.status.components.get_mut(i) {
            c.left.clone_from(&left);
        }
        self.out.changed = true;
        if let Some(left) = left {
            self.note(i, Reason::NotLowered, left.message, true);
        }
    }

    /// The components that were put back and whose requests reach the canary all the same, or may: whether nobody knows,
    /// and a sentence.
    pub(super) fn lost(&self) -> Vec<(bool, String)> {
        let back = |c: &&ComponentStatus| c.state == State::RolledBack && c.lowering.is_none() && !c.detached;
        let all = self.status.components.iter().enumerate();
        all.filter(|(_, c)| back(c))
            .filter_map(|(i, c)| {
                let seen = self.sight(i);
                let unknown = seen.unknown && matches!(seen.routers, Routers::Unreadable(_));
                let left = c.left.as_ref().filter(|left| left.all || unknown)?;
                Some((unknown, format!("{}: {}", c.name, left.message)))
            })
            .collect()
    }

    /// The components that were not put back, and of whose requests the canary gets all that something before their routes
    /// takes: no weight says so. And a code for it.
    pub(super) fn taken(&self) -> Option<(&'static str, String)> {
        let on = |c: &&ComponentStatus| {
            !matches!(c.state, State::RolledBack | State::Completed) && c.lowering.is_none() && !c.detached
        };
        let all = self.status.components.iter().enumerate();
        let taken = all.filter(|(_, c)| on(c)).filter_map(|(i, c)| {
            let seen = self.sight(i);
            let objects: &[Routed] = match &seen.routers {
                Routers::Read(objects) => objects,
                Routers::Unreadable(_) => &seen.partly,
                Routers::Unread | Routers::Claimed(_) => &[],
            };
            let left = objects
                .iter()
                .filter_map(|o| o.left.as_ref())
                .find(|left| left.all)?;
            Some((c.left.is_some(), format!("{}: {}", c.name, left.message)))
        });
        let taken: Vec<(bool, String)> = taken.collect();
        let reason = if taken.iter().any(|(fell, _)| *fell) {
            "NotLowered"
        } else {
            "Ineligible"
        };
        let each: Vec<String> = taken.into_iter().map(|(_, says)| says).collect();
        (!each.is_empty()).then(|| (reason, several::told(&each, ROOM, several::IN_STATUS)))
    }

    /// Those that were put back and are not sure to be there, and a code for it.
    pub(super) fn not_back(&self) -> Option<(&'static str, String)> {
        let lost = self.lost();
        let reason = if lost.iter().any(|(unknown, _)| *unknown) {
            "RouterUnreadable"
        } else {
            "NotLowered"
        };
        let each: Vec<String> = lost.into_iter().map(|(_, says)| says).collect();
        let told = || several::told(&each, ROOM, several::IN_STATUS);
        (!each.is_empty()).then(|| (reason, format!("put back, and not sure to be there: {}", told())))
    }
}

/// Whether the last change of its weight was a lowering.
fn fell(c: &ComponentStatus) -> bool {
    let last = c.history.last();
    !c.detached
        && c.state != State::Completed
        && (c.state == State::RolledBack || last.is_some_and(|h| h.to < h.from))
}
