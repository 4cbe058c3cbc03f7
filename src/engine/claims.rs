//! What every resource claims, so that of two that name one route one writes it ([`crate::routing::Claim`]).

use super::persist::Sound;
use crate::cluster::rollouts::RawRollout;
use crate::rollout::status::GradualRolloutStatus;
use crate::routing::{Claim, ClaimKey, ObjectRef, Owner};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// What a resource claims that is worked by `sound`, as `status` knows it; `selected` is what its selections found.
pub(super) fn claim(
    raw: &RawRollout,
    sound: Option<&Sound>,
    status: &GradualRolloutStatus,
    selected: &BTreeMap<String, Vec<ClaimKey>>,
) -> Claim {
    let components = sound.iter().flat_map(|s| s.plan.cared_for()).map(|planned| {
        let found = selected.get(planned.name()).map_or(&[][..], Vec::as_slice);
        (&planned.component, found)
    });
    let name = format!("{}/{}", raw.namespace, raw.name);
    Claim::of(
        (raw.created.clone(), name),
        &raw.namespace,
        &status.components,
        components,
    )
}

#[derive(Debug, Default)]
struct Book {
    by_uid: BTreeMap<String, Claim>,
    /// Who claims something of an object.
    by_object: BTreeMap<ObjectRef, BTreeSet<String>>,
    /// Every resource there was when the daemon began has told what it claims.
    complete: bool,
}

impl Book {
    fn take(&mut self, uid: &str) -> Option<Claim> {
        let claim = self.by_uid.remove(uid)?;
        for object in claim.objects() {
            if let Some(uids) = self.by_object.get_mut(object) {
                uids.remove(uid);
                if uids.is_empty() {
                    self.by_object.remove(object);
                }
            }
        }
        Some(claim)
    }

    /// Those who claim something of the same objects.
    fn near(&self, uid: &str, claim: &Claim) -> BTreeSet<&str> {
        let of = |object| self.by_object.get(object).into_iter().flatten();
        claim
            .objects()
            .flat_map(of)
            .map(String::as_str)
            .filter(|other| *other != uid)
            .collect()
    }

    fn refused(&self, uid: &str, mine: &Claim) -> BTreeMap<String, Owner> {
        let near = self.near(uid, mine).into_iter();
        let others: Vec<(&str, &Claim)> = near
            .filter_map(|other| Some((other, self.by_uid.get(other)?)))
            .collect();
        mine.refused(uid, &others)
    }
}

/// Everybody's claims. Cheap to clone; clones see the same.
#[derive(Clone, Debug)]
pub(super) struct Claims {
    book: Arc<Mutex<Book>>,
    changed: Arc<watch::Sender<u64>>,
}

impl Default for Claims {
    fn default() -> Self {
        Self {
            book: Arc::default(),
            changed: Arc::new(watch::channel(0).0),
        }
    }
}

