//! From settings to a running daemon, and to its end.

use super::Handles;
use crate::api::{AlertRoute, InboundSettings};
use crate::clock::Clock;
use crate::cluster::connect::{Clients, ConnectError, connect};
use crate::cluster::lease;
use crate::engine::{DoctorSettings, EngineSettings, Freeze, Limits, View};
use crate::metrics::{Ask, PrometheusSettings, PrometheusSource, Simulation, Snapshot, Source};
use crate::notify::Outbox;
use crate::probe::{Allowed, Hooks, Prober};
use crate::rollout::sample::{Blindness, Dark};
use crate::settings::{AlertTarget, LogFormat, Prometheus, Settings};
use crate::telemetry::{self, Metrics};
use jiff::Timestamp;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Why the daemon did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings cannot be used.
    #[error("{0}")]
    Settings(String),
    /// There is no cluster to be found.
    #[error(transparent)]
    Cluster(#[from] ConnectError),
    /// It started and failed.
    #[error("{0:#}")]
    Failed(anyhow::Error),
}

/// Runs a daemon in a process of its own until it is told to stop: logging, runtime, connections, signals.
pub fn start(settings: Settings) -> Result<(), StartError> {
    let format = match settings.log.format {
        LogFormat::Text => telemetry::LogFormat::Text,
        LogFormat::Json => telemetry::LogFormat::Json,
    };
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    telemetry::init(&settings.log.level, format, colours, std::io::stderr)
        .map_err(|e| StartError::Settings(e.to_string()))?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| StartError::Failed(anyhow::Error::new(e).context("unable to start the runtime")))?
        .block_on(serve(settings))
}

async fn serve(settings: Settings) -> Result<(), StartError> {
    let source = source(settings.prometheus.as_ref())?;
    let prober = prober(&settings.probe_hosts)?;
    let inbound = inbound(&settings).map_err(StartError::Settings)?;
    let hooks = hooks(&settings.hook_hosts, settings.hook_key_file.clone()).map_err(StartError::Settings)?;
    let receivers = super::receivers(&settings.notify).map_err(StartError::Settings)?;
    let listener = bind("listen", settings.listen).await?;
    let block = match settings.block_listen {
        Some(address) => Some(bind("block.listen", address).await?),
        None => None,
    };
    let clients = connect(None, None).await?;
    let webhook = clients.clone();
    let home = settings.namespace.clone();
    let identity = settings.lease.identity.clone().unwrap_or_else(identity);
    let handles = Handles {
        clients,
        source,
        clock: Clock::System,
        namespace: settings.namespace.clone(),
        lease: settings.lease.name.clone(),
        identity: identity.clone(),
        shards: settings.lease.shards,
        lease_renew: lease::RENEW,
        lease_duration: lease::BELIEVED,
        watch_namespaces: settings.watch.namespaces.clone(),
        engine: EngineSettings {
            allowed_namespaces: settings.watch.foreign_namespaces,
            persist_every: None,
            prober: Some(Arc::new(prober)),
            hooks: Some(Arc::new(hooks)),
            freeze: settings.freeze.map(|freeze| Freeze {
                reason: Some(freeze.reason),
                until: freeze.until,
                who: None,
            }),
            limits: Limits {
                concurrent: settings.limits.concurrent,
                groups: settings.limits.groups,
            },
            doctor: Some(DoctorSettings {
                namespace: settings.namespace,
                lease: settings.lease.name,
                shards: settings.lease.shards,
                has_prometheus: settings.prometheus.is_some(),
            }),
            outbox: Some(Outbox::new(receivers)),
        },
        metrics: Metrics::new(),
        inbound: Some(inbound),
        view: tokio::sync::watch::channel(View::default()).0,
    };
    tracing::info!(listen = %settings.listen, identity, version = env!("CARGO_PKG_VERSION"), "starting");
    let stop = CancellationToken::new();
    let mut signals = Signals::new()
        .map_err(|e| StartError::Failed(anyhow::Error::new(e).context("unable to wait for signals")))?;
    // Every daemon answers, whoever leads: it is asked by the API server, and moves nothing.
    let _answers = block.map(|listener| serve_block(listener, webhook, home, stop.clone()));
    let daemon = super::run(handles, Some(listener), stop.clone());
    let mut daemon = std::pin::pin!(daemon);
    let outcome = tokio::select! {
        outcome = &mut daemon => outcome,
        name = signals.next() => {
            tracing::info!(signal = name, "stopping: what is under way is finished first");
            stop.cancel();
            tokio::select! {
                outcome = daemon => outcome,
                () = tokio::time::sleep(settings.drain) => {
                    tracing::warn!("not everything under way was finished; the next daemon goes on");
                    Ok(())
                }
                _ = signals.next() => {
                    tracing::warn!("told twice: stopping at once");
                    Ok(())
                }
            }
        }
    };
    outcome.map_err(StartError::Failed)
}

