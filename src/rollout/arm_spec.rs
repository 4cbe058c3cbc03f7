//! The part of the resource that says where a component's samples come from.

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;

/// Where the samples of both arms come from: one vantage point, or relative limits are refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Arms {
    /// The new path.
    pub canary: ArmSource,
    /// The old path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<ArmSource>,
}

/// Which series belong to an arm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(transform = named_with_gatewayapi_alone)]
pub struct ArmSource {
    /// Whose metrics these are: names, units and what an error is.
    pub preset: Preset,
    /// Label matchers. A plain value must be equal; `~RE` must match, `!value` must differ, `!~RE` must not match.
    /// Regular expressions are anchored, as in PromQL.
    #[schemars(extend("maxProperties" = 16, "additionalProperties" = {"type": "string", "maxLength": 256}))]
    pub labels: BTreeMap<String, String>,
    /// More matchers, of the same form, for the durations alone. What lasts as long as people like, such as a gRPC
    /// stream, stays out of latency by them and is counted as a request all the same: `request_protocol: "!grpc"`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16, "additionalProperties" = {"type": "string", "maxLength": 256}))]
    pub latency_labels: BTreeMap<String, String>,
    /// What the exporter calls things: for preset gatewayapi, and for no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<ArmMetrics>,
}

impl ArmSource {
    /// Where this arm is looked at from: arms seen from different points cannot be compared.
    pub(super) fn vantage(&self) -> (Preset, Option<&str>) {
        let named = self.metrics.as_ref().map(|named| named.requests.as_str());
        match self.preset {
            Preset::Istio | Preset::IstioGateway => (Preset::Istio, None),
            Preset::Envoy | Preset::EnvoyGateway => (Preset::Envoy, None),
            Preset::GatewayApi => (Preset::GatewayApi, named),
            other @ (Preset::IngressNginx | Preset::Linkerd | Preset::Traefik) => (other, None),
        }
    }
}

/// Exporters whose series are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// Istio's standard metrics as the destination's sidecar reports them.
    Istio,
    /// Istio's standard metrics as a gateway reports them (`reporter="source"`): for meshes without sidecars.
    IstioGateway,
    /// ingress-nginx, whose `canary` label tells the arms apart.
    IngressNginx,
    /// Envoy's statistics of its upstream clusters: one cluster per arm.
    Envoy,
    /// Envoy Gateway's proxies: Envoy's statistics, with clusters named after routes.
    EnvoyGateway,
    /// Linkerd's proxies, as the destination's reports (`direction="inbound"`).
    Linkerd,
    /// Traefik's statistics of its services: one service per arm.
    Traefik,
    /// Any other gateway: `metrics` says what its exporter calls things.
    #[serde(rename = "gatewayapi")]
    GatewayApi,
}

/// What an exporter calls things that has no preset of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(transform = unit_with_buckets)]
pub struct ArmMetrics {
    /// The counter of requests.
    #[schemars(length(min = 1, max = 200), regex(pattern = "^[a-zA-Z_:][a-zA-Z0-9_:]*$"))]
    pub requests: String,
    /// The label of the response code, or of its class like `5xx`.
    #[schemars(length(min = 1, max = 100), regex(pattern = "^[a-zA-Z_][a-zA-Z0-9_]*$"))]
    pub code: String,
    /// The histogram of durations: a classic one by its `…_bucket`, a native one by its own name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200), regex(pattern = "^[a-zA-Z_:][a-zA-Z0-9_:]*$"))]
    pub buckets: Option<String>,
    /// The unit of the durations. Needed with buckets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// The label of the gRPC status as a number, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100), regex(pattern = "^[a-zA-Z_][a-zA-Z0-9_]*$"))]
    pub grpc_status: Option<String>,
    /// The label of Envoy's response flags, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100), regex(pattern = "^[a-zA-Z_][a-zA-Z0-9_]*$"))]
    pub flags: Option<String>,
}

/// A unit of time in which an exporter says durations. Never guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Unit {
    /// `ms`
    #[serde(rename = "ms")]
    Milliseconds,
    /// `s`
    #[serde(rename = "s")]
    Seconds,
}

fn named_with_gatewayapi_alone(schema: &mut Schema) {
    schema.insert(
        "x-kubernetes-validations".into(),
        json!([{
            "rule": "(self.preset == 'gatewayapi') == has(self.metrics)",
            "message": "metrics goes with preset gatewayapi, and with no other: it names what that exporter calls things",
        }]),
    );
}

fn unit_with_buckets(schema: &mut Schema) {
    schema.insert(
        "x-kubernetes-validations".into(),
        json!([{
            "rule": "has(self.buckets) == has(self.unit)",
            "message": "buckets and unit go together: durations without a unit mean nothing",
        }]),
    );
}
