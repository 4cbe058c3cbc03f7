//! The closed set of sources.

use super::ask::Ask;
use super::counters::{Cursor, advance};
use super::gauge::Sample;
use super::history::Stretch;
use super::prometheus::PrometheusSource;
use super::remedy::name_what_is_missing;
use super::snapshot::Snapshot;
use crate::rollout::sample::{Blindness, Dark, Reading};
use jiff::Timestamp;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Where samples come from. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Source {
    /// Prometheus, or what speaks its API.
    Prometheus(Arc<PrometheusSource>),
    /// Traffic that nobody sent.
    Simulated(Arc<dyn Simulation>),
}

/// Simulated traffic, read as Prometheus would be: raw counters, so that the arithmetic is the shipped one.
pub trait Simulation: Send + Sync + fmt::Debug {
    /// The counters as they stood at this instant. Must answer the same for an instant of the past (at least five
    /// minutes back), because a restarted daemon reads its last one again. `sampled_at` is the simulated scrape.
    fn scrape(&self, ask: &Ask, at: Timestamp) -> Result<Snapshot, Blindness>;

    /// Whether it can be asked about any instant of the past. One that keeps minutes has no history.
    fn has_past(&self) -> bool {
        true
    }

    /// The series of an expression at this instant.
    fn vector(&self, promql: &str, at: Timestamp) -> Result<Vec<Sample>, Blindness> {
        let _ = (promql, at);
        Err(Blindness {
            kind: Dark::Refused,
            message: "the simulated source answers no PromQL: name a Prometheus in the settings".to_owned(),
        })
    }
}

impl Source {
    /// The raw counters of both arms at one instant.
    pub async fn read(&self, ask: &Ask, at: Timestamp) -> Result<Snapshot, Blindness> {
        match self {
            Self::Prometheus(prometheus) => prometheus.read(ask, at).await,
            Self::Simulated(simulation) => simulation.scrape(ask, at),
        }
    }

    /// The raw counters of both arms now. All who look within some milliseconds of each other get the answer of one
    /// instant, and those who ask for the same share it: nothing is asked twice.
    pub async fn look(&self, ask: &Ask, now: Timestamp) -> Result<Snapshot, Blindness> {
        match self {
            Self::Prometheus(prometheus) => prometheus.look(ask, now).await,
            Self::Simulated(simulation) => simulation.scrape(ask, now),
        }
    }

    /// The raw counters of both arms at many instants of the past: from `from` (rounded up to a whole second) to
    /// `to`, both included, every `step` (whole seconds), in order. Each is what [`Source::read`] would have given
    /// at its instant, as far as the source remembers; an instant of which it remembers nothing has no pods.
    /// [`advance`] walks them to the ticks of that time.
    ///
    /// Memory grows with the number of instants, so that 50,000 are the most in one call; for more, call again from
    /// where it ended, and go on with the same cursor. Never called by a look: it may take many queries.
    pub async fn history(
        &self,
        ask: &Ask,
        from: Timestamp,
        to: Timestamp,
        step: Duration,
    ) -> Result<Vec<Snapshot>, Blindness> {
        match self {
            Self::Prometheus(prometheus) => prometheus.history(ask, from, to, step).await,
            Self::Simulated(simulation) if !simulation.has_past() => Ok(Vec::new()),
            Self::Simulated(simulation) => Stretch::new(from, to, step)?
                .instants()
                .map(|at| simulation.scrape(ask, at))
                .collect(),
        }
    }

    /// When who looks every `interval` looks next. The same beats for everybody, so that one query can serve them
    /// all; a little apart from those of other daemons, which may ask the same Prometheus.
    pub fn next_beat(&self, now: Timestamp, interval: Duration) -> Timestamp {
        let phase = match self {
            Self::Prometheus(prometheus) => prometheus.phase(),
            Self::Simulated(_) => Duration::ZERO,
        };
        beat(now, interval, phase)
    }

