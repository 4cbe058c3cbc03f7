//! One question of a person's: any PromQL, its answer as it is. Nothing is judged by it.

use super::{PrometheusSource, answer, down};
use crate::rollout::sample::Blindness;
use jiff::Timestamp;
use std::collections::BTreeMap;

impl PrometheusSource {
    /// The instant vector that `promql` gives at a time: each series' labels and value. The first endpoint that
    /// answers; its error otherwise.
    pub async fn vector(
        &self,
        promql: &str,
        at: Timestamp,
    ) -> Result<Vec<(BTreeMap<String, String>, f64)>, Blindness> {
        let mut first = None;
        for endpoint in &self.endpoints {
            let asked = tokio::time::timeout(self.timeout, self.fetch(endpoint, promql, at)).await;
            let late = || Err(down(format!("no answer within {:?}", self.timeout)));
            let read = asked.unwrap_or_else(|_| late()).and_then(|(status, body)| {
                let series = answer::read(status, &body)?;
                Ok(series
                    .iter()
                    .map(|series| {
                        let labels = series.metric.iter();
                        let labels = labels.map(|(name, value)| (name.to_string(), value.to_string()));
                        (labels.collect(), series.number())
                    })
                    .collect())
            });
            match read {
                Ok(vector) => return Ok(vector),
                Err(unusable) => {
                    let message = format!("{}: {}", endpoint.name, unusable.why);
                    first.get_or_insert(Blindness {
                        kind: unusable.kind,
                        message,
                    });
                }
            }
        }
        Err(first.unwrap_or_else(|| Blindness {
            kind: crate::rollout::sample::Dark::Down,
            message: "no endpoint is configured".to_owned(),
        }))
    }
}
