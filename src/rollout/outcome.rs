//! What became of people's commands, as the status tells and remembers it.

use super::bounded;
use super::command::{Command, Verb, given_by};
use super::plan::digest;
use super::spec::timestamp_schema;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Commands whose outcome is kept, once their annotations are gone.
pub const COMMANDS_KEPT: usize = 50;
/// Outcomes of commands whose annotations are still there: none of them is forgotten, or it would be obeyed again. What
/// is more waits until some of these annotations are gone.
pub const COMMANDS_AT_ONCE: usize = 200;
/// Alerts whose rollbacks are remembered when their outcomes are not: as many as one payload of Alertmanager may bring.
pub const ALERTS_HEARD: usize = 1000;

/// What an alert's rollback is remembered by when its outcome is forgotten.
pub fn heard_as(id: &str) -> String {
    digest(id)
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommandOutcome {
    /// The command's id; one that stands here with this verb and digest is never executed again.
    #[schemars(length(max = 63))]
    #[serde(serialize_with = "bounded::text::<63, _>")]
    pub id: String,
    /// Its verb.
    #[schemars(length(max = 16))]
    #[serde(serialize_with = "bounded::text::<16, _>")]
    pub verb: String,
    /// A digest of what it asked: the same id and verb with another one is another command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    #[serde(serialize_with = "bounded::maybe::<16, _>")]
    pub digest: Option<String>,
    /// Who gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[serde(serialize_with = "bounded::maybe::<256, _>")]
    pub who: Option<String>,
    /// Whom it named, or `*` for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), inner(length(max = 63)))]
    #[serde(serialize_with = "bounded::list::<128, 63, _>")]
    pub components: Vec<String>,
    /// A program asked for it and no person.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub automatic: bool,
    /// When it was dealt with.
    #[schemars(schema_with = "timestamp_schema")]
    pub at: Timestamp,
    /// Whether it was taken up.
    pub result: CommandResult,
    /// What was done, or why not and what to do, a sentence for each component.
    #[schemars(length(max = 2048))]
    #[serde(serialize_with = "bounded::text::<2048, _>")]
    pub message: String,
    /// The components for which it was refused, where it was taken up for others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), inner(length(max = 63)))]
    #[serde(serialize_with = "bounded::list::<128, 63, _>")]
    pub refused: Vec<String>,
}

impl CommandOutcome {
    /// Whether it is what became of this command. Records of releases that kept no digest tell by id and verb.
    pub fn is_of(&self, command: &Command) -> bool {
        let same = |digest: &String| *digest == command.digest();
        self.id == command.id && self.verb == command.verb.word() && self.digest.as_ref().is_none_or(same)
    }

    /// When the command was given, at the latest, as its id says; `None` when that tells no time.
    pub fn given_by(&self) -> Option<Timestamp> {
        given_by(&self.id)
    }

    /// The verb that was obeyed for this component; `None` where it was not.
    pub fn obeyed_for(&self, component: &str) -> Option<Verb> {
        let taken = matches!(self.result, CommandResult::Accepted | CommandResult::Partly);
        let named = self.components.iter().any(|c| c == "*" || c == component);
        let refused = self.refused.iter().any(|c| c == component);
        let verb = Verb::ALL.into_iter().find(|verb| verb.word() == self.verb);
        verb.filter(|_| taken && named && !refused)
    }
}

/// Whether a command was taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CommandResult {
    /// For every component it named.
    Accepted,
    /// For some of them.
    Partly,
    /// For none.
    Refused,
    /// It came too late.
    Expired,
    /// A later lowering command took its place.
    Cancelled,
}
