//! Gives commands and waits until each component is done, refused, put back, or the time is over. What gives up
//! takes its raise back and leaves its lowering; where no daemon is alive, lowerings are done from here.

use super::connect::Reach;
use super::direct::{self, Order, Written};
use super::emergency;
use super::overdue::{alike, overdue};
use super::progress::Progress;
use super::record::Unrecorded;
use super::report::{Ended, Entry};
use super::wait::{self, Stand};
use super::wish;
use crate::clock::Clock;
use crate::cluster::by_hand::{Daemon, Error};
use crate::rollout::command::{Command, Verb};
use crate::rollout::spec::GradualRollout;
use crate::rollout::weight::Weight;
use crate::routing::{ClaimKey, Home, ObjectRef};
use crate::settings::Settings;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// How often it is looked whether the daemon is still alive.
const LIVENESS_EVERY: Duration = Duration::from_secs(5);
/// A daemon that is alive but has not taken up a rollback for so long is not waited for.
const ROLLBACK_PATIENCE: Duration = Duration::from_secs(10);
/// Requests under way at once. Some hundred would be cut by an API server's fairness; too few make a thousand
/// components wait for each other.
const AT_ONCE: usize = 64;

/// What anybody claims, by object.
pub(super) type Claimed = BTreeMap<ObjectRef, Vec<ClaimKey>>;

/// Weights by resource and component.
pub(super) type Found = BTreeMap<(String, String), Weight>;

/// A command for one rollout.
#[derive(Clone, Debug)]
pub(super) struct Task {
    /// The rollout as it was read before.
    pub rollout: GradualRollout,
    /// The components.
    pub components: Vec<String>,
    /// The command.
    pub command: Command,
    /// Components whose objects are another rollout's, each with a sentence that says so.
    pub foreign: BTreeMap<String, String>,
    /// What anybody claims, as far as it is known: nothing of others is written from here.
    pub claimed: Arc<Claimed>,
}

impl Task {
    /// The rollout's name.
    pub(super) fn name(&self) -> &str {
        self.rollout.metadata.name.as_deref().unwrap_or_default()
    }

    /// The resource, where everything is looked for in one namespace.
    pub(super) fn home(&self, namespace: &str) -> Home {
        Home::new(namespace, self.name())
    }

    pub(super) fn entry(&self, component: &str, result: Ended, message: impl Into<String>) -> Entry {
        Entry {
            rollout: self.name().to_owned(),
            component: component.to_owned(),
            result,
            message: message.into(),
        }
    }

    /// Whether a daemon has answered the command, by the resource as it was read since.
    pub(super) fn is_taken_up(&self, rollout: &GradualRollout) -> bool {
        let mut answers = rollout.status.iter().flat_map(|s| &s.commands);
        answers.any(|c| c.id == self.command.id)
    }

    fn all(&self, result: Ended, message: &str) -> Vec<Entry> {
        self.components
            .iter()
            .map(|c| self.entry(c, result, message))
            .collect()
    }

    /// Whether the command can only lower a component, given the weight it has.
    fn lowers(&self, written: Option<Weight>) -> bool {
        match self.command.verb {
            Verb::Set => {
                let asked = self.command.wish.weight.unwrap_or_default();
                asked.is_zero() || written.is_some_and(|w| asked <= w)
            }
            verb @ (Verb::Pause
            | Verb::Resume
            | Verb::Approve
            | Verb::Promote
            | Verb::Rollback
            | Verb::Retry
            | Verb::Detach
            | Verb::HeaderRoute
            | Verb::Mirror
            | Verb::Complaint) => verb.only_lowers(),
        }
    }

    /// The weight of a lowering that can be done from here; `None` for commands that only the daemon can obey.
    fn weight(&self) -> Option<Weight> {
        match self.command.verb {
            Verb::Set => self.command.wish.weight,
            Verb::Rollback => Some(wait::back_to(&self.command, &self.rollout)),
            Verb::Pause
            | Verb::Resume
            | Verb::Approve
            | Verb::Promote
            | Verb::Retry
            | Verb::Detach
            | Verb::HeaderRoute
            | Verb::Mirror
            | Verb::Complaint => None,
        }
    }
}

