//! What istiod does, in small: follows routes at the API server and turns them into Envoy's route file.
//!
//! It shares no code with the product's routers, so that both cannot be wrong in the same way.

mod http_route;
#[cfg(test)]
mod tests;
mod virtual_service;

use crate::proxy::{ROUTES, version_in_force};
use futures::StreamExt;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::runtime::watcher::{Config, Event, watcher};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub(crate) use virtual_service::cluster;

/// Why an object is not served: its field and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal(pub(crate) String);

/// Routes that were in force for a while.
#[derive(Clone, Debug)]
pub(crate) struct Period {
    /// From when on Envoy says that it goes by them; none: it was never heard to.
    pub(crate) in_force: Option<Instant>,
    /// When the next ones were begun to be written; none: they still stand.
    pub(crate) replaced: Option<Instant>,
    /// What part of the plain requests to a host goes to each cluster.
    pub(crate) shares: BTreeMap<String, BTreeMap<String, f64>>,
}

#[derive(Debug, Default)]
struct Known {
    hosts: BTreeMap<String, Value>,
    refusals: Vec<(String, Refusal)>,
    periods: Vec<Period>,
}

/// A running bridge.
#[derive(Debug)]
pub(crate) struct Bridge {
    known: Arc<Mutex<Known>>,
    follower: JoinSet<()>,
}

impl Bridge {
    /// Follows one kind of routes: the file in `folder` is theirs.
    pub(crate) fn start(
        client: kube::Client,
        namespace: &str,
        kind: Kind,
        folder: &Path,
        envoy: SocketAddr,
    ) -> Self {
        let known: Arc<Mutex<Known>> = Arc::default();
        let mut follower = JoinSet::new();
        let api = Api::namespaced_with(client, namespace, &kind.resource());
        follower.spawn(follow(api, kind, folder.to_owned(), envoy, known.clone()));
        Self { known, follower }
    }

    /// Every set of routes so far.
    pub(crate) fn periods(&self) -> Vec<Period> {
        assert!(!self.follower.is_empty(), "the bridge has ended");
        self.known.lock().unwrap().periods.clone()
    }

    /// Objects that were not served, with the reason, in order.
    pub(crate) fn refusals(&self) -> Vec<(String, Refusal)> {
        self.known.lock().unwrap().refusals.clone()
    }
}

/// A kind of routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Istio's.
    VirtualService,
    /// The Gateway API's.
    HttpRoute,
}

impl Kind {
    /// Where the API server has them.
    pub(crate) fn resource(self) -> ApiResource {
        let (group, kind) = match self {
            Self::VirtualService => ("networking.istio.io", "VirtualService"),
            Self::HttpRoute => ("gateway.networking.k8s.io", "HTTPRoute"),
        };
        ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind))
    }

    fn translate(self, object: &Value) -> Result<Value, Refusal> {
        match self {
            Self::VirtualService => virtual_service::translate(object),
            Self::HttpRoute => http_route::translate(object),
        }
    }
}

/// Writes routes into place: Envoy watches the folder for files that are moved into it.
pub(crate) fn write(folder: &Path, version: &str, hosts: &[Value]) {
    let resource = json!({
        "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "name": ROUTES, "virtual_hosts": hosts,
    });
    let text = json!({"version_info": version, "resources": [resource]}).to_string();
    std::fs::write(folder.join("next.json"), text).unwrap();
    std::fs::rename(folder.join("next.json"), folder.join("routes.json")).unwrap();
}

async fn follow(
    api: Api<DynamicObject>,
    kind: Kind,
    folder: PathBuf,
    envoy: SocketAddr,
    known: Arc<Mutex<Known>>,
) {
    let mut events = pin!(watcher(api.clone(), Config::default()));
    let mut version = 0_u64;
    // The watcher goes on after an error by itself.
    while let Some(event) = events.next().await {
        let Ok(event) = event else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let unanswered = if kind == Kind::HttpRoute {
            unanswered(&event)
        } else {
            None
        };
        let hosts = take_in(event, kind, &mut known.lock().unwrap());
        if let Some((name, answer)) = unanswered {
            // Should the route have changed since, there is another event with another answer.
            api.patch_status(&name, &PatchParams::default(), &Patch::Merge(answer))
                .await
                .ok();
        }
        let Some(hosts) = hosts else {
            continue;
        };
        version += 1;
        let version = version.to_string();
        let begun = Instant::now();
        if let Some(last) = known.lock().unwrap().periods.last_mut() {
            last.replaced = Some(begun);
        }
        write(&folder, &version, &hosts);
        let in_force = taken_up(envoy, &version).await;
        known.lock().unwrap().periods.push(Period {
            in_force,
            replaced: None,
            shares: hosts.iter().flat_map(shares).collect(),
        });
    }
}

