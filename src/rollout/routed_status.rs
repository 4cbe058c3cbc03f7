//! What a status says of a component's routed objects.

use super::bounded;
use super::status::without_defaults;
use super::weight::Weight;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One router of a component, as its objects say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = without_defaults)]
pub struct RouterStatus {
    /// Its kind, as the spec calls it.
    #[schemars(length(max = 32))]
    #[serde(serialize_with = "bounded::text::<32, _>")]
    pub router: String,
    /// The weight that is wanted of it.
    pub asked: Weight,
    /// The weight of our last write; absent before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written: Option<Weight>,
    /// What its objects say; absent while one cannot be read or they disagree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed: Option<Weight>,
    /// Whether what is written is in force.
    pub settled: bool,
    /// What it waits for, as a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 96))]
    #[serde(serialize_with = "bounded::maybe::<96, _>")]
    pub waiting_for: Option<String>,
    /// Who besides us wrote one of its objects last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 48))]
    #[serde(serialize_with = "bounded::maybe::<48, _>")]
    pub manager: Option<String>,
}

/// Requests that reach the canary by routes that a lowering does not write.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = without_defaults)]
pub struct LeftOver {
    /// By which, how much, and what to do, as a sentence.
    #[schemars(length(max = 512))]
    #[serde(serialize_with = "bounded::text::<512, _>")]
    pub message: String,
    /// All requests of one of the component's routes: then nothing is back, whatever its weight says.
    pub all: bool,
}
