//! Whose a routed object is: of two components that name it, of different resources, the one that has begun there (its
//! canary traffic is on it, or it is at 0 and waits for a person), and else the older resource's. The other writes
//! nothing: its canary may be the owner's control. What was detached keeps nobody out, and is kept out by everybody else.
//!
//! What a selection found has begun object by object: only where something stands that the component made. An upstream
//! that comes into a selection by a label is no reason to take it from whoever splits it, nor to stop watching over the
//! rest: of that, what somebody let go of is a part for whoever chooses it.
//!
//! Age alone would take a route away in the middle of its rollout: whoever edits an older resource so that it names the
//! route, too, would have it put back to what that one last wrote.

use super::{ClaimKey, Made, ObjectRef, Sought, Target, targets};
use crate::rollout::plan::routers_digest;
use crate::rollout::spec::Component;
use crate::rollout::status::ComponentStatus;
use std::collections::BTreeMap;
use std::fmt;

/// How far a component has come with what it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Begun {
    /// A canary of its own stands there.
    Standing,
    /// It has begun there, as far as the status remembers.
    Remembered,
    /// It has not.
    No,
}

/// A part of an object that a component writes.
#[derive(Clone, Debug, PartialEq)]
struct Held {
    key: ClaimKey,
    begun: Begun,
    /// A selection found it.
    found: bool,
    /// A canary stands there that is nobody's, and may have traffic.
    kept: bool,
    /// The component was detached: it keeps nobody else out, and is kept out by everybody else.
    detached: bool,
}

/// What one resource claims.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    created: String,
    name: String,
    keys: BTreeMap<String, Vec<Held>>,
}

