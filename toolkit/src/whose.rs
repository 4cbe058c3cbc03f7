//! Whose a request is on either side: by which Ingress nginx answers a name and a path, and by rules of which Ingresses the
//! gateway may lead them on. Hosts lie within each other: a name that has no route of its own is answered by a wildcard's, or
//! by what takes the rest, on either side. Where nginx guards what the gateway leads on for another, the guard is lost.

mod gateway;
mod nginx;

pub use gateway::{Gateway, Lead};
pub use nginx::{Nginx, Server};

use crate::answering;
use crate::apply::closed;
use crate::canaries;
use crate::marks;
use crate::standing::beside;
use gradual_rollout_migration::input::Key;
use serde_json::Value;
use std::collections::BTreeSet;

/// What no host has.
const REST: &str = "*";

/// A label, and a segment of a path, that nobody has.
const OTHER: &str = "any-other-name";

/// A request that nginx answers by one Ingress and that the gateway leads on for another.
#[derive(Clone, Debug)]
pub struct Apart<'a> {
    /// The name, or the wildcard that it is under.
    pub name: String,
    /// The path.
    pub path: String,
    /// The Ingress by which nginx answers it.
    pub key: &'a Key,
    /// The same, as it is.
    pub ingress: &'a Value,
    /// What the gateway does.
    pub lead: Lead<'a>,
}

impl<'a> Apart<'a> {
    /// What keeps somebody out at nginx alone: names of annotations.
    pub fn guards(&self, is_prefix: &dyn Fn(&str) -> bool) -> Vec<&'a str> {
        marks::protections_by(self.ingress, is_prefix)
    }
}

/// A name that stands for others is asked for by one that nobody has.
fn asked(name: &str) -> String {
    match name.strip_prefix(REST) {
        Some("") => format!("{OTHER}.{OTHER}"),
        Some(rest) => format!("{OTHER}{rest}"),
        None => name.to_owned(),
    }
}

/// Requests that the sides answer for different Ingresses, as far as the gateway leads them on: of each name and path that
/// either side tells apart.
pub fn apart<'a>(nginx: &Nginx<'a>, gateway: &Gateway<'a>) -> Vec<Apart<'a>> {
    let names: BTreeSet<&str> = nginx.names().chain(gateway.names()).collect();
    names
        .into_iter()
        .flat_map(|name| apart_at(nginx, gateway, name))
        .collect()
}

/// The same of one name.
pub fn apart_at<'a>(nginx: &Nginx<'a>, gateway: &Gateway<'a>, name: &str) -> Vec<Apart<'a>> {
    let host = asked(name);
    let Some(server) = nginx.server(&host) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut tell = |path: &str, (key, ingress): (&'a Key, &'a Value), leads: Vec<Lead<'a>>| {
        let others = leads.into_iter().filter(|lead| !lead.is_of(key, ingress));
        found.extend(others.map(|lead| Apart {
            name: name.to_owned(),
            path: path.to_owned(),
            key,
            ingress,
            lead,
        }));
    };
    if server.is_regex() {
        // Which requests an expression takes is not asked: it has rules of its own name, or it has none.
        for (path, key, ingress) in server.owners() {
            tell(path, (key, ingress), gateway.without(&host, key, path));
        }
        return found;
    }
    for path in paths(server, gateway, &host) {
        if let Some(own) = server.who(&path) {
            tell(&path, own, gateway.leads(&host, &path));
        }
    }
    found
}

/// The paths that either side tells apart, and one below each.
fn paths(server: &Server<'_>, gateway: &Gateway<'_>, host: &str) -> BTreeSet<String> {
    let mut paths: BTreeSet<String> = server.owners().map(|(path, _, _)| path.to_owned()).collect();
    paths.extend(gateway.paths(host));
    let below = |path: &String| format!("{}/{OTHER}", path.trim_end_matches('/'));
    let below: Vec<String> = paths.iter().map(below).collect();
    paths.extend(below);
    paths
}

/// What nginx serves by a migrated Ingress, and the gateway does not, for the sake of others or as it has no route: the
/// Ingress, the name and the path, and the route that answers it itself.
pub fn unserved<'a>(
    nginx: &Nginx<'a>,
    gateway: &Gateway<'a>,
) -> Vec<(&'a Key, String, String, Option<&'a Value>)> {
    let mut found = Vec::new();
    let migrated = |(key, ingress): (&'a Key, &'a Value)| marks::migrated(ingress).then_some((key, ingress));
    for name in nginx.names() {
        let host = asked(name);
        let Some(server) = nginx.server(&host).filter(|server| !server.is_regex()) else {
            continue;
        };
        let has = gateway.has(&host);
        for path in paths(server, gateway, &host) {
            let Some((key, ingress)) = server.who(&path).and_then(migrated) else {
                continue;
            };
            let refuses = gateway.refuses(&host, &path);
            let other = refuses.is_some_and(|route| !closed::closes(route, key));
            if other || !has && !answering::names(ingress).contains(name) {
                found.push((key, name.to_owned(), path, refuses));
            }
        }
    }
    found
}

impl Lead<'_> {
    /// Whether it is a rule of an Ingress, or of one that only splits what it serves. One that has none of the route's hosts
    /// any more has only its name in common with what the route was made of.
    pub fn is_of(&self, key: &Key, ingress: &Value) -> bool {
        let own = match &self.owner {
            Some(owner) => owner == key || canaries::of(self.route).contains(owner),
            None => crate::apply::read::from(self.route).contains(key),
        };
        own && !beside::left(self.route, ingress)
    }
}
