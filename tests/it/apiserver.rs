//! The sandbox's API server answers like kube-apiserver, one test per line of behaviour.
#![allow(
    clippy::needless_pass_by_value,
    reason = "objects are written down where they are used"
)]

mod answers;
mod events;
mod objects;
mod patches;
mod schemas;
mod watches;

use futures::{StreamExt, TryStreamExt};
use gradual_rollout::clock::Clock;
use gradual_rollout::sandbox::apiserver::{Action, Failure, Fault, Store, roll_out_deployments};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{
    Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams,
};
use kube::discovery::ApiResource;
use serde_json::{Value, json};
use std::time::Duration;

/// A definition with what the schema rules need: bounds, a keyed list, a CEL rule, a transition rule.
pub(crate) fn widgets() -> Value {
    let part = json!({"type": "object", "required": ["name"], "properties": {
        "name": {"type": "string"}, "count": {"type": "integer"}}});
    let spec = json!({
        "type": "object", "required": ["size"], "description": "What is asked.",
        "x-kubernetes-validations": [
            {"rule": "self.size != 13", "message": "thirteen is unlucky"},
            {"rule": "!has(self.colour) || !has(oldSelf.colour) || self.colour == oldSelf.colour", "message": "colour is immutable"},
        ],
        "properties": {
            "size": {"type": "integer", "minimum": 1, "maximum": 100, "description": "How big."},
            "colour": {"type": "string", "enum": ["red", "blue"]},
            "share": {"x-kubernetes-int-or-string": true, "maximum": 100, "pattern": "^[0-9]+%$"},
            "note": {"type": "string", "maxLength": 8, "nullable": true},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "parts": {"type": "array", "maxItems": 3, "items": part,
                "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        },
    });
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let status = json!({"type": "object", "properties": {
        "share": {"type": "string", "pattern": "^[0-9]+%$"},
        "conditions": {"type": "array", "items": open},
    }});
    let schema =
        json!({"type": "object", "description": "A widget.", "properties": {"spec": spec, "status": status}});
    let ready = ".status.conditions[?(@.type==\"Ready\")].status";
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"kind": "Widget", "listKind": "WidgetList", "plural": "widgets", "singular": "widget",
                "shortNames": ["wd"], "categories": ["all"]},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "additionalPrinterColumns": [
                    {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
                    {"name": "Ready", "type": "string", "jsonPath": ready},
                    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                ],
                "schema": {"openAPIV3Schema": schema},
            }],
        },
    })
}

pub(crate) fn store() -> Store {
    let store = Store::new(Clock::simulated("2026-01-05T02:00:00Z".parse().unwrap()));
    store.register_crd(&widgets()).unwrap();
    store
}

fn widget(name: &str, spec: Value) -> DynamicObject {
    serde_json::from_value(json!({
        "apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec,
    }))
    .unwrap()
}

fn resource() -> ApiResource {
    ApiResource {
        group: "example.com".into(),
        version: "v1".into(),
        api_version: "example.com/v1".into(),
        kind: "Widget".into(),
        plural: "widgets".into(),
    }
}

fn widgets_api(store: &Store) -> Api<DynamicObject> {
    Api::namespaced_with(store.client("default"), "default", &resource())
}

async fn with_widget(spec: Value) -> (Store, Api<DynamicObject>, DynamicObject) {
    let store = store();
    let api = widgets_api(&store);
    let made = api
        .create(&PostParams::default(), &widget("w", spec))
        .await
        .unwrap();
    (store, api, made)
}

fn refusal(error: kube::Error) -> (u16, String, String) {
    let kube::Error::Api(status) = error else {
        panic!("not a refusal: {error}")
    };
    (status.code, status.reason.clone(), status.message.clone())
}

fn version(object: &DynamicObject) -> String {
    object.metadata.resource_version.clone().unwrap()
}

/// A plain request: code, headers that matter, and body.
async fn raw(
    store: &Store,
    method: &str,
    path: &str,
    media: &str,
    accept: &str,
    body: Value,
) -> (u16, Vec<String>, Value) {
    use tower::ServiceExt;
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", media)
        .header("accept", accept)
        .header("user-agent", "tester/1.0")
        .body(axum::body::Body::from(body))
        .unwrap();
    let response = store.router().oneshot(request).await.unwrap();
    let code = response.status().as_u16();
    let warnings = response
        .headers()
        .get_all("warning")
        .iter()
        .map(|w| w.to_str().unwrap().to_owned())
        .collect();
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX)
        .await
        .unwrap();
    (
        code,
        warnings,
        serde_json::from_slice(&bytes).unwrap_or(Value::Null),
    )
}

const JSON: &str = "application/json";
const WIDGETS: &str = "/apis/example.com/v1/namespaces/default/widgets";

fn deployment() -> Deployment {
    serde_json::from_value(json!({
        "metadata": {"name": "d"},
        "spec": {
            "replicas": 2, "selector": {"matchLabels": {"app": "d"}},
            "template": {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [
                {"name": "web", "image": "web:1", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
                {"name": "side", "image": "side:1"}]}},
        },
    }))
    .unwrap()
}
