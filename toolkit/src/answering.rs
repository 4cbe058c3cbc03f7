//! By which Ingresses nginx answers a name, and by which route the gateway does. What is made of an Ingress says only what
//! is asked of that; whoever takes a host over from another has no route of its own, and is answered by the other's.

use crate::apply::live;
use crate::cluster::{self, annotation, meta};
use crate::see::{entries, items, text};
use gradual_rollout_migration::input::Key;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The name of what no host has.
const REST: &str = "*";

/// The names of an Ingress in small letters: hosts of its rules, those that annotations add, and what no host has.
pub fn names(ingress: &Value) -> BTreeSet<String> {
    let mut all: BTreeSet<String> = items(ingress, "/spec/rules")
        .map(|rule| {
            text(rule, "/host")
                .filter(|host| !host.is_empty())
                .unwrap_or(REST)
        })
        .map(str::to_ascii_lowercase)
        .collect();
    let notes = entries(ingress, "/metadata/annotations");
    for (_, value) in notes.filter(|(name, _)| name.ends_with("/server-alias")) {
        let aliases = value.as_str().unwrap_or_default().split(',');
        let aliases = aliases.map(|alias| alias.trim().to_ascii_lowercase());
        all.extend(aliases.filter(|alias| !alias.is_empty()));
    }
    if ingress.pointer("/spec/defaultBackend").is_some() {
        all.insert(REST.to_owned());
    }
    all
}

/// What switches something on, as the controller reads it.
pub const ON: [&str; 6] = ["1", "t", "T", "true", "TRUE", "True"];

/// What switches something off, as the controller reads it.
pub const OFF: [&str; 6] = ["0", "f", "F", "false", "FALSE", "False"];

/// Whether the value of an annotation switches something on.
pub fn on(value: &str) -> bool {
    ON.contains(&value.trim())
}

/// Whether an Ingress is only beside another of its host and path.
pub fn canary(ingress: &Value) -> bool {
    let on = |value: &Value| value.as_str().is_some_and(on);
    entries(ingress, "/metadata/annotations").any(|(name, value)| name.ends_with("/canary") && on(value))
}

/// Ingresses by the names that nginx has a server for.
#[derive(Debug, Default)]
pub struct Servers<'a> {
    by_name: BTreeMap<String, BTreeMap<&'a Key, &'a Value>>,
}

impl<'a> Servers<'a> {
    /// Of Ingresses that nginx serves.
    pub fn new(ingresses: impl Iterator<Item = (&'a Key, &'a Value)>) -> Self {
        let mut all = Self::default();
        for (key, ingress) in ingresses.filter(|(_, ingress)| !canary(ingress)) {
            for name in names(ingress) {
                all.by_name.entry(name).or_default().insert(key, ingress);
            }
        }
        all
    }

    /// The names that it has servers for.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.by_name.keys()
    }

    /// The Ingresses of the server that answers a name: its own, or that of a wildcard, which stands for one label.
    pub fn of(&self, name: &str) -> impl Iterator<Item = (&'a Key, &'a Value)> {
        let own = self.by_name.get(name).or_else(|| {
            let (_, rest) = name.split_once('.').filter(|(label, _)| *label != REST)?;
            self.by_name.get(&format!("*.{rest}"))
        });
        own.into_iter().flatten().map(|(key, ingress)| (*key, *ingress))
    }

    /// The paths of an Ingress under a name that are its to answer: of one that two have, nginx serves the older.
    pub fn paths(&self, name: &str, key: &Key, ingress: &Value) -> BTreeSet<String> {
        let own = locations(ingress, name);
        let before: BTreeSet<(String, bool)> = self
            .of(name)
            .filter(|(other, there)| *other != key && older((other, there), (key, ingress)))
            .flat_map(|(_, there)| locations(there, name))
            .collect();
        own.difference(&before).map(|(path, _)| path.clone()).collect()
    }
}

