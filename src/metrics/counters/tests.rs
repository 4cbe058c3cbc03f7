//! Looks at hand-made snapshots.

mod counting;
mod darkness;

use super::*;
use crate::metrics::snapshot::{Bucket, Counter, PodSnapshot};

pub(super) fn second(s: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + s).unwrap()
}

/// A count that grows with time.
fn number(n: i64) -> f64 {
    f64::from(i32::try_from(n).unwrap())
}

/// A pod whose newest sample was scraped at this second.
pub(super) fn pod(sampled: i64, requests: &[(&str, f64)]) -> PodSnapshot {
    let counter = |&(code, count): &(&str, f64)| {
        let error = code.starts_with('5');
        (code.to_owned(), Counter { count, error })
    };
    PodSnapshot {
        sampled_at: second(sampled),
        requests: requests.iter().map(counter).collect(),
        latency: BTreeMap::new(),
    }
}

fn timed(mut pod: PodSnapshot, buckets: &[(f64, f64)]) -> PodSnapshot {
    let bucket = |&(le_ms, count)| Bucket { le_ms, count };
    pod.latency
        .insert(String::new(), buckets.iter().map(bucket).collect());
    pod
}

fn arm(pods: &[(&str, PodSnapshot)]) -> ArmSnapshot {
    ArmSnapshot {
        pods: pods
            .iter()
            .map(|(name, pod)| ((*name).to_owned(), pod.clone()))
            .collect(),
    }
}

fn at(s: i64, canary: &[(&str, PodSnapshot)], control: &[(&str, PodSnapshot)]) -> Snapshot {
    Snapshot {
        at: second(s),
        asked: "ask".to_owned(),
        canary: arm(canary),
        control: Some(arm(control)),
        usual_rate: None,
    }
}

fn fresh(reading: Reading) -> Tick {
    match reading {
        Reading::Fresh(tick) => tick,
        other @ (Reading::Waiting | Reading::Blind(_)) => panic!("expected a tick, got {other:?}"),
    }
}

fn dark(reading: Reading) -> Dark {
    match reading {
        Reading::Blind(blindness) => blindness.kind,
        other @ (Reading::Fresh(_) | Reading::Waiting) => panic!("expected darkness, got {other:?}"),
    }
}

fn counted(arm: &Arm) -> (u64, u64) {
    let counts = arm.counts().expect("seen");
    (counts.requests, counts.errors)
}

/// Reads these snapshots, the first of which only begins.
fn last(cursor: &mut Cursor, snapshots: impl IntoIterator<Item = Snapshot>) -> Reading {
    let mut reading = Reading::Waiting;
    for snapshot in snapshots {
        reading = advance(cursor, snapshot);
    }
    reading
}

fn control(sampled: i64, count: f64) -> (&'static str, PodSnapshot) {
    ("old", pod(sampled, &[("200", count)]))
}
