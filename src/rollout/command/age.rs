//! When a command was given, by its id alone: a ULID, or the time itself as a number.

use jiff::{SignedDuration, Timestamp};
use ulid::Ulid;

/// The years of which a number is taken for a time: 2020 to 2100, in seconds since 1970. Every other number says nothing.
const PLAUSIBLE: std::ops::Range<i128> = 1_577_836_800..4_102_444_800;

/// The time in an id, as exactly as it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Age {
    /// Not before.
    pub(super) from: Timestamp,
    /// Not after.
    pub(super) to: Timestamp,
}

impl Age {
    /// Of a ULID the millisecond; of 10, 13, 16 or 19 digits the second, millisecond, microsecond or nanosecond. `None`
    /// where an id says nothing of a time.
    pub(super) fn of(id: &str) -> Option<Self> {
        let (from, length) = match ulid(id) {
            Some(ulid) => (i128::from(ulid.timestamp_ms()) * 1_000_000, 1_000_000),
            None => number(id)?,
        };
        let from = Timestamp::from_nanosecond(from).ok()?;
        let to = from.checked_add(SignedDuration::from_nanos(length - 1)).ok()?;
        Some(Self { from, to })
    }
}

/// An id, if that is a ULID. Some write theirs in small letters, for names of Kubernetes have no others.
pub(super) fn ulid(id: &str) -> Option<Ulid> {
    let ulid: Ulid = id.parse().ok()?;
    // Of one that claims more bits than there are the first are lost.
    ulid.to_string().eq_ignore_ascii_case(id).then_some(ulid)
}

/// The nanosecond that a number means, and for how many it stands.
fn number(id: &str) -> Option<(i128, i64)> {
    let unit: i64 = match id.len() {
        10 => 1_000_000_000,
        13 => 1_000_000,
        16 => 1_000,
        19 => 1,
        _ => return None,
    };
    let digits = id.bytes().all(|b| b.is_ascii_digit());
    let nanos = id.parse::<i128>().ok().filter(|_| digits)? * i128::from(unit);
    PLAUSIBLE
        .contains(&(nanos / 1_000_000_000))
        .then_some((nanos, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_a_time_by_its_digits_and_only_within_our_days() {
        let from = |id: &str| Age::of(id).map(|age| age.from.to_string());
        for id in [
            "1772452800",
            "1772452800000",
            "1772452800000000",
            "1772452800000000000",
        ] {
            assert_eq!(from(id).as_deref(), Some("2026-03-02T12:00:00Z"), "{id}");
        }
        for id in [
            "0000000000",
            "1577836799",
            "4102444800",
            "177245280",
            "17724528000",
            "-772452800",
            "+772452800",
            "177245280a",
            "9999999999999999999",
            "",
            "z",
        ] {
            assert_eq!(from(id), None, "{id}");
        }
        let second = Age::of("1772452800").unwrap();
        assert_eq!(
            second.to.duration_since(second.from),
            SignedDuration::from_nanos(999_999_999)
        );
        let exact = Age::of("1772452800000000001").unwrap();
        assert_eq!(exact.from, exact.to);
    }
}
