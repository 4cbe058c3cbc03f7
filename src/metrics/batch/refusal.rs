//! Asks that Prometheus refused, and how much it takes at once.

use super::prepare::{Key, Ready};
use crate::rollout::sample::Blindness;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long a refusal is taken for an answer.
pub(super) const REMEMBERED: Duration = Duration::from_secs(60);
/// Refused asks that are tried again within [`TRY_WITHIN`], each by itself; others keep their refusal until then.
const TRIED: usize = 4;
const TRY_WITHIN: Duration = Duration::from_secs(5);
/// A refusal that nobody has asked about for so long is of a component that is gone.
const FORGOTTEN: Duration = Duration::from_secs(3600);
/// Asks in one query: with two arms of two pods and twenty buckets each some 20 MB of answer.
const MOST: usize = 1_000;
/// How long fewer are asked at once after too many were.
const CAUTIOUS: Duration = Duration::from_secs(600);

/// What was refused, and what was too much.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    asks: HashMap<Key, (Instant, Blindness)>,
    tried: Option<(Instant, usize)>,
    fewer: Option<(Instant, usize)>,
}

impl Refusals {
    /// The refusal of this ask, unless it is time to try again.
    pub(super) fn remembered(&mut self, key: &Key) -> Option<Blindness> {
        let now = Instant::now();
        let (until, blindness) = self.asks.get(key)?;
        if *until > now {
            return Some(blindness.clone());
        }
        let (since, tried) = self
            .tried
            .filter(|(since, _)| now < *since + TRY_WITHIN)
            .unwrap_or((now, 0));
        if tried >= TRIED {
            return Some(blindness.clone());
        }
        self.tried = Some((since, tried + 1));
        None
    }

    pub(super) fn remember(&mut self, key: Key, blindness: Blindness) {
        let now = Instant::now();
        self.asks.retain(|_, (until, _)| now < *until + FORGOTTEN);
        let reason = blindness.message.clone();
        let before = self.asks.insert(key, (now + REMEMBERED, blindness));
        if before.is_none() {
            tracing::warn!(
                reason,
                "prometheus refuses the question about a component; asked once a minute now"
            );
        }
    }

    pub(super) fn withdraw(&mut self, key: &Key) {
        self.asks.remove(key);
    }

    /// Those that were refused before, which go alone, and the others.
    pub(super) fn sort_out(&self, asks: Vec<Arc<Ready>>) -> (Vec<Arc<Ready>>, Vec<Arc<Ready>>) {
        asks.into_iter()
            .partition(|ready| self.asks.contains_key(&ready.key))
    }

    /// So many at once were refused, and less was not.
    pub(super) fn too_many(&mut self, asks: usize) {
        let fewer = (asks / 2).max(1);
        tracing::warn!(
            asks,
            fewer,
            "one query about so many asks is more than prometheus answers"
        );
        self.fewer = Some((Instant::now() + CAUTIOUS, fewer));
    }

    /// How many are asked for by one query.
    pub(super) fn most(&self) -> usize {
        match self.fewer {
            Some((until, fewer)) if until > Instant::now() => fewer,
            _ => MOST,
        }
    }
}