/// What a gateway's controller answers to a generation that it has not answered to: accepted.
fn unanswered(event: &Event<DynamicObject>) -> Option<(String, Value)> {
    let (Event::Apply(object) | Event::InitApply(object)) = event else {
        return None;
    };
    let generation = json!(object.metadata.generation);
    let answered = object
        .data
        .pointer("/status/parents/0/conditions/0/observedGeneration");
    if answered == Some(&generation) {
        return None;
    }
    let condition = |kind: &str| {
        json!({"type": kind, "status": "True", "reason": kind, "message": "", "observedGeneration": generation,
            "lastTransitionTime": "2026-03-02T02:00:00Z"})
    };
    let parent = object.data.pointer("/spec/parentRefs/0");
    let parents = json!([{"parentRef": parent, "controllerName": "example.com/bridge",
        "conditions": [condition("Accepted"), condition("ResolvedRefs")]}]);
    Some((
        object.metadata.name.clone()?,
        json!({"status": {"parents": parents}}),
    ))
}

/// The virtual hosts after an event, when they are others than before.
fn take_in(event: Event<DynamicObject>, kind: Kind, known: &mut Known) -> Option<Vec<Value>> {
    let before = known.hosts.clone();
    match event {
        Event::Apply(object) | Event::InitApply(object) => {
            let name = object.metadata.name.clone().unwrap_or_default();
            let object = serde_json::to_value(object).unwrap();
            match kind.translate(&object) {
                Ok(host) => {
                    known.hosts.insert(name, host);
                }
                // What was served before goes on: Istio's webhook would not have let the object in.
                Err(refusal) => known.refusals.push((name, refusal)),
            }
        }
        Event::Delete(object) => {
            known.hosts.remove(&object.metadata.name.unwrap_or_default());
        }
        Event::Init | Event::InitDone => {}
    }
    (known.hosts != before).then(|| known.hosts.values().cloned().collect())
}

/// When Envoy says that it goes by a version; none when it does not say so for long, because it is down.
async fn taken_up(envoy: SocketAddr, version: &str) -> Option<Instant> {
    let until = Instant::now() + Duration::from_secs(10);
    while Instant::now() < until {
        if version_in_force(envoy).await.as_deref() == Some(version) {
            return Some(Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    None
}

/// What part of the plain requests to each name of a virtual host goes to each cluster.
fn shares(host: &Value) -> Vec<(String, BTreeMap<String, f64>)> {
    let routes = host["routes"].as_array().into_iter().flatten();
    let plain = routes
        .into_iter()
        .find(|route| route["match"] == json!({"prefix": "/"}));
    let Some(route) = plain.map(|route| &route["route"]) else {
        return Vec::new();
    };
    let weighted = route.pointer("/weighted_clusters/clusters");
    let mut parts = BTreeMap::new();
    for part in weighted.and_then(Value::as_array).into_iter().flatten() {
        let name = part["name"].as_str().unwrap_or_default().to_owned();
        parts.insert(name, part["weight"].as_f64().unwrap_or_default());
    }
    if let Some(only) = route["cluster"].as_str() {
        parts.insert(only.to_owned(), 1.0);
    }
    let sum: f64 = parts.values().sum();
    for part in parts.values_mut() {
        *part /= sum;
    }
    let names = host["domains"].as_array().into_iter().flatten();
    names
        .filter_map(|name| Some((name.as_str()?.to_owned(), parts.clone())))
        .collect()
}

/// A field that is there and says something.
fn given<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    Some(&value[key]).filter(|said| !said.is_null())
}
