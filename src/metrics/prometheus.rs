//! Prometheus as a source: what is asked of it about components.

use super::ask::Ask;
use super::batch::Batches;
use super::endpoint::chance;
use super::health::EndpointHealth;
use super::history;
use super::same::Same;
use super::settings::{PrometheusSettings, SettingsError};
use super::snapshot::Snapshot;
use super::wire::Wire;
use crate::rollout::sample::Blindness;
use jiff::Timestamp;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Prometheus, or what speaks its API (Thanos, Mimir, `VictoriaMetrics`).
pub struct PrometheusSource {
    wire: Arc<Wire>,
    batches: Arc<Batches>,
    same: Same,
    phase: Duration,
}

/// Beats of several daemons lie apart by up to this.
const PHASES: Duration = Duration::from_secs(1);

/// Headers and secrets stay inside.
impl fmt::Debug for PrometheusSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrometheusSource")
            .field("endpoints", &self.wire.names().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl PrometheusSource {
    /// A source with these settings, or the first of them that cannot be used. Reads the certificates; asks nothing
    /// yet.
    pub fn new(settings: &PrometheusSettings) -> Result<Self, SettingsError> {
        let wire = Arc::new(Wire::new(settings)?);
        Ok(Self {
            batches: Batches::new(wire.clone()),
            same: Same::new(wire.clone()),
            wire,
            phase: chance(PHASES),
        })
    }

    /// Each address, and whether it answers.
    pub fn endpoints(&self) -> Vec<EndpointHealth> {
        self.wire.health()
    }

    /// Questions put on the wire, and bytes of answers read from it, since the start.
    pub fn traffic(&self) -> (u64, u64) {
        self.wire.traffic()
    }

    /// Components that share series with others, each pair in a sentence.
    pub fn shared_series(&self) -> Vec<String> {
        self.batches.shared_series()
    }

    /// How far this daemon's beats are from those of others.
    pub(crate) fn phase(&self) -> Duration {
        self.phase
    }

    /// The raw counters of both arms at this instant, together with what others ask about it.
    pub async fn read(&self, ask: &Ask, at: Timestamp) -> Result<Snapshot, Blindness> {
        self.batches.read(ask, at).await
    }

    /// The raw counters of both arms of about now, together with whatever others ask about now. The snapshot names
    /// the instant, which may be some milliseconds before.
    pub async fn look(&self, ask: &Ask, now: Timestamp) -> Result<Snapshot, Blindness> {
        self.batches.look(ask, now).await
    }

    /// See [`super::Source::history`].
    pub(crate) async fn history(
        &self,
        ask: &Ask,
        from: Timestamp,
        to: Timestamp,
        step: Duration,
    ) -> Result<Vec<Snapshot>, Blindness> {
        history::read(&self.wire, ask, from, to, step).await
    }
}

#[cfg(test)]
mod tests;
mod vector;
