//! Checks that are held to control before the rollout.

use super::*;
use crate::rollout::ledger::Baseline;
use crate::rollout::sample::Slice;

fn by_history() -> Vec<CheckRule> {
    let more = |text: &str| Limits {
        max_increase: Some(text.parse().unwrap()),
        ..Limits::default()
    };
    let mut rules = vec![
        rule("errors", Metric::ErrorRate, more("50%"), Some(more("200%"))),
        rule("p95", Metric::Latency, more("15%"), Some(more("50%"))),
    ];
    for rule in &mut rules {
        rule.by_history = true;
    }
    rules
}

/// A day in quarter hours, each with so many requests; hours in minutes beside it that say something else.
fn past(rules: &[CheckRule], requests: u64, errors: u64, slow: u64) -> Option<Baseline> {
    let slice = |seconds, requests, errors, slow| Slice {
        length: Duration::from_secs(seconds),
        control: arm(requests, errors, slow).counts().unwrap().clone(),
    };
    let mut slices: Vec<Slice> = (0..96).map(|_| slice(900, requests, errors, slow)).collect();
    slices.extend((0..120).map(|_| slice(60, 10, 0, 0)));
    let mut ledger = Ledger::begin(at(0), at(60));
    let ctx = context(rules, 0);
    ledger.learn(&slices, &ctx);
    ledger.record(&slices, at(0), &ctx)
}

/// A canary beside a control, both for so many ticks, held to this past.
fn judged(rules: &[CheckRule], past: Option<&Baseline>, canary: &Arm, control: &Arm) -> Judgement {
    let mut bench = Bench::new(rules, 10);
    bench.ctx.recorded = past;
    bench.ticks(180, canary, control);
    bench.ledger.judge(&bench.ctx)
}

#[test]
fn the_day_before_is_summed_once_and_fits_into_a_few_bytes() {
    let rules = by_history();
    let past = past(&rules, 900, 2, 30).unwrap();
    assert_eq!((past.requests, past.errors), (96 * 900, 96 * 2));
    assert_eq!(past.timed(), 96 * 900);
    let text = serde_json::to_string(&past).unwrap();
    assert!(text.len() < 250, "{}: {text}", text.len());
    let again: Baseline = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&again).unwrap(), text);
}

#[test]
fn a_canary_is_held_to_controls_past_and_not_to_its_present() {
    let rules = by_history();
    let past = past(&rules, 900, 2, 30);
    for control in [arm(1800, 4, 60), arm(1800, 0, 0)] {
        let good = judged(&rules, past.as_ref(), &arm(200, 0, 6), &control);
        assert_eq!(good.outlook, Outlook::Promotable, "{good:?}");
        assert_eq!(good.checks[0].control.as_deref(), Some("0.222%"), "{good:?}");
        let bad = judged(&rules, past.as_ref(), &arm(200, 6, 6), &control);
        let Outlook::Breach { check, message, .. } = &bad.outlook else {
            panic!("{bad:?}");
        };
        assert_eq!(check, "errors");
        assert!(message.contains("above control before the rollout"), "{message}");
        let slow = judged(&rules, past.as_ref(), &arm(200, 0, 160), &control);
        assert!(
            matches!(&slow.outlook, Outlook::Breach { check, .. } if check == "p95"),
            "{slow:?}"
        );
    }
}

#[test]
fn when_control_is_as_bad_as_the_canary_now_its_past_puts_nothing_back() {
    let rules = by_history();
    let past = past(&rules, 900, 2, 30);
    for (errors, slow) in [(10, 6), (0, 160)] {
        let both = judged(
            &rules,
            past.as_ref(),
            &arm(200, errors, slow),
            &arm(1800, errors * 9, slow * 9),
        );
        assert!(matches!(both.outlook, Outlook::SharedOutage { .. }), "{both:?}");
    }
}

#[test]
fn at_full_weight_the_past_is_the_measure_without_a_frozen_control() {
    let rules = by_history();
    let past = past(&rules, 900, 2, 30);
    for (errors, over) in [(0, false), (6, true)] {
        let mut bench = Bench::new(&rules, 100);
        bench.ctx.recorded = past.as_ref();
        let outlook = bench.ticks(180, &arm(200, errors, 6), &Arm::Absent);
        assert_eq!(is_breach(&outlook), over, "{outlook:?}");
        assert_eq!(outlook == Outlook::Promotable, !over, "{outlook:?}");
    }
}

#[test]
fn no_past_is_no_pass_no_breach_and_no_darkness_and_says_what_to_do() {
    let rules = by_history();
    assert_eq!(
        past(&rules, 0, 0, 0).map(|p| p.requests),
        Some(1200),
        "the last hours alone"
    );
    let thin = past(&rules, 1, 0, 0);
    for past in [None, thin.as_ref()] {
        for errors in [0, 20] {
            let judged = judged(&rules, past, &arm(200, errors, 6), &arm(1800, 0, 60));
            assert!(matches!(judged.outlook, Outlook::Unclear { .. }), "{judged:?}");
            for check in &judged.checks {
                assert_eq!(check.verdict, Verdict::Unknown, "{check:?}");
                assert!(
                    check.message.contains("write baseline: concurrent"),
                    "{}",
                    check.message
                );
            }
        }
    }
}

#[test]
fn a_healthy_canary_is_not_held_to_what_its_own_past_left_to_chance() {
    let rules = by_history();
    let mut dice = Dice(0x51_7C_C1_B7_27_22_0A_95);
    let mut breaches = 0;
    for _ in 0..60 {
        // So few requests that their error ratio may be half of what it is.
        let errors = dice.binomial(2000, 0.004);
        let past = Baseline {
            requests: 2000,
            errors,
            ..past(&rules, 900, 2, 30).unwrap()
        };
        let mut bench = Bench::new(&rules, 10);
        bench.ctx.recorded = Some(&past);
        let mut over = false;
        for _ in 0..360 {
            let (c, b) = (dice.binomial(100, 0.004), dice.binomial(900, 0.004));
            over |= is_breach(&bench.tick(arm(100, c, 3), arm(900, b, 27)));
        }
        breaches += u32::from(over);
    }
    assert!(breaches <= 1, "{breaches} of 60");
}
