//! What is still open while a resource goes whose traffic stays where it is.

use super::id_of;
use crate::rollout::observation::Lower;
use crate::rollout::reason::Reason;
use crate::rollout::status::{GradualRolloutStatus, Lowering};
use jiff::Timestamp;

/// What is still to be lowered before a resource may go. Raises under way are taken back to where their components
/// stand: nobody will judge what they would be, and a router that did not answer yet would be left below the others.
/// Lowerings that were ordered land. `is_written` tells of which components a declared raise may have left already.
pub fn last_lowers(
    status: &mut GradualRolloutStatus,
    now: Timestamp,
    is_written: impl Fn(&str) -> bool,
) -> Vec<Lower> {
    let mut lowers = Vec::new();
    for c in status.components.iter_mut().filter(|c| !c.detached) {
        if c.intent.take().is_some() {
            c.raise_by = None;
            c.weight.asked = c.weight.written;
            if is_written(&c.name) && c.lowering.is_none() {
                c.lowering = Some(Lowering {
                    id: id_of(&c.name, now),
                    weight: c.weight.written,
                    reason: Reason::HalfRaised,
                    at: now,
                    emergency: false,
                });
            }
        }
        if let Some(order) = &c.lowering {
            lowers.push(Lower {
                component: c.name.clone(),
                id: order.id.clone(),
                weight: order.weight,
                reason: order.reason,
                emergency: order.emergency,
            });
        }
    }
    lowers
}
