//! Definitions of other projects' kinds, open to any content: what a test is about says each test.

use gradual_rollout_apiserver::Store;
use serde_json::{Value, json};

fn definition(group: &str, kind: &str, plural: &str, versions: &[&str]) -> Value {
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let versions: Vec<Value> = versions
        .iter()
        .enumerate()
        .map(|(index, name)| {
            json!({
                "name": name, "served": true, "storage": index == 0, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": open, "status": open}}},
            })
        })
        .collect();
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group, "scope": "Namespaced", "versions": versions,
            "names": {
                "kind": kind, "listKind": format!("{kind}List"), "plural": plural,
                "singular": kind.to_lowercase(),
            },
        },
    })
}

/// Serves Istio's kinds beside the `VirtualService`, which the store has.
pub(crate) fn istio(store: &Store) {
    for (group, kind, plural) in [
        ("networking.istio.io", "Gateway", "gateways"),
        ("networking.istio.io", "DestinationRule", "destinationrules"),
        (
            "security.istio.io",
            "AuthorizationPolicy",
            "authorizationpolicies",
        ),
    ] {
        store
            .register_crd(&definition(group, kind, plural, &["v1", "v1beta1"]))
            .unwrap();
    }
}

/// Serves cert-manager's Certificates.
pub(crate) fn cert_manager(store: &Store) {
    let certificates = definition("cert-manager.io", "Certificate", "certificates", &["v1"]);
    store.register_crd(&certificates).unwrap();
}

/// Group, kind, plural, and whether it has namespaces.
pub(crate) const ISTIO: [(&str, &str, &str, bool); 4] = [
    ("networking.istio.io", "Gateway", "gateways", true),
    ("networking.istio.io", "VirtualService", "virtualservices", true),
    ("networking.istio.io", "DestinationRule", "destinationrules", true),
    (
        "security.istio.io",
        "AuthorizationPolicy",
        "authorizationpolicies",
        true,
    ),
];

pub(crate) const CERT_MANAGER: [(&str, &str, &str, bool); 3] = [
    ("cert-manager.io", "Certificate", "certificates", true),
    ("cert-manager.io", "Issuer", "issuers", true),
    ("cert-manager.io", "ClusterIssuer", "clusterissuers", false),
];

/// Serves a kind in v1.
pub(crate) fn serve(store: &Store, (group, kind, plural, namespaced): (&str, &str, &str, bool)) {
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group, "scope": if namespaced { "Namespaced" } else { "Cluster" },
            "names": {
                "kind": kind, "listKind": format!("{kind}List"), "plural": plural, "singular": kind.to_lowercase(),
            },
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": open, "status": open}}},
            }],
        },
    });
    store.register_crd(&definition).unwrap();
}

/// Puts an object, and its namespace before it.
pub(crate) fn put(store: &Store, object: Value) {
    if let Some(namespace) = object.pointer("/metadata/namespace").and_then(Value::as_str) {
        store.namespace(namespace);
    }
    store
        .put(object.clone())
        .unwrap_or_else(|refused| panic!("{object}: {refused}"));
}
