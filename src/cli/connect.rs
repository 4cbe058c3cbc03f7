//! Reaching the cluster, and what its errors mean for the exit code.

use super::exit::{Exit, Failure};
use crate::cluster::by_hand::{ByHand, Error};

/// Connects as the current kubeconfig says.
pub(super) async fn connect() -> Result<ByHand, Failure> {
    ByHand::connect().await.map_err(failure)
}

/// The exit code of an error.
#[expect(clippy::needless_pass_by_value, reason = "reads well in map_err")]
pub(super) fn failure(error: Error) -> Failure {
    let exit = match &error {
        Error::NoConnection(_) | Error::Unreachable { .. } => Exit::Unreachable,
        Error::NotFound(_)
        | Error::NoDefinition
        | Error::Conflict(_)
        | Error::Forbidden { .. }
        | Error::Refused { .. } => Exit::Refused,
    };
    Failure::new(exit, error.to_string())
}
