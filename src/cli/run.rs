//! `run`: the daemon.

use super::exit::{Exit, Failure};
use crate::settings::Settings;

/// Runs the daemon until it is told to stop. The seam to the composition root.
#[expect(clippy::unused_async, reason = "the daemon will be awaited here")]
pub(super) async fn run(_settings: Settings) -> Result<Exit, Failure> {
    Err(Failure::internal("this build has no daemon yet"))
}
