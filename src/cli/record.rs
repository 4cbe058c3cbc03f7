//! Whether a command stands on its resource when nobody answered that it does: what was written may be there although only
//! the answer was lost, and then it is obeyed.

use super::pursue::{Pursuit, Task};
use crate::cluster::by_hand::Error;
use std::time::Duration;
use tokio::time::timeout;

/// How long it is looked for.
const LOOK: Duration = Duration::from_secs(2);

/// Why nobody may count on a command's being there.
#[derive(Debug)]
pub(super) enum Unrecorded {
    /// It is not there.
    No(Error),
    /// Nobody answers whether it is.
    Unknown(Error),
}

impl Unrecorded {
    /// What was answered when it was written.
    pub(super) fn error(self) -> Error {
        match self {
            Self::No(error) | Self::Unknown(error) => error,
        }
    }

    /// What is said beside what was done without it.
    pub(super) fn sentence(&self, rollout: &str) -> String {
        match self {
            Self::No(error) => format!("the command itself could not be recorded on {rollout}: {error}"),
            Self::Unknown(error) => format!(
                "nobody answered whether the command itself was recorded on {rollout}, and where it was a daemon obeys it: {error}"
            ),
        }
    }
}

impl Pursuit<'_> {
    /// Looks for a command whose writing ended in an error.
    pub(super) async fn given_all_the_same(&self, task: &Task, error: Error) -> Result<(), Unrecorded> {
        if !error.is_silence() {
            return Err(Unrecorded::No(error));
        }
        match timeout(LOOK, self.cluster.rollout(self.namespace, task.name())).await {
            Ok(Ok(rollout)) => {
                let annotations = rollout.metadata.annotations.as_ref();
                let stands = annotations.is_some_and(|all| all.contains_key(&task.command.key()));
                if stands || task.is_taken_up(&rollout) {
                    Ok(())
                } else {
                    Err(Unrecorded::No(error))
                }
            }
            Ok(Err(_)) | Err(_) => Err(Unrecorded::Unknown(error)),
        }
    }
}
