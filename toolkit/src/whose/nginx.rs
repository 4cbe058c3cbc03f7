//! By which Ingress nginx answers: its servers, and their locations in the order in which they were made.

use super::REST;
use crate::answering::{canary, on};
use crate::cluster::meta;
use crate::see::{entries, items, text};
use gradual_rollout_migration::input::Key;
use serde_json::Value;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// The servers of nginx.
#[derive(Debug, Default)]
pub struct Nginx<'a> {
    servers: BTreeMap<String, Server<'a>>,
}

/// How a location takes paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Takes {
    Exact,
    /// Whole segments.
    Segments,
    /// Whatever begins with it.
    Beginning,
}

#[derive(Clone, Debug)]
struct Location<'a> {
    takes: Takes,
    path: String,
    key: &'a Key,
    ingress: &'a Value,
}

/// One server.
#[derive(Clone, Debug, Default)]
pub struct Server<'a> {
    locations: Vec<Location<'a>>,
    regex: bool,
}

/// The host of a rule, as servers are named.
fn host(rule: &Value) -> String {
    let host = text(rule, "/host")
        .filter(|host| !host.is_empty())
        .unwrap_or(REST);
    host.to_ascii_lowercase()
}

/// The value of an annotation, whatever its prefix.
fn note<'v>(ingress: &'v Value, name: &str) -> Option<&'v str> {
    let mut all = entries(ingress, "/metadata/annotations");
    let is = |found: &str| found.split_once('/').is_some_and(|(_, found)| found == name);
    all.find(|(found, _)| is(found))
        .and_then(|(_, value)| value.as_str())
}

impl<'a> Server<'a> {
    /// Of one path that two have, nginx serves the one that it met first.
    fn add(&mut self, takes: Takes, path: &str, (key, ingress): (&'a Key, &'a Value)) {
        let bare = |path: &str| match path.trim_end_matches('/') {
            "" => "/".to_owned(),
            bare => bare.to_owned(),
        };
        let exact = takes == Takes::Exact;
        let path = if takes == Takes::Segments {
            bare(path)
        } else {
            path.to_owned()
        };
        let same = |known: &Location<'_>| (known.takes == Takes::Exact) == exact && known.path == path;
        if !self.locations.iter().any(same) {
            self.locations.push(Location {
                takes,
                path,
                key,
                ingress,
            });
        }
    }

    /// Whether its paths are expressions, for the sake of one of its Ingresses.
    pub fn is_regex(&self) -> bool {
        self.regex
    }

    /// Its paths, and whose they are.
    pub fn owners(&self) -> impl Iterator<Item = (&str, &'a Key, &'a Value)> {
        let all = self.locations.iter();
        all.map(|location| (location.path.as_str(), location.key, location.ingress))
    }

    /// By which Ingress it answers a path.
    pub fn who(&self, path: &str) -> Option<(&'a Key, &'a Value)> {
        let exact = |location: &&Location<'_>| location.takes == Takes::Exact && location.path == path;
        let under = |location: &&Location<'_>| match location.takes {
            Takes::Exact => false,
            Takes::Beginning => path.starts_with(&location.path),
            Takes::Segments => {
                let rest = path.strip_prefix(&location.path);
                location.path == "/" || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
        };
        let longest = || {
            self.locations
                .iter()
                .filter(under)
                .max_by_key(|one| one.path.len())
        };
        let found = self.locations.iter().find(exact).or_else(longest)?;
        Some((found.key, found.ingress))
    }
}

impl<'a> Nginx<'a> {
    /// With Ingresses that it serves.
    pub fn new(ingresses: impl Iterator<Item = (&'a Key, &'a Value)>) -> Self {
        let mut all: Vec<_> = ingresses.filter(|(_, ingress)| !canary(ingress)).collect();
        // The oldest first; of one second the later name.
        all.sort_by_key(|(key, ingress)| (meta(ingress, "creationTimestamp"), Reverse(*key)));
        let mut found = Self::default();
        for one in &all {
            found.take(*one);
        }
        found.further(&all);
        found
    }

    fn take(&mut self, (key, ingress): (&'a Key, &'a Value)) {
        let regex = note(ingress, "use-regex").is_some_and(on)
            || note(ingress, "rewrite-target").is_some_and(|target| !target.is_empty());
        let mut hosts: BTreeSet<String> = BTreeSet::new();
        for rule in items(ingress, "/spec/rules") {
            let server = self.servers.entry(host(rule)).or_default();
            server.regex |= regex;
            hosts.insert(host(rule));
            for path in items(rule, "/http/paths") {
                let takes = match text(path, "/pathType") {
                    Some("Exact") => Takes::Exact,
                    Some("Prefix") => Takes::Segments,
                    Some(_) | None => Takes::Beginning,
                };
                let at = text(path, "/path").filter(|path| !path.is_empty()).unwrap_or("/");
                server.add(takes, at, (key, ingress));
            }
        }
        if ingress.pointer("/spec/defaultBackend").is_some() {
            if hosts.is_empty() {
                hosts.insert(REST.to_owned());
            }
            for host in hosts {
                let server = self.servers.entry(host).or_default();
                server.add(Takes::Segments, "/", (key, ingress));
            }
        }
    }

    /// Further names of servers; one that a server has already is that server's.
    fn further(&mut self, all: &[(&'a Key, &'a Value)]) {
        let mut names: BTreeMap<String, &String> = BTreeMap::new();
        for name in self.servers.keys() {
            let own = all
                .iter()
                .filter(|(_, ingress)| items(ingress, "/spec/rules").any(|rule| host(rule) == *name));
            let mut said = own.filter_map(|(_, ingress)| note(ingress, "server-alias"));
            let said = said.find(|said| !said.trim().is_empty()).unwrap_or_default();
            for further in said.split(',').map(|further| further.trim().to_ascii_lowercase()) {
                if !further.is_empty() && !self.servers.contains_key(&further) {
                    names.entry(further).or_insert(name);
                }
            }
        }
        let named: Vec<(String, Server<'a>)> = names
            .into_iter()
            .filter_map(|(further, name)| Some((further, self.servers.get(name)?.clone())))
            .collect();
        self.servers.extend(named);
    }

    /// The names that it has servers for.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.servers.keys().map(String::as_str)
    }

    /// The server that answers a name: its own, that of a wildcard, which stands for one label, or what takes the rest.
    pub fn server(&self, name: &str) -> Option<&Server<'a>> {
        let wild = || self.servers.get(&format!("*.{}", name.split_once('.')?.1));
        let own = self.servers.get(name).or_else(wild);
        own.or_else(|| self.servers.get(REST))
    }
}
