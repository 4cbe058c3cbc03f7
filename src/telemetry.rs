//! What the program tells about itself: logs, and metrics in a registry of its own.

use crate::shown::{plain, plain_json};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use tracing::{Dispatch, Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::{DefaultFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

/// Forms of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
    dispatch(filter, format, colours, writer)
        .try_init()
        .map_err(Error::Twice)
}

fn dispatch<W>(filter: EnvFilter, format: LogFormat, colours: bool, writer: W) -> Dispatch
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer);
    match format {
        LogFormat::Text => lines.with_ansi(colours).fmt_fields(PlainFields).finish().into(),
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true);
            lines.map_event_format(PlainJson).finish().into()
        }
    }
}

/// Fields as ever, in one line and without what a terminal would obey: errors and names come from others, and a line
/// break in one of them could pass for a record of its own.
struct PlainFields;

impl<'w> FormatFields<'w> for PlainFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut text = String::new();
        DefaultFields::new().format_fields(Writer::new(&mut text), fields)?;
        writer.write_str(&plain(&text))
    }
}

/// JSON as ever, but for the younger control characters, which JSON itself leaves as they are.
struct PlainJson<F>(F);

impl<S, N, F> FormatEvent<S, N> for PlainJson<F>
where
    S: Subscriber + for<'l> LookupSpan<'l>,
    N: for<'w> FormatFields<'w> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut text = String::new();
        self.0.format_event(context, Writer::new(&mut text), event)?;
        writer.write_str(&plain_json(&text))
    }
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

    /// The text that Prometheus scrapes (`OpenMetrics` 1.0).
    pub fn encode(&self) -> Result<String, fmt::Error> {
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

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_others_say_is_one_line_of_the_log_that_no_terminal_obeys() {
        let error = "refused\u{1b}[2J\u{9b}31m\n2026-03-02T09:00:00Z  INFO audit: who=\"root\" \u{202e}";
        for (format, colours) in [
            (LogFormat::Text, false),
            (LogFormat::Text, true),
            (LogFormat::Json, false),
        ] {
            let kept = Kept::default();
            let writer = kept.clone();
            let dispatch = dispatch(EnvFilter::new("info"), format, colours, move || writer.clone());
            tracing::dispatcher::with_default(&dispatch, || {
                let span = tracing::info_span!("at", place = %error);
                let _inside = span.enter();
                tracing::warn!(%error, rollout = "shop", "not written: {error}");
            });
            let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
            assert_eq!(text.lines().count(), 1, "{format:?}: {text:?}");
            let of_ours = text.trim_end_matches('\n').replace("\u{1b}[", "");
            let obeyed = |c: char| c.is_control() || c == '\u{202e}';
            assert!(!of_ours.contains(obeyed), "{format:?}: {text:?}");
            assert!(!text.contains("\u{1b}[2J"), "{format:?}: {text:?}");
            assert!(text.contains("refused") && text.contains("shop"), "{text}");
            if format == LogFormat::Text {
                assert!(text.contains("rollout=\"shop\""), "{text}");
                assert_eq!(text.contains('\u{1b}'), colours, "{text:?}");
            } else {
                let read: serde_json::Value = serde_json::from_str(&text).unwrap();
                assert_eq!(read["error"], error, "it says the same");
            }
        }
    }

    #[test]
    fn a_wrong_level_is_refused_with_the_remedy() {
        let error = init("info,=,", LogFormat::Text, false, std::io::sink).unwrap_err();
        assert!(error.to_string().contains("no log level"), "{error}");
    }
}
