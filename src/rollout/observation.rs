//! What the shell saw, and what the core answers: the two values that cross the door.

use super::audit::Audit;
use super::command::{Command, NotACommand};
use super::preview::Preview;
use super::reason::Reason;
use super::sample::{GaugeReading, Reading, Slice};
use super::status::{GradualRolloutStatus, LeftOver};
use super::weight::Weight;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the shell saw.
#[derive(Clone, Debug, Default)]
pub struct Observation {
    /// The generation of the spec that the plan was read from.
    pub generation: i64,
    /// The first look after a start or take-over: raises declared by somebody before are forgotten.
    pub first: bool,
    /// The spec as it is now cannot be used: why. The plan is the last one that could; nothing rises by it.
    pub invalid: Option<String>,
    /// Let sentences and values in the status be written anew, although nothing changed.
    pub refresh: bool,
    /// What was counted was counted at other weights than the routers say, as where recorded traffic walks a plan: what
    /// share of it came to the canary says nothing.
    pub recorded: bool,
    /// Commands that wait, in the order they were given.
    pub commands: Vec<Command>,
    /// Who gave each command, by its annotation's key, and how well that is known; without an entry, who it says itself.
    pub givers: BTreeMap<String, String>,
    /// Annotations that look like commands and are none, with their keys.
    pub malformed: Vec<(String, NotACommand)>,
    /// Each component, by name.
    pub components: BTreeMap<String, Seen>,
    /// Nothing is to rise anywhere, by the operator's settings or the cluster's switch.
    pub frozen: Option<Frozen>,
    /// Whether this rollout may be among those that run at once.
    pub turn: Turn,
    /// What gates say that are asked outside, by [`super::plan::PlannedGate::question`].
    pub answers: BTreeMap<String, GateAnswer>,
}

/// Nothing is to rise anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frozen {
    /// When it ends, as far as it is known.
    pub until: Option<Timestamp>,
    /// Who, why and until when, as a sentence.
    pub says: String,
}

/// Whether a rollout may be among those that run at once. One that has begun asks no more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Turn {
    /// Nothing is limited.
    #[default]
    Unlimited,
    /// It has a turn.
    Held,
    /// There is room for it; it has to be taken.
    Free,
    /// There is none; why, and who is before it.
    Full(String),
}

/// What a gate says that is asked outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateAnswer {
    /// It lets through.
    pub open: bool,
    /// What it says, for people.
    pub says: String,
}

/// A gate whose address is to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Under which name the answer is looked for.
    pub key: String,
    /// The gate, by [`super::plan::PlannedGate::key`].
    pub gate: String,
    /// For which component.
    pub component: String,
    /// And which weight.
    pub weight: Weight,
}

/// What was seen of one component.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Its routed objects.
    pub routers: Routers,
    /// Where not all of them can be read as the resource has them: what can be read of each, at which weights, and those
    /// that are known to be gone (`absent`).
    pub partly: Vec<Routed>,
    /// Of some of them nobody knows what they give the canary; `false` where all that is to know is in `partly`.
    pub unknown: bool,
    /// A new look at its metrics; `None` when there was none since the last decision.
    pub reading: Option<Reading>,
    /// Nobody has looked at its metrics since the daemon began: that nothing was seen before is no darkness yet.
    pub unlooked: bool,
    /// New looks at counts that are read apart, by [`super::plan::Stream::key`].
    pub streams: BTreeMap<String, Reading>,
    /// New looks at gauges, by the check's name.
    pub gauges: BTreeMap<String, GaugeReading>,
    /// Why gauges are not read at all, by the check's name: told, and nothing waits for them.
    pub unread: BTreeMap<String, String>,
    /// What control did before the rollout ([`super::sample::HISTORY`]), oldest first, given once an attempt.
    pub history: Option<Arc<[Slice]>>,
    /// Why no weight above 0 may be written, whatever the metrics say; a sentence with the remedy.
    pub obstacle: Option<String>,
    /// Whether control has a ready endpoint; `None` when nobody can tell.
    pub control_ready: Option<bool>,
    /// Whether every Service of the canary's that is not control's, too, has a ready endpoint; `None` when nobody can tell.
    pub canary_ready: Option<bool>,
    /// Why what is wanted beside the weight was not written, until it is.
    pub preview_failure: Option<String>,
    /// A write is under way: what the routers show may be half of it.
    pub busy: bool,
    /// The last write's failure, until one succeeds.
    pub failure: Option<String>,
    /// Somebody holds the glass broken: who, until when. Raises by others are then theirs to make.
    pub break_glass: Option<(String, Timestamp)>,
}

/// Field managers whose names begin so are ours.
pub const OUR_MANAGERS: &str = "gradual-rollout";

/// What a component's routed objects say.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Routers {
    /// They were not read yet.
    #[default]
    Unread,
    /// One cannot be read, is not there, or does not carry the pair; a sentence that names it and the remedy.
    Unreadable(String),
    /// They are another resource's: nothing of them is written. A sentence that names it and the remedy.
    Claimed(String),
    /// All were read, edge first.
    Read(Vec<Routed>),
}

