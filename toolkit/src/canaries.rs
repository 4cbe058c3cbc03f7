//! Canaries that people made: which routes nginx splits by them. A canary hangs on the upstream of the path that it names, so
//! it splits whatever else leads to that Service and port, on any host.

use crate::answering::{canary, keys, names};
use crate::apply::gateway;
use crate::apply::inputs;
use crate::apply::keep;
use crate::apply::live::hosts;
use crate::apply::read::from;
use crate::cluster::meta;
use crate::marks;
use crate::see::{items, text};
use gradual_rollout_migration::input::Key;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What nginx splits: namespace, Service, and the port as it is written.
type Upstream = (String, String, String);

/// A host's path, and whether it is exact.
type Place = (String, String, bool);

/// Canaries by what they split.
#[derive(Debug, Default)]
pub struct Canaries<'a> {
    by_upstream: BTreeMap<Upstream, BTreeSet<&'a Key>>,
    /// What other Ingresses lead to, by the name that they are asked for by.
    leading: BTreeMap<&'a Key, BTreeMap<String, BTreeSet<Upstream>>>,
}

/// The canaries that a route was made with.
pub fn of(route: &Value) -> BTreeSet<Key> {
    keys(route, marks::CANARIES)
}

/// The Ingresses that a route was made of, without canaries: those that serve, whoever splits what.
pub fn serving(route: &Value) -> BTreeSet<Key> {
    from(route).difference(&of(route)).cloned().collect()
}

fn upstream(namespace: &str, backend: Option<&Value>) -> Option<Upstream> {
    let service = backend?.get("service")?;
    let port = service.get("port")?;
    let port = port.get("number").or_else(|| port.get("name"))?;
    let port = port.as_str().map_or_else(|| port.to_string(), ToOwned::to_owned);
    Some((namespace.to_owned(), text(service, "/name")?.to_owned(), port))
}

/// The rules of an Ingress for a name; of a further name all of them.
fn rules<'a>(ingress: &'a Value, name: &str) -> Vec<&'a Value> {
    let host = |rule: &Value| {
        let host = text(rule, "/host").filter(|host| !host.is_empty()).unwrap_or("*");
        host.to_ascii_lowercase()
    };
    let all = || items(ingress, "/spec/rules");
    let own = all().any(|rule| host(rule) == name);
    all().filter(|rule| !own || host(rule) == name).collect()
}

fn places(ingress: &Value, name: &str) -> Vec<(Place, Option<Upstream>)> {
    let paths = rules(ingress, name)
        .into_iter()
        .flat_map(|rule| items(rule, "/http/paths"));
    paths
        .map(|path| {
            let exact = text(path, "/pathType") == Some("Exact");
            let at = text(path, "/path").filter(|path| !path.is_empty()).unwrap_or("/");
            let leads = upstream(meta(ingress, "namespace"), path.get("backend"));
            ((name.to_owned(), at.to_owned(), exact), leads)
        })
        .collect()
}

impl<'a> Canaries<'a> {
    /// Those among the Ingresses that nginx serves.
    pub fn new(ingresses: impl Iterator<Item = (&'a Key, &'a Value)>) -> Self {
        let (splitting, serving): (Vec<_>, Vec<_>) = ingresses.partition(|(_, ingress)| canary(ingress));
        let mut all = Self::default();
        if splitting.is_empty() {
            return all;
        }
        let mut having: BTreeMap<Place, BTreeSet<Upstream>> = BTreeMap::new();
        for (key, ingress) in serving {
            let rest = upstream(
                meta(ingress, "namespace"),
                ingress.pointer("/spec/defaultBackend"),
            );
            for name in names(ingress) {
                let mut leads: BTreeSet<Upstream> = rest.iter().cloned().collect();
                for (place, to) in places(ingress, &name) {
                    leads.extend(to.clone());
                    having.entry(place).or_default().extend(to);
                }
                all.leading.entry(key).or_default().insert(name, leads);
            }
        }
        for (key, ingress) in splitting {
            for name in names(ingress) {
                for (place, _) in places(ingress, &name) {
                    for split in having.get(&place).into_iter().flatten() {
                        all.by_upstream.entry(split.clone()).or_default().insert(key);
                    }
                }
            }
        }
        all
    }

    /// Those that split something of a route.
    pub fn splitting(&self, route: &Value) -> BTreeSet<&'a Key> {
        let mut found = BTreeSet::new();
        if self.by_upstream.is_empty() {
            return found;
        }
        let hosts = hosts(route);
        for led in serving(route).iter().filter_map(|key| self.leading.get(key)) {
            let here = led.iter().filter(|(name, _)| hosts.contains(*name));
            let split = here
                .flat_map(|(_, to)| to)
                .filter_map(|to| self.by_upstream.get(to));
            found.extend(split.flatten());
        }
        found
    }

    /// What nginx splits of routes otherwise than they were made to, in words. Of what cannot be `seen` nothing is said.
    pub fn otherwise<'r>(
        &self,
        routes: impl Iterator<Item = &'r Value>,
        there: &dyn Fn(&Key) -> Option<&'r Value>,
        seen: &dyn Fn(&Key) -> bool,
    ) -> BTreeMap<gateway::Host, Vec<String>> {
        let mut all = BTreeMap::new();
        for route in routes {
            let made = of(route);
            let now = self.splitting(route);
            let mut said = Vec::new();
            for (namespace, name) in made.iter().chain(now).collect::<BTreeSet<_>>() {
                let key = (namespace.clone(), name.clone());
                let known = inputs::noted(route, &key).is_some();
                match there(&key) {
                    None if keep::cleaned(route, &key) || !seen(&key) => {}
                    None => said.push(format!("canary Ingress {namespace}/{name} is gone")),
                    Some(_) if !known => {
                        said.push(format!(
                            "canary Ingress {namespace}/{name} splits it, and is not in the route"
                        ));
                    }
                    Some(ingress) if inputs::as_noted(route, &key, ingress) == Some(false) => {
                        said.push(format!("canary Ingress {namespace}/{name} was changed"));
                    }
                    Some(_) => {}
                }
            }
            if !said.is_empty() {
                all.insert(gateway::key(route), said);
            }
        }
        all
    }
}

/// Whether a missing Service of a route is one that a canary alone leads to.
pub fn alone<'r>(route: &Value, service: &Key, there: &dyn Fn(&Key) -> Option<&'r Value>) -> Option<bool> {
    let mut known = serving(route)
        .into_iter()
        .filter_map(|key| there(&key))
        .peekable();
    known.peek()?;
    let leads = |ingress: &Value| {
        let paths = items(ingress, "/spec/rules").flat_map(|rule| items(rule, "/http/paths"));
        let backends = paths.filter_map(|path| path.get("backend"));
        let mut all = backends.chain(ingress.pointer("/spec/defaultBackend"));
        let named = |backend: &Value| text(backend, "/service/name") == Some(service.1.as_str());
        meta(ingress, "namespace") == service.0 && all.any(named)
    };
    Some(!known.any(leads))
}
