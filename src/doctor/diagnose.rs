//! What is missing, and which word of the file is to blame: asked of Prometheus, matcher by matcher.

use crate::backtest::{Arm, Track};
use crate::metrics::gauge::Sample;
use crate::metrics::{Ask, Source, queries};
use crate::rollout::buckets::remedy;
use crate::rollout::check::{CheckRule, Limits, Metric};
use crate::rollout::duration::Span;
use crate::rollout::judge::slower_is_hidden;
use crate::rollout::sample::{Blindness, Dark};
use crate::rollout::spec::{ArmSource, Preset, Traffic};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Scrapes that must fit into a window: fewer, and one late scrape empties it.
pub(crate) const SCRAPES: u32 = 4;
/// Values of a label that are named as what there is instead.
const NAMED: usize = 5;
/// This share of all requests on one side of all bounds is no behaviour, it is a unit.
const ONE_SIDED: f64 = 0.99;
/// A hop through a proxy takes longer than this.
const NO_TIME_MS: f64 = 0.1;
/// The largest bound that exporters have by default is one hour.
const NO_WAIT_MS: f64 = 3_600_000.0;
/// A matcher that every series passes, whether it has the label or not.
const ANYTHING: &str = "~.*";

/// Something that is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Missing {
    /// A check's name, or what part of the component it is about.
    pub(crate) of: String,
    /// What, and what to write or do.
    pub(crate) message: String,
}

impl Missing {
    pub(crate) fn general(of: &str, message: String) -> Self {
        Self {
            of: of.to_owned(),
            message,
        }
    }

    pub(crate) fn check(name: &str, message: String) -> Self {
        Self::general(&format!("check {name}"), message)
    }
}

/// Asks Prometheus at one instant.
pub(crate) struct Probe<'a> {
    pub(super) source: &'a Source,
    pub(super) at: Timestamp,
}

impl<'a> Probe<'a> {
    pub(crate) const fn new(source: &'a Source, at: Timestamp) -> Self {
        Self { source, at }
    }

    pub(crate) async fn ask(&self, promql: &str) -> Result<Arc<[Sample]>, Blindness> {
        self.source.vector(promql, self.at).await
    }

    /// Arms without series, each with the matcher that is to blame.
    pub(crate) async fn arms(&self, ask: &Ask) -> Result<Vec<Missing>, Blindness> {
        let mut missing = Vec::new();
        let control = ask.arms.control.as_ref();
        for (side, source) in [("canary", Some(&ask.arms.canary)), ("control", control)] {
            let Some(source) = source else { continue };
            let arm = Selector { ask, source };
            if self.ask(&arm.requests(&BTreeMap::new())?).await?.is_empty() {
                let why = self.why_empty(&arm).await?;
                missing.push(Missing::general(&format!("arms.{side}"), why));
            }
        }
        Ok(missing)
    }

    async fn why_empty(&self, arm: &Selector<'_>) -> Result<String, Blindness> {
        // What had samples within the day has the right labels.
        if let Some(mine) = selector(&arm.requests(&BTreeMap::new())?)
            && let Some(at) = self.newest_of_a_day(&mine).await?
            && self.at.duration_since(at) > GONE
        {
            return Ok(format!(
                "no scrape: the newest sample of {mine} is of {at:.0}. Its pods are gone, or their exporter is not scraped any more: look at them, then at Prometheus' targets"
            ));
        }
        let labels = arm.labels();
        let open: BTreeMap<&str, &str> = labels.keys().map(|label| (*label, ANYTHING)).collect();
        let everything = arm.requests(&open)?;
        if self.ask(&everything).await?.is_empty() {
            return self.why_unscraped(&everything).await;
        }
        let mut culprits = Vec::new();
        for (label, value) in &labels {
            let without = arm.requests(&[(*label, ANYTHING)].into())?;
            let found = self.ask(&without).await?;
            if !found.is_empty() {
                culprits.push((*label, blame(label, value, &found)));
            }
        }
        // What control is found by as well is no wrong label, where there is another.
        let ours = |label: &str| arm.of_control(label) && arm.source.labels.contains_key(label);
        if culprits.iter().any(|(label, _)| !ours(label)) {
            culprits.retain(|(label, _)| !ours(label));
        }
        let mut culprits: Vec<String> = culprits.into_iter().map(|(_, why)| why).collect();
        if !culprits.is_empty() {
            return Ok(culprits.join("; or "));
        }
        // No single one: then those that match nothing even alone.
        for (label, value) in &labels {
            let mut alone = open.clone();
            alone.remove(label);
            if self.ask(&arm.requests(&alone)?).await?.is_empty() {
                culprits.push(blame(label, value, &self.ask(&everything).await?));
            }
        }
        if !culprits.is_empty() {
            return Ok(culprits.join("; and "));
        }
        Ok("each of its matchers matches something, but all of them together match nothing: they are about different series".to_owned())
    }

