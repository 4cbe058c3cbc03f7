//! Setting in motion what was decided: lowers first.

use super::{Actor, Dirty, Done};
use crate::engine::claims::home;
use crate::engine::lane::Lane;
use crate::engine::order::{Pair, swapped};
use crate::engine::{lower, raise};
use crate::rollout::observation::{Decision, Lower, Raise};
use crate::rollout::spec::{Component, Router};
use crate::rollout::weight::Weight;
use crate::routing::targets;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::time::Instant;

/// How long a lowering that was written may take to be read back before it is written again.
const READ_BACK: Duration = Duration::from_secs(2);

impl Actor {
    pub(super) fn act(&mut self, decision: Decision, now: Timestamp) {
        let questions = (decision.questions, decision.wants_turn);
        self.status = decision.next;
        let leaves = self.leaving.has_begun();
        self.call_off();
        self.keep_marks();
        for order in decision.lowers.iter().filter(|_| !leaves) {
            self.start_lowering(order, now);
        }
        self.withdraw(&decision.raises);
        self.start_previews(decision.previews);
        for raise in &decision.raises {
            self.start_raise(raise, now);
        }
        for component in &decision.detached {
            self.detach(component, decision.restored.contains(component), now);
        }
        self.act_on_gates(&questions.0, questions.1, now);
        self.watched = decision.watched;
        self.wake_at = decision.wake_at;
        self.dealt_with(decision.done);
        self.audits.decided(decision.audits);
        if decision.changed {
            self.claim_what_stands();
        }
        self.soil(match (decision.at_once, decision.changed) {
            (true, _) => Dirty::Now,
            (false, true) => Dirty::News,
            (false, false) => self.idle_dirt(),
        });
        for note in &decision.notes {
            let component = note.component.as_deref().unwrap_or("");
            let reason = note.reason.to_string();
            if note.warning {
                tracing::warn!(rollout = %self.raw.name, component, reason, message = note.message, "note");
            } else {
                tracing::info!(rollout = %self.raw.name, component, reason, message = note.message, "note");
            }
            let text = if component.is_empty() {
                note.message.clone()
            } else {
                format!("{component}: {}", note.message)
            };
            self.shared
                .events
                .publish(&self.raw, &reason, &text, note.warning);
        }
        self.tell_people(&decision.notes, now);
        if decision.changed || !decision.notes.is_empty() || !self.shown {
            // A start changes nothing where all is as it was, and whoever asks must not wait for what does.
            self.shown = true;
            self.show();
        }
        self.let_go();
    }

    /// Stops lowerings in whose place a person set a weight above: what goes on trying would land some day, and nobody
    /// would know why.
    fn call_off(&mut self) {
        for (name, lane) in &mut self.lanes {
            let raised = self
                .status
                .component(name)
                .is_some_and(|c| c.lowering.is_none() && c.raise_by.is_some());
            if raised && matches!(lane, Lane::Lowering { .. }) {
                lane.clear();
            }
        }
    }

    /// What an orphan that is no longer cared for wrote, others may write from now on.
    fn let_go(&mut self) {
        let gone = self.sound.as_ref().is_ok_and(|s| {
            let mut orphans = s.plan.orphans.iter();
            orphans.any(|p| self.status.component(p.name()).is_none())
        });
        if gone {
            self.read_spec();
        }
    }

    /// What is being judged changes at every look; what is not has nothing to persist.
    fn idle_dirt(&self) -> Dirty {
        if self.watched.is_empty() {
            Dirty::No
        } else {
            Dirty::Soon
        }
    }

    pub(super) fn planned(&self, component: &str) -> Option<Component> {
        self.sound
            .as_ref()
            .ok()?
            .plan
            .component(component)
            .map(|p| p.component.clone())
    }

    pub(super) fn start_lowering(&mut self, order: &Lower, now: Timestamp) {
        let doors = self.doors(&self.shared.clients.fast);
        let lane = self.lanes.entry(order.component.clone()).or_default();
        if matches!(lane, Lane::Lowering { id, .. } if *id == order.id) {
            return;
        }
        // Written and not yet read back: the watch will tell. Only when it does not is it written again.
        if self
            .lowered
            .get(&order.id)
            .is_some_and(|at| at.elapsed() < READ_BACK)
        {
            return;
        }
        lane.clear();
        if self.refused.whole.contains_key(&order.component) {
            return;
        }
        if swapped(Pair::LowerTell) && !self.written.names(&order.id) {
            return;
        }
        let Some(component) = self.planned(&order.component) else {
            return;
        };
        let all = targets(&component, &self.raw.namespace);
        let objects = all.iter().map(|target| target.object().clone()).collect();
        let waits = Arc::new(AtomicBool::new(false));
        let known = self.status.component(&order.component);
        let mark = known.and_then(|c| c.mark.clone()).unwrap_or_default();
        let told = lower::Told {
            mark,
            failures: self.failing.0.clone(),
            recorded: self.recorded.subscribe(),
            waits: waits.clone(),
            claimed: self.shared.claims.on(&objects),
            taken: self.refused.taken(&order.component),
        };
        let job = lower::lower(
            doors,
            component,
            home(&self.raw),
            order.clone(),
            self.status_order_time(order).unwrap_or(now),
            told,
        );
        let (name, id) = (order.component.clone(), order.id.clone());
        let task = self.tasks.spawn(async move {
            job.await;
            Done::Lowered { component: name, id }
        });
        self.lanes.insert(
            order.component.clone(),
            Lane::Lowering {
                id: order.id.clone(),
                task,
                since: Instant::now(),
                waits,
            },
        );
    }

