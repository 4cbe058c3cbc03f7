//! Keeping one Lease: taken when it is free, renewed while it is ours, given to whoever has too few, given back at the
//! end.

use super::LeaseSettings;
use super::agree::Others;
use super::fair::{self, Table};
use super::sight::{Act, Sight, shards as said};
use super::wire::Wire;
use crate::clock::Clock;
use crate::cluster::ClusterError;
use crate::cluster::share::Share;
use futures::StreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A Lease is given back after this at the latest, whatever hangs: what is still under way then only lowers, or
/// carries a version that is checked. Nobody else's rollback waits for it.
const RELEASE_WITHIN: Duration = Duration::from_millis(500);
/// A Lease that was free and could not be had is not tried again before this, unless its watch brings news.
const AGAIN: Duration = Duration::from_millis(250);
/// Whoever holds shards already lets others go first, by this for each of them.
const MODESTY: Duration = Duration::from_millis(100);

/// Keeps one shard's Lease.
pub(super) struct Keeper {
    settings: LeaseSettings,
    wire: Wire,
    name: String,
    shard: u32,
    share: Share,
    table: Table,
    others: Others,
    sight: Sight,
    /// The watch brings news.
    watching: bool,
    renewed: Instant,
    /// An attempt was broken off: the Lease may be ours without our knowing.
    in_doubt: bool,
}

impl Keeper {
    pub(super) fn new(
        settings: &LeaseSettings,
        clock: &Clock,
        name: String,
        shard: u32,
        share: Share,
        table: Table,
    ) -> Self {
        Self {
            wire: Wire::new(settings, clock, &name),
            others: Others::new(settings, clock),
            settings: settings.clone(),
            name,
            shard,
            share,
            table,
            sight: Sight::new(),
            watching: false,
            renewed: Instant::now(),
            in_doubt: false,
        }
    }

    /// Whoever cannot renew must stop before anybody else may begin; a fifth is left for stopping.
    fn patience(&self) -> Duration {
        self.settings.duration.mul_f64(0.8)
    }

    /// Runs until told to stop. Does nothing while the number of shards is not agreed.
    pub(super) async fn run(mut self, mut agreed: watch::Receiver<bool>, stop: CancellationToken) {
        // By name, so that the right to watch this one Lease is enough.
        let only = format!("metadata.name={}", self.name);
        let terms: watcher::Config = self.settings.clients.watching().fields(&only);
        let mut news = std::pin::pin!(watcher(self.wire.api(), terms).default_backoff());
        let mut next = Instant::now();
        loop {
            if !*agreed.borrow_and_update() {
                self.leave().await;
                tokio::select! {
                    () = stop.cancelled() => return,
                    changed = agreed.changed() => if changed.is_err() { return },
                    // For how long its holder is silent is counted meanwhile.
                    Some(event) = news.next() => {
                        self.hear(event, next);
                    }
                }
                next = Instant::now();
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => break,
                changed = agreed.changed(), if self.share.shards() > 1 => if changed.is_err() { break },
                Some(event) = news.next() => next = self.hear(event, next),
                () = tokio::time::sleep_until(next) => {
                    let tried = tokio::select! {
                        () = stop.cancelled() => None,
                        tried = self.attempt_in_time() => Some(tried),
                    };
                    let Some(tried) = tried else { break };
                    next = tried;
                }
            }
            if self.share.holds(self.shard) && self.renewed.elapsed() >= self.patience() {
                tracing::warn!(lease = self.name, "the Lease could not be renewed in time");
                self.share.withdraw(self.shard);
            }
            if let Some(asker) = self.asker() {
                self.give(&asker).await;
                next = Instant::now() + self.settings.renew;
            }
        }
        self.leave().await;
    }

