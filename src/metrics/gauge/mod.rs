//! What is asked beside the arms: values at an instant, and pairs of counters.
//!
//! Each is PromQL of its own, rendered from a check and answered by [`super::Source::vector`]. Whatever
//! is not exactly one finite number is no value, each case with its own remedy.

mod errors;
mod pair;
mod value;

pub use errors::{count_errors, observe_errors, rule};
pub use pair::{PairAsk, observe_pair};
pub use value::{GaugeQueries, Sense, reading};

use crate::rollout::plan::CheckSource;
use crate::rollout::template::{self, Variables};
use std::collections::BTreeMap;
use std::time::Duration;

use super::answer::Series;
use super::matcher::Matcher;

/// One series of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value; NaN when it is no number at all.
    pub value: f64,
}

impl Sample {
    pub(super) fn of(series: &Series<'_>) -> Self {
        let labels = series.metric.iter();
        Self {
            labels: labels
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect(),
            value: series.number(),
        }
    }
}

/// Refuses what no source can be asked; what is wrong with it, and the field below the check.
pub fn check(source: &CheckSource) -> Result<(), String> {
    match source {
        CheckSource::Arms => Ok(()),
        CheckSource::Errors(errors) => rule(errors).map(|_| ()),
        CheckSource::Pair(pair) => PairAsk::of(pair, &template::SAMPLE).map(|_| ()),
        CheckSource::Gauge(gauge) => GaugeQueries::of(&gauge.ask, &template::SAMPLE).map(|_| ()),
    }
}

/// A length of time as PromQL writes it.
pub fn window(length: Duration) -> String {
    match length.as_millis() {
        millis if millis.is_multiple_of(1000) => format!("{}s", millis / 1000),
        millis => format!("{millis}ms"),
    }
}

/// Label matchers with their variables filled in; `more` where the check says nothing about that label.
fn matchers(
    labels: &BTreeMap<String, String>,
    more: &[(&str, &str)],
    variables: &Variables<'_>,
) -> Result<String, String> {
    let mut all = Vec::new();
    let own = labels.iter().map(|(l, v)| (l.as_str(), v.as_str()));
    let rest = more
        .iter()
        .copied()
        .filter(|(label, _)| !labels.contains_key(*label));
    for (label, text) in own.chain(rest) {
        let told = |why: String| format!("series.{label}: {why}");
        let text = template::matcher(text, variables).map_err(told)?;
        let matcher = Matcher::parse(label, &text).map_err(told)?;
        matcher.check().map_err(told)?;
        all.push(matcher.to_string());
    }
    Ok(all.join(", "))
}

/// A query, cut to what a status can hold.
fn brief(promql: &str) -> String {
    let words: Vec<&str> = promql.split_whitespace().collect();
    let text = words.join(" ");
    if text.chars().count() <= 90 {
        return text;
    }
    let cut: String = text.chars().take(89).collect();
    format!("{cut}…")
}
