//! `probe`: the same questions to ingress-nginx and to the gateway, before anybody's traffic moves.

mod alive;
mod args;
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

pub use args::{ProbeArgs, Suite};

use crate::place::Place;
use crate::preflight::controller::{self, Controller};
use crate::preflight::picture::Picture;
use crate::see::{self, entries, kinds, text};
use crate::trouble::{End, Trouble};
use ask::Client;
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
use std::sync::Arc;
use std::time::Duration;
use target::{Target, targets};

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
    much_slower: u32,
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
    let picture = Picture::only(&place.client, (place.now)(), READ).await?;
    if let Some((_, said)) = picture
        .unseen()
        .find(|(resource, _)| resource.starts_with("ingresses"))
    {
        return Err(Trouble::Refused(format!("unable to list Ingresses: {said}")));
    }
    let mut controllers = controller::controllers(&picture);
    if let Some(class) = &args.ingress_class {
        controllers.retain(|controller| controller.has(class, picture.of(kinds::CLASS.kind)));
    }
    let mut ingresses = controller::ingresses(&picture, &controllers, args.ingress_class.as_deref());
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
    let (counts, hits) = asked(args, &probe, &picture, (&ingresses, prefix), &targets, place).await?;
    // Only who was asked for everything is marked.
    let whole = counts.contains_key(routes::SUITE) && !args.quick && !args.no_mark;
    let marked = if whole {
        mark::alike(place, &ingresses, prefix, &hits).await
    } else {
        mark::Marked::default()
    };
    report::write(args, place, &counts, &hits, &marked)
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
        much_slower: args.much_slower,
        samples: args.samples,
        now: (place.now)(),
    };
    if probe.nginx.meets(&probe.istio) {
        return Err(Trouble::Usage(
            "--nginx and --istio are at the same address: one side compared with itself is always alike; name the \
             gateway's own address with --istio"
                .to_owned(),
        ));
    }
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
    (ingresses, prefix): (&[&Value], &str),
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
            let (mut found, reached) = routes::run(probe, &requests, &models.0, &foreseen, place).await?;
            found.extend(alive::dead(ingresses, prefix, &reached));
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
