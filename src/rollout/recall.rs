//! A rollback that waits for somebody who can take the traffic.

use super::bounded;
use super::weight::Weight;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A rollback that a program asked for, kept until control has a ready endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Recall {
    /// The command's id, which the routed objects will carry.
    #[schemars(length(max = 63))]
    #[serde(serialize_with = "bounded::text::<63, _>")]
    pub id: String,
    /// The weight it goes back to.
    pub weight: Weight,
    /// Who asked for it, and why.
    #[schemars(length(max = 768))]
    #[serde(serialize_with = "bounded::text::<768, _>")]
    pub message: String,
}