/// One routed object.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each says something of its own")]
pub struct Routed {
    /// Its kind, namespace and name.
    pub object: String,
    /// The lowest weight among its routes.
    pub lowest: Weight,
    /// The highest weight among its routes; equal to `lowest` unless they disagree.
    pub highest: Weight,
    /// The most that the canary gets by routes of ours in it that no write of ours reaches; `highest` does not count it.
    pub beyond: Weight,
    /// What else in it gives the canary requests.
    pub left: Option<LeftOver>,
    /// The smallest weight above 0 that it can say; it can say all its multiples. 0 where nobody knows.
    pub finest: Weight,
    /// Our last write's mark.
    pub stamp: Option<Mark>,
    /// It has taken up its change (a Deployment's pods are rolled out, a route's gateway has seen it).
    pub settled: bool,
    /// What it waits for until then, as a sentence, where it says.
    pub waiting_for: Option<String>,
    /// No gateway carries it, or one cannot reach its back ends: why, after the object's name. A raise would carry
    /// nothing; a lowering is never kept from it.
    pub refusal: Option<String>,
    /// What is not well with its gateways, whether or not it stands in the way; after the object's name.
    pub remark: Option<String>,
    /// Who wrote it last besides us, as far as it tells.
    pub manager: Option<String>,
    /// Who wrote the weight last, us included, as far as it tells.
    pub writer: Option<String>,
    /// Annotations by which requests choose the canary by themselves, in words. No write of ours has any.
    pub choosers: Option<String>,
    /// What it carries for the canary beside the weight; `None` where it can carry no such thing.
    pub aside: Option<Aside>,
    /// It is not there, so it carries nothing and no write that was computed before can land on it.
    pub absent: bool,
    /// It has yet to be brought to the component's weight: until then what it says is no drift.
    pub joins: bool,
    /// It is there, and we made it. A lowering to 0 is done when it is gone.
    pub made: bool,
}

/// What a routed object carries for the canary beside the weight, for comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aside {
    /// What the spec asks of it.
    pub spec: Preview,
    /// The mark of what we wrote last; `None`: there is nothing of ours.
    pub written: Option<String>,
    /// The user's route, which ours is a copy of, changed since.
    pub stale: bool,
    /// What of it somebody else changed or took away, as a sentence.
    pub missing: Option<String>,
    /// A route of the user's that keeps sessions on one arm, as a sentence.
    pub sticky: Option<String>,
}

/// The mark that each of our writes leaves on the routed object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The id of the raise or lowering.
    pub id: String,
    /// The weight that was written.
    pub weight: Weight,
    /// Why; `None` when a newer daemon wrote a reason that this one does not know.
    pub reason: Option<Reason>,
}

/// What happens next.
#[derive(Clone, Debug, Default)]
pub struct Decision {
    /// Where it stands now. Persisted after lowers and before raises.
    pub next: GradualRolloutStatus,
    /// Whether something changed that is worth a write of its own; otherwise once a minute is enough.
    pub changed: bool,
    /// Whether something of that must be persisted at once: what is asked, done, answered or told. What is only seen
    /// otherwise (a reason, a verdict, a condition) can wait for what else is seen in the same moment.
    pub at_once: bool,
    /// Weights to raise: the same until they are read back or no longer wanted.
    pub raises: Vec<Raise>,
    /// Weights to lower: the same until they are read back.
    pub lowers: Vec<Lower>,
    /// What is to be written beside the weights: the same until it is read back.
    pub previews: Vec<PreviewOrder>,
    /// Components to let go of.
    pub detached: Vec<String>,
    /// Those of them whose originals are to be put back.
    pub restored: Vec<String>,
    /// Components whose metrics are to be read every interval.
    pub watched: Vec<String>,
    /// Gates whose addresses are to be asked, again and again while they stand here.
    pub questions: Vec<Question>,
    /// It would begin, had it a turn.
    pub wants_turn: bool,
    /// When to decide again although nothing happens; `None`: only when something does.
    pub wake_at: Option<Timestamp>,
    /// What happened, for events and messages.
    pub notes: Vec<Note>,
    /// Who did what, to be told once `next` is persisted.
    pub audits: Vec<Audit>,
    /// Command annotations that are dealt with: remove them once `next` is persisted.
    pub done: Vec<String>,
}

/// A weight to be raised: declared, fenced, written, read back.
#[derive(Clone, Debug, PartialEq)]
pub struct Raise {
    /// The component.
    pub component: String,
    /// Its id.
    pub id: String,
    /// The weight.
    pub weight: Weight,
    /// Why.
    pub reason: Reason,
}

/// A weight to be lowered, at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Lower {
    /// The component.
    pub component: String,
    /// Its id.
    pub id: String,
    /// The weight.
    pub weight: Weight,
    /// Why.
    pub reason: Reason,
    /// Whether controllers are told that it is an emergency.
    pub emergency: bool,
}

/// Routes for testers and a mirror, to be written or taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviewOrder {
    /// The component.
    pub component: String,
    /// What.
    pub wanted: Wanted,
    /// The newest write of ours that was read back: where an object carries a newer one, nothing is written.
    pub mark: Option<String>,
}

/// What is wanted beside the weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing.
    Nothing,
    /// What the spec says of each router.
    AsSpecified,
    /// What a command says, for every router.
    Told {
        /// What.
        preview: Preview,
        /// The command's id.
        command: String,
    },
}

impl Wanted {
    /// What it comes to where the spec says `spec`, and the mark that it is recognised by; empty for nothing.
    pub fn of(&self, spec: &Preview) -> (Preview, String) {
        let (preview, mark) = match self {
            Self::Nothing => (Preview::default(), String::new()),
            Self::AsSpecified => (spec.clone(), spec.to_string()),
            Self::Told { preview, command } => (preview.clone(), format!("{preview} ({command})")),
        };
        let mark = if preview.is_empty() { String::new() } else { mark };
        (preview, mark)
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// The component; `None` for the whole rollout.
    pub component: Option<String>,
    /// A code.
    pub reason: Reason,
    /// A sentence.
    pub message: String,
    /// Whether somebody should look.
    pub warning: bool,
}
