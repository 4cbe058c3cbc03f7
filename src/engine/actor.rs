//! One resource: its truth in memory, its lanes, its timer.

mod act;
mod audit;
mod checkup;
mod finish;
mod gates;
mod hooks;
mod leaving;
mod measure;
mod patience;
mod previews;
mod probe;
mod refuse;
mod release;
mod resource;
mod save;
mod sight;
mod tell;
mod theirs;

use super::claims::Selected;
use super::gauges::{Apart, Measured};
use super::hub::Shared;
use super::lane::Lane;
use super::leave::Left;
use super::looks::{self, Look};
use super::lower::Failure;
use super::observe::Memo;
use super::pasts::Pasts;
use super::persist::{self, Sound};
use super::probes::Probes;
use super::select::Prepared;
use super::written::Written;
use crate::cluster::ClusterError;
use crate::cluster::rollouts::RawRollout;
use crate::doctor::Finding;
use crate::metrics::{Ask, Cursor};
use crate::probe::Results;
use crate::rollout::command::{self, Command, Verb, Wish};
use crate::rollout::decide::decide;
use crate::rollout::observation::{GateAnswer, Raise};
use crate::rollout::plan::{PlannedComponent, Problem};
use crate::rollout::sample::{Blindness, Reading, Slice};
use crate::rollout::spec::Component;
use crate::rollout::status::{ComponentStatus, GradualRolloutStatus};
use crate::rollout::weight::Weight;
use crate::routing::{ObjectKind, ObjectRef, Refused};
use checkup::Checkups;
use hooks::Asked;
use jiff::Timestamp;
use patience::Patience;
use previews::Previews;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What has not changed is persisted this often at most.
const PERSIST_EVERY: Duration = Duration::from_secs(60);
/// What is only seen otherwise waits so long for what else is seen in the same moment. A start, a raise and a broken
/// watch each bring several things one after the other, and an object that is written is read by everybody who watches.
const NEWS: Duration = Duration::from_millis(500);
/// Above this weight, in permille, the usual rate of other days is asked for.
const USUAL_ABOVE: u16 = 900;
/// How long a stopping actor waits for lowerings to land and its last status to be written.
const DRAIN: Duration = Duration::from_secs(5);

/// What a task of the actor brings back.
pub(super) enum Done {
    Looked(Vec<Look>),
    Measured(Vec<Measured>),
    Probed {
        component: String,
        results: Results,
    },
    HookAsked {
        object: ObjectRef,
        said: Option<Result<Arc<Value>, ClusterError>>,
    },
    GateAsked {
        key: String,
        answer: GateAnswer,
        every: Duration,
    },
    Recalled {
        component: String,
        told: Result<Vec<Slice>, Blindness>,
    },
    Prepared {
        component: String,
        result: Result<Prepared, String>,
    },
    Raised {
        component: String,
        result: Result<(), String>,
    },
    Lowered {
        component: String,
        id: String,
    },
    Detached {
        component: String,
        left: Left,
    },
    /// The resource is being deleted, and its objects are let go.
    Left(Left),
    Previewed {
        component: String,
        result: Result<(), String>,
    },
    Saved {
        written: Arc<Written>,
        result: Result<RawRollout, ClusterError>,
    },
    Fetched(Result<RawRollout, ClusterError>),
    Tidied(Result<RawRollout, ClusterError>),
    /// What the doctor found.
    Examined {
        generation: i64,
        findings: Vec<Finding>,
    },
    /// The finalizer was added, or not.
    Held(Result<RawRollout, ClusterError>),
}

/// How soon the status must be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Dirty {
    No,
    /// Within [`Actor::persist_every`].
    Soon,
    /// Within [`NEWS`].
    News,
    Now,
}

