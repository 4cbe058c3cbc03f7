//! How much of a component's traffic its canary gets: what the routed objects in the store say, at this moment.

use super::apiserver::Store;
use super::tenants::Moves;
use crate::rollout::spec::{Component, Router};
use crate::rollout::weight::Weight;
use crate::routing::{Home, ObjectKind, Share, Stock, Target, confirmed, confirmed_key, found, needs};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Reads shares from a store. Cheap to clone; clones share what they remember.
#[derive(Clone, Debug)]
pub struct Shares {
    store: Store,
    home: Home,
    components: Arc<BTreeMap<String, Component>>,
    /// The store's version that the shares were read at.
    known: Arc<Mutex<(u64, BTreeMap<String, Weight>)>>,
}

impl Shares {
    /// The shares of the components of a rollout.
    pub fn new(store: Store, home: &Home, components: &[Component]) -> Self {
        let components = components.iter().map(|c| (c.name.clone(), c.clone())).collect();
        Self {
            store,
            home: home.clone(),
            components: Arc::new(components),
            known: Arc::default(),
        }
    }

    /// A component's share. What cannot be read counts as 0: such a gateway sends nothing to the canary.
    pub fn of(&self, component: &str) -> Weight {
        let version = self.store.version();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.0 != version {
            let all = self
                .components
                .iter()
                .map(|(name, c)| (name.clone(), self.read(c)));
            *known = (version, all.collect());
        }
        known.1.get(component).copied().unwrap_or_default()
    }

    /// Whether every routed object of a component says this weight.
    pub fn all_say(&self, component: &str, weight: Weight) -> bool {
        self.components.get(component).is_some_and(|component| {
            found(component, &self.home, &self.stock(component))
                .targets
                .iter()
                .all(|target| self.said(target) == Some((weight, weight)))
        })
    }

    /// What a component's weight is a share of: of its requests, as soon as one router can say so.
    pub fn moves(&self, component: &str) -> Moves {
        let switch = |router: &Router| matches!(router, Router::ControllerSwitch(_));
        let found = self.components.get(component);
        if found.is_some_and(|component| component.routers.iter().all(switch)) {
            Moves::HOSTS
        } else {
            Moves::Requests
        }
    }

    /// The edge decides; of a component that has only a controller's switch, the switch.
    fn read(&self, component: &Component) -> Weight {
        let all = found(component, &self.home, &self.stock(component)).targets;
        let edge = all.iter().find(|t| t.share() == Share::Requests).or(all.first());
        edge.and_then(|target| self.said(target))
            .map_or(Weight::ZERO, |(_, highest)| highest)
    }

    fn stock(&self, component: &Component) -> Stock {
        let mut stock = Stock::default();
        for (kind, namespace) in needs(component, &self.home.namespace) {
            let mut objects = self.store.list(&resource(kind));
            let here = |json: &Arc<Value>| {
                json.pointer("/metadata/namespace").and_then(Value::as_str) == Some(namespace.as_str())
            };
            objects.retain(here);
            stock.put(kind, &namespace, objects);
        }
        stock
    }

    /// What a person confirmed of a component.
    fn confirmed(&self, component: &str) -> Weight {
        let all = self.store.list("gradualrollouts.rollout.sealos.io");
        let said = all.iter().find_map(|rollout| {
            let annotations = rollout.pointer("/metadata/annotations")?;
            confirmed(annotations.get(confirmed_key(component))?.as_str()?)
        });
        said.map_or(Weight::ZERO, |stamp| stamp.weight())
    }

    fn said(&self, target: &Target<'_>) -> Option<(Weight, Weight)> {
        let object = target.object();
        if target.instructions().is_some() {
            let weight = self.confirmed(&object.name);
            return Some((weight, weight));
        }
        let json = self
            .store
            .get(&resource(object.kind), &object.namespace, &object.name);
        let seen = match json {
            Some(json) => target.read(&json).ok()?,
            None => target.absent()?,
        };
        Some((seen.lowest, seen.weight))
    }
}

/// The name of a kind's resource in the store.
pub(super) fn resource(kind: ObjectKind) -> String {
    match kind.group() {
        "" => kind.plural().to_owned(),
        group => format!("{}.{group}", kind.plural()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::sandbox::{cluster, plan::Plan};

    #[test]
    fn the_share_follows_the_weight_in_the_store() {
        let store = Store::new(Clock::simulated("2026-01-05T02:00:00Z".parse().unwrap()));
        let rollout = Plan::Sealos.rollout().unwrap();
        cluster::furnish(&store, &rollout).unwrap();
        let shares = Shares::new(
            store.clone(),
            &Home::of(&rollout, "sealos-system"),
            &rollout.spec.components,
        );
        assert_eq!(shares.of("frontend"), Weight::ZERO);
        assert!(shares.all_say("frontend", Weight::ZERO));
        assert_eq!(shares.moves("frontend"), Moves::Requests);
        assert_eq!(shares.moves("terminal"), Moves::HOSTS);
        let edge = "virtualservices.networking.istio.io";
        let mut edited = (*store.get(edge, "sealos-system", "sealos-frontend").unwrap()).clone();
        edited["spec"]["http"][0]["route"][0]["weight"] = 75.into();
        edited["spec"]["http"][0]["route"][1]["weight"] = 25.into();
        store.put(edited).unwrap();
        assert_eq!(shares.of("frontend").permille(), 250);
        assert_eq!(shares.of("terminal"), Weight::ZERO);
        store.delete(edge, "sealos-system", "sealos-frontend").unwrap();
        assert_eq!(shares.of("frontend"), Weight::ZERO);
    }
}
