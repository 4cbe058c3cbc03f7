//! Sums of ticks: of a stretch of time, and of the last stretches in a ring.

use super::buckets;
use super::evidence::real;
use super::packed;
use super::sample::Counts;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One arm's sums.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Sum {
    #[serde(rename = "n", skip_serializing_if = "is_zero")]
    pub(super) requests: u64,
    #[serde(rename = "k", skip_serializing_if = "is_zero")]
    pub(super) errors: u64,
    /// Those of its requests that control lent: successes of connections that have not ended yet.
    #[serde(rename = "m", skip_serializing_if = "is_zero")]
    pub(super) lent: u64,
    /// Requests per latency bucket.
    #[serde(rename = "h", skip_serializing_if = "Vec::is_empty", with = "packed")]
    pub(super) latency: Vec<u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Sum {
    /// Errors ÷ requests; 0 without requests.
    pub(super) fn ratio(&self) -> f64 {
        real(self.errors) / real(self.requests.max(1))
    }

    /// Requests that were counted on this arm itself.
    pub(super) fn own(&self) -> u64 {
        self.requests.saturating_sub(self.lent)
    }

    fn add(&mut self, counts: &Counts) {
        self.requests = self.requests.saturating_add(counts.requests);
        self.errors = self.errors.saturating_add(counts.errors.min(counts.requests));
    }

    fn merge(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.errors = self.errors.saturating_add(other.errors);
        self.lent = self.lent.saturating_add(other.lent);
        add_buckets(&mut self.latency, &other.latency);
    }
}

fn add_buckets(to: &mut Vec<u64>, from: &[u64]) {
    if to.len() < from.len() {
        to.resize(from.len(), 0);
    }
    for (sum, more) in to.iter_mut().zip(from) {
        *sum = sum.saturating_add(*more);
    }
}

/// Both arms' sums over a stretch of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Tally {
    #[serde(rename = "c", skip_serializing_if = "is_empty")]
    pub(super) canary: Sum,
    #[serde(rename = "b", skip_serializing_if = "is_empty")]
    pub(super) control: Sum,
    /// How long it took, in milliseconds.
    #[serde(rename = "t", skip_serializing_if = "is_zero")]
    pub(super) millis: u64,
}

fn is_empty(sum: &Sum) -> bool {
    sum.requests == 0 && sum.latency.is_empty()
}

impl Tally {
    /// Adds a tick, its latencies by `bounds` where it has those.
    pub(super) fn add(&mut self, canary: &Counts, control: &Counts, length: Duration, bounds: &[f64]) {
        self.add_counts(canary, control, length);
        self.add_latency(canary, control, bounds);
    }

    /// Adds a tick's counts, without latencies.
    pub(super) fn add_counts(&mut self, canary: &Counts, control: &Counts, length: Duration) {
        self.canary.add(canary);
        self.control.add(control);
        self.add_time(length);
    }

    /// Counts so many of control's successes as the canary's.
    pub(super) fn lend(&mut self, requests: u64) {
        self.canary.requests = self.canary.requests.saturating_add(requests);
        self.canary.lent = self.canary.lent.saturating_add(requests);
        self.control.requests = self.control.requests.saturating_sub(requests);
    }

    fn add_time(&mut self, length: Duration) {
        let millis = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        self.millis = self.millis.saturating_add(millis);
    }

    fn add_latency(&mut self, canary: &Counts, control: &Counts, bounds: &[f64]) {
        for (sum, counts) in [(&mut self.canary, canary), (&mut self.control, control)] {
            let latency = counts.latency.as_ref();
            if let Some(fewer) = latency.and_then(|h| buckets::onto(bounds, &h.bounds_ms, &h.counts)) {
                add_buckets(&mut sum.latency, &fewer);
            }
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.canary.merge(&other.canary);
        self.control.merge(&other.control);
        self.millis = self.millis.saturating_add(other.millis);
    }

    /// The canary's own requests, or those of them with a known latency.
    pub(super) fn canary_requests(&self, timed: bool) -> u64 {
        if timed {
            self.canary.latency.iter().sum()
        } else {
            self.canary.own()
        }
    }

    /// Requests of both arms.
    pub(super) fn requests(&self) -> u64 {
        self.canary.requests.saturating_add(self.control.requests)
    }

    /// Requests per second of both arms, to a thousandth.
    pub(super) fn rate(&self) -> Option<f64> {
        (self.millis > 0).then(|| (real(self.requests()) * 1e6 / real(self.millis)).round() / 1e3)
    }
}

/// The last stretches of time, each a slot.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Ring(pub(super) Vec<Slot>);

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Slot {
    /// Where its first tick began, in milliseconds since 1970.
    pub(super) from: i64,
    /// Where its last tick ended.
    pub(super) to: i64,
    pub(super) tally: Tally,
}

fn millis(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX)
}

