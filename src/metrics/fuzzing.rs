//! Answers of whoever calls itself Prometheus against what reads, counts and judges them.

use super::answer;
use super::ask::Ask;
use super::batch::fuzzing::routed;
use super::counters::{Cursor, advance};
use super::gauge::Sample;
use super::history;
use super::split::split;
use crate::rollout::fuzzing::{is_harmless, plan};
use crate::rollout::judge::{Context, Outlook};
use crate::rollout::ledger::Ledger;
use crate::rollout::plan::Plan;
use crate::rollout::sample::{Arm, Blindness, Reading, Tick};
use crate::rollout::spec::{Arms, Preset, Traffic};
use crate::rollout::weight::Weight;
use jiff::Timestamp;
use serde_json::json;
use std::time::Duration;

/// When the first answer comes: the seeds' time.
const BEGIN: i64 = 1_772_420_400;
/// Seconds between two of them.
const APART: u64 = 15;
/// What stands between two answers.
const NEXT: &str = "\n---\n";

/// A line with a preset and an HTTP status, and then answers, each [`NEXT`] to the other.
pub(crate) fn promql(bytes: &[u8]) {
    looked(bytes);
}

/// Whether anything could be counted: of an answer that was asked for alone, and of one that was asked for together.
fn looked(bytes: &[u8]) -> [bool; 2] {
    let text = String::from_utf8_lossy(bytes);
    let (head, bodies) = text.split_once('\n').unwrap_or((&text, ""));
    let mut words = head.split_whitespace();
    let preset = words.next().unwrap_or_default();
    let status = words.next().and_then(|word| word.parse().ok()).unwrap_or(200);
    let Some(ask) = ask(preset) else {
        return [false; 2];
    };
    let plan = plan();
    let mut judge = Judge::new(&plan);
    let mut joined = Judge::new(&plan);
    let mut at = Timestamp::from_second(BEGIN).unwrap_or_default();
    for body in bodies.split(NEXT).take(12) {
        at = at.saturating_add(Duration::from_secs(APART)).unwrap_or(at);
        let body = body.as_bytes();
        match answer::read(status, body) {
            Ok(series) => {
                for sample in series.iter().map(Sample::of) {
                    assert!(sample.labels.len() <= body.len());
                }
                let alone = split(&[&ask], at, &series).into_iter().next();
                judge.look(at, alone);
                joined.look(at, routed(&ask, at, series));
            }
            Err(unusable) => judge.look(at, Some(Err(unusable))),
        }
        if let Ok(recorded) = answer::read_range(status, body) {
            let from = Timestamp::from_second(BEGIN).unwrap_or_default();
            history::fuzzing::walked(&ask, from, recorded);
        }
    }
    [judge.counted, joined.counted]
}

/// One component's arms as this preset counts them.
fn ask(preset: &str) -> Option<Ask> {
    let arm = |version: &str| match preset {
        "gatewayapi" => json!({"preset": preset, "labels": {"version": version}, "metrics": {
            "requests": "gateway_requests_total", "code": "code",
            "buckets": "gateway_request_duration_seconds_bucket", "unit": "s"}}),
        "native" => json!({"preset": "gatewayapi", "labels": {"version": version}, "metrics": {
            "requests": "gateway_requests_total", "code": "code",
            "buckets": "gateway_request_duration_seconds", "unit": "s"}}),
        other => json!({"preset": other, "labels": {"destination_version": version}}),
    };
    let arms: Arms = serde_json::from_value(json!({"canary": arm("v2"), "control": arm("v1")})).ok()?;
    Some(Ask {
        rollout: "apps/shop".to_owned(),
        component: "shop".to_owned(),
        arms,
        traffic: Traffic::Requests,
        wants_latency: true,
        wants_history: true,
    })
}

/// A component at 25%, whose counts are judged.
struct Judge<'p> {
    plan: &'p Plan,
    cursor: Cursor,
    ledger: Ledger,
    counted: bool,
}

impl<'p> Judge<'p> {
    fn new(plan: &'p Plan) -> Self {
        let begin = Timestamp::from_second(BEGIN).unwrap_or_default();
        Self {
            plan,
            cursor: Cursor::default(),
            ledger: Ledger::begin(begin, begin),
            counted: false,
        }
    }

    fn look(&mut self, at: Timestamp, snapshot: Option<Result<super::Snapshot, answer::Unusable>>) {
        let reading = match snapshot {
            Some(Ok(snapshot)) => advance(&mut self.cursor, snapshot),
            Some(Err(unusable)) => Reading::Blind(Blindness {
                kind: unusable.kind,
                message: unusable.why,
            }),
            None => return,
        };
        match &reading {
            Reading::Fresh(tick) => {
                believable(tick);
                self.counted = true;
            }
            Reading::Blind(blindness) => assert!(is_harmless(&blindness.message), "{blindness:?}"),
            Reading::Waiting => {}
        }
        self.judge(at, &reading);
        // As the next daemon reads them.
        let text = serde_json::to_string(&(&self.cursor, &self.ledger)).unwrap_or_default();
        let read: Result<(Cursor, Ledger), _> = serde_json::from_str(&text);
        assert!(read.is_ok(), "what was counted reads back: {read:?}: {text}");
    }

    fn judge(&mut self, now: Timestamp, reading: &Reading) {
        let Some(component) = self.plan.components.first() else {
            return;
        };
        let weight = Weight::from_percent(25).unwrap_or_default();
        let context = Context {
            rules: self.plan.checks_at(component, weight),
            judge: &self.plan.judge,
            weight,
            before: Weight::from_percent(5).unwrap_or_default(),
            traffic: Traffic::Requests,
            preset: Preset::Istio,
            late: false,
            recorded: None,
            baseline: None,
            probe_every: Duration::ZERO,
            looks: 1,
            has_control: true,
            moves_requests: true,
            verifiable: true,
            clock_runs: true,
            now,
        };
        self.ledger.absorb(reading, &context);
        let judgement = self.ledger.judge(&context);
        assert_eq!(judgement.outlook, self.ledger.outlook(&context));
        let decides = matches!(judgement.outlook, Outlook::Promotable | Outlook::Breach { .. });
        assert!(self.counted || !decides, "no data is never good and never bad");
        assert!(is_harmless(&format!("{:?}", judgement.outlook)));
    }
}

/// What a tick may say, whatever was answered.
fn believable(tick: &Tick) {
    assert!(tick.from < tick.to);
    for arm in [&tick.canary, &tick.control] {
        if let Arm::Seen(counts) = arm {
            assert!(counts.errors <= counts.requests, "{counts:?}");
            if let Some(latency) = &counts.latency {
                assert_eq!(latency.counts.len(), latency.bounds_ms.len() + 1);
                assert!(latency.bounds_ms.is_sorted(), "{latency:?}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_are_counted_or_they_would_lead_nowhere() {
        for (seed, counted) in [
            (
                &include_bytes!("../../fuzz/seeds/promql/healthy")[..],
                [true, false],
            ),
            (include_bytes!("../../fuzz/seeds/promql/gateway"), [true, false]),
            (include_bytes!("../../fuzz/seeds/promql/native"), [true, false]),
            (include_bytes!("../../fuzz/seeds/promql/joined"), [false, true]),
        ] {
            assert_eq!(looked(seed), counted, "{}", String::from_utf8_lossy(seed));
        }
    }
}
