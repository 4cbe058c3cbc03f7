//! The part of the resource that names what sets weights by requests.

use super::duration::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long an answer may take unless the resource says otherwise.
const PATIENCE: Duration = Duration::from_secs(2);

/// Something outside the cluster that sets a component's weight and is told by requests: a load balancer, a DNS
/// provider. It needs the operator's leave (`hooks.allow` in the daemon's settings).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hook {
    /// Where the weight is read (GET) and set (PUT), like `https://lb.example.com/weights`.
    #[schemars(length(min = 1, max = 200), regex(pattern = r"^https?://[^\s@#?]+$"))]
    pub url: String,
    /// How long an answer may take. Default 2s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
}

impl Hook {
    /// How long an answer may take.
    pub fn patience(&self) -> Duration {
        self.timeout.map_or(PATIENCE, |span| span.0)
    }

    /// What is wrong with it, with the remedy.
    pub fn problem(&self) -> Option<String> {
        let rest = self
            .url
            .strip_prefix("https://")
            .or_else(|| self.url.strip_prefix("http://"));
        let Some(rest) = rest.filter(|rest| !rest.is_empty() && !rest.starts_with('/')) else {
            return Some(format!(
                "url: {:?} is no address: write one like https://lb.example.com/weights",
                self.url
            ));
        };
        if rest.contains(|c: char| c.is_whitespace() || "@#?".contains(c)) {
            return Some(format!(
                "url: {:?} has a user, a query or a fragment: leave them out; requests are signed by the settings' hooks.key_file",
                self.url
            ));
        }
        (self.patience() < Duration::from_millis(100) || self.patience() > Duration::from_secs(10))
            .then(|| format!("timeout: {} is not within 100ms and 10s", Span(self.patience())))
    }

    /// The address without its scheme, as objects are named.
    pub fn place(&self) -> &str {
        self.url.split_once("://").map_or(&self.url, |(_, rest)| rest)
    }
}

/// A weight that only a person can set. The person is asked, and says when it is done (`gradual-rollout confirm`);
/// whether the requests follow is measured like everywhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manual {
    /// What is to be done, for the one who does it: where, how, whom to ask.
    #[schemars(length(min = 1, max = 512))]
    pub instructions: String,
}
