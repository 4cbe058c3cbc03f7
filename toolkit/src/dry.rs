//! Doing as if.

use clap::ValueEnum;

/// Whether something is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DryRun {
    /// It is not asked of the cluster at all.
    Client,
    /// The cluster checks it, with all admission, and stores nothing.
    Server,
}

impl DryRun {
    /// What is said before what would be done.
    pub const fn would(dry_run: Option<Self>) -> &'static str {
        if dry_run.is_some() { "would be " } else { "" }
    }
}
