//! Persisting: one write at a time, never ahead of a lowering, at most once a minute for what is only news.

use super::{Actor, Dirty, Done, NEWS};
use crate::cluster::rollouts;
use crate::engine::lane::Lane;
use crate::engine::order::{Pair, swapped};
use crate::engine::persist::Sound;
use crate::engine::written::Written;
use crate::rollout::status::{ComponentStatus, RouterStatus};
use jiff::Timestamp;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A lowering goes first, but a router that hangs does not keep the status unwritten for longer than this.
const TRAFFIC_FIRST: Duration = Duration::from_secs(2);
/// The pauses after a lost race and after a failure; they double, up to [`SLOWEST`]: what is not written is a record of
/// what was done, and an API server in trouble is asked by everybody, again and again with all that is recorded.
const RACE: Duration = Duration::from_millis(50);
const FAILURE: Duration = Duration::from_secs(1);
const SLOWEST: Duration = Duration::from_secs(30);
/// A write of the status may take this long.
const TIMEOUT: Duration = Duration::from_secs(10);

impl Actor {
    /// The status differs from what is persisted: how soon that must be written.
    pub(super) fn soil(&mut self, dirt: Dirty) {
        if dirt == Dirty::News && self.dirty < Dirty::News {
            self.news_by = self.shared.clock.now() + NEWS;
        }
        self.dirty = self.dirty.max(dirt);
    }

    pub(super) fn save(&mut self, now: Timestamp) {
        let due = match self.dirty {
            Dirty::No => false,
            Dirty::Soon => now >= self.last_saved + self.persist_every(),
            Dirty::News => now >= self.news_by,
            Dirty::Now => true,
        };
        if self.saving || !due || now < self.save_after {
            return;
        }
        let lowering = self.lanes.values().any(|lane| match lane {
            Lane::Lowering { since, waits, .. } => {
                since.elapsed() < TRAFFIC_FIRST && !waits.load(Ordering::Relaxed) && !swapped(Pair::LowerTell)
            }
            Lane::Idle
            | Lane::Preparing { .. }
            | Lane::Declared { .. }
            | Lane::Beside { .. }
            | Lane::Writing { .. } => false,
        });
        if lowering {
            self.save_after = now + Duration::from_millis(20);
            return;
        }
        for c in &mut self.status.components {
            // One that is out on a look comes back; what was persisted of it is still good.
            if let Some(cursor) = self.cursors.get(&c.name) {
                c.cursor = serde_json::to_value(cursor).ok();
            }
            c.next_check_at = self.watched.contains(&c.name).then_some(self.next_look);
        }
        let status = Written::of(&self.status);
        let status = status.and_then(|status| Ok((status.over(&self.written)?, status)));
        let (patch, status) = match status {
            Ok(both) => both,
            Err(error) => {
                tracing::error!(rollout = %self.raw.name, %error, "the status cannot be serialised");
                return;
            }
        };
        if swapped(Pair::AnswerTidy) && !self.done.is_empty() && !self.tidying {
            self.answered.clone_from(&self.done);
            self.tidy();
            return;
        }
        self.dirty = Dirty::No;
        if status.says_the_same(&self.written) {
            self.last_saved = now;
            self.answered.clone_from(&self.done);
            self.tidy();
            return;
        }
        self.saving = true;
        let status = Arc::new(status);
        self.sent = Some(status.clone());
        // What is decided while this is under way is not in it.
        self.answering.clone_from(&self.done);
        self.audits.written();
        let client = self.shared.clients.api.clone();
        let (namespace, name, version) = (
            self.raw.namespace.clone(),
            self.raw.name.clone(),
            self.raw.resource_version.clone(),
        );
        self.tasks.spawn(async move {
            let write = rollouts::write_status(&client, &namespace, &name, &version, &patch);
            let result = timed(write).await;
            Done::Saved {
                written: status,
                result,
            }
        });
    }

    /// It was not written, and no race was lost.
    pub(super) fn save_later(&mut self, now: Timestamp) {
        self.save_after = now + pause(FAILURE, self.unsaved);
        self.unsaved = self.unsaved.saturating_add(1);
    }

    /// Puts into the status what each router says, when that changed.
    pub(super) fn report_routers(&mut self) {
        let mut dirt = Dirty::No;
        let Ok(sound) = &self.sound else { return };
        let shape = |routers: &[RouterStatus]| -> Vec<_> {
            let each = routers.iter();
            each.map(|r| (r.asked, r.written, r.observed, r.settled))
                .collect()
        };
        for planned in sound.plan.cared_for() {
            let Some(memo) = self.memos.get_mut(planned.name()) else {
                continue;
            };
            let Some(c) = self.status.component_mut(planned.name()) else {
                continue;
            };
            let asked = match (&c.lowering, &c.intent) {
                (Some(order), _) => order.weight,
                (None, Some(intent)) => intent.weight,
                (None, None) => c.weight.asked,
            };
            let report = memo.report(&planned.component, asked, &c.routers);
            if let Some(report) = report.filter(|report| *report != c.routers) {
                // Who waits for which pod is news, not worth a write of its own.
                let moved = shape(&report) != shape(&c.routers);
                dirt = dirt.max(if moved { Dirty::News } else { Dirty::Soon });
                c.routers = report;
            }
        }
        self.soil(dirt);
    }

