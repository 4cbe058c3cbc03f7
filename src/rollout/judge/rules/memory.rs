//! What the ledger remembers, for how long, and what it makes of gaps, bursts and small numbers.

use super::*;
use crate::rollout::ledger::Ledger;
use crate::rollout::sample::Slice;

fn errors(rollback: Limits) -> Vec<CheckRule> {
    let promote = Limits {
        max: Some("0.1%".parse().unwrap()),
        ..Limits::default()
    };
    vec![rule("errors", Metric::ErrorRate, promote, Some(rollback))]
}

fn at_most(text: &str) -> Limits {
    Limits {
        max: Some(text.parse().unwrap()),
        ..Limits::default()
    }
}

/// A past of control's in which errors come nine at a time.
fn bursts() -> Vec<Slice> {
    let slice = |i: u64| Slice {
        length: Duration::from_secs(60),
        control: Counts {
            requests: 1200,
            errors: if i % 10 == 3 { 9 } else { 0 },
            latency: None,
        },
    };
    (0..240).map(slice).collect()
}

#[test]
fn two_failing_ticks_in_a_row_are_enough_and_two_apart_are_not() {
    let rules = errors(at_most("99%"));
    let mut bench = Bench::new(&rules, 10);
    bench.ticks(10, &arm(20, 0, 0), &arm(180, 0, 0));
    let one = bench.tick(arm(10, 6, 0), arm(180, 0, 0));
    assert!(!is_breach(&one), "{one:?}");
    bench.ticks(1, &arm(20, 0, 0), &arm(180, 0, 0));
    let apart = bench.tick(arm(10, 6, 0), arm(180, 0, 0));
    assert!(!is_breach(&apart), "{apart:?}");
    let two = bench.tick(arm(10, 6, 0), arm(180, 0, 0));
    assert!(matches!(two, Outlook::Breach { how: How::Trip, .. }), "{two:?}");
}

#[test]
fn darkness_between_two_failing_ticks_breaks_their_row() {
    let rules = errors(at_most("99%"));
    let mut bench = Bench::new(&rules, 10);
    bench.ticks(10, &arm(20, 0, 0), &arm(180, 0, 0));
    bench.tick(arm(10, 6, 0), arm(180, 0, 0));
    bench.blind(Dark::Down);
    let outlook = bench.tick(arm(10, 6, 0), arm(180, 0, 0));
    assert!(!is_breach(&outlook), "{outlook:?}");
}

#[test]
fn a_gap_of_more_than_five_minutes_breaks_a_row_and_a_shorter_one_does_not() {
    for (gap, breach) in [(200, true), (400, false)] {
        let rules = errors(at_most("99%"));
        let mut bench = Bench::new(&rules, 10);
        bench.ticks(10, &arm(20, 0, 0), &arm(180, 0, 0));
        bench.tick(arm(10, 6, 0), arm(180, 0, 0));
        bench.end += gap;
        let outlook = bench.tick(arm(10, 6, 0), arm(180, 0, 0));
        assert_eq!(is_breach(&outlook), breach, "{gap}: {outlook:?}");
    }
}

#[test]
fn where_errors_come_in_bursts_a_burst_is_neither_evidence_nor_a_disaster() {
    for (known, breach) in [(false, true), (true, false)] {
        let rules = errors(at_most("1%"));
        let mut bench = Bench::new(&rules, 10);
        if known {
            bench.ledger.learn(&bursts(), &bench.ctx);
        }
        bench.ticks(10, &arm(20, 0, 0), &arm(180, 0, 0));
        bench.tick(arm(10, 7, 0), arm(180, 0, 0));
        let outlook = bench.tick(arm(10, 7, 0), arm(180, 0, 0));
        assert_eq!(is_breach(&outlook), breach, "{known}: {outlook:?}");
    }
}

