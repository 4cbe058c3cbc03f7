//! A pair of counters, read as raw numbers and counted by the same arithmetic as requests.

use super::{Sample, brief, matchers};
use crate::metrics::counters::{Cursor, advance};
use crate::metrics::matcher::quoted;
use crate::metrics::query::PART;
use crate::metrics::snapshot::{ArmSnapshot, Counter, PodSnapshot, Snapshot, whole_millis};
use crate::rollout::plan::Pair;
use crate::rollout::sample::{Arm, Blindness, Dark, Reading};
use crate::rollout::template::Variables;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// The labels that tell one exporting process from another.
const EXPORTER: [&str; 2] = ["pod", "instance"];
/// The label that Prometheus gives to what scraped a series.
const JOB: &str = "job";

/// Begins the mark that a name is nowhere; the part that it was to be follows.
const NOWHERE: &str = "nowhere/";

/// A pair of counters as one query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairAsk {
    /// The PromQL for both arms.
    pub promql: String,
    /// The canary's first counter, for people: what to look for when there is nothing.
    selector: String,
    /// The first counter, without labels.
    tried: String,
    /// The counter of failures.
    failed: String,
    /// The first counter counts failures too.
    total: bool,
    has_control: bool,
}

impl PairAsk {
    /// The query of a pair.
    pub fn of(pair: &Pair, variables: &Variables<'_>) -> Result<Self, String> {
        let counters = &pair.counters;
        let (tried, total) = match (&counters.total, &counters.succeeded) {
            (Some(total), _) => (total, true),
            (None, Some(succeeded)) => (succeeded, false),
            (None, None) => return Err("counters: give either total or succeeded".to_owned()),
        };
        let failed = &counters.failed;
        let mut parts = Vec::new();
        let mut selector = String::new();
        let arms = [
            ("canary", Some(&pair.series.canary)),
            ("control", pair.series.control.as_ref()),
        ];
        for (side, labels) in arms {
            let Some(labels) = labels else { continue };
            let m = matchers(labels, &[], variables)?;
            if selector.is_empty() {
                selector = format!("{tried}{{{m}}}");
            }
            let by = EXPORTER.join(", ");
            for (part, promql) in [
                ("tried", format!("sum by ({by}) ({tried}{{{m}}})")),
                ("failed", format!("sum by ({by}) ({failed}{{{m}}})")),
                (
                    "sampled",
                    // Of each job: what two of them scrape would count twice.
                    format!("max by ({by}, {JOB}) (timestamp({tried}{{{m}}}) or timestamp({failed}{{{m}}}))"),
                ),
            ] {
                let mark = quoted(&format!("{side}/{part}"));
                parts.push(format!(
                    r#"label_replace({promql}, "{PART}", {mark}, "{PART}", "")"#
                ));
            }
        }
        // A misspelt name would read as no failure at all, or as nothing but failures.
        for (part, name) in [("tried", tried), ("failed", failed)] {
            parts.push(format!(
                r#"label_replace(absent({name}), "{PART}", "{NOWHERE}{part}", "{PART}", "")"#
            ));
        }
        Ok(Self {
            promql: parts.join("\nor "),
            selector,
            tried: tried.clone(),
            failed: failed.clone(),
            total,
            has_control: pair.series.control.is_some(),
        })
    }

    /// What an answer lacks that no verdict may be built on: a counter that exists nowhere under its name, or an arm of
    /// which only failures are counted, although all attempts are to be.
    pub(crate) fn lacks(&self, answer: &[Sample]) -> Option<String> {
        let is_there = |mark: &str| answer.iter().any(|sample| marked(sample) == mark);
        let nowhere = |part: &str| is_there(&format!("{NOWHERE}{part}"));
        let first = if self.total { "total" } else { "succeeded" };
        match (nowhere("tried"), nowhere("failed")) {
            (true, true) => Some(format!(
                "there is neither a `{}` nor a `{}` at all: correct `counters`, and see that an exporter that has them is scraped",
                self.tried, self.failed
            )),
            (false, true) => Some(format!(
                "there is no `{}` at all, so failures cannot be told from a misspelt name: correct `counters.failed`, or have \
                 the exporter begin it at 0",
                self.failed
            )),
            (true, false) => Some(format!(
                "there is no `{}` at all, so what went well cannot be told from a misspelt name: correct `counters.{first}`, \
                 or have the exporter begin it at 0",
                self.tried
            )),
            (false, false) => ["canary", "control"].into_iter().find_map(|side| {
                let lost = self.total
                    && is_there(&format!("{side}/failed"))
                    && !is_there(&format!("{side}/tried"));
                lost.then(|| {
                    format!(
                        "{side}: `{}` has series and `{}`, which counts them too, has none under the same labels: correct \
                         `counters.total`, or `series.{side}`",
                        self.failed, self.tried
                    )
                })
            }),
        }
    }