/// How far back a ring remembers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Depth {
    /// As far as anybody looks back.
    pub(super) back: Duration,
    /// Of so many slots, and the open one; where ticks are irregular of one more.
    pub(super) slots: u32,
    /// Beyond that as long as there are fewer canary requests than this, in fewer and wider slots, for a day at most.
    pub(super) need: u64,
}

impl Depth {
    /// How long a slot is: a whole number of ticks, so that no more of them than were asked for are within reach.
    fn width(self, tick: Duration) -> Duration {
        let (tick, slot) = (millis(tick).max(1), millis(self.back / self.slots.max(1)));
        let ticks = slot.saturating_add(tick - 1) / tick;
        Duration::from_millis(u64::try_from(ticks.max(1).saturating_mul(tick)).unwrap_or(u64::MAX))
    }
}

/// So many slots hold what is older than anybody looks back.
const OLD: usize = 3;
/// Nothing older than this is remembered.
const DAY: i64 = 24 * 3_600_000;

impl Slot {
    fn merge(&mut self, later: &Self) {
        self.to = later.to;
        self.tally.merge(&later.tally);
    }
}

impl Ring {
    /// Adds a tick to the newest slot, or to a new one when that is wide enough. With `bounds` it keeps latencies,
    /// without them counts.
    pub(super) fn add(
        &mut self,
        canary: &Counts,
        control: &Counts,
        (to, length): (Timestamp, Duration),
        depth: Depth,
        bounds: Option<&[f64]>,
    ) {
        let end = to.as_millisecond();
        let width = depth.width(length);
        let open = self
            .0
            .last()
            .is_some_and(|s| end.saturating_sub(s.from) <= millis(width));
        if !open {
            self.0.push(Slot {
                from: end.saturating_sub(millis(length)),
                ..Slot::default()
            });
        }
        let Some(slot) = self.0.last_mut() else { return };
        slot.to = end;
        match bounds {
            Some(bounds) => {
                slot.tally.add_time(length);
                slot.tally.add_latency(canary, control, bounds);
            }
            None => slot.tally.add_counts(canary, control, length),
        }
        if !open {
            self.forget(end, depth, bounds.is_some());
        }
    }

    /// Merges and drops slots. What is within reach of a look-back is never merged.
    fn forget(&mut self, now: i64, depth: Depth, timed: bool) {
        let back = millis(depth.back);
        let mut old = self
            .0
            .iter()
            .take_while(|s| now.saturating_sub(s.to) >= back)
            .count();
        let most = usize::try_from(depth.slots)
            .unwrap_or(usize::MAX)
            .saturating_add(2);
        while self.0.len().saturating_sub(old) > most {
            self.0.remove(old);
        }
        while old > OLD {
            let span = |pair: &[Slot]| match pair {
                [first, .., last] => last.to.saturating_sub(first.from),
                _ => i64::MAX,
            };
            let pairs = self.0.windows(2).take(old - 1).map(span);
            let (narrowest, _) = pairs
                .enumerate()
                .min_by_key(|(_, span)| *span)
                .unwrap_or_default();
            self.join(narrowest);
            old -= 1;
        }
        let requests = |slot: &Slot| slot.tally.canary_requests(timed);
        let mut held: u64 = self.0.iter().map(requests).sum();
        while old > 0
            && let Some(oldest) = self.0.first()
        {
            held -= requests(oldest);
            if held < depth.need && now.saturating_sub(oldest.from) <= DAY {
                break;
            }
            self.0.remove(0);
            old -= 1;
        }
    }

    /// Makes a slot and the one after it one.
    fn join(&mut self, at: usize) {
        if at + 1 >= self.0.len() {
            return;
        }
        let later = self.0.remove(at + 1);
        if let Some(slot) = self.0.get_mut(at) {
            slot.merge(&later);
        }
    }

