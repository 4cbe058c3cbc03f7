//! The bundle of `incident`: what is in it, what is named as missing, and what never gets in.

use crate::cli_cluster::{Cluster, NAMESPACE};
use gradual_rollout::sandbox::apiserver::{Action, Failure, Fault};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Read as _;
use tokio::task::JoinSet;

/// The files of a bundle, by their path in its folder.
fn files(bytes: &[u8]) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(bytes).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        let (folder, path) = path.split_once('/').unwrap();
        assert!(folder.starts_with("incident-sealos-system-"), "{folder}");
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        files.insert(path.to_owned(), text);
    }
    files
}

async fn bundle(cluster: &Cluster, more: &[&str]) -> (i32, BTreeMap<String, String>, String) {
    let path = cluster.folder.path().join("bundle.tar");
    let arguments: Vec<&str> = [&["incident", "-o", path.to_str().unwrap()], more].concat();
    let (code, out, err) = cluster.run(&arguments).await;
    let bytes = std::fs::read(&path).unwrap_or_else(|_| panic!("{out}{err}"));
    (code, files(&bytes), format!("{out}{err}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_needs_neither_daemon_nor_prometheus_and_names_what_it_could_not_have() {
    let cluster = Cluster::start().await;
    // Nobody listens there.
    let version = cluster.store.version();
    let (code, files, out) = bundle(&cluster, &["--daemon", "http://127.0.0.1:9"]).await;
    assert_eq!(code, 0, "{out}");
    assert_eq!(cluster.store.version(), version, "nothing is written");
    for (path, says) in [
        ("rollouts/shop.yaml", "written: 40%"),
        ("explain/shop.shop.txt", "no daemon is alive"),
        ("objects/virtualservice.sealos-system.shop.yaml", "subset: v2"),
        ("queries/shop.shop.json", "istio_requests_total"),
        (
            "README.txt",
            "objects/virtualservice.sealos-system.shop.yaml: a routed object of shop",
        ),
        (
            "MISSING.txt",
            "daemon/metrics.txt: http://127.0.0.1:9/metrics does not answer",
        ),
        (
            "MISSING.txt",
            "values of the queries: the settings name no [prometheus]",
        ),
        ("MISSING.txt", "logs"),
    ] {
        let text = files
            .get(path)
            .unwrap_or_else(|| panic!("no {path} in {:?}", files.keys()));
        assert!(text.contains(says), "{path} does not say {says:?}:\n{text}");
    }
    assert!(out.contains("MISSING.txt"), "{out}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_and_the_daemons_word_are_in_it_and_secrets_are_not() {
    let cluster = Cluster::start().await;
    let shop = cluster
        .store
        .get("virtualservices.networking.istio.io", NAMESPACE, "shop")
        .unwrap();
    let mut shop = Value::clone(&shop);
    shop["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/last-applied-configuration": "{\"hunter2\": 1}", "db-password": "hunter2"});
    cluster.store.put(shop).unwrap();
    cluster
        .store
        .put(json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event",
            "metadata": {"name": "shop.1", "namespace": NAMESPACE},
            "eventTime": "2026-03-02T09:00:00.000000Z", "reason": "Breach", "type": "Warning", "action": "Breach",
            "note": "shop: errors 4%", "reportingController": "x", "reportingInstance": "y",
            "regarding": {"kind": "GradualRollout", "name": "shop", "namespace": NAMESPACE},
        }))
        .unwrap();
    let app = axum::Router::new().route(
        "/metrics",
        axum::routing::get(|| async { "gradual_rollout_x 1\n" }),
    );
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let daemon = format!("http://{}", listener.local_addr().unwrap());
    let mut server = JoinSet::new();
    server.spawn(async move { axum::serve(listener, app).await.unwrap() });
    let (code, files, out) = bundle(&cluster, &["shop", "--daemon", &daemon]).await;
    assert_eq!(code, 0, "{out}");
    assert!(
        files["events.txt"].contains("shop Warning Breach x1: shop: errors 4%"),
        "{}",
        files["events.txt"]
    );
    assert_eq!(files["daemon/metrics.txt"], "gradual_rollout_x 1\n");
    assert!(
        files["MISSING.txt"].contains("/api/v1/rollouts answers 404"),
        "{}",
        files["MISSING.txt"]
    );
    for (path, text) in &files {
        assert!(!text.contains("hunter2"), "{path}:\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_not_be_read_is_named_and_the_rest_is_there() {
    let cluster = Cluster::start().await;
    for resource in [
        "virtualservices.networking.istio.io",
        "events.events.k8s.io",
        "pods",
    ] {
        let no = Action::Fail(Failure::new(403, "Forbidden", "eve may not"));
        cluster.store.inject(Fault::new(no).resource(resource));
    }
    let no = Action::Fail(Failure::new(403, "Forbidden", "eve may not"));
    cluster.store.inject(
        Fault::new(no)
            .verb("list")
            .resource("gradualrollouts.rollout.sealos.io"),
    );
    let (code, files, out) = bundle(&cluster, &["--rollout", "shop", "--daemon", "http://127.0.0.1:9"]).await;
    assert_eq!(code, 0, "{out}");
    assert!(files.contains_key("rollouts/shop.yaml"), "{:?}", files.keys());
    let missing = &files["MISSING.txt"];
    for says in [
        "objects/virtualservice.sealos-system.shop.yaml: not allowed",
        "logs of sealos-system: not allowed",
    ] {
        assert!(missing.contains(says), "{says:?} is not in\n{missing}");
    }
    assert!(missing.contains("events.txt: not allowed"), "{missing}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_is_no_place_and_nothing_half_is_left_where_nothing_can_be_written() {
    let cluster = Cluster::start().await;
    let (code, _, err) = cluster.run(&["incident", "-o", "json"]).await;
    assert_eq!(code, 64, "{err}");
    assert!(err.contains("-o FILE.tar"), "{err}");
    let nowhere = cluster.folder.path().join("no/such/folder.tar");
    let (code, _, err) = cluster.run(&["incident", "-o", nowhere.to_str().unwrap()]).await;
    assert_eq!(code, 64, "{err}");
    assert!(err.contains("no/such/folder.tar"), "{err}");
}

/// A daemon's port may have been taken by anybody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_without_end_is_given_up_and_named() {
    let cluster = Cluster::start().await;
    let mebibyte = axum::body::Bytes::from(vec![b'x'; 1 << 20]);
    let endless = move || {
        let mebibyte = mebibyte.clone();
        let chunks = futures::stream::repeat_with(move || Ok::<_, std::io::Error>(mebibyte.clone()));
        async { axum::body::Body::from_stream(chunks) }
    };
    let app = axum::Router::new().route("/metrics", axum::routing::get(endless));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut server = JoinSet::new();
    server.spawn(async move { axum::serve(listener, app).await.unwrap() });
    let (code, files, out) = bundle(&cluster, &["--daemon", &url]).await;
    assert_eq!(code, 0, "{out}");
    let missing = &files["MISSING.txt"];
    let why = format!("daemon/metrics.txt: {url}/metrics says more than 32 MiB");
    assert!(missing.contains(&why), "{missing}");
    assert!(!files.contains_key("daemon/metrics.txt"));
}
