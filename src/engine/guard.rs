//! Whether commands are guarded by the admission policy: looked up when a daemon takes over and when commands come, never
//! while nothing happens.

use crate::cluster::by_hand::ByHand;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// However many commands come, the API server is asked this often at most.
const EVERY: Duration = Duration::from_secs(60);

/// What is known of it. Cheap to clone; clones know the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Guard(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    in_force: AtomicBool,
    asked: Notify,
}

impl Guard {
    /// Whether the policy was in force when it was last looked up; not known is no. Has it looked up again soon.
    pub(super) fn in_force(&self) -> bool {
        self.0.asked.notify_one();
        self.0.in_force.load(Ordering::Relaxed)
    }

    /// Looks it up now and whenever somebody asked, until told to stop.
    pub(super) async fn run(&self, hand: ByHand, stop: CancellationToken) {
        let looking = async {
            loop {
                let found = hand.commands_are_guarded().await;
                if let Err(error) = &found {
                    tracing::debug!(%error, "not known whether commands are guarded: who gave them is recorded as claimed");
                }
                self.0.in_force.store(found.unwrap_or(false), Ordering::Relaxed);
                tokio::time::sleep(EVERY).await;
                self.0.asked.notified().await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = looking => {}
        }
    }
}
