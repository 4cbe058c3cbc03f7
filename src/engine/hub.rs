//! The engine as a whole: the watch of resources on one side, whoever works or only watches each on the other.

use super::checkup::{Checkup, DoctorSettings};
use super::claims::Claims;
use super::courses::Courses;
use super::guard::Guard;
use super::others::Others;
use super::roster::Roster;
use super::turns::{Limits, Turns};
use super::view::View;
use crate::clock::Clock;
use crate::cluster::ClusterError;
use crate::cluster::by_hand::ByHand;
use crate::cluster::cache::Cache;
use crate::cluster::connect::Clients;
use crate::cluster::events::EventSink;
use crate::cluster::freeze::{Known, Switch};
use crate::cluster::rollouts::RolloutEvent;
use crate::cluster::share::Share;
use crate::metrics::Source;
use crate::notify::Outbox;
use crate::probe::{Hooks, Prober};
use futures::{Stream, StreamExt};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
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
    /// Where messages to people go in; `None`: nobody is told. Whoever runs the engine runs it, too.
    pub outbox: Option<Outbox>,
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
    pub(super) others: Others,
    pub(super) courses: Courses,
    /// What is known of the cluster's freeze switch.
    pub(super) freeze: watch::Receiver<Known>,
    pub(super) view: View,
    pub(super) settings: EngineSettings,
    pub(super) checkup: Option<Arc<Checkup>>,
    pub(super) share: Share,
    pub(super) guard: Guard,
}

/// The engine.
pub struct Hub {
    shared: Arc<Shared>,
    ready: watch::Sender<bool>,
}

impl Hub {
    /// An engine over these.
    #[expect(clippy::too_many_arguments, reason = "all that a daemon shares")]
    pub fn new(
        clients: Clients,
        cache: Cache,
        source: Source,
        clock: Clock,
        events: EventSink,
        freeze: watch::Receiver<Known>,
        settings: EngineSettings,
        share: Share,
    ) -> Self {
        let checkup = settings.doctor.clone().map(|doctor| {
            let (cache, source, clock) = (cache.clone(), source.clone(), clock.clone());
            Arc::new(Checkup::new(&clients, cache, source, clock, doctor))
        });
        let shared = Shared {
            checkup,
            guard: Guard::default(),
            clients,
            cache,
            view: View::of(source.clone(), clock.clone()),
            source,
            clock,
            events,
            claims: Claims::default(),
            turns: Turns::new(settings.limits.clone(), share.shards() > 1),
            others: Others::default(),
            courses: Courses::default(),
            freeze,
            settings,
            share,
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

    /// Works the resources of every shard that is held, until told to stop; then lets what is under way land, bounded.
    pub async fn run<S>(&self, events: S, stop: CancellationToken)
    where
        S: Stream<Item = Result<RolloutEvent, ClusterError>>,
    {
        let mut roster = Roster::new(self.shared.clone(), stop.clone());
        let mut beside: JoinSet<()> = JoinSet::new();
        let (guard, hand) = (
            self.shared.guard.clone(),
            ByHand::new(self.shared.clients.fast.clone()),
        );
        let until = stop.clone();
        beside.spawn(async move { guard.run(hand, until).await });
        let mut events = std::pin::pin!(events);
        let mut terms = self.shared.share.changes();
        let mut changes = self.shared.cache.changes();
        roster.settle();
        let selecting = self.shared.share.shards() > 1;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                event = events.next() => match event {
                    None => break,
                    Some(Ok(RolloutEvent::Synced)) => {
                        // Each actor has told where its rollout stands when it was made.
                        self.shared.turns.complete();
                        self.shared.claims.complete();
                        self.ready.send_replace(true);
                    }
                    Some(Ok(RolloutEvent::Applied(raw))) => roster.applied(raw).await,
                    Some(Ok(RolloutEvent::Deleted { namespace, name })) => roster.deleted(&(namespace, name)),
                    Some(Err(error)) => tracing::warn!(%error, "watching gradualrollouts failed, again soon"),
                },
                // The sender is in `self`.
                _ = terms.changed() => roster.settle(),
                told = changes.recv(), if selecting => roster.look(told.ok().as_ref()),
                news = roster.next() => roster.take(news).await,
            }
        }
        self.ready.send_replace(false);
        roster.end().await;
    }
}
