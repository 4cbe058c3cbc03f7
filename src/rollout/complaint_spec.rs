//! The part of the resource that says what people's complaints do.

use super::duration::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What people's complaints about a component do (`gradual-rollout complaint`, `POST /hooks/complaint`). They are
/// recorded in its status, and never raise anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Complaints {
    /// So many within the time are too many, 1 to 10. Default 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10))]
    pub max: Option<i32>,
    /// How long a complaint counts, 1m to 7d. Default 1h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
    /// What happens at too many. Default hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<ComplaintAction>,
}

/// What too many complaints do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ComplaintAction {
    /// Nothing rises until they are old, or until `resume`.
    #[default]
    Hold,
    /// The traffic goes back, until `retry`.
    Rollback,
    /// They are recorded, and that is all. (A plain `off` is a truth value to kubectl.)
    #[serde(rename = "none")]
    Off,
}
