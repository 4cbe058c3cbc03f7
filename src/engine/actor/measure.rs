//! Looks beside the arms.

use super::{Actor, Done, ask};
use crate::engine::gauges::{self, Place};
use crate::metrics::slices;
use jiff::Timestamp;

impl Actor {
    /// Begins a round of looks beside the arms, if any check wants one.
    pub(super) fn measure(&mut self, now: Timestamp) {
        let Ok(sound) = &self.sound else { return };
        // One that takes longer than an interval is waited for.
        if self.apart.is_busy() {
            return;
        }
        let mut rounds = Vec::new();
        for planned in sound.plan.cared_for() {
            let written = self.status.component(planned.name()).map(|c| c.weight.written);
            let Some(weight) = written.filter(|_| self.watched.iter().any(|name| name == planned.name()))
            else {
                continue;
            };
            let place = Place {
                namespace: &self.raw.namespace,
                rollout: &self.raw.name,
                component: planned.name(),
                weight,
            };
            let set = sound.plan.check_set_at(planned, weight);
            // The very ask of the arms' look, which begins now as well: so it is one question to the source.
            let arms = ask(&self.raw, planned, self.status.component(planned.name()));
            rounds.extend(
                self.apart
                    .ask(set, &place, arms.as_ref(), &self.shared.cache, now),
            );
        }
        if !rounds.is_empty() {
            let (source, clock) = (self.shared.source.clone(), self.shared.clock.clone());
            self.tasks
                .spawn(async move { Done::Measured(gauges::round(source, clock, rounds).await) });
        }
    }

    /// Asks what control did before this attempt, of those of whom it is not known yet.
    pub(super) fn recall(&mut self, now: Timestamp) {
        let Ok(sound) = &self.sound else { return };
        for planned in sound.plan.cared_for() {
            let name = planned.name();
            let Some(status) = self.status.component(name) else {
                continue;
            };
            let Some(ask) = ask(&self.raw, planned, None).filter(|ask| ask.arms.control.is_some()) else {
                continue;
            };
            let watched = self.watched.iter().any(|watched| watched == name);
            let keep = planned.wants_history() && status.recorded.is_none();
            if !watched || !self.pasts.begin(name, status.attempt, keep, now) {
                continue;
            }
            // Before the canary had any traffic, where that is still known; a daemon that takes over comes later.
            let first = status.history.iter().rev().find(|h| h.from.is_zero());
            let before = first.filter(|_| keep && !status.weight.written.is_zero());
            let before = before.map_or(now, |h| h.at);
            let source = self.shared.source.clone();
            self.tasks.spawn(async move {
                let told = slices::past(&source, &ask, before).await;
                Done::Recalled {
                    component: ask.component,
                    told,
                }
            });
        }
    }
}
