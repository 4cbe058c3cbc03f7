//! Commands that come after what was given later than they were: on their way meanwhile, or waiting while nobody led.
//! What raises, or undoes what was answered, gives way to it. What stops or puts back is obeyed, and told that it came late.

use super::Desk;
use super::given::Against;
use super::previews::would_add;
use crate::rollout::command::{Command, Verb};
use crate::rollout::reason::{Reason, State};
use crate::rollout::status::{CommandOutcome, ComponentStatus};
use jiff::Timestamp;

impl Desk<'_> {
    /// What was given after a command, was answered before it was heard of, and would be undone by it.
    pub(super) fn answered_against(&self, command: &Command, c: &ComponentStatus) -> Option<Against> {
        let raises = self.would_raise(command, c);
        // Beside a lowering that is under way, what leaves more than that does.
        let leaves_more = command.wish.weight.is_some_and(|to| to >= c.weight.asked);
        let found = self.obeyed_for(c).filter(|(verb, answered)| {
            undoes(command, *verb, raises, leaves_more) && !answered.is_of(command)
        });
        let (mut later, mut unclear) = (None::<(Timestamp, &CommandOutcome)>, None);
        for (verb, answered) in found {
            match (self.is_before(command, answered), verb.only_lowers()) {
                (Some(true), _) => {
                    let at = self.given(answered).unwrap_or(answered.at);
                    later = later.filter(|known| known.0 >= at).or(Some((at, answered)));
                }
                (None, true) if command.given_at().is_some_and(|at| at < answered.at) => {
                    unclear = Some(Against::Unclear(named(answered)));
                }
                (Some(false) | None, _) => {}
            }
        }
        later
            .map(|(at, answered)| Against::Answered(named(answered), at))
            .or(unclear)
    }

    /// Whether a command was given before one that was answered, or may have been, for of some only the second is known: by
    /// the milliseconds of both ids; `None` where they do not tell. Whatever its id claims, what was answered had been given
    /// by then. Of a rollback that is what counts: whoever calls one may have a clock that is behind, and a raise that was on
    /// its way meanwhile knew nothing of it. Of two that waited together their ids tell.
    fn is_before(&self, command: &Command, answered: &CommandOutcome) -> Option<bool> {
        let given = self.given(answered)?;
        Some(command.given_at()?.as_millisecond() < given.as_millisecond())
    }

    /// When what was answered counts as given; `None` where its id does not tell.
    fn given(&self, answered: &CommandOutcome) -> Option<Timestamp> {
        let puts_back = answered.verb == Verb::Rollback.word() && answered.at < self.now;
        let given = answered.given_by()?;
        Some(if puts_back {
            answered.at
        } else {
            given.min(answered.at)
        })
    }

    /// When a component was put back, if that was after a command was given. A rollback has no annotation any more, or never had one,
    /// but its mark says when it was asked for, and the status when it was decided or found: what was on its way meanwhile,
    /// or waited while nobody led, came too late.
    pub(super) fn rollback_after(&self, command: &Command, c: &ComponentStatus) -> Option<Timestamp> {
        if c.state != State::RolledBack || !c.reason.is_rollback() {
            return None;
        }
        let given = command.given_at()?;
        let before = |at: &Timestamp| given.as_millisecond() < at.as_millisecond();
        match c.lowering.as_ref().filter(|order| order.reason.is_rollback()) {
            // What is decided in this very look waited beside the command, and their ids tell.
            Some(order) if order.at == self.now => None,
            Some(order) => marked_at(&order.id)
                .into_iter()
                .chain([order.at])
                .filter(before)
                .max(),
            None => {
                let marked = c.mark.as_ref().and_then(|mark| marked_at(mark));
                marked.into_iter().chain(heard_of(c)).filter(before).max()
            }
        }
    }

    /// What is said beside the answer of a command that stops or lowers although somebody who went on was later.
    pub(super) fn overtaken(&self, command: &Command, c: &ComponentStatus) -> Option<String> {
        // The id of an alert's says when that began to fire, and not when it was given.
        if command.wish.automatic || command.verb == Verb::Complaint || self.would_raise(command, c) {
            return None;
        }
        let goes_on = |verb: Verb| match command.verb {
            Verb::HeaderRoute | Verb::Mirror => verb == command.verb,
            // Both let go.
            Verb::Detach => matches!(verb, Verb::Set | Verb::Resume | Verb::Promote | Verb::Retry),
            Verb::Set
            | Verb::Pause
            | Verb::Resume
            | Verb::Approve
            | Verb::Promote
            | Verb::Rollback
            | Verb::Retry
            | Verb::Complaint => matches!(
                verb,
                Verb::Set | Verb::Resume | Verb::Promote | Verb::Retry | Verb::Detach
            ),
        };
        let mut later = self.obeyed_for(c).filter(|(verb, answered)| {
            goes_on(*verb) && !answered.is_of(command) && self.is_before(command, answered) == Some(true)
        });
        let (_, answered) = later.next()?;
        Some(format!(
            "its id says that it was given before {}, and what stops or lowers is obeyed all the same: give that one again \
             if it is still wanted",
            named(answered)
        ))
    }

    /// What was obeyed for a component, as long as it is remembered.
    fn obeyed_for(&self, c: &ComponentStatus) -> impl Iterator<Item = (Verb, &CommandOutcome)> {
        let all = self.status.commands.iter();
        all.filter_map(|outcome| outcome.obeyed_for(&c.name).map(|verb| (verb, outcome)))
    }
}

