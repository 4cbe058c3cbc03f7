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
