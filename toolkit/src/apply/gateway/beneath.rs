//! Hosts beneath a wildcard of their namespace, in one Gateway.
//!
//! Istio gives a host that a server lists the routes of every `VirtualService` of its namespace that has the host or a
//! wildcard over it, those of the older one first. Beside a wildcard in clear such a host is therefore not listed: the
//! wildcard has it already, and each keeps its own routes. Where the wildcard goes it is listed again.

use super::{Host, hosts};
use serde_json::Value;
use std::collections::BTreeSet;

/// The wildcards over a host, the narrowest first, what takes the rest last.
fn wildcards(host: &str) -> impl Iterator<Item = String> {
    let name = host.strip_prefix('*').unwrap_or(host);
    let dots = name.match_indices('.').filter_map(|(at, _)| name.get(at..));
    let all = dots.chain([""]).map(|suffix| format!("*{suffix}"));
    all.filter(move |wildcard| wildcard != host)
}

/// Hosts that have routes of their own, whatever a wildcard over them has.
#[derive(Clone, Debug, Default)]
pub struct Beneath {
    /// All of them.
    pub hosts: BTreeSet<Host>,
    /// Those whose certificates another Gateway shows.
    pub elsewhere: BTreeSet<Host>,
}

impl Beneath {
    /// Those that a server may list.
    pub fn of(&self, server: &Value) -> impl Iterator<Item = &Host> {
        let secured = server.get("tls").is_some();
        let all = self.hosts.iter();
        all.filter(move |host| !secured || !self.elsewhere.contains(*host))
    }
}

/// Whether a host is under a wildcard of its namespace among some.
pub fn under((namespace, host): &Host, all: &BTreeSet<Host>) -> bool {
    wildcards(host).any(|wildcard| all.contains(&(namespace.clone(), wildcard)))
}

/// What a server lists, and how connections come to it.
#[derive(Debug)]
struct Lists {
    port: Option<Value>,
    secured: bool,
    hosts: BTreeSet<Host>,
}

/// What the servers of a Gateway list.
#[derive(Debug)]
pub struct Listed(Vec<Lists>);

impl Listed {
    /// Of servers.
    pub fn of(servers: &[Value]) -> Self {
        let all = servers.iter().map(|server| Lists {
            port: server.pointer("/port/number").cloned(),
            secured: server.get("tls").is_some(),
            hosts: hosts(server).collect(),
        });
        Self(all.collect())
    }

    /// Those that connections of a kind come to.
    fn beside<'a>(&'a self, one: &'a Lists) -> impl Iterator<Item = &'a Lists> {
        let alike = move |other: &&Lists| other.port == one.port && other.secured == one.secured;
        self.0.iter().filter(alike)
    }

    /// Whether a server has a host by a wildcard: the narrowest one over it that connections of this kind come to.
    fn has_under(&self, one: &Lists, (namespace, host): &Host) -> bool {
        let nearest = wildcards(host)
            .map(|wildcard| (namespace.clone(), wildcard))
            .find(|wildcard| self.beside(one).any(|other| other.hosts.contains(wildcard)));
        nearest.is_some_and(|wildcard| one.hosts.contains(&wildcard))
    }

    /// Of some hosts, those that a server has by a wildcard and none lists.
    pub fn unlisted<'a>(&self, index: usize, all: impl Iterator<Item = &'a Host>) -> BTreeSet<Host> {
        let Some(one) = self.0.get(index) else {
            return BTreeSet::new();
        };
        let listed = |host: &Host| self.beside(one).any(|other| other.hosts.contains(host));
        let found = all.filter(|host| !listed(host) && self.has_under(one, host));
        found.cloned().collect()
    }
}

/// Leaves out of servers what a wildcard of theirs has: in clear every host beneath it, and of those with a certificate the
/// ones that show the same.
pub fn settle(servers: &mut [Value]) {
    let listed = Listed::of(servers);
    for (server, one) in servers.iter_mut().zip(&listed.0) {
        let through = server.pointer("/tls/mode").and_then(Value::as_str) == Some("PASSTHROUGH");
        let Some(all) = server
            .get_mut("hosts")
            .and_then(Value::as_array_mut)
            .filter(|_| !through)
        else {
            continue;
        };
        all.retain(|host| {
            let named = host.as_str().and_then(|host| host.split_once('/'));
            named.is_none_or(|(namespace, name)| {
                !listed.has_under(one, &(namespace.to_owned(), name.to_owned()))
            })
        });
    }
}
