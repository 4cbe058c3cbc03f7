//! How rollouts stand that other daemons work, by what stands in their status: as new as the watch, and as true as what
//! was persisted last.

use crate::rollout::status::{ComponentStatus, GradualRolloutStatus};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Namespace and name.
type Key = (String, String);

/// The rollouts of others. Cheap to clone; clones see the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Others(Arc<Mutex<BTreeMap<Key, GradualRolloutStatus>>>);

impl Others {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, GradualRolloutStatus>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps of a status what a gate asks about.
    pub(super) fn put(&self, namespace: &str, name: &str, status: &GradualRolloutStatus) {
        let component = |c: &ComponentStatus| ComponentStatus {
            name: c.name.clone(),
            state: c.state,
            reason: c.reason,
            weight: c.weight,
            lowering: c.lowering.clone(),
            alone: c.alone,
            ..ComponentStatus::default()
        };
        let kept = GradualRolloutStatus {
            components: status.components.iter().map(component).collect(),
            phase: status.phase.clone(),
            ..GradualRolloutStatus::default()
        };
        self.lock().insert((namespace.to_owned(), name.to_owned()), kept);
    }

    /// It is gone, or worked here now.
    pub(super) fn remove(&self, key: &Key) {
        self.lock().remove(key);
    }

    /// What a question about a rollout's status comes to; `None` where the rollout is not known.
    pub(super) fn of_rollout<T>(
        &self,
        namespace: &str,
        name: &str,
        question: impl FnOnce(&GradualRolloutStatus) -> T,
    ) -> Option<T> {
        let key = (namespace.to_owned(), name.to_owned());
        self.lock().get(&key).map(question)
    }
}
