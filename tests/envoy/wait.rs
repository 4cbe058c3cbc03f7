//! Waiting for facts, never for time.

use std::time::Duration;

/// How long any fact may take: far more than a busy machine needs.
pub(crate) const LONG: Duration = Duration::from_secs(90);

/// Asks until there is an answer. Ends the test when there never is.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    match tokio::time::timeout(LONG, wait).await {
        Ok(found) => found,
        Err(late) => panic!("never ({late}): {what}"),
    }
}
