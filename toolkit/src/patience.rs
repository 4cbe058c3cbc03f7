//! Asking an API server that is asked too much, begins anew, or says nothing: asked again where that does no harm, for so
//! long and no longer, and told.
//!
//! What was refused with 429 was not done, so it is asked again whatever it is, when the server says. A failure of the server
//! (5xx) or a lost answer leaves open whether it was done: asked again is what comes to the same when it is done twice, all but
//! the creation of an object. Where the last word is no, and an earlier one was lost, that is said.

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::Value;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Instant, timeout};

/// After this long it is told what is waited for.
const SLOW: Duration = Duration::from_secs(5);
/// After this long an answer is taken for lost: an API server gives up a request after a minute itself.
const LIMIT: Duration = Duration::from_secs(65);
/// How long one request may be put off in all.
const BUDGET: Duration = Duration::from_secs(120);
/// How often a request is asked again that failed, or whose answer was lost.
const AGAIN: u32 = 4;
/// Before the first of them; each waits twice as long as the one before.
const FIRST: Duration = Duration::from_millis(500);

/// A client that does so; what there is to tell goes to `tell`, a line each.
pub(crate) fn patient(client: &Client, tell: UnboundedSender<String>) -> Client {
    let namespace = client.default_namespace().to_owned();
    let inner = client.clone();
    let patience = Arc::new(Patience {
        tell,
        told: Mutex::new(None),
        held: Mutex::new(Instant::now()),
        met: AtomicBool::new(false),
    });
    let service = tower::service_fn(move |request: Request<Body>| {
        let (inner, patience) = (inner.clone(), patience.clone());
        async move { patience.ask(&inner, request).await }
    });
    Client::new(service, namespace)
}

/// What all requests of a verb have in common.
struct Patience {
    tell: UnboundedSender<String>,
    /// When something was told: many requests are under way, and wait for the same.
    told: Mutex<Option<Instant>>,
    /// Nothing is asked before: the server said that it is asked too much.
    held: Mutex<Instant>,
    /// Whether the server has answered at all: one that never did is not waited for.
    met: AtomicBool,
}

/// An answer that did not come.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("{0}")]
    Sent(#[from] kube::Error),
    #[error("no answer within {} s", LIMIT.as_secs())]
    Silent,
}

/// What is said of a request that is not asked again.
#[derive(Debug, thiserror::Error)]
#[error("{said}{more}")]
struct GivenUp {
    said: String,
    more: String,
}

impl Patience {
    async fn ask(&self, client: &Client, request: Request<Body>) -> Result<Response<Body>, kube::Error> {
        let (parts, body) = request.into_parts();
        let query = parts.uri.query().unwrap_or_default();
        if query.contains("watch=") || query.contains("follow=") {
            // What has no end is not waited for.
            return client.send(Request::from_parts(parts, body)).await;
        }
        let body = body.collect_bytes().await?;
        let (began, mut again, mut lost) = (Instant::now(), 0, false);
        loop {
            self.turn().await;
            let answer = self.attempt(client, &parts, &body).await;
            if answer.is_ok() {
                self.met.store(true, Ordering::Relaxed);
            }
            let wait = match &answer {
                Ok(answer) if answer.status().as_u16() == 429 => {
                    let wait = wait(answer.headers(), again);
                    let told = format!("the API server is asked too much: {}", line(&parts));
                    Some((wait, told, true))
                }
                Ok(answer) if is_failure(answer.status().as_u16()) => {
                    let said = answer.status().as_u16();
                    lost = true;
                    let told = format!("the API server answers {said} to {}", line(&parts));
                    Some((wait(answer.headers(), again), told, false))
                }
                Ok(_) => None,
                Err(why) => {
                    lost = true;
                    let told = format!("no answer of the API server to {}: {why}", line(&parts));
                    let known = self.met.load(Ordering::Relaxed);
                    known.then(|| (wait(&HeaderMap::new(), again), told, false))
                }
            };
            let may = |refused: bool| refused || harmless(&parts) && again < AGAIN;
            let wait = wait.filter(|(wait, _, refused)| may(*refused) && began.elapsed() + *wait <= BUDGET);
            let Some((wait, told, refused)) = wait else {
                return last(answer, &parts, lost, again);
            };
            self.say(format!("{told}; asked again in {:.1} s", wait.as_secs_f64()));
            if refused {
                self.hold(wait);
            } else {
                tokio::time::sleep(wait).await;
            }
            again += 1;
        }
    }

