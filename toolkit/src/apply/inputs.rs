//! What a route was made with beside its Ingresses, noted on it: the controller's settings, and the ports of Services.
//! Who changes these changes what nginx does, and nothing of an Ingress.

use super::gateway;
use super::headers::{self, Headers};
use super::live::texts;
use super::needs::annotate;
use super::plan::Sources;
use super::read::{from, ports};
use crate::answering::{canary, typed};
use crate::canaries::Canaries;
use crate::cluster::{self, Cluster, annotation, meta};
use crate::convert::{self, Seen};
use crate::digest;
use crate::marks;
use crate::trouble::Trouble;
use gradual_rollout_migration::convert::controller_config;
use gradual_rollout_migration::input::Key;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What a run converts with.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// The controller's ConfigMap, and the digest of it.
    settings: Option<String>,
    /// The names of the ports of Services.
    services: Services,
    /// The digests of the Ingresses.
    ingresses: BTreeMap<Key, String>,
    /// The canaries among them.
    canaries: BTreeSet<&'a Key>,
    /// What they split.
    splits: Canaries<'a>,
    /// The Ingresses themselves, and what was read with them.
    seen: &'a Seen,
}

/// The names of ports by number, by Service.
pub type Services = BTreeMap<Key, BTreeMap<u64, String>>;

/// The digest of a controller's settings, with the headers that they name where they do.
fn settings_digest(data: Option<&Value>, headers: Option<&Value>) -> String {
    let empty = json!({});
    let data = data.unwrap_or(&empty);
    headers.map_or_else(
        || digest::short(data),
        |headers| digest::short(&json!([data, headers])),
    )
}

/// The ConfigMap of headers that a controller's settings name.
fn for_all(data: &Value) -> Option<Key> {
    let named = data.get("proxy-set-headers").and_then(Value::as_str)?.trim();
    let (namespace, name) = named.split_once('/')?;
    Some((namespace.to_owned(), name.to_owned()))
}

impl<'a> Inputs<'a> {
    /// Those of a run.
    pub fn new(sources: &Sources<'a>) -> Self {
        let inventory = &sources.seen.inventory;
        let settings = controller_config(inventory, sources.options).map(|key| {
            let data = |key: &Key| inventory.config_maps.get(key).map(|map| json!(map.data));
            let own = data(&key);
            let headers = own.as_ref().and_then(for_all).and_then(|key| data(&key));
            let digest = settings_digest(own.as_ref(), headers.as_ref());
            format!("{}/{}@{digest}", key.0, key.1)
        });
        let services = inventory.services.iter().map(|(key, service)| {
            let ports = service.ports.iter();
            let ports = ports.map(|port| (u64::from(port.port), port.name.clone().unwrap_or_default()));
            (key.clone(), ports.collect())
        });
        let prefix = convert::prefix(inventory, sources.options);
        let seen: &'a BTreeMap<Key, Value> = &sources.seen.ingresses;
        let ingresses = seen.iter();
        let canaries = seen.iter().filter(|(_, ingress)| canary(ingress));
        Self {
            canaries: canaries.map(|(key, _)| key).collect(),
            splits: Canaries::new(seen.iter()),
            seen: sources.seen,
            settings,
            services: services.collect(),
            ingresses: ingresses
                .map(|(key, ingress)| (key.clone(), marks::source(ingress, &prefix)))
                .collect(),
        }
    }

    /// Notes on a route or a policy what its Ingresses were.
    pub fn of(&self, object: &mut Value) {
        self.digests(object, &from(object));
    }

    fn digests(&self, object: &mut Value, of: &BTreeSet<Key>) {
        let all: Vec<String> = of
            .iter()
            .filter_map(|key| Some(format!("{}/{}={}", key.0, key.1, self.ingresses.get(key)?)))
            .collect();
        if !all.is_empty() {
            annotate(object, marks::SOURCES, &all.join(","));
        }
    }

