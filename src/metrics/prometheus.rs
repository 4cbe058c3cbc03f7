//! Prometheus as a source: what is asked of it about components.

use super::ask::Ask;
use super::health::EndpointHealth;
use super::settings::{PrometheusSettings, SettingsError};
use super::snapshot::{Snapshot, whole_millis};
use super::split::split;
use super::wire::{Question, Wire};
use super::{answer, history, query};
use crate::rollout::sample::{Blindness, Dark};
use jiff::Timestamp;
use std::fmt;
use std::time::Duration;

/// Prometheus, or what speaks its API (Thanos, Mimir, VictoriaMetrics).
pub struct PrometheusSource {
    wire: Wire,
}

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
        Ok(Self {
            wire: Wire::new(settings)?,
        })
    }

    /// Each address, and whether it answers.
    pub fn endpoints(&self) -> Vec<EndpointHealth> {
        self.wire.health()
    }

    /// The raw counters of both arms at one instant, by one query.
    pub async fn read(&self, ask: &Ask, at: Timestamp) -> Result<Snapshot, Blindness> {
        let at = whole_millis(at);
        let promql = query::render(&[ask]).map_err(|error| Blindness {
            kind: Dark::Refused,
            message: error.to_string(),
        })?;
        let ask = ask.clone();
        let understood = move |status, body: &[u8]| {
            let series = answer::read(status, body)?;
            let snapshot = split(&[&ask], at, &series).into_iter().next();
            snapshot.unwrap_or_else(|| Ok(Snapshot::empty(&ask, at)))
        };
        let question = Question::Instant { promql, at };
        self.wire
            .ask(&question, understood)
            .await
            .map_err(|failure| failure.blindness)
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
