//! `POST /hooks/alertmanager`: an alert that fires puts the traffic of its component back at once.
//!
//! The payload is that of Alertmanager's webhook, version 4. Each alert is worked for itself, and the answer lists
//! what became of each. The same alert again (by fingerprint and start) is the same command, so that a `retry` in
//! spite of it is not undone by its next repetition.

use super::answer::Refusal;
use super::inbound::{Delivered, Delivery, Inbound, Undelivered};
use super::mapping::{AlertRoute, Target, target};
use crate::rollout::command::{Verb, Wish};
use crate::rollout::complaint::plain;
use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The largest payload: a thousand alerts with labels and annotations of some length.
const LARGEST: usize = 2 * 1024 * 1024;
/// Alerts of one payload that are worked. Groups are smaller where they are of one component each.
const MOST: usize = 1000;
/// Alerts of one payload that are worked at the same time.
const AT_ONCE: usize = 8;
/// Characters of a reason that are kept.
const REASON: usize = 300;

#[derive(Deserialize)]
struct Body {
    version: String,
    alerts: Vec<Value>,
}

/// The alerts, each for itself: one that cannot be read keeps up no other.
pub(super) struct Payload {
    pub(super) alerts: Vec<Result<Alert, Outcome>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Alert {
    status: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(default)]
    starts_at: String,
    #[serde(default)]
    fingerprint: String,
}

/// What became of an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Outcome {
    alert: String,
    fingerprint: String,
    result: Became,
    pub(super) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Became {
    GoingBack,
    Repeated,
    Resolved,
    Unknown,
    Refused,
    Unavailable,
}

/// What a body says, if it can be worked.
pub(super) fn understood(body: &[u8]) -> Result<Payload, Refusal> {
    let payload: Body = serde_json::from_slice(body).map_err(|error| {
        Refusal::new(
            StatusCode::BAD_REQUEST,
            format!("no payload of Alertmanager's webhook: {error}"),
        )
    })?;
    if payload.version != "4" {
        let version = plain(&payload.version, 16);
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            format!("version {version:?} of Alertmanager's webhook is not known here: version 4 is"),
        ));
    }
    if payload.alerts.len() > MOST {
        return Err(Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!(
                "{} alerts are too many, {MOST} are taken: group_by what they are about (namespace, rollout, component)",
                payload.alerts.len()
            ),
        ));
    }
    let read = |alert: Value| {
        serde_json::from_value(alert).map_err(|error| Outcome {
            alert: String::new(),
            fingerprint: String::new(),
            result: Became::Refused,
            message: plain(&format!("no alert: {error}"), REASON),
            command: None,
        })
    };
    Ok(Payload {
        alerts: payload.alerts.into_iter().map(read).collect(),
    })
}

/// Takes alerts in.
pub(super) async fn take(State(inbound): State<Inbound>, request: Request) -> Result<Response, Refusal> {
    let (body, _permit) = inbound.hook(request, LARGEST).await?;
    let payload = understood(&body)?;
    let work = |alert: Result<Alert, Outcome>| {
        let inbound = inbound.clone();
        async move {
            match alert {
                Ok(alert) => work(&inbound, &alert).await,
                Err(outcome) => {
                    tracing::warn!(
                        message = outcome.message,
                        "an alert that cannot be read put nothing back"
                    );
                    outcome
                }
            }
        }
    };
    let outcomes: Vec<Outcome> = futures::stream::iter(payload.alerts)
        .map(work)
        .buffered(AT_ONCE)
        .collect()
        .await;
    let any = |what| outcomes.iter().any(|o| o.result == what);
    // What may be of use again first: Alertmanager sends again after a 5xx, and after nothing else.
    let status = if any(Became::Unavailable) {
        StatusCode::SERVICE_UNAVAILABLE
    } else if any(Became::Unknown) {
        StatusCode::NOT_FOUND
    } else if any(Became::Refused) {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::OK
    };
    Ok((status, Json(serde_json::json!({"alerts": outcomes}))).into_response())
}

