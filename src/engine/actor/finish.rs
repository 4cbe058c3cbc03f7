//! What came back from beside.

use super::{Actor, Dirty, Done, older};
use crate::cluster::ClusterError;
use crate::cluster::rollouts::RawRollout;
use crate::engine::claims::home;
use crate::engine::lane::Lane;
use crate::engine::looks::Look;
use crate::engine::order::{Pair, swapped};
use crate::engine::raise;
use crate::engine::select::Prepared;
use crate::engine::written::Written;
use crate::rollout::decide::declare;
use crate::rollout::status::Intent;
use std::sync::Arc;
use tokio::time::Instant;

impl Actor {
    pub(super) fn finish(&mut self, done: Done) {
        match done {
            Done::Looked(looks) => self.looked(looks),
            Done::Measured(measured) => self.apart.finish(measured),
            Done::Probed { component, results } => {
                self.probes.finish(&component, results, self.shared.clock.now());
            }
            Done::HookAsked { object, said } => self.hook_said(&object, said),
            Done::GateAsked { key, answer, every } => self.gate_said(&key, answer, every),
            Done::Recalled { component, told } => {
                self.pasts.finish(component, told, self.shared.clock.now());
            }
            Done::Prepared { component, result } => self.prepared(component, result),
            Done::Raised { component, result } => {
                self.lanes.insert(component.clone(), Lane::Idle);
                match &result {
                    Ok(()) => self.patience.done(&component),
                    Err(_) => self.be_patient(&component),
                }
                self.note_failure(component, result.err());
            }
            Done::Lowered { component, id } => {
                if matches!(self.lanes.get(&component), Some(Lane::Lowering { id: known, .. }) if *known == id)
                {
                    self.lanes.insert(component.clone(), Lane::Idle);
                }
                // Only those that still stand in the status matter; the rest is forgotten here.
                let stands: Vec<String> = self
                    .status
                    .components
                    .iter()
                    .filter_map(|c| Some(c.lowering.as_ref()?.id.clone()))
                    .collect();
                self.lowered.retain(|known, _| stands.contains(known));
                self.lowered.insert(id, Instant::now());
                self.note_failure(component, None);
            }
            Done::Detached { component, left } => self.released(component, &left),
            Done::Left(left) => self.left(&left),
            Done::Held(result) => self.held(result),
            Done::Previewed { component, result } => self.previewed(component, result),
            Done::Examined { generation, findings } => self.examined(generation, &findings),
            Done::Saved { written, result } => self.saved(&written, result),
            Done::Fetched(result) => self.fetched(result),
            Done::Tidied(result) => {
                self.tidying = false;
                match result {
                    Ok(raw) => self.applied(raw),
                    Err(error) => {
                        tracing::debug!(rollout = %self.raw.name, %error, "finished commands, or the finalizer, were not removed yet");
                        if self.raw.deleting {
                            self.leaving.not_released(self.shared.clock.now());
                        }
                        self.dirty = self.dirty.max(Dirty::Soon);
                        if error.is_race() {
                            self.fetch();
                        }
                    }
                }
            }
        }
    }

    /// What became of adding the finalizer.
    fn held(&mut self, result: Result<RawRollout, ClusterError>) {
        self.tidying = false;
        match result {
            Ok(raw) => {
                self.unheld = None;
                self.unsaved = 0;
                self.applied(raw);
            }
            Err(error) if error.is_race() => {
                // Nothing else may happen for a minute, and nothing rises before it is there.
                self.dirty = Dirty::Now;
                self.fetch();
            }
            Err(error) => {
                tracing::warn!(rollout = %self.raw.name, %error, "the finalizer was not added yet");
                self.unheld = Some(error.to_string());
            }
        }
    }

    /// A declared raise was not written: what is asked for is still in the status.
    fn be_patient(&mut self, component: &str) {
        let declared = self.status.component(component).map(|c| c.weight.asked);
        if let Some(weight) = declared {
            self.patience.failed(component, weight, self.shared.clock.now());
        }
    }

    pub(super) fn note_failure(&mut self, component: String, failure: Option<String>) {
        match failure {
            Some(message) => {
                tracing::warn!(rollout = %self.raw.name, component, message, "a write failed");
                self.failures.insert(component, message);
            }
            None => {
                self.failures.remove(&component);
            }
        }
    }

    fn looked(&mut self, looks: Vec<Look>) {
        self.looking = false;
        for (component, mut cursor, reading) in looks {
            if self.moved.remove(&component) {
                cursor.weight_changed();
            }
            self.cursors.insert(component.clone(), cursor);
            self.looked_at.insert(component.clone());
            self.readings.insert(component, reading);
        }
    }