    /// The series of any expression at one instant.
    pub async fn vector(&self, promql: &str, at: Timestamp) -> Result<Arc<[Sample]>, Blindness> {
        match self {
            Self::Prometheus(prometheus) => prometheus.vector(promql, at).await,
            Self::Simulated(simulation) => simulation.vector(promql, at).map(Into::into),
        }
    }

    /// The series of any expression at each of many instants, in order: the instants of [`Source::history`].
    pub async fn vectors(
        &self,
        promql: &str,
        from: Timestamp,
        to: Timestamp,
        step: Duration,
    ) -> Result<Vec<Vec<Sample>>, Blindness> {
        match self {
            Self::Prometheus(prometheus) => prometheus.vectors(promql, from, to, step).await,
            Self::Simulated(simulation) => Stretch::new(from, to, step)?
                .instants()
                .map(|at| simulation.vector(promql, at))
                .collect(),
        }
    }

    /// What happened since the cursor. Resumes a cursor that was persisted; leaves it alone when the source is dark.
    pub async fn observe(&self, ask: &Ask, cursor: &mut Cursor, now: Timestamp) -> Reading {
        if let Some(at) = cursor.resume(now) {
            match self.read(ask, at).await {
                Ok(snapshot) => cursor.restore(snapshot),
                Err(blindness) => return Reading::Blind(blindness),
            }
        }
        match self.look(ask, now).await {
            Ok(snapshot) => name_what_is_missing(ask, advance(cursor, snapshot)),
            Err(blindness) => name_what_is_missing(ask, Reading::Blind(blindness)),
        }
    }
}

/// The instants of [`Source::history`].
pub fn instants(from: Timestamp, to: Timestamp, step: Duration) -> Result<Vec<Timestamp>, Blindness> {
    Ok(Stretch::new(from, to, step)?.instants().collect())
}

