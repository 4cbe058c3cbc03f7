//! Whose status it is that the resource has.

use super::Actor;
use crate::engine::lane::Lane;
use crate::engine::persist;
use crate::engine::written::Written;
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
        tracing::warn!(rollout = %self.raw.name, "somebody else wrote the status; going on from theirs");
        self.stands(Arc::new(Written::found(&self.raw.status, &theirs)));
        self.status = theirs;
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
}
