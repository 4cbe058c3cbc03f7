//! A resource that is being deleted: its traffic stays or goes back, our marks come off, and then it may go.

use super::{Actor, Done, Lane, restore};
use crate::cluster::rollouts;
use crate::engine::claims::home;
use crate::engine::leave::{Left, leave};
use crate::engine::order::{Pair, swapped};
use crate::rollout::decide::last_lowers;
use crate::rollout::reason::Reason;
use crate::rollout::spec::OnDelete;
use crate::rollout::status::ComponentStatus;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::time::Duration;

/// How long a deletion waits for the end of a raise that does not end, and for marks that do not come off. A resource that
/// can never be deleted is worse than an annotation that stays.
const PATIENCE: Duration = Duration::from_secs(30);
/// The pause before marks that did not come off are tried again.
const AGAIN: Duration = Duration::from_secs(2);

/// How far the letting go has come.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    since: Option<Timestamp>,
    busy: bool,
    /// Not again before this.
    again: Option<Timestamp>,
    /// When what never carried anything is no longer waited for.
    enough: Option<Timestamp>,
    /// It was told what is waited for.
    told: bool,
    done: bool,
}

impl Leaving {
    /// Whether marks come off already, so that nothing is written any more.
    pub(super) fn has_begun(&self) -> bool {
        self.busy || self.done || self.again.is_some()
    }

    /// When to try again.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.again.filter(|_| !self.busy)
    }

    /// When to look again whether what is waited for is back.
    pub(super) fn looks(&self, now: Timestamp) -> Option<Timestamp> {
        self.enough.filter(|at| *at > now)
    }

    /// The resource was not let go: somebody wrote to it first, or nobody answered.
    pub(super) fn not_released(&mut self, now: Timestamp) {
        self.again = Some(now + AGAIN);
    }

    /// It is being let go.
    pub(super) fn releases(&mut self) {
        self.again = None;
    }
}

impl Actor {
    /// Goes on with a letting go that failed before.
    pub(super) fn leave_again(&mut self, now: Timestamp) {
        if self.leaving.next().is_some_and(|at| at <= now) {
            self.leaving.again = None;
            if self.is_restored() {
                self.see_out(now);
            }
        }
    }

    /// Whether the resource is being deleted and its traffic is to stay: then nothing is judged any more, and this
    /// sees it out.
    pub(super) fn stays_behind(&mut self, now: Timestamp) -> bool {
        let keeps = self
            .sound
            .as_ref()
            .is_ok_and(|s| s.plan.on_delete == OnDelete::Keep);
        if !(keeps && self.raw.deleting && self.raw.has_finalizer()) {
            return false;
        }
        // Of a raise that was persisted and not begun nothing has left; of one that a daemon before began nobody knows.
        let unbegun = |lane: &Lane| matches!(lane, Lane::Preparing { .. } | Lane::Declared { .. });
        let unbegun: BTreeSet<String> = self
            .lanes
            .iter()
            .filter(|(_, lane)| unbegun(lane))
            .map(|(name, _)| name.clone())
            .collect();
        for lane in self.lanes.values_mut() {
            // A raise is not wanted any more. A rollback lands.
            if !matches!(lane, Lane::Lowering { .. }) {
                lane.clear();
            }
        }
        if !self.leaving.has_begun() {
            let orders = last_lowers(&mut self.status, now, |name| !unbegun.contains(name));
            for order in orders
                .iter()
                .filter(|order| !self.lowered.contains_key(&order.id))
                .collect::<Vec<_>>()
            {
                self.start_lowering(order, now);
            }
        }
        self.watched.clear();
        self.wake_at = None;
        let lowering = self.lanes.values().any(|l| matches!(l, Lane::Lowering { .. }));
        let late = lowering && self.out_of_patience(now);
        let owed = if lowering { self.owed() } else { Vec::new() };
        if !lowering || late && owed.is_empty() {
            self.see_out(now);
            return true;
        }
        if !late {
            self.wake_at = self.leaving.since.map(|since| since + PATIENCE);
        } else if !std::mem::replace(&mut self.leaving.told, true) {
            let text = format!(
                "it is being deleted, and goes once that is done which was ordered before: {}; make what keeps it from that \
                 possible, or put it back by hand and take {} off this resource",
                owed.join("; "),
                rollouts::FINALIZER
            );
            tracing::warn!(rollout = %self.raw.name, "{text}");
            self.shared
                .events
                .publish(&self.raw, "DeletionWaits", &text, true);
        }
        true
    }

    /// Whose traffic was ordered back, and is not. Nobody else would bring it there: a deletion waits for that as it does
    /// where it restores.
    fn owed(&self) -> Vec<String> {
        let open = self
            .status
            .components
            .iter()
            .filter(|c| !c.detached && !self.is_back(c));
        let open = open.filter_map(|c| {
            let order = c
                .lowering
                .as_ref()
                .filter(|order| order.reason != Reason::HalfRaised)?;
            let why = self.failures.get(&c.name).map(|why| format!(": {why}"));
            Some(format!(
                "{} from {} to {} ({}){}",
                c.name,
                c.weight.written,
                order.weight,
                order.reason,
                why.unwrap_or_default()
            ))
        });
        open.collect()
    }

