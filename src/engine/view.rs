//! The read model: what the API and the command line are shown.

use crate::clock::Clock;
use crate::metrics::{HealthBook, Source, SourceHealth};
use crate::rollout::explain::{Facts, Subject};
use crate::rollout::plan::{Plan, Problem};
use crate::rollout::spec::GradualRolloutSpec;
use crate::rollout::status::GradualRolloutStatus;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    rollouts: Arc<Mutex<BTreeMap<(String, String), Entry>>>,
    book: HealthBook,
    /// Absent while another daemon leads.
    leading: Option<(Source, Clock)>,
}

/// What is kept of one rollout.
#[derive(Clone, Debug)]
struct Entry {
    status: GradualRolloutStatus,
    /// Its spec as it is written now, also where the daemon still works by an earlier one.
    spec: Arc<Result<GradualRolloutSpec, Vec<Problem>>>,
    generation: i64,
}

/// What there is to explain.
#[derive(Clone, Debug, PartialEq)]
pub enum Explained {
    /// Why a component is where it is.
    Component(Box<Facts>),
    /// No such rollout.
    NoRollout,
    /// The rollout has no such component; it has these.
    NoComponent(Vec<String>),
    /// Another daemon leads, and this one has read nothing.
    StandingBy,
}

impl View {
    /// Whether this daemon leads; another one's view is empty.
    pub const fn is_leading(&self) -> bool {
        self.leading.is_some()
    }

    /// Every rollout, by namespace and name.
    pub fn rollouts(&self) -> Vec<RolloutView> {
        self.lock()
            .iter()
            .map(|((namespace, name), entry)| RolloutView {
                namespace: namespace.clone(),
                name: name.clone(),
                status: entry.status.clone(),
            })
            .collect()
    }

    /// Why a component is where it is, now: what `explain` prints, out of memory alone.
    pub fn explain(&self, namespace: &str, rollout: &str, component: &str) -> Explained {
        let Some((_, clock)) = &self.leading else {
            return Explained::StandingBy;
        };
        let key = (namespace.to_owned(), rollout.to_owned());
        let Some(Entry {
            status,
            spec,
            generation,
        }) = self.lock().get(&key).cloned()
        else {
            return Explained::NoRollout;
        };
        let written = spec.iter().flat_map(|spec| &spec.components).map(|c| &c.name);
        let mut names: Vec<String> = written.cloned().collect();
        names.extend(status.components.iter().map(|c| c.name.clone()));
        if !names.iter().any(|name| name == component) {
            names.sort_unstable();
            names.dedup();
            return Explained::NoComponent(names);
        }
        // Read at each question: questions are rare, and a second plan of each rollout is not small.
        let plan = match spec.as_ref() {
            Ok(spec) => Plan::parse(spec),
            Err(problems) => Err(problems.clone()),
        };
        let subject = Subject {
            namespace,
            rollout,
            generation: Some(generation),
            plan: &plan,
            status: &status,
        };
        Explained::Component(Box::new(Facts::of(subject, component, None, clock.now())))
    }

    /// What a question about a rollout's status comes to; `None` where the rollout is not known.
    pub(super) fn of_rollout<T>(
        &self,
        namespace: &str,
        name: &str,
        question: impl FnOnce(&GradualRolloutStatus) -> T,
    ) -> Option<T> {
        let key = (namespace.to_owned(), name.to_owned());
        self.lock().get(&key).map(|entry| question(&entry.status))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, String), Entry>> {
        self.rollouts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A view of nothing yet, whose samples come from here.
    pub(super) fn of(source: Source, clock: Clock) -> Self {
        Self {
            leading: Some((source, clock)),
            ..Self::default()
        }
    }

    /// How the source of samples stands. Standing by, this daemon asks it nothing and knows nothing of it.
    pub fn source(&self) -> SourceHealth {
        self.leading
            .as_ref()
            .map_or_else(SourceHealth::default, |(source, _)| self.book.health(source))
    }

    /// Where looks at the source are noted.
    pub(super) fn book(&self) -> &HealthBook {
        &self.book
    }

    /// A rollout's spec was read.
    pub(super) fn declare(
        &self,
        namespace: &str,
        name: &str,
        generation: i64,
        spec: Result<GradualRolloutSpec, Vec<Problem>>,
    ) {
        let spec = Arc::new(spec);
        let key = (namespace.to_owned(), name.to_owned());
        let mut rollouts = self.lock();
        let status = rollouts
            .remove(&key)
            .map(|entry| entry.status)
            .unwrap_or_default();
        rollouts.insert(
            key,
            Entry {
                status,
                spec,
                generation,
            },
        );
    }

    /// Where it stands. One that was never declared, or was removed since, is not taken up.
    pub(super) fn put(&self, namespace: &str, name: &str, status: &GradualRolloutStatus) {
        let key = (namespace.to_owned(), name.to_owned());
        if let Some(entry) = self.lock().get_mut(&key) {
            entry.status.clone_from(status);
        }
    }

    pub(super) fn remove(&self, namespace: &str, name: &str) {
        let key = (namespace.to_owned(), name.to_owned());
        self.lock().remove(&key);
    }
}