/// One resource.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one thing under way, and all four may be"
)]
pub(super) struct Actor {
    shared: Arc<Shared>,
    raw: RawRollout,
    /// The last spec that could be used.
    sound: Result<Sound, Vec<Problem>>,
    /// What is wrong with the spec as it is now, when an earlier one is still worked by.
    broken: Option<String>,
    /// Where what is worked by was put together from a spec that cannot be used: of which generation, and what holds.
    pieced: Option<(i64, String)>,
    /// What is another resource's: of whole components nothing is read or written, of others all but that.
    refused: Refused,
    /// How each component stood when the claims were last told: detached, put back, and what has canary traffic.
    standing: BTreeMap<String, (bool, Option<String>, Option<Component>)>,
    status: GradualRolloutStatus,
    lanes: BTreeMap<String, Lane>,
    pasts: Pasts,
    /// What routed objects said when they were last read; begun anew with every spec.
    memos: BTreeMap<String, Memo>,
    /// What each raise that is being prepared was asked for.
    asked: BTreeMap<String, Raise>,
    cursors: BTreeMap<String, Cursor>,
    /// Components whose weight changed since their cursor last knew.
    moved: BTreeSet<String>,
    /// Lowerings that were written, and when.
    lowered: BTreeMap<String, tokio::time::Instant>,
    readings: BTreeMap<String, Reading>,
    /// Components that were looked at since this began.
    looked_at: BTreeSet<String>,
    /// What is read beside the arms.
    apart: Apart,
    probes: Probes,
    failures: BTreeMap<String, String>,
    previews: Previews,
    asked_hooks: Asked,
    gate_answers: gates::Answers,
    told: tell::Told,
    /// What persons were told last that they are asked for.
    told_persons: BTreeMap<ObjectRef, String>,
    patience: Patience,
    checkups: Checkups,
    watched: Vec<String>,
    next_look: Timestamp,
    looking: bool,
    wake_at: Option<Timestamp>,
    first: bool,
    /// What is asked for by people is there.
    shown: bool,
    dirty: Dirty,
    /// When news are written at the latest.
    news_by: Timestamp,
    saving: bool,
    tidying: bool,
    leaving: leaving::Leaving,
    releases: release::Releases,
    /// Why the finalizer could not be added.
    unheld: Option<String>,
    /// Command annotations, with their values, whose outcome is decided; removed once it is persisted.
    done: BTreeSet<(String, String)>,
    /// Those of them whose outcome is in what is being written, and in what was.
    answering: BTreeSet<(String, String)>,
    answered: BTreeSet<(String, String)>,
    audits: audit::Audits,
    last_saved: Timestamp,
    /// When the sentences were made anew last: saves for other reasons must not put that off.
    last_worded: Timestamp,
    /// No save before this: the last one failed.
    save_after: Timestamp,
    /// How many writes failed, or lost their race, since one went through.
    unsaved: u32,
    written: Arc<Written>,
    /// What was sent last, whatever became of it.
    sent: Option<Arc<Written>>,
    /// The resource has another version, and nobody has looked yet whose status it brings.
    unheard: bool,
    /// The lowerings in it: what is deleted waits for its own.
    recorded: watch::Sender<BTreeSet<String>>,
    mine: BTreeSet<ObjectRef>,
    /// Kinds and namespaces in which selections look: whatever changes there is looked at.
    scopes: BTreeSet<(ObjectKind, String)>,
    /// What the selections found, of which nobody else may write.
    selected: Selected,
    /// When it was made.
    born: Timestamp,
    /// When commands that were not obeyed yet are looked at again.
    commands_at: Option<Timestamp>,
    tasks: JoinSet<Done>,
    failing: (mpsc::Sender<Failure>, mpsc::Receiver<Failure>),
}

