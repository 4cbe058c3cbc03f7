//! Where one failure means that all go back (`rollback.scope: rollout`).

use super::Desk;
use super::again::is_where_a_person_put_it;
use crate::rollout::reason::{Reason, State};
use crate::rollout::spec::Scope;
use crate::rollout::status::ComponentStatus;

impl Desk<'_> {
    /// Puts back every other component where one was put back: in the very look in which that was ordered, or found out
    /// by its mark after a crash. Who cannot go back yet, for want of control, follows as soon as it can.
    pub(super) fn widen_rollback(&mut self) {
        if self.plan.scope != Scope::Rollout {
            for i in std::mem::take(&mut self.found_along) {
                self.catch_up(i, None);
            }
            return;
        }
        let fresh = |(i, c): &(usize, &ComponentStatus)| {
            c.state == State::RolledBack
                && c.reason != Reason::OtherFailed
                && self.plan.names(&c.name)
                && (c.lowering.is_some() || self.found_back.contains(i))
        };
        // The gravest of them is what the others follow.
        let failed = self.status.components.iter().enumerate().filter(fresh);
        let failed = failed.min_by_key(|(_, c)| c.reason != Reason::Emergency);
        let failed = failed.map(|(_, c)| (c.name.clone(), c.reason));
        for i in 0..self.status.components.len() {
            let to = self.plan.rollback_to;
            if self.found_along.contains(&i) {
                self.catch_up(i, failed.as_ref().map(|(_, why)| *why));
            }
            let Some(c) = self.status.components.get(i) else {
                continue;
            };
            let stands = !c.detached && c.state != State::RolledBack && c.state != State::Orphaned;
            // A raise that is under way would land after the others went back.
            let has_traffic = c.weight.written > to || c.intent.is_some();
            if !stands || !has_traffic {
                self.follow_nobody(i);
                continue;
            }
            let Some((name, why)) = failed.clone().or_else(|| self.followed(c)) else {
                self.follow_nobody(i);
                continue;
            };
            let target = to.min(c.weight.written);
            if self.sight(i).control_ready == Some(false) {
                if let Some(c) = self.status.components.get_mut(i)
                    && c.follows.as_ref() != Some(&name)
                {
                    let message = format!(
                        "{name} was rolled back ({why}), and spec.rollback.scope is rollout; it follows as soon as \
                         its control has a ready endpoint to take the traffic"
                    );
                    c.follows = Some(name);
                    self.out.changed = true;
                    self.note(i, Reason::ControlNotReady, message, true);
                }
                continue;
            }
            let mut message = format!("{name} was rolled back ({why}), and spec.rollback.scope is rollout");
            let begins_again = why.is_automatic_rollback()
                && !self
                    .status
                    .components
                    .get(i)
                    .is_some_and(is_where_a_person_put_it);
            if begins_again && let Some(said) = self.schedule_retry(i) {
                message = format!("{message}; {said}");
            }
            let retry = self.status.components.get(i).and_then(|c| c.retry);
            self.roll_back(i, target, Reason::OtherFailed, message, false, None);
            if begins_again && let Some(c) = self.status.components.get_mut(i) {
                c.retry = retry;
            }
            // What a person put back in an emergency waits for a person, with all that went back along with it.
            if why == Reason::Emergency
                && let Some(c) = self.status.components.get_mut(i)
            {
                c.fingerprint = None;
            }
        }
    }

    /// One that followed another and was found to be back after a crash: whether it begins again hangs on why that other
    /// was put back, as it would have without the crash.
    fn catch_up(&mut self, i: usize, failed: Option<Reason>) {
        let followed = self.status.components.get(i).and_then(|c| self.followed(c));
        let why = failed.or_else(|| followed.map(|(_, why)| why));
        let again = match why {
            Some(why) if why.is_automatic_rollback() => self.schedule_retry(i),
            Some(_) | None => None,
        };
        let Some(c) = self.status.components.get_mut(i) else {
            return;
        };
        match (why, again) {
            (Some(why), Some(again)) => {
                let at = c.weight.asked;
                c.message = format!(
                    "it was rolled back to {at} along with another ({why}), for spec.rollback.scope is rollout; {again}"
                );
            }
            _ => c.retry = None,
        }
        if why == Some(Reason::Emergency) {
            c.fingerprint = None;
        }
    }

    /// Whose rollback a component still has to follow: of one that has begun again no more.
    fn followed(&self, c: &ComponentStatus) -> Option<(String, Reason)> {
        let failed = self.status.component(c.follows.as_ref()?)?;
        (failed.state == State::RolledBack).then(|| (failed.name.clone(), failed.reason))
    }

    fn follow_nobody(&mut self, i: usize) {
        if let Some(c) = self.status.components.get_mut(i).filter(|c| c.follows.is_some()) {
            c.follows = None;
            self.out.changed = true;
        }
    }
}
