//! A small definition of Istio's VirtualService: as lenient as the real one where it matters (any weight, unknown
//! fields deep inside routes survive), and small enough to read.

use serde_json::{Value, json};

/// The `CustomResourceDefinition` of `virtualservices.networking.istio.io`.
pub(super) fn virtual_services() -> Value {
    let texts = json!({"type": "array", "items": {"type": "string"}});
    let route = json!({"type": "array", "items": {
        "type": "object", "required": ["destination"], "x-kubernetes-preserve-unknown-fields": true,
        "properties": {
            "destination": {
                "type": "object", "required": ["host"], "x-kubernetes-preserve-unknown-fields": true,
                "properties": {"host": {"type": "string"}, "subset": {"type": "string"}},
            },
            "weight": {"type": "integer", "format": "int32"},
        },
    }});
    let rules = json!({"type": "array", "items": {
        "type": "object", "x-kubernetes-preserve-unknown-fields": true,
        "properties": {"name": {"type": "string"}, "route": route},
    }});
    let schema = json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {
            "hosts": texts, "gateways": texts, "exportTo": texts, "http": rules, "tls": rules, "tcp": rules,
        }},
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    }});
    let version = |name: &str, storage: bool| {
        json!({
            "name": name, "served": true, "storage": storage,
            "schema": {"openAPIV3Schema": schema},
            "subresources": {"status": {}},
            "additionalPrinterColumns": [
                {"name": "Gateways", "type": "string", "jsonPath": ".spec.gateways"},
                {"name": "Hosts", "type": "string", "jsonPath": ".spec.hosts"},
                {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
            ],
        })
    };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "virtualservices.networking.istio.io"},
        "spec": {
            "group": "networking.istio.io", "scope": "Namespaced",
            "names": {
                "kind": "VirtualService", "listKind": "VirtualServiceList", "plural": "virtualservices",
                "singular": "virtualservice", "shortNames": ["vs"],
                "categories": ["istio-io", "networking-istio-io"],
            },
            "versions": [version("v1", true), version("v1beta1", false), version("v1alpha3", false)],
        },
    })
}
