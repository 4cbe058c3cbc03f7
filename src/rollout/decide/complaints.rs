//! What complaints do: they hold, or put back, and never raise.

use super::Desk;
use super::advance::Stop;
use super::commands::Answer;
use crate::rollout::command::{Command, short_giver};
use crate::rollout::complaint::{COMPLAINTS_KEPT, Complaint, TEXT_KEPT, TooMany, WHO_KEPT, plain};
use crate::rollout::complaint_spec::ComplaintAction;
use crate::rollout::duration::Span;
use crate::rollout::reason::Reason;
use crate::rollout::status::ComponentStatus;
use jiff::Timestamp;

impl Desk<'_> {
    /// Records a complaint about a component.
    pub(super) fn complain(&mut self, i: usize, command: &Command) -> Answer {
        let (now, rules) = (self.now, self.plan.complaints);
        let who = plain(&short_giver(&self.who_gave(command), WHO_KEPT), WHO_KEPT);
        let Some(c) = self.status.components.get_mut(i) else {
            return Err(String::new());
        };
        if c.complaints.iter().any(|known| known.id == command.id) {
            return Ok("it was counted already".to_owned());
        }
        let over = c.state.is_terminal() || c.detached;
        c.complaints.push(Complaint {
            id: command.id.chars().take(63).collect(),
            at: command.given_at().map_or(now, |at| at.min(now)),
            who,
            text: plain(&command.wish.reason, TEXT_KEPT),
            settled: over,
        });
        // By their own time: one that was given long ago may come late.
        c.complaints.sort_by_key(|complaint| complaint.at);
        let excess = c.complaints.len().saturating_sub(COMPLAINTS_KEPT);
        c.complaints.drain(..excess);
        if over {
            return Ok(format!(
                "recorded; it holds nothing, for the plan does not walk here ({})",
                c.state
            ));
        }
        if rules.action == ComplaintAction::Off {
            return Ok("recorded; spec.complaints.action is none".to_owned());
        }
        let told = match rules.too_many(&c.complaints, now) {
            Some(found) => rules.sentence(&found),
            None => format!(
                "{} of {} within {}",
                rules.count(&c.complaints, now),
                rules.max,
                Span(rules.within)
            ),
        };
        Ok(format!("recorded; {told}"))
    }

    /// Puts back what too many people complain of, where the resource says so; and looks again when they are old.
    pub(super) fn hear(&mut self, i: usize) {
        let rules = self.plan.complaints;
        let Some(found) = self.status.components.get(i).and_then(|c| self.complained(c)) else {
            return;
        };
        self.wake(found.until);
        if rules.action == ComplaintAction::Rollback {
            self.condemn(i, Reason::ComplaintRollback, rules.sentence(&found));
        }
    }

    /// The complaints about a component, where they are too many and count for something.
    pub(super) fn complained(&self, c: &ComponentStatus) -> Option<TooMany> {
        let rules = &self.plan.complaints;
        let counts = rules.action != ComplaintAction::Off && !c.state.is_terminal() && !c.detached;
        let found = counts.then(|| rules.too_many(&c.complaints, self.now));
        found.flatten()
    }

    /// Nobody complains too much.
    pub(super) fn uncomplained(&self, c: &ComponentStatus) -> Result<(), Stop> {
        let Some(found) = self.complained(c) else {
            return Ok(());
        };
        if c.reason == Reason::ControlNotReady && self.plan.complaints.action == ComplaintAction::Rollback {
            return Err(Stop(Reason::ControlNotReady, c.message.clone()));
        }
        let message = format!(
            "{}; it holds at {} until {} or `resume`",
            self.plan.complaints.sentence(&found),
            c.weight.written,
            found.until
        );
        Err(Stop(Reason::Complaints, message))
    }
}

/// Whoever goes on has heard them; where it is known when that was, those that came later are not settled by it.
pub(super) fn settle(c: &mut ComponentStatus, given: Option<Timestamp>) {
    for complaint in &mut c.complaints {
        complaint.settled |= given.is_none_or(|given| complaint.at <= given);
    }
}