/// Whether nginx serves one before another: the older, and of two of an age the one that is later by name.
fn older((key, ingress): (&Key, &Value), (other, than): (&Key, &Value)) -> bool {
    let (since, later) = (
        meta(ingress, "creationTimestamp"),
        meta(than, "creationTimestamp"),
    );
    if since.is_empty() || later.is_empty() {
        // Which of them is served nobody knows.
        return false;
    }
    (since, other) < (later, key)
}

/// Paths of an Ingress under a name, and whether each is exact.
fn locations(ingress: &Value, name: &str) -> BTreeSet<(String, bool)> {
    let mut all = BTreeSet::new();
    let rules = || items(ingress, "/spec/rules");
    let host = |rule: &Value| text(rule, "/host").unwrap_or_default().to_ascii_lowercase();
    // A name that no rule has is an alias, or under a wildcard: whatever the Ingress has may be asked for by it.
    let own = rules().any(|rule| host(rule) == name);
    for rule in rules().filter(|rule| !own || host(rule) == name) {
        let paths = items(rule, "/http/paths");
        all.extend(paths.map(|path| {
            let exact = text(path, "/pathType") == Some("Exact");
            let path = text(path, "/path").filter(|path| !path.is_empty());
            (path.unwrap_or("/").to_owned(), exact)
        }));
    }
    if ingress.pointer("/spec/defaultBackend").is_some() {
        all.insert(("/".to_owned(), false));
    }
    all
}

/// Routes by the names that they have.
#[derive(Debug, Default)]
pub struct Routes<'a> {
    by_name: BTreeMap<String, Vec<&'a Value>>,
}

impl<'a> Routes<'a> {
    /// Of routes at gateways.
    pub fn new(routes: impl Iterator<Item = &'a Value>) -> Self {
        let mut all = Self::default();
        for route in routes {
            for host in live::hosts(route) {
                all.by_name.entry(host).or_default().push(route);
            }
        }
        all
    }

    /// The names that they have.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.by_name.keys()
    }

    /// Those that answer a name: its own, or those of the narrowest wildcard over it. What takes all the rest has content of
    /// its own and nobody else's.
    pub fn of(&self, name: &str) -> &[&'a Value] {
        let dots = name
            .match_indices('.')
            .filter(|(at, _)| !(*at == 1 && name.starts_with(REST)));
        let wider = dots.filter_map(|(at, _)| name.get(at..));
        let wider = wider.map(|suffix| format!("*{suffix}"));
        std::iter::once(name.to_owned())
            .chain(wider)
            .find_map(|name| self.by_name.get(&name))
            .map_or(&[], Vec::as_slice)
    }
}

/// Whether a route may lead somewhere for a path, or what is under it.
pub fn leads(route: &Value, path: &str) -> bool {
    let takes = |uri: &Value| {
        let text = |kind: &str| uri.get(kind).and_then(Value::as_str);
        match (text("exact"), text("prefix")) {
            (Some(exact), _) => exact.starts_with(path),
            (None, Some(prefix)) => path.starts_with(prefix) || prefix.starts_with(path),
            (None, None) => true,
        }
    };
    let matches = |rule: &Value| {
        let all = rule.get("match").and_then(Value::as_array);
        all.is_none_or(|all| all.is_empty() || all.iter().any(|one| one.get("uri").is_none_or(takes)))
    };
    route.pointer("/spec/tls").is_some()
        || items(route, "/spec/http").any(|rule| rule.get("route").is_some() && matches(rule))
}

/// `VirtualService namespace/name`.
pub fn route(route: &Value) -> String {
    cluster::VIRTUAL_SERVICE.named(meta(route, "namespace"), meta(route, "name"))
}

/// Keys as they are typed, by comma.
pub fn typed<'k>(keys: impl IntoIterator<Item = &'k Key>) -> String {
    let names = keys
        .into_iter()
        .map(|(namespace, name)| format!("{namespace}/{name}"));
    names.collect::<Vec<_>>().join(",")
}

