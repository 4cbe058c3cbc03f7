//! What control did before a rollout, from counters at past instants.

use super::ask::Ask;
use super::counters::{Cursor, advance};
use super::snapshot::Snapshot;
use super::source::Source;
use crate::rollout::sample::{Arm, Blindness, HISTORY, Reading, Slice};
use jiff::Timestamp;
use std::time::Duration;

/// What control did before this instant, as far as the source remembers: [`HISTORY`] far back, oldest first.
pub async fn past(source: &Source, ask: &Ask, before: Timestamp) -> Result<Vec<Slice>, Blindness> {
    let ask = Ask {
        wants_history: false,
        ..ask.clone()
    };
    let mut all = Vec::new();
    for (back, step) in HISTORY {
        let snapshots = source.history(&ask, before - back, before, step).await?;
        all.extend(slices(snapshots));
    }
    Ok(all)
}

/// The stretches between snapshots in which control was seen, oldest first. Counted like ticks; where nothing can be
/// counted there is no slice, and the next one says how long it really was.
pub fn slices(snapshots: Vec<Snapshot>) -> Vec<Slice> {
    let mut cursor = Cursor::default();
    let readings = snapshots
        .into_iter()
        .map(|snapshot| advance(&mut cursor, snapshot));
    readings
        .filter_map(|reading| match reading {
            Reading::Fresh(tick) => {
                let length = Duration::try_from(tick.to.duration_since(tick.from)).ok()?;
                match tick.control {
                    Arm::Seen(control) => Some(Slice { length, control }),
                    Arm::Absent | Arm::NotAsked => None,
                }
            }
            Reading::Waiting | Reading::Blind(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{ArmSnapshot, Counter, PodSnapshot};
    use std::collections::BTreeMap;

    fn snapshot(second: i64, count: f64, errors: f64) -> Snapshot {
        let at = Timestamp::from_second(second).unwrap();
        let counter = |count, error| Counter { count, error };
        let pod = PodSnapshot {
            sampled_at: at,
            requests: [
                ("200".to_owned(), counter(count, false)),
                ("500".to_owned(), counter(errors, true)),
            ]
            .into(),
            latency: BTreeMap::new(),
        };
        Snapshot {
            at,
            asked: "x".to_owned(),
            canary: ArmSnapshot::default(),
            control: Some(ArmSnapshot {
                pods: [("a".to_owned(), pod)].into(),
            }),
            usual_rate: None,
        }
    }

    fn found(snapshots: Vec<Snapshot>) -> Vec<(u64, u64, u64)> {
        let of = |s: Slice| (s.length.as_secs(), s.control.requests, s.control.errors);
        slices(snapshots).into_iter().map(of).collect()
    }

    #[test]
    fn a_past_is_cut_into_slices_at_any_step() {
        for step in [60, 900] {
            let past = (0..5).map(|i| snapshot(i * step, f64::from(u8::try_from(i).unwrap()) * 90.0, 0.0));
            let slices = found(past.collect());
            assert!(slices.len() >= 3, "{step}: {slices:?}");
            let step = u64::try_from(step).unwrap();
            assert!(slices.iter().all(|s| *s == (step, 90, 0)), "{slices:?}");
        }
    }

    #[test]
    fn a_restart_of_the_exporter_is_no_burst() {
        let past = vec![
            snapshot(0, 1000.0, 10.0),
            snapshot(60, 1100.0, 10.0),
            snapshot(120, 50.0, 0.0),
            snapshot(180, 150.0, 1.0),
        ];
        assert_eq!(found(past), [(60, 100, 0), (60, 50, 0), (60, 101, 1)]);
    }
}
