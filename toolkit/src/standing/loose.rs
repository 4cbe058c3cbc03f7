//! Policies and rules: those that a route needs and that are not as they were written, and those that no route needs.

use super::Wrong;
use crate::apply::gateway;
use crate::apply::inputs;
use crate::apply::live::{Live, hosts, texts};
use crate::apply::needs;
use crate::apply::read::{destinations, from, guarded};
use crate::apply::secret;
use crate::cluster::{self, annotation, label, meta};
use crate::digest;
use crate::foreign::{self, Foreign};
use crate::loadbalancer::SERVICE;
use crate::marks;
use crate::rollback::plan::named;
use gradual_rollout_migration::input::Key;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// What is said at the end of a policy too many that somebody edited: it takes more to have it taken away.
pub const EDITED: &str = "; somebody edited it since it was written";

/// Policies that `apply` wrote, by their hosts.
#[derive(Debug, Default)]
pub struct Guards<'a> {
    by_host: BTreeMap<String, Vec<&'a Value>>,
}

impl<'a> Guards<'a> {
    /// Of what is there.
    pub fn new(live: &'a Live) -> Self {
        let mut all = Self::default();
        let guards = live.ours(&cluster::AUTHORIZATION_POLICY);
        for guard in guards.filter(|guard| annotation(guard, marks::WRITTEN).is_some()) {
            for host in guarded(guard) {
                all.by_host.entry(host).or_default().push(guard);
            }
        }
        all
    }

    /// Those of a route's hosts that it does not need: they deny what nginx serves; unless they are what their Ingresses ask
    /// for now, and only the route was not written since.
    pub fn stale<'r>(&self, route: &Value, there: &dyn Fn(&Key) -> Option<&'r Value>) -> Vec<Wrong> {
        let guards = hosts(route)
            .into_iter()
            .filter_map(|host| self.by_host.get(&host));
        let stale = guards.flatten().filter(|guard| !needs::may_need(route, guard));
        let told: BTreeMap<String, (bool, bool)> = stale
            .map(|guard| {
                let edited = marks::untouched(guard) == Some(false);
                let guard_is = (is_asked(guard, there), edited);
                (named(&cluster::AUTHORIZATION_POLICY, guard), guard_is)
            })
            .collect();
        let of = named_route(route);
        let wrong = |(guard, (asked, edited)): (String, (bool, bool))| {
            if asked {
                let said = format!(
                    "it is as its Ingresses ask now, and {of} was not written since: something that the route needs is missing, or an apply was ended half-way"
                );
                return ("STATE-GUARD-AHEAD", guard, said);
            }
            let edited = if edited { EDITED } else { "" };
            let said = format!(
                "it denies at the gateway for hosts of {of}, which does not need it: its Ingresses have no such list any more, or an apply was ended half-way{edited}"
            );
            ("STATE-GUARD-STALE", guard, said)
        };
        told.into_iter().map(wrong).collect()
    }
}

/// Whether a policy is of Ingresses that are there, and are as it was made of them.
fn is_asked<'r>(guard: &Value, there: &dyn Fn(&Key) -> Option<&'r Value>) -> bool {
    let made = from(guard);
    let same = |key: &Key| there(key).and_then(|ingress| inputs::as_noted(guard, key, ingress)) == Some(true);
    !made.is_empty() && made.iter().all(same)
}

fn named_route(route: &Value) -> String {
    named(&cluster::VIRTUAL_SERVICE, route)
}

/// What is wrong with what a route needs.
pub fn needs(route: &Value, live: &Live) -> Vec<Wrong> {
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
            Some(there) if edited(there, written) => {
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

/// Whether what a route needs is not what it was written with. What stands for a load balancer says so on the route alone.
fn edited(there: &Value, written: Option<&str>) -> bool {
    if label(there, SERVICE).is_some() {
        return written != Some(digest::short(&marks::spec(there)).as_str());
    }
    !marks::ours(there)
        || marks::untouched(there) != Some(true)
        || written.is_some_and(|written| annotation(there, marks::WRITTEN) != Some(written))
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

/// What others wrote in the way of a route: rules for Services that its own are for, and policies that deny its hosts.
pub fn taken(route: &Value, live: &Live, foreign: &Foreign<'_>) -> Vec<Wrong> {
    let mut found = Vec::new();
    let empty = Map::new();
    for name in texts(route, "/spec/gateways") {
        let Some((namespace, name)) = name.split_once('/') else {
            continue;
        };
        let rules = needs::of(route).filter_map(|needed| {
            let (kind, key) = needed.split_once(' ')?;
            let (at, name) = key.split_once('/')?;
            let rule = live.get(&cluster::DESTINATION_RULE, at, name);
            rule.filter(|_| kind == cluster::DESTINATION_RULE.kind)
        });
        for rule in rules {
            let host = rule
                .pointer("/spec/host")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let others = foreign.rules(host, namespace);
            if !others.is_empty() {
                let said = format!(
                    "it is for {host}, of which {} is for {}: Istio may go by it alone, without protocol, balancing and timeout of ours",
                    named(&cluster::DESTINATION_RULE, rule),
                    named_route(route)
                );
                found.push((
                    "STATE-RULE-TAKEN",
                    foreign::named(&cluster::DESTINATION_RULE, &others),
                    said,
                ));
            }
        }
        let gateway = live.get(&cluster::GATEWAY, namespace, name);
        let pods = gateway.and_then(|gateway| gateway.pointer("/spec/selector")?.as_object());
        for host in hosts(route) {
            let denying = foreign.denying(&host, namespace, pods.unwrap_or(&empty));
            if !denying.is_empty() {
                let said = format!(
                    "it lets nobody in at the gateway for {host}, a host of {}",
                    named_route(route)
                );
                let object = foreign::named(&cluster::AUTHORIZATION_POLICY, &denying);
                found.push(("STATE-DENIED", object, said));
            }
        }
    }
    found
}

/// What no route needs: a policy that denies at the gateway, a rule for a Service; and a copy that nobody shows.
pub fn find(live: &Live, namespace: Option<&str>) -> Vec<Wrong> {
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