    fn prepared(&mut self, component: String, result: Result<Prepared, String>) {
        let Some(asked) = self.asked.remove(&component) else {
            return;
        };
        if !matches!(self.lanes.get(&component), Some(Lane::Preparing { .. })) {
            return;
        }
        let prepared = match result {
            Ok(prepared) => prepared,
            Err(message) => {
                self.lanes.insert(component.clone(), Lane::Idle);
                self.patience
                    .failed(&component, asked.weight, self.shared.clock.now());
                self.note_failure(component, Some(message));
                return;
            }
        };
        for (object, json) in &prepared.objects {
            self.shared.cache.put(object, json.clone());
        }
        let intent = Intent {
            id: asked.id,
            weight: asked.weight,
            reason: asked.reason,
            at: self.shared.clock.now(),
            objects: raise::fences(&prepared.objects),
        };
        declare(&mut self.status, &component, intent.clone());
        self.lanes.insert(component, Lane::Declared { intent, prepared });
        self.dirty = Dirty::Now;
        if swapped(Pair::DeclareWrite) {
            let unwritten = Written::found(&serde_json::Value::Null, &self.status);
            self.write_declared(&unwritten);
        }
    }

    /// The status is persisted: declared raises may now be written, finished commands removed.
    fn saved(&mut self, written: &Arc<Written>, result: Result<RawRollout, ClusterError>) {
        self.saving = false;
        let now = self.shared.clock.now();
        match result {
            Ok(raw) => {
                self.unsaved = 0;
                self.answered.append(&mut self.answering);
                self.stands(Arc::clone(written));
                // What the watch brought meanwhile was this, or somebody wrote after it.
                self.unheard &= older(&raw.resource_version, &self.raw.resource_version);
                self.took(raw);
                self.hear_status();
                self.last_saved = now;
                self.tell_audits();
                self.write_declared(written);
                self.tidy();
            }
            Err(error) if error.is_race() => {
                self.audits.not_written();
                self.undeclare();
                self.dirty = Dirty::Now;
                self.fetch();
            }
            Err(error) => {
                tracing::warn!(rollout = %self.raw.name, %error, "the status was not written, again soon");
                if matches!(error, ClusterError::Invalid { .. }) {
                    // The same again is refused again: somebody has to know.
                    let text = format!(
                        "the API server does not take the status, so nothing is raised and no command answered: {error}; \
                         apply the definition of this version (deploy/crd.yaml)"
                    );
                    self.shared
                        .events
                        .publish(&self.raw, "StatusRefused", &text, true);
                }
                self.audits.not_written();
                self.undeclare();
                self.dirty = Dirty::Now;
                self.save_later(now);
                self.hear_status();
            }
        }
    }

    /// This is what the status says now, whoever wrote it.
    pub(super) fn stands(&mut self, written: Arc<Written>) {
        let lowerings = written.lowerings().clone();
        self.recorded
            .send_if_modified(|known| std::mem::replace(known, lowerings.clone()) != lowerings);
        self.written = written;
    }

    fn write_declared(&mut self, written: &Written) {
        let doors = self.doors(&self.shared.clients.api);
        let Ok(sound) = &self.sound else { return };
        for (name, lane) in &mut self.lanes {
            let Lane::Declared { intent, prepared } = lane else {
                continue;
            };
            let persisted = written.declares(&intent.id);
            let Some(planned) = sound.plan.component(name).filter(|_| persisted) else {
                continue;
            };
            let job = raise::write(
                doors.clone(),
                planned.component.clone(),
                home(&self.raw),
                intent.clone(),
                std::mem::take(prepared),
            );
            let component = name.clone();
            let task = self.tasks.spawn(async move {
                Done::Raised {
                    component,
                    result: job.await,
                }
            });
            *lane = Lane::Writing { task };
        }
    }

    /// Raises that could not be persisted are as if they had never been declared; what still wants them asks again.
    fn undeclare(&mut self) {
        for (name, lane) in &mut self.lanes {
            if let Lane::Declared { intent, .. } = lane {
                let id = intent.id.clone();
                lane.clear();
                if let Some(c) = self
                    .status
                    .component_mut(name)
                    .filter(|c| c.intent.as_ref().is_some_and(|i| i.id == id))
                {
                    c.intent = None;
                    // A person's raise stays asked for until its time is over.
                    if c.raise_by.is_none() {
                        c.weight.asked = c.weight.written;
                    }
                }
            }
        }
    }

    fn fetched(&mut self, result: Result<RawRollout, ClusterError>) {
        self.saving = false;
        match result {
            Ok(raw) => {
                if older(&raw.resource_version, &self.raw.resource_version) {
                    return;
                }
                self.unheard = true;
                self.took(raw);
            }
            Err(error) => tracing::warn!(rollout = %self.raw.name, %error, "the resource could not be read"),
        }
    }
}
