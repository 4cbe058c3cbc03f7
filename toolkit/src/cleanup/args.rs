//! Arguments of `migrate cleanup`.

use clap::Args;
use std::path::PathBuf;

use crate::backup::seal::IdentityArgs;
use crate::standing::StandingArgs;

/// Arguments of `migrate cleanup`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Deletes Ingresses that nothing needs any more: marked, unchanged, open at the gateway, probed, marked for --soak, without
a request at nginx for as long (by its own counter: the first run begins to count, a later one may delete), every name of
theirs leading to the gateway and none to nginx, and just like that in the backup. What misses one of these stays and is named; the rest is
deleted. Certificates that belong to an Ingress stay. Undo it with migrate rollback, or
migrate restore --kind Ingress.

Examples:
  gradual-rollout migrate cleanup -n ns-a --dir before-istio --dry-run
  gradual-rollout migrate cleanup --all --dir before-istio
  gradual-rollout migrate cleanup --ingress ns-a/shop --dir before-istio --accept CLEANUP-NAME-UNKNOWN

Exit codes:
  0 all of them are deleted, or there was none · 3 none was, the report says why
  4 some were, the report names the rest · 64 a flag or the folder is wrong · 69 the cluster cannot be reached")]
pub struct CleanupArgs {
    /// This Ingress; may be repeated, or a list by comma
    #[arg(long, value_name = "NAMESPACE/NAME", value_delimiter = ',')]
    pub ingress: Vec<String>,
    /// Every Ingress with the mark
    #[arg(long, conflicts_with = "ingress")]
    pub all: bool,
    /// The folder of the backup from which they would come back
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// What opens it
    #[command(flatten)]
    pub identity: IdentityArgs,
    /// Only show what would be deleted; nothing is counted either
    #[arg(long)]
    pub dry_run: bool,
    /// How many hours it must have been served by both, and nginx without a request
    #[arg(long, value_name = "HOURS", default_value_t = 24)]
    pub soak: u32,
    /// Delete although this was found; may be repeated, or a list by comma
    #[arg(long, value_name = "CODE", value_delimiter = ',')]
    pub accept: Vec<String>,
    /// An address of nginx, beside those that its Services and Ingresses tell; may be repeated, or a list by comma
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub nginx_address: Vec<std::net::IpAddr>,
    /// An address of the gateway, beside those that its Services tell; may be repeated, or a list by comma
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub gateway_address: Vec<std::net::IpAddr>,
    /// The port of nginx's metrics
    #[arg(long, value_name = "PORT", default_value_t = 10254)]
    pub metrics_port: u16,
    /// How many objects are written in a second at most
    #[arg(long, value_name = "NUMBER", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rate: u32,
    /// What is looked at
    #[command(flatten)]
    pub standing: StandingArgs,
}
