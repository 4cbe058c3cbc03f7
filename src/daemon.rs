//! The composition root: handles in, tasks out, and a bounded drain at the end.

mod people;
mod source_metrics;
mod start;

pub use people::receivers;
pub use start::{StartError, hooks, source, start};

use crate::api::{self, ApiState, Connections, Inbound, InboundSettings};
use crate::clock::Clock;
use crate::cluster::by_hand::ByHand;
use crate::cluster::cache::Cache;
use crate::cluster::connect::Clients;
use crate::cluster::events;
use crate::cluster::freeze;
use crate::cluster::lease;
use crate::cluster::rollouts;
use crate::cluster::share::Share;
use crate::engine::{EngineSettings, Hub, View};
use crate::metrics::Source;
use crate::telemetry::Metrics;
use std::sync::Arc;
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
    /// In how many shards daemons split the work; 1: one daemon does it all.
    pub shards: u32,
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
    /// What may come in over HTTP and change something; `None`: nothing.
    pub inbound: Option<InboundSettings>,
    /// Gets the read model while this daemon leads.
    pub view: watch::Sender<View>,
}

/// Runs until told to stop, or until one of its tasks ends early: that is an error with the task's name.
#[expect(
    clippy::too_many_lines,
    reason = "every part of the daemon is begun here, and told of the others"
)]
pub async fn run(
    handles: Handles,
    listener: Option<TcpListener>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let (ready, is_ready) = watch::channel(false);
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
    let share = Share::new(handles.shards);
    let (leave, left) = (CancellationToken::new(), CancellationToken::new());
    if let Some(outbox) = handles.engine.outbox.clone() {
        handles
            .metrics
            .collect(Box::new(people::Messages(outbox.clone())));
        let token = down.clone();
        tasks.spawn(async move {
            outbox.run(token).await;
            ("messages", Ok(()))
        });
    }
    let lease_job = lease::run(
        lease_settings(&handles),
        share.clone(),
        handles.clock.clone(),
        leave.clone(),
    );
    let done = left.clone().drop_guard();
    tasks.spawn(async move {
        lease_job.await;
        drop(done);
        ("lease", Ok(()))
    });
    let cache = Cache::new(handles.clients.clone());
    let (told, frozen) = watch::channel(freeze::Known::default());
    let hub = Arc::new(Hub::new(
        handles.clients.clone(),
        cache.clone(),
        handles.source.clone(),
        handles.clock.clone(),
        sink,
        frozen,
        handles.engine.clone(),
        share.clone(),
    ));
    let watched = rollouts::watch(&handles.clients, handles.watch_namespaces.clone());
    let (engine, token) = (hub.clone(), down.clone());
    tasks.spawn(async move {
        engine.run(watched, token).await;
        ("engine", Ok(()))
    });
    let (clients, namespace, token) = (handles.clients.clone(), handles.namespace.clone(), down.clone());
    tasks.spawn(async move {
        freeze::follow(clients, namespace, told, token).await;
        ("freeze", Ok(()))
    });
    let token = down.clone();
    tasks.spawn(async move {
        cache.run(token).await;
        ("watches", Ok(()))
    });
    handles
        .metrics
        .collect(Box::new(source_metrics::SourceMetrics::new(
            handles.view.subscribe(),
            handles.clock.clone(),
        )));
    if let Some(listener) = listener {
        let state = served(&handles, is_ready);
        let token = down.clone();
        tasks.spawn(async move {
            api::serve(listener, api::router(state), Connections::default(), token).await;
            ("http server", Ok(()))
        });
    }

    let mut synced = hub.ready();
    let mut terms = share.changes();
    let outcome = loop {
        // Whoever stands by has read everything too, so that it can take over at once.
        ready.send_replace(*synced.borrow_and_update());
        show(&handles.view, &hub, terms.borrow_and_update().leads());
        tokio::select! {
            () = stop.cancelled() => break Ok(()),
            ended = tasks.join_next() => break early(ended),
            // Their senders are here.
            _ = synced.changed() => {}
            _ = terms.changed() => {}
        }
    };
    // First the Leases: each is given back as soon as the engine has let its shard go, and nobody waits for the rest.
    leave.cancel();
    let drain = async {
        left.cancelled().await;
        down.cancel();
        while tasks.join_next().await.is_some() {}
    };
    if tokio::time::timeout(GRACE, drain).await.is_err() {
        tracing::warn!("not every task ended within {}s", GRACE.as_secs());
    }
    outcome
}

/// What the HTTP server works with.
fn served(handles: &Handles, ready: watch::Receiver<bool>) -> ApiState {
    let hand = ByHand::new(handles.clients.fast.clone());
    let inbound = handles.inbound.clone();
    ApiState {
        inbound: inbound.map(|settings| Inbound::new(settings, hand, handles.clock.clone())),
        view: handles.view.subscribe(),
        ready,
        metrics: handles.metrics.clone(),
    }
}

fn lease_settings(handles: &Handles) -> lease::LeaseSettings {
    lease::LeaseSettings {
        clients: handles.clients.clone(),
        namespace: handles.namespace.clone(),
        name: handles.lease.clone(),
        identity: handles.identity.clone(),
        renew: handles.lease_renew,
        duration: handles.lease_duration,
    }
}

/// Shows what the engine knows while this daemon leads, and nothing while another one does.
fn show(view: &watch::Sender<View>, hub: &Hub, leads: bool) {
    view.send_if_modified(|shown| {
        let turns = shown.is_leading() != leads;
        if turns {
            *shown = if leads { hub.view() } else { View::default() };
        }
        turns
    });
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