impl Actor {
    /// An actor for a resource as it was just read.
    pub(super) fn new(shared: Arc<Shared>, raw: RawRollout) -> Self {
        let now = shared.clock.now();
        let status = persist::read_status(&raw);
        let written = Written::found(&raw.status, &status);
        let mut actor = Self {
            sound: Err(Vec::new()),
            broken: None,
            pieced: None,
            refused: Refused::default(),
            standing: BTreeMap::new(),
            told: tell::Told::by(&status),
            status,
            lanes: BTreeMap::new(),
            pasts: Pasts::default(),
            memos: BTreeMap::new(),
            asked: BTreeMap::new(),
            cursors: BTreeMap::new(),
            moved: BTreeSet::new(),
            lowered: BTreeMap::new(),
            readings: BTreeMap::new(),
            looked_at: BTreeSet::new(),
            apart: Apart::default(),
            probes: Probes::default(),
            failures: BTreeMap::new(),
            previews: Previews::default(),
            asked_hooks: Asked::default(),
            gate_answers: gates::Answers::default(),
            told_persons: BTreeMap::new(),
            patience: Patience::default(),
            checkups: Checkups::default(),
            watched: Vec::new(),
            next_look: now,
            looking: false,
            wake_at: None,
            first: true,
            shown: false,
            dirty: Dirty::Soon,
            news_by: now,
            saving: false,
            tidying: false,
            leaving: leaving::Leaving::default(),
            releases: release::Releases::default(),
            unheld: None,
            done: BTreeSet::new(),
            answering: BTreeSet::new(),
            answered: BTreeSet::new(),
            audits: audit::Audits::default(),
            last_saved: now,
            last_worded: now,
            save_after: now,
            unsaved: 0,
            recorded: watch::channel(written.lowerings().clone()).0,
            written: Arc::new(written),
            sent: None,
            unheard: false,
            mine: BTreeSet::new(),
            scopes: BTreeSet::new(),
            selected: Selected::new(),
            born: now,
            commands_at: None,
            tasks: JoinSet::new(),
            // One slot per object is plenty: only the newest failure is shown.
            failing: mpsc::channel(64),
            shared,
            raw,
        };
        actor.resume_cursors();
        actor.shared.claims.looked(&actor.raw.uid, false);
        actor.read_spec();
        if actor.sound.is_err() || actor.raw.deleting {
            // It may never look.
            actor.shared.claims.looked(&actor.raw.uid, true);
        }
        // Before anybody else begins: what runs holds its turn over restarts.
        actor.tell_turn(false, now);
        actor
    }

    /// Runs until told to stop, or until the resource is gone (its inbox closes). Gives the resource as it was last
    /// seen; what it claims stays claimed.
    pub(super) async fn run(
        mut self,
        mut inbox: mpsc::Receiver<RawRollout>,
        stop: CancellationToken,
    ) -> RawRollout {
        let mut changes = self.shared.cache.changes();
        let mut claims = self.shared.claims.changes();
        let mut turns = self.shared.turns.changes();
        let mut freeze = self.shared.freeze.clone();
        let mut follows_freeze = true;
        // What was told since the claims were read last, and before anybody listened.
        self.hear_claims();
        self.step();
        loop {
            let rest = self.rest();
            tokio::select! {
                () = stop.cancelled() => break,
                raw = inbox.recv() => match raw {
                    Some(raw) => self.applied(raw),
                    None => break,
                },
                Some(done) = self.tasks.join_next(), if !self.tasks.is_empty() => self.take(done),
                Some((component, message)) = self.failing.1.recv() => {
                    self.failures.insert(component, message);
                }
                told = changes.recv() => match told {
                    Ok(object) if self.mine.contains(&object) || self.scopes.contains(&(object.kind, object.namespace.clone())) => {}
                    Ok(_) => continue,
                    // Lagging is no harm: the cache holds the newest.
                    Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
                    Err(tokio::sync::broadcast::error::RecvError::Closed) => break,
                },
                _ = claims.changed() => if !self.hear_claims() {
                    continue;
                },
                // Whoever waits for its turn looks whether it has come; others have nothing to do.
                _ = turns.changed(), if self.waits_for_turn() => {}
                told = freeze.changed(), if follows_freeze => follows_freeze = told.is_ok(),
                () = tokio::time::sleep(rest) => {}
            }
            while let Ok(raw) = inbox.try_recv() {
                self.applied(raw);
            }
            while let Some(done) = self.tasks.try_join_next() {
                self.take(done);
            }
            self.step();
        }
        self.drain().await;
        while let Ok(raw) = inbox.try_recv() {
            if !older(&raw.resource_version, &self.raw.resource_version) {
                self.raw = raw;
            }
        }
        self.raw
    }

