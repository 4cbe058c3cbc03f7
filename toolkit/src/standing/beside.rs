//! Ingresses that nginx answers a name by, and of which the gateway's route for that name was not made: another took the host
//! over, or joined it, since it was written. What each Ingress's own routes say of it does not show that.

use super::Wrong;
use crate::answering::{self, Routes, Servers};
use crate::apply::gateway::{self, Host};
use crate::apply::live::hosts;
use crate::apply::read::from;
use crate::cluster;
use crate::marks;
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

/// Finds them. What is guarded by nginx and led somewhere by the gateway is one thing, what only has no route another.
pub fn find<'a>(servers: &Servers<'_>, routes: &Routes<'a>, is_prefix: &dyn Fn(&str) -> bool) -> Unmade<'a> {
    let mut found = Unmade::default();
    let names: BTreeSet<&String> = servers.names().chain(routes.names()).collect();
    let mut told: BTreeSet<(&Key, Host)> = BTreeSet::new();
    for name in names {
        for route in routes.of(name).iter().copied() {
            let made = from(route);
            for (key, ingress) in servers.of(name).filter(|(key, _)| !made.contains(*key)) {
                let paths = servers.paths(name, key, ingress);
                let at = gateway::key(route);
                if paths.is_empty() || !told.insert((key, at.clone())) {
                    continue;
                }
                found.having.entry(key.clone()).or_default().push(route);
                let object = cluster::INGRESS.named(&key.0, &key.1);
                let has = format!(
                    "{} has its host {name}, and was not made of it",
                    answering::route(route)
                );
                let guards = marks::protections_by(ingress, is_prefix);
                let led = paths.iter().any(|path| answering::leads(route, path));
                if guards.is_empty() || !led {
                    let said = format!("{has}: the gateway does not serve it as nginx does");
                    let wrong = ("STATE-BESIDE", object, said);
                    found.ingresses.entry(key.clone()).or_default().push(wrong);
                    continue;
                }
                let said = format!(
                    "nginx guards it ({}); {has}: the gateway leads its requests on without that",
                    guards.join(", ")
                );
                let wrong = ("STATE-UNPROTECTED", object, said);
                found
                    .ingresses
                    .entry(key.clone())
                    .or_default()
                    .push(wrong.clone());
                found.routes.entry(at).or_default().push(wrong);
            }
        }
    }
    found
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
