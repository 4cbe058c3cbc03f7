//! A resource that cannot be worked: nothing is written but the reason.

use super::{Actor, Dirty, Lane, together};
use crate::rollout::decide::conditions::set_condition;
use jiff::Timestamp;

impl Actor {
    /// Writes nothing but the reason why nothing is written.
    pub(super) fn cannot_work(&mut self, reason: &str, now: Timestamp) {
        let message = match (&self.sound, self.shared.claims.older_owner(&self.raw.uid)) {
            (Err(problems), _) => together(problems),
            (Ok(_), Some((owner, key))) => {
                format!(
                    "{} is routed by the older {owner}: take it out of one of the two",
                    key.object
                )
            }
            (Ok(_), None) => return,
        };
        let message: String = message.chars().take(1024).collect();
        for lane in self
            .lanes
            .values_mut()
            .filter(|lane| !matches!(lane, Lane::Lowering { .. }))
        {
            lane.clear();
        }
        self.watched.clear();
        self.wake_at = None;
        self.begin_nothing(now);
        let generation = self.raw.generation;
        let mut changed = set_condition(
            &mut self.status,
            "Ready",
            false,
            reason,
            &message,
            generation,
            now,
        );
        changed |= set_condition(
            &mut self.status,
            "Stalled",
            true,
            reason,
            &message,
            generation,
            now,
        );
        changed |= set_condition(
            &mut self.status,
            "Reconciling",
            false,
            reason,
            &message,
            generation,
            now,
        );
        if changed {
            tracing::warn!(rollout = %self.raw.name, namespace = %self.raw.namespace, reason, message, "this resource is not worked");
            self.shared.events.publish(&self.raw, reason, &message, true);
            self.dirty = Dirty::Now;
            self.show();
        }
        if self.raw.deleting && self.raw.has_finalizer() {
            // Nothing can be restored by a spec that cannot be worked; kept, it could never be deleted.
            tracing::warn!(rollout = %self.raw.name, namespace = %self.raw.namespace, reason, "deleted without restoring: the traffic stays as it is");
            self.release();
        }
        self.save(now);
    }
}
