//! What was counted at a weight: the judge's memory.

use super::duration::Span;
use super::judge::Context;
use super::sample::Reading;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Everything that was counted since a weight was written. Serialises compactly: it is persisted in the status.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Ledger {
    /// Time judged on fresh data since settle.
    pub judged: Span,
}

impl Ledger {
    /// A weight was written at `since`; data before `settled_at` is not judged.
    pub fn begin(_since: Timestamp, _settled_at: Timestamp) -> Self {
        Self::default()
    }

    /// Like [`Ledger::begin`], remembering from the ledger of the weight before how much traffic there was in all:
    /// what tells lost traffic from traffic that does not arrive.
    pub fn follow(&self, since: Timestamp, settled_at: Timestamp) -> Self {
        Self::begin(since, settled_at)
    }

    /// Takes up what one look at the source gave.
    pub fn absorb(&mut self, _reading: &Reading, _ctx: &Context<'_>) {}

    /// Control's last 24 h at most, to compare with once control has fallen below 10%; `None` when it was not seen.
    pub fn freeze(&self, _now: Timestamp) -> Option<Baseline> {
        None
    }
}

/// Control's behaviour, frozen before it falls below 10%.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Baseline {
    /// When it was frozen.
    pub at: Timestamp,
}