    /// When the newest sample of the last day was taken.
    async fn newest_of_a_day(&self, series: &str) -> Result<Option<Timestamp>, Blindness> {
        let lately = format!("max(max_over_time(timestamp({series})[1d:1m]))");
        let last = self.ask(&lately).await?.first().map(|sample| sample.value);
        #[expect(clippy::cast_possible_truncation, reason = "seconds since 1970")]
        Ok(last.and_then(|seconds| Timestamp::from_second(seconds as i64).ok()))
    }

    async fn why_unscraped(&self, everything: &str) -> Result<String, Blindness> {
        let name = metric(everything);
        Ok(match self.newest_of_a_day(&name).await? {
            Some(at) => format!(
                "no scrape: the newest sample of {name} is of {at:.0}. Its exporter is not scraped any more: look at Prometheus' targets"
            ),
            None => format!(
                "no scrape: Prometheus has no {name} at all, nor had it within a day. Let it scrape the exporter, or write another preset"
            ),
        })
    }

    /// Latency checks whose histogram is missing, in another unit, or does not reach the limit.
    pub(crate) async fn histograms(
        &self,
        ask: &Ask,
        rules: &[&CheckRule],
        track: &Track,
    ) -> Result<Vec<Missing>, Blindness> {
        let latency = |rule: &&&CheckRule| {
            rule.metric == Metric::Latency && (rule.promote.is_some() || rule.rollback.is_some())
        };
        let rules: Vec<&CheckRule> = rules.iter().filter(latency).copied().collect();
        if rules.is_empty() || ask.traffic == Traffic::LongLived {
            return Ok(Vec::new());
        }
        let mut missing = Vec::new();
        let control = ask.arms.control.as_ref().map(|source| (source, &track.control));
        for (side, (source, arm)) in [
            ("canary", Some((&ask.arms.canary, &track.canary))),
            ("control", control),
        ]
        .into_iter()
        .filter_map(|(side, arm)| Some((side, arm?)))
        {
            let selector = Selector { ask, source };
            let why = if arm.series > 0 && arm.requests > 0 && arm.latency.is_empty() {
                Some(self.why_no_histogram(&selector).await?)
            } else {
                one_sided(arm, &track.bounds_ms, source.preset)
            };
            missing.extend(why.map(|why| Missing::general(&format!("arms.{side}"), why)));
        }
        if let Some(layouts) = &track.layouts {
            missing.push(Missing::general(
                "arms",
                other_layouts(layouts, ask.arms.canary.preset),
            ));
        }
        if missing.is_empty() {
            missing.extend(beyond_the_last(&rules, track, ask.arms.canary.preset));
            missing.extend(rules.iter().filter_map(|rule| too_coarse(rule, track, ask)));
        }
        let Some(&largest) = track.bounds_ms.last() else {
            return Ok(missing);
        };
        for rule in rules {
            let limits = [
                ("promote", rule.promote.as_ref()),
                ("rollback", rule.rollback.as_ref()),
            ];
            for (name, limit) in limits {
                let Some(limit) = limit.and_then(max_ms).filter(|limit| *limit > largest) else {
                    continue;
                };
                let written = |ms: f64| Span(Duration::from_secs_f64(ms / 1000.0));
                let message = format!(
                    "a histogram without the {name} limit's bucket: its largest bound is {}, the limit {}: {}",
                    written(largest),
                    written(limit),
                    remedy(ask.arms.canary.preset)
                );
                missing.push(Missing::check(&rule.name, message));
            }
        }
        Ok(missing)
    }

