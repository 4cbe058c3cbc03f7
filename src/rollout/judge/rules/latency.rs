//! Slow requests: evidence on buckets, against a limit and against control.

use super::*;

/// Istio's bounds around a P95 of 150 ms.
const BOUNDS: [f64; 7] = [25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0];

/// An arm with so many requests in each bucket.
fn timed(counts: [u64; 8], bounds: &[f64]) -> Arm {
    Arm::Seen(Counts {
        requests: counts.iter().sum(),
        errors: 0,
        latency: Some(Histogram {
            bounds_ms: bounds.into(),
            counts: counts.into(),
        }),
    })
}

/// Ten requests, and a control of a hundred: log-normal times around 55 ms, `times` as long.
fn usual(requests: u64, times: f64) -> Arm {
    use statrs::distribution::{ContinuousCDF, LogNormal};
    let law = LogNormal::new((55.0 * times).ln(), 0.6).unwrap();
    let below = |ms: f64| law.cdf(ms) * real(requests);
    let mut counts = [0; 8];
    let mut before = 0;
    for (slot, bound) in counts.iter_mut().zip(BOUNDS.into_iter().chain([1e9])) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        let now = below(bound).round() as u64;
        *slot = now - before;
        before = now;
    }
    timed(counts, &BOUNDS)
}

fn p95(promote: &str, rollback: &str) -> Vec<CheckRule> {
    let max = |text: &str| Limits {
        max: Some(text.parse::<Bound>().unwrap()),
        ..Limits::default()
    };
    vec![rule("p95", Metric::Latency, max(promote), Some(max(rollback)))]
}

fn ticks_to_breach(bench: &mut Bench<'_>, canary: &Arm, control: &Arm, most: u64) -> Option<u64> {
    (1..=most).find(|_| is_breach(&bench.tick(canary.clone(), control.clone())))
}

#[test]
fn a_canary_three_times_as_slow_goes_back_within_a_minute_of_settling() {
    let rules = rules();
    let mut bench = Bench::new(&rules, 5);
    bench.ticks(6, &usual(30, 3.0), &usual(570, 1.0));
    let ticks = ticks_to_breach(&mut bench, &usual(30, 3.0), &usual(570, 1.0), 60);
    // One more than evidence needs: the first tick tells which bound to compare by.
    assert!(ticks.is_some_and(|t| t <= 5), "{ticks:?}");
    let judged = bench.ledger.judge(&bench.ctx);
    let p95 = &judged.checks[1];
    assert!(
        p95.verdict == Verdict::Breach && p95.evidence.is_some_and(|e| e >= 1.0),
        "{p95:?}"
    );
}

#[test]
fn a_rollback_limit_between_two_bounds_is_said_beside_a_pass() {
    let told = |rollback: &str| {
        let rules = p95("250ms", rollback);
        let mut bench = Bench::new(&rules, 50);
        bench.ticks(60, &usual(200, 1.0), &usual(200, 1.0));
        let p95 = bench.ledger.judge(&bench.ctx).checks[0].clone();
        assert_eq!(p95.verdict, Verdict::Pass, "{p95:?}");
        p95.message
    };
    let message = told("700ms");
    assert!(
        message.contains("up to 1s its rollback limit of 700ms puts nothing back"),
        "{message}"
    );
    assert!(!told("500ms").contains("puts nothing back"));
}

#[test]
fn the_value_that_is_shown_is_the_one_that_the_sentence_is_about() {
    let rules = p95("150ms", "1s");
    let mut bench = Bench::new(&rules, 50);
    bench.ticks(200, &usual(20, 3.0), &usual(200, 1.0));
    bench.ticks(60, &usual(20, 1.0), &usual(200, 1.0));
    let p95 = &bench.ledger.judge(&bench.ctx).checks[0];
    let value = p95.value.as_deref().unwrap();
    assert!(p95.message.starts_with(value), "{p95:?}");
    assert!(
        p95.message
            .contains("its limit of 150ms is held to the bucket that ends at 100ms"),
        "{p95:?}"
    );
}

#[test]
fn a_canary_that_gets_slow_in_the_middle_of_a_day_goes_back_as_well() {
    let rules = rules();
    let mut bench = Bench::new(&rules, 5);
    bench.ticks(4000, &usual(30, 1.0), &usual(570, 1.0));
    let ticks = ticks_to_breach(&mut bench, &usual(30, 3.0), &usual(570, 1.0), 60);
    assert!(ticks.is_some_and(|t| t <= 12), "{ticks:?}");
}

