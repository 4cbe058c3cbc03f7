//! Arguments of `migrate`.

use clap::{Args, Subcommand, ValueEnum};
use gradual_rollout_toolkit::convert::args::ConversionArgs;
use std::path::PathBuf;

/// What is done about a migration.
#[derive(Debug, Subcommand)]
pub enum MigrateVerb {
    /// Turn Ingresses into objects of Istio or of the Gateway API, without a cluster and without writing to one
    Convert(Box<ConvertArgs>),
    /// What meets a cluster.
    #[command(flatten)]
    Cluster(gradual_rollout_toolkit::verb::Verb),
    /// Say what a code of the report means, and what to do; `list` shows them all
    Explain {
        /// The code
        #[arg(value_name = "CODE")]
        code: String,
    },
    /// What the migration documents type.
    #[command(flatten)]
    Older(super::older::Step),
}

/// What is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ConvertTarget {
    /// Istio's own objects
    #[default]
    Istio,
    /// Gateways, routes and grants of the Gateway API
    GatewayApi,
}

/// Arguments of `migrate convert`.
#[derive(Clone, Debug, Default, Args)]
#[command(after_help = "\
Objects go to the standard output, the report to the standard error or, as JSON, to the file of --report. What is
refused is never among the objects: a path that was protected in a way that cannot be kept, or that Istio cannot
serve. Hand in Services and Secrets too, and the controller's ConfigMap and Deployment for its settings and flags.

Examples:
  gradual-rollout migrate convert -n ns-a > istio.yaml
  kubectl get ingress,service,secret,configmap -A -o yaml | gradual-rollout migrate convert -f - > istio.yaml
  gradual-rollout migrate convert -f manifests/ -o json --report report.json
  gradual-rollout migrate convert -f shop.yaml --accept BODY-LIMIT,RATE-LIMIT
  gradual-rollout migrate convert -f shop.yaml --target gateway-api --gateway-class istio

Exit codes:
  0 everything is converted · 3 nothing is, as all was refused · 4 something was refused, the rest is there
  64 a file or a flag is wrong")]
pub struct ConvertArgs {
    /// A file, a folder with *.yaml, *.yml and *.json, or - for the standard input; may be repeated [default: the
    /// cluster, with -n one namespace of it]
    #[arg(short, long, value_name = "FILE|DIR|-")]
    pub file: Vec<PathBuf>,
    /// Write the report to a file, as JSON, instead of the standard error
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// What to write; the Gateway API can say less, so that more is refused
    #[arg(long, value_enum, default_value_t)]
    pub target: ConvertTarget,
    /// The class of the Gateway, with --target gateway-api [default: istio]
    #[arg(long, value_name = "NAME")]
    pub gateway_class: Option<String>,
    /// With --target gateway-api: compare paths and headers by regular expressions too, which not every implementation
    /// takes, and in no order that all share
    #[arg(long)]
    pub regular_expressions: bool,
    /// What the converter is told.
    #[command(flatten)]
    pub conversion: ConversionArgs,
    /// A flag that the controller runs with, as enable-ssl-passthrough; may be repeated
    #[arg(long, value_name = "FLAG", allow_hyphen_values = true)]
    pub controller_flag: Vec<String>,
}
