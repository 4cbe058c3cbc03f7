//! Reading what a conversion made.

use super::live;
use super::select::shown;
use crate::answering::keys;
use crate::marks;
use gradual_rollout_migration::convert::Conversion;
use gradual_rollout_migration::input::Key;
use gradual_rollout_migration::report::Entry;
use serde_json::Value;
use std::collections::BTreeSet;

/// The Ingresses that an object was made of.
pub fn from(object: &Value) -> BTreeSet<Key> {
    keys(object, marks::FROM)
}

/// Codes, for people.
pub fn codes<'a>(entries: impl Iterator<Item = &'a Entry>) -> String {
    let mut all: Vec<String> = entries.map(|entry| entry.code.text().to_owned()).collect();
    all.sort();
    all.dedup();
    shown(&all)
}

/// The objects of one kind.
pub fn of_kind<'a>(conversion: &'a Conversion, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    let is = move |object: &&Value| object.get("kind").and_then(Value::as_str) == Some(kind);
    conversion.objects.iter().filter(is)
}

/// The Services that a `VirtualService` leads to, as `DestinationRules` name them.
pub fn destinations(body: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for list in ["/spec/http", "/spec/tls"] {
        let routes = body.pointer(list).and_then(Value::as_array).into_iter().flatten();
        for route in routes.filter_map(|rule| rule.get("route")?.as_array()).flatten() {
            let host = route.pointer("/destination/host").and_then(Value::as_str);
            found.extend(host.map(ToOwned::to_owned));
        }
    }
    found
}

/// The Services and ports that a `VirtualService` leads to.
pub fn ports(body: &Value) -> BTreeSet<(String, u64)> {
    let mut found = BTreeSet::new();
    for list in ["/spec/http", "/spec/tls"] {
        let routes = body.pointer(list).and_then(Value::as_array).into_iter().flatten();
        for route in routes.filter_map(|rule| rule.get("route")?.as_array()).flatten() {
            let host = route.pointer("/destination/host").and_then(Value::as_str);
            let port = route.pointer("/destination/port/number").and_then(Value::as_u64);
            found.extend(host.zip(port).map(|(host, port)| (host.to_owned(), port)));
        }
    }
    found
}

/// The hosts of a policy, without ports.
pub fn guarded(body: &Value) -> BTreeSet<String> {
    let rules = body
        .pointer("/spec/rules")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let to = rules.filter_map(|rule| rule.get("to")?.as_array()).flatten();
    to.flat_map(|to| live::texts(to, "/operation/hosts"))
        .map(|host| host.split(':').next().unwrap_or(host).to_owned())
        .collect()
}
