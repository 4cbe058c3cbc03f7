//! When weights may rise: weekly windows and freezes.

use super::spec::{Freeze, Schedule, Window};
use jiff::civil::{DateTime, Time, Weekday};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{Span, Timestamp};
use std::time::Duration;

/// A schedule that was read and found sound.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Calendar {
    windows: Vec<Weekly>,
    freezes: Vec<Freeze>,
}

#[derive(Clone, Debug, PartialEq)]
struct Weekly {
    /// Monday first.
    days: [bool; 7],
    from: Time,
    /// `None` is the end of the day.
    to: Option<Time>,
    zone: TimeZone,
}

/// Whether weights may rise at a time.
#[derive(Clone, Debug, PartialEq)]
pub enum Opening {
    /// They may.
    Open,
    /// No window is open; the next opens then (`None`: not within a month).
    Closed(Option<Timestamp>),
    /// A freeze is in force until then, for a reason.
    Frozen {
        /// When it ends.
        until: Timestamp,
        /// Why, as the resource says.
        reason: String,
    },
}

const DAYS: [(&str, Weekday); 7] = [
    ("Mon", Weekday::Monday),
    ("Tue", Weekday::Tuesday),
    ("Wed", Weekday::Wednesday),
    ("Thu", Weekday::Thursday),
    ("Fri", Weekday::Friday),
    ("Sat", Weekday::Saturday),
    ("Sun", Weekday::Sunday),
];

impl Calendar {
    /// Reads a schedule; problems come with the path below `schedule` and what to write instead.
    pub fn read(schedule: Option<&Schedule>) -> Result<Self, Vec<(String, String)>> {
        let Some(schedule) = schedule else {
            return Ok(Self::default());
        };
        let mut problems = Vec::new();
        let mut calendar = Self {
            windows: Vec::new(),
            freezes: schedule.freezes.clone().unwrap_or_default(),
        };
        for (i, window) in schedule.windows.iter().flatten().enumerate() {
            match Weekly::read(window) {
                Ok(weekly) => calendar.windows.push(weekly),
                Err((field, message)) => problems.push((format!("windows[{i}].{field}"), message)),
            }
        }
        for (i, freeze) in calendar.freezes.iter().enumerate() {
            if freeze.to <= freeze.from {
                problems.push((format!("freezes[{i}].to"), "must be after from".to_owned()));
            }
        }
        if problems.is_empty() {
            Ok(calendar)
        } else {
            Err(problems)
        }
    }

    /// The first instant from `at` on in which weights may rise.
    pub fn opening(&self, at: Timestamp) -> Timestamp {
        // Each turn leaves one window or freeze behind; there are at most 16 and 32 of them, in a month of looking.
        let mut at = at;
        for _ in 0..64 {
            at = match self.at(at) {
                Opening::Open | Opening::Closed(None) => return at,
                Opening::Closed(Some(next)) => next,
                Opening::Frozen { until, .. } => until,
            };
        }
        at
    }

    /// When so much of a hold is over that begins or goes on at `from`: its clock stops in a freeze.
    pub fn held(&self, from: Timestamp, hold: Duration) -> Timestamp {
        let (mut at, mut left) = (from, hold);
        // Each turn leaves one freeze behind.
        for _ in 0..=self.freezes.len() {
            while let Some(freeze) = self.freezes.iter().find(|f| f.from <= at && at < f.to) {
                at = freeze.to;
            }
            let next = self.freezes.iter().map(|f| f.from).filter(|begin| *begin > at);
            let until = next
                .min()
                .and_then(|begin| Duration::try_from(begin.duration_since(at)).ok());
            let Some(until) = until.filter(|until| *until < left) else {
                break;
            };
            left = left.saturating_sub(until);
            at = at.saturating_add(until).unwrap_or(Timestamp::MAX);
        }
        at.saturating_add(left).unwrap_or(Timestamp::MAX)
    }

    /// Whether weights may rise at a time.
    pub fn at(&self, now: Timestamp) -> Opening {
        if let Some(freeze) = self.freezes.iter().find(|f| f.from <= now && now < f.to) {
            let reason = freeze
                .reason
                .clone()
                .unwrap_or_else(|| "no reason given".to_owned());
            return Opening::Frozen {
                until: freeze.to,
                reason,
            };
        }
        if self.windows.is_empty() || self.windows.iter().any(|w| w.contains(now)) {
            return Opening::Open;
        }
        Opening::Closed(self.windows.iter().filter_map(|w| w.next_open(now)).min())
    }

    /// Whether a freeze is in force: then hold clocks stop too.
    pub fn frozen(&self, now: Timestamp) -> bool {
        self.freezes.iter().any(|f| f.from <= now && now < f.to)
    }
}

