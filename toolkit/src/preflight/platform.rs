//! The cluster itself, the platform's controllers, and the tenants.

use super::code;
use super::picture::Picture;
use crate::finding::Finding;
use crate::see::{self, entries, items, text};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The oldest version of Kubernetes.
const OLDEST: (u32, u32) = (1, 27);
/// The first with `ValidatingAdmissionPolicies` in v1.
const POLICIES: (u32, u32) = (1, 30);
/// What the documents ask to be free: CPUs and bytes.
const FREE: (f64, f64) = (8.0, 16.0 * 1024.0 * 1024.0 * 1024.0);

/// Which of the cluster's objects are the platform's.
pub(super) struct Platform<'a> {
    /// The namespace of its controllers.
    pub namespace: &'a str,
    /// Their Deployments.
    pub controllers: &'a [String],
    /// How the namespaces of tenants begin.
    pub tenants: &'a str,
}

/// Version, rights and room.
pub(super) fn cluster(picture: &Picture, found: &mut Vec<Finding>) {
    let (major, minor) = picture.version;
    if picture.version < OLDEST {
        found.push(code::CLUSTER_OLD.at("cluster", format!("it is {major}.{minor}")));
    } else if picture.version < POLICIES || !picture.serves("ValidatingAdmissionPolicy") {
        found.push(code::POLICY_UNSUPPORTED.at("cluster", format!("it is {major}.{minor}")));
    }
    for (resource, said) in picture.unseen() {
        found.push(code::NOT_LOOKED_AT.at(resource, said));
    }
    if let Some(why) = &picture.rights.unknown {
        found.push(code::NOT_LOOKED_AT.at("selfsubjectaccessreviews.authorization.k8s.io", why));
    }
    for right in &picture.rights.missing {
        found.push(code::RIGHT_MISSING.at("you", right));
    }
    if picture.sees("Node") && picture.sees("Pod") {
        capacity(picture, found);
    }
}

fn capacity(picture: &Picture, found: &mut Vec<Finding>) {
    let open = |node: &&Value| {
        node.pointer("/spec/unschedulable").and_then(Value::as_bool) != Some(true)
            && !items(node, "/spec/taints").any(|taint| text(taint, "/effect") != Some("PreferNoSchedule"))
    };
    let of = |value: &Value, pointer: &str| text(value, pointer).and_then(quantity).unwrap_or_default();
    let nodes: Vec<&Value> = picture.of("Node").iter().filter(open).collect();
    let total = |resource: &str| -> f64 {
        let pointer = format!("/status/allocatable/{resource}");
        nodes.iter().map(|node| of(node, &pointer)).sum()
    };
    let names: BTreeSet<&str> = nodes.iter().map(|node| see::name(node)).collect();
    // What runs where nothing new may run takes nothing of the room that is counted.
    let counted = |pod: &&Value| text(pod, "/node").is_some_and(|node| names.contains(node));
    let asked = |resource: &str| -> f64 {
        let pods = picture.of("Pod").iter().filter(counted);
        let pods = pods.flat_map(|pod| items(pod, "/requests"));
        pods.map(|requests| of(requests, &format!("/{resource}"))).sum()
    };
    let free = (total("cpu") - asked("cpu"), total("memory") - asked("memory"));
    if free.0 < FREE.0 || free.1 < FREE.1 {
        let gib = free.1 / (1024.0 * 1024.0 * 1024.0);
        let says = format!(
            "{:.1} CPUs and {gib:.1} GiB are free on {} nodes",
            free.0,
            nodes.len()
        );
        found.push(code::CAPACITY_LOW.at("cluster", says));
    }
}

/// A quantity as Kubernetes writes it.
pub(super) fn quantity(text: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 14] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("", 1.0),
    ];
    let (unit, factor) = UNITS.iter().find(|(unit, _)| text.ends_with(unit))?;
    let number: f64 = text.strip_suffix(unit)?.parse().ok()?;
    Some(number * factor)
}

