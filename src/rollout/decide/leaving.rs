//! What is still open while a resource goes whose traffic stays where it is, or while a component is let go.

use super::id_of;
use super::verbs::taken_up;
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

/// As much of why marks stay, or of what was not put back, is said.
const SAID: usize = 480;

/// Says what became of taking our marks off a component that was let go: with `failed` they are tried again, without it
/// nothing is left to do; `kept` is what stood there before and did not go back, and an `orphan` is no longer in the spec.
/// True when that is news.
pub fn let_go(
    status: &mut GradualRolloutStatus,
    (component, orphan): (&str, bool),
    kept: &[String],
    failed: Option<&str>,
) -> bool {
    let Some(c) = status.component_mut(component) else {
        return false;
    };
    let going = c.letting_go.take();
    let Some(mut going) = going.filter(|_| c.detached) else {
        return false;
    };
    let (at, then) = (c.weight.asked, taken_up(orphan));
    let cut = |text: &str| text.chars().take(SAID).collect::<String>();
    if let Some(failed) = failed {
        let says = cut(failed);
        let news = going.message.as_ref() != Some(&says);
        c.message = format!("detached at {at}: our marks are still on, and tried again: {says}{then}");
        going.message = Some(says);
        c.letting_go = Some(going);
        return news;
    }
    c.message = match (kept.is_empty(), going.restore) {
        (false, _) => format!(
            "detached at {at}: our marks are off the routed objects, and what stood there before did not go back: {}{then}",
            cut(&kept.join("; "))
        ),
        (true, true) => format!(
            "detached at {at}: our marks are off the routed objects, and what stood there before goes back where that \
             raises nothing{then}"
        ),
        (true, false) => format!("detached at {at}: our marks are off the routed objects{then}"),
    };
    true
}
