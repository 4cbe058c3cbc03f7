//! The counters against somebody who was there: a small fleet of gateways whose every request is written down, scraped
//! by a Prometheus with a delay, a look-back and stale markers, and read by a daemon that restarts.

use super::tests::{pod, second};
use super::*;
use crate::metrics::histogram::whole;
use crate::metrics::snapshot::{Bucket, PodSnapshot};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Seconds between two moments at which something may happen.
const MOMENT: i64 = 5;
/// Every gateway is scraped each third moment, at its own.
const SCRAPE: usize = 3;
/// How far back an instant query looks for a sample.
const LOOK_BACK: i64 = 300;
const GATEWAYS: usize = 2;

/// What befalls a gateway.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Nothing,
    /// Its process starts anew under the same name.
    Restarts,
    /// Another one takes its place.
    Replaced,
    /// The configuration of the canary's first route is removed, with its series.
    Forgets,
    /// The scrape at this moment, if there is one, fails.
    Unseen,
}

/// Requests within a moment: by arm, by route, good and bad.
type Served = [[(u8, u8); 2]; 2];

#[derive(Clone, Debug)]
struct Moment {
    gateways: [(Served, Fate); GATEWAYS],
    looks: bool,
    daemon_restarts: bool,
}

fn moment(churn: bool) -> impl Strategy<Value = Moment> {
    let bad = prop_oneof![4 => Just(0_u8), 1 => 0..30_u8];
    // The first route is the busy one: when it is forgotten, most of what was counted is.
    let arm = [(0..200_u8, bad.clone()), (0..12_u8, bad)];
    let fate = if churn {
        prop_oneof![
            30 => Just(Fate::Nothing), 1 => Just(Fate::Restarts), 1 => Just(Fate::Replaced),
            1 => Just(Fate::Forgets), 2 => Just(Fate::Unseen),
        ]
        .boxed()
    } else {
        Just(Fate::Nothing).boxed()
    };
    let gateway = ([arm.clone(), arm], fate);
    let restarts = prop::bool::weighted(if churn { 0.05 } else { 0.0 });
    ([gateway.clone(), gateway], any::<bool>(), restarts).prop_map(|(gateways, looks, daemon_restarts)| {
        Moment {
            gateways,
            looks,
            daemon_restarts,
        }
    })
}

/// By arm and by label: `200 a`.
type Series = BTreeMap<(usize, String), f64>;

/// When, and the series; `None` is a stale marker.
type Sample = (i64, Option<Series>);
type Stored = Vec<Sample>;

#[derive(Default)]
struct Gateway {
    generation: u32,
    series: Series,
    /// What Prometheus stored.
    stored: Stored,
    name: String,
    /// Replaced ones keep their samples until the look-back forgets them or a marker ends them.
    gone: Vec<(String, Stored)>,
}

impl Gateway {
    fn serve(&mut self, served: Served) {
        for (arm, routes) in served.iter().enumerate() {
            for ((good, bad), route) in routes.iter().zip(["a", "b"]) {
                for (code, count) in [("200", *good), ("500", *bad)] {
                    if count > 0 {
                        *self.series.entry((arm, format!("{code} {route}"))).or_default() += f64::from(count);
                    }
                }
            }
        }
    }

    fn meet(&mut self, fate: Fate, now: i64, index: usize) {
        match fate {
            Fate::Restarts => self.series.clear(),
            Fate::Replaced => {
                self.stored.push((now, None));
                let stored = std::mem::take(&mut self.stored);
                self.gone.push((std::mem::take(&mut self.name), stored));
                self.generation += 1;
                self.series.clear();
            }
            Fate::Forgets => self
                .series
                .retain(|(arm, label), _| *arm != 0 || !label.ends_with('a')),
            Fate::Nothing | Fate::Unseen => {}
        }
        self.name = format!("{index}-{}", self.generation);
    }
}

/// What an instant query sees of one gateway.
fn seen(stored: &[Sample], at: i64) -> Option<(i64, &Series)> {
    let (time, series) = stored.iter().rev().find(|(time, _)| *time <= at)?;
    series
        .as_ref()
        .filter(|_| at - time < LOOK_BACK)
        .map(|series| (*time, series))
}

