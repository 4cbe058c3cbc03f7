//! When an Ingress was created: a moment, and not a text. The same moment is written in several ways.

/// Seconds since 1970 and nanoseconds, in UTC.
pub(super) type Moment = (i64, u32);

/// A time as RFC 3339 has it; `None` where it is none.
pub(super) fn moment(text: &str) -> Option<Moment> {
    let (date, rest) = text.split_at_checked(10)?;
    let clock = rest.strip_prefix(['T', 't', ' '])?;
    let (clock, rest) = clock.split_at_checked(8)?;
    let mut date = date.split('-');
    let mut clock = clock.split(':');
    let year = number(date.next()?, 4)?;
    let (month, day) = (number(date.next()?, 2)?, number(date.next()?, 2)?);
    let (hour, minute) = (number(clock.next()?, 2)?, number(clock.next()?, 2)?);
    let second = number(clock.next()?, 2)?;
    let whole = date.next().is_none() && clock.next().is_none();
    let in_range = (1..=days_of(year, month)?).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    if !whole || !in_range {
        return None;
    }
    let (nanoseconds, zone) = fraction(rest)?;
    let seconds = ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    Some((seconds - offset(zone)?, nanoseconds))
}

/// Digits alone, as many as there must be.
fn number(text: &str, digits: usize) -> Option<i64> {
    let plain = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// Nanoseconds, and what comes behind them.
fn fraction(text: &str) -> Option<(u32, &str)> {
    let Some(rest) = text.strip_prefix('.') else {
        return Some((0, text));
    };
    let end = rest.find(|c: char| !c.is_ascii_digit()).filter(|end| *end > 0)?;
    let (digits, zone) = rest.split_at_checked(end)?;
    let nine: String = digits.chars().chain("000000000".chars()).take(9).collect();
    Some((nine.parse().ok()?, zone))
}

/// Seconds that a zone is ahead.
fn offset(zone: &str) -> Option<i64> {
    if ["Z", "z"].contains(&zone) {
        return Some(0);
    }
    let (sign, rest) = match zone.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes) = (number(hours, 2)?, number(minutes, 2)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Days of a month; `None` where there is no such month.
fn days_of(year: i64, month: i64) -> Option<i64> {
    Some(match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    })
}

/// Days since 1970.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let before = year - 1;
    let leaps = |year: i64| year / 4 - year / 100 + year / 400;
    let years = (year - 1970) * 365 + leaps(before) - leaps(1969);
    let months: i64 = (1..month).filter_map(|month| days_of(year, month)).sum();
    years + months + day - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_moment_is_the_same_however_it_is_written() {
        for (text, wanted) in [
            ("1970-01-01T00:00:00Z", Some((0, 0))),
            ("2024-03-01T00:00:00Z", Some((1_709_251_200, 0))),
            ("2024-02-29T23:59:60z", Some((1_709_251_200, 0))),
            ("2024-03-01 09:00:00.5+09:00", Some((1_709_251_200, 500_000_000))),
            ("2024-02-29T18:30:00-05:30", Some((1_709_251_200, 0))),
            ("2100-03-01T00:00:00Z", Some((4_107_542_400, 0))),
        ] {
            assert_eq!(moment(text), wanted, "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "yesterday",
            "2024-03-01",
            "2024-03-01T00:00:00",
            "2024-02-30T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2024-13-01T00:00:00Z",
            "2024-03-01T24:00:00Z",
            "2024-03-01T00:00:00.Z",
            "2024-03-01T00:00:00+9:00",
            "2024-03-01T00:00:00Zulu",
            "+024-03-01T00:00:00Z",
            "２024-03-01T00:00Z",
        ] {
            assert_eq!(moment(text), None, "{text}");
        }
    }
}
