//! The judge's promises, as sentences that can fail.

use super::*;
use crate::rollout::check::{Bound, Limits};
use crate::rollout::dispersion::Noise;
use crate::rollout::sample::{Arm, Blindness, Counts, Histogram, Reading, Tick};
use crate::rollout::spec::{InsufficientThen, OnBlind, Preset};
use proptest::prelude::*;

mod few;
mod history;
mod late;
mod latency;
mod memory;
mod said;

const TICK: u64 = 10;

fn at(seconds: u64) -> Timestamp {
    "2026-01-05T02:00:00Z".parse::<Timestamp>().unwrap() + Duration::from_secs(seconds)
}

fn rule(name: &str, metric: Metric, promote: Limits, rollback: Option<Limits>) -> CheckRule {
    CheckRule {
        name: name.to_owned(),
        metric,
        quantile: 0.95,
        promote: Some(promote),
        rollback,
        for_: Duration::from_secs(300),
        window: Duration::from_secs(300),
        by_history: false,
        min_requests: 0,
    }
}

fn rules() -> Vec<CheckRule> {
    let max = |text: &str| Limits {
        max: Some(text.parse::<Bound>().unwrap()),
        ..Limits::default()
    };
    let min = |text: &str| Limits {
        min: Some(text.parse().unwrap()),
        ..Limits::default()
    };
    let more = |text: &str| Limits {
        max_increase: Some(text.parse().unwrap()),
        ..Limits::default()
    };
    vec![
        rule("errors", Metric::ErrorRate, max("0.1%"), Some(max("1%"))),
        rule("p95", Metric::Latency, more("15%"), Some(more("50%"))),
        rule("available", Metric::Availability, min("99.9%"), Some(min("99%"))),
        rule("throughput", Metric::Throughput, min("95%"), None),
    ]
}

const JUDGE: JudgeRules = JudgeRules {
    interval: Duration::from_secs(TICK),
    settle: Duration::from_secs(60),
    false_rollback: 0.01,
    on_blind: OnBlind::Hold,
    blind_after: Duration::from_secs(600),
    insufficient_after: Duration::from_secs(3 * 86_400),
    insufficient_then: InsufficientThen::Hold,
};

fn context(rules: &[CheckRule], percent: u16) -> Context<'_> {
    Context {
        rules,
        judge: &JUDGE,
        weight: Weight::from_percent(percent).unwrap(),
        before: Weight::ZERO,
        traffic: Traffic::Requests,
        preset: Preset::Istio,
        late: false,
        recorded: None,
        probe_every: Duration::ZERO,
        baseline: None,
        looks: 8,
        has_control: true,
        moves_requests: true,
        verifiable: true,
        clock_runs: true,
        now: at(0),
    }
}

/// An arm whose answers take up to 50 ms, `slow` of them up to 500 ms.
fn arm(requests: u64, errors: u64, slow: u64) -> Arm {
    let histogram = Histogram {
        bounds_ms: [10.0, 50.0, 100.0, 500.0].into(),
        counts: vec![0, requests - slow, 0, slow, 0],
    };
    Arm::Seen(Counts {
        requests,
        errors,
        latency: Some(histogram),
    })
}

/// A ledger whose weight was written at 0 s and has settled after 60 s, fed tick by tick.
struct Bench<'a> {
    ledger: Ledger,
    ctx: Context<'a>,
    end: u64,
}

impl<'a> Bench<'a> {
    fn new(rules: &'a [CheckRule], percent: u16) -> Self {
        let mut ledger = Ledger::begin(at(0), at(60));
        ledger.noise = Noise::calm();
        Self {
            ledger,
            ctx: context(rules, percent),
            end: 0,
        }
    }

    fn tick(&mut self, canary: Arm, control: Arm) -> Outlook {
        let (from, to) = (at(self.end), at(self.end + TICK));
        self.end += TICK;
        self.ctx.now = to;
        let tick = Tick {
            from,
            to,
            canary,
            control,
            usual_rate: None,
        };
        self.ledger.absorb(&Reading::Fresh(tick), &self.ctx);
        self.ledger.outlook(&self.ctx)
    }

    fn ticks(&mut self, n: u64, canary: &Arm, control: &Arm) -> Outlook {
        let mut outlook = self.ledger.outlook(&self.ctx);
        for _ in 0..n {
            outlook = self.tick(canary.clone(), control.clone());
        }
        outlook
    }

