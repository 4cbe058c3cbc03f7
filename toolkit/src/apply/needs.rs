//! What routes may not be without, written on them: whoever takes it away is noticed although a route that nobody
//! guards looks like one that needs no guard.

use super::item::{Change, Item};
use super::live::Live;
use super::plan::Plan;
use super::read::{destinations, from};
use crate::cluster::{self, annotation};
use crate::marks;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Writes on routes which policies and rules of a plan they need.
pub fn note(plan: &Plan, routes: &mut [Item], live: &Live) {
    for route in routes {
        let held = plan
            .held
            .iter()
            .any(|(namespace, host)| *namespace == route.namespace && route.hosts.contains(host));
        if held {
            continue;
        }
        let leads = destinations(&route.body);
        let needed: Vec<String> = plan
            .items
            .iter()
            .filter(|item| {
                let service = item.body.pointer("/spec/host").and_then(Value::as_str);
                (item.kind == cluster::AUTHORIZATION_POLICY && !item.hosts.is_disjoint(&route.hosts))
                    || (item.kind == cluster::DESTINATION_RULE
                        && service.is_some_and(|service| leads.contains(service)))
            })
            .map(Item::object)
            .collect();
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

/// An object with the Ingresses of those routes that it is for.
pub fn made_of(body: &Value, hosts: &BTreeSet<String>, routes: &[Item]) -> Value {
    let its = routes.iter().filter(|route| !route.hosts.is_disjoint(hosts));
    let keys: BTreeSet<String> = its
        .flat_map(|route| from(&route.body))
        .map(|(namespace, name)| format!("{namespace}/{name}"))
        .collect();
    let mut body = body.clone();
    annotate(
        &mut body,
        marks::FROM,
        &keys.into_iter().collect::<Vec<_>>().join(","),
    );
    body
}

/// The objects that a route needs, as `Kind namespace/name`.
pub fn of(route: &Value) -> impl Iterator<Item = &str> {
    let all = annotation(route, marks::NEEDS).unwrap_or_default();
    all.split(',').filter(|name| !name.is_empty())
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
