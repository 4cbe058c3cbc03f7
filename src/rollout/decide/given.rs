//! What was given and waits: in which order it is dealt with, whether it was before, and what takes the place of what.

use super::Desk;
use crate::rollout::command::{Command, NotACommand, Verb};
use crate::rollout::complaint::COMPLAINTS_KEPT;
use crate::rollout::observation::Routed;
use crate::rollout::plan::digest;
use crate::rollout::status::{
    ALERTS_HEARD, COMMANDS_AT_ONCE, COMMANDS_KEPT, CommandOutcome, ComponentStatus, GradualRolloutStatus,
    heard_as,
};
use crate::rollout::weight::Weight;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

/// The longest id of an outcome, in characters.
const ID: usize = 63;
/// The longest verb of an outcome, in characters.
const VERB: usize = 16;

/// Of so many rollbacks the outcomes are kept where other commands need the room.
const ROLLBACKS_KEPT: usize = 30;

/// So far clocks may be apart.
const AHEAD: Duration = Duration::from_secs(2);

/// Id, verb and digest, as an outcome has them.
type KnownBy = (String, String, String);

/// Something that somebody gave.
#[derive(Clone, Copy, Debug)]
pub(super) enum Given<'a> {
    /// A command.
    Command(&'a Command),
    /// What is none, by its annotation.
    Slip(&'a str, &'a NotACommand),
}

impl Given<'_> {
    /// The annotation's key.
    pub(super) fn key(&self) -> String {
        match self {
            Self::Command(command) => command.key(),
            Self::Slip(key, _) => (*key).to_owned(),
        }
    }

    /// What its outcome is found by.
    pub(super) fn known_by(&self) -> KnownBy {
        match self {
            Self::Command(c) => (clip(&c.id, ID), clip(c.verb.word(), VERB), c.digest()),
            // Mended under the same key it is another.
            Self::Slip(_, error) => (
                clip(&error.id, ID),
                clip(&error.verb, VERB),
                digest(&error.message),
            ),
        }
    }

    /// Whether this is what became of it.
    pub(super) fn is_told_by(&self, outcome: &CommandOutcome) -> bool {
        match self {
            // An older release told what it did by id and verb alone: what stops or puts back does so in doubt.
            Self::Command(command) => {
                let stops = matches!(command.verb, Verb::Rollback | Verb::Pause);
                outcome.is_of(command) && (outcome.digest.is_some() || !stops)
            }
            Self::Slip(..) => {
                let (id, verb, digest) = self.known_by();
                outcome.id == id
                    && outcome.verb == verb
                    && outcome.digest.as_ref().is_none_or(|known| *known == digest)
            }
        }
    }

    /// Whether it is an alert's rollback that is remembered without its outcome. A person's may share its id with another.
    fn is_heard(&self, heard: &[String]) -> bool {
        match self {
            Self::Command(command) => {
                command.verb == Verb::Rollback
                    && command.wish.automatic
                    && !heard.is_empty()
                    && heard.contains(&heard_as(&command.id))
            }
            Self::Slip(..) => false,
        }
    }

    fn place(&self) -> String {
        match self {
            Self::Command(command) => command.place(),
            Self::Slip(_, error) => error.id.clone(),
        }
    }
}

/// What takes the place of a command at one component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Against {
    /// One that was given later, and lowers.
    Later,
    /// One that was given later, and is answered already: which, and before when nothing counts as given after it.
    Answered(String, Timestamp),
    /// One that stops, is answered already, and does not tell when it was given: which.
    Unclear(String),
    /// An emergency that waits beside it: clocks may lie, and whoever called it was in a hurry.
    Emergency,
    /// One that lowers, and nobody can tell which of the two was given later.
    Doubt(String),
}

impl fmt::Display for Against {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Later => f.write_str("a later lowering command takes its place: give it again if it is still wanted"),
            // Told in whole seconds: the next one is surely later.
            Self::Answered(other, at) => write!(
                f,
                "its id says that it was given before {other}: give it again if it is still wanted, once the clock there \
                 shows {:.0}, and where that clock is behind, set the clock of whoever gives it first",
                at.saturating_add(Duration::from_secs(1)).unwrap_or(*at)
            ),
            Self::Unclear(other) => write!(
                f,
                "its id says that it was given before {other} was answered, whose id does not say when it was given, so it \
                 gives way: give it again if it is still wanted, and where that says the same, set the clock of whoever gives it"
            ),
            Self::Emergency => f.write_str(
                "an emergency rollback waits beside it and wins, whatever their ids say: ask again if it is still wanted",
            ),
            Self::Doubt(other) => write!(
                f,
                "its age beside {other} is unknown, for their ids do not tell which was given later, so it gives way: give it again if it is still wanted"
            ),
        }
    }
}

/// Commands and slips whose annotations are there, as their outcomes have them.
pub(super) struct Waiting(BTreeSet<KnownBy>);

