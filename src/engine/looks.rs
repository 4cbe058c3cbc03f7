//! Looks at the metrics: one round at a time, every interval, for the components that the core watches.

use crate::clock::Clock;
use crate::metrics::{Ask, Source};
use crate::rollout::sample::Blindness;
use futures::StreamExt;
use futures::stream::FuturesUnordered;

/// What one component's look gave.
pub(super) type Look = (String, Result<crate::metrics::Snapshot, Blindness>);

/// Asks the source about every component at one instant; the source's own time-out bounds it.
pub(super) async fn round(source: Source, clock: Clock, asks: Vec<Ask>) -> Vec<Look> {
    let now = clock.now();
    let mut open: FuturesUnordered<_> = asks
        .iter()
        .map(|ask| {
            let source = &source;
            async move { (ask.component.clone(), source.read(ask, now).await) }
        })
        .collect();
    let mut looks = Vec::with_capacity(asks.len());
    while let Some(look) = open.next().await {
        looks.push(look);
    }
    looks
}
