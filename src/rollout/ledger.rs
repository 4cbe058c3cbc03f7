//! What was counted at a weight: the judge's memory.

use super::duration::Span;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Everything that was counted since a weight was written. Serialises compactly: it is persisted in the status.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Ledger {
    /// Time judged on fresh data since settle.
    pub judged: Span,
}

/// Control's behaviour, frozen before it falls below 10%.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Baseline {
    /// When it was frozen.
    pub at: Timestamp,
}
