//! One receiver: where, in which form, and one attempt to tell it something.

use super::format::{Kind, dingtalk_signature};
use super::message::{Message, Severity};
use super::secret::Secret;
use crate::clock::Clock;
use crate::probe::{Allowed, Answer, Poster, Unsent, signed};
use std::time::Duration;

/// How long one attempt may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a receiver's URL stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Where {
    /// In the settings: its own host is allowed by that.
    Url(Secret),
    /// In a file: any host but those of this machine, of the link and of clouds' metadata.
    File(Secret),
}

/// A receiver as the settings describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// What it is called in metrics, logs and reports.
    pub name: String,
    /// Its form.
    pub kind: Kind,
    /// Where it is.
    pub url: Where,
    /// What messages are signed with.
    pub secret: Option<Secret>,
    /// What is told at least.
    pub min_severity: Severity,
    /// Hosts that messages may go to, instead of the URL's own: names, `*.below.a.name` or `*`.
    pub allow: Vec<String>,
    /// Where to look, with `{namespace}`, `{rollout}` and `{component}` in it.
    pub link: Option<String>,
}

/// Why somebody was not told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The same will not be taken later either: what to correct.
    #[error("{0}")]
    Never(String),
    /// It may be taken later.
    #[error("{why}")]
    Later {
        /// What was said.
        why: String,
        /// When it wants to be asked again.
        after: Option<Duration>,
    },
}

/// A receiver.
#[derive(Clone, Debug)]
pub struct Receiver {
    setup: Setup,
    poster: Poster,
    clock: Clock,
}

impl Receiver {
    /// A receiver of these settings. An error is a sentence about them.
    pub fn new(setup: Setup, clock: Clock) -> Result<Self, String> {
        let hosts = match (&setup.url, setup.allow.as_slice()) {
            (Where::Url(Secret::Plain(url)), []) => vec![host(url)?],
            (_, []) => vec!["*".to_owned()],
            (_, hosts) => hosts.to_vec(),
        };
        let allowed = Allowed::new(hosts).map_err(|pattern| {
            format!("{pattern:?} is no host: write a name, an address, \"*.example.com\" or \"*\"")
        })?;
        let poster = Poster::new(allowed)?;
        Ok(Self { setup, poster, clock })
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.setup.name
    }

    /// Whether it wants to hear of this.
    pub fn wants(&self, message: &Message) -> bool {
        message.severity >= self.setup.min_severity
    }

    /// How many messages it takes at once.
    pub(super) const fn at_once(&self) -> usize {
        self.setup.kind.at_once()
    }

    /// The least time between two requests: what the services allow, and a program can bear.
    pub(super) const fn gap(&self) -> Duration {
        match self.setup.kind {
            Kind::Webhook => Duration::from_millis(100),
            Kind::Slack => Duration::from_secs(1),
            // Twenty a minute, or it is deaf for ten minutes.
            Kind::DingTalk => Duration::from_secs(3),
        }
    }

    /// Tells it once. At most [`Self::at_once`] messages.
    pub async fn tell(&self, messages: &[Message]) -> Result<(), Failure> {
        let messages: Vec<Message> = messages.iter().cloned().map(|m| self.linked(m)).collect();
        let never = Failure::Never;
        let (url, setting) = match &self.setup.url {
            Where::Url(url) => (url, "notify.url"),
            Where::File(url) => (url, "notify.url_file"),
        };
        let mut url = url.reveal(setting).await.map_err(never)?;
        let secret = match &self.setup.secret {
            Some(secret) => Some(secret.reveal("notify.secret_file").await.map_err(never)?),
            None => None,
        };
        let body = serde_json::to_vec(&self.setup.kind.body(&messages)).map_err(|e| never(e.to_string()))?;
        let now = self.clock.now();
        let mut headers = Vec::new();
        match (self.setup.kind, &secret, messages.as_slice()) {
            (Kind::Webhook, secret, [message, ..]) => {
                headers.push(("idempotency-key", message.key.clone()));
                if let Some(secret) = secret {
                    headers.extend(signed(secret.as_bytes(), now, &url, &body));
                }
            }
            (Kind::DingTalk, Some(secret), _) => {
                url.push(if url.contains('?') { '&' } else { '?' });
                url.push_str(&dingtalk_signature(secret, now.as_millisecond()));
            }
            (Kind::Webhook | Kind::Slack | Kind::DingTalk, _, _) => {}
        }
        let answer = self.poster.post(&url, &headers, body, PATIENCE).await;
        match answer {
            Ok(answer) => self.judge(&answer),
            Err(Unsent::Refused(why)) => Err(Failure::Never(why)),
            Err(Unsent::Failed(why)) => Err(Failure::Later { why, after: None }),
        }
    }

