//! Ingresses that nginx answers a name by, and of which the gateway's route for that name was not made: another took the host
//! over, or joined it, since it was written. What each Ingress's own routes say of it does not show that.

use super::Wrong;
use crate::answering::{self, Routes, Servers};
use crate::apply::gateway::{self, Host};
use crate::apply::live::hosts;
use crate::apply::read::from;
use crate::cluster;
use crate::marks;
use crate::whose::{self, Apart, Gateway, Nginx};
use gradual_rollout_migration::input::Key;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What is wrong with Ingresses, and with routes that have their hosts without them.
#[derive(Debug, Default)]
pub struct Unmade<'a> {
    /// Of Ingresses.
    pub ingresses: BTreeMap<Key, Vec<Wrong>>,
    /// Of routes.
    pub routes: BTreeMap<Host, Vec<Wrong>>,
    /// The routes that have the hosts of Ingresses.
    pub having: BTreeMap<Key, Vec<&'a Value>>,
}

/// Finds them. What is guarded by nginx and led somewhere for another by the gateway is one thing, what is only answered
/// otherwise another.
pub fn find<'a>(
    ingresses: &[(&'a Key, &'a Value)],
    routes: &[&'a Value],
    is_prefix: &dyn Fn(&str) -> bool,
) -> Unmade<'a> {
    let (nginx, gateway) = (
        Nginx::new(ingresses.iter().copied()),
        Gateway::new(routes.iter().copied()),
    );
    let mut found = Unmade::default();
    let mut told: BTreeSet<(&Key, Host)> = BTreeSet::new();
    let mut apart = whose::apart(&nginx, &gateway);
    apart.retain(|one| marks::ours(one.lead.route));
    for one in &apart {
        let guards = one.guards(is_prefix);
        let at = gateway::key(one.lead.route);
        if guards.is_empty() || !told.insert((one.key, at.clone())) {
            continue;
        }
        let wrong = ("STATE-UNPROTECTED", object(one.key), unprotected(one, &guards));
        found.tell(one.key, one.lead.route, wrong.clone());
        found.routes.entry(at).or_default().push(wrong);
    }
    for one in &apart {
        let at = gateway::key(one.lead.route);
        // What takes the rest takes what is not there yet, which is left.
        let known = hosts(one.lead.route).iter().all(|host| host != "*") || marks::migrated(one.ingress);
        if known && told.insert((one.key, at.clone())) {
            let said = format!(
                "the gateway answers {}{} by {}{}: it does not serve it as nginx does",
                one.name,
                one.path,
                answering::route(one.lead.route),
                made_of(one)
            );
            let wrong = ("STATE-BESIDE", object(one.key), said);
            found.tell(one.key, one.lead.route, wrong);
        }
    }
    found.unserved(&nginx, &gateway);
    let ours = routes.iter().copied().filter(|route| !from(route).is_empty());
    let (servers, routes) = (Servers::new(ingresses.iter().copied()), Routes::new(ours));
    let names: BTreeSet<&String> = servers.names().chain(routes.names()).collect();
    for name in names {
        for route in routes.of(name).iter().copied() {
            let made = from(route);
            for (key, ingress) in servers.of(name).filter(|(key, _)| !made.contains(*key)) {
                let paths = servers.paths(name, key, ingress);
                if paths.is_empty() || !told.insert((key, gateway::key(route))) {
                    continue;
                }
                let said = format!(
                    "{} has its host {name}, and was not made of it: the gateway does not serve it as nginx does",
                    answering::route(route)
                );
                found.tell(key, route, ("STATE-BESIDE", object(key), said));
            }
        }
    }
    found
}

fn object(key: &Key) -> String {
    cluster::INGRESS.named(&key.0, &key.1)
}

/// For whom a route answers.
fn made_of(one: &Apart<'_>) -> String {
    let owner = one.lead.owner.as_ref();
    owner.map_or_else(String::new, |(namespace, name)| {
        format!(", for Ingress {namespace}/{name}")
    })
}

/// That the gateway leads on what nginx guards.
pub fn unprotected(one: &Apart<'_>, guards: &[&str]) -> String {
    format!(
        "nginx guards it ({}); the gateway leads {}{} on by {}{}, without that",
        guards.join(", "),
        one.name,
        one.path,
        answering::route(one.lead.route),
        made_of(one)
    )
}

impl<'a> Unmade<'a> {
    /// What nginx serves and the gateway does not, once for each name.
    fn unserved(&mut self, nginx: &Nginx<'a>, gateway: &Gateway<'a>) {
        let mut told: BTreeSet<(&Key, String)> = BTreeSet::new();
        for (key, name, path, route) in whose::unserved(nginx, gateway) {
            if !told.insert((key, name.clone())) {
                continue;
            }
            let said = match route {
                Some(route) => format!(
                    "{} answers {name}{path} itself, for the sake of another that could not be converted: nginx serves it by this one",
                    answering::route(route)
                ),
                None => format!("nginx serves {name}{path} by it, and the gateway has no route for {name}"),
            };
            let wrong = ("STATE-BESIDE", object(key), said);
            self.ingresses.entry(key.clone()).or_default().push(wrong);
        }
    }

    fn tell(&mut self, key: &Key, route: &'a Value, wrong: Wrong) {
        self.having.entry(key.clone()).or_default().push(route);
        self.ingresses.entry(key.clone()).or_default().push(wrong);
    }
}

/// Whether a route has nothing but hosts that an Ingress of its has no more.
pub fn left(route: &Value, ingress: &Value) -> bool {
    let names = answering::names(ingress);
    // A redirect from or to `www` is a route of its own.
    let other = |host: &String| {
        let bare = host.strip_prefix("www.");
        names.contains(host) || names.contains(bare.unwrap_or(&format!("www.{host}")))
    };
    let hosts = hosts(route);
    !hosts.is_empty() && !hosts.iter().any(other)
}
