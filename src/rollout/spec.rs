//! The custom resource: what is asked. As written; [`super::plan`] gives it defaults and checks it.
//!
//! No field has a schema default: the API server would store it for ever. Every list, string and map is bounded,
//! or the API server refuses the rules for their cost.

#![expect(
    unreachable_pub,
    reason = "the schema derive repeats the struct inside a function"
)]
#![expect(
    clippy::duplicated_attributes,
    reason = "each printer column has a type of its own"
)]

pub use super::arm_spec::{ArmMetrics, ArmSource, Arms, Preset, Unit};
pub use super::check_spec::{
    Action, BaselineKind, Check, Counters, Errors, Limit, MetricName, Off, Query, Series, Severity, Written,
    WrittenLimits,
};
pub use super::complaint_spec::{ComplaintAction, Complaints};
use super::duration::Span;
pub use super::gate_spec::{Approval, Checklist, Gate, HttpGate, RolloutGate, RolloutIs};
pub use super::preview::{Cookie, Testers};
pub use super::probe_spec::Probe;
pub use super::router_spec::{
    AtFull, Backend, ControllerSwitch, DeploymentFlags, Destination, GatewayApi, HttpKind, Istio, RouteKind,
    Router, VirtualServiceRoutes,
};
use super::weight::{Percent, Weight};
use jiff::Timestamp;
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Moves the traffic of named components from a control path to a canary path, by plan, judged by metrics.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "rollout.sealos.io",
    version = "v1alpha1",
    kind = "GradualRollout",
    namespaced,
    shortname = "gr",
    category = "all",
    status = "super::status::GradualRolloutStatus",
    derive = "PartialEq",
    doc = "Moves the traffic of named components from a control path to a canary path, by plan, judged by metrics.",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Progress", type_ = "string", json_path = ".status.progress"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        priority = 1,
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("has(self.steps) != has(self.phases)").message("give either steps or phases"),
    validation = Rule::new(
        "!has(self.phases) || [self.components.map(k, k.name)].all(names, self.phases.all(p, !has(p.components) || p.components.all(c, c in names)))"
    ).message("a phase names a component that is not in components"),
)]
pub struct GradualRolloutSpec {
    /// The units whose traffic moves on its own.
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub components: Vec<Component>,

    /// Named groups of steps, run in order. Give either phases or steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub phases: Option<Vec<Phase>>,

    /// One group of steps for all components.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "steps_schema")]
    pub steps: Option<Vec<Step>>,

    /// What is judged, by name. The four default checks (errors, p95, available, throughput) stay unless an entry
    /// of their name overrides them; other names are added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub checks: Option<Vec<Check>>,

    /// How judging works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<Judge>,

    /// When weights may rise. Falling is always allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,

    /// Where a rollback goes, and what it means for the other components.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Rollback>,

    /// What people's complaints do. Default: three within an hour hold the component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complaints: Option<Complaints>,

    /// What happens to the traffic when this resource is deleted. Default: keep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_delete: Option<OnDelete>,

    /// A person said stop: no weight rises, clocks stop, every lowering still happens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,

    /// Of rollouts with one group here so many run at once as the operator's settings say (`limits.groups`). Default:
    /// none; the limit of the whole cluster holds for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub group: Option<String>,

    /// Allows a first weight above 10% and jumps of more than 30 points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_jump: Option<bool>,
}

/// A named unit whose traffic moves on its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Component {
    /// Its name, unique in the resource.
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub name: String,
    /// What kind of traffic it has. Default: requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Traffic>,
    /// Quiet components of one name here share their samples for promotion, and step together. Each is still put back
    /// by its own evidence; the pool's puts all of them back. Default: it is judged alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub pool: Option<String>,
    /// What sets its weights, edge first.
    #[schemars(length(min = 1, max = 4))]
    pub routers: Vec<Router>,
    /// Where its samples come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arms: Option<Arms>,
    /// A request that the daemon sends to see whether it answers: for the check `probe`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<Probe>,
    /// What the relative limits of its checks are held against, where a check does not say it. Default concurrent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<BaselineKind>,
    /// Components that it goes after: it rises to a weight only when each of them has that weight or has finished its
    /// plan, and not at all while one of them is put back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), inner(length(max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub depends_on: Option<Vec<String>>,
}

/// The kind of traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Traffic {
    /// Requests that end within seconds.
    #[default]
    Requests,
    /// WebSockets and other long connections: proxies count them only when they end, so their duration is not
    /// judged, and few of them in a while means nothing.
    LongLived,
}

/// A named group of steps for some components.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Phase {
    /// Its name, unique in the resource.
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub name: String,
    /// The components that walk it. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), inner(length(max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub components: Option<Vec<String>>,
    /// What must be given before the first weight of this phase is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4))]
    pub requires: Option<Vec<Gate>>,
    /// Its weights, ascending.
    #[schemars(schema_with = "steps_schema")]
    pub steps: Vec<Step>,
    /// Checks that differ here, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub checks: Option<Vec<Check>>,
}

