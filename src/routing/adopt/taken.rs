//! What belongs to somebody already: routes, names of components, names of resources.

use super::Draft;
use super::pairs::component;
use crate::rollout::router_spec::Router;
use crate::rollout::spec::{Arms, Component, GradualRollout};
use crate::routing::Target;
use crate::routing::found::{Found, found};
use crate::routing::home::Home;
use crate::routing::object::{ClaimKey, ObjectRef, Part};
use crate::routing::stamp::fnv1a;
use crate::routing::stock::Stock;
use std::collections::{BTreeMap, BTreeSet};

/// The longest name of a component.
const LONGEST: usize = 63;

/// What the resources of a cluster write, and what they are called.
#[derive(Clone, Debug, Default)]
pub struct Taken {
    /// By the object: the part, and who writes it.
    claims: BTreeMap<ObjectRef, Vec<(ClaimKey, String)>>,
    /// Names of components, by namespace: a command that names one should not have to ask which.
    components: BTreeSet<(String, String)>,
    /// Names of resources, by namespace.
    resources: BTreeSet<(String, String)>,
}

impl Taken {
    /// Adds a resource of the cluster; the stock holds what its selections look through.
    pub fn add(&mut self, rollout: &GradualRollout, stock: &Stock) {
        let namespace = rollout.metadata.namespace.clone().unwrap_or_default();
        let name = rollout.metadata.name.clone().unwrap_or_default();
        for component in &rollout.spec.components {
            let owner = format!(
                "it belongs to component {} of the GradualRollout {namespace}/{name}",
                component.name
            );
            self.claim(component, &Home::new(&namespace, &name), stock, &owner);
        }
        self.resources.insert((namespace, name));
    }

    /// Whether a resource has the name.
    pub(super) fn has_resource(&self, namespace: &str, name: &str) -> bool {
        self.resources.contains(&(namespace.to_owned(), name.to_owned()))
    }

    /// Who writes what the component would write; `None` when nobody does.
    pub(super) fn owner(&self, component: &Component, namespace: &str) -> Option<String> {
        self.owner_with(component, namespace, &Stock::default())
    }

    /// The same for a component that selects.
    pub(super) fn owner_with(&self, component: &Component, namespace: &str, stock: &Stock) -> Option<String> {
        let found = found(component, &Home::unnamed(namespace), stock);
        keys(&found).find_map(|claim| {
            // Names of components are chosen so that marks never meet.
            if matches!(claim.part, Part::Stamp(_)) {
                return None;
            }
            let there = self.claims.get(&claim.object)?;
            let (_, owner) = there.iter().find(|(other, _)| other.overlaps(&claim))?;
            Some(owner.clone())
        })
    }

    /// A draft with a name that nobody has in its namespace, made from what it should be called.
    pub(super) fn fresh_draft(
        &self,
        object: ObjectRef,
        router: Router,
        arms: Arms,
        notes: Vec<String>,
        called: &str,
    ) -> Result<Draft, String> {
        let namespace = object.namespace.clone();
        let name = self.fresh_name(&namespace, called)?;
        Ok(Draft {
            namespace,
            component: component(name, router, arms),
            objects: vec![object],
            notes,
        })
    }

    fn fresh_name(&self, namespace: &str, called: &str) -> Result<String, String> {
        let free = |name: &String| !self.components.contains(&(namespace.to_owned(), name.clone()));
        let base = label(called, LONGEST);
        std::iter::once(base)
            .chain((2..10_000).map(|n| format!("{}-{n}", label(called, LONGEST - 5))))
            .find(free)
            .ok_or_else(|| format!("no free name for a component could be made of {called:?}"))
    }

    /// Takes a draft's routes and name; `meets` says what whoever wants the same has to be told.
    pub(super) fn take(&mut self, draft: &Draft, stock: &Stock, meets: &str) {
        let owner = format!("component {} here has it already; {meets}", draft.component.name);
        self.claim(&draft.component, &Home::unnamed(&draft.namespace), stock, &owner);
    }

    fn claim(&mut self, component: &Component, home: &Home, stock: &Stock, owner: &str) {
        for claim in keys(&found(component, home, stock)) {
            let there = self.claims.entry(claim.object.clone()).or_default();
            there.push((claim, owner.to_owned()));
        }
        self.components
            .insert((home.namespace.clone(), component.name.clone()));
    }
}

/// What a component writes, and what its selections find, whoever's that is.
fn keys(found: &Found<'_>) -> impl Iterator<Item = ClaimKey> {
    let named = found.targets.iter().flat_map(Target::claims);
    let mut all: Vec<ClaimKey> = named.collect();
    all.extend(found.sought.iter().map(|sought| sought.key.clone()));
    all.into_iter()
}

/// A part of a DNS name made of an object's name: at most so long; what is cut or changed leaves a hash, so that
/// names that differ stay apart.
pub(super) fn label(name: &str, longest: usize) -> String {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let written: String = name.chars().map(|c| if legal(c) { c } else { '-' }).collect();
    let written = written.trim_matches('-');
    if written == name && name.len() <= longest && !name.is_empty() {
        return name.to_owned();
    }
    let hash = format!("{:08x}", fnv1a(name.as_bytes()) & 0xffff_ffff);
    let head: String = written.chars().take(longest.saturating_sub(9)).collect();
    match head.trim_end_matches('-') {
        "" => format!("c-{hash}"),
        head => format!("{head}-{hash}"),
    }
}

#[cfg(test)]
mod tests {
    use super::label;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_name_becomes_a_label_and_different_ones_stay_apart(a in "[a-z0-9.-]{0,80}", b in "[a-zA-Z0-9._-]{0,80}") {
            for name in [label(&a, 58), label(&b, 58)] {
                prop_assert!((1..=58).contains(&name.len()), "{name}");
                prop_assert!(!name.starts_with('-') && !name.ends_with('-'));
                prop_assert!(name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-'));
            }
            prop_assert_eq!(label(&a, 58) == label(&b, 58), a == b);
        }
    }

    #[test]
    fn a_name_that_is_a_label_stays_as_it_is() {
        assert_eq!(label("shop-v2", 63), "shop-v2");
        assert!(label("shop.example.com", 63).starts_with("shop-example-com-"));
    }
}
