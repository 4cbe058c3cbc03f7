//! The verbs of `gradual-rollout migrate` that meet a cluster: arguments as typed, and the way to their rooms.

use crate::backup::{self, args::BackupArgs};
use crate::place::Place;
use crate::preflight::{self, PreflightArgs};
use crate::restore::{self, args::RestoreArgs};
use crate::trouble::{End, Trouble};
use clap::Subcommand;

/// What is done about a migration, in a cluster.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Keep what a migration may change, in a folder
    Backup(BackupArgs),
    /// Put a backup back, or show in what the cluster differs from it
    Restore(RestoreArgs),
    /// Say whether the migration may begin, and what stands in the way
    Preflight(Box<PreflightArgs>),
}

/// Does what was typed.
pub async fn run(verb: &Verb, place: &mut Place<'_>) -> Result<End, Trouble> {
    match verb {
        Verb::Backup(args) => backup::run(args, place).await,
        Verb::Restore(args) => restore::run(args, place).await,
        Verb::Preflight(args) => preflight::run(args, place).await,
    }
}