/// The keys of an annotation.
pub fn keys(object: &Value, note: &str) -> BTreeSet<Key> {
    let all = annotation(object, note).unwrap_or_default();
    let keys = all.split(',').filter_map(|name| name.trim().split_once('/'));
    keys.map(|(namespace, name)| (namespace.to_owned(), name.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ingress(name: &str, host: &str, path: &str, since: &str) -> (Key, Value) {
        let object = json!({"metadata": {"name": name, "namespace": "a", "creationTimestamp": since},
            "spec": {"rules": [{"host": host, "http": {"paths": [{"path": path, "pathType": "Prefix"}]}}]}});
        (("a".to_owned(), name.to_owned()), object)
    }

    #[test]
    fn nginx_answers_a_name_by_its_own_server_or_by_a_wildcard_for_one_label() {
        let all = [
            ingress("x", "X.a.com", "/", ""),
            ingress("wild", "*.a.com", "/", ""),
            ingress("rest", "", "/", ""),
        ];
        let servers = Servers::new(all.iter().map(|(key, ingress)| (key, ingress)));
        let of = |name: &str| {
            servers
                .of(name)
                .map(|(key, _)| key.1.as_str())
                .collect::<Vec<_>>()
        };
        assert_eq!(of("x.a.com"), ["x"]);
        assert_eq!(of("y.a.com"), ["wild"]);
        assert_eq!(of("*.a.com"), ["wild"]);
        assert!(of("z.y.a.com").is_empty() && of("b.com").is_empty());
    }

    #[test]
    fn of_one_path_that_two_have_the_older_is_served() {
        let all = [
            ingress("a", "x.a.com", "/", "2026-01-01T00:00:00Z"),
            ingress("b", "x.a.com", "/", "2026-01-02T00:00:00Z"),
            ingress("c", "x.a.com", "/", "2026-01-02T00:00:00Z"),
        ];
        let servers = Servers::new(all.iter().map(|(key, ingress)| (key, ingress)));
        let has = |at: usize| !servers.paths("x.a.com", &all[at].0, &all[at].1).is_empty();
        assert_eq!([has(0), has(1), has(2)], [true, false, false]);
        let young = Servers::new(all[1..].iter().map(|(key, ingress)| (key, ingress)));
        let has = |at: usize| !young.paths("x.a.com", &all[at].0, &all[at].1).is_empty();
        assert_eq!([has(1), has(2)], [false, true]);
    }

    #[test]
    fn a_gateway_answers_a_name_by_the_narrowest_of_its_routes_but_not_by_what_takes_the_rest() {
        let route = |host: &str| json!({"spec": {"hosts": [host]}});
        let all = [route("x.a.com"), route("*.a.com"), route("*")];
        let routes = Routes::new(all.iter());
        let of = |name: &str| {
            routes
                .of(name)
                .iter()
                .map(|r| r["spec"]["hosts"][0].to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(of("x.a.com"), ["\"x.a.com\""]);
        assert_eq!(of("z.y.a.com"), ["\"*.a.com\""]);
        assert_eq!(of("*.a.com"), ["\"*.a.com\""]);
        assert!(of("b.com").is_empty());
    }

    #[test]
    fn what_a_route_answers_itself_leads_nowhere() {
        let route = json!({"spec": {"http": [
            {"match": [{"uri": {"prefix": "/a"}}], "directResponse": {"status": 503}},
            {"match": [{"uri": {"prefix": "/b/"}}, {"uri": {"exact": "/b"}}], "route": [{}]}]}});
        for (path, wanted) in [
            ("/a", false),
            ("/b", true),
            ("/b/c", true),
            ("/", true),
            ("/c", false),
        ] {
            assert_eq!(leads(&route, path), wanted, "{path}");
        }
        assert!(leads(&json!({"spec": {"http": [{"route": [{}]}]}}), "/x"));
    }
}
