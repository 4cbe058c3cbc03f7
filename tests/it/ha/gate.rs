//! A numbered gate between a daemon and the API server: the call of a number is held, and everything behind it, until
//! it is opened. What is held has left already: it arrives later even when whoever sent it has given up meanwhile.

use crate::support::world::World;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use gradual_rollout::cluster::connect::Clients;
use std::sync::{Arc, Mutex};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Everything passes, nothing is counted.
    #[default]
    Open,
    /// Calls are counted down to the one that is held.
    Armed(usize),
    /// One is held; nothing passes.
    Shut,
}

#[derive(Clone)]
pub(super) struct Gate {
    state: watch::Sender<State>,
    /// The call that is held, in words.
    held: Arc<Mutex<Option<String>>>,
    late: Arc<Mutex<JoinSet<()>>>,
    /// How what was held was answered.
    answer: Arc<Mutex<Option<u16>>>,
    /// Only calls like this are counted; empty: all.
    only: Arc<Mutex<String>>,
}

impl Gate {
    pub(super) fn new() -> Self {
        Self {
            state: watch::channel(State::Open).0,
            held: Arc::default(),
            late: Arc::default(),
            answer: Arc::default(),
            only: Arc::default(),
        }
    }

    /// Connections through the gate.
    pub(super) fn clients(&self, world: &World) -> Clients {
        Clients::from_service(self.guard(world.store.router()))
    }

    /// An API server behind the gate.
    pub(super) fn guard(&self, server: Router) -> Router {
        let gate = self.clone();
        server.layer(from_fn(move |request: Request, next: Next| {
            let gate = gate.clone();
            async move { gate.pass(request, next).await }
        }))
    }

    /// From now on calls are counted; the one of this number, from 0, is held.
    pub(super) fn arm(&self, number: usize) {
        self.state.send_replace(State::Armed(number));
    }

    /// The same, of calls like this alone: `METHOD part of the path`.
    pub(super) fn arm_at(&self, like: &str, number: usize) {
        like.clone_into(&mut self.only.lock().unwrap());
        self.arm(number);
    }

    /// Everything may pass, first what was held.
    pub(super) fn open(&self) {
        self.state.send_replace(State::Open);
    }

    /// What is held.
    pub(super) fn held(&self) -> Option<String> {
        self.held.lock().unwrap().clone()
    }

    /// The status with which what was held was answered, once it is.
    pub(super) fn answer(&self) -> Option<u16> {
        *self.answer.lock().unwrap()
    }

    fn is_like(&self, request: &Request) -> bool {
        let only = self.only.lock().unwrap();
        let Some((method, part)) = only.split_once(' ') else {
            return true;
        };
        request.method() == method && request.uri().path().contains(part)
    }

    async fn opened(&self) {
        let mut state = self.state.subscribe();
        state.wait_for(|state| *state == State::Open).await.unwrap();
    }

    async fn pass(&self, request: Request, next: Next) -> Response {
        let mut holds = false;
        let shut = {
            let counts = counts(&request) && self.is_like(&request);
            self.state.send_if_modified(|state| {
                match *state {
                    State::Armed(0) if counts => {
                        *state = State::Shut;
                        holds = true;
                    }
                    State::Armed(left) if counts => *state = State::Armed(left - 1),
                    State::Open | State::Armed(_) | State::Shut => return false,
                }
                true
            });
            *self.state.borrow() == State::Shut
        };
        if !holds {
            if shut {
                self.opened().await;
                // The one that is held goes first.
                tokio::task::yield_now().await;
            }
            return next.run(request).await;
        }
        *self.held.lock().unwrap() = Some(format!("{} {}", request.method(), request.uri()));
        let (parts, body) = request.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        let request = Request::from_parts(parts, Body::from(bytes));
        let (answer, answered) = oneshot::channel();
        let gate = self.clone();
        self.late.lock().unwrap().spawn(async move {
            gate.opened().await;
            let response = next.run(request).await;
            *gate.answer.lock().unwrap() = Some(response.status().as_u16());
            drop(answer.send(response));
        });
        match answered.await {
            Ok(answer) => answer,
            Err(_) => http::StatusCode::GATEWAY_TIMEOUT.into_response(),
        }
    }
}

/// Watches, lists, Leases and Events are no part of a raise.
fn counts(request: &Request) -> bool {
    let path = request.uri().path();
    let named = |plural: &str| {
        path.split('/')
            .skip_while(|part| *part != plural)
            .nth(1)
            .is_some()
    };
    let writes = request.method() != "GET";
    [
        "gradualrollouts",
        "virtualservices",
        "ingresses",
        "services",
        "deployments",
    ]
    .iter()
    .any(|plural| named(plural) || (writes && path.ends_with(plural)))
}