impl Waiting {
    pub(super) fn of(commands: &[Command], malformed: &[(String, NotACommand)]) -> Self {
        Self(all(commands, malformed).map(|given| given.known_by()).collect())
    }

    fn has(&self, outcome: &CommandOutcome) -> bool {
        let (id, verb) = (outcome.id.clone(), outcome.verb.clone());
        match &outcome.digest {
            Some(digest) => self.0.contains(&(id, verb, digest.clone())),
            None => self
                .0
                .range((id.clone(), verb.clone(), String::new())..)
                .next()
                .is_some_and(|next| (&next.0, &next.1) == (&id, &verb)),
        }
    }

    /// How many more can be remembered, with these outcomes.
    pub(super) fn room(&self, outcomes: &[CommandOutcome]) -> usize {
        let remembered = outcomes.iter().filter(|outcome| self.has(outcome)).count();
        COMMANDS_AT_ONCE.saturating_sub(remembered)
    }
}

/// Commands, and behind them what is none.
pub(super) fn all<'a>(
    commands: &'a [Command],
    malformed: &'a [(String, NotACommand)],
) -> impl Iterator<Item = Given<'a>> {
    let slips = malformed.iter().map(|(key, error)| Given::Slip(key, error));
    commands.iter().map(Given::Command).chain(slips)
}

impl<'a> Desk<'a> {
    /// All that was given, in its order. What gives way to one whose age nobody can tell comes first: its turn must not
    /// come when that one is no longer there.
    pub(super) fn in_order(&self) -> Vec<Given<'a>> {
        let mut all: Vec<Given<'a>> = all(&self.seen.commands, &self.seen.malformed).collect();
        let gives_way = |given: &Given<'_>| match given {
            Given::Command(command) => self.status.components.iter().any(|c| {
                let against = self.against(command, c).filter(|_| command.names(&c.name));
                matches!(against, Some(Against::Doubt(_) | Against::Emergency))
            }),
            Given::Slip(..) => false,
        };
        all.sort_by_cached_key(|given| (!gives_way(given), given.place()));
        all
    }

    /// Whether it was dealt with before.
    pub(super) fn known(&self, given: Given<'_>) -> bool {
        let mut told = self.status.commands.iter();
        told.any(|outcome| given.is_told_by(outcome)) || given.is_heard(&self.status.heard)
    }

    /// What takes the place of a command at a component, of all that wait beside it.
    pub(super) fn against(&self, command: &Command, c: &ComponentStatus) -> Option<Against> {
        if matches!(command.verb, Verb::Rollback | Verb::Pause | Verb::Complaint) {
            return None;
        }
        let raises = self.would_raise(command, c);
        // One that was answered before was there before: by then the raise had not been given.
        let emergency = |other: &Command| {
            other.verb == Verb::Rollback
                && other.wish.emergency
                && other.names(&c.name)
                && (raises || self.undoes(command, other))
                && !self.known(Given::Command(other))
        };
        if self.seen.commands.iter().any(emergency) {
            return Some(Against::Emergency);
        }
        let put_back = self.rollback_after(command, c).filter(|_| raises);
        match (put_back, self.answered_against(command, c)) {
            (Some(at), answered) => {
                // Given after the one it would still be told of the other.
                let at = match answered {
                    Some(Against::Answered(_, later)) => at.max(later),
                    Some(Against::Later | Against::Unclear(_) | Against::Emergency | Against::Doubt(_))
                    | None => at,
                };
                return Some(Against::Answered("the rollback that put it back".to_owned(), at));
            }
            (None, Some(answered)) => return Some(answered),
            (None, None) => {}
        }
        let mut doubt = None;
        for other in &self.seen.commands {
            let itself = other.id == command.id && other.verb == command.verb;
            // Pause and detach lower nothing, yet whoever gave one after a raise does not want the raise.
            let lowers = other.verb.is_about_the_weight() && !self.would_raise(other, c);
            if itself || !lowers || !other.names(&c.name) || !(raises || self.undoes(command, other)) {
                continue;
            }
            let after = command
                .is_after(other)
                .filter(|_| !self.is_ahead(command) || self.is_ahead(other));
            match after {
                Some(false) if raises => return Some(Against::Later),
                Some(_) => {}
                // What was answered before was there before.
                None if doubt.is_some() || self.known(Given::Command(other)) => {}
                None => doubt = Some(Against::Doubt(format!("the {} {}", other.verb, other.id))),
            }
        }
        doubt
    }

    /// Whether an id claims to be of a time that has not come: a clock is wrong, and so it says nothing.
    pub(super) fn is_ahead(&self, command: &Command) -> bool {
        let latest = self.now + AHEAD;
        command.given_at().is_some_and(|at| at > latest)
    }

    /// Whether a command that raises nothing as things are would leave more with the canary, were it the last word, than
    /// one that lowers.
    fn undoes(&self, command: &Command, lowering: &Command) -> bool {
        let aim: Option<Weight> = match lowering.verb {
            Verb::Rollback => Some(lowering.wish.weight.unwrap_or(self.plan.rollback_to)),
            Verb::Set => lowering.wish.weight,
            Verb::Pause
            | Verb::Resume
            | Verb::Approve
            | Verb::Promote
            | Verb::Retry
            | Verb::Detach
            | Verb::HeaderRoute
            | Verb::Mirror
            | Verb::Complaint => None,
        };
        let goes_to = command.wish.weight.filter(|_| command.verb == Verb::Set);
        match (aim, goes_to) {
            // At the same weight it would still take the rollback's place.
            (Some(aim), Some(goes_to)) if lowering.verb == Verb::Rollback => goes_to >= aim,
            (Some(aim), Some(goes_to)) => goes_to > aim,
            (Some(_), None) => command.verb == Verb::Detach,
            (None, _) => false,
        }
    }

    /// Whether a rollback waits whose mark is on routed objects already, for it was done without a daemon: what it did is
    /// booked where it is obeyed, as its giver's. Alone, its mark might look like somebody's copy of an old one.
    pub(super) fn waits_with_its_mark(&self, i: usize, objects: &[Routed]) -> bool {
        let Some(c) = self
            .status
            .components
            .get(i)
            .filter(|_| self.planned(i).is_some())
        else {
            return false;
        };
        let bears = |o: &Routed, id: &str| {
            let mark = o.stamp.as_ref().is_some_and(|mark| mark.id == id);
            mark && o.highest <= c.weight.written
        };
        let waits = |command: &&Command| {
            command.verb == Verb::Rollback && !command.wish.automatic && command.names(&c.name)
        };
        let mut waiting = self.seen.commands.iter().filter(waits);
        waiting.any(|command| {
            objects.iter().any(|o| bears(o, &command.id)) && !self.known(Given::Command(command))
        })
    }

    /// The id that a command's lowering is marked with. Another command's, were it only by its id, is on objects already,
    /// perhaps, and would be taken for this one's.
    pub(super) fn mark_of(&self, command: &Command) -> Option<String> {
        let mut outcomes = self.status.commands.iter();
        let used = outcomes.any(|outcome| outcome.id == command.id && !outcome.is_of(command));
        (!used).then(|| command.id.clone())
    }
}

