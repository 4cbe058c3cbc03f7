//! `migrate convert` of a cluster: what it reads over the wire, page by page, and what comes out.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use gradual_rollout::clock::Clock;
use gradual_rollout::sandbox::apiserver::{Store, write_kubeconfig};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use tokio::task::JoinSet;

/// What is secret, as it is stored: none of it may be said.
const HIDDEN: [&str; 3] = [
    "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t",
    "c2VjcmV0LWtleQ==",
    "aHVudGVyMg==",
];

/// An API server that hands out two objects at a time.
struct Live {
    store: Store,
    folder: tempfile::TempDir,
    /// Paths with their queries.
    asked: Arc<Mutex<Vec<String>>>,
    _server: JoinSet<()>,
}

fn parameter(query: &str, name: &str) -> Option<usize> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name)?.1.parse().ok()
}

/// A list, from one of its items on.
async fn page(request: Request, next: Next, asked: Arc<Mutex<Vec<String>>>) -> Response {
    let query = request.uri().query().unwrap_or_default().to_owned();
    asked.lock().unwrap().push(request.uri().to_string());
    if parameter(&query, "limit").is_none() {
        return next.run(request).await;
    }
    let from = parameter(&query, "continue").unwrap_or_default();
    let whole = Request::get(request.uri().path()).body(Body::empty()).unwrap();
    let (parts, body) = next.run(whole).await.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    let mut list: Value = serde_json::from_slice(&bytes).unwrap();
    if let Some(items) = list["items"].as_array().cloned() {
        if items.len() > from + 2 {
            list["metadata"]["continue"] = json!((from + 2).to_string());
        }
        list["items"] = items.into_iter().skip(from).take(2).collect();
    }
    let answer = Response::builder().status(parts.status);
    let answer = answer.header("content-type", "application/json");
    answer.body(Body::from(list.to_string())).unwrap()
}

impl Live {
    async fn start(objects: &[Value]) -> Self {
        let store = Store::new(Clock::System);
        for object in objects {
            if let Some(namespace) = object["metadata"]["namespace"].as_str() {
                store.namespace(namespace);
            }
            store.put(object.clone()).unwrap();
        }
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = asked.clone();
        let pages = move |request: Request, next: Next| page(request, next, seen.clone());
        let router = store.router().layer(from_fn(pages));
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        write_kubeconfig(&folder.path().join("kubeconfig"), listener.local_addr().unwrap()).unwrap();
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            store,
            folder,
            asked,
            _server: server,
        }
    }

    /// Converts: the objects, and the report without where things were read.
    async fn convert(&self, words: &[&str]) -> (String, Value) {
        let report = self.folder.path().join("report.json");
        let mut program = Command::new(env!("CARGO_BIN_EXE_gradual-rollout"));
        program
            .args(["migrate", "convert", "--report", report.to_str().unwrap()])
            .args(words)
            .env_clear()
            .env("KUBECONFIG", self.folder.path().join("kubeconfig"))
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || program.output().unwrap());
        let output = output.await.unwrap();
        let (out, err) = (
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        );
        // The Gateway API can say less.
        assert!(
            [Some(0), Some(4)].contains(&output.status.code()),
            "{words:?}: {err}"
        );
        let text = std::fs::read_to_string(&report).unwrap();
        for hidden in HIDDEN {
            for said in [&out, &err, &text] {
                assert!(!said.contains(hidden), "{words:?}: {said}");
            }
        }
        (out, nowhere(&serde_json::from_str(&text).unwrap()))
    }

    /// What `kubectl get -o json` has of some kinds, in a file; `keep` says which of the Ingresses.
    fn file(&self, keep: impl Fn(&Value) -> bool) -> String {
        let kinds = [
            "configmaps",
            "secrets",
            "services",
            "deployments.apps",
            "ingressclasses.networking.k8s.io",
            "ingresses.networking.k8s.io",
        ];
        let all = kinds.iter().flat_map(|kind| self.store.list(kind));
        let all: Vec<Value> = all
            .map(|object| (*object).clone())
            .filter(|object| object["kind"] != "Ingress" || keep(object))
            .collect();
        let file = self.folder.path().join("objects.json");
        let list = json!({"apiVersion": "v1", "kind": "List", "items": all});
        std::fs::write(&file, list.to_string()).unwrap();
        Path::to_str(&file).unwrap().to_owned()
    }

    /// The tokens with which lists of a kind were gone on with.
    fn tokens(&self, plural: &str) -> Vec<usize> {
        let asked = self.asked.lock().unwrap();
        let of = asked.iter().filter_map(|one| one.split_once('?'));
        of.filter(|(path, _)| path.ends_with(&format!("/{plural}")))
            .filter_map(|(_, query)| parameter(query, "continue"))
            .collect()
    }
}

