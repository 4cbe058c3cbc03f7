//! How many there were.

use super::*;
use crate::rollout::sample::Histogram;

#[test]
fn a_first_5xx_that_appears_at_40_is_40_errors_at_15_s_scrapes_and_a_10_s_interval() {
    let mut cursor = Cursor::default();
    let mut errors = 0;
    // Scrapes at 0, 15, 30 …; the canary starts failing after the scrape at 15.
    for now in (0..=60).step_by(10) {
        let scrape = now / 15 * 15;
        let mut series = vec![("200", 100.0)];
        if scrape >= 30 {
            series.push(("500", 40.0));
        }
        let snapshot = at(
            now,
            &[("new", pod(scrape, &series))],
            &[control(scrape, 10.0 * number(scrape))],
        );
        match advance(&mut cursor, snapshot) {
            Reading::Fresh(tick) => errors += counted(&tick.canary).1,
            Reading::Waiting => {}
            Reading::Blind(blindness) => panic!("{blindness:?}"),
        }
    }
    assert_eq!(errors, 40);
}

#[test]
fn a_canary_whose_only_answers_are_errors_is_counted_from_its_second_sample() {
    let mut cursor = Cursor::default();
    let failing = |now: i64, count| at(now, &[("new", pod(now, &[("503", count)]))], &[control(now, 0.0)]);
    let tick = fresh(last(&mut cursor, [failing(0, 40.0), failing(15, 80.0)]));
    assert_eq!(counted(&tick.canary), (40, 40));
}

#[test]
fn the_first_canary_requests_at_a_gateway_count_from_0_because_the_gateway_was_seen() {
    let mut cursor = Cursor::default();
    let gateway = |now, count| ("gateway", pod(now, &[("200", count)]));
    let before = at(0, &[], &[gateway(0, 1000.0)]);
    let after = at(
        15,
        &[("gateway", pod(15, &[("200", 4.0), ("503", 6.0)]))],
        &[gateway(15, 1100.0)],
    );
    let tick = fresh(last(&mut cursor, [before, after]));
    assert_eq!(
        (counted(&tick.canary), counted(&tick.control)),
        ((10, 6), (100, 0))
    );
}

#[test]
fn a_pod_that_is_new_as_a_whole_starts_at_its_first_sample() {
    let mut cursor = Cursor::default();
    let one = ("a", pod(0, &[("200", 10.0)]));
    let old = at(0, &[one], &[control(0, 0.0)]);
    let both = at(
        15,
        &[
            ("a", pod(15, &[("200", 20.0)])),
            ("b", pod(14, &[("200", 7000.0)])),
        ],
        &[control(15, 1.0)],
    );
    let later = at(
        30,
        &[
            ("a", pod(30, &[("200", 30.0)])),
            ("b", pod(29, &[("200", 7005.0)])),
        ],
        &[control(30, 2.0)],
    );
    assert_eq!(counted(&fresh(last(&mut cursor, [old, both])).canary), (10, 0));
    assert_eq!(counted(&fresh(advance(&mut cursor, later)).canary), (15, 0));
}

#[test]
fn a_process_that_starts_anew_counts_from_0() {
    let mut cursor = Cursor::default();
    let series = [("200", 1000.0), ("500", 10.0)];
    let before = at(0, &[("new", pod(0, &series))], &[control(0, 0.0)]);
    let after = at(
        15,
        &[("new", pod(15, &[("200", 5.0), ("500", 2.0)]))],
        &[control(15, 9.0)],
    );
    assert_eq!(counted(&fresh(last(&mut cursor, [before, after])).canary), (7, 2));
}

#[test]
fn series_that_a_living_exporter_drops_are_no_restart_and_no_lifetimes_count() {
    let mut cursor = Cursor::default();
    let begin = at(
        0,
        &[("new", pod(0, &[("200", 1000.0), ("500", 90.0)]))],
        &[control(0, 0.0)],
    );
    // One of many series behind a sum is gone: it falls a little. What remains is a lifetime's count.
    let less = at(
        15,
        &[("new", pod(15, &[("200", 990.0), ("500", 80.0)]))],
        &[control(15, 9.0)],
    );
    let on = at(
        30,
        &[("new", pod(30, &[("200", 993.0), ("500", 81.0)]))],
        &[control(30, 19.0)],
    );
    assert_eq!(last(&mut cursor, [begin, less]), Reading::Waiting);
    let tick = fresh(advance(&mut cursor, on));
    assert_eq!((counted(&tick.canary), counted(&tick.control)), ((4, 1), (10, 0)));
    // A series that is gone as a whole is no fall at all.
    let gone = at(45, &[("new", pod(45, &[("200", 995.0)]))], &[control(45, 20.0)]);
    assert_eq!(counted(&fresh(advance(&mut cursor, gone)).canary), (2, 0));
}

