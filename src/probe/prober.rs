//! Sending probes.

use super::address::forbidden;
use super::allow::Allowed;
use crate::rollout::spec::Probe;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Method, Url, redirect};
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::sync::Semaphore;

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
            .dns_resolver(Arc::new(Careful(allowed.clone())))
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
            .find_map(|url| self.address(url).err())
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
        let url = match self.address(url) {
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
            Err(error) => failure(&error),
        }
    }

    /// The URL, if its host may be asked.
    fn address(&self, url: &str) -> Result<Url, String> {
        let url = Url::parse(url).map_err(|error| format!("{url} is no URL: {error}"))?;
        let host = url.host_str().unwrap_or_default();
        if self.allowed.is_empty() {
            return Err(
                "the operator allows no probes: name hosts under probes.allow in the daemon's settings"
                    .to_owned(),
            );
        }
        if !self.allowed.allows(host) {
            return Err(format!(
                "the operator does not allow probes of {host}: add it to probes.allow in the daemon's settings"
            ));
        }
        // Addresses are not resolved, so they are looked at here.
        let literal = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>();
        match literal.ok().and_then(forbidden) {
            Some(what) if !self.allowed.names(host) => Err(no_entry(host, what)),
            _ => Ok(url),
        }
    }
}

fn no_entry(host: &str, what: &str) -> String {
    format!("{host} is {what}, and no probe goes there unless probes.allow names that very host")
}

/// Why there was no answer; without addresses, which are nobody's business but the operator's.
fn failure(error: &reqwest::Error) -> Outcome {
    if error.is_builder() {
        return Outcome::Refused("the request cannot be made: correct its headers".to_owned());
    }
    if error.is_timeout() {
        return Outcome::Failed("no answer in time".to_owned());
    }
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    let mut last = String::new();
    while let Some(inner) = cause {
        if let Some(forbidden) = inner.downcast_ref::<Forbidden>() {
            return Outcome::Refused(forbidden.0.clone());
        }
        last = inner.to_string();
        cause = inner.source();
    }
    Outcome::Failed(if last.is_empty() {
        "no answer".to_owned()
    } else {
        last
    })
}

/// Resolves names, and leaves out what may not be connected to.
#[derive(Debug)]
struct Careful(Allowed);

#[derive(Debug)]
struct Forbidden(String);

impl std::fmt::Display for Forbidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Forbidden {}

impl Resolve for Careful {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let trusted = self.0.names(&host);
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            let fine = |address: &&SocketAddr| trusted || forbidden(address.ip()).is_none();
            let allowed: Vec<SocketAddr> = found.iter().filter(fine).copied().collect();
            let what = found.iter().find_map(|address| forbidden(address.ip()));
            match what {
                Some(what) if allowed.is_empty() => Err(Box::new(Forbidden(no_entry(&host, what))) as _),
                _ => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
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
