//! Routes that keep a wider one from what nginx guards. Without them the gateway would lead requests on by that, without the
//! guard, so they stay as long as it does.

use super::plan::{Undo, named};
use super::watch::prefixes;
use crate::answering::{self, typed};
use crate::apply::gateway::{self, Host};
use crate::apply::keep;
use crate::apply::live::Live;
use crate::apply::opening::{Opening, answers};
use crate::apply::read::from;
use crate::cluster::{self, annotation};
use crate::finding::{Finding, Severity};
use crate::marks;
use crate::restore::plan::Step;
use crate::see::text;
use crate::whose::{Apart, Nginx};
use gradual_rollout_migration::input::Key;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Why a route stays.
#[derive(Clone, Debug)]
pub struct Stays {
    /// As the rest of a sentence.
    pub why: String,
    /// The Ingresses of the wider route.
    pub with: BTreeSet<Key>,
}

/// Ingresses as they are when a rollback is done.
pub fn then(ingresses: &BTreeMap<Key, Value>, steps: &[Step]) -> BTreeMap<Key, Value> {
    let back = steps
        .iter()
        .map(|step| ((step.namespace.clone(), step.name.clone()), step.kept.clone()));
    // What is there is not written by one that comes back.
    back.chain(ingresses.clone()).collect()
}

/// The class of an Ingress, however it says it.
fn class(ingress: &Value) -> Option<&str> {
    let field = text(ingress, "/spec/ingressClassName");
    field.or_else(|| annotation(ingress, "kubernetes.io/ingress.class"))
}

/// Whether two may be of one controller.
fn together(one: &Value, other: Option<&Value>) -> bool {
    let (own, other) = (class(one), other.and_then(class));
    own.is_none() || other.is_none() || own == other
}

/// What nginx guards, with the prefixes of annotations that routes were made by.
fn opening<'a>(ingresses: &'a BTreeMap<Key, Value>, live: &'a Live) -> Opening<'a> {
    let routes: Vec<&Value> = live.ours(&cluster::VIRTUAL_SERVICE).collect();
    let prefixes = routes.iter().flat_map(|route| prefixes(route)).collect();
    let gateways: Vec<&Value> = live.ours(&cluster::GATEWAY).collect();
    Opening::of(Nginx::new(ingresses.iter()), prefixes, routes, &gateways)
}

/// Finds them among what goes.
pub fn find(undo: &Undo, ingresses: &BTreeMap<Key, Value>, live: &Live) -> BTreeMap<Host, Stays> {
    let opening = opening(ingresses, live);
    let gone: BTreeSet<Host> = undo.removed.iter().map(gateway::key).collect();
    let open: BTreeSet<Host> = live
        .ours(&cluster::GATEWAY)
        .filter_map(|gateway| {
            let closes = undo
                .gateways
                .iter()
                .any(|other| gateway::key(other) == gateway::key(gateway));
            gateway::without(
                gateway,
                &|host| closes && undo.hosts.contains(host),
                &undo.staying(gateway),
            )
        })
        .flat_map(|gateway| gateway::opened(&gateway))
        .collect();
    let mut found = BTreeMap::new();
    for one in opening.newly(&[], &gone, &open) {
        let owner = one.lead.owner.as_ref().and_then(|owner| ingresses.get(owner));
        if !marks::ours(one.lead.route) || !together(one.ingress, owner) {
            continue;
        }
        let over = undo.removed.iter().filter(|route| answers(route, &one.name));
        for route in over {
            found
                .entry(gateway::key(route))
                .or_insert_with(|| stays(&one, &opening.guards(&one)));
        }
    }
    found
}

/// The same, told; and how all go back together.
pub fn finding(
    route: &Value,
    made_of: &BTreeSet<Key>,
    stays: &Stays,
    ingresses: &BTreeMap<Key, Value>,
) -> Finding {
    let all = made_of.union(&stays.with).cloned().collect();
    Finding {
        code: "ROLLBACK-GUARDING",
        severity: Severity::Blocker,
        object: named(&cluster::VIRTUAL_SERVICE, route),
        message: format!("left: {}", stays.why),
        remedy: format!(
            "give back the wider one with it, or before: {}",
            keep::back(&all, &[route], ingresses)
        ),
    }
}

/// The routes among what goes whose Ingresses nginx guards.
pub fn guarded(undo: &Undo, ingresses: &BTreeMap<Key, Value>) -> BTreeSet<Host> {
    let guards = |route: &&Value| {
        let prefixes = prefixes(route);
        let made = from(route);
        let mut its = made.iter().filter_map(|key| ingresses.get(key));
        its.any(|ingress| !marks::protections_by(ingress, &|before| prefixes.contains(before)).is_empty())
    };
    undo.removed.iter().filter(guards).map(gateway::key).collect()
}

fn stays(one: &Apart<'_>, guards: &[&str]) -> Stays {
    let with = match &one.lead.owner {
        Some(owner) => BTreeSet::from([owner.clone()]),
        None => from(one.lead.route),
    };
    Stays {
        why: format!(
            "without it the gateway would lead {}{} on by {}, for Ingress {}, and nginx guards it for Ingress {} ({})",
            one.name,
            one.path,
            answering::route(one.lead.route),
            typed(&with),
            typed([one.key]),
            guards.join(", ")
        ),
        with: from(one.lead.route),
    }
}
