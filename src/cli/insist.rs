//! Asking again what was not answered: in an emergency, when nobody has the time to do it by hand.

use crate::cluster::by_hand;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// One attempt may take this long.
const ATTEMPT: Duration = Duration::from_secs(3);
/// The first wait between attempts; it doubles up to [`SLOWEST`].
const FIRST_WAIT: Duration = Duration::from_millis(20);
const SLOWEST: Duration = Duration::from_secs(1);

/// What is asked, and for how long.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    /// What is attempted, for the error when nobody answers.
    pub doing: &'a str,
    /// No attempt begins after it but the first.
    pub end: Instant,
    /// How many attempts are under way at once; nobody holds a place while they wait. `None`: it is a single one.
    pub places: Option<&'a Semaphore>,
}

impl Question<'_> {
    /// Asks until there is an answer, or an error that stays one, or the time is over: then the last error is told.
    pub(super) async fn insist<T, E: From<by_hand::Error>>(
        &self,
        passes: impl Fn(&E) -> bool,
        attempt: impl AsyncFn() -> Result<T, E>,
    ) -> Result<T, E> {
        let mut wait = FIRST_WAIT;
        let mut room = ATTEMPT;
        let mut last = None;
        loop {
            let place = match self.places {
                Some(places) => places.acquire().await.ok(),
                None => None,
            };
            let ended = tokio::time::timeout(room, attempt()).await;
            drop(place);
            let error = match ended {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => error,
                // Where it was cut short by the end, what was said before says more.
                Err(_) => match last.take().filter(|_| room < ATTEMPT) {
                    Some(error) => return Err(error),
                    None => E::from(by_hand::Error::no_answer(self.doing, ATTEMPT)),
                },
            };
            if !passes(&error) || Instant::now() + wait >= self.end {
                return Err(error);
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(SLOWEST);
            // The first one has its time whatever happens, and no other goes on after the end.
            last = Some(error);
            room = ATTEMPT.min(self.end.saturating_duration_since(Instant::now()));
        }
    }
}