/// The switches by which a controller of the platform is known to speak Istio.
const SWITCHES: &[&str] = &[
    "ENABLE_ISTIO_WEBHOOKS",
    "ISTIO_ENABLED",
    "ISTIO_PERCENTAGE",
    "NETWORKING_MODE",
    "USE_ISTIO_NETWORKING",
];

/// Whether the platform's controllers can create both kinds of objects.
pub(super) fn controllers(picture: &Picture, platform: &Platform<'_>, found: &mut Vec<Finding>) {
    if !picture.sees("Deployment") {
        return;
    }
    for name in platform.controllers {
        let place = format!("Deployment {}/{name}", platform.namespace);
        let Some(deployment) = picture.find("Deployment", platform.namespace, name) else {
            found.push(code::CONTROLLER_MISSING.at(place, "it is not there"));
            continue;
        };
        let by_variable = items(deployment, "/spec/template/spec/containers")
            .flat_map(|container| items(container, "/env"))
            .filter_map(|variable| text(variable, "/name"))
            .any(|variable| SWITCHES.contains(&variable));
        let config = picture.find("ConfigMap", platform.namespace, &format!("{name}-config"));
        let by_config = config.is_some_and(|config| {
            entries(config, "/data")
                .any(|(key, _)| ["networking_mode", "istio_percentage"].contains(&key.as_str()))
        });
        if !by_variable && !by_config {
            let says = format!(
                "neither one of its variables ({}) nor networking_mode in ConfigMap {name}-config",
                SWITCHES.join(", ")
            );
            found.push(code::CONTROLLER_NOT_DUAL.at(place, says));
        }
    }
}

/// Quotas and load balancers in the tenants' namespaces.
pub(super) fn tenants(picture: &Picture, platform: &Platform<'_>, found: &mut Vec<Finding>) {
    let is_tenant = |object: &&Value| see::namespace(object).starts_with(platform.tenants);
    for service in picture.of("Service").iter().filter(is_tenant) {
        if text(service, "/spec/type") == Some("LoadBalancer") {
            let ports = items(service, "/spec/ports").count();
            found.push(code::TENANT_LOAD_BALANCER.at(see::object(service), format!("it has {ports} ports")));
        }
    }
    let mut open: BTreeMap<&str, bool> = picture
        .of("Namespace")
        .iter()
        .map(see::name)
        .filter(|name| name.starts_with(platform.tenants))
        .map(|name| (name, true))
        .collect();
    for quota in picture.of("ResourceQuota").iter().filter(is_tenant) {
        let closed = text(quota, "/spec/hard/services.loadbalancers") == Some("0");
        if let Some(known) = open.get_mut(see::namespace(quota)).filter(|_| closed) {
            *known = false;
        }
    }
    let open: Vec<String> = open
        .into_iter()
        .filter(|(_, open)| *open)
        .map(|(name, _)| name.to_owned())
        .collect();
    if !open.is_empty() && picture.sees("ResourceQuota") {
        let says = format!("{} namespaces: {}", open.len(), super::ingress::named(&open));
        found.push(code::QUOTA_OPEN.at("tenants", says));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_that_is_too_old_is_a_blocker_and_one_without_policies_a_warning() {
        let codes = |version| {
            let mut found = Vec::new();
            cluster(&Picture::blank(version), &mut found);
            found.iter().map(|finding| finding.code).collect::<Vec<_>>()
        };
        assert_eq!(codes((1, 26)), ["CLUSTER-OLD"]);
        assert_eq!(codes((1, 29)), ["POLICY-UNSUPPORTED"]);
    }

    #[test]
    fn quantities_are_read_as_kubernetes_writes_them() {
        let read = |text: &str| quantity(text).unwrap_or(f64::NAN);
        for (text, number) in [
            ("500m", 0.5),
            ("2", 2.0),
            ("1.5", 1.5),
            ("16Gi", 17_179_869_184.0),
            ("128974848", 128_974_848.0),
            ("1k", 1000.0),
            ("1e3", 1000.0),
        ] {
            assert!((read(text) - number).abs() < 1e-9, "{text}");
        }
        assert!(read("many").is_nan());
    }
}
