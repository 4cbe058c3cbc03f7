//! Objects that tests put into a cluster.

use serde_json::{Value, json};

/// An Ingress for one host with one path.
pub(crate) fn ingress(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name},
            "annotations": {"nginx.ingress.kubernetes.io/proxy-read-timeout": "300"}},
        "spec": {"ingressClassName": "nginx", "rules": [{"host": format!("{name}.{namespace}.example.com"),
            "http": {"paths": [{"path": "/", "pathType": "Prefix",
                "backend": {"service": {"name": name, "port": {"number": 80}}}}]}}]},
    })
}

/// A Service with one port.
pub(crate) fn service(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}]},
    })
}

/// A Deployment with one container.
pub(crate) fn deployment(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": name}}, "template": {
            "metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": "main", "image": "img:1", "env": [{"name": "A", "value": "1"}]}]}}},
    })
}

/// A `ConfigMap`.
pub(crate) fn config_map(namespace: &str, name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"},
        "metadata": {"name": name, "namespace": namespace}})
}

/// An object of a kind that is defined in the cluster.
pub(crate) fn custom(api_version: &str, kind: &str, namespace: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "spec": spec,
        "metadata": {"name": name, "namespace": namespace}})
}

/// What people care about of an object: its name, labels and annotations, and all that it asks for. Not what the code
/// under test thinks of that.
pub(crate) fn asked(object: &Value) -> Value {
    let mut object = object.clone();
    let map = object.as_object_mut().unwrap();
    map.remove("status");
    let meta = map["metadata"].as_object_mut().unwrap();
    for made in [
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "managedFields",
        "ownerReferences",
    ] {
        meta.remove(made);
    }
    object
}
