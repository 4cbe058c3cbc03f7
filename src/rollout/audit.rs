//! Who did what: one record for each command, and for each change of a weight or a state that nobody commanded.

use super::reason::State;
use super::status::{CommandOutcome, ComponentStatus};
use super::weight::Weight;
use jiff::Timestamp;

/// Who it is when the daemon did it by itself.
pub const ITSELF: &str = "gradual-rollout";
/// Characters that are kept of each part of a record.
const PART: usize = 512;

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// The command's id, or the id of the write that the routed objects carry.
    pub id: String,
    /// When.
    pub at: Timestamp,
    /// Who, and how well that is known.
    pub who: String,
    /// What: a command with its result, or the reason of a change.
    pub what: String,
    /// Where the components stood before: `shop Walking 5%`, several with `; ` between.
    pub before: String,
    /// Where they stand after.
    pub after: String,
    /// Why, or what became of it.
    pub message: String,
    /// Somebody asked for it; otherwise the daemon did it by itself, or saw that somebody had done it.
    pub commanded: bool,
}

impl Audit {
    /// The record of a command.
    pub(super) fn of(outcome: &CommandOutcome, before: &[Stand], after: &[Stand], at: Timestamp) -> Self {
        Self {
            id: outcome.id.clone(),
            at,
            who: outcome.who.clone().unwrap_or_else(|| "unknown".to_owned()),
            what: format!("{} {:?}", outcome.verb, outcome.result),
            before: line(before),
            after: line(after),
            message: part(&outcome.message),
            commanded: true,
        }
    }
}

/// What of a component is held against what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stand {
    pub(super) name: String,
    state: State,
    pub(super) weight: Weight,
    /// What a lowering or a person's raise is on its way to.
    to: Option<Weight>,
    paused: bool,
}

impl Stand {
    pub(super) fn of(c: &ComponentStatus) -> Self {
        let order = c.lowering.as_ref().map(|order| order.weight);
        Self {
            name: c.name.clone(),
            state: c.state,
            weight: c.weight.written,
            to: order.or_else(|| c.raise_by.map(|_| c.weight.asked)),
            paused: c.paused_by.is_some(),
        }
    }

    /// Whether its weight or its state is another.
    pub(super) fn differs(&self, now: &Self) -> bool {
        (self.state, self.weight) != (now.state, now.weight)
    }
}

impl std::fmt::Display for Stand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.name, self.state, self.weight)?;
        if let Some(to) = self.to {
            write!(f, " going to {to}")?;
        }
        f.write_str(if self.paused { " paused" } else { "" })
    }
}

/// Several in one line.
pub(super) fn line(all: &[Stand]) -> String {
    let all: Vec<String> = all.iter().map(ToString::to_string).collect();
    part(&all.join("; "))
}

/// As much of a text as a record has room for.
pub(super) fn part(text: &str) -> String {
    super::complaint::plain(text, PART)
}
