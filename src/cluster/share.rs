//! Which part of all resources this daemon works: the shards whose Leases it holds, and those that its engine has not
//! let go of yet. Leases grant and withdraw on one side, the engine takes up and lets go on the other; both under one
//! lock, so that no shard is given away while somebody here still works it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::Instant;

/// As many shards there may be: each costs a Lease that is renewed.
pub const MOST_SHARDS: u32 = 64;

/// The shard of a resource: FNV-1a of its namespace and name, which no release may change.
pub fn shard_of(namespace: &str, name: &str, shards: u32) -> u32 {
    let bytes = namespace.bytes().chain(std::iter::once(b'/')).chain(name.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    u32::try_from(hash % u64::from(shards.max(1))).unwrap_or(0)
}

/// What is held and what is worked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Each shard whose Lease is held, and until when it is believed to be.
    held: BTreeMap<u32, Instant>,
    /// Shards that the engine works.
    working: BTreeSet<u32>,
}

impl Terms {
    /// Whether any shard is held.
    pub fn leads(&self) -> bool {
        !self.held.is_empty()
    }

    /// Shards whose Leases are held.
    pub fn held(&self) -> BTreeSet<u32> {
        self.held.keys().copied().collect()
    }

    /// Shards that are held and not worked yet.
    pub fn granted(&self) -> BTreeSet<u32> {
        self.held().difference(&self.working).copied().collect()
    }

    /// Shards that are worked and no longer held.
    pub fn withdrawn(&self) -> BTreeSet<u32> {
        self.working.difference(&self.held()).copied().collect()
    }
}

/// The part of all resources that this daemon works. Cheap to clone; clones see the same.
#[derive(Clone, Debug)]
pub struct Share {
    shards: u32,
    terms: Arc<watch::Sender<Terms>>,
}

impl Share {
    /// Nothing, out of so many shards.
    pub fn new(shards: u32) -> Self {
        Self {
            shards: shards.clamp(1, MOST_SHARDS),
            terms: Arc::new(watch::channel(Terms::default()).0),
        }
    }

    /// How many shards there are.
    pub const fn shards(&self) -> u32 {
        self.shards
    }

    /// The shard of a resource.
    pub fn shard_of(&self, namespace: &str, name: &str) -> u32 {
        shard_of(namespace, name, self.shards)
    }

    /// Tells when something is granted, withdrawn, taken up or let go.
    pub fn changes(&self) -> watch::Receiver<Terms> {
        self.terms.subscribe()
    }

    /// A Lease is held, and believed to be until then.
    pub fn grant(&self, shard: u32, until: Instant) {
        self.terms
            .send_if_modified(|terms| terms.held.insert(shard, until).is_none());
    }

    /// A Lease is not held any more, or is about to be given away.
    pub fn withdraw(&self, shard: u32) {
        self.terms
            .send_if_modified(|terms| terms.held.remove(&shard).is_some());
    }

    /// Whether a Lease is held.
    pub fn holds(&self, shard: u32) -> bool {
        self.terms.borrow().held.contains_key(&shard)
    }

    /// Whether a Lease is held and nobody else can have taken it yet: also for a process that was stopped and has not
    /// found out. What raises asks right before it writes.
    pub fn stands(&self, shard: u32) -> bool {
        let terms = self.terms.borrow();
        terms
            .held
            .get(&shard)
            .is_some_and(|until| Instant::now() < *until)
    }

    /// The engine takes a shard up; false when it is not held any more.
    pub fn take_up(&self, shard: u32) -> bool {
        self.terms
            .send_if_modified(|terms| terms.held.contains_key(&shard) && terms.working.insert(shard));
        self.works(shard)
    }

    /// The engine has let a shard go.
    pub fn let_go(&self, shard: u32) {
        self.terms.send_if_modified(|terms| terms.working.remove(&shard));
    }

    /// Whether the engine works a shard that is still held.
    pub fn works(&self, shard: u32) -> bool {
        let terms = self.terms.borrow();
        terms.working.contains(&shard) && terms.held.contains_key(&shard)
    }

    /// Waits until the engine has let a shard go.
    pub async fn is_let_go(&self, shard: u32) {
        let mut changes = self.changes();
        // An error would mean that the sender is gone, which is in `self`.
        let _ended = changes.wait_for(|terms| !terms.working.contains(&shard)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_resource_has_the_same_shard_in_every_release_and_shards_are_of_one_size() {
        // Written down: daemons of two releases that disagree would work one resource twice.
        let known = [("sealos-system", "sealos-istio"), ("a", "b"), ("ab", "")];
        assert_eq!(known.map(|(ns, name)| shard_of(ns, name, 8)), [7, 1, 7]);
        assert_eq!(shard_of("any", "thing", 1), 0);
        let mut sizes = [0_u32; 4];
        for n in 0..4000 {
            sizes[usize::try_from(shard_of("tenants", &format!("app-{n}"), 4)).unwrap()] += 1;
        }
        assert!(sizes.iter().all(|size| (850..1150).contains(size)), "{sizes:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_withdrawn_is_given_away_only_when_the_engine_has_let_go() {
        let share = Share::new(2);
        let later = Instant::now() + Duration::from_secs(9);
        share.grant(1, later);
        assert!(!share.take_up(0), "never granted");
        assert!(share.take_up(1) && share.works(1));
        share.withdraw(1);
        assert!(!share.works(1) && !share.stands(1));
        let waits = tokio::time::timeout(Duration::from_secs(1), share.is_let_go(1));
        assert!(waits.await.is_err(), "the engine still drains");
        share.let_go(1);
        share.is_let_go(1).await;
        assert!(!share.take_up(1), "what was withdrawn is not taken up");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_was_not_renewed_stands_no_longer_although_nobody_has_noticed() {
        let share = Share::new(1);
        share.grant(0, Instant::now() + Duration::from_secs(9));
        assert!(share.stands(0));
        tokio::time::advance(Duration::from_secs(9)).await;
        assert!(share.holds(0) && !share.stands(0));
    }
}
