//! Arguments of `migrate loadbalancer`.

use clap::{Args, Subcommand};

/// What is done about a load balancer.
#[derive(Clone, Debug, Subcommand)]
pub enum LoadBalancerVerb {
    /// Let the gateway serve every port of a Service, and later give its address up
    Migrate(Box<MigrateArgs>),
    /// Give the Service its load balancer back, and take the path through the gateway away
    Undo(UndoArgs),
}

/// Arguments of `migrate loadbalancer migrate`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Writes the path through the gateway and leaves the load balancer alone: both serve. Every port is kept: HTTP by host
(the first has the domain, the others PORT.DOMAIN), TLS that the pods end by name, anything else by port, which the
gateway's Service must have. Hosts, paths and bodies are passed on as they are, without a time limit. Source ranges of
the load balancer become an AuthorizationPolicy, or it is refused; also where a Service of the gateway has not
externalTrafficPolicy Local, unless CLIENT-ADDRESS is accepted.

Then move clients or DNS, and watch. Only with --release-address, in a later run, the Service becomes a NodePort: the
provider may give its address to somebody else, so that step cannot be taken back for certain. It is not taken while a
name leads to the address, or nobody knows: what may be accepted is RELEASE-NAME-LEADS-TO-BALANCER and
RELEASE-NAME-UNKNOWN, which is also said of ports without a host.

Examples:
  gradual-rollout migrate loadbalancer migrate minio -n ns-ada --domain s3.a.com --certificate ns-ada/s3-tls
  gradual-rollout migrate loadbalancer migrate pg -n ns-ada --tcp 5432 --dry-run
  gradual-rollout migrate loadbalancer migrate minio -n ns-ada --domain s3.a.com --release-address --nodeport 9000=30900

Exit codes:
  0 done · 3 refused, and nothing was written · 4 some of it is written, the rest is listed · 64 a flag is wrong
  69 the cluster cannot be reached")]
pub struct MigrateArgs {
    /// The Service, in the namespace of -n
    #[arg(value_name = "SERVICE")]
    pub service: String,
    /// The host of its first port that has one; others are names in it
    #[arg(long, value_name = "DOMAIN")]
    pub domain: Option<String>,
    /// The host of a port; may be repeated
    #[arg(long, value_name = "PORT=HOST")]
    pub host: Vec<String>,
    /// A port that speaks HTTP, whatever it is called; may be repeated
    #[arg(long, value_name = "PORT")]
    pub http: Vec<u16>,
    /// A port that does not; may be repeated
    #[arg(long, value_name = "PORT")]
    pub tcp: Vec<u16>,
    /// The Secret with the certificate of the hosts, which is copied to the gateway's namespace
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pub certificate: Option<String>,
    /// The namespace of the gateway's pods
    #[arg(long, value_name = "NAMESPACE", default_value = "istio-system")]
    pub gateway_namespace: String,
    /// A label of the gateway's pods; may be repeated
    #[arg(long, value_name = "LABEL=VALUE", default_value = "istio=ingressgateway")]
    pub gateway_selector: Vec<String>,
    /// Leave the Service with ports of the nodes only, which gives its address up for good
    #[arg(long)]
    pub release_address: bool,
    /// The port of the nodes for a port [default: the one it has]; may be repeated
    #[arg(long, value_name = "PORT=NODEPORT", requires = "release_address")]
    pub nodeport: Vec<String>,
    /// Go on although this was found; may be repeated, or a list by comma
    #[arg(long, value_name = "CODE", value_delimiter = ',')]
    pub accept: Vec<String>,
    /// Ask the API server whether it would take everything, and write nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `migrate loadbalancer undo`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
First the Service becomes a load balancer again, as it was remembered. The path through the gateway goes only when it has
an address, and no host leads to the gateway any more: move the names to the address that it says, and run it again. The
provider may give another address than before. What may be accepted is UNDO-NO-ADDRESS, UNDO-NAME-LEADS-TO-GATEWAY and
UNDO-NAME-UNKNOWN, which is also said of ports without a host.

Examples:
  gradual-rollout migrate loadbalancer undo minio -n ns-ada --dry-run
  gradual-rollout migrate loadbalancer undo minio -n ns-ada
  gradual-rollout migrate loadbalancer undo pg -n ns-ada --accept UNDO-NAME-UNKNOWN

Exit codes:
  0 done · 3 refused, and nothing was undone · 4 some of it is undone, the rest is listed · 64 a flag is wrong
  69 the cluster cannot be reached · 75 the Service has no address in time")]
pub struct UndoArgs {
    /// The Service, in the namespace of -n
    #[arg(value_name = "SERVICE")]
    pub service: String,
    /// The namespace of the gateway's pods
    #[arg(long, value_name = "NAMESPACE", default_value = "istio-system")]
    pub gateway_namespace: String,
    /// How many seconds the provider may take to give an address
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub timeout: u64,
    /// Take the path through the gateway away although this was found; may be repeated, or a list by comma
    #[arg(long, value_name = "CODE", value_delimiter = ',')]
    pub accept: Vec<String>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}
