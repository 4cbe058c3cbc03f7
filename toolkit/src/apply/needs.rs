//! What routes may not be without, written on them: whoever takes it away is noticed although a route that nobody
//! guards looks like one that needs no guard.

use super::item::{Change, Item};
use super::live::Live;
use super::plan::Plan;
use super::read::{destinations, from};
use crate::cluster::{self, annotation, meta};
use crate::marks;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Names of objects, by host or Service.
pub type Objects = BTreeMap<String, BTreeSet<String>>;

/// Writes on routes which policies and rules of a plan they need.
pub fn note(plan: &Plan, routes: &mut [Item], live: &Live) {
    let (mut guards, mut rules) = (Objects::new(), Objects::new());
    for item in &plan.items {
        if item.kind == cluster::AUTHORIZATION_POLICY {
            // As it is written now: whoever puts another in its place is noticed.
            let written = annotation(&item.body, marks::WRITTEN).unwrap_or_default();
            for host in &item.hosts {
                let needed = format!("{}@{written}", item.object());
                guards.entry(host.clone()).or_default().insert(needed);
            }
        } else if item.kind == cluster::DESTINATION_RULE
            && let Some(service) = item.body.pointer("/spec/host").and_then(Value::as_str)
        {
            rules.entry(service.to_owned()).or_default().insert(item.object());
        }
    }
    for route in routes {
        let is_held = |host: &String| plan.held.contains(&(route.namespace.clone(), host.clone()));
        // What is closed as a whole keeps what it had.
        if route.hosts.is_empty() || route.hosts.iter().any(is_held) {
            continue;
        }
        let leads = destinations(&route.body);
        let guards = route.hosts.iter().filter_map(|host| guards.get(host));
        let rules = leads.iter().filter_map(|service| rules.get(service));
        let needed: BTreeSet<&str> = guards.chain(rules).flatten().map(String::as_str).collect();
        let needed: Vec<&str> = needed.into_iter().collect();
        let needed = needed.join(",");
        let there = live.get(&route.kind, &route.namespace, &route.name);
        let said = there.and_then(|there| annotation(there, marks::NEEDS));
        if route.change == Change::Same && said.unwrap_or_default() != needed {
            route.change = Change::Update;
        }
        if !needed.is_empty() {
            annotate(&mut route.body, marks::NEEDS, &needed);
        }
    }
}

/// Which Ingresses the routes of each host are made of.
pub fn sources(routes: &[Item]) -> Objects {
    let mut all = Objects::new();
    for route in routes {
        for host in &route.hosts {
            let keys = from(&route.body).into_iter();
            let names = keys.map(|(namespace, name)| format!("{namespace}/{name}"));
            all.entry(host.clone()).or_default().extend(names);
        }
    }
    all
}

/// An object with the Ingresses of the hosts that it is for, and those of other routes that rest on it.
pub fn made_of(body: &Value, hosts: &BTreeSet<String>, sources: &Objects, others: BTreeSet<String>) -> Value {
    let mut keys = others;
    keys.extend(
        hosts
            .iter()
            .filter_map(|host| sources.get(host))
            .flatten()
            .cloned(),
    );
    let mut body = body.clone();
    let keys: Vec<String> = keys.into_iter().collect();
    annotate(&mut body, marks::FROM, &keys.join(","));
    body
}

/// The objects that a route needs, as `Kind namespace/name`; policies with `@` and the digest of what was written.
pub fn of(route: &Value) -> impl Iterator<Item = &str> {
    let all = annotation(route, marks::NEEDS).unwrap_or_default();
    all.split(',').filter(|name| !name.is_empty())
}

/// Whether a route may need a policy of its hosts: it says so, or was written before routes said what they need.
pub fn may_need(route: &Value, guard: &Value) -> bool {
    let name = cluster::AUTHORIZATION_POLICY.named(meta(guard, "namespace"), meta(guard, "name"));
    let says = annotation(route, marks::NEEDS).is_some() || annotation(route, marks::SOURCES).is_some();
    !says || of(route).any(|needed| needed.split('@').next() == Some(name.as_str()))
}

/// Writes an annotation on an object.
pub fn annotate(body: &mut Value, name: &str, value: &str) {
    if let Some(meta) = body.pointer_mut("/metadata").and_then(Value::as_object_mut) {
        let notes = meta.entry("annotations").or_insert_with(|| json!({}));
        if let Some(notes) = notes.as_object_mut() {
            notes.insert(name.to_owned(), value.into());
        }
    }
}
