//! The Leases that say which daemon works which part of all resources. They save work; correctness comes from the
//! preconditions on every write.
//!
//! Whether a holder is alive is told by our own clock alone: a Lease that has not changed for as long as it says is
//! free. No clock of another machine is believed, so one that is wrong takes nothing from anybody. A Lease is watched,
//! so that one that is given back is taken at once, and read only when it must be written.

mod agree;
mod fair;
mod keep;
mod sight;
mod wire;

use super::connect::Clients;
use super::share::Share;
use crate::clock::Clock;
use fair::Table;
pub(super) use sight::shards as said;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The Lease's usual name.
pub const NAME: &str = "gradual-rollout";
/// A Lease that names no duration and was renewed within this says that a daemon is alive.
pub const ALIVE_WITHIN: Duration = Duration::from_secs(15);
/// How often a daemon renews its Leases.
pub const RENEW: Duration = Duration::from_secs(3);
/// How long a Lease of a daemon is believed without renewal: four attempts, and a fail-over within 15 s.
pub const BELIEVED: Duration = Duration::from_secs(12);
/// Says on the Lease of the usual name in how many shards the work is split, where it is more than one.
pub const SHARDS: &str = "rollout.sealos.io/shards";
/// Who has fewer shards than the holder of this one, and asks for it.
const ASKED_BY: &str = "rollout.sealos.io/asked-by";

/// Which Leases, and how they are held.
#[derive(Clone)]
pub struct LeaseSettings {
    /// The cluster.
    pub clients: Clients,
    /// Their namespace.
    pub namespace: String,
    /// The name of the only one, or what the shards' names begin with.
    pub name: String,
    /// Who asks.
    pub identity: String,
    /// How often they are renewed.
    pub renew: Duration,
    /// How long they are believed without renewal.
    pub duration: Duration,
}

/// The Lease of each shard: one alone has the plain name.
pub fn names(name: &str, shards: u32) -> Vec<String> {
    if shards <= 1 {
        return vec![name.to_owned()];
    }
    (0..shards).map(|shard| format!("{name}-{shard}")).collect()
}

/// Holds Leases whenever they can be had, and says so in `share`. Gives them back when told to stop.
pub async fn run(settings: LeaseSettings, share: Share, clock: Clock, stop: CancellationToken) {
    let table: Table = Arc::new(watch::channel(BTreeMap::new()).0);
    let (agreed, agreement) = watch::channel(share.shards() <= 1);
    let names = names(&settings.name, share.shards());
    let keepers = names.into_iter().zip(0_u32..).map(|(name, shard)| {
        let keeper = keep::Keeper::new(&settings, &clock, name, shard, share.clone(), table.clone());
        keeper.run(agreement.clone(), stop.clone())
    });
    let agreeing = async {
        if share.shards() > 1 {
            agree::run(&settings, &clock, share.shards(), agreed, &stop).await;
        }
    };
    tokio::join!(futures::future::join_all(keepers), agreeing);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_shard_has_the_plain_name() {
        assert_eq!(names("x", 1), ["x"]);
        assert_eq!(names("x", 3), ["x-0", "x-1", "x-2"]);
    }
}
