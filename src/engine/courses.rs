//! Rollouts that wait for others, whoever works them: so that those that wait for each other are told so.

use crate::rollout::plan::Plan;
use crate::rollout::rings::{Course, Key, Rings, Standing};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is known of plans that ask about rollouts. Cheap to clone; clones see the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Courses(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    all: BTreeMap<Key, Course>,
    /// Who would never come to an end from the beginning; `None`: somebody's plan is another since that was asked. Who
    /// stands further on is stuck no sooner, so that nobody else has to be walked at every look.
    stuck: Option<BTreeSet<Key>>,
}

impl Courses {
    // A std mutex: held for a change or a walk of what waits, never across an await.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A rollout's plan is this now.
    pub(super) fn put(&self, namespace: &str, name: &str, plan: &Plan) {
        let Some(course) = Course::of(namespace, name, plan) else {
            return self.remove(namespace, name);
        };
        let mut known = self.lock();
        if known.all.get(course.key()) != Some(&course) {
            known.all.insert(course.key().clone(), course);
            known.stuck = None;
        }
    }

    /// It is gone, or nobody can tell what it waits for.
    pub(super) fn remove(&self, namespace: &str, name: &str) {
        let mut known = self.lock();
        if known
            .all
            .remove(&(namespace.to_owned(), name.to_owned()))
            .is_some()
        {
            known.stuck = None;
        }
    }

    /// Why a gate of a rollout can never open, from where all stand: the circle of those that wait for each other. `None`:
    /// it can, as far as anybody here knows.
    pub(super) fn ring(
        &self,
        rollout: &Key,
        gate: &str,
        stands: impl Fn(&Key) -> Option<Standing>,
    ) -> Option<String> {
        let mut guard = self.lock();
        let Known { all, stuck } = &mut *guard;
        let never = stuck.get_or_insert_with(|| {
            Rings::of(all.values().map(|course| (course, Standing::default()))).stuck()
        });
        if !never.contains(rollout) {
            return None;
        }
        // Of whom nobody knows how far it is, it may be anywhere.
        let standing = all
            .values()
            .filter(|course| never.contains(course.key()))
            .filter_map(|course| Some((course, stands(course.key())?)));
        let (ring, closes) = Rings::of(standing).through(rollout, gate)?;
        Some(if closes {
            ring.to_string()
        } else {
            format!("it waits behind others: {ring}")
        })
    }
}
