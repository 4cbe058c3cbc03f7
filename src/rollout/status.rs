//! Where it stands: what is persisted. Read by people, by the command line and by the next daemon.
//!
//! Unknown fields are ignored on reading: an older daemon must be able to read what a newer one wrote.

pub use super::approved::Approved;
use super::arrival::Measured;
use super::bounded;
use super::complaint::Complaint;
pub use super::condition::Condition;
use super::duration::Span;
use super::judge::Beside;
use super::ledger::{Baseline, Ledger};
pub use super::letting_go::LettingGo;
pub use super::outcome::{
    ALERTS_HEARD, COMMANDS_AT_ONCE, COMMANDS_KEPT, CommandOutcome, CommandResult, heard_as,
};
use super::preview::Preview;
use super::reason::{Reason, State, Verdict};
pub use super::recall::Recall;
pub use super::routed_status::{LeftOver, RouterStatus};
use super::spec::{Action, Component, Severity, timestamp_option_schema, timestamp_schema};
use super::weight::Weight;
use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Entries of a component's history that are kept.
pub const HISTORY_KEPT: usize = 12;

/// Where a rollout stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct GradualRolloutStatus {
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The phase the rollout is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    #[serde(serialize_with = "bounded::maybe::<63, _>")]
    pub phase: Option<String>,
    /// How far it is, for people: `2/5 at 100%`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[serde(serialize_with = "bounded::maybe::<64, _>")]
    pub progress: Option<String>,
    /// kstatus conditions: Ready, Reconciling, Stalled, and Completed, RolledBack, Paused for `kubectl wait`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Each component, in the order of the spec; orphans last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub components: Vec<ComponentStatus>,
    /// What components of one pool come to together, at each weight that two or more of them have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub pools: Vec<PoolStatus>,
    /// Gates that a person opened.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub approvals: Vec<Approved>,
    /// Why nothing rises anywhere, by the operator's settings or the cluster's switch.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    #[serde(serialize_with = "bounded::maybe::<512, _>")]
    pub frozen: Option<String>,
    /// Since when it waits for its turn among the rollouts that may run at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "timestamp_option_schema")]
    pub waits_for_turn_since: Option<Timestamp>,
    /// The outcomes of the last commands, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 250))]
    pub commands: Vec<CommandOutcome>,
    /// Alerts' rollbacks that were answered before those commands, by digests of their ids, oldest first: an alert that is
    /// repeated is not obeyed again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000), inner(length(max = 16)))]
    #[serde(serialize_with = "bounded::list::<1000, 16, _>")]
    pub heard: Vec<String>,
}

impl GradualRolloutStatus {
    /// The status of a component.
    pub fn component(&self, name: &str) -> Option<&ComponentStatus> {
        self.components.iter().find(|c| c.name == name)
    }

    /// The status of a component, to change it.
    pub fn component_mut(&mut self, name: &str) -> Option<&mut ComponentStatus> {
        self.components.iter_mut().find(|c| c.name == name)
    }

    /// Why the daemon works nothing of it: an older rollout routes one of its objects, or its spec could never be used.
    /// One that was used before goes on by what it said then.
    pub fn refused(&self) -> Option<&Condition> {
        let stalled = self.condition("Stalled").filter(|c| c.status == "True");
        stalled
            .filter(|c| ["Claimed", "InvalidSpec"].contains(&c.reason.as_str()) && self.components.is_empty())
    }

    /// The condition of a type.
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions.iter().find(|c| c.kind == kind)
    }
}

/// Beginning again by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = without_defaults)]
pub struct Retried {
    /// How often it has begun again by itself since a person, or another plan, last began it.
    pub tried: i32,
    /// When it begins again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "timestamp_option_schema")]
    pub due: Option<Timestamp>,
    /// When it last did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "timestamp_option_schema")]
    pub begun: Option<Timestamp>,
}

