use super::tests::{pod, second};
use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// What happens to one exporting process in one scrape period.
#[derive(Clone, Debug)]
struct Turn {
    good: u32,
    bad: u32,
    /// The scrape fails.
    missed: bool,
    /// The process starts anew before these requests, within the same name.
    restarts: bool,
    /// The process is replaced by one with another name before these requests.
    replaced: bool,
}

fn turn(churn: bool) -> impl Strategy<Value = Turn> {
    let flag = move |weight: f64| prop::bool::weighted(if churn { weight } else { 0.0 });
    let bad = prop_oneof![3 => Just(0_u32), 1 => 0..40_u32];
    (0..200_u32, bad, flag(0.2), flag(0.1), flag(0.1)).prop_map(|(good, bad, missed, restarts, replaced)| {
        Turn {
            good,
            bad,
            missed,
            restarts,
            replaced,
        }
    })
}

/// Per look, per pod of an arm.
fn history(churn: bool) -> impl Strategy<Value = Vec<[Turn; 2]>> {
    prop::collection::vec([turn(churn), turn(churn)], 2..40)
}

#[derive(Default)]
struct Process {
    generation: u32,
    good: f64,
    bad: f64,
}

/// Runs a history through the counters: what was counted, and what happened since counting began.
fn run(canary: &[[Turn; 2]], looks: &[bool]) -> ((u64, u64), (u64, u64), Vec<Tick>) {
    let mut processes: [Process; 2] = Default::default();
    let mut cursor = Cursor::default();
    let (mut truth, mut counted, mut ticks) = ((0, 0), (0, 0), Vec::new());
    let mut began = false;
    for (n, turns) in canary.iter().enumerate() {
        let now = 15 * i64::try_from(n).unwrap();
        let mut pods = BTreeMap::new();
        for (index, (process, turn)) in processes.iter_mut().zip(turns).enumerate() {
            if turn.replaced || turn.restarts {
                process.good = 0.0;
                process.bad = 0.0;
            }
            process.generation += u32::from(turn.replaced);
            process.good += f64::from(turn.good);
            process.bad += f64::from(turn.bad);
            if began {
                truth.0 += u64::from(turn.good + turn.bad);
                truth.1 += u64::from(turn.bad);
            }
            if !turn.missed {
                let mut series = vec![("200", process.good)];
                // A series exists from its first request on.
                if process.bad > 0.0 {
                    series.push(("500", process.bad));
                }
                pods.insert(format!("{index}-{}", process.generation), pod(now, &series));
            }
        }
        if !looks[n % looks.len()] {
            continue;
        }
        let steady = BTreeMap::from([("old".to_owned(), pod(now, &[("200", 0.0)]))]);
        let snapshot = Snapshot {
            at: second(now),
            asked: "ask".to_owned(),
            canary: ArmSnapshot { pods },
            control: Some(ArmSnapshot { pods: steady }),
            usual_rate: None,
        };
        if let Reading::Fresh(tick) = advance(&mut cursor, snapshot) {
            if let Some(counts) = tick.canary.counts() {
                assert!(counts.errors <= counts.requests);
                counted.0 += counts.requests;
                counted.1 += counts.errors;
            }
            ticks.push(tick);
        }
        began |= cursor.at().is_some();
    }
    (counted, truth, ticks)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn ticks_add_up_to_what_happened_when_no_pod_comes_or_goes(turns in history(false)) {
        let (counted, truth, _) = run(&turns, &[true]);
        prop_assert_eq!(counted, truth);
    }

    #[test]
    fn looking_less_often_loses_nothing(turns in history(false), skip in 1..6_usize) {
        let mut turns = turns;
        // End on a look, so that everything was seen.
        turns.truncate((turns.len() - 1) / skip * skip + 1);
        let looks: Vec<bool> = (0..skip).map(|n| n == 0).collect();
        let (counted, truth, _) = run(&turns, &looks);
        prop_assert_eq!(counted, truth);
    }

    #[test]
    fn ticks_never_add_up_to_more_than_what_happened(turns in history(true), looks in prop::collection::vec(any::<bool>(), 1..8)) {
        let (counted, truth, _) = run(&turns, &looks);
        prop_assert!(counted.0 <= truth.0 && counted.1 <= truth.1, "{:?} of {:?}", counted, truth);
    }

    #[test]
    fn ticks_are_disjoint_and_in_order(turns in history(true), looks in prop::collection::vec(any::<bool>(), 1..8)) {
        let (_, _, ticks) = run(&turns, &looks);
        for tick in &ticks {
            prop_assert!(tick.from < tick.to);
        }
        for pair in ticks.windows(2) {
            prop_assert!(pair[0].to <= pair[1].from);
        }
    }
}
