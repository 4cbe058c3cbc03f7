//! Whether what is written would lead on what nginx guards: hosts lie within each other, and a route takes whatever no
//! narrower one has, of Ingresses that have none among it. What would is held back.

use super::gateway;
use super::item::{Change, Item};
use super::live::{Live, named};
use super::plan::{Plan, Sources};
use super::read::from;
use super::select::object;
use crate::answering::{self, typed};
use crate::cluster;
use crate::convert;
use crate::finding::{Finding, Severity};
use crate::whose::{self, Apart, Gateway, Nginx};
use gradual_rollout_migration::convert::{Options, served};
use gradual_rollout_migration::input::Key;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// An Ingress, and a name and a path by which nginx answers it.
type Spot = (Key, String, String);

/// What nginx guards, and what of it the gateway leads on before anything is written.
#[derive(Debug)]
pub struct Opening<'a> {
    nginx: Nginx<'a>,
    prefixes: BTreeSet<String>,
    routes: Vec<&'a Value>,
    before: BTreeSet<Spot>,
}

/// Hosts that are open at some Gateways.
fn open<'a>(gateways: impl Iterator<Item = &'a Value>) -> BTreeSet<gateway::Host> {
    gateways.flat_map(gateway::opened).collect()
}

/// Whether a route takes a name at a Gateway that has some hosts open.
fn takes(one: &Apart<'_>, open: &BTreeSet<gateway::Host>) -> bool {
    let (namespace, _) = gateway::key(one.lead.route);
    gateway::is_open(&namespace, &one.name, open)
}

fn spot(one: &Apart<'_>) -> Spot {
    (one.key.clone(), one.name.clone(), one.path.clone())
}

impl<'a> Opening<'a> {
    /// As it is.
    pub fn new(options: &Options, seen: &'a convert::Seen, live: &'a Live) -> Self {
        let its = served(&seen.inventory, options);
        let ingresses = seen.ingresses.iter().filter(|(key, _)| its.contains(*key));
        let gateways: Vec<&Value> = live.ours(&cluster::GATEWAY).collect();
        let all = live.all(&cluster::VIRTUAL_SERVICE);
        // What others have at gateways of their own hides nothing of ours.
        let home = format!("{}/{}", options.gateway_namespace, options.gateway_name);
        let bound = |route: &&Value| {
            super::live::texts(route, "/spec/gateways").any(|name| name == home)
                || gateways.iter().any(|gateway| gateway::binds(gateway, route))
        };
        let prefixes = BTreeSet::from([convert::prefix(&seen.inventory, options)]);
        Self::of(
            Nginx::new(ingresses),
            prefixes,
            all.filter(bound).collect(),
            &gateways,
        )
    }

    /// As some routes are, at some Gateways.
    pub fn of(
        nginx: Nginx<'a>,
        prefixes: BTreeSet<String>,
        routes: Vec<&'a Value>,
        gateways: &[&Value],
    ) -> Self {
        let mut found = Self {
            nginx,
            prefixes,
            routes,
            before: BTreeSet::new(),
        };
        let gateway = Gateway::new(found.routes.iter().copied());
        let open = open(gateways.iter().copied());
        let before = found
            .guarded(&gateway)
            .into_iter()
            .filter(|one| takes(one, &open));
        found.before = before.map(|one| spot(&one)).collect();
        found
    }

    /// What nginx guards and routes lead on for others.
    fn guarded<'g>(&'g self, gateway: &Gateway<'g>) -> Vec<Apart<'g>> {
        let mut all = whose::apart(&self.nginx, gateway);
        all.retain(|one| !self.guards(one).is_empty());
        all
    }

    /// What keeps somebody out at nginx alone.
    pub fn guards<'g>(&self, one: &Apart<'g>) -> Vec<&'g str> {
        one.guards(&|before| self.prefixes.contains(before))
    }

    /// The routes that stand where some are written, and some are gone.
    fn standing<'g>(&'g self, written: &[&'g Value], gone: &BTreeSet<gateway::Host>) -> Gateway<'g> {
        let anew: BTreeSet<gateway::Host> = written.iter().map(|body| gateway::key(body)).collect();
        let old = self.routes.iter().copied().filter(|route| {
            let key = gateway::key(route);
            !anew.contains(&key) && !gone.contains(&key)
        });
        Gateway::new(old.chain(written.iter().copied()))
    }

    /// What nginx guards and routes would lead on that did not, at Gateways that have some hosts open then.
    pub fn newly<'g>(
        &'g self,
        written: &[&'g Value],
        gone: &BTreeSet<gateway::Host>,
        open: &BTreeSet<gateway::Host>,
    ) -> Vec<Apart<'g>> {
        let mut all = self.guarded(&self.standing(written, gone));
        all.retain(|one| !self.before.contains(&spot(one)) && takes(one, open));
        all
    }

    /// Ingresses whose requests these routes would lead on for others, without what nginx guards them by; and for whom.
    pub fn unguarded<'g>(
        &'g self,
        written: &[&'g Value],
        gone: &BTreeSet<gateway::Host>,
    ) -> BTreeMap<Key, Apart<'g>> {
        let gateway = self.standing(written, gone);
        let all = self.guarded(&gateway).into_iter();
        let new = all.filter(|one| !self.before.contains(&spot(one)));
        new.map(|one| (one.key.clone(), one)).collect()
    }
}