#[test]
fn a_steady_fault_is_found_although_errors_come_in_bursts() {
    let rules = errors(at_most("1%"));
    let mut bench = Bench::new(&rules, 10);
    bench.ledger.learn(&bursts(), &bench.ctx);
    bench.ticks(10, &arm(20, 0, 0), &arm(180, 0, 0));
    let outlook = bench.ticks(90, &arm(20, 4, 0), &arm(180, 0, 0));
    assert!(is_breach(&outlook), "{outlook:?}");
}

#[test]
fn what_was_learned_of_control_goes_along_to_the_next_weight_and_through_a_restart() {
    let rules = rules();
    let mut bench = Bench::new(&rules, 0);
    bench.ledger.learn(&bursts(), &bench.ctx);
    bench.ticks(30, &Arm::Absent, &arm(200, 0, 0));
    let text = serde_json::to_string(&bench.ledger.follow(at(300), at(360))).unwrap();
    let next: Ledger = serde_json::from_str(&text).unwrap();
    assert!(next.noise.errors.phi() > 5.0, "{text}");
    assert!(
        next.pivot.is_some(),
        "latencies can be compared from the first tick: {text}"
    );
}

#[test]
fn a_ledger_stored_before_bursts_were_known_is_read() {
    let old = r#"{"judged":"10m","s":"2026-01-05T02:00:00Z","j":"2026-01-05T02:01:00Z",
        "t":"2026-01-05T02:11:00Z","c":true,"n":true,"a":{"c":{"n":10},"b":{"n":90},"t":1000},
        "b":[{"c":{"n":10,"h":[1,9,0]},"b":{"n":90,"h":[9,81,0]},"t":1000},{}],
        "w":[[1767578400000,1000,1000,[10,0,90,0],[],[]]],"l":[[1767578400000,1000,1000,[10,0,90,0],[1,9,0],[9,81,0]]],
        "le":[10.0,50.0],"e":[{"l":{"a":0.01},"e":[1.0,2.0,3.0,4.0,5.0,6.0]}],"o":{"p95":"2026-01-05T02:11:00Z"}}"#;
    let ledger: Ledger = serde_json::from_str(old).unwrap();
    let rules = rules();
    let mut bench = Bench::new(&rules, 10);
    bench.ledger = ledger;
    bench.end = 700;
    let outlook = bench.tick(arm(20, 0, 0), arm(180, 0, 0));
    assert!(!is_breach(&outlook), "{outlook:?}");
}

#[test]
fn all_data_is_that_of_the_running_half_day_and_the_one_before() {
    let rules = errors(at_most("50%"));
    let mut bench = Bench::new(&rules, 10);
    let good = arm(100, 0, 0);
    bench.ticks(6, &good, &arm(900, 0, 0));
    // Errors of the first half day are seen in the second, and forgotten in the third.
    bench.ticks(4319, &arm(100, 1, 0), &arm(900, 0, 0));
    bench.ticks(4320, &good, &arm(900, 0, 0));
    let seen = bench.ledger.outlook(&bench.ctx);
    assert!(matches!(seen, Outlook::Between { .. }), "{seen:?}");
    let forgotten = bench.ticks(4325, &good, &arm(900, 0, 0));
    assert_eq!(forgotten, Outlook::Promotable);
}

#[test]
fn min_requests_takes_the_place_of_the_statistics() {
    for (asked, enough) in [(150, true), (600, false)] {
        let mut rules = rules();
        for rule in &mut rules {
            rule.min_requests = asked;
        }
        let mut bench = Bench::new(&rules, 50);
        let outlook = bench.ticks(36, &arm(10, 0, 0), &arm(10, 0, 0));
        assert_eq!(outlook == Outlook::Promotable, enough, "{asked}: {outlook:?}");
        assert_eq!(
            matches!(outlook, Outlook::Insufficient { .. }),
            !enough,
            "{outlook:?}"
        );
    }
}

