//! The cluster of the walk-through: two tenants, each with a shop, behind ingress-nginx, and an Istio that serves nobody.

use crate::kinds::put;
use crate::objects::config_map;
use crate::preflight::healthy::{certificate, healthy, ingress, quota, secret, service, slice};
use crate::probe::edge::{Arrived, Edge, Hands, Says, says};
use crate::rollback::rollout;
use crate::standing::gateway_pod;
use gradual_rollout_apiserver::Store;
use gradual_rollout_apiserver::clock::Clock;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const TENANTS: [&str; 2] = ["ada", "bob"];

/// The host of a tenant's shop.
fn host(tenant: &str) -> String {
    format!("shop.{tenant}.example.com")
}

/// As it is before anything is migrated.
pub(super) fn before() -> (Store, Clock) {
    let (store, clock) = healthy();
    for tenant in TENANTS {
        let (namespace, host) = (format!("ns-{tenant}"), host(tenant));
        for object in [
            service(&namespace, "shop", "ClusterIP"),
            slice(&namespace, "shop"),
            quota(&namespace, json!({"services.loadbalancers": "0"})),
            secret(&namespace, "shop-tls", &[&host], 2027),
            certificate(&namespace, "shop", &[&host], "acme"),
            ingress(
                &namespace,
                "shop",
                &host,
                json!({"proxy-read-timeout": "300"}),
                "shop",
            ),
        ] {
            put(&store, object);
        }
    }
    gateway_pod(&store);
    put(
        &store,
        json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "nginx-1", "namespace": "ingress-nginx", "labels": {"app": "ingress-nginx"}},
            "spec": {"containers": [{"name": "controller", "image": "x"}]}}),
    );
    let mut settings = config_map("sealos-system", "terminal-controller-config");
    settings["data"] = json!({"networking_mode": "dual", "istio_percentage": "100"});
    put(&store, settings);
    store.namespace("kube-system");
    rollout(&store);
    (store, clock)
}

/// What people asked for: their Ingresses, and what else a migration writes.
pub(super) fn state(store: &Store) -> BTreeMap<String, Value> {
    let kinds = [
        "ingresses.networking.k8s.io",
        "deployments.apps",
        "secrets",
        "gateways.networking.istio.io",
        "virtualservices.networking.istio.io",
        "destinationrules.networking.istio.io",
        "authorizationpolicies.security.istio.io",
        "validatingadmissionpolicies.admissionregistration.k8s.io",
        "validatingadmissionpolicybindings.admissionregistration.k8s.io",
    ];
    let all = kinds
        .into_iter()
        .flat_map(|kind| store.list(kind).into_iter().map(move |object| (kind, object)));
    all.map(|(kind, object)| {
        let meta = &object["metadata"];
        let name = format!("{kind} {}/{}", meta["namespace"], meta["name"]);
        let asked = [
            &meta["labels"],
            &meta["annotations"],
            &object["spec"],
            &object["data"],
        ];
        (name, json!(asked.map(people)))
    })
    .collect()
}

/// No labels and no annotations are the same as an empty map of them.
fn people(part: &Value) -> Value {
    if part.is_null() { json!({}) } else { part.clone() }
}

/// A data plane that serves the shops: in clear it sends clients to https.
pub(super) async fn data_plane() -> Edge {
    let hands = Hands {
        names: TENANTS.map(host).to_vec(),
        ..Hands::default()
    };
    Edge::start(hands, answer).await
}

fn answer(arrived: &Arrived) -> Says {
    if !TENANTS.iter().any(|tenant| host(tenant) == arrived.host) {
        return says(404);
    }
    if arrived.https {
        return says(200)
            .with("x-backend", "shop")
            .with("content-type", "text/html");
    }
    says(308).with("location", &format!("https://{}{}", arrived.host, arrived.target))
}
