//! Messages to endpoints that the operator named, by POST.

use super::allow::Allowed;
use super::hooks::sign;
use super::outbound::{Careful, Failure, What, address, failure};
use reqwest::{Client, StatusCode, Url, redirect};
use std::sync::Arc;
use std::time::Duration;

/// No answer is read further.
const LONGEST_ANSWER: usize = 16 * 1024;

const MESSAGES: What = What {
    many: "messages",
    one: "message",
    setting: "notify.allow",
};

/// What an endpoint answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// When it wants to be asked again, where it says so.
    pub retry_after: Option<Duration>,
    /// What it said, cut at 16 KiB.
    pub body: Vec<u8>,
}

/// Why there is no answer. Holds no URL: those of chat services are secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsent {
    /// It was not sent, and never will be: what to do.
    #[error("{0}")]
    Refused(String),
    /// Nobody answered this time.
    #[error("{0}")]
    Failed(String),
}

/// Sends messages.
#[derive(Clone, Debug)]
pub struct Poster {
    allowed: Allowed,
    client: Client,
}

impl Poster {
    /// To these hosts.
    pub fn new(allowed: Allowed) -> Result<Self, String> {
        let client = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .dns_resolver(Arc::new(Careful(MESSAGES, allowed.clone())))
            .user_agent(concat!("gradual-rollout/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| format!("no HTTP client for messages: {error}"))?;
        Ok(Self { allowed, client })
    }

    /// Sends a body once.
    pub async fn post(
        &self,
        url: &str,
        headers: &[(&str, String)],
        body: Vec<u8>,
        patience: Duration,
    ) -> Result<Answer, Unsent> {
        // What is no URL is not repeated: it may be a secret in the wrong place.
        if Url::parse(url).is_err() {
            return Err(Unsent::Refused(
                "what stands there is no URL: write one like https://chat.example.com/hook".to_owned(),
            ));
        }
        let url = address(MESSAGES, &self.allowed, url).map_err(Unsent::Refused)?;
        let mut request = self
            .client
            .post(url)
            .timeout(patience)
            .header("content-type", "application/json")
            .body(body);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let mut answer = request.send().await.map_err(|error| match failure(&error) {
            Failure::Refused(why) => Unsent::Refused(why),
            Failure::Failed(why) => Unsent::Failed(why),
        })?;
        let retry_after = answer
            .headers()
            .get("retry-after")
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        let status = answer.status().as_u16();
        let mut whole = Vec::new();
        // What was said after the status helps people; that it breaks off changes nothing.
        while let Ok(Some(chunk)) = answer.chunk().await {
            whole.extend_from_slice(&chunk);
            if whole.len() > LONGEST_ANSWER {
                whole.truncate(LONGEST_ANSWER);
                break;
            }
        }
        Ok(Answer {
            status,
            retry_after,
            body: whole,
        })
    }
}

impl Answer {
    /// Whether it was taken.
    pub fn is_success(&self) -> bool {
        StatusCode::from_u16(self.status).is_ok_and(|status| status.is_success())
    }
}

/// The headers of a signed message, as [hooks](super::Hooks) are signed: time in seconds, and `v1=` with the
/// HMAC-SHA256 of time, method, path and body.
pub fn signed(key: &[u8], at: jiff::Timestamp, url: &str, body: &[u8]) -> Vec<(&'static str, String)> {
    let path = Url::parse(url)
        .map(|url| url.path().to_owned())
        .unwrap_or_default();
    let at = at.as_second().to_string();
    let signature = sign(key, &at, "POST", &path, body);
    vec![("x-rollout-timestamp", at), ("x-rollout-signature", signature)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn of_an_answer_without_end_the_beginning_is_read() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let router = axum::Router::new().fallback(|| async { "x".repeat(1 << 20) });
        let mut serving = tokio::task::JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
        let allowed = Allowed::new(["127.0.0.1".to_owned()]).unwrap();
        let poster = Poster::new(allowed).unwrap();
        let answer = poster.post(&url, &[], Vec::new(), Duration::from_secs(10)).await;
        assert_eq!(answer.unwrap().body.len(), LONGEST_ANSWER);
    }
}
