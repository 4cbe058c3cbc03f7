//! Ingresses that cannot be converted any more, while the gateway serves them as they were: where one demands
//! protection now, the gateway must not go on without.

use super::gateway;
use super::inputs;
use super::keep;
use super::live;
use super::needs::annotate;
use super::owned;
use super::plan::Sources;
use super::read::{from, of_kind};
use super::select::object;
use crate::answering::{self, Routes, Servers};
use crate::canaries;
use crate::cluster;
use crate::convert;
use crate::finding::{Finding, Severity};
use crate::marks;
use crate::whose::Apart;
use gradual_rollout_migration::convert::Conversion;
use gradual_rollout_migration::input::Key;
use gradual_rollout_migration::report::Outcome;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The name of a route that is closed.
pub const CLOSED: &str = "closed";

/// What is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The Ingresses that the run speaks for.
    pub spoken: &'a BTreeSet<Key>,
    /// Those of which everything is converted.
    pub accepted: &'a BTreeSet<Key>,
    /// What was converted.
    pub conversion: &'a Conversion,
}

/// The Ingresses that were refused.
pub fn refused(conversion: &Conversion) -> BTreeSet<Key> {
    let all = conversion.report.ingresses.iter();
    all.filter(|result| result.outcome == Outcome::Refused)
        .map(|result| (result.namespace.clone(), result.name.clone()))
        .collect()
}

/// Notes on a route whose paths it answers itself.
pub fn note(route: &mut Value, live: Option<&Value>, refused: &BTreeSet<Key>) {
    let mut all = from(route);
    all.extend(
        live.filter(|live| marks::ours(live))
            .map(from)
            .unwrap_or_default(),
    );
    let closed: Vec<String> = all
        .iter()
        .filter(|key| refused.contains(*key))
        .map(|(namespace, name)| format!("{namespace}/{name}"))
        .collect();
    if !closed.is_empty() {
        annotate(route, marks::CLOSED, &closed.join(","));
    }
}

/// Whether a route answers the paths of an Ingress itself.
pub fn closes(route: &Value, key: &Key) -> bool {
    let noted = cluster::annotation(route, marks::CLOSED).unwrap_or_default();
    let mut names = noted.split(',').filter_map(|name| name.split_once('/'));
    names.any(|(namespace, name)| namespace == key.0 && name == key.1)
}

/// What has to be closed.
#[derive(Debug, Default)]
pub struct Closing {
    /// Ingresses whose paths the gateway answers itself from here on.
    pub keys: BTreeSet<Key>,
    /// Routes that answer everything themselves, and for whom.
    pub routes: BTreeMap<gateway::Host, BTreeSet<Key>>,
}

/// What it is decided by.
struct Ground<'a> {
    sources: &'a Sources<'a>,
    asked: &'a Asked<'a>,
    /// Those that are refused and demand what the gateway may not have, and what.
    demanding: BTreeMap<Key, BTreeSet<String>>,
    /// What a conversion makes of whom.
    converted: BTreeMap<gateway::Host, BTreeSet<Key>>,
}

/// What an Ingress demands that the gateway may not have: what refused it and is a control, of its own or of the whole
/// controller; and where it was changed since it was converted, whatever it says to keep somebody out.
fn demands(sources: &Sources<'_>, conversion: &Conversion, prefix: &str, key: &Key) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let results = conversion.report.ingresses.iter();
    for result in results.filter(|result| result.namespace == key.0 && result.name == key.1) {
        let entries = result.entries.iter().filter(|entry| entry.sec && entry.refuses());
        all.extend(entries.map(|entry| entry.code.text().to_owned()));
    }
    let ingress = sources.seen.ingresses.get(key);
    let changed = ingress.filter(|ingress| {
        let noted = || {
            let routes = sources.live.ours(&cluster::VIRTUAL_SERVICE);
            routes
                .filter_map(|route| inputs::as_noted(route, key, ingress))
                .any(|same| !same)
        };
        marks::as_converted(ingress) != Some(true) || noted()
    });
    let said = changed.map(|ingress| marks::protections_by(ingress, &|before| before == prefix));
    all.extend(said.unwrap_or_default().into_iter().map(ToOwned::to_owned));
    all
}

