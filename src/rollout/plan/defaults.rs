//! The checks that apply when nothing is written: the migration plan's own numbers.

use super::limits::gauge_defaults;
use super::set::{CheckSource, Effect, Gauge, GaugeAsk, PlannedCheck};
use crate::rollout::check::{Bound, CheckRule, Limits, Metric};
use crate::rollout::spec::{Counters, MetricName};
use crate::rollout::weight::Percent;
use std::time::Duration;

fn max(millis: u32) -> Limits {
    Limits {
        max: Some(Bound::Percent(Percent::from_millis(millis))),
        ..Limits::default()
    }
}

fn min(millis: u32) -> Limits {
    Limits {
        min: Some(Percent::from_millis(millis)),
        ..Limits::default()
    }
}

fn more(millis: u32) -> Limits {
    Limits {
        max_increase: Some(Percent::from_millis(millis)),
        ..Limits::default()
    }
}

/// The default of a metric, under a name. Gauges have no limits here: they are read beside their source.
pub(super) fn default_check(name: &str, metric: MetricName) -> PlannedCheck {
    let (judged, promote, rollback) = match metric {
        MetricName::ErrorRate => (Metric::ErrorRate, Some(max(100)), Some(max(1000))),
        MetricName::Latency => (Metric::Latency, Some(more(15_000)), Some(more(50_000))),
        MetricName::Availability | MetricName::ConnectionSuccess | MetricName::TlsHandshake => {
            (Metric::Availability, Some(min(99_900)), Some(min(99_000)))
        }
        MetricName::Throughput => (Metric::Throughput, Some(min(95_000)), None),
        MetricName::Cpu
        | MetricName::Memory
        | MetricName::Readiness
        | MetricName::Probe
        | MetricName::CertificateExpiry
        | MetricName::Query => (Metric::Availability, None, None),
    };
    let five_minutes = Duration::from_secs(300);
    // What answers nobody for two minutes is no blip.
    let for_ = if metric == MetricName::Probe {
        Duration::from_secs(120)
    } else {
        five_minutes
    };
    PlannedCheck {
        rule: CheckRule {
            name: name.to_owned(),
            metric: judged,
            quantile: 0.95,
            promote,
            rollback,
            for_,
            window: five_minutes,
            by_history: false,
            min_requests: 0,
        },
        metric,
        effect: Effect::default(),
        components: None,
        baseline: None,
        source: CheckSource::Arms,
    }
}

/// The check of a component's probe, where it has one.
pub(super) fn probe_check() -> PlannedCheck {
    let (promote, rollback) = gauge_defaults(MetricName::Probe);
    PlannedCheck {
        source: CheckSource::Gauge(Gauge {
            ask: GaugeAsk::Probe,
            promote,
            rollback,
        }),
        ..default_check("probe", MetricName::Probe)
    }
}

/// The checks that apply when nothing is written.
pub fn default_checks() -> Vec<PlannedCheck> {
    [
        ("errors", MetricName::ErrorRate),
        ("p95", MetricName::Latency),
        ("available", MetricName::Availability),
        ("throughput", MetricName::Throughput),
    ]
    .map(|(name, metric)| default_check(name, metric))
    .into()
}

/// Envoy's counters for a metric that is a pair of them.
pub(super) fn default_counters(metric: MetricName) -> Counters {
    if metric == MetricName::TlsHandshake {
        return Counters {
            total: None,
            succeeded: Some("envoy_listener_ssl_handshake".to_owned()),
            failed: "envoy_listener_ssl_connection_error".to_owned(),
        };
    }
    Counters {
        total: Some("envoy_cluster_upstream_cx_total".to_owned()),
        succeeded: None,
        failed: "envoy_cluster_upstream_cx_connect_fail".to_owned(),
    }
}