    /// An arm that is asked for and has neither counter.
    pub(crate) fn unmatched(&self, answer: &[Sample]) -> Option<&'static str> {
        let has = |side: &str| answer.iter().any(|sample| marked(sample).starts_with(side));
        let asked = [("canary", true), ("control", self.has_control)];
        let mut asked = asked.into_iter();
        asked.find_map(|(side, asked)| (asked && !has(side)).then_some(side))
    }

    fn snapshot(&self, at: Timestamp, answer: &[Sample]) -> Result<Snapshot, Blindness> {
        let mut arms: BTreeMap<&str, ArmSnapshot> = BTreeMap::new();
        if let Some(message) = self.lacks(answer) {
            return Err(Blindness {
                kind: Dark::Empty,
                message,
            });
        }
        let mut jobs = BTreeMap::new();
        for sample in answer {
            let mark = marked(sample);
            let Some(side) = mark.strip_suffix("/sampled").map(side) else {
                continue;
            };
            let job = sample.labels.get(JOB).map_or("", String::as_str);
            if let Some(other) = jobs.insert((side, exporter(sample)), job) {
                return Err(Blindness {
                    kind: Dark::Partial,
                    message: format!(
                        "`{}`: {} is scraped by the jobs {other:?} and {job:?}, so every attempt would count twice: scrape it once, \
                         or name one of them by the label {JOB} in series.{side}",
                        brief(&self.selector),
                        exporter(sample)
                    ),
                });
            }
            let sampled_at =
                seconds(sample.value).ok_or_else(|| self.blind("a sample time that is no time"))?;
            let pod = PodSnapshot {
                sampled_at,
                requests: BTreeMap::new(),
                latency: BTreeMap::new(),
            };
            arms.entry(side).or_default().pods.insert(exporter(sample), pod);
        }
        for sample in answer {
            let mark = marked(sample);
            let (side, error) = match mark.split_once('/') {
                Some((arm, "tried")) => (side(arm), false),
                Some((arm, "failed")) => (side(arm), true),
                Some(_) | None => continue,
            };
            let pods = arms.get_mut(side).map(|arm| &mut arm.pods);
            let Some(pod) = pods.and_then(|pods| pods.get_mut(&exporter(sample))) else {
                return Err(self.blind("a counter without a sample time"));
            };
            let counter = Counter {
                count: sample.value,
                error,
            };
            pod.requests.insert(mark.to_owned(), counter);
        }
        let control = arms.remove("control").unwrap_or_default();
        Ok(Snapshot {
            at: whole_millis(at),
            asked: self.promql.clone(),
            canary: arms.remove("canary").unwrap_or_default(),
            control: self.has_control.then_some(control),
            usual_rate: None,
        })
    }

    fn blind(&self, why: &str) -> Blindness {
        Blindness {
            kind: Dark::NotANumber,
            message: format!("`{}` gives {why}", brief(&self.promql)),
        }
    }

    /// More failures than attempts, by far more than two counters that are not raised at one instant can differ.
    fn impossible(&self, arm: &Arm) -> bool {
        // Both counters were added up.
        let attempts = |requests: u64, errors: u64| requests.saturating_sub(errors);
        let most = |attempts: u64| attempts.saturating_mul(2).saturating_add(3);
        let counts = arm.counts();
        self.total && counts.is_some_and(|c| c.errors > most(attempts(c.requests, c.errors)))
    }

    /// The first counter holds the failures of the second too: they are counted once.
    fn once(&self, arm: Arm) -> Arm {
        match arm {
            Arm::Seen(mut counts) if self.total => {
                // Two counters are never raised at one instant: a failure may be counted before its attempt.
                counts.requests = counts.requests.saturating_sub(counts.errors).max(counts.errors);
                Arm::Seen(counts)
            }
            other @ (Arm::Seen(_) | Arm::Absent | Arm::NotAsked) => other,
        }
    }
}

/// What happened since the cursor.
pub fn observe_pair(
    ask: &PairAsk,
    cursor: &mut Cursor,
    at: Timestamp,
    answer: Result<impl AsRef<[Sample]>, Blindness>,
) -> Reading {
    let snapshot = match answer.and_then(|answer| ask.snapshot(at, answer.as_ref())) {
        Ok(snapshot) => snapshot,
        Err(blindness) => return Reading::Blind(blindness),
    };
    match advance(cursor, snapshot) {
        Reading::Fresh(tick)
            if [&tick.canary, &tick.control]
                .into_iter()
                .any(|arm| ask.impossible(arm)) =>
        {
            Reading::Blind(Blindness {
                kind: Dark::NotANumber,
                message: format!(
                    "`{}` counts far more than `{}`, which counts failures too: name the counter of all attempts, or give the \
                     one that leaves failures out as `succeeded`",
                    ask.failed,
                    brief(&ask.selector)
                ),
            })
        }
        Reading::Fresh(mut tick) => {
            tick.canary = ask.once(tick.canary);
            tick.control = ask.once(tick.control);
            Reading::Fresh(tick)
        }
        Reading::Blind(Blindness {
            kind: kind @ (Dark::Empty | Dark::NotANumber | Dark::Vanished),
            message,
        }) => Reading::Blind(Blindness {
            kind,
            message: format!("`{}`: {message}", brief(&ask.selector)),
        }),
        other @ (Reading::Waiting | Reading::Blind(_)) => other,
    }
}

