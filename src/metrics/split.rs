//! From the answer to a joined query back to one snapshot per ask.

use super::answer::{Series, Unusable};
use super::ask::{Ask, Side};
use super::errors::ErrorRule;
use super::native::Unreadable;
use super::preset::{Facts, Labels};
use super::query::{JOB, PART, Part, mark};
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
            let arm = arm(source, |part| of(index, side, part)).map_err(|unusable| Unusable {
                why: format!("{side}: {}", unusable.why),
                ..unusable
            })?;
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
        .filter(|rate| rate.is_finite() && *rate >= 0.0)
    {
        *sum = Some(sum.unwrap_or_default() + rate);
    }
}

fn arm<'a>(source: &ArmSource, of: impl Fn(Part) -> &'a [&'a Series<'a>]) -> Result<ArmSnapshot, Unusable> {
    let facts = &Facts::of(source);
    let mut arm = sampled(facts, of(Part::Sampled))?;
    let rule = ErrorRule::default();
    for series in of(Part::Requests) {
        let error = rule
            .judge(facts, &series.metric)
            .ok_or_else(|| unlabelled(facts, &series.metric))?;
        if series.histogram().is_some() {
            let why = format!(
                "{} is a histogram and no counter: name the counter of requests",
                facts.requests
            );
            return Err(not_a_number(why));
        }
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
        let buckets = durations(series, facts)?;
        // Durations without a request counted beside them are not this arm's: leave them.
        if let Some(pod) = arm.pods.get_mut(&exporter(&series.metric, facts)) {
            pod.latency
                .entry(rest(&series.metric, facts))
                .or_default()
                .extend(buckets);
        }
    }
    for pod in arm.pods.values_mut() {
        for buckets in pod.latency.values_mut() {
            in_order(buckets);
        }
    }
    Ok(arm)
}

/// The pods, each with the time of its newest sample.
fn sampled(facts: &Facts<'_>, answer: &[&Series<'_>]) -> Result<ArmSnapshot, Unusable> {
    let mut arm = ArmSnapshot::default();
    let mut jobs = BTreeMap::new();
    for series in answer {
        let sampled_at = seconds(series.number()).ok_or_else(|| {
            let why = format!("a sample time of {} that is no time", facts.requests);
            not_a_number(why)
        })?;
        let name = exporter(&series.metric, facts);
        let job = series.metric.get(JOB).map_or("", AsRef::as_ref);
        if let Some(other) = jobs.insert(name.clone(), job) {
            return Err(scraped_twice(&name, other, job));
        }
        let pod = PodSnapshot {
            sampled_at,
            requests: BTreeMap::new(),
            latency: BTreeMap::new(),
        };
        arm.pods.insert(name, pod);
    }
    Ok(arm)
}

/// The buckets that a series is, or the one.
fn durations(series: &Series<'_>, facts: &Facts<'_>) -> Result<Vec<Bucket>, Unusable> {
    let name = facts.buckets;
    if let Some(native) = series.histogram() {
        return native.cumulative(facts).or_else(|unreadable| match unreadable {
            // It stays what it is, so that no latency is judged by it, and errors are.
            Unreadable::NotANumber => Ok(vec![Bucket {
                le_ms: f64::INFINITY,
                count: f64::NAN,
            }]),
            Unreadable::Custom => Err(not_a_number(format!(
                "{name} is a native histogram with bounds of its own: let Prometheus keep the classic one, and name its \
                 buckets"
            ))),
        });
    }
    if facts.is_native() {
        let why = format!(
            "{name} is no native histogram: name the buckets of a classic one ({name}_bucket), or let Prometheus \
             scrape native ones"
        );
        return Err(not_a_number(why));
    }
    let le = series.metric.get("le").and_then(|le| le.parse::<f64>().ok());
    let le = le.filter(|le| !le.is_nan()).ok_or_else(|| {
        not_a_number(format!(
            "a bucket of {name} without a bound: keep the label le, or name the histogram's buckets"
        ))
    })?;
    Ok(vec![Bucket {
        le_ms: milliseconds(le, facts),
        count: series.number(),
    }])
}

/// Ascending; bounds that are one number in two spellings (`1` and `1.0`) are one bucket.
fn in_order(buckets: &mut Vec<Bucket>) {
    buckets.sort_by(|a, b| a.le_ms.total_cmp(&b.le_ms));
    buckets.dedup_by(|next, kept| {
        let same = next.le_ms.total_cmp(&kept.le_ms).is_eq();
        if same {
            kept.count += next.count;
        }
        same
    });
}

/// Free of what multiplying by 1000 adds behind the comma, so that equal bounds are equal.
fn milliseconds(le: f64, facts: &Facts<'_>) -> f64 {
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

fn exporter(labels: &Labels<'_>, facts: &Facts<'_>) -> String {
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
fn rest(labels: &Labels<'_>, facts: &Facts<'_>) -> String {
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

/// The labels that a series' key was made of.
pub(crate) fn labels_of(key: &str) -> Labels<'_> {
    let pairs = key.split('\u{2}').filter_map(|pair| pair.split_once('\u{1}'));
    pairs.map(|(name, value)| (name.into(), value.into())).collect()
}

fn not_a_number(why: String) -> Unusable {
    Unusable {
        kind: Dark::NotANumber,
        why,
    }
}

fn scraped_twice(pod: &str, one: &str, other: &str) -> Unusable {
    Unusable {
        kind: Dark::Partial,
        why: format!(
            "{pod} is scraped by the jobs {one:?} and {other:?}, so every request would count twice: scrape it once, \
             or name one of them by the label {JOB} in the arm"
        ),
    }
}

fn unlabelled(facts: &Facts<'_>, labels: &Labels<'_>) -> Unusable {
    let code = labels.get(facts.code).map_or("", AsRef::as_ref);
    let remedy = if code.is_empty() {
        "keep that label in the exporter's configuration; where the arm names its metrics, correct metrics.code"
    } else {
        "it is neither a status code nor a class of them; have the exporter write one, or leave these series out by a label of \
         the arm"
    };
    let why = format!(
        "{} with {}={:?}, which does not tell errors from successes: {remedy}",
        facts.requests,
        facts.code,
        super::answer::brief(code)
    );
    Unusable {
        kind: Dark::Partial,
        why,
    }
}

#[cfg(test)]
mod tests;
