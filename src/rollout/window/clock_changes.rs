//! Windows where clocks are put forwards and back.

use super::*;
use proptest::prelude::*;

/// Zones, and a time some hours before each of two changes of their clocks.
const ZONES: &[(&str, &str, &str)] = &[
    // From 2:00 to 3:00, and from 3:00 to 2:00.
    ("Europe/Berlin", "2026-03-28T12:00:00Z", "2026-10-24T12:00:00Z"),
    ("America/New_York", "2026-03-07T12:00:00Z", "2026-10-31T12:00:00Z"),
    // Never.
    ("Asia/Shanghai", "2026-03-28T12:00:00Z", "2026-10-24T12:00:00Z"),
    // By half an hour: from 2:00 to 2:30, and from 2:00 to 1:30.
    (
        "Australia/Lord_Howe",
        "2026-10-03T04:00:00Z",
        "2026-04-04T04:00:00Z",
    ),
];

fn window(days: &str, from: &str, to: &str, zone: &str) -> Calendar {
    let window = Window {
        days: Some(days.into()),
        from: from.into(),
        to: to.into(),
        timezone: Some(zone.into()),
    };
    Calendar::read(Some(&Schedule {
        windows: Some(vec![window]),
        freezes: None,
    }))
    .unwrap()
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// When it opens and closes within a day and a half, minute by minute.
fn changes(calendar: &Calendar, from: Timestamp) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    let mut open = calendar.at(from) == Opening::Open;
    for minute in 1..36 * 60 {
        let at = from + Duration::from_secs(minute * 60);
        let now = calendar.at(at) == Opening::Open;
        if now != open {
            found.push((at.to_string(), now));
            open = now;
        }
    }
    found
}

fn expected(all: &[(&str, bool)]) -> Vec<(String, bool)> {
    all.iter().map(|(at, open)| ((*at).to_owned(), *open)).collect()
}

#[test]
fn what_a_clock_jumps_over_is_never_open_and_what_it_shows_twice_is_open_twice() {
    let [
        (berlin, spring, autumn),
        (york, york_spring, york_autumn),
        _,
        (howe, howe_spring, howe_autumn),
    ] = ZONES
    else {
        panic!("four zones")
    };
    for (zone, from, to, begin, all) in [
        // The window lies in the gap whole: that day it does not open at all.
        (berlin, "02:00", "03:00", spring, vec![]),
        // It begins in the gap: it opens where the clock goes on, at 3:00.
        (
            berlin,
            "02:30",
            "04:00",
            spring,
            vec![("2026-03-29T01:00:00Z", true), ("2026-03-29T02:00:00Z", false)],
        ),
        // It ends in the gap: it closes there.
        (
            berlin,
            "01:00",
            "02:30",
            spring,
            vec![("2026-03-29T00:00:00Z", true), ("2026-03-29T01:00:00Z", false)],
        ),
        // An hour that comes twice.
        (
            berlin,
            "02:15",
            "02:45",
            autumn,
            vec![
                ("2026-10-25T00:15:00Z", true),
                ("2026-10-25T00:45:00Z", false),
                ("2026-10-25T01:15:00Z", true),
                ("2026-10-25T01:45:00Z", false),
            ],
        ),
        // Put back into a window that was closed already.
        (
            berlin,
            "01:30",
            "02:30",
            autumn,
            vec![
                ("2026-10-24T23:30:00Z", true),
                ("2026-10-25T00:30:00Z", false),
                ("2026-10-25T01:00:00Z", true),
                ("2026-10-25T01:30:00Z", false),
            ],
        ),
        (
            york,
            "02:30",
            "03:30",
            york_spring,
            vec![("2026-03-08T07:00:00Z", true), ("2026-03-08T07:30:00Z", false)],
        ),
        (
            york,
            "01:00",
            "02:00",
            york_autumn,
            vec![("2026-11-01T05:00:00Z", true), ("2026-11-01T07:00:00Z", false)],
        ),
        // Half an hour is jumped over, and half an hour comes twice.
        (
            howe,
            "02:10",
            "02:40",
            howe_spring,
            vec![("2026-10-03T15:30:00Z", true), ("2026-10-03T15:40:00Z", false)],
        ),
        (
            howe,
            "01:40",
            "01:50",
            howe_autumn,
            vec![
                ("2026-04-04T14:40:00Z", true),
                ("2026-04-04T14:50:00Z", false),
                ("2026-04-04T15:10:00Z", true),
                ("2026-04-04T15:20:00Z", false),
            ],
        ),
    ] {
        let calendar = window("Sun", from, to, zone);
        assert_eq!(
            changes(&calendar, time(begin)),
            expected(&all),
            "{zone} {from}-{to}"
        );
    }
}

#[test]
fn a_window_over_midnight_belongs_to_the_day_on_which_it_opens() {
    let calendar = window("Fri", "22:00", "02:00", "Asia/Shanghai");
    for (at, open) in [
        ("2026-03-06T13:59:59Z", false),
        ("2026-03-06T14:00:00Z", true),
        ("2026-03-06T17:59:59Z", true),
        ("2026-03-06T18:00:00Z", false),
        // Saturday evening, and the night to Friday.
        ("2026-03-07T14:30:00Z", false),
        ("2026-03-05T17:00:00Z", false),
    ] {
        assert_eq!(calendar.at(time(at)) == Opening::Open, open, "{at}");
    }
    assert_eq!(
        calendar.at(time("2026-03-06T18:00:00Z")),
        Opening::Closed(Some(time("2026-03-13T14:00:00Z")))
    );
    let whole = window("Sat", "00:00", "24:00", "Europe/Berlin");
    assert_eq!(
        changes(&whole, time("2026-10-23T12:00:00Z")),
        expected(&[("2026-10-23T22:00:00Z", true), ("2026-10-24T22:00:00Z", false)]),
        "24:00 is the end of the day"
    );
    // The day on which clocks are put back has 25 hours.
    let sunday = window("Sun", "00:00", "24:00", "Europe/Berlin");
    assert_eq!(
        changes(&sunday, time("2026-10-24T12:00:00Z")),
        expected(&[("2026-10-24T22:00:00Z", true), ("2026-10-25T23:00:00Z", false)])
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// The next opening that is told is the first instant at which it is open: never one at which it stays shut,
    /// never one after it has opened.
    #[test]
    fn the_opening_that_is_told_is_the_first_there_is(
        zone in 0usize..4, autumn: bool, from in 0u16..96, length in 1u16..96, begin in 0u64..1440, days in 0usize..4,
    ) {
        let (name, spring, fall) = ZONES[zone];
        let clock = |quarter: u16| format!("{:02}:{:02}", quarter / 4 % 24, quarter % 4 * 15);
        let days = ["Mon-Sun", "Sun", "Sat", "Sat-Sun"][days];
        let calendar = window(days, &clock(from), &clock(from + length), name);
        let begin = time(if autumn { fall } else { spring }) + Duration::from_secs(begin * 60);
        if let Opening::Closed(told) = calendar.at(begin) {
            let first = (1..9 * 24 * 60).map(|m| begin + Duration::from_secs(m * 60));
            let first = first.map(|at| Timestamp::from_second(at.as_second() / 60 * 60).unwrap());
            let mut first = first.filter(|at| calendar.at(*at) == Opening::Open);
            prop_assert_eq!(told, first.next(), "{} {} {}", name, clock(from), clock(from + length));
            if let Some(told) = told {
                prop_assert_eq!(calendar.opening(begin), told);
            }
        }
    }
}
