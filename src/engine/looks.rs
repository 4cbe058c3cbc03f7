//! Looks at the metrics: one round at a time, every interval, for the components that the core watches.

use crate::clock::Clock;
use crate::metrics::{Ask, Cursor, HealthBook, Source};
use crate::rollout::sample::Reading;
use futures::StreamExt;
use futures::stream::FuturesUnordered;

/// What one component's look gave, and where the next one begins.
pub(super) type Look = (String, Cursor, Reading);

/// Looks at every component at one instant; the source's own time-out bounds it.
pub(super) async fn round(
    source: Source,
    clock: Clock,
    book: HealthBook,
    asks: Vec<(Ask, Cursor)>,
) -> Vec<Look> {
    let now = clock.now();
    let mut open: FuturesUnordered<_> = asks
        .into_iter()
        .map(|(ask, mut cursor)| {
            let source = &source;
            async move {
                let reading = source.observe(&ask, &mut cursor, now).await;
                (ask.component, cursor, reading)
            }
        })
        .collect();
    let mut looks = Vec::new();
    while let Some(look) = open.next().await {
        let (_, cursor, reading) = &look;
        book.note(now, reading, cursor);
        looks.push(look);
    }
    looks
}
