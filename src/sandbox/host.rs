//! The daemon of the sandbox: the shipped one, with other handles.

use super::apiserver::Store;
use crate::clock::Clock;
use crate::cluster::connect::Clients;
use crate::daemon::{self, Handles};
use crate::metrics::Source;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A daemon that can be killed and started anew.
pub(super) struct Host {
    store: Store,
    source: Source,
    clock: Clock,
    namespace: String,
    persist: Duration,
    tasks: JoinSet<anyhow::Result<()>>,
}

impl Host {
    /// A daemon that is started at once.
    pub(super) fn start(
        store: Store,
        source: Source,
        clock: Clock,
        namespace: &str,
        persist: Duration,
    ) -> Self {
        let mut host = Self {
            store,
            source,
            clock,
            namespace: namespace.to_owned(),
            persist,
            tasks: JoinSet::new(),
        };
        host.spawn();
        host
    }

    #[expect(
        clippy::default_trait_access,
        reason = "the engine's types are behind a door that stays shut"
    )]
    fn spawn(&mut self) {
        // Every renewal costs real time, and nobody else wants this Lease.
        let (renew, believed) = match self.clock {
            Clock::System => (Duration::from_secs(5), Duration::from_secs(15)),
            Clock::Simulated { .. } => (Duration::from_secs(600), Duration::from_secs(1800)),
        };
        let mut handles = Handles {
            clients: Clients::from_service(self.store.router()),
            source: self.source.clone(),
            clock: self.clock.clone(),
            namespace: self.namespace.clone(),
            lease: "gradual-rollout".to_owned(),
            // As a pod that comes back by its own name: it need not wait for its own Lease to run out.
            identity: "sandbox".to_owned(),
            shards: 1,
            lease_renew: renew,
            lease_duration: believed,
            watch_namespaces: Vec::new(),
            engine: Default::default(),
            metrics: Default::default(),
            inbound: None,
            view: tokio::sync::watch::Sender::new(Default::default()),
        };
        handles.engine.persist_every = Some(self.persist);
        self.tasks
            .spawn(daemon::run(handles, None, CancellationToken::new()));
    }

    /// Kills it, as a power cut would, and starts it anew.
    pub(super) async fn restart(&mut self) {
        self.tasks.abort_all();
        while self.tasks.join_next().await.is_some() {}
        self.spawn();
    }

    /// Why it ended although nobody told it to; `None` while it runs.
    pub(super) fn died(&mut self) -> Option<anyhow::Error> {
        match self.tasks.try_join_next()? {
            Ok(Ok(())) => Some(anyhow::anyhow!("the daemon ended by itself")),
            Ok(Err(error)) => Some(error.context("the daemon failed")),
            Err(error) => Some(anyhow::Error::new(error).context("the daemon died")),
        }
    }
}
