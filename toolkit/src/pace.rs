//! Many writes at once, and never more in a second than was allowed.

use futures::{Stream, StreamExt as _, stream};
use std::time::Duration;

/// Requests that are under way at once. At 5 ms each, 16 of them make 3,000 a second.
const AT_ONCE: usize = 16;

/// Does what it is given, beginning at most `rate` a second, and hands out what comes of it as it comes. Nothing is
/// begun while nobody asks for more.
pub fn paced<F: Future>(work: impl IntoIterator<Item = F>, rate: u32) -> impl Stream<Item = F::Output> {
    let every = Duration::from_secs(1) / rate.clamp(1, 1_000_000);
    let state = (work.into_iter(), tokio::time::interval(every));
    stream::unfold(state, |(mut work, mut clock)| async move {
        let next = work.next()?;
        clock.tick().await;
        Some((next, (work, clock)))
    })
    .buffer_unordered(AT_ONCE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn no_more_than_the_rate_is_begun_in_a_second_and_no_less() {
        let begun = Instant::now();
        let work = (0..401).map(|n| async move { n });
        let done: Vec<u32> = paced(work, 200).collect().await;
        assert_eq!(done.len(), 401);
        assert_eq!(begun.elapsed().as_millis(), 2000);
    }
}
