//! When there is nothing to count, or nothing to believe.

use super::*;

#[test]
fn without_a_newer_sample_there_is_nothing_to_say_yet_and_after_three_scrapes_it_is_stale() {
    let mut cursor = Cursor::default();
    let scraped = |now, sampled: i64| {
        at(
            now,
            &[("new", pod(sampled, &[("200", number(sampled))]))],
            &[control(sampled, number(sampled))],
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
            &[("new", pod(new, &[("200", number(new))]))],
            &[control(old, number(old))],
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
    let without = |now: i64| at(now, &[], &[control(now, number(now))]);
    let with = |now: i64| {
        at(
            now,
            &[("new", pod(now, &[("200", number(now))]))],
            &[control(now, number(now))],
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
            &[("new", pod(now, &[("200", number(now))]))],
            &[control(now, number(now))],
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
            &[("new", pod(now, &[("200", number(now))]))],
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
        ..at(now, &[("new", pod(now, &[("200", number(now))]))], &[])
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
    for count in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 1e17] {
        let Reading::Blind(blindness) = advance(&mut cursor, says(15, count)) else {
            panic!("{count} was believed");
        };
        assert_eq!(blindness.kind, Dark::NotANumber);
        let wanted = format!("canary: the requests of new are counted as {count}");
        assert!(blindness.message.starts_with(&wanted), "{}", blindness.message);
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
fn an_extra_look_or_a_clock_that_goes_back_changes_nothing() {
    let mut cursor = Cursor::default();
    let with = |now: i64| {
        at(
            now,
            &[("new", pod(now, &[("200", number(now))]))],
            &[control(now, number(now))],
        )
    };
    fresh(last(&mut cursor, [with(0), with(15)]));
    let before = cursor.clone();
    assert_eq!(advance(&mut cursor, with(15)), Reading::Waiting);
    assert_eq!(advance(&mut cursor, with(12)), Reading::Waiting);
    assert_eq!(cursor, before);
}

#[test]
fn a_persisted_cursor_resumes_where_it_was_and_an_old_one_begins_anew() {
    let with = |now: i64| {
        at(
            now,
            &[("new", pod(now, &[("200", number(now))]))],
            &[control(now, number(now))],
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
            &[("new", pod(now, &[("200", number(now))]))],
            &[control(now, number(now))],
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
            &[("new", pod(now, &[("200", number(now))]))],
            &[control(now, number(now))],
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

#[test]
fn every_pod_is_waited_for_unless_it_is_late_by_a_scrape() {
    let mut cursor = Cursor::default();
    let scraped = |now, a: i64, b: i64| {
        let pods = [
            ("a", pod(a, &[("200", number(a))])),
            ("b", pod(b, &[("200", number(b))])),
        ];
        at(now, &pods, &[control(now, 0.0)])
    };
    fresh(last(&mut cursor, [scraped(0, 0, 0), scraped(15, 15, 15)]));
    assert_eq!(advance(&mut cursor, scraped(30, 30, 15)), Reading::Waiting);
    assert_eq!(advance(&mut cursor, scraped(45, 45, 15)), Reading::Waiting);
    let tick = fresh(advance(&mut cursor, scraped(46, 45, 15)));
    assert_eq!(counted(&tick.canary), (30, 0), "b is late: a is not kept waiting");
    let tick = fresh(advance(&mut cursor, scraped(60, 60, 60)));
    assert_eq!(counted(&tick.canary), (60, 0), "15 of a, 45 of b");
}

#[test]
fn after_a_long_darkness_the_next_one_is_noticed_as_soon_as_ever() {
    let mut cursor = Cursor::default();
    let with = |now: i64| {
        at(
            now,
            &[("new", pod(now, &[("200", number(now))]))],
            &[control(now, number(now))],
        )
    };
    last(&mut cursor, [with(0), with(15), with(30), with(3630)]);
    assert!(
        cursor.scrape_period().unwrap().as_secs() < 30,
        "{:?}",
        cursor.scrape_period()
    );
}

#[test]
fn looks_ten_minutes_apart_are_ticks_too() {
    let mut cursor = Cursor::default();
    let with = |n: i64| {
        let now = 600 * n;
        at(
            now,
            &[("new", pod(now, &[("200", number(now))]))],
            &[control(now, number(now))],
        )
    };
    assert_eq!(
        last(&mut cursor, [with(0), with(1)]),
        Reading::Waiting,
        "the period is learned"
    );
    assert_eq!(counted(&fresh(advance(&mut cursor, with(2))).canary), (600, 0));
    let cursor: Cursor = serde_json::from_str(&serde_json::to_string(&cursor).unwrap()).unwrap();
    assert_eq!(cursor.resume(second(1800)), Some(second(1200)));
}

#[test]
fn a_clock_that_is_ahead_is_told_from_scrapes_that_stopped() {
    let mut cursor = Cursor::default();
    let scraped = |now, sampled: i64| {
        let canary = pod(sampled, &[("200", number(sampled))]);
        at(now, &[("new", canary)], &[control(sampled, number(sampled))])
    };
    fresh(last(&mut cursor, [scraped(0, 0), scraped(15, 15)]));
    // Ours jumps ahead by ten minutes; scrapes go on. Not every look brings a newer sample.
    assert_eq!(dark(advance(&mut cursor, scraped(630, 30))), Dark::Partial);
    assert_eq!(dark(advance(&mut cursor, scraped(640, 30))), Dark::Partial);
    let Reading::Blind(blindness) = advance(&mut cursor, scraped(650, 45)) else {
        panic!("believed");
    };
    assert!(
        blindness.message.contains("samples keep coming"),
        "{}",
        blindness.message
    );
    // Now they stop, too.
    assert_eq!(dark(advance(&mut cursor, scraped(700, 45))), Dark::Stale);
    // It is set right: the next look goes on, from where the last tick ended.
    let tick = fresh(advance(&mut cursor, scraped(105, 105)));
    assert_eq!((tick.from, counted(&tick.canary)), (second(15), (90, 0)));
}

#[test]
fn scrapes_that_stop_are_never_taken_for_a_wrong_clock() {
    let mut cursor = Cursor::default();
    let scraped = |now, sampled: i64| {
        let canary = pod(sampled, &[("200", number(sampled))]);
        at(now, &[("new", canary)], &[control(sampled, number(sampled))])
    };
    fresh(last(&mut cursor, [scraped(0, 0), scraped(15, 15)]));
    for now in (24..200).step_by(8) {
        if let Reading::Blind(blindness) = advance(&mut cursor, scraped(now, 15)) {
            assert_eq!(blindness.kind, Dark::Stale, "at {now}");
        }
    }
}

#[test]
fn a_sample_from_the_future_is_no_sample() {
    let mut cursor = Cursor::default();
    let scraped = |now, sampled| {
        let canary = pod(sampled, &[("500", number(now))]);
        at(now, &[("new", canary)], &[control(now, number(now))])
    };
    fresh(last(&mut cursor, [scraped(0, 0), scraped(15, 15)]));
    let Reading::Blind(blindness) = advance(&mut cursor, scraped(30, 40)) else {
        panic!("believed");
    };
    assert_eq!(blindness.kind, Dark::NotANumber);
    let wanted = "canary: the newest sample of new is more than 5 s ahead of our clock";
    assert!(blindness.message.starts_with(wanted), "{}", blindness.message);
    assert!(matches!(advance(&mut cursor, scraped(30, 32)), Reading::Fresh(_)));
}

#[test]
fn a_clock_that_is_set_back_is_darkness_and_counts_nothing_twice() {
    let mut cursor = Cursor::default();
    let scraped = |now| {
        let canary = pod(now, &[("200", number(now))]);
        at(now, &[("new", canary)], &[control(now, number(now))])
    };
    fresh(last(&mut cursor, [scraped(600), scraped(615)]));
    assert_eq!(advance(&mut cursor, scraped(612)), Reading::Waiting, "a nudge");
    let Reading::Blind(blindness) = advance(&mut cursor, scraped(30)) else {
        panic!("counted");
    };
    assert_eq!(blindness.kind, Dark::Partial);
    assert!(
        blindness.message.starts_with("our clock was set back"),
        "{}",
        blindness.message
    );
    let tick = fresh(advance(&mut cursor, scraped(630)));
    assert_eq!((tick.from, counted(&tick.canary)), (second(615), (15, 0)));
}

#[test]
fn what_falls_again_and_again_is_no_counter_and_what_falls_once_is() {
    // A gauge: how many requests are under way.
    let says = |turn: i64, under_way: f64| {
        let now = 15 * turn;
        at(
            now,
            &[("new", pod(now, &[("200", under_way)]))],
            &[control(now, number(now))],
        )
    };
    let mut cursor = Cursor::default();
    let saw: Vec<Reading> = (0..40)
        .map(|turn| advance(&mut cursor, says(turn, if turn % 2 == 0 { 900.0 } else { 10.0 })))
        .collect();
    for (turn, reading) in saw.into_iter().enumerate().skip(20) {
        let Reading::Blind(blindness) = reading else {
            panic!("look {turn} believes it: {reading:?}");
        };
        assert_eq!(blindness.kind, Dark::NotANumber);
        let wanted = "canary: the requests of new fall again and again, which no counter does";
        assert!(blindness.message.starts_with(wanted), "{}", blindness.message);
    }
    // What became a counter is believed again.
    let after: Vec<Reading> = (40..60)
        .map(|turn| advance(&mut cursor, says(turn, number(15 * turn))))
        .collect();
    assert!(matches!(after.last(), Some(Reading::Fresh(_))), "{after:?}");

    // A process that crashes, and is restarted after 15 s, 30 s, 1 min, 2 min.
    let mut cursor = Cursor::default();
    let mut count = 0.0;
    for turn in 0..30 {
        count = if [3, 4, 6, 10, 18].contains(&turn) {
            1.0
        } else {
            count + 7.0
        };
        let reading = advance(&mut cursor, says(turn, count));
        assert!(!matches!(reading, Reading::Blind(_)), "look {turn}: {reading:?}");
    }
}

/// What a canary is seen to do over so many looks whose counts `says`: what it says it counted, and how many looks were
/// dark.
fn over(looks: i64, says: impl Fn(i64) -> Vec<(&'static str, f64)>) -> ((u64, u64), usize) {
    let mut cursor = Cursor::default();
    let (mut sum, mut dark) = ((0, 0), 0);
    for turn in 0..looks {
        let now = 15 * turn;
        let pod = pod(now, &says(turn));
        match advance(
            &mut cursor,
            at(now, &[("new", pod)], &[control(now, number(now))]),
        ) {
            Reading::Fresh(tick) => {
                let (requests, errors) = counted(&tick.canary);
                sum = (sum.0 + requests, sum.1 + errors);
            }
            Reading::Blind(_) => dark += 1,
            Reading::Waiting => {}
        }
    }
    (sum, dark)
}

#[test]
fn one_series_that_falls_at_every_second_sample_makes_all_of_its_pod_no_counter() {
    let saw = |turn: i64, high: f64, low: f64| if turn % 2 == 0 { high } else { low };
    // A gauge of failures beside a counter that rises, and a gauge of successes beside one that stands.
    let (_, dark) = over(60, |turn| {
        vec![("200", number(75 * turn)), ("503", saw(turn, 30.0, 0.0))]
    });
    assert!(dark > 45, "{dark} of 60 looks are dark");
    let (_, dark) = over(60, |turn| vec![("200", saw(turn, 100_000.0, 10.0)), ("404", 7.0)]);
    assert!(dark > 45, "{dark} of 60 looks are dark");
}

#[test]
fn two_processes_behind_one_address_do_not_make_millions_of_requests_of_their_difference() {
    // Every seventh scrape meets the younger one. Both answer 3 requests/s, one in a hundred fails.
    let pod = |turn: i64| {
        let seconds = if turn % 7 == 6 {
            15 * turn + 3_000
        } else {
            15 * turn + 300_000
        };
        vec![("200", number(3 * seconds)), ("500", number(seconds) * 0.03)]
    };
    let ((requests, errors), _) = over(200, pod);
    let most = 2 * 3 * 15 * 200;
    assert!(requests < most, "{requests} of at most {most}");
    assert!(errors * 50 < requests + 50, "{errors} of {requests}");
}

#[test]
fn a_process_that_starts_anew_is_counted_from_0_whatever_waited_for_it() {
    let ((requests, errors), dark) = over(40, |turn| {
        let since = if turn < 20 {
            number(45 * turn)
        } else {
            number(45 * (turn - 20)) + 200.0
        };
        vec![("200", since), ("500", if turn < 20 { 0.0 } else { 30.0 })]
    });
    assert_eq!((requests, errors, dark), (45 * 38 + 200 + 30, 30, 0));
}

#[test]
fn pods_that_linger_make_no_scrape_period_longer() {
    // A new pod every minute, the old ones' last samples stay for 5 minutes. Scraped each 15 s, looked at each 10 s.
    let mut cursor = Cursor::default();
    for look in 0..180 {
        let now = 10 * look;
        let pods: Vec<(String, PodSnapshot)> = (0..=now / 60)
            .filter_map(|n| {
                let (born, died) = (60 * n, 60 * (n + 1));
                let sampled = (now.min(died) / 15) * 15;
                (now - sampled < 300 && sampled >= born).then(|| {
                    (
                        format!("pod-{n}"),
                        pod(sampled, &[("200", number(sampled - born))]),
                    )
                })
            })
            .collect();
        let named: Vec<(&str, PodSnapshot)> = pods.iter().map(|(n, p)| (n.as_str(), p.clone())).collect();
        advance(
            &mut cursor,
            at(now, &named, &[control((now / 15) * 15, number(now))]),
        );
    }
    let period = cursor.scrape_period().unwrap();
    assert!(period.as_secs() <= 20, "{period:?}");
}

#[test]
fn an_arm_that_is_scraped_more_seldom_than_the_other_is_there_and_is_waited_for() {
    // An outage of both: a fifth of all requests fail. Looked at each 10 s.
    for [canary, control] in [[5, 60], [15, 60], [60, 15], [60, 5], [15, 15]] {
        let mut cursor = Cursor::default();
        let (mut ticks, mut dark) = (0, 0);
        for look in 0..180 {
            let now = 10 * look + 3;
            let arm = |scrape: i64| {
                let sampled = (now / scrape) * scrape;
                pod(sampled, &[("200", number(4 * sampled)), ("500", number(sampled))])
            };
            let snapshot = at(now, &[("new", arm(canary))], &[("old", arm(control))]);
            match advance(&mut cursor, snapshot) {
                Reading::Fresh(tick) => {
                    ticks += 1;
                    let control = tick.control.counts();
                    assert!(
                        control.is_some_and(|c| c.errors > 0),
                        "{canary}/{control:?} at {now}"
                    );
                }
                Reading::Blind(_) => dark += 1,
                Reading::Waiting => {}
            }
        }
        assert!(
            dark == 0 && ticks >= 1800 / 60 - 3,
            "{canary} and {control}: {dark} dark, {ticks} ticks"
        );
    }
}
