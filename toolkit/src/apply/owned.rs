//! Whose an object is. What is written rests on Ingresses: a route on those that it was made of, a policy or a rule on
//! those of the routes that have its hosts or lead to its Service, whoever made these. A run speaks for the Ingresses of
//! its batch that its controller serves. What rests on any other that is there is not written otherwise, and what would
//! need that is left out.

use super::gateway::{self, Host};
use super::live::{self, Live};
use super::read::from;
use super::select::shown;
use crate::cluster::{self, meta};
use crate::finding::{Finding, Severity};
use gradual_rollout_migration::convert::Conversion;
use gradual_rollout_migration::input::Key;
use gradual_rollout_migration::report::{Code, Outcome};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The Ingresses that a run speaks for: those of its batch that are its controller's.
pub fn spoken(batch: &BTreeSet<Key>, conversion: &Conversion) -> BTreeSet<Key> {
    let elsewhere = |code: Code| matches!(code, Code::OtherClass | Code::NotWatched | Code::ClassMissing);
    let own = conversion.report.ingresses.iter().filter(|result| {
        result.outcome != Outcome::Dropped || !result.entries.iter().any(|entry| elsewhere(entry.code))
    });
    own.map(|result| (result.namespace.clone(), result.name.clone()))
        .filter(|key| batch.contains(key))
        .collect()
}

/// The Ingresses that are there, that a route serves, and that a run does not speak for.
pub fn others(route: &Value, spoken: &BTreeSet<Key>, there: &BTreeMap<Key, Value>) -> Vec<String> {
    from(route)
        .into_iter()
        .filter(|key| there.contains_key(key) && !spoken.contains(key))
        .map(|(namespace, name)| format!("{namespace}/{name}"))
        .collect()
}

/// That a host is somebody else's at the gateway; `old` where its own Ingress is in the batch and does not have it.
pub fn taken(host: &str, having: &str, serves: &[String], old: bool) -> Finding {
    let (whom, remedy) = if old {
        (
            ", which its own Ingress does not have any more".to_owned(),
            "say --prune: then it goes, and the host is written".to_owned(),
        )
    } else if serves.is_empty() {
        (
            String::new(),
            "take the host out of it, or leave the Ingress out".to_owned(),
        )
    } else {
        let named = serves.join(",");
        (
            format!(
                ", for Ingress {}, which this run does not speak for",
                shown(serves)
            ),
            format!(
                "where it is of the same class, name it too (--ingress {named}); where it is of another, take the host out of one of them, or give it back first: migrate rollback --ingress {named}"
            ),
        )
    };
    Finding {
        code: "APPLY-HOST-TAKEN",
        severity: Severity::Blocker,
        object: format!("host {host}"),
        message: format!("left out: VirtualService {having} has it at a gateway already{whom}"),
        remedy,
    }
}

/// A Service as `DestinationRules` name it, and the ports of it that a route leads to; none where it names none.
fn leads(route: &Value, service: &str) -> Option<BTreeSet<Option<u64>>> {
    let namespace = meta(route, "namespace");
    // What others write may be short for a Service of the route's own namespace.
    let (short, domain) = service.split_once('.')?;
    let same = |host: &str| {
        host == service
            || domain.starts_with(&format!("{namespace}."))
                && (host == short || host == format!("{short}.{namespace}"))
            || host == service.trim_end_matches(".cluster.local")
    };
    let mut ports = BTreeSet::new();
    for list in ["/spec/http", "/spec/tls", "/spec/tcp"] {
        let rules = route.pointer(list).and_then(Value::as_array);
        let routes = rules
            .into_iter()
            .flatten()
            .filter_map(|rule| rule.get("route")?.as_array());
        for destination in routes.flatten().filter_map(|route| route.get("destination")) {
            let host = destination
                .get("host")
                .and_then(Value::as_str)
                .unwrap_or_default();
            if same(host) {
                ports.insert(destination.pointer("/port/number").and_then(Value::as_u64));
            }
        }
    }
    (!ports.is_empty()).then_some(ports)
}

/// Routes at gateways that lead to a Service and that a run does not write, with the ports that they lead to.
pub fn leading<'a>(
    live: &'a Live,
    service: &str,
    written: &BTreeSet<Host>,
) -> Vec<(&'a Value, BTreeSet<Option<u64>>)> {
    live.all(&cluster::VIRTUAL_SERVICE)
        .filter(|route| live::at_gateway(route) && !written.contains(&gateway::key(route)))
        .filter_map(|route| Some((route, leads(route, service)?)))
        .collect()
}

/// The settings of a rule for some ports; those of all where one of them is not known.
pub fn settings(rule: Option<&Value>, ports: &BTreeSet<Option<u64>>) -> BTreeMap<u64, Value> {
    let list = rule.and_then(|rule| rule.pointer("/spec/trafficPolicy/portLevelSettings"));
    let list = list.and_then(Value::as_array).into_iter().flatten();
    let known = list.filter_map(|setting| {
        let number = setting.pointer("/port/number").and_then(Value::as_u64)?;
        Some((number, setting.clone()))
    });
    known
        .filter(|(number, _)| ports.contains(&None) || ports.contains(&Some(*number)))
        .collect()
}

/// That a Service is spoken to as others need it.
pub fn shared(service: &str, hosts: &BTreeSet<String>, others: &[&Value]) -> Finding {
    let names: Vec<String> = others
        .iter()
        .map(|route| format!("{}/{}", meta(route, "namespace"), meta(route, "name")))
        .collect();
    let keys: BTreeSet<String> = others
        .iter()
        .flat_map(|route| from(route))
        .map(|(namespace, name)| format!("{namespace}/{name}"))
        .collect();
    let keys: Vec<String> = keys.into_iter().collect();
    let of = if keys.is_empty() {
        String::new()
    } else {
        format!(" (Ingress {})", shown(&keys))
    };
    Finding {
        code: "APPLY-BACKEND-SHARED",
        severity: Severity::Blocker,
        object: format!("Service {service}"),
        message: format!(
            "left out with {}: protocol, balancing or timeout would be others than those of VirtualService {}{of}, which this run does not write, and a Service is spoken to in one way",
            shown(&hosts.iter().cloned().collect::<Vec<_>>()),
            shown(&names)
        ),
        remedy: "name those Ingresses too where they are of the same class; else say the same on all of them, or give one of them a Service of its own".to_owned(),
    }
}
