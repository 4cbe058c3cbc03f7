//! Bodies: JSON, YAML or protobuf in; JSON out.

use super::failure::Failure;
pub(super) use super::protobuf::decode as protobuf;
use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::Value;

/// A JSON body.
pub(super) fn json(body: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(body)
        .map_err(|error| Failure::bad_request(format!("error decoding the body as JSON: {error}")))
}

/// A YAML body; JSON is YAML.
pub(super) fn yaml(body: &[u8]) -> Result<Value, Failure> {
    if let Ok(value) = serde_json::from_slice(body) {
        return Ok(value);
    }
    let bad = |error: &dyn std::fmt::Display| {
        Failure::bad_request(format!("error decoding the body as YAML: {error}"))
    };
    let text = std::str::from_utf8(body).map_err(|error| bad(&error))?;
    serde_saphyr::from_str(text).map_err(|error| bad(&error))
}

pub(super) fn reply(code: StatusCode, value: &impl Serialize) -> Response {
    // A JSON value in memory always serialises.
    let mut response = Response::new(Body::from(serde_json::to_vec(value).unwrap_or_default()));
    *response.status_mut() = code;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

pub(super) fn plain(text: &'static str) -> Response {
    Response::new(Body::from(text))
}

pub(super) fn refuse(failure: &Failure) -> Response {
    let mut response = reply(failure.status(), &failure.body());
    if let Some(seconds) = failure.retry_after {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
