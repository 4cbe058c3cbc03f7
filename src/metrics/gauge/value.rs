//! A value at an instant: its PromQL, and what an answer comes to.

use super::{Sample, brief, matchers};
use crate::rollout::plan::GaugeAsk;
use crate::rollout::sample::{Blindness, Dark, GaugeReading};
use crate::rollout::spec::Series;
use crate::rollout::template::{self, Variables};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// What a number has to be before it means anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sense {
    /// Whatever a person asks for may be any number.
    Any,
    /// An amount of something.
    Amount,
    /// Seconds until a certificate expires; below 0 when it has.
    TimeLeft,
}

/// No certificate is good for so many seconds (a thousand years), but a stamp in milliseconds looks like it.
const NEVER: f64 = 1_000.0 * 365.25 * 86_400.0;

/// The PromQL of a gauge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GaugeQueries {
    /// What is judged.
    pub canary: String,
    /// What it is compared with.
    pub control: Option<String>,
    /// What its numbers have to be.
    pub sense: Sense,
}

impl GaugeQueries {
    /// The queries of a gauge; `None` when it is not read from Prometheus.
    pub fn of(ask: &GaugeAsk, variables: &Variables<'_>) -> Result<Option<Self>, String> {
        // Without a container of its own a series is the whole pod again; `POD` is the pause container.
        const CONTAINERS: &[(&str, &str)] = &[("container", "!~|POD")];
        let both = |series: &Series, sense, more, form: &dyn Fn(String) -> String| {
            let one = |labels: &BTreeMap<String, String>| matchers(labels, more, variables).map(form);
            Ok(Some(Self {
                canary: one(&series.canary)?,
                control: series.control.as_ref().map(one).transpose()?,
                sense,
            }))
        };
        match ask {
            GaugeAsk::Readiness(_) | GaugeAsk::Probe => Ok(None),
            GaugeAsk::Query(query) => Ok(Some(Self {
                canary: template::promql(&query.canary, variables)?,
                control: query
                    .control
                    .as_ref()
                    .map(|text| template::promql(text, variables))
                    .transpose()?,
                sense: Sense::Any,
            })),
            GaugeAsk::Cpu(series) => both(series, Sense::Amount, CONTAINERS, &|m| {
                let window = variables.window;
                format!(
                    "max(sum by (namespace, pod) (rate(container_cpu_usage_seconds_total{{{m}}}[{window}])))"
                )
            }),
            GaugeAsk::Memory(series) => both(series, Sense::Amount, CONTAINERS, &|m| {
                format!("max(sum by (namespace, pod) (container_memory_working_set_bytes{{{m}}}))")
            }),
            GaugeAsk::CertificateExpiry(series) => both(series, Sense::TimeLeft, &[], &|m| {
                format!("min(certmanager_certificate_expiration_timestamp_seconds{{{m}}}) - time()")
            }),
        }
    }
}

/// What the answers to both queries come to.
pub fn reading<S: AsRef<[Sample]>>(
    queries: &GaugeQueries,
    at: Timestamp,
    answer: impl Fn(&str) -> Result<S, Blindness>,
) -> GaugeReading {
    let value = |promql: &String| one(promql, queries.sense, answer(promql));
    GaugeReading {
        at,
        canary: value(&queries.canary),
        control: queries.control.as_ref().map(value),
    }
}

