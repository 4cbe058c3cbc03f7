//! Hooks: a weight that is read by GET and set by PUT, `{component, weight, id}` both ways.
//!
//! `weight` is in percent, 0 to 100 in steps of 0.1; `id` names the write, and the same id with the same weight again
//! changes nothing. `If-Match` carries the id that the write was decided on, and `If-None-Match: *` says that there was
//! none: a receiver that has another one, or has one, answers 412, and nothing is set. With a key every request is signed: `X-Rollout-Signature: v1=` and the HMAC-SHA256, in hex, of
//! time stamp, method, path and body, each on a line of its own but the body, which ends without one. What was set is
//! read back at once; a receiver that says something else has not done it.

use super::allow::Allowed;
use super::outbound::{Careful, Failure, What, address, failure};
use crate::clock::Clock;
use crate::rollout::hook_spec::Hook;
use crate::rollout::weight::Weight;
use aws_lc_rs::hmac;
use reqwest::{Client, Method, StatusCode, Url, redirect};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// When a request was signed, in seconds since 1970: a receiver refuses what is older than its patience.
const TIMESTAMP: &str = "x-rollout-timestamp";
const SIGNATURE: &str = "x-rollout-signature";
/// No answer needs more.
const LONGEST_ANSWER: usize = 16 * 1024;
/// A shorter key is no secret.
const SHORTEST_KEY: usize = 16;

const HOOKS: What = What {
    many: "hooks",
    one: "hook",
    setting: "hooks.allow",
};

/// What a hook says of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookState {
    /// The canary's share.
    pub weight: Weight,
    /// The write that set it; `None` when none of ours did.
    pub id: Option<String>,
    /// Why, as the write said, where the receiver remembers it.
    pub reason: Option<String>,
}

/// Why a hook was not read or set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HookFailure {
    /// Nothing was sent, and why.
    #[error("{0}")]
    Refused(String),
    /// Somebody set it in between.
    #[error("somebody else set it in between")]
    Race,
    /// No answer, or another than was hoped for.
    #[error("{0}")]
    Failed(String),
}

/// What a write demands of what is there.
#[derive(Clone, Copy, Debug)]
enum Demands<'a> {
    /// The write that it was decided on, or that there was none: this one must not land after another.
    Known(Option<&'a str>),
    /// Nothing: it is good whatever is there.
    Nothing,
}

impl HookFailure {
    /// Nothing was sent, so that sending it again changes nothing.
    pub const fn is_refused(&self) -> bool {
        matches!(self, Self::Refused(_))
    }
}