impl Ground<'_> {
    /// What somebody edited is not written, nor what others rest on.
    fn writes(&self, route: &Value) -> bool {
        (self.sources.args.overwrite || marks::untouched(route) == Some(true))
            && owned::others(route, self.asked.spoken, &self.sources.seen.ingresses).is_empty()
    }

    /// Whether what the converter makes closes the paths of one.
    fn converts(&self, route: &Value, key: &Key) -> bool {
        let made = self.converted.get(&gateway::key(route));
        let closed = if from(route).contains(key) {
            made.is_some()
        } else {
            self.converted.values().any(|made| made.contains(key))
        };
        closed && keep::gone(route, &self.sources.seen.ingresses).is_empty()
    }

    /// Whether a route serves nothing but what has to be closed, and what nobody asks of it any more. A connection that is
    /// passed through cannot be answered.
    fn whole(&self, route: &Value) -> bool {
        // What only splits it has nothing of its own to be served.
        let serving = canaries::serving(route);
        let closes = |key: &Key| self.demanding.contains_key(key) || self.nobodys(route, key);
        !serving.is_empty() && serving.iter().all(closes) && route.pointer("/spec/tls").is_none()
    }

    /// Whether one of a route's Ingresses is gone by another hand, or is converted and has none of its hosts any more.
    fn nobodys(&self, route: &Value, key: &Key) -> bool {
        let asked = self.asked;
        match self.sources.seen.ingresses.get(key) {
            None => !keep::cleaned(route, key),
            Some(ingress) => {
                asked.spoken.contains(key)
                    && asked.accepted.contains(key)
                    && live::hosts(route).is_disjoint(&answering::names(ingress))
            }
        }
    }
}

/// The routes that the gateway answers each of some Ingresses by: those that were made of it, and those that have its hosts
/// from others, and lead somewhere for its paths.
fn answered<'a>(
    sources: &Sources<'a>,
    asked: &Asked<'_>,
    routes: &[&'a Value],
) -> BTreeMap<Key, Vec<&'a Value>> {
    let there = &sources.seen.ingresses;
    let spoken = there.iter().filter(|(key, _)| asked.spoken.contains(*key));
    let servers = Servers::new(spoken);
    let named = Routes::new(routes.iter().copied());
    let mut made: BTreeMap<Key, Vec<&Value>> = BTreeMap::new();
    for route in routes {
        for key in from(route) {
            made.entry(key).or_default().push(route);
        }
    }
    let mut all: BTreeMap<Key, Vec<&Value>> = BTreeMap::new();
    for key in refused(asked.conversion)
        .into_iter()
        .filter(|key| asked.spoken.contains(key))
    {
        let mut its = made.remove(&key).unwrap_or_default();
        if let Some(ingress) = there.get(&key).filter(|ingress| !answering::canary(ingress)) {
            for name in answering::names(ingress) {
                let paths = servers.paths(&name, &key, ingress);
                for route in named.of(&name) {
                    let known = its.iter().any(|other| std::ptr::eq(*other, *route));
                    if !known && paths.iter().any(|path| answering::leads(route, path)) {
                        its.push(route);
                    }
                }
            }
        }
        if !its.is_empty() {
            all.insert(key, its);
        }
    }
    all
}

/// Those of a batch that are refused and served, and of them those whose paths are closed: the gateway answers itself from
/// here on. Routes that go by this run serve nothing any more.
pub fn find(
    sources: &Sources<'_>,
    asked: &Asked<'_>,
    going: &BTreeSet<gateway::Host>,
    findings: &mut Vec<Finding>,
) -> Closing {
    let routes = sources.live.ours(&cluster::VIRTUAL_SERVICE);
    let routes: Vec<&Value> = routes
        .filter(|route| !going.contains(&gateway::key(route)))
        .collect();
    let prefix = convert::prefix(&sources.seen.inventory, sources.options);
    let served = answered(sources, asked, &routes);
    let demanding = served
        .keys()
        .map(|key| (key.clone(), demands(sources, asked.conversion, &prefix, key)))
        .filter(|(_, demands)| !demands.is_empty())
        .collect();
    let ground = Ground {
        sources,
        asked,
        demanding,
        converted: of_kind(asked.conversion, "VirtualService")
            .map(|body| (gateway::key(body), from(body)))
            .collect(),
    };
    let mut closing = Closing::default();
    for (key, its) in &served {
        let demands = ground.demanding.get(key);
        if demands.is_none() && !its.iter().any(|route| from(route).contains(key)) {
            // Its host is another's, and it asks for nothing that is lost there.
            continue;
        }
        let closes = demands.is_some()
            && its
                .iter()
                .all(|route| ground.writes(route) && (ground.converts(route, key) || ground.whole(route)));
        // Where others of its host are written anew its paths are answered there all the same.
        let anew = its.iter().any(|route| {
            let made = ground.converted.get(&gateway::key(route));
            let others = made.is_some_and(|made| !made.is_disjoint(asked.accepted));
            others && ground.writes(route) && ground.converts(route, key)
        });
        let status: BTreeSet<u16> = its
            .iter()
            .map(|route| if ground.converts(route, key) { 503 } else { 403 })
            .collect();
        let became = match demands {
            Some(demands) if closes => Became::Closed(demands, &status),
            Some(demands) => Became::Unprotected(demands),
            None if anew => Became::Beside,
            None => Became::Served,
        };
        let mut together: BTreeSet<Key> = its.iter().flat_map(|route| from(route)).collect();
        together.insert(key.clone());
        let back = keep::back(&together, its, &sources.seen.ingresses);
        findings.push(became.finding(key, &back));
        if closes {
            closing.keys.insert(key.clone());
            for route in its.iter().filter(|route| !ground.converts(route, key)) {
                let shut = closing.routes.entry(gateway::key(route)).or_default();
                shut.insert(key.clone());
            }
        }
    }
    beneath(&ground, going, &mut closing, findings);
    closing
}

