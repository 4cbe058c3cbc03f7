//! Watch caches, started on demand: one watch for each kind and namespace that a resource routes in. Deciding reads
//! from here alone, never from the server.

use super::connect::Clients;
use super::error::ClusterError;
use super::objects::{json, resource};
use crate::routing::{ObjectKind, ObjectRef};
use futures::StreamExt;
use kube::api::{ApiResource, DynamicObject};
use kube::runtime::watcher;
use kube::runtime::watcher::Event;
use kube::{Api, ResourceExt};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long a watch that keeps failing waits at most.
const SLOWEST: Duration = Duration::from_secs(30);

/// What is known of an object.
#[derive(Clone, Debug)]
pub enum Cached {
    /// Its watch has not listed everything yet.
    Syncing,
    /// There is none.
    Missing,
    /// It cannot be watched; why, and what to do.
    Problem(String),
    /// As it was last seen, or as our own write left it.
    Object(Arc<Value>),
}

/// What is known of all objects of a kind in a namespace.
#[derive(Clone, Debug)]
pub enum Listed {
    /// The watch has not listed everything yet.
    Syncing,
    /// They cannot be watched; why, and what to do.
    Problem(String),
    /// As they were last seen.
    Objects(Vec<Arc<Value>>),
}

/// What is watched in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Routed(ObjectKind),
    Endpoints,
}

impl What {
    /// How it is addressed, in the version to be tried first and then in older ones.
    fn resources(self) -> Vec<ApiResource> {
        match self {
            Self::Routed(kind) => kind.versions().iter().map(|v| resource(kind, v)).collect(),
            Self::Endpoints => vec![ApiResource {
                group: "discovery.k8s.io".into(),
                version: "v1".into(),
                api_version: "discovery.k8s.io/v1".into(),
                kind: "EndpointSlice".into(),
                plural: "endpointslices".into(),
            }],
        }
    }
}

/// Whether a list failed because the server does not know the kind, or not in this version.
fn is_not_served(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::InitialListFailed(kube::Error::Api(status)) if status.code == 404)
}

type Scope = (What, String);

#[derive(Debug, Default)]
struct Shelf {
    synced: bool,
    /// The watch has failed and no list has followed yet: what is here may be old.
    stale: bool,
    problem: Option<String>,
    objects: BTreeMap<String, Arc<Value>>,
    /// Why single objects cannot be read: of hooks, each of which is asked by itself.
    troubles: BTreeMap<String, String>,
    /// Names listed since a restart of the watch; what is missing at its end was deleted meanwhile.
    listed: BTreeSet<String>,
    /// Names that our own writes brought since a list began, which may not have seen them.
    written: BTreeSet<String>,
    /// Names that were asked for and not found. Whoever asked is told when more is known.
    asked: BTreeSet<String>,
}

#[derive(Debug)]
struct Inner {
    // A std mutex: held for a look-up or an insert, never across an await.
    shelves: Mutex<BTreeMap<Scope, Shelf>>,
    changed: broadcast::Sender<ObjectRef>,
    wanted: mpsc::UnboundedSender<Scope>,
    incoming: Mutex<Option<mpsc::UnboundedReceiver<Scope>>>,
}

/// The caches of a daemon. Cheap to clone; clones see the same.
#[derive(Clone)]
pub struct Cache {
    clients: Clients,
    inner: Arc<Inner>,
}

impl Cache {
    /// Empty caches. Nothing is watched before [`Cache::run`] runs.
    pub fn new(clients: Clients) -> Self {
        // Unbounded is bounded here: one message per kind and namespace, ever.
        let (wanted, incoming) = mpsc::unbounded_channel();
        let inner = Inner {
            shelves: Mutex::default(),
            changed: broadcast::channel(1024).0,
            wanted,
            incoming: Mutex::new(Some(incoming)),
        };
        Self {
            clients,
            inner: Arc::new(inner),
        }
    }

    fn shelves(&self) -> MutexGuard<'_, BTreeMap<Scope, Shelf>> {
        self.inner.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on watches a kind in a namespace.
    pub fn want(&self, kind: ObjectKind, namespace: &str) {
        self.want_scope((What::Routed(kind), namespace.to_owned()));
    }

    /// From now on watches the endpoints of a namespace's Services.
    pub fn want_endpoints(&self, namespace: &str) {
        self.want_scope((What::Endpoints, namespace.to_owned()));
    }

    fn want_scope(&self, scope: Scope) {
        let mut shelves = self.shelves();
        if !shelves.contains_key(&scope) {
            shelves.insert(scope.clone(), Shelf::default());
            // Nobody watches hooks: whoever wants one asks it, and puts here what it says.
            if matches!(scope.0, What::Routed(kind) if kind.is_elsewhere()) {
                return;
            }
            // Nobody receives once the caches have stopped; then nobody looks either.
            drop(self.inner.wanted.send(scope));
        }
    }

