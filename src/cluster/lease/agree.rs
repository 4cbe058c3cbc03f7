//! How many shards there are. Daemons that split the work differently would work some resources twice and others
//! never, so the number stands on the Lease of the plain name, and whoever was told another one waits until nobody
//! works by that number any more. That Lease is held by nobody while the work is split.
//!
//! Saying and taking cross safely: who takes a shard looks at the number again afterwards, and who says another number
//! looks at the shards again afterwards. At least one of the two sees the other.

use super::LeaseSettings;
use super::sight::{Act, Sight, shards as said};
use super::wire::Wire;
use crate::clock::Clock;
use crate::cluster::ClusterError;
use k8s_openapi::api::coordination::v1::Lease;
use std::collections::BTreeMap;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Lets the shards' keepers go to work when the number is agreed, and stops them when it is not any more.
pub(super) async fn run(
    settings: &LeaseSettings,
    clock: &Clock,
    shards: u32,
    agreed: watch::Sender<bool>,
    stop: &CancellationToken,
) {
    let mut anchor = Anchor::new(settings, clock, shards);
    loop {
        let look = tokio::time::timeout(settings.renew, anchor.agrees());
        let answer = tokio::select! {
            () = stop.cancelled() => return,
            answer = look => answer,
        };
        match answer {
            Ok(Ok(yes)) => {
                agreed.send_if_modified(|known| std::mem::replace(known, yes) != yes);
            }
            // What was agreed stays agreed: every shard's Lease is renewed by itself.
            Ok(Err(error)) => tracing::warn!(%error, "whether the number of shards is agreed is not known"),
            Err(_) => {
                tracing::warn!("whether the number of shards is agreed is not known: no answer in time");
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(settings.renew) => {}
        }
    }
}

/// Whether those who split the work in another number of shards are all gone.
pub(super) struct Others {
    settings: LeaseSettings,
    clock: Clock,
    sights: BTreeMap<String, Sight>,
}

impl Others {
    pub(super) fn new(settings: &LeaseSettings, clock: &Clock) -> Self {
        Self {
            settings: settings.clone(),
            clock: clock.clone(),
            sights: BTreeMap::new(),
        }
    }

    /// The Lease that says how many shards there are.
    pub(super) async fn anchor(&self) -> Result<Option<Lease>, ClusterError> {
        Wire::new(&self.settings, &self.clock, &self.settings.name)
            .read()
            .await
    }

    /// Who still works one of so many shards. Every Lease is looked at each time: how long each was silent is counted from
    /// the first look, and one after the other they would be waited for one after the other.
    pub(super) async fn holder(&mut self, shards: u32) -> Result<Option<String>, ClusterError> {
        let mut holder = None;
        let names = super::names(&self.settings.name, shards);
        let wires: Vec<Wire> = names
            .iter()
            .map(|name| Wire::new(&self.settings, &self.clock, name))
            .collect();
        let leases = futures::future::try_join_all(wires.iter().map(Wire::read)).await?;
        for (name, lease) in names.into_iter().zip(leases) {
            let sight = self.sights.entry(name).or_insert_with(Sight::new);
            sight.see(lease.as_ref());
            if let (None, Act::Wait(_)) = (&holder, sight.step("")) {
                holder = sight.holder().map(str::to_owned);
            }
        }
        Ok(holder)
    }
}

struct Anchor {
    wire: Wire,
    shards: u32,
    others: Others,
    told: bool,
}

impl Anchor {
    fn new(settings: &LeaseSettings, clock: &Clock, shards: u32) -> Self {
        Self {
            wire: Wire::new(settings, clock, &settings.name),
            shards,
            others: Others::new(settings, clock),
            told: false,
        }
    }

    async fn agrees(&mut self) -> Result<bool, ClusterError> {
        let lease = self.wire.read().await?;
        let theirs = said(lease.as_ref());
        if theirs == self.shards {
            // A daemon that was told that there is only one shard holds this Lease itself.
            let clear = self.is_clear(1).await?;
            self.told &= !clear;
            return Ok(clear);
        }
        // Both are looked at, for the same reason.
        let (theirs_gone, alone_gone) = (self.is_clear(theirs).await?, self.is_clear(1).await?);
        if !theirs_gone || !alone_gone {
            return Ok(false);
        }
        self.told = false;
        match self.wire.split(lease, self.shards).await {
            Ok(_) => {}
            Err(ClusterError::Conflict { .. }) => return Ok(false),
            Err(error) => return Err(error),
        }
        tracing::info!(shards = self.shards, before = theirs, "the work is split anew");
        Ok(self.is_clear(theirs).await? && self.is_clear(1).await?)
    }

    async fn is_clear(&mut self, shards: u32) -> Result<bool, ClusterError> {
        let Some(holder) = self.others.holder(shards).await? else {
            return Ok(true);
        };
        if !std::mem::replace(&mut self.told, true) {
            tracing::warn!(
                holder,
                theirs = shards,
                ours = self.shards,
                "another daemon splits the work in another number of shards (lease.shards): this one waits until it is gone"
            );
        }
        Ok(false)
    }
}