#[derive(Deserialize, Serialize)]
struct Message {
    component: String,
    weight: f64,
    #[serde(default)]
    id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Reads and sets.
#[derive(Debug)]
pub struct Hooks {
    allowed: Allowed,
    key_file: Option<PathBuf>,
    client: Client,
    clock: Clock,
}

impl Hooks {
    /// For these hosts; requests are signed with what the file holds, which is read anew each time.
    pub fn new(allowed: Allowed, key_file: Option<PathBuf>, clock: Clock) -> Result<Self, String> {
        let client = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .dns_resolver(Arc::new(Careful(HOOKS, allowed.clone())))
            .user_agent(concat!("gradual-rollout/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| format!("no HTTP client for hooks: {error}"))?;
        Ok(Self {
            allowed,
            key_file,
            client,
            clock,
        })
    }

    /// What a hook says of a component now.
    pub async fn get(&self, hook: &Hook, component: &str) -> Result<HookState, HookFailure> {
        let mut url = self.address(hook)?;
        url.query_pairs_mut().append_pair("component", component);
        let body = self.send(hook, Method::GET, url, None).await?;
        let said: Message = serde_json::from_slice(&body).map_err(|e| {
            HookFailure::Failed(format!(
                "GET {}: no answer of a hook: {e}; it is {{\"component\", \"weight\", \"id\"}}",
                hook.url
            ))
        })?;
        if said.component != component {
            return Err(HookFailure::Failed(format!(
                "GET {}: asked about {component}, it answers about {}",
                hook.url,
                brief(&said.component)
            )));
        }
        Ok(HookState {
            weight: weight(hook, said.weight)?,
            id: said.id.filter(|id| !id.is_empty()),
            reason: said.reason,
        })
    }

    /// Sets a component's weight if the hook still says `before` (or still has no id), and gives what it says afterwards.
    pub async fn put(
        &self,
        hook: &Hook,
        component: &str,
        wanted: &HookState,
        before: Option<&str>,
    ) -> Result<HookState, HookFailure> {
        let url = self.address(hook)?;
        let message = Message {
            component: component.to_owned(),
            weight: wanted.weight.percent(),
            id: wanted.id.clone(),
            reason: wanted.reason.clone(),
        };
        let body = serde_json::to_vec(&message)
            .map_err(|e| HookFailure::Refused(format!("PUT {}: {e}", hook.url)))?;
        self.send(hook, Method::PUT, url, Some((body, Demands::Known(before))))
            .await?;
        let now = self.get(hook, component).await?;
        if now.weight != wanted.weight || now.id != wanted.id {
            return Err(HookFailure::Failed(format!(
                "PUT {}: it took {} with id {} and says {} with id {} afterwards",
                hook.url,
                wanted.weight,
                wanted.id.as_deref().unwrap_or("none"),
                now.weight,
                now.id.as_deref().map_or_else(|| "none".to_owned(), brief),
            )));
        }
        Ok(HookState {
            reason: wanted.reason.clone(),
            ..now
        })
    }

    /// Sets a component's weight to 0 whatever the hook says, for one that cannot say. Nothing is read back.
    pub async fn put_nothing(
        &self,
        hook: &Hook,
        component: &str,
        (id, reason): (&str, &str),
    ) -> Result<(), HookFailure> {
        let url = self.address(hook)?;
        let message = Message {
            component: component.to_owned(),
            weight: 0.0,
            id: Some(id.to_owned()),
            reason: Some(reason.to_owned()),
        };
        let body = serde_json::to_vec(&message)
            .map_err(|e| HookFailure::Refused(format!("PUT {}: {e}", hook.url)))?;
        let put = self.send(hook, Method::PUT, url, Some((body, Demands::Nothing)));
        put.await.map(drop)
    }

    fn address(&self, hook: &Hook) -> Result<Url, HookFailure> {
        address(HOOKS, &self.allowed, &hook.url).map_err(HookFailure::Refused)
    }

    async fn send(
        &self,
        hook: &Hook,
        method: Method,
        url: Url,
        body: Option<(Vec<u8>, Demands<'_>)>,
    ) -> Result<Vec<u8>, HookFailure> {
        let attempt = format!("{method} {}", hook.url);
        let failed = |why: String| HookFailure::Failed(format!("{attempt}: {why}"));
        let mut request = self
            .signed(
                &attempt,
                method,
                url,
                body.as_ref().map(|(body, _)| body.as_slice()).unwrap_or_default(),
            )?
            .timeout(hook.patience());
        if let Some((body, demands)) = body {
            request = request.header("content-type", "application/json").body(body);
            request = match demands {
                Demands::Known(Some(id)) => request.header("if-match", format!("\"{id}\"")),
                Demands::Known(None) => request.header("if-none-match", "*"),
                Demands::Nothing => request,
            };
        }
        let answer = request
            .send()
            .await
            .map_err(|error| not_answered(&attempt, &error))?;
        match answer.status() {
            status if status.is_success() => {}
            StatusCode::PRECONDITION_FAILED | StatusCode::CONFLICT => return Err(HookFailure::Race),
            status => return Err(failed(format!("status {}", status.as_u16()))),
        }
        whole(answer, &attempt).await
    }

    /// Asks an address by GET, signed as all; the status it answers with, and what it says.
    pub(super) async fn ask(
        &self,
        at: &str,
        query: &[(&str, &str)],
        patience: Duration,
    ) -> Result<(u16, Vec<u8>), HookFailure> {
        let attempt = format!("GET {at}");
        let mut url = address(HOOKS, &self.allowed, at).map_err(HookFailure::Refused)?;
        url.query_pairs_mut().extend_pairs(query);
        let request = self.signed(&attempt, Method::GET, url, &[])?.timeout(patience);
        let answer = request
            .send()
            .await
            .map_err(|error| not_answered(&attempt, &error))?;
        let status = answer.status().as_u16();
        Ok((status, whole(answer, &attempt).await?))
    }

    /// A request with its signature, if there is a key.
    fn signed(
        &self,
        attempt: &str,
        method: Method,
        url: Url,
        body: &[u8],
    ) -> Result<reqwest::RequestBuilder, HookFailure> {
        let path = url.query().map_or_else(
            || url.path().to_owned(),
            |query| format!("{}?{query}", url.path()),
        );
        let signed = self
            .signature(&method, &path, body)
            .map_err(|why| HookFailure::Refused(format!("{attempt}: {why}")))?;
        let request = self.client.request(method, url);
        Ok(match signed {
            Some((at, signature)) => request.header(TIMESTAMP, at).header(SIGNATURE, signature),
            None => request,
        })
    }

    /// The time stamp and the signature of a request; `None` without a key.
    fn signature(
        &self,
        method: &Method,
        path: &str,
        body: &[u8],
    ) -> Result<Option<(String, String)>, String> {
        let Some(file) = &self.key_file else {
            return Ok(None);
        };
        let key = std::fs::read(file)
            .map_err(|e| format!("hooks.key_file {} cannot be read: {e}", file.display()))?;
        let key = key.trim_ascii();
        if key.len() < SHORTEST_KEY {
            return Err(format!(
                "hooks.key_file {} holds {} bytes; a key has {SHORTEST_KEY} at least",
                file.display(),
                key.len()
            ));
        }
        let at = self.clock.now().as_second().to_string();
        Ok(Some((at.clone(), sign(key, &at, method.as_str(), path, body))))
    }
}

fn not_answered(attempt: &str, error: &reqwest::Error) -> HookFailure {
    match failure(error) {
        Failure::Refused(why) => HookFailure::Refused(format!("{attempt}: {why}")),
        Failure::Failed(why) => HookFailure::Failed(format!("{attempt}: {why}")),
    }
}

/// All of an answer, if it is no longer than answers are.
async fn whole(mut answer: reqwest::Response, attempt: &str) -> Result<Vec<u8>, HookFailure> {
    let failed = |why: String| HookFailure::Failed(format!("{attempt}: {why}"));
    let mut whole = Vec::new();
    loop {
        match answer.chunk().await {
            Ok(Some(chunk)) => whole.extend_from_slice(&chunk),
            Ok(None) => return Ok(whole),
            Err(error) => return Err(failed(format!("its answer breaks off: {}", error.without_url()))),
        }
        if whole.len() > LONGEST_ANSWER {
            return Err(failed(format!(
                "its answer is longer than {LONGEST_ANSWER} bytes"
            )));
        }
    }
}

/// The signature of a request, as receivers check it.
pub(super) fn sign(key: &[u8], at: &str, method: &str, path: &str, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    context.update(format!("{at}\n{method}\n{path}\n").as_bytes());
    context.update(body);
    let mut text = String::from("v1=");
    for byte in context.sign().as_ref() {
        // Writing to a string never fails.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn weight(hook: &Hook, percent: f64) -> Result<Weight, HookFailure> {
    let near = Weight::from_ratio(percent / 100.0);
    near.filter(|w| (w.percent() - percent).abs() < 1e-6)
        .ok_or_else(|| {
            HookFailure::Failed(format!(
                "GET {}: its weight {percent} is no percentage from 0 to 100 in steps of 0.1",
                hook.url
            ))
        })
}

/// Foreign text, cut short.
fn brief(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_hmac_of_time_method_path_and_body() {
        // printf '1767578400\nPUT\n/weights\n{}' | openssl dgst -sha256 -hmac 0123456789abcdef
        let signed = sign(b"0123456789abcdef", "1767578400", "PUT", "/weights", b"{}");
        assert_eq!(signed, SIGNED);
    }

    #[test]
    fn a_weight_is_a_tenth_of_a_percent_or_no_weight() {
        let hook: Hook = serde_json::from_value(serde_json::json!({"url": "http://lb/"})).unwrap();
        assert_eq!(weight(&hook, 12.5).unwrap().permille(), 125);
        for wrong in [-1.0, 100.1, 0.05, f64::NAN] {
            assert!(weight(&hook, wrong).is_err(), "{wrong}");
        }
    }

    const SIGNED: &str = "v1=f7734e3a04141bbd1e759be37fcbb9017579380c604fd378e59ff24f301fb1aa";
}
