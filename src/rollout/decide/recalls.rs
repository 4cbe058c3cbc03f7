//! A rollback that a program asks for while control has no ready endpoint waits for one: it must not make an outage of
//! an alert. A person's never waits.

use super::Desk;
use super::advance::Stop;
use super::say;
use crate::rollout::command::{Command, Verb};
use crate::rollout::observation::Routers;
use crate::rollout::reason::Reason;
use crate::rollout::sabotage;
use crate::rollout::several;
use crate::rollout::status::{ComponentStatus, Recall};
use crate::rollout::weight::Weight;

/// The longest message of a condition, in characters.
const ROOM: usize = 1000;

impl Desk<'_> {
    /// Keeps a program's rollback for the moment in which control can take the traffic, and gives the answer; `None`
    /// where nothing keeps it from being obeyed now.
    pub(super) fn recalled(&mut self, i: usize, command: &Command, who: &str) -> Option<String> {
        let waits = command.verb == Verb::Rollback
            && command.wish.automatic
            && self.sight(i).control_ready == Some(false);
        let target = self.target(i, command);
        let c = self.status.components.get_mut(i).filter(|_| waits)?;
        let order = c.lowering.as_ref();
        if c.weight.written <= target || order.is_some_and(|order| order.weight <= target) {
            return None;
        }
        // One that waits already and goes further stays what is waited for.
        if let Some(known) = c.recall.as_ref().filter(|known| known.weight < target) {
            return Some(format!(
                "it goes to {} as soon as control has a ready endpoint, as was asked before",
                known.weight
            ));
        }
        let message = why(command, who, target);
        let recall = Recall {
            id: command.id.clone(),
            weight: target,
            message: message.clone(),
        };
        let at = order.map_or(c.weight.written, |order| order.weight);
        let answer = format!(
            "it stays at {at}, for control has no ready endpoint to take the traffic, and goes to {target} as soon as one is \
             ready; `rollback` by a person does not wait"
        );
        if c.recall
            .replace(recall)
            .is_some_and(|known| known.id == command.id)
        {
            return Some(answer);
        }
        // Nothing rises on the way.
        c.intent = None;
        c.raise_by = None;
        c.weight.asked = c.weight.asked.min(c.weight.written);
        let text = waiting(&message);
        say(c, Reason::ControlNotReady, true, || text.clone());
        self.note(i, Reason::ControlNotReady, text, true);
        Some(answer)
    }

    /// Puts back what waited for control, once that can take it.
    pub(super) fn hear_recall(&mut self, i: usize) {
        let refresh = self.seen.refresh;
        let (ready, read) = (
            self.sight(i).control_ready,
            matches!(self.sight(i).routers, Routers::Read(_)),
        );
        let Some(c) = self.status.components.get_mut(i) else {
            return;
        };
        let Some(recall) = c.recall.clone() else {
            return;
        };
        let order = c.lowering.as_ref();
        let over = c.detached
            || c.weight.written <= recall.weight
            || order.is_some_and(|order| order.weight <= recall.weight);
        if over {
            c.recall = None;
            self.out.changed = true;
        } else if ready == Some(true) && read {
            c.recall = None;
            let target = recall.weight.min(c.weight.written);
            let reason = Reason::RollbackRequested;
            self.roll_back(i, target, reason, recall.message, false, Some(recall.id));
        } else {
            say(c, Reason::ControlNotReady, refresh, || waiting(&recall.message));
        }
    }

    /// Whoever goes on after it has the last word, and is told what is called off. What lowers calls nothing off: `raised`
    /// is whether the command was to raise the weight.
    pub(super) fn heed(&mut self, i: usize, verb: Verb, raised: bool) -> Option<String> {
        let last_word = match verb {
            Verb::Resume | Verb::Retry | Verb::Detach => true,
            Verb::Set => raised,
            Verb::Pause
            | Verb::Approve
            | Verb::Promote
            | Verb::Rollback
            | Verb::HeaderRoute
            | Verb::Mirror
            | Verb::Complaint => false,
        };
        let c = self.status.components.get_mut(i)?;
        if last_word {
            let recall = c.recall.take()?;
            return Some(format!(
                "; what waited for control is called off: {}",
                recall.message
            ));
        }
        let recall = c.recall.as_ref().filter(|_| verb == Verb::Set)?;
        (c.weight.asked > recall.weight).then(|| {
            format!(
                "; it still goes on to {} as soon as control has a ready endpoint, as was asked before",
                recall.weight
            )
        })
    }

    /// Where a rollback takes it: neither that nor an emergency ever raises.
    pub(super) fn target(&self, i: usize, command: &Command) -> Weight {
        let to = command.wish.weight.unwrap_or(self.plan.rollback_to);
        let Some(c) = self.status.components.get(i) else {
            return to;
        };
        if sabotage::broken(14) {
            return to;
        }
        // Nor does it keep more than a lowering that is under way would leave.
        let going = c.lowering.as_ref().map_or(c.weight.written, |order| order.weight);
        to.min(c.weight.written)
            .min(c.weight.observed.unwrap_or(c.weight.written))
            .min(going)
    }
}

impl Desk<'_> {
    /// Who is to go back and waits for control, and why; `None` where nobody does.
    pub(super) fn waits_for_control(&self) -> Option<String> {
        let each: Vec<String> = self
            .status
            .components
            .iter()
            .filter_map(kept_by_control)
            .collect();
        (!each.is_empty()).then(|| {
            format!(
                "to go back and not gone back: {}",
                several::told(&each, ROOM, several::IN_STATUS)
            )
        })
    }
}

/// What keeps a component that is to go back from it, where that is control.
fn kept_by_control(c: &ComponentStatus) -> Option<String> {
    if c.detached || c.lowering.is_some() {
        return None;
    }
    let name = &c.name;
    if let Some(recall) = &c.recall {
        return Some(format!("{name}: {}", waiting(&recall.message)));
    }
    if let Some(failed) = &c.follows {
        return Some(format!(
            "{name}: it follows {failed}, which was rolled back, as soon as its control has a ready endpoint"
        ));
    }
    (c.reason == Reason::ControlNotReady).then(|| format!("{name}: {}", c.message))
}

/// Nothing rises that is to go back.
pub(super) fn unrecalled(c: &ComponentStatus) -> Result<(), Stop> {
    match &c.recall {
        Some(recall) => Err(Stop(Reason::ControlNotReady, waiting(&recall.message))),
        None => Ok(()),
    }
}

/// What stands behind the name of whoever asked for a rollback.
pub(super) const ASKED: &str = " asked to put it back to ";

/// Who asked for a rollback, and why.
pub(super) fn why(command: &Command, who: &str, target: Weight) -> String {
    let reason = if command.wish.reason.is_empty() {
        "no reason given"
    } else {
        command.wish.reason.as_str()
    };
    format!("{who}{ASKED}{target}: {reason}")
}

fn waiting(message: &str) -> String {
    format!(
        "{message}; not put back yet, for control has no ready endpoint to take the traffic: `resume` goes on all the same"
    )
}
