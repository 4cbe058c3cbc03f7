//! The simulated cluster: every object that a rollout names, and nothing else.
//!
//! Made from the resource itself, so that a changed plan is played without a second list to keep.

use super::apiserver::{Failure, Store};
use super::nginx;
use crate::rollout::spec::{
    Backend, ControllerSwitch, DeploymentFlags, Destination, GatewayApi, GradualRollout, RouteKind, Router,
};
use crate::routing::{ObjectKind, targets};
use serde_json::{Value, json};

/// Puts every routed object of a rollout into the store, all traffic on control.
pub fn furnish(store: &Store, rollout: &GradualRollout) -> Result<(), Failure> {
    let namespace = rollout.metadata.namespace.as_deref().unwrap_or("default");
    store.namespace(namespace);
    for component in &rollout.spec.components {
        for router in &component.routers {
            match router {
                Router::Istio(istio) => {
                    for routes in &istio.virtual_services {
                        let home = routes.namespace.as_deref().unwrap_or(namespace);
                        store.namespace(home);
                        store.put(virtual_service(home, &routes.name, &istio.canary, &istio.control))?;
                    }
                }
                Router::GatewayApi(gateway) => {
                    let home = gateway.namespace.as_deref().unwrap_or(namespace);
                    store.namespace(home);
                    store.put(route(home, gateway))?;
                }
                // It is not of the cluster, and nobody plays it.
                Router::Hook(_) | Router::Manual(_) => {}
                Router::IngressNginx(spec) => {
                    for object in nginx::objects(&component.name, namespace, spec) {
                        if let Some(home) = object.pointer("/metadata/namespace").and_then(Value::as_str) {
                            store.namespace(home);
                        }
                        store.put(object)?;
                    }
                }
                Router::ControllerSwitch(switch) => {
                    for object in switched(namespace, switch) {
                        store.put(object)?;
                    }
                }
            }
        }
        for target in targets(component, namespace) {
            for (namespace, name) in target.control_services() {
                store.namespace(&namespace);
                for object in service(&namespace, &name) {
                    store.put(object)?;
                }
            }
        }
    }
    Ok(())
}

fn virtual_service(namespace: &str, name: &str, canary: &Destination, control: &Destination) -> Value {
    let destination = |to: &Destination, weight: u8| {
        let mut destination = json!({"host": to.host});
        if let (Some(subset), Some(fields)) = (&to.subset, destination.as_object_mut()) {
            fields.insert("subset".to_owned(), json!(subset));
        }
        if let (Some(port), Some(fields)) = (to.port, destination.as_object_mut()) {
            fields.insert("port".to_owned(), json!({"number": port}));
        }
        json!({"destination": destination, "weight": weight})
    };
    json!({
        "apiVersion": ObjectKind::VirtualService.api_version(), "kind": "VirtualService",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {
            "hosts": [format!("*.{name}.cloud.sealos.io")],
            "gateways": ["istio-system/sealos-gateway"],
            "http": [{"name": "primary", "route": [destination(control, 100), destination(canary, 0)]}],
        },
    })
}

fn route(namespace: &str, gateway: &GatewayApi) -> Value {
    let backend = |backend: &Backend, weight: u8| {
        let mut fields = serde_json::to_value(backend).unwrap_or_default();
        if let Some(fields) = fields.as_object_mut() {
            fields.insert("weight".to_owned(), json!(weight));
        }
        fields
    };
    let backends = json!([backend(&gateway.control, 100), backend(&gateway.canary, 0)]);
    let names = gateway.rules.as_deref().filter(|names| !names.is_empty());
    let rules: Vec<Value> = match names {
        Some(names) => names
            .iter()
            .map(|name| json!({"name": name, "backendRefs": backends}))
            .collect(),
        None => vec![json!({"backendRefs": backends})],
    };
    let version = match gateway.kind {
        RouteKind::Http => ObjectKind::HttpRoute.api_version(),
        RouteKind::Grpc => ObjectKind::GrpcRoute.api_version(),
        RouteKind::Tls => ObjectKind::TlsRoute.api_version(),
        RouteKind::Tcp => ObjectKind::TcpRoute.api_version(),
    };
    json!({
        "apiVersion": version, "kind": gateway.kind,
        "metadata": {"name": gateway.name, "namespace": namespace, "labels": {"app": gateway.name}},
        "spec": {"parentRefs": [{"name": "gateway", "namespace": "istio-system"}], "rules": rules},
    })
}