    fn blind(&mut self, kind: Dark) -> Outlook {
        self.end += TICK;
        self.ctx.now = at(self.end);
        let message = "the source does not answer".to_owned();
        self.ledger
            .absorb(&Reading::Blind(Blindness { kind, message }), &self.ctx);
        self.ledger.outlook(&self.ctx)
    }
}

fn is_breach(outlook: &Outlook) -> bool {
    matches!(outlook, Outlook::Breach { .. })
}

#[test]
fn between_looks_that_are_far_apart_it_is_not_dark_and_one_of_them_may_be_missed() {
    let rules = rules();
    let judge = JudgeRules {
        interval: Duration::from_secs(TICK * 60),
        ..JUDGE
    };
    let mut bench = Bench::new(&rules, 10);
    bench.ctx.judge = &judge;
    bench.ticks(60, &arm(20, 0, 0), &arm(180, 0, 0));
    for (looks, dark) in [(0.9, false), (1.9, false), (2.1, true)] {
        bench.ctx.now = at(bench.end) + judge.interval.mul_f64(looks);
        let outlook = bench.ledger.outlook(&bench.ctx);
        assert_eq!(
            matches!(outlook, Outlook::Unknown { .. }),
            dark,
            "after {looks} looks: {outlook:?}"
        );
    }
}

#[test]
fn a_healthy_canary_with_enough_requests_is_promotable() {
    let rules = rules();
    let mut bench = Bench::new(&rules, 10);
    assert!(matches!(
        bench.tick(arm(20, 0, 0), arm(180, 0, 0)),
        Outlook::Settling { .. }
    ));
    assert_eq!(
        bench.ticks(60, &arm(20, 0, 0), &arm(180, 0, 0)),
        Outlook::Promotable
    );
    let judged = bench.ledger.judge(&bench.ctx);
    assert!(
        judged.checks.iter().all(|c| c.verdict == Verdict::Pass),
        "{judged:?}"
    );
    assert_eq!(bench.ledger.judged.0, Duration::from_secs(550));
}

#[test]
fn a_share_of_new_objects_promises_no_requests_and_is_never_held_to_them() {
    let rules = rules();
    let judged = |moves_requests| {
        let mut bench = Bench::new(&rules, 50);
        (bench.ctx.moves_requests, bench.ctx.verifiable) = (moves_requests, moves_requests);
        bench.ticks(60, &arm(20, 0, 0), &arm(180, 0, 0))
    };
    assert!(
        !matches!(judged(true), Outlook::Promotable),
        "a tenth of the requests is no half"
    );
    assert_eq!(judged(false), Outlook::Promotable);
}

#[test]
fn no_data_is_never_a_pass_and_never_a_breach() {
    let rules = rules();
    for kind in [
        Dark::Down,
        Dark::Vanished,
        Dark::Empty,
        Dark::Stale,
        Dark::Partial,
        Dark::NotANumber,
        Dark::Refused,
    ] {
        for errors in [0, 10] {
            let mut bench = Bench::new(&rules, 10);
            bench.ticks(60, &arm(20, errors, 0), &arm(180, 0, 0));
            let judged = bench.ledger.judged;
            let outlook = bench.blind(kind);
            assert!(
                matches!(outlook, Outlook::Unknown { kind: k, .. } if k == kind),
                "{outlook:?}"
            );
            assert_eq!(bench.ledger.judged, judged, "blind time is not judged");
            let checks = bench.ledger.judge(&bench.ctx).checks;
            assert!(checks.iter().all(|c| c.verdict == Verdict::Unknown), "{checks:?}");
        }
    }
}

#[test]
fn waiting_for_ever_is_darkness_too() {
    let rules = rules();
    let mut bench = Bench::new(&rules, 10);
    bench.ticks(60, &arm(20, 0, 0), &arm(180, 0, 0));
    bench.ctx.now = at(bench.end + 400);
    bench.ledger.absorb(&Reading::Waiting, &bench.ctx);
    assert!(matches!(
        bench.ledger.outlook(&bench.ctx),
        Outlook::Unknown {
            kind: Dark::Stale,
            ..
        }
    ));
}

#[test]
fn too_few_requests_hold_the_step_and_never_promote() {
    let rules = rules();
    for canary in [1, 2] {
        let mut bench = Bench::new(&rules, 5);
        let outlook = bench.ticks(100, &arm(canary, 0, 0), &arm(20, 0, 0));
        assert!(
            matches!(outlook, Outlook::Insufficient { .. }),
            "{canary}: {outlook:?}"
        );
    }
}

