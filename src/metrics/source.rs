//! The closed set of sources.

use super::ask::Ask;
use super::counters::{Cursor, advance};
use super::prometheus::PrometheusSource;
use super::snapshot::Snapshot;
use crate::rollout::sample::{Blindness, Reading};
use jiff::Timestamp;
use std::fmt;
use std::sync::Arc;

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
}

impl Source {
    /// The raw counters of both arms at one instant.
    pub async fn read(&self, ask: &Ask, at: Timestamp) -> Result<Snapshot, Blindness> {
        match self {
            Self::Prometheus(prometheus) => prometheus.read(ask, at).await,
            Self::Simulated(simulation) => simulation.scrape(ask, at),
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
        match self.read(ask, now).await {
            Ok(snapshot) => advance(cursor, snapshot),
            Err(blindness) => Reading::Blind(blindness),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Counter, PodSnapshot};
    use crate::rollout::sample::Dark;
    use crate::rollout::spec::{ArmSource, Arms, Preset, Traffic};
    use std::collections::BTreeMap;

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

    #[tokio::test]
    async fn simulated_traffic_goes_through_the_same_counters_restarts_included() {
        let source = Source::Simulated(Arc::new(Steady));
        let ask = Ask {
            rollout: "ns/shop".to_owned(),
            component: "shop".to_owned(),
            arms: Arms {
                canary: ArmSource {
                    preset: Preset::Istio,
                    labels: BTreeMap::new(),
                },
                control: None,
            },
            traffic: Traffic::Requests,
            wants_latency: false,
            wants_history: false,
        };
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