/// The snapshot of an instant, as an answer would be split.
fn snapshot(gateways: &[Gateway], at: i64) -> Snapshot {
    let mut arms = [BTreeMap::new(), BTreeMap::new()];
    for gateway in gateways {
        let current = std::iter::once((&gateway.name, &gateway.stored));
        let gone = gateway.gone.iter().map(|(name, stored)| (name, stored));
        for (name, stored) in current.chain(gone) {
            let Some((sampled, series)) = seen(stored, at) else {
                continue;
            };
            for (index, arm) in arms.iter_mut().enumerate() {
                let own: Vec<(&str, f64)> = series
                    .iter()
                    .filter(|((arm, _), _)| *arm == index)
                    .map(|((_, label), count)| (label.as_str(), *count))
                    .collect();
                if !own.is_empty() {
                    arm.insert(name.clone(), timed(pod(sampled, &own)));
                }
            }
        }
    }
    let [canary, control] = arms;
    Snapshot {
        at: second(at),
        asked: "ask".to_owned(),
        canary: ArmSnapshot { pods: canary },
        control: Some(ArmSnapshot { pods: control }),
        usual_rate: None,
    }
}

/// Good answers take 5 ms and bad ones 50; one histogram per route.
fn timed(mut pod: PodSnapshot) -> PodSnapshot {
    let of = |code: &str, route: &str| {
        let key = format!("{code} {route}");
        pod.requests.get(&key).map_or(0.0, |counter| counter.count)
    };
    let mut latency = BTreeMap::new();
    for route in ["a", "b"] {
        let (good, bad) = (of("200", route), of("500", route));
        let bucket = |le_ms, count| Bucket { le_ms, count };
        if good + bad > 0.0 {
            let buckets = vec![
                bucket(10.0, good),
                bucket(100.0, good + bad),
                bucket(f64::INFINITY, good + bad),
            ];
            latency.insert(route.to_owned(), buckets);
        }
    }
    pod.latency = latency;
    pod
}

/// What truly happened in one arm up to a moment, and what was counted: requests and errors.
type Sums = [(u64, u64); 2];

struct Run {
    /// Up to the instant at which counting began, up to each look's end, and in all.
    began: Option<Sums>,
    truth: Sums,
    counted: Sums,
    timed: Sums,
    ticks: Vec<Tick>,
    lost_latency: bool,
    gateways: [Gateway; GATEWAYS],
}

impl Run {
    /// What a query at this instant adds up to, when it sees every gateway.
    fn stored(&self, at: Timestamp) -> Option<Sums> {
        let snapshot = snapshot(&self.gateways, at.duration_since(second(0)).as_secs());
        let arms = [snapshot.canary.pods, snapshot.control?.pods];
        let mut names: Vec<&String> = arms.iter().flat_map(BTreeMap::keys).collect();
        names.sort();
        names.dedup();
        let sum = |pods: &Pods| {
            let counters: Vec<_> = pods.values().flat_map(|pod| pod.requests.values()).collect();
            let of = |errors: bool| {
                counters
                    .iter()
                    .filter(move |c| !errors || c.error)
                    .map(|c| c.count)
            };
            (whole(of(false).sum()), whole(of(true).sum()))
        };
        (names.len() == GATEWAYS).then(|| arms.each_ref().map(sum))
    }
}