    /// What is known of an object.
    pub fn get(&self, object: &ObjectRef) -> Cached {
        let mut shelves = self.shelves();
        let Some(kept) = shelves.get_mut(&(What::Routed(object.kind), object.namespace.clone())) else {
            return Cached::Syncing;
        };
        if !kept.asked.contains(&object.name) && !kept.objects.contains_key(&object.name) {
            kept.asked.insert(object.name.clone());
        }
        match (kept.objects.get(&object.name), &kept.problem) {
            (_, Some(problem)) => Cached::Problem(problem.clone()),
            _ if kept.troubles.contains_key(&object.name) => {
                Cached::Problem(kept.troubles.get(&object.name).cloned().unwrap_or_default())
            }
            (Some(json), None) => Cached::Object(json.clone()),
            (None, None) if kept.synced => Cached::Missing,
            (None, None) => Cached::Syncing,
        }
    }

    /// What is known of all objects of a kind in a namespace.
    pub fn list(&self, kind: ObjectKind, namespace: &str) -> Listed {
        let shelves = self.shelves();
        match shelves.get(&(What::Routed(kind), namespace.to_owned())) {
            None => Listed::Syncing,
            Some(kept) => match &kept.problem {
                Some(problem) => Listed::Problem(problem.clone()),
                None if kept.synced => Listed::Objects(kept.objects.values().cloned().collect()),
                None => Listed::Syncing,
            },
        }
    }

    /// Takes what the server answered to our own write, unless the watch has brought something newer already.
    pub fn put(&self, object: &ObjectRef, json: Arc<Value>) {
        let mut shelves = self.shelves();
        let Some(kept) = shelves.get_mut(&(What::Routed(object.kind), object.namespace.clone())) else {
            return;
        };
        kept.troubles.remove(&object.name);
        let known = kept.objects.get(&object.name);
        // Once all is listed, an unknown object is one that was deleted before this answer came.
        if (known.is_some() || !kept.synced) && is_newer(&json, known) {
            kept.objects.insert(object.name.clone(), json);
            kept.written.insert(object.name.clone());
            drop(shelves);
            self.tell(object.clone());
        }
    }

    /// Takes that an object cannot be read, and why.
    pub fn trouble(&self, object: &ObjectRef, why: String) {
        let mut shelves = self.shelves();
        let Some(kept) = shelves.get_mut(&(What::Routed(object.kind), object.namespace.clone())) else {
            return;
        };
        if kept.troubles.insert(object.name.clone(), why.clone()) != Some(why) {
            drop(shelves);
            self.tell(object.clone());
        }
    }

    /// Tells which routed objects changed. A receiver that lags behind has missed names, never the newest state.
    pub fn changes(&self) -> broadcast::Receiver<ObjectRef> {
        self.inner.changed.subscribe()
    }

    fn tell(&self, object: ObjectRef) {
        // An error means that nobody listens.
        drop(self.inner.changed.send(object));
    }

    /// Whether a Service has a ready endpoint. `None` when nothing is known: no watch, a watch that has failed and not
    /// listed again since, or no slice of that Service.
    pub fn endpoints_ready(&self, namespace: &str, service: &str) -> Option<bool> {
        let shelves = self.shelves();
        let kept = shelves.get(&(What::Endpoints, namespace.to_owned()))?;
        if !kept.synced || kept.stale || kept.problem.is_some() {
            return None;
        }
        let of_service = |slice: &&Arc<Value>| {
            slice
                .pointer("/metadata/labels/kubernetes.io~1service-name")
                .and_then(Value::as_str)
                == Some(service)
        };
        let mut known = None;
        for slice in kept.objects.values().filter(of_service) {
            let endpoints = slice.pointer("/endpoints").and_then(Value::as_array);
            // A condition that is absent means ready, as the API says.
            let ready = endpoints.into_iter().flatten().any(|endpoint| {
                endpoint
                    .pointer("/conditions/ready")
                    .and_then(Value::as_bool)
                    .unwrap_or(true)
            });
            known = Some(known.unwrap_or(false) || ready);
        }
        known
    }