impl Weekly {
    fn read(window: &Window) -> Result<Self, (&'static str, String)> {
        let zone_name = window.timezone.as_deref().unwrap_or("UTC");
        let zone = TimeZone::get(zone_name).map_err(|_| {
            (
                "timezone",
                format!("{zone_name:?} is no IANA time zone; write one like \"Asia/Shanghai\" or \"UTC\""),
            )
        })?;
        let clock = |field: &'static str, text: &str| {
            text.split_once(':')
                .filter(|(h, m)| h.len() == 2 && m.len() == 2)
                .and_then(|(h, m)| Time::new(h.parse().ok()?, m.parse().ok()?, 0, 0).ok())
                .ok_or((
                    field,
                    format!("{text:?} is no time of day; write HH:MM, like \"09:30\""),
                ))
        };
        let from = clock("from", &window.from)?;
        let to = if window.to == "24:00" {
            None
        } else {
            Some(clock("to", &window.to)?)
        };
        if to == Some(from) {
            let message = "must differ from from; the whole day is 00:00 to 24:00".to_owned();
            return Err(("to", message));
        }
        let days = read_days(window.days.as_deref().unwrap_or("Mon-Sun")).map_err(|m| ("days", m))?;
        Ok(Self { days, from, to, zone })
    }

    fn on(&self, day: Weekday) -> bool {
        usize::try_from(day.to_monday_zero_offset())
            .ok()
            .and_then(|i| self.days.get(i))
            .is_some_and(|on| *on)
    }

    /// Whether a clock on the wall shows a time of the window. Where clocks are put back, an hour that comes twice is in
    /// it twice; what they jump over is in it never.
    fn contains(&self, now: Timestamp) -> bool {
        let local = now.to_zoned(self.zone.clone());
        let (time, day) = (local.time(), local.weekday());
        match self.to {
            // It closes on the day after the one on which it opens.
            Some(to) if to < self.from => {
                (self.on(day) && self.from <= time) || (self.on(day.previous()) && time < to)
            }
            Some(to) => self.on(day) && self.from <= time && time < to,
            None => self.on(day) && self.from <= time,
        }
    }

    /// The next opening after `now`, looking a month ahead. It opens when the clock comes to `from`, or where the clock
    /// is put forwards or back into the window.
    fn next_open(&self, now: Timestamp) -> Option<Timestamp> {
        let today = now.to_zoned(self.zone.clone()).date();
        let days = (0..32).filter_map(|ahead| today.checked_add(Span::new().days(ahead)).ok());
        let mut by_clock = days.flat_map(|date| self.instants(date.to_datetime(self.from)));
        let month = now
            .checked_add(Duration::from_secs(32 * 24 * 3600))
            .unwrap_or(Timestamp::MAX);
        let by_change = self.zone.following(now).map(|change| change.timestamp());
        let opens = |at: &Timestamp| *at > now && self.contains(*at) && !self.contains(before(*at));
        let by_change = by_change.take_while(|at| *at <= month).find(&opens);
        // Days come in order, and of each the earlier instant first.
        by_clock.find(&opens).into_iter().chain(by_change).min()
    }

    /// When clocks show a time: once, twice where they are put back, never where they jump over it.
    fn instants(&self, local: DateTime) -> Vec<Timestamp> {
        let at = |offset: Offset| offset.to_timestamp(local).ok();
        match self.zone.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => at(offset).into_iter().collect(),
            AmbiguousOffset::Fold { before, after } => [before, after].into_iter().filter_map(at).collect(),
            AmbiguousOffset::Gap { .. } => Vec::new(),
        }
    }
}

/// The instant before.
fn before(at: Timestamp) -> Timestamp {
    at.checked_sub(Duration::from_nanos(1)).unwrap_or(Timestamp::MIN)
}

/// Reads `Mon-Fri`, `Tue,Thu`, `Sat-Mon`.
fn read_days(text: &str) -> Result<[bool; 7], String> {
    let error = || format!("{text:?} names no days; write like \"Mon-Fri\" or \"Tue,Thu\"");
    let index = |name: &str| {
        DAYS.iter()
            .position(|(d, _)| d.eq_ignore_ascii_case(name.trim()))
            .ok_or_else(error)
    };
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (index(first)?, index(last)?),
            None => (index(part)?, index(part)?),
        };
        let length = (last + 7 - first) % 7;
        for i in 0..=length {
            if let Some(day) = days.get_mut((first + i) % 7) {
                *day = true;
            }
        }
    }
    Ok(days)
}

#[cfg(test)]
mod clock_changes;
#[cfg(test)]
mod tests {
    use super::*;

