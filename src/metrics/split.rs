//! From the answer to a joined query back to one snapshot per ask.

use super::answer::{Series, Unusable};
use super::ask::{Ask, Side};
use super::preset::{Facts, Labels};
use super::query::{PART, Part, mark};
use super::snapshot::{ArmSnapshot, Bucket, Counter, PodSnapshot, Snapshot};
use crate::rollout::sample::Dark;
use crate::rollout::spec::ArmSource;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// The snapshots of these asks, in their order, out of the answer to [`super::query::render`] of the same asks.
pub(crate) fn split<'a>(
    asks: &[&Ask],
    at: Timestamp,
    answer: impl IntoIterator<Item = &'a Series<'a>>,
) -> Vec<Result<Snapshot, Unusable>> {
    let mut marked: BTreeMap<&str, Vec<&Series<'_>>> = BTreeMap::new();
    for series in answer {
        let part = series.metric.get(PART).map_or("", AsRef::as_ref);
        marked.entry(part).or_default().push(series);
    }
    let of = |index, side, part| {
        marked
            .get(mark(index, side, part).as_str())
            .map_or(&[][..], Vec::as_slice)
    };
    let one = |(index, ask): (usize, &&Ask)| {
        let mut snapshot = Snapshot::empty(ask, at);
        let (mut day, mut week) = (None, None);
        for (side, source) in ask.sides() {
            let arm = arm(source, |part| of(index, side, part))?;
            match side {
                Side::Canary => snapshot.canary = arm,
                Side::Control => snapshot.control = Some(arm),
            }
            add(&mut day, of(index, side, Part::UsualDay));
            add(&mut week, of(index, side, Part::UsualWeek));
        }
        snapshot.usual_rate = match (day, week) {
            (Some(day), Some(week)) => Some(f64::midpoint(day, week)),
            (one, other) => one.or(other),
        };
        Ok(snapshot)
    };
    asks.iter().enumerate().map(one).collect()
}

fn add(sum: &mut Option<f64>, series: &[&Series<'_>]) {
    for rate in series
        .iter()
        .map(|series| series.number())
        .filter(|rate| rate.is_finite())
    {
        *sum = Some(sum.unwrap_or_default() + rate);
    }
}

fn arm<'a>(source: &ArmSource, of: impl Fn(Part) -> &'a [&'a Series<'a>]) -> Result<ArmSnapshot, Unusable> {
    let facts = source.preset.facts();
    let mut arm = ArmSnapshot::default();
    for series in of(Part::Sampled) {
        let sampled_at = seconds(series.number()).ok_or_else(|| {
            let why = format!("a sample time of {} that is no time", facts.requests);
            not_a_number(why)
        })?;
        let pod = PodSnapshot {
            sampled_at,
            requests: BTreeMap::new(),
            latency: BTreeMap::new(),
        };
        arm.pods.insert(exporter(&series.metric, facts), pod);
    }
    for series in of(Part::Requests) {
        let error = facts
            .is_error(&series.metric)
            .ok_or_else(|| unlabelled(facts, &series.metric))?;
        let name = exporter(&series.metric, facts);
        let Some(pod) = arm.pods.get_mut(&name) else {
            return Err(not_a_number(format!(
                "{} of {name} without a sample time",
                facts.requests
            )));
        };
        let counter = Counter {
            count: series.number(),
            error,
        };
        pod.requests.insert(rest(&series.metric, facts), counter);
    }
    for series in of(Part::Latency) {
        let Some(le) = series.metric.get("le").and_then(|le| le.parse::<f64>().ok()) else {
            return Err(not_a_number(format!(
                "a bucket of {} without a bound",
                facts.buckets
            )));
        };
        // Durations without a request counted beside them are not this arm's: leave them.
        if let Some(pod) = arm.pods.get_mut(&exporter(&series.metric, facts)) {
            let bucket = Bucket {
                le_ms: milliseconds(le, facts),
                count: series.number(),
            };
            pod.latency
                .entry(rest(&series.metric, facts))
                .or_default()
                .push(bucket);
        }
    }
    for pod in arm.pods.values_mut() {
        for buckets in pod.latency.values_mut() {
            buckets.sort_by(|a, b| a.le_ms.total_cmp(&b.le_ms));
        }
    }
    Ok(arm)
}

/// Free of what multiplying by 1000 adds behind the comma, so that equal bounds are equal.
fn milliseconds(le: f64, facts: &Facts) -> f64 {
    let ms = le * facts.to_ms;
    if ms.is_finite() {
        (ms * 1e6).round() / 1e6
    } else {
        ms
    }
}

fn seconds(seconds: f64) -> Option<Timestamp> {
    if !(0.0..=1e11).contains(&seconds) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "at most 1e14, checked above")]
    let millis = (seconds * 1000.0).round() as i64;
    Timestamp::from_millisecond(millis).ok()
}

fn exporter(labels: &Labels<'_>, facts: &Facts) -> String {
    let value = |name: &&str| labels.get(*name).map_or("", AsRef::as_ref);
    let values: Vec<&str> = facts
        .exporter
        .iter()
        .map(value)
        .filter(|value| !value.is_empty())
        .collect();
    values.join(" ")
}

/// What tells one series of a pod from another.
fn rest(labels: &Labels<'_>, facts: &Facts) -> String {
    let mut key = String::new();
    for (name, value) in labels {
        let name = name.as_ref();
        if name != PART && name != "le" && !facts.exporter.contains(&name) {
            key.push_str(name);
            key.push('\u{1}');
            key.push_str(value);
            key.push('\u{2}');
        }
    }
    key
}

fn not_a_number(why: String) -> Unusable {
    Unusable {
        kind: Dark::NotANumber,
        why,
    }
}

fn unlabelled(facts: &Facts, labels: &Labels<'_>) -> Unusable {
    let code = labels.get(facts.code).map_or("", AsRef::as_ref);
    let why = format!(
        "{} with {}={:?}, which does not tell errors from successes: keep that label in the exporter's configuration",
        facts.requests,
        facts.code,
        super::answer::brief(code)
    );
    Unusable {
        kind: Dark::Partial,
        why,
    }
}
