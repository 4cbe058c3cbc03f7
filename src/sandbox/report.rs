//! How a story ended, for people and for other programs.

use super::observer::{Observer, Row};
use super::share::Shares;
use super::story::Story;
use crate::rollout::reason::State;
use serde::Serialize;
use std::collections::BTreeMap;

/// How a story ended. Its JSON is stable.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The story.
    pub story: String,
    /// How it must end.
    pub expected: String,
    /// Whether it did.
    pub reached: bool,
    /// How long it took in its own time.
    pub virtual_seconds: f64,
    /// How long it took on the wall.
    pub wall_seconds: f64,
    /// Where each component ended.
    pub components: Vec<Ended>,
    /// Why the end was not reached, for people.
    #[serde(skip)]
    pub missing: Vec<String>,
}

/// Where a component ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ended {
    /// Its name.
    pub name: String,
    /// Its phase.
    pub phase: Option<String>,
    /// The canary's share in percent.
    pub weight: f64,
    /// Why it is there.
    pub reason: String,
    /// For a rollback: milliseconds from the sample that showed the breach to weight 0 in the routed object.
    pub breach_to_zero_ms: Option<i64>,
}

impl Report {
    /// The report as one line of JSON.
    pub fn line(&self) -> String {
        // Strings and numbers only: nothing in it can fail to be written.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Where each component ended.
pub(super) fn ended(rows: &[Row], took: &BTreeMap<String, i64>) -> Vec<Ended> {
    rows.iter()
        .map(|row| Ended {
            name: row.name.clone(),
            phase: row.phase.clone(),
            weight: row.weight.written.percent(),
            reason: row.reason.to_string(),
            breach_to_zero_ms: took
                .get(&row.name)
                .copied()
                .filter(|_| row.state == State::RolledBack),
        })
        .collect()
}

/// What keeps a story from being over as expected; empty when nothing does.
pub(super) fn missing(
    story: &Story,
    components: &[String],
    observer: &Observer,
    shares: &Shares,
) -> Vec<String> {
    let mut missing = Vec::new();
    for name in components {
        let end = story.end_of(name);
        let Some(row) = observer.row(name) else {
            missing.push(format!("{name} has no status"));
            continue;
        };
        if (row.state, row.weight.written, row.reason) != (end.state, end.weight, end.reason) {
            missing.push(format!(
                "{name} is {} at {} for {}, not {} at {} for {}",
                row.state, row.weight.written, row.reason, end.state, end.weight, end.reason
            ));
        } else if !shares.all_say(name, end.weight) {
            missing.push(format!(
                "the routed objects of {name} do not all say {}",
                end.weight
            ));
        }
    }
    missing.extend(story.demands.iter().filter_map(|demand| demand.unmet(observer)));
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_has_exactly_the_promised_fields() {
        let report = Report {
            story: "errors".into(),
            expected: "back at 0%".into(),
            reached: true,
            virtual_seconds: 8100.0,
            wall_seconds: 0.5,
            components: vec![Ended {
                name: "terminal".into(),
                phase: Some("widen".into()),
                weight: 0.0,
                reason: "Breach".into(),
                breach_to_zero_ms: Some(12),
            }],
            missing: vec!["never shown".into()],
        };
        assert_eq!(
            report.line(),
            r#"{"story":"errors","expected":"back at 0%","reached":true,"virtualSeconds":8100.0,"wallSeconds":0.5,"components":[{"name":"terminal","phase":"widen","weight":0.0,"reason":"Breach","breachToZeroMs":12}]}"#
        );
    }

    #[test]
    fn only_a_rollback_has_a_time_to_zero() {
        let rows = [Row {
            name: "a".into(),
            ..Row::default()
        }];
        let ended = ended(&rows, &BTreeMap::from([("a".to_owned(), 5)]));
        assert_eq!(ended[0].breach_to_zero_ms, None);
    }
}
