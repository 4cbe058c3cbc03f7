//! Reading limits: each in its metric's unit, and strict enough to make sense together.

use super::read::Reader;
use super::set::{Against, CheckSource, Gauge, GaugeAsk, GaugeLimits, PlannedCheck};
use crate::rollout::check::{Bound, Limits};
use crate::rollout::duration::Span;
use crate::rollout::quantity;
use crate::rollout::spec::{Limit, MetricName, Written, WrittenLimits};
use crate::rollout::weight::Percent;
use std::time::Duration;

/// A latency limit beyond this is surely minutes written for milliseconds.
const SLOWEST: Duration = Duration::from_secs(3600);

impl Reader {
    /// Limits of a counted or measured metric.
    pub(super) fn limit(
        &mut self,
        at: &str,
        metric: MetricName,
        asked: Option<&Limit>,
        base: Option<Limits>,
    ) -> Option<Limits> {
        let written = match asked {
            None => return base,
            Some(Limit::Off(_)) => return None,
            Some(Limit::At(limits)) => limits,
        };
        self.some_limit(at, written);
        let given = [
            ("min", written.min.is_some()),
            ("max", written.max.is_some()),
            ("maxIncrease", written.max_increase.is_some()),
        ];
        let (allowed, message): (&[&str], _) = match metric {
            MetricName::ErrorRate => (&["max", "maxIncrease"], "an error rate has a max"),
            MetricName::Latency => (&["max", "maxIncrease"], "latency has a max"),
            MetricName::Availability
            | MetricName::Throughput
            | MetricName::ConnectionSuccess
            | MetricName::TlsHandshake
            | MetricName::Cpu
            | MetricName::Memory
            | MetricName::Readiness
            | MetricName::Probe
            | MetricName::CertificateExpiry
            | MetricName::Query => (&["min"], "this metric has a min"),
        };
        let wrong = given
            .into_iter()
            .find(|(field, given)| *given && !allowed.contains(field))
            .map(|(field, _)| (field, message));
        if let Some((field, message)) = wrong {
            self.problem(format!("{at}.{field}"), message);
            return None;
        }
        let max = written.max.as_ref().and_then(|text| {
            let path = format!("{at}.max");
            if metric == MetricName::Latency {
                self.latency(&path, text).map(Bound::Time)
            } else {
                self.percent(&path, text).map(Bound::Percent)
            }
        });
        let min = written
            .min
            .as_ref()
            .and_then(|text| self.percent(&format!("{at}.min"), text));
        if min.is_some_and(|m| m > Percent::from_millis(100_000)) {
            self.problem(format!("{at}.min"), "more than 100% can never be reached");
        }
        if matches!(max, Some(Bound::Percent(m)) if m >= Percent::from_millis(100_000)) {
            let message = "no more than 100% of the requests can fail, so this limit is never passed: write a smaller one, or `none` to switch it off";
            self.problem(format!("{at}.max"), message);
        }
        Some(Limits {
            max,
            min,
            max_increase: written.max_increase,
        })
    }

    fn some_limit(&mut self, at: &str, written: &WrittenLimits) {
        if *written == WrittenLimits::default() {
            self.problem(
                at,
                "names no limit; write max, min or maxIncrease, or `none` to switch it off",
            );
        }
    }

    fn percent(&mut self, path: &str, Written(text): &Written) -> Option<Percent> {
        let percent = text.parse::<Percent>().ok();
        if percent.is_none() {
            let message = format!("{text:?} is no percentage, and this limit is one: write it like \"0.1%\"");
            self.problem(path, message);
        }
        percent
    }

