//! What became of each component in a replay.

use crate::rollout::reason::{Reason, State};
use crate::rollout::status::{CheckStatus, ComponentStatus};
use crate::rollout::weight::Weight;
use jiff::Timestamp;
use std::time::Duration;

/// A whole replay.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Course {
    /// Each component that was replayed.
    pub walks: Vec<Walk>,
}

impl Course {
    /// One component's.
    pub fn walk(&self, component: &str) -> Option<&Walk> {
        self.walks.iter().find(|walk| walk.component == component)
    }
}

/// One component's way.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Walk {
    /// The component.
    pub component: String,
    /// The weights it had, in order; the last is the one it ended at.
    pub legs: Vec<Leg>,
    /// Where it ended.
    pub state: State,
    /// Why.
    pub reason: Reason,
    /// The same as a sentence.
    pub message: String,
    /// The checks as they were when it was rolled back, or at the end.
    pub checks: Vec<CheckStatus>,
    /// When it would first have been raised, and to what, where the replay stays at one weight.
    pub promoted: Option<(Timestamp, Weight)>,
    /// When it would first have come to the end of the plan, where the replay stays at one weight.
    pub completed: Option<Timestamp>,
    /// When it was rolled back or completed.
    pub ended: Option<Timestamp>,
}

impl Walk {
    /// The highest weight it had.
    pub fn highest(&self) -> Weight {
        self.legs.iter().map(|leg| leg.weight).max().unwrap_or_default()
    }

    /// Whether it came to the end of the plan.
    pub fn has_completed(&self) -> bool {
        self.state == State::Completed || self.completed.is_some()
    }

    /// What rolled it back: the check's name, or `traffic`; `None` when nothing did.
    pub fn rolled_back_by(&self) -> Option<&str> {
        (self.state == State::RolledBack).then(|| subject(&self.message).unwrap_or_default())
    }

    /// How long a check kept it from rising.
    pub fn held_by(&self, check: &str) -> Duration {
        let stays = self.legs.iter().flat_map(|leg| &leg.stays);
        stays
            .filter(|stay| stay.subject.as_deref() == Some(check))
            .map(|stay| stay.length)
            .sum()
    }
}

/// The time at one weight.
#[derive(Clone, Debug, PartialEq)]
pub struct Leg {
    /// The weight.
    pub weight: Weight,
    /// When it was written.
    pub from: Timestamp,
    /// Until when it stood.
    pub until: Timestamp,
    /// Why it was written.
    pub reason: Reason,
    /// Why it stayed, each reason once, in the order they came.
    pub stays: Vec<Stay>,
}

/// Why a weight stayed.
#[derive(Clone, Debug, PartialEq)]
pub struct Stay {
    /// The reason.
    pub reason: Reason,
    /// The check it is about, where it is about one.
    pub subject: Option<String>,
    /// For how long in all.
    pub length: Duration,
    /// When it was first so.
    pub first: Timestamp,
    /// The sentence as it was then.
    pub message: String,
}

/// The name before a colon, as in `errors: 3% is over …`; a sentence may come before it.
fn subject(message: &str) -> Option<&str> {
    let before = message.rsplit_once(": ")?.0;
    before.split(": ").find(|name| !name.contains(' '))
}

/// Follows a component, look by look.
#[derive(Debug)]
pub(super) struct Follower {
    walk: Walk,
    last: Option<Timestamp>,
}

impl Follower {
    pub(super) fn new(component: &str) -> Self {
        let walk = Walk {
            component: component.to_owned(),
            ..Walk::default()
        };
        Self { walk, last: None }
    }

    /// Its status at a time, after everything that was decided then was done; and what the judge said before.
    pub(super) fn see(&mut self, c: &ComponentStatus, judged: Option<Vec<CheckStatus>>, now: Timestamp) {
        let walk = &mut self.walk;
        let passed = self
            .last
            .map_or(Duration::ZERO, |last| now.duration_since(last).unsigned_abs());
        self.last = Some(now);
        if let Some(leg) = walk.legs.last_mut() {
            leg.until = now;
            // The stay that the last look opened or went on with lasted until now.
            if let Some(stay) = leg
                .stays
                .iter_mut()
                .find(|stay| stay.is(walk.reason, &walk.message))
            {
                stay.length += passed;
            }
        }
        let stands = walk.legs.last().is_some_and(|leg| leg.weight == c.weight.written);
        if !stands {
            let reason = c
                .history
                .last()
                .filter(|h| h.at == now)
                .map_or(Reason::Starting, |h| h.reason);
            walk.legs.push(Leg {
                weight: c.weight.written,
                from: now,
                until: now,
                reason,
                stays: Vec::new(),
            });
        }
        let ended = c.state.is_terminal();
        if ended && walk.ended.is_none() {
            walk.ended = Some(now);
        }
        if let Some(judged) = judged {
            walk.checks = judged;
        }
        walk.state = c.state;
        walk.reason = c.reason;
        walk.message.clone_from(&c.message);
        if ended {
            return;
        }
        let subject = subject(&c.message).map(str::to_owned);
        if let Some(leg) = walk.legs.last_mut()
            && !leg.stays.iter().any(|stay| stay.is(c.reason, &c.message))
        {
            leg.stays.push(Stay {
                reason: c.reason,
                subject,
                length: Duration::ZERO,
                first: now,
                message: c.message.clone(),
            });
        }
    }

    /// Whether it has come to its end.
    pub(super) const fn is_over(&self) -> bool {
        self.walk.ended.is_some()
    }

    pub(super) fn finish(self) -> Walk {
        self.walk
    }
}

impl Stay {
    fn is(&self, reason: Reason, message: &str) -> bool {
        self.reason == reason && self.subject.as_deref() == subject(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_about_different_things_are_different_stays() {
        let stay = |message: &str| Stay {
            reason: Reason::Blind,
            subject: subject(message).map(str::to_owned),
            length: Duration::ZERO,
            first: Timestamp::UNIX_EPOCH,
            message: message.to_owned(),
        };
        let nothing = "nothing was read from the source yet";
        let check = "a check could not be told for more than 10m: p95: control is not seen";
        assert_eq!(subject(check), Some("p95"));
        assert_eq!(subject("errors: 3% is over: 1%"), Some("errors"));
        assert_eq!(subject(nothing), None);
        assert!(!stay(nothing).is(Reason::Blind, check) && !stay(check).is(Reason::Blind, nothing));
        assert!(stay("errors: 3% is over").is(Reason::Blind, "errors: 4% is over"));
        assert!(stay("held for 10m of 1h").is(Reason::Blind, "held for 10m of 2h"));
    }
}
