//! `POST /hooks/complaint`: somebody is not content with a component.

use super::answer::Refusal;
use super::inbound::{Delivered, Delivery, Inbound, Undelivered};
use crate::rollout::command::{Verb, Wish};
use crate::rollout::complaint::{TEXT_KEPT, WHO_KEPT, plain};
use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

const LARGEST: usize = 16 * 1024;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Said {
    namespace: String,
    rollout: Option<String>,
    component: String,
    text: String,
    #[serde(default)]
    who: String,
    /// The caller's own id: the same complaint sent again counts once.
    id: Option<String>,
}

impl Said {
    fn text(&self) -> String {
        plain(&self.text, TEXT_KEPT)
    }

    /// The content of the command that it means.
    pub(super) fn wish(&self) -> Wish {
        Wish {
            components: vec![self.component.clone()],
            reason: self.text(),
            who: plain(&self.who, WHO_KEPT),
            ..Wish::default()
        }
    }
}

/// What a body says, if it is a complaint.
pub(super) fn understood(body: &[u8]) -> Result<Said, Refusal> {
    let bad = |message: String| Refusal::new(StatusCode::BAD_REQUEST, message);
    let said: Said = serde_json::from_slice(body).map_err(|error| {
        bad(format!(
            "no complaint: {error}; it is {{\"namespace\", \"rollout\"?, \"component\", \"text\", \"who\"?, \"id\"?}}"
        ))
    })?;
    if said.text().is_empty() || ["", "*"].contains(&said.component.as_str()) {
        return Err(bad(
            "a complaint names one component and says in text what is wrong".to_owned(),
        ));
    }
    Ok(said)
}

/// Takes a complaint in.
pub(super) async fn take(State(inbound): State<Inbound>, request: Request) -> Result<Response, Refusal> {
    let (body, _permit) = inbound.hook(request, LARGEST).await?;
    let said = understood(&body)?;
    let id = match &said.id {
        Some(own) => Inbound::own_id(&["complaint", own, &said.namespace, &said.component]),
        None => inbound.fresh_id(),
    };
    let delivery = Delivery {
        namespace: &said.namespace,
        rollout: said.rollout.as_deref(),
        verb: Verb::Complaint,
        id: id.clone(),
        wish: said.wish(),
    };
    let (place, new) = match inbound.deliver(delivery).await {
        Ok(Delivered::Written(place)) => (place, true),
        Ok(Delivered::Known(place)) => (place, false),
        Err(Undelivered::Unknown(message)) => return Err(Refusal::new(StatusCode::NOT_FOUND, message)),
        Err(Undelivered::Refused(message)) => {
            return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, message));
        }
        Err(Undelivered::Unavailable(message)) => {
            return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message));
        }
    };
    let status = if new { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok((
        status,
        Json(json!({"rollout": place, "command": id, "repeated": !new})),
    )
        .into_response())
}