/// What components of one pool come to together at one weight.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["name"]), transform = without_defaults)]
pub struct PoolStatus {
    /// The pool.
    #[schemars(length(max = 63))]
    #[serde(serialize_with = "bounded::text::<63, _>")]
    pub name: String,
    /// The weight whose samples are summed.
    pub weight: Weight,
    /// Whose samples are summed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 63)))]
    #[serde(serialize_with = "bounded::list::<64, 63, _>")]
    pub members: Vec<String>,
    /// How often the pool's evidence began anew at this weight, because a member was put back.
    #[serde(skip_serializing_if = "is_zero")]
    pub again: i32,
    /// Each check's verdict on the sum.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub checks: Vec<CheckStatus>,
    /// Evidence on the sum; the daemon's own. The counts themselves stand with the members.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "opaque")]
    pub evidence: Option<Ledger>,
}

/// Where a component stands.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a field of the resource's status, on its own and usually absent"
)]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
// The API server takes no definition whose list key may be absent.
#[schemars(extend("required" = ["name"]), transform = without_defaults)]
pub struct ComponentStatus {
    /// Its name.
    #[schemars(length(max = 63))]
    #[serde(serialize_with = "bounded::text::<63, _>")]
    pub name: String,
    /// The kind of place it is in. `RolledBack` from the decision on: while `lowering` stands, the traffic is not back.
    pub state: State,
    /// A code that says why it is where it is.
    pub reason: Reason,
    /// A sentence that says the same to people, with what to do where something is to be done.
    #[schemars(length(max = 1024))]
    #[serde(serialize_with = "bounded::text::<1024, _>")]
    pub message: String,
    /// The phase it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    #[serde(serialize_with = "bounded::maybe::<63, _>")]
    pub phase: Option<String>,
    /// The step of the phase, from 1; 0 before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<i32>,
    /// Its weights.
    pub weight: Weights,
    /// What part of the requests arrives at the canary, where that can be measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
    /// What the gateways that carry its routes find fault with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    #[serde(serialize_with = "bounded::maybe::<512, _>")]
    pub gateways: Option<String>,
    /// What reaches the canary although the weight was lowered, until it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<LeftOver>,
    /// A person asked to put it back while its routes were another's: to where, once they are its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owed: Option<Weight>,
    /// A program asked to put it back while its control could not take the traffic: it goes back as soon as that can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recall: Option<Recall>,
    /// Since when the written weight stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "timestamp_option_schema")]
    pub since: Option<Timestamp>,
    /// How much of the step's hold is done, in time judged on fresh data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<Span>,
    /// When it is looked at next.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "timestamp_option_schema")]
    pub next_check_at: Option<Timestamp>,
    /// A raise that was declared and not yet read back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intent: Option<Intent>,
    /// The id of the newest write of ours that was read back: an older mark on an object is somebody's copy.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    #[serde(serialize_with = "bounded::maybe::<63, _>")]
    pub mark: Option<String>,
    /// A lowering that is not read back yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lowering: Option<Lowering>,
    /// Until when a person's raise is still wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "timestamp_option_schema")]
    pub raise_by: Option<Timestamp>,
    /// A person said stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[serde(serialize_with = "bounded::maybe::<256, _>")]
    pub paused_by: Option<String>,
    /// A person let it go: neither judged nor written until somebody takes it up again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub detached: bool,
    /// Our marks are still on what was let go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub letting_go: Option<LettingGo>,
    /// A person ended this step's hold.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hold_ended: bool,
    /// Its pool allowed the next step, and goes there: it follows although the others' samples are gone from here.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub released: bool,
    /// Walks its phases alone after a retry, until it has caught up.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub alone: bool,
    /// The alarm that nothing is seen was raised, and nothing was seen since.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub blind_told: bool,
    /// Which attempt this is; a retry begins the next.
    #[serde(skip_serializing_if = "is_zero")]
    pub attempt: i32,
    /// From when approvals are for this attempt: since the one before it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "timestamp_option_schema")]
    pub approved_from: Option<Timestamp>,
    /// Beginning again by itself, where the resource asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retried>,
    /// Whose rollback it is to follow as soon as its control can take the traffic.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    #[serde(serialize_with = "bounded::maybe::<63, _>")]
    pub follows: Option<String>,
    /// A person's raise is to be written although it is paused or everything is frozen.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub forced: bool,
    /// What its plan was when it reached a terminal state: only another plan, or `retry`, starts it again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[serde(serialize_with = "bounded::maybe::<32, _>")]
    pub fingerprint: Option<String>,
    /// Control's last 24 h before it fell below 10%.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "opaque")]
    pub baseline: Option<Baseline>,
    /// Control's last 24 h before this attempt, where a check is held to them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "opaque")]
    pub recorded: Option<Baseline>,
    /// The component as the spec defines it, while it has canary traffic: removed, it is still judged and put back.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "opaque")]
    pub definition: Option<Box<Component>>,
    /// By which routers it was brought to 0, as a digest: by others it has begun nowhere. `elsewhere` once there were others.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    #[serde(serialize_with = "bounded::maybe::<16, _>")]
    pub back: Option<String>,
    /// By which routers it is known, as a digest, where nothing else here says it and somebody's word stands: renamed, it
    /// stays what it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    #[serde(serialize_with = "bounded::maybe::<16, _>")]
    pub routed_by: Option<String>,
    /// What it was called before, the last name last: what stops it or puts it back may still be said by those.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4), inner(length(max = 63)))]
    #[serde(serialize_with = "bounded::list::<4, 63, _>")]
    pub formerly: Vec<String>,
    /// Each router, from the edge.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub routers: Vec<RouterStatus>,
    /// What reaches the canary beside its weight.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preview: Option<PreviewStatus>,
    /// Each check's verdict.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub checks: Vec<CheckStatus>,
    /// What was counted at this weight; the daemon's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "opaque")]
    pub evidence: Option<Ledger>,
    /// What was counted and measured for checks beside those on the arms; the daemon's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "opaque")]
    pub beside: Option<Beside>,
    /// Where the source was last read; the daemon's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "opaque")]
    pub cursor: Option<serde_json::Value>,
    /// Recent foreign changes of the weight, to tell a fight from an accident.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub drifts: Vec<Drift>,
    /// What the routed objects said when somebody's change was last yielded to, as a digest: one change is told once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    #[serde(serialize_with = "bounded::maybe::<16, _>")]
    pub yielded: Option<String>,
    /// What people complained of, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub complaints: Vec<Complaint>,
    /// What happened, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 12))]
    pub history: Vec<HistoryEntry>,
}

