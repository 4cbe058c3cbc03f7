//! The checks of one component in one phase, sorted by where their values come from and by what they may do.

use super::read::short_digest;
use crate::rollout::check::{Bound, CheckRule, Limits};
use crate::rollout::quantity;
use crate::rollout::spec::{
    Action, BaselineKind, Component, Counters, Errors, MetricName, Probe, Query, Series, Severity,
};
use crate::rollout::weight::Percent;
use std::collections::BTreeMap;
use std::time::Duration;

/// Streams of counts beside the arms' own that one component may have: each is persisted in its status.
pub const STREAMS_MAX: usize = 2;

/// A check with every default filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedCheck {
    /// Its name, `for`, `window` and, for a counted or measured metric, its limits, relative ones as written.
    pub rule: CheckRule,
    /// What is measured.
    pub metric: MetricName,
    /// What it may do.
    pub effect: Effect,
    /// The components it is for; `None`: all.
    pub components: Option<Vec<String>>,
    /// What `maxIncrease` is held against; `None`: what the component says.
    pub baseline: Option<Against>,
    /// Where its values come from.
    pub source: CheckSource,
}

/// What relative limits are held against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Against {
    /// Control at the same time.
    Concurrent,
    /// Control before the rollout.
    History,
    /// A fixed value: a ratio, milliseconds, or the gauge's own unit.
    Fixed(f64),
}

/// What a check may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// What a breach does.
    pub action: Action,
    /// Judged and shown, and moves nothing.
    pub dry_run: bool,
    /// How loudly it is told.
    pub severity: Severity,
}

impl Effect {
    /// Whether somebody should look when it is in breach.
    pub fn is_loud(self) -> bool {
        !self.dry_run && self.severity != Severity::Info
    }

    /// What it may do to the traffic.
    pub const fn class(self) -> Class {
        match (self.dry_run, self.action) {
            (true, _) | (false, Action::Alert) => Class::Shows,
            (false, Action::Hold) => Class::Holds,
            (false, Action::Rollback) => Class::Decides,
        }
    }
}

/// What a check may do to the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// It keeps the weight from rising, and puts it back.
    Decides,
    /// It keeps the weight from rising.
    Holds,
    /// Nothing.
    Shows,
}

/// Where a check's values come from.
#[derive(Clone, Debug, PartialEq)]
pub enum CheckSource {
    /// The arms' requests.
    Arms,
    /// The arms' requests, with another idea of an error.
    Errors(Errors),
    /// A pair of counters.
    Pair(Pair),
    /// A value at an instant.
    Gauge(Gauge),
}

impl CheckSource {
    /// What is asked, without the limits that the answer is held to.
    fn digest(&self, probe: Option<&Probe>) -> u32 {
        match self {
            Self::Arms => 0,
            Self::Errors(errors) => short_digest(&("errors", errors)),
            Self::Pair(pair) => short_digest(&("pair", &pair.counters, &pair.series)),
            Self::Gauge(gauge) => match &gauge.ask {
                GaugeAsk::Cpu(series) => short_digest(&("cpu", series)),
                GaugeAsk::Memory(series) => short_digest(&("memory", series)),
                GaugeAsk::CertificateExpiry(series) => short_digest(&("certificate", series)),
                GaugeAsk::Readiness(deployment) => short_digest(&("readiness", deployment)),
                GaugeAsk::Probe => short_digest(&("probe", probe)),
                GaugeAsk::Query(query) => short_digest(&("query", query)),
            },
        }
    }
}

/// A pair of counters, and which of their series are meant. Rules on it are held to availability's limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The counters' names.
    pub counters: Counters,
    /// Their labels.
    pub series: Series,
}

/// A value at an instant, and the limits it is held to.
#[derive(Clone, Debug, PartialEq)]
pub struct Gauge {
    /// What is asked.
    pub ask: GaugeAsk,
    /// What must hold for the weight to rise; `None` when switched off.
    pub promote: Option<GaugeLimits>,
    /// What puts the traffic back; `None` when switched off.
    pub rollback: Option<GaugeLimits>,
}

/// What a gauge asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GaugeAsk {
    /// CPU of the busiest selected pod, in cores.
    Cpu(Series),
    /// Working set of the largest selected pod, in bytes.
    Memory(Series),
    /// Time until the first selected certificate expires, in seconds.
    CertificateExpiry(Series),
    /// Ready ÷ wanted replicas of this Deployment.
    Readiness(String),
    /// The component's probe, sent by the daemon itself.
    Probe,
    /// Any PromQL.
    Query(Query),
}

/// Limits of a gauge, in its unit. All that are given must hold.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GaugeLimits {
    /// Not above this.
    pub max: Option<f64>,
    /// Not below this.
    pub min: Option<f64>,
    /// Not this much above control's value, as a ratio.
    pub max_increase: Option<f64>,
}

