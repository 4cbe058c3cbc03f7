//! What the routed objects say, held against what was asked of them.

use super::again::is_where_a_person_put_it;
use super::{Desk, forget, remember};
use crate::rollout::observation::{Mark, Raise, Routed, Routers};
use crate::rollout::reason::{Reason, State};
use crate::rollout::sabotage;
use crate::rollout::status::Lowering;
use crate::rollout::weight::Weight;
use jiff::Timestamp;
use std::time::Duration;

/// An order that somebody undoes is given again after this long at the earliest.
const AGAIN: Duration = Duration::from_secs(1);

impl Desk<'_> {
    /// Finishes the bookkeeping of our own writes, and finds out about other people's.
    pub(super) fn look(&mut self, i: usize) {
        let seen = self.sight(i);
        let busy = seen.busy;
        let objects = match &seen.routers {
            Routers::Read(objects) if !objects.is_empty() => objects.clone(),
            Routers::Unreadable(_) => return self.look_at_part(i),
            Routers::Claimed(_) => return self.is_anothers(i),
            Routers::Read(_) | Routers::Unread => {
                if let Some(c) = self.status.components.get_mut(i) {
                    c.weight.observed = None;
                }
                return;
            }
        };
        self.hear_gateways(i, &objects);
        self.hear_emergency(i, &objects);
        if let Some(c) = self.status.components.get_mut(i)
            && let Some(order) = c.lowering.clone()
            && !objects.iter().all(|o| is_down(o, &order))
        {
            let (lowest, highest) = range(&objects);
            c.weight.observed = (lowest == highest).then_some(lowest);
            self.lower_again(i, &objects, &order);
            return;
        }
        // What is new says nothing yet about where the component is, unless there is nothing else.
        let settled: Vec<Routed> = objects.iter().filter(|o| !o.joins).cloned().collect();
        let objects = if settled.is_empty() {
            split_now(objects)
        } else {
            settled
        };
        let (lowest, highest) = range(&objects);
        let Some(c) = self.status.components.get_mut(i) else {
            return;
        };
        c.weight.observed = (lowest == highest).then_some(lowest);
        if let Some(order) = c.lowering.clone() {
            // It lifts nothing, so they may disagree after it: that is no news of somebody else's.
            c.yielded = (lowest != highest).then(|| super::drift::said(&objects));
            self.lowered(i, highest, &order);
            return;
        }
        if busy {
            return;
        }
        if c.since.is_none() {
            self.adopt_first(i, &objects, lowest, highest);
            return;
        }
        if self.finish_intent(i, &objects, lowest, highest) {
            return;
        }
        let Some(c) = self.status.components.get_mut(i) else {
            return;
        };
        let (written, now) = (c.weight.written, self.now);
        if lowest == written && highest == written {
            c.yielded = None;
            self.choose(i);
            return;
        }
        if self.waits_with_its_mark(i, &objects) {
            return;
        }
        let Some(c) = self.status.components.get_mut(i) else {
            return;
        };
        // A manifest that was saved and applied again brings an old mark back with an old weight: that is no write of
        // ours. Only a mark that is newer than the last one known is, and never one that raises what was put back.
        let known = c.mark.clone().unwrap_or_default();
        let back = c.state == State::RolledBack;
        let ours = |o: &Routed| {
            carries_its_weight(o)
                && (o.highest == written
                    || o.stamp
                        .as_ref()
                        .is_some_and(|mark| mark.id > known && is_past(mark, now)))
                && !(back && o.highest > written)
        };
        // What was there before we wrote anything has no mark, and stands where everything stood.
        let untouched = |o: &Routed| o.stamp.is_none() && o.lowest == written && o.highest == written;
        let own = !sabotage::broken(8) && objects.iter().all(ours);
        if own && lowest == highest {
            self.own_write(i, &objects, highest);
        } else if lowest < written && highest == written && objects.iter().all(|o| ours(o) || untouched(o)) {
            self.half_lowered(i, &objects, lowest);
        } else if highest > written && objects.iter().filter(|o| o.highest > written).all(ours) {
            // A raise that stopped half-way: nobody judged what it would be, so it is taken back.
            self.order(i, written, Reason::HalfRaised, false, None);
            let message = format!("a raise stopped half-way; taking it back to {written}");
            self.note(i, Reason::HalfRaised, message, true);
        } else {
            self.drift(i, &objects, lowest, highest);
        }
    }

    /// What its routers name is another resource's. Whatever was to be written there is not.
    pub(super) fn is_anothers(&mut self, i: usize) {
        let Some(c) = self.status.components.get_mut(i) else {
            return;
        };
        let waits = c.lowering.is_some() || c.intent.is_some() || c.raise_by.is_some();
        c.weight.observed = None;
        if let Some(order) = c.lowering.as_ref().filter(|order| order.reason.is_rollback()) {
            // Accepted and not done: it is done as soon as they are its own again.
            c.owed = Some(c.owed.map_or(order.weight, |owed| owed.min(order.weight)));
        }
        (c.lowering, c.intent, c.raise_by) = (None, None, None);
        c.weight.asked = c.weight.written;
        // What is there when it becomes ours is where it begins, and nobody's drift.
        c.since = None;
        self.out.changed |= waits;
    }

    /// Whoever raises an object again that went down by an order is answered within a second, whatever the order still waits for
    /// elsewhere: a person, or an object that cannot be read.
    fn lower_again(&mut self, i: usize, objects: &[Routed], order: &Lowering) {
        let raised = |o: &&Routed| stamped(o, &order.id) && o.highest > order.weight;
        if let Some(raised) = objects.iter().find(raised) {
            // Whoever undoes each write at once would have both write without a pause.
            let due = order.at + AGAIN;
            if self.now < due {
                self.wake(due);
                return;
            }
            let message = format!(
                "{} raised {} again, to {}; going to {} again",
                super::drift::blamed(raised),
                raised.object,
                raised.highest,
                order.weight
            );
            self.order(i, order.weight, order.reason, order.emergency, None);
            self.note(i, Reason::DriftReverted, message, true);
        }
    }

    /// Not all of its routed objects can be read. Nothing rises; but what goes back is back when each that is there is
    /// down, for what is gone carries nothing, and a raise by somebody else is not left standing for it.
    fn look_at_part(&mut self, i: usize) {
        let seen = self.sight(i);
        let (objects, unknown, busy) = (seen.partly.clone(), seen.unknown, seen.busy);
        let Some(c) = self.status.components.get_mut(i) else {
            return;
        };
        c.weight.observed = None;
        let (_, highest) = range(&objects);
        if let Some(order) = c.lowering.clone() {
            if !unknown && objects.iter().all(|o| is_down(o, &order)) {
                let why = match &self.sight(i).routers {
                    Routers::Unreadable(why) => why.clone(),
                    Routers::Unread | Routers::Claimed(_) | Routers::Read(_) => String::new(),
                };
                self.lowered(i, highest, &order);
                if let Some(c) = self.status.components.get_mut(i)
                    && !why.is_empty()
                {
                    // What has nothing to take back is back, and still somebody has to see to it.
                    c.message = format!("{}; {why}", c.message);
                }
            } else {
                self.lower_again(i, &objects, &order);
            }
            return;
        }
        let written = c.weight.written;
        if !busy && let Some(intent) = c.intent.take() {
            // Whatever became of it, it is not replayed; and what was raised for it alone goes back.
            c.weight.asked = written;
            if highest > written && objects.iter().any(|o| stamped(o, &intent.id)) {
                self.order(i, written, Reason::HalfRaised, false, None);
                let message = format!(
                    "the raise to {} was written only in part; taking it back to {written}",
                    intent.weight
                );
                self.note(i, Reason::HalfRaised, message, true);
            }
            return;
        }
        if busy || c.intent.is_some() {
            return;
        }
        // What no write reaches is somebody's raise all the same: it is ordered back, and stands until it can be.
        let whole: Vec<Routed> = objects
            .into_iter()
            .map(|o| Routed {
                highest: o.highest.max(o.beyond),
                ..o
            })
            .collect();
        let (lowest, highest) = range(&whole);
        if c.since.is_none() {
            self.pay(i, highest);
        } else if highest > written {
            self.drift(i, &whole, lowest, highest);
        }
    }

    /// The first look at a component: what is there is where it begins.
    fn adopt_first(&mut self, i: usize, objects: &[Routed], lowest: Weight, highest: Weight) {
        let now = self.now;
        let judge = &self.plan.judge;
        let rolled_back = objects
            .iter()
            .find_map(|o| o.stamp.as_ref()?.reason.filter(|r| r.is_rollback()))
            .filter(|_| objects.iter().all(carries_its_weight));
        let fingerprint = rolled_back.and_then(|reason| self.plan_then(i, reason));
        let Some(c) = self.status.components.get_mut(i) else {
            return;
        };
        c.weight.written = highest;
        // What a person asked for before anybody had looked is asked for still.
        if c.raise_by.is_none() {
            c.weight.asked = highest;
        }
        c.since = Some(now);
        c.attempt = c.attempt.max(1);
        c.mark = objects
            .iter()
            .filter_map(|o| o.stamp.as_ref())
            .map(|mark| mark.id.clone())
            .max();
        forget(c, now, judge);
        if self.pay(i, highest) {
            return;
        }
        let Some(c) = self.status.components.get_mut(i) else {
            return;
        };
        if lowest != highest {
            c.state = State::Drifted;
            c.reason = Reason::Drifted;
            c.yielded = Some(super::drift::said(objects));
            c.message = format!(
                "its routed objects do not have one weight: {}; that stays until `resume`",
                super::drift::spread(objects)
            );
        }
        if let Some(reason) = rolled_back {
            c.state = State::RolledBack;
            c.fingerprint = fingerprint;
            c.reason = reason;
            c.message = format!(
                "it was rolled back to {highest} before this status was written; `retry` begins again"
            );
            // How often it began again is not known any more: a person decides.
            self.found_back.push(i);
            if lowest == highest {
                self.take_away(i, objects, highest, reason);
            } else {
                // Whoever put it back died on the way.
                self.order(i, lowest, reason, reason == Reason::Emergency, None);
            }
        }
    }

    /// What a person asked for while the routes were another's is done as soon as they are its own. True when something was
    /// owed.
    fn pay(&mut self, i: usize, highest: Weight) -> bool {
        let Some(c) = self.status.components.get_mut(i) else {
            return false;
        };
        let Some(to) = c.owed.take().filter(|_| !c.detached) else {
            return false;
        };
        let reason = if c.reason.is_rollback() {
            c.reason
        } else {
            Reason::RollbackRequested
        };
        c.state = State::RolledBack;
        c.since = Some(self.now);
        c.weight.written = highest;
        let (emergency, message) = (reason == Reason::Emergency, c.message.clone());
        self.order(i, highest.min(to), reason, emergency, None);
        if let Some(c) = self.status.components.get_mut(i) {
            c.reason = reason;
            c.message.clone_from(&message);
        }
        self.out.changed = true;
        let message = format!("its routes are its own now, at {highest}: {message}");
        self.note(i, reason, message, true);
        true
    }

    /// Deals with a declared raise that nobody is writing any more. True when nothing is left to look at.
    fn finish_intent(&mut self, i: usize, objects: &[Routed], lowest: Weight, highest: Weight) -> bool {
        let Some(c) = self.status.components.get_mut(i) else {
            return true;
        };
        let Some(intent) = c.intent.take() else {
            return false;
        };
        // It met a rollback whose writer died: that is the last word, whatever the raise has written.
        let back = newest(objects).filter(|m| m.id > intent.id && is_past(m, self.now));
        if let Some(mark) = back.filter(|m| m.reason.is_some_and(Reason::is_rollback) && m.weight < highest) {
            self.half_lowered(i, objects, mark.weight);
            return true;
        }
        if objects.iter().all(|o| stamped(o, &intent.id)) && lowest == highest && highest == intent.weight {
            self.raised(i, highest, intent.reason, Some(intent.id));
            return true;
        }
        // Not (wholly) written: forgotten and decided anew, never replayed.
        let written = c.weight.written;
        if intent.weight == written {
            // Newcomers were brought along; the weight and what is known of it stay. What is still new asks again.
            c.weight.asked = written;
            let mark = c.mark.take().max(Some(intent.id));
            c.mark = mark;
            return false;
        }
        if c.state != State::Manual {
            c.weight.asked = written;
        }
        if sabotage::broken(7) && highest == written {
            let component = c.name.clone();
            self.out.raises.push(Raise {
                component,
                id: intent.id,
                weight: intent.weight,
                reason: intent.reason,
            });
            return true;
        }
        if highest > written && objects.iter().any(|o| stamped(o, &intent.id)) {
            self.order(i, written, Reason::HalfRaised, false, None);
            let message = format!(
                "the raise to {} was written only in part; taking it back to {written}",
                intent.weight
            );
            self.note(i, Reason::HalfRaised, message, true);
            return true;
        }
        false
    }

    fn raised(&mut self, i: usize, weight: Weight, reason: Reason, mark: Option<String>) {
        let (now, judge) = (self.now, &self.plan.judge);
        let Some(c) = self.status.components.get_mut(i) else {
            return;
        };
        let from = c.weight.written;
        c.weight.written = weight;
        c.weight.asked = weight;
        c.weight.observed = Some(weight);
        c.mark = mark.or_else(|| c.mark.take());
        c.since = Some(now);
        c.hold_ended = false;
        c.raise_by = None;
        c.forced = false;
        if c.state == State::Manual {
            // It was being written; now it stands, and waits for a person again.
            c.reason = Reason::Manual;
            c.message = super::advance::by_hand(weight);
        }
        forget(c, now, judge);
        let message = format!("{from} → {weight}");
        remember(c, now, from, weight, reason, &message);
        self.note(i, reason, message, false);
    }

    fn lowered(&mut self, i: usize, weight: Weight, order: &Lowering) {
        let (now, judge) = (self.now, &self.plan.judge);
        let Some(c) = self.status.components.get_mut(i) else {
            return;
        };
        let from = c.weight.written;
        c.weight.written = weight;
        c.weight.asked = weight;
        c.since = Some(now);
        c.mark = Some(order.id.clone());
        c.lowering = None;
        c.hold_ended = false;
        c.baseline = None;
        // What it went back for stays to be read: nothing is judged there until somebody begins again.
        let checks = std::mem::take(&mut c.checks);
        forget(c, now, judge);
        if order.reason.is_rollback() {
            c.checks = checks;
        }
        if c.message.starts_with(super::advance::NOT_WRITTEN) {
            c.message = super::advance::cause(&c.message).map_or_else(
                || format!("put back to {weight} ({})", order.reason),
                str::to_owned,
            );
        }
        // Of a foreign raise that was put back the weight in the status knows nothing.
        let reverted = c.drifts.last().filter(|_| order.reason == Reason::DriftReverted);
        let from = reverted.map_or(from, |drift| drift.found);
        let message = if order.reason.is_rollback() {
            c.message.clone()
        } else {
            format!("{from} → {weight}")
        };
        // Where no weight was moved, what was taken off was told when it was found.
        if order.reason != Reason::DriftReverted || from != weight {
            remember(c, now, from, weight, order.reason, &message);
        }
        self.note(
            i,
            order.reason,
            format!("{from} → {weight}, read back"),
            order.reason.is_rollback(),
        );
    }

    /// The objects carry our own stamps with the weights they have: a write of ours that the status missed.
    fn own_write(&mut self, i: usize, objects: &[Routed], weight: Weight) {
        let mark = newest(objects);
        let reason = mark.as_ref().and_then(|m| m.reason).unwrap_or(Reason::Step);
        let then = self.then(i, reason);
        self.raised(i, weight, reason, mark.map(|m| m.id));
        let Some(c) = self.status.components.get_mut(i) else {
            return;
        };
        if weight < super::super::plan::FIRST_WEIGHT_MAX {
            c.baseline = None;
        }
        self.take_away(i, objects, weight, reason);
        self.tell_own(i, weight, reason, then);
    }

    /// Some of the objects are where an order of ours was taking all of them: whoever was writing died on the way, and the
    /// rest is brought along.
    fn half_lowered(&mut self, i: usize, objects: &[Routed], weight: Weight) {
        let reason = newest(objects)
            .and_then(|m| m.reason)
            .unwrap_or(Reason::HalfRaised);
        let then = self.then(i, reason);
        self.order(i, weight, reason, reason == Reason::Emergency, None);
        self.tell_own(i, weight, reason, then);
        let message = format!(
            "{} was under way to {weight} when its writer died; the rest follows",
            super::drift::spread(objects)
        );
        self.note(i, reason, message, true);
    }

    /// What counts once a rollback is known, as it was before.
    fn then(&self, i: usize, reason: Reason) -> Then {
        Then {
            wanted: self.status.components.get(i).and_then(|c| self.wanted_by_hand(c)),
            held: self.is_held(i, reason),
            fingerprint: self.plan_then(i, reason),
            by_a_person: self
                .status
                .components
                .get(i)
                .is_some_and(is_where_a_person_put_it),
        }
    }

    /// The status learns what a write of ours made of a component.
    fn tell_own(&mut self, i: usize, weight: Weight, reason: Reason, then: Then) {
        let Some(c) = self.status.components.get_mut(i) else {
            return;
        };
        if reason.is_rollback() {
            c.state = State::RolledBack;
            c.fingerprint = then.fingerprint;
            c.reason = reason;
            c.message = format!("it was rolled back to {weight} ({reason}); `retry` begins again");
            if let Some(wanted) = then.wanted {
                c.message = format!(
                    "{}; the set to {wanted} was overtaken by that and is not done: give it again after `retry`",
                    c.message
                );
                let message = c.message.clone();
                self.note(i, reason, message, true);
            }
            self.found_back.push(i);
            let alone = !then.held && !then.by_a_person;
            if reason.is_automatic_rollback() && alone {
                if let Some(again) = self.schedule_retry(i)
                    && let Some(c) = self.status.components.get_mut(i)
                {
                    c.message = format!("it was rolled back to {weight} ({reason}); {again}");
                }
            } else if reason == Reason::OtherFailed && alone {
                self.found_along.push(i);
            } else if let Some(c) = self.status.components.get_mut(i) {
                c.retry = None;
            }
        } else if reason == Reason::Manual {
            // A person's weight is theirs until `resume`, whether or not the status heard of it.
            c.state = State::Manual;
            c.fingerprint = None;
            c.reason = reason;
            c.message = super::advance::by_hand(weight);
        }
    }

    /// What we made and brought to 0 is still there: whoever did it died before it was deleted.
    fn take_away(&mut self, i: usize, objects: &[Routed], weight: Weight, reason: Reason) {
        if weight.is_zero() && objects.iter().any(|o| o.made) {
            self.order(i, weight, reason, false, None);
        }
    }
}

