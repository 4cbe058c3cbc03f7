//! The rights that a daemon needs for these rollouts: of `deploy/rbac.yaml` what their routers use, where they use it.

use super::code::D201;
use super::{Finding, Patient};
pub(crate) use crate::cluster::examine::Right;
use crate::cluster::lease;
use crate::rollout::router_spec::Router;
use crate::routing::{ObjectKind, needs, targets};
use std::collections::{BTreeMap, BTreeSet};

const WATCH: &[&str] = &["list", "watch"];
const WEIGH: &[&str] = &["get", "list", "watch", "patch"];

/// Every right, each once.
pub(crate) fn needed(patients: &[Patient], (home, lease, shards): (&str, &str, u32)) -> BTreeSet<Right> {
    let mut all = BTreeSet::new();
    let mut add = |namespace: &str, group, resource, subresource, name: &str, verbs: &[&'static str]| {
        all.extend(verbs.iter().map(|verb| Right {
            namespace: namespace.to_owned(),
            group,
            resource,
            subresource,
            name: name.to_owned(),
            verb,
        }));
    };
    let leases = "coordination.k8s.io";
    add(home, leases, "leases", "", "", &["create"]);
    let mut names = lease::names(lease, shards);
    // The plain name also says how many there are.
    names.push(lease.to_owned());
    for name in names {
        let held = &["get", "list", "watch", "update"];
        add(home, leases, "leases", "", &name, held);
    }
    for patient in patients {
        let namespace = patient.namespace.as_str();
        let own = "rollout.sealos.io";
        add(namespace, own, "gradualrollouts", "", "", WEIGH);
        add(namespace, own, "gradualrollouts", "status", "", &["patch"]);
        add(namespace, "events.k8s.io", "events", "", "", &["create", "patch"]);
        for component in patient.components() {
            for target in targets(component, namespace) {
                let object = target.object();
                if !object.kind.is_elsewhere() {
                    let (group, plural) = (object.kind.group(), object.kind.plural());
                    add(&object.namespace, group, plural, "", "", WEIGH);
                }
                for (namespace, _) in target.control_services() {
                    add(&namespace, "discovery.k8s.io", "endpointslices", "", "", WATCH);
                }
            }
            let splits = component
                .routers
                .iter()
                .any(|router| matches!(router, Router::IngressNginx(_)));
            for (kind, namespace) in needs(component, namespace) {
                let (group, plural) = (kind.group(), kind.plural());
                add(&namespace, group, plural, "", "", WATCH);
                // Canary Ingresses are made, weighed and deleted beside those that are split.
                if splits && kind == ObjectKind::Ingress {
                    let made = &["create", "patch", "delete"];
                    add(&namespace, group, plural, "", "", made);
                }
            }
        }
    }
    all
}

/// Rights that are lacking, those on the same kind in the same place in one sentence.
pub(crate) fn findings(lacking: &[Right]) -> Vec<Finding> {
    let mut grouped: BTreeMap<(&str, &str, &str, &str, &str), Vec<&str>> = BTreeMap::new();
    for right in lacking {
        let key = (
            right.namespace.as_str(),
            right.group,
            right.resource,
            right.subresource,
            right.name.as_str(),
        );
        grouped.entry(key).or_default().push(right.verb);
    }
    let each = grouped.into_iter();
    each.map(|((namespace, group, resource, subresource, name), verbs)| {
        let mut what = resource.to_owned();
        for (before, part) in [("/", subresource), (".", group), (" ", name)] {
            if !part.is_empty() {
                what.push_str(before);
                what.push_str(part);
            }
        }
        let message = format!("may not {} {what}", verbs.join(", "));
        Finding::new(D201, &format!("namespace {namespace}"), &message)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::plan::Plan;
    use crate::rollout::spec::GradualRollout;
    use serde_json::Value;
    use std::path::Path;

    const LEASE: (&str, &str, u32) = ("sealos-system", "gradual-rollout", 1);

    /// The rollouts of a file of `config/`.
    fn patients(file: &str) -> Vec<Patient> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(file);
        let text = std::fs::read_to_string(path).unwrap();
        let objects = text
            .split("\n---")
            .filter(|text| text.contains("kind: GradualRollout"));
        objects
            .map(|text| {
                let rollout: GradualRollout = serde_saphyr::from_str(text).unwrap();
                Patient {
                    namespace: "sealos-system".to_owned(),
                    name: "sealos-system/any".to_owned(),
                    plan: Plan::parse(&rollout.spec).unwrap(),
                }
            })
            .collect()
    }

    /// Whether a rule of `deploy/rbac.yaml` grants it.
    fn granted(rules: &[Value], right: &Right) -> bool {
        let has = |rule: &Value, list: &str, word: &str| {
            let words = rule.get(list).and_then(Value::as_array);
            words.is_none_or(|words| words.iter().any(|w| w == word))
        };
        let resource = match right.subresource {
            "" => right.resource.to_owned(),
            sub => format!("{}/{sub}", right.resource),
        };
        rules.iter().any(|rule| {
            has(rule, "apiGroups", right.group)
                && has(rule, "resources", &resource)
                && has(rule, "verbs", right.verb)
                && has(rule, "resourceNames", &right.name)
        })
    }

    #[test]
    fn nothing_is_asked_for_that_the_manifests_do_not_grant() {
        let manifest = include_str!("../../deploy/rbac.yaml");
        let rules: Vec<Value> = manifest
            .split("\n---\n")
            .flat_map(|text| {
                let object: Value = serde_saphyr::from_str(text).unwrap();
                object
                    .get("rules")
                    .and_then(Value::as_array)
                    .cloned()
                    .unwrap_or_default()
            })
            .collect();
        for file in ["shop.yaml", "sealos.yaml", "ingress-nginx.yaml"] {
            let needed = needed(&patients(file), LEASE);
            assert!(needed.len() > 10, "{file}: {}", needed.len());
            for right in needed {
                assert!(granted(&rules, &right), "{file}: {right:?}");
            }
        }
    }

    #[test]
    fn only_the_routers_in_use_ask_and_what_lacks_is_told_together() {
        let needed = needed(&patients("shop.yaml"), LEASE);
        assert!(needed.iter().any(|right| right.resource == "virtualservices"));
        assert!(!needed.iter().any(|right| right.resource == "ingresses"));
        let lacking: Vec<Right> = needed
            .into_iter()
            .filter(|right| right.resource == "virtualservices" && right.verb != "get")
            .collect();
        let told = findings(&lacking);
        assert_eq!(told.len(), 1);
        assert_eq!(
            told[0].message,
            "may not list, patch, watch virtualservices.networking.istio.io"
        );
    }
}
