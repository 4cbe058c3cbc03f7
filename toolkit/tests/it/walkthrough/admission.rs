//! The block as an API server enforces it: the store keeps policies, and evaluates none.

use crate::block::expressions::refuses;
use gradual_rollout_apiserver::Store;
use http::{Request, Response};
use kube::client::Body;
use serde_json::{Value, json};

const NAME: &str = "gradual-rollout-block-ingress";
const POLICIES: &str = "validatingadmissionpolicies.admissionregistration.k8s.io";
const BINDINGS: &str = "validatingadmissionpolicybindings.admissionregistration.k8s.io";

/// Whether new Ingresses are refused to somebody.
fn denied(store: &Store, ingress: &Value, user: &str) -> bool {
    let (Some(policy), Some(binding)) = (store.get(POLICIES, "", NAME), store.get(BINDINGS, "", NAME)) else {
        return false;
    };
    let actions = binding["spec"]["validationActions"].as_array().unwrap();
    actions.contains(&json!("Deny")) && refuses(&policy, &Value::Null, ingress, user)
}

/// A client of a user to whom new Ingresses are refused while the block denies them.
pub(super) fn admitting(inner: kube::Client, store: &Store, user: &'static str) -> kube::Client {
    let store = store.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let (inner, store) = (inner.clone(), store.clone());
        async move {
            let path = request.uri().path().to_owned();
            let writes = ["POST", "PATCH"].contains(&request.method().as_str());
            if !writes || !path.contains("/ingresses") {
                return inner.send(request).await;
            }
            let (head, body) = request.into_parts();
            let body = body.collect_bytes().await?;
            let ingress: Value = serde_json::from_slice(&body).unwrap();
            let there = match path.split('/').collect::<Vec<_>>().as_slice() {
                [.., namespace, "ingresses", name] => store
                    .get("ingresses.networking.k8s.io", namespace, name)
                    .is_some(),
                _ => false,
            };
            if !there && denied(&store, &ingress, user) {
                let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 422,
                    "reason": "Invalid", "message": format!("{NAME} denied request")});
                let answer = Response::builder()
                    .status(422)
                    .body(Body::from(status.to_string().into_bytes()));
                return Ok(answer.unwrap());
            }
            inner
                .send(Request::from_parts(head, Body::from(body.to_vec())))
                .await
        }
    });
    kube::Client::new(service, "default")
}