/// The one finite number of an answer, or why there is none.
fn one(promql: &str, sense: Sense, answer: Result<impl AsRef<[Sample]>, Blindness>) -> Result<f64, String> {
    let told = |why: &str| Err(format!("`{}` {why}", brief(promql)));
    let series = match answer {
        Ok(series) => series,
        Err(blindness) if blindness.kind == Dark::Refused && sense == Sense::Any => {
            return told(&format!(
                "is refused, correct the check's PromQL unless the source is in trouble: {}",
                blindness.message
            ));
        }
        Err(blindness) => return told(&format!("has no answer: {}", blindness.message)),
    };
    match series.as_ref() {
        [] => told("gives no series: check its labels, and that the exporter is scraped"),
        [sample] if !sample.value.is_finite() && sense != Sense::Any => told(&format!(
            "gives {}: its exporter reports no number; narrow the check's labels to series that have one, or mend the exporter",
            sample.value
        )),
        [sample] if sample.value < 0.0 && sense == Sense::Amount => told(&format!(
            "gives {}, and no such amount is below 0: its exporter reports nonsense; look at its series",
            sample.value
        )),
        [sample] if sample.value > NEVER && sense == Sense::TimeLeft => told(
            "gives more than a thousand years: that is a stamp in milliseconds where seconds are read; mend the exporter, or ask \
             by a query that divides by 1000",
        ),
        [sample] if sample.value.is_nan() => told(
            "gives NaN: a division of 0 by 0, or a quantile of nothing; guard it, as with `> 0` below the line",
        ),
        [sample] if sample.value.is_infinite() => {
            told("gives an infinite value: a division by 0; guard it, as with `> 0` below the line")
        }
        [sample] => Ok(sample.value),
        more => told(&format!(
            "gives {} series where one is expected: join them by sum(), max() or min()",
            more.len()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::spec::Query;

    const VARIABLES: Variables<'static> = Variables {
        namespace: "shop",
        rollout: "app",
        component: "cart",
        weight: "5",
        window: "300s",
    };

    fn series(canary: &[(&str, &str)]) -> Series {
        let labels = canary.iter().map(|(l, v)| ((*l).to_owned(), (*v).to_owned()));
        Series {
            canary: labels.collect(),
            control: None,
        }
    }

    fn canary(ask: &GaugeAsk) -> String {
        GaugeQueries::of(ask, &VARIABLES).unwrap().unwrap().canary
    }

    #[test]
    fn each_gauge_is_the_promql_that_the_documentation_shows() {
        let page = include_str!("../../../docs/metrics.md");
        for ask in [
            GaugeAsk::Cpu(series(&[
                ("container", "istio-proxy"),
                ("namespace", "istio-system"),
            ])),
            GaugeAsk::Memory(series(&[("namespace", "istio-system"), ("pod", "~istiod-.*")])),
            GaugeAsk::CertificateExpiry(series(&[("name", "wildcard"), ("namespace", "istio-system")])),
        ] {
            let promql = canary(&ask);
            assert!(page.contains(&promql), "docs/metrics.md lacks\n{promql}");
        }
    }

    #[test]
    fn variables_are_filled_in_and_a_matcher_that_is_none_is_refused() {
        let query = Query {
            canary: "max(lag{ns=\"{{namespace}}\", app=\"{{component}}\"})".to_owned(),
            control: None,
        };
        assert_eq!(
            canary(&GaugeAsk::Query(query)),
            "max(lag{ns=\"shop\", app=\"cart\"})"
        );
        let memory = canary(&GaugeAsk::Memory(series(&[("pod", "~{{component}}-.*")])));
        assert!(
            memory.contains("{pod=~\"cart-.*\", container!~\"|POD\"}"),
            "{memory}"
        );
        let broken = GaugeQueries::of(&GaugeAsk::Cpu(series(&[("pod", "~(")])), &VARIABLES).unwrap_err();
        assert!(
            broken.starts_with("series.pod: ") && broken.contains("not a regular expression"),
            "{broken}"
        );
    }

    #[test]
    fn whatever_is_not_one_finite_number_is_told_with_its_query_and_remedy() {
        let answer = |values: &[f64]| {
            let sample = |value: &f64| Sample {
                labels: BTreeMap::new(),
                value: *value,
            };
            Ok(values.iter().map(sample).collect::<Vec<_>>())
        };
        assert_eq!(one("lag", Sense::Any, answer(&[3.5])), Ok(3.5));
        assert_eq!(one("lag", Sense::Any, answer(&[-3.5])), Ok(-3.5));
        assert_eq!(one("left", Sense::TimeLeft, answer(&[-60.0])), Ok(-60.0));
        let refused = Err(Blindness {
            kind: Dark::Refused,
            message: "HTTP 400: parse error".to_owned(),
        });
        for (answer, says) in [
            (answer(&[]), "`lag` gives no series: check its labels"),
            (
                answer(&[1.0, 2.0, 3.0]),
                "`lag` gives 3 series where one is expected: join them",
            ),
            (answer(&[f64::NAN]), "`lag` gives NaN: a division of 0 by 0"),
            (
                answer(&[f64::INFINITY]),
                "`lag` gives an infinite value: a division by 0",
            ),
            (answer(&[f64::NEG_INFINITY]), "`lag` gives an infinite value"),
            (
                refused,
                "`lag` is refused, correct the check's PromQL unless the source is in trouble: HTTP 400: parse error",
            ),
        ] {
            let error = one("lag", Sense::Any, answer).unwrap_err();
            assert!(error.starts_with(says), "{error}");
        }
        for (sense, value, says) in [
            (Sense::Amount, -0.5, "gives -0.5, and no such amount is below 0"),
            (
                Sense::Amount,
                f64::NAN,
                "gives NaN: its exporter reports no number",
            ),
            (
                Sense::TimeLeft,
                f64::INFINITY,
                "gives inf: its exporter reports no number",
            ),
            (Sense::TimeLeft, 1.8e12, "gives more than a thousand years"),
        ] {
            let error = one("m", sense, answer(&[value])).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
