//! Reading where a check's values come from, and refusing what belongs to another metric.

use super::defaults::default_counters;
use super::promql;
use super::read::Reader;
use super::set::{CheckSource, Gauge, GaugeAsk, Pair, PlannedCheck};
use crate::rollout::spec::{Check, Counters, Errors, MetricName, Series};
use crate::rollout::template;

impl Reader {
    /// Where a check's values come from; `None` when it does not say, which is told. Gauges have no limits yet.
    pub(super) fn source(&mut self, at: &str, check: &Check, base: &PlannedCheck) -> Option<CheckSource> {
        let metric = base.metric;
        self.foreign_fields(at, check, metric);
        match metric {
            MetricName::ErrorRate | MetricName::Availability => Some(match &check.errors {
                Some(errors) => {
                    self.errors(&format!("{at}.errors"), errors);
                    CheckSource::Errors(errors.clone())
                }
                None => base.source.clone(),
            }),
            MetricName::Latency | MetricName::Throughput => Some(CheckSource::Arms),
            MetricName::ConnectionSuccess | MetricName::TlsHandshake => self.pair(at, check, base),
            MetricName::Cpu
            | MetricName::Memory
            | MetricName::CertificateExpiry
            | MetricName::Readiness
            | MetricName::Probe
            | MetricName::Query => {
                let ask = self.ask(at, check, base)?;
                let (promote, rollback) = match &base.source {
                    CheckSource::Gauge(gauge) => (gauge.promote, gauge.rollback),
                    CheckSource::Arms | CheckSource::Errors(_) | CheckSource::Pair(_) => (None, None),
                };
                Some(CheckSource::Gauge(Gauge {
                    ask,
                    promote,
                    rollback,
                }))
            }
        }
    }

    fn pair(&mut self, at: &str, check: &Check, base: &PlannedCheck) -> Option<CheckSource> {
        let known = match &base.source {
            CheckSource::Pair(pair) => Some(pair),
            CheckSource::Arms | CheckSource::Errors(_) | CheckSource::Gauge(_) => None,
        };
        let counters = check
            .counters
            .clone()
            .or_else(|| known.map(|p| p.counters.clone()))
            .unwrap_or_else(|| default_counters(base.metric));
        self.counters(&format!("{at}.counters"), &counters);
        let series = check.series.clone().or_else(|| known.map(|p| p.series.clone()));
        let series = self.series(at, base.metric, series)?;
        Some(CheckSource::Pair(Pair { counters, series }))
    }

    fn ask(&mut self, at: &str, check: &Check, base: &PlannedCheck) -> Option<GaugeAsk> {
        let known = match &base.source {
            CheckSource::Gauge(gauge) => Some(&gauge.ask),
            CheckSource::Arms | CheckSource::Errors(_) | CheckSource::Pair(_) => None,
        };
        if let (Some(known), None, None, None) = (known, &check.series, &check.query, &check.deployment) {
            return Some(known.clone());
        }
        match base.metric {
            MetricName::Readiness => {
                let Some(name) = &check.deployment else {
                    self.problem(
                        format!("{at}.deployment"),
                        "readiness is a Deployment's: name it, like \"{{component}}-v2\"",
                    );
                    return None;
                };
                self.template(&format!("{at}.deployment"), name, |text, v| {
                    let name = template::name(text, v)?;
                    if is_name(&name) {
                        return Ok(name);
                    }
                    Err(format!(
                        "{name:?} is no Deployment's name: lower-case letters, digits, - and . alone, and a letter or digit at both ends"
                    ))
                });
                Some(GaugeAsk::Readiness(name.clone()))
            }
            MetricName::Probe => Some(GaugeAsk::Probe),
            MetricName::Query => {
                let Some(query) = &check.query else {
                    let message = "the metric query needs its PromQL: query: {canary: '…'}";
                    self.problem(format!("{at}.query"), message);
                    return None;
                };
                for (arm, text) in [
                    ("canary", Some(&query.canary)),
                    ("control", query.control.as_ref()),
                ] {
                    let path = format!("{at}.query.{arm}");
                    if let Some(text) = text {
                        self.template(&path, text, template::promql);
                        if text.trim().is_empty() {
                            self.problem(path, "is empty: write PromQL that gives one value");
                        } else if let Some(message) = promql::problem(text) {
                            self.problem(path, message);
                        }
                    }
                }
                Some(GaugeAsk::Query(query.clone()))
            }
            MetricName::Cpu => self
                .series(at, base.metric, check.series.clone())
                .map(GaugeAsk::Cpu),
            MetricName::Memory => self
                .series(at, base.metric, check.series.clone())
                .map(GaugeAsk::Memory),
            MetricName::CertificateExpiry => self
                .series(at, base.metric, check.series.clone())
                .map(GaugeAsk::CertificateExpiry),
            MetricName::ErrorRate
            | MetricName::Latency
            | MetricName::Availability
            | MetricName::Throughput
            | MetricName::ConnectionSuccess
            | MetricName::TlsHandshake => None,
        }
    }

