//! Next to no requests.

use super::*;

#[test]
fn three_requests_with_one_failure_are_neither_good_nor_bad() {
    let rules = rules();
    let mut bench = Bench::new(&rules, 5);
    // Settled, without a request of the canary's.
    bench.ticks(7, &arm(0, 0, 0), &arm(57, 0, 0));
    let mut outlook = bench.tick(arm(3, 1, 0), arm(57, 0, 0));
    // Nor does it become either by waiting.
    for _ in 0..100 {
        assert!(!is_breach(&outlook), "{outlook:?}");
        assert_ne!(outlook, Outlook::Promotable);
        outlook = bench.tick(arm(0, 0, 0), arm(57, 0, 0));
    }
}

#[test]
fn no_requests_at_all_are_neither_good_nor_bad() {
    let rules = rules();
    let mut bench = Bench::new(&rules, 5);
    for _ in 0..100 {
        let outlook = bench.tick(arm(0, 0, 0), arm(57, 0, 0));
        assert!(!is_breach(&outlook), "{outlook:?}");
        assert_ne!(outlook, Outlook::Promotable);
    }
    let checks = bench.ledger.judge(&bench.ctx).checks;
    assert!(checks.iter().all(|c| c.verdict != Verdict::Pass), "{checks:?}");
}
