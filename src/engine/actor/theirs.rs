//! Whose status it is that the resource has.

use super::{Actor, Dirty};
use crate::engine::lane::Lane;
use crate::engine::persist;
use crate::engine::written::Written;
use crate::rollout::status::{ComponentStatus, GradualRolloutStatus};
use serde_json::Value;
use std::sync::Arc;

impl Actor {
    /// Only a daemon writes the status. One that is neither what was written last nor what was sent, and perhaps arrived
    /// without an answer, is of another daemon that leads, or did: this one goes on from there. Nothing is written over
    /// it, though the watch brought its version before this daemon found out that it leads no more.
    pub(super) fn hear_status(&mut self) {
        if !std::mem::take(&mut self.unheard) {
            return;
        }
        let theirs = persist::read_status(&self.raw);
        if theirs == self.written.read() {
            return;
        }
        if let Some(sent) = self.sent.clone()
            && theirs == sent.read()
        {
            return self.stands(sent);
        }
        self.stands(Arc::new(Written::found(&self.raw.status, &theirs)));
        self.go_on_from(theirs);
        // What was decided on ours is decided anew, or was by them.
        self.done.clear();
        self.answered.clear();
        self.audits = super::audit::Audits::default();
        self.first = true;
        for lane in self
            .lanes
            .values_mut()
            .filter(|l| !matches!(l, Lane::Lowering { .. }))
        {
            lane.clear();
        }
    }

    /// Goes on from a foreign status. A daemon never leaves out a component that the spec names, so where one is missing
    /// somebody emptied the status: what is known of it here stands, with the pause, the rollback and the hold that are
    /// nowhere else, and is written again.
    fn go_on_from(&mut self, theirs: GradualRolloutStatus) {
        let named = self.raw.spec.get("components").and_then(Value::as_array);
        let is_named = |c: &&ComponentStatus| {
            let mut components = named.into_iter().flatten();
            components.any(|one| one.get("name").and_then(Value::as_str) == Some(&c.name))
        };
        let emptied = theirs.components.is_empty();
        let lost: Vec<ComponentStatus> = self
            .status
            .components
            .iter()
            .filter(|c| theirs.component(&c.name).is_none())
            // All of it is gone: so are those that the spec names no more, and that are on their way back.
            .filter(|c| emptied || is_named(c))
            .cloned()
            .collect();
        if lost.is_empty() {
            tracing::warn!(rollout = %self.raw.name, "somebody else wrote the status; going on from theirs");
            self.status = theirs;
            return;
        }
        let names: Vec<&str> = lost.iter().map(|c| c.name.as_str()).collect();
        let text = format!(
            "somebody took {} out of the status; what this daemon knows of them stands and is written again",
            names.join(", ")
        );
        tracing::warn!(rollout = %self.raw.name, "{text}");
        self.shared
            .events
            .publish(&self.raw, "StatusRestored", &text, true);
        if !emptied {
            self.status = theirs;
            self.status.components.extend(lost);
        }
        self.soil(Dirty::Now);
    }
}