/// The way to get commands done.
pub(super) struct Pursuit<'a> {
    /// The cluster.
    pub cluster: &'a Reach,
    /// The rollouts' namespace.
    pub namespace: &'a str,
    /// They say where the Lease is.
    pub settings: &'a Settings,
    /// How long to wait in all.
    pub timeout: Duration,
    /// When it was asked.
    pub at: Timestamp,
    /// Where progress is told.
    pub progress: Progress,
    /// In an emergency: until when what the cluster does not answer is tried again. `None`: it is none.
    pub emergency: Option<Instant>,
    /// Whether there is surely no daemon.
    pub leaderless: bool,
    /// How many requests are under way at once when traffic is put back from here.
    pub places: Semaphore,
    /// The greatest weight that the routed objects of a component said before they were written from here, by resource and
    /// component.
    pub found: Mutex<Found>,
}

/// Room for the requests of one command.
pub(super) fn places() -> Semaphore {
    Semaphore::new(AT_ONCE)
}

impl Pursuit<'_> {
    /// Gives every command and waits for all of them.
    pub(super) async fn all(&self, tasks: &[Task], alive: bool) -> Vec<Entry> {
        let end = Instant::now() + self.timeout;
        let gives = tasks.iter().map(|task| self.give(task, alive));
        let mut open: Vec<(&Task, Vec<String>)> = Vec::new();
        let mut entries = Vec::new();
        for (task, given) in tasks.iter().zip(futures::future::join_all(gives).await) {
            match given {
                Ok(()) => open.push((task, task.components.clone())),
                Err(mut ended) => entries.append(&mut ended),
            }
        }
        let mut looks = 0;
        let mut asked_at = Instant::now();
        let mut alive = alive;
        while !open.is_empty() {
            looks += 1;
            if asked_at.elapsed() >= LIVENESS_EVERY {
                asked_at = Instant::now();
                alive = self.alive().await;
            }
            let late = Instant::now() >= end;
            // One resource that is not answered about keeps no other one up.
            let each = open.into_iter().map(async |(task, components)| {
                (task, self.look(task, components, alive, late, looks).await)
            });
            open = Vec::new();
            for (task, (waiting, mut ended)) in futures::future::join_all(each).await {
                entries.append(&mut ended);
                if !waiting.is_empty() {
                    open.push((task, waiting));
                }
            }
            if open.is_empty() {
                break;
            }
            tokio::select! {
                () = tokio::time::sleep(self.pause(looks)) => {}
                _ = tokio::signal::ctrl_c() => {
                    for (task, components) in open {
                        entries.append(&mut self.give_up(task, &alike(components, "stopped waiting"), false).await);
                    }
                    break;
                }
            }
        }
        self.progress.end();
        entries
    }

    /// How long it is until the next look.
    fn pause(&self, looks: u32) -> Duration {
        wish::pause_within(looks, self.waited(), ROLLBACK_PATIENCE)
    }

    fn waited(&self) -> Duration {
        Clock::System.now().duration_since(self.at).unsigned_abs()
    }

    async fn alive(&self) -> bool {
        let found = self
            .cluster
            .daemon_in(
                &self.settings.lease_namespaces(),
                &self.settings.lease.name,
                Clock::System.now(),
            )
            .await;
        // What cannot be read is no proof of death: a second writer is only started when there is surely no first.
        !matches!(found, Ok(Daemon::Silent { .. }))
    }

    /// Whether a command can only lower a component, by what its routed objects say now: without a daemon the status
    /// is as old as the last one. Where none can be read, the status is the best there is; what is done from here
    /// raises nothing anyway.
    async fn lowers(&self, task: &Task, rollout: &GradualRollout, name: &str) -> bool {
        let nonzero = |w: Weight| !w.is_zero();
        if task.command.verb != Verb::Set || !task.command.wish.weight.is_some_and(nonzero) {
            return task.lowers(None);
        }
        let said = match direct::component(rollout, name) {
            Some(component) => {
                direct::says(self.cluster, component, &task.home(self.namespace))
                    .await
                    .0
            }
            None => None,
        };
        task.lowers(said.or_else(|| written(rollout, name)))
    }

    /// Writes a command, unless it raises and nobody would obey it.
    async fn give(&self, task: &Task, alive: bool) -> Result<(), Vec<Entry>> {
        if !alive {
            let each = task
                .components
                .iter()
                .map(|c| self.lowers(task, &task.rollout, c));
            if !futures::future::join_all(each).await.contains(&true) {
                return Err(task.all(Ended::Refused, NOBODY));
            }
        }
        let given = self
            .cluster
            .command(self.namespace, task.name(), &task.command, false)
            .await;
        let given = match given {
            Err(error) => self.given_all_the_same(task, error).await,
            given => given.map_err(Unrecorded::No),
        };
        match given {
            Ok(()) => Ok(()),
            // Traffic goes back whether or not the wish could be recorded.
            Err(error) if task.command.verb == Verb::Rollback => {
                let each = task.components.iter().map(|c| self.directly(task, c));
                let mut entries = futures::future::join_all(each).await;
                for entry in &mut entries {
                    entry.message = format!("{}; {}", entry.message, error.sentence(task.name()));
                }
                Err(entries)
            }
            Err(error @ Unrecorded::Unknown(_)) => {
                let why = format!(
                    "{}; see `status` before it is given again",
                    error.sentence(task.name())
                );
                Err(task.all(Ended::Unreachable, &why))
            }
            Err(Unrecorded::No(error)) => {
                let unreachable = error.is_silence() || matches!(error, Error::NoConnection(_));
                let ended = if unreachable {
                    Ended::Unreachable
                } else {
                    Ended::Refused
                };
                Err(task.all(ended, &error.to_string()))
            }
        }
    }

    /// Looks once at a command: which components still wait, and what became of the others.
    async fn look(
        &self,
        task: &Task,
        components: Vec<String>,
        alive: bool,
        late: bool,
        looks: u32,
    ) -> (Vec<String>, Vec<Entry>) {
        let read = self.cluster.rollout(self.namespace, task.name()).await;
        let rollout = match read {
            Ok(rollout) => rollout,
            // What may be there already is written once more, alike: nobody can tell.
            Err(error)
                if task.command.verb == Verb::Rollback && (!alive || self.waited() > ROLLBACK_PATIENCE) =>
            {
                let why = format!("{} could not be read: {error}", task.name());
                return (
                    Vec::new(),
                    self.all_the_same(task, &alike(components, &why)).await,
                );
            }
            Err(error) if late => {
                let why = format!("it cannot be read: {error}");
                return (
                    Vec::new(),
                    self.give_up(task, &alike(components, &why), false).await,
                );
            }
            // A hiccup is waited out: the command stands where it was written.
            Err(error) => {
                self.progress.tell(&format!("{}: {error}", task.name()));
                return (components, Vec::new());
            }
        };
        let (mut waiting, mut ended) = (Vec::new(), Vec::new());
        for component in components {
            match wait::stand(&task.command, &rollout, &component) {
                Stand::Done(message) => ended.push(task.entry(&component, Ended::Done, message)),
                Stand::Refused(message) => ended.push(task.entry(&component, Ended::Refused, message)),
                Stand::RolledBack(message) => ended.push(task.entry(&component, Ended::RolledBack, message)),
                Stand::Waiting(message) => waiting.push((component, message)),
            }
        }
        let taken_up = task.is_taken_up(&rollout);
        let refused = rollout.status.as_ref().and_then(|status| status.refused());
        if let Some(condition) = refused.filter(|_| alive && !taken_up && !waiting.is_empty()) {
            let names: Vec<String> = waiting.into_iter().map(|(component, _)| component).collect();
            let why = format!("{}: {}", condition.reason, condition.message);
            ended.append(&mut self.not_worked(task, &names, &why).await);
            return (Vec::new(), ended);
        }
        let hangs = task.command.verb == Verb::Rollback && !taken_up && self.waited() > ROLLBACK_PATIENCE;
        if (!alive || hangs) && !waiting.is_empty() {
            let each = waiting.iter().map(|(component, _)| async {
                if task.weight().is_some() && self.lowers(task, &rollout, component).await {
                    Ok(self.directly(task, component).await)
                } else {
                    Err(component.clone())
                }
            });
            let mut raises = Vec::new();
            for done in futures::future::join_all(each).await {
                match done {
                    Ok(entry) => ended.push(entry),
                    Err(component) => raises.push(component),
                }
            }
            if !raises.is_empty() {
                ended.append(&mut self.give_up(task, &alike(raises, NOBODY), false).await);
            }
            return (Vec::new(), ended);
        }
        if late {
            ended.append(
                &mut self
                    .give_up(task, &overdue(waiting, self.timeout), taken_up)
                    .await,
            );
            return (Vec::new(), ended);
        }
        if let Some((component, message)) = waiting.first() {
            let more = waiting.len() - 1;
            let more = if more > 0 {
                format!(" (and {more} more)")
            } else {
                String::new()
            };
            self.progress
                .show(looks, &format!("{component}: {message}{more}"));
        }
        (
            waiting.into_iter().map(|(component, _)| component).collect(),
            ended,
        )
    }

    /// The daemon works nothing of this rollout. Traffic goes back from here; anything else is taken back.
    async fn not_worked(&self, task: &Task, components: &[String], why: &str) -> Vec<Entry> {
        if task.command.verb == Verb::Rollback {
            let each = components.iter().map(|component| self.directly(task, component));
            return futures::future::join_all(each).await;
        }
        let taken = self
            .cluster
            .withdraw(self.namespace, task.name(), &task.command)
            .await;
        let taken = match taken {
            Ok(true) => "the command was taken back".to_owned(),
            Ok(false) => "the command is gone already".to_owned(),
            Err(error) => format!("the command could not be taken back: {error}"),
        };
        let told = format!("the daemon works nothing of this rollout, {why}; {taken}");
        let entry = |component: &String| task.entry(component, Ended::Refused, told.as_str());
        components.iter().map(entry).collect()
    }

    /// Lowers from here what nobody knows the daemon to lower, each with its reason.
    async fn all_the_same(&self, task: &Task, components: &[(String, String)]) -> Vec<Entry> {
        let each = components.iter().map(async |(component, why)| {
            let entry = self.directly(task, component).await;
            let message = format!("{}; {why}", entry.message);
            Entry { message, ..entry }
        });
        futures::future::join_all(each).await
    }

    /// Lowers a component from here.
    pub(super) async fn directly(&self, task: &Task, name: &str) -> Entry {
        if let Some(why) = task.foreign.get(name) {
            return task.entry(name, Ended::Refused, why);
        }
        let Some(component) = direct::component(&task.rollout, name) else {
            let why =
                "it is not in the spec any more, so its routers are not known: put its weight back by hand";
            return task.entry(name, Ended::Refused, why);
        };
        let Some(weight) = task.weight() else {
            return task.entry(name, Ended::Refused, NOBODY);
        };
        let order = Order {
            command: &task.command,
            weight,
            may_raise: false,
            at: self.at,
            patience: self.emergency.map(|end| (end, &self.places)),
            claimed: &task.claimed,
        };
        let results = direct::lower(self.cluster, component, &task.home(self.namespace), order).await;
        // Where nobody leads and nothing is declared, no raise is on its way to an object that could not be marked.
        let still = self.leaderless && emergency::nothing_rises(&task.rollout, name);
        let tell = |(object, result): &(ObjectRef, Result<Written, direct::Error>)| {
            told(object, result, (task.command.verb, still))
        };
        let mut sentences: Vec<String> = results.iter().map(tell).collect();
        let left = results
            .iter()
            .filter_map(|(_, result)| result.as_ref().ok()?.left.sentence());
        sentences.extend(left);
        // An object that was below already stays there: what was set is not so, and to get it there is a raise.
        let short = |w: &Written| task.command.verb == Verb::Set && w.from.is_some_and(|from| from < weight);
        let written = || results.iter().filter_map(|(_, result)| result.as_ref().ok());
        if let (Some(from), Ok(mut found)) = (written().filter_map(|w| w.from).max(), self.found.lock()) {
            found.insert((task.name().to_owned(), name.to_owned()), from);
        }
        let rises = written().any(short);
        if rises {
            let taken = self
                .cluster
                .withdraw(self.namespace, task.name(), &task.command)
                .await;
            sentences.push(match taken {
                Ok(_) => format!("{NOBODY}, so nothing rises to {weight} and the command was taken back"),
                Err(error) => {
                    format!("{NOBODY}; taking the command back failed, it expires by itself: {error}")
                }
            });
        }
        let whole = |w: &&Written| w.left.is_whole() && (still || w.unmarked.is_none());
        let whole = written().filter(whole).count() == results.len();
        let well = !rises && whole;
        let silent =
            |error: &direct::Error| matches!(error, direct::Error::Cluster(error) if error.is_silence());
        let unanswered = results
            .iter()
            .filter_map(|(_, result)| result.as_ref().err())
            .any(silent);
        let result = if well {
            Ended::DoneDirectly
        } else if self.emergency.is_some() && unanswered {
            // It was asked until the time was over.
            Ended::TimedOut
        } else {
            Ended::Refused
        };
        task.entry(name, result, sentences.join("; "))
    }

    /// Stops waiting: a raise is taken back if nobody took it up, a lowering stays and is obeyed later.
    /// Each component has its own reason. `taken_up`: a daemon has answered the command.
    async fn give_up(&self, task: &Task, components: &[(String, String)], taken_up: bool) -> Vec<Entry> {
        let nobody = components.iter().all(|(_, why)| why == NOBODY);
        let lowers = if nobody {
            let each = components
                .iter()
                .map(|(c, _)| self.lowers(task, &task.rollout, c));
            !futures::future::join_all(each).await.contains(&false)
        } else {
            // What a daemon may have raised since is no lowering for that.
            components
                .iter()
                .all(|(c, _)| task.lowers(written(&task.rollout, c)))
        };
        let (result, what) = if lowers {
            let what = if nobody {
                "the command stays on the rollout, and the next daemon obeys it; nothing rises without one"
            } else if taken_up {
                "the daemon has taken the command up and goes on by itself: see `status`"
            } else {
                "the command stays on the rollout, and is obeyed as soon as it can be"
            };
            (Ended::TimedOut, what.to_owned())
        } else {
            match self
                .cluster
                .withdraw(self.namespace, task.name(), &task.command)
                .await
            {
                Ok(true) => {
                    let ended = if nobody { Ended::Refused } else { Ended::TimedOut };
                    (ended, "the command was taken back".to_owned())
                }
                Ok(false) => (
                    Ended::TimedOut,
                    "the daemon has it already; see `status`".to_owned(),
                ),
                Err(error) => (
                    Ended::TimedOut,
                    format!("taking it back failed, it expires by itself: {error}"),
                ),
            }
        };
        components
            .iter()
            .map(|(c, why)| task.entry(c, result, format!("{why}; {what}")))
            .collect()
    }
}