    /// Notes them on a route; `converted` are those of which nothing was refused.
    pub fn note(&self, route: &mut Value, converted: &BTreeSet<Key>) {
        let made = from(route);
        let canaries: BTreeSet<&Key> = made.iter().filter(|key| self.canaries.contains(key)).collect();
        if !canaries.is_empty() {
            let typed = typed(canaries);
            annotate(route, marks::CANARIES, &typed);
        }
        // A canary that was looked at, and splits nothing by nginx's own rules, is no news either.
        let splitting = self.splits.splitting(route).into_iter().cloned();
        let known = splitting.filter(|key| converted.contains(key));
        self.digests(route, &known.chain(made).collect());
        if let Some(settings) = &self.settings {
            annotate(route, marks::SETTINGS, settings);
        }
        headers::note(route, &self.seen.ingresses, &self.seen.inventory);
        let named: Vec<String> = ports(route)
            .iter()
            .filter_map(|(host, number)| {
                let name = self.services.get(&service(host)?)?.get(number)?;
                Some(format!("{host}:{number}={name}"))
            })
            .collect();
        if !named.is_empty() {
            annotate(route, marks::PORTS, &named.join(","));
        }
    }
}

/// The digest of an Ingress that an object was made of, as it is noted there, with the prefix behind the `@`.
pub fn noted<'a>(object: &'a Value, key: &Key) -> Option<&'a str> {
    let all = annotation(object, marks::SOURCES)?.split(',');
    let mut all = all.filter_map(|noted| noted.split_once('='));
    let is = |name: &str| name.split_once('/') == Some((key.0.as_str(), key.1.as_str()));
    all.find(|(name, _)| is(name)).map(|(_, digest)| digest)
}

/// Whether an Ingress is as an object says that it was made of it; none where it says nothing. That of an Ingress itself
/// is for whoever may write it to write.
pub fn as_noted(object: &Value, key: &Key, ingress: &Value) -> Option<bool> {
    let noted = noted(object, key)?;
    let (_, prefix) = noted.split_once('@')?;
    Some(marks::source(ingress, prefix) == noted)
}

/// What objects say of an Ingress that they were made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Noted {
    /// None says how it was.
    Nowhere,
    /// It is as all of them say that say it.
    As,
    /// It is otherwise than the one that is named was made of.
    Otherwise(String),
}

/// Holds an Ingress against what routes say that it was.
pub fn noted_by<'a>(routes: impl Iterator<Item = &'a Value>, key: &Key, ingress: &Value) -> Noted {
    let mut found = Noted::Nowhere;
    for route in routes {
        match as_noted(route, key, ingress) {
            None => {}
            Some(true) => found = Noted::As,
            Some(false) => {
                let (namespace, name) = gateway::key(route);
                return Noted::Otherwise(cluster::VIRTUAL_SERVICE.named(&namespace, &name));
            }
        }
    }
    found
}

/// The Service that a destination names; none where it is none of the cluster's.
fn service(host: &str) -> Option<Key> {
    let mut parts = host.split('.');
    let (name, namespace, word) = (parts.next()?, parts.next()?, parts.next()?);
    (word == "svc").then(|| (namespace.to_owned(), name.to_owned()))
}

/// What a ConfigMap says, or why it may not be looked at.
pub async fn data(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
) -> Result<Result<Option<Value>, String>, Trouble> {
    match cluster.get(&cluster::CONFIG_MAP, namespace, name).await {
        Ok(found) => {
            Ok(Ok(found.map(|map| {
                map.get("data").cloned().unwrap_or_else(|| json!({}))
            })))
        }
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(Err(status.message.clone())),
        Err(error) => Err(Trouble::kube(
            format!("read ConfigMap {namespace}/{name}"),
            &error,
        )),
    }
}

/// What routes were made with, as it is now.
#[derive(Debug, Default)]
pub struct Now {
    settings: BTreeMap<String, Result<String, String>>,
    headers: Headers,
    services: Services,
    /// Whom load balancers let in; nobody is named where everybody is.
    ranges: BTreeMap<Key, BTreeSet<String>>,
}