/// A report without the places in which things were read.
fn nowhere(report: &Value) -> Value {
    match report {
        Value::Object(map) => map
            .iter()
            .filter(|(key, _)| *key != "origin")
            .map(|(key, value)| (key.clone(), nowhere(value)))
            .collect(),
        Value::Array(items) => items.iter().map(nowhere).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => report.clone(),
    }
}

/// Two namespaces with three hosts each, all with certificates, and a controller with settings of its own.
fn objects() -> Vec<Value> {
    let [certificate, key, password] = HIDDEN;
    let mut all = vec![
        json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "ingress-nginx-controller", "namespace": "ingress-nginx"},
            "spec": {"selector": {"matchLabels": {"app": "nginx"}}, "template": {"metadata": {"labels": {"app": "nginx"}},
                "spec": {"containers": [{"name": "controller", "image": "controller:v1.11.3", "args":
                    ["/nginx-ingress-controller", "--configmap=ingress-nginx/settings", "--enable-ssl-passthrough"]}]}}}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "ingress-nginx"},
            "data": {"http-redirect-code": "301", "hsts": "false"}}),
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "nginx"},
            "spec": {"controller": "k8s.io/ingress-nginx"}}),
    ];
    for namespace in ["ns-a", "ns-b"] {
        all.push(
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": namespace},
            "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80}]}}),
        );
        all.push(json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": {"name": "password", "namespace": namespace}, "data": {"password": password}}));
        for number in 0..3 {
            let name = format!("shop-{number}");
            let host = format!("{name}.{namespace}.example.com");
            let data = json!({"tls.crt": certificate, "tls.key": key});
            let applied = json!({"data": data}).to_string();
            all.push(
                json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "data": data,
                "metadata": {"name": name, "namespace": namespace,
                    "annotations": {"kubectl.kubernetes.io/last-applied-configuration": applied}}}),
            );
            all.push(json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
                "metadata": {"name": name, "namespace": namespace, "annotations": {
                    "nginx.ingress.kubernetes.io/enable-cors": "true", "nginx.ingress.kubernetes.io/proxy-body-size": "0"}},
                "spec": {"ingressClassName": "nginx", "tls": [{"hosts": [host], "secretName": name}],
                    "rules": [{"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix",
                        "backend": {"service": {"name": "web", "port": {"name": "http"}}}}]}}]}}));
        }
    }
    all
}

#[tokio::test]
async fn a_cluster_gives_the_bytes_that_its_objects_give_in_a_file_and_says_nothing_that_is_secret() {
    let live = Live::start(&objects()).await;
    for form in [&[][..], &["-o", "json"], &["--target", "gateway-api"]] {
        let (out, report) = live.convert(form).await;
        assert!(out.contains("shop-2.ns-b.example.com"), "{out}");
        let file = live.file(|_| true);
        let (same, told) = live.convert(&[form, &["-f", &file]].concat()).await;
        assert_eq!(out, same, "{form:?}");
        assert_eq!(report, told, "{form:?}");
        assert_eq!(live.convert(form).await.0, out, "and the same again");
    }
}

#[tokio::test]
async fn of_one_namespace_only_its_ingresses_are_converted_with_all_that_serves_them() {
    let live = Live::start(&objects()).await;
    let (out, report) = live.convert(&["-n", "ns-b"]).await;
    assert!(out.contains("shop-2.ns-b.example.com"), "{out}");
    assert!(!out.contains("ns-a"), "{out}");
    // The controller is of another namespace, and its settings count all the same.
    assert!(out.contains("redirectCode: 301"), "{out}");
    let file = live.file(|one| one["metadata"]["namespace"] == "ns-b");
    assert_eq!(live.convert(&["-f", &file]).await, (out, report));
}

#[tokio::test]
async fn every_page_of_a_list_is_read() {
    let live = Live::start(&objects()).await;
    let (out, report) = live.convert(&[]).await;
    assert_eq!(live.tokens("ingresses"), [2, 4]);
    assert_eq!(live.tokens("secrets"), [2, 4, 6]);
    assert_eq!(report["summary"]["ingresses"], 6, "{report}");
    for namespace in ["ns-a", "ns-b"] {
        for number in 0..3 {
            let host = format!("shop-{number}.{namespace}.example.com");
            assert!(out.contains(&host), "{host}");
        }
    }
}
