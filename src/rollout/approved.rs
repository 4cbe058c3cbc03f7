//! A person's word that is kept: a gate that was opened, an item that was ticked.

use super::bounded;
use super::spec::{timestamp_option_schema, timestamp_schema};
use super::weight::Weight;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A gate that a person opened, or an item of a checklist that a person ticked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Approved {
    /// The phase behind it.
    #[schemars(length(max = 63))]
    #[serde(serialize_with = "bounded::text::<63, _>")]
    pub phase: String,
    /// The weight of the step behind it; absent: the phase as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Weight>,
    /// The item of a checklist that was ticked; absent: it is an approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    #[serde(serialize_with = "bounded::maybe::<63, _>")]
    pub item: Option<String>,
    /// Who opened it.
    #[schemars(length(max = 256))]
    #[serde(serialize_with = "bounded::text::<256, _>")]
    pub by: String,
    /// When.
    #[schemars(schema_with = "timestamp_schema")]
    pub at: Timestamp,
    /// What was said with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[serde(serialize_with = "bounded::maybe::<256, _>")]
    pub comment: Option<String>,
    /// From then on it is void, unless it was made use of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "timestamp_option_schema")]
    pub expires_at: Option<Timestamp>,
    /// When the first weight was asked for that it allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "timestamp_option_schema")]
    pub used_at: Option<Timestamp>,
}

impl Approved {
    /// Whether it was left lying until it is good for nothing.
    pub fn is_void(&self, now: Timestamp) -> bool {
        self.used_at.is_none() && self.expires_at.is_some_and(|end| now >= end)
    }
}