    /// Runs every watch that is wanted, until told to stop. Returns early when a watch dies, because what it cached
    /// would grow old unnoticed.
    pub async fn run(self, stop: CancellationToken) {
        let incoming = self
            .inner
            .incoming
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(mut incoming) = incoming else { return };
        let mut watches = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                scope = incoming.recv() => match scope {
                    Some(scope) => {
                        let cache = self.clone();
                        watches.spawn(async move { cache.watch(scope).await });
                    }
                    None => return,
                },
                Some(ended) = watches.join_next(), if !watches.is_empty() => {
                    tracing::error!(?ended, "a watch died");
                    return;
                }
            }
        }
    }

    async fn watch(self, scope: Scope) {
        let (what, namespace) = &scope;
        let kinds = what.resources();
        let mut versions = kinds.iter();
        let mut backoff = watcher::DefaultBackoff::default();
        loop {
            let Some(kind) = versions.next() else {
                versions = kinds.iter();
                continue;
            };
            let api: Api<DynamicObject> = Api::namespaced_with(self.clients.api.clone(), namespace, kind);
            let mut events = std::pin::pin!(watcher(api, self.clients.watching()));
            let mut older = false;
            while let Some(event) = events.next().await {
                let failed = event.is_err();
                let touched = match event {
                    Ok(event) => self.take(&scope, event),
                    // Not a failure yet: an older version may be served.
                    Err(error) if is_not_served(&error) && versions.len() > 0 => {
                        older = true;
                        break;
                    }
                    Err(error) => self.fail(&scope, &kind.plural, error),
                };
                if let What::Routed(kind) = what {
                    for name in touched {
                        self.tell(ObjectRef {
                            kind: *kind,
                            namespace: namespace.clone(),
                            name,
                        });
                    }
                }
                // A watch that goes on after a failure does not say that it does, until something changes. A new
                // list says so at once.
                if failed {
                    break;
                }
            }
            if !older {
                versions = kinds.iter();
                tokio::time::sleep(backoff.next().unwrap_or(SLOWEST)).await;
            }
        }
    }

    /// Shelves what a watch brought; the names that changed.
    fn take(&self, scope: &Scope, event: Event<DynamicObject>) -> Vec<String> {
        let mut shelves = self.shelves();
        let kept = shelves.entry(scope.clone()).or_default();
        match event {
            Event::Apply(object) => shelve(kept, scope.0, &object, false),
            Event::InitApply(object) => {
                let name = object.name_any();
                let ours = kept.written.contains(&name);
                kept.listed.insert(name);
                shelve(kept, scope.0, &object, !ours)
            }
            Event::Delete(object) => {
                kept.objects.remove(&object.name_any());
                vec![object.name_any()]
            }
            Event::Init => {
                kept.listed.clear();
                kept.written.clear();
                Vec::new()
            }
            Event::InitDone => {
                kept.synced = true;
                kept.stale = false;
                kept.problem = None;
                let listed = std::mem::take(&mut kept.listed);
                let gone: Vec<String> = kept
                    .objects
                    .keys()
                    .filter(|name| !listed.contains(*name))
                    .cloned()
                    .collect();
                kept.objects.retain(|name, _| listed.contains(name));
                // Everybody who waited for this list looks again.
                let missing: Vec<String> = kept.asked.difference(&listed).cloned().collect();
                kept.asked.clear();
                listed.into_iter().chain(gone).chain(missing).collect()
            }
        }
    }

    fn fail(&self, scope: &Scope, plural: &str, error: watcher::Error) -> Vec<String> {
        let attempt = format!("watching {plural} in {}", scope.1);
        let error = match error {
            watcher::Error::InitialListFailed(e)
            | watcher::Error::WatchStartFailed(e)
            | watcher::Error::WatchFailed(e) => ClusterError::new(attempt, e),
            watcher::Error::WatchError(status) => {
                ClusterError::of_status(attempt, status.code, status.message.clone())
            }
            watcher::Error::NoResourceVersion => ClusterError::Unreachable {
                attempt,
                message: "the list carries no resourceVersion".to_owned(),
            },
        };
        tracing::debug!(%error, "a watch failed, again soon");
        let mut shelves = self.shelves();
        let kept = shelves.entry(scope.clone()).or_default();
        kept.stale = true;
        let remedy = match (&error, scope.0) {
            (ClusterError::NotFound { .. }, What::Routed(kind)) => kind.missing(),
            _ => None,
        };
        let remedy = remedy.map_or_else(String::new, |remedy| format!("; {remedy}"));
        // What was seen stays true enough while a watch is renewed; only what denies us the view hides it.
        let denied = matches!(
            error,
            ClusterError::NotFound { .. } | ClusterError::Forbidden { .. }
        );
        if !denied && kept.synced {
            return Vec::new();
        }
        let problem = Some(format!("{error}{remedy}"));
        if kept.problem == problem {
            return Vec::new();
        }
        kept.problem = problem;
        kept.objects.keys().chain(&kept.asked).cloned().collect()
    }
}

fn shelve(kept: &mut Shelf, what: What, object: &DynamicObject, listed: bool) -> Vec<String> {
    let kind = match what {
        What::Routed(kind) => kind,
        // Only their labels and endpoints are read; the kind written into the JSON does not matter.
        What::Endpoints => ObjectKind::ConfigMap,
    };
    let name = object.name_any();
    match json(kind, object) {
        Ok(json) => {
            if listed || is_newer(&json, kept.objects.get(&name)) {
                kept.objects.insert(name.clone(), json);
            }
            vec![name]
        }
        Err(error) => {
            tracing::warn!(name, %error, "an object cannot be read");
            Vec::new()
        }
    }
}

/// Versions are numbers on every API server there is; where they are not, the newcomer wins.
fn is_newer(candidate: &Value, known: Option<&Arc<Value>>) -> bool {
    let version = |value: &Value| {
        value
            .pointer("/metadata/resourceVersion")?
            .as_str()?
            .parse::<u64>()
            .ok()
    };
    match (version(candidate), known.and_then(|k| version(k))) {
        (Some(candidate), Some(known)) => candidate > known,
        _ => true,
    }
}

#[cfg(test)]
mod tests;
