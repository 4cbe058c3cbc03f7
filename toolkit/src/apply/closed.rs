//! Ingresses that cannot be converted any more, while the gateway serves them as they were: where one demands
//! protection now, the gateway must not go on without.

use super::gateway;
use super::inputs;
use super::keep;
use super::needs::annotate;
use super::owned;
use super::plan::Sources;
use super::read::{from, of_kind};
use super::select::object;
use crate::cluster;
use crate::finding::{Finding, Severity};
use crate::marks;
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

/// What an Ingress demands that the gateway may not have: what refused it and is a control, of its own or of the whole
/// controller; and where it was changed since it was converted, whatever it says to keep somebody out.
fn demands(sources: &Sources<'_>, conversion: &Conversion, key: &Key) -> BTreeSet<String> {
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
    all.extend(
        changed
            .map(marks::protections)
            .unwrap_or_default()
            .into_iter()
            .map(ToOwned::to_owned),
    );
    all
}

/// Those of a batch that are refused and served, and of them those whose paths are closed: the gateway answers itself from
/// here on.
pub fn find(sources: &Sources<'_>, asked: &Asked<'_>, findings: &mut Vec<Finding>) -> BTreeSet<Key> {
    let live = sources.live;
    let refused = refused(asked.conversion);
    let served: BTreeSet<Key> = live.ours(&cluster::VIRTUAL_SERVICE).flat_map(from).collect();
    let served: BTreeSet<Key> = served
        .into_iter()
        .filter(|key| asked.spoken.contains(key) && refused.contains(key))
        .collect();
    let demanding: BTreeMap<&Key, BTreeSet<String>> = served
        .iter()
        .map(|key| (key, demands(sources, asked.conversion, key)))
        .filter(|(_, demands)| !demands.is_empty())
        .collect();
    let whole_ones: BTreeSet<Key> = demanding.keys().copied().cloned().collect();
    let converted: BTreeMap<gateway::Host, BTreeSet<Key>> = of_kind(asked.conversion, "VirtualService")
        .map(|body| (gateway::key(body), from(body)))
        .collect();
    let mut closed = BTreeSet::new();
    for key in &served {
        let its: Vec<&Value> = live
            .ours(&cluster::VIRTUAL_SERVICE)
            .filter(|route| from(route).contains(key))
            .collect();
        // What somebody edited is not written, nor what others rest on.
        let writes = |route: &Value| {
            (sources.args.overwrite || marks::untouched(route) == Some(true))
                && owned::others(route, asked.spoken, &sources.seen.ingresses).is_empty()
        };
        let by_converter = |route: &Value| {
            converted.contains_key(&gateway::key(route))
                && keep::gone(route, &sources.seen.ingresses).is_empty()
        };
        let demands = demanding.get(key);
        let closes = demands.is_some()
            && its
                .iter()
                .all(|route| writes(route) && (by_converter(route) || whole(route, &whole_ones)));
        // Where others of its host are written anew its paths are answered there all the same.
        let anew = its.iter().any(|route| {
            let from = converted.get(&gateway::key(route));
            let others = from.is_some_and(|from| !from.is_disjoint(asked.accepted));
            others && writes(route) && by_converter(route)
        });
        let status: BTreeSet<u16> = its
            .iter()
            .map(|route| {
                if converted.contains_key(&gateway::key(route)) {
                    503
                } else {
                    403
                }
            })
            .collect();
        let became = match demands {
            Some(demands) if closes => Became::Closed(demands, &status),
            Some(demands) => Became::Unprotected(demands),
            None if anew => Became::Beside,
            None => Became::Served,
        };
        let together: BTreeSet<Key> = its.iter().flat_map(|route| from(route)).collect();
        findings.push(became.finding(key, &together));
        if closes {
            closed.insert(key.clone());
        }
    }
    closed
}

/// What becomes of one that is refused and served.
enum Became<'a> {
    Closed(&'a BTreeSet<String>, &'a BTreeSet<u16>),
    Unprotected(&'a BTreeSet<String>),
    Beside,
    Served,
}

impl Became<'_> {
    /// The same, told; `together` are all Ingresses of its routes, which go back together.
    fn finding(&self, key: &Key, together: &BTreeSet<Key>) -> Finding {
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
        let named: Vec<String> = together
            .iter()
            .map(|(namespace, name)| format!("{namespace}/{name}"))
            .collect();
        Finding {
            code,
            severity: Severity::Blocker,
            object: object(key),
            message,
            remedy: format!(
                "give it back to nginx, which can do it, with all that share a route with it: migrate rollback --ingress {}",
                named.join(",")
            ),
        }
    }
}

/// Whether a route serves nothing but what has to be closed. A connection that is passed through cannot be answered.
pub fn whole(route: &Value, closed: &BTreeSet<Key>) -> bool {
    let from = from(route);
    !from.is_empty() && from.is_subset(closed) && route.pointer("/spec/tls").is_none()
}

/// A route that answers everything with 403.
pub fn shut(route: &Value) -> Value {
    let (namespace, name) = gateway::key(route);
    let made_of = cluster::annotation(route, marks::FROM).unwrap_or_default();
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
            "annotations": {marks::FROM: made_of, marks::CLOSED: made_of},
        },
        "spec": spec,
    })
}
