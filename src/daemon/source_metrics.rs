//! The source of samples in the daemon's own metrics, computed when they are asked for.

use crate::clock::Clock;
use crate::engine::{Condition, SourceHealth, View};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use std::fmt;
use tokio::sync::watch;

/// What is known of the source.
#[derive(Debug)]
pub(super) struct SourceMetrics {
    view: watch::Receiver<View>,
    clock: Clock,
}

impl SourceMetrics {
    pub(super) fn new(view: watch::Receiver<View>, clock: Clock) -> Self {
        Self { view, clock }
    }

    fn encode_health(&self, health: &SourceHealth, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let conditions = [
            ("fresh", Condition::Fresh),
            ("stale", Condition::Stale),
            ("down", Condition::Down),
        ];
        let help = "1 for how the source of samples stands; none while nothing is watched";
        let mut condition = encoder.encode_descriptor("source_condition", help, None, MetricType::Gauge)?;
        for (name, is) in conditions {
            let value = ConstGauge::new(i64::from(health.condition == is));
            value.encode(condition.encode_family(&[("condition", name)])?)?;
        }
        if let Some(newest) = health.newest_sample_at {
            let help = "Age of the newest sample of any component";
            let age = self.clock.now().duration_since(newest).as_secs_f64();
            let gauge = encoder.encode_descriptor(
                "source_newest_sample_age",
                help,
                Some(&Unit::Seconds),
                MetricType::Gauge,
            )?;
            ConstGauge::new(age).encode(gauge)?;
        }
        let help = "Questions put to the source of samples";
        let queries = encoder.encode_descriptor("source_queries", help, None, MetricType::Counter)?;
        ConstCounter::new(health.queries).encode(queries)?;
        let help = "Bytes of answers read from the source of samples, unpacked";
        let bytes =
            encoder.encode_descriptor("source_read", help, Some(&Unit::Bytes), MetricType::Counter)?;
        ConstCounter::new(health.bytes).encode(bytes)?;
        let help = "1 for an address of the source that answers, 0 for one that failed last";
        let mut up = encoder.encode_descriptor("source_endpoint_up", help, None, MetricType::Gauge)?;
        for endpoint in &health.endpoints {
            let value = ConstGauge::new(i64::from(endpoint.failing.is_none()));
            value.encode(up.encode_family(&[("endpoint", endpoint.name.as_str())])?)?;
        }
        Ok(())
    }
}

impl Collector for SourceMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let health = self.view.borrow().source();
        self.encode_health(&health, &mut encoder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    #[test]
    fn the_source_is_in_the_daemons_own_metrics() {
        let (_keep, view) = watch::channel(View::default());
        let metrics = Metrics::new();
        metrics.collect(Box::new(SourceMetrics::new(view, Clock::System)));
        let text = metrics.encode().unwrap();
        for line in [
            r#"gradual_rollout_source_condition{condition="down"} 0"#,
            "gradual_rollout_source_queries_total 0",
            "gradual_rollout_source_read_bytes_total 0",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
