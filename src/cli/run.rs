//! `run`: the daemon.

use super::exit::{Exit, Failure};
use crate::daemon::{StartError, start};
use crate::settings::Settings;

/// Runs the daemon until it is told to stop.
pub(super) fn run(settings: Settings) -> Result<Exit, Failure> {
    start(settings).map(|()| Exit::Done).map_err(|error| {
        let exit = match &error {
            StartError::Settings(_) => Exit::Usage,
            StartError::Cluster(_) => Exit::Unreachable,
            StartError::Failed(_) => Exit::Internal,
        };
        Failure::new(exit, error.to_string())
    })
}
