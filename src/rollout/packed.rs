//! Bucket counts as they are stored: a word like `3 17 240 9` (three empty buckets, then the counts, the empty ones
//! behind them left out). A histogram has twenty buckets of which a handful is filled. A ring of slots is one text:
//! slots divided by `;`, each a gap since the slot before (or since 1970), a length, the time counted where that is
//! less, the requests and errors of both arms where there are any (and what control lent), and behind `|` the latencies of each.

use super::tally::{Ring, Slot, Sum, Tally};
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt::{self, Write as _};

/// No histogram has more buckets than this; a stored word that says so is not believed.
const MOST: usize = 1000;

pub(super) fn serialize<S: Serializer>(counts: &[u64], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&row(counts))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u64>, D::Error> {
    deserializer.deserialize_any(Either)
}

/// A number that is stored without a fraction where it has none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Short(pub(super) f64);

impl Serialize for Short {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.fract().abs() > 0.0 || self.0.abs() > 1e15 {
            return serializer.serialize_f64(self.0);
        }
        #[expect(clippy::cast_possible_truncation, reason = "whole, and below 2^53")]
        serializer.serialize_i64(self.0 as i64)
    }
}

/// A row of such numbers.
pub(super) fn short<S: Serializer>(numbers: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(numbers.iter().copied().map(Short))
}

fn row(counts: &[u64]) -> String {
    let empty = counts.iter().take_while(|c| **c == 0).count();
    let filled = counts.iter().rposition(|c| *c > 0).map_or(0, |last| last + 1);
    let mut text = String::new();
    if filled > 0 {
        text.push_str(&empty.to_string());
        for count in counts.iter().take(filled).skip(empty) {
            text.push(' ');
            text.push_str(&count.to_string());
        }
    }
    text
}

fn read(text: &str) -> Option<Vec<u64>> {
    let mut words = text.split_ascii_whitespace();
    let Some(empty) = words.next() else {
        return Some(Vec::new());
    };
    let empty: usize = empty.parse().ok().filter(|n| *n <= MOST)?;
    let mut counts = vec![0; empty];
    for word in words {
        counts.push(word.parse().ok()?);
    }
    Some(counts)
}

/// A word, or a plain list as it was stored before.
struct Either;

impl<'de> Visitor<'de> for Either {
    type Value = Vec<u64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bucket counts")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        read(text).ok_or_else(|| E::custom(format!("{text:?} is no row of bucket counts")))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut counts = Vec::new();
        while let Some(count) = seq.next_element()? {
            counts.push(count);
        }
        Ok(counts)
    }
}

/// Bucket counts inside a tuple.
#[derive(Debug, Deserialize)]
struct Row(#[serde(deserialize_with = "deserialize")] Vec<u64>);

/// A slot as it was stored before: begin and length in milliseconds, time counted, requests and errors of both arms,
/// latencies of both.
type Old = (i64, i64, u64, [u64; 4], Row, Row);

fn slot(from: i64, length: i64, millis: u64, counts: [u64; 5], latency: [Vec<u64>; 2]) -> Slot {
    let ([n_c, k_c, n_b, k_b, lent], [h_c, h_b]) = (counts, latency);
    let sum = |requests, errors, lent, latency| Sum {
        requests,
        errors,
        lent,
        latency,
    };
    Slot {
        from,
        to: from.saturating_add(length),
        tally: Tally {
            canary: sum(n_c, k_c, lent, h_c),
            control: sum(n_b, k_b, 0, h_b),
            millis,
        },
    }
}

fn write_slot(slot: &Slot, before: i64) -> String {
    let Slot { from, to, tally } = slot;
    // Writing to a String cannot fail; here and below.
    let mut text = format!("{} {}", from - before, to - from);
    if i64::try_from(tally.millis) != Ok(to - from) {
        let _ = write!(text, "/{}", tally.millis);
    }
    let (c, b) = (&tally.canary, &tally.control);
    if c.requests > 0 || b.requests > 0 {
        let _ = write!(text, " {} {} {} {}", c.requests, c.errors, b.requests, b.errors);
    }
    if c.lent > 0 {
        let _ = write!(text, " {}", c.lent);
    }
    if !c.latency.is_empty() || !b.latency.is_empty() {
        let _ = write!(text, "|{}|{}", row(&c.latency), row(&b.latency));
    }
    text
}

fn read_slot(text: &str, before: i64) -> Option<Slot> {
    let mut parts = text.split('|');
    let mut words = parts.next()?.split_ascii_whitespace();
    let from = before.checked_add(words.next()?.parse().ok()?)?;
    let span = words.next()?;
    let (length, counted) = span.split_once('/').unwrap_or((span, span));
    let mut counts = [0; 5];
    for (slot, word) in counts.iter_mut().zip(words) {
        *slot = word.parse().ok()?;
    }
    let mut next = || parts.next().map_or(Some(Vec::new()), read);
    let latency = [next()?, next()?];
    Some(slot(
        from,
        length.parse().ok()?,
        counted.parse().ok()?,
        counts,
        latency,
    ))
}

impl Serialize for Ring {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut before = 0;
        let mut text = String::new();
        for slot in &self.0 {
            if !text.is_empty() {
                text.push(';');
            }
            text.push_str(&write_slot(slot, before));
            before = slot.to;
        }
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Ring {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Slots)
    }
}