#[test]
fn a_canary_as_fast_as_control_stays_whatever_control_is_like() {
    let rules = rules();
    for times in [0.2, 1.0, 4.0] {
        let mut bench = Bench::new(&rules, 50);
        for _ in 0..300 {
            let outlook = bench.tick(usual(200, times), usual(200, times));
            assert!(!is_breach(&outlook), "{times}: {outlook:?}");
        }
        assert_eq!(bench.ledger.outlook(&bench.ctx), Outlook::Promotable, "{times}");
    }
}

#[test]
fn a_limit_that_is_a_bound_is_held_exactly_and_another_is_held_to_the_next_one() {
    for (limit, breach) in [("100ms", true), ("101ms", false), ("250ms", false)] {
        let rules = p95("100ms", limit);
        let mut bench = Bench::new(&rules, 10);
        // A tenth takes 100 to 250 ms.
        let canary = timed([0, 0, 90, 10, 0, 0, 0, 0], &BOUNDS);
        let outlook = bench.ticks(200, &canary, &timed([0, 0, 900, 0, 0, 0, 0, 0], &BOUNDS));
        assert_eq!(is_breach(&outlook), breach, "{limit}: {outlook:?}");
    }
}

#[test]
fn a_promote_limit_is_held_to_the_bound_below_and_says_so() {
    let rules = p95("240ms", "500ms");
    let mut bench = Bench::new(&rules, 10);
    let outlook = bench.ticks(60, &usual(100, 1.0), &usual(900, 1.0));
    assert!(
        matches!(outlook, Outlook::Between { .. }),
        "P95 is 148 ms, held to 100: {outlook:?}"
    );
    let message = &bench.ledger.judge(&bench.ctx).checks[0].message;
    assert!(
        message.contains("bucket that ends at 100ms") && message.contains("statsHistogramBuckets"),
        "{message}"
    );
    assert!(message.len() <= 256, "{}", message.len());
}

#[test]
fn the_remedy_for_coarse_buckets_is_that_of_the_exporter_that_has_them() {
    let rules = p95("240ms", "500ms");
    for (preset, says) in [
        (Preset::IngressNginx, "set the controller's --time-buckets"),
        (Preset::Traefik, "set metrics.prometheus.buckets"),
        (Preset::Envoy, "set stats_config.histogram_bucket_settings"),
    ] {
        let mut bench = Bench::new(&rules, 10);
        bench.ctx.preset = preset;
        bench.ticks(60, &usual(100, 1.0), &usual(900, 1.0));
        let message = &bench.ledger.judge(&bench.ctx).checks[0].message;
        assert!(
            message.contains(says) && !message.contains("istio.io"),
            "{message}"
        );
    }
}

#[test]
fn a_rollback_limit_beyond_every_bound_is_told_whatever_else_there_is_to_say() {
    for (rules, enough) in [(p95("250ms", "60s"), 60), (p95("250ms", "60s"), 10)] {
        let mut bench = Bench::new(&rules, 10);
        let outlook = bench.ticks(enough, &usual(100, 1.0), &usual(900, 1.0));
        assert!(matches!(outlook, Outlook::Unclear { .. }), "{outlook:?}");
        let check = &bench.ledger.judge(&bench.ctx).checks[0];
        let message = &check.message;
        assert_eq!(check.verdict, Verdict::Unknown, "{message}");
        assert!(
            message.contains(
                "rollback limit of 1m cannot be judged, for the last latency bucket ends at 2s500ms"
            ) && message.contains("statsHistogramBuckets"),
            "{message}"
        );
        assert!(message.len() <= 256, "{}", message.len());
    }
}

#[test]
fn a_promote_limit_below_every_bound_is_unknown_and_names_the_remedy() {
    let rules = p95("20ms", "500ms");
    let mut bench = Bench::new(&rules, 10);
    let outlook = bench.ticks(60, &usual(100, 1.0), &usual(900, 1.0));
    let Outlook::Unclear { message, .. } = outlook else {
        panic!("{outlook:?}")
    };
    assert!(
        message.contains("first one at 25ms") && message.contains("statsHistogramBuckets"),
        "{message}"
    );
}

#[test]
fn bounds_too_far_apart_for_the_limit_are_told_with_the_flags_to_set() {
    let rules = rules();
    let mut bench = Bench::new(&rules, 10);
    bench.ticks(60, &usual(100, 1.0), &usual(900, 1.0));
    let message = &bench.ledger.judge(&bench.ctx).checks[1].message;
    assert!(message.contains("cannot tell +15% from +150%"), "{message}");
    assert!(
        message.contains("sidecar.istio.io/statsHistogramBuckets"),
        "{message}"
    );
    assert!(message.len() <= 256, "{}", message.len());
}

