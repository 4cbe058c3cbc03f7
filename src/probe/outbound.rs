//! Where requests may go that resources ask for, and why they came to nothing.

use super::address::forbidden;
use super::allow::Allowed;
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::error::Error;
use std::net::{IpAddr, SocketAddr};

/// What is sent, in the words of its refusals.
#[derive(Clone, Copy, Debug)]
pub(super) struct What {
    /// "probes".
    pub(super) many: &'static str,
    /// "probe".
    pub(super) one: &'static str,
    /// The setting that allows them.
    pub(super) setting: &'static str,
}

impl What {
    fn no_entry(self, host: &str, kind: &str) -> String {
        format!(
            "{host} is {kind}, and no {} goes there unless {} names that very host",
            self.one, self.setting
        )
    }
}

/// The URL, if its host may be asked.
pub(super) fn address(what: What, allowed: &Allowed, url: &str) -> Result<Url, String> {
    let url = Url::parse(url).map_err(|error| format!("{url} is no URL: {error}"))?;
    let host = url.host_str().unwrap_or_default();
    let What { many, setting, .. } = what;
    if allowed.is_empty() {
        return Err(format!(
            "the operator allows no {many}: name hosts under {setting} in the daemon's settings"
        ));
    }
    if !allowed.allows(host) {
        return Err(format!(
            "the operator does not allow {many} of {host}: add it to {setting} in the daemon's settings"
        ));
    }
    // Addresses are not resolved, so they are looked at here.
    let literal = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>();
    match literal.ok().and_then(forbidden) {
        Some(kind) if !allowed.names(host) => Err(what.no_entry(host, kind)),
        _ => Ok(url),
    }
}

/// Why a request came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It cannot be made, or must not be.
    Refused(String),
    /// It was made.
    Failed(String),
}

/// Why there was no answer; without addresses, which are nobody's business but the operator's.
pub(super) fn failure(error: &reqwest::Error) -> Failure {
    if error.is_builder() {
        return Failure::Refused("the request cannot be made: correct its headers".to_owned());
    }
    if error.is_timeout() {
        return Failure::Failed("no answer in time".to_owned());
    }
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    let mut last = String::new();
    while let Some(inner) = cause {
        if let Some(forbidden) = inner.downcast_ref::<Forbidden>() {
            return Failure::Refused(forbidden.0.clone());
        }
        last = inner.to_string();
        cause = inner.source();
    }
    Failure::Failed(if last.is_empty() {
        "no answer".to_owned()
    } else {
        last
    })
}

/// Resolves names, and leaves out what may not be connected to.
#[derive(Debug)]
pub(super) struct Careful(pub(super) What, pub(super) Allowed);

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
        let (what, trusted) = (self.0, self.1.names(&host));
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            let fine = |address: &&SocketAddr| trusted || forbidden(address.ip()).is_none();
            let allowed: Vec<SocketAddr> = found.iter().filter(fine).copied().collect();
            let kind = found.iter().find_map(|address| forbidden(address.ip()));
            match kind {
                Some(kind) if allowed.is_empty() => Err(Box::new(Forbidden(what.no_entry(&host, kind))) as _),
                _ => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}
