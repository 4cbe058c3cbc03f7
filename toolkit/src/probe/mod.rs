//! `probe`: the same questions to ingress-nginx and to the gateway, before anybody's traffic moves.

mod ask;
pub mod code;
mod diff;
mod hit;
mod mark;
mod report;
mod routes;
mod side;
mod suite;
mod target;
mod tls;

use crate::place::Place;
use crate::preflight::controller::{self, Controller};
use crate::preflight::picture::Picture;
use crate::see::{self, entries, kinds, text};
use crate::trouble::{End, Trouble};
use ask::Client;
use clap::{Args, ValueEnum};
use gradual_rollout_migration::convert::{Options, convert};
use gradual_rollout_migration::input::{self, Source};
use gradual_rollout_migration::model::compare::{Kind, between, corpus};
use gradual_rollout_migration::model::envoy::Envoy;
use gradual_rollout_migration::model::nginx::Nginx;
use gradual_rollout_migration::model::{Answer, Request, envoy, nginx};
use hit::Hit;
use jiff::Timestamp;
use rustls::ClientConfig;
use serde_json::Value;
use side::{Pace, Side};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use target::{Target, targets};

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Suite {
    /// Every path of every host, from all sides
    Routes,
    /// Hosts over connections made for other tenants, and hosts that nobody has
    MultiTenant,
    /// HTTP/2, WebSocket, gRPC
    Protocols,
    /// Names, ends and issuers of certificates
    SslCertificates,
    /// Preflights and origins
    Cors,
    /// Latency, side by side
    Performance,
    /// What is guarded, asked without credentials
    Guards,
    /// ssl-certificates, cors, guards and protocols: what nginx answers itself during a split
    Edge,
    /// All of them
    All,
}

impl Suite {
    /// Those that it consists of.
    fn parts(self) -> &'static [Self] {
        match self {
            Self::Routes => &[Self::Routes],
            Self::MultiTenant => &[Self::MultiTenant],
            Self::Protocols => &[Self::Protocols],
            Self::SslCertificates => &[Self::SslCertificates],
            Self::Cors => &[Self::Cors],
            Self::Performance => &[Self::Performance],
            Self::Guards => &[Self::Guards],
            Self::Edge => &[Self::SslCertificates, Self::Cors, Self::Guards, Self::Protocols],
            Self::All => &[
                Self::Routes,
                Self::MultiTenant,
                Self::Protocols,
                Self::SslCertificates,
                Self::Cors,
                Self::Guards,
                Self::Performance,
            ],
        }
    }

    /// As it is typed.
    fn word(self) -> String {
        self.to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }
}

/// Arguments of `migrate probe`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Reads the Ingresses of the cluster (of -n, or all), makes up questions, and asks both data planes at the same time by
their own addresses, with the host's name in TLS and in the Host header: DNS is not asked, and nobody's traffic moves.
Only GET and OPTIONS are sent, and to gRPC back ends a call of a method that none has. Certificates are looked at, not
believed. A question that is answered differently is asked twice. Differences that the models of both sides foresee
count as warnings; --strict refuses warnings too.

Examples:
  gradual-rollout migrate probe
  gradual-rollout migrate probe --nginx 192.0.2.1 --istio 192.0.2.2:31080:31443 -n ns-ada --suite all
  gradual-rollout migrate probe -n ns-ada --mark
  gradual-rollout migrate probe --suite edge --rate 200 --report probe.json

Exit codes:
  0 alike · 3 something differs · 64 a flag is wrong · 69 the cluster or one of the sides cannot be reached")]
pub struct ProbeArgs {
    /// Where ingress-nginx is [default: the address of its load balancer]
    #[arg(long, value_name = "HOST[:HTTP[:HTTPS]]")]
    pub nginx: Option<String>,
    /// Where the gateway is [default: the address of its load balancer]
    #[arg(long, value_name = "HOST[:HTTP[:HTTPS]]")]
    pub istio: Option<String>,
    /// What is asked; may be repeated [default: routes]
    #[arg(long, value_enum, value_name = "SUITE")]
    pub suite: Vec<Suite>,
    /// Questions a second to each side
    #[arg(long, value_name = "RATE", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=20000))]
    pub rate: u32,
    /// How many hosts are asked at once
    #[arg(long, value_name = "COUNT", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=512))]
    pub at_once: u16,
    /// How many seconds an answer may take
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub timeout: u64,
    /// Leave out spellings that clients do not use: escapes, doubled slashes, dot segments
    #[arg(long)]
    pub quick: bool,
    /// A header by which back ends tell who they are; may be repeated
    #[arg(long, value_name = "NAME", default_value = "x-backend")]
    pub backend_header: Vec<String>,
    /// A further header that must be alike; may be repeated
    #[arg(long, value_name = "NAME")]
    pub header: Vec<String>,
    /// By how many percent the gateway's 95th percentile may be above nginx's
    #[arg(long, value_name = "PERCENT", default_value_t = 15)]
    pub slower: u32,
    /// How many answers of a host are timed
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    pub samples: u32,
    /// Refuse warnings too
    #[arg(long)]
    pub strict: bool,
    /// Write down on each migrated Ingress that it was answered alike: cleanup asks for it. Needs the suite routes, in
    /// full
    #[arg(long, conflicts_with = "quick")]
    pub mark: bool,
    /// Write every difference to a file, as JSON
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// The namespace of the gateway's pods
    #[arg(long, value_name = "NAMESPACE", default_value = "istio-system")]
    pub gateway_namespace: String,
    /// The class of the Ingresses [default: the controller's flag, or nginx]
    #[arg(long, value_name = "NAME")]
    pub ingress_class: Option<String>,
}

