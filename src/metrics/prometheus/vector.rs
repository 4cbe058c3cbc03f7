//! Any PromQL at one instant: for what is read beside the arms, and for people who want to know what is missing.

use super::PrometheusSource;
use crate::metrics::answer::{self, Unusable};
use crate::metrics::snapshot::whole_millis;
use crate::metrics::source::Sample;
use crate::metrics::wire::Question;
use crate::rollout::sample::Blindness;
use jiff::Timestamp;

impl PrometheusSource {
    /// The series of an expression at one instant, from the first endpoint that gives data.
    pub async fn vector(&self, promql: &str, at: Timestamp) -> Result<Vec<Sample>, Blindness> {
        let question = Question::Instant {
            promql: promql.to_owned(),
            at: whole_millis(at),
        };
        let answered = self.wire.ask(&question, samples).await;
        answered
            .map(|(samples, _)| samples)
            .map_err(|failure| failure.blindness)
    }
}

fn samples(status: u16, body: &[u8]) -> Result<Vec<Sample>, Unusable> {
    let series = answer::read(status, body)?;
    let owned = series.iter().map(|series| Sample {
        labels: series
            .metric
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect(),
        value: series.number(),
    });
    Ok(owned.collect())
}
