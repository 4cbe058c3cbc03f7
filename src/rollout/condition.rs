//! A condition of a status.

use super::bounded;
use super::spec::timestamp_schema;
use super::status::GradualRolloutStatus;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A condition, as all of Kubernetes writes them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Its type.
    #[serde(rename = "type")]
    #[schemars(length(max = 63))]
    #[serde(serialize_with = "bounded::text::<63, _>")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    #[schemars(length(max = 8))]
    #[serde(serialize_with = "bounded::text::<8, _>")]
    pub status: String,
    /// A code.
    #[schemars(length(max = 63))]
    #[serde(serialize_with = "bounded::text::<63, _>")]
    pub reason: String,
    /// A sentence.
    #[schemars(length(max = 1024))]
    #[serde(serialize_with = "bounded::text::<1024, _>")]
    pub message: String,
    /// When `status` last changed.
    #[schemars(schema_with = "timestamp_schema")]
    pub last_transition_time: Timestamp,
    /// The generation it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

impl Condition {
    /// For people.
    pub fn sentence(&self) -> String {
        format!(
            "the daemon works nothing of this rollout, {}: {}",
            self.reason, self.message
        )
    }
}

impl GradualRolloutStatus {
    /// Why the spec of this generation cannot be used, where the daemon says so.
    pub fn unusable(&self, generation: Option<i64>) -> Option<&Condition> {
        let now = |c: &&Condition| generation.is_none() || c.observed_generation == generation;
        let ready = self.condition("Ready").filter(now)?;
        (ready.status == "False" && ready.reason == "InvalidSpec").then_some(ready)
    }
}
