//! What an `ingressNginx` router needs around it: primary Ingresses, their Services, the gateway's Service, and the
//! VirtualServices of the split listener.

use super::cluster::service;
use crate::rollout::router_spec::IngressNginx;
use serde_json::{Value, json};

/// Every object, for a component of this name in `home`; each with its namespace in it.
pub(super) fn objects(component: &str, home: &str, spec: &IngressNginx) -> Vec<Value> {
    let own = [home.to_owned()];
    let namespaces = spec.ingresses.namespaces.as_deref().unwrap_or(&own);
    let labels = spec.ingresses.match_labels.clone().unwrap_or_default();
    let one = [component.to_owned()];
    let names = spec.ingresses.names.as_deref().unwrap_or(&one);
    let gateway = &spec.gateway;
    let bound = gateway
        .name
        .clone()
        .unwrap_or_else(|| format!("{}/split", gateway.namespace));
    let mut objects = vec![json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": gateway.service, "namespace": gateway.namespace},
        "spec": {
            "selector": {"istio": "ingressgateway"},
            "ports": [{"name": "http-split", "port": gateway.port, "targetPort": gateway.port}],
        },
    })];
    for namespace in namespaces {
        for name in names {
            let host = format!("{name}.{namespace}.cloud.sealos.io");
            objects.push(json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
                "metadata": {"name": name, "namespace": namespace, "labels": labels},
                "spec": {"ingressClassName": "nginx", "rules": [{"host": host, "http": {"paths": [{
                    "path": "/", "pathType": "Prefix",
                    "backend": {"service": {"name": name, "port": {"number": 80}}},
                }]}}]},
            }));
            objects.push(json!({
                "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {"hosts": [host], "gateways": [bound], "http": [{"route": [{"destination": {"host": name}}]}]},
            }));
            objects.extend(service(namespace, name));
        }
    }
    objects
}
