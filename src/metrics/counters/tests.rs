use super::*;
use crate::metrics::snapshot::{Bucket, Counter, PodSnapshot};
use crate::rollout::sample::Histogram;

pub(super) fn second(s: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + s).unwrap()
}

/// A pod whose newest sample was scraped at this second.
pub(super) fn pod(sampled: i64, requests: &[(&str, f64)]) -> PodSnapshot {
    let counter = |&(code, count): &(&str, f64)| {
        let error = code.starts_with('5');
        (code.to_owned(), Counter { count, error })
    };
    PodSnapshot {
        sampled_at: second(sampled),
        requests: requests.iter().map(counter).collect(),
        latency: std::collections::BTreeMap::new(),
    }
}

fn timed(mut pod: PodSnapshot, buckets: &[(f64, f64)]) -> PodSnapshot {
    let bucket = |&(le_ms, count)| Bucket { le_ms, count };
    pod.latency
        .insert(String::new(), buckets.iter().map(bucket).collect());
    pod
}

fn arm(pods: &[(&str, PodSnapshot)]) -> ArmSnapshot {
    ArmSnapshot {
        pods: pods
            .iter()
            .map(|(name, pod)| ((*name).to_owned(), pod.clone()))
            .collect(),
    }
}

fn at(s: i64, canary: &[(&str, PodSnapshot)], control: &[(&str, PodSnapshot)]) -> Snapshot {
    Snapshot {
        at: second(s),
        asked: "ask".to_owned(),
        canary: arm(canary),
        control: Some(arm(control)),
        usual_rate: None,
    }
}

fn fresh(reading: Reading) -> Tick {
    match reading {
        Reading::Fresh(tick) => tick,
        other => panic!("expected a tick, got {other:?}"),
    }
}

fn dark(reading: Reading) -> Dark {
    match reading {
        Reading::Blind(blindness) => blindness.kind,
        other => panic!("expected darkness, got {other:?}"),
    }
}

fn counted(arm: &Arm) -> (u64, u64) {
    let counts = arm.counts().expect("seen");
    (counts.requests, counts.errors)
}

/// Reads these snapshots, the first of which only begins.
fn last(cursor: &mut Cursor, snapshots: impl IntoIterator<Item = Snapshot>) -> Reading {
    let mut reading = Reading::Waiting;
    for snapshot in snapshots {
        reading = advance(cursor, snapshot);
    }
    reading
}

fn control(sampled: i64, count: f64) -> (&'static str, PodSnapshot) {
    ("old", pod(sampled, &[("200", count)]))
}

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
            &[control(scrape, 10.0 * scrape as f64)],
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
            &[control(now, now as f64)],
        )
    };
    let gap = at(30, &[("a", pod(30, &[("200", 30.0)]))], &[control(30, 30.0)]);
    let during = fresh(last(&mut cursor, [two(0, 0.0, 500.0), two(15, 15.0, 501.0), gap]));
    assert_eq!(counted(&during.canary), (15, 0));
    let after = fresh(advance(&mut cursor, two(45, 45.0, 503.0)));
    assert_eq!(counted(&after.canary), (17, 2), "b goes on from 501");
}

#[test]
fn without_a_newer_sample_there_is_nothing_to_say_yet_and_after_three_scrapes_it_is_stale() {
    let mut cursor = Cursor::default();
    let scraped = |now, sampled: i64| {
        at(
            now,
            &[("new", pod(sampled, &[("200", sampled as f64)]))],
            &[control(sampled, sampled as f64)],
        )
    };
    fresh(last(&mut cursor, [scraped(0, 0), scraped(15, 15)]));
    for now in [25, 35, 45, 55, 60] {
        assert_eq!(advance(&mut cursor, scraped(now, 15)), Reading::Waiting, "{now}");
    }
    assert_eq!(dark(advance(&mut cursor, scraped(61, 15))), Dark::Stale);
    let tick = fresh(advance(&mut cursor, scraped(75, 75)));
    assert_eq!(
        (tick.from, tick.to, counted(&tick.canary)),
        (second(15), second(75), (60, 0))
    );
}

