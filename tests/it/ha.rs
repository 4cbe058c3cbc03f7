//! More than one daemon: who leads, who takes over and how soon, and that whoever led before can do no harm.

mod emergency;
mod fencing;
mod gate;
mod model;
mod processes;
mod shards;
mod take_over;

use crate::support::world::{NS, World};
use gradual_rollout::cluster::connect::Clients;
use gradual_rollout::daemon;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// One of several daemons of a world.
struct Daemon {
    stop: CancellationToken,
    task: JoinSet<()>,
}

impl Daemon {
    fn start(world: &World, identity: &str) -> Self {
        Self::over(world, identity, Clients::from_service(world.store.router()))
    }

    fn over(world: &World, identity: &str, clients: Clients) -> Self {
        let (handles, _) = world.handles(identity, clients);
        let stop = CancellationToken::new();
        let told = stop.clone();
        let mut task = JoinSet::new();
        task.spawn(async move { daemon::run(handles, None, told).await.unwrap() });
        Self { stop, task }
    }

    /// As SIGTERM; it goes on by itself.
    fn tell_to_stop(&self) {
        self.stop.cancel();
    }

    /// As `kill -9`.
    async fn kill(mut self) {
        self.task.shutdown().await;
    }
}

/// Who holds a Lease.
fn holder(world: &World, lease: &str) -> String {
    let lease = world.store.get("leases.coordination.k8s.io", NS, lease);
    let holder = lease.and_then(|l| l["spec"]["holderIdentity"].as_str().map(str::to_owned));
    holder.unwrap_or_default()
}

/// Who leads.
fn leader(world: &World) -> String {
    holder(world, "gradual-rollout")
}

/// Lets virtual time pass until something holds, to the next 10 ms; how long that took.
async fn soon(world: &World, what: &str, limit: Duration, mut holds: impl FnMut(&World) -> bool) -> Duration {
    let begun = Instant::now();
    while !holds(world) {
        assert!(
            begun.elapsed() < limit,
            "not within {limit:?}: {what}\n{:#}",
            world.object()
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    begun.elapsed()
}
