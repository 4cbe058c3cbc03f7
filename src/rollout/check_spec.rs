//! A check as it is written. [`super::plan`] gives it defaults, reads its units and refuses what makes no sense.

use super::duration::Span;
use super::weight::Percent;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// One judged metric: a promote limit and a rollback limit, with a band of holding between them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Check {
    /// Its name; a phase overrides by it.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// What is measured. Needed unless an overridden check says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<MetricName>,
    /// The components it is for. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), inner(length(max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub components: Option<Vec<String>>,
    /// For latency: which quantile, above 0 and below 1. Default 0.95.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1))]
    pub quantile: Option<f64>,
    /// For errorRate and availability: what counts as an error. Default: what the documentation calls one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errors: Option<Errors>,
    /// For connectionSuccess, tlsHandshake, cpu, memory and certificateExpiry: which series are meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<Series>,
    /// For connectionSuccess and tlsHandshake: the counters' names. Default: Envoy's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counters: Option<Counters>,
    /// For query: the PromQL, with `{{namespace}}`, `{{rollout}}`, `{{component}}`, `{{weight}}` and `{{window}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<Query>,
    /// For readiness: the Deployment's name, which may hold `{{component}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub deployment: Option<String>,
    /// What `maxIncrease` is held against: `concurrent`, control's own value at the same time; `history`, control's
    /// value in the 24 h before the rollout; or a fixed value in the metric's unit. Default: the component's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Written>,
    /// What must hold for the weight to rise; `none` switches it off, absence means the default of the metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promote: Option<Limit>,
    /// What puts the traffic back when it is passed; `none` switches it off, absence means the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Limit>,
    /// For counted metrics how far the point estimate looks back; for measured ones how long the limit is passed
    /// without a gap. Default 5m.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub for_: Option<Span>,
    /// The last window that promotion also looks at. Default: as long as `for`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Span>,
    /// Fewer canary requests than this are too few to promote on. Default: what the error limits need.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub min_requests: Option<i64>,
    /// What a breach does. Default rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// Judged and shown, and moves nothing. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
    /// How loudly it is told. Default critical.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
}

/// What a component's checks are held against unless they say it themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum BaselineKind {
    /// Control at the same time.
    #[default]
    Concurrent,
    /// Control in the 24 h before the rollout: error rate and latency.
    History,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum MetricName {
    /// Errors ÷ requests over the window.
    ErrorRate,
    /// A quantile of the time to answer.
    Latency,
    /// 1 − errors ÷ requests over the whole step.
    Availability,
    /// The canary's requests ÷ what its weight promises it.
    Throughput,
    /// Connections that were established ÷ those that were tried.
    ConnectionSuccess,
    /// TLS handshakes that succeeded ÷ those that were tried.
    TlsHandshake,
    /// CPU of the busiest of the selected pods, in cores.
    Cpu,
    /// Working set of the largest of the selected pods, in bytes.
    Memory,
    /// Ready ÷ wanted replicas of a Deployment.
    Readiness,
    /// The daemon's own requests that succeeded ÷ those that it sent in the last minute, at least five.
    Probe,
    /// Time left until the first of the selected certificates expires.
    CertificateExpiry,
    /// The value of any PromQL expression.
    Query,
}

impl fmt::Display for MetricName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// What counts as an error. A list that is left out stays as it is by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Errors {
    /// HTTP codes and classes, like `5xx`, `50x` or `499`; `0` is no answer at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 32),
        inner(length(max = 3), regex(pattern = "^(0|[1-5]([0-9]{2}|[0-9]x|xx))$"))
    )]
    pub codes: Option<Vec<String>>,
    /// gRPC statuses, 0 to 16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 17), inner(range(min = 0, max = 16)))]
    pub grpc: Option<Vec<i64>>,
    /// Envoy's response flags, like `UH`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 32),
        inner(length(min = 1, max = 8), regex(pattern = "^[A-Za-z0-9]+$"))
    )]
    pub flags: Option<Vec<String>>,
}

/// Label matchers of both arms, written as under `arms`; their values may hold the variables of `query`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Series {
    /// What is judged.
    #[schemars(extend("maxProperties" = 16, "additionalProperties" = {"type": "string", "maxLength": 256}))]
    pub canary: BTreeMap<String, String>,
    /// What it is compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 16, "additionalProperties" = {"type": "string", "maxLength": 256}))]
    pub control: Option<BTreeMap<String, String>>,
}

/// A pair of counters: what failed, and either all or what succeeded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Counters {
    /// The counter of all attempts, failed ones included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub total: Option<String>,
    /// The counter of attempts that succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub succeeded: Option<String>,
    /// The counter of attempts that failed.
    #[schemars(length(min = 1, max = 256))]
    pub failed: String,
}

/// PromQL that gives one value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Query {
    /// What is judged.
    #[schemars(length(min = 1, max = 4096))]
    pub canary: String,
    /// What it is compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub control: Option<String>,
}

/// What a breach does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Puts the traffic back.
    #[default]
    Rollback,
    /// Keeps the weight from rising, and never lowers it.
    Hold,
    /// Tells, and moves nothing.
    Alert,
}

/// How loudly a check is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// Somebody has to look now.
    #[default]
    Critical,
    /// Somebody should look.
    Warning,
    /// For the record.
    Info,
}

/// A value with its unit, as written; a bare number is taken too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Written(pub String);

struct WrittenVisitor;

impl Visitor<'_> for WrittenVisitor {
    type Value = Written;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value with its unit, like \"0.1%\", \"150ms\", \"128Mi\" or 0.95")
    }

    fn visit_str<E: de::Error>(self, v: &str) -> Result<Written, E> {
        if v.len() > 32 {
            return Err(E::invalid_length(v.len(), &"at most 32 characters"));
        }
        Ok(Written(v.to_owned()))
    }

    fn visit_u64<E: de::Error>(self, v: u64) -> Result<Written, E> {
        Ok(Written(v.to_string()))
    }

    fn visit_i64<E: de::Error>(self, v: i64) -> Result<Written, E> {
        Ok(Written(v.to_string()))
    }

    fn visit_f64<E: de::Error>(self, v: f64) -> Result<Written, E> {
        Ok(Written(v.to_string()))
    }
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WrittenVisitor)
    }
}

impl JsonSchema for Written {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Written".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "maxLength": 32 })
    }
}

/// Limits of one kind (promote or rollback), as written. All that are given must hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WrittenLimits {
    /// Not above this, in the metric's unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Written>,
    /// Not below this, in the metric's unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Written>,
    /// Not this much above control's own value at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_increase: Option<Percent>,
}

/// Limits, or the word `none`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Limit {
    /// Switched off on purpose.
    Off(Off),
    /// These.
    At(WrittenLimits),
}

/// The word `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Off {
    /// `none`
    None,
}

impl JsonSchema for Limit {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Limit".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // "A word or an object" has no structural schema: the field is kept as it is written, and the plan refuses
        // what it does not know, with path and remedy.
        json_schema!({ "x-kubernetes-preserve-unknown-fields": true })
    }
}
