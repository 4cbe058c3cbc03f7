//! Reading checks: overrides by name over what was there before.

use super::defaults::default_check;
use super::read::{NO_PAST, Reader};
use super::set::{Against, CheckSet, CheckSource, Class, Effect, PlannedCheck, STREAMS_MAX};
use crate::rollout::duration::Span;
use crate::rollout::spec::{Check, Component, GradualRolloutSpec, MetricName};
use std::time::Duration;

/// So many checks fit into a component's status.
const CHECKS_MAX: usize = 32;

impl Reader {
    pub(super) fn checks(
        &mut self,
        path: &str,
        spec: &GradualRolloutSpec,
        base: Vec<PlannedCheck>,
        overrides: &[Check],
    ) -> Vec<PlannedCheck> {
        let mut rules = base;
        for (i, check) in overrides.iter().enumerate() {
            let at = format!("{path}[{i}]");
            self.known_components(&at, check, spec);
            let known = rules.iter().position(|r| r.rule.name == check.name);
            let base = known.and_then(|k| rules.get(k)).cloned();
            let Some(rule) = self.check(&at, check, base, spec) else {
                continue;
            };
            match known.and_then(|k| rules.get_mut(k)) {
                Some(slot) => *slot = rule,
                None => rules.push(rule),
            }
        }
        if rules.len() > CHECKS_MAX {
            let message = format!("{} checks, at most {CHECKS_MAX} fit into a status", rules.len());
            self.problem(path, message);
        }
        for component in &spec.components {
            let streams = CheckSet::of(&rules, component).streams;
            let apart: Vec<&str> = streams
                .iter()
                .filter(|s| s.source != CheckSource::Arms)
                .map(|s| s.key.as_str())
                .collect();
            if apart.len() > STREAMS_MAX {
                let message = format!(
                    "{} has {} checks with counts of their own ({}), at most {STREAMS_MAX} fit into its status: give some the same `errors`, or restrict them by `components`",
                    component.name,
                    apart.len(),
                    apart.join(", ")
                );
                self.problem(path, message);
                break;
            }
        }
        rules
    }

    fn known_components(&mut self, at: &str, check: &Check, spec: &GradualRolloutSpec) {
        for (j, name) in check.components.iter().flatten().enumerate() {
            if !spec.components.iter().any(|c| &c.name == name) {
                let known: Vec<&str> = spec.components.iter().map(|c| c.name.as_str()).collect();
                let message = format!("no component is named {name:?}; there are {}", known.join(", "));
                self.problem(format!("{at}.components[{j}]"), message);
            }
        }
    }

    fn check(
        &mut self,
        at: &str,
        check: &Check,
        base: Option<PlannedCheck>,
        spec: &GradualRolloutSpec,
    ) -> Option<PlannedCheck> {
        let metric = match (check.metric, &base) {
            (Some(metric), _) => metric,
            (None, Some(base)) => base.metric,
            (None, None) => {
                let message = format!(
                    "{:?} overrides no check of that name, so it must say its metric, like errorRate, latency or query",
                    check.name
                );
                self.problem(format!("{at}.metric"), message);
                return None;
            }
        };
        let mut planned = base
            .filter(|b| b.metric == metric)
            .unwrap_or_else(|| default_check(&check.name, metric));
        planned.components = check.components.clone().or(planned.components);
        planned.effect = Effect {
            action: check.action.unwrap_or(planned.effect.action),
            dry_run: check.dry_run.unwrap_or(planned.effect.dry_run),
            severity: check.severity.unwrap_or(planned.effect.severity),
        };
        self.baseline(at, check, &mut planned);
        let source = self.source(at, check, &planned)?;
        let (promote, rollback) = (check.promote.as_ref(), check.rollback.as_ref());
        match source {
            CheckSource::Gauge(gauge) => {
                let gauge = self.gauge(at, &planned, gauge, promote, rollback);
                planned.source = CheckSource::Gauge(gauge);
                if check.min_requests.is_some() {
                    let message = format!("{metric} counts no requests: leave it out");
                    self.problem(format!("{at}.minRequests"), message);
                }
            }
            CheckSource::Arms | CheckSource::Errors(_) | CheckSource::Pair(_) => {
                planned.source = source;
                let rule = &mut planned.rule;
                rule.promote = self.limit(&format!("{at}.promote"), metric, promote, rule.promote);
                rule.rollback = self.limit(&format!("{at}.rollback"), metric, rollback, rule.rollback);
                self.ordered(at, rule.promote.as_ref(), rule.rollback.as_ref());
            }
        }
        self.times(at, check, &mut planned);
        let rule = &planned.rule;
        if metric == MetricName::Throughput
            && rule.rollback.is_some()
            && planned.effect.class() == Class::Decides
            && rule.for_ < rule.window
        {
            let message = format!(
                "{} is shorter than the window, {}: windows that overlap are one accident seen again and again, so that healthy \
                 canaries would go back; write at least {1}, a shorter window, or rollback: none",
                Span(rule.for_),
                Span(rule.window)
            );
            self.problem(format!("{at}.for"), message);
        }
        self.past(at, &planned, spec);
        let asks = |c: &&Component| {
            check
                .components
                .as_ref()
                .is_none_or(|names| names.contains(&c.name))
        };
        let mut asked = spec.components.iter().filter(asks);
        let missing = match &check.components {
            None => asked.all(|c| c.probe.is_none()),
            Some(_) => asked.any(|c| c.probe.is_none()),
        };
        if metric == MetricName::Probe && missing {
            let message = "there is nothing to send: give its components a probe, like probe: {url: http://shop-v2/healthz}";
            self.problem(format!("{at}.metric"), message);
        }
        Some(planned)
    }