/// Whether a command that is heard of now would undo one that was answered. Which of them was given later is another
/// question.
fn undoes(command: &Command, answered: Verb, raises: bool, leaves_more: bool) -> bool {
    use Verb::{
        Approve, Complaint, Detach, HeaderRoute, Mirror, Pause, Promote, Resume, Retry, Rollback, Set,
    };
    match command.verb {
        // What stops is obeyed whenever it comes; an approval raises nothing by itself.
        Pause | Rollback | Complaint | Approve => false,
        Set if raises => matches!(
            answered,
            Set | Pause | Resume | Promote | Rollback | Retry | Detach
        ),
        // It would take up what was let go, or be in the place of a rollback.
        Set => answered == Detach || answered == Rollback && leaves_more,
        Resume => matches!(answered, Set | Pause | Rollback | Detach),
        Promote => matches!(answered, Set | Pause | Promote | Rollback | Retry | Detach),
        Retry => matches!(answered, Set | Pause | Rollback | Retry | Detach),
        // Nobody judges or writes what is let go.
        Detach => matches!(answered, Set | Pause | Resume | Promote | Rollback | Retry),
        HeaderRoute | Mirror if !would_add(command) => false,
        // Of another edit nobody knows any more what it took away.
        HeaderRoute | Mirror => matches!(answered, Pause | Rollback | Detach) || answered == command.verb,
    }
}

/// When a daemon saw that an emergency had put a component back. The clock that the mark was made by may be behind, and
/// whoever called it was in a hurry; what the daemon wrote down is later than what was on its way.
fn heard_of(c: &ComponentStatus) -> Option<Timestamp> {
    let booked = c.history.iter().rfind(|entry| entry.reason == Reason::Emergency);
    let at = booked.or(c.history.first()).map(|entry| entry.at).or(c.since);
    at.filter(|_| c.reason == Reason::Emergency)
}

/// When a mark says that it was asked for.
fn marked_at(mark: &str) -> Option<Timestamp> {
    let millis = mark.parse::<ulid::Ulid>().ok()?.timestamp_ms();
    Timestamp::from_millisecond(i64::try_from(millis).ok()?).ok()
}

fn named(answered: &CommandOutcome) -> String {
    format!("the {} {}", answered.verb, answered.id)
}
