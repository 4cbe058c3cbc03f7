//! Sums of ticks: of a stretch of time, and of the last stretches in a ring.

use super::evidence::real;
use super::sample::{Counts, Histogram};
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
    /// Requests per latency bucket.
    #[serde(rename = "h", skip_serializing_if = "Vec::is_empty")]
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

    fn add(&mut self, counts: &Counts) {
        self.requests = self.requests.saturating_add(counts.requests);
        self.errors = self.errors.saturating_add(counts.errors.min(counts.requests));
    }

    fn merge(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.errors = self.errors.saturating_add(other.errors);
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
    /// Adds a tick. Latencies are added when `bounds` are those of the tick, or not known yet.
    pub(super) fn add(&mut self, canary: &Counts, control: &Counts, length: Duration, bounds: &mut Vec<f64>) {
        self.add_counts(canary, control, length);
        self.add_latency(canary, control, bounds);
    }

    /// Adds a tick's counts, without latencies.
    pub(super) fn add_counts(&mut self, canary: &Counts, control: &Counts, length: Duration) {
        self.canary.add(canary);
        self.control.add(control);
        let millis = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        self.millis = self.millis.saturating_add(millis);
    }

    fn add_latency(&mut self, canary: &Counts, control: &Counts, bounds: &mut Vec<f64>) {
        for (sum, counts) in [(&mut self.canary, canary), (&mut self.control, control)] {
            let Some(Histogram { bounds_ms, counts }) = &counts.latency else {
                continue;
            };
            if bounds.is_empty() {
                bounds.extend_from_slice(bounds_ms);
            }
            if **bounds == **bounds_ms {
                add_buckets(&mut sum.latency, counts);
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Ring(Vec<Slot>);

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Packed", into = "Packed")]
struct Slot {
    /// Where its first tick began.
    from: Timestamp,
    /// Where its last tick ended.
    to: Timestamp,
    tally: Tally,
}

/// A slot as it is stored: begin and length in milliseconds, time counted, requests and errors of the canary and of
/// control, latencies of both.
type Packed = (i64, i64, u64, [u64; 4], Vec<u64>, Vec<u64>);

impl From<Slot> for Packed {
    fn from(slot: Slot) -> Self {
        let Tally {
            canary,
            control,
            millis,
        } = slot.tally;
        let from = slot.from.as_millisecond();
        let counts = [canary.requests, canary.errors, control.requests, control.errors];
        let length = slot.to.as_millisecond() - from;
        (from, length, millis, counts, canary.latency, control.latency)
    }
}

impl From<Packed> for Slot {
    fn from((from, length, millis, [n_c, k_c, n_b, k_b], h_c, h_b): Packed) -> Self {
        let time = |millis| Timestamp::from_millisecond(millis).unwrap_or_default();
        let sum = |requests, errors, latency| Sum {
            requests,
            errors,
            latency,
        };
        Self {
            from: time(from),
            to: time(from.saturating_add(length)),
            tally: Tally {
                canary: sum(n_c, k_c, h_c),
                control: sum(n_b, k_b, h_b),
                millis,
            },
        }
    }
}

impl Ring {
    /// Adds a tick to the newest slot, or to a new one when that is `width` long; keeps `most` slots.
    #[expect(clippy::too_many_arguments, reason = "a tick is five values")]
    pub(super) fn add(
        &mut self,
        canary: &Counts,
        control: &Counts,
        to: Timestamp,
        length: Duration,
        width: Duration,
        most: usize,
        bounds: Option<&mut Vec<f64>>,
    ) {
        let open = self
            .0
            .last()
            .is_some_and(|s| to.duration_since(s.from).unsigned_abs() <= width.max(length));
        if !open {
            if self.0.len() >= most {
                self.0.remove(0);
            }
            self.0.push(Slot {
                from: to - length,
                ..Slot::default()
            });
        }
        let Some(slot) = self.0.last_mut() else { return };
        slot.to = to;
        slot.tally.add_counts(canary, control, length);
        if let Some(bounds) = bounds {
            slot.tally.add_latency(canary, control, bounds);
        }
    }

    /// The slots that end within `back` of `now`.
    pub(super) fn last(&self, back: Duration, now: Timestamp) -> Tally {
        let mut sum = Tally::default();
        for slot in self.0.iter().rev() {
            if now.duration_since(slot.to).as_nanos() >= i128::try_from(back.as_nanos()).unwrap_or(i128::MAX)
            {
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

/// The value below which a share `q` of the counted requests lies, by linear interpolation inside its bucket;
/// `None` without requests; infinite when it lies beyond the last bound.
pub(super) fn quantile(bounds: &[f64], counts: &[u64], q: f64) -> Option<f64> {
    let total: u64 = counts.iter().sum();
    if total == 0 {
        return None;
    }
    let rank = q.clamp(0.0, 1.0) * real(total);
    let (mut below, mut lower) = (0.0, 0.0);
    for (upper, count) in bounds.iter().zip(counts) {
        let count = real(*count);
        if below + count >= rank && count > 0.0 {
            return Some(lower + (upper - lower) * ((rank - below) / count).clamp(0.0, 1.0));
        }
        below += count;
        lower = *upper;
    }
    Some(f64::INFINITY)
}