#[test]
fn how_many_requests_are_needed_counts_the_errors_that_are_among_them() {
    let mut rules = errors(at_most("7%"));
    rules[0].promote = Some(at_most("6%"));
    let needed = |bench: &mut Bench<'_>, ticks: u64| {
        for _ in 0..ticks {
            bench.ticks(1, &arm(40, 2, 0), &arm(40, 0, 0));
        }
        let check = bench.ledger.judge(&bench.ctx).checks[0].clone();
        assert_eq!(check.verdict, Verdict::Insufficient, "{check:?}");
        let about = check.message.split("about ").nth(1).unwrap().to_owned();
        about.split(' ').next().unwrap().parse::<u64>().unwrap()
    };
    let mut bench = Bench::new(&rules, 50);
    let first = needed(&mut bench, 10);
    assert_eq!(
        needed(&mut bench, 5),
        first,
        "at one ratio it stays the same number"
    );
    let enough = bench.ticks(first / 40, &arm(40, 2, 0), &arm(40, 0, 0));
    assert_eq!(enough, Outlook::Promotable);
}

#[test]
fn errors_may_be_held_to_control_alone() {
    let more = Limits {
        max_increase: Some("100%".parse().unwrap()),
        ..Limits::default()
    };
    let rules = errors(more);
    for (errors, breach) in [(1, false), (5, true)] {
        let mut bench = Bench::new(&rules, 50);
        let outlook = bench.ticks(60, &arm(100, errors, 0), &arm(100, 1, 0));
        assert_eq!(is_breach(&outlook), breach, "{errors}: {outlook:?}");
    }
    // Without a control arm there is nothing to hold it to.
    let mut bench = Bench::new(&rules, 50);
    bench.ctx.has_control = false;
    let outlook = bench.ticks(60, &arm(100, 5, 0), &Arm::NotAsked);
    assert!(!is_breach(&outlook), "{outlook:?}");
}

#[test]
fn a_control_too_small_to_testify_holds_what_it_could_acquit() {
    let rules = errors(at_most("1%"));
    let mut bench = Bench::new(&rules, 90);
    // One control request in a minute, and it succeeds: a fault of both cannot be ruled out yet.
    let mut outlook = Outlook::Promotable;
    for tick in 0..42 {
        outlook = bench.tick(
            arm(9, u64::from(tick >= 6) * 2, 0),
            arm(u64::from(tick % 6 == 0), 0, 0),
        );
    }
    assert!(matches!(outlook, Outlook::Between { .. }), "{outlook:?}");
    let message = &bench.ledger.judge(&bench.ctx).checks[0].message;
    assert!(message.contains("control has too few requests"), "{message}");
    let outlook = bench.ticks(120, &arm(9, 2, 0), &arm(1, 0, 0));
    assert!(is_breach(&outlook), "{outlook:?}");
}

/// The outlook after so many minutes in which a canary at 95% has 2 errors in 9 requests a tick, beside a control that
/// has a request every other minute.
fn beside_a_handful(minutes: u64, control_fails: bool, was_bad: bool) -> Outlook {
    let rules = errors(at_most("1%"));
    let before = Baseline {
        at: at(0),
        requests: 20_000,
        errors: if was_bad { 600 } else { 20 },
        bounds_ms: Vec::new(),
        latency: Vec::new(),
        phi: None,
    };
    let mut bench = Bench::new(&rules, 95);
    bench.ctx.baseline = Some(&before);
    bench.ticks(12, &arm(9, 0, 0), &arm(0, 0, 0));
    let mut outlook = Outlook::Promotable;
    for tick in 0..minutes * 6 {
        let requests = u64::from(tick % 12 == 0);
        outlook = bench.tick(
            arm(9, 2, 0),
            arm(requests, requests * u64::from(control_fails), 0),
        );
        if is_breach(&outlook) {
            break;
        }
    }
    outlook
}

