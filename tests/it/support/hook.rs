//! A receiver of hooks, as `docs/routers/hook.md` asks for one, and some that are none.

use aws_lc_rs::hmac;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use tokio::task::JoinSet;

/// How it answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    #[default]
    Obliging,
    /// 500 to everything that is set, and read.
    Failing,
    Hanging,
    /// Takes what is set, and 500 to whoever reads.
    Mute,
    /// Says what it has, and never ends setting another.
    Stuck,
    /// Says yes and does nothing.
    Lying,
    /// No JSON.
    Garbled,
    /// About another component.
    Mistaken,
    /// More than anybody reads.
    Endless,
    /// A twentieth of a percent.
    Finer,
    Redirecting,
}

#[derive(Debug, Default)]
struct Desk {
    key: String,
    mood: Mood,
    weights: BTreeMap<String, (f64, Option<String>)>,
    puts: Vec<f64>,
    asked: usize,
    unsigned: usize,
    refused: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Receiver {
    pub(crate) url: String,
    desk: Arc<Mutex<Desk>>,
}

impl Receiver {
    pub(crate) async fn start(key: &str, tasks: &mut JoinSet<()>) -> Self {
        let desk = Arc::new(Mutex::new(Desk {
            key: key.to_owned(),
            ..Desk::default()
        }));
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/weights", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(desk.clone());
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, desk }
    }

    pub(crate) fn mood(&self, mood: Mood) {
        self.desk.lock().unwrap().mood = mood;
    }

    /// As somebody else sets it.
    pub(crate) fn set(&self, component: &str, weight: f64, id: &str) {
        let said = (weight, Some(id.to_owned()));
        self.desk
            .lock()
            .unwrap()
            .weights
            .insert(component.to_owned(), said);
    }

    pub(crate) fn weight(&self, component: &str) -> f64 {
        self.desk
            .lock()
            .unwrap()
            .weights
            .get(component)
            .map_or(0.0, |w| w.0)
    }

    /// What was set by requests, in order.
    pub(crate) fn puts(&self) -> Vec<f64> {
        self.desk.lock().unwrap().puts.clone()
    }

    pub(crate) fn asked(&self) -> usize {
        self.desk.lock().unwrap().asked
    }

    pub(crate) fn unsigned(&self) -> usize {
        self.desk.lock().unwrap().unsigned
    }

    pub(crate) fn refused(&self) -> usize {
        self.desk.lock().unwrap().refused
    }
}

async fn answer(State(desk): State<Arc<Mutex<Desk>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let path = parts.uri.path_and_query().unwrap().as_str().to_owned();
    let mood = {
        let mut desk = desk.lock().unwrap();
        desk.asked += 1;
        if !is_signed(&desk.key, &parts.headers, &parts.method, &path, &body) {
            desk.unsigned += 1;
            return StatusCode::UNAUTHORIZED.into_response();
        }
        desk.mood
    };
    let component = path
        .split_once("component=")
        .map_or("", |(_, name)| name)
        .to_owned();
    match mood {
        Mood::Failing => {
            desk.lock().unwrap().refused += 1;
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
        Mood::Hanging => std::future::pending().await,
        Mood::Stuck if parts.method == Method::PUT => std::future::pending().await,
        Mood::Mute if parts.method == Method::GET => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Mood::Garbled => "welcome".into_response(),
        Mood::Mistaken => {
            axum::Json(json!({"component": "another", "weight": 1, "id": null})).into_response()
        }
        Mood::Endless => "x".repeat(1 << 20).into_response(),
        Mood::Finer => {
            axum::Json(json!({"component": component, "weight": 0.05, "id": null})).into_response()
        }
        Mood::Redirecting => (StatusCode::FOUND, [("location", "/elsewhere")]).into_response(),
        Mood::Lying if parts.method == Method::PUT => axum::Json(json!({})).into_response(),
        Mood::Lying | Mood::Obliging | Mood::Stuck | Mood::Mute if parts.method == Method::GET => {
            let (weight, id) = desk
                .lock()
                .unwrap()
                .weights
                .get(&component)
                .cloned()
                .unwrap_or_default();
            axum::Json(json!({"component": component, "weight": weight, "id": id})).into_response()
        }
        Mood::Lying | Mood::Obliging | Mood::Stuck | Mood::Mute => {
            put(&mut desk.lock().unwrap(), &parts.headers, &body)
        }
    }
}

fn put(desk: &mut Desk, headers: &HeaderMap, body: &Bytes) -> Response {
    let said: Value = serde_json::from_slice(body).unwrap();
    let (component, id) = (said["component"].as_str().unwrap(), said["id"].as_str().unwrap());
    let weight = said["weight"].as_f64().unwrap();
    let known = desk.weights.get(component).cloned().unwrap_or_default();
    if known == (weight, Some(id.to_owned())) {
        return StatusCode::OK.into_response();
    }
    let wanted = headers
        .get("if-match")
        .map(|h| h.to_str().unwrap().trim_matches('"').to_owned());
    let only_first = headers.get("if-none-match").is_some_and(|any| any == "*");
    // As `docs/routers/hook.md` tells people to do it: without either header there is no fence.
    let lost = match wanted {
        Some(id) => known.1 != Some(id),
        None => only_first && known.1.is_some(),
    };
    if lost {
        return StatusCode::PRECONDITION_FAILED.into_response();
    }
    desk.weights
        .insert(component.to_owned(), (weight, Some(id.to_owned())));
    desk.puts.push(weight);
    StatusCode::OK.into_response()
}

fn is_signed(key: &str, headers: &HeaderMap, method: &Method, path: &str, body: &[u8]) -> bool {
    let header = |name: &str| {
        headers
            .get(name)
            .and_then(|h| h.to_str().ok())
            .unwrap_or_default()
    };
    let mut text = format!("{}\n{method}\n{path}\n", header("x-rollout-timestamp")).into_bytes();
    text.extend_from_slice(body);
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    let mut hex = String::from("v1=");
    for byte in hmac::sign(&key, &text).as_ref() {
        write!(hex, "{byte:02x}").unwrap();
    }
    hex == header("x-rollout-signature")
}
