//! From settings to a running daemon, and to its end.

use super::{Handles, run};
use crate::clock::Clock;
use crate::cluster::connect;
use crate::engine::{EngineSettings, View};
use crate::metrics::{PrometheusSettings, PrometheusSource, Source};
use crate::settings::{LogFormat, Prometheus, Settings};
use crate::telemetry::{self, Metrics};
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How often the Lease is renewed, and how long one that is not is still believed.
const LEASE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(15));

/// Why the daemon did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings cannot be used.
    #[error("{0}")]
    Settings(String),
    /// There is no cluster to be found.
    #[error(transparent)]
    Cluster(#[from] connect::ConnectError),
    /// It started and failed.
    #[error("{0:#}")]
    Failed(anyhow::Error),
}

/// Runs a daemon of its own process until it is told to stop: logging, runtime, connections, signals.
pub fn start(settings: Settings) -> Result<(), StartError> {
    let format = match settings.log.format {
        LogFormat::Text => telemetry::LogFormat::Text,
        LogFormat::Json => telemetry::LogFormat::Json,
    };
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    telemetry::init(&settings.log.level, format, colours, std::io::stderr)
        .map_err(|error| StartError::Settings(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| StartError::Failed(error.into()))?;
    runtime.block_on(serve(settings))
}

async fn serve(settings: Settings) -> Result<(), StartError> {
    let prometheus = settings.prometheus.ok_or_else(|| {
        StartError::Settings(
            "the settings name no source of samples, so nothing could be judged: add [prometheus] with endpoints".to_owned(),
        )
    })?;
    let source =
        PrometheusSource::new(&asked(prometheus)).map_err(|error| StartError::Settings(error.to_string()))?;
    let clients = connect::connect(None, None).await?;
    let listener = TcpListener::bind(settings.listen).await.map_err(|error| {
        StartError::Settings(format!(
            "unable to listen on {}: {error}; set listen to a free address",
            settings.listen
        ))
    })?;
    let identity = settings.lease.identity.unwrap_or_else(identity);
    tracing::info!(%identity, listen = %settings.listen, namespace = %settings.namespace, "starting");
    let (view, _) = tokio::sync::watch::channel(View::default());
    let handles = Handles {
        clients,
        source: Source::Prometheus(Arc::new(source)),
        clock: Clock::System,
        namespace: settings.namespace,
        lease: settings.lease.name,
        identity,
        lease_renew: LEASE.0,
        lease_duration: LEASE.1,
        watch_namespaces: settings.watch.namespaces,
        engine: EngineSettings {
            allowed_namespaces: settings.watch.foreign_namespaces,
        },
        metrics: Metrics::new(),
        view,
    };
    let stop = CancellationToken::new();
    let work = run(handles, Some(listener), stop.clone());
    tokio::pin!(work);
    let ended = tokio::select! {
        ended = &mut work => ended,
        () = told_to_stop() => {
            tracing::info!("told to stop");
            stop.cancel();
            work.await
        }
    };
    ended.map_err(StartError::Failed)
}

fn asked(prometheus: Prometheus) -> PrometheusSettings {
    let (username, password_file) = prometheus.basic_auth.unzip();
    PrometheusSettings {
        endpoints: prometheus.endpoints,
        timeout: prometheus.timeout,
        total_timeout: prometheus.total_timeout,
        bearer_token_file: prometheus.bearer_token_file,
        username,
        password_file,
        headers: prometheus.headers,
        ca_file: prometheus.ca_file,
    }
}

/// The host's name tells people which pod it is; the random end keeps two of one host apart.
fn identity() -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "gradual-rollout".to_owned());
    let random = ulid::Ulid::generate().random() & 0xffff_ffff;
    format!("{host}-{random:08x}")
}

/// Waits for an interrupt or a termination.
async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        // Without the signal there is still the interrupt.
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