#[test]
fn above_ninety_percent_promotion_is_held_to_what_a_frozen_control_without_an_error_may_still_have_been() {
    let half_more = Limits {
        max_increase: "50%".parse().ok(),
        ..Limits::default()
    };
    let rules = [rule("errors", Metric::ErrorRate, half_more, None)];
    let before = Baseline {
        requests: 1_000,
        ..Baseline::default()
    };
    let outlook = |failing: u64| {
        let mut bench = Bench::new(&rules, 95);
        bench.ctx.baseline = Some(&before);
        for _ in 0..90 {
            bench.ticks(3, &arm(200, 0, 0), &Arm::Absent);
            bench.tick(arm(200, failing, 0), Arm::Absent);
        }
        bench.ledger.outlook(&bench.ctx)
    };
    // None of 1,000 is up to 0.27%, at 95%; and half more of it.
    assert_eq!(outlook(1), Outlook::Promotable);
    let outlook = outlook(8);
    assert!(!matches!(outlook, Outlook::Promotable), "{outlook:?}");
}

#[test]
fn above_ninety_percent_a_handful_of_requests_of_control_holds_a_fault_for_half_an_hour_and_not_for_hours() {
    let outlook = beside_a_handful(20, false, false);
    assert!(matches!(outlook, Outlook::Between { .. }), "{outlook:?}");
    let outlook = beside_a_handful(40, false, false);
    assert!(is_breach(&outlook), "{outlook:?}");
}

/// After how many minutes a canary at 95% goes back that fails for `on` minutes and is well for `off`, again and again,
/// beside a control that has next to nothing; `None`: not within a day.
fn comes_and_goes(on: u64, off: u64) -> Option<u64> {
    let rules = errors(at_most("1%"));
    let mut bench = Bench::new(&rules, 95);
    bench.ticks(12, &arm(9, 0, 0), &arm(0, 0, 0));
    (0..24 * 60).find(|minute| {
        let errors = if minute % (on + off) < on { 2 } else { 0 };
        (0..6).any(|tick| {
            let requests = u64::from(minute % 2 == 0 && tick == 0);
            is_breach(&bench.tick(arm(9, errors, 0), arm(requests, 0, 0)))
        })
    })
}

#[test]
fn a_fault_that_comes_and_goes_is_no_more_patient_a_matter_than_one_that_stays() {
    let minutes = comes_and_goes(10, 10).unwrap_or(u64::MAX);
    assert!((30..=180).contains(&minutes), "after {minutes} minutes");
    assert_eq!(
        comes_and_goes(3, 120),
        None,
        "a short one every two hours has an end each time"
    );
}

#[test]
fn a_fault_that_waits_for_control_says_until_when() {
    let rules = errors(at_most("1%"));
    let mut bench = Bench::new(&rules, 95);
    bench.ticks(12, &arm(9, 0, 0), &arm(0, 0, 0));
    for tick in 0..60 {
        bench.tick(arm(9, 2, 0), arm(u64::from(tick % 12 == 0), 0, 0));
    }
    let message = &bench.ledger.judge(&bench.ctx).checks[0].message;
    assert!(message.contains("; if it stays so it goes back at "), "{message}");
}

#[test]
fn a_fault_that_a_handful_of_requests_of_control_shares_or_that_control_had_before_is_not_put_on_the_canary()
{
    let outlook = beside_a_handful(240, true, false);
    assert!(!is_breach(&outlook), "control fails, too: {outlook:?}");
    // Later its handful tells by comparison.
    let outlook = beside_a_handful(60, false, true);
    assert!(
        matches!(outlook, Outlook::Between { .. }),
        "control was past the limit before: {outlook:?}"
    );
}

#[test]
fn a_component_is_stored_in_four_kilobytes_with_istios_buckets() {
    const ISTIO: [f64; 19] = [
        0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1e3, 2.5e3, 5e3, 1e4, 3e4, 6e4, 3e5, 6e5,
        1.8e6, 3.6e6,
    ];
    let timed = |requests: u64, errors: u64| {
        let mut counts = vec![0; 20];
        for (slot, permille) in counts
            .iter_mut()
            .skip(1)
            .zip([3, 40, 90, 200, 300, 200, 120, 40, 5, 1, 1])
        {
            *slot = requests * permille / 1000;
        }
        let latency = Some(Histogram {
            bounds_ms: ISTIO.into(),
            counts,
        });
        Arm::Seen(Counts {
            requests,
            errors,
            latency,
        })
    };
    let mut rules = rules();
    let absolute = Limits {
        max: Some("5s".parse().unwrap()),
        ..rules[1].rollback.unwrap()
    };
    rules[1].rollback = Some(absolute);
    for (canary, control, ticks) in [(10_457, 10_321, 9000), (11, 10_321, 9000), (2, 9_321, 9000)] {
        let errors = |n: u64| n / 900;
        let mut bench = Bench::new(&rules, 50);
        bench.ticks(
            ticks,
            &timed(canary, errors(canary)),
            &timed(control, errors(control)),
        );
        is_stored_in_four_kilobytes(&bench);
    }
}

