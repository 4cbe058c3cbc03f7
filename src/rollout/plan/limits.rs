//! Reading checks: overrides by name over what was there before, and limits that make sense together.

use super::defaults::default_check;
use super::read::Reader;
use crate::rollout::check::{Bound, CheckRule, Limits, Metric};
use crate::rollout::spec::{Check, Limit};
use crate::rollout::weight::Percent;
use std::time::Duration;

impl Reader {
    pub(super) fn checks(&mut self, path: &str, base: Vec<CheckRule>, overrides: &[Check]) -> Vec<CheckRule> {
        let mut rules = base;
        for (i, check) in overrides.iter().enumerate() {
            let at = format!("{path}[{i}]");
            let known = rules.iter().position(|r| r.name == check.name);
            let base = known.and_then(|k| rules.get(k)).cloned();
            let Some(rule) = self.check(&at, check, base) else {
                continue;
            };
            match known.and_then(|k| rules.get_mut(k)) {
                Some(slot) => *slot = rule,
                None => rules.push(rule),
            }
        }
        rules
    }

    fn check(&mut self, at: &str, check: &Check, base: Option<CheckRule>) -> Option<CheckRule> {
        let metric = match (check.metric, &base) {
            (Some(metric), _) => metric,
            (None, Some(base)) => base.metric,
            (None, None) => {
                let message = format!(
                    "{:?} overrides no check of that name, so it must say its metric: errorRate, latency, availability or throughput",
                    check.name
                );
                self.problem(format!("{at}.metric"), message);
                return None;
            }
        };
        let base = base
            .filter(|b| b.metric == metric)
            .unwrap_or_else(|| default_check(&check.name, metric));
        let quantile = check.quantile.unwrap_or(base.quantile);
        if !(quantile > 0.0 && quantile < 1.0) {
            self.problem(
                format!("{at}.quantile"),
                format!("{quantile} is no quantile: write one like 0.95"),
            );
        }
        let promote = self.limit(&format!("{at}.promote"), metric, check.promote, base.promote);
        let rollback = self.limit(&format!("{at}.rollback"), metric, check.rollback, base.rollback);
        self.ordered(at, promote.as_ref(), rollback.as_ref());
        let for_ = check.for_.map_or(base.for_, |s| s.0);
        let window = check
            .window
            .map_or(if check.for_.is_some() { for_ } else { base.window }, |s| s.0);
        for (field, length) in [("for", for_), ("window", window)] {
            if length.is_zero() || length > Duration::from_secs(24 * 3600) {
                self.problem(format!("{at}.{field}"), "must be between 1ms and 24h");
            }
        }
        let min_requests = check
            .min_requests
            .map_or(base.min_requests, |n| u64::try_from(n).unwrap_or(0));
        Some(CheckRule {
            name: check.name.clone(),
            metric,
            quantile,
            promote,
            rollback,
            for_,
            window,
            min_requests,
        })
    }

    fn limit(
        &mut self,
        at: &str,
        metric: Metric,
        asked: Option<Limit>,
        base: Option<Limits>,
    ) -> Option<Limits> {
        let limits = match asked {
            None => return base,
            Some(Limit::Off(_)) => return None,
            Some(Limit::At(limits)) => limits,
        };
        if limits == Limits::default() {
            self.problem(
                at,
                "names no limit; write max, min or maxIncrease, or `none` to switch it off",
            );
        }
        let wrong = match (metric, &limits) {
            (Metric::ErrorRate, Limits { min: Some(_), .. }) => Some(("min", "an error rate has a max")),
            (
                Metric::ErrorRate,
                Limits {
                    max: Some(Bound::Time(_)),
                    ..
                },
            ) => Some(("max", "an error rate's limit is a percentage, like \"1%\"")),
            (Metric::Latency, Limits { min: Some(_), .. }) => Some(("min", "latency has a max")),
            (
                Metric::Latency,
                Limits {
                    max: Some(Bound::Percent(_)),
                    ..
                },
            ) => Some((
                "max",
                "a latency limit is a time, like \"150ms\"; for a percentage use maxIncrease",
            )),
            (Metric::Availability | Metric::Throughput, Limits { max: Some(_), .. }) => {
                Some(("max", "this metric has a min"))
            }
            (
                Metric::Availability | Metric::Throughput,
                Limits {
                    max_increase: Some(_),
                    ..
                },
            ) => Some(("maxIncrease", "this metric has a min")),
            _ => None,
        };
        if let Some((field, message)) = wrong {
            self.problem(format!("{at}.{field}"), message);
        }
        if limits.min.is_some_and(|m| m > Percent::from_millis(100_000)) {
            self.problem(format!("{at}.min"), "more than 100% can never be reached");
        }
        Some(limits)
    }

    /// A rollback limit inside the promote limit would roll back what may be promoted.
    fn ordered(&mut self, at: &str, promote: Option<&Limits>, rollback: Option<&Limits>) {
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
            self.problem(at, "the promote limit must be the stricter one; now a value could be good enough to promote and bad enough to roll back");
        }
    }
}
