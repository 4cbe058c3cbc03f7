//! The read model: what the API and the command line are shown.

use crate::metrics::{HealthBook, Source, SourceHealth};
use crate::rollout::status::GradualRolloutStatus;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// One rollout, as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct RolloutView {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub status: GradualRolloutStatus,
}

/// All rollouts, as they stand. Cheap to clone; clones see the same.
#[derive(Clone, Debug, Default)]
pub struct View {
    // A std mutex: it is held for a clone or an insert, never across an await.
    rollouts: Arc<Mutex<BTreeMap<(String, String), RolloutView>>>,
    book: HealthBook,
    source: Option<Source>,
}

impl View {
    /// Every rollout, by namespace and name.
    pub fn rollouts(&self) -> Vec<RolloutView> {
        self.rollouts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    /// A view of nothing yet, whose samples come from here.
    pub(super) fn of(source: Source) -> Self {
        Self {
            source: Some(source),
            ..Self::default()
        }
    }

    /// How the source of samples stands. Standing by, this daemon asks it nothing and knows nothing of it.
    pub fn source(&self) -> SourceHealth {
        self.source
            .as_ref()
            .map_or_else(SourceHealth::default, |source| self.book.health(source))
    }

    /// Where looks at the source are noted.
    pub(super) fn book(&self) -> &HealthBook {
        &self.book
    }

    pub(super) fn put(&self, namespace: &str, name: &str, status: &GradualRolloutStatus) {
        let key = (namespace.to_owned(), name.to_owned());
        let entry = RolloutView {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            status: status.clone(),
        };
        self.rollouts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, entry);
    }

    pub(super) fn remove(&self, namespace: &str, name: &str) {
        let key = (namespace.to_owned(), name.to_owned());
        self.rollouts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&key);
    }
}
