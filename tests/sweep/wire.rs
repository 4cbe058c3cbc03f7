//! The fault layer: everything a daemon says to the API server and to the source of metrics, numbered.
//!
//! A process dies between two instructions, but all that anybody else can see of it are its calls. So a daemon is
//! killed before and after each of them: before, the call never leaves; after, it was served and nobody hears the
//! answer. From then on nothing of that life gets out any more.

use crate::promises::{Promises, Seen};
use crate::weather::Weather;
use axum::body::{Body, to_bytes};
use axum::response::Response;
use gradual_rollout::cluster::connect::Clients;
use gradual_rollout::metrics::{Ask, Simulation, Snapshot};
use gradual_rollout::rollout::sample::{Blindness, Dark};
use gradual_rollout::sandbox::apiserver::Store;
use jiff::Timestamp;
use std::io;
use std::sync::{Arc, Mutex};
use tower::service_fn;

/// On which side of a call a daemon dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Before,
    After,
}

/// Where a daemon dies: the number of the call, from 0, and on which side of it.
pub(crate) type Point = (usize, Side);

/// The calls of one life.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    /// What each was, in words.
    pub(crate) log: Vec<String>,
    point: Option<Point>,
    dead: bool,
    /// Whether what each was is not kept.
    forgetful: bool,
}

/// One life's way out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wire(Arc<Mutex<Calls>>);

impl Wire {
    /// A life that ends at a point; without one it lasts.
    pub(crate) fn until(point: Option<Point>) -> Self {
        Self(Arc::new(Mutex::new(Calls {
            point,
            ..Calls::default()
        })))
    }

    /// From now on calls are not written down: a long life would fill the memory with them.
    pub(crate) fn forget(&self) {
        self.0.lock().unwrap().forgetful = true;
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.0.lock().unwrap().dead
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.0.lock().unwrap().log.clone()
    }

    /// Numbers a call; `None` when it does not get out.
    fn begin(&self, what: impl FnOnce() -> String) -> Option<usize> {
        let mut calls = self.0.lock().unwrap();
        if calls.dead {
            return None;
        }
        let n = calls.log.len();
        if !calls.forgetful {
            calls.log.push(what());
        }
        calls.dead = calls.point == Some((n, Side::Before));
        (!calls.dead).then_some(n)
    }

    /// Whether the answer of a call still reaches somebody.
    fn end(&self, n: usize) -> bool {
        let mut calls = self.0.lock().unwrap();
        calls.dead |= calls.point == Some((n, Side::After));
        !calls.dead
    }

    /// Connections of this life to a store, through this weather, held to what is promised.
    pub(crate) fn connect(&self, store: &Store, weather: &Weather, promises: &Arc<Promises>) -> Clients {
        let (wire, store, weather, promises) =
            (self.clone(), store.clone(), weather.clone(), promises.clone());
        Clients::from_service(service_fn(move |request: http::Request<kube::client::Body>| {
            let (wire, store, weather, promises) =
                (wire.clone(), store.clone(), weather.clone(), promises.clone());
            async move { wire.serve(&store, &weather, &promises, request).await }
        }))
    }

    async fn serve(
        &self,
        store: &Store,
        weather: &Weather,
        promises: &Promises,
        request: http::Request<kube::client::Body>,
    ) -> io::Result<Response> {
        let (parts, body) = request.into_parts();
        let bytes = to_bytes(Body::new(body), usize::MAX).await.unwrap();
        let path = parts.uri.path().to_owned();
        let Some(n) = self.begin(|| format!("{} {path}", parts.method)) else {
            return std::future::pending().await;
        };
        let seen = Seen {
            method: parts.method.to_string(),
            path,
            body: bytes.clone(),
        };
        let before = promises.before(store, &seen);
        let request = http::Request::from_parts(parts, Body::from(bytes));
        let response = weather.through(request, store.router()).await?;
        if response.status().is_success() {
            promises.after(store, &seen, before);
        }
        if !self.end(n) {
            return std::future::pending().await;
        }
        Ok(response)
    }
}

/// Traffic, read through a wire.
#[derive(Debug)]
pub(crate) struct Scrapes {
    pub(crate) wire: Wire,
    pub(crate) traffic: Arc<dyn Simulation>,
}

impl Simulation for Scrapes {
    fn has_past(&self) -> bool {
        self.traffic.has_past()
    }

    fn scrape(&self, ask: &Ask, at: Timestamp) -> Result<Snapshot, Blindness> {
        let nobody = || Blindness {
            kind: Dark::Down,
            message: "nobody is there to hear it".to_owned(),
        };
        let n = self
            .wire
            .begin(|| format!("scrape {}", ask.component))
            .ok_or_else(nobody)?;
        let read = self.traffic.scrape(ask, at);
        if self.wire.end(n) { read } else { Err(nobody()) }
    }
}
