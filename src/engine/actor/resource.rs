//! The resource as it is read: its spec, what it claims, and what a newer version changes.

use super::{Actor, Lane, older, together};
use crate::cluster::rollouts::RawRollout;
use crate::engine::claims::Claim;
use crate::engine::pasts::Pasts;
use crate::engine::persist::{self, Sound};
use crate::engine::wanted;
use crate::metrics::Cursor;

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
        match persist::read(&self.raw, &self.status, &self.shared.settings.allowed_namespaces) {
            Ok(sound) => {
                self.reroute(&sound);
                self.broken = None;
                self.sound = Ok(sound);
            }
            // What protects traffic must not end with a slip of the pen: the last sound plan goes on, without raises.
            Err(problems) if self.sound.is_ok() => self.broken = Some(together(&problems)),
            // Nor with a restart.
            Err(problems) => {
                let allowed = &self.shared.settings.allowed_namespaces;
                match persist::remembered(&self.raw, &self.status, allowed) {
                    Some(sound) => {
                        self.broken = Some(together(&problems));
                        self.sound = Ok(sound);
                    }
                    None => self.sound = Err(problems),
                }
            }
        }
        self.mine = self
            .sound
            .iter()
            .flat_map(|s| s.claims.iter().map(|key| key.object.clone()))
            .collect();
        self.memos.clear();
        self.selected.clear();
        self.scopes.clear();
        self.claim();
        if let Ok(sound) = &self.sound {
            self.scopes = wanted::want(&self.shared.cache, sound, &self.raw.namespace);
        }
    }

    /// Claims what the resource names and what its selections found.
    pub(in crate::engine) fn claim(&self) {
        let named = self.sound.iter().flat_map(|s| s.claims.iter());
        let keys = named.chain(self.selected.values().flatten()).cloned().collect();
        let claim = Claim {
            created: self.raw.created.clone(),
            name: format!("{}/{}", self.raw.namespace, self.raw.name),
            keys,
        };
        self.shared.claims.put(&self.raw.uid, claim);
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

    /// Takes a newer version of the resource.
    pub(super) fn applied(&mut self, raw: RawRollout) {
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
            self.stands(raw.status.clone());
            self.first = true;
            self.sound = Err(Vec::new());
            self.broken = None;
            self.lanes.values_mut().for_each(Lane::clear);
            self.cursors.clear();
            self.apart.forget();
            self.pasts = Pasts::default();
            self.lowered.clear();
        }
        self.raw = raw;
        if edited {
            self.read_spec();
        }
    }
}
