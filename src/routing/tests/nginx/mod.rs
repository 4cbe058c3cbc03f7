//! What is written for nginx, held against a model of how nginx chooses. The model was written from nginx's sources;
//! no ingress-nginx ran.

mod facts;
mod legs;
mod listener;
mod model;
mod scheme;
mod written;

use super::*;
use model::Nginx;
use serde_json::json;
use std::sync::Arc;

const WEIGHT: &str = "nginx.ingress.kubernetes.io/canary-weight";

/// A cluster as lists of manifests: what the tests put in is all there is.
#[derive(Clone, Debug, Default)]
struct Cluster {
    objects: Vec<Value>,
}

impl Cluster {
    /// One chosen Ingress with a route, and the gateway.
    fn new() -> Self {
        let mut cluster = Self::default();
        cluster.add(json!({
            "kind": "Service", "metadata": {"name": "gw", "namespace": "istio-system"},
            "spec": {"selector": {"istio": "ingressgateway"}, "ports": [{"port": 8081}]},
        }));
        cluster.add(json!({
            "kind": "Gateway", "metadata": {"name": "split", "namespace": "istio-system"},
            "spec": {"selector": {"istio": "ingressgateway"}, "servers": [
                {"port": {"number": 8081, "name": "http-split", "protocol": "HTTP"}, "hosts": ["*"]}]},
        }));
        cluster.add(ingress("one", "one.example.com", "/", "one"));
        cluster.route("one.example.com");
        cluster
    }

    fn add(&mut self, object: Value) {
        self.objects.push(object);
    }

    fn route(&mut self, host: &str) {
        self.add(json!({
            "kind": "VirtualService", "metadata": {"name": host, "namespace": "apps"},
            "spec": {"hosts": [host], "gateways": ["istio-system/split"], "http": [{"route": [{"destination": {"host": "x"}}]}]},
        }));
    }

    fn first(&mut self, kind: &str, name: &str) -> &mut Value {
        let found = self
            .objects
            .iter_mut()
            .find(|o| o["kind"] == kind && o["metadata"]["name"] == name);
        found.unwrap()
    }

    fn annotate(&mut self, name: &str, key: &str, value: &str) {
        self.first("Ingress", name)["metadata"]["annotations"]
            [format!("nginx.ingress.kubernetes.io/{key}")] = value.into();
    }

    fn stock(&self, component: &Component) -> Stock {
        let mut stock = Stock::default();
        for (kind, namespace) in needs(component, "apps") {
            let here = |o: &&Value| o["kind"] == kind.kind() && o["metadata"]["namespace"] == *namespace;
            stock.put(
                kind,
                &namespace,
                self.objects.iter().filter(here).cloned().map(Arc::new).collect(),
            );
        }
        stock
    }

    fn found<'c>(&self, component: &'c Component) -> Found<'c> {
        found(component, &Home::new("apps", "demo"), &self.stock(component))
    }

    /// The codes of what blocks, without doubles.
    fn blockers(&self, component: &Component) -> Vec<&'static str> {
        let mut codes: Vec<&str> = self
            .found(component)
            .findings
            .iter()
            .filter(|f| f.blocks())
            .map(|f| f.code.text())
            .collect();
        codes.dedup();
        codes
    }

    /// Brings every upstream of the component to a weight, as the engine does: made at 0, then patched.
    fn split(&mut self, component: &Component, weight: Weight) {
        let found = self.found(component);
        for target in found.targets.iter().filter(|t| !t.is_stray()) {
            for mut born in target.births(&stamp("01A", Weight::ZERO)) {
                let name = born["metadata"]["name"].clone();
                if self
                    .objects
                    .iter()
                    .any(|o| o["kind"] == born["kind"] && o["metadata"]["name"] == name)
                {
                    continue;
                }
                born["metadata"]["uid"] = format!("uid-{}", self.objects.len()).into();
                born["metadata"]["resourceVersion"] = "1".into();
                self.add(born);
            }
            let object = self.first("Ingress", &target.object().name);
            let patch = target
                .write(object, &stamp("01B", weight), WriteMode::Normal)
                .unwrap();
            serve(&patch, object).unwrap();
        }
    }

    fn nginx(&self) -> Nginx {
        Nginx::of(&self.objects)
    }

    /// The canary Ingresses that are ours.
    fn canaries(&self) -> Vec<&Value> {
        let ours = |o: &&Value| {
            o["kind"] == "Ingress"
                && o["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "gradual-rollout"
        };
        self.objects.iter().filter(ours).collect()
    }
}

fn ingress(name: &str, host: &str, path: &str, service: &str) -> Value {
    json!({
        "kind": "Ingress",
        "metadata": {"name": name, "namespace": "apps", "labels": {"app": "shop"}, "annotations": {},
            "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"ingressClassName": "nginx", "rules": [{"host": host, "http": {"paths": [
            {"path": path, "pathType": "Prefix", "backend": {"service": {"name": service, "port": {"number": 80}}}}
        ]}}]},
    })
}

fn shop(more: &str) -> Component {
    component(&format!(
        "- ingressNginx:\n    ingresses: {{matchLabels: {{app: shop}}}}\n    gateway: {{namespace: istio-system, service: gw, port: 8081, name: istio-system/split}}\n{more}"
    ))
}
