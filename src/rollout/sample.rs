//! What a source of metrics says about the two arms of a component, tick by tick.

use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// What one look at the source of a component's metrics gave.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// New counts of both arms, for a stretch of time that no other tick covers.
    Fresh(Tick),
    /// The source answers, but has scraped nothing new since the last tick. Not yet a reason for doubt.
    Waiting,
    /// Nothing that could be judged: no data is never good and never bad.
    Blind(Blindness),
}

/// What one look at a gauge gave, both sides read at the same instant. A value is finite; everything else is a sentence
/// that names the query and the remedy.
#[derive(Clone, Debug, PartialEq)]
pub struct GaugeReading {
    /// The instant.
    pub at: Timestamp,
    /// The value that is judged.
    pub canary: Result<f64, String>,
    /// What it is compared with; `None` when nothing was asked.
    pub control: Option<Result<f64, String>>,
}

/// What both arms did between two instants, read at the same instants. Ticks are disjoint and in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    /// Where the tick begins: the end of the one before.
    pub from: Timestamp,
    /// Where it ends.
    pub to: Timestamp,
    /// The new path.
    pub canary: Arm,
    /// The old path.
    pub control: Arm,
    /// Requests per second of both arms in the same hour a day and a week ago, where the source remembers.
    pub usual_rate: Option<f64>,
}

/// One arm in one tick.
#[derive(Clone, Debug, PartialEq)]
pub enum Arm {
    /// The arm's series were seen at both ends of the tick (a missing error series beside them means 0 errors).
    Seen(Counts),
    /// The source answers and is fresh, but has no series of this arm.
    Absent,
    /// The component names no such arm: nothing to compare with.
    NotAsked,
}

impl Arm {
    /// The counts, when the arm was seen.
    pub const fn counts(&self) -> Option<&Counts> {
        match self {
            Self::Seen(counts) => Some(counts),
            Self::Absent | Self::NotAsked => None,
        }
    }
}

/// What control did in a stretch of time before the rollout: what its errors are like when nothing is changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Slice {
    /// How long it was.
    pub length: Duration,
    /// What control did.
    pub control: Counts,
}

/// How far back control's history is asked for, once an attempt, and in what steps. The hours show how errors cluster
/// within minutes; the day is for arms too quiet to show it in hours.
pub const HISTORY: [(Duration, Duration); 2] = [
    (Duration::from_secs(24 * 3600), Duration::from_secs(900)),
    (Duration::from_secs(2 * 3600), Duration::from_secs(60)),
];

/// How many requests an arm answered in a tick, and how.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// Requests that ended in the tick.
    pub requests: u64,
    /// Those of them that were errors; never more than `requests`.
    pub errors: u64,
    /// How long they took; `None` when the source has no histogram of this arm. Long-lived requests (101 and the
    /// like) are left out by the source.
    pub latency: Option<Histogram>,
}

/// Counts per latency bucket, not cumulative.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Upper bounds in **milliseconds**, ascending, without the last (+Inf).
    pub bounds_ms: Arc<[f64]>,
    /// One count per bound, and one more for everything slower: `bounds_ms.len() + 1`.
    pub counts: Vec<u64>,
}

/// Why a source says nothing that could be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blindness {
    /// What kind of darkness it is.
    pub kind: Dark,
    /// One sentence for people: what was asked, what came back, what to do. No secrets, no whole queries.
    pub message: String,
}

/// The kinds of darkness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dark {
    /// The source does not answer: refused, timed out, 5xx, not Prometheus.
    Down,
    /// It answers, and the canary's series, seen before at this weight, are gone.
    Vanished,
    /// It answers, and has never had a series for the asks of either arm.
    Empty,
    /// Its newest sample is older than three scrapes.
    Stale,
    /// It says itself that the answer is not whole.
    Partial,
    /// NaN, infinity or a count that no counter can have.
    NotANumber,
    /// It refuses the question: bad query, 401, 403.
    Refused,
    /// Nothing was asked yet: the daemon has just started.
    NotYet,
}

impl Dark {
    /// The source itself answered: what is missing is missing in its data.
    pub const fn source_answers(self) -> bool {
        match self {
            Self::Vanished | Self::Empty | Self::Stale => true,
            Self::Down | Self::Partial | Self::NotANumber | Self::Refused | Self::NotYet => false,
        }
    }
}
