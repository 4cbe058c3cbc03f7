//! What each verb does to one component.

use super::commands::Answer;
use super::complaints::settle;
use super::recalls::why;
use super::{Desk, say, settled_at, was_fought};
use crate::rollout::command::{Command, RAISE_EXPIRES, STAYS_BACK, short_giver};
use crate::rollout::judge::{Beside, Outlook};
use crate::rollout::ledger::Ledger;
use crate::rollout::observation::{Routed, Routers, Turn};
use crate::rollout::reason::{Reason, State};
use crate::rollout::sample::Dark;
use crate::rollout::status::{ComponentStatus, LettingGo};
use crate::rollout::weight::Weight;
use crate::rollout::window::Opening;
use jiff::Timestamp;

impl Desk<'_> {
    pub(super) fn put_back(&mut self, i: usize, command: &Command, who: &str) -> String {
        let target = self.target(i, command);
        let reason = if command.wish.emergency {
            Reason::Emergency
        } else {
            Reason::RollbackRequested
        };
        let message = why(command, who, target);
        if self.is_back_by(i, command, target) {
            // Its mark was found before its wish was heard of, and told then.
            if let Some(c) = self.status.components.get_mut(i) {
                c.reason = reason;
                c.message = message;
                let booked = c.history.last_mut();
                if let Some(entry) = booked.filter(|entry| entry.id.as_ref() == Some(&command.id)) {
                    entry.who = Some(short_giver(who, 64));
                }
            }
            return format!("at {target} already, by its own mark");
        }
        self.roll_back(
            i,
            target,
            reason,
            message,
            command.wish.emergency,
            self.mark_of(command),
        );
        format!("going to {target}")
    }

    /// Whether a command that was done without a daemon is known for done, by its mark on every routed object.
    fn is_back_by(&self, i: usize, command: &Command, target: Weight) -> bool {
        let found = self.status.components.get(i).filter(|c| {
            c.state == State::RolledBack && c.lowering.is_none() && c.mark.as_ref() == Some(&command.id)
        });
        let objects = self.routed(i);
        let bears = |o: &Routed| {
            let mark = o.stamp.as_ref().is_some_and(|mark| mark.id == command.id);
            mark && o.highest.max(o.beyond) <= target && !o.made
        };
        found.is_some() && !objects.is_empty() && objects.iter().all(bears)
    }

    pub(super) fn set(&mut self, i: usize, command: &Command, who: &str) -> Answer {
        let Some(weight) = command.wish.weight else {
            return Err("set needs a weight".to_owned());
        };
        let Some(c) = self.status.components.get(i) else {
            return Err(String::new());
        };
        let written = c.weight.written;
        let is_back = c.state == State::RolledBack;
        let deeper = c
            .lowering
            .as_ref()
            .is_some_and(|order| order.reason.is_rollback() && order.weight < weight);
        if deeper && !command.wish.force {
            return Err("its traffic is being put back right now: wait for that, then retry it; --force sets all the same".to_owned());
        }
        if let Some(refusal) = self.cannot_say(i, weight) {
            return Err(refusal);
        }
        if let Some(refusal) = self.cannot_agree(i, weight) {
            return Err(refusal);
        }
        if weight > written && !command.wish.force {
            self.may_set(i)?;
        }
        if is_back && weight <= written && !command.wish.force {
            return Ok(self.stay_back(i, weight, command, who));
        }
        if weight > written
            && let Some(what) = self.amiss(i, true)
        {
            // It would wait for its time-out and be taken back: --force opens no such door.
            return Err(format!("it cannot be written: {what}; nothing was changed"));
        }
        let warning = self
            .amiss(i, weight > written)
            .map(|what| format!("warning: {what}"));
        let warning = warning.or_else(|| self.advice(i).filter(|_| weight > written));
        let mark = self.mark_of(command);
        let Some(c) = self.status.components.get_mut(i) else {
            return Err(String::new());
        };
        let message = format!("{who} set {weight}; the plan waits until `resume`, a breach still rolls back");
        c.fingerprint = None;
        c.state = State::Manual;
        c.reason = Reason::Manual;
        c.message.clone_from(&message);
        c.retry = None;
        c.forced = command.wish.force && weight > written;
        if weight > written {
            // Set lower it still goes as far back as whom it follows.
            c.follows = None;
            c.weight.asked = weight;
            c.lowering = None;
            c.raise_by = Some(self.now + RAISE_EXPIRES);
        } else {
            self.order(i, weight, Reason::Manual, false, mark);
        }
        self.note(i, Reason::Manual, message, false);
        Ok(format!(
            "going to {weight}{}",
            warning.map(|w| format!(" ({w})")).unwrap_or_default()
        ))
    }

    /// What was put back and is set where it is, or lower, stays back: otherwise that were the way round `retry`.
    fn stay_back(&mut self, i: usize, weight: Weight, command: &Command, who: &str) -> String {
        let mark = self.mark_of(command);
        let Some(c) = self.status.components.get_mut(i) else {
            return String::new();
        };
        let why = match &c.lowering {
            Some(order) if order.reason.is_rollback() => order.reason,
            Some(_) | None if c.reason.is_rollback() => c.reason,
            Some(_) | None => Reason::RollbackRequested,
        };
        let going = c.lowering.as_ref().map_or(c.weight.written, |order| order.weight);
        // Where a person said so, nothing begins again but by a person.
        c.retry = None;
        c.reason = why;
        c.message = format!("{who} set {weight} after it was put back ({why}); it stays there until `retry`");
        let message = c.message.clone();
        self.out.changed = true;
        self.note(i, why, message, false);
        if weight < going {
            self.order(i, weight, why, why == Reason::Emergency, mark);
            return format!("going to {weight}; it {STAYS_BACK}");
        }
        format!("it {STAYS_BACK}")
    }

    /// Why a weight cannot be written as it is asked for: then nothing is, for another is not what was wanted.
    fn cannot_say(&self, i: usize, weight: Weight) -> Option<String> {
        let coarse = self.routed(i).iter().find(|o| {
            let finest = o.finest.permille();
            finest > 0 && !weight.permille().is_multiple_of(finest)
        })?;
        Some(format!(
            "{} cannot say {weight}: the finest weight there is {} and its multiples; nothing was changed",
            coarse.object, coarse.finest
        ))
    }

    /// Why one weight for all is not to be had by writing it: some of the routed objects would have to rise for it, and a
    /// raise begins where all of them are at one weight.
    fn cannot_agree(&self, i: usize, weight: Weight) -> Option<String> {
        let c = self.status.components.get(i)?;
        if self.sight(i).busy || c.intent.is_some() || c.lowering.is_some() {
            return None;
        }
        let lowest = self.split(i).filter(|lowest| weight > *lowest)?;
        Some(format!(
            "its routed objects disagree ({}), and none of them rises to agree with another: `set {lowest}` or `resume` \
             brings all of them to {lowest}, and a raise begins there; nothing was changed",
            self.spread(i)
        ))
    }

    /// What is wrong with the routed objects, so that a weight will not be written to all of them.
    fn amiss(&self, i: usize, raise: bool) -> Option<String> {
        let seen = self.sight(i);
        match &seen.routers {
            Routers::Unreadable(what) | Routers::Claimed(what) => Some(what.clone()),
            Routers::Read(_) | Routers::Unread => seen.obstacle.clone().filter(|_| raise),
        }
    }

    /// What refuses a raise by hand, short of force.
    fn may_set(&self, i: usize) -> Result<(), String> {
        let Some(c) = self.status.components.get(i) else {
            return Ok(());
        };
        let force = "--force does it all the same";
        if let Some(problem) = &self.seen.invalid {
            return Err(format!("{}; {force}", unusable(problem)));
        }
        if c.state == State::RolledBack {
            return Err(format!(
                "it was rolled back for {} ({}): `retry` it first, which begins its plan again; {force}",
                c.reason, c.message
            ));
        }
        if let Some((failed, field)) = self.stopped_by(c) {
            return Err(format!(
                "{failed} was rolled back, and spec.rollback.{field}: nothing rises until that one is retried; {force}"
            ));
        }
        if let Some(recall) = &c.recall {
            return Err(format!(
                "an alert waits for control to put it back ({}): `resume` it first, which calls that off; {force}",
                recall.message
            ));
        }
        if self.paused(c) {
            return Err(format!("it is paused: resume it first; {force}"));
        }
        if let Opening::Frozen { until, reason } = self.plan.calendar.at(self.now) {
            return Err(format!("weights are frozen until {until} ({reason}); {force}"));
        }
        if let (false, Turn::Full(why)) = (self.runs(), &self.seen.turn) {
            return Err(format!("{why}; {force}"));
        }
        if self.sight(i).control_ready == Some(false) {
            return Err(format!(
                "control has no ready endpoint to take the traffic back; {force}"
            ));
        }
        if let Some(refusal) = self.refused_by_gateways(i) {
            return Err(refusal);
        }
        if let Some(found) = self.complained(c) {
            let why = self.plan.complaints.sentence(&found);
            return Err(format!("{why}: resume it first; {force}"));
        }
        let unseen = |message: &str| Err(format!("nobody would see how it does ({message}); {force}"));
        match self.outlook_now(i) {
            Some(Outlook::Breach { message, .. }) => {
                Err(format!("it is over a rollback limit ({message}); {force}"))
            }
            Some(Outlook::Unknown {
                kind: Dark::Down | Dark::Refused,
                message,
                ..
            }) => Err(format!("the metrics' source is down ({message}); {force}")),
            Some(Outlook::NotArriving { message }) => unseen(&message),
            Some(Outlook::Unknown { kind, since, message }) if self.is_dark(c, kind, since) => {
                unseen(&message)
            }
            Some(_) if self.is_unwatched(i, c) => {
                unseen("its metrics have not been read since this daemon began: wait for the first look")
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Whether something ought to be seen of a component that is not: at 0% there is nothing to see of a canary, and
    /// right after a change not yet.
    pub(super) fn is_dark(&self, c: &ComponentStatus, kind: Dark, since: Timestamp) -> bool {
        let judge = &self.plan.judge;
        let watched = !c.weight.written.is_zero() && !c.state.is_terminal() && !c.detached;
        match kind {
            Dark::Down | Dark::Refused | Dark::Partial | Dark::NotANumber => true,
            Dark::Vanished | Dark::Empty => !c.weight.written.is_zero(),
            Dark::Stale => watched,
            Dark::NotYet => watched && self.now > settled_at(since, judge) + judge.interval,
        }
    }

    /// Whether all that is known of a component is what another daemon saw a while ago.
    fn is_unwatched(&self, i: usize, c: &ComponentStatus) -> bool {
        let seen = self.sight(i);
        let last = c.evidence.as_ref().and_then(Ledger::counted_until);
        let old = last.is_none_or(|last| self.now > last + 3 * self.plan.judge.interval);
        let watched = !c.weight.written.is_zero() && !c.state.is_terminal() && !c.detached;
        watched && seen.unlooked && seen.reading.is_none() && old
    }

    /// What only warns about a raise by hand.
    fn advice(&self, i: usize) -> Option<String> {
        match self.outlook_now(i) {
            Some(
                Outlook::Insufficient { message }
                | Outlook::NotAchievable { message }
                | Outlook::Unknown { message, .. }
                | Outlook::Unclear { message, .. },
            ) => Some(format!("warning: {message}")),
            _ => None,
        }
    }

    fn outlook_now(&self, i: usize) -> Option<Outlook> {
        let (planned, c) = (self.planned(i)?, self.status.components.get(i)?);
        planned.component.arms.as_ref()?;
        let mut ledger = c.evidence.clone()?;
        let context = self.context(i, planned, c);
        if let Some(reading) = &self.sight(i).reading {
            ledger.absorb(reading, &context);
        }
        let set = self.plan.check_set_at(planned, c.weight.written);
        if set.is_plain() {
            return Some(ledger.outlook(&context));
        }
        let mut beside = c.beside.clone().unwrap_or_else(|| Beside::begin(&ledger));
        beside.absorb(set, self.sight(i), &context);
        Some(beside.join(ledger.judge(&context), set, &context).0.outlook)
    }

    pub(super) fn pause(&mut self, i: usize, who: &str) -> String {
        let Some(c) = self.status.components.get_mut(i) else {
            return String::new();
        };
        c.paused_by = Some(who.to_owned());
        // A raise that nobody has written yet is not wanted any more.
        c.raise_by = None;
        c.forced = false;
        c.weight.asked = c.weight.asked.min(c.weight.written);
        // Nor is what would begin by itself.
        if let Some(retry) = c.retry.as_mut().filter(|retry| retry.due.is_some()) {
            retry.due = None;
            return "paused: nothing rises, and it does not begin again by itself; every lowering still happens"
                .to_owned();
        }
        "paused: nothing rises, every lowering still happens".to_owned()
    }

    pub(super) fn resume(&mut self, i: usize, given: Option<Timestamp>) -> Answer {
        let spec_paused = self.plan.paused;
        let complained = self
            .status
            .components
            .get(i)
            .is_some_and(|c| self.complained(c).is_some());
        let Some(c) = self.status.components.get_mut(i) else {
            return Err(String::new());
        };
        let was = c.state;
        let held = complained || c.recall.is_some();
        if !held && c.paused_by.is_none() && !matches!(was, State::Manual | State::Drifted) {
            let hint = if spec_paused {
                "spec.paused holds it: edit the resource"
            } else {
                "it is not paused"
            };
            let hint = if was == State::RolledBack {
                "it was rolled back: `retry` begins again"
            } else {
                hint
            };
            return Err(hint.to_owned());
        }
        settle(c, given);
        c.paused_by = None;
        c.raise_by = None;
        // A named fight was settled by whoever resumes. Otherwise the record stays: a tool that lowers the weight
        // again after each `resume` has to be named, too.
        if was_fought(c) {
            c.drifts.clear();
        }
        if matches!(was, State::Manual | State::Drifted) {
            c.state = State::Walking;
            c.weight.asked = c.weight.written;
        }
        if was == State::RolledBack {
            // It does not go on, and why it went back stays to be read.
            return Ok("no longer paused; it was rolled back: `retry` begins again".to_owned());
        }
        say(c, Reason::Starting, true, || "resumed".to_owned());
        let going = c.lowering.as_ref().map(|order| order.weight);
        if let Some(lowest) = self
            .split(i)
            .filter(|_| matches!(was, State::Manual | State::Drifted))
        {
            // They go on from one weight, and nothing rises to find it. Nor does what is under way to less stop there.
            let lowest = going.map_or(lowest, |going| going.min(lowest));
            self.order(i, lowest, Reason::Drifted, false, None);
            return Ok(format!(
                "its routed objects disagree: all of them go to {lowest}, then it is back on its plan"
            ));
        }
        Ok(if spec_paused {
            "resumed, but spec.paused still holds it"
        } else {
            "back on its plan"
        }
        .to_owned())
    }

    /// The lowest weight of its routed objects, where they have more than one.
    fn split(&self, i: usize) -> Option<Weight> {
        let objects = self.routed(i).iter().filter(|o| !o.joins);
        let lowest = objects.clone().map(|o| o.lowest).min()?;
        (objects.map(|o| o.highest).max()? > lowest).then_some(lowest)
    }

    pub(super) fn promote(&mut self, i: usize) -> Answer {
        let Some(c) = self.status.components.get_mut(i) else {
            return Err(String::new());
        };
        if c.state != State::Walking || c.weight.written.is_zero() {
            return Err(format!("it holds no step now ({})", c.state));
        }
        c.hold_ended = true;
        Ok("this step's hold is over; the checks, the window and the gates still apply".to_owned())
    }

    pub(super) fn retry(&mut self, i: usize) -> Answer {
        let Some(c) = self.status.components.get_mut(i) else {
            return Err(String::new());
        };
        if !c.state.is_terminal() {
            return Err(format!("it is not at an end ({}): nothing to retry", c.state));
        }
        // A person begins it: what it did by itself is not counted on.
        c.retry = None;
        self.begin_anew(i, Reason::Starting, "retry");
        self.note(
            i,
            Reason::Starting,
            "the plan begins again with fresh evidence".to_owned(),
            false,
        );
        Ok("its plan begins again".to_owned())
    }

    /// The resource is deleted and its traffic should go back, but nobody is there to take it: never an outage.
    pub(super) fn keep_for_want_of_control(&mut self, i: usize) -> String {
        let Some(c) = self.status.components.get_mut(i) else {
            return String::new();
        };
        c.intent = None;
        c.raise_by = None;
        c.weight.asked = c.weight.asked.min(c.weight.written);
        let message = format!(
            "the resource was deleted; its traffic stays at {}, for control has no ready endpoint to take it",
            c.weight.written
        );
        c.reason = Reason::ControlNotReady;
        c.message.clone_from(&message);
        self.note(i, Reason::ControlNotReady, message.clone(), true);
        message
    }

    pub(super) fn detach(&mut self, i: usize, restore: bool) -> Answer {
        let (orphan, known) = (!self.in_spec(i), self.planned(i).is_some());
        let Some(c) = self.status.components.get_mut(i) else {
            return Err(String::new());
        };
        let (name, at) = (c.name.clone(), c.weight.written);
        // Where its routed objects are not known, nobody can bring it there.
        if let Some(order) = c.lowering.as_ref().filter(|_| known) {
            return Err(format!(
                "it is going to {} ({}) and not known to be there, and let go nobody would bring it there: wait for that \
                 (`status` says what keeps it from it), then detach it",
                order.weight, order.reason
            ));
        }
        if restore && (!at.is_zero() || c.lowering.is_some()) {
            return Err(format!(
                "it has {at} of the traffic: roll it back to 0% first, then detach it with what stood there before"
            ));
        }
        if orphan && !known {
            // Taken off the list when the command has been through it.
            self.out.detached.push(name);
            self.out.changed = true;
            return Ok(format!(
                "let go at {at}; its marks stay on the routed objects, which are no longer known"
            ));
        }
        c.state = State::Manual;
        c.retry = None;
        c.follows = None;
        c.preview = None;
        c.detached = true;
        c.letting_go = Some(LettingGo {
            restore,
            message: None,
        });
        c.intent = None;
        c.weight.asked = at;
        c.reason = Reason::Manual;
        let back = if restore {
            ", and what stood there before goes back where that raises nothing"
        } else {
            ""
        };
        c.message = format!(
            "detached at {at}: our marks come off the routed objects{back}{}",
            taken_up(orphan)
        );
        if orphan {
            return Ok(format!("let go at {at}; our marks come off the routed objects"));
        }
        Ok(format!(
            "let go at {at}; it is still in the spec, so `resume` takes it up again"
        ))
    }
}

/// What takes up again what was let go.
pub(super) const fn taken_up(orphan: bool) -> &'static str {
    if orphan {
        ""
    } else {
        "; `resume` takes it up again"
    }
}

/// Why nothing begins by a spec that cannot be used.
pub(super) fn unusable(problem: &str) -> String {
    format!("the spec cannot be used, and nothing rises until it is mended: {problem}")
}