/// A weight with a hold time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Step {
    /// The canary's share.
    pub weight: Weight,
    /// How long it is held, counted in time that was judged on fresh data.
    pub hold: Span,
    /// What must be given before this weight is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4))]
    pub requires: Option<Vec<Gate>>,
}

fn steps_schema(generator: &mut SchemaGenerator) -> Schema {
    let items = generator.subschema_for::<Step>();
    let percent = |v: &str| format!("double(string({v}.weight).replace('%', ''))");
    json_schema!({
        "type": "array", "minItems": 1, "maxItems": 32, "items": items,
        "x-kubernetes-validations": [
            { "rule": format!("self.map(s, {}).isSorted()", percent("s")), "message": "weights must ascend" },
            { "rule": format!("self.all(s, self.exists_one(t, {} == {}))", percent("s"), percent("t")),
              "message": "no weight may appear twice" }
        ]
    })
}

/// How judging works.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Judge {
    /// Time between two looks. Default 10s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Span>,
    /// Time after a change whose data is not judged; two scrapes are added. Default 60s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settle: Option<Span>,
    /// The chance, per component and attempt, that a healthy canary is rolled back by all checks together.
    /// Default 1%.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub false_rollback: Option<Percent>,
    /// What to do when nothing can be seen. Default hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_blind: Option<OnBlind>,
    /// How long nothing is seen before that is an alarm, and before `onBlind` acts. Default 10m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blind_after: Option<Span>,
    /// What to do when there are too few requests to tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insufficient: Option<Insufficient>,
}

/// What to do when nothing can be seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OnBlind {
    /// Stay, and raise the alarm.
    #[default]
    Hold,
    /// Roll back when the source answers and the canary's series vanished; never because the source is down.
    Rollback,
    /// Roll back whatever the reason of the darkness.
    RollbackAlways,
}

/// What to do when there are too few requests to tell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Insufficient {
    /// How long to wait for more. Default 3d.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Span>,
    /// And then. Default hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then: Option<InsufficientThen>,
}

/// What follows when there were too few requests for too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum InsufficientThen {
    /// Stay until there are enough, or a person decides.
    #[default]
    Hold,
    /// Go on, with that verdict on record.
    Promote,
}

/// When weights may rise.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Schedule {
    /// Weights rise only inside one of these. None given: always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub windows: Option<Vec<Window>>,
    /// Weights do not rise in these, and hold clocks stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub freezes: Option<Vec<Freeze>>,
}

/// A weekly window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Window {
    /// Days of the week, like `Mon-Fri` or `Tue,Thu`. Default: every day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub days: Option<String>,
    /// When it opens, `HH:MM`. The days are those on which it opens.
    #[schemars(length(max = 5), regex(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    pub from: String,
    /// When it closes, `HH:MM`; before `from`, it closes on the next day; `24:00` is the end of the day.
    #[schemars(length(max = 5), regex(pattern = "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"))]
    pub to: String,
    /// The IANA time zone these times are in. Default UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub timezone: Option<String>,
}

/// A stretch of time in which nothing is raised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Freeze {
    /// When it begins (RFC 3339).
    #[schemars(schema_with = "timestamp_schema")]
    pub from: Timestamp,
    /// When it ends.
    #[schemars(schema_with = "timestamp_schema")]
    pub to: Timestamp,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub reason: Option<String>,
}

/// A time as RFC 3339 text.
pub(super) fn timestamp_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time", "maxLength": 40 })
}

/// A time that may be absent.
pub(super) fn timestamp_option_schema(generator: &mut SchemaGenerator) -> Schema {
    timestamp_schema(generator)
}

/// Where a rollback goes, and what it means for the others.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rollback {
    /// The weight a rollback goes to; it never raises. Default 0%.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Weight>,
    /// Who goes back. Default component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// What the other components do. Default continue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
    /// Begin again by itself after a rollback that no person asked for. Default: a person's `retry` begins again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
}

/// Beginning again after a rollback that no person asked for: at the first step, with fresh evidence and under every
/// check, gate, window and freeze.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Retry {
    /// How long after the rollback.
    pub after: Span,
    /// How often at most, in a row. Default 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10))]
    pub times: Option<i32>,
    /// How many times longer each further wait is. Default 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10))]
    pub factor: Option<i32>,
}

/// Who goes back when one component fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Scope {
    /// The one that failed.
    #[default]
    Component,
    /// Every component of the resource.
    Rollout,
}

/// What the other components do when one was rolled back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OnFailure {
    /// Go on with their plan.
    #[default]
    Continue,
    /// Stay where they are.
    Stop,
}

/// What happens to the traffic when the resource is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OnDelete {
    /// Weights stay as they are.
    #[default]
    Keep,
    /// Everything goes back to control first.
    Restore,
}