#[test]
fn a_gap_is_no_birth() {
    let mut cursor = Cursor::default();
    let two = |now, a, b| {
        at(
            now,
            &[("a", pod(now, &[("200", a)])), ("b", pod(now, &[("500", b)]))],
            &[control(now, number(now))],
        )
    };
    let gap = at(30, &[("a", pod(30, &[("200", 30.0)]))], &[control(30, 30.0)]);
    let during = fresh(last(&mut cursor, [two(0, 0.0, 500.0), two(15, 15.0, 501.0), gap]));
    assert_eq!(counted(&during.canary), (15, 0));
    let after = fresh(advance(&mut cursor, two(45, 45.0, 503.0)));
    assert_eq!(counted(&after.canary), (17, 2), "b goes on from 501");
}

#[test]
fn latency_is_counted_per_bucket_on_bounds_that_both_arms_have() {
    let mut cursor = Cursor::default();
    let inf = f64::INFINITY;
    let look = |now: i64, n: f64| {
        let new = timed(
            pod(now, &[("200", 4.0 * n)]),
            &[(5.0, n), (10.0, 3.0 * n), (inf, 4.0 * n)],
        );
        let old = timed(
            pod(now, &[("200", 2.0 * n)]),
            &[(10.0, n), (25.0, n), (inf, 2.0 * n)],
        );
        at(now, &[("new", new)], &[("old", old)])
    };
    let tick = fresh(last(&mut cursor, [look(0, 1.0), look(15, 11.0)]));
    let histogram = |counts: &[u64]| {
        Some(Histogram {
            bounds_ms: [10.0].into(),
            counts: counts.to_vec(),
        })
    };
    assert_eq!(tick.canary.counts().unwrap().latency, histogram(&[30, 10]));
    assert_eq!(tick.control.counts().unwrap().latency, histogram(&[10, 10]));
}

#[test]
fn a_broken_histogram_takes_away_latency_and_not_errors() {
    let mut cursor = Cursor::default();
    let look = |now: i64, low: f64| {
        let pod = timed(
            pod(now, &[("500", number(now))]),
            &[(5.0, low), (f64::INFINITY, number(now))],
        );
        at(now, &[("new", pod)], &[control(now, 0.0)])
    };
    let tick = fresh(last(&mut cursor, [look(10, 9.0), look(25, 3.0)]));
    assert_eq!(
        tick.canary.counts().unwrap(),
        &Counts {
            requests: 15,
            errors: 15,
            latency: None
        }
    );
}

#[test]
fn durations_that_are_no_number_take_away_latency_and_not_errors() {
    for nonsense in [f64::NAN, f64::INFINITY, -1.0, 1e17] {
        let mut cursor = Cursor::default();
        let look = |now: i64, all: f64| {
            let pod = timed(
                pod(now, &[("500", number(now))]),
                &[(5.0, number(now)), (f64::INFINITY, all)],
            );
            at(now, &[("new", pod)], &[control(now, 0.0)])
        };
        let looks = [look(10, 10.0), look(25, nonsense)];
        for reading in [last(&mut cursor, looks), advance(&mut cursor, look(40, 40.0))] {
            let tick = fresh(reading);
            let wanted = Counts {
                requests: 15,
                errors: 15,
                latency: None,
            };
            assert_eq!(tick.canary.counts().unwrap(), &wanted, "{nonsense}");
        }
        let again = fresh(advance(&mut cursor, look(55, 55.0)));
        assert!(again.canary.counts().unwrap().latency.is_some(), "{nonsense}");
    }
}

#[test]
fn a_series_that_is_dropped_and_born_anew_does_not_count_its_neighbours_lifetime() {
    let mut cursor = Cursor::default();
    let look = |now, a, b| {
        at(
            now,
            &[("gateway", pod(now, &[("200 a", a), ("200 b", b)]))],
            &[control(now, number(now))],
        )
    };
    // The Ingress a was removed and created again; b, on the same controller, goes on.
    let tick = fresh(last(&mut cursor, [look(0, 1000.0, 400.0), look(15, 5.0, 410.0)]));
    assert_eq!(counted(&tick.canary), (15, 0));
}

#[test]
fn a_tick_of_which_only_the_failures_could_be_counted_is_not_counted() {
    let mut cursor = Cursor::default();
    let look = |now, good, bad| {
        let canary = pod(now, &[("200", good), ("500", bad)]);
        at(now, &[("new", canary)], &[control(now, number(now))])
    };
    let reading = last(&mut cursor, [look(0, 1000.0, 10.0), look(15, 900.0, 15.0)]);
    assert_eq!(reading, Reading::Waiting);
    let tick = fresh(advance(&mut cursor, look(30, 920.0, 16.0)));
    assert_eq!(counted(&tick.canary), (21, 1));
}