    /// When the order was given: an emergency's time must stay the same in retries, a new one restarts pods.
    fn status_order_time(&self, order: &Lower) -> Option<Timestamp> {
        self.status
            .component(&order.component)?
            .lowering
            .as_ref()
            .filter(|l| l.id == order.id)
            .map(|l| l.at)
    }

    /// Stops raises that are no longer asked for and are not written yet.
    fn withdraw(&mut self, raises: &[Raise]) {
        let now = self.shared.clock.now();
        let paused_all = self.sound.as_ref().is_ok_and(|s| s.plan.paused);
        let frozen =
            self.frozen(now).is_some() || self.sound.as_ref().is_ok_and(|s| s.plan.calendar.frozen(now));
        for (name, lane) in &mut self.lanes {
            let wanted = raises.iter().find(|r| &r.component == name);
            let removed = self.sound.as_ref().is_ok_and(|s| !s.plan.names(name));
            let paused = paused_all || self.status.component(name).is_some_and(|c| c.paused_by.is_some());
            match lane {
                Lane::Preparing { weight, .. } if wanted.is_none_or(|r| r.weight != *weight) => lane.clear(),
                Lane::Declared { intent, .. } => {
                    let id = intent.id.clone();
                    let Some(c) = self.status.component_mut(name) else {
                        continue;
                    };
                    let stands = c.intent.as_ref().is_some_and(|i| i.id == id);
                    if !stands || removed || ((paused || frozen) && !c.forced) {
                        lane.clear();
                        if stands {
                            c.intent = None;
                            c.weight.asked = c.weight.written;
                            self.dirty = Dirty::Now;
                        }
                    }
                }
                Lane::Idle
                | Lane::Preparing { .. }
                | Lane::Writing { .. }
                | Lane::Beside { .. }
                | Lane::Lowering { .. } => {}
            }
        }
    }

    fn start_raise(&mut self, raise: &Raise, now: Timestamp) {
        if self.patience.waits(&raise.component, raise.weight, now) {
            return;
        }
        let Some(component) = self.planned(&raise.component) else {
            return;
        };
        if !self.is_held(&raise.component) || self.freeze_is_being_read() || self.meets_another(&component) {
            return;
        }
        let from = self
            .status
            .component(&raise.component)
            .map_or(Weight::ZERO, |c| c.weight.written);
        let doors = self.doors(&self.shared.clients.api);
        let lane = self.lanes.entry(raise.component.clone()).or_default();
        if !matches!(lane, Lane::Idle) {
            return;
        }
        let found = self.selected.get(&raise.component).into_iter().flatten();
        let sought = raise::Known {
            home: home(&self.raw),
            taken: self.refused.taken(&raise.component),
            found: found.map(|sought| sought.key.object.clone()).collect(),
        };
        let job = raise::prepare(doors, component, sought, from, raise.clone());
        let name = raise.component.clone();
        let task = self.tasks.spawn(async move {
            Done::Prepared {
                component: name,
                result: job.await,
            }
        });
        *lane = Lane::Preparing {
            weight: raise.weight,
            task,
        };
        self.asked.insert(raise.component.clone(), raise.clone());
    }

    /// Whether another component of ours is just raising what is written into the same object: one of the two would lose
    /// its race and wait. It is asked for again as soon as that one is done. One that asks others than the cluster may
    /// take as long as a person does, and is not waited for.
    fn meets_another(&self, component: &Component) -> bool {
        let Ok(sound) = &self.sound else { return false };
        let objects = |name: &str| {
            let keys = sound.claims.get(name).into_iter().flatten();
            keys.map(|key| &key.object).collect::<BTreeSet<_>>()
        };
        let own = objects(&component.name);
        self.lanes.iter().any(|(name, lane)| {
            let raises = matches!(
                lane,
                Lane::Preparing { .. } | Lane::Declared { .. } | Lane::Writing { .. }
            );
            raises
                && *name != component.name
                && !own.is_disjoint(&objects(name))
                && self.planned(name).is_some_and(|other| {
                    let swift = |router: &Router| {
                        matches!(
                            router,
                            Router::Istio(_) | Router::GatewayApi(_) | Router::IngressNginx(_)
                        )
                    };
                    other.routers.iter().all(swift)
                })
        })
    }
}