/// What was so before a write of ours was found.
struct Then {
    /// What a person's raise still asked for.
    wanted: Option<Weight>,
    held: bool,
    fingerprint: Option<String>,
    by_a_person: bool,
}

fn newest(objects: &[Routed]) -> Option<Mark> {
    objects
        .iter()
        .filter_map(|o| o.stamp.clone())
        .max_by(|a, b| a.id.cmp(&b.id))
}

/// Where all of them are yet to be brought along: what stands for other back ends than there were, for what was written
/// for those splits nothing any more. Unless there is nothing else.
fn split_now(objects: Vec<Routed>) -> Vec<Routed> {
    let (new, left): (Vec<Routed>, Vec<Routed>) = objects.into_iter().partition(|o| o.highest.is_zero());
    if new.is_empty() { left } else { new }
}

fn range(objects: &[Routed]) -> (Weight, Weight) {
    let lowest = objects.iter().map(|o| o.lowest).min().unwrap_or_default();
    (
        lowest,
        objects.iter().map(|o| o.highest).max().unwrap_or_default(),
    )
}

/// Whether a routed object is where a lowering takes it.
fn is_down(object: &Routed, order: &Lowering) -> bool {
    let to_go = object.made && order.weight.is_zero();
    object.highest.max(object.beyond) <= order.weight
        && (object.absent || (stamped(object, &order.id) && !to_go))
}

fn stamped(object: &Routed, id: &str) -> bool {
    object.stamp.as_ref().is_some_and(|mark| mark.id == id)
}

/// Whether a mark can have been made already. What claims to be from tomorrow is none of ours.
pub(super) fn is_past(mark: &Mark, now: Timestamp) -> bool {
    let made = mark.id.parse::<ulid::Ulid>().map(|id| id.timestamp_ms());
    made.is_ok_and(|made| u64::try_from(now.as_millisecond()).is_ok_and(|now| made <= now))
}

fn carries_its_weight(object: &Routed) -> bool {
    object.lowest == object.highest
        && object
            .stamp
            .as_ref()
            .is_some_and(|mark| mark.weight == object.highest)
}