/// The first multiple of `interval` since 1970, plus `phase`, that is after `now`.
fn beat(now: Timestamp, interval: Duration, phase: Duration) -> Timestamp {
    let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    let interval = millis(interval).max(1);
    let phase = millis(phase) % interval;
    let since = now.as_millisecond().saturating_sub(phase).rem_euclid(interval);
    let whole = Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now);
    let rest = Duration::from_millis((interval - since).unsigned_abs());
    whole.checked_add(rest).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Counter, PodSnapshot};
    use crate::rollout::spec::{ArmSource, Arms, Preset, Traffic};
    use std::collections::BTreeMap;

    fn ask() -> Ask {
        Ask {
            rollout: "ns/shop".to_owned(),
            component: "shop".to_owned(),
            arms: Arms {
                canary: ArmSource {
                    preset: Preset::Istio,
                    labels: BTreeMap::new(),
                    latency_labels: BTreeMap::new(),
                    metrics: None,
                },
                control: None,
            },
            traffic: Traffic::Requests,
            wants_latency: false,
            wants_history: false,
        }
    }

    /// One request per second since 1970 on the canary, half of them errors, scraped whenever it is asked.
    #[derive(Debug)]
    struct Steady;

    impl Simulation for Steady {
        fn scrape(&self, ask: &Ask, at: Timestamp) -> Result<Snapshot, Blindness> {
            let mut snapshot = Snapshot::empty(ask, at);
            if at.as_second() >= 1_000 {
                return Err(Blindness {
                    kind: Dark::Down,
                    message: "lights out".to_owned(),
                });
            }
            let count = f64::from(i32::try_from(at.as_second()).unwrap()) / 2.0;
            let counter = |error| Counter { count, error };
            let pod = PodSnapshot {
                sampled_at: snapshot.at,
                requests: [
                    ("200".to_owned(), counter(false)),
                    ("500".to_owned(), counter(true)),
                ]
                .into(),
                latency: BTreeMap::new(),
            };
            snapshot.canary.pods.insert("a".to_owned(), pod);
            Ok(snapshot)
        }
    }

    #[test]
    fn whoever_looks_at_one_interval_looks_at_the_same_beats() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let phase = Duration::from_millis(300);
        for now in [
            "2026-11-21T08:00:00.3Z",
            "2026-11-21T08:00:04Z",
            "2026-11-21T08:00:10.299Z",
        ] {
            let next = beat(at(now), Duration::from_secs(10), phase);
            assert_eq!(next, at("2026-11-21T08:00:10.3Z"), "{now}");
        }
        // Slower ones on every third beat of the faster ones.
        let next = beat(at("2026-11-21T08:00:10.3Z"), Duration::from_secs(30), phase);
        assert_eq!(next, at("2026-11-21T08:00:30.3Z"));
        let next = beat(at("2026-11-21T08:00:00.0009Z"), Duration::ZERO, phase);
        assert_eq!(
            next,
            at("2026-11-21T08:00:00.001Z"),
            "never now, or it would spin"
        );
    }

    /// A source whose counters are no numbers.
    #[derive(Debug)]
    struct Nonsense;

    impl Simulation for Nonsense {
        fn scrape(&self, _: &Ask, _: Timestamp) -> Result<Snapshot, Blindness> {
            Err(Blindness {
                kind: Dark::NotANumber,
                message: "a counter of NaN".to_owned(),
            })
        }
    }

    #[tokio::test]
    async fn what_is_no_number_is_named_with_what_was_asked_for() {
        let source = Source::Simulated(Arc::new(Nonsense));
        let at = Timestamp::from_second(100).unwrap();
        let reading = source.observe(&ask(), &mut Cursor::default(), at).await;
        assert!(
            matches!(&reading, Reading::Blind(b) if b.message.contains("NaN. Asked for: canary istio_requests_total{")),
            "{reading:?}"
        );
    }

    #[test]
    fn simulated_history_is_what_would_have_been_read_then() {
        let rollout = ask();
        let source = Source::Simulated(Arc::new(Steady));
        let at = |second| Timestamp::from_second(second).unwrap();
        let history = source.history(&rollout, at(100), at(160), Duration::from_secs(30));
        let history = futures::executor::block_on(history).unwrap();
        let instants: Vec<i64> = history.iter().map(|snapshot| snapshot.at.as_second()).collect();
        assert_eq!(instants, [100, 130, 160]);
        let mut cursor = Cursor::default();
        let readings: Vec<Reading> = history
            .into_iter()
            .map(|snapshot| advance(&mut cursor, snapshot))
            .collect();
        let requests: Vec<Option<u64>> = readings
            .iter()
            .map(|reading| match reading {
                Reading::Fresh(tick) => tick.canary.counts().map(|counts| counts.requests),
                Reading::Waiting | Reading::Blind(_) => None,
            })
            .collect();
        assert_eq!(requests, [None, Some(30), Some(30)]);
        let dark = source.history(&rollout, at(980), at(1_000), Duration::from_secs(10));
        assert!(futures::executor::block_on(dark).is_err(), "a hole is no history");
    }

    #[tokio::test]
    async fn simulated_traffic_goes_through_the_same_counters_restarts_included() {
        let source = Source::Simulated(Arc::new(Steady));
        let ask = ask();
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut cursor = Cursor::default();
        assert_eq!(source.observe(&ask, &mut cursor, at(100)).await, Reading::Waiting);
        let mut cursor: Cursor = serde_json::from_str(&serde_json::to_string(&cursor).unwrap()).unwrap();
        let Reading::Fresh(tick) = source.observe(&ask, &mut cursor, at(160)).await else {
            panic!("a tick");
        };
        let counts = tick.canary.counts().unwrap();
        assert_eq!((tick.from, counts.requests, counts.errors), (at(100), 60, 30));
        let before = cursor.clone();
        assert!(matches!(
            source.observe(&ask, &mut cursor, at(1_000)).await,
            Reading::Blind(_)
        ));
        assert_eq!(cursor, before, "darkness moves nothing");
    }
}
