//! `sandbox`: everything without a cluster.

use super::args::SandboxArgs;
use super::exit::{Exit, Failure};
use std::io::Write;

/// Plays a story. The seam to the sandbox, which has arguments of its own.
pub(super) fn run(_args: &SandboxArgs, _out: &mut dyn Write) -> Result<Exit, Failure> {
    Err(Failure::internal("this build has no sandbox yet"))
}