    fn persist_every(&self) -> Duration {
        self.shared.settings.persist_every.unwrap_or(PERSIST_EVERY)
    }

    /// How long nothing is due.
    fn rest(&self) -> Duration {
        const IDLE: Duration = Duration::from_secs(24 * 3600);
        let look = (!self.watched.is_empty() && !self.looking).then_some(self.next_look);
        let save = match self.dirty {
            Dirty::No => None,
            Dirty::Soon => Some((self.last_saved + self.persist_every()).max(self.save_after)),
            Dirty::News => Some(self.news_by.max(self.save_after)),
            Dirty::Now => Some(self.save_after),
        };
        let save = save.filter(|_| !self.saving);
        let now = self.shared.clock.now();
        let again = [
            self.previews.due(now),
            self.patience.due(now),
            self.asked_hooks.due(),
            self.gate_answers.due(),
            self.checkups.due(),
            self.shared.turns.due(&self.raw.uid, now),
            self.commands_at,
            self.releases.due(),
        ];
        let due = [
            look,
            save,
            self.wake_at,
            self.leaving.next(),
            self.leaving.looks(now),
        ]
        .into_iter()
        .chain(again)
        .flatten()
        .min();
        // At least a millisecond: what is due now and cannot be done now must not spin.
        due.map_or(IDLE, |at| {
            self.shared.clock.until(at).max(Duration::from_millis(1))
        })
    }

    /// Decides, and sets in motion what was decided.
    fn step(&mut self) {
        let now = self.shared.clock.now();
        if self.sound.is_err() {
            self.cannot_work(now);
            return;
        }
        if self.stays_behind(now) {
            self.begin_nothing(now);
            return;
        }
        self.ask_hooks(now);
        self.hear_persons();
        self.check_up(now);
        let Ok(sound) = &self.sound else { return };
        if !self.looking && now >= self.next_look && !self.watched.is_empty() {
            let asks: Vec<(Ask, Cursor)> = sound
                .plan
                .cared_for()
                .filter(|p| self.watched.iter().any(|name| name == p.name()))
                .filter_map(|p| {
                    Some((
                        ask(&self.raw, p, self.status.component(p.name()))?,
                        self.cursors.remove(p.name()).unwrap_or_default(),
                    ))
                })
                .collect();
            self.looking = true;
            let (source, clock) = (self.shared.source.clone(), self.shared.clock.clone());
            // On the beats of everybody who looks as often, so that one query serves all of them.
            self.next_look = source.next_beat(now, sound.plan.judge.interval);
            let book = self.shared.view.book().clone();
            self.tasks
                .spawn(async move { Done::Looked(looks::round(source, clock, book, asks).await) });
            self.measure(now);
            self.probe(now);
            self.recall(now);
        }
        let due = |since: Timestamp| now.duration_since(since).unsigned_abs() >= self.persist_every();
        let refresh = (due(self.last_saved) || due(self.last_worded)) && !self.saving;
        if refresh {
            self.last_worded = now;
        }
        let observation = self.observe(refresh, now);
        let Ok(sound) = &self.sound else { return };
        let before: Vec<_> = self.status.components.iter().map(|c| c.weight.written).collect();
        let open = |status: &GradualRolloutStatus| {
            let kept = status.components.iter().filter(|c| !c.detached).count();
            let going = status.components.iter().filter(|c| c.lowering.is_some()).count();
            (kept, going)
        };
        let (kept, going) = open(&self.status);
        let decision = decide(&sound.plan, std::mem::take(&mut self.status), &observation, now);
        let moved = decision
            .next
            .components
            .iter()
            .zip(before)
            .filter(|(c, before)| c.weight.written != *before);
        let mut back = false;
        for (c, _) in moved {
            self.apart.moved(&c.name);
            self.moved.insert(c.name.clone());
            back |= c.weight.written.is_zero();
        }
        self.first = false;
        self.act(decision, now);
        let (keeps, goes) = open(&self.status);
        back |= keeps < kept || goes < going;
        if back && self.broken.is_some() {
            // What an edit would have left behind may be back by now.
            self.read_spec();
        }
        self.report_routers();
        self.leave_again(now);
        self.save(now);
    }

