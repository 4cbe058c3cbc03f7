//! Sending probes.

use super::allow::Allowed;
use super::outbound::{Careful, Failure, What, address, failure};
use crate::rollout::spec::Probe;
use reqwest::{Client, Method, redirect};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// What is sent, in the words of its refusals.
const PROBES: What = What {
    many: "probes",
    one: "probe",
    setting: "probes.allow",
};

/// Probes under way at once, of all resources together: a thousand components that hang must not hold a thousand
/// sockets for as long as they may take.
const AT_ONCE: usize = 32;

/// What one request came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An answer as expected.
    Answered,
    /// None, or another: why, for people.
    Failed(String),
    /// It is not asked for: why, and what to do.
    Refused(String),
}

/// What a probe came to on both paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Results {
    /// The canary's.
    pub canary: Outcome,
    /// Control's, where it is asked for.
    pub control: Option<Outcome>,
}

/// Sends probes.
#[derive(Debug)]
pub struct Prober {
    allowed: Allowed,
    client: Client,
    places: Semaphore,
}

impl Prober {
    /// For these hosts.
    pub fn new(allowed: Allowed) -> Result<Self, String> {
        let client = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            // What is tried is a connection, not a request on one that is there.
            .pool_max_idle_per_host(0)
            .dns_resolver(Arc::new(Careful(PROBES, allowed.clone())))
            .user_agent(concat!("gradual-rollout-probe/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| format!("no HTTP client for probes: {error}"))?;
        Ok(Self {
            allowed,
            client,
            places: Semaphore::new(AT_ONCE),
        })
    }

    /// Why a probe is not sent, as far as its URLs tell: told before anything is asked.
    pub fn refusal(&self, probe: &Probe) -> Option<String> {
        [Some(&probe.url), probe.control.as_ref()]
            .into_iter()
            .flatten()
            .find_map(|url| address(PROBES, &self.allowed, url).err())
    }

    /// Sends one to both paths at once.
    pub async fn send(&self, probe: &Probe) -> Results {
        let control = async {
            match &probe.control {
                Some(url) => Some(self.one(url, probe).await),
                None => None,
            }
        };
        let (canary, control) = tokio::join!(self.one(&probe.url, probe), control);
        Results { canary, control }
    }

    async fn one(&self, url: &str, probe: &Probe) -> Outcome {
        let url = match address(PROBES, &self.allowed, url) {
            Ok(url) => url,
            Err(why) => return Outcome::Refused(why),
        };
        let Ok(_place) = self.places.acquire().await else {
            return Outcome::Refused("probes are no longer sent".to_owned());
        };
        let mut request = self.client.request(Method::GET, url).timeout(probe.patience());
        for (name, value) in probe.headers.iter().flatten() {
            request = request.header(name, value);
        }
        match request.send().await {
            Ok(answer) if probe.accepts(answer.status().as_u16()) => Outcome::Answered,
            Ok(answer) => Outcome::Failed(format!("status {}", answer.status().as_u16())),
            Err(error) => outcome(failure(&error)),
        }
    }
}

fn outcome(failure: Failure) -> Outcome {
    match failure {
        Failure::Refused(why) => Outcome::Refused(why),
        Failure::Failed(why) => Outcome::Failed(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn prober(patterns: &[&str]) -> Prober {
        Prober::new(Allowed::new(patterns.iter().map(|p| (*p).to_owned())).unwrap()).unwrap()
    }

    fn probe(value: Value) -> Probe {
        serde_json::from_value(value).unwrap()
    }

    #[tokio::test]
    async fn nothing_is_sent_where_the_operator_or_the_address_forbids_it() {
        for (allow, url, says) in [
            (&[][..], "http://shop.apps.svc/", "the operator allows no probes"),
            (
                &["*.other.svc"][..],
                "http://shop.apps.svc/",
                "does not allow probes of shop.apps.svc",
            ),
            (&["*"][..], "http://127.0.0.1:9/", "a loopback address"),
            (&["*"][..], "http://2130706433:9/", "a loopback address"),
            (
                &["*"][..],
                "http://[::ffff:169.254.169.254]/latest",
                "a link-local address",
            ),
            (&["*"][..], "http://localhost:9/", "a loopback address"),
        ] {
            let sent = prober(allow).send(&probe(json!({"url": url}))).await;
            let Outcome::Refused(why) = &sent.canary else {
                panic!("{url}: {sent:?}");
            };
            assert!(why.contains(says), "{url}: {why}");
        }
    }

    #[tokio::test]
    async fn a_host_that_is_named_may_be_anywhere_and_a_refused_connection_is_a_failure() {
        let free = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        for host in ["127.0.0.1", "localhost"] {
            let probe = probe(json!({"url": format!("http://{host}:{port}/"), "timeout": "2s"}));
            let sent = prober(&[host]).send(&probe).await;
            assert!(matches!(sent.canary, Outcome::Failed(_)), "{host}: {sent:?}");
        }
    }
}
