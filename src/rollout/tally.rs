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

impl Ring {
    /// Adds a tick to the newest slot, or to a new one when that is `width` long; keeps `most` slots. With `bounds`
    /// it keeps latencies, without them counts.
    #[expect(clippy::too_many_arguments, reason = "a tick is five values")]
    pub(super) fn add(
        &mut self,
        canary: &Counts,
        control: &Counts,
        to: Timestamp,
        length: Duration,
        width: Duration,
        most: usize,
        bounds: Option<&[f64]>,
    ) {
        let end = to.as_millisecond();
        let open = self
            .0
            .last()
            .is_some_and(|s| end.saturating_sub(s.from) <= millis(width.max(length)));
        if !open {
            if self.0.len() >= most {
                self.0.remove(0);
            }
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