async fn bind(key: &str, address: std::net::SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|error| {
        StartError::Settings(format!(
            "unable to listen on {address} ({key}): {error}; is another daemon running here?"
        ))
    })
}

/// Serves the webhook of `migrate block` until told to stop; ends with what it gives back.
fn serve_block(
    listener: TcpListener,
    clients: Clients,
    namespace: String,
    stop: CancellationToken,
) -> JoinSet<()> {
    let mut task = JoinSet::new();
    task.spawn(async move {
        let told = |trouble: &gradual_rollout_toolkit::trouble::Trouble| {
            tracing::warn!(%trouble, "the webhook of `migrate block` cannot answer as it should, or soon will not");
        };
        let (client, now) = (&clients.fast, || Clock::System.now());
        gradual_rollout_toolkit::block::serve(listener, client, &namespace, stop.cancelled(), &now, &told)
            .await;
    });
    task
}

struct Signals {
    term: tokio::signal::unix::Signal,
    int: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.int.recv() => "SIGINT",
        }
    }
}

/// The host's name with a random end, so that a pod that is replaced under the same name is another daemon.
fn identity() -> String {
    let host = std::env::var("HOSTNAME")
        .ok()
        .filter(|h| !h.is_empty())
        .unwrap_or_else(|| "daemon".to_owned());
    let end = ulid::Ulid::generate().to_string().to_lowercase();
    format!(
        "{host}-{}",
        end.get(end.len().saturating_sub(6)..).unwrap_or_default()
    )
}

/// What sends probes to the hosts that the operator allows.
fn prober(hosts: &[String]) -> Result<Prober, StartError> {
    let allowed = allowed("probes.allow", hosts).map_err(StartError::Settings)?;
    Prober::new(allowed).map_err(StartError::Settings)
}

/// What calls hooks of the hosts that the operator allows. An error is a sentence about the settings.
pub fn hooks(hosts: &[String], key_file: Option<PathBuf>) -> Result<Hooks, String> {
    Hooks::new(allowed("hooks.allow", hosts)?, key_file, Clock::System)
}

/// What comes in over HTTP and changes something. An error is a sentence about the settings.
fn inbound(settings: &Settings) -> Result<InboundSettings, String> {
    let route = |(n, route): (usize, &AlertTarget)| {
        AlertRoute::new(
            &route.labels,
            &route.namespace,
            route.rollout.as_deref(),
            &route.component,
        )
        .map_err(|message| format!("settings: hooks_in.alerts[{n}].{message}"))
    };
    let alerts = settings.hooks_in.alerts.iter().enumerate().map(route);
    Ok(InboundSettings {
        secret_file: settings.hooks_in.secret_file.clone(),
        alerts: alerts.collect::<Result<_, _>>()?,
        labels: settings.hooks_in.labels,
        commands: settings.commands,
        namespaces: settings.watch.namespaces.clone(),
    })
}

fn allowed(setting: &str, hosts: &[String]) -> Result<Allowed, String> {
    Allowed::new(hosts.iter().cloned()).map_err(|pattern| {
        format!(
            "settings: {setting}: {pattern:?} is no host: write a name, an address, \"*.example.com\" or \"*\""
        )
    })
}

/// The source that the settings name; without one nothing can be judged, and every look says so.
pub fn source(prometheus: Option<&Prometheus>) -> Result<Source, StartError> {
    let Some(prometheus) = prometheus else {
        return Ok(Source::Simulated(Arc::new(Nothing)));
    };
    let (username, password_file) = prometheus.basic_auth.clone().unzip();
    let (client_cert_file, client_key_file) = prometheus.client_certificate.clone().unzip();
    let settings = PrometheusSettings {
        endpoints: prometheus.endpoints.clone(),
        timeout: prometheus.timeout,
        total_timeout: Some(prometheus.total_timeout),
        bearer_token_file: prometheus.bearer_token_file.clone(),
        username,
        password_file,
        headers: prometheus.headers.0.clone(),
        ca_file: prometheus.ca_file.clone(),
        client_cert_file,
        client_key_file,
    };
    let source =
        PrometheusSource::new(&settings).map_err(|e| StartError::Settings(format!("settings: {e}")))?;
    Ok(Source::Prometheus(Arc::new(source)))
}

/// No source at all.
#[derive(Debug)]
struct Nothing;

impl Simulation for Nothing {
    fn scrape(&self, _: &Ask, _: Timestamp) -> Result<Snapshot, Blindness> {
        let message =
            "the daemon's settings name no [prometheus], so nothing can be judged: add its endpoints"
                .to_owned();
        Err(Blindness {
            kind: Dark::Down,
            message,
        })
    }
}