    fn series(&mut self, at: &str, metric: MetricName, series: Option<Series>) -> Option<Series> {
        let Some(series) = series else {
            let message = format!("{metric} needs its series: series: {{canary: {{label: value}}}}");
            self.problem(format!("{at}.series"), message);
            return None;
        };
        for (arm, labels) in [
            ("canary", Some(&series.canary)),
            ("control", series.control.as_ref()),
        ] {
            let Some(labels) = labels else { continue };
            if labels.is_empty() {
                let message = "without a label these are all series there are; name what tells them apart";
                self.problem(format!("{at}.series.{arm}"), message);
            }
            for (label, value) in labels {
                let path = format!("{at}.series.{arm}.{label}");
                self.template(&path, value, template::matcher);
            }
        }
        if series.control.as_ref() == Some(&series.canary) {
            let message = "both arms select the same series: name the labels that tell them apart, or leave control out";
            self.problem(format!("{at}.series.control"), message);
        }
        Some(series)
    }

    fn counters(&mut self, at: &str, counters: &Counters) {
        if counters.total.is_some() == counters.succeeded.is_some() {
            self.problem(at, "give either total, failed ones included, or succeeded");
        }
        let first = counters.total.as_ref().or(counters.succeeded.as_ref());
        if first == Some(&counters.failed) {
            let message = "is the very counter that counts what went well, or everything: name the one of failures alone";
            self.problem(format!("{at}.failed"), message);
        }
        let named = [
            ("total", counters.total.as_ref()),
            ("succeeded", counters.succeeded.as_ref()),
            ("failed", Some(&counters.failed)),
        ];
        for (field, name) in named {
            let Some(name) = name else { continue };
            let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
            let starts = |c: char| c.is_ascii_alphabetic() || c == '_' || c == ':';
            if !name.starts_with(starts) || !name.chars().all(legal) {
                let message = format!("{name:?} is no metric's name: labels belong under series");
                self.problem(format!("{at}.{field}"), message);
            }
        }
    }

    fn errors(&mut self, at: &str, errors: &Errors) {
        if *errors == Errors::default() {
            self.problem(at, "names nothing: give codes, grpc or flags, or leave it out");
        }
        let is_none = |list: Option<usize>| list.is_none_or(|n| n == 0);
        if errors.codes.as_ref().is_some_and(Vec::is_empty)
            && is_none(errors.grpc.as_ref().map(Vec::len))
            && is_none(errors.flags.as_ref().map(Vec::len))
        {
            let message =
                "without a code, and without grpc or flags, nothing is an error: name the codes that are";
            self.problem(format!("{at}.codes"), message);
        }
        for (i, code) in errors.codes.iter().flatten().enumerate() {
            let known = match code.as_bytes() {
                [b'0'] | [b'1'..=b'5', b'x' | b'0'..=b'9', b'x'] => true,
                [b'1'..=b'5', a, b] => a.is_ascii_digit() && b.is_ascii_digit(),
                _ => false,
            };
            if !known {
                let message = format!(
                    "{code:?} is no code: write one like \"499\", a class like \"5xx\", or \"0\" for no answer"
                );
                self.problem(format!("{at}.codes[{i}]"), message);
            }
        }
        for (i, status) in errors.grpc.iter().flatten().enumerate() {
            if !(0..=16).contains(status) {
                self.problem(
                    format!("{at}.grpc[{i}]"),
                    format!("{status} is no gRPC status: 0 to 16"),
                );
            }
        }
        for (i, flag) in errors.flags.iter().flatten().enumerate() {
            // Which flags there are is the proxy's affair, and some builds have their own; all are short and in capitals.
            let shaped = (2..=8).contains(&flag.len()) && flag.chars().all(|c| c.is_ascii_uppercase());
            if !shaped {
                let message =
                    format!("{flag:?} is no response flag: they are short and in capitals, like \"UH\"");
                self.problem(format!("{at}.flags[{i}]"), message);
            }
        }
    }

    fn template(
        &mut self,
        path: &str,
        text: &str,
        fill: impl Fn(&str, &template::Variables<'_>) -> Result<String, String>,
    ) {
        if let Err(message) = fill(text, &template::SAMPLE) {
            self.problem(path, message);
        }
    }

    /// A field of another metric would be ignored in silence.
    fn foreign_fields(&mut self, at: &str, check: &Check, metric: MetricName) {
        use MetricName::{
            Availability, CertificateExpiry, ConnectionSuccess, Cpu, ErrorRate, Memory, Query, Readiness,
            TlsHandshake,
        };
        let belongs: [(&str, bool, &[MetricName]); 5] = [
            ("errors", check.errors.is_some(), &[ErrorRate, Availability]),
            (
                "series",
                check.series.is_some(),
                &[ConnectionSuccess, TlsHandshake, Cpu, Memory, CertificateExpiry],
            ),
            (
                "counters",
                check.counters.is_some(),
                &[ConnectionSuccess, TlsHandshake],
            ),
            ("query", check.query.is_some(), &[Query]),
            ("deployment", check.deployment.is_some(), &[Readiness]),
        ];
        for (field, given, metrics) in belongs {
            if given && !metrics.contains(&metric) {
                let names: Vec<String> = metrics.iter().map(ToString::to_string).collect();
                let message = format!(
                    "is for {}, and this check's metric is {metric}: leave it out",
                    names.join(", ")
                );
                self.problem(format!("{at}.{field}"), message);
            }
        }
    }
}

/// Whether a Kubernetes object may be called this (RFC 1123).
fn is_name(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() <= 253
        && text.chars().all(|c| inner(c) || c == '-' || c == '.')
        && text.starts_with(inner)
        && text.ends_with(inner)
}
