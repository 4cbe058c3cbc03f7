//! nginx's components from the command line: what `routes check` says, and an emergency without a daemon.

use gradual_rollout::clock::Clock;
use gradual_rollout::cluster::crd;
use gradual_rollout::sandbox::apiserver::{Store, serve, write_kubeconfig};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Stdio};

const NAMESPACE: &str = "sealos-system";
const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/ingress-nginx.yaml");

fn run(arguments: &[&str], kubeconfig: &Path) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_gradual-rollout"))
        .args(arguments)
        .env_clear()
        .env("KUBECONFIG", kubeconfig)
        .env("USER", "eve")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn manifests(annotations: &str, host: &str) -> String {
    format!(
        "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: terminal-a, namespace: {NAMESPACE}, labels: {{app: terminal}}, annotations: {{{annotations}}}}}
spec: {{ingressClassName: nginx, rules: [{{host: a.example.com, http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: a, port: {{number: 80}}}}}}}}]}}}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: istio-ingressgateway, namespace: istio-system}}
spec: {{ports: [{{port: 8081}}]}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: a, namespace: {NAMESPACE}}}
spec: {{hosts: [{host}], gateways: [istio-system/split], http: [{{route: [{{destination: {{host: a}}}}]}}]}}
"
    )
}

fn check(text: &str, more: &[&str]) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cluster.yaml");
    std::fs::write(&file, text).unwrap();
    let mut arguments = vec!["routes", "check", "-f", EXAMPLE, "-f", file.to_str().unwrap()];
    arguments.extend(more);
    run(&arguments, Path::new("/nonexistent/kubeconfig"))
}

#[test]
fn what_can_be_split_is_said_from_manifests_alone() {
    let (code, out, err) = check(&manifests("", "a.example.com"), &[]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(
        out.starts_with("terminal of sealos-system/terminal-edge: can be split, 1 upstream(s)"),
        "{out}"
    );
    assert!(out.contains("EdgeNotTested"), "{out}");
}

#[test]
fn what_is_missing_is_said_with_code_object_annotation_and_remedy() {
    let annotation = "nginx.ingress.kubernetes.io/affinity: cookie";
    let (code, out, err) = check(&manifests(annotation, "b.example.com"), &["-o", "json"]);
    assert_eq!(code, 3, "{err}");
    let told: Value = serde_json::from_str(&out).unwrap();
    let component = &told["components"][0];
    assert_eq!(component["eligible"], false);
    let found = |code: &str| {
        let all = component["findings"].as_array().unwrap();
        all.iter()
            .find(|f| f["code"] == code)
            .cloned()
            .unwrap_or_default()
    };
    assert_eq!(
        found("RouteMissing")["object"],
        "ingress sealos-system/terminal-a"
    );
    assert_eq!(found("RouteMissing")["severity"], "blocker");
    assert_eq!(found("Affinity")["field"], "nginx.ingress.kubernetes.io/affinity");
    assert!(found("Affinity")["remedy"].as_str().unwrap().contains("accept"));
}

#[test]
fn the_controllers_flags_count_where_its_manifest_is_given() {
    let text = format!(
        "{}---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: ingress-nginx-controller, namespace: ingress-nginx}}
spec: {{template: {{spec: {{containers: [{{name: controller, args: [/nginx-ingress-controller, --disable-svc-external-name=true]}}]}}}}}}
",
        manifests("", "a.example.com")
    );
    let (code, out, _) = check(&text, &[]);
    assert_eq!(code, 3, "{out}");
    assert!(out.contains("ExternalNameOff"), "{out}");
}

#[test]
fn files_without_a_rollout_are_wrong_usage() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.yaml");
    std::fs::write(&file, manifests("", "a.example.com")).unwrap();
    let (code, _, err) = run(
        &["routes", "check", "-f", file.to_str().unwrap()],
        Path::new("/nonexistent/kubeconfig"),
    );
    assert_eq!(code, 64);
    assert!(err.contains("hold no GradualRollout"), "{err}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emergency_without_a_daemon_deletes_the_canary() {
    let store = Store::new(Clock::System);
    store.namespace(NAMESPACE);
    store.namespace("istio-system");
    store.register_crd(&crd::definition()).unwrap();
    let text = std::fs::read_to_string(EXAMPLE).unwrap();
    store.put(serde_saphyr::from_str(&text).unwrap()).unwrap();
    let canary = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": "gr-a-80-0", "namespace": NAMESPACE,
            "labels": {"app.kubernetes.io/managed-by": "gradual-rollout", "rollout.sealos.io/component": "terminal"},
            "annotations": {"nginx.ingress.kubernetes.io/canary": "true", "nginx.ingress.kubernetes.io/canary-weight": "250",
                "nginx.ingress.kubernetes.io/canary-weight-total": "1000"}},
        "spec": {"rules": [{"host": "a.example.com", "http": {"paths": [{"path": "/", "pathType": "Prefix",
            "backend": {"service": {"name": "gr-a-80-0", "port": {"number": 8081}}}}]}}]},
    });
    store.put(canary).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    write_kubeconfig(&kubeconfig, listener.local_addr().unwrap()).unwrap();
    let mut server = tokio::task::JoinSet::new();
    let objects = store.clone();
    server.spawn(async move {
        let _ = serve(listener, objects, std::future::pending()).await;
    });
    let (code, out, err) = tokio::task::spawn_blocking(move || {
        run(
            &[
                "emergency-rollback",
                "--mode",
                "full",
                "--reason",
                "test",
                "--force",
            ],
            &kubeconfig,
        )
    })
    .await
    .unwrap();
    assert_eq!(code, 0, "{out}{err}");
    assert!(
        store
            .get("ingresses.networking.k8s.io", NAMESPACE, "gr-a-80-0")
            .is_none(),
        "{out}{err}"
    );
}
