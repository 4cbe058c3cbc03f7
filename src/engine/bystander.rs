//! A resource that is not worked here: another daemon works it, or may take it over from us. Nothing is written, for
//! there is nothing to write with; its watches are kept warm, and its claims known, so that of two resources that name
//! one route the older owns it whoever works them.

use super::claims::{Claims, Selected, claim, home};
use super::persist::{self, Sound};
use super::turns::Told;
use super::wanted;
use crate::cluster::cache::{Cache, Listed};
use crate::cluster::rollouts::RawRollout;
use crate::rollout::plan::Plan;
use crate::rollout::reason::Reason;
use crate::rollout::status::GradualRolloutStatus;
use crate::routing::{ObjectKind, ObjectRef, Stock, found, needs};
use serde_json::Value;
use std::collections::BTreeSet;

/// One resource that is only looked at.
pub(super) struct Bystander {
    raw: RawRollout,
    /// The last spec that could be used.
    sound: Option<Sound>,
    /// Whether the spec as it is now can be used.
    usable: bool,
    /// Kinds and namespaces in which selections look.
    scopes: BTreeSet<(ObjectKind, String)>,
    selected: Selected,
}

impl Bystander {
    pub(super) fn new(raw: RawRollout, cache: &Cache, claims: &Claims, allowed: &[String]) -> Self {
        let mut bystander = Self {
            raw,
            sound: None,
            usable: false,
            scopes: BTreeSet::new(),
            selected: Selected::new(),
        };
        bystander.read(cache, claims, allowed);
        bystander
    }

    /// The resource as it was last seen.
    pub(super) fn into_raw(self) -> RawRollout {
        self.raw
    }

    /// Takes a newer version of the resource.
    pub(super) fn applied(&mut self, raw: RawRollout, cache: &Cache, claims: &Claims, allowed: &[String]) {
        let another = raw.uid != self.raw.uid;
        if another {
            claims.remove(&self.raw.uid);
            self.sound = None;
        }
        // What was removed from the spec and still has traffic stands in the status, and stays claimed.
        let edited = another || raw.generation != self.raw.generation || carried(&raw) != carried(&self.raw);
        self.raw = raw;
        if edited {
            self.read(cache, claims, allowed);
        }
    }

    fn read(&mut self, cache: &Cache, claims: &Claims, allowed: &[String]) {
        let status = persist::read_status(&self.raw);
        // A slip of the pen frees nothing.
        let read = persist::read(&self.raw, &status, allowed);
        self.usable = read.is_ok();
        if let Ok(sound) = read {
            self.sound = Some(sound);
        }
        self.scopes = self
            .sound
            .as_ref()
            .map(|sound| wanted::want(cache, sound, &self.raw.namespace))
            .unwrap_or_default();
        let selected = self.select(cache);
        claims.looked(&self.raw.uid, self.sound.is_none() || selected.is_some());
        self.selected = selected.unwrap_or_default();
        self.claim(claims);
    }

    /// Looks at what its selections find, when something changed where they look, or nobody knows what changed.
    pub(super) fn look(&mut self, changed: Option<&ObjectRef>, cache: &Cache, claims: &Claims) {
        let concerns = |object: &ObjectRef| self.scopes.contains(&(object.kind, object.namespace.clone()));
        if self.scopes.is_empty() || !changed.is_none_or(concerns) {
            return;
        }
        // What is not listed yet frees nothing.
        let Some(selected) = self.select(cache) else {
            return;
        };
        if selected != self.selected {
            self.selected = selected;
            self.claim(claims);
        }
        claims.looked(&self.raw.uid, true);
    }

    /// What its selections find; `None` while not everything is listed.
    fn select(&self, cache: &Cache) -> Option<Selected> {
        let sound = self.sound.as_ref()?;
        let mut selected = Selected::new();
        for planned in sound.plan.cared_for() {
            let mut stock = Stock::default();
            let wanted = needs(&planned.component, &self.raw.namespace);
            if wanted.is_empty() {
                continue;
            }
            for (kind, namespace) in wanted {
                match cache.list(kind, &namespace) {
                    Listed::Objects(objects) => stock.put(kind, &namespace, objects),
                    // What is found does not depend on it.
                    _ if kind.may_be_unseen() => {}
                    Listed::Syncing | Listed::Problem(_) => return None,
                }
            }
            let found = found(&planned.component, &home(&self.raw), &stock);
            selected.insert(planned.name().to_owned(), found.sought);
        }
        Some(selected)
    }

    fn claim(&self, claims: &Claims) {
        let status = persist::read_status(&self.raw);
        let own = claim(&self.raw, self.sound.as_ref(), &status, &self.selected);
        claims.put(&self.raw.uid, own);
    }

    /// How the rollout stands by what was persisted last, and what that is for those who wait for their turn.
    pub(super) fn stands(&self) -> (GradualRolloutStatus, Told) {
        let status = persist::read_status(&self.raw);
        // The time is kept also while something else is in the way.
        let waits = status
            .components
            .iter()
            .any(|c| c.reason == Reason::WaitingForTurn);
        let would_begin = waits && self.usable && !self.raw.deleting;
        let told = Told {
            namespace: self.raw.namespace.clone(),
            name: self.raw.name.clone(),
            group: self.sound.as_ref().and_then(|sound| sound.plan.group.clone()),
            created: self.raw.created.clone(),
            runs: status.runs(),
            wants_since: status.waits_for_turn_since.filter(|_| would_begin),
            elsewhere: true,
        };
        (status, told)
    }

    /// Its plan, as far as one could be used.
    pub(super) fn plan(&self) -> Option<&Plan> {
        self.sound.as_ref().map(|sound| &sound.plan)
    }

    pub(super) fn uid(&self) -> &str {
        &self.raw.uid
    }

    /// Nothing of it is claimed any more.
    pub(super) fn gone(&self, claims: &Claims) {
        claims.remove(&self.raw.uid);
    }
}

/// The components that a status knows, and how each stands on its routes.
fn carried(raw: &RawRollout) -> Vec<(&str, [Option<&Value>; 3], bool)> {
    let components = raw.status.get("components").and_then(Value::as_array);
    let each = components.into_iter().flatten();
    each.filter_map(|c| {
        let said = [c.get("definition"), c.get("detached"), c.get("back")];
        Some((
            c.get("name")?.as_str()?,
            said,
            c.get("since").is_some_and(|at| !at.is_null()),
        ))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_changes_how_a_component_stands_on_its_routes_is_news() {
        let raw = |more: Value| {
            let mut component = json!({"name": "shop", "since": "2026-01-01T00:00:00Z"});
            for (key, value) in more.as_object().unwrap() {
                component[key] = value.clone();
            }
            RawRollout {
                status: json!({"components": [component]}),
                ..RawRollout::default()
            }
        };
        let before = raw(json!({}));
        assert_eq!(carried(&before), carried(&raw(json!({"message": "news"}))));
        for more in [
            json!({"back": "elsewhere"}),
            json!({"definition": {}}),
            json!({"detached": true}),
            json!({"since": null}),
        ] {
            assert_ne!(carried(&before), carried(&raw(more.clone())), "{more}");
        }
    }
}
