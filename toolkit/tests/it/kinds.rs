//! Definitions of other projects' kinds, open to any content: what a test is about says each test.

use gradual_rollout_apiserver::Store;
use serde_json::{Value, json};

/// Group, kind, plural, and whether it has namespaces.
type Named = (&'static str, &'static str, &'static str, bool);

pub(crate) const ISTIO: [Named; 4] = [
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

pub(crate) const CERT_MANAGER: [Named; 3] = [
    ("cert-manager.io", "Certificate", "certificates", true),
    ("cert-manager.io", "Issuer", "issuers", true),
    ("cert-manager.io", "ClusterIssuer", "clusterissuers", false),
];

/// A definition; with subresources the status is written apart, as by a controller.
fn definition((group, kind, plural, namespaced): Named, versions: &[&str], subresources: &Value) -> Value {
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let versions: Vec<Value> = versions
        .iter()
        .enumerate()
        .map(|(index, name)| {
            json!({
                "name": name, "served": true, "storage": index == 0, "subresources": subresources,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": open, "status": open}}},
            })
        })
        .collect();
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group, "scope": if namespaced { "Namespaced" } else { "Cluster" }, "versions": versions,
            "names": {
                "kind": kind, "listKind": format!("{kind}List"), "plural": plural,
                "singular": kind.to_lowercase(),
            },
        },
    })
}

/// Serves Istio's kinds beside the `VirtualService`, which the store has.
pub(crate) fn istio(store: &Store) {
    for kind in ISTIO.into_iter().filter(|kind| kind.1 != "VirtualService") {
        let status = json!({"status": {}});
        store
            .register_crd(&definition(kind, &["v1", "v1beta1"], &status))
            .unwrap();
    }
}

/// Serves cert-manager's Certificates.
pub(crate) fn cert_manager(store: &Store) {
    let status = json!({"status": {}});
    store
        .register_crd(&definition(CERT_MANAGER[0], &["v1"], &status))
        .unwrap();
}

/// Serves a kind in v1, whose status is put with the rest.
pub(crate) fn serve(store: &Store, kind: Named) {
    store
        .register_crd(&definition(kind, &["v1"], &json!({})))
        .unwrap();
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
