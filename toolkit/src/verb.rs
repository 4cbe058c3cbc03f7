//! The verbs of `gradual-rollout migrate` that meet a cluster: arguments as typed, and the way to their rooms.

use crate::backup::{self, args::BackupArgs};
use crate::place::Place;
use crate::trouble::{End, Trouble};
use clap::Subcommand;

/// What is done about a migration, in a cluster.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Keep what a migration may change, in a folder
    Backup(BackupArgs),
}

/// Does what was typed.
pub async fn run(verb: &Verb, place: &mut Place<'_>) -> Result<End, Trouble> {
    match verb {
        Verb::Backup(args) => backup::run(args, place).await,
    }
}
