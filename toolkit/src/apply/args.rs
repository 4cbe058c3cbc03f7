//! Arguments of `migrate apply`.

use crate::convert::args::ConversionArgs;
use crate::dry::DryRun;
use clap::Args;

/// Arguments of `migrate apply`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Converts the Ingresses of a batch and writes what comes out, guards before routes and the Gateway last: certificates'
copies, DestinationRules, AuthorizationPolicies, VirtualServices, the Gateway; then the label
sealos.io/migrated-to-istio=true on each Ingress. No traffic moves by that. What was refused by the converter is left
out and named, the rest goes on. Asked again, only what is missing or differs is written: that is how to go on after an
interruption. What somebody edited since stays as it is unless --overwrite is given. Ingresses are not touched
otherwise. The plan has a hash: look at it with --dry-run, then write exactly that with --plan. --rollout hands over what
is written and was probed since: apply, then `migrate probe`, then apply --rollout.

Examples:
  gradual-rollout migrate apply -n ns-a --dry-run
  gradual-rollout migrate apply -n ns-a --plan 3f0c9a5b1d2e4f60
  gradual-rollout migrate apply --batch ns-a,ns-b --dry-run=server
  gradual-rollout migrate apply --all --rate 200 --max-failures 20
  gradual-rollout migrate apply -n ns-a --prune --dry-run
  gradual-rollout migrate apply --all --secrets-only
  gradual-rollout migrate apply -n ns-a --rollout sealos-system/batch-1 --split istio-system/istio-ingressgateway:8081

Exit codes:
  0 all of the batch is there · 3 nothing of it is, the report says why · 4 some of it is, the report names the rest
  64 a flag is wrong · 69 the cluster cannot be reached; ask again to go on")]
pub struct ApplyArgs {
    /// Which Ingresses
    #[command(flatten)]
    pub which: BatchArgs,
    /// Write only if the plan still has this hash
    #[arg(long, value_name = "HASH")]
    pub plan: Option<String>,
    /// Only show what would be written; with =server the cluster checks it too
    #[arg(long, value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "client")]
    pub dry_run: Option<DryRun>,
    /// Write over what somebody edited since it was written
    #[arg(long)]
    pub overwrite: bool,
    /// What goes that nothing needs any more
    #[command(flatten)]
    pub pruning: PruneArgs,
    /// Only renew the copies of certificates
    #[arg(long)]
    pub secrets_only: bool,
    /// How many objects are written in a second at most
    #[arg(long, value_name = "NUMBER", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rate: u32,
    /// Stop when more than this many objects failed
    #[arg(long, value_name = "NUMBER", default_value_t = 5)]
    pub max_failures: usize,
    /// Whether, and to what, it is handed over
    #[command(flatten)]
    pub handing_over: HandingOverArgs,
    /// A flag that the controller runs with beside those that are seen, as enable-ssl-passthrough; may be repeated
    #[arg(long, value_name = "FLAG", allow_hyphen_values = true)]
    pub controller_flag: Vec<String>,
    /// What the converter is told
    #[command(flatten)]
    pub conversion: ConversionArgs,
}

/// What is deleted of what was written.
#[derive(Clone, Debug, Default, Args)]
pub struct PruneArgs {
    /// Delete what was written for Ingresses of the batch and is not needed any more: routes and hosts that they do not
    /// have any more, policies, rules, copies of certificates. Look at it first: --prune --dry-run
    #[arg(long, conflicts_with = "secrets_only")]
    pub prune: bool,
    /// Prune routes although names of their hosts lead to the gateway: who asks for them gets no answer then
    #[arg(long, requires = "prune")]
    pub prune_named: bool,
    /// An address of the gateway, beside those that its Services tell, for --prune; may be repeated, or a list by comma
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub gateway_address: Vec<std::net::IpAddr>,
}

/// To what a batch is handed over.
#[derive(Clone, Debug, Default, Args)]
pub struct HandingOverArgs {
    /// Hand the batch, once it is probed, to a GradualRollout, which is written and moves the traffic by its plan
    #[arg(long, value_name = "NAMESPACE/NAME", requires = "split")]
    pub rollout: Option<String>,
    /// Hand over what `migrate probe` did not find alike since it was written
    #[arg(long, requires = "rollout")]
    pub unprobed: bool,
    /// The gateway's Service and its port for the share that nginx sends there
    #[arg(long, value_name = "NAMESPACE/SERVICE:PORT", requires = "rollout")]
    pub split: Option<String>,
    /// The Gateway that listens there, where several do
    #[arg(long, value_name = "NAMESPACE/NAME", requires = "split")]
    pub split_gateway: Option<String>,
    /// Hand over Ingresses with address lists: the pods that listen there take the client's address from what nginx says
    #[arg(long, requires = "split")]
    pub split_trusts_nginx: bool,
}

/// Which Ingresses a batch is.
#[derive(Clone, Debug, Default, Args)]
pub struct BatchArgs {
    /// The Ingresses of these namespaces; may be repeated, or a list by comma (-n names one)
    #[arg(long, value_name = "NAMESPACE", value_delimiter = ',')]
    pub batch: Vec<String>,
    /// This Ingress; may be repeated, or a list by comma
    #[arg(long, value_name = "NAMESPACE/NAME", value_delimiter = ',')]
    pub ingress: Vec<String>,
    /// The Ingresses of all namespaces
    #[arg(long, conflicts_with_all = ["batch", "ingress"])]
    pub all: bool,
    /// Take Ingresses of other namespaces along that have a host in common with the batch
    #[arg(long)]
    pub widen: bool,
}