    async fn why_no_histogram(&self, arm: &Selector<'_>) -> Result<String, Blindness> {
        let Some(promql) = arm.promql("latency", &BTreeMap::new())? else {
            return Ok("no histogram is asked for".to_owned());
        };
        let name = metric(&promql);
        for (unit, other) in [("_milliseconds_", "_seconds_"), ("_seconds_", "_milliseconds_")] {
            let cousin = name.replace(unit, other);
            if cousin != name && !self.ask(&promql.replace(&name, &cousin)).await?.is_empty() {
                let (theirs, ours) = (other.trim_matches('_'), unit.trim_matches('_'));
                return Ok(format!(
                    "wrong unit: Prometheus has {cousin}, in {theirs}; the preset reads {name}, in {ours}"
                ));
            }
        }
        let bucketed = format!("{name}_bucket");
        let found = self.ask(&promql).await?;
        if found.is_empty() && !self.ask(&promql.replace(&name, &bucketed)).await?.is_empty() {
            return Ok(format!(
                "Prometheus has {bucketed}, a classic histogram, and no {name}: correct metrics.buckets to {bucketed}"
            ));
        }
        let series = found.len();
        // A native histogram has no value, and no bounds as labels.
        let is_nonsense = |sample: &&Sample| {
            sample.labels.contains_key("le") && !(sample.value >= 0.0 && sample.value.is_finite())
        };
        if let Some(nonsense) = found.iter().find(is_nonsense) {
            return Ok(format!(
                "{name} of {} is counted as {}, which no counter can say: look at that exporter, and at rules that record its \
                 series. Errors are judged all the same",
                exporter(nonsense, arm.source),
                nonsense.value
            ));
        }
        if series > 0 {
            return Ok(format!(
                "{name} has {series} series of this arm, and they are no histogram that can be read: its buckets need le labels, \
                 the last of them +Inf, counts that do not fall from one bound to the next nor with time, and bounds that both \
                 arms have"
            ));
        }
        if !arm.source.latency_labels.is_empty() {
            let everything = ArmSource {
                latency_labels: BTreeMap::new(),
                ..arm.source.clone()
            };
            let all = Selector {
                ask: arm.ask,
                source: &everything,
            };
            if let Some(all) = all.promql("latency", &BTreeMap::new())?
                && !self.ask(&all).await?.is_empty()
            {
                let labels = arm.source.latency_labels.keys().cloned().collect::<Vec<_>>();
                return Ok(format!(
                    "latencyLabels leaves none of the durations of {name} that this arm has: correct {}",
                    labels.join(", ")
                ));
            }
        }
        if let Some(native) = name.strip_suffix("_bucket")
            && arm.source.metrics.is_some()
            && !self.ask(&promql.replace(&name, native)).await?.is_empty()
        {
            return Ok(format!(
                "Prometheus has {native}, a native histogram, and no {name}: correct metrics.buckets to {native}"
            ));
        }
        if self.ask(&format!("count({name})")).await?.is_empty() {
            return Ok(format!(
                "no scrape: requests are counted, but Prometheus has no {name}. Switch the exporter's histogram on, or drop no series of it"
            ));
        }
        Ok(format!(
            "{name} has no series with this arm's labels, although its requests are counted"
        ))
    }
}

/// One arm's queries, with some labels matched otherwise.
struct Selector<'a> {
    ask: &'a Ask,
    source: &'a ArmSource,
}

impl Selector<'_> {
    /// Its own matchers and the preset's.
    fn labels(&self) -> BTreeMap<&str, &str> {
        let fixed = self.source.preset.facts().fixed.iter().copied();
        let own = self
            .source
            .labels
            .iter()
            .map(|(label, value)| (label.as_str(), value.as_str()));
        fixed.chain(own).collect()
    }

    /// Control is selected by the same value of this label.
    fn of_control(&self, label: &str) -> bool {
        let control = self.ask.arms.control.as_ref().filter(|c| *c != self.source);
        control.is_some_and(|c| c.labels.get(label) == self.source.labels.get(label))
    }

    fn requests(&self, over: &BTreeMap<&str, &str>) -> Result<String, Blindness> {
        Ok(self.promql("requests", over)?.unwrap_or_default())
    }

    fn promql(&self, part: &str, over: &BTreeMap<&str, &str>) -> Result<Option<String>, Blindness> {
        let mut ask = self.ask.clone();
        ask.arms.canary = self.source.clone();
        ask.arms.control = None;
        for (label, value) in over {
            ask.arms
                .canary
                .labels
                .insert((*label).to_owned(), (*value).to_owned());
        }
        let asked = queries(&ask).map_err(|error| Blindness {
            kind: Dark::Refused,
            message: error.to_string(),
        })?;
        Ok(asked
            .into_iter()
            .find(|(purpose, _)| purpose.ends_with(part))
            .map(|(_, promql)| promql))
    }
}