    fn judge(&self, answer: &Answer) -> Result<(), Failure> {
        let refusal = self
            .setup
            .kind
            .refusal(answer.is_success(), answer.status, &answer.body);
        let Some(why) = refusal else { return Ok(()) };
        // Asked wrongly: the same again is wrong again. Asked too often, or of somebody who is ill: later.
        let wrong = (400..500).contains(&answer.status) && ![408, 425, 429].contains(&answer.status);
        if wrong || (300..400).contains(&answer.status) {
            let what = "correct its URL, its kind or its secret";
            return Err(Failure::Never(format!("{why}: {what}")));
        }
        Err(Failure::Later {
            why,
            after: answer.retry_after,
        })
    }

    fn linked(&self, mut message: Message) -> Message {
        if let Some(link) = &self.setup.link {
            let component = message.component.as_deref().unwrap_or_default();
            message.link = Some(
                link.replace("{namespace}", &message.namespace)
                    .replace("{rollout}", &message.rollout)
                    .replace("{component}", component),
            );
        }
        message
    }
}

/// The host of a URL. The error does not repeat it: it may hold a token.
fn host(url: &str) -> Result<String, String> {
    let wrong = || "its url is none: write one like \"https://chat.example.com/hook\"".to_owned();
    let parsed = reqwest::Url::parse(url).map_err(|_| wrong())?;
    if !["http", "https"].contains(&parsed.scheme()) {
        return Err(wrong());
    }
    let host = parsed.host_str().ok_or_else(wrong)?;
    Ok(host.trim_start_matches('[').trim_end_matches(']').to_owned())
}

#[cfg(test)]
pub(super) fn at(address: &str, kind: Kind, secret: Option<&str>) -> Receiver {
    let setup = Setup {
        name: "ops".into(),
        kind,
        url: Where::Url(Secret::Plain(address.to_owned())),
        secret: secret.map(|secret| Secret::Plain(secret.to_owned())),
        min_severity: Severity::Info,
        allow: Vec::new(),
        link: Some("https://r.example.com/{namespace}/{rollout}/{component}".into()),
    };
    Receiver::new(setup, Clock::System).unwrap_or_else(|e| unreachable!("{e}"))
}

#[cfg(test)]
mod tests {
    use super::super::message::example;
    use super::*;
    use axum::Router;
    use axum::extract::Request;
    use axum::routing::post;
    use std::sync::{Arc, Mutex};
    use tokio::task::JoinSet;

    type Heard = Arc<Mutex<Vec<(String, http::HeaderMap, Vec<u8>)>>>;

