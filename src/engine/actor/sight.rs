//! What a step decides on: what is seen of the routed objects, and whose they are.

use super::{Actor, Lane, restore};
use crate::engine::claims::home;
use crate::engine::observe::{Memo, own_break_glass, see};
use crate::engine::select::meet;
use crate::rollout::bounded::{FAILURE_KEPT, cut};
use crate::rollout::command::{self, Command};
use crate::rollout::observation::{Observation, Routers, Seen};
use crate::rollout::spec::OnDelete;
use crate::routing::{needs, targets};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long after it was made an actor lets commands wait until it is known whose the routes are that they are about.
const PATIENCE: Duration = Duration::from_secs(10);
/// When such commands are looked at again, where nothing happens before.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Actor {
    /// Whether the component's selections were looked at, or cannot be.
    fn looks(&self, name: &str, seen: &Seen) -> bool {
        let sought = self.memos.get(name).and_then(Memo::sought);
        let planned = self.sound.as_ref().ok().and_then(|s| s.plan.component(name));
        let selects = planned.is_some_and(|p| !needs(&p.component, &self.raw.namespace).is_empty());
        !selects || sought.is_some() || seen.routers != Routers::Unread
    }

    /// Whether every component's selections were.
    fn has_looked(&self, components: &BTreeMap<String, Seen>) -> bool {
        components.iter().all(|(name, seen)| self.looks(name, seen))
    }

    /// Whether a command names only components that have no canary traffic as far as is known, and of which nobody can
    /// tell yet whether their routes are another's: at a daemon's start it would be answered as if they were not.
    fn is_early(&self, command: &Command, components: &BTreeMap<String, Seen>, now: Timestamp) -> bool {
        let is_unknown = |name: &str, seen: &Seen| {
            let status = self.status.component(name);
            let carries = status.is_some_and(|c| c.definition.is_some() || c.lowering.is_some());
            let known = self.looks(name, seen) && self.shared.claims.is_known();
            !(carries || known)
        };
        let all = command.wish.components.iter().any(|name| name == "*");
        let named = |name: &String| all || command.wish.components.contains(name);
        let mut meant = components.iter().filter(|(name, _)| named(name)).peekable();
        now < self.born + PATIENCE
            && meant.peek().is_some()
            && meant.all(|(name, seen)| is_unknown(name, seen))
    }

    /// Looks at the routed objects of every component. What the selections found is claimed before anything is made of
    /// it, and what has turned out to be another's is looked at without it.
    fn see_all(&mut self) -> BTreeMap<String, Seen> {
        let mut components = self.see_once();
        let selected = |memo: &Memo| memo.sought().map(<[_]>::to_vec);
        let mut all = std::mem::take(&mut self.selected);
        let before = all.clone();
        all.retain(|name, _| components.contains_key(name));
        for (name, memo) in &self.memos {
            if let Some(sought) = selected(memo).filter(|_| components.contains_key(name)) {
                all.insert(name.clone(), sought);
            }
        }
        all.retain(|_, sought| !sought.is_empty());
        self.selected = all;
        if self.selected != before {
            let parts = self.refused.parts.clone();
            self.claim();
            if self.refused.parts != parts {
                components = self.see_once();
            }
        }
        self.shared
            .claims
            .looked(&self.raw.uid, self.has_looked(&components));
        meet(&self.selected, &self.status, &mut components);
        components
    }

    fn see_once(&mut self) -> BTreeMap<String, Seen> {
        let Ok(sound) = &self.sound else {
            return BTreeMap::new();
        };
        let (idle, home) = (Lane::default(), home(&self.raw));
        let mut components = BTreeMap::new();
        for planned in sound.plan.cared_for() {
            let name = planned.name();
            let lane = self.lanes.get(name).unwrap_or(&idle);
            let memo = self.memos.entry(name.to_owned()).or_default();
            let (component, taken) = (&planned.component, self.refused.taken(name));
            let claims = || {
                let named = targets(component, &self.raw.namespace);
                let objects = named.iter().map(|target| target.object().clone()).collect();
                (self.shared.claims.on(&objects), self.shared.claims.is_complete())
            };
            let seen = see(&self.shared.cache, component, &home, (lane, taken), &claims, memo);
            components.insert(name.to_owned(), seen);
        }
        components
    }

    /// Who gave each command, as well as it is known.
    pub(super) fn givers(&self, commands: &[Command]) -> BTreeMap<String, String> {
        let guarded = !commands.is_empty() && self.shared.guard.in_force();
        let giver = |command: &Command| {
            let key = command.key();
            let manager = self.raw.writers.get(&key).map(String::as_str);
            let giver = command.wish.giver(manager, guarded);
            (key, giver)
        };
        commands.iter().map(giver).collect()
    }

    pub(super) fn observe(&mut self, refresh: bool, now: Timestamp) -> Observation {
        if !command::pending(&self.raw.annotations).0.is_empty() {
            // Whether a command is obeyed hangs on whose the routes are: as it is now, and not as it was heard last.
            self.heed_claims();
        }
        let mut components = self.see_all();
        let Ok(sound) = &self.sound else {
            return Observation::default();
        };
        let glass = own_break_glass(&self.raw.annotations);
        for planned in sound.plan.cared_for() {
            let not_ours = self.not_ours(planned.name());
            let Some(seen) = components.get_mut(planned.name()) else {
                continue;
            };
            seen.reading = self.readings.remove(planned.name());
            seen.unlooked = !self.looked_at.contains(planned.name());
            seen.history = self.pasts.take(planned.name());
            (seen.streams, seen.gauges) = self.apart.take(planned.name());
            self.probes.tell(planned, seen);
            // What refuses a write may say as much as it likes: beside it stands why it was written.
            let short = |told: String| cut(&told, FAILURE_KEPT).into_owned();
            seen.failure = self.failures.get(planned.name()).cloned().map(short);
            seen.preview_failure = self.previews.failure(planned.name()).map(short);
            seen.break_glass = glass.clone().or(seen.break_glass.take());
            if let Some(not_ours) = not_ours {
                *seen = not_ours;
            }
        }
        let on_delete = sound.plan.on_delete;
        let (mut commands, malformed) = command::pending(&self.raw.annotations);
        let all = commands.len();
        // What one that lowers takes the place of has its turn beside it: alone and later it would raise.
        let is_early = |command: &Command| self.is_early(command, &components, now);
        let in_time: Vec<Command> = commands.iter().filter(|c| !is_early(c)).cloned().collect();
        commands.retain(|command| !is_early(command) || command.may_give_way(&in_time));
        let givers = self.givers(&commands);
        self.commands_at = (commands.len() < all).then(|| now + LOOK_AGAIN);
        if self.raw.deleting && on_delete == OnDelete::Restore {
            commands.push(restore(&self.raw.uid));
        }
        Observation {
            generation: self.raw.generation,
            first: self.first,
            recorded: false,
            invalid: self.broken.clone(),
            refresh,
            commands,
            givers,
            malformed,
            components,
            frozen: self.frozen(now),
            turn: self.turn(),
            answers: self.answers(),
        }
    }
}
