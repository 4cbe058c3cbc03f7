//! Who works which resource: the watch of resources on one side, an actor for each on the other.

use super::actor::Actor;
use super::checkup::{Checkup, DoctorSettings};
use super::claims::Claims;
use super::turns::{Limits, Turns};
use super::view::View;
use crate::clock::Clock;
use crate::cluster::ClusterError;
use crate::cluster::cache::Cache;
use crate::cluster::connect::Clients;
use crate::cluster::events::EventSink;
use crate::cluster::freeze::{Known, Switch};
use crate::cluster::rollouts::{self, RawRollout, RolloutEvent};
use crate::metrics::Source;
use crate::probe::{Hooks, Prober};
use futures::stream::FuturesUnordered;
use futures::{Stream, StreamExt};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What the operator decides about the engine.
#[derive(Clone, Debug, Default)]
pub struct EngineSettings {
    /// Namespaces other than its own that a resource may write to.
    pub allowed_namespaces: Vec<String>,
    /// How often at most a status is written in which no verdict changed; `None`: once a minute. After a restart
    /// evidence goes on from the last one written, so this is what a crash can lose.
    pub persist_every: Option<Duration>,
    /// What sends probes; `None`: nobody does.
    pub prober: Option<Arc<Prober>>,
    /// What calls hooks; `None`: nobody does.
    pub hooks: Option<Arc<Hooks>>,
    /// Nothing rises anywhere, as the settings say.
    pub freeze: Option<Switch>,
    /// How many rollouts run at once.
    pub limits: Limits,
    /// What the doctor has to know; `None`: it looks at nothing.
    pub doctor: Option<DoctorSettings>,
}

/// What every actor works with.
pub(super) struct Shared {
    pub(super) clients: Clients,
    pub(super) cache: Cache,
    pub(super) source: Source,
    pub(super) clock: Clock,
    pub(super) events: EventSink,
    pub(super) claims: Claims,
    pub(super) turns: Turns,
    /// What is known of the cluster's freeze switch.
    pub(super) freeze: watch::Receiver<Known>,
    pub(super) view: View,
    pub(super) settings: EngineSettings,
    pub(super) checkup: Option<Arc<Checkup>>,
}

/// The engine.
pub struct Hub {
    shared: Arc<Shared>,
    ready: watch::Sender<bool>,
}

type Key = (String, String);

/// How long a resource rests whose actor died.
const REVIVE: Duration = Duration::from_secs(1);

impl Hub {
    /// An engine over these.
    pub fn new(
        clients: Clients,
        cache: Cache,
        source: Source,
        clock: Clock,
        events: EventSink,
        freeze: watch::Receiver<Known>,
        settings: EngineSettings,
    ) -> Self {
        let checkup = settings.doctor.clone().map(|doctor| {
            let (cache, source, clock) = (cache.clone(), source.clone(), clock.clone());
            Arc::new(Checkup::new(&clients, cache, source, clock, doctor))
        });
        let shared = Shared {
            checkup,
            clients,
            cache,
            view: View::of(source.clone(), clock.clone()),
            source,
            clock,
            events,
            claims: Claims::default(),
            turns: Turns::new(settings.limits.clone()),
            freeze,
            settings,
        };
        Self {
            shared: Arc::new(shared),
            ready: watch::channel(false).0,
        }
    }

    /// The read model.
    pub fn view(&self) -> View {
        self.shared.view.clone()
    }

    /// True once every resource there is was seen.
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// Works every resource until told to stop; then lets what is under way land, bounded.
    pub async fn run<S>(&self, events: S, stop: CancellationToken)
    where
        S: Stream<Item = Result<RolloutEvent, ClusterError>>,
    {
        let mut actors: BTreeMap<Key, mpsc::Sender<RawRollout>> = BTreeMap::new();
        let mut tasks: JoinSet<Key> = JoinSet::new();
        let mut events = std::pin::pin!(events);
        let mut fallen: FuturesUnordered<_> = FuturesUnordered::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                event = events.next() => match event {
                    None => break,
                    Some(Ok(RolloutEvent::Synced)) => {
                        // Each actor has told where its rollout stands when it was made.
                        self.shared.turns.complete();
                        self.ready.send_replace(true);
                    }
                    Some(Ok(RolloutEvent::Applied(raw))) => self.applied(raw, &mut actors, &mut tasks, &stop).await,
                    Some(Ok(RolloutEvent::Deleted { namespace, name })) => {
                        self.shared.view.remove(&namespace, &name);
                        // Dropping the sender ends the actor, once its last message is read.
                        actors.remove(&(namespace, name));
                    }
                    Some(Err(error)) => tracing::warn!(%error, "watching gradualrollouts failed, again soon"),
                },
                Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                    match ended {
                        Ok(key) => tracing::debug!(namespace = key.0, rollout = key.1, "no longer worked"),
                        Err(error) => {
                            tracing::error!(%error, "an actor died; its resource is taken up again in {REVIVE:?}");
                            let dead = actors.iter().filter(|(_, inbox)| inbox.is_closed());
                            fallen.extend(dead.map(|(key, _)| self.after_a_fall(key.clone())));
                        }
                    }
                    actors.retain(|_, inbox| !inbox.is_closed());
                }
                Some((key, read)) = fallen.next(), if !fallen.is_empty() => match read {
                    Ok(raw) => self.applied(raw, &mut actors, &mut tasks, &stop).await,
                    Err(ClusterError::NotFound { .. }) => {}
                    Err(error) => {
                        tracing::warn!(%error, "a resource whose actor died cannot be read, again soon");
                        fallen.push(self.after_a_fall(key));
                    }
                },
            }
        }
        self.ready.send_replace(false);
        drop(actors);
        // Each actor bounds its own drain.
        while tasks.join_next().await.is_some() {}
    }

    /// Reads a resource whose actor died; not at once, or one that dies of it would die without a pause.
    async fn after_a_fall(&self, key: Key) -> (Key, Result<RawRollout, ClusterError>) {
        tokio::time::sleep(REVIVE).await;
        let read = rollouts::get(&self.shared.clients.api, &key.0, &key.1).await;
        (key, read)
    }

    async fn applied(
        &self,
        raw: RawRollout,
        actors: &mut BTreeMap<Key, mpsc::Sender<RawRollout>>,
        tasks: &mut JoinSet<Key>,
        stop: &CancellationToken,
    ) {
        let key = (raw.namespace.clone(), raw.name.clone());
        if let Some(inbox) = actors.get(&key) {
            // An actor never blocks, so its inbox is read within a step.
            if inbox.send(raw.clone()).await.is_ok() {
                return;
            }
        }
        // A handful: the watch sends one message per change, and the actor reads them all at every step.
        let (inbox, messages) = mpsc::channel(16);
        actors.insert(key.clone(), inbox);
        let actor = Actor::new(self.shared.clone(), raw);
        let stop = stop.clone();
        tasks.spawn(async move {
            actor.run(messages, stop).await;
            key
        });
    }
}
