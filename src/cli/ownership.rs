//! Whose a routed object is: of two rollouts that name one, the older's. The daemon writes nothing for the younger, and
//! nothing is written for it from here: its canary may be the older's control.

use crate::rollout::spec::{Component, GradualRollout};
use crate::routing::{ClaimKey, ObjectRef, Target, targets};
use std::collections::BTreeMap;

/// What the daemon says when it refuses a rollout for an object that an older one routes.
const CLAIMED: &str = "Claimed";

/// The components of a rollout whose objects are another's, each with a sentence that says so. `all` are the rollouts
/// of the namespace, as far as they may be seen; what the daemon said before counts, too.
pub(super) fn foreign(
    rollout: &GradualRollout,
    all: &[GradualRollout],
    namespace: &str,
) -> BTreeMap<String, String> {
    let older: Vec<(&str, ClaimKey)> = all
        .iter()
        .filter(|other| age(other) < age(rollout))
        .flat_map(|other| {
            let name = other.metadata.name.as_deref().unwrap_or_default();
            let claims = other.spec.components.iter().flat_map(|c| claims(c, namespace));
            claims.map(move |claim| (name, claim))
        })
        .collect();
    let said = rollout.status.as_ref().and_then(|status| status.refused());
    let said = said.filter(|condition| condition.reason == CLAIMED);
    let sentence = |component: &Component| {
        let mine = claims(component, namespace);
        let met = older
            .iter()
            .find(|(_, theirs)| mine.iter().any(|own| own.overlaps(theirs)));
        match (met, said) {
            (Some((owner, claim)), _) => Some(format!(
                "{} is routed by the older rollout {owner}: nothing of it is written for this one; give the command to {owner}",
                claim.object
            )),
            (None, Some(condition)) => Some(format!("nothing of it is written: {}", condition.message)),
            (None, None) => None,
        }
    };
    let components = rollout.spec.components.iter();
    components
        .filter_map(|component| Some((component.name.clone(), sentence(component)?)))
        .collect()
}

/// What anybody claims, by object.
pub(super) fn all(rollouts: &[GradualRollout], namespace: &str) -> BTreeMap<ObjectRef, Vec<ClaimKey>> {
    let components = rollouts.iter().flat_map(|rollout| &rollout.spec.components);
    let mut by_object: BTreeMap<ObjectRef, Vec<ClaimKey>> = BTreeMap::new();
    for claim in components.flat_map(|component| claims(component, namespace)) {
        by_object.entry(claim.object.clone()).or_default().push(claim);
    }
    by_object
}

fn claims(component: &Component, namespace: &str) -> Vec<ClaimKey> {
    let targets = targets(component, namespace);
    targets.iter().flat_map(Target::claims).collect()
}

/// As the daemon compares it: the creation time, and the uid where they are of one second.
fn age(rollout: &GradualRollout) -> (Option<jiff::Timestamp>, Option<&str>) {
    let created = rollout.metadata.creation_timestamp.as_ref().map(|at| at.0);
    (created, rollout.metadata.uid.as_deref())
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
        assert!(
            said["shop"].contains("is routed by the older rollout shop"),
            "{said:?}"
        );
        assert!(
            foreign(&old, &all, "ns").is_empty(),
            "the older one's are its own"
        );
        let other = rollout("other", "2026-01-02T00:00:00Z", "v2", "another");
        assert!(foreign(&other, &[old, other.clone()], "ns").is_empty());
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
