//! Many writes at once, and never more in a second than was allowed.

use futures::{Stream, StreamExt as _, stream};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Requests that are under way at once. At 5 ms each, 16 of them make 3,000 a second.
const AT_ONCE: usize = 16;

/// How late a turn may be without the next ones being later too: a timer's own inexactness, and no more, for what was
/// not done in a pause must not be done at once after it.
const LATE: Duration = Duration::from_millis(10);

/// The speed of a verb, over everything that it writes.
#[derive(Debug)]
pub struct Pace {
    every: Duration,
    next: Mutex<Instant>,
}

impl Pace {
    /// So many in a second at most.
    pub fn new(rate: u32) -> Self {
        Self {
            every: Duration::from_secs(1) / rate.clamp(1, 1_000_000),
            next: Mutex::new(Instant::now()),
        }
    }

    /// Waits until one more may begin.
    pub async fn turn(&self) {
        let at = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let at = (*next).max(now.checked_sub(LATE).unwrap_or(now));
            *next = at + self.every;
            at
        };
        tokio::time::sleep_until(at).await;
    }
}

/// Does what it is given, beginning no faster than the pace allows, and hands out what comes of it as it comes. Nothing
/// is begun while nobody asks for more.
pub fn paced<F: Future>(work: impl IntoIterator<Item = F>, pace: &Pace) -> impl Stream<Item = F::Output> {
    stream::unfold(work.into_iter(), move |mut work| async move {
        let next = work.next()?;
        pace.turn().await;
        Some((next, work))
    })
    .buffer_unordered(AT_ONCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_more_than_the_rate_is_begun_in_a_second_and_no_less_over_all_kinds() {
        let begun = Instant::now();
        let pace = Pace::new(200);
        let mut done = 0;
        for part in [1, 150, 0, 250] {
            let work = (0..part).map(|n| async move { n });
            done += paced(work, &pace).count().await;
        }
        assert_eq!(done, 401);
        assert_eq!(begun.elapsed().as_millis(), 2000);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_done_in_a_pause_is_not_done_at_once_after_it() {
        let pace = Pace::new(10);
        tokio::time::sleep(Duration::from_secs(60)).await;
        let begun = Instant::now();
        paced((0..11).map(|n| async move { n }), &pace).count().await;
        assert!(
            begun.elapsed() >= Duration::from_millis(980),
            "{:?}",
            begun.elapsed()
        );
    }
}