fn switched(namespace: &str, switch: &ControllerSwitch) -> Vec<Value> {
    let config_map = switch.config_map.as_ref().map(|name| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace},
            "data": {
                "networking_mode": "ingress", "istio_percentage": "0", "enable_istio_monitoring": "true",
                "log_level": "info",
            },
        })
    });
    let deployment = switch.deployment.as_ref().map(|name| {
        let env = match switch.flags.unwrap_or_default() {
            DeploymentFlags::Mode => json!([
                {"name": "NETWORKING_MODE", "value": "ingress"}, {"name": "ISTIO_PERCENTAGE", "value": "0"},
                {"name": "ENABLE_ISTIO_MONITORING", "value": "true"},
            ]),
            DeploymentFlags::Switches => json!([
                {"name": "USE_ISTIO_NETWORKING", "value": "false"},
                {"name": "USE_INGRESS_NETWORKING", "value": "true"},
                {"name": "ISTIO_ENABLED", "value": "false"}, {"name": "ISTIO_PERCENTAGE", "value": "0"},
            ]),
            DeploymentFlags::Webhook => json!([
                {"name": "ENABLE_ISTIO_WEBHOOKS", "value": "false"}, {"name": "ISTIO_PERCENTAGE", "value": "0"},
            ]),
        };
        let container = switch.container.as_deref().unwrap_or("controller");
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "replicas": 2, "selector": {"matchLabels": {"app": name}},
                "template": {
                    "metadata": {"labels": {"app": name}},
                    "spec": {"containers": [{"name": container, "image": format!("sealos/{name}:v5.0.1"), "env": env}]},
                },
            },
            "status": {
                "observedGeneration": 1, "replicas": 2, "readyReplicas": 2, "availableReplicas": 2,
                "updatedReplicas": 2,
            },
        })
    });
    config_map.into_iter().chain(deployment).collect()
}

/// A Service with one ready endpoint.
pub(super) fn service(namespace: &str, name: &str) -> [Value; 2] {
    [
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace},
            "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
        }),
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "name": format!("{name}-1"), "namespace": namespace,
                "labels": {"kubernetes.io/service-name": name},
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": true}}],
            "ports": [{"name": "http", "port": 8080}],
        }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::rollout::weight::Weight;
    use crate::sandbox::plan::Plan;

    #[test]
    fn every_routed_object_is_there_and_says_zero() {
        let store = Store::new(Clock::simulated("2026-01-05T02:00:00Z".parse().unwrap()));
        let rollout = Plan::Sealos.rollout().unwrap();
        furnish(&store, &rollout).unwrap();
        let mut seen = 0;
        for component in &rollout.spec.components {
            // What only a person can set is no object of the cluster.
            let all = targets(component, "sealos-system").into_iter();
            let routed = all.filter(|target| target.instructions().is_none());
            for target in routed {
                let object = target.object();
                let resource = match object.kind.group() {
                    "" => object.kind.plural().to_owned(),
                    group => format!("{}.{group}", object.kind.plural()),
                };
                let json = store.get(&resource, &object.namespace, &object.name).unwrap();
                let said = target.read(&json).unwrap();
                assert_eq!(said.agreed().map(Weight::permille), Some(0), "{object}");
                assert!(said.settled, "{object}");
                seen += 1;
            }
        }
        assert_eq!(seen, 9);
    }
}
