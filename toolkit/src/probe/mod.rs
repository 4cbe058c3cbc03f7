//! `probe`: the same questions to ingress-nginx and to the gateway, before anybody's traffic moves.

mod alive;
mod args;
mod ask;
pub mod code;
mod diff;
mod foreseen;
mod guarded;
mod hit;
mod hung;
mod mark;
mod report;
mod routes;
mod side;
mod suite;
mod target;
mod tls;
mod usual;

pub use args::{ProbeArgs, Suite};

use crate::apply::gateway;
use crate::finding::Severity;
use crate::marks;
use crate::place::Place;
use crate::preflight::controller::{self, Controller};
use crate::preflight::picture::Picture;
use crate::see::{self, entries, kinds, text};
use crate::trouble::{End, Trouble};
use ask::Client;
use gradual_rollout_migration::convert::{Conversion, Options, convert};
use gradual_rollout_migration::input::{self, Source};
use gradual_rollout_migration::model::compare::{between, corpus};
use gradual_rollout_migration::model::envoy::Envoy;
use gradual_rollout_migration::model::nginx::Nginx;
use gradual_rollout_migration::model::{Request, envoy, nginx};
use gradual_rollout_migration::report::CODES;
use guarded::Guarded;
use hit::Hit;
use jiff::Timestamp;
use rustls::ClientConfig;
use serde_json::Value;
use side::{Pace, Side};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use target::{Target, nameless, targets};
use usual::Kept;

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
    /// The limit of bodies where an Ingress says none.
    body_size: String,
    /// What is served on hosts that nobody has.
    nameless: Vec<Target>,
    /// Who keeps somebody out.
    guarded: Guarded,
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

    /// Whether a side was given up, and what was not asked since.
    fn given_up(&self) -> &hung::GivenUp {
        &self.nginx.given_up
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
    args.check()?;
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
    let classes = picture.of(kinds::CLASS.kind);
    let served: Vec<(Value, Kept)> = ingresses
        .iter()
        .map(|ingress| {
            let spelled = usual::spelled(ingress, usual::prefix(&controllers, classes, ingress));
            (spelled, usual::kept(&controllers, &picture, ingress))
        })
        .collect();
    let conversion = conversion(args, &picture)?;
    let targets = targets(&served, &shown(&conversion));
    if targets.is_empty() {
        let within = place
            .namespace
            .as_ref()
            .map_or(String::new(), |name| format!(" in namespace {name}"));
        return Err(Trouble::Refused(format!(
            "there is nothing to ask for: no Ingress of ingress-nginx{within} has a host"
        )));
    }
    let mut probe = probe(args, place, &picture, &controllers).await?;
    probe.nameless = nameless(&served);
    probe.guarded = Guarded::of(&served);
    let usual: Vec<Value> = served.into_iter().map(|(ingress, _)| ingress).collect();
    let (counts, mut hits) = asked(args, &probe, &conversion, &usual, &targets, place).await?;
    accept(args, &mut hits);
    // Only who was asked for everything is marked.
    let asked = |suite: &Suite| counts.contains_key(&suite.word());
    let whole = [
        (marks::PROBED_AT, asked(&Suite::Routes) && !args.quick),
        (marks::EDGE_PROBED_AT, Suite::Edge.parts().iter().all(asked)),
    ];
    let names: Vec<&'static str> = whole
        .iter()
        .filter(|(_, whole)| *whole)
        .map(|(name, _)| *name)
        .collect();
    let marked = if args.no_mark {
        mark::Marked::default()
    } else {
        mark::alike(place, &ingresses, &usual, &names, &hits).await
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
        let labels: serde_json::Map<String, Value> = if args.gateway_selector.is_empty() {
            [("istio".to_owned(), "ingressgateway".into())]
                .into_iter()
                .collect()
        } else {
            let typed = args.gateway_selector.iter().cloned();
            typed.map(|(name, value)| (name, value.into())).collect()
        };
        let pods = picture.workloads().find(|workload| {
            let its = workload.pointer("/spec/template/metadata/labels");
            let has = |(name, value): (&String, &Value)| its.and_then(|its| its.get(name)) == Some(value);
            see::namespace(workload) == args.gateway_namespace && labels.iter().all(has)
        });
        let labels = Value::Object(labels);
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
    let limit = Duration::from_secs(args.timeout);
    let nginx = Side::at("nginx", &nginx.ok_or_else(|| missing("nginx"))?).await?;
    let istio = Side::at("istio", &istio.ok_or_else(|| missing("istio"))?).await?;
    let probe = Probe {
        istio: istio.beside(&nginx),
        nginx,
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
        body_size: usual::body_size(controllers, picture),
        nameless: Vec::new(),
        guarded: Guarded::default(),
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
    conversion: &Conversion,
    ingresses: &[Value],
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
            let mut requests = corpus(ingresses);
            if args.quick {
                requests.retain(Request::has_plain_path);
            }
            let models = models(conversion, ingresses);
            let foreseen = |request: &Request, found: &diff::Difference| {
                let all = between(&models.0, &models.1, std::slice::from_ref(request));
                all.iter().any(|said| foreseen::exactly(said, found))
            };
            let (mut found, reached) = routes::run(probe, &requests, &models.0, &foreseen, place).await?;
            found.extend(alive::dead(ingresses, &reached));
            found.extend(alive::untold(&reached, &probe.backend));
            let (options, more) = suite::preflights::run(probe, targets).await;
            found.extend(more);
            (requests.len() + options, found)
        } else {
            suite::run(probe, suite, targets).await
        };
        let unasked = probe.given_up().hits(suite.name());
        let left = unasked
            .iter()
            .filter(|hit| hit.code == code::UNASKED.name)
            .count();
        counts.insert(suite.word(), count.saturating_sub(left));
        hits.extend(found);
        hits.extend(unasked);
    }
    Ok((counts, hit::once(hits)))
}

