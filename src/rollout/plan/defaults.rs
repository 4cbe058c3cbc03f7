//! The checks that apply when nothing is written: the migration plan's own numbers.

use crate::rollout::check::{Bound, CheckRule, Limits, Metric};
use crate::rollout::weight::Percent;
use std::time::Duration;

/// The default of a metric, under a name.
pub(super) fn default_check(name: &str, metric: Metric) -> CheckRule {
    let percent = |millis| Some(Bound::Percent(Percent::from_millis(millis)));
    let (promote, rollback) = match metric {
        Metric::ErrorRate => (
            Limits {
                max: percent(100),
                ..Limits::default()
            },
            Some(Limits {
                max: percent(1000),
                ..Limits::default()
            }),
        ),
        Metric::Latency => (
            Limits {
                max_increase: Some(Percent::from_millis(15_000)),
                ..Limits::default()
            },
            Some(Limits {
                max_increase: Some(Percent::from_millis(50_000)),
                ..Limits::default()
            }),
        ),
        Metric::Availability => (
            Limits {
                min: Some(Percent::from_millis(99_900)),
                ..Limits::default()
            },
            Some(Limits {
                min: Some(Percent::from_millis(99_000)),
                ..Limits::default()
            }),
        ),
        Metric::Throughput => (
            Limits {
                min: Some(Percent::from_millis(95_000)),
                ..Limits::default()
            },
            None,
        ),
    };
    CheckRule {
        name: name.to_owned(),
        metric,
        quantile: 0.95,
        promote: Some(promote),
        rollback,
        for_: Duration::from_secs(300),
        window: Duration::from_secs(300),
        min_requests: 0,
    }
}

/// The checks that apply when nothing is written.
pub fn default_checks() -> Vec<CheckRule> {
    [
        ("errors", Metric::ErrorRate),
        ("p95", Metric::Latency),
        ("available", Metric::Availability),
        ("throughput", Metric::Throughput),
    ]
    .map(|(name, metric)| default_check(name, metric))
    .into()
}
