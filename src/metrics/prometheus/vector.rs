//! Any PromQL at one instant: for checks that are read beside the arms.

use super::PrometheusSource;
use crate::metrics::answer::{self, Unusable};
use crate::metrics::gauge::Sample;
use crate::metrics::snapshot::whole_millis;
use crate::rollout::sample::{Blindness, Dark};
use jiff::Timestamp;

impl PrometheusSource {
    /// The series of an expression at one instant, from the first endpoint that gives data.
    pub async fn vector(&self, promql: &str, at: Timestamp) -> Result<Vec<Sample>, Blindness> {
        let at = whole_millis(at);
        let asked = tokio::time::timeout(self.total_timeout, self.vector_of_any(promql, at)).await;
        asked.unwrap_or_else(|_| {
            Err(Blindness {
                kind: Dark::Down,
                message: format!("no endpoint answered within {:?}", self.total_timeout),
            })
        })
    }

    async fn vector_of_any(&self, promql: &str, at: Timestamp) -> Result<Vec<Sample>, Blindness> {
        let mut first: Option<Blindness> = None;
        for endpoint in &self.endpoints {
            let asked = tokio::time::timeout(self.timeout, self.fetch(endpoint, promql, at)).await;
            let fetched = asked.unwrap_or_else(|_| {
                Err(Unusable {
                    kind: Dark::Down,
                    why: format!("no answer within {:?}", self.timeout),
                })
            });
            let read = fetched.and_then(|(status, body)| samples(status, &body));
            let Unusable { kind, why } = match read {
                Ok(samples) => return Ok(samples),
                Err(unusable) => unusable,
            };
            let message = format!("{}: {why}", endpoint.name);
            first.get_or_insert(Blindness { kind, message });
        }
        Err(first.unwrap_or_else(|| Blindness {
            kind: Dark::Down,
            message: "no endpoint is configured".to_owned(),
        }))
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
