//! The command line of `incident`.

use clap::Args;

/// Arguments of `incident`.
#[derive(Clone, Debug, Default, Args)]
#[command(after_help = "\
Examples:
  gradual-rollout incident                          every rollout of the namespace
  gradual-rollout incident terminal -o terminal.tar
  gradual-rollout incident -o - | tar tf -

Nothing is written to the cluster, and nothing has to be there, not even the cluster: what could not be had is named
in MISSING.txt. Secrets do not get in.

Exit codes:
  0 it is written · 4 the same without the resources, which could not be read · 3 there is no such rollout · 64 wrong usage")]
pub struct IncidentArgs {
    /// The component [default: all]
    #[arg(value_name = "COMPONENT")]
    pub component: Option<String>,
    /// One rollout only
    #[arg(long, value_name = "NAME")]
    pub rollout: Option<String>,
    /// Where the daemon serves [default: the settings' `listen`]
    #[arg(long, value_name = "URL")]
    pub daemon: Option<String>,
    /// Where Prometheus is [default: the settings' endpoints]
    #[arg(long, value_name = "URL")]
    pub prometheus: Option<String>,
}
