//! What the program tells about itself: logs, and metrics in a registry of its own.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};
use std::sync::{Arc, Mutex, PoisonError};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Forms of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter is none.
    #[error(
        "{given:?} is no log level: write error, warn, info, debug or trace, or a filter like \"info,gradual_rollout=debug\""
    )]
    Filter {
        /// As given.
        given: String,
        /// What the parser says.
        source: tracing_subscriber::filter::ParseError,
    },
    /// There can be one logger per process.
    #[error("logging was already set up in this process")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

/// Sends log lines to `writer` from now on. `level` is a level or a filter by module.
pub fn init<W>(level: &str, format: LogFormat, colours: bool, writer: W) -> Result<(), Error>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    use tracing_subscriber::util::SubscriberInitExt as _;
    let filter = EnvFilter::try_new(level).map_err(|source| Error::Filter {
        given: level.to_owned(),
        source,
    })?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer);
    match format {
        LogFormat::Text => lines.with_ansi(colours).finish().try_init(),
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init(),
    }
    .map_err(Error::Twice)
}

/// The registry that `/metrics` shows. Cheap to clone; clones are one registry.
///
/// Every name begins with `gradual_rollout_`; ratios are 0–1 and times are seconds.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// A registry that knows the program's version and nothing else yet.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("gradual_rollout");
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The running program", build);
        Self {
            registry: Arc::new(Mutex::new(registry)),
        }
    }

    /// Adds a metric and returns it: keep the clone to count with. Counters get `_total` by themselves.
    pub fn register<M: Metric + Clone>(&self, name: &str, help: &str, metric: M) -> M {
        self.with(|registry| registry.register(name, help, metric.clone()));
        metric
    }

    /// Adds what is computed when it is asked for.
    pub fn collect(&self, collector: Box<dyn Collector>) {
        self.with(|registry| registry.register_collector(collector));
    }

    /// The text that Prometheus scrapes (OpenMetrics 1.0).
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        self.with(|registry| text::encode(&mut text, registry))?;
        Ok(text)
    }

    /// Short and never across an await: a std Mutex will do. A panic elsewhere leaves the registry usable.
    fn with<T>(&self, act: impl FnOnce(&mut Registry) -> T) -> T {
        act(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The content type of [`Metrics::encode`]'s text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::metrics::counter::Counter;

    #[test]
    fn what_is_counted_is_shown_under_our_prefix() {
        let metrics = Metrics::new();
        let writes = metrics.register(
            "router_writes",
            "Writes to routed objects",
            Counter::<u64>::default(),
        );
        writes.inc_by(3);
        let text = metrics.clone().encode().unwrap();
        assert!(text.contains("gradual_rollout_router_writes_total 3"), "{text}");
        assert!(text.contains("gradual_rollout_build_info{version="), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn a_wrong_level_is_refused_with_the_remedy() {
        let error = init("info,=,", LogFormat::Text, false, std::io::sink).unwrap_err();
        assert!(error.to_string().contains("no log level"), "{error}");
    }
}