    /// Takes what the watch says; when to look closer because of it. `next` is when that was due anyway.
    fn hear(&mut self, event: Result<Event<Lease>, watcher::Error>, next: Instant) -> Instant {
        let now = Instant::now();
        match event {
            Ok(Event::Apply(lease) | Event::InitApply(lease)) => {
                self.watching = true;
                self.see(Some(&lease));
                match (
                    self.sight.step(&self.settings.identity),
                    self.share.holds(self.shard),
                ) {
                    // Our own word.
                    (Act::Renew, true) => next,
                    // Given to us, or taken from us.
                    (Act::Renew, false) | (Act::Wait(_), true) => now,
                    (Act::Take, _) => now + self.modesty(),
                    // Where there is something to ask for, it is read again and again.
                    (Act::Wait(until), false) if self.share.shards() > 1 => next.min(until),
                    (Act::Wait(until), false) => until,
                }
            }
            // It is read before anything is believed.
            Ok(Event::Delete(_)) => now,
            Ok(Event::Init) => next,
            Ok(Event::InitDone) => {
                self.watching = true;
                next
            }
            Err(error) => {
                tracing::debug!(lease = self.name, %error, "watching the Lease failed; it is read instead");
                self.watching = false;
                next.min(now + self.settings.renew)
            }
        }
    }

    fn see(&mut self, lease: Option<&Lease>) {
        self.sight.see(lease);
        let holder = self.sight.holder().map(str::to_owned);
        self.enter(holder);
    }

    fn enter(&self, holder: Option<String>) {
        let shard = self.shard;
        self.table.send_if_modified(|table| match holder {
            Some(holder) => table.insert(shard, holder.clone()) != Some(holder),
            None => table.remove(&shard).is_some(),
        });
    }

    fn modesty(&self) -> Duration {
        let held = fair::count(&self.table.borrow(), &self.settings.identity).min(5);
        MODESTY * u32::try_from(held).unwrap_or(5)
    }

