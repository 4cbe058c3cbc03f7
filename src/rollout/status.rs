//! Where it stands: what is persisted.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
/// tmp
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GradualRolloutStatus {}