/// Both sides, and how they are asked.
struct Probe {
    nginx: Side,
    istio: Side,
    tls: Arc<ClientConfig>,
    tls_two: Arc<ClientConfig>,
    limit: Duration,
    pace: Pace,
    at_once: usize,
    backend: Vec<String>,
    headers: Vec<String>,
    slower: u32,
    samples: u32,
    now: Timestamp,
}

impl Probe {
    /// A client of each side.
    fn pair(&self, two: bool) -> (Client<'_>, Client<'_>) {
        let tls = if two { &self.tls_two } else { &self.tls };
        (
            Client::new(&self.nginx, tls, two, self.limit),
            Client::new(&self.istio, tls, two, self.limit),
        )
    }
}

/// The kinds that are read: what a conversion reads, to know what the models say.
const READ: &[see::Kind] = &[
    kinds::INGRESS,
    kinds::SERVICE,
    kinds::SECRET,
    kinds::CONFIG_MAP,
    kinds::CLASS,
    kinds::DEPLOYMENT,
    kinds::DAEMON_SET,
];

/// Asks.
pub async fn run(args: &ProbeArgs, place: &mut Place<'_>) -> Result<End, Trouble> {
    let all = args.suite.iter().flat_map(|suite| suite.parts());
    if args.mark && !args.suite.is_empty() && !all.into_iter().any(|suite| *suite == Suite::Routes) {
        return Err(Trouble::Usage(
            "--mark needs the suite routes: nothing else asks every path".to_owned(),
        ));
    }
    let picture = Picture::only(&place.client, (place.now)(), READ).await?;
    if let Some((_, said)) = picture
        .unseen()
        .find(|(resource, _)| resource.starts_with("ingresses"))
    {
        return Err(Trouble::Refused(format!("unable to list Ingresses: {said}")));
    }
    let mut controllers = controller::controllers(&picture);
    if let Some(class) = &args.ingress_class {
        controllers.retain(|controller| controller.class() == class);
    }
    let mut ingresses = controller::ingresses(&picture, &controllers);
    if let Some(namespace) = &place.namespace {
        ingresses.retain(|ingress| see::namespace(ingress) == namespace);
    }
    let prefix = controllers
        .first()
        .map_or("nginx.ingress.kubernetes.io", Controller::prefix);
    let targets = targets(&ingresses, prefix);
    if targets.is_empty() {
        let within = place
            .namespace
            .as_ref()
            .map_or(String::new(), |name| format!(" in namespace {name}"));
        return Err(Trouble::Refused(format!(
            "there is nothing to ask for: no Ingress of ingress-nginx{within} has a host"
        )));
    }
    let probe = probe(args, place, &picture, &controllers).await?;
    let (counts, hits) = asked(args, &probe, &picture, &ingresses, &targets, place).await?;
    if args.mark {
        let (written, failed) = mark::write(args, &ingresses, &hits, place).await?;
        writeln!(place.err, "{written} migrated Ingresses are marked as probed")?;
        for why in failed {
            writeln!(place.err, "not marked: {}", crate::finding::plain(&why))?;
        }
    }
    report::write(args, place, &counts, &hits)
}

