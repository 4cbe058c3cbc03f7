//! Who takes part: the spec's components, and those that were taken out of it while they had traffic.

use super::{Desk, formerly, restart, say};
use crate::rollout::plan::{PlannedComponent, routers_digest};
use crate::rollout::reason::{Reason, State};
use crate::rollout::sabotage;
use crate::rollout::status::ComponentStatus;

/// In place of a digest that no routers have.
const ELSEWHERE: &str = "elsewhere";

impl Desk<'_> {
    /// Brings the status's list in line with the spec's: its order, new components, orphans last.
    pub(super) fn enroll(&mut self) {
        // A spec that cannot be used says nothing about who has left, and nothing begins again by it.
        let unusable = self.seen.invalid.is_some();
        let spec = self.plan.components.len();
        let names_agree = self.status.components.len() >= spec
            && self
                .status
                .components
                .iter()
                .zip(&self.plan.components)
                .all(|(c, p)| c.name == p.name())
            && self
                .status
                .components
                .iter()
                .skip(spec)
                .all(|c| unusable || self.stays(c));
        if !names_agree {
            let names = self.plan.components.iter().map(|planned| {
                let was = self.plan.renamed(planned, &self.status).filter(|_| !unusable);
                was.map_or_else(|| planned.name().to_owned(), |was| was.name.clone())
            });
            let names: Vec<String> = names.collect();
            let mut old = std::mem::take(&mut self.status.components);
            for (planned, name) in self.plan.components.iter().zip(names) {
                let known = old.iter().position(|c| c.name == name);
                let mut c = known.map_or_else(ComponentStatus::default, |at| old.remove(at));
                if c.state == State::Orphaned {
                    c.state = State::Walking;
                }
                let renamed = known.is_some() && name != planned.name();
                planned.name().clone_into(&mut c.name);
                self.status.components.push(c);
                if renamed {
                    self.take_over(self.status.components.len() - 1, name);
                }
            }
            for c in old {
                if unusable || self.stays(&c) {
                    self.status.components.push(c);
                } else if self.plan.released.iter().any(|p| p.name() == c.name) {
                    // Its marks would say for ever what nobody does any more.
                    self.out.detached.push(c.name);
                }
            }
            self.out.changed = true;
        }
        if !unusable {
            for i in 0..self.status.components.len() {
                self.orphan_or_restart(i);
            }
        }
    }

    /// A component that was only renamed stays what it was: what was put back is back, what is paused is paused. Its marks
    /// are those of the old name, which come off; what was put back is marked anew, so that it is known by its mark, too.
    fn take_over(&mut self, i: usize, before: String) {
        let Some(c) = self.status.components.get_mut(i) else {
            return;
        };
        // A raise that was declared by the old name is nobody's.
        (c.intent, c.raise_by, c.mark, c.preview) = (None, None, None, None);
        c.weight.asked = c.weight.asked.min(c.weight.written);
        let (at, reason) = (c.weight.written, c.reason);
        let message = format!("it was called {before} until now, and stays what that was");
        formerly::was_called(c, before.clone());
        if c.state == State::RolledBack && c.lowering.is_none() && !c.detached {
            self.order(i, at, reason, reason == Reason::Emergency, None);
        }
        self.note(i, reason, message, false);
        if self.plan.released.iter().any(|p| p.name() == before) {
            self.out.detached.push(before);
        }
    }

    /// Whether a component that the spec no longer names has traffic to watch over.
    fn stays(&self, c: &ComponentStatus) -> bool {
        // One that was put back after its removal stays to tell so, until somebody has seen it and detaches it.
        let was_put_back = c.state == State::RolledBack && c.definition.is_some();
        let has_testers = c.preview.as_ref().is_some_and(|p| p.written.is_some());
        let has_traffic =
            !c.weight.written.is_zero() || c.lowering.is_some() || c.intent.is_some() || has_testers;
        // And one whose marks have to come off stays until they are.
        let lets_go = c.letting_go.is_some() && c.definition.is_some();
        ((has_traffic || was_put_back) && !c.detached || lets_go)
            && !self.plan.names(&c.name)
            && !self.plan.released.iter().any(|p| p.name() == c.name)
    }

    /// Whether the spec names the component.
    pub(super) fn in_spec(&self, i: usize) -> bool {
        let name = self.status.components.get(i).map(|c| c.name.as_str());
        self.plan.components.get(i).map(PlannedComponent::name) == name && name.is_some()
    }

    fn orphan_or_restart(&mut self, i: usize) {
        let planned = self
            .planned(i)
            .filter(|_| self.in_spec(i))
            .map(|p| p.fingerprint.clone());
        let known = self.planned(i).is_some();
        let Some(c) = self.status.components.get_mut(i) else {
            return;
        };
        match planned {
            None if c.detached => {}
            None if !matches!(c.state, State::Orphaned | State::RolledBack) => {
                c.state = State::Orphaned;
                c.hold_ended = false;
                c.alone = false;
                c.raise_by = None;
                let care = if known {
                    "its traffic stays and is judged"
                } else {
                    "its traffic stays and is not judged, for its routed objects are not known"
                };
                let message = format!(
                    "it was removed from the spec at {}; {care}: put it back into the spec, or give the command detach",
                    c.weight.written
                );
                say(c, Reason::Orphaned, true, || message);
            }
            Some(fingerprint)
                if c.state.is_terminal()
                    && !sabotage::broken(13)
                    && c.fingerprint.as_ref().is_some_and(|f| *f != fingerprint) =>
            {
                let message = "routers, arms or step weights changed: the plan begins again".to_owned();
                restart(c, self.now, &self.plan.judge);
                c.retry = None;
                self.note(i, Reason::Starting, message, false);
            }
            None | Some(_) => {}
        }
    }

    /// Remembers what a component with canary traffic is, for the day when the spec no longer says it.
    pub(super) fn define(&mut self, i: usize) {
        if !self.in_spec(i) {
            return;
        }
        let planned = self.planned(i);
        let (raises, previews) = (&self.out.raises, &self.out.previews);
        let Some(c) = self.status.components.get_mut(i) else {
            return;
        };
        let has_traffic = !c.weight.written.is_zero()
            || !c.weight.asked.is_zero()
            || c.lowering.is_some()
            || c.intent.is_some()
            || c.preview.as_ref().is_some_and(|p| p.written.is_some())
            || previews.iter().any(|p| p.component == c.name)
            || raises.iter().any(|r| r.component == c.name);
        // What was never looked at, and what somebody else was given, has nothing there that is ours.
        let ours = c.since.is_some() && !c.detached;
        let now = planned.map(|p| routers_digest(&p.component));
        let had = c.definition.as_deref().map(routers_digest);
        let back = match (&c.back, c.state) {
            _ if !ours => None,
            // What it has traffic by is told in full.
            (_, State::Walking | State::Manual | State::Drifted | State::Completed | State::Orphaned)
                if has_traffic =>
            {
                None
            }
            (Some(known), _) if now.as_ref() == Some(known) => Some(known.clone()),
            // Once it was by other routers it has begun nowhere, though it be edited back: others may have begun there.
            (Some(_), State::RolledBack | State::Manual | State::Drifted) => Some(ELSEWHERE.to_owned()),
            (None, State::RolledBack) => now.clone(),
            // Whoever brings it to 0, and whatever it waits for there, it goes on where it was.
            (None, _) if had == now => now.clone(),
            (_, State::Walking | State::Manual | State::Drifted | State::Completed | State::Orphaned) => None,
        };
        self.out.changed |= c.back != back;
        c.back = back;
        let says = c.paused_by.is_some() || c.recall.is_some() || c.state != State::Walking;
        let told = c.definition.is_some() || c.back.is_some() && c.back == now || has_traffic;
        // What was let go stays so by any name: nothing else tells that it is the same.
        let routed_by = now.filter(|_| c.detached || says && !told);
        self.out.changed |= c.routed_by != routed_by;
        c.routed_by = routed_by;
        // Once the spec does not name it any more, where its marks are is not known otherwise.
        let known = has_traffic && ours || c.letting_go.is_some();
        let wanted = planned.map(|p| &p.component).filter(|_| known);
        if c.definition.as_deref() != wanted {
            c.definition = wanted.cloned().map(Box::new);
            self.out.changed = true;
        }
    }
}
