//! A cluster in which nothing stands in the way, and the objects it consists of.

use crate::kinds::{CERT_MANAGER, ISTIO, put, serve};
use crate::support::cluster;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gradual_rollout_apiserver::Store;
use gradual_rollout_apiserver::clock::Clock;
use serde_json::{Value, json};

/// All of it.
pub(crate) fn healthy() -> (Store, Clock) {
    let (store, clock) = cluster();
    for kind in ISTIO.into_iter().chain(CERT_MANAGER) {
        serve(&store, kind);
    }
    for object in [
        node(),
        controller(&["--enable-metrics=true", "--configmap=ingress-nginx/settings"]),
        settings(json!({})),
        class(),
        workload("istio-system", "istiod", json!({"app": "istiod"}), json!({})),
        gateway_pods(2),
        gateway_service(json!([{"name": "http", "port": 80}, {"name": "https", "port": 443}])),
        webhook(),
        slice("istio-system", "istiod"),
        mesh("ingressControllerMode: STRICT\npathNormalization: {normalization: MERGE_SLASHES}\n"),
        service("ns-ada", "shop", "ClusterIP"),
        slice("ns-ada", "shop"),
        quota("ns-ada", json!({"services.loadbalancers": "0"})),
        ingress("ns-ada", "shop", "shop.a.com", json!({}), "shop"),
        secret("ns-ada", "shop-tls", &["shop.a.com"], 2027),
        issuer("acme", json!([{"dns01": {"cloudflare": {}}}])),
        certificate("ns-ada", "shop", &["shop.a.com"], "acme"),
    ] {
        put(&store, object);
    }
    for name in [
        "terminal-controller",
        "db-adminer-controller",
        "resources-controller",
    ] {
        let env = json!([{"name": "controller", "image": "x", "env": [{"name": "NETWORKING_MODE", "value": "ingress"}]}]);
        put(
            &store,
            workload(
                "sealos-system",
                name,
                json!({"app": name}),
                json!({"containers": env}),
            ),
        );
    }
    (store, clock)
}

pub(crate) fn node() -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "one"},
        "status": {"allocatable": {"cpu": "32", "memory": "128Gi"}}})
}

/// A Deployment that is ready; `pod` is merged into the pod's spec.
pub(crate) fn workload(namespace: &str, name: &str, labels: Value, pod: Value) -> Value {
    let mut spec = json!({"containers": [{"name": "main", "image": "x:1.24.0"}]});
    for (key, value) in pod.as_object().unwrap() {
        spec[key] = value.clone();
    }
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"namespace": namespace, "name": name, "labels": labels},
        "spec": {
            "replicas": 2, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
        "status": {"readyReplicas": 2, "replicas": 2},
    })
}

pub(crate) fn controller(flags: &[&str]) -> Value {
    let mut args = vec!["/nginx-ingress-controller"];
    args.extend(flags);
    let containers = json!([{"name": "controller", "image": "controller:v1.11.3", "args": args}]);
    workload(
        "ingress-nginx",
        "ingress-nginx-controller",
        json!({"app": "ingress-nginx"}),
        json!({"containers": containers}),
    )
}

pub(crate) fn settings(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "ingress-nginx", "name": "settings"},
        "data": data})
}

fn class() -> Value {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "nginx"},
        "spec": {"controller": "k8s.io/ingress-nginx"}})
}

pub(crate) fn gateway_pods(ready: u64) -> Value {
    let mut gateway = workload(
        "istio-system",
        "istio-ingressgateway",
        json!({"istio": "ingressgateway"}),
        json!({}),
    );
    gateway["status"]["readyReplicas"] = ready.into();
    gateway
}

pub(crate) fn gateway_service(ports: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"namespace": "istio-system", "name": "istio-ingressgateway"},
        "spec": {"type": "LoadBalancer", "selector": {"istio": "ingressgateway"}, "ports": ports},
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}},
    })
}

fn webhook() -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "istio-validator-istio-system"},
        "webhooks": [{
            "name": "rev.validation.istio.io", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "failurePolicy": "Fail", "clientConfig": {"service": {"namespace": "istio-system", "name": "istiod"}},
        }],
    })
}

pub(crate) fn mesh(text: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "istio-system", "name": "istio"},
        "data": {"mesh": text}})
}

pub(crate) fn service(namespace: &str, name: &str, kind: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": namespace, "name": name},
        "spec": {"type": kind, "selector": {"app": name}, "ports": [{"port": 80}]}})
}

pub(crate) fn slice(namespace: &str, service: &str) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {
            "namespace": namespace, "name": format!("{service}-1"), "labels": {"kubernetes.io/service-name": service},
        },
        "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": true}}],
    })
}

pub(crate) fn quota(namespace: &str, hard: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"namespace": namespace, "name": "tenant"},
        "spec": {"hard": hard}})
}

/// An Ingress with one path, TLS and these annotations of ingress-nginx.
pub(crate) fn ingress(namespace: &str, name: &str, host: &str, annotations: Value, service: &str) -> Value {
    let annotations: serde_json::Map<String, Value> = annotations
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| (format!("nginx.ingress.kubernetes.io/{key}"), value.clone()))
        .collect();
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"namespace": namespace, "name": name, "annotations": annotations},
        "spec": {
            "ingressClassName": "nginx",
            "tls": [{"hosts": [host], "secretName": format!("{name}-tls")}],
            "rules": [{"host": host, "http": {"paths": [{
                "path": "/", "pathType": "Prefix",
                "backend": {"service": {"name": service, "port": {"number": 80}}},
            }]}}],
        },
    })
}

/// A Secret with a certificate for these names that ends in March of this year.
pub(crate) fn secret(namespace: &str, name: &str, names: &[&str], year: i32) -> Value {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut wanted = rcgen::CertificateParams::new(names).unwrap();
    wanted.not_after = rcgen::date_time_ymd(year, 3, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = wanted.self_signed(&key).unwrap().pem();
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"namespace": namespace, "name": name},
        "data": {"tls.crt": STANDARD.encode(certificate), "tls.key": STANDARD.encode(key.serialize_pem())},
    })
}

pub(crate) fn issuer(name: &str, solvers: Value) -> Value {
    json!({"apiVersion": "cert-manager.io/v1", "kind": "ClusterIssuer", "metadata": {"name": name},
        "spec": {"acme": {"solvers": solvers}}})
}

pub(crate) fn certificate(namespace: &str, name: &str, names: &[&str], issuer: &str) -> Value {
    json!({
        "apiVersion": "cert-manager.io/v1", "kind": "Certificate",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"dnsNames": names, "secretName": "x", "issuerRef": {"kind": "ClusterIssuer", "name": issuer}},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    })
}