/// Counts beside the ones that decide on the arms, and the checks that are held to them.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    /// The name of its first check: what its counts are kept under.
    pub key: String,
    /// Where the counts come from.
    pub source: CheckSource,
    /// What its checks may do.
    pub class: Class,
    /// Its checks.
    pub rules: Vec<CheckRule>,
}

/// The checks of one component in one phase.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CheckSet {
    /// All of them, in the order in which they are shown.
    pub checks: Vec<PlannedCheck>,
    /// Those that are counted on the arms and decide.
    pub rules: Vec<CheckRule>,
    /// Those that are counted apart.
    pub streams: Vec<Stream>,
    /// What streams, by their keys, and gauges, by their names, ask of the source, as digests: what was counted and
    /// measured is about these.
    pub asks: BTreeMap<String, u32>,
}

impl CheckSet {
    /// The checks that are for this component.
    pub(super) fn of(checks: &[PlannedCheck], component: &Component) -> Self {
        let mut set = Self::default();
        let mine = |c: &&PlannedCheck| {
            let names = c.components.as_ref();
            // One that is for all is for those that have a probe.
            (c.metric != MetricName::Probe || component.probe.is_some())
                && names.is_none_or(|names| names.contains(&component.name))
        };
        for check in checks.iter().filter(mine) {
            let check = check
                .clone()
                .with_baseline(component.baseline.unwrap_or_default());
            if !matches!(check.source, CheckSource::Gauge(_)) {
                set.count(&check);
            }
            set.checks.push(check);
        }
        set.asks = set.digests(component);
        set
    }

    fn digests(&self, component: &Component) -> BTreeMap<String, u32> {
        let probe = component.probe.as_ref();
        let streams = self.streams.iter().map(|s| (&s.key, &s.source));
        let gauges = self.checks.iter().map(|c| (&c.rule.name, &c.source));
        let gauges = gauges.filter(|(_, source)| matches!(source, CheckSource::Gauge(_)));
        let all = streams.chain(gauges);
        all.map(|(key, source)| (key.clone(), source.digest(probe)))
            .collect()
    }

    fn count(&mut self, check: &PlannedCheck) {
        let class = check.effect.class();
        let rule = check.rule.clone();
        if check.source == CheckSource::Arms && class == Class::Decides {
            self.rules.push(rule);
            return;
        }
        let known = self
            .streams
            .iter_mut()
            .find(|s| s.source == check.source && s.class == class);
        match known {
            Some(stream) => stream.rules.push(rule),
            None => self.streams.push(Stream {
                key: rule.name.clone(),
                source: check.source.clone(),
                class,
                rules: vec![rule],
            }),
        }
    }

    /// The gauges, with the checks they belong to.
    pub fn gauges(&self) -> impl Iterator<Item = (&PlannedCheck, &Gauge)> {
        self.checks.iter().filter_map(|check| match &check.source {
            CheckSource::Gauge(gauge) => Some((check, gauge)),
            CheckSource::Arms | CheckSource::Errors(_) | CheckSource::Pair(_) => None,
        })
    }

    /// A check by name.
    pub fn check(&self, name: &str) -> Option<&PlannedCheck> {
        self.checks.iter().find(|c| c.rule.name == name)
    }

    /// The names of the checks of the component's probe.
    pub fn probes(&self) -> impl Iterator<Item = &str> {
        self.gauges()
            .filter(|(_, gauge)| gauge.ask == GaugeAsk::Probe)
            .map(|(check, _)| check.rule.name.as_str())
    }

    /// Some check has a relative limit that is held against control's past.
    pub fn wants_history(&self) -> bool {
        let relative = |limits: &Option<Limits>| limits.is_some_and(|l| l.max_increase.is_some());
        let checks = self.checks.iter().map(|c| &c.rule);
        checks
            .filter(|rule| rule.by_history)
            .any(|rule| relative(&rule.promote) || relative(&rule.rollback))
    }

    /// Every check is counted on the arms and decides.
    pub fn is_plain(&self) -> bool {
        self.rules.len() == self.checks.len()
    }

    /// Over how many bodies of evidence the chance of a false rollback is split.
    pub fn deciding_streams(&self) -> u32 {
        let apart = self.streams.iter().filter(|s| s.class == Class::Decides);
        u32::try_from(apart.count()).unwrap_or(u32::MAX)
    }
}

impl PlannedCheck {
    /// Whether control's past can be asked for the values of this check.
    pub(super) fn has_history(&self) -> bool {
        matches!(self.metric, MetricName::ErrorRate | MetricName::Latency) && self.source == CheckSource::Arms
    }