#[test]
fn when_both_arms_are_slow_nobody_is_rolled_back_and_a_much_slower_canary_is() {
    let rules = p95("100ms", "250ms");
    let mut bench = Bench::new(&rules, 10);
    bench.ticks(60, &usual(30, 0.5), &usual(270, 0.5));
    for _ in 0..90 {
        let outlook = bench.tick(usual(30, 4.0), usual(270, 4.0));
        assert!(!is_breach(&outlook), "{outlook:?}");
    }
    let outlook = bench.ledger.outlook(&bench.ctx);
    assert!(matches!(outlook, Outlook::SharedOutage { .. }), "{outlook:?}");
    let ticks = ticks_to_breach(&mut bench, &usual(30, 30.0), &usual(270, 4.0), 90);
    assert!(ticks.is_some(), "ten times as slow as a slow control");
}

#[test]
fn a_slow_control_beside_a_fast_canary_is_no_reason_to_raise() {
    let rules = p95("100ms", "250ms");
    let mut bench = Bench::new(&rules, 10);
    let outlook = bench.ticks(60, &usual(30, 0.5), &usual(270, 5.0));
    assert!(matches!(outlook, Outlook::ControlBad { .. }), "{outlook:?}");
}

#[test]
fn a_few_slow_requests_are_no_evidence() {
    let rules = p95("100ms", "100ms");
    let mut bench = Bench::new(&rules, 10);
    bench.ticks(10, &timed([0, 0, 10, 0, 0, 0, 0, 0], &BOUNDS), &usual(90, 0.5));
    let outlook = bench.tick(timed([0, 0, 8, 2, 0, 0, 0, 0], &BOUNDS), usual(90, 0.5));
    assert!(!is_breach(&outlook), "{outlook:?}");
}

#[test]
fn promotion_needs_requests_that_prove_the_canary_fast_enough() {
    let rules = p95("100ms", "250ms");
    let mut bench = Bench::new(&rules, 10);
    bench.ticks(7, &usual(9, 0.5), &usual(81, 0.5));
    let outlook = bench.ticks(3, &usual(9, 0.5), &usual(81, 0.5));
    assert!(matches!(outlook, Outlook::Insufficient { .. }), "{outlook:?}");
    let outlook = bench.ticks(30, &usual(9, 0.5), &usual(81, 0.5));
    assert_eq!(outlook, Outlook::Promotable);
}

#[test]
fn a_histogram_with_other_bounds_midway_is_no_evidence_of_anything() {
    let rules = p95("100ms", "250ms");
    let mut bench = Bench::new(&rules, 10);
    bench.ticks(40, &usual(30, 0.5), &usual(270, 0.5));
    let wide: Vec<f64> = vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0];
    let other = timed([0, 0, 0, 0, 0, 0, 0, 30], &wide);
    let outlook = bench.ticks(30, &other, &other);
    assert!(!is_breach(&outlook), "{outlook:?}");
}

/// Requests that take so many milliseconds, in so many of a hundred, on an arm that takes `times` as long.
fn modes(requests: u64, modes: &[(f64, u32)], times: f64) -> Arm {
    let all: u32 = modes.iter().map(|(_, weight)| weight).sum();
    let mut counts = [0; 8];
    let mut before = 0;
    for (slot, bound) in counts.iter_mut().zip(BOUNDS.into_iter().chain([f64::INFINITY])) {
        let below: u32 = modes
            .iter()
            .filter(|(ms, _)| ms * times <= bound)
            .map(|(_, w)| w)
            .sum();
        let now = requests * u64::from(below) / u64::from(all);
        *slot = now - before;
        before = now;
    }
    timed(counts, &BOUNDS)
}

/// Requests whose latencies are log-normal.
fn hump(requests: u64, median: f64, sigma: f64) -> Arm {
    use statrs::distribution::{ContinuousCDF, LogNormal};
    let law = LogNormal::new(median.ln(), sigma).unwrap();
    let mut counts = [0; 8];
    let mut before = 0;
    for (slot, bound) in counts.iter_mut().zip(BOUNDS.into_iter().chain([f64::INFINITY])) {
        let below = if bound.is_finite() { law.cdf(bound) } else { 1.0 };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        let now = (real(requests) * below).round() as u64;
        *slot = now - before;
        before = now;
    }
    timed(counts, &BOUNDS)
}