/// The name of what a query reads.
fn metric(promql: &str) -> String {
    let before = promql.split('{').next().unwrap_or_default();
    before.rsplit('(').next().unwrap_or_default().to_owned()
}

/// All of what a query reads, where it reads one thing.
fn selector(promql: &str) -> Option<String> {
    let (before, behind) = promql.split_once('{')?;
    let name = before.rsplit('(').next()?;
    let (matchers, rest) = behind.rsplit_once('}')?;
    (!matchers.contains('{') && !rest.contains('{')).then(|| format!("{name}{{{matchers}}}"))
}

/// The process that exports a series, by the labels that tell it.
fn exporter(sample: &Sample, source: &ArmSource) -> String {
    let names = source.preset.facts().exporter.iter();
    let values: Vec<&str> = names
        .filter_map(|name| sample.labels.get(*name).map(String::as_str))
        .collect();
    values.join(" ")
}

/// A matcher, and what there is instead.
fn blame(label: &str, value: &str, found: &[Sample]) -> String {
    let values: BTreeSet<&str> = found
        .iter()
        .filter_map(|sample| sample.labels.get(label).map(String::as_str))
        .collect();
    let wrong = format!("wrong label: {label}: {value:?} matches nothing");
    if values.is_empty() {
        return format!("{wrong}; the series have no label {label}");
    }
    let shown: Vec<String> = values
        .iter()
        .take(NAMED)
        .map(|value| format!("{value:?}"))
        .collect();
    let more = values.len().saturating_sub(NAMED);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!("{wrong}; there is {}{more}", shown.join(", "))
}

/// A rollback limit above control's that these bounds cannot show: nothing would put a slower canary back.
fn too_coarse(rule: &CheckRule, track: &Track, ask: &Ask) -> Option<Missing> {
    let increase = rule.rollback.as_ref()?.max_increase?;
    let (bounds, control) = (&track.bounds_ms, &track.control.latency);
    let hides = !rule.by_history && slower_is_hidden(bounds, control, rule.quantile, 1.0 + increase.ratio());
    hides.then(|| {
        Missing::check(
            &rule.name,
            format!(
                "its rollback limit of +{increase} cannot be judged, because nearly all of control's requests may be as slow as that as \
                 far as these buckets tell, and a canary that is slower stays: {}",
                remedy(ask.arms.canary.preset)
            ),
        )
    })
}

/// Durations that all lie on one side of the bounds are in another unit than the preset reads.
fn one_sided(arm: &Arm, bounds_ms: &[f64], preset: Preset) -> Option<String> {
    let (first, last) = (*bounds_ms.first()?, *bounds_ms.last()?);
    let all: u64 = arm.latency.iter().sum();
    #[expect(clippy::cast_precision_loss, reason = "a share of requests")]
    let share = |count: Option<&u64>| *count.unwrap_or(&0) as f64 / all.max(1) as f64;
    let instant: u64 = arm
        .latency
        .iter()
        .zip(bounds_ms)
        .take_while(|(_, bound)| **bound <= NO_TIME_MS)
        .map(|(count, _)| count)
        .sum();
    let says = if last > NO_WAIT_MS {
        format!(
            "the largest bound is {}s, and nobody waits so long for an answer",
            last / 1000.0
        )
    } else if all > 0 && instant * 2 > all {
        format!("half of the requests take less than {NO_TIME_MS}ms, which no request through a proxy does")
    } else if share(arm.latency.first()) >= ONE_SIDED && first >= 1_000.0 {
        format!(
            "nearly all requests are faster than the smallest bound, {}s",
            first / 1000.0
        )
    } else if share(arm.latency.last()) >= ONE_SIDED && last <= 100.0 {
        format!("nearly all requests are slower than the largest bound, {last}ms")
    } else {
        return None;
    };
    Some(format!(
        "wrong unit, or bounds that do not fit this arm: {says}. Compare one request's duration with them: if they agree, \
         the limit cannot be judged with these bounds: {}",
        remedy(preset)
    ))
}