/// What is said of an alert of which nothing more is known yet.
fn outcome(alert: &Alert, result: Became, message: String) -> Outcome {
    let name = alert.labels.get("alertname").map_or("", String::as_str);
    Outcome {
        alert: plain(name, 128),
        fingerprint: plain(&alert.fingerprint, 64),
        result,
        message,
        command: None,
    }
}

/// Whom an alert is about, and the id and the content of the command that it means; or what becomes of it without one.
pub(super) fn meant(
    (routes, labels): (&[AlertRoute], bool),
    alert: &Alert,
) -> Result<(Target, String, Wish), Outcome> {
    if alert.status != "firing" {
        let message = "it does not fire: nothing to do".to_owned();
        return Err(outcome(alert, Became::Resolved, message));
    }
    let Some(target) = target(routes, labels, &alert.labels) else {
        let message = "nothing says whom it is about: give it the labels namespace and component, or name it under \
                       hooks_in.alerts in the daemon's settings";
        return Err(outcome(alert, Became::Unknown, message.to_owned()));
    };
    let labels: Vec<&str> = alert
        .labels
        .iter()
        .flat_map(|(name, value)| [name.as_str(), value.as_str()])
        .collect();
    let mut parts = vec![
        alert.fingerprint.as_str(),
        alert.starts_at.as_str(),
        target.namespace.as_str(),
        target.rollout.as_deref().unwrap_or_default(),
        target.component.as_str(),
    ];
    if alert.fingerprint.is_empty() {
        // A fingerprint is made of the labels.
        parts.extend(labels);
    }
    let id = match alert.starts_at.parse::<Timestamp>() {
        Ok(started) => Inbound::id_of(started, &parts),
        // It fires, whatever it says of when: the id then says nothing of a time.
        Err(_) => Inbound::own_id(&parts),
    };
    let name = alert.labels.get("alertname").map_or("", String::as_str);
    let text = ["summary", "message", "description"]
        .iter()
        .find_map(|key| alert.annotations.get(*key).filter(|text| !text.is_empty()));
    let reason = match text {
        Some(text) => format!("{name}: {text}"),
        None => name.to_owned(),
    };
    let wish = Wish {
        components: vec![target.component.clone()],
        reason: plain(&reason, REASON),
        who: "alertmanager".to_owned(),
        vouched: true,
        // Nobody has looked whether the other path is up.
        automatic: true,
        ..Wish::default()
    };
    Ok((target, id, wish))
}

async fn work(inbound: &Inbound, alert: &Alert) -> Outcome {
    let settings = inbound.settings();
    let (target, id, wish) = match meant((&settings.alerts, settings.labels), alert) {
        Ok(meant) => meant,
        Err(outcome) => return outcome,
    };
    let delivery = Delivery {
        namespace: &target.namespace,
        rollout: target.rollout.as_deref(),
        verb: Verb::Rollback,
        id: id.clone(),
        wish,
    };
    let whom = plain(&target.component, 64);
    let (result, message) = match inbound.deliver(delivery).await {
        Ok(Delivered::Written(place)) => (Became::GoingBack, format!("{place}: {whom} is told to go back")),
        Ok(Delivered::Known(place)) => (Became::Repeated, format!("{place}: {whom} was told before")),
        Err(Undelivered::Unknown(message)) => (Became::Unknown, message),
        Err(Undelivered::Refused(message)) => (Became::Refused, message),
        Err(Undelivered::Unavailable(message)) => (Became::Unavailable, message),
    };
    let mut outcome = outcome(alert, result, message);
    outcome.command = matches!(outcome.result, Became::GoingBack | Became::Repeated).then_some(id);
    if !matches!(outcome.result, Became::GoingBack | Became::Repeated) {
        tracing::warn!(
            alert = outcome.alert,
            message = outcome.message,
            "an alert that fires put nothing back"
        );
    }
    outcome
}
