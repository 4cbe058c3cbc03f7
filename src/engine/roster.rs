//! Who works which resource: an actor for each that is in a shard we hold, a bystander for every other.

use super::actor::Actor;
use super::bystander::Bystander;
use super::hub::Shared;
use crate::cluster::ClusterError;
use crate::cluster::rollouts::{self, RawRollout};
use crate::routing::ObjectRef;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// Namespace and name.
type Key = (String, String);

/// How long a resource rests whose actor died.
const REVIVE: Duration = Duration::from_secs(1);

/// How an actor is reached, and stopped.
struct Post {
    uid: String,
    inbox: mpsc::Sender<RawRollout>,
    stop: CancellationToken,
}

/// A resource whose actor drains.
#[derive(Default)]
struct Parting {
    newest: Option<RawRollout>,
    gone: bool,
}

type Revived = (Key, Result<RawRollout, ClusterError>);

/// What happens without anybody writing to a resource.
pub(super) enum News {
    /// An actor ended, or died.
    Ended(Result<(Id, RawRollout), JoinError>),
    /// A resource whose actor died was read.
    Revived(Key, Result<RawRollout, ClusterError>),
}

/// Every resource there is.
pub(super) struct Roster {
    shared: Arc<Shared>,
    stop: CancellationToken,
    posts: BTreeMap<Key, Post>,
    parting: BTreeMap<Key, Parting>,
    bystanders: BTreeMap<Key, Bystander>,
    tasks: JoinSet<RawRollout>,
    /// Whose task is whose, until it has ended.
    working: BTreeMap<Id, (Key, u32)>,
    fallen: FuturesUnordered<BoxFuture<'static, Revived>>,
}

impl Roster {
    pub(super) fn new(shared: Arc<Shared>, stop: CancellationToken) -> Self {
        Self {
            shared,
            stop,
            posts: BTreeMap::new(),
            parting: BTreeMap::new(),
            bystanders: BTreeMap::new(),
            tasks: JoinSet::new(),
            working: BTreeMap::new(),
            fallen: FuturesUnordered::new(),
        }
    }

    fn shard_of(&self, (namespace, name): &Key) -> u32 {
        self.shared.share.shard_of(namespace, name)
    }

    /// A resource is there, new or changed.
    pub(super) async fn applied(&mut self, mut raw: RawRollout) {
        let key = (raw.namespace.clone(), raw.name.clone());
        if let Some(parting) = self.parting.get_mut(&key) {
            *parting = Parting {
                newest: Some(raw),
                gone: false,
            };
            return;
        }
        if let Some(post) = self.posts.get(&key) {
            // An actor never blocks, so its inbox is read within a step.
            match post.inbox.send(raw).await {
                Ok(()) => return,
                Err(mpsc::error::SendError(unheard)) => raw = unheard,
            }
            self.posts.remove(&key);
        }
        self.place(key, raw);
    }

    /// A resource is gone.
    pub(super) fn deleted(&mut self, key: &Key) {
        self.shared.view.remove(&key.0, &key.1);
        self.shared.courses.remove(&key.0, &key.1);
        if let Some(parting) = self.parting.get_mut(key) {
            *parting = Parting {
                newest: None,
                gone: true,
            };
        }
        if let Some(bystander) = self.bystanders.remove(key) {
            bystander.gone(&self.shared.claims);
            self.shared.turns.remove(bystander.uid());
            self.shared.others.remove(key);
        }
        // Dropping the sender ends the actor, once its last message is read.
        self.posts.remove(key);
    }

    /// An actor for a resource that we work, a bystander for another.
    fn place(&mut self, key: Key, raw: RawRollout) {
        let shard = self.shard_of(&key);
        let works = self.shared.share.works(shard);
        if works {
            self.bystanders.remove(&key);
            self.shared.others.remove(&key);
            self.work(key, shard, raw);
            return;
        }
        let (cache, claims) = (&self.shared.cache, &self.shared.claims);
        let allowed = &self.shared.settings.allowed_namespaces;
        let known = match self.bystanders.get_mut(&key) {
            Some(known) => {
                if known.uid() != raw.uid {
                    self.shared.turns.remove(known.uid());
                }
                known.applied(raw, cache, claims, allowed);
                known
            }
            None => self
                .bystanders
                .entry(key)
                .or_insert_with(|| Bystander::new(raw, cache, claims, allowed)),
        };
        // Standing by for all of it, nobody here asks.
        if self.shared.share.shards() > 1 {
            let (status, told) = known.stands();
            self.shared.others.put(&told.namespace, &told.name, &status);
            if let Some(plan) = known.plan() {
                self.shared.courses.put(&told.namespace, &told.name, plan);
            }
            self.shared.turns.tell(known.uid(), told, self.shared.clock.now());
        }
    }

    fn work(&mut self, key: Key, shard: u32, raw: RawRollout) {
        // A handful: the watch sends one message per change, and the actor reads them all at every step.
        let (inbox, messages) = mpsc::channel(16);
        let stop = self.stop.child_token();
        let uid = raw.uid.clone();
        let actor = Actor::new(self.shared.clone(), raw);
        let task = self.tasks.spawn(actor.run(messages, stop.clone()));
        self.working.insert(task.id(), (key.clone(), shard));
        self.posts.insert(key, Post { uid, inbox, stop });
    }