#[test]
fn at_low_traffic_the_last_window_grows_until_it_holds_enough_and_the_weight_may_rise() {
    let rules = rules();
    // One canary request in 100 s: three in a window of five minutes.
    let mut bench = Bench::new(&rules, 5);
    let mut first = None;
    for tick in 0_u64..8000 {
        let outlook = bench.tick(arm(u64::from(tick % 10 == 0), 0, 0), arm(2, 0, 0));
        if outlook == Outlook::Promotable {
            first = Some(tick * TICK);
            break;
        }
        assert!(!is_breach(&outlook), "{outlook:?}");
    }
    // 332 requests without an error prove 0.1% rather than 1%: nine hours and a little.
    assert!(first.is_some_and(|s| (33_000..36_000).contains(&s)), "{first:?}");
    let text = serde_json::to_string(&bench.ledger).unwrap();
    assert!(text.len() <= 2048, "{}: {text}", text.len());
}

#[test]
fn what_was_good_for_hours_and_is_not_lately_holds_at_low_traffic_too() {
    let limits = Limits {
        max: Some("50ms".parse().unwrap()),
        ..Limits::default()
    };
    let rules = [rule("p95", Metric::Latency, limits, None)];
    let mut bench = Bench::new(&rules, 5);
    let mut quiet = |ticks: u64, slow: u64| {
        for tick in 0..ticks {
            let one = u64::from(tick % 10 == 0);
            bench.tick(arm(one, 0, u64::from(tick % slow == 0)), arm(2, 0, 0));
        }
        bench.ledger.outlook(&bench.ctx)
    };
    assert_eq!(quiet(6000, 400), Outlook::Promotable, "one in forty is slow");
    let outlook = quiet(1200, 100);
    assert!(
        matches!(outlook, Outlook::Between { .. }),
        "a tenth of the last 120 is slow, less than a twentieth of all 720: {outlook:?}"
    );
}

#[test]
fn where_a_day_is_too_short_the_arithmetic_is_told_with_what_to_do() {
    let rules = rules();
    let mut bench = Bench::new(&rules, 5);
    for tick in 0_u64..9000 {
        let outlook = bench.tick(arm(u64::from(tick % 400 == 399), 0, 0), arm(1, 0, 0));
        assert!(
            outlook != Outlook::Promotable && !is_breach(&outlook),
            "{outlook:?}"
        );
    }
    let checks = bench.ledger.judge(&bench.ctx).checks;
    for (check, need, rate) in [(0, 332, "0.0038"), (1, 60, "0.00069")] {
        let message = &checks[check].message;
        assert!(
            message.contains(&format!(
                "{need} within 24h takes {rate} canary requests/s, and there are 0.0002"
            )) && message.contains("minRequests"),
            "{message}"
        );
        assert!(message.len() <= 256, "{}", message.len());
    }
}

#[test]
fn from_zero_percent_a_source_that_answers_and_a_control_that_is_seen_are_enough() {
    let rules = rules();
    let mut bench = Bench::new(&rules, 0);
    assert!(matches!(
        bench.ledger.outlook(&bench.ctx),
        Outlook::Unknown {
            kind: Dark::NotYet,
            ..
        }
    ));
    assert_eq!(bench.ticks(10, &Arm::Absent, &arm(20, 0, 0)), Outlook::Promotable);
    assert!(matches!(
        bench.tick(Arm::Absent, Arm::Absent),
        Outlook::Unknown { .. }
    ));
    assert!(matches!(
        bench.blind(Dark::Down),
        Outlook::Unknown { kind: Dark::Down, .. }
    ));
}

#[test]
fn from_zero_percent_without_a_control_arm_a_source_without_series_is_no_reason_to_wait() {
    let rules = rules();
    let mut bench = Bench::new(&rules, 0);
    bench.ctx.has_control = false;
    assert_eq!(bench.blind(Dark::Empty), Outlook::Promotable);
    for kind in [Dark::Down, Dark::Refused, Dark::Partial, Dark::NotYet] {
        assert!(
            matches!(bench.blind(kind), Outlook::Unknown { kind: k, .. } if k == kind),
            "{kind:?}"
        );
    }
    let mut raised = Bench::new(&rules, 5);
    raised.ctx.has_control = false;
    assert!(
        matches!(
            raised.blind(Dark::Empty),
            Outlook::Unknown { .. } | Outlook::Settling { .. }
        ),
        "above 0% the canary must be seen"
    );
}

