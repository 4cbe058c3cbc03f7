//! The objects, their versions and their history: what etcd and the watch cache are to a real API server.

use super::failure::Failure;
use super::fault::{Fault, Faults};
use super::managed::Managers;
use super::resource::{Registry, Resource};
use super::{builtin, crd, direct};
use crate::clock::Clock;
use axum::body::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::ThreadId;
use std::time::Duration;
use tokio::sync::broadcast;

/// How many changes of one resource a watch may be behind before it is told to list again.
const HISTORY: usize = 4096;

/// One object and who owns its fields.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    /// The object, in its stored version.
    pub value: Arc<Value>,
    pub(super) managers: Managers,
}

/// One change of one object, in its stored version.
#[derive(Clone, Debug)]
pub struct Change {
    /// The resourceVersion the change made.
    pub version: u64,
    /// The object after it; for a deletion its last state.
    pub object: Arc<Value>,
    /// The object before it; `None` when it was created.
    pub before: Option<Arc<Value>>,
    /// The object is gone.
    pub deleted: bool,
    /// The object as JSON, written once for all watchers.
    pub(super) json: OnceLock<Bytes>,
}

/// Namespace (empty at cluster scope) and name.
pub(super) type Key = (String, String);

pub(super) struct Channel {
    pub(super) sender: broadcast::Sender<Arc<Change>>,
    pub(super) log: VecDeque<Arc<Change>>,
    /// Changes up to this version have left the log.
    pub(super) floor: u64,
}

pub(super) struct Inner {
    pub(super) registry: Arc<Registry>,
    pub(super) objects: HashMap<String, BTreeMap<Key, Stored>>,
    pub(super) version: u64,
    pub(super) ids: u64,
    pub(super) channels: HashMap<String, Channel>,
    pub(super) history: usize,
}

struct Shared {
    clock: Clock,
    /// The thread whose runtime the clock follows, and the latest time it told.
    home: Mutex<(ThreadId, Timestamp)>,
    inner: Mutex<Inner>,
    faults: Faults,
    bookmarks: Mutex<Duration>,
    access: Mutex<Access>,
}

/// Decides on the `spec` of an access review.
type Rule = Arc<dyn Fn(&Value) -> bool + Send + Sync>;

#[derive(Default)]
struct Access {
    rule: Option<Rule>,
    /// Tokens, and whose they are.
    tokens: HashMap<String, Value>,
    /// Every request is asked for rights.
    enforced: bool,
}

/// The store behind the API. Cheap to clone; clones share everything. May be used from several runtimes at once:
/// nothing in it waits, and changes wake watchers of every runtime.
#[derive(Clone)]
pub struct Store(Arc<Shared>);

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store(at version {})", self.lock().version)
    }
}