pub(super) fn clip(text: &str, n: usize) -> String {
    text.chars().take(n).collect()
}

pub(super) fn keep(status: &mut GradualRolloutStatus, outcome: CommandOutcome, waiting: &Waiting) {
    status.commands.push(outcome);
    trim(status, waiting);
}

/// Forgets the oldest outcomes, but none whose annotation is still there: that command would be obeyed again. However many
/// complain, and however many alerts fire, what became of the other commands stays to be read; and by what was answered it
/// is known what comes too late. Of an alert that is not forgotten altogether the repetitions do nothing.
pub(super) fn trim(status: &mut GradualRolloutStatus, waiting: &Waiting) -> bool {
    let all = &mut status.commands;
    let before = all.len();
    let is = |verb: Verb| move |c: &CommandOutcome| c.verb == verb.word();
    let complaint = is(Verb::Complaint);
    let stay = all.iter().filter(|c| complaint(c) && waiting.has(c)).count();
    let kept = COMPLAINTS_KEPT.saturating_sub(stay);
    let mut gone = forget(all, waiting, kept, usize::MAX, complaint);
    let excess = all.iter().filter(|c| !waiting.has(c)).count();
    let excess = excess.saturating_sub(COMMANDS_KEPT);
    gone.append(&mut forget(
        all,
        waiting,
        ROLLBACKS_KEPT,
        excess,
        is(Verb::Rollback),
    ));
    gone.append(&mut forget(all, waiting, COMMANDS_KEPT, usize::MAX, |_| true));
    let changed = all.len() != before;
    for outcome in gone.iter().filter(|c| c.automatic) {
        let heard = heard_as(&outcome.id);
        if !status.heard.contains(&heard) {
            status.heard.push(heard);
        }
    }
    let excess = status.heard.len().saturating_sub(ALERTS_HEARD);
    status.heard.drain(..excess);
    changed
}

/// Forgets the oldest of some, until so many are left or so many are gone, and gives them.
fn forget(
    all: &mut Vec<CommandOutcome>,
    waiting: &Waiting,
    kept: usize,
    most: usize,
    which: impl Fn(&CommandOutcome) -> bool,
) -> Vec<CommandOutcome> {
    let may_go = |c: &CommandOutcome| which(c) && !waiting.has(c);
    let mut excess = all.iter().filter(|c| may_go(c)).count();
    excess = excess.saturating_sub(kept).min(most);
    let goes = |c: &mut CommandOutcome| {
        let goes = excess > 0 && may_go(c);
        excess -= usize::from(goes);
        goes
    };
    all.extract_if(.., goes).collect()
}
