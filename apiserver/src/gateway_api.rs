//! Small definitions of the Gateway API's routes: the schema of what carries weights, with its bounds and defaults, and
//! anything else as it is given. And a stand-in for a gateway's controller, which accepts every route.

use super::json::meta;
use super::store::Store;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::broadcast::error::RecvError;

/// Kind, plural and versions, the stored one first.
const ROUTES: [(&str, &str, &[&str]); 4] = [
    ("HTTPRoute", "httproutes", &["v1", "v1beta1"]),
    ("GRPCRoute", "grpcroutes", &["v1"]),
    ("TLSRoute", "tlsroutes", &["v1", "v1alpha3", "v1alpha2"]),
    ("TCPRoute", "tcproutes", &["v1", "v1alpha2"]),
];

/// The `CustomResourceDefinition`s of the four kinds of routes.
pub(super) fn routes() -> impl Iterator<Item = Value> {
    ROUTES
        .into_iter()
        .map(|(kind, plural, versions)| definition(kind, plural, versions))
}

fn definition(kind: &str, plural: &str, versions: &[&str]) -> Value {
    let reference = json!({
        "group": {"type": "string", "maxLength": 253}, "kind": {"type": "string", "maxLength": 63},
        "namespace": {"type": "string", "maxLength": 63}, "name": {"type": "string", "maxLength": 253},
        "sectionName": {"type": "string", "maxLength": 253},
        "port": {"type": "integer", "format": "int32", "minimum": 1, "maximum": 65535},
    });
    let parents = json!({"type": "array", "maxItems": 32, "items": {
        "type": "object", "required": ["name"], "properties": with_defaults(&reference, &[
            ("group", json!("gateway.networking.k8s.io")), ("kind", json!("Gateway")),
        ]),
    }});
    let mut backend = with_defaults(&reference, &[("group", json!("")), ("kind", json!("Service"))]);
    if let Some(fields) = backend.as_object_mut() {
        fields.remove("sectionName");
        fields.insert(
            "weight".to_owned(),
            json!({"type": "integer", "format": "int32", "minimum": 0, "maximum": 1_000_000, "default": 1}),
        );
    }
    let backends = json!({"type": "array", "maxItems": 16, "items": {
        "type": "object", "required": ["name"], "x-kubernetes-preserve-unknown-fields": true, "properties": backend,
    }});
    let rules = json!({"type": "array", "maxItems": 16, "items": {
        "type": "object", "x-kubernetes-preserve-unknown-fields": true,
        "properties": {"name": {"type": "string", "maxLength": 253}, "backendRefs": backends},
    }});
    let schema = json!({"type": "object", "required": ["spec"], "properties": {
        "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
            "hostnames": {"type": "array", "maxItems": 16, "items": {"type": "string"}},
            "parentRefs": parents, "rules": rules,
        }},
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    }});
    let version = |(n, name): (usize, &&str)| {
        json!({
            "name": name, "served": true, "storage": n == 0,
            "schema": {"openAPIV3Schema": schema},
            "subresources": {"status": {}},
            "additionalPrinterColumns": [
                {"name": "Hostnames", "type": "string", "jsonPath": ".spec.hostnames"},
                {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
            ],
        })
    };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.gateway.networking.k8s.io")},
        "spec": {
            "group": "gateway.networking.k8s.io", "scope": "Namespaced",
            "names": {
                "kind": kind, "listKind": format!("{kind}List"), "plural": plural,
                "singular": kind.to_lowercase(), "categories": ["gateway-api"],
            },
            "versions": versions.iter().enumerate().map(version).collect::<Vec<_>>(),
        },
    })
}

fn with_defaults(fields: &Value, defaults: &[(&str, Value)]) -> Value {
    let mut fields = fields.clone();
    for (name, default) in defaults {
        if let Some(field) = fields.get_mut(*name).and_then(Value::as_object_mut) {
            field.insert("default".to_owned(), default.clone());
        }
    }
    fields
}

/// Accepts every route for each of its parents, whatever it says, generation by generation, as a gateway's controller
/// does. A task of the sandbox; it never returns.
pub async fn accept_routes(store: Store) {
    let kinds =
        ROUTES.map(|(_, plural, _)| accept_all(&store, format!("{plural}.gateway.networking.k8s.io")));
    futures::future::join_all(kinds).await;
}

async fn accept_all(store: &Store, resource: String) {
    let mut changes = store.subscribe(&resource);
    let every = || {
        for route in store.list(&resource) {
            accept(store, &resource, &route);
        }
    };
    every();
    loop {
        match changes.recv().await {
            Ok(change) if change.deleted => {}
            Ok(change) => accept(store, &resource, &change.object),
            Err(RecvError::Lagged(_)) => every(),
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

fn accept(store: &Store, resource: &str, route: &Arc<Value>) {
    let generation = route.pointer("/metadata/generation").and_then(Value::as_i64);
    let condition = |kind: &str, reason: &str| {
        json!({
            "type": kind, "status": "True", "reason": reason, "message": "", "observedGeneration": generation,
            "lastTransitionTime": meta(route, "creationTimestamp"),
        })
    };
    let conditions = json!([
        condition("Accepted", "Accepted"),
        condition("ResolvedRefs", "ResolvedRefs")
    ]);
    let named = route.pointer("/spec/parentRefs").and_then(Value::as_array);
    let parents: Vec<Value> = named
        .into_iter()
        .flatten()
        .map(|parent| {
            json!({"parentRef": parent, "controllerName": "example.com/gateway", "conditions": conditions})
        })
        .collect();
    if route.pointer("/status/parents") == Some(&json!(parents)) {
        return;
    }
    let (namespace, name) = (meta(route, "namespace"), meta(route, "name"));
    if let Err(failure) = store.put_status(resource, namespace, name, json!({"parents": parents})) {
        // It was deleted meanwhile: there is nothing left to accept.
        tracing::debug!(%failure, namespace, name, "unable to accept a route");
    }
}