/// What became of an object by a command. `still`: nothing can be on its way to it.
fn told(object: &ObjectRef, result: &Result<Written, direct::Error>, (verb, still): (Verb, bool)) -> String {
    let written = match result {
        Ok(written) => written,
        // It was sent, and nobody knows more.
        Err(error @ direct::Error::Unread(_)) => return format!("{error}; {}", error.remedy()),
        Err(error) => return format!("{object} not lowered: {error}; {}", error.remedy()),
    };
    let to = written.to;
    match &written.unmarked {
        Some(error) if still => format!(
            "{object} at {to} already; the mark of this rollback could not be written, which stops raises that are under \
             way, and no daemon leads that would have one: {error}"
        ),
        Some(error) => format!(
            "{object} at {to} already, but the mark of this rollback could not be written, and without it a raise that is \
             under way may still land: {error}; {}, and look again",
            error.remedy()
        ),
        None if written.already => format!("{object} already at {to}"),
        None if verb == Verb::Rollback && written.from == Some(to) && written.stays() => {
            format!("{object} already at {to}, and marked anew: a raise that is under way is refused")
        }
        None => format!("{object} {}", written.way()),
    }
}

/// What the daemon last wrote, by the status.
fn written(rollout: &GradualRollout, name: &str) -> Option<Weight> {
    let status = rollout.status.as_ref()?;
    Some(status.component(name)?.weight.written)
}

/// Why nothing is raised now.
const NOBODY: &str = "no daemon is alive to do and to judge it";