fn run(moments: &[Moment], delay: i64) -> Run {
    let mut gateways: [Gateway; GATEWAYS] = Default::default();
    let mut cursor = Cursor::default();
    let mut run = Run {
        gateways: Default::default(),
        began: None,
        truth: Sums::default(),
        counted: Sums::default(),
        timed: Sums::default(),
        ticks: Vec::new(),
        lost_latency: false,
    };
    // What had happened when a sample was taken that a look at its time sees: the daemon cannot know more.
    let mut known_at: Vec<(i64, Sums)> = Vec::new();
    for (n, moment) in moments.iter().enumerate() {
        let now = MOMENT * i64::try_from(n).unwrap();
        for (index, (gateway, (served, fate))) in gateways.iter_mut().zip(&moment.gateways).enumerate() {
            gateway.meet(*fate, now, index);
            gateway.serve(*served);
            for (arm, sum) in run.truth.iter_mut().enumerate() {
                for (good, bad) in served[arm] {
                    sum.0 += u64::from(good) + u64::from(bad);
                    sum.1 += u64::from(bad);
                }
            }
            if n % SCRAPE == index % SCRAPE {
                let series = (*fate != Fate::Unseen).then(|| gateway.series.clone());
                gateway.stored.push((now, series));
            }
        }
        known_at.push((now, run.truth));
        if moment.daemon_restarts {
            let text = serde_json::to_string(&cursor).unwrap();
            cursor = serde_json::from_str(&text).unwrap();
        }
        if !moment.looks {
            continue;
        }
        // Samples take a while from the scrape to the store.
        let at = now - delay;
        if at < 0 {
            continue;
        }
        if let Some(instant) = cursor.resume(second(at)) {
            let then = instant.duration_since(second(0)).as_secs();
            cursor.restore(snapshot(&gateways, then));
        }
        if let Reading::Fresh(tick) = advance(&mut cursor, snapshot(&gateways, at)) {
            for (index, arm) in [&tick.canary, &tick.control].into_iter().enumerate() {
                let Some(counts) = arm.counts() else { continue };
                run.counted[index].0 += counts.requests;
                run.counted[index].1 += counts.errors;
                match &counts.latency {
                    Some(latency) => {
                        run.timed[index].0 += latency.counts.iter().sum::<u64>();
                        run.timed[index].1 += latency.counts.iter().skip(1).sum::<u64>();
                    }
                    None => run.lost_latency |= counts.requests > 0,
                }
            }
            run.ticks.push(tick);
        }
        if run.began.is_none() && cursor.at().is_some() {
            // The oldest sample that the first look may have seen.
            let first = known_at
                .iter()
                .rev()
                .find(|(time, _)| *time <= at - SCRAPE_SECONDS);
            run.began = Some(first.map_or(Sums::default(), |(_, sums)| *sums));
        }
    }
    run.gateways = gateways;
    run
}

const SCRAPE_SECONDS: i64 = 15;

fn at_most(counted: (u64, u64), truth: (u64, u64), began: (u64, u64)) -> bool {
    let good = |(all, bad): (u64, u64)| all - bad;
    counted.1 <= truth.1 - began.1 && good(counted) <= good(truth) - good(began)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_and_goes_nothing_is_counted_that_did_not_happen(
        moments in prop::collection::vec(moment(true), 12..160), delay in 0..12_i64,
    ) {
        let run = run(&moments, delay);
        let began = run.began.unwrap_or_default();
        for (arm, began) in began.into_iter().enumerate() {
            prop_assert!(at_most(run.counted[arm], run.truth[arm], began), "{:?} of {:?}", run.counted, run.truth);
            prop_assert!(at_most(run.timed[arm], run.truth[arm], began), "{:?} of {:?}", run.timed, run.truth);
        }
        for pair in run.ticks.windows(2) {
            prop_assert!(pair[0].from < pair[0].to && pair[0].to <= pair[1].from);
        }
    }

    #[test]
    fn without_churn_durations_and_requests_are_the_same_requests(
        moments in prop::collection::vec(moment(false), 24..120), delay in 0..12_i64,
    ) {
        let run = run(&moments, delay);
        prop_assert!(!run.lost_latency);
        prop_assert_eq!(run.counted, run.timed);
        let (Some(first), Some(last)) = (run.ticks.first(), run.ticks.last()) else {
            return Ok(());
        };
        let (Some(from), Some(to)) = (run.stored(first.from), run.stored(last.to)) else {
            return Ok(());
        };
        for ((counted, from), to) in run.counted.into_iter().zip(from).zip(to) {
            prop_assert_eq!(counted, (to.0 - from.0, to.1 - from.1));
        }
    }
}
