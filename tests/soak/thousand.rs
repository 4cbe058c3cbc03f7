//! How long an emergency takes where a whole platform is in it. A figure, told by `make emergency`: here, because nothing
//! else is compiled for speed with so little.

use crate::world::{rollout, virtual_service};
use gradual_rollout::clock::Clock;
use gradual_rollout::cluster::crd;
use gradual_rollout::sandbox::apiserver::{Store, serve, write_kubeconfig};
use serde_json::{Value, json};
use std::process::{Command, Stdio};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

const NAMESPACE: &str = crate::NS;
const COMPONENTS: usize = 1000;

/// Components `c0` to `c999` in resources of 64, all at 40%.
fn fleet(store: &Store) -> Vec<String> {
    let names: Vec<String> = (0..COMPONENTS).map(|n| format!("c{n}")).collect();
    for name in &names {
        let mut service = virtual_service(name);
        service["spec"]["http"][0]["route"][0]["weight"] = json!(60);
        service["spec"]["http"][0]["route"][1]["weight"] = json!(40);
        store.put(service).unwrap();
    }
    for (i, names) in names.chunks(64).enumerate() {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        store.put(rollout(&format!("fleet-{i}"), &names)).unwrap();
    }
    names
}

/// The times from the start: until the last component is back, which the program tells, and until the program ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a figure, on a machine that does nothing else"]
async fn a_thousand_components_are_back_within_two_seconds() {
    let store = Store::new(Clock::System);
    store.namespace(NAMESPACE);
    store.register_crd(&crd::definition()).unwrap();
    let names = fleet(&store);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (kubeconfig, report) = (
        folder.path().join("kubeconfig"),
        folder.path().join("report.json"),
    );
    write_kubeconfig(&kubeconfig, listener.local_addr().unwrap()).unwrap();
    let mut server = JoinSet::new();
    let objects = store.clone();
    server.spawn(async move {
        let _ = serve(listener, objects, std::future::pending()).await;
    });

    let mut command = Command::new(env!("CARGO_BIN_EXE_gradual-rollout"));
    let arguments = [
        "emergency-rollback",
        "--reason",
        "x",
        "--force",
        "--verify",
        "0s",
        "--report",
    ];
    command
        .args(arguments)
        .arg(&report)
        .env_clear()
        .env("KUBECONFIG", &kubeconfig)
        .env("USER", "eve")
        .stdin(Stdio::null());
    let began = Instant::now();
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = output.await.unwrap();
    let whole = began.elapsed().as_millis();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for name in &names {
        let service = store
            .get("virtualservices.networking.istio.io", NAMESPACE, name)
            .unwrap();
        assert_eq!(service["spec"]["http"][0]["route"][1]["weight"], 0, "{name}");
    }
    let report: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    let took = report["putBackInMs"].as_u64().unwrap();
    println!("1,000 components: the last is back after {took} ms, the program ends after {whole} ms");
    assert!(took <= 2000, "{took} ms");
}
