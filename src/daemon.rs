//! The composition root: handles in, tasks out, and a bounded drain at the end.

mod source_metrics;
mod start;

pub use start::{StartError, hooks, source, start};

use crate::api::{self, ApiState};
use crate::clock::Clock;
use crate::cluster::cache::Cache;
use crate::cluster::connect::Clients;
use crate::cluster::events;
use crate::cluster::freeze;
use crate::cluster::lease;
use crate::cluster::rollouts;
use crate::engine::{EngineSettings, Hub, View};
use crate::metrics::Source;
use crate::telemetry::Metrics;
use anyhow::Context as _;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long the daemon waits for its tasks when it is told to stop.
const GRACE: Duration = Duration::from_secs(10);

/// What a daemon works with.
pub struct Handles {
    /// The cluster.
    pub clients: Clients,
    /// Where samples come from.
    pub source: Source,
    /// The time.
    pub clock: Clock,
    /// The namespace of the Lease.
    pub namespace: String,
    /// The Lease's name.
    pub lease: String,
    /// Who this daemon is.
    pub identity: String,
    /// How often the Lease is renewed.
    pub lease_renew: Duration,
    /// How long a Lease that is not renewed is still believed.
    pub lease_duration: Duration,
    /// Namespaces whose resources are looked after; empty: all.
    pub watch_namespaces: Vec<String>,
    /// What the operator decides about the engine.
    pub engine: EngineSettings,
    /// The daemon's own metrics.
    pub metrics: Metrics,
    /// Gets the read model while this daemon leads.
    pub view: watch::Sender<View>,
}

/// Runs until told to stop, or until one of its tasks ends early: that is an error with the task's name.
pub async fn run(
    handles: Handles,
    listener: Option<TcpListener>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let (ready, is_ready) = watch::channel(false);
    let (held, mut holds) = watch::channel(false);
    let (sink, events) = events::channel(
        handles.clients.api.clone(),
        handles.clock.clone(),
        handles.identity.clone(),
    );
    let mut tasks: JoinSet<(&'static str, anyhow::Result<()>)> = JoinSet::new();
    let down = CancellationToken::new();

    let token = down.clone();
    tasks.spawn(async move {
        events.run(token).await;
        ("events", Ok(()))
    });
    let lease_job = lease::run(
        lease::LeaseSettings {
            client: handles.clients.api.clone(),
            namespace: handles.namespace.clone(),
            name: handles.lease.clone(),
            identity: handles.identity.clone(),
            renew: handles.lease_renew,
            duration: handles.lease_duration,
        },
        handles.clock.clone(),
        held,
        down.clone(),
    );
    tasks.spawn(async move {
        lease_job.await;
        ("lease", Ok(()))
    });
    handles
        .metrics
        .collect(Box::new(source_metrics::SourceMetrics::new(
            handles.view.subscribe(),
            handles.clock.clone(),
        )));
    if let Some(listener) = listener {
        let state = ApiState {
            view: handles.view.subscribe(),
            ready: is_ready,
            metrics: handles.metrics.clone(),
        };
        let token = down.clone();
        tasks.spawn(async move {
            let served = axum::serve(listener, api::router(state))
                .with_graceful_shutdown(token.cancelled_owned())
                .await;
            ("http server", served.context("serving HTTP"))
        });
    }

    let outcome = loop {
        // Standing by is being ready: another daemon leads.
        ready.send_replace(true);
        tokio::select! {
            () = stop.cancelled() => break Ok(()),
            ended = tasks.join_next() => break early(ended),
            led = holds.wait_for(|held| *held) => if led.is_err() {
                break Err(anyhow::anyhow!("the lease task ended"));
            },
        }
        ready.send_replace(false);
        tracing::info!(identity = handles.identity, "leading");
        match lead(&handles, &sink, &ready, &mut holds, &mut tasks, &stop).await {
            Lead::Stopped => break Ok(()),
            Lead::Lost => tracing::warn!("the Lease is lost; standing by"),
            Lead::Failed(error) => break Err(error),
        }
    };
    down.cancel();
    let drain = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, drain).await.is_err() {
        tracing::warn!("not every task ended within {}s", GRACE.as_secs());
    }
    outcome
}

enum Lead {
    Stopped,
    Lost,
    Failed(anyhow::Error),
}

/// Works every resource for as long as the Lease is held.
async fn lead(
    handles: &Handles,
    sink: &events::EventSink,
    ready: &watch::Sender<bool>,
    holds: &mut watch::Receiver<bool>,
    tasks: &mut JoinSet<(&'static str, anyhow::Result<()>)>,
    stop: &CancellationToken,
) -> Lead {
    let term = CancellationToken::new();
    let cache = Cache::new(handles.clients.clone());
    let (told, frozen) = watch::channel(freeze::Known::default());
    let hub = Hub::new(
        handles.clients.clone(),
        cache.clone(),
        handles.source.clone(),
        handles.clock.clone(),
        sink.clone(),
        frozen,
        handles.engine.clone(),
    );
    handles.view.send_replace(hub.view());
    let mut synced = hub.ready();
    let mut own: JoinSet<()> = JoinSet::new();
    let watched = rollouts::watch(&handles.clients, handles.watch_namespaces.clone());
    let token = term.clone();
    own.spawn(async move { hub.run(watched, token).await });
    let (clients, namespace, token) = (handles.clients.clone(), handles.namespace.clone(), term.clone());
    own.spawn(async move { freeze::follow(clients, namespace, told, token).await });
    let token = term.clone();
    let watching = cache.clone();
    own.spawn(async move { watching.run(token).await });
    let outcome = loop {
        tokio::select! {
            () = stop.cancelled() => break Lead::Stopped,
            _ = holds.wait_for(|held| !*held) => break Lead::Lost,
            seen = synced.wait_for(|synced| *synced), if !*ready.borrow() => if seen.is_ok() {
                ready.send_replace(true);
            },
            ended = tasks.join_next() => break Lead::Failed(early(ended).err().unwrap_or_else(|| anyhow::anyhow!("a task ended early"))),
            ended = own.join_next() => {
                tracing::error!(?ended, "the engine ended by itself");
                break Lead::Failed(anyhow::anyhow!("the engine ended by itself"));
            }
        }
    };
    term.cancel();
    let drain = async { while own.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, drain).await.is_err() {
        tracing::warn!("the engine did not stop within {}s", GRACE.as_secs());
    }
    outcome
}

/// A task that ends before it was told to is an error.
fn early(
    ended: Option<Result<(&'static str, anyhow::Result<()>), tokio::task::JoinError>>,
) -> anyhow::Result<()> {
    match ended {
        Some(Ok((name, Ok(())))) => Err(anyhow::anyhow!("the task {name:?} ended by itself")),
        Some(Ok((name, Err(error)))) => Err(error.context(format!("the task {name:?} failed"))),
        Some(Err(error)) => Err(anyhow::Error::new(error).context("a task panicked")),
        None => Err(anyhow::anyhow!("every task ended")),
    }
}