impl Store {
    /// An empty cluster with the built-in resources and the usual namespaces. A simulated clock is read only on
    /// the thread that calls this (or later [`Store::live_here`]); other threads see the latest time told there.
    pub fn new(clock: Clock) -> Self {
        let mut registry = Registry::default();
        builtin::register(&mut registry);
        let now = clock.now();
        // Nobody waits a minute in a story: virtual bookmarks are rarer, because each costs real time.
        let bookmarks = match clock {
            Clock::System => Duration::from_secs(60),
            Clock::Simulated { .. } => Duration::from_secs(900),
        };
        let store = Self(Arc::new(Shared {
            clock,
            home: Mutex::new((std::thread::current().id(), now)),
            inner: Mutex::new(Inner {
                registry: Arc::new(registry),
                objects: HashMap::new(),
                version: 1,
                ids: 0,
                channels: HashMap::new(),
                history: HISTORY,
            }),
            faults: Faults::default(),
            bookmarks: Mutex::new(bookmarks),
            access: Mutex::default(),
        }));
        for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
            store.namespace(name);
        }
        for definition in
            std::iter::once(super::istio::virtual_services()).chain(super::gateway_api::routes())
        {
            if let Err(failure) = store.register_crd(&definition) {
                let name = super::json::meta(&definition, "name");
                tracing::error!(%failure, name, "unable to serve routes: the definition in the program is broken");
            }
        }
        store
    }

    /// Makes this thread's runtime the one whose clock is read.
    pub fn live_here(&self) {
        let now = self.0.clock.now();
        *lock(&self.0.home) = (std::thread::current().id(), now);
    }

    /// The time now; on another thread than the story's, the latest time the story told.
    pub fn now(&self) -> Timestamp {
        if matches!(self.0.clock, Clock::System) {
            return self.0.clock.now();
        }
        let mut home = lock(&self.0.home);
        if home.0 == std::thread::current().id() {
            home.1 = self.0.clock.now();
        }
        home.1
    }

    pub(super) fn stamp(&self) -> String {
        let now = self.now();
        let whole = Timestamp::from_second(now.as_second()).unwrap_or(now);
        whole.to_string()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.0.inner)
    }

    /// Puts a fault in force; the number lifts it again, through [`Store::faults`].
    pub fn inject(&self, fault: Fault) -> u64 {
        self.0.faults.inject(fault)
    }

    /// The injected faults.
    pub fn faults(&self) -> &Faults {
        &self.0.faults
    }

    /// Makes `token` a bearer token of `user`, for token reviews.
    pub fn add_token(&self, token: &str, user: &str, groups: &[&str]) {
        let user = json!({"username": user, "groups": groups});
        lock(&self.0.access).tokens.insert(token.to_owned(), user);
    }

    /// Decides access reviews by their `spec`; without a rule everything is allowed, or what RBAC grants where it is
    /// enforced.
    pub fn set_access(&self, rule: impl Fn(&Value) -> bool + Send + Sync + 'static) {
        lock(&self.0.access).rule = Some(Arc::new(rule));
    }

    pub(super) fn user(&self, token: &str) -> Option<Value> {
        lock(&self.0.access).tokens.get(token).cloned()
    }

    /// What [`Store::set_access`] decides on the `spec` of a review; `None` without it.
    pub(super) fn decided(&self, spec: &Value) -> Option<bool> {
        let rule = lock(&self.0.access).rule.clone();
        rule.map(|rule| rule(spec))
    }

    /// Serves the resources of RBAC and asks every request for rights.
    pub(super) fn ask_for_rights(&self) {
        builtin::register_rbac(Arc::make_mut(&mut self.lock().registry));
        lock(&self.0.access).enforced = true;
    }

    pub(super) fn asks_for_rights(&self) -> bool {
        lock(&self.0.access).enforced
    }

    /// How often an idle watch gets a bookmark.
    pub fn set_bookmarks(&self, every: Duration) {
        *lock(&self.0.bookmarks) = every.max(Duration::from_millis(1));
    }

    pub(super) fn bookmarks(&self) -> Duration {
        *lock(&self.0.bookmarks)
    }

    /// How many changes per resource are remembered for watches that start in the past.
    pub fn set_history(&self, changes: usize) {
        self.lock().history = changes;
    }

    /// Ends every open watch, as a restarted API server does. Clients come back for what they missed.
    pub fn break_watches(&self) {
        for channel in self.lock().channels.values_mut() {
            channel.sender = broadcast::channel(HISTORY).0;
        }
    }

    /// Forgets all changes so far: a watch that wants to go on from an older version is told 410.
    pub fn forget_history(&self) {
        let mut inner = self.lock();
        let version = inner.version;
        for channel in inner.channels.values_mut() {
            channel.log.clear();
            channel.floor = version;
        }
    }

    /// What is served now.
    pub(super) fn registry(&self) -> Arc<Registry> {
        self.lock().registry.clone()
    }

    /// The version of the latest change.
    pub fn version(&self) -> u64 {
        self.lock().version
    }

    /// Creates a namespace unless it exists.
    pub fn namespace(&self, name: &str) {
        if self.get("namespaces", "", name).is_none()
            && let Err(failure) =
                self.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}))
        {
            tracing::warn!(%failure, name, "unable to create the namespace");
        }
    }

    /// Serves what a `CustomResourceDefinition` defines, at once.
    pub fn register_crd(&self, crd: &Value) -> Result<(), Failure> {
        self.put(crd.clone()).map(drop)
    }

    /// One object of `resource` (`plural` or `plural.group`), in its stored version.
    pub fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let inner = self.lock();
        let key = (namespace.to_owned(), name.to_owned());
        inner
            .objects
            .get(resource)
            .and_then(|o| o.get(&key))
            .map(|s| s.value.clone())
    }

    /// All objects of `resource`, by namespace and name.
    pub fn list(&self, resource: &str) -> Vec<Arc<Value>> {
        let inner = self.lock();
        inner
            .objects
            .get(resource)
            .into_iter()
            .flat_map(BTreeMap::values)
            .map(|s| s.value.clone())
            .collect()
    }

    /// Changes of `resource` from now on. A receiver that lags by thousands of changes loses the oldest.
    pub fn subscribe(&self, resource: &str) -> broadcast::Receiver<Arc<Change>> {
        self.lock().channel(resource).sender.subscribe()
    }

    /// Creates or replaces an object, as field manager `sandbox`, validated like any other write. A status in it is
    /// written too; without one the status stays. Without a namespace it goes to `default`.
    pub fn put(&self, object: Value) -> Result<Arc<Value>, Failure> {
        direct::put(self, object)
    }

    /// Replaces the status of an object, as field manager `sandbox`.
    pub fn put_status(
        &self,
        resource: &str,
        namespace: &str,
        name: &str,
        status: Value,
    ) -> Result<Arc<Value>, Failure> {
        direct::put_status(self, resource, namespace, name, status)
    }

    /// Deletes an object; finalizers are respected.
    pub fn delete(&self, resource: &str, namespace: &str, name: &str) -> Result<(), Failure> {
        direct::delete(self, resource, namespace, name)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while holding it; a poisoned lock would still guard consistent data.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    pub(super) fn channel(&mut self, storage: &str) -> &mut Channel {
        self.channels
            .entry(storage.to_owned())
            .or_insert_with(|| Channel {
                sender: broadcast::channel(HISTORY).0,
                log: VecDeque::new(),
                floor: 0,
            })
    }

    pub(super) fn find(&self, resource: &Resource, namespace: &str, name: &str) -> Option<&Stored> {
        self.objects
            .get(&resource.storage())?
            .get(&(namespace.to_owned(), name.to_owned()))
    }

    /// The version the next change will have.
    pub(super) fn next(&self) -> u64 {
        self.version + 1
    }

    /// A fresh unique number, spread so that ids do not look alike.
    pub(super) fn id(&mut self) -> u64 {
        self.ids += 1;
        // The finaliser of splitmix64: a bijection, so ids never repeat.
        let mut z = self.ids.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Makes a change visible. `stored` carries the version of [`Inner::next`].
    pub(super) fn commit(
        &mut self,
        resource: &Resource,
        key: &Key,
        stored: Option<Stored>,
        gone: Option<Arc<Value>>,
    ) {
        self.version += 1;
        let version = self.version;
        let storage = resource.storage();
        let objects = self.objects.entry(storage.clone()).or_default();
        let deleted = stored.is_none();
        let (before, object) = match stored {
            Some(stored) => {
                let object = stored.value.clone();
                (objects.insert(key.clone(), stored).map(|s| s.value), Some(object))
            }
            None => (objects.remove(key).map(|s| s.value), gone),
        };
        let Some(object) = object else { return };
        if resource.plural == "customresourcedefinitions" && resource.group == "apiextensions.k8s.io" {
            self.serve(&object, deleted);
        }
        let change = Arc::new(Change {
            version,
            object,
            before,
            deleted,
            json: OnceLock::new(),
        });
        let history = self.history;
        let channel = self.channel(&storage);
        channel.log.push_back(change.clone());
        while channel.log.len() > history {
            channel.floor = channel.log.pop_front().map_or(channel.floor, |c| c.version);
        }
        // No receiver is no error: nobody watches.
        let _ = channel.sender.send(change);
    }

    fn serve(&mut self, crd: &Value, gone: bool) {
        let registry = Arc::make_mut(&mut self.registry);
        let (group, plural) = (
            super::json::text(crd, "/spec/group"),
            super::json::text(crd, "/spec/names/plural"),
        );
        registry.remove(group, plural);
        if !gone {
            for resource in crd::resources(crd) {
                registry.add(resource);
            }
        }
    }
}
