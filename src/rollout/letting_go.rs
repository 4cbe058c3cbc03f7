//! What is still to be done for a component that a person let go.

use super::bounded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Our marks are still on its routed objects; tried until they are off.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LettingGo {
    /// What stood there before the first write comes back, too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub restore: bool,
    /// On which objects they are, and why; absent until that was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    #[serde(serialize_with = "bounded::maybe::<512, _>")]
    pub message: Option<String>,
}
