//! Who owns a routed object: of two resources that name it, the older. The younger writes nothing.

use crate::routing::{ClaimKey, ObjectRef};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// What one resource claims.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    /// Its creation time, in the API server's own text: RFC 3339 in UTC sorts by time.
    pub(super) created: String,
    /// Namespace and name, for messages.
    pub(super) name: String,
    /// The parts of objects it writes.
    pub(super) keys: Vec<ClaimKey>,
}

/// Everybody's claims. Cheap to clone; clones see the same.
#[derive(Clone, Debug)]
pub(super) struct Claims {
    by_uid: Arc<Mutex<BTreeMap<String, Claim>>>,
    changed: Arc<watch::Sender<u64>>,
}

impl Default for Claims {
    fn default() -> Self {
        Self {
            by_uid: Arc::default(),
            changed: Arc::new(watch::channel(0).0),
        }
    }
}

impl Claims {
    /// Registers what a resource claims now.
    pub(super) fn put(&self, uid: &str, claim: Claim) {
        self.by_uid
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(uid.to_owned(), claim);
        self.changed.send_modify(|n| *n += 1);
    }

    /// A resource is gone.
    pub(super) fn remove(&self, uid: &str) {
        self.by_uid
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(uid);
        self.changed.send_modify(|n| *n += 1);
    }

    /// The resource of this namespace and name is gone, whichever it was.
    pub(super) fn forget(&self, (namespace, name): &(String, String)) {
        let name = format!("{namespace}/{name}");
        self.by_uid
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, claim| claim.name != name);
        self.changed.send_modify(|n| *n += 1);
    }

    /// Tells when anybody's claims change.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// What is claimed of these objects. Whoever is refused for an older one's sake claims nothing.
    pub(super) fn on(&self, objects: &BTreeSet<ObjectRef>) -> Vec<ClaimKey> {
        let near = |claim: &Claim| claim.keys.iter().any(|key| objects.contains(&key.object));
        let claims = self.by_uid.lock().unwrap_or_else(PoisonError::into_inner);
        let uids: Vec<String> = claims
            .iter()
            .filter(|(_, claim)| near(claim))
            .map(|(uid, _)| uid.clone())
            .collect();
        drop(claims);
        let owners = uids.into_iter().filter(|uid| self.older_owner(uid).is_none());
        let owners: Vec<String> = owners.collect();
        let claims = self.by_uid.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = owners
            .iter()
            .filter_map(|uid| claims.get(uid))
            .flat_map(|claim| &claim.keys);
        keys.filter(|key| objects.contains(&key.object))
            .cloned()
            .collect()
    }

    /// The older resource that claims something of this one's, and what.
    pub(super) fn older_owner(&self, uid: &str) -> Option<(String, ClaimKey)> {
        let claims = self.by_uid.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = claims.get(uid)?;
        let age = |uid: &str, claim: &Claim| (claim.created.clone(), uid.to_owned());
        claims
            .iter()
            .filter(|(other, claim)| age(other, claim) < age(uid, mine))
            .find_map(|(_, claim)| {
                let key = mine
                    .keys
                    .iter()
                    .find(|key| claim.keys.iter().any(|k| k.overlaps(key)))?;
                Some((claim.name.clone(), key.clone()))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::{ObjectKind, Part};

    fn claim(created: &str, name: &str, map: &str) -> Claim {
        let object = ObjectRef {
            kind: ObjectKind::ConfigMap,
            namespace: "ns".into(),
            name: map.into(),
        };
        Claim {
            created: created.into(),
            name: name.into(),
            keys: vec![ClaimKey {
                object,
                part: Part::Whole,
            }],
        }
    }

    #[test]
    fn of_two_resources_that_name_one_object_the_older_owns_it() {
        let claims = Claims::default();
        claims.put("b", claim("2026-01-01T00:00:00Z", "ns/old", "map"));
        claims.put("a", claim("2026-01-02T00:00:00Z", "ns/young", "map"));
        assert_eq!(claims.older_owner("b"), None);
        assert_eq!(
            claims.older_owner("a").map(|(name, _)| name),
            Some("ns/old".into())
        );
        claims.remove("b");
        assert_eq!(
            claims.older_owner("a"),
            None,
            "an owner that is gone owns nothing"
        );
        claims.put("c", claim("2026-01-01T00:00:00Z", "ns/other", "another"));
        assert_eq!(claims.older_owner("a"), None, "different objects do not meet");
    }
}
