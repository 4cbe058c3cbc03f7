//! Which Ingresses cannot be told apart at a gateway: those with a host in common, those with a host under another's
//! wildcard, and those that a canary has to do with: whatever leads to the Service and port that it splits, and to its own,
//! without which it would not be known what nginx splits. Who opens one of them there opens all of them.

use crate::answering::ON;
use gradual_rollout_migration::input::{Backend, Ingress, Inventory, Key, Port};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The host of Ingresses that have none: what no other host takes.
const REST: &str = "*";

/// Ingresses by what they have in common.
#[derive(Debug)]
pub struct Closure<'a> {
    hosts: BTreeMap<&'a Key, BTreeSet<String>>,
    having: BTreeMap<String, BTreeSet<&'a Key>>,
    under: BTreeMap<String, BTreeSet<String>>,
    split: BTreeMap<&'a Key, BTreeSet<&'a Key>>,
}

/// A Service and its port as an Ingress names them.
type Upstream<'a> = (&'a str, &'a str, &'a Port);

fn upstream<'a>(ingress: &'a Ingress, backend: &'a Backend) -> Option<Upstream<'a>> {
    match backend {
        Backend::Service { name, port } => Some((ingress.meta.namespace.as_str(), name, port)),
        Backend::Resource { .. } | Backend::None => None,
    }
}

/// The hosts, paths and back ends of an Ingress; its default back end has no path.
fn places(ingress: &Ingress) -> Vec<(String, Option<&str>, Upstream<'_>)> {
    let mut all = Vec::new();
    let name = |host: Option<&str>| {
        host.filter(|host| !host.is_empty())
            .unwrap_or(REST)
            .to_ascii_lowercase()
    };
    for rule in &ingress.rules {
        for path in rule.paths.iter().flatten() {
            let leads = upstream(ingress, &path.backend);
            let at = if path.path.is_empty() { "/" } else { &path.path };
            all.extend(leads.map(|leads| (name(rule.host.as_deref()), Some(at), leads)));
        }
    }
    let rest = ingress.default_backend.as_ref();
    let rest = rest.and_then(|backend| upstream(ingress, backend));
    all.extend(rest.map(|leads| (REST.to_owned(), None, leads)));
    all
}

fn is_canary(ingress: &Ingress) -> bool {
    let mut notes = ingress.meta.annotations.iter();
    notes.any(|(name, value)| name.ends_with("/canary") && ON.contains(&value.trim()))
}

/// Canaries with everything that leads to what they split, or to their own back end, both ways.
fn split(inventory: &Inventory) -> BTreeMap<&Key, BTreeSet<&Key>> {
    let mut all: BTreeMap<&Key, BTreeSet<&Key>> = BTreeMap::new();
    let (canaries, serving): (Vec<_>, Vec<_>) = inventory
        .ingresses
        .iter()
        .partition(|(_, ingress)| is_canary(ingress));
    if canaries.is_empty() {
        return all;
    }
    let mut leading: BTreeMap<Upstream<'_>, BTreeSet<&Key>> = BTreeMap::new();
    let mut having: BTreeMap<(String, &str), BTreeSet<Upstream<'_>>> = BTreeMap::new();
    for (key, ingress) in serving {
        for (host, path, leads) in places(ingress) {
            leading.entry(leads).or_default().insert(key);
            if let Some(path) = path {
                having.entry((host, path)).or_default().insert(leads);
            }
        }
    }
    for (key, ingress) in canaries {
        for (host, path, own) in places(ingress) {
            let splits = path.and_then(|path| having.get(&(host, path)));
            for other in splits
                .into_iter()
                .flatten()
                .chain([&own])
                .filter_map(|leads| leading.get(leads))
            {
                for other in other {
                    all.entry(key).or_default().insert(other);
                    all.entry(other).or_default().insert(key);
                }
            }
        }
    }
    all
}

/// The hosts of an Ingress, in small letters; those that annotations add among them.
fn hosts(ingress: &Ingress) -> BTreeSet<String> {
    let mut all: BTreeSet<String> = ingress
        .rules
        .iter()
        .map(|rule| {
            rule.host
                .as_deref()
                .filter(|host| !host.is_empty())
                .unwrap_or(REST)
        })
        .map(str::to_ascii_lowercase)
        .collect();
    for (name, value) in &ingress.meta.annotations {
        if name.ends_with("/server-alias") {
            all.extend(value.split(',').map(|alias| alias.trim().to_ascii_lowercase()));
        }
    }
    if ingress.rules.is_empty() {
        all.insert(REST.to_owned());
    }
    all
}

/// The wildcards over a host, but not what takes everything.
fn over(host: &str) -> impl Iterator<Item = String> {
    let name = host.strip_prefix('*').unwrap_or(host);
    let own = host.starts_with('*');
    // The first dot of a wildcard is that of the wildcard itself.
    let dots = name.match_indices('.').skip(usize::from(own));
    dots.filter_map(|(at, _)| name.get(at..))
        .map(|suffix| format!("*{suffix}"))
}