#[test]
fn one_arm_does_not_move_without_the_other() {
    let mut cursor = Cursor::default();
    let scraped = |now, new: i64, old: i64| {
        at(
            now,
            &[("new", pod(new, &[("200", new as f64)]))],
            &[control(old, old as f64)],
        )
    };
    fresh(last(&mut cursor, [scraped(15, 10, 14), scraped(30, 25, 29)]));
    assert_eq!(advance(&mut cursor, scraped(39, 25, 39)), Reading::Waiting);
    let tick = fresh(advance(&mut cursor, scraped(40, 40, 39)));
    assert_eq!(
        (counted(&tick.canary), counted(&tick.control)),
        ((15, 0), (10, 0))
    );
}

#[test]
fn a_canary_without_traffic_is_absent_and_one_that_was_seen_has_vanished() {
    let mut cursor = Cursor::default();
    let without = |now: i64| at(now, &[], &[control(now, now as f64)]);
    let with = |now: i64| {
        at(
            now,
            &[("new", pod(now, &[("200", now as f64)]))],
            &[control(now, now as f64)],
        )
    };
    let tick = fresh(last(&mut cursor, [without(0), without(15)]));
    assert_eq!((&tick.canary, counted(&tick.control)), (&Arm::Absent, (15, 0)));
    fresh(last(&mut cursor, [with(30), with(45)]));
    assert_eq!(dark(advance(&mut cursor, without(60))), Dark::Vanished);
    let back = fresh(advance(&mut cursor, with(75)));
    assert_eq!(
        (back.from, counted(&back.canary)),
        (second(45), (30, 0)),
        "no dip, no jump: all of it"
    );
    assert_eq!(dark(advance(&mut cursor, without(90))), Dark::Vanished);
    cursor.weight_changed();
    assert_eq!(fresh(advance(&mut cursor, without(105))).canary, Arm::Absent);
}

#[test]
fn when_everything_is_gone_the_source_is_to_blame_and_not_the_canary() {
    let mut cursor = Cursor::default();
    let with = |now: i64| {
        at(
            now,
            &[("new", pod(now, &[("200", now as f64)]))],
            &[control(now, now as f64)],
        )
    };
    fresh(last(&mut cursor, [with(0), with(15)]));
    assert_eq!(advance(&mut cursor, at(30, &[], &[])), Reading::Waiting);
    assert_eq!(dark(advance(&mut cursor, at(90, &[], &[]))), Dark::Stale);
    let mut never = Cursor::default();
    assert_eq!(dark(advance(&mut never, at(0, &[], &[]))), Dark::Empty);
}

#[test]
fn a_control_that_is_gone_or_stale_leaves_the_canary_judged() {
    let mut cursor = Cursor::default();
    let both = |now: i64, old| {
        at(
            now,
            &[("new", pod(now, &[("200", now as f64)]))],
            &[control(old, 0.0)],
        )
    };
    fresh(last(&mut cursor, [both(0, 0), both(15, 15)]));
    let gone = at(30, &[("new", pod(30, &[("200", 30.0)]))], &[]);
    assert_eq!(fresh(advance(&mut cursor, gone)).control, Arm::Absent);
    assert_eq!(fresh(advance(&mut cursor, both(90, 15))).control, Arm::Absent);
}

#[test]
fn an_arm_that_was_not_asked_for_is_not_called_absent() {
    let mut cursor = Cursor::default();
    let alone = |now: i64| Snapshot {
        control: None,
        ..at(now, &[("new", pod(now, &[("200", now as f64)]))], &[])
    };
    assert_eq!(
        fresh(last(&mut cursor, [alone(0), alone(15)])).control,
        Arm::NotAsked
    );
}

#[test]
fn what_no_counter_can_say_is_not_judged_and_forgotten_afterwards() {
    let mut cursor = Cursor::default();
    let says = |now: i64, count| at(now, &[("new", pod(now, &[("200", count)]))], &[control(now, 0.0)]);
    last(&mut cursor, [says(0, 1.0)]);
    for count in [f64::NAN, f64::INFINITY, -1.0, 1e17] {
        assert_eq!(dark(advance(&mut cursor, says(15, count))), Dark::NotANumber);
    }
    assert_eq!(
        counted(&fresh(advance(&mut cursor, says(30, 5.0))).canary),
        (4, 0)
    );
}

