//! The part of the resource that says what must be given before a weight is written.

use super::duration::Span;
use super::router_spec::exactly_one;
use super::weight::Weight;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Something that must be given before a phase's first weight, or one step's weight, is written. Exactly one kind per
/// entry. A gate never stands in the way of a lowering.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = exactly_one)]
pub enum Gate {
    /// A person says `approve`.
    Approval(Approval),
    /// Persons tick items, each by `approve --item`.
    Checklist(Checklist),
    /// Another rollout has come so far.
    Rollout(RolloutGate),
    /// An address answers that it may go on.
    Http(HttpGate),
}

/// A person's approval, by the `approve` command.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Approval {
    /// How long an approval is good for that nothing has made use of: one given too early, or left lying, is void.
    /// Default: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Span>,
}

/// Items of readiness that persons tick.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Checklist {
    /// Their names, like `runbook-read`.
    #[schemars(
        length(min = 1, max = 16),
        inner(length(min = 1, max = 63), regex(pattern = r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub items: Vec<String>,
}

/// Another rollout that this one goes after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RolloutGate {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its namespace. Default: the resource's own; another one takes the operator's leave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// One component of it. Default: every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub component: Option<String>,
    /// What it must be.
    pub is: RolloutIs,
    /// With `is: AtLeast`: the weight that must have been reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<Weight>,
}

/// How far another rollout must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RolloutIs {
    /// It has finished its plan.
    Completed,
    /// It has this weight or more, or has finished its plan.
    AtLeast,
}

/// An address that is asked (GET) while nothing else stands in the way. It needs the operator's leave (`hooks.allow` in
/// the daemon's settings), and is signed as hooks are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpGate {
    /// What is asked, like `https://change.example.com/gates`. Namespace, rollout, component, phase and weight go along
    /// in the query.
    #[schemars(length(min = 1, max = 200), regex(pattern = r"^https?://[^\s@#?]+$"))]
    pub url: String,
    /// A text that the answer must hold besides its status 2xx. Default: none, the status is enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub expect: Option<String>,
    /// How long an answer may take, 100ms to 30s. Default 5s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// How often it is asked again at once, with growing pauses, where there was no answer. Default 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 5))]
    pub retries: Option<i32>,
    /// How often it is asked anew, 5s to 1d. Default 30s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
}

impl HttpGate {
    /// How long an answer may take.
    pub fn patience(&self) -> Duration {
        self.timeout.map_or(Duration::from_secs(5), |span| span.0)
    }

    /// How often it is asked again at once.
    pub fn retries(&self) -> u32 {
        self.retries
            .and_then(|n| u32::try_from(n).ok())
            .unwrap_or(2)
            .min(5)
    }

    /// How often it is asked anew.
    pub fn every(&self) -> Duration {
        self.every.map_or(Duration::from_secs(30), |span| span.0)
    }
}

impl Gate {
    /// What is wrong with it: the field below the gate, and what to write instead.
    pub fn mistake(&self) -> Option<(&'static str, String)> {
        match self {
            Self::Approval(approval) => approval.expires.filter(|span| span.0.is_zero()).map(|_| {
                (
                    "approval.expires",
                    "an approval that is void at once opens nothing: write a time like 4h, or leave it out"
                        .to_owned(),
                )
            }),
            Self::Checklist(list) => checklist(list).map(|message| ("checklist.items", message)),
            Self::Rollout(rollout) => match (rollout.is, rollout.weight) {
                (RolloutIs::AtLeast, None) => {
                    Some(("rollout.weight", "AtLeast needs a weight, like 25%".to_owned()))
                }
                (RolloutIs::Completed, Some(_)) => Some((
                    "rollout.weight",
                    "Completed takes no weight: leave it out, or write is: AtLeast".to_owned(),
                )),
                (RolloutIs::AtLeast, Some(_)) | (RolloutIs::Completed, None) => None,
            },
            Self::Http(http) => http.mistake(),
        }
    }
}

fn checklist(list: &Checklist) -> Option<String> {
    if list.items.is_empty() || list.items.len() > 16 {
        return Some("name 1 to 16 items".to_owned());
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    for (i, item) in list.items.iter().enumerate() {
        let ends = item.starts_with(|c: char| c.is_ascii_alphanumeric())
            && item.ends_with(|c: char| c.is_ascii_alphanumeric());
        if !ends || item.len() > 63 || !item.chars().all(legal) {
            return Some(format!(
                "{item:?} is no name of an item: write one like \"runbook-read\", 1 to 63 characters"
            ));
        }
        if list.items.iter().take(i).any(|other| other == item) {
            return Some(format!("{item:?} is there twice"));
        }
    }
    None
}

impl HttpGate {
    fn mistake(&self) -> Option<(&'static str, String)> {
        let rest = self
            .url
            .strip_prefix("https://")
            .or_else(|| self.url.strip_prefix("http://"));
        let sound = rest.is_some_and(|rest| {
            !rest.is_empty()
                && !rest.starts_with('/')
                && !rest.contains(|c: char| c.is_whitespace() || "@#?".contains(c))
        });
        if !sound {
            let message = format!(
                "{:?} is no address: write one like https://change.example.com/gates, without user, query and fragment",
                self.url
            );
            return Some(("http.url", message));
        }
        let within = |span: Duration, least: u64, most: u64| {
            span >= Duration::from_millis(least) && span <= Duration::from_millis(most)
        };
        if !within(self.patience(), 100, 30_000) {
            let message = format!("{} is not within 100ms and 30s", Span(self.patience()));
            return Some(("http.timeout", message));
        }
        if !within(self.every(), 5000, 86_400_000) {
            return Some((
                "http.every",
                format!("{} is not within 5s and 1d", Span(self.every())),
            ));
        }
        self.retries
            .filter(|n| !(0..=5).contains(n))
            .map(|n| ("http.retries", format!("{n} is not within 0 and 5")))
    }
}

/// For people: what opens it.
impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Approval(_) => f.write_str("a person's `approve`"),
            Self::Checklist(list) => write!(f, "ticks for {}", list.items.join(", ")),
            Self::Rollout(rollout) => rollout.fmt(f),
            Self::Http(http) => write!(f, "{} to say so", http.url),
        }
    }
}

impl fmt::Display for RolloutGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("rollout ")?;
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}/")?;
        }
        f.write_str(&self.name)?;
        if let Some(component) = &self.component {
            write!(f, ", component {component}")?;
        }
        match (self.is, self.weight) {
            (RolloutIs::AtLeast, Some(weight)) => write!(f, " to be at {weight} or more"),
            (RolloutIs::Completed | RolloutIs::AtLeast, _) => f.write_str(" to be completed"),
        }
    }
}