    /// Relative limits as absolute ones, where they are held against a fixed value. A component's own wish is for
    /// the checks that can follow it.
    fn with_baseline(mut self, component: BaselineKind) -> Self {
        let fixed = match self.baseline {
            Some(Against::Fixed(fixed)) => fixed,
            Some(Against::Concurrent) => return self,
            Some(Against::History) => {
                self.rule.by_history = true;
                return self;
            }
            None => {
                self.rule.by_history = component == BaselineKind::History && self.has_history();
                return self;
            }
        };
        match &mut self.source {
            CheckSource::Gauge(gauge) => {
                for limits in [&mut gauge.promote, &mut gauge.rollback].into_iter().flatten() {
                    if let Some(more) = limits.max_increase.take() {
                        let limit = fixed * (1.0 + more);
                        limits.max = Some(limits.max.map_or(limit, |max| max.min(limit)));
                    }
                }
            }
            CheckSource::Arms | CheckSource::Errors(_) | CheckSource::Pair(_) => {
                let metric = self.metric;
                for limits in [&mut self.rule.promote, &mut self.rule.rollback]
                    .into_iter()
                    .flatten()
                {
                    fix(limits, metric, fixed);
                }
            }
        }
        self
    }

    /// The limits as they are written, promote and rollback: `max 0.1%`.
    pub fn limits_shown(&self) -> (String, String) {
        match &self.source {
            CheckSource::Gauge(gauge) => {
                let show = |limits: &Option<GaugeLimits>| {
                    let words = limits.map(|l| {
                        let part = |word: &str, v: Option<f64>| v.map(|v| format!("{word} {}", self.show(v)));
                        let more = l
                            .max_increase
                            .map(|m| format!("maxIncrease {}%", round(m * 100.0)));
                        [part("max", l.max), part("min", l.min), more]
                    });
                    joined(words)
                };
                (show(&gauge.promote), show(&gauge.rollback))
            }
            CheckSource::Arms | CheckSource::Errors(_) | CheckSource::Pair(_) => {
                let show = |limits: &Option<Limits>| {
                    let words = limits.map(|l| {
                        [
                            l.max.map(|v| format!("max {v}")),
                            l.min.map(|v| format!("min {v}")),
                            l.max_increase.map(|v| {
                                let over = if self.rule.by_history { " over history" } else { "" };
                                format!("maxIncrease {v}{over}")
                            }),
                        ]
                    });
                    joined(words)
                };
                (show(&self.rule.promote), show(&self.rule.rollback))
            }
        }
    }

    /// A gauge's value for people, with its unit.
    pub fn show(&self, value: f64) -> String {
        match self.metric {
            MetricName::Cpu => quantity::show_cores(value),
            MetricName::Memory => quantity::show_bytes(value),
            MetricName::Readiness | MetricName::Probe => format!("{}%", round(value * 100.0)),
            MetricName::CertificateExpiry => show_time(value),
            MetricName::ErrorRate
            | MetricName::Latency
            | MetricName::Availability
            | MetricName::Throughput
            | MetricName::ConnectionSuccess
            | MetricName::TlsHandshake
            | MetricName::Query => quantity::trimmed(value),
        }
    }
}

fn joined(words: Option<[Option<String>; 3]>) -> String {
    let words: Vec<String> = words.into_iter().flatten().flatten().collect();
    if words.is_empty() {
        "none".to_owned()
    } else {
        words.join(", ")
    }
}

fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Seconds left, to the two largest units that matter to people.
fn show_time(seconds: f64) -> String {
    if seconds < 0.0 {
        return "expired".to_owned();
    }
    let unit = if seconds >= 172_800.0 { 3600.0 } else { 60.0 };
    let whole = Duration::try_from_secs_f64((seconds / unit).floor() * unit).unwrap_or(Duration::MAX);
    crate::rollout::duration::Span(whole).to_string()
}

/// Turns `maxIncrease` into a `max`, the stricter one where both are given.
fn fix(limits: &mut Limits, metric: MetricName, fixed: f64) {
    let Some(more) = limits.max_increase.take() else {
        return;
    };
    let limit = fixed * (1.0 + more.ratio());
    let limit = match metric {
        MetricName::Latency => {
            Bound::Time(Duration::try_from_secs_f64(limit / 1000.0).unwrap_or(Duration::MAX))
        }
        MetricName::ErrorRate
        | MetricName::Availability
        | MetricName::Throughput
        | MetricName::ConnectionSuccess
        | MetricName::TlsHandshake
        | MetricName::Cpu
        | MetricName::Memory
        | MetricName::Readiness
        | MetricName::Probe
        | MetricName::CertificateExpiry
        | MetricName::Query => {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a positive percentage, and `as` saturates"
            )]
            let millis = (limit * 100_000.0).round() as u32;
            Bound::Percent(Percent::from_millis(millis))
        }
    };
    limits.max = match (limits.max, limit) {
        (Some(Bound::Time(a)), Bound::Time(b)) => Some(Bound::Time(a.min(b))),
        (Some(Bound::Percent(a)), Bound::Percent(b)) => Some(Bound::Percent(a.min(b))),
        _ => Some(limit),
    };
}