    /// The slots that end within `back` of `now`, and as many before them as it takes for `need` canary requests.
    pub(super) fn last_enough(&self, back: Duration, now: Timestamp, need: u64, timed: bool) -> Tally {
        let now = now.as_millisecond();
        let mut sum = Tally::default();
        for slot in self.0.iter().rev() {
            if now.saturating_sub(slot.to) >= millis(back) && sum.canary_requests(timed) >= need {
                break;
            }
            sum.merge(&slot.tally);
        }
        sum
    }

    /// See [`Tally::lend`]: in the newest slot.
    pub(super) fn lend(&mut self, requests: u64) {
        if let Some(slot) = self.0.last_mut() {
            slot.tally.lend(requests);
        }
    }

    /// The slots that end within `back` of `now`.
    pub(super) fn last(&self, back: Duration, now: Timestamp) -> Tally {
        let now = now.as_millisecond();
        let mut sum = Tally::default();
        for slot in self.0.iter().rev() {
            if now.saturating_sub(slot.to) >= millis(back) {
                break;
            }
            sum.merge(&slot.tally);
        }
        sum
    }

    /// Something was added.
    pub(super) fn is_filled(&self) -> bool {
        !self.0.is_empty()
    }

    pub(super) fn all(&self) -> Tally {
        let mut sum = Tally::default();
        for slot in &self.0 {
            sum.merge(&slot.tally);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::sample::Histogram;

    const BACK: Duration = Duration::from_secs(300);
    const TICK: Duration = Duration::from_secs(10);

    fn at(tick: i64) -> Timestamp {
        Timestamp::from_second(1_767_578_400 + 10 * tick).unwrap()
    }

    fn counts(requests: u64) -> Counts {
        Counts {
            requests,
            errors: 0,
            latency: Some(Histogram {
                bounds_ms: [100.0].into(),
                counts: vec![requests, 0],
            }),
        }
    }

    /// A ring after so many ticks, of which every `nth` has one canary request and all have ten of control's.
    fn ring(ticks: i64, nth: i64, need: u64, bounds: Option<&[f64]>) -> Ring {
        let mut ring = Ring::default();
        let depth = Depth {
            back: BACK,
            slots: 7,
            need,
        };
        for tick in 1..=ticks {
            let canary = counts(u64::from(tick % nth == 0));
            ring.add(&canary, &counts(10), (at(tick), TICK), depth, bounds);
        }
        ring
    }

    #[test]
    fn at_low_traffic_the_last_window_reaches_back_to_the_requests_that_it_needs_and_no_further() {
        for bounds in [None, Some([100.0].as_slice())] {
            // A request in five minutes: 60 of them take five hours.
            let ring = ring(4000, 30, 60, bounds);
            let timed = bounds.is_some();
            let window = ring.last_enough(BACK, at(4000), 60, timed);
            let have = window.canary_requests(timed);
            assert!((60..=125).contains(&have), "{have} of 133 in all");
            assert!(ring.0.len() <= 9 + OLD, "{}", ring.0.len());
            let look_back = ring.last(BACK, at(4000));
            assert!(
                look_back.millis <= 360_000,
                "look-backs stay what they are: {look_back:?}"
            );
        }
    }

    #[test]
    fn at_high_traffic_nothing_older_than_a_look_back_is_remembered() {
        let ring = ring(4000, 1, 20, None);
        let all = ring.all();
        assert!((300_000..=420_000).contains(&all.millis), "{all:?}");
        let window = ring.last_enough(BACK, at(4000), 20, false);
        assert_eq!(window, ring.last(BACK, at(4000)));
    }

    #[test]
    fn a_day_is_the_most_that_a_window_reaches_back() {
        let all = ring(20_000, 400, 1000, None).all();
        assert!(
            all.millis <= 86_400_000 && all.millis >= 30_000_000,
            "{}",
            all.millis
        );
    }

    #[test]
    fn slow_ticks_shorten_no_look_back() {
        let mut ring = Ring::default();
        let depth = Depth {
            back: BACK,
            slots: 7,
            need: 1,
        };
        let tick = Duration::from_secs(25);
        for n in 1..=100 {
            let to = Timestamp::from_second(1_767_578_400 + 25 * n).unwrap();
            ring.add(&counts(1), &counts(1), (to, tick), depth, None);
        }
        let end = Timestamp::from_second(1_767_578_400 + 2500).unwrap();
        assert!(ring.last(BACK, end).millis >= 300_000, "{ring:?}");
        assert!(ring.0.len() <= 10, "{}", ring.0.len());
    }
}