/// Takes the defaults of fields out of a schema: the API server would store them for ever.
pub(super) fn without_defaults(schema: &mut Schema) {
    let fields = schema
        .get_mut("properties")
        .and_then(serde_json::Value::as_object_mut);
    for field in fields.into_iter().flat_map(|f| f.values_mut()) {
        if let Some(field) = field.as_object_mut() {
            field.remove("default");
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(n: &i32) -> bool {
    *n == 0
}

fn opaque(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// A component's weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = without_defaults)]
pub struct Weights {
    /// What the daemon wants.
    pub asked: Weight,
    /// What it last wrote and read back.
    pub written: Weight,
    /// What the routed objects say; absent while they cannot be read or disagree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed: Option<Weight>,
}

/// What reaches the canary beside its weight: what a person asked for, and what the routed objects carry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = without_defaults)]
pub struct PreviewStatus {
    /// What was asked for by command, in place of what the spec says, until the plan begins again; absent: the spec
    /// counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "opaque")]
    pub asked: Option<Preview>,
    /// The command that asked for it last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    #[serde(serialize_with = "bounded::maybe::<63, _>")]
    pub command: Option<String>,
    /// What the routed objects carry, as they were read back; absent: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    #[serde(serialize_with = "bounded::maybe::<1024, _>")]
    pub written: Option<String>,
    /// What stands in its way, or what people should know about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    #[serde(serialize_with = "bounded::maybe::<1024, _>")]
    pub message: Option<String>,
}

/// A raise declared before it is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Intent {
    /// Its id, which the routed objects will carry.
    #[schemars(length(max = 63))]
    #[serde(serialize_with = "bounded::text::<63, _>")]
    pub id: String,
    /// The weight to be written.
    pub weight: Weight,
    /// Why.
    pub reason: Reason,
    /// When it was declared.
    #[schemars(schema_with = "timestamp_schema")]
    pub at: Timestamp,
    /// The routed objects as they were read before: each write carries its version.
    #[schemars(length(max = 64))]
    pub objects: Vec<Fence>,
}

/// A lowering that is not read back yet: repeated until every routed object carries its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = without_defaults)]
pub struct Lowering {
    /// Its id, which the routed objects will carry.
    #[schemars(length(max = 63))]
    #[serde(serialize_with = "bounded::text::<63, _>")]
    pub id: String,
    /// The weight to be written.
    pub weight: Weight,
    /// Why.
    pub reason: Reason,
    /// When it was decided.
    #[schemars(schema_with = "timestamp_schema")]
    pub at: Timestamp,
    /// Whether controllers are told that it is an emergency.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub emergency: bool,
}

/// The version of a routed object that a raise was decided on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Fence {
    /// Kind, namespace and name.
    #[schemars(length(max = 400))]
    #[serde(serialize_with = "bounded::text::<400, _>")]
    pub object: String,
    /// `metadata.uid`
    #[schemars(length(max = 64))]
    #[serde(serialize_with = "bounded::text::<64, _>")]
    pub uid: String,
    /// `metadata.resourceVersion`
    #[schemars(length(max = 64))]
    #[serde(serialize_with = "bounded::text::<64, _>")]
    pub resource_version: String,
}

/// A check's verdict, with what it rests on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = without_defaults)]
pub struct CheckStatus {
    /// The check.
    #[schemars(length(max = 63))]
    #[serde(serialize_with = "bounded::text::<63, _>")]
    pub name: String,
    /// The verdict.
    pub verdict: Verdict,
    /// The canary's value, for people, with its unit: `0.12%`, `184ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[serde(serialize_with = "bounded::maybe::<32, _>")]
    pub value: Option<String>,
    /// Control's value at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[serde(serialize_with = "bounded::maybe::<32, _>")]
    pub control: Option<String>,
    /// Within which it goes on, as people read it: `≤ 0.1%`, `none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 96))]
    #[serde(serialize_with = "bounded::maybe::<96, _>")]
    pub promote: Option<String>,
    /// Beyond which it goes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 96))]
    #[serde(serialize_with = "bounded::maybe::<96, _>")]
    pub rollback: Option<String>,
    /// Canary requests that the verdict rests on.
    #[serde(default)]
    pub samples: i64,
    /// How strong the evidence against the canary is, as a share of what a rollback needs: 1 is enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<f64>,
    /// What it means, and which limit it was held to; where nothing can be said, what was asked for and what to mend.
    #[schemars(length(max = 512))]
    #[serde(serialize_with = "bounded::text::<512, _>")]
    pub message: String,
    /// What a breach does; absent: it puts the traffic back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// Judged and shown, and moves nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// How loudly it is told; absent: critical.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
}

/// A foreign change of a weight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Drift {
    /// When it was seen.
    #[schemars(schema_with = "timestamp_schema")]
    pub at: Timestamp,
    /// The field manager, as far as the object tells.
    #[schemars(length(max = 128))]
    #[serde(serialize_with = "bounded::text::<128, _>")]
    pub manager: String,
    /// The weight found.
    pub found: Weight,
    /// The weight that should have been there.
    pub expected: Weight,
}

/// Something that happened to a component.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// When.
    #[schemars(schema_with = "timestamp_schema")]
    pub at: Timestamp,
    /// The weight before.
    pub from: Weight,
    /// The weight after.
    pub to: Weight,
    /// Why, as a code.
    pub reason: Reason,
    /// Why, as a sentence.
    #[schemars(length(max = 256))]
    #[serde(serialize_with = "bounded::text::<256, _>")]
    pub message: String,
    /// Who, where it was not the daemon by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[serde(serialize_with = "bounded::maybe::<64, _>")]
    pub who: Option<String>,
    /// The id of the command that asked for it, else of that write, where it was not the daemon by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    #[serde(serialize_with = "bounded::maybe::<63, _>")]
    pub id: Option<String>,
}