    fn out_of_patience(&mut self, now: Timestamp) -> bool {
        let since = *self.leaving.since.get_or_insert(now);
        now >= since + PATIENCE
    }

    /// Takes our marks off, with the originals where the traffic is back on control; then lets the resource go.
    pub(super) fn see_out(&mut self, now: Timestamp) {
        if self.leaving.done || swapped(Pair::LeaveRelease) {
            self.release();
            return;
        }
        if self.leaving.busy || self.leaving.again.is_some_and(|at| now < at) {
            return;
        }
        self.leaving.since.get_or_insert(now);
        for lane in self.lanes.values_mut() {
            // All that can go back is back. What still tries to lower, an object that is gone for one, would mark again
            // what is given back now.
            lane.clear();
        }
        let Ok(sound) = &self.sound else { return };
        let puts_back = sound.plan.on_delete == OnDelete::Restore;
        let jobs: Vec<_> = sound
            .plan
            .cared_for()
            .filter_map(|planned| {
                let status = self.status.component(planned.name());
                let going = status.and_then(|c| c.letting_go.as_ref());
                let let_go = status.is_some_and(|c| c.detached) && going.is_none();
                let theirs = let_go || self.shares_marks(planned.name());
                // What was kept although it was to go back keeps its weights: they are its traffic.
                let ours = !self.refused.whole.contains_key(planned.name());
                let back = going.map_or(puts_back, |going| going.restore)
                    && ours
                    && status.is_none_or(|c| self.is_on_control(c));
                (!theirs).then(|| {
                    leave(
                        self.doors(&self.shared.clients.api),
                        planned.component.clone(),
                        (home(&self.raw), self.refused.taken(planned.name())),
                        back,
                    )
                })
            })
            .collect();
        self.leaving.busy = true;
        self.tasks.spawn(async move {
            let mut all = Left::default();
            for left in futures::future::join_all(jobs).await {
                all.kept.extend(left.kept);
                all.failed.extend(left.failed);
            }
            Done::Left(all)
        });
    }

    fn is_on_control(&self, c: &ComponentStatus) -> bool {
        c.weight.written.is_zero() || c.lowering.is_some() && self.is_back(c)
    }

    /// What became of the letting go.
    pub(super) fn left(&mut self, left: &Left) {
        let now = self.shared.clock.now();
        self.leaving.busy = false;
        self.leaving.done = left.failed.is_empty() || self.out_of_patience(now);
        if !self.leaving.done {
            tracing::warn!(rollout = %self.raw.name, failed = left.failed.join("; "), "marks did not come off, again soon");
            self.leaving.again = Some(now + AGAIN);
            return;
        }
        let words = [("OriginalsKept", &left.kept), ("MarksLeft", &left.failed)];
        for (reason, sentences) in words.into_iter().filter(|(_, sentences)| !sentences.is_empty()) {
            let message = sentences.join("; ");
            tracing::warn!(rollout = %self.raw.name, reason, message, "the resource goes");
            self.shared.events.publish(&self.raw, reason, &message, true);
        }
        self.release();
    }

    /// Whether everything that `onDelete: restore` brings back is back. What was kept for want of a control is as
    /// far as it gets; what was detached is somebody else's to bring back. And what has no canary traffic as far as
    /// anybody knows, and cannot be written, keeps the others' originals waiting for [`PATIENCE`] and no longer.
    pub(super) fn is_restored(&mut self) -> bool {
        let told = restore(&self.raw.uid);
        // Until the deletion itself was decided on, nothing was put back by it.
        let decided = self.raw.deleting
            && self.raw.has_finalizer()
            && self.status.commands.iter().any(|c| c.is_of(&told));
        if !decided {
            return false;
        }
        let missing = self
            .status
            .components
            .iter()
            .filter(|c| !c.detached && !self.is_back(c));
        let carrying: Vec<bool> = missing.map(|c| !c.weight.written.is_zero()).collect();
        if carrying.is_empty() || carrying.contains(&true) {
            return carrying.is_empty();
        }
        let now = self.shared.clock.now();
        now >= *self.leaving.enough.get_or_insert(now + PATIENCE)
    }

    /// Whether the resource carries our finalizer: nothing is raised before it does, for nobody would see it out.
    /// Lowers never wait for it.
    pub(super) fn is_held(&mut self, component: &str) -> bool {
        if self.raw.has_finalizer() || swapped(Pair::FinalizerRaise) {
            return true;
        }
        if let Some(error) = self.unheld.clone() {
            let message = format!(
                "nothing rises before the resource carries {}: {error}",
                rollouts::FINALIZER
            );
            self.failures.insert(component.to_owned(), message);
        }
        false
    }
}
