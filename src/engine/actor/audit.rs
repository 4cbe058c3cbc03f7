//! Records of who did what: told when the status that they belong to is persisted, and only then.
//!
//! So each is told once: what was decided and lost (a race, a crash) is decided anew, with a record of its own.

use super::Actor;
use crate::rollout::audit::Audit;

/// Records that are not told yet.
#[derive(Debug, Default)]
pub(super) struct Audits {
    /// Their status is being written.
    writing: Vec<Audit>,
    /// Their status is not written yet.
    decided: Vec<Audit>,
}

impl Audits {
    pub(super) fn decided(&mut self, audits: Vec<Audit>) {
        self.decided.extend(audits);
    }

    /// The status is on its way, and everything that was decided with it.
    pub(super) fn written(&mut self) {
        self.writing.append(&mut self.decided);
    }

    /// It did not arrive.
    pub(super) fn not_written(&mut self) {
        self.writing.append(&mut self.decided);
        std::mem::swap(&mut self.writing, &mut self.decided);
    }
}

impl Actor {
    /// Tells what is persisted: a line in the log with the target `audit` for each, and an Event for each command. What the
    /// daemon does by itself has its Event already.
    pub(super) fn tell_audits(&mut self) {
        let (namespace, rollout) = (self.raw.namespace.as_str(), self.raw.name.as_str());
        for audit in std::mem::take(&mut self.audits.writing) {
            let Audit {
                id,
                at,
                who,
                what,
                before,
                after,
                message,
                commanded,
            } = audit;
            tracing::info!(target: "audit", namespace, rollout, who, what, before, after, id, at = %at, message, "audit");
            if commanded {
                let text = format!("{who}: {what} ({id}): {before} → {after}: {message}");
                self.shared.events.publish(&self.raw, "Command", &text, false);
            }
        }
    }
}
