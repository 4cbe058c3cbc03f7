//! Arguments of `migrate restore`.

use crate::backup::seal::IdentityArgs;
use crate::dry::DryRun;
use clap::Args;
use std::path::PathBuf;

/// Arguments of `migrate restore`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
What is missing is created again, what differs is put back, and what came later is left alone (see rollback). Every
digest is checked before anything is written. Three sides are compared: the backup, what is there now, and who
changed it since. What somebody else changed after the backup stays as it is unless --overwrite is given. A Service
that is created again has its old address where nobody else took it; replicas of a Deployment stay as they are. So do shares
of traffic, which no backup raises (RESTORE-SHARE). Ingresses come back the oldest first, as nginx decides by age.

Examples:
  gradual-rollout migrate restore --dir before-istio --dry-run
  gradual-rollout migrate restore --dir before-istio -n ns-a --kind Ingress
  gradual-rollout migrate restore --dir before-istio -n ns-a --kind Ingress --name shop --overwrite
  gradual-rollout migrate restore --dir sealed --identity key.txt --dry-run

Exit codes:
  0 everything is as in the backup · 3 it was refused, the message says why
  4 some of it is, the report names the rest · 64 a flag or the folder is wrong · 69 the cluster cannot be reached")]
pub struct RestoreArgs {
    /// The folder of the backup
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// What opens it
    #[command(flatten)]
    pub identity: IdentityArgs,
    /// Only this kind; may be repeated, or a list by comma
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    pub kind: Vec<String>,
    /// Only objects of this name; may be repeated, or a list by comma
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub name: Vec<String>,
    /// Only show what would be written; with =server the cluster checks it too
    #[arg(long, value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "client")]
    pub dry_run: Option<DryRun>,
    /// Put back what others changed after the backup as well
    #[arg(long)]
    pub overwrite: bool,
    /// RESTORE-INGRESS-OTHER: create an Ingress that is gone although its route was made of another state of it than the backup
    /// has
    #[arg(long, value_name = "CODE", value_delimiter = ',')]
    pub accept: Vec<String>,
    /// Write to another cluster than the one that the backup is of
    #[arg(long)]
    pub other_cluster: bool,
    /// How many objects are written in a second at most
    #[arg(long, value_name = "NUMBER", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rate: u32,
}
