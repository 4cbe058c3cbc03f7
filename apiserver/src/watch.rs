//! Watches: a stream of changes, from now or from a remembered version.

use super::failure::Failure;
use super::resource::Resource;
use super::selector::Selector;
use super::store::{Change, Store};
use super::view::View;
use super::wire;
use axum::body::{Body, Bytes};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::time::Instant;

/// What a client asked to watch.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    /// The resource, in the client's version.
    pub resource: Arc<Resource>,
    /// One namespace, or all when empty.
    pub namespace: String,
    /// Which objects.
    pub selector: Selector,
    /// Start after this version; `None` starts with everything that exists.
    pub after: Option<u64>,
    /// Send bookmarks.
    pub bookmarks: bool,
    /// Start with everything, then a bookmark that says so.
    pub initial: bool,
    /// End after this long.
    pub timeout: Option<Duration>,
    /// How objects are written.
    pub view: View,
}

struct Watch {
    store: Store,
    terms: Terms,
    receiver: broadcast::Receiver<Arc<Change>>,
    pending: VecDeque<Bytes>,
    seen: u64,
    deadline: Option<Instant>,
    bookmark: Option<Instant>,
    done: bool,
}

/// The body of a watch. One that would start before the remembered changes says 410 and ends.
pub(super) fn body(store: &Store, terms: Terms) -> Body {
    let mut inner = store.lock();
    let storage = terms.resource.storage();
    let version = inner.version;
    let channel = inner.channel(&storage);
    let receiver = channel.sender.subscribe();
    let floor = channel.floor;
    let mut gone = None;
    let mut initial = Vec::new();
    let mut past = Vec::new();
    let after = terms.after.filter(|_| !terms.initial);
    match after {
        // As in a real server the refusal is the first event, not the answer.
        Some(after) if after < floor => gone = Some(Failure::expired(after, floor).body()),
        Some(after) => past.extend(channel.log.iter().filter(|c| c.version > after).cloned()),
        None => initial.extend(
            inner
                .objects
                .get(&storage)
                .into_iter()
                .flatten()
                .map(|(_, s)| s.value.clone()),
        ),
    }
    drop(inner);
    let now = Instant::now();
    let every = store.bookmarks();
    let mut watch = Watch {
        deadline: terms.timeout.map(|t| now + t),
        bookmark: terms.bookmarks.then(|| now + every),
        store: store.clone(),
        terms,
        receiver,
        pending: VecDeque::new(),
        seen: version.max(after.unwrap_or_default()),
        done: gone.is_some(),
    };
    if let Some(status) = gone {
        watch.line("ERROR", &status);
    }
    for object in initial {
        if watch.is_about(&object) {
            watch.send("ADDED", &object);
        }
    }
    for change in past {
        watch.tell(&change);
    }
    if watch.terms.initial {
        watch.bookmark_at(version, true);
    }
    Body::from_stream(futures::stream::unfold(watch, |mut watch| async move {
        let line = watch.next().await?;
        Some((Ok::<_, std::convert::Infallible>(line), watch))
    }))
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

impl Watch {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.pending.pop_front() {
                return Some(line);
            }
            if self.done {
                return None;
            }
            tokio::select! {
                biased;
                change = self.receiver.recv() => match change {
                    Ok(change) if change.version > self.seen => self.tell(&change),
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => {
                        let status = Failure::expired(self.seen, self.store.version()).body();
                        self.line("ERROR", &status);
                        self.done = true;
                    }
                    Err(RecvError::Closed) => self.done = true,
                },
                () = until(self.deadline) => {
                    self.progress();
                    self.done = true;
                }
                () = until(self.bookmark) => {
                    self.progress();
                    self.bookmark = Some(Instant::now() + self.store.bookmarks());
                }
            }
        }
    }

    /// A bookmark at the store's version, unless a change is still on its way to this watch.
    fn progress(&mut self) {
        if !self.terms.bookmarks {
            return;
        }
        // Changes are sent under this lock: with it held, an empty receiver has told everything.
        let version = {
            let inner = self.store.lock();
            self.receiver.is_empty().then_some(inner.version)
        };
        if let Some(version) = version {
            self.bookmark_at(version, false);
        }
    }

    fn bookmark_at(&mut self, version: u64, initial: bool) {
        let mut meta = json!({"resourceVersion": version.to_string(), "creationTimestamp": null});
        if initial && let Some(meta) = meta.as_object_mut() {
            meta.insert(
                "annotations".to_owned(),
                json!({"k8s.io/initial-events-end": "true"}),
            );
        }
        let resource = self.terms.resource.clone();
        let object = json!({"kind": resource.kind, "apiVersion": resource.group_version(), "metadata": meta});
        let object = if self.terms.view == View::Full {
            object
        } else {
            self.terms.view.bookmark(&object)
        };
        self.line("BOOKMARK", &object);
    }

    fn is_about(&self, object: &Value) -> bool {
        let namespace = &self.terms.namespace;
        (namespace.is_empty() || super::json::meta(object, "namespace") == namespace)
            && self.terms.selector.matches(object)
    }

    fn tell(&mut self, change: &Change) {
        let was = change.before.as_ref().filter(|b| self.is_about(b));
        let is = !change.deleted && self.is_about(&change.object);
        match (was, is) {
            (None, false) => {}
            (None, true) => self.send_change("ADDED", change),
            (Some(_), true) => self.send_change("MODIFIED", change),
            (Some(_), false) if change.deleted => self.send_change("DELETED", change),
            (Some(was), false) => {
                // It left the selection: the client sees what it knew, at the version it left.
                let mut last = Value::clone(was);
                super::json::metadata(&mut last)
                    .insert("resourceVersion".to_owned(), json!(change.version.to_string()));
                self.send("DELETED", &Arc::new(last));
            }
        }
    }

    fn send_change(&mut self, kind: &str, change: &Change) {
        let resource = &self.terms.resource;
        let as_stored = resource.group_version() == resource.stored_group_version();
        if self.terms.view != View::Full || !as_stored {
            self.send(kind, &change.object);
            return;
        }
        // Writing a JSON value into memory cannot fail.
        let json = change
            .json
            .get_or_init(|| serde_json::to_vec(&*change.object).unwrap_or_default().into());
        let mut line = format!("{{\"type\":\"{kind}\",\"object\":").into_bytes();
        line.extend_from_slice(json);
        line.extend_from_slice(b"}\n");
        self.pending.push_back(line.into());
    }

    fn send(&mut self, kind: &str, stored: &Arc<Value>) {
        if self.terms.view == View::Full {
            let object = wire::outward(&self.terms.resource, stored);
            self.line(kind, &object);
        } else {
            let object = self
                .terms
                .view
                .one(&self.terms.resource, stored, self.store.now());
            self.line(kind, &object);
        }
    }

    fn line(&mut self, kind: &str, object: &Value) {
        let mut line = format!("{{\"type\":\"{kind}\",\"object\":").into_bytes();
        // Writing JSON values into memory cannot fail.
        if serde_json::to_writer(&mut line, object).is_ok() {
            line.extend_from_slice(b"}\n");
            self.pending.push_back(line.into());
        }
    }
}
