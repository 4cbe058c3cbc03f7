//! Checks that are read beside the arms: each is asked for once, now.

use super::{Check, Missing, Query, SCRAPES, limits, too_short};
use crate::metrics::Source;
use crate::metrics::gauge::{GaugeQueries, PairAsk, reading, window};
use crate::rollout::plan::{CheckSet, CheckSource, Gauge, GaugeLimits, PlannedCheck};
use crate::rollout::reason::Verdict;
use crate::rollout::sample::GaugeReading;
use crate::rollout::status::CheckStatus;
use crate::rollout::template::Variables;
use crate::rollout::weight::Weight;
use jiff::Timestamp;
use std::collections::HashMap;
use std::time::Duration;

/// Where the checks are held.
pub(super) struct Place<'a> {
    pub(super) source: &'a Source,
    /// `namespace/name` of the rollout.
    pub(super) rollout: &'a str,
    pub(super) component: &'a str,
    pub(super) weight: Weight,
    pub(super) at: Timestamp,
    /// How often the arms are scraped, as far as it shows.
    pub(super) scrape_period: Option<Duration>,
}

/// What asking for them gave.
#[derive(Default)]
pub(super) struct Beside {
    pub(super) queries: Vec<Query>,
    pub(super) checks: Vec<Check>,
    pub(super) missing: Vec<Missing>,
}

/// Asks for every check of the set that is not counted on the arms alone.
pub(super) async fn ask(place: &Place<'_>, set: &CheckSet) -> Beside {
    let mut told = Beside::default();
    for check in &set.checks {
        match &check.source {
            CheckSource::Gauge(gauge) => told.gauge(place, check, gauge).await,
            CheckSource::Pair(pair) => {
                let asked = with_variables(place, check, |variables| PairAsk::of(pair, variables));
                match asked {
                    Ok(asked) => told.pair(place, check, asked.promql).await,
                    Err(why) => told.unasked(check, why),
                }
            }
            // The arms' own counters, which are shown already.
            CheckSource::Arms | CheckSource::Errors(_) => {}
        }
    }
    told
}

fn with_variables<T>(place: &Place<'_>, check: &PlannedCheck, use_them: impl Fn(&Variables<'_>) -> T) -> T {
    let (namespace, rollout) = place
        .rollout
        .split_once('/')
        .unwrap_or(("default", place.rollout));
    use_them(&Variables {
        namespace,
        rollout,
        component: place.component,
        weight: &place.weight.percent().to_string(),
        window: &window(check.rule.window),
    })
}

impl Beside {
    async fn gauge(&mut self, place: &Place<'_>, check: &PlannedCheck, gauge: &Gauge) {
        let queries = match with_variables(place, check, |v| GaugeQueries::of(&gauge.ask, v)) {
            Ok(Some(queries)) => queries,
            Ok(None) => {
                return self.show(
                    check,
                    Verdict::Skipped,
                    (None, None),
                    "read from the cluster, not from Prometheus",
                );
            }
            Err(why) => return self.unasked(check, why),
        };
        let range = format!("[{}]", window(check.rule.window));
        if let Some(period) = place.scrape_period
            && queries.canary.contains(&range)
            && check.rule.window < period * SCRAPES
        {
            let why = too_short("window", check.rule.window, period);
            self.missing.push(Missing::check(&check.rule.name, why));
        }
        let mut answers = HashMap::new();
        for promql in std::iter::once(&queries.canary).chain(&queries.control) {
            let answer = place.source.vector(promql, place.at).await;
            self.queries.push(Query {
                purpose: format!("check {}", check.rule.name),
                promql: promql.clone(),
                series: answer.as_ref().ok().map(Vec::len),
            });
            answers.insert(promql.clone(), answer);
        }
        let GaugeReading { canary, control, .. } = reading(&queries, place.at, |promql| {
            answers.get(promql).cloned().unwrap_or_else(|| Ok(Vec::new()))
        });
        let shown = |value: &Result<f64, String>| value.as_ref().ok().map(|v| check.show(*v));
        let values = (shown(&canary), control.as_ref().and_then(shown));
        for why in [
            canary.as_ref().err(),
            control.as_ref().and_then(|c| c.as_ref().err()),
        ]
        .into_iter()
        .flatten()
        {
            self.missing.push(Missing::check(&check.rule.name, why.clone()));
        }
        let Ok(value) = canary else {
            return self.show(check, Verdict::Unknown, values, "it has no value now");
        };
        let control = control.and_then(Result::ok);
        let past = |limits: &Option<GaugeLimits>| limits.is_some_and(|l| is_past(l, value, control));
        let (verdict, says) = match (past(&gauge.rollback), past(&gauge.promote)) {
            (true, _) => (
                Verdict::Hold,
                "past its rollback limit now; it is a breach when it stays so for the whole of `for`",
            ),
            (false, true) => (Verdict::Hold, "past its promote limit now"),
            (false, false) => (Verdict::Pass, "within its limits now"),
        };
        self.show(check, verdict, values, says);
    }

    async fn pair(&mut self, place: &Place<'_>, check: &PlannedCheck, promql: String) {
        let answer = place.source.vector(&promql, place.at).await;
        let series = answer.as_ref().ok().map(Vec::len);
        let (verdict, says) = match &answer {
            Err(blindness) => (Verdict::Unknown, blindness.message.clone()),
            Ok(series) if series.is_empty() => (
                Verdict::Unknown,
                "neither counter has a series: check its labels, and that the exporter is scraped".to_owned(),
            ),
            Ok(_) => (
                Verdict::Skipped,
                "its counters are there; they are counted while a rollout runs".to_owned(),
            ),
        };
        if verdict == Verdict::Unknown {
            self.missing.push(Missing::check(&check.rule.name, says.clone()));
        }
        self.queries.push(Query {
            purpose: format!("check {}", check.rule.name),
            promql,
            series,
        });
        self.show(check, verdict, (None, None), &says);
    }

    fn unasked(&mut self, check: &PlannedCheck, why: String) {
        self.show(check, Verdict::Unknown, (None, None), "it cannot be asked for");
        self.missing.push(Missing::check(&check.rule.name, why));
    }

    fn show(
        &mut self,
        check: &PlannedCheck,
        verdict: Verdict,
        (value, control): (Option<String>, Option<String>),
        says: &str,
    ) {
        let (promote, rollback) = limits::of(check);
        self.checks.push(Check {
            status: CheckStatus {
                name: check.rule.name.clone(),
                verdict,
                value,
                control,
                message: says.to_owned(),
                ..CheckStatus::default()
            },
            promote,
            rollback,
            beside: true,
        });
    }
}

/// Whether a value is past any of these limits; one that needs control says nothing without it.
fn is_past(limits: GaugeLimits, value: f64, control: Option<f64>) -> bool {
    let more = limits.max_increase.zip(control).map(|(more, c)| c * (1.0 + more));
    limits.max.is_some_and(|max| value > max)
        || limits.min.is_some_and(|min| value < min)
        || more.is_some_and(|limit| value > limit)
}