    /// One attempt within the time there is; when the next is due.
    async fn attempt_in_time(&mut self) -> Instant {
        let begun = Instant::now();
        let held = self.share.holds(self.shard);
        let end = self.renewed + self.patience();
        let longest = if held {
            end.saturating_duration_since(begun).min(self.settings.renew)
        } else {
            self.settings.renew
        };
        self.in_doubt = true;
        let tried = tokio::time::timeout(longest, self.attempt()).await;
        let now = Instant::now();
        let soon = now + self.settings.renew / 5;
        let next = match tried {
            Ok(Ok(mine)) => {
                self.in_doubt = false;
                if mine {
                    self.renewed = begun;
                    if !self.share.holds(self.shard) {
                        tracing::info!(
                            lease = self.name,
                            identity = self.settings.identity,
                            "holding the Lease"
                        );
                    }
                    self.share.grant(self.shard, begun + self.patience());
                    return begun + self.settings.renew;
                }
                if held {
                    tracing::warn!(lease = self.name, "somebody else holds the Lease");
                    self.share.withdraw(self.shard);
                }
                let usual = now + self.settings.renew;
                match self.sight.step(&self.settings.identity) {
                    // To be asked for, or not watched: looked at again and again.
                    Act::Wait(until) if !self.watching || self.share.shards() > 1 => until.min(usual),
                    Act::Wait(until) => until,
                    Act::Take | Act::Renew => now + AGAIN,
                }
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "the Lease was not renewed");
                soon
            }
            Err(_) => {
                tracing::warn!(lease = self.name, "the Lease was not renewed in time");
                soon
            }
        };
        if held { next.min(end) } else { next }
    }

    /// True when it is ours afterwards.
    async fn attempt(&mut self) -> Result<bool, ClusterError> {
        let known = self.wire.read().await?;
        self.see(known.as_ref());
        let act = self.sight.step(&self.settings.identity);
        let theirs = if self.share.shards() == 1 {
            said(known.as_ref())
        } else {
            1
        };
        match act {
            Act::Wait(_) => {
                self.ask(known).await?;
                return Ok(false);
            }
            // As long as anybody works by another number of shards nobody leads alone.
            Act::Take if theirs > 1 && self.others.holder(theirs).await?.is_some() => return Ok(false),
            Act::Take | Act::Renew => {}
        }
        match self.wire.hold(known, act).await {
            Ok(lease) => self.see(Some(&lease)),
            Err(ClusterError::Conflict { .. }) if act != Act::Renew => return Ok(false),
            Err(error) => return Err(error),
        }
        if act == Act::Renew || self.is_agreed_still(theirs).await? {
            return Ok(true);
        }
        self.release().await?;
        Ok(false)
    }

    /// Whether the number of shards is still agreed now that the Lease is ours.
    async fn is_agreed_still(&mut self, theirs: u32) -> Result<bool, ClusterError> {
        let shards = self.share.shards();
        if shards == 1 {
            return Ok(theirs == 1 || self.others.holder(theirs).await?.is_none());
        }
        let anchor = self.others.anchor().await?;
        Ok(said(anchor.as_ref()) == shards)
    }

    /// Asks for it, when its holder has more than its share.
    async fn ask(&self, known: Option<Lease>) -> Result<(), ClusterError> {
        let shards = self.share.shards();
        let wanted = fair::asks(&self.table.borrow(), &self.settings.identity, shards);
        match (known, wanted) {
            (Some(lease), Some(shard)) if shard == self.shard => match self.wire.ask(lease).await {
                Ok(_) | Err(ClusterError::Conflict { .. }) => Ok(()),
                Err(error) => Err(error),
            },
            _ => Ok(()),
        }
    }

    /// Who asks for it, when it holds less than its share.
    fn asker(&self) -> Option<String> {
        if !self.share.holds(self.shard) {
            return None;
        }
        // Whoever still wants it asks again with every renewal.
        let asker = self.sight.asked_by(self.settings.renew * 2)?;
        fair::gives(&self.table.borrow(), &self.settings.identity, asker).then(|| asker.to_owned())
    }

    /// Gives it to somebody: what works it stops first.
    async fn give(&mut self, asker: &str) {
        tracing::info!(
            lease = self.name,
            to = asker,
            "giving the Lease to a daemon that has less to do"
        );
        self.enter(Some(asker.to_owned()));
        self.let_go().await;
        if let Err(error) = self.hand(asker).await {
            tracing::warn!(lease = self.name, %error, "the Lease was not handed over; it runs out");
        }
    }

    /// Stops what works it, and waits for that, but not for long.
    async fn let_go(&self) {
        self.share.withdraw(self.shard);
        if tokio::time::timeout(RELEASE_WITHIN, self.share.is_let_go(self.shard))
            .await
            .is_err()
        {
            tracing::warn!(
                lease = self.name,
                "not everything under way is done; the next daemon goes on"
            );
        }
    }

    /// Gives it back, if it is or may be ours.
    async fn leave(&mut self) {
        if !self.share.holds(self.shard) && !self.in_doubt {
            return;
        }
        self.let_go().await;
        self.in_doubt = false;
        let released = tokio::time::timeout(self.settings.renew, self.release());
        match released.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(lease = self.name, %error, "the Lease was not given back; the next daemon waits until it runs out");
            }
            Err(_) => tracing::warn!(
                lease = self.name,
                "the Lease was not given back in time; the next daemon waits until it runs out"
            ),
        }
    }

    async fn release(&mut self) -> Result<(), ClusterError> {
        self.hand("").await
    }

    /// Makes somebody else its holder, if it is ours; tried again after a lost race, for who asks writes to it too.
    async fn hand(&mut self, to: &str) -> Result<(), ClusterError> {
        let mut tries = 0;
        loop {
            let lease = self.wire.read().await?;
            let holder = lease
                .as_ref()
                .and_then(|l| l.spec.as_ref()?.holder_identity.as_deref());
            if holder != Some(self.settings.identity.as_str()) {
                return Ok(());
            }
            let Some(lease) = lease else { return Ok(()) };
            tries += 1;
            match self.wire.give(lease, to).await {
                Ok(lease) => {
                    self.see(Some(&lease));
                    return Ok(());
                }
                Err(ClusterError::Conflict { .. }) if tries < 3 => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The Leases of other numbers of shards are told apart by name alone: the plain one is nobody's shard.
#[cfg(test)]
mod tests {
    use crate::cluster::lease::names;

    #[test]
    fn no_shard_of_many_has_the_plain_name() {
        assert!((2..=64).all(|n| names("x", n).iter().all(|name| name != "x")));
    }
}
