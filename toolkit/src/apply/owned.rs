//! Whose an object is. What is written rests on Ingresses: a route on those that it was made of, a policy or a rule on
//! those of the routes that have its hosts or lead to its Service, whoever made these. A run speaks for the Ingresses of
//! its batch that its controller serves. What rests on any other that is there is not written otherwise, and what would
//! need that is left out.

use super::gateway::{self, Host};
use super::live::{self, Live};
use super::read::from;
use super::select::shown;
use crate::canaries;
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

/// The Ingresses that are there, that a route serves, and that a run does not speak for. A canary is served by none.
pub fn others(route: &Value, spoken: &BTreeSet<Key>, there: &BTreeMap<Key, Value>) -> Vec<String> {
    canaries::serving(route)
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

/// A Service by a name that a route in a namespace may lead to it by.
pub fn service(host: &str, namespace: &str) -> Key {
    let mut parts = host.split('.');
    let name = parts.next().unwrap_or_default();
    (parts.next().unwrap_or(namespace).to_owned(), name.to_owned())
}

/// Ports; none is one that is not known.
pub type Ports = BTreeSet<Option<u64>>;

/// Routes at gateways that a run does not write, and the ports that they lead to, by Service.
#[derive(Debug, Default)]
pub struct Leading<'a> {
    services: BTreeMap<Key, BTreeMap<Host, (&'a Value, Ports)>>,
}

impl<'a> Leading<'a> {
    /// All but those that are written.
    pub fn new(live: &'a Live, written: &BTreeSet<Host>) -> Self {
        let mut all = Self::default();
        let routes = live.all(&cluster::VIRTUAL_SERVICE);
        for route in routes.filter(|route| live::at_gateway(route)) {
            let key = gateway::key(route);
            if written.contains(&key) {
                continue;
            }
            for list in ["/spec/http", "/spec/tls", "/spec/tcp"] {
                let rules = route.pointer(list).and_then(Value::as_array);
                let rules = rules
                    .into_iter()
                    .flatten()
                    .filter_map(|rule| rule.get("route")?.as_array());
                for to in rules.flatten().filter_map(|route| route.get("destination")) {
                    let host = to.get("host").and_then(Value::as_str).unwrap_or_default();
                    let led = all.services.entry(service(host, &key.0)).or_default();
                    let (_, ports) = led.entry(key.clone()).or_insert_with(|| (route, BTreeSet::new()));
                    ports.insert(to.pointer("/port/number").and_then(Value::as_u64));
                }
            }
        }
        all
    }

    /// Those that lead to a Service, as a rule names it.
    pub fn to(&self, host: &str) -> Vec<(&'a Value, Ports)> {
        let led = self.services.get(&service(host, "")).into_iter();
        led.flat_map(BTreeMap::values).cloned().collect()
    }
}

/// The settings of a rule for some ports; those of all where one of them is not known.
pub fn settings(rule: Option<&Value>, ports: &Ports) -> BTreeMap<u64, Value> {
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
