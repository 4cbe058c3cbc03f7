//! Which locations nginx makes of Ingresses, and which upstream each has.

use super::PREFIX;
use crate::rollout::router_spec::IngressNginx;
use crate::routing::seen::text;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// What nginx keys its back ends by. Displays as `namespace-service-port`, as nginx does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::routing) struct Upstream {
    pub(in crate::routing) namespace: String,
    pub(in crate::routing) service: String,
    /// A number or a name, as written: nginx makes two upstreams of one port that is written in two ways.
    pub(in crate::routing) port: String,
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.namespace, self.service, self.port)
    }
}

/// A location: a host and a path of nginx, with the Ingress that it comes from.
#[derive(Clone, Debug)]
pub(in crate::routing) struct Location {
    /// Empty: every host that no other rule names.
    pub(in crate::routing) host: String,
    pub(in crate::routing) path: String,
    /// As written; `ImplementationSpecific` is taken for `Prefix`, as nginx does.
    pub(in crate::routing) path_type: String,
    pub(in crate::routing) upstream: Upstream,
    pub(in crate::routing) ingress: Arc<Value>,
    /// It comes from a `defaultBackend`: no rule names it, so no canary's rule can match it.
    pub(in crate::routing) implicit: bool,
}

impl Location {
    /// Whether prefixes count.
    pub(in crate::routing) fn is_prefix(&self) -> bool {
        self.path_type != "Exact"
    }

    pub(super) fn key(&self) -> Key {
        (self.host.clone(), self.path.clone(), self.is_prefix())
    }
}

/// What makes two rules one location: host, path and type.
pub(in crate::routing) type Key = (String, String, bool);

/// An annotation under nginx's prefix.
pub(super) fn annotation<'j>(spec: &IngressNginx, ingress: &'j Value, name: &str) -> Option<&'j str> {
    let prefix = spec.annotations_prefix.as_deref().unwrap_or(PREFIX);
    ingress
        .pointer("/metadata/annotations")?
        .get(format!("{prefix}/{name}"))?
        .as_str()
}

/// What nginx takes for true: it reads annotations as Go does.
pub(in crate::routing) fn is_true(text: &str) -> bool {
    matches!(text, "1" | "t" | "T" | "TRUE" | "true" | "True")
}

/// Whether an annotation is there and true.
pub(super) fn is_set(spec: &IngressNginx, ingress: &Value, name: &str) -> bool {
    annotation(spec, ingress, name).is_some_and(is_true)
}

/// Whether an Ingress is a canary: then it makes no location.
pub(super) fn is_canary(spec: &IngressNginx, ingress: &Value) -> bool {
    is_set(spec, ingress, "canary")
}

/// Further names of the servers that an Ingress' hosts make: every location of those hosts answers to them too.
pub(super) fn aliases<'j>(spec: &IngressNginx, ingress: &'j Value) -> impl Iterator<Item = &'j str> {
    let listed = annotation(spec, ingress, "server-alias").unwrap_or_default();
    listed.split(',').map(str::trim).filter(|name| !name.is_empty())
}

/// The class, from the field or the old annotation.
pub(super) fn class(ingress: &Value) -> Option<&str> {
    text(ingress, "/spec/ingressClassName")
        .or_else(|| text(ingress, "/metadata/annotations/kubernetes.io~1ingress.class"))
}

/// Namespace and name.
pub(super) fn names(json: &Value) -> (&str, &str) {
    (
        text(json, "/metadata/namespace").unwrap_or_default(),
        text(json, "/metadata/name").unwrap_or_default(),
    )
}

fn upstream(namespace: &str, backend: &Value) -> Option<Upstream> {
    let port = backend.pointer("/service/port")?;
    let port = match port.get("number").and_then(Value::as_i64).filter(|n| *n > 0) {
        Some(number) => number.to_string(),
        None => port.get("name")?.as_str()?.to_owned(),
    };
    Some(Upstream {
        namespace: namespace.to_owned(),
        service: text(backend, "/service/name")?.to_owned(),
        port,
    })
}

/// Every rule of an Ingress that has a Service behind it, in the words of nginx: an empty path is `/`.
pub(super) fn rules(ingress: &Arc<Value>) -> Vec<Location> {
    let (namespace, _) = names(ingress);
    let mut found = Vec::new();
    let listed = ingress.pointer("/spec/rules").and_then(Value::as_array);
    for rule in listed.into_iter().flatten() {
        let host = text(rule, "/host").unwrap_or_default();
        let paths = rule.pointer("/http/paths").and_then(Value::as_array);
        for entry in paths.into_iter().flatten() {
            let Some(upstream) = entry.get("backend").and_then(|b| upstream(namespace, b)) else {
                continue;
            };
            found.push(Location {
                host: host.to_owned(),
                path: text(entry, "/path")
                    .filter(|p| !p.is_empty())
                    .unwrap_or("/")
                    .to_owned(),
                path_type: text(entry, "/pathType")
                    .unwrap_or("ImplementationSpecific")
                    .to_owned(),
                upstream,
                ingress: ingress.clone(),
                implicit: false,
            });
        }
    }
    found
}

/// What an Ingress' `defaultBackend` serves: `/` of each of its hosts, or of every host when it has no rules.
pub(super) fn defaults(ingress: &Arc<Value>) -> Vec<Location> {
    let (namespace, _) = names(ingress);
    let backend = ingress.pointer("/spec/defaultBackend");
    let Some(upstream) = backend.and_then(|b| upstream(namespace, b)) else {
        return Vec::new();
    };
    let listed = ingress.pointer("/spec/rules").and_then(Value::as_array);
    let mut hosts: Vec<&str> = listed
        .into_iter()
        .flatten()
        .map(|rule| text(rule, "/host").unwrap_or_default())
        .collect();
    if hosts.is_empty() {
        hosts.push("");
    }
    let of = |host: &str| Location {
        host: host.to_owned(),
        path: "/".to_owned(),
        path_type: "Prefix".to_owned(),
        upstream: upstream.clone(),
        ingress: ingress.clone(),
        implicit: true,
    };
    hosts.into_iter().map(of).collect()
}

/// The locations that nginx makes, and the rules that lost theirs to an older Ingress. Canaries make none. Of two
/// rules for one location the older Ingress has it; of the same age the later name, as nginx sorts them.
pub(super) fn locations(
    spec: &IngressNginx,
    ingresses: &[Arc<Value>],
) -> (BTreeMap<Key, Location>, Vec<(Location, Location)>) {
    let mut ordered: Vec<&Arc<Value>> = ingresses.iter().filter(|i| !is_canary(spec, i)).collect();
    let age = |i: &Value| {
        text(i, "/metadata/creationTimestamp")
            .unwrap_or_default()
            .to_owned()
    };
    ordered.sort_by(|a, b| age(a).cmp(&age(b)).then_with(|| names(b).cmp(&names(a))));
    let mut made: BTreeMap<Key, Location> = BTreeMap::new();
    let mut lost = Vec::new();
    for location in ordered.iter().flat_map(|i| rules(i)) {
        match made.get(&location.key()) {
            None => {
                made.insert(location.key(), location);
            }
            Some(winner) if winner.upstream != location.upstream => lost.push((location, winner.clone())),
            Some(_) => {}
        }
    }
    for location in ordered.iter().flat_map(|i| defaults(i)) {
        made.entry(location.key()).or_insert(location);
    }
    (made, lost)
}