impl Now {
    /// Looks at the `ConfigMaps` and Services that routes were made with, in a namespace or in all.
    pub async fn read<'a>(
        cluster: &Cluster,
        routes: impl Iterator<Item = &'a Value>,
        namespace: Option<&str>,
    ) -> Result<Self, Trouble> {
        let routes: Vec<&Value> = routes.collect();
        let noted: BTreeSet<&str> = routes
            .iter()
            .filter_map(|route| Some(annotation(route, marks::SETTINGS)?.split_once('@')?.0))
            .collect();
        let mut now = Self {
            headers: headers::read(cluster, routes.into_iter()).await?,
            ..Self::default()
        };
        for map in noted {
            let Some((space, name)) = map.split_once('/') else {
                continue;
            };
            let found = match data(cluster, space, name).await? {
                Ok(own) => match own.as_ref().and_then(for_all) {
                    Some((space, name)) => {
                        let headers = data(cluster, &space, &name).await?;
                        headers.map(|headers| settings_digest(own.as_ref(), headers.as_ref()))
                    }
                    None => Ok(settings_digest(own.as_ref(), None)),
                },
                Err(why) => Err(why),
            };
            now.settings.insert(map.to_owned(), found);
        }
        for service in cluster.all(&cluster::SERVICE, namespace).await? {
            let list = service.pointer("/spec/ports").and_then(Value::as_array);
            let ports = list.into_iter().flatten().filter_map(|port| {
                let name = port.get("name").and_then(Value::as_str).unwrap_or_default();
                Some((port.get("port")?.as_u64()?, name.to_owned()))
            });
            now.services.insert(gateway::key(&service), ports.collect());
            if service.pointer("/spec/type").and_then(Value::as_str) == Some("LoadBalancer") {
                let ranges = texts(&service, "/spec/loadBalancerSourceRanges");
                let ranges = ranges.map(|range| range.trim().to_owned()).collect();
                now.ranges.insert(gateway::key(&service), ranges);
            }
        }
        Ok(now)
    }

    /// Whom the load balancer of a Service lets in; none where it has none.
    pub fn ranges(&self, namespace: &str, name: &str) -> Option<&BTreeSet<String>> {
        self.ranges.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// What of it is not as a route was made with.
    pub fn changed<'r>(
        &self,
        route: &Value,
        there: &dyn Fn(&Key) -> Option<&'r Value>,
    ) -> Vec<(&'static str, String, String)> {
        let object = cluster::VIRTUAL_SERVICE.named(meta(route, "namespace"), meta(route, "name"));
        let mut found = headers::changed(route, &self.headers, there);
        let noted = annotation(route, marks::SETTINGS).and_then(|noted| noted.split_once('@'));
        if let Some((map, digest)) = noted {
            let said = match self.settings.get(map) {
                Some(Ok(now)) if now == digest => None,
                Some(Err(why)) => Some(format!(
                    "whether the controller's settings are as it was made with nobody knows: {why}"
                )),
                Some(Ok(_)) | None => Some(format!(
                    "the controller's settings (ConfigMap {map}) were changed since it was written: what nginx demands of all may be missing"
                )),
            };
            found.extend(said.map(|said| ("STATE-CONTROLLER-CHANGED", object.clone(), said)));
        }
        let noted = annotation(route, marks::PORTS).unwrap_or_default().split(',');
        let names: BTreeMap<&str, &str> = noted.filter_map(|noted| noted.split_once('=')).collect();
        for (host, number) in ports(route) {
            // One that is not there at all is told of by itself.
            let Some(now) = service(&host).and_then(|key| self.services.get(&key)) else {
                continue;
            };
            let before = names.get(format!("{host}:{number}").as_str());
            let unknown = names.is_empty() && !now.is_empty();
            let said = match (now.get(&number), before) {
                (None, None) if !unknown => continue,
                (None, _) => format!("it leads to port {number} of {host}, which the Service has no more"),
                (Some(name), Some(before)) if name != before => {
                    format!(
                        "it leads to port {number} of {host}, which is called {name:?} and was {before:?}"
                    )
                }
                (Some(_), _) => continue,
            };
            found.push(("STATE-PORT-CHANGED", object.clone(), said));
        }
        found
    }
}