    fn office() -> Calendar {
        let window = Window {
            days: Some("Mon-Fri".into()),
            from: "10:00".into(),
            to: "18:00".into(),
            timezone: Some("Asia/Shanghai".into()),
        };
        let freeze = Freeze {
            from: "2026-10-01T00:00:00Z".parse().unwrap(),
            to: "2026-10-08T00:00:00Z".parse().unwrap(),
            reason: Some("holiday".into()),
        };
        Calendar::read(Some(&Schedule {
            windows: Some(vec![window]),
            freezes: Some(vec![freeze]),
        }))
        .unwrap()
    }

    fn at(text: &str) -> Opening {
        office().at(text.parse().unwrap())
    }

    #[test]
    fn a_window_opens_and_closes_in_its_own_time_zone() {
        assert_eq!(
            at("2026-03-02T02:00:00Z"),
            Opening::Open,
            "10:00 in Shanghai, a Monday"
        );
        assert_eq!(
            at("2026-03-02T01:59:59Z"),
            Opening::Closed(Some("2026-03-02T02:00:00Z".parse().unwrap()))
        );
        assert_eq!(
            at("2026-03-02T10:00:00Z"),
            Opening::Closed(Some("2026-03-03T02:00:00Z".parse().unwrap()))
        );
        let friday_evening = at("2026-03-06T12:00:00Z");
        assert_eq!(
            friday_evening,
            Opening::Closed(Some("2026-03-09T02:00:00Z".parse().unwrap()))
        );
    }

    #[test]
    fn a_freeze_closes_even_an_open_window() {
        assert!(matches!(at("2026-10-01T03:00:00Z"), Opening::Frozen { reason, .. } if reason == "holiday"));
        assert_eq!(at("2026-10-08T03:00:00Z"), Opening::Open);
    }

    #[test]
    fn a_hold_goes_on_behind_each_freeze_with_what_was_left_of_it() {
        let time = |day: u8, hour: u8| -> Timestamp {
            format!("2026-10-{day:02}T{hour:02}:00:00Z").parse().unwrap()
        };
        let freeze = |from: Timestamp, to: Timestamp| Freeze {
            from,
            to,
            reason: None,
        };
        let freezes = vec![
            freeze(time(5, 0), time(6, 0)),
            freeze(time(3, 0), time(4, 0)),
            // Goes over into the next.
            freeze(time(5, 12), time(7, 0)),
        ];
        let calendar = Calendar::read(Some(&Schedule {
            windows: None,
            freezes: Some(freezes),
        }));
        let calendar = calendar.unwrap();
        let day = Duration::from_secs(86_400);
        for (from, days, over) in [
            (time(1, 0), 1, time(2, 0)),
            (time(1, 0), 2, time(3, 0)),
            (time(2, 12), 1, time(4, 12)),
            (time(2, 12), 2, time(7, 12)),
            (time(3, 6), 1, time(5, 0)),
            (time(5, 6), 0, time(7, 0)),
            (time(8, 0), 2, time(10, 0)),
        ] {
            assert_eq!(calendar.held(from, day * days), over, "{from} {days}");
            // Told by the clock itself, hour by hour.
            let mut hours = 0;
            let mut at = from;
            while at < over {
                hours += u32::from(!calendar.frozen(at));
                at += Duration::from_secs(3600);
            }
            assert_eq!(hours, days * 24, "{from} {days}");
        }
    }

    #[test]
    fn without_windows_it_is_always_open() {
        assert_eq!(
            Calendar::default().at("2026-03-07T03:00:00Z".parse().unwrap()),
            Opening::Open
        );
    }

    #[test]
    fn what_cannot_be_read_says_which_field_and_what_to_write() {
        for (days, from, to, zone, field) in [
            ("Mon-Fry", "10:00", "18:00", "UTC", "windows[0].days"),
            ("Mon", "18:00", "18:00", "UTC", "windows[0].to"),
            ("Mon", "1:00", "10:00", "UTC", "windows[0].from"),
            ("Mon", "10:00", "25:00", "UTC", "windows[0].to"),
            ("Mon", "10:00", "18:00", "Asia/Peking2", "windows[0].timezone"),
        ] {
            let window = Window {
                days: Some(days.into()),
                from: from.into(),
                to: to.into(),
                timezone: Some(zone.into()),
            };
            let problems = Calendar::read(Some(&Schedule {
                windows: Some(vec![window]),
                freezes: None,
            }))
            .unwrap_err();
            assert_eq!(problems[0].0, field);
        }
    }

    #[test]
    fn days_may_wrap_around_the_week() {
        assert_eq!(
            read_days("Sat-Mon").unwrap(),
            [true, false, false, false, false, true, true]
        );
        assert_eq!(
            read_days("Tue,Thu").unwrap(),
            [false, true, false, true, false, false, false]
        );
    }
}