/// Histograms that can be compared only where they have bounds in common.
fn other_layouts([canary, control]: &[Vec<f64>; 2], preset: Preset) -> String {
    let shared = canary.iter().filter(|bound| control.contains(bound)).count();
    let only = |arm: &[f64], other: &[f64]| {
        let more: Vec<String> = arm
            .iter()
            .filter(|bound| !other.contains(bound))
            .take(NAMED)
            .map(|bound| format!("{bound}ms"))
            .collect();
        if more.is_empty() {
            "none".to_owned()
        } else {
            more.join(", ")
        }
    };
    format!(
        "the arms have different latency buckets, and are compared at the {shared} bounds that they share alone; the canary's \
         own are {}, control's {}. Give both the same: {}",
        only(canary, control),
        only(control, canary),
        remedy(preset)
    )
}

/// Checks that compare a quantile with control's where one of them is slower than any bucket can show.
fn beyond_the_last(rules: &[&CheckRule], track: &Track, preset: Preset) -> Vec<Missing> {
    let Some(last) = track.bounds_ms.last() else {
        return Vec::new();
    };
    let mut missing = Vec::new();
    for rule in rules {
        let limits = [rule.promote.as_ref(), rule.rollback.as_ref()];
        if limits
            .iter()
            .flatten()
            .all(|limits| limits.max_increase.is_none())
        {
            continue;
        }
        for (side, arm) in [("canary", &track.canary), ("control", &track.control)] {
            let all: u64 = arm.latency.iter().sum();
            #[expect(clippy::cast_precision_loss, reason = "a share of requests")]
            let share = *arm.latency.last().unwrap_or(&0) as f64 / all.max(1) as f64;
            if share > 1.0 - rule.quantile {
                let message = format!(
                    "{side}'s P{} lies beyond the largest bucket bound, {last}ms, so that nobody can tell how slow it is, nor \
                     compare it: {}",
                    (rule.quantile * 1e5).round() / 1e3,
                    remedy(preset)
                );
                missing.push(Missing::check(&rule.name, message));
            }
        }
    }
    missing
}

/// A latency limit in milliseconds, when it is one of its own and not relative to control.
fn max_ms(limits: &Limits) -> Option<f64> {
    let text = serde_json::to_value(limits)
        .ok()?
        .get("max")?
        .as_str()?
        .parse::<Span>()
        .ok()?;
    Some(text.0.as_secs_f64() * 1000.0)
}

/// Prometheus forgets a series that has had no sample for so long.
const GONE: SignedDuration = SignedDuration::from_mins(5);

/// A window that a late scrape empties.
pub(crate) fn short(rule: &CheckRule, period: Duration) -> Option<Missing> {
    let least = period * SCRAPES;
    let [(field, length), _] = {
        let mut both = [("for", rule.for_), ("window", rule.window)];
        both.sort_by_key(|(_, length)| *length);
        both
    };
    (length < least).then(|| Missing::check(&rule.name, too_short(field, length, period)))
}

pub(crate) fn too_short(field: &str, length: Duration, period: Duration) -> String {
    format!(
        "{field} {} is shorter than {SCRAPES} scrapes of {}: write at least {}",
        Span(length),
        Span(period),
        Span(period * SCRAPES)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_is_taken_out_of_a_query_that_has_one() {
        let one = selector("sum by (pod, le) (x_total{a=\"b\", c=~\"d|e(f)\"})");
        assert_eq!(one.as_deref(), Some("x_total{a=\"b\", c=~\"d|e(f)\"}"));
        assert_eq!(selector("x_total{a=\"b\"} or y_total{a=\"b\"}"), None);
        assert_eq!(selector("x_total"), None);
    }

    #[test]
    fn a_window_is_held_against_four_scrapes() {
        assert_eq!(
            too_short("window", Duration::from_secs(30), Duration::from_secs(10)),
            "window 30s is shorter than 4 scrapes of 10s: write at least 40s"
        );
    }
}