fn is_stored_in_four_kilobytes(bench: &Bench<'_>) {
    use crate::rollout::status::{ComponentStatus, HistoryEntry};
    let judged = bench.ledger.judge(&bench.ctx);
    let entry = |n: u16| HistoryEntry {
        at: at(0),
        from: Weight::from_percent(n).unwrap(),
        to: Weight::from_percent(n + 1).unwrap(),
        reason: crate::rollout::reason::Reason::Step,
        message: "next step: all checks pass".to_owned(),
        who: None,
        id: None,
    };
    let status = ComponentStatus {
        name: "terminal".to_owned(),
        message: "holding 50%: 3h of 1d judged".to_owned(),
        baseline: bench.ledger.freeze(at(0)),
        history: (0..12).map(entry).collect(),
        checks: judged.checks,
        evidence: Some(bench.ledger.clone()),
        ..ComponentStatus::default()
    };
    let text = serde_json::to_string(&status).unwrap();
    let ledger = serde_json::to_string(&bench.ledger).unwrap();
    assert!(
        text.len() <= 4096,
        "{} of them {}: {text}",
        text.len(),
        ledger.len()
    );
    let again: Ledger = serde_json::from_str(&ledger).unwrap();
    assert_eq!(again.outlook(&bench.ctx), bench.ledger.outlook(&bench.ctx));
}

#[test]
fn at_everything_what_still_comes_to_control_neither_acquits_nor_shares_the_blame() {
    let rules = rules();
    // A health check each minute goes well, or all that is left of control fails.
    for (leftover, failing) in [(1, 0), (1, 1)] {
        for bad in [20, 200] {
            let mut bench = Bench::new(&rules, 100);
            bench.ticks(60, &arm(200, 0, 0), &arm(leftover, 0, 0));
            let outlook = bench.ticks(12, &arm(200, bad, 0), &arm(leftover, failing, 0));
            assert!(
                is_breach(&outlook),
                "{bad} of 200, control {failing}: {outlook:?}"
            );
        }
    }
    // Where the canary is well, nothing that becomes of the leftovers puts it back.
    let mut bench = Bench::new(&rules, 100);
    let outlook = bench.ticks(120, &arm(200, 0, 0), &arm(1, 1, 0));
    assert!(!is_breach(&outlook), "{outlook:?}");
}

/// Whether a canary at half of the traffic is put back within two hours that gets so many requests of so many in each
/// tick, held to 80% of its share in windows of two minutes.
fn starved(canary: u64, all: u64) -> bool {
    let min = |text: &str| Limits {
        min: Some(text.parse().unwrap()),
        ..Limits::default()
    };
    let mut check = rule("throughput", Metric::Throughput, min("95%"), Some(min("80%")));
    (check.for_, check.window) = (Duration::from_secs(120), Duration::from_secs(120));
    let rules = [check];
    let mut bench = Bench::new(&rules, 50);
    (0..720).any(|_| is_breach(&bench.tick(arm(canary, 0, 0), arm(all - canary, 0, 0))))
}

#[test]
fn a_window_that_luck_explains_over_days_of_looks_puts_nothing_back() {
    // 12 of 48 requests in each window, of which 24 were its share, are rare in one window and not over a day of them.
    assert!(!starved(1, 4));
    // 120 of 480 never happen.
    assert!(starved(10, 40));
}
