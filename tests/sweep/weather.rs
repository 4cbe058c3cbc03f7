//! What may become of a request and of its answer on their way between a daemon and the API server.

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::response::Response;
use futures::StreamExt;
use http::{Request, StatusCode};
use serde_json::json;
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tower::ServiceExt;

/// The weather, as it may change at any time. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Weather(Arc<Mutex<Sky>>);

#[derive(Debug, Default)]
struct Sky {
    kind: Kind,
    /// How many requests met it.
    met: u64,
    /// What reads were answered when the sky was still clear.
    old: HashMap<String, Bytes>,
}

/// Kinds of weather.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Everything arrives.
    #[default]
    Clear,
    /// The API server answers with this code, and asks for patience if the second says so.
    Answers(u16, Option<u16>),
    /// Half of the requests are answered 429, with a long `Retry-After`.
    HalfTooMany,
    /// Writes to this plural, or to its subresource, are forbidden; everything else arrives.
    Forbids(&'static str),
    /// Reads of this plural are forbidden, and its watches end; everything else arrives.
    Hides(&'static str),
    /// This plural is not served any more.
    NotServed(&'static str),
    /// Nothing is ever answered.
    Hangs,
    /// Everything takes so many milliseconds.
    Slow(u64),
    /// The connection breaks before the request arrives.
    Resets,
    /// The request arrives, and the connection breaks before the answer does.
    LosesAnswers,
    /// Every second change that a watch tells of is lost.
    DropsEvents,
    /// Every change that a watch tells of comes twice.
    DoublesEvents,
    /// Reads are answered from a copy that no longer changes.
    Stale,
}

impl Weather {
    pub(crate) fn set(&self, kind: Kind) {
        let mut sky = self.0.lock().unwrap();
        sky.kind = kind;
        sky.met = 0;
    }

    /// How many requests met what is set now.
    pub(crate) fn met(&self) -> u64 {
        self.0.lock().unwrap().met
    }

    pub(crate) async fn through(&self, request: Request<Body>, api: Router) -> io::Result<Response> {
        let (kind, n) = {
            let mut sky = self.0.lock().unwrap();
            sky.met += 1;
            (sky.kind, sky.met)
        };
        let path = request.uri().path().to_owned();
        let reads = request.method() == http::Method::GET;
        let watches = request.uri().query().unwrap_or_default().contains("watch=");
        let about = |what: &str| is_about(&path, what);
        match kind {
            Kind::Answers(code, patience) => return Ok(refusal(code, patience)),
            Kind::HalfTooMany if n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 63 == 1 => {
                return Ok(refusal(429, Some(30)));
            }
            Kind::Forbids(what) if !reads && about(what) => return Ok(refusal(403, None)),
            Kind::Hides(what) if reads && about(what) => return Ok(refusal(403, None)),
            Kind::NotServed(what) if path.split('/').any(|step| step == what) => return Ok(not_served()),
            Kind::Hangs => return std::future::pending().await,
            Kind::Slow(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            Kind::Resets => return Err(io::ErrorKind::ConnectionReset.into()),
            Kind::Stale if reads && !watches => {
                let old = self.0.lock().unwrap().old.get(&path).cloned();
                if let Some(old) = old {
                    return Ok(json_response(StatusCode::OK, old.into()));
                }
            }
            Kind::Clear
            | Kind::HalfTooMany
            | Kind::Forbids(_)
            | Kind::Hides(_)
            | Kind::NotServed(_)
            | Kind::LosesAnswers
            | Kind::DropsEvents
            | Kind::DoublesEvents
            | Kind::Stale => {}
        }
        let Ok(response) = api.oneshot(request).await;
        if kind == Kind::LosesAnswers && !watches {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if watches {
            return Ok(self.watched(path, response));
        }
        if kind == Kind::Clear && reads {
            let (parts, body) = response.into_parts();
            let bytes = to_bytes(body, usize::MAX).await.map_err(io::Error::other)?;
            self.0.lock().unwrap().old.insert(path, bytes.clone());
            return Ok(Response::from_parts(parts, Body::from(bytes)));
        }
        Ok(response)
    }

    /// A watch outlives the weather in which it began: each change meets the weather of its time.
    fn watched(&self, path: String, response: Response) -> Response {
        let (parts, body) = response.into_parts();
        let (sky, mut n) = (self.0.clone(), 0_u64);
        let changes = body.into_data_stream().flat_map(move |chunk| {
            let kind = sky.lock().unwrap().kind;
            n += 1;
            let copies = match (kind, chunk) {
                (Kind::DropsEvents, Ok(_)) if n.is_multiple_of(2) => Vec::new(),
                (Kind::DoublesEvents, Ok(bytes)) => vec![Ok(bytes.clone()), Ok(bytes)],
                (Kind::Hides(what), chunk) if !is_about(&path, what) => vec![chunk],
                (Kind::Resets | Kind::LosesAnswers | Kind::Hides(_), _) => vec![Err(axum::Error::new(
                    io::Error::from(io::ErrorKind::ConnectionReset),
                ))],
                (_, chunk) => vec![chunk],
            };
            futures::stream::iter(copies)
        });
        Response::from_parts(parts, Body::from_stream(changes))
    }
}

/// Whether a path is about a plural, or about a subresource of it.
fn is_about(path: &str, what: &str) -> bool {
    let steps: Vec<&str> = path.split('/').collect();
    match what.split_once('/') {
        Some((plural, sub)) => steps.contains(&plural) && steps.last() == Some(&sub),
        None => steps.contains(&what) && steps.last() != Some(&"status"),
    }
}

fn refusal(code: u16, patience: Option<u16>) -> Response {
    let reason = match code {
        403 => "Forbidden",
        409 => "Conflict",
        410 => "Expired",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        _ => "InternalError",
    };
    let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
        "reason": reason, "message": format!("the weather says {code}")});
    let mut response = json_response(StatusCode::from_u16(code).unwrap(), Body::from(body.to_string()));
    if let Some(seconds) = patience {
        response
            .headers_mut()
            .insert(http::header::RETRY_AFTER, seconds.into());
    }
    response
}

/// As the API server answers for what it has no definition of: plain text.
fn not_served() -> Response {
    let mut response = Response::new(Body::from("404 page not found\n"));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

fn json_response(code: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}