    fn latency(&mut self, path: &str, Written(text): &Written) -> Option<Duration> {
        if text.ends_with('%') {
            let message = "a latency limit is a time, like \"150ms\"; for a percentage use maxIncrease";
            self.problem(path, message);
            return None;
        }
        match text.parse::<Span>() {
            Ok(Span(time)) if time.is_zero() || time > SLOWEST => {
                let message =
                    format!("{text:?} is not between 1ms and 1h: `m` is minutes, `ms` milliseconds");
                self.problem(path, message);
                None
            }
            Ok(Span(time)) => Some(time),
            Err(_) if is_fraction(text) => {
                let message = format!(
                    "{text:?} is a fraction, and times are written in whole numbers: take the smaller unit, like \"200ms\" for 0.2s; \
                     histograms do not tell less than 1ms apart"
                );
                self.problem(path, message);
                None
            }
            Err(_) => {
                let message = format!(
                    "{text:?} is no time, and a latency limit is one: write its unit, like \"150ms\" or \"2s\""
                );
                self.problem(path, message);
                None
            }
        }
    }

    /// Gives a gauge its limits.
    pub(super) fn gauge(
        &mut self,
        at: &str,
        rule: &PlannedCheck,
        gauge: Gauge,
        promote: Option<&Limit>,
        rollback: Option<&Limit>,
    ) -> Gauge {
        let metric = rule.metric;
        let fresh = !matches!(rule.source, CheckSource::Gauge(_));
        let (mut base_promote, mut base_rollback) = (gauge.promote, gauge.rollback);
        if fresh {
            (base_promote, base_rollback) = gauge_defaults(metric);
        }
        let gauge = Gauge {
            promote: self.gauge_limit(&format!("{at}.promote"), metric, promote, base_promote),
            rollback: self.gauge_limit(&format!("{at}.rollback"), metric, rollback, base_rollback),
            ..gauge
        };
        let off = |limit: Option<&Limit>| matches!(limit, Some(Limit::Off(_)));
        if gauge.promote.is_none() && gauge.rollback.is_none() && !(off(promote) && off(rollback)) {
            let message = format!("{metric} has no limits by default: give promote, rollback or both");
            self.problem(at, message);
        }
        let relative = |l: &GaugeLimits| l.max_increase.is_some();
        let compared =
            gauge.promote.as_ref().is_some_and(relative) || gauge.rollback.as_ref().is_some_and(relative);
        if compared && !matches!(rule.baseline, Some(Against::Fixed(_))) && !has_control(&gauge.ask) {
            let message = "maxIncrease needs something to compare with: name the control series or query, or a fixed baseline";
            self.problem(at, message);
        }
        self.gauge_ordered(at, gauge.promote.as_ref(), gauge.rollback.as_ref());
        gauge
    }

    fn gauge_limit(
        &mut self,
        at: &str,
        metric: MetricName,
        asked: Option<&Limit>,
        base: Option<GaugeLimits>,
    ) -> Option<GaugeLimits> {
        let written = match asked {
            None => return base,
            Some(Limit::Off(_)) => return None,
            Some(Limit::At(limits)) => limits,
        };
        self.some_limit(at, written);
        let lowest = matches!(
            metric,
            MetricName::Readiness | MetricName::Probe | MetricName::CertificateExpiry
        );
        if lowest && (written.max.is_some() || written.max_increase.is_some()) {
            self.problem(at, format!("{metric} has a min"));
            return None;
        }
        let mut read = |field: &str, text: Option<&Written>| {
            text.and_then(|text| self.in_unit(&format!("{at}.{field}"), metric, text))
        };
        let limits = GaugeLimits {
            max: read("max", written.max.as_ref()),
            min: read("min", written.min.as_ref()),
            max_increase: written.max_increase.map(Percent::ratio),
        };
        if matches!((limits.min, limits.max), (Some(min), Some(max)) if min > max) {
            self.problem(at, "its min is above its max: no value is within both");
        }
        Some(limits)
    }