    /// One question, with all of its answer.
    async fn attempt(&self, client: &Client, parts: &Parts, body: &Bytes) -> Result<Response<Bytes>, Lost> {
        let request = Request::from_parts(parts.clone(), Body::from(body.clone()));
        let whole = async {
            let (head, body) = client.send(request).await?.into_parts();
            Ok::<_, Lost>(Response::from_parts(head, body.collect_bytes().await?))
        };
        let mut whole = Box::pin(whole);
        if let Ok(answer) = timeout(SLOW, &mut whole).await {
            return answer;
        }
        self.say(format!(
            "waiting for the API server: {} is not answered for {} s; given up after {} s",
            line(parts),
            SLOW.as_secs(),
            LIMIT.as_secs()
        ));
        timeout(LIMIT.saturating_sub(SLOW), whole)
            .await
            .unwrap_or(Err(Lost::Silent))
    }

    /// Waits as long as the server wants everybody to.
    async fn turn(&self) {
        let held = *self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held > Instant::now() {
            tokio::time::sleep_until(held).await;
        }
    }

    fn hold(&self, wait: Duration) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        *held = (*held).max(Instant::now() + wait);
    }

    fn say(&self, line: String) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|told| told.elapsed() >= SLOW) {
            *told = Some(Instant::now());
            // Nobody listens any more: the verb has ended.
            let _ = self.tell.send(line);
        }
    }
}

/// A request, for people.
fn line(parts: &Parts) -> String {
    format!("{} {}", parts.method, parts.uri.path())
}

/// Whether a request comes to the same when it is done twice. What is asked of the server about rights is no object.
fn harmless(parts: &Parts) -> bool {
    parts.method != Method::POST || parts.uri.path().ends_with("reviews")
}

const fn is_failure(status: u16) -> bool {
    matches!(status, 500 | 502 | 503 | 504)
}

/// How long to wait: what the server says, or twice as long each time; and a little more, not the same for everybody.
fn wait(headers: &HeaderMap, again: u32) -> Duration {
    let said = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let said = said.and_then(|text| text.trim().parse().ok());
    let wait = said.map_or_else(|| FIRST * 2_u32.pow(again.min(6)), Duration::from_secs);
    let part = u32::try_from(RandomState::new().hash_one(again) % 256).unwrap_or_default();
    wait + (wait / 4).min(Duration::from_secs(2)) * part / 256
}

/// The last word. Where an earlier one was lost, or this one is, nobody knows whether it was done.
fn last(
    answer: Result<Response<Bytes>, Lost>,
    parts: &Parts,
    lost: bool,
    again: u32,
) -> Result<Response<Body>, kube::Error> {
    let writes = parts.method != Method::GET && !parts.uri.path().ends_with("reviews");
    let mut more = String::new();
    if again > 0 {
        more = format!("; asked {} times", again + 1);
    }
    if lost && writes {
        more.push_str("; an answer was lost, so it may have been written all the same");
    }
    match answer {
        Ok(answer) if answer.status().as_u16() >= 400 && !more.is_empty() => {
            let (head, body) = answer.into_parts();
            Ok(Response::from_parts(
                head,
                Body::from(saying(&body, &more).unwrap_or(body)),
            ))
        }
        Ok(answer) => Ok(answer.map(Body::from)),
        Err(Lost::Sent(error)) if more.is_empty() => Err(error),
        Err(error) => {
            let mut deepest: &dyn std::error::Error = &error;
            while let Some(deeper) = deepest.source() {
                deepest = deeper;
            }
            let said = deepest.to_string();
            Err(kube::Error::Service(Box::new(GivenUp { said, more })))
        }
    }
}

/// A status with more to say.
fn saying(body: &Bytes, more: &str) -> Option<Bytes> {
    let mut status: Value = serde_json::from_slice(body).ok()?;
    let message = status.get_mut("message")?;
    let said = format!("{}{more}", message.as_str()?);
    *message = Value::String(said);
    Some(status.to_string().into())
}
