//! Arguments of `migrate finish`.

use crate::standing::StandingArgs;
use clap::Args;

/// Arguments of `migrate finish`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Tells the platform's controllers to make no Ingresses any more. Before that every Ingress of the tenants must be cleaned
up, and the last of them for --soak; what was migrated must be well; no GradualRollout may still move a controller. In
each Deployment the variables NETWORKING_MODE, ISTIO_PERCENTAGE, USE_ISTIO_NETWORKING, USE_INGRESS_NETWORKING and
ISTIO_ENABLED are set where its container has them, in each ConfigMap networking_mode and istio_percentage. What was
there before is written on the object, and put back by --undo and by migrate rollback --all.

Examples:
  gradual-rollout migrate finish --dry-run
  gradual-rollout migrate finish -n sealos-system --deployment terminal-controller --config-map terminal-controller-config
  gradual-rollout migrate finish --undo --dry-run
  gradual-rollout migrate finish --undo

Exit codes:
  0 it is finished, or undone · 3 it is not, the report says why · 4 some of it is, the report names the rest
  64 a flag is wrong · 69 the cluster cannot be reached · 75 a Deployment was not rolled out in time")]
pub struct FinishArgs {
    /// A controller's Deployment in the namespace of -n [default: terminal-controller, db-adminer-controller,
    /// resources-controller, webhook-admission]; may be repeated, or a list by comma
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub deployment: Vec<String>,
    /// A controller's ConfigMap [default: terminal-controller-config, db-adminer-controller-config,
    /// resources-controller-config]; may be repeated, or a list by comma
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub config_map: Vec<String>,
    /// What namespaces of tenants begin with
    #[arg(long, value_name = "PREFIX", default_value = "ns-")]
    pub tenants: String,
    /// How many hours the gateway must have served everything alone
    #[arg(long, value_name = "HOURS", default_value_t = 24)]
    pub soak: u32,
    /// Only show what would be written, or put back
    #[arg(long)]
    pub dry_run: bool,
    /// Put back what the controllers were told before
    #[arg(long)]
    pub undo: bool,
    /// How many seconds to wait for Deployments to be rolled out
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub wait: u64,
    /// What is looked at
    #[command(flatten)]
    pub standing: StandingArgs,
}