    /// A receiver that answers with this.
    async fn listening(status: u16, body: &'static str) -> (String, Heard, JoinSet<()>) {
        let heard = Heard::default();
        let ears = heard.clone();
        let app = Router::new().route(
            "/hook",
            post(move |request: Request| async move {
                let (parts, sent) = request.into_parts();
                let sent = axum::body::to_bytes(sent, 1 << 20).await.unwrap().to_vec();
                ears.lock()
                    .unwrap()
                    .push((parts.uri.to_string(), parts.headers, sent));
                (
                    http::StatusCode::from_u16(status).unwrap(),
                    [("retry-after", "7")],
                    body,
                )
            }),
        );
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, app).await.unwrap() });
        (url, heard, server)
    }

    #[tokio::test]
    async fn a_webhook_gets_the_message_its_key_and_a_signature() {
        let (url, heard, _server) = listening(204, "").await;
        let ops = at(&url, Kind::Webhook, Some("0123456789abcdef"));
        ops.tell(&[example("demo/terminal/01A")]).await.unwrap();
        let heard = heard.lock().unwrap();
        let (_, headers, body) = &heard[0];
        assert_eq!(headers["idempotency-key"], "demo/terminal/01A");
        let at: i64 = headers["x-rollout-timestamp"].to_str().unwrap().parse().unwrap();
        let at = jiff::Timestamp::from_second(at).unwrap();
        let again = signed(b"0123456789abcdef", at, &url, body);
        assert_eq!(headers["x-rollout-signature"].to_str().unwrap(), again[1].1);
        let said: serde_json::Value = serde_json::from_slice(body).unwrap();
        assert_eq!(
            said["link"],
            "https://r.example.com/sealos-system/sealos-istio/terminal"
        );
    }

    #[tokio::test]
    async fn a_robot_gets_time_and_sign_in_its_query_and_its_errors_are_told() {
        let (url, heard, _server) = listening(200, r#"{"errcode":310000,"errmsg":"sign not match"}"#).await;
        let ops = at(
            &format!("{url}?access_token=hunter2"),
            Kind::DingTalk,
            Some("SECx"),
        );
        let failure = ops.tell(&[example("k")]).await.unwrap_err();
        assert!(
            matches!(&failure, Failure::Later { why, .. } if why.contains("310000")),
            "{failure:?}"
        );
        let asked = heard.lock().unwrap()[0].0.clone();
        assert!(
            asked.starts_with("/hook?access_token=hunter2&timestamp="),
            "{asked}"
        );
        assert!(asked.contains("&sign="), "{asked}");
    }

    #[tokio::test]
    async fn what_will_never_be_taken_is_told_apart_from_what_may_be_taken_later() {
        let (url, _, _server) = listening(404, "").await;
        let never = at(&url, Kind::Slack, None)
            .tell(&[example("k")])
            .await
            .unwrap_err();
        assert!(
            matches!(&never, Failure::Never(why) if why.contains("status 404")),
            "{never:?}"
        );
        let (url, _, _server) = listening(429, "").await;
        let later = at(&url, Kind::Slack, None)
            .tell(&[example("k")])
            .await
            .unwrap_err();
        assert_eq!(
            later,
            Failure::Later {
                why: "status 429".into(),
                after: Some(Duration::from_secs(7))
            }
        );
    }

    #[tokio::test]
    async fn no_failure_shows_the_url_that_holds_a_token() {
        let free = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let ops = at(&format!("http://{address}/services/hunter2"), Kind::Slack, None);
        let failure = ops.tell(&[example("k")]).await.unwrap_err();
        assert!(!failure.to_string().contains("hunter2"), "{failure}");
        assert!(!format!("{ops:?}").contains("hunter2"));
        let wrong = Setup {
            url: Where::Url(Secret::Plain("hunter2".into())),
            ..ops.setup
        };
        let error = Receiver::new(wrong, Clock::System).unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[tokio::test]
    async fn a_url_out_of_a_file_leads_to_no_place_of_this_machine() {
        let (url, heard, _server) = listening(200, "ok").await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("url");
        std::fs::write(&file, &url).unwrap();
        let setup = Setup {
            url: Where::File(Secret::File(file)),
            ..at(&url, Kind::Slack, None).setup
        };
        let ops = Receiver::new(setup.clone(), Clock::System).unwrap();
        let failure = ops.tell(&[example("k")]).await.unwrap_err();
        assert!(
            matches!(&failure, Failure::Never(why) if why.contains("loopback")),
            "{failure:?}"
        );
        assert!(heard.lock().unwrap().is_empty());
        let named = Setup {
            allow: vec!["127.0.0.1".into()],
            ..setup
        };
        Receiver::new(named, Clock::System)
            .unwrap()
            .tell(&[example("k")])
            .await
            .unwrap();
    }
}