    fn times(&mut self, at: &str, check: &Check, planned: &mut PlannedCheck) {
        let rule = &mut planned.rule;
        rule.quantile = check.quantile.unwrap_or(rule.quantile);
        if !(rule.quantile > 0.0 && rule.quantile < 1.0) {
            self.problem(
                format!("{at}.quantile"),
                format!("{} is no quantile: write one like 0.95", rule.quantile),
            );
        }
        rule.window = match (check.window, check.for_) {
            (Some(window), _) => window.0,
            (None, Some(for_)) => for_.0,
            (None, None) => rule.window,
        };
        rule.for_ = check.for_.map_or(rule.for_, |s| s.0);
        // A window that nobody wrote follows `for`: what is wrong with it is wrong with that.
        let follows = check.window.is_none() && check.for_.is_some();
        let windows = (!follows).then_some(("window", rule.window));
        for (field, length) in [("for", rule.for_)].into_iter().chain(windows) {
            if length.is_zero() || length > Duration::from_secs(24 * 3600) {
                self.problem(format!("{at}.{field}"), "must be between 1ms and 24h");
            }
        }
        rule.min_requests = check
            .min_requests
            .map_or(rule.min_requests, |n| u64::try_from(n).unwrap_or(0));
    }

    fn baseline(&mut self, at: &str, check: &Check, planned: &mut PlannedCheck) {
        let Some(written) = &check.baseline else { return };
        let path = format!("{at}.baseline");
        let metric = planned.metric;
        planned.baseline = match written.0.as_str() {
            "concurrent" => Some(Against::Concurrent),
            "history" if has_increase(metric) => Some(Against::History),
            _ if !has_increase(metric) => {
                self.problem(
                    path,
                    format!("{metric} has no maxIncrease to hold against it: leave it out"),
                );
                None
            }
            _ => self
                .in_unit(&path, metric, written)
                .filter(|value| {
                    let sound = *value > 0.0;
                    if !sound {
                        self.problem(path, "must be above 0: a share above nothing means nothing");
                    }
                    sound
                })
                .map(Against::Fixed),
        };
    }

    /// Whether there is a past that the check can be held against.
    fn past(&mut self, at: &str, planned: &PlannedCheck, spec: &GradualRolloutSpec) {
        if planned.baseline != Some(Against::History) {
            return;
        }
        let path = format!("{at}.baseline");
        if !planned.has_history() {
            let message = "history is kept of errorRate and latency as they are counted by default: leave `errors` \
                           out, or write concurrent or a fixed value in the metric's unit";
            self.problem(path, message);
            return;
        }
        let is_for = |name: &String| planned.components.as_ref().is_none_or(|c| c.contains(name));
        let without = |c: &&Component| c.arms.as_ref().is_some_and(|arms| arms.control.is_none());
        let mut members = spec.components.iter().filter(|c| is_for(&c.name));
        if let Some(component) = members.find(without) {
            let name = &component.name;
            self.problem(path, format!("{name}: {NO_PAST}"));
        }
    }
}

/// Whether a metric can be held against another value of it.
fn has_increase(metric: MetricName) -> bool {
    matches!(
        metric,
        MetricName::ErrorRate
            | MetricName::Latency
            | MetricName::Cpu
            | MetricName::Memory
            | MetricName::Query
    )
}
