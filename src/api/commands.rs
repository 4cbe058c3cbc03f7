//! `POST /api/v1/rollouts/{namespace}/{name}/commands`: a command by REST, from somebody whom the API server knows.
//!
//! The caller's own token says who it is (`TokenReview`), and the API server whether they may (`SubjectAccessReview` of the
//! verb on the rollout): the same right that the admission policy asks of whoever writes the annotation. Nothing of it is
//! remembered, so a right that is withdrawn is gone at once.

use super::answer::Refusal;
use super::inbound::{Delivered, Delivery, Inbound, Undelivered, bearer, body};
use crate::cluster::by_hand::Error;
use crate::rollout::command::{Verb, Wish};
use crate::rollout::complaint::plain;
use crate::rollout::preview::RouteEdit;
use crate::rollout::weight::Weight;
use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

/// An annotation may have four kilobytes.
const LARGEST: usize = 16 * 1024;
/// Characters of a reason that are kept.
const REASON: usize = 512;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Asked {
    verb: String,
    components: Vec<String>,
    weight: Option<Weight>,
    route: Option<RouteEdit>,
    phase: Option<String>,
    item: Option<String>,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    force: bool,
    #[serde(default)]
    emergency: bool,
    #[serde(default)]
    restore: bool,
    expires_at: Option<Timestamp>,
}

/// Takes a command in.
pub(super) async fn take(
    State(inbound): State<Inbound>,
    Path((namespace, name)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Refusal> {
    if !inbound.settings().commands {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "this API is read-only: the operator has not set api.commands = true; write the annotation, or use the \
             gradual-rollout command",
        ));
    }
    let nobody = || {
        Refusal::new(
            StatusCode::UNAUTHORIZED,
            "the API server knows nobody by this token: send `Authorization: Bearer TOKEN` with a token of Kubernetes, \
             such as `kubectl create token NAME` prints",
        )
    };
    let token = bearer(request.headers()).and_then(|token| std::str::from_utf8(token).ok());
    let token = token
        .filter(|token| !token.is_empty())
        .ok_or_else(nobody)?
        .to_owned();
    let _permit = inbound.command()?;
    let person = inbound
        .hand()
        .person(&token)
        .await
        .map_err(unanswered)?
        .ok_or_else(nobody)?;
    let body = body(request, LARGEST).await?;
    let asked: Asked = serde_json::from_slice(&body).map_err(|error| {
        let form = "{\"verb\", \"components\", \"weight\"?, \"reason\"?, …}, as docs/commands.md says";
        bad(format!("no command: {error}; it is {form}"))
    })?;
    let Some(verb) = Verb::ALL.into_iter().find(|verb| verb.word() == asked.verb) else {
        let words = Verb::ALL.map(Verb::word).join(", ");
        return Err(bad(format!(
            "{:?} is no command; the commands are {words}",
            plain(&asked.verb, 32)
        )));
    };
    // Before anything is said of what there is.
    let may = inbound
        .hand()
        .may_command(&person, verb.word(), &namespace, &name)
        .await;
    if !may.map_err(unanswered)? {
        let who = plain(person.name(), 256);
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            format!(
                "{who} may not {verb} the rollout {namespace}/{name}: that needs the verb \"{verb}\" on \
                 gradualrollouts.rollout.sealos.io there, such as the role gradual-rollout-operator grants"
            ),
        ));
    }
    let id = inbound.fresh_id();
    let delivery = Delivery {
        namespace: &namespace,
        rollout: Some(&name),
        verb,
        id: id.clone(),
        wish: Wish {
            components: asked.components,
            weight: asked.weight,
            route: asked.route,
            phase: asked.phase,
            item: asked.item,
            reason: plain(&asked.reason, REASON),
            who: plain(person.name(), 256),
            force: asked.force,
            emergency: asked.emergency,
            restore: asked.restore,
            automatic: false,
            vouched: true,
            expires_at: asked.expires_at,
        },
    };
    match inbound.deliver(delivery).await {
        Ok(Delivered::Written(place) | Delivered::Known(place)) => {
            let outcome = format!("status.commands[] of {place}, under this id");
            let answer = json!({"rollout": place, "command": id, "who": plain(person.name(), 256), "outcome": outcome});
            Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
        }
        Err(Undelivered::Unknown(message)) => Err(Refusal::new(StatusCode::NOT_FOUND, message)),
        Err(Undelivered::Refused(message)) => Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, message)),
        Err(Undelivered::Unavailable(message)) => Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message)),
    }
}

fn bad(message: String) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, message)
}

/// The API server did not say who it is or what they may: then nobody may anything.
#[expect(clippy::needless_pass_by_value, reason = "handed to map_err")]
fn unanswered(error: Error) -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}
