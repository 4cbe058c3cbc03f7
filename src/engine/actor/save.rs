//! Persisting: one write at a time, never ahead of a lowering, at most once a minute for what is only news.

use super::{Actor, Dirty, Done, restore};
use crate::cluster::rollouts;
use crate::engine::lane::Lane;
use crate::rollout::spec::OnDelete;
use crate::rollout::status::ComponentStatus;
use jiff::Timestamp;
use std::time::Duration;

/// A lowering goes first, but a router that hangs does not keep the status unwritten for longer than this.
const TRAFFIC_FIRST: Duration = Duration::from_secs(2);
/// A write of the status may take this long.
const TIMEOUT: Duration = Duration::from_secs(10);

impl Actor {
    pub(super) fn save(&mut self, now: Timestamp) {
        let due = match self.dirty {
            Dirty::No => false,
            Dirty::Soon => now >= self.last_saved + self.persist_every(),
            Dirty::Now => true,
        };
        if self.saving || !due || now < self.save_after {
            return;
        }
        let lowering = self.lanes.values().any(|lane| match lane {
            Lane::Lowering { since, .. } => since.elapsed() < TRAFFIC_FIRST,
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
        let status = match serde_json::to_value(&self.status) {
            Ok(status) => status,
            Err(error) => {
                tracing::error!(rollout = %self.raw.name, %error, "the status cannot be serialised");
                return;
            }
        };
        self.dirty = Dirty::No;
        if status == self.written {
            self.last_saved = now;
            self.tidy();
            return;
        }
        self.saving = true;
        let (client, raw, previous) = (
            self.shared.clients.api.clone(),
            self.raw.clone(),
            self.written.clone(),
        );
        self.tasks.spawn(async move {
            let write = rollouts::write_status(
                &client,
                &raw.namespace,
                &raw.name,
                &raw.resource_version,
                &previous,
                &status,
            );
            let result = timed(write).await;
            Done::Saved {
                written: status,
                result,
            }
        });
    }

    /// Reads the resource afresh after a lost race.
    pub(super) fn fetch(&mut self) {
        self.saving = true;
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
    fn is_back(&self, c: &ComponentStatus) -> bool {
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
        let (client, raw) = (self.shared.clients.api.clone(), self.raw.clone());
        self.tasks
            .spawn(async move { Done::Tidied(timed(rollouts::remove_finalizer(&client, &raw)).await) });
    }

    /// Removes command annotations whose outcome is persisted, and the finalizer once everything is put back.
    pub(super) fn tidy(&mut self) {
        self.done.retain(|key| self.raw.annotations.contains_key(key));
        if self.tidying {
            return;
        }
        let done: Vec<(String, String)> = self
            .done
            .iter()
            .filter_map(|key| Some((key.clone(), self.raw.annotations.get(key)?.clone())))
            .collect();
        // Until the deletion itself was decided on, nothing was put back by it.
        let told = restore(&self.raw.uid).id;
        let restored = self.raw.deleting
            && self.status.commands.iter().any(|c| c.id == told)
            && self.status.components.iter().all(|c| self.is_back(c))
            && self.raw.has_finalizer();
        let wants_finalizer = self
            .sound
            .as_ref()
            .is_ok_and(|s| s.plan.on_delete == OnDelete::Restore);
        let (client, raw) = (self.shared.clients.api.clone(), self.raw.clone());
        if !done.is_empty() {
            self.tidying = true;
            self.tasks.spawn(async move {
                Done::Tidied(timed(rollouts::remove_annotations(&client, &raw, &done)).await)
            });
        } else if restored {
            self.release();
        } else if wants_finalizer && !raw.has_finalizer() && !raw.deleting {
            self.tidying = true;
            self.tasks
                .spawn(async move { Done::Tidied(timed(rollouts::add_finalizer(&client, &raw)).await) });
        }
    }
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
