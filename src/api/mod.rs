//! What the daemon serves over HTTP.
//!
//! | path | answer |
//! |---|---|
//! | `/healthz` | 200 while the process works |
//! | `/readyz` | 200 once every resource was seen, whether this daemon leads or stands by; 503 before |
//! | `/metrics` | its own metrics, Prometheus text format |
//! | `/api/v1/rollouts` | every rollout's status, JSON |
//! | `/api/v1/rollouts/{namespace}/{name}/components/{component}/explain` | why the component is where it is, JSON: what `explain -o json` prints |
//! | `/api/v1/source` | how the source of samples stands, JSON |
//!
//! All of that reads. What changes something is off unless the operator lets it in:
//!
//! | POST | does | who may |
//! |---|---|---|
//! | `/api/v1/rollouts/{namespace}/{name}/commands` | gives a command | whose Kubernetes token has the right to its verb |
//! | `/hooks/alertmanager` | puts back what an alert is about | who knows the shared secret |
//! | `/hooks/complaint` | records a complaint | likewise |

mod alertmanager;
mod answer;
mod commands;
mod complaints;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod inbound;
mod mapping;
mod serve;

pub use inbound::{FIELD_MANAGER, Inbound, InboundSettings};
pub use mapping::AlertRoute;
pub use serve::{Connections, serve};

use crate::engine::{Explained, View};
use crate::rollout::status::GradualRolloutStatus;
use crate::telemetry::{self, Metrics};
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use tokio::sync::watch;

/// What the server may read.
#[derive(Clone)]
pub struct ApiState {
    /// The read model.
    pub view: watch::Receiver<View>,
    /// Whether every resource was seen.
    pub ready: watch::Receiver<bool>,
    /// The daemon's own metrics.
    pub metrics: Metrics,
    /// The way in; `None`: everything is read-only.
    pub inbound: Option<Inbound>,
}

/// The daemon's routes.
pub fn router(state: ApiState) -> Router {
    let inbound = state.inbound.clone().map(|inbound| {
        Router::new()
            .route(
                "/api/v1/rollouts/{namespace}/{name}/commands",
                post(commands::take),
            )
            .route("/hooks/alertmanager", post(alertmanager::take))
            .route("/hooks/complaint", post(complaints::take))
            .with_state(inbound)
    });
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/api/v1/rollouts", get(rollouts))
        .route(
            "/api/v1/rollouts/{namespace}/{name}/components/{component}/explain",
            get(explain),
        )
        .route("/api/v1/source", get(source))
        .with_state(state)
        .merge(inbound.unwrap_or_default())
}

async fn ready(State(state): State<ApiState>) -> Response {
    if *state.ready.borrow() {
        "ok\n".into_response()
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "not ready: resources are being read, or this daemon is starting\n",
        )
            .into_response()
    }
}

async fn metrics(State(state): State<ApiState>) -> Response {
    match state.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, telemetry::CONTENT_TYPE)], text).into_response(),
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("metrics cannot be written: {error}\n"),
        )
            .into_response(),
    }
}

async fn source(State(state): State<ApiState>) -> Response {
    Json(state.view.borrow().source()).into_response()
}

async fn explain(
    State(state): State<ApiState>,
    Path((namespace, name, component)): Path<(String, String, String)>,
) -> Response {
    let view = state.view.borrow().clone();
    let refused =
        |status: StatusCode, error: String| (status, Json(json!({ "error": error }))).into_response();
    match view.explain(&namespace, &name, &component) {
        Explained::Component(facts) => Json(facts).into_response(),
        Explained::NoRollout => refused(
            StatusCode::NOT_FOUND,
            format!("there is no rollout {namespace}/{name}; /api/v1/rollouts lists all"),
        ),
        Explained::NoComponent(names) => refused(
            StatusCode::NOT_FOUND,
            format!(
                "{namespace}/{name} has no component {component:?}; it has {}",
                names.join(", ")
            ),
        ),
        Explained::StandingBy => refused(
            StatusCode::SERVICE_UNAVAILABLE,
            "this daemon stands by: ask the one that holds the Lease".to_owned(),
        ),
    }
}

/// A status as the resource has it, but for the state of what is being put back: that is `RollingBack`.
fn told(status: &GradualRolloutStatus) -> serde_json::Value {
    let mut told = json!(status);
    let components = told.get_mut("components").and_then(|all| all.as_array_mut());
    for (told, c) in components.into_iter().flatten().zip(&status.components) {
        if let Some(state) = told.get_mut("state") {
            *state = json!(c.stands());
        }
    }
    told
}

async fn rollouts(State(state): State<ApiState>) -> Response {
    let view = state.view.borrow().clone();
    let all: Vec<_> = view
        .rollouts()
        .into_iter()
        .map(|r| json!({"namespace": r.namespace, "name": r.name, "status": told(&r.status)}))
        .collect();
    Json(json!({ "rollouts": all })).into_response()
}