fn marked(sample: &Sample) -> &str {
    sample.labels.get(PART).map_or("", String::as_str)
}

fn side(name: &str) -> &'static str {
    if name == "control" { "control" } else { "canary" }
}

fn exporter(sample: &Sample) -> String {
    let value = |label: &&str| sample.labels.get(*label).map_or("", String::as_str);
    let values: Vec<&str> = EXPORTER.iter().map(value).filter(|v| !v.is_empty()).collect();
    values.join(" ")
}

fn seconds(seconds: f64) -> Option<Timestamp> {
    if !(0.0..=1e11).contains(&seconds) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "at most 1e14, checked above")]
    let millis = (seconds * 1000.0).round() as i64;
    Timestamp::from_millisecond(millis).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::spec::{Counters, Series};
    use crate::rollout::template::SAMPLE;

    fn ask(total: bool) -> PairAsk {
        let name = |name: &str| Some(name.to_owned());
        let labels = |v: &str| BTreeMap::from([("envoy_cluster_name".to_owned(), v.to_owned())]);
        let pair = Pair {
            counters: Counters {
                total: name("cx_total").filter(|_| total),
                succeeded: name("handshakes").filter(|_| !total),
                failed: "cx_fail".to_owned(),
            },
            series: Series {
                canary: labels("v2"),
                control: Some(labels("v1")),
            },
        };
        PairAsk::of(&pair, &SAMPLE).unwrap()
    }

    fn answer(at: f64, tried: [f64; 2], failed: [f64; 2]) -> Vec<Sample> {
        let sample = |mark: String, value: f64| Sample {
            labels: [(PART.to_owned(), mark), ("pod".to_owned(), "gw".to_owned())].into(),
            value,
        };
        let mut all = Vec::new();
        for (i, side) in ["canary", "control"].into_iter().enumerate() {
            all.push(sample(format!("{side}/tried"), tried[i]));
            all.push(sample(format!("{side}/failed"), failed[i]));
            all.push(sample(format!("{side}/sampled"), at));
        }
        all
    }

    fn time(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn a_pair_without_series_names_the_counter_that_was_asked_for() {
        let mut cursor = Cursor::default();
        let Reading::Blind(dark) = observe_pair(&ask(true), &mut cursor, time(1000), Ok(Vec::new())) else {
            panic!("seen");
        };
        assert_eq!(dark.kind, Dark::Empty);
        let wanted = r#"`cx_total{envoy_cluster_name="v2"}`: the source has no series"#;
        assert!(dark.message.starts_with(wanted), "{}", dark.message);
    }

    fn counts(ask: &PairAsk) -> [u64; 4] {
        let mut cursor = Cursor::default();
        let first = answer(1000.0, [100.0, 1000.0], [3.0, 5.0]);
        assert_eq!(
            observe_pair(ask, &mut cursor, time(1000), Ok(first)),
            Reading::Waiting
        );
        let second = answer(1010.0, [150.0, 1900.0], [13.0, 6.0]);
        let Reading::Fresh(tick) = observe_pair(ask, &mut cursor, time(1010), Ok(second)) else {
            panic!("a tick");
        };
        let (c, b) = (tick.canary.counts().unwrap(), tick.control.counts().unwrap());
        [c.requests, c.errors, b.requests, b.errors]
    }

    #[test]
    fn both_arms_counters_are_subtracted_between_two_instants() {
        assert_eq!(
            counts(&ask(true)),
            [50, 10, 900, 1],
            "the total holds the failures"
        );
        assert_eq!(counts(&ask(false)), [60, 10, 901, 1], "what succeeded does not");
    }

    #[test]
    fn one_query_asks_for_both_arms_and_each_parts_sample_time() {
        let promql = ask(true).promql;
        assert_eq!(promql.matches("label_replace(").count(), 8);
        assert!(
            promql.contains("absent(cx_fail)") && promql.contains("absent(cx_total)"),
            "{promql}"
        );
        assert!(
            promql.contains(r#"sum by (pod, instance) (cx_fail{envoy_cluster_name="v2"}), "rollout_part", "canary/failed""#),
            "{promql}"
        );
    }

    /// The answer where a name is nowhere, or an arm has no series of it.
    fn without(part: &str, everywhere: bool) -> Vec<Sample> {
        let mut all = answer(1000.0, [1.0, 1.0], [0.0, 0.0]);
        all.retain(|s| !s.labels[PART].ends_with(part));
        if everywhere {
            let mark = format!("{NOWHERE}{}", part.rsplit('/').next().unwrap());
            all.push(Sample {
                labels: [(PART.to_owned(), mark)].into(),
                value: 1.0,
            });
        }
        all
    }

    #[test]
    fn a_misspelt_counter_is_neither_no_failure_nor_nothing_but_failures() {
        for (total, part, everywhere, says) in [
            (true, "/failed", true, "no `cx_fail` at all"),
            (true, "/tried", true, "no `cx_total` at all"),
            (false, "/tried", true, "no `handshakes` at all"),
            (
                true,
                "control/tried",
                false,
                "control: `cx_fail` has series and `cx_total`",
            ),
            (
                true,
                "canary/tried",
                false,
                "canary: `cx_fail` has series and `cx_total`",
            ),
        ] {
            let all = without(part, everywhere);
            let Reading::Blind(dark) = observe_pair(&ask(total), &mut Cursor::default(), time(1000), Ok(all))
            else {
                panic!("seen: {part}");
            };
            assert!(
                dark.message.contains(says) && dark.message.contains("correct `counters."),
                "{}",
                dark.message
            );
        }
    }

    #[test]
    fn what_two_jobs_scrape_is_not_counted_twice() {
        let mut all = answer(1000.0, [1.0, 1.0], [0.0, 0.0]);
        for sample in &mut all {
            sample.labels.insert(JOB.to_owned(), "pods".to_owned());
        }
        let mut again = all.clone();
        for sample in &mut again {
            sample.labels.insert(JOB.to_owned(), "gateways".to_owned());
        }
        again.retain(|s| s.labels[PART] == "canary/sampled");
        let once = observe_pair(&ask(true), &mut Cursor::default(), time(1000), Ok(all.clone()));
        assert_eq!(once, Reading::Waiting);
        all.extend(again);
        let Reading::Blind(dark) = observe_pair(&ask(true), &mut Cursor::default(), time(1000), Ok(all))
        else {
            panic!("counted twice");
        };
        assert!(
            dark.message
                .contains(r#"gw is scraped by the jobs "pods" and "gateways""#),
            "{}",
            dark.message
        );
    }

    #[test]
    fn two_counters_that_are_both_nowhere_are_named() {
        let nowhere = |part: &str| Sample {
            labels: [(PART.to_owned(), format!("{NOWHERE}{part}"))].into(),
            value: 1.0,
        };
        let all = vec![nowhere("tried"), nowhere("failed")];
        let Reading::Blind(dark) = observe_pair(&ask(true), &mut Cursor::default(), time(1000), Ok(all))
        else {
            panic!("seen");
        };
        assert_eq!(dark.kind, Dark::Empty);
        assert!(
            dark.message
                .starts_with("there is neither a `cx_total` nor a `cx_fail` at all"),
            "{}",
            dark.message
        );
    }

    #[test]
    fn an_arm_whose_every_attempt_fails_may_have_no_counter_of_successes_yet() {
        let all = without("canary/tried", false);
        let reading = observe_pair(&ask(false), &mut Cursor::default(), time(1000), Ok(all));
        assert_eq!(reading, Reading::Waiting);
    }

    #[test]
    fn more_failures_than_attempts_are_no_count_and_a_race_of_a_few_is_one() {
        let ask = ask(true);
        let counted = |failed: f64| {
            let mut cursor = Cursor::default();
            let first = answer(1000.0, [100.0, 1000.0], [3.0, 5.0]);
            observe_pair(&ask, &mut cursor, time(1000), Ok(first));
            let second = answer(1010.0, [110.0, 1900.0], [3.0 + failed, 6.0]);
            observe_pair(&ask, &mut cursor, time(1010), Ok(second))
        };
        assert!(matches!(counted(50.0), Reading::Blind(b) if b.kind == Dark::NotANumber));
        let Reading::Fresh(tick) = counted(11.0) else {
            panic!("a tick");
        };
        assert_eq!(tick.canary.counts().unwrap().errors, 11);
    }

    #[test]
    fn an_answer_that_is_no_count_is_darkness() {
        let mut cursor = Cursor::default();
        let mut torn = answer(1000.0, [1.0, 1.0], [0.0, 0.0]);
        torn.retain(|s| s.labels.get(PART).is_none_or(|mark| mark != "canary/sampled"));
        let reading = observe_pair(&ask(true), &mut cursor, time(1000), Ok(torn));
        assert!(matches!(reading, Reading::Blind(b) if b.kind == Dark::NotANumber));
    }
}