#[test]
fn a_canary_that_is_replaced_at_every_look_cannot_be_counted() {
    let mut cursor = Cursor::default();
    let mut readings = Vec::new();
    for turn in 0..6_i64 {
        let name = format!("new-{turn}");
        let snapshot = at(
            15 * turn,
            &[(&name, pod(15 * turn, &[("500", 9.0)]))],
            &[control(15 * turn, 0.0)],
        );
        readings.push(advance(&mut cursor, snapshot));
    }
    assert!(
        readings[..3].iter().all(|reading| *reading == Reading::Waiting),
        "{readings:?}"
    );
    assert_eq!(dark(readings.pop().unwrap()), Dark::Vanished);
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
            pod(now, &[("500", now as f64)]),
            &[(5.0, low), (f64::INFINITY, now as f64)],
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
fn an_extra_look_or_a_clock_that_goes_back_changes_nothing() {
    let mut cursor = Cursor::default();
    let with = |now: i64| {
        at(
            now,
            &[("new", pod(now, &[("200", now as f64)]))],
            &[control(now, now as f64)],
        )
    };
    fresh(last(&mut cursor, [with(0), with(15)]));
    let before = cursor.clone();
    assert_eq!(advance(&mut cursor, with(15)), Reading::Waiting);
    assert_eq!(advance(&mut cursor, with(3)), Reading::Waiting);
    assert_eq!(cursor, before);
}

#[test]
fn a_persisted_cursor_resumes_where_it_was_and_an_old_one_begins_anew() {
    let with = |now: i64| {
        at(
            now,
            &[("new", pod(now, &[("200", now as f64)]))],
            &[control(now, now as f64)],
        )
    };
    let mut cursor = Cursor::default();
    fresh(last(&mut cursor, [with(0), with(15)]));
    let text = serde_json::to_string(&cursor).unwrap();
    assert!(text.len() < 200, "{} bytes: {text}", text.len());
    let mut resumed: Cursor = serde_json::from_str(&text).unwrap();
    assert_eq!(resumed.resume(second(60)), Some(second(15)));
    resumed.restore(with(15));
    assert_eq!(resumed.resume(second(60)), None, "once");
    let tick = fresh(advance(&mut resumed, with(60)));
    assert_eq!((tick.from, counted(&tick.canary)), (second(15), (45, 0)));

    let mut old: Cursor = serde_json::from_str(&text).unwrap();
    assert_eq!(old.resume(second(15 + 301)), None);
    assert_eq!(advance(&mut old, with(400)), Reading::Waiting);
    assert_eq!(
        counted(&fresh(advance(&mut old, with(415))).canary),
        (15, 0),
        "the darkness stays unjudged"
    );
}

#[test]
fn another_ask_is_never_compared_with_the_one_before() {
    let mut cursor = Cursor::default();
    let with = |now: i64| {
        at(
            now,
            &[("new", pod(now, &[("200", now as f64)]))],
            &[control(now, now as f64)],
        )
    };
    fresh(last(&mut cursor, [with(0), with(15)]));
    let other = Snapshot {
        asked: "other".to_owned(),
        ..with(30)
    };
    assert_eq!(advance(&mut cursor, other), Reading::Waiting);
}

#[test]
fn the_scrape_period_is_learned_from_the_samples() {
    let mut cursor = Cursor::default();
    let with = |now: i64| {
        at(
            now,
            &[("new", pod(now, &[("200", now as f64)]))],
            &[control(now, now as f64)],
        )
    };
    assert_eq!(cursor.scrape_period(), None);
    last(&mut cursor, [with(0), with(30), with(45)]);
    assert_eq!(cursor.scrape_period().unwrap().as_secs(), 15);
    last(&mut cursor, (1..20).map(|n| with(45 + 30 * n)));
    assert!(
        cursor.scrape_period().unwrap().as_secs() >= 29,
        "slower scrapes are believed in the end"
    );
}
