//! What cannot be worked: a whole resource, or a component whose routes are another's. Nothing is written but the reason.

use super::{Actor, Dirty, Lane, together};
use crate::rollout::command;
use crate::rollout::decide::conditions::set_condition;
use crate::rollout::decide::refuse;
use crate::rollout::observation::{Routers, Seen};
use crate::rollout::status::ComponentStatus;
use jiff::Timestamp;
use std::collections::BTreeMap;

impl Actor {
    /// What is seen of a component that nothing may be read of yet, or ever: `None` where it is ours.
    pub(super) fn not_ours(&self, component: &str) -> Option<Seen> {
        if let Some(owner) = self.refused.whole.get(component) {
            return Some(Seen {
                routers: Routers::Claimed(owner.to_string()),
                ..Seen::default()
            });
        }
        // Whoever has canary traffic watches over it at once; everybody else has time until it is known who is there.
        let carries = self
            .status
            .component(component)
            .is_some_and(|c| c.definition.is_some());
        let known = carries || self.shared.claims.is_complete();
        (!known).then(Seen::default)
    }

    /// Whether the marks that bear this component's name are another resource's, of a component that is called alike.
    pub(super) fn shares_marks(&self, component: &str) -> bool {
        self.refused
            .whole
            .get(component)
            .is_some_and(|owner| owner.component == component)
    }

    /// Tells the others when something begins on its routes or lets go of them.
    pub(super) fn claim_what_stands(&mut self) {
        let stands = |c: &ComponentStatus| {
            let stand = (c.detached, c.back.clone(), c.definition.as_deref().cloned());
            (c.name.clone(), stand)
        };
        let now: BTreeMap<String, _> = self.status.components.iter().map(stands).collect();
        if now != self.standing {
            self.standing = now;
            self.claim();
        }
    }

    /// Writes nothing but the reason why nothing is written.
    pub(super) fn cannot_work(&mut self, now: Timestamp) {
        let reason = "InvalidSpec";
        let Err(problems) = &self.sound else { return };
        let message: String = together(problems).chars().take(1024).collect();
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
        self.refuse_commands(&message, now);
        if self.raw.deleting && self.raw.has_finalizer() {
            // Nothing can be restored by a spec that cannot be worked; kept, it could never be deleted.
            tracing::warn!(rollout = %self.raw.name, namespace = %self.raw.namespace, reason, "deleted without restoring: the traffic stays as it is");
            self.release();
        }
        self.save(now);
    }
    /// Tells whoever waits for a command that nothing will become of it.
    fn refuse_commands(&mut self, problem: &str, now: Timestamp) {
        let (commands, malformed) = command::pending(&self.raw.annotations);
        let givers = self.givers(&commands);
        let given = (commands.as_slice(), malformed.as_slice());
        let (done, audits) = refuse(&mut self.status, given, &givers, problem, now);
        if !audits.is_empty() {
            self.audits.decided(audits);
            self.dirty = Dirty::Now;
            self.show();
        } else if !done.is_empty() {
            // The answer is persisted; only the annotation is still there.
            self.dirty = self.dirty.max(Dirty::Soon);
        }
        self.dealt_with(done);
    }
}
