//! What is said of a verdict.

use super::*;

#[test]
fn what_is_said_of_a_breach_is_of_the_stretch_that_was_judged() {
    for (metric, limit) in [(Metric::Availability, 99.0), (Metric::ErrorRate, 1.0)] {
        let all = rules();
        let rules: Vec<CheckRule> = all.into_iter().filter(|r| r.metric == metric).collect();
        let mut bench = Bench::new(&rules, 10);
        // Good for hours: since settle hardly anything failed.
        bench.ticks(2_000, &arm(100, 0, 0), &arm(900, 0, 0));
        let mut outlook = bench.tick(arm(100, 10, 0), arm(900, 0, 0));
        for _ in 0..60 {
            if is_breach(&outlook) {
                break;
            }
            outlook = bench.tick(arm(100, 10, 0), arm(900, 0, 0));
        }
        let Outlook::Breach { message, .. } = outlook else {
            panic!("{outlook:?}")
        };
        let said: f64 = message.split('%').next().unwrap().parse().unwrap();
        let past = if metric == Metric::Availability {
            said < limit
        } else {
            said > limit
        };
        assert!(past, "{message}");
        let status = &bench.ledger.judge(&bench.ctx).checks[0];
        assert!(
            message.starts_with(status.value.as_deref().unwrap()),
            "{status:?}"
        );
        assert!(
            message.contains(&format!("in {} requests", status.samples)),
            "{status:?}"
        );
    }
}
