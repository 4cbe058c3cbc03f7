//! When the doctor looks at the resource, and what is told of it.

use super::{Actor, Dirty, Done};
use crate::doctor::{Finding, Patient, summary};
use crate::metrics::chance;
use crate::rollout::decide::conditions::set_condition;
use jiff::Timestamp;
use std::time::Duration;

/// The condition's type.
const FINDINGS: &str = "Findings";
/// So long after a resource was accepted it is looked at: its watches have listed by then, and a spec that is edited
/// twice in a row is looked at once.
const SOON: Duration = Duration::from_secs(5);
/// What was found is looked at again this often, and a little chance on top: it may be mended outside the resource.
const AGAIN: Duration = Duration::from_secs(10 * 60);
const CHANCE: Duration = Duration::from_secs(60);

/// The resource's checkups.
#[derive(Debug, Default)]
pub(super) struct Checkups {
    /// The generation that was looked at last, or will be next.
    generation: Option<i64>,
    due: Option<Timestamp>,
    under_way: bool,
}

impl Checkups {
    /// When the next one is due; nothing is while nothing was found and nothing changed.
    pub(super) fn due(&self) -> Option<Timestamp> {
        self.due.filter(|_| !self.under_way)
    }

    pub(super) fn forget(&mut self) {
        self.under_way = false;
    }
}

impl Actor {
    /// Lets the doctor look, when it is time to.
    pub(super) fn check_up(&mut self, now: Timestamp) {
        let Some(doctor) = self.shared.checkup.clone() else {
            return;
        };
        let Ok(sound) = &self.sound else { return };
        if self.checkups.generation != Some(self.raw.generation) {
            self.checkups.generation = Some(self.raw.generation);
            self.checkups.due = Some(now + SOON);
        }
        if self.checkups.due().is_none_or(|due| now < due) {
            return;
        }
        self.checkups.due = None;
        self.checkups.under_way = true;
        let (namespace, generation) = (self.raw.namespace.clone(), self.raw.generation);
        let patient = Patient {
            name: format!("{namespace}/{}", self.raw.name),
            namespace,
            plan: sound.plan.clone(),
        };
        self.tasks.spawn(async move {
            let findings = doctor.examine(&patient).await;
            Done::Examined { generation, findings }
        });
    }

    /// What the doctor found in this generation.
    pub(super) fn examined(&mut self, generation: i64, findings: &[Finding]) {
        self.checkups.under_way = false;
        let now = self.shared.clock.now();
        let told = summary(findings);
        if told.any {
            self.checkups.due.get_or_insert(now + AGAIN + chance(CHANCE));
        }
        let before = self.status.condition(FINDINGS).map(|c| c.status == "True");
        let changed = set_condition(
            &mut self.status,
            FINDINGS,
            told.any,
            told.reason,
            &told.message,
            generation,
            now,
        );
        if !changed {
            return;
        }
        self.dirty = Dirty::Now;
        self.show();
        if told.any && before != Some(true) {
            tracing::warn!(rollout = %self.raw.name, namespace = %self.raw.namespace, findings = told.message, "the doctor found something");
            self.shared
                .events
                .publish(&self.raw, FINDINGS, &told.message, true);
        }
    }
}
