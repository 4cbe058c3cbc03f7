//! The Gateway of the split listener, as the daemon sees it.

use super::{canaries, gateway, ingress, rollout, route, say};
use crate::support::world::World;
use gradual_rollout::rollout::reason::{Reason, State};
use serde_json::{Value, json};

/// The definition of Istio's Gateways.
pub(crate) fn definition() -> Value {
    let schema = json!({"type": "object", "properties": {
        "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "gateways.networking.istio.io"},
        "spec": {
            "group": "networking.istio.io", "scope": "Namespaced",
            "names": {"kind": "Gateway", "listKind": "GatewayList", "plural": "gateways", "singular": "gateway"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
        },
    })
}

/// The split listener's Gateway, with more in its server.
pub(crate) fn split(more: &Value) -> Value {
    let mut server =
        json!({"port": {"number": 8081, "name": "http-split", "protocol": "HTTP"}, "hosts": ["*"]});
    for (name, value) in more.as_object().unwrap() {
        server[name] = value.clone();
    }
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "Gateway",
        "metadata": {"name": "split", "namespace": "istio-system"},
        "spec": {"selector": {"istio": "ingressgateway"}, "servers": [server]},
    })
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_begins_to_redirect_lets_nothing_rise_and_keeps_no_rollback_up() {
    let mut world = World::new();
    world.store.namespace("istio-system");
    world.store.register_crd(&definition()).unwrap();
    for object in [
        gateway(),
        split(&json!({})),
        ingress("one", "one.example.com", "one"),
        route("one", "one.example.com"),
        rollout(),
    ] {
        world.store.put(object).unwrap();
    }
    world.start("daemon-1");
    world
        .until("5%", |w| canaries(w) == [say("one.example.com", "50")])
        .await;
    world
        .store
        .put(split(&json!({"tls": {"httpsRedirect": true}})))
        .unwrap();
    world.pass(1800).await;
    assert_eq!(canaries(&world), [say("one.example.com", "50")]);
    let c = world.component("terminal");
    assert_eq!(c.reason, Reason::Ineligible, "{}", c.message);
    assert!(
        c.message.contains("RedirectLoop: gateway istio-system/split"),
        "{}",
        c.message
    );
    world.say("rollback", json!({"components": ["terminal"], "who": "ada"}));
    world.until("gone", |w| canaries(w).is_empty()).await;
    world
        .until("told", |w| w.component("terminal").state == State::RolledBack)
        .await;
    // As soon as it sends requests on it may begin again.
    world.store.put(split(&json!({}))).unwrap();
    world.say("retry", json!({"components": ["terminal"], "who": "ada"}));
    world
        .until("5% again", |w| canaries(w) == [say("one.example.com", "50")])
        .await;
}
