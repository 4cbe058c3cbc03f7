//! What every resource claims, so that of two that name one route one writes it ([`crate::routing::Claim`]).

use super::persist::Sound;
use crate::cluster::rollouts::RawRollout;
use crate::rollout::status::GradualRolloutStatus;
use crate::routing::{Claim, ClaimKey, Home, ObjectRef, Refused, Sought};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// What each component's selections found, by its name.
pub(super) type Selected = BTreeMap<String, Vec<Sought>>;

/// A resource by namespace and name.
pub(super) fn home(raw: &RawRollout) -> Home {
    Home::new(&raw.namespace, &raw.name)
}

/// What a resource claims that is worked by `sound`, as `status` knows it; `selected` is what its selections found.
pub(super) fn claim(
    raw: &RawRollout,
    sound: Option<&Sound>,
    status: &GradualRolloutStatus,
    selected: &Selected,
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
    /// Those whose selections were not looked at yet, so that they claim more than is known.
    unlooked: BTreeSet<String>,
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

    fn refused(&self, uid: &str, mine: &Claim) -> Refused {
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
        let mut book = self.book();
        book.unlooked.remove(uid);
        let known = book.take(uid).is_some();
        drop(book);
        if known {
            self.tell();
        }
    }

    /// Whether what a resource's selections find is among what it claims.
    pub(super) fn looked(&self, uid: &str, looked: bool) {
        let mut book = self.book();
        if looked {
            book.unlooked.remove(uid);
        } else {
            book.unlooked.insert(uid.to_owned());
        }
    }

    /// Whether everybody has told what it claims, the finds of its selections included.
    pub(super) fn is_known(&self) -> bool {
        let book = self.book();
        book.complete && book.unlooked.is_empty()
    }

    /// The resource of this namespace and name is gone, whichever it was.
    pub(super) fn forget(&self, (namespace, name): &(String, String)) {
        let name = format!("{namespace}/{name}");
        let mut book = self.book();
        let named = book.by_uid.iter().filter(|(_, claim)| claim.name() == name);
        let uids: Vec<String> = named.map(|(uid, _)| uid.clone()).collect();
        for uid in uids {
            book.unlooked.remove(&uid);
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
            let refused = book.refused(uid, claim).whole;
            let owned = claim.keys(|component| !refused.contains_key(component));
            all.extend(owned.filter(|key| objects.contains(&key.object)).cloned());
        }
        all
    }

    /// What is another's of what a resource claims, and whose.
    pub(super) fn refused(&self, uid: &str) -> Refused {
        let book = self.book();
        book.by_uid
            .get(uid)
            .map_or_else(Refused::default, |mine| book.refused(uid, mine))
    }

    /// The same, were this what the resource claims.
    pub(super) fn would_refuse(&self, uid: &str, claim: &Claim) -> Refused {
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
    use crate::routing::{Made, ObjectKind, Part};
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
        let refused = claims.refused(uid).whole.into_iter();
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
            claims.would_refuse("old", &old).whole.keys().collect::<Vec<_>>(),
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
        let refused = |claim: &Claim| claims.would_refuse("old", claim).whole.len();
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

    fn sought(canary: &str, made: Made) -> Sought {
        let object = ObjectRef {
            kind: ObjectKind::Ingress,
            namespace: "ns".into(),
            name: canary.into(),
        };
        Sought {
            key: ClaimKey {
                object,
                part: Part::Whole,
            },
            made,
        }
    }

    /// A component with canary traffic, whose selections found these.
    fn selecting(created: &str, name: &str, found: &[Sought]) -> Claim {
        let one: Component = serde_json::from_value(json!({"name": "shop", "routers": [{"ingressNginx": {
            "ingresses": {"names": [name]}, "gateway": {"namespace": "edge", "service": "gw", "port": 8081}}}]}))
        .unwrap();
        let known = ComponentStatus {
            name: one.name.clone(),
            definition: Some(Box::new(one.clone())),
            ..ComponentStatus::default()
        };
        let created = (created.to_owned(), name.to_owned());
        Claim::of(created, "ns", &[known], [(&one, found)])
    }

    #[test]
    fn what_selections_find_is_owned_by_what_stands_there_and_takes_nobody_off_the_rest() {
        let claims = Claims::default();
        let young = |made| selecting(YOUNG, "young", &[sought("blog", made)]);
        claims.put("young", young(Made::Canary));
        let both = [sought("x", Made::Canary), sought("blog", Made::Nothing)];
        claims.put("old", selecting(OLD, "old", &both));
        assert_eq!(claims.refused("young"), Refused::default());
        let refused = claims.refused("old");
        assert!(refused.whole.is_empty(), "{refused:?}");
        let taken = refused.taken("shop").into_values().collect::<Vec<_>>();
        assert_eq!(
            taken,
            ["ingress ns/blog is routed by young, which has begun there"]
        );
        // What is left of it after a rollback is enough, and less than a canary.
        claims.put("young", young(Made::Traces));
        assert_eq!(claims.refused("old").taken("shop").len(), 1);
        claims.put(
            "old",
            selecting(
                OLD,
                "old",
                &[sought("x", Made::Canary), sought("blog", Made::Canary)],
            ),
        );
        assert_eq!(claims.refused("old"), Refused::default());
        // Where nobody has begun the older has it; and who has begun nowhere waits as a whole.
        claims.put("young", young(Made::Nothing));
        claims.put("old", selecting(OLD, "old", &both));
        assert_eq!(claims.refused("old"), Refused::default());
        assert_eq!(owners(&claims, "young"), of("shop", "old"));
    }

    #[test]
    fn what_was_let_go_of_is_a_part_for_who_chooses_it_although_something_else_there_is_anothers() {
        let claims = Claims::default();
        claims.put(
            "young",
            selecting(YOUNG, "young", &[sought("blog", Made::Canary)]),
        );
        let none: Vec<ComponentStatus> = Vec::new();
        for detached in [false, true] {
            let one: Component = serde_json::from_value(json!({"name": "shop", "routers": []})).unwrap();
            let known = ComponentStatus {
                name: one.name.clone(),
                detached,
                ..ComponentStatus::default()
            };
            let known = if detached { vec![known] } else { none.clone() };
            let chosen = |x: Made| {
                let found = [sought("x", x), sought("blog", Made::Nothing)];
                let created = (OLD.to_owned(), "old".to_owned());
                Claim::of(created, "ns", &known, [(&one, found.as_slice())])
            };
            let kept = claims.would_refuse("old", &chosen(Made::Kept));
            assert!(kept.whole.is_empty(), "{kept:?}");
            assert_eq!(kept.taken("shop").len(), 1, "{kept:?}");
            let fresh = claims.would_refuse("old", &chosen(Made::Nothing));
            assert_eq!(fresh.whole.len(), 1, "who made nothing waits as a whole");
        }
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
