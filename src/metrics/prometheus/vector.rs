//! Any PromQL at one instant: for what is read beside the arms, and for people who want to know what is missing.

use super::PrometheusSource;
use crate::metrics::gauge::Sample;
use crate::metrics::history;
use crate::rollout::sample::Blindness;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;

impl PrometheusSource {
    /// The series of an expression at one instant, or at one that is as good as it when somebody just asked the same.
    pub async fn vector(&self, promql: &str, at: Timestamp) -> Result<Arc<[Sample]>, Blindness> {
        self.same.ask(promql, at).await
    }

    /// See [`crate::metrics::Source::vectors`].
    pub(crate) async fn vectors(
        &self,
        promql: &str,
        from: Timestamp,
        to: Timestamp,
        step: Duration,
    ) -> Result<Vec<Vec<Sample>>, Blindness> {
        history::read_vectors(&self.wire, promql, from, to, step).await
    }
}
