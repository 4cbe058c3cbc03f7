//! A daemon at real time over a healthy component, for stories that need a real server.

use super::world::{NS, virtual_service};
use gradual_rollout::clock::Clock;
use gradual_rollout::cluster::connect::Clients;
use gradual_rollout::daemon::{self, Handles};
use gradual_rollout::engine::{EngineSettings, View};
use gradual_rollout::metrics::{ArmSnapshot, Ask, Counter, PodSnapshot, Simulation, Snapshot, Source};
use gradual_rollout::rollout::sample::Blindness;
use gradual_rollout::rollout::spec::GradualRollout;
use gradual_rollout::rollout::status::{ComponentStatus, GradualRolloutStatus};
use gradual_rollout::sandbox::apiserver::Store;
use gradual_rollout::telemetry::Metrics;
use jiff::Timestamp;
use kube::CustomResourceExt as _;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A hundred requests a second on each arm, none of them an error.
#[derive(Debug)]
pub(crate) struct Steady;

impl Simulation for Steady {
    fn has_past(&self) -> bool {
        false
    }

    fn scrape(&self, ask: &Ask, at: Timestamp) -> Result<Snapshot, Blindness> {
        let mut snapshot = Snapshot::empty(ask, at);
        let count = (snapshot.at.as_millisecond() / 10).rem_euclid(1_000_000_000);
        #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
        let counter = Counter {
            count: count as f64,
            error: false,
        };
        let pod = PodSnapshot {
            sampled_at: snapshot.at,
            requests: [("200".to_owned(), counter)].into(),
            latency: BTreeMap::new(),
        };
        let arm = || ArmSnapshot {
            pods: [("gateway".to_owned(), pod.clone())].into(),
        };
        snapshot.canary = arm();
        snapshot.control = Some(arm());
        Ok(snapshot)
    }
}

pub(crate) fn handles(store: &Store) -> Handles {
    Handles {
        clients: Clients::from_service(store.router()),
        source: Source::Simulated(Arc::new(Steady)),
        clock: Clock::System,
        namespace: NS.into(),
        lease: "gradual-rollout".into(),
        identity: "daemon-1".into(),
        shards: 1,
        lease_renew: Duration::from_secs(5),
        lease_duration: Duration::from_secs(15),
        watch_namespaces: Vec::new(),
        engine: EngineSettings {
            persist_every: Some(Duration::from_secs(1)),
            ..EngineSettings::default()
        },
        metrics: Metrics::new(),
        inbound: None,
        view: tokio::sync::watch::channel(View::default()).0,
    }
}

/// Begins with a rollout `demo` of this spec.
pub(crate) fn begin(store: &Store, spec: &Value, handles: Handles, tasks: &mut JoinSet<()>) {
    begin_on(store, spec, handles, None, tasks);
}

/// The same, serving here.
pub(crate) fn begin_on(
    store: &Store,
    spec: &Value,
    handles: Handles,
    listener: Option<tokio::net::TcpListener>,
    tasks: &mut JoinSet<()>,
) {
    let definition = serde_json::to_value(GradualRollout::crd()).unwrap();
    store.register_crd(&definition).unwrap();
    store.namespace(NS);
    store.put(virtual_service("shop")).unwrap();
    let rollout = json!({
        "apiVersion": "rollout.sealos.io/v1alpha1", "kind": "GradualRollout",
        "metadata": {"name": "demo", "namespace": NS}, "spec": spec
    });
    store.put(rollout).unwrap();
    let daemon = daemon::run(handles, listener, CancellationToken::new());
    tasks.spawn(async move { daemon.await.unwrap() });
}

/// Gives a command, as an annotation.
pub(crate) fn said(store: &Store, verb: &str, wish: &Value) {
    let object = store
        .get("gradualrollouts.rollout.sealos.io", NS, "demo")
        .unwrap();
    let mut object = (*object).clone();
    let key = format!("rollout.sealos.io/command.{verb}.{}", ulid::Ulid::generate());
    object["metadata"]["annotations"][key] = wish.to_string().into();
    store.put(object).unwrap();
}

pub(crate) fn shop(store: &Store) -> ComponentStatus {
    let object = store.get("gradualrollouts.rollout.sealos.io", NS, "demo");
    let status = object.and_then(|o| o.get("status").cloned()).unwrap_or_default();
    let status: GradualRolloutStatus = serde_json::from_value(status).unwrap_or_default();
    status.component("shop").cloned().unwrap_or_default()
}