async fn probe(
    args: &ProbeArgs,
    place: &Place<'_>,
    picture: &Picture,
    controllers: &[Controller<'_>],
) -> Result<Probe, Trouble> {
    let nginx = args.nginx.clone().or_else(|| {
        let pods = controllers.first()?.object;
        balancer(
            picture,
            see::namespace(pods),
            pods.pointer("/spec/template/metadata/labels")?,
        )
    });
    let istio = args.istio.clone().or_else(|| {
        let labels = serde_json::json!({"istio": "ingressgateway"});
        let pods = picture.workloads().find(|workload| {
            see::namespace(workload) == args.gateway_namespace
                && text(workload, "/spec/template/metadata/labels/istio") == Some("ingressgateway")
        });
        let labels = pods
            .and_then(|pods| pods.pointer("/spec/template/metadata/labels"))
            .unwrap_or(&labels);
        balancer(picture, &args.gateway_namespace, labels)
    });
    let missing = |flag: &str| {
        Trouble::Usage(format!(
            "no load balancer of it has an address: name where it is with --{flag}"
        ))
    };
    let limit = Duration::from_secs(args.timeout.max(1));
    let probe = Probe {
        nginx: Side::at("nginx", &nginx.ok_or_else(|| missing("nginx"))?).await?,
        istio: Side::at("istio", &istio.ok_or_else(|| missing("istio"))?).await?,
        tls: tls::client(b"http/1.1")?,
        tls_two: tls::client(b"h2")?,
        limit,
        pace: Pace::new(args.rate),
        at_once: usize::from(args.at_once),
        backend: args
            .backend_header
            .iter()
            .map(|name| name.to_ascii_lowercase())
            .collect(),
        headers: args.header.iter().map(|name| name.to_ascii_lowercase()).collect(),
        slower: args.slower,
        samples: args.samples,
        now: (place.now)(),
    };
    probe.nginx.reach(limit).await?;
    probe.istio.reach(limit).await?;
    Ok(probe)
}

/// The address of the load balancer in front of some pods.
fn balancer(picture: &Picture, namespace: &str, labels: &Value) -> Option<String> {
    let selects = |service: &&Value| {
        let mut selector = entries(service, "/spec/selector").peekable();
        selector.peek().is_some() && selector.all(|(label, value)| labels.get(label) == Some(value))
    };
    picture
        .of("Service")
        .iter()
        .filter(|service| see::namespace(service) == namespace)
        .filter(selects)
        .find_map(|service| {
            let first = service.pointer("/status/loadBalancer/ingress/0")?;
            if let Some(ip) = text(first, "/ip") {
                return Some(if ip.contains(':') {
                    format!("[{ip}]")
                } else {
                    ip.to_owned()
                });
            }
            text(first, "/hostname").map(ToOwned::to_owned)
        })
}

/// Runs the suites that were asked for: how many questions each had, and what was found.
async fn asked(
    args: &ProbeArgs,
    probe: &Probe,
    picture: &Picture,
    ingresses: &[&Value],
    targets: &[Target],
    place: &mut Place<'_>,
) -> Result<(BTreeMap<String, usize>, Vec<Hit>), Trouble> {
    let mut suites: Vec<Suite> = args
        .suite
        .iter()
        .flat_map(|suite| suite.parts())
        .copied()
        .collect();
    if suites.is_empty() {
        suites.push(Suite::Routes);
    }
    suites.sort();
    suites.dedup();
    let (mut counts, mut hits) = (BTreeMap::new(), Vec::new());
    for suite in suites {
        let (count, found) = if suite == Suite::Routes {
            let values: Vec<Value> = ingresses.iter().map(|ingress| (*ingress).clone()).collect();
            let mut requests = corpus(&values);
            if args.quick {
                requests.retain(Request::has_plain_path);
            }
            let models = models(args, picture, &values)?;
            let foreseen = |request: &Request, status: Option<u16>| {
                between(&models.0, &models.1, std::slice::from_ref(request))
                    .iter()
                    .any(|difference| difference.kind != Kind::Unknown && is(&difference.envoy, status))
            };
            let found = routes::run(probe, &requests, &foreseen, place).await?;
            (requests.len(), found)
        } else {
            suite::run(probe, suite, targets).await
        };
        counts.insert(suite.word(), count);
        hits.extend(found);
    }
    Ok((counts, hits))
}

/// What nginx does with the Ingresses, and what a gateway does with what `convert` writes.
fn models(args: &ProbeArgs, picture: &Picture, ingresses: &[Value]) -> Result<(Nginx, Envoy), Trouble> {
    let objects: Vec<&Value> = READ.iter().flat_map(|kind| picture.of(kind.kind)).collect();
    let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects});
    let inventory = input::read(&[Source {
        name: "the cluster".to_owned(),
        text: list.to_string(),
    }]);
    let options = Options {
        ingress_class: args.ingress_class.clone(),
        ..Options::default()
    };
    let conversion = convert(&inventory, &options)
        .map_err(|error| Trouble::Internal(format!("unable to convert: {error}")))?;
    Ok((
        Nginx::new(ingresses, nginx::Options::default()),
        Envoy::new(&conversion.objects, envoy::Options::default()),
    ))
}

/// Whether the gateway's answer is what its model says. Which status a back end gives is the back end's affair.
const fn is(said: &Answer, status: Option<u16>) -> bool {
    match (said, status) {
        (Answer::Backend(_), Some(_)) | (Answer::Refused, None) => true,
        (Answer::Status(code) | Answer::Redirect { code, .. }, Some(status)) => *code == status,
        (Answer::Backend(_) | Answer::Status(_) | Answer::Redirect { .. }, None)
        | (Answer::Refused, Some(_))
        | (Answer::Unsupported(_), _) => false,
    }
}

/// A line that is written over, on terminals.
fn progress(place: &mut Place<'_>, suite: &str, done: usize, of: usize) -> std::io::Result<()> {
    if !place.terminal {
        return Ok(());
    }
    write!(place.err, "\r{suite}: {done} of {of}")?;
    if done >= of {
        writeln!(place.err)?;
    }
    place.err.flush()
}
