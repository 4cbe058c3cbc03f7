//! The Service itself: what it was, the one step that cannot be taken back, and the way back as far as there is one.

use super::plan::SERVICE;
use crate::put;
use crate::see::{self, items, kinds, text};
use crate::trouble::Trouble;
use kube::Client;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What only a load balancer has: the API server refuses it with any other type.
const BALANCERS_OWN: &[&str] = &[
    "allocateLoadBalancerNodePorts",
    "healthCheckNodePort",
    "loadBalancerClass",
    "loadBalancerIP",
    "loadBalancerSourceRanges",
];

/// The name of the ConfigMap that remembers a Service.
pub(super) fn record_name(service: &str) -> String {
    format!("gradual-rollout-lb-{service}")
}

/// The ConfigMap that remembers what the Service was: its spec, its annotations, its addresses.
pub(super) fn record(service: &Value) -> Value {
    let name = see::name(service);
    let was = json!({
        "spec": service.get("spec"), "annotations": service.pointer("/metadata/annotations"),
        "addresses": addresses(service), "uid": text(service, "/metadata/uid"),
    });
    let mut labels = put::labels();
    if let Some(map) = labels.as_object_mut() {
        map.insert(SERVICE.to_owned(), name.into());
    }
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"namespace": see::namespace(service), "name": record_name(name), "labels": labels},
        "data": {"was": was.to_string()},
    })
}

/// What a record says the Service was.
pub(super) fn remembered(record: &Value) -> Result<Value, Trouble> {
    serde_json::from_str(text(record, "/data/was").unwrap_or_default()).map_err(|error| {
        Trouble::Refused(format!(
            "{} does not tell what the Service was: {error}",
            see::object(record)
        ))
    })
}

/// The addresses that the provider gave.
pub(super) fn addresses(service: &Value) -> Vec<String> {
    items(service, "/status/loadBalancer/ingress")
        .filter_map(|one| text(one, "/ip").or_else(|| text(one, "/hostname")))
        .map(ToOwned::to_owned)
        .collect()
}

/// The change from a load balancer to node ports, of which some may be asked for.
pub(super) fn release(service: &Value, node_ports: &BTreeMap<u16, u16>) -> Result<Value, Trouble> {
    let mut change = vec![
        json!({"op": "replace", "path": "/metadata/resourceVersion", "value": text(service, "/metadata/resourceVersion")}),
        json!({"op": "test", "path": "/spec/type", "value": "LoadBalancer"}),
        json!({"op": "replace", "path": "/spec/type", "value": "NodePort"}),
    ];
    for field in BALANCERS_OWN {
        if service.pointer(&format!("/spec/{field}")).is_some() {
            change.push(json!({"op": "remove", "path": format!("/spec/{field}")}));
        }
    }
    let mut left = node_ports.clone();
    for (index, port) in items(service, "/spec/ports").enumerate() {
        let number = port
            .get("port")
            .and_then(Value::as_u64)
            .and_then(|n| u16::try_from(n).ok());
        if let Some(wanted) = number.and_then(|number| left.remove(&number)) {
            change.push(json!({"op": "test", "path": format!("/spec/ports/{index}/port"), "value": number}));
            change
                .push(json!({"op": "add", "path": format!("/spec/ports/{index}/nodePort"), "value": wanted}));
        }
    }
    match left.keys().next() {
        Some(port) => Err(Trouble::Usage(format!(
            "--nodeport: {} has no port {port}",
            see::object(service)
        ))),
        None => Ok(Value::Array(change)),
    }
}

/// The change back to what the Service was. The provider may give it another address.
pub(super) fn give_back(service: &Value, was: &Value) -> Value {
    let mut change = vec![
        json!({"op": "replace", "path": "/metadata/resourceVersion", "value": text(service, "/metadata/resourceVersion")}),
        json!({"op": "test", "path": "/spec/type", "value": "NodePort"}),
        json!({"op": "replace", "path": "/spec/type", "value": "LoadBalancer"}),
    ];
    for field in BALANCERS_OWN.iter().chain(&["externalTrafficPolicy"]) {
        if let Some(value) = was.pointer(&format!("/spec/{field}")) {
            change.push(json!({"op": "add", "path": format!("/spec/{field}"), "value": value}));
        }
    }
    for (index, port) in items(service, "/spec/ports").enumerate() {
        let before = items(was, "/spec/ports").find(|before| before.get("port") == port.get("port"));
        if let Some(node_port) = before.and_then(|before| before.get("nodePort")) {
            change.push(
                json!({"op": "add", "path": format!("/spec/ports/{index}/nodePort"), "value": node_port}),
            );
        }
    }
    Value::Array(change)
}

/// Changes the Service, if it is still as it was read.
pub(super) async fn patch(
    client: &Client,
    service: &Value,
    change: &Value,
    dry_run: bool,
) -> Result<(), Trouble> {
    let (namespace, name) = (see::namespace(service), see::name(service));
    let doing = format!("change Service {namespace}/{name}");
    let patch = serde_json::from_value(change.clone())
        .map_err(|error| Trouble::Internal(format!("unable to {doing}: {error}")))?;
    let writing = PatchParams {
        dry_run,
        field_manager: Some(put::MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let api = kinds::SERVICE.within(client, namespace);
    match api.patch(name, &writing, &Patch::Json::<()>(patch)).await {
        Ok(_) => Ok(()),
        Err(error) => Err(Trouble::kube(doing, &error)),
    }
}
