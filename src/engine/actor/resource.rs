//! The resource as it is read: its spec, what it claims, and what a newer version changes.

use super::{Actor, Lane, older, together};
use crate::cluster::rollouts::RawRollout;
use crate::engine::claims::{Selected, claim};
use crate::engine::observe::Memo;
use crate::engine::pasts::Pasts;
use crate::engine::persist::{self, Sound};
use crate::engine::remembered::remembered;
use crate::engine::wanted;
use crate::engine::written::Written;
use crate::metrics::Cursor;
use crate::rollout::plan::Problem;
use crate::routing::Refused;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Actor {
    /// Cursors of the daemon before; the source decides whether they can still be resumed.
    pub(super) fn resume_cursors(&mut self) {
        for c in &self.status.components {
            let cursor = c
                .cursor
                .clone()
                .and_then(|value| serde_json::from_value::<Cursor>(value).ok());
            self.cursors.extend(cursor.map(|cursor| (c.name.clone(), cursor)));
        }
    }

    pub(super) fn read_spec(&mut self) {
        let spec = persist::spec(&self.raw);
        self.shared
            .view
            .declare(&self.raw.namespace, &self.raw.name, self.raw.generation, spec);
        let read = persist::read(&self.raw, &self.status, &self.shared.settings.allowed_namespaces);
        let read = read.and_then(|sound| match self.encroaches(&sound) {
            problems if problems.is_empty() => Ok(sound),
            problems => Err(problems),
        });
        match read {
            Ok(sound) => {
                self.reroute(&sound);
                self.broken = None;
                self.pieced = None;
                self.sound = Ok(sound);
            }
            Err(problems) => self.go_on_beside(problems),
        }
        self.mine = self
            .sound
            .iter()
            .flat_map(|s| s.claims.values().flatten().map(|key| key.object.clone()))
            .collect();
        // What the selections found stays claimed until they are looked at again, in the next step. Let go of for a moment
        // it would be news to whoever claims it, too, who reads its own spec again for it, which is news to us.
        self.memos.clear();
        self.scopes.clear();
        self.claim();
        if let Ok(sound) = &self.sound {
            self.scopes = wanted::want(&self.shared.cache, sound, &self.raw.namespace);
            let courses = &self.shared.courses;
            courses.put(&self.raw.namespace, &self.raw.name, &sound.plan);
        }
    }

    /// The spec cannot be used: what protects traffic must not end with a slip of the pen. The last sound plan goes on,
    /// without raises; and where none is known, after a restart, as much of this one as can be used.
    fn go_on_beside(&mut self, problems: Vec<Problem>) {
        let generation = self.raw.generation;
        let stands = self.pieced.as_ref().is_none_or(|pieced| pieced.0 == generation);
        if self.sound.is_ok() && stands {
            let holds = self.pieced.as_ref().map(|(_, holds)| holds.as_str());
            self.broken = Some(told(&problems, holds));
            return;
        }
        // What was put together from an edit before this one may lack what can be used by now.
        let allowed = &self.shared.settings.allowed_namespaces;
        match remembered(&self.raw, &self.status, allowed) {
            Some(found) => {
                let holds = found.words();
                self.reroute(&found.sound);
                self.broken = Some(told(&problems, Some(&holds)));
                self.pieced = Some((generation, holds));
                self.sound = Ok(found.sound);
            }
            None if self.sound.is_ok() => self.broken = Some(together(&problems)),
            None => self.sound = Err(problems),
        }
    }

    /// Claims what the resource names and what its selections found.
    pub(in crate::engine) fn claim(&mut self) {
        let own = claim(&self.raw, self.sound.as_ref().ok(), &self.status, &self.selected);
        self.shared.claims.put(&self.raw.uid, own);
        self.heed_claims();
    }

    /// Looks whose routes ours are. What is under way for those that are another's ends. True when there is any.
    pub(super) fn heed_claims(&mut self) -> bool {
        let before = std::mem::replace(&mut self.refused, self.shared.claims.refused(&self.raw.uid));
        for (name, lane) in &mut self.lanes {
            // What is being raised may be about to make what has become another's.
            let other = before.parts.get(name) != self.refused.parts.get(name);
            let rises = !matches!(lane, Lane::Lowering { .. });
            if self.refused.whole.contains_key(name) || other && rises {
                lane.clear();
                self.failures.remove(name);
            }
        }
        before != Refused::default() || self.refused != Refused::default()
    }

    /// Somebody's claims changed. True when that is about us.
    pub(super) fn hear_claims(&mut self) -> bool {
        let waited = self.status.components.iter().any(|c| c.since.is_none());
        let concerns = self.heed_claims() || self.broken.is_some();
        if self.broken.is_some() {
            // What an edit wanted may be free by now.
            self.read_spec();
        }
        let told = self.memos.values_mut().map(Memo::ask_whose_anew);
        let told = told.fold(false, |any, one| any | one);
        concerns || told || waited || self.first
    }

    /// Edits that would have what carries canary traffic write what is another's: where they are, and what is wrong.
    /// They are not taken up, for what carries traffic is watched over by the plan that it has.
    fn encroaches(&self, sound: &Sound) -> Vec<Problem> {
        let own = claim(&self.raw, Some(sound), &self.status, &Selected::new());
        let claims = &self.shared.claims;
        let refused = claims.would_refuse(&self.raw.uid, &own).whole;
        let new = if claims.is_complete() {
            BTreeMap::new()
        } else {
            own.not_begun()
        };
        let carries = |name: &str| {
            self.status
                .component(name)
                .is_some_and(|c| !c.detached && c.definition.is_some())
        };
        let named = sound
            .plan
            .components
            .iter()
            .enumerate()
            .filter(|(_, planned)| carries(planned.name()));
        named
            .filter_map(|(i, planned)| {
                let owned = refused.get(planned.name()).map(ToString::to_string);
                let unknown = || {
                    let key = new.get(planned.name())?;
                    Some(format!("whether another resource routes {key} is not known yet"))
                };
                Some(Problem {
                    path: format!("spec.components[{i}].routers"),
                    message: owned.or_else(unknown)?,
                })
            })
            .collect()
    }

    /// Stops what is under way for components whose routed objects are others from now on.
    pub(super) fn reroute(&mut self, new: &Sound) {
        let Ok(old) = &self.sound else { return };
        for (name, lane) in &mut self.lanes {
            let of = |sound: &Sound| sound.plan.component(name).map(|p| p.component.routers.clone());
            if of(old) != of(new) {
                lane.clear();
                self.lowered.clear();
                self.failures.remove(name);
            }
        }
    }

    /// Takes a newer version of the resource, by whomever.
    pub(super) fn applied(&mut self, raw: RawRollout) {
        self.unheard |= raw.resource_version != self.raw.resource_version;
        self.took(raw);
    }

    /// Takes a newer version of the resource.
    pub(super) fn took(&mut self, raw: RawRollout) {
        if older(&raw.resource_version, &self.raw.resource_version) {
            return;
        }
        let another = raw.uid != self.raw.uid;
        let edited = raw.generation != self.raw.generation || another;
        if another {
            // Deleted and made anew while nobody watched: nothing that is remembered is about this one.
            self.shared.claims.remove(&self.raw.uid);
            self.shared.turns.remove(&self.raw.uid);
            self.status = persist::read_status(&raw);
            self.stands(Arc::new(Written::found(&raw.status, &self.status)));
            (self.sent, self.unheard) = (None, false);
            self.first = true;
            self.sound = Err(Vec::new());
            self.broken = None;
            self.pieced = None;
            self.lanes.values_mut().for_each(Lane::clear);
            self.cursors.clear();
            self.looked_at.clear();
            self.selected.clear();
            self.apart.forget();
            self.pasts = Pasts::default();
            self.lowered.clear();
        }
        self.raw = raw;
        if !self.saving {
            self.hear_status();
        }
        if edited {
            self.read_spec();
        }
    }
}

/// The problems, and what holds meanwhile. That comes last and is short, so of many problems the first ones are told.
fn told(problems: &[Problem], holds: Option<&str>) -> String {
    const ROOM: usize = 640;
    let all = together(problems);
    let Some(holds) = holds else { return all };
    let clipped: String = all.chars().take(ROOM).collect();
    let more = if clipped.len() < all.len() { "…" } else { "" };
    format!("{clipped}{more}; {holds}")
}
