//! The objects that tests bring.

use serde_json::{Value, json};

/// The resource's group and version.
pub(super) const GROUP: &str = "rollout.sealos.io/v1alpha1";

fn host(ns: &str, name: &str, version: &str) -> String {
    format!("{name}-{version}.{ns}.svc.cluster.local")
}

/// A route whose traffic is all on control.
pub(super) fn virtual_service(ns: &str, name: &str) -> Value {
    let to = |version: &str| json!({"host": host(ns, name, version)});
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": name, "namespace": ns, "labels": {"kept": "yes"}},
        "spec": {"hosts": [format!("{name}.{ns}.example.com")], "http": [{"name": "main", "timeout": "7s", "route": [
            {"destination": to("v1"), "weight": 100}, {"destination": to("v2"), "weight": 0}
        ]}]}
    })
}

/// The group and version in which the Gateway API serves `HTTPRoute`s.
pub(super) const GATEWAYS: &str = "gateway.networking.k8s.io/v1";

/// A route of the Gateway API whose traffic is all on control, whose weight is left out.
pub(super) fn http_route(ns: &str, name: &str) -> Value {
    json!({
        "apiVersion": GATEWAYS, "kind": "HTTPRoute",
        "metadata": {"name": name, "namespace": ns, "labels": {"kept": "yes"}},
        "spec": {"parentRefs": [{"name": "public", "namespace": "infra"}], "hostnames": [format!("{name}.{ns}.example.com")],
            "rules": [{"backendRefs": [
                {"name": format!("{name}-v1"), "port": 80}, {"name": format!("{name}-v2"), "port": 80, "weight": 0}]}]}
    })
}

/// A component behind it.
pub(super) fn routed_by_gateway(ns: &str, name: &str) -> Value {
    let backend = |version: &str| json!({"name": format!("{name}-{version}"), "port": 80});
    json!({
        "name": name,
        "routers": [{"gatewayApi": {"kind": "HTTPRoute", "name": name, "canary": backend("v2"), "control": backend("v1")}}],
        "arms": arms(ns, name)
    })
}

/// Where both arms of a component are counted.
fn arms(ns: &str, name: &str) -> Value {
    let arm = |version: &str| json!({"preset": "istio", "labels": {"destination_service": host(ns, name, version)}});
    json!({"canary": arm("v2"), "control": arm("v1")})
}

fn routed(ns: &str, name: &str) -> Value {
    json!({
        "name": name,
        "routers": [{"istio": {"virtualServices": [{"name": name, "routes": ["main"]}],
            "canary": {"host": host(ns, name, "v2")}, "control": {"host": host(ns, name, "v1")}}}],
        "arms": arms(ns, name)
    })
}

/// A component that a controller's ConfigMap and Deployment switch.
pub(super) fn switched(ns: &str, name: &str) -> Value {
    json!({
        "name": name,
        "routers": [{"controllerSwitch": {"configMap": name, "deployment": name}}],
        "arms": arms(ns, name)
    })
}

/// A rollout of components behind `VirtualServices`, in seconds instead of days.
pub(super) fn rollout(ns: &str, name: &str, components: &[&str], weights: &[&str]) -> Value {
    let components: Vec<Value> = components.iter().map(|c| routed(ns, c)).collect();
    rollout_of(ns, name, &components, weights)
}

/// The same, of these components.
pub(super) fn rollout_of(ns: &str, name: &str, components: &[Value], weights: &[&str]) -> Value {
    let steps: Vec<Value> = weights
        .iter()
        .map(|w| json!({"weight": w, "hold": "2s"}))
        .collect();
    json!({
        "apiVersion": GROUP, "kind": "GradualRollout",
        "metadata": {"name": name, "namespace": ns},
        "spec": {"components": components, "judge": {"interval": "1s", "settle": "1s"}, "steps": steps}
    })
}
