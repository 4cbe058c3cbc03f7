//! The `/scale` subresource: `spec.replicas` under another name.

use super::json::{self, meta, text};
use super::resource::Resource;
use serde_json::{Value, json};

/// The `Scale` of an object.
pub(super) fn of(object: &Value) -> Value {
    let labels = object
        .pointer("/spec/selector/matchLabels")
        .and_then(Value::as_object);
    let selector: Vec<String> = labels
        .into_iter()
        .flatten()
        .map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default()))
        .collect();
    let count = |pointer: &str| {
        object
            .pointer(pointer)
            .and_then(Value::as_i64)
            .unwrap_or_default()
    };
    json!({
        "apiVersion": "autoscaling/v1", "kind": "Scale",
        "metadata": {
            "name": meta(object, "name"), "namespace": meta(object, "namespace"), "uid": meta(object, "uid"),
            "resourceVersion": meta(object, "resourceVersion"),
            "creationTimestamp": meta(object, "creationTimestamp"),
        },
        "spec": {"replicas": count("/spec/replicas")},
        "status": {"replicas": count("/status/replicas"), "selector": selector.join(",")},
    })
}

/// The object with the replicas of `scale`.
pub(super) fn onto(resource: &Resource, object: &Value, scale: &Value) -> Value {
    let mut out = object.clone();
    json::set(&mut out, "apiVersion", Some(json!(resource.group_version())));
    if let Some(replicas) = scale.pointer("/spec/replicas") {
        json::child(&mut out, "spec").insert("replicas".to_owned(), replicas.clone());
    }
    let version = text(scale, "/metadata/resourceVersion");
    json::metadata(&mut out).insert("resourceVersion".to_owned(), json!(version));
    out
}