/// Takes what somebody agrees with out of the way: only that of which it is known why.
fn accept(args: &ProbeArgs, hits: &mut [Hit]) {
    let accepted = |hit: &&mut Hit| hit.explained && args.accepts(hit.code);
    for hit in hits.iter_mut().filter(accepted) {
        hit.accepted = true;
        hit.severity = Severity::Warning;
    }
}

/// What nginx does with the Ingresses, and what a gateway does with what `convert` writes.
fn models(conversion: &Conversion, ingresses: &[Value]) -> (Nginx, Envoy) {
    (
        Nginx::new(ingresses, nginx::Options::default()),
        Envoy::new(&conversion.objects, envoy::Options::default()),
    )
}

/// The hosts for which `convert` has a certificate shown, and the name of the Secret with it.
fn shown(conversion: &Conversion) -> BTreeMap<String, String> {
    let gateways = conversion
        .objects
        .iter()
        .filter(|object| text(object, "/kind") == Some("Gateway"));
    let all = gateways.flat_map(gateway::showing);
    all.flat_map(|(credential, hosts)| {
        hosts
            .into_iter()
            .map(move |host| (host, format!("/{credential}")))
    })
    .collect()
}

/// What `convert` makes of a cluster.
fn conversion(args: &ProbeArgs, picture: &Picture) -> Result<Conversion, Trouble> {
    let objects: Vec<&Value> = READ.iter().flat_map(|kind| picture.of(kind.kind)).collect();
    let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects});
    let inventory = input::read(&[Source {
        name: "the cluster".to_owned(),
        text: list.to_string(),
    }]);
    let options = Options {
        ingress_class: args.ingress_class.clone(),
        // Whoever applied may have accepted what is lost. What was not applied is not foreseen to be missing.
        accept: CODES
            .iter()
            .filter(|known| known.acceptable)
            .map(|known| known.code)
            .collect(),
        ..Options::default()
    };
    convert(&inventory, &options).map_err(|error| Trouble::Internal(format!("unable to convert: {error}")))
}

/// A line that is written over, on terminals.
fn progress(place: &mut Place<'_>, suite: &str, done: usize, of: usize) -> std::io::Result<()> {
    if place.terminal.is_none() {
        return Ok(());
    }
    write!(place.err, "\r{suite}: {done} of {of}")?;
    if done >= of {
        writeln!(place.err)?;
    }
    place.err.flush()
}