impl<'a> Closure<'a> {
    /// Of all Ingresses.
    pub fn new(inventory: &'a Inventory) -> Self {
        let mut closure = Self {
            hosts: BTreeMap::new(),
            having: BTreeMap::new(),
            under: BTreeMap::new(),
            split: split(inventory),
        };
        for (key, ingress) in &inventory.ingresses {
            let all = hosts(ingress);
            for host in &all {
                closure.having.entry(host.clone()).or_default().insert(key);
                for wildcard in over(host) {
                    closure.under.entry(wildcard).or_default().insert(host.clone());
                }
            }
            closure.hosts.insert(key, all);
        }
        closure
    }

    /// Whether an Ingress takes what no other host takes: it has something in common with every other.
    pub fn takes_the_rest(&self, key: &Key) -> bool {
        self.hosts.get(key).is_some_and(|hosts| hosts.contains(REST))
    }

    /// Everything that cannot be told apart from an Ingress, itself among it.
    pub fn of(&self, key: &'a Key) -> BTreeSet<&'a Key> {
        let mut found = BTreeSet::from([key]);
        let mut seen: BTreeSet<String> = BTreeSet::new();
        let mut waiting: VecDeque<&'a Key> = VecDeque::from([key]);
        while let Some(next) = waiting.pop_front() {
            for other in self.split.get(next).into_iter().flatten() {
                if found.insert(other) {
                    waiting.push_back(other);
                }
            }
            for host in self
                .hosts
                .get(next)
                .into_iter()
                .flatten()
                .filter(|host| *host != REST)
            {
                if !seen.insert(host.clone()) {
                    continue;
                }
                let below = self.under.get(host).into_iter().flatten().cloned();
                let related = over(host).chain(below).chain([host.clone()]);
                let having = related.filter_map(|host| self.having.get(&host)).flatten();
                for other in having.copied().collect::<Vec<_>>() {
                    if found.insert(other) {
                        waiting.push_back(other);
                    }
                }
            }
        }
        found
    }
}

/// Leaves of an inventory what some Ingresses are converted with: those, and what cannot be read but says their hosts.
pub fn reduced(inventory: &Inventory, wanted: &BTreeSet<Key>) -> Inventory {
    let mut part = inventory.clone();
    part.ingresses.retain(|key, _| wanted.contains(key));
    let all: BTreeSet<String> = part.ingresses.values().flat_map(hosts).collect();
    part.ghosts.retain(|(_, ghost)| {
        hosts(ghost)
            .iter()
            .any(|host| all.contains(host) || over(host).any(|wildcard| all.contains(&wildcard)))
    });
    part
}

#[cfg(test)]
mod tests {
    use super::*;
    use gradual_rollout_migration::input::{self, Source};

    fn inventory(all: &[(&str, &str)]) -> Inventory {
        let text: Vec<String> = all
            .iter()
            .map(|(name, host)| {
                format!(
                    "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}, namespace: ns-a}}\nspec: {{rules: [{{host: '{host}'}}]}}\n"
                )
            })
            .collect();
        input::read(&[Source {
            name: "x".into(),
            text: text.join("---\n"),
        }])
    }

    fn together(all: &[(&str, &str)], of: &str) -> Vec<String> {
        let inventory = inventory(all);
        let closure = Closure::new(&inventory);
        let key = inventory.ingresses.keys().find(|key| key.1 == of).unwrap();
        closure.of(key).into_iter().map(|key| key.1.clone()).collect()
    }

    #[test]
    fn one_host_and_wildcards_over_it_belong_together_and_neighbours_do_not() {
        let all = [
            ("a", "x.example.com"),
            ("b", "X.example.com"),
            ("c", "y.example.com"),
            ("d", "*.sub.example.com"),
            ("e", "deep.x.sub.example.com"),
            ("f", ""),
        ];
        assert_eq!(together(&all, "a"), ["a", "b"]);
        assert_eq!(together(&all, "c"), ["c"]);
        assert_eq!(together(&all, "e"), ["d", "e"]);
        assert_eq!(together(&all, "f"), ["f"]);
        let wild = [
            ("a", "x.example.com"),
            ("b", "*.example.com"),
            ("c", "y.example.com"),
        ];
        assert_eq!(together(&wild, "a"), ["a", "b", "c"]);
    }

    #[test]
    fn what_takes_the_rest_is_told() {
        let inventory = inventory(&[("a", "x.example.com"), ("f", "")]);
        let closure = Closure::new(&inventory);
        let takes: Vec<bool> = inventory
            .ingresses
            .keys()
            .map(|key| closure.takes_the_rest(key))
            .collect();
        assert_eq!(takes, [false, true]);
    }
}