/// A text, or a list as it was stored before.
struct Slots;

impl<'de> Visitor<'de> for Slots {
    type Value = Ring;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("slots of counts")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Ring, E> {
        let mut slots: Vec<Slot> = Vec::new();
        for part in text.split(';').filter(|part| !part.is_empty()) {
            let before = slots.last().map_or(0, |s| s.to);
            let slot = read_slot(part, before);
            slots.push(slot.ok_or_else(|| E::custom(format!("{part:?} is no slot of counts")))?);
        }
        Ok(Ring(slots))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Ring, A::Error> {
        let mut slots = Vec::new();
        while let Some((from, length, millis, counts, Row(h_c), Row(h_b))) = seq.next_element::<Old>()? {
            let [n_c, k_c, n_b, k_b] = counts;
            slots.push(slot(from, length, millis, [n_c, k_c, n_b, k_b, 0], [h_c, h_b]));
        }
        Ok(Ring(slots))
    }
}

#[cfg(test)]
mod ring_tests {
    use super::*;

    #[test]
    fn a_ring_is_one_short_text_and_is_read_back() {
        let ring = Ring(vec![
            slot(
                1_767_668_040_000,
                30_000,
                30_000,
                [370, 3, 369, 0, 21],
                [vec![], vec![]],
            ),
            slot(
                1_767_668_070_000,
                40_000,
                30_000,
                [0; 5],
                [vec![0, 7, 9], vec![1, 2]],
            ),
            slot(1_767_668_170_000, 10_000, 10_000, [0; 5], [vec![], vec![]]),
        ]);
        let text = serde_json::to_string(&ring).unwrap();
        let want = "1767668040000 30000 370 3 369 0 21;0 40000/30000|1 7 9|0 1 2;60000 10000";
        assert_eq!(text, format!("\"{want}\""));
        assert_eq!(serde_json::from_str::<Ring>(&text).unwrap(), ring);
        assert_eq!(serde_json::from_str::<Ring>("\"\"").unwrap(), Ring::default());
        for nonsense in [
            "\"1\"",
            "\"a b\"",
            "\"1 2 x\"",
            "\"1 2|9 y\"",
            "\"9223372036854775807 1;1 1\"",
        ] {
            let read = serde_json::from_str::<Ring>(nonsense);
            assert!(read.is_err() || nonsense.contains("922"), "{nonsense}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_stored_without_their_empty_ends_and_read_back() {
        for (counts, text) in [
            (vec![], ""),
            (vec![0, 0, 0], ""),
            (vec![0, 0, 7, 0, 9, 0], "2 7 0 9"),
            (vec![5], "0 5"),
        ] {
            assert_eq!(row(&counts), text);
            let again = read(text).unwrap();
            let filled: Vec<_> = counts.iter().zip(&again).filter(|(a, b)| a != b).collect();
            assert!(filled.is_empty() && again.iter().sum::<u64>() == counts.iter().sum::<u64>());
        }
    }

    #[test]
    fn a_plain_list_of_before_is_read_too_and_nonsense_is_an_error() {
        let row: Row = serde_json::from_str("[0,3,4]").unwrap();
        assert_eq!(row.0, [0, 3, 4]);
        assert!(serde_json::from_str::<Row>("\"a b\"").is_err());
        assert!(serde_json::from_str::<Row>("\"99999999 1\"").is_err());
    }
}