impl Claims {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) {
        self.changed.send_modify(|n| *n += 1);
    }

    /// Registers what a resource claims now. Nobody is woken whom it does not concern.
    pub(super) fn put(&self, uid: &str, claim: Claim) {
        let mut book = self.book();
        if book.by_uid.get(uid) == Some(&claim) {
            return;
        }
        let before = book.take(uid);
        let met = |claim: &Claim| !book.near(uid, claim).is_empty();
        let concerns = before.as_ref().is_some_and(met) || met(&claim);
        for object in claim.objects() {
            let uids = book.by_object.entry(object.clone()).or_default();
            uids.insert(uid.to_owned());
        }
        book.by_uid.insert(uid.to_owned(), claim);
        drop(book);
        if concerns {
            self.tell();
        }
    }

    /// A resource is gone.
    pub(super) fn remove(&self, uid: &str) {
        if self.book().take(uid).is_some() {
            self.tell();
        }
    }

    /// The resource of this namespace and name is gone, whichever it was.
    pub(super) fn forget(&self, (namespace, name): &(String, String)) {
        let name = format!("{namespace}/{name}");
        let mut book = self.book();
        let named = book.by_uid.iter().filter(|(_, claim)| claim.name() == name);
        let uids: Vec<String> = named.map(|(uid, _)| uid.clone()).collect();
        for uid in uids {
            book.take(&uid);
        }
        drop(book);
        self.tell();
    }

    /// Every resource there is has told what it claims.
    pub(super) fn complete(&self) {
        let before = std::mem::replace(&mut self.book().complete, true);
        if !before {
            self.tell();
        }
    }

    /// Whether every resource there was has told what it claims: before, nobody knows whose a route is.
    pub(super) fn is_complete(&self) -> bool {
        self.book().complete
    }

    /// Tells when anybody's claims change that meet another's.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// What is claimed of these objects. Whoever is refused for another's sake claims nothing.
    pub(super) fn on(&self, objects: &BTreeSet<ObjectRef>) -> Vec<ClaimKey> {
        let book = self.book();
        let uids: BTreeSet<&String> = objects
            .iter()
            .filter_map(|o| book.by_object.get(o))
            .flatten()
            .collect();
        let mut all = Vec::new();
        for (uid, claim) in uids.into_iter().filter_map(|uid| book.by_uid.get_key_value(uid)) {
            let refused = book.refused(uid, claim);
            let owned = claim.keys(|component| !refused.contains_key(component));
            all.extend(owned.filter(|key| objects.contains(&key.object)).cloned());
        }
        all
    }

    /// The components of a resource whose routes are another's, and whose.
    pub(super) fn refused(&self, uid: &str) -> BTreeMap<String, Owner> {
        let book = self.book();
        book.by_uid
            .get(uid)
            .map_or_else(BTreeMap::new, |mine| book.refused(uid, mine))
    }

    /// The same, were this what the resource claims.
    pub(super) fn would_refuse(&self, uid: &str, claim: &Claim) -> BTreeMap<String, Owner> {
        self.book().refused(uid, claim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::plan::routers_digest;
    use crate::rollout::reason::State;
    use crate::rollout::spec::Component;
    use crate::rollout::status::ComponentStatus;
    use serde_json::json;

    fn component(name: &str, route: &str) -> Component {
        serde_json::from_value(json!({"name": name, "routers": [{"istio": {
            "virtualServices": [{"name": route}], "canary": {"host": "b"}, "control": {"host": "a"}}}]}))
        .unwrap()
    }

    /// Of each component its name, its route, and whether it has canary traffic there.
    fn claim(created: &str, name: &str, components: &[(&str, &str, bool)]) -> Claim {
        let named = components.iter().map(|(name, route, _)| component(name, route));
        let named: Vec<Component> = named.collect();
        let carries = components.iter().map(|(_, _, carries)| *carries);
        let known = named
            .iter()
            .zip(carries)
            .map(|(component, carries)| ComponentStatus {
                name: component.name.clone(),
                definition: carries.then(|| Box::new(component.clone())),
                ..ComponentStatus::default()
            });
        of_known(created, name, &named, &known.collect::<Vec<_>>())
    }

    fn of_known(created: &str, name: &str, named: &[Component], known: &[ComponentStatus]) -> Claim {
        let named = named.iter().map(|component| (component, &[][..]));
        Claim::of((created.to_owned(), name.to_owned()), "ns", known, named)
    }

    fn owners(claims: &Claims, uid: &str) -> Vec<(String, String)> {
        let refused = claims.refused(uid).into_iter();
        refused
            .map(|(component, owner)| (component, owner.name))
            .collect()
    }

    fn of(component: &str, owner: &str) -> Vec<(String, String)> {
        vec![(component.into(), owner.into())]
    }

    const OLD: &str = "2026-01-01T00:00:00Z";
    const YOUNG: &str = "2026-01-02T00:00:00Z";

    #[test]
    fn of_two_resources_that_name_one_object_the_older_owns_it() {
        let claims = Claims::default();
        claims.put("b", claim(OLD, "ns/old", &[("shop", "map", false)]));
        claims.put(
            "a",
            claim(
                YOUNG,
                "ns/young",
                &[("store", "map", false), ("cart", "other", false)],
            ),
        );
        assert_eq!(owners(&claims, "b"), []);
        assert_eq!(
            owners(&claims, "a"),
            of("store", "ns/old"),
            "and its other component is its own"
        );
        claims.remove("b");
        assert_eq!(owners(&claims, "a"), [], "an owner that is gone owns nothing");
        claims.put("c", claim(OLD, "ns/other", &[("shop", "another", false)]));
        assert_eq!(owners(&claims, "a"), [], "different objects do not meet");
    }

    #[test]
    fn whoever_has_canary_traffic_on_a_route_owns_it_whatever_is_older() {
        let claims = Claims::default();
        claims.put("young", claim(YOUNG, "ns/young", &[("store", "map", true)]));
        claims.put("old", claim(OLD, "ns/old", &[("shop", "map", false)]));
        assert_eq!(owners(&claims, "young"), []);
        assert_eq!(owners(&claims, "old"), of("shop", "ns/young"));
        claims.put("young", claim(YOUNG, "ns/young", &[("store", "map", false)]));
        assert_eq!(owners(&claims, "old"), [], "nothing is on it any more");
        claims.put("young", claim(YOUNG, "ns/young", &[("store", "map", true)]));
        claims.put("old", claim(OLD, "ns/old", &[("shop", "map", true)]));
        assert_eq!(
            owners(&claims, "young"),
            of("store", "ns/old"),
            "of two that have, the older"
        );
        assert_eq!(owners(&claims, "old"), []);
    }

    #[test]
    fn traffic_on_one_route_gives_no_right_to_another() {
        let claims = Claims::default();
        claims.put("young", claim(YOUNG, "ns/young", &[("store", "map", true)]));
        let mut edited = component("shop", "own");
        let before = ComponentStatus {
            definition: Some(Box::new(edited.clone())),
            ..ComponentStatus::default()
        };
        edited.routers.extend(component("shop", "map").routers);
        let old = of_known(OLD, "ns/old", &[edited], &[before]);
        assert_eq!(
            claims.would_refuse("old", &old).keys().collect::<Vec<_>>(),
            ["shop"]
        );
    }

    #[test]
    fn what_was_put_back_has_begun_where_it_was_and_what_was_detached_nowhere() {
        let back = |component: &Component, by: &Component, detached: bool| {
            let status = ComponentStatus {
                name: component.name.clone(),
                state: State::RolledBack,
                back: Some(routers_digest(by)),
                detached,
                ..ComponentStatus::default()
            };
            of_known(OLD, "ns/old", std::slice::from_ref(component), &[status])
        };
        let claims = Claims::default();
        let (here, elsewhere) = (component("shop", "map"), component("shop", "other"));
        claims.put("young", claim(YOUNG, "ns/young", &[("store", "map", true)]));
        let refused = |claim: &Claim| claims.would_refuse("old", claim).len();
        assert_eq!(
            refused(&back(&here, &here, false)),
            0,
            "of two that have begun, the older"
        );
        assert_eq!(
            refused(&back(&here, &elsewhere, false)),
            1,
            "edited onto a live route"
        );
        assert_eq!(refused(&back(&here, &here, true)), 1, "detached");
        claims.put("young", claim(YOUNG, "ns/young", &[("store", "map", false)]));
        assert_eq!(
            refused(&back(&here, &here, true)),
            1,
            "also where the other waits"
        );
        claims.put("old", back(&here, &here, true));
        assert_eq!(owners(&claims, "young"), [], "and it keeps nobody out");
    }

    #[test]
    fn what_concerns_nobody_else_wakes_nobody() {
        let claims = Claims::default();
        let mut changes = claims.changes();
        claims.put("a", claim(OLD, "ns/a", &[("shop", "map", false)]));
        claims.put("b", claim(OLD, "ns/b", &[("shop", "another", false)]));
        assert!(!changes.has_changed().unwrap());
        claims.put("b", claim(OLD, "ns/b", &[("shop", "map", false)]));
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        claims.put("b", claim(OLD, "ns/b", &[("shop", "another", false)]));
        assert!(changes.has_changed().unwrap(), "it let go of what another names");
    }
}
