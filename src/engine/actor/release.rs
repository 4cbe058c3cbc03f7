//! Letting go of single components: our marks come off their routed objects, and what does not come off is tried again.

use super::{Actor, Dirty, Done};
use crate::engine::claims::home;
use crate::engine::leave::{Left, leave};
use crate::rollout::decide::let_go;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::AbortHandle;

/// The pause before marks that did not come off are tried again, doubled each time.
const AGAIN: Duration = Duration::from_secs(1);
/// And no longer than this.
const SLOWEST: Duration = Duration::from_secs(15);

/// One component that is let go.
#[derive(Debug)]
enum Release {
    /// It is being written; to stop it.
    Busy(AbortHandle, Duration),
    /// It failed: again then, and how long that was waited for.
    Waits(Timestamp, Duration),
}

/// What is being let go.
#[derive(Debug, Default)]
pub(super) struct Releases(BTreeMap<String, Release>);

impl Releases {
    /// When something is tried again.
    pub(super) fn due(&self) -> Option<Timestamp> {
        let waits = self.0.values().filter_map(|release| match release {
            Release::Waits(at, _) => Some(*at),
            Release::Busy(..) => None,
        });
        waits.min()
    }

    /// A task failed: whatever is under way is begun anew.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    /// How long to wait after this attempt, should it fail; `None` where it is not its time.
    fn begins(&self, component: &str, now: Timestamp) -> Option<Duration> {
        match self.0.get(component) {
            None => Some(AGAIN),
            Some(Release::Waits(at, waited)) if *at <= now => Some((*waited * 2).min(SLOWEST)),
            Some(Release::Waits(..) | Release::Busy(..)) => None,
        }
    }
}

impl Actor {
    /// Stops taking marks off what somebody took up again: there they are wanted.
    pub(super) fn keep_marks(&mut self) {
        let status = &self.status;
        self.releases.0.retain(|name, release| {
            let taken_up = status.component(name).is_some_and(|c| c.letting_go.is_none());
            if taken_up && let Release::Busy(task, _) = release {
                task.abort();
            }
            !taken_up
        });
    }

    pub(super) fn detach(&mut self, component: &str, restore: bool, now: Timestamp) {
        let Some(wait) = self.releases.begins(component, now) else {
            return;
        };
        let Some(planned) = self.planned(component) else {
            return;
        };
        if let Some(lane) = self.lanes.get_mut(component) {
            lane.clear();
        }
        let doors = self.doors(&self.shared.clients.api);
        let home = (home(&self.raw), self.refused.taken(component));
        let name = component.to_owned();
        let theirs = self.shares_marks(component);
        let restore = restore && !self.refused.whole.contains_key(component);
        let task = self.tasks.spawn(async move {
            let left = if theirs {
                // What stands there by this name is another's.
                Left::default()
            } else {
                leave(doors, planned, home, restore).await
            };
            Done::Detached {
                component: name,
                left,
            }
        });
        self.releases
            .0
            .insert(component.to_owned(), Release::Busy(task, wait));
    }

    /// What became of taking the marks off.
    pub(super) fn released(&mut self, component: String, left: &Left) {
        for kept in &left.kept {
            let text = format!("{component}: {kept}");
            self.shared
                .events
                .publish(&self.raw, "OriginalsKept", &text, true);
        }
        let lets_go = self
            .status
            .component(&component)
            .is_some_and(|c| c.letting_go.is_some());
        let release = self.releases.0.remove(&component);
        if let Some(Release::Busy(_, wait)) = release.filter(|_| lets_go && !left.failed.is_empty()) {
            let at = self.shared.clock.now() + wait;
            self.releases
                .0
                .insert(component.clone(), Release::Waits(at, wait));
        }
        let failed = (!left.failed.is_empty()).then(|| left.failed.join("; "));
        let orphan = self.sound.as_ref().is_ok_and(|s| !s.plan.names(&component));
        if let_go(
            &mut self.status,
            (&component, orphan),
            &left.kept,
            failed.as_deref(),
        ) {
            self.dirty = Dirty::Now;
            if let Some(failed) = &failed {
                let text = format!("{component}: our marks are still there: {failed}");
                self.shared.events.publish(&self.raw, "MarksLeft", &text, true);
            }
        }
        self.note_failure(component, failed);
    }
}