/// The name of an object.
fn key(item: &Item) -> gateway::Host {
    (item.namespace.clone(), item.name.clone())
}

/// Whether a route is written by a run that leaves some hosts out.
fn written(item: &Item, plan: &Plan, overwrite: bool) -> bool {
    let change = match item.change {
        Change::Create | Change::Update => true,
        Change::Edited | Change::Both => overwrite,
        Change::Same | Change::Foreign => false,
    };
    let out = |host: &String| plan.bad.contains(host) || plan.withheld.contains(host);
    item.kind == cluster::VIRTUAL_SERVICE && change && !item.hosts.iter().any(out)
}

/// Holds back what would lead on what nginx guards: routes that would be written, or opened, and the deletion of those
/// that a wider one stands behind.
pub fn hold_back(sources: &Sources<'_>, plan: &mut Plan) {
    let opening = sources.opening;
    let mut told: BTreeSet<(gateway::Host, Key)> = BTreeSet::new();
    let live: Vec<&Value> = sources.live.ours(&cluster::GATEWAY).collect();
    loop {
        let items: Vec<&Item> = plan.items.iter().collect();
        let routes = items.iter().filter(|item| item.kind == cluster::VIRTUAL_SERVICE);
        let writing = routes
            .clone()
            .filter(|item| written(item, plan, sources.args.overwrite));
        let writing: Vec<&Value> = writing.map(|item| &item.body).collect();
        let pruned = plan
            .pruned
            .iter()
            .filter(|(kind, _)| *kind == cluster::VIRTUAL_SERVICE);
        let gone: BTreeSet<gateway::Host> = pruned.map(|(_, route)| gateway::key(route)).collect();
        let planned = items.iter().filter(|item| item.kind == cluster::GATEWAY);
        let hosts = open(live.iter().copied().chain(planned.map(|item| &item.body)));
        let own: BTreeMap<gateway::Host, &BTreeSet<String>> =
            routes.map(|item| (key(item), &item.hosts)).collect();
        let (mut withheld, mut staying, mut findings) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        for one in opening.newly(&writing, &gone, &hosts) {
            let at = gateway::key(one.lead.route);
            let held = own.get(&at).is_some_and(|hosts| {
                let new = hosts.iter().any(|host| !plan.withheld.contains(host));
                withheld.extend(hosts.iter().cloned());
                new
            });
            let over = gone.iter().filter(|gone| {
                let route = sources.live.get(&cluster::VIRTUAL_SERVICE, &gone.0, &gone.1);
                route.is_some_and(|route| answers(route, &one.name))
            });
            let before = staying.len();
            staying.extend(over.cloned());
            if (held || staying.len() > before) && told.insert((at, one.key.clone())) {
                findings.push(held_back(&one, &opening.guards(&one), staying.len() > before));
            }
        }
        let nothing = findings.is_empty();
        plan.withheld.extend(withheld);
        plan.findings.extend(findings);
        plan.pruned
            .retain(|(_, object)| !staying.contains(&gateway::key(object)));
        if nothing {
            return;
        }
    }
}

/// Whether a route is for a name, or for others that a wildcard stands for.
pub fn answers(route: &Value, name: &str) -> bool {
    let open = named(route).collect();
    gateway::is_open(&gateway::key(route).0, name, &open)
}

fn held_back(one: &Apart<'_>, guards: &[&str], stays: bool) -> Finding {
    let route = answering::route(one.lead.route);
    let made: Vec<Key> = from(one.lead.route).into_iter().collect();
    let whose = match &one.lead.owner {
        Some(owner) => typed([owner]),
        None => typed(made.iter()),
    };
    let what = if stays {
        format!("what answers {} stays, and is not deleted", one.name)
    } else {
        format!("{route} is not written")
    };
    Finding {
        code: "APPLY-WOULD-OPEN",
        severity: Severity::Blocker,
        object: object(one.key),
        message: format!(
            "nginx guards it ({}), and has {}{} by it; at the gateway {route}, for Ingress {whose}, would take these requests without that: {what}",
            guards.join(", "),
            one.name,
            one.path
        ),
        remedy: format!(
            "apply it in the same run (--all, or name it too with --ingress {}): where it cannot be converted, its paths are closed at the gateway; or leave {whose} with nginx",
            typed([one.key])
        ),
    }
}
