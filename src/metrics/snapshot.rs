//! Raw counters of both arms at one instant.

use super::ask::Ask;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// What a source says of both arms at one instant. Raw: nothing is subtracted yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// The instant both arms were read at, in whole milliseconds.
    pub at: Timestamp,
    /// [`Ask::fingerprint`] of what was asked: counters of different asks are never compared.
    pub asked: String,
    /// The new path.
    pub canary: ArmSnapshot,
    /// The old path; `None` when the ask names none.
    pub control: Option<ArmSnapshot>,
    /// Requests per second of both arms in the same hour a day and a week ago, where asked for and remembered.
    pub usual_rate: Option<f64>,
}

impl Snapshot {
    /// An answer to this ask at this instant (cut to milliseconds) in which no series was found yet.
    pub fn empty(ask: &Ask, at: Timestamp) -> Self {
        Self {
            at: whole_millis(at),
            asked: ask.fingerprint(),
            canary: ArmSnapshot::default(),
            control: ask.arms.control.as_ref().map(|_| ArmSnapshot::default()),
            usual_rate: None,
        }
    }
}

/// One arm: the pods that export its series. No pods: the source has no series of this arm.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ArmSnapshot {
    /// By the labels that tell one exporting process from another (`pod`, `instance`). A pod that was replaced has
    /// another name: its counters are not the old one's.
    pub pods: BTreeMap<String, PodSnapshot>,
}

/// What one exporting process says of one arm.
#[derive(Clone, Debug, PartialEq)]
pub struct PodSnapshot {
    /// When its newest sample was scraped.
    pub sampled_at: Timestamp,
    /// Requests since the process started, by the labels that tell series apart (codes, flags and what the
    /// selector uses).
    pub requests: BTreeMap<String, Counter>,
    /// Latency buckets since the process started, by the labels that tell series apart.
    pub latency: BTreeMap<String, Vec<Bucket>>,
}

/// A counter of requests that ended alike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Counter {
    /// How many, since the process started.
    pub count: f64,
    /// Whether ending like this is an error.
    pub error: bool,
}

/// A cumulative bucket of a histogram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// Upper bound in milliseconds; +Inf for the last.
    pub le_ms: f64,
    /// How many requests took at most that long, since the process started.
    pub count: f64,
}

/// The instant without its part below a millisecond: Prometheus knows no finer time.
pub(crate) fn whole_millis(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}