    fn show(&self) {
        self.shared
            .view
            .put(&self.raw.namespace, &self.raw.name, &self.status);
    }

    fn take(&mut self, done: Result<Done, tokio::task::JoinError>) {
        match done {
            Ok(done) => self.finish(done),
            Err(error) if error.is_cancelled() => {}
            // A task that panicked leaves its lane as it was found: the next step asks again.
            Err(error) => {
                tracing::error!(rollout = %self.raw.name, %error, "a task failed");
                self.looking = false;
                self.apart.forget();
                self.probes.forget();
                self.gate_answers.forget();
                self.checkups.forget();
                self.releases.forget();
                self.saving = false;
                self.tidying = false;
                for lane in self.lanes.values_mut() {
                    lane.clear();
                }
            }
        }
    }

    /// Waits for lowerings to land and the last status to be written, and no longer than [`DRAIN`].
    async fn drain(&mut self) {
        for lane in self
            .lanes
            .values_mut()
            .filter(|lane| !matches!(lane, Lane::Lowering { .. }))
        {
            lane.clear();
        }
        self.shared.turns.remove(&self.raw.uid);
        let wait = async {
            while self.lanes.values().any(|l| matches!(l, Lane::Lowering { .. })) || self.saving {
                match self.tasks.join_next().await {
                    Some(done) => self.take(done),
                    None => break,
                }
            }
        };
        if tokio::time::timeout(DRAIN, wait).await.is_err() {
            tracing::warn!(rollout = %self.raw.name, "stopped before everything under way was done; the next daemon goes on");
        }
    }
}

/// All problems in one line.
fn together(problems: &[Problem]) -> String {
    let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
    all.join("; ")
}

/// What a component's metrics are asked; `None` when it names no arms.
fn ask(raw: &RawRollout, planned: &PlannedComponent, status: Option<&ComponentStatus>) -> Option<Ask> {
    // Where control answers next to nothing, only other days tell how much traffic there should be.
    let wants_history = status.is_some_and(|c| c.weight.written.permille() > USUAL_ABOVE);
    Ask::of(&format!("{}/{}", raw.namespace, raw.name), planned, wants_history)
}

/// What a deletion with `onDelete: restore` means.
fn restore(uid: &str) -> Command {
    let wish = Wish {
        components: vec!["*".to_owned()],
        // Before us the canary had nothing.
        weight: Some(Weight::ZERO),
        reason: "the resource was deleted, and says onDelete: restore".to_owned(),
        who: "the API server".to_owned(),
        ..Wish::default()
    };
    Command {
        id: format!("{}{uid}", command::RESTORES).chars().take(55).collect(),
        verb: Verb::Rollback,
        wish,
    }
}

/// Whether one version is older than another. The API server's versions are numbers; where they are not, nobody can
/// tell, and the newer arrival wins.
fn older(a: &str, b: &str) -> bool {
    match (a.parse::<u64>(), b.parse::<u64>()) {
        (Ok(a), Ok(b)) => a < b,
        _ => false,
    }
}
