//! Policies and rules: those that a route needs and that are not as they were written, and those that no route needs.

use crate::apply::gateway;
use crate::apply::live::{Live, hosts, texts};
use crate::apply::needs;
use crate::apply::read::{destinations, from, guarded};
use crate::apply::secret;
use crate::cluster::{self, annotation, meta};
use crate::marks;
use crate::rollback::plan::named;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// What is wrong with what a route needs.
pub fn needs(route: &Value, live: &Live) -> Vec<(&'static str, String, String)> {
    let object = named(&cluster::VIRTUAL_SERVICE, route);
    let mut found = Vec::new();
    for needed in needs::of(route) {
        let Some((kind, key)) = needed.split_once(' ') else {
            continue;
        };
        let (key, written) = key
            .split_once('@')
            .map_or((key, None), |(key, written)| (key, Some(written)));
        let Some((namespace, name)) = key.split_once('/') else {
            continue;
        };
        let needed = kind_and(kind, key);
        let guard = kind == cluster::AUTHORIZATION_POLICY.kind;
        let kind = if guard {
            cluster::AUTHORIZATION_POLICY
        } else {
            cluster::DESTINATION_RULE
        };
        match live.get(&kind, namespace, name) {
            None => found.push((
                if guard {
                    "STATE-GUARD-MISSING"
                } else {
                    "STATE-RULE-MISSING"
                },
                object.clone(),
                format!("it is served without {needed}, which is gone"),
            )),
            Some(there)
                if !marks::ours(there)
                    || marks::untouched(there) != Some(true)
                    || written.is_some_and(|written| annotation(there, marks::WRITTEN) != Some(written)) =>
            {
                found.push((
                if guard {
                    "STATE-GUARD-EDITED"
                } else {
                    "STATE-RULE-EDITED"
                },
                needed,
                "somebody edited it since it was written, or put another in its place, and a route needs it"
                    .to_owned(),
            ));
            }
            Some(there) if guard => found
                .extend(elsewhere(route, there, live).map(|said| ("STATE-GUARD-ELSEWHERE", needed, said))),
            Some(_) => {}
        }
    }
    found
}

fn kind_and(kind: &str, key: &str) -> String {
    format!("{kind} {key}")
}

/// That a policy is for other pods than those of a Gateway of its route.
fn elsewhere(route: &Value, guard: &Value, live: &Live) -> Option<String> {
    let empty = Map::new();
    let map = |object: &'_ Value, pointer: &str| object.pointer(pointer).and_then(Value::as_object).cloned();
    let guarded = map(guard, "/spec/selector/matchLabels").unwrap_or_else(|| empty.clone());
    texts(route, "/spec/gateways").find_map(|name| {
        let (namespace, name) = name.split_once('/')?;
        let gateway = live.get(&cluster::GATEWAY, namespace, name)?;
        let pods = map(gateway, "/spec/selector").unwrap_or_else(|| empty.clone());
        let covers = guarded.iter().all(|(label, value)| pods.get(label) == Some(value));
        (!covers).then(|| {
            format!(
                "it guards pods with {}, and Gateway {namespace}/{name}, which a route of its hosts is bound to, is served by pods with {}",
                Value::Object(guarded.clone()),
                Value::Object(pods)
            )
        })
    })
}

/// What no route needs: a policy that denies at the gateway, a rule for a Service; and a copy that nobody shows.
pub fn find(live: &Live, namespace: Option<&str>) -> Vec<(&'static str, String, String)> {
    let routes = || live.ours(&cluster::VIRTUAL_SERVICE);
    let served: BTreeSet<String> = routes().flat_map(hosts).collect();
    let led: BTreeSet<String> = routes().flat_map(destinations).collect();
    let asked = |object: &Value| {
        let from = from(object);
        let of = |name: &str| from.is_empty() || from.iter().any(|key| key.0 == name);
        annotation(object, marks::WRITTEN).is_some() && namespace.is_none_or(of)
    };
    let guards = live
        .ours(&cluster::AUTHORIZATION_POLICY)
        .filter(|guard| asked(guard) && guarded(guard).is_disjoint(&served));
    let mut found: Vec<_> = guards
        .map(|guard| {
            (
                "STATE-LEFTOVER-GUARD",
                named(&cluster::AUTHORIZATION_POLICY, guard),
                "it denies at the gateway, and no route of ours has its hosts".to_owned(),
            )
        })
        .collect();
    let rules = live.ours(&cluster::DESTINATION_RULE).filter(|rule| {
        let service = rule.pointer("/spec/host").and_then(Value::as_str);
        asked(rule) && service.is_some_and(|service| !led.contains(service))
    });
    found.extend(rules.map(|rule| {
        (
            "STATE-LEFTOVER-RULE",
            named(&cluster::DESTINATION_RULE, rule),
            "no route of ours leads to its Service".to_owned(),
        )
    }));
    let shown: BTreeSet<String> = live
        .all(&cluster::GATEWAY)
        .flat_map(gateway::credentials)
        .collect();
    let copies = live.ours(&cluster::SECRET).filter(|copy| {
        let of = |source: (String, String)| namespace.is_none_or(|name| source.0 == name);
        annotation(copy, marks::WRITTEN).is_some()
            && secret::source(copy).is_some_and(of)
            && !shown.contains(meta(copy, "name"))
    });
    found.extend(copies.map(|copy| {
        (
            "STATE-LEFTOVER-COPY",
            named(&cluster::SECRET, copy),
            "it is a copy of a certificate that no Gateway shows".to_owned(),
        )
    }));
    found
}