    /// Reads the resource afresh after a lost race. The first is everyday, and not waited for. Whoever loses one after the
    /// other is read what is old, or writes against somebody who never rests: that pauses for longer each time.
    pub(super) fn fetch(&mut self) {
        self.saving = true;
        self.unsaved = self.unsaved.saturating_add(1);
        if let Some(doublings) = self.unsaved.checked_sub(2) {
            self.save_after = self.shared.clock.now() + pause(RACE, doublings);
        }
        let (client, namespace, name) = (
            self.shared.clients.api.clone(),
            self.raw.namespace.clone(),
            self.raw.name.clone(),
        );
        self.tasks
            .spawn(async move { Done::Fetched(timed(rollouts::get(&client, &namespace, &name)).await) });
    }

    /// Whether a component's traffic is where its lowering was to bring it. What was written to every object that
    /// there is counts, read back or not: an object that is gone carries no traffic.
    pub(super) fn is_back(&self, c: &ComponentStatus) -> bool {
        c.lowering
            .as_ref()
            .is_none_or(|order| self.lowered.contains_key(&order.id))
    }

    /// Lets the resource be deleted.
    pub(super) fn release(&mut self) {
        if self.tidying {
            return;
        }
        self.tidying = true;
        self.leaving.releases();
        let (client, raw) = (self.shared.clients.api.clone(), self.raw.clone());
        self.tasks
            .spawn(async move { Done::Tidied(timed(rollouts::remove_finalizer(&client, &raw)).await) });
    }

    /// Remembers annotations, as they are now, that were dealt with.
    pub(super) fn dealt_with(&mut self, keys: Vec<String>) {
        let as_it_is = |key: String| {
            let value = self.raw.annotations.get(&key)?.clone();
            Some((key, value))
        };
        self.done.extend(keys.into_iter().filter_map(as_it_is));
    }

    /// Removes command annotations whose outcome is persisted, and the finalizer once everything is put back.
    pub(super) fn tidy(&mut self) {
        // One that was written over since is another command, and was not dealt with.
        let stands = |(key, value): &(String, String)| self.raw.annotations.get(key) == Some(value);
        self.done.retain(stands);
        self.answered.retain(|given| self.done.contains(given));
        if self.tidying {
            return;
        }
        let done: Vec<(String, String)> = self.answered.iter().cloned().collect();
        let restored = self.is_restored();
        // Before the first write, so that whoever deletes the resource does not leave our marks behind.
        let ours = |sound: &Sound| {
            sound
                .claims
                .keys()
                .any(|name| !self.refused.whole.contains_key(name))
        };
        let wants_finalizer = self.sound.as_ref().is_ok_and(ours)
            && (!swapped(Pair::FinalizerRaise)
                || self.status.components.iter().any(|c| !c.weight.written.is_zero()));
        let client = self.shared.clients.api.clone();
        if !done.is_empty() {
            self.tidying = true;
            let raw = self.raw.clone();
            self.tasks.spawn(async move {
                Done::Tidied(timed(rollouts::remove_annotations(&client, &raw, &done)).await)
            });
        } else if restored {
            self.see_out(self.shared.clock.now());
        } else if wants_finalizer && !self.raw.has_finalizer() && !self.raw.deleting {
            self.tidying = true;
            let raw = self.raw.clone();
            self.tasks
                .spawn(async move { Done::Held(timed(rollouts::add_finalizer(&client, &raw)).await) });
        }
    }
}

/// A pause that was doubled so often, up to [`SLOWEST`].
fn pause(first: Duration, doublings: u32) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(doublings)).min(SLOWEST)
}

async fn timed<T>(
    request: impl Future<Output = Result<T, crate::cluster::ClusterError>>,
) -> Result<T, crate::cluster::ClusterError> {
    match tokio::time::timeout(TIMEOUT, request).await {
        Ok(answer) => answer,
        Err(_) => Err(crate::cluster::ClusterError::timeout(
            "the resource's status",
            TIMEOUT,
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_doubles_up_to_the_longest() {
        let pauses: Vec<u128> = (0..6).map(|n| pause(FAILURE, n).as_millis()).collect();
        assert_eq!(pauses, [1000, 2000, 4000, 8000, 16_000, 30_000]);
        assert_eq!(pause(FAILURE, u32::MAX), SLOWEST);
    }
}