#[test]
fn the_canary_is_judged_and_not_the_mix() {
    let rules = rules();
    for control in [20, 200, 20_000] {
        let mut bench = Bench::new(&rules, 10);
        bench.ticks(6, &arm(20, 0, 0), &arm(control, 0, 0));
        let outlook = bench.ticks(30, &arm(20, 1, 0), &arm(control, 0, 0));
        assert!(is_breach(&outlook), "{control}: {outlook:?}");
    }
}

#[test]
fn one_unlucky_error_over_the_limit_is_no_evidence() {
    let rules = rules();
    let mut bench = Bench::new(&rules, 10);
    bench.ticks(6, &arm(10, 0, 0), &arm(90, 0, 0));
    let outlook = bench.tick(arm(10, 1, 0), arm(90, 0, 0));
    assert!(matches!(outlook, Outlook::Between { .. }), "{outlook:?}");
}

#[test]
fn evidence_of_the_past_is_not_enough_when_the_last_stretch_is_good() {
    let rules = rules();
    let mut bench = Bench::new(&rules, 10);
    bench.ticks(6, &arm(100, 0, 0), &arm(900, 0, 0));
    let bad = bench.ticks(6, &arm(100, 8, 0), &arm(900, 0, 0));
    assert!(is_breach(&bad), "{bad:?}");
    let later = bench.ticks(60, &arm(100, 0, 0), &arm(900, 0, 0));
    assert!(!is_breach(&later), "{later:?}");
}

#[test]
fn when_both_arms_fail_nobody_is_rolled_back() {
    let rules = rules();
    for errors in [4, 10, 20] {
        let mut bench = Bench::new(&rules, 10);
        bench.ticks(40, &arm(20, 0, 0), &arm(180, 0, 0));
        for _ in 0..60 {
            let outlook = bench.tick(arm(20, errors, 0), arm(180, errors * 9, 0));
            assert!(!is_breach(&outlook), "{outlook:?}");
        }
        let outlook = bench.ledger.outlook(&bench.ctx);
        assert!(matches!(outlook, Outlook::SharedOutage { .. }), "{outlook:?}");
        // And no evidence is left behind for a later blip to cash in.
        bench.ticks(60, &arm(20, 0, 0), &arm(180, 0, 0));
        let blip = bench.tick(arm(20, 1, 0), arm(180, 0, 0));
        assert!(!is_breach(&blip), "{blip:?}");
    }
}

#[test]
fn a_bad_control_beside_a_good_canary_is_no_reason_to_raise() {
    let rules = rules();
    let mut bench = Bench::new(&rules, 10);
    let outlook = bench.ticks(60, &arm(20, 0, 0), &arm(180, 20, 0));
    assert!(matches!(outlook, Outlook::ControlBad { .. }), "{outlook:?}");
}

#[test]
fn where_control_is_unknown_the_absolute_limits_decide() {
    let rules = rules();
    let mut bench = Bench::new(&rules, 10);
    let outlook = bench.ticks(30, &arm(200, 20, 0), &Arm::Absent);
    assert!(is_breach(&outlook), "{outlook:?}");
    let mut bench = Bench::new(&rules, 10);
    let outlook = bench.ticks(60, &arm(200, 0, 0), &Arm::Absent);
    assert!(
        matches!(outlook, Outlook::Unclear { .. }),
        "p95 has nothing to compare with, and that is no darkness: {outlook:?}"
    );
}

#[test]
fn a_canary_that_has_never_worked_does_not_wait_for_settle() {
    let rules = rules();
    let mut bench = Bench::new(&rules, 10);
    let outlook = bench.tick(arm(20, 20, 0), arm(180, 0, 0));
    assert!(
        matches!(outlook, Outlook::Breach { how: How::Trip, .. }),
        "{outlook:?}"
    );
}

#[test]
fn requests_that_vanish_with_the_raise_put_it_back_and_those_that_stay_hold_it() {
    let rules = rules();
    for (control, lost) in [(500, true), (1000, false)] {
        let mut zero = Bench::new(&rules, 0);
        zero.ticks(20, &Arm::Absent, &arm(1000, 0, 0));
        let mut bench = Bench::new(&rules, 50);
        bench.ledger = zero.ledger.follow(at(0), at(60));
        let outlook = bench.ticks(12, &Arm::Absent, &arm(control, 0, 0));
        if lost {
            assert!(
                matches!(
                    outlook,
                    Outlook::Breach {
                        how: How::LostTraffic,
                        ..
                    }
                ),
                "{outlook:?}"
            );
        } else {
            assert!(matches!(outlook, Outlook::NotArriving { .. }), "{outlook:?}");
        }
    }
}

