//! Arguments of `migrate tenant`.

use clap::{Args, Subcommand};

/// What is done about a tenant.
#[derive(Clone, Debug, Subcommand)]
pub enum TenantVerb {
    /// Make a tenant: namespace, quota, isolation, Gateway
    Create(Box<CreateArgs>),
    /// Say whether a tenant is as it was made, and isolated
    Check(Box<CheckArgs>),
    /// Take away what was made for a tenant
    Delete(DeleteArgs),
    /// What is no verb: a tenant, as the migration documents type it, or a mistake
    #[command(external_subcommand)]
    Other(Vec<String>),
}

/// What a tenant is made with; `check` must be told the same.
#[derive(Clone, Debug, Args)]
pub struct Shape {
    /// The tenant; its namespace is ns-NAME
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The platform's domain: the tenant has NAME.DOMAIN and *.NAME.DOMAIN
    #[arg(long, value_name = "DOMAIN")]
    pub domain: Option<String>,
    /// A host of the tenant, besides or instead of those; may be repeated
    #[arg(long, value_name = "HOST")]
    pub host: Vec<String>,
    /// The namespace of the gateway's pods
    #[arg(long, value_name = "NAMESPACE", default_value = "istio-system")]
    pub gateway_namespace: String,
    /// A label of the gateway's pods; may be repeated
    #[arg(long, value_name = "LABEL=VALUE", default_value = "istio=ingressgateway")]
    pub gateway_selector: Vec<String>,
    /// The Secret with the tenant's certificate, which is copied to the gateway's namespace
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pub certificate: Option<String>,
    /// A further namespace whose pods may call the tenant's; may be repeated. Those of ingress-nginx always may
    #[arg(long, value_name = "NAMESPACE")]
    pub allow_namespace: Vec<String>,
    /// Addresses that may call the tenant's pods, where nginx's or the gateway's pods are in the network of their nodes;
    /// may be repeated, or a list by comma
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    pub allow_cidr: Vec<String>,
    /// There are sidecars: write a policy for them too
    #[arg(long)]
    pub mesh: bool,
}

/// Arguments of `migrate tenant create`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Writes, in this order: the namespace if it is not there, a copy of the certificate in the gateway's namespace, a
ResourceQuota without load balancers, a NetworkPolicy that lets in the tenant's own pods, the gateway's and those of
ingress-nginx, with --mesh an AuthorizationPolicy, and the Gateway NAME-gateway, whose hosts only VirtualServices of the
tenant may use. Refuses hosts that another namespace has. Without a certificate the hosts are served in clear. Where the
pods of nginx or of the gateway are in the network of their nodes (hostNetwork) most networks do not know them by their
labels: then the addresses that they call from have to be named with --allow-cidr. A second run has to name everything
again: hosts that the Gateway has and callers that the isolation lets in are not taken away unless it is accepted, as
TENANT-HOST-LOST and TENANT-CALLER-LOST.

Examples:
  gradual-rollout migrate tenant create ada --domain cloud.sealos.io --certificate ns-ada/ada-tls
  gradual-rollout migrate tenant create ada --domain cloud.sealos.io --allow-cidr 10.0.0.0/24
  gradual-rollout migrate tenant create ada --host shop.example.com --dry-run

Exit codes:
  0 done · 3 refused, and nothing was written · 4 some of it is written, the rest is listed · 64 a flag is wrong
  69 the cluster cannot be reached")]
pub struct CreateArgs {
    /// What it is made with.
    #[command(flatten)]
    pub shape: Shape,
    /// Take away what was found to be lost; may be repeated, or a list by comma
    #[arg(long, value_name = "CODE", value_delimiter = ',')]
    pub accept: Vec<String>,
    /// Ask the API server whether it would take everything, and write nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `migrate tenant check`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Compares what is in the cluster with what `create` would write, the copy of the certificate with its source, and looks
for others that use the tenant's hosts. With --request it asks the network itself: a pod in another namespace must not
reach a Service of the tenant, while it does reach the one of --control, and a pod in the tenant's own namespace reaches
the tenant's. Both ask by address, and are deleted afterwards. Without --request nothing is written, and whether the
tenant is isolated stays open: that is said, and is no 0.

Examples:
  gradual-rollout migrate tenant check ada --domain cloud.sealos.io
  gradual-rollout migrate tenant check ada --domain cloud.sealos.io --request --from default

Exit codes:
  0 as it was made, and isolated · 3 it is not · 4 as it was made, and the network was not asked (no --request)
  64 a flag is wrong · 69 the cluster cannot be reached · 75 the pods did not end in time")]
pub struct CheckArgs {
    /// What it was made with.
    #[command(flatten)]
    pub shape: Shape,
    /// Try to reach the tenant from another namespace
    #[arg(long)]
    pub request: bool,
    /// From which namespace
    #[arg(
        long,
        value_name = "NAMESPACE",
        default_value = "default",
        requires = "request"
    )]
    pub from: String,
    /// The Service and port that are tried [default: the first with a ready endpoint]
    #[arg(long, value_name = "NAME:PORT", requires = "request")]
    pub service: Option<String>,
    /// A Service and port that pods of --from reach: without that, not reaching the tenant would say nothing
    #[arg(
        long,
        value_name = "NAMESPACE/NAME:PORT",
        default_value = "default/kubernetes:443",
        requires = "request"
    )]
    pub control: String,
    /// The image of the pods; it must have nc
    #[arg(
        long,
        value_name = "IMAGE",
        default_value = "busybox:1.36",
        requires = "request"
    )]
    pub image: String,
    /// How many seconds the pods may take
    #[arg(long, value_name = "SECONDS", default_value_t = 90, requires = "request")]
    pub timeout: u64,
}

/// Arguments of `migrate tenant delete`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Deletes what `create` wrote, the Gateway first and the isolation last. The namespace, with everything that the tenant
has in it, is deleted only with --namespace-too, and only if `create` made it. What serves hosts behind the Gateway, or from
the namespace that goes, is named, and nothing is deleted unless that is accepted, as TENANT-IN-USE.

Examples:
  gradual-rollout migrate tenant delete ada --dry-run
  gradual-rollout migrate tenant delete ada --namespace-too

Exit codes:
  0 done · 3 refused · 4 some of it is deleted, the rest is listed · 69 the cluster cannot be reached")]
pub struct DeleteArgs {
    /// The tenant
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The namespace of the gateway's pods
    #[arg(long, value_name = "NAMESPACE", default_value = "istio-system")]
    pub gateway_namespace: String,
    /// Delete the namespace, and everything in it, for good
    #[arg(long)]
    pub namespace_too: bool,
    /// Delete although this was found; may be repeated, or a list by comma
    #[arg(long, value_name = "CODE", value_delimiter = ',')]
    pub accept: Vec<String>,
    /// Say what would be deleted, and delete nothing
    #[arg(long)]
    pub dry_run: bool,
}