#[test]
fn a_canary_a_little_slower_than_a_control_that_answers_just_under_a_bound_stays() {
    let rules = rules();
    // 94% of control take 98 ms. The canary's take 2% more, and are beyond the bound.
    for times in [1.0, 1.03, 1.1, 1.4] {
        let control = modes(900, &[(98.0, 94), (120.0, 6)], 1.0);
        let canary = modes(100, &[(98.0, 94), (120.0, 6)], times);
        let mut bench = Bench::new(&rules, 10);
        for _ in 0..200 {
            let outlook = bench.tick(canary.clone(), control.clone());
            assert!(!is_breach(&outlook), "{times} times as slow: {outlook:?}");
        }
    }
    let control = modes(900, &[(98.0, 94), (120.0, 6)], 1.0);
    let slow = modes(100, &[(98.0, 94), (120.0, 6)], 3.0);
    let mut bench = Bench::new(&rules, 10);
    bench.ticks(60, &modes(100, &[(98.0, 94), (120.0, 6)], 1.0), &control);
    let ticks = ticks_to_breach(&mut bench, &slow, &control, 60);
    assert!(
        ticks.is_some_and(|t| t <= 12),
        "three times as slow is seen: {ticks:?}"
    );
}

#[test]
fn a_canary_twice_as_slow_as_control_is_put_back_with_the_default_limit_of_half_as_slow_again() {
    let rules = rules();
    for (median, sigma) in [(30.0, 0.6), (55.0, 0.6), (90.0, 0.5), (120.0, 0.8), (400.0, 0.7)] {
        let control = hump(900, median, sigma);
        let mut bench = Bench::new(&rules, 10);
        bench.ticks(60, &hump(100, median, sigma), &control);
        let ticks = ticks_to_breach(&mut bench, &hump(100, 2.0 * median, sigma), &control, 360);
        assert!(
            ticks.is_some(),
            "control's median {median} ms, sigma {sigma}: not within an hour {:?}",
            bench.ledger.judge(&bench.ctx).checks
        );
        println!("control's median {median} ms, sigma {sigma}: {ticks:?} looks");
    }
}

#[test]
fn a_frozen_control_of_a_few_requests_is_no_proof_that_it_never_was_slow() {
    let rules = rules();
    // A fiftieth of all requests is slow on both arms; control had 60 before it fell below 10%, by luck none of them slow.
    let mut before = Bench::new(&rules, 90);
    before.ticks(66, &usual(9, 1.0), &timed([0, 0, 1, 0, 0, 0, 0, 0], &BOUNDS));
    let baseline = before.ledger.freeze(at(660)).unwrap();
    let mut bench = Bench::new(&rules, 100);
    bench.ctx.baseline = Some(&baseline);
    let (fast, slow) = ([0, 0, 1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 0, 0, 0]);
    for _ in 0..20 {
        for (n, answer) in [(98, fast), (2, slow)] {
            let back = ticks_to_breach(&mut bench, &timed(answer, &BOUNDS), &Arm::Absent, n);
            assert_eq!(back, None, "two of a hundred are slow, one after the other");
        }
    }
    let ill = ticks_to_breach(
        &mut bench,
        &timed([0, 0, 0, 0, 1, 0, 0, 0], &BOUNDS),
        &Arm::Absent,
        60,
    );
    assert!(
        ill.is_some(),
        "a canary all of whose requests are slow still goes back"
    );
}

#[test]
fn buckets_that_cannot_show_the_rollback_limit_are_told() {
    let rules = rules();
    let mut bench = Bench::new(&rules, 10);
    let beyond = |n| timed([0, 0, 0, 0, 0, 0, 0, n], &BOUNDS);
    bench.ticks(60, &beyond(100), &beyond(900));
    let message = &bench.ledger.judge(&bench.ctx).checks[1].message;
    assert!(
        message.contains("rollback limit of +50% cannot be judged")
            && message.contains("statsHistogramBuckets"),
        "{message}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Where latencies have one hump, counts of a canary whose every request takes at most half as long again are no
    /// evidence; where they stand in spikes, those of a canary that is as fast as control are none.
    #[test]
    fn a_canary_within_its_limit_is_not_put_back_whatever_the_width_of_controls_latencies(
        median in 5.0_f64..1500.0, sigma in 0.15_f64..1.3, times in 1.0_f64..1.5,
        spikes in prop::collection::vec((10.0_f64..3000.0, 1_u32..60), 1..6),
    ) {
        let rules = rules();
        let hump = |times: f64| hump(500, median * times, sigma);
        let spiked = modes(500, &spikes, 1.0);
        for (control, canary) in [(hump(1.0), hump(times)), (spiked.clone(), spiked)] {
            for percent in [10, 95] {
                let mut bench = Bench::new(&rules, 50);
                bench.ticks(60, &control, &control);
                let baseline = bench.ledger.freeze(at(600));
                let mut bench = Bench::new(&rules, percent);
                bench.ctx.baseline = baseline.as_ref();
                let outlook = bench.ticks(90, &canary, &control);
                prop_assert!(!is_breach(&outlook), "{:?}", outlook);
            }
        }
    }
}
