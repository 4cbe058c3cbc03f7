//! Checks that are read beside the arms: each is asked for once, now. What a pair of counters counted is told elsewhere;
//! here it is whether there are any.

use super::{Check, Missing, Query, limits, ranges};
use crate::doctor::diagnose::Probe;
use crate::metrics::Source;
use crate::metrics::gauge::{GaugeQueries, PairAsk, reading, window};
use crate::rollout::judge::{Stand, stand};
use crate::rollout::plan::{CheckSet, CheckSource, Gauge, GaugeLimits, PlannedCheck};
use crate::rollout::reason::Verdict;
use crate::rollout::sample::GaugeReading;
use crate::rollout::status::CheckStatus;
use crate::rollout::template::Variables;
use crate::rollout::weight::Weight;
use jiff::Timestamp;
use std::collections::HashMap;

/// Where the checks are held.
pub(super) struct Place<'a> {
    pub(super) source: &'a Source,
    /// `namespace/name` of the rollout.
    pub(super) rollout: &'a str,
    pub(super) component: &'a str,
    pub(super) weight: Weight,
    pub(super) at: Timestamp,
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
                    Ok(asked) => told.pair(place, check, &asked).await,
                    Err(why) => told.unasked(check, why),
                }
            }
            // The arms' own counters, which are asked for already.
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
        let asked = || std::iter::once(&queries.canary).chain(&queries.control);
        let mut answers = HashMap::new();
        for promql in asked() {
            let answer = place.source.vector(promql, place.at).await;
            self.queries.push(Query {
                purpose: format!("check {}", check.rule.name),
                promql: promql.clone(),
                series: answer.as_ref().ok().map(|found| found.len()),
            });
            answers.insert(promql.clone(), answer);
        }
        let GaugeReading { canary, control, .. } = reading(&queries, place.at, |promql| {
            answers.get(promql).cloned().unwrap_or_else(|| Ok([].into()))
        });
        let shown = |value: &Result<f64, String>| value.as_ref().ok().map(|v| check.show(*v));
        let values = (shown(&canary), control.as_ref().and_then(shown));
        let short = self.short_ranges(place, check, &queries).await;
        let empty = answers
            .get(&queries.canary)
            .is_some_and(|a| a.as_ref().is_ok_and(|found| found.is_empty()));
        if short && empty {
            // Nothing is wrong with its labels, as far as is known.
            return self.show(check, Verdict::Unknown, (None, None), "it has no value now");
        }
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
        let stand =
            |limits: &Option<GaugeLimits>| limits.map_or(Stand::Within, |l| stand(&l, value, control));
        let (verdict, says) = verdict(stand(&gauge.rollback), stand(&gauge.promote));
        self.show(check, verdict, values, says);
    }

    /// Whether a range of what is asked for is too short for how often its own series come; each is told once.
    async fn short_ranges(
        &mut self,
        place: &Place<'_>,
        check: &PlannedCheck,
        queries: &GaugeQueries,
    ) -> bool {
        let probe = Probe::new(place.source, place.at);
        let mut short = false;
        for promql in std::iter::once(&queries.canary).chain(&queries.control) {
            // A source that does not answer has been told of the query itself. Of a selector of several metrics
            // Prometheus can refuse to say how often it is scraped: then nothing is known to be too short.
            let told = ranges::too_short(&probe, promql, check.rule.window).await;
            for why in told.unwrap_or_default() {
                short = true;
                let one = Missing::check(&check.rule.name, why);
                if !self.missing.contains(&one) {
                    self.missing.push(one);
                }
            }
        }
        short
    }

    async fn pair(&mut self, place: &Place<'_>, check: &PlannedCheck, asked: &PairAsk) {
        let answer = place.source.vector(&asked.promql, place.at).await;
        let series = answer.as_ref().ok().map(|found| found.len());
        let why = match &answer {
            Err(blindness) => Some(blindness.message.clone()),
            Ok(answer) => asked.lacks(answer).or_else(|| {
                let side = asked.unmatched(answer)?;
                Some(format!(
                    "{side}: neither counter has a series under its labels: correct `series.{side}`, and see that the exporter \
                     is scraped"
                ))
            }),
        };
        let (verdict, says) = match &why {
            Some(why) => (Verdict::Unknown, why.as_str()),
            None => (
                Verdict::Skipped,
                "its counters are there, and were not counted here: what it asks differs by phase or weight; write --weight",
            ),
        };
        self.show(check, verdict, (None, None), says);
        self.missing
            .extend(why.map(|why| Missing::check(&check.rule.name, why)));
        self.queries.push(Query {
            purpose: format!("check {}", check.rule.name),
            promql: asked.promql.clone(),
            series,
        });
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
                // It was read once.
                samples: i64::from(value.is_some()),
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

/// What one look comes to, in the judge's own terms; how long it lasts is not known here.
fn verdict(rollback: Stand, promote: Stand) -> (Verdict, &'static str) {
    match (rollback, promote) {
        (Stand::Past(_), _) => (
            Verdict::Hold,
            "past its rollback limit now; it is a breach when it stays so for the whole of `for`",
        ),
        (Stand::NoControl, _) | (_, Stand::NoControl) => (
            Verdict::Unknown,
            "there is no value of control to compare it with",
        ),
        (Stand::FlatControl, _) | (_, Stand::FlatControl) => (
            Verdict::Unknown,
            "control's value is not above 0, and the canary's is above it: no share more than that is a limit; write max in place of \
             maxIncrease",
        ),
        (Stand::Shared(_), _) | (_, Stand::Shared(_)) => {
            (Verdict::Hold, "past a limit now, and so is control")
        }
        (Stand::Within, Stand::Past(_)) => (Verdict::Hold, "past its promote limit now"),
        (Stand::Within, Stand::Within) => (Verdict::Pass, "within its limits now"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_compared_is_unknown_as_it_is_to_the_daemon() {
        let more = GaugeLimits {
            max: None,
            min: None,
            max_increase: Some(0.2),
        };
        let says = |control| verdict(stand(&more, 5.0, control), stand(&more, 5.0, control)).0;
        assert_eq!(says(None), Verdict::Unknown);
        assert_eq!(says(Some(0.0)), Verdict::Unknown);
        assert_eq!(says(Some(-1.0)), Verdict::Unknown);
        assert_eq!(says(Some(5.0)), Verdict::Pass);
        assert_eq!(says(Some(2.0)), Verdict::Hold);
    }
}
