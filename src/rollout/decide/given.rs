//! What was given and waits: in which order it is dealt with, whether it was before, and what takes the place of what.

use super::Desk;
use crate::rollout::command::{Command, NotACommand, Verb};
use crate::rollout::complaint::COMPLAINTS_KEPT;
use crate::rollout::plan::digest;
use crate::rollout::reason::{Reason, State};
use crate::rollout::status::{COMMANDS_AT_ONCE, COMMANDS_KEPT, CommandOutcome, ComponentStatus};
use crate::rollout::weight::Weight;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

/// The longest id of an outcome, in characters.
const ID: usize = 63;
/// The longest verb of an outcome, in characters.
const VERB: usize = 16;

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
    /// A rollback that was given later, and is answered already.
    Answered,
    /// One that lowers, and nobody can tell which of the two was given later.
    Doubt(String),
}

impl fmt::Display for Against {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Later => f.write_str("a later lowering command takes its place"),
            Self::Answered => f.write_str(
                "its id says that it was given before the rollback that put it back: give it again if it is still wanted, and \
                 where that says the same, set the clock of whoever gives it",
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
                command.names(&c.name) && matches!(self.against(command, c), Some(Against::Doubt(_)))
            }),
            Given::Slip(..) => false,
        };
        all.sort_by_cached_key(|given| (!gives_way(given), given.place()));
        all
    }

    /// Whether it was dealt with before.
    pub(super) fn known(&self, given: Given<'_>) -> bool {
        self.status
            .commands
            .iter()
            .any(|outcome| given.is_told_by(outcome))
    }

    /// What takes the place of a command at a component, of all that wait beside it.
    pub(super) fn against(&self, command: &Command, c: &ComponentStatus) -> Option<Against> {
        if matches!(command.verb, Verb::Rollback | Verb::Pause | Verb::Complaint) {
            return None;
        }
        let raises = self.would_raise(command, c);
        // A lowering that was answered has no annotation any more, but its mark says when it was asked for: what was on its
        // way meanwhile, or waited while nobody led, came too late.
        let by_hand = matches!(c.reason, Reason::RollbackRequested | Reason::Emergency);
        let mark = c
            .mark
            .as_ref()
            .filter(|_| by_hand && c.state == State::RolledBack);
        if raises && mark.is_some_and(|mark| command.is_before_mark(mark)) {
            return Some(Against::Answered);
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

pub(super) fn keep(all: &mut Vec<CommandOutcome>, outcome: CommandOutcome, waiting: &Waiting) {
    all.push(outcome);
    trim(all, waiting);
}

/// Forgets the oldest outcomes, but none whose annotation is still there: that command would be obeyed again.
pub(super) fn trim(all: &mut Vec<CommandOutcome>, waiting: &Waiting) -> bool {
    let before = all.len();
    let gone = |c: &CommandOutcome| !waiting.has(c);
    // However many complain, what became of the other commands stays to be read.
    let complaint = |c: &CommandOutcome| c.verb == Verb::Complaint.word();
    let mut complaints = all.iter().filter(|c| complaint(c)).count();
    all.retain(|c| {
        let goes = complaint(c) && complaints > COMPLAINTS_KEPT && gone(c);
        complaints -= usize::from(goes);
        !goes
    });
    let mut excess = all.len().saturating_sub(COMMANDS_KEPT);
    all.retain(|c| {
        let goes = excess > 0 && gone(c);
        excess -= usize::from(goes);
        !goes
    });
    all.len() != before
}