    /// A value in the metric's unit: a ratio, milliseconds, cores, bytes, seconds or a plain number.
    pub(super) fn in_unit(&mut self, path: &str, metric: MetricName, written: &Written) -> Option<f64> {
        let Written(text) = written;
        let (value, unit) = match metric {
            MetricName::Latency => return Some(self.latency(path, written)?.as_secs_f64() * 1000.0),
            MetricName::Cpu => (
                quantity::cores(text),
                "an amount of CPU, like \"200m\" or \"1.5\" cores",
            ),
            MetricName::Memory => (
                quantity::bytes(text),
                "an amount of memory, like \"128Mi\" or \"1G\"",
            ),
            MetricName::CertificateExpiry => (
                text.parse::<Span>().ok().map(|s| s.0.as_secs_f64()),
                "a time with its unit, like \"14d\" or \"36h\"",
            ),
            MetricName::Query => (
                quantity::number(text),
                "a plain number in the query's own unit, like \"0.95\"",
            ),
            MetricName::ErrorRate
            | MetricName::Availability
            | MetricName::Throughput
            | MetricName::ConnectionSuccess
            | MetricName::TlsHandshake
            | MetricName::Probe
            | MetricName::Readiness => return Some(self.percent(path, written)?.ratio()),
        };
        if value.is_none() {
            self.problem(path, format!("{text:?} is not {unit}: {metric} is held to one"));
        }
        // Kubernetes reads a number without a unit as bytes. No program fits into so few.
        if metric == MetricName::Memory && value.is_some_and(|bytes| bytes < 1024.0) {
            let message =
                format!("{text:?} is less than a kilobyte: write its unit, like \"128Mi\" or \"1G\"");
            self.problem(path, message);
            return None;
        }
        value
    }

    /// A rollback limit inside the promote limit would roll back what may be promoted.
    pub(super) fn ordered(&mut self, at: &str, promote: Option<&Limits>, rollback: Option<&Limits>) {
        let (Some(promote), Some(rollback)) = (promote, rollback) else {
            return;
        };
        let over = |p: Option<Bound>, r: Option<Bound>| match (p, r) {
            (Some(Bound::Percent(p)), Some(Bound::Percent(r))) => p > r,
            (Some(Bound::Time(p)), Some(Bound::Time(r))) => p > r,
            _ => false,
        };
        let clash = over(promote.max, rollback.max)
            || matches!((promote.min, rollback.min), (Some(p), Some(r)) if p < r)
            || matches!((promote.max_increase, rollback.max_increase), (Some(p), Some(r)) if p > r);
        if clash {
            self.problem(at, CLASH);
        }
    }

    fn gauge_ordered(&mut self, at: &str, promote: Option<&GaugeLimits>, rollback: Option<&GaugeLimits>) {
        let (Some(promote), Some(rollback)) = (promote, rollback) else {
            return;
        };
        let above = |p: Option<f64>, r: Option<f64>| matches!((p, r), (Some(p), Some(r)) if p > r);
        let clash = above(promote.max, rollback.max)
            || above(rollback.min, promote.min)
            // Whatever is good enough for the one is past the other.
            || above(promote.min, rollback.max)
            || above(rollback.min, promote.max)
            || above(promote.max_increase, rollback.max_increase);
        if clash {
            self.problem(at, CLASH);
        }
    }
}

const CLASH: &str = "the promote limit must be the stricter one; now a value could be good enough to promote and bad enough to roll back";

pub(super) fn gauge_defaults(metric: MetricName) -> (Option<GaugeLimits>, Option<GaugeLimits>) {
    let min = |min: f64| {
        Some(GaugeLimits {
            min: Some(min),
            ..GaugeLimits::default()
        })
    };
    if metric == MetricName::Readiness {
        (min(1.0), min(0.5))
    } else if metric == MetricName::Probe {
        (min(0.99), min(0.5))
    } else if metric == MetricName::CertificateExpiry {
        (min(14.0 * 86_400.0), None)
    } else {
        (None, None)
    }
}

fn has_control(ask: &GaugeAsk) -> bool {
    match ask {
        GaugeAsk::Cpu(series) | GaugeAsk::Memory(series) | GaugeAsk::CertificateExpiry(series) => {
            series.control.is_some()
        }
        GaugeAsk::Query(query) => query.control.is_some(),
        GaugeAsk::Readiness(_) | GaugeAsk::Probe => false,
    }
}

/// A number with a point and a unit.
fn is_fraction(text: &str) -> bool {
    let number = text.trim_end_matches(|c: char| c.is_ascii_lowercase());
    number.len() < text.len() && number.contains('.') && number.parse::<f64>().is_ok()
}
