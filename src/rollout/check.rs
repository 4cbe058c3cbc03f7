//! What is measured, and the limits it is held to.

use super::duration::Span;
use super::weight::Percent;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Metric {
    /// Errors ÷ requests over the window.
    ErrorRate,
    /// A quantile of the time to answer.
    Latency,
    /// 1 − errors ÷ requests over the whole step.
    Availability,
    /// The canary's requests ÷ what its weight promises it.
    Throughput,
}

/// Limits of one kind (promote or rollback). All that are given must hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    /// Not above this: a percentage for error rates, a time for latency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Bound>,
    /// Not below this: a percentage, for availability and throughput.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Percent>,
    /// Not this much above control's own value at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_increase: Option<Percent>,
}

/// A limit's value: a percentage or a time, by metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// `0.1%`
    Percent(Percent),
    /// `150ms`
    Time(Duration),
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => percent.fmt(f),
            Self::Time(time) => Span(*time).fmt(f),
        }
    }
}

impl FromStr for Bound {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.ends_with('%') {
            text.parse()
                .map(Self::Percent)
                .map_err(|e: super::weight::NotAPercentage| e.to_string())
        } else {
            text.parse().map(|span: Span| Self::Time(span.0)).map_err(|_| {
                format!("{text:?} is neither a percentage like \"0.1%\" nor a time like \"150ms\"")
            })
        }
    }
}

impl Serialize for Bound {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Bound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

impl JsonSchema for Bound {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Bound".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "maxLength": 32,
                       "pattern": r"^([0-9]{1,4}(\.[0-9]{1,3})?%|([0-9]+(ms|s|m))+)$" })
    }
}

/// One check with every default filled in: what the judge works by.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckRule {
    /// Its name.
    pub name: String,
    /// What is measured.
    pub metric: Metric,
    /// For latency: which quantile.
    pub quantile: f64,
    /// What must hold for the weight to rise; `None` when switched off.
    pub promote: Option<Limits>,
    /// What puts the traffic back; `None` when switched off.
    pub rollback: Option<Limits>,
    /// The look-back of counted metrics, the time over the limit of measured ones.
    pub for_: Duration,
    /// The last window that promotion also looks at.
    pub window: Duration,
    /// Relative limits are held against control before the rollout, not at the same time.
    pub by_history: bool,
    /// Fewer canary requests than this are too few to promote on; 0 leaves it to the statistics alone.
    pub min_requests: u64,
}

/// How judging works, with every default filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct JudgeRules {
    /// Time between two looks.
    pub interval: Duration,
    /// Time after a change whose data is not judged.
    pub settle: Duration,
    /// The chance, per component and attempt, that a healthy canary is rolled back, as a ratio.
    pub false_rollback: f64,
    /// What to do when nothing can be seen.
    pub on_blind: super::spec::OnBlind,
    /// How long nothing is seen before that is an alarm.
    pub blind_after: Duration,
    /// How long to wait for enough requests.
    pub insufficient_after: Duration,
    /// What follows.
    pub insufficient_then: super::spec::InsufficientThen,
}
