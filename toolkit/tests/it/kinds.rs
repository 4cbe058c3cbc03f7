//! Definitions that a migration meets, as small as they can be: Istio's and cert-manager's.

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