    /// Takes up what was granted and lets go of what was withdrawn.
    pub(super) fn settle(&mut self) {
        let terms = self.shared.share.changes().borrow().clone();
        for shard in terms.withdrawn() {
            let of_shard = |key: &Key| self.shared.share.shard_of(&key.0, &key.1) == shard;
            let leaving: Vec<Key> = self.posts.keys().filter(|key| of_shard(key)).cloned().collect();
            for key in leaving {
                if let Some(post) = self.posts.remove(&key) {
                    post.stop.cancel();
                    self.parting.insert(key, Parting::default());
                }
            }
            self.let_go(shard);
        }
        for shard in terms.granted() {
            if self.shared.share.take_up(shard) {
                tracing::info!(shard, of = self.shared.share.shards(), "leading");
            }
        }
        // Also those that were let go while their shard came back.
        let ours: Vec<(Key, u32)> = self
            .bystanders
            .keys()
            .map(|key| (key.clone(), self.shard_of(key)))
            .filter(|(_, shard)| self.shared.share.works(*shard))
            .collect();
        for (key, shard) in ours {
            if let Some(bystander) = self.bystanders.remove(&key) {
                self.shared.others.remove(&key);
                self.work(key, shard, bystander.into_raw());
            }
        }
    }

    /// Says that a withdrawn shard is let go, once nobody works it any more.
    fn let_go(&self, shard: u32) {
        let busy = self.working.values().any(|(_, of)| *of == shard);
        if !busy && !self.shared.share.holds(shard) {
            tracing::info!(shard, of = self.shared.share.shards(), "no longer leading");
            self.shared.share.let_go(shard);
        }
    }

    /// Looks at what changed, for those who select; at everything when what changed was missed.
    pub(super) fn look(&mut self, changed: Option<&ObjectRef>) {
        let (cache, claims) = (&self.shared.cache, &self.shared.claims);
        for bystander in self.bystanders.values_mut() {
            bystander.look(changed, cache, claims);
        }
    }

    /// Waits for whatever ends or comes back. Nothing is lost when it is dropped.
    pub(super) async fn next(&mut self) -> News {
        tokio::select! {
            Some(ended) = self.tasks.join_next_with_id(), if !self.tasks.is_empty() => News::Ended(ended),
            Some((key, read)) = self.fallen.next(), if !self.fallen.is_empty() => News::Revived(key, read),
            else => std::future::pending().await,
        }
    }

    /// Puts what ended or came back in its place.
    pub(super) async fn take(&mut self, news: News) {
        match news {
            News::Ended(ended) => self.ended(ended),
            News::Revived(_, Ok(raw)) => self.applied(raw).await,
            News::Revived(key, Err(ClusterError::NotFound { .. })) => self.shared.claims.forget(&key),
            News::Revived(key, Err(error)) => {
                tracing::warn!(%error, "a resource whose actor died cannot be read, again soon");
                self.revive(key);
            }
        }
    }

    fn ended(&mut self, ended: Result<(Id, RawRollout), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some((key, shard)) = self.working.remove(&id) else {
            return;
        };
        let parting = self.parting.remove(&key);
        match (ended, parting) {
            (Ok((_, raw)), Some(Parting { gone: true, .. })) => self.shared.claims.remove(&raw.uid),
            (Ok((_, raw)), Some(Parting { newest, .. })) => {
                self.shared.view.remove(&key.0, &key.1);
                self.shared.courses.remove(&key.0, &key.1);
                self.place(key, newest.unwrap_or(raw));
            }
            (Ok((_, raw)), None) => {
                tracing::debug!(namespace = key.0, rollout = key.1, "no longer worked");
                if self.posts.get(&key).is_none_or(|post| post.uid != raw.uid) {
                    self.shared.claims.remove(&raw.uid);
                }
            }
            (Err(error), _) => {
                tracing::error!(%error, "an actor died; its resource is taken up again in {REVIVE:?}");
                self.posts.remove(&key);
                self.revive(key);
            }
        }
        self.let_go_if_withdrawn(shard);
    }

    fn let_go_if_withdrawn(&self, shard: u32) {
        let withdrawn: BTreeSet<u32> = self.shared.share.changes().borrow().withdrawn();
        if withdrawn.contains(&shard) {
            self.let_go(shard);
        }
    }

    /// Reads a resource whose actor died; not at once, or one that dies of it would die without a pause.
    fn revive(&self, key: Key) {
        let client = self.shared.clients.api.clone();
        self.fallen.push(Box::pin(async move {
            tokio::time::sleep(REVIVE).await;
            let read = rollouts::get(&client, &key.0, &key.1).await;
            (key, read)
        }));
    }

    /// Lets what is under way land: each actor bounds its own drain.
    pub(super) async fn end(mut self) {
        self.posts.clear();
        while let Some(ended) = self.tasks.join_next_with_id().await {
            if let Err(error) = ended {
                tracing::error!(%error, "an actor died while it was stopping");
            }
        }
        let worked: BTreeSet<u32> = self.working.values().map(|(_, shard)| *shard).collect();
        for shard in worked {
            self.shared.share.let_go(shard);
        }
    }
}