impl Claim {
    /// What a resource claims: its creation time in RFC 3339 and UTC, which sorts by time, and its name for messages. Of
    /// each component what its routers name and what its selections found; `known` are the components as the status knows
    /// them: what has begun has, whatever it is called now.
    pub fn of<'a>(
        (created, name): (String, String),
        namespace: &str,
        known: &[ComponentStatus],
        components: impl IntoIterator<Item = (&'a Component, &'a [Sought])>,
    ) -> Self {
        let carrying: Vec<&Component> = known
            .iter()
            .filter(|c| !c.detached)
            .filter_map(|c| c.definition.as_deref())
            .collect();
        let carried: Vec<ClaimKey> = carrying.iter().flat_map(|c| named(c, namespace)).collect();
        let keys = components.into_iter().map(|(component, selected)| {
            let known = known.iter().find(|c| c.name == component.name);
            let detached = known.is_some_and(|c| c.detached);
            // By other routers it has begun elsewhere.
            let back = known.and_then(|c| c.back.as_ref());
            let put_back = back.is_some_and(|back| *back == routers_digest(component));
            // No definition tells what a selection found: it is the same selection's, or it is not.
            let found_begun = put_back || carrying.iter().any(|c| c.routers == component.routers);
            let held = |key: ClaimKey, found: bool, begun: Begun| Held {
                key,
                begun: if detached { Begun::No } else { begun },
                found,
                kept: false,
                detached,
            };
            let own = named(component, namespace).into_iter().map(|key| {
                let begun = put_back || carried.iter().any(|c| c.overlaps(&key));
                let begun = if begun { Begun::Remembered } else { Begun::No };
                held(key, false, begun)
            });
            let found = selected.iter().map(|sought| {
                let begun = match sought.made {
                    Made::Canary => Begun::Standing,
                    Made::Kept | Made::Traces if found_begun => Begun::Remembered,
                    Made::Kept | Made::Traces | Made::Nothing => Begun::No,
                };
                Held {
                    kept: sought.made == Made::Kept,
                    ..held(sought.key.clone(), true, begun)
                }
            });
            (component.name.clone(), own.chain(found).collect())
        });
        Self {
            keys: keys.collect(),
            created,
            name,
        }
    }

    /// The resource's name, as it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Every object of which something is claimed; some more than once.
    pub fn objects(&self) -> impl Iterator<Item = &ObjectRef> {
        self.keys.values().flatten().map(|key| &key.key.object)
    }

    /// What the components claim that `is_meant`.
    pub fn keys(&self, is_meant: impl Fn(&str) -> bool) -> impl Iterator<Item = &ClaimKey> {
        let meant = self.keys.iter().filter(move |(component, _)| is_meant(component));
        meant.flat_map(|(_, keys)| keys).map(|key| &key.key)
    }

    /// Of each component the first key that it has not begun on.
    pub fn not_begun(&self) -> BTreeMap<String, ClaimKey> {
        let first = |keys: &[Held]| {
            let new = keys.iter().find(|key| key.begun == Begun::No);
            new.map(|key| key.key.clone())
        };
        let all = self.keys.iter();
        all.filter_map(|(component, keys)| Some((component.clone(), first(keys)?)))
            .collect()
    }

    /// What is another's, and whose. `uid` is this resource's; `others` are other resources'.
    pub fn refused(&self, uid: &str, others: &[(&str, &Self)]) -> Refused {
        let owner = |key: &Held| {
            others.iter().find_map(|(other, claim)| {
                let rank =
                    |begun: Begun, created: &str, uid: &str| (begun, created.to_owned(), uid.to_owned());
                let mine = rank(key.begun, &self.created, uid);
                let all = claim.keys.iter();
                let mut all = all.flat_map(|(name, keys)| keys.iter().map(move |key| (name, key)));
                let (component, theirs) = all.find(|(_, theirs)| {
                    let before = || rank(theirs.begun, &claim.created, other) < mine;
                    !theirs.detached && theirs.key.overlaps(&key.key) && (key.detached || before())
                })?;
                let by_age = theirs.begun == key.begun && !key.detached;
                Some(Owner {
                    name: claim.name.clone(),
                    component: component.clone(),
                    key: key.key.clone(),
                    why: if by_age {
                        Why::Older
                    } else if theirs.begun != Begun::No {
                        Why::Begun
                    } else {
                        Why::Named
                    },
                })
            })
        };
        let mut refused = Refused::default();
        for (component, keys) in &self.keys {
            let owned: Vec<(&Held, Owner)> = keys.iter().filter_map(|key| Some((key, owner(key)?))).collect();
            let Some(first) = owned.iter().find(|(key, _)| !key.found).or(owned.first()) else {
                continue;
            };
            // Of what a selection found only that is left to its owner, where there is something else to watch over.
            // What nobody owns is that, too: traffic that was let go of and is chosen here would be unwatched else.
            let stands = |key: &&Held| {
                (key.begun != Begun::No || key.kept) && owned.iter().all(|(lost, _)| lost != key)
            };
            if !first.0.found || !keys.iter().any(|key| stands(&key)) {
                refused.whole.insert(component.clone(), first.1.clone());
                continue;
            }
            let parts = owned.into_iter().map(|(_, owner)| owner).collect();
            refused.parts.insert(component.clone(), parts);
        }
        refused
    }
}

/// What is another resource's of what a resource claims.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// The components of which nothing may be written, and whose their routes are.
    pub whole: BTreeMap<String, Owner>,
    /// The components that go on without some of what their selections found, and whose those objects are.
    pub parts: BTreeMap<String, Vec<Owner>>,
}

impl Refused {
    /// The objects that a component has to leave to others, and whose they are, in words.
    pub fn taken(&self, component: &str) -> BTreeMap<ObjectRef, String> {
        let parts = self.parts.get(component).into_iter().flatten();
        parts
            .map(|owner| (owner.key.object.clone(), owner.to_string()))
            .collect()
    }
}

/// Whose a component's route is, if not its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The resource that owns it.
    pub name: String,
    /// Which of its components.
    pub component: String,
    /// What both name.
    pub key: ClaimKey,
    /// Why it is the owner.
    pub why: Why,
}

/// Why of two that name a route one owns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It has begun there, and the other has not.
    Begun,
    /// Its resource is the older.
    Older,
    /// The other was detached.
    Named,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (object, name) = (&self.key.object, &self.name);
        match self.why {
            Why::Begun => write!(f, "{object} is routed by {name}, which has begun there"),
            Why::Older => write!(f, "{object} is routed by the older {name}"),
            Why::Named => write!(f, "{object} is routed by {name}"),
        }
    }
}

/// What a component's routers name.
pub fn named(component: &Component, namespace: &str) -> Vec<ClaimKey> {
    let all = targets(component, namespace);
    all.iter().flat_map(Target::claims).collect()
}
