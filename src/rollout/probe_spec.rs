//! The part of the resource that says how a component is tried out over HTTP by the daemon itself.

use super::duration::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A request that the daemon sends by itself, over a new connection each time. It needs the operator's leave
/// (`probes.allow` in the daemon's settings); without it the check `probe` is skipped, and says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Probe {
    /// What is asked for on the canary's path, like `http://shop-v2.apps.svc/healthz`.
    #[schemars(length(min = 1, max = 1024))]
    pub url: String,
    /// The same on control's path: where both fail, nobody is rolled back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub control: Option<String>,
    /// Time between two. Default 10s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Span>,
    /// How long an answer may take. Default 3s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// The statuses that are a success. Default: 101 and 200 to 299.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), inner(range(min = 100, max = 599)))]
    pub expect: Option<Vec<i64>>,
    /// Headers to send, such as those of a WebSocket's handshake. No secrets: everybody who may read the resource
    /// reads them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 16, "additionalProperties" = {"type": "string", "maxLength": 256}))]
    pub headers: Option<BTreeMap<String, String>>,
}
