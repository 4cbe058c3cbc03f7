//! Watch caches, started on demand: one watch for each kind and namespace that a resource routes in. Deciding reads
//! from here alone, never from the server.

use super::connect::Clients;
use super::error::ClusterError;
use super::objects::{json, resource};
use crate::routing::{ObjectKind, ObjectRef};
use futures::StreamExt;
use kube::api::{ApiResource, DynamicObject};
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

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

/// What is watched in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Routed(ObjectKind),
    Endpoints,
}

type Scope = (What, String);

#[derive(Debug, Default)]
struct Shelf {
    synced: bool,
    problem: Option<String>,
    objects: BTreeMap<String, Arc<Value>>,
    /// Names listed since a restart of the watch; what is missing at its end was deleted meanwhile.
    listed: BTreeSet<String>,
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
            // Nobody receives once the caches have stopped; then nobody looks either.
            drop(self.inner.wanted.send(scope));
        }
    }

    /// What is known of an object.
    pub fn get(&self, object: &ObjectRef) -> Cached {
        let shelves = self.shelves();
        let Some(shelf) = shelves.get(&(What::Routed(object.kind), object.namespace.clone())) else {
            return Cached::Syncing;
        };
        match (shelf.objects.get(&object.name), &shelf.problem) {
            (_, Some(problem)) => Cached::Problem(problem.clone()),
            (Some(json), None) => Cached::Object(json.clone()),
            (None, None) if shelf.synced => Cached::Missing,
            (None, None) => Cached::Syncing,
        }
    }

    /// Takes what the server answered to our own write, unless the watch has brought something newer already.
    pub fn put(&self, object: &ObjectRef, json: Arc<Value>) {
        let mut shelves = self.shelves();
        let Some(shelf) = shelves.get_mut(&(What::Routed(object.kind), object.namespace.clone())) else {
            return;
        };
        if is_newer(&json, shelf.objects.get(&object.name)) {
            shelf.objects.insert(object.name.clone(), json);
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

    /// Whether a Service has a ready endpoint. `None` when nothing is known: no watch, or no slice of that Service.
    pub fn endpoints_ready(&self, namespace: &str, service: &str) -> Option<bool> {
        let shelves = self.shelves();
        let shelf = shelves.get(&(What::Endpoints, namespace.to_owned()))?;
        if !shelf.synced || shelf.problem.is_some() {
            return None;
        }
        let of_service = |slice: &&Arc<Value>| {
            slice
                .pointer("/metadata/labels/kubernetes.io~1service-name")
                .and_then(Value::as_str)
                == Some(service)
        };
        let mut known = None;
        for slice in shelf.objects.values().filter(of_service) {
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

    /// Runs every watch that is wanted, until told to stop.
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
                    if let Err(error) = ended {
                        tracing::error!(%error, "a watch died");
                    }
                }
            }
        }
    }

    async fn watch(self, scope: Scope) {
        let (what, namespace) = &scope;
        let kind = match what {
            What::Routed(kind) => resource(*kind),
            What::Endpoints => ApiResource {
                group: "discovery.k8s.io".into(),
                version: "v1".into(),
                api_version: "discovery.k8s.io/v1".into(),
                kind: "EndpointSlice".into(),
                plural: "endpointslices".into(),
            },
        };
        let api: Api<DynamicObject> = Api::namespaced_with(self.clients.api.clone(), namespace, &kind);
        let mut events = std::pin::pin!(watcher(api, self.clients.watching()).default_backoff());
        while let Some(event) = events.next().await {
            let touched = match event {
                Ok(event) => self.take(&scope, event),
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
        }
    }

    /// Shelves what a watch brought; the names that changed.
    fn take(&self, scope: &Scope, event: Event<DynamicObject>) -> Vec<String> {
        let mut shelves = self.shelves();
        let shelf = shelves.entry(scope.clone()).or_default();
        match event {
            Event::Apply(object) => {
                shelf.problem = None;
                shelve(shelf, scope.0, &object, false)
            }
            Event::InitApply(object) => {
                let name = object.name_any();
                shelf.listed.insert(name);
                shelve(shelf, scope.0, &object, true)
            }
            Event::Delete(object) => {
                shelf.objects.remove(&object.name_any());
                vec![object.name_any()]
            }
            Event::Init => {
                shelf.listed.clear();
                Vec::new()
            }
            Event::InitDone => {
                shelf.synced = true;
                shelf.problem = None;
                let listed = std::mem::take(&mut shelf.listed);
                let gone: Vec<String> = shelf
                    .objects
                    .keys()
                    .filter(|name| !listed.contains(*name))
                    .cloned()
                    .collect();
                shelf.objects.retain(|name, _| listed.contains(name));
                // Everybody who waited for this list looks again.
                listed.into_iter().chain(gone).chain([String::new()]).collect()
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
        let shelf = shelves.entry(scope.clone()).or_default();
        let remedy = match (&error, scope.0) {
            (ClusterError::NotFound { .. }, What::Routed(ObjectKind::VirtualService)) => {
                "; is Istio installed? (kubectl get crd virtualservices.networking.istio.io)"
            }
            _ => "",
        };
        match &error {
            // What was seen stays true enough while a watch is renewed; only what denies us the view hides it.
            ClusterError::NotFound { .. } | ClusterError::Forbidden { .. } => {
                shelf.problem = Some(format!("{error}{remedy}"));
                vec![String::new()]
            }
            _ if !shelf.synced => {
                shelf.problem = Some(format!("{error}{remedy}"));
                vec![String::new()]
            }
            _ => Vec::new(),
        }
    }
}

fn shelve(shelf: &mut Shelf, what: What, object: &DynamicObject, listed: bool) -> Vec<String> {
    let kind = match what {
        What::Routed(kind) => kind,
        // Only their labels and endpoints are read; the kind written into the JSON does not matter.
        What::Endpoints => ObjectKind::ConfigMap,
    };
    let name = object.name_any();
    match json(kind, object) {
        Ok(json) => {
            if listed || is_newer(&json, shelf.objects.get(&name)) {
                shelf.objects.insert(name.clone(), json);
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
