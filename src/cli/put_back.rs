//! An emergency: traffic goes back, by a daemon where one does it soon, and from here where none does. Whoever is not
//! answered, a resource or a routed object, keeps no other one up.

use super::insist::Question;
use super::pursue::{Pursuit, Task};
use super::record::Unrecorded;
use super::report::{Ended, Entry};
use super::wait::{self, Stand};
use super::wish;
use crate::cluster::by_hand::Error;
use futures::StreamExt as _;
use futures::channel::mpsc::{UnboundedSender, unbounded};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout_at};

/// A daemon that is surely alive has so long, whether it has taken the command up or not: what is written twice is
/// written alike.
const PATIENCE: Duration = Duration::from_secs(3);

/// What became of a component, and when.
type Dated = (Entry, Instant);
/// A component that is left to be done from here, and why where a daemon said it.
type Remaining = (String, Option<String>);

impl Pursuit<'_> {
    /// Puts all traffic back at once, and leaves the commands for the next daemon. What became of each component, and
    /// when the last of those that are back was.
    pub(super) async fn put_back(&self, tasks: &[Task], alive: bool) -> (Vec<Entry>, Option<Instant>) {
        let patience = if alive {
            self.progress.show(
                0,
                &format!("a daemon is alive: it has {}s to do it", PATIENCE.as_secs()),
            );
            PATIENCE.min(self.timeout)
        } else {
            Duration::ZERO
        };
        let until = Instant::now() + patience;
        let each = tasks.iter().map(|task| self.back(task, until));
        let ended = futures::future::join_all(each).await;
        self.progress.end();
        let ended: Vec<Dated> = ended.into_iter().flatten().collect();
        let well = ended.iter().filter(|(entry, _)| entry.result.well());
        let last = well.map(|(_, at)| *at).max();
        (ended.into_iter().map(|(entry, _)| entry).collect(), last)
    }

    /// Puts one resource's traffic back. The command is recorded beside it: what cannot be recorded goes back all the
    /// same, and the mark on each object tells a daemon why.
    async fn back(&self, task: &Task, until: Instant) -> Vec<Dated> {
        let (say, recorded) = oneshot::channel();
        let record = async {
            let recorded = self.record(task).await;
            // Whoever listens for it does so no longer than for the daemon.
            let _ = say.send(recorded.is_ok());
            recorded
        };
        let (leave, left) = unbounded();
        let watch = self.by_a_daemon(task, until, recorded, leave);
        let write = left
            .map(|remaining| self.written_here(task, remaining))
            .buffer_unordered(task.components.len().max(1))
            .collect::<Vec<Dated>>();
        let (recorded, mut ended, mut written) = tokio::join!(record, watch, write);
        if let Err(error) = recorded {
            for (entry, _) in &mut written {
                entry.message = format!("{}; {}", entry.message, error.sentence(task.name()));
            }
        }
        ended.append(&mut written);
        let place = |entry: &Entry| task.components.iter().position(|c| *c == entry.component);
        ended.sort_by_key(|(entry, _)| place(entry));
        ended
    }

    /// Writes a command, and tries again what the API server does not answer; what is there although the answer was an error
    /// is not written again.
    async fn record(&self, task: &Task) -> Result<(), Unrecorded> {
        let annotations = task.rollout.metadata.annotations.as_ref();
        if annotations.is_some_and(|a| a.contains_key(&task.command.key())) {
            return Ok(());
        }
        let doing = format!("giving the command to {}/{}", self.namespace, task.name());
        let question = Question {
            doing: &doing,
            end: self.emergency.unwrap_or_else(Instant::now),
            places: None,
        };
        let passes = |error: &Error| error.is_silence() || matches!(error, Error::Conflict(_));
        let give = async || {
            let given = self
                .cluster
                .command(self.namespace, task.name(), &task.command, false)
                .await;
            match given {
                // Whoever is busy has not looked at it.
                Err(error @ Error::Ill { code: 500.., .. }) => self
                    .given_all_the_same(task, error)
                    .await
                    .map_err(Unrecorded::error),
                given => given,
            }
        };
        match question.insist(passes, give).await {
            Err(error) => self.given_all_the_same(task, error).await,
            Ok(()) => Ok(()),
        }
    }

    /// What a daemon puts back until then. What it refuses is left at once, and the rest when the time is over.
    async fn by_a_daemon(
        &self,
        task: &Task,
        until: Instant,
        recorded: oneshot::Receiver<bool>,
        leave: UnboundedSender<Remaining>,
    ) -> Vec<Dated> {
        // Who takes what is left is there as long as anything may be.
        let leave = |component: String, why: Option<String>| drop(leave.unbounded_send((component, why)));
        let mut open = task.components.clone();
        let mut done = Vec::new();
        let recorded = timeout_at(until, recorded).await;
        let mut looks = 0;
        while matches!(recorded, Ok(Ok(true))) && !open.is_empty() && Instant::now() < until {
            looks += 1;
            let read = timeout_at(until, self.cluster.rollout(self.namespace, task.name())).await;
            match read {
                Err(_) => break,
                // A hiccup is waited out, as long as there is time.
                Ok(Err(error)) => self.progress.show(looks, &format!("{}: {error}", task.name())),
                Ok(Ok(rollout)) => {
                    let mut waiting = Vec::new();
                    for component in open {
                        match wait::stand(&task.command, &rollout, &component) {
                            Stand::Done(message) => {
                                done.push((task.entry(&component, Ended::Done, message), Instant::now()));
                            }
                            // An emergency needs nobody's leave.
                            Stand::Refused(message) | Stand::RolledBack(message) => {
                                leave(component, Some(message));
                            }
                            Stand::Waiting(_) => waiting.push(component),
                        }
                    }
                    open = waiting;
                    let refused = rollout.status.as_ref().and_then(|status| status.refused());
                    if refused.is_some() && !task.is_taken_up(&rollout) {
                        break;
                    }
                }
            }
            sleep_until(until.min(Instant::now() + wish::pause(looks))).await;
        }
        for component in open {
            leave(component, None);
        }
        done
    }

    /// Puts back what no daemon does, by the resource as it was read before: nothing has to be read anew for it.
    async fn written_here(&self, task: &Task, (component, declined): Remaining) -> Dated {
        let mut entry = self.directly(task, &component).await;
        if let Some(why) = declined {
            entry.message = format!("{}; the daemon refused it: {why}", entry.message);
        }
        (entry, Instant::now())
    }
}
