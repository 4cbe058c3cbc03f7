//! Whose a routed object is of two rollouts that name it. The daemon writes nothing for the other, and nothing is written
//! for it from here: its canary may be the owner's control.

use crate::rollout::reason::Reason;
use crate::rollout::spec::{Component, GradualRollout};
use crate::routing::{Claim, ClaimKey, ObjectRef, named};
use std::collections::BTreeMap;

/// What the daemon says where the routes of all components are other rollouts', and where those of some are.
const CLAIMED: &str = "Claimed";
const PARTLY: &str = "PartlyClaimed";

/// The components of a rollout whose objects are another's, each with a sentence that says so. `all` are the rollouts
/// of the namespace, as far as they may be seen; what the daemon said before counts, too.
pub(super) fn foreign(
    rollout: &GradualRollout,
    all: &[GradualRollout],
    namespace: &str,
) -> BTreeMap<String, String> {
    let uid = |rollout: &GradualRollout| rollout.metadata.uid.clone().unwrap_or_default();
    let others: Vec<(String, Claim)> = all
        .iter()
        .filter(|other| uid(other) != uid(rollout))
        .map(|other| (uid(other), claim(other, namespace)))
        .collect();
    let others: Vec<(&str, &Claim)> = others.iter().map(|(uid, claim)| (uid.as_str(), claim)).collect();
    let met = claim(rollout, namespace).refused(&uid(rollout), &others).whole;
    let stalled = rollout
        .status
        .as_ref()
        .and_then(|status| status.condition("Stalled"));
    let stalled = stalled.filter(|c| c.status == "True" && (c.reason == CLAIMED || c.reason == PARTLY));
    let said = |component: &str| {
        let condition = stalled?;
        let of = rollout.status.as_ref()?.component(component);
        let meant = condition.reason == CLAIMED || of.is_some_and(|c| c.reason == Reason::Claimed);
        meant.then(|| format!("nothing of it is written: {}", condition.message))
    };
    let sentence = |component: &Component| match met.get(&component.name) {
        Some(owner) => Some(format!(
            "{owner}: nothing of it is written for this one; give the command to {}",
            owner.name
        )),
        None => said(&component.name),
    };
    let components = rollout.spec.components.iter();
    components
        .filter_map(|component| Some((component.name.clone(), sentence(component)?)))
        .collect()
}

/// As the daemon claims it, except what selections find.
fn claim(rollout: &GradualRollout, namespace: &str) -> Claim {
    let created = rollout
        .metadata
        .creation_timestamp
        .as_ref()
        .map(|at| at.0.to_string());
    let name = rollout.metadata.name.as_deref().unwrap_or_default();
    let home = rollout.metadata.namespace.as_deref().unwrap_or(namespace);
    let shown = if home == namespace {
        name.to_owned()
    } else {
        format!("{home}/{name}")
    };
    let known = rollout.status.as_ref().map_or(&[][..], |s| &s.components);
    let components = rollout
        .spec
        .components
        .iter()
        .map(|component| (component, &[][..]));
    Claim::of((created.unwrap_or_default(), shown), home, known, components)
}

/// What anybody claims, by object.
pub(super) fn all(rollouts: &[GradualRollout], namespace: &str) -> BTreeMap<ObjectRef, Vec<ClaimKey>> {
    let mut by_object: BTreeMap<ObjectRef, Vec<ClaimKey>> = BTreeMap::new();
    for rollout in rollouts {
        let home = rollout.metadata.namespace.as_deref().unwrap_or(namespace);
        let components = rollout.spec.components.iter();
        for claim in components.flat_map(|component| named(component, home)) {
            by_object.entry(claim.object.clone()).or_default().push(claim);
        }
    }
    by_object
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn rollout(name: &str, created: &str, canary: &str, route: &str) -> GradualRollout {
        let control = if canary == "v2" { "v1" } else { "v2" };
        serde_json::from_value(json!({
            "apiVersion": "rollout.sealos.io/v1alpha1", "kind": "GradualRollout",
            "metadata": {"name": name, "namespace": "ns", "uid": name, "creationTimestamp": created},
            "spec": {"steps": [{"weight": "5%", "hold": "1h"}], "components": [{"name": "shop", "routers": [{"istio": {
                "virtualServices": [{"name": route}],
                "canary": {"host": "shop", "subset": canary}, "control": {"host": "shop", "subset": control},
            }}]}]},
        }))
        .unwrap()
    }

    fn stalled(mut rollout: GradualRollout, reason: &str) -> GradualRollout {
        let condition = json!({"type": "Stalled", "status": "True", "reason": reason, "message": "it is another's",
            "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let status: Value = json!({"conditions": [condition]});
        rollout.status = Some(serde_json::from_value(status).unwrap());
        rollout
    }

    #[test]
    fn what_an_older_rollout_routes_is_foreign_even_where_the_two_arms_are_swapped() {
        let old = rollout("shop", "2026-01-01T00:00:00Z", "v2", "shop");
        let young = rollout("shop-reverse", "2026-01-02T00:00:00Z", "v1", "shop");
        let all = [old.clone(), young.clone()];
        let said = foreign(&young, &all, "ns");
        assert!(said["shop"].contains("is routed by the older shop"), "{said:?}");
        assert!(
            foreign(&old, &all, "ns").is_empty(),
            "the older one's are its own"
        );
        let other = rollout("other", "2026-01-02T00:00:00Z", "v2", "another");
        assert!(foreign(&other, &[old, other.clone()], "ns").is_empty());
    }

    #[test]
    fn what_a_rollout_of_another_namespace_routes_is_foreign_too() {
        let mut old = rollout("shop", "2026-01-01T00:00:00Z", "v2", "shop");
        let mut young = rollout("reverse", "2026-01-02T00:00:00Z", "v1", "shop");
        old.metadata.namespace = Some("apps".into());
        young.metadata.namespace = Some("ns".into());
        let mut routers = serde_json::to_value(&young.spec.components[0].routers).unwrap();
        routers[0]["istio"]["virtualServices"][0]["namespace"] = json!("apps");
        young.spec.components[0].routers = serde_json::from_value(routers).unwrap();
        let said = foreign(&young, &[old, young.clone()], "ns");
        assert!(
            said["shop"].contains("is routed by the older apps/shop"),
            "{said:?}"
        );
    }

    #[test]
    fn what_a_younger_rollout_has_canary_traffic_on_is_foreign_to_an_older() {
        let old = rollout("shop", "2026-01-01T00:00:00Z", "v2", "shop");
        let mut young = rollout("shop-reverse", "2026-01-02T00:00:00Z", "v1", "shop");
        let definition = serde_json::to_value(&young.spec.components[0]).unwrap();
        let status = json!({"components": [{"name": "shop", "definition": definition}]});
        young.status = Some(serde_json::from_value(status).unwrap());
        let all = [old.clone(), young.clone()];
        assert!(foreign(&young, &all, "ns").is_empty());
        assert!(foreign(&old, &all, "ns")["shop"].contains("shop-reverse, which has begun there"));
    }

    #[test]
    fn what_the_daemon_refused_is_foreign_where_others_cannot_be_seen() {
        let young = rollout("shop-reverse", "2026-01-02T00:00:00Z", "v1", "shop");
        let claimed = stalled(young.clone(), "Claimed");
        assert!(foreign(&claimed, std::slice::from_ref(&claimed), "ns")["shop"].contains("it is another's"));
        // A spec that is wrong in another place still says where its traffic is.
        let invalid = stalled(young, "InvalidSpec");
        assert!(foreign(&invalid, std::slice::from_ref(&invalid), "ns").is_empty());
    }
}
