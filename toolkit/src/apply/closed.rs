//! Ingresses that cannot be converted any more, while the gateway serves them as they were: where one demands
//! protection now, the gateway must not go on without.

use super::gateway;
use super::keep;
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
use std::collections::BTreeSet;

/// The name of a route that is closed.
pub const CLOSED: &str = "closed";

/// Those of a batch that are refused and served, and of them those whose paths are closed: they answer 403 at the
/// gateway from here on.
pub fn find(
    sources: &Sources<'_>,
    batch: &BTreeSet<Key>,
    conversion: &Conversion,
    findings: &mut Vec<Finding>,
) -> BTreeSet<Key> {
    let (seen, live) = (sources.seen, sources.live);
    let refused = |key: &Key| {
        conversion.report.ingresses.iter().any(|result| {
            result.outcome == Outcome::Refused && result.namespace == key.0 && result.name == key.1
        })
    };
    let served: BTreeSet<Key> = live.ours(&cluster::VIRTUAL_SERVICE).flat_map(from).collect();
    let served: BTreeSet<Key> = served
        .into_iter()
        .filter(|key| batch.contains(key) && refused(key))
        .collect();
    let protections = |key: &Key| {
        seen.ingresses
            .get(key)
            .map(marks::protections)
            .unwrap_or_default()
    };
    let demanding: BTreeSet<Key> = served
        .iter()
        .filter(|key| !protections(key).is_empty())
        .cloned()
        .collect();
    let converted: BTreeSet<gateway::Host> =
        of_kind(conversion, "VirtualService").map(gateway::key).collect();
    let mut closed = BTreeSet::new();
    for key in &served {
        let mut its = live
            .ours(&cluster::VIRTUAL_SERVICE)
            .filter(|route| from(route).contains(key));
        let closes = demanding.contains(key)
            && its.all(|route| {
                let by_converter =
                    converted.contains(&gateway::key(route)) && keep::gone(route, &seen.ingresses).is_empty();
                // What somebody edited is not written.
                let writes = sources.args.overwrite || marks::untouched(route) == Some(true);
                writes && (by_converter || whole(route, &demanding))
            });
        findings.push(finding(key, &protections(key), closes));
        if closes {
            closed.insert(key.clone());
        }
    }
    closed
}

fn finding(key: &Key, protections: &[&str], closes: bool) -> Finding {
    let (code, message) = if closes {
        (
            "APPLY-CLOSED",
            format!(
                "the gateway served it without what it demands now ({}): its paths are closed there, and answer 403",
                protections.join(", ")
            ),
        )
    } else if protections.is_empty() {
        (
            "APPLY-STILL-SERVED",
            "the gateway serves it as it was before".to_owned(),
        )
    } else {
        (
            "APPLY-UNPROTECTED",
            format!(
                "the gateway still serves it, perhaps without what it demands now: {}",
                protections.join(", ")
            ),
        )
    };
    Finding {
        code,
        severity: Severity::Blocker,
        object: object(key),
        message,
        remedy: format!(
            "give it back to nginx, which can do it: migrate rollback --ingress {}/{}",
            key.0, key.1
        ),
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
            "annotations": {marks::FROM: made_of},
        },
        "spec": spec,
    })
}