/// Refused Ingresses whose requests a route of others would take that this run writes, as no narrower one is there: their
/// paths are closed with it.
fn beneath(
    ground: &Ground<'_>,
    going: &BTreeSet<gateway::Host>,
    closing: &mut Closing,
    findings: &mut Vec<Finding>,
) {
    let refused = refused(ground.asked.conversion);
    let bodies = of_kind(ground.asked.conversion, "VirtualService");
    let written: Vec<&Value> = bodies
        .filter(|body| {
            let made = from(body);
            !made.is_disjoint(ground.asked.accepted) || !made.is_disjoint(&closing.keys)
        })
        .collect();
    for (key, one) in ground.sources.opening.unguarded(&written, going) {
        let converted = || ground.converted.values().any(|made| made.contains(&key));
        if refused.contains(&key)
            && ground.asked.spoken.contains(&key)
            && !closing.keys.contains(&key)
            && converted()
        {
            findings.push(Became::Beneath(&one).finding(&key, ""));
            closing.keys.insert(key);
        }
    }
}

/// What becomes of one that is refused and served.
enum Became<'a> {
    Closed(&'a BTreeSet<String>, &'a BTreeSet<u16>),
    Unprotected(&'a BTreeSet<String>),
    Beside,
    Beneath(&'a Apart<'a>),
    Served,
}

impl Became<'_> {
    /// The same, told; and how all Ingresses of its routes go back together.
    fn finding(&self, key: &Key, back: &str) -> Finding {
        let list = |all: &BTreeSet<String>| all.iter().cloned().collect::<Vec<_>>().join(", ");
        let (code, message) = match self {
            Self::Closed(demands, status) => {
                let status: Vec<String> = status.iter().map(ToString::to_string).collect();
                (
                    "APPLY-CLOSED",
                    format!(
                        "the gateway served it without what it demands now ({}): its paths are closed there, and answer {}",
                        list(demands),
                        status.join(" or ")
                    ),
                )
            }
            Self::Beside => (
                "APPLY-CLOSED",
                "its host is written anew for the sake of others, and it cannot be: its paths answer 503 there".to_owned(),
            ),
            Self::Beneath(one) => (
                "APPLY-CLOSED",
                format!(
                    "nginx guards it, and at the gateway {} would take its requests without that: its paths are closed there, and answer 503",
                    answering::route(one.lead.route)
                ),
            ),
            Self::Served => (
                "APPLY-STILL-SERVED",
                "the gateway serves it as it was before".to_owned(),
            ),
            Self::Unprotected(demands) => (
                "APPLY-UNPROTECTED",
                format!(
                    "the gateway still serves it, perhaps without what it demands now: {}",
                    list(demands)
                ),
            ),
        };
        let remedy = if matches!(self, Self::Beneath(_)) {
            "leave its names with nginx; or mend what refuses it (migrate explain), and apply again"
                .to_owned()
        } else {
            format!("give it back to nginx, which can do it, with all that share a route with it: {back}")
        };
        Finding {
            code,
            severity: Severity::Blocker,
            object: object(key),
            message,
            remedy,
        }
    }
}

/// A route that answers everything with 403, for the sake of some Ingresses. What it needs stays with it.
pub fn shut(route: &Value, sake: &BTreeSet<Key>) -> Value {
    let (namespace, name) = gateway::key(route);
    let made_of = answering::typed(sake);
    let mut notes = json!({marks::FROM: made_of, marks::CLOSED: made_of});
    if let (Some(needs), Some(notes)) = (cluster::annotation(route, marks::NEEDS), notes.as_object_mut()) {
        notes.insert(marks::NEEDS.to_owned(), needs.into());
    }
    let mut spec = marks::spec(route);
    if let Some(spec) = spec.as_object_mut() {
        spec.insert(
            "http".to_owned(),
            json!([{"name": CLOSED, "directResponse": {"status": 403}}]),
        );
    }
    json!({
        "apiVersion": route.get("apiVersion"), "kind": "VirtualService",
        "metadata": {
            "name": name, "namespace": namespace, "labels": {marks::MANAGED_BY: marks::OURS},
            "annotations": notes,
        },
        "spec": spec,
    })
}
