//! Arguments of `migrate rollback`.

use crate::backup::seal::IdentityArgs;
use clap::Args;
use std::path::PathBuf;

/// Arguments of `migrate rollback`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Undoes what apply, cleanup and finish did, in the order in which no request is lost: the share that nginx sends to the
gateway goes back to 0 (a GradualRollout is told, and waited for); controllers make Ingresses again; Ingresses that
were cleaned up come back from the backup, and nginx gets time to serve them; marks are taken off; then the hosts are
closed at the Gateway, and routes, policies, rules and copies of certificates that nothing uses any more are deleted.
While a name leads to the gateway nothing is closed: nginx serves it again by then, so move it back and ask again. A
block on new Ingresses stays unless --all --unblock takes it away first; where it would refuse those that come back,
nothing is undone. With --all goes what was accepted of Ingresses (ConfigMap gradual-rollout-accepted), too.

Examples:
  gradual-rollout migrate rollback -n ns-a --dry-run
  gradual-rollout migrate rollback -n ns-a --dir before-istio
  gradual-rollout migrate rollback --ingress ns-a/shop
  gradual-rollout migrate rollback --all --dir before-istio
  gradual-rollout migrate rollback --all --dir before-istio --dir second-batch
  gradual-rollout migrate rollback --all --dir before-istio --unblock
  gradual-rollout migrate rollback -n ns-a --accept ROLLBACK-NAME-LEADS-TO-GATEWAY

Exit codes:
  0 all of it is undone · 3 nothing is, the message says why · 4 some of it is, the report names the rest
  64 a flag or the folder is wrong · 69 the cluster cannot be reached · 75 the traffic did not come back in time")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of its own, and any of them go together"
)]
pub struct RollbackArgs {
    /// What was made of this Ingress; may be repeated, or a list by comma
    #[arg(long, value_name = "NAMESPACE/NAME", value_delimiter = ',')]
    pub ingress: Vec<String>,
    /// Everything
    #[arg(long, conflicts_with = "ingress")]
    pub all: bool,
    /// Take the block on new Ingresses away first
    #[arg(long, requires = "all")]
    pub unblock: bool,
    /// This Ingress need not come back; may be repeated, or a list by comma. `orphans` stands for all that somebody else
    /// than cleanup deleted and that the backup does not have
    #[arg(long, value_name = "NAMESPACE/NAME|orphans", value_delimiter = ',')]
    pub gone: Vec<String>,
    /// The folder of a backup; needed where Ingresses were cleaned up. May be repeated: each Ingress comes from the one
    /// that has it as its route was made of it
    #[arg(long, value_name = "DIR")]
    pub dir: Vec<PathBuf>,
    /// What opens it
    #[command(flatten)]
    pub identity: IdentityArgs,
    /// Only show every object that would be written or deleted, in order; whether Ingresses would be taken back is tried
    #[arg(long)]
    pub dry_run: bool,
    /// Delete what somebody edited since it was written as well
    #[arg(long)]
    pub overwrite: bool,
    /// How many seconds to wait for the traffic to come back
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub wait: u64,
    /// How many seconds nginx gets to serve Ingresses that came back
    #[arg(long, value_name = "SECONDS", default_value_t = 15)]
    pub settle: u64,
    /// The Gateway that was written; its namespace has the copies of certificates
    #[arg(
        long,
        value_name = "NAMESPACE/NAME",
        default_value = "istio-system/sealos-gateway"
    )]
    pub gateway: String,
    /// ROLLBACK-NAME-LEADS-TO-GATEWAY: close hosts although names lead to the gateway: they are not looked up, and such a
    /// name is without an answer then. ROLLBACK-INGRESS-OTHER: take an Ingress that no backup has as it was last.
    /// RESTORE-YOUNGER: have an Ingress back although nginx serves another's guards then, which is older by now
    #[arg(long, value_name = "CODE", value_delimiter = ',')]
    pub accept: Vec<String>,
    /// An address of the gateway, beside those that its Services tell; may be repeated, or a list by comma
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub gateway_address: Vec<std::net::IpAddr>,
    /// How many objects are written in a second at most
    #[arg(long, value_name = "NUMBER", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rate: u32,
}