#[test]
fn at_full_weight_the_frozen_control_is_the_measure() {
    let rules = rules();
    let mut before = Bench::new(&rules, 75);
    before.ticks(60, &arm(150, 0, 0), &arm(50, 0, 0));
    let baseline = before.ledger.freeze(at(600)).unwrap();
    for (slow, over) in [(0, false), (200, true)] {
        let mut bench = Bench::new(&rules, 100);
        bench.ctx.baseline = Some(&baseline);
        let outlook = bench.ticks(90, &arm(200, 0, slow), &Arm::Absent);
        assert_eq!(is_breach(&outlook), over, "{outlook:?}");
        assert_eq!(outlook == Outlook::Promotable, !over, "{outlook:?}");
    }
}

#[test]
fn a_stored_ledger_is_small_and_judges_as_it_did() {
    let rules = rules();
    let mut bench = Bench::new(&rules, 10);
    for _ in 0..100 {
        bench.ticks(40, &arm(2000, 1, 70), &arm(18_000, 9, 600));
        let text = serde_json::to_string(&bench.ledger).unwrap();
        assert!(text.len() <= 2048, "{}: {text}", text.len());
        let again: Ledger = serde_json::from_str(&text).unwrap();
        assert_eq!(again.outlook(&bench.ctx), bench.ledger.outlook(&bench.ctx));
        bench.ledger = again;
    }
}

/// A small generator: the same numbers every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        real(self.0 >> 11) / real(1 << 53)
    }

    fn binomial(&mut self, n: u64, p: f64) -> u64 {
        (0..n).filter(|_| self.roll() < p).count() as u64
    }
}

/// Seconds after settle until a breach, of a canary with so many requests per tick and such an error ratio.
fn seconds_to_breach(dice: &mut Dice, n: u64, p: f64, ticks: u64) -> Option<u64> {
    let rules = rules();
    let mut bench = Bench::new(&rules, 50);
    bench.ticks(6, &arm(n, 0, 0), &arm(n, 0, 0));
    for t in 1..=ticks {
        let errors = dice.binomial(n, p);
        let control = dice.binomial(n, 0.002);
        if is_breach(&bench.tick(arm(n, errors, 0), arm(n, control, 0))) {
            return Some(t * TICK);
        }
    }
    None
}

#[test]
fn a_healthy_canary_is_not_rolled_back_more_often_than_promised() {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    for (n, runs) in [(2, 60), (20, 40), (200, 10)] {
        let trips = (0..runs)
            .filter(|_| seconds_to_breach(&mut dice, n, 0.01, 180).is_some())
            .count();
        assert!(trips <= 1, "{trips} of {runs} at {n} requests per tick");
    }
}

#[test]
fn a_bad_canary_is_found_in_time() {
    let mut dice = Dice(42);
    for _ in 0..10 {
        assert!(seconds_to_breach(&mut dice, 200, 0.05, 60).is_some_and(|s| s <= 120));
        assert!(seconds_to_breach(&mut dice, 2000, 0.5, 60).is_some_and(|s| s <= 20));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn more_of_the_same_control_never_rescues_a_canary(
        n in 5_u64..50, k in 1_u64..5, b in 5_u64..50, times in 2_u64..50,
    ) {
        let rules = rules();
        let outlook = |control: u64| {
            let mut bench = Bench::new(&rules, 50);
            bench.ticks(6, &arm(n, 0, 0), &arm(control, 0, 0));
            bench.ticks(30, &arm(n, k, 0), &arm(control, 0, 0))
        };
        prop_assert!(!is_breach(&outlook(b)) || is_breach(&outlook(b * times)));
    }

    #[test]
    fn whatever_was_counted_blindness_is_unknown(n in 0_u64..300, k in 0_u64..3, b in 0_u64..300) {
        let rules = rules();
        let mut bench = Bench::new(&rules, 10);
        bench.ticks(40, &arm(n, k.min(n), 0), &arm(b, 0, 0));
        let unknown = matches!(bench.blind(Dark::Down), Outlook::Unknown { .. });
        prop_assert!(unknown);
    }
}
