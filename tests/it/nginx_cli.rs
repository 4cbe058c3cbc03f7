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
fn a_gateway_counts_where_its_manifest_is_given() {
    let gateway = |api: &str, more: &str| {
        format!(
            "{}---
apiVersion: {api}
kind: Gateway
metadata: {{name: split, namespace: istio-system}}
spec: {{servers: [{{port: {{number: 8081, name: split, protocol: HTTP}}, hosts: ['*']{more}}}]}}
",
            manifests("", "a.example.com")
        )
    };
    let redirects = ", tls: {httpsRedirect: true}";
    for (text, code, expected) in [
        (manifests("", "a.example.com"), 0, "ListenerUnread"),
        (gateway("networking.istio.io/v1", redirects), 3, "RedirectLoop"),
        // The Gateway API's own says nothing of Istio's.
        (
            gateway("gateway.networking.k8s.io/v1", redirects),
            0,
            "ListenerUnread",
        ),
    ] {
        let (exit, out, _) = check(&text, &[]);
        assert_eq!(exit, code, "{out}");
        assert!(out.contains(expected), "{expected}: {out}");
    }
    let (exit, out, _) = check(&gateway("networking.istio.io/v1", ""), &[]);
    assert_eq!(exit, 0, "{out}");
    assert!(!out.contains("ListenerUnread"), "{out}");
}

#[test]
fn what_has_traffic_already_is_said_to_keep_it() {
    let folder = tempfile::tempdir().unwrap();
    let (rollout, cluster) = (
        folder.path().join("rollout.yaml"),
        folder.path().join("cluster.yaml"),
    );
    let status = "status: {components: [{name: terminal, weight: {asked: 20%, written: 20%}}]}";
    let example = std::fs::read_to_string(EXAMPLE).unwrap();
    std::fs::write(&rollout, format!("{}\n{status}\n", example.trim_end())).unwrap();
    std::fs::write(&cluster, manifests("", "another.example.com")).unwrap();
    let files = [rollout.to_str().unwrap(), cluster.to_str().unwrap()];
    let (code, out, err) = run(
        &["routes", "check", "-f", files[0], "-f", files[1]],
        Path::new("/nonexistent/kubeconfig"),
    );
    assert_eq!(code, 3, "{out}{err}");
    assert!(
        out.contains("has 20% and rises no further, `rollback` takes it off"),
        "{out}"
    );
    assert!(err.contains("one component rises no further"), "{err}");
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
                "nginx.ingress.kubernetes.io/canary-weight-total": "1000",
                "rollout.sealos.io/w.terminal": "01A 25% Step"}},
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

/// The name of the canary of Service `service`, port 80, as it is made.
fn canary_name(service: &str) -> String {
    let upstream = format!("{NAMESPACE}/{service}:80");
    let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = upstream.bytes().fold(0xcbf2_9ce4_8422_2325, fnv);
    format!("gr-{service}-80-{:08x}", hash & 0xffff_ffff)
}

/// A canary that a component `terminal` of the resource made.
fn canary(service: &str, rollout: &str) -> Value {
    let (name, host) = (canary_name(service), format!("{service}.example.com"));
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": name, "namespace": NAMESPACE,
            "labels": {"app.kubernetes.io/managed-by": "gradual-rollout", "rollout.sealos.io/component": "terminal"},
            "annotations": {"nginx.ingress.kubernetes.io/canary": "true", "nginx.ingress.kubernetes.io/canary-weight": "250",
                "nginx.ingress.kubernetes.io/canary-weight-total": "1000",
                "rollout.sealos.io/rollout": format!("{NAMESPACE}/{rollout}"),
                "rollout.sealos.io/w.terminal": "01A 25% Step"}},
        "spec": {"ingressClassName": "nginx", "rules": [{"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix",
            "backend": {"service": {"name": name, "port": {"number": 8081}}}}]}}]},
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emergency_without_a_daemon_puts_back_what_its_own_resource_made_though_another_chooses_it_too() {
    let store = Store::new(Clock::System);
    store.namespace(NAMESPACE);
    store.namespace("istio-system");
    store.register_crd(&crd::definition()).unwrap();
    let text = std::fs::read_to_string(EXAMPLE).unwrap();
    let example: Value = serde_saphyr::from_str(&text).unwrap();
    // Both choose both tenants, and each made one canary.
    for name in ["old", "young"] {
        let mut rollout = example.clone();
        rollout["metadata"]["name"] = json!(name);
        store.put(rollout).unwrap();
    }
    for (service, maker) in [("a", "old"), ("b", "young")] {
        let tenant: Value = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {"name": format!("terminal-{service}"), "namespace": NAMESPACE, "labels": {"app": "terminal"}},
            "spec": {"ingressClassName": "nginx", "rules": [{"host": format!("{service}.example.com"), "http": {"paths": [
                {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": service, "port": {"number": 80}}}}]}}]},
        });
        store.put(tenant).unwrap();
        store.put(canary(service, maker)).unwrap();
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    write_kubeconfig(&kubeconfig, listener.local_addr().unwrap()).unwrap();
    let mut server = tokio::task::JoinSet::new();
    let objects = store.clone();
    server.spawn(async move {
        let _ = serve(listener, objects, std::future::pending()).await;
    });
    let there = |service: &str| {
        let name = canary_name(service);
        store
            .get("ingresses.networking.k8s.io", NAMESPACE, &name)
            .is_some()
    };
    for (rollout, left) in [("young", [true, false]), ("old", [false, false])] {
        let kubeconfig = kubeconfig.clone();
        let (code, out, err) = tokio::task::spawn_blocking(move || {
            let arguments = [
                "emergency-rollback",
                "--mode",
                "ingress",
                "--rollout",
                rollout,
                "--reason",
                "test",
                "--force",
            ];
            run(&arguments, &kubeconfig)
        })
        .await
        .unwrap();
        assert_eq!(code, 0, "{rollout}: {out}{err}");
        assert_eq!([there("a"), there("b")], left, "{rollout}: {out}{err}");
    }
}
