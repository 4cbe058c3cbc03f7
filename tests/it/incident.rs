//! The bundle of `incident`: what is in it, what is named as missing, and what never gets in.

use crate::cli_cluster::{Cluster, NAMESPACE};
use gradual_rollout::sandbox::apiserver::{Action, Failure, Fault, write_kubeconfig};
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
async fn the_archive_comes_whole_through_a_pipe() {
    let cluster = Cluster::start().await;
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_gradual-rollout"));
    command
        .args(["incident", "-o", "-", "--daemon", "http://127.0.0.1:9"])
        .env_clear()
        .env("KUBECONFIG", cluster.kubeconfig())
        .stdin(std::process::Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{err}");
    let files = files(&output.stdout);
    assert!(files["rollouts/shop.yaml"].contains("written: 40%"), "{files:?}");
    assert!(files.contains_key("MISSING.txt"), "{files:?}");
    // Blocks of 512 bytes, and two empty ones at the end.
    assert_eq!(output.stdout.len() % 512, 0);
    assert!(output.stdout.ends_with(&[0; 1024]));
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
async fn a_daemon_that_takes_connections_and_answers_nothing_is_waited_for_once_and_said_to_hang() {
    let cluster = Cluster::start().await;
    // Connections are taken by the system, as for a process that is stopped.
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let daemon = format!("http://user:hunter2@{}", listener.local_addr().unwrap());
    let began = tokio::time::Instant::now();
    let (code, files, out) = bundle(&cluster, &["--daemon", &daemon]).await;
    let took = began.elapsed();
    assert_eq!(code, 0, "{out}");
    for text in [&files["daemon/hangs.txt"], &out] {
        assert!(
            text.contains("answers nothing within 2s: it hangs") && !text.contains("hunter2"),
            "{text}"
        );
    }
    assert!(
        !files["MISSING.txt"].contains("hunter2"),
        "{}",
        files["MISSING.txt"]
    );
    assert!(
        files["MISSING.txt"].contains("daemon/source.json"),
        "{}",
        files["MISSING.txt"]
    );
    // Three pages one after the other would take six.
    assert!(took < std::time::Duration::from_secs(6), "{took:?}");
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

async fn served(app: axum::Router, servers: &mut JoinSet<()>) -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    servers.spawn(async move { axum::serve(listener, app).await.unwrap() });
    address
}

/// A Prometheus that cannot work the first query that it is asked, ever, and answers all others alike.
fn of_two_minds() -> axum::Router {
    let first = std::sync::Arc::new(std::sync::OnceLock::new());
    let answer = move |body: String| {
        let refused = *first.get_or_init(|| body.clone()) == body;
        let (status, answer) = if refused {
            let text = json!({"status": "error", "errorType": "execution", "error": "many-to-many matching not allowed"});
            (http::StatusCode::UNPROCESSABLE_ENTITY, text)
        } else {
            let series = json!([{"metric": {"code": "503"}, "value": [1_772_452_800, "7"]}]);
            let data = json!({"resultType": "vector", "result": series});
            (http::StatusCode::OK, json!({"status": "success", "data": data}))
        };
        async move { (status, axum::Json(answer)) }
    };
    axum::Router::new().route("/api/v1/query", axum::routing::post(answer))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_query_that_is_refused_is_named_and_silences_no_other() {
    let cluster = Cluster::start().await;
    let mut shop = Value::clone(
        &cluster
            .store
            .get("gradualrollouts.rollout.sealos.io", NAMESPACE, "shop")
            .unwrap(),
    );
    let mut cart = shop["spec"]["components"][0].clone();
    cart["name"] = json!("cart");
    cart["routers"][0]["istio"]["virtualServices"][0]["name"] = json!("cart");
    for arm in ["canary", "control"] {
        cart["arms"][arm]["labels"]["destination_service_name"] = json!("cart");
    }
    shop["spec"]["components"].as_array_mut().unwrap().push(cart);
    cluster.store.put(shop).unwrap();
    let mut servers = JoinSet::new();
    let address = served(of_two_minds(), &mut servers).await;
    let settings = cluster.folder.path().join("settings.toml");
    let text = format!("[prometheus]\nendpoints = [\"http://{address}\"]\n");
    tokio::fs::write(&settings, text).await.unwrap();
    let more = [
        "--daemon",
        "http://127.0.0.1:9",
        "--config",
        settings.to_str().unwrap(),
    ];
    let (code, files, out) = bundle(&cluster, &more).await;
    assert_eq!(code, 0, "{out}");
    let told = |component: &str| -> Vec<Value> {
        let text = &files[&format!("queries/shop.{component}.json")];
        let told: Value = serde_json::from_str(text).unwrap();
        told["queries"].as_array().unwrap().clone()
    };
    let (shop, cart) = (told("shop"), told("cart"));
    let why = shop[0]["error"].as_str().unwrap();
    assert!(why.contains("many-to-many"), "{why}");
    assert!(shop.len() > 1 && !cart.is_empty());
    for query in shop.iter().skip(1).chain(&cart) {
        assert_eq!(query["series"][0]["value"], 7.0, "{query:#}");
        assert_eq!(query["series"][0]["labels"]["code"], "503", "{query:#}");
        assert_eq!(query["count"], 1);
    }
    let missing = &files["MISSING.txt"];
    assert!(missing.contains("value of a query of shop ("), "{missing}");
    assert!(!missing.contains("values of the queries"), "{missing}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_logs_of_each_container_are_in_it_and_what_one_said_before_it_crashed() {
    let cluster = Cluster::start().await;
    let pods = json!({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": [
        {"metadata": {"name": "daemon-1", "namespace": NAMESPACE},
            "spec": {"containers": [{"name": "gradual-rollout"}, {"name": "istio-proxy"}]},
            "status": {"containerStatuses": [
                {"name": "gradual-rollout", "restartCount": 2, "ready": true, "image": "", "imageID": ""},
                {"name": "istio-proxy", "restartCount": 0, "ready": true, "image": "", "imageID": ""}]}},
        {"metadata": {"name": "daemon-2", "namespace": NAMESPACE},
            "spec": {"containers": [{"name": "gradual-rollout"}]}},
    ]});
    let place = format!("/api/v1/namespaces/{NAMESPACE}/pods");
    let layer = move |request: axum::extract::Request, next: axum::middleware::Next| {
        let (pods, path) = (pods.clone(), request.uri().path().to_owned());
        let query = request.uri().query().unwrap_or_default().to_owned();
        let pod = path
            .strip_prefix(&place)
            .map(|rest| rest.trim_end_matches("/log").to_owned());
        async move {
            match pod.as_deref() {
                None => next.run(request).await,
                Some("") => axum::response::IntoResponse::into_response(axum::Json(pods)),
                Some(pod) => {
                    let text = format!("{} of {pod}\n", query.replace('&', " "));
                    axum::response::IntoResponse::into_response(text)
                }
            }
        }
    };
    let mut servers = JoinSet::new();
    let app = cluster.store.router().layer(axum::middleware::from_fn(layer));
    let address = served(app, &mut servers).await;
    write_kubeconfig(&cluster.kubeconfig(), address).unwrap();
    let (code, files, out) = bundle(&cluster, &["--daemon", "http://127.0.0.1:9"]).await;
    assert_eq!(code, 0, "{out}");
    let logs: Vec<&str> = files
        .keys()
        .filter_map(|path| path.strip_prefix("logs/"))
        .collect();
    assert_eq!(
        logs,
        [
            "sealos-system.daemon-1.gradual-rollout.log",
            "sealos-system.daemon-1.gradual-rollout.previous.log",
            "sealos-system.daemon-1.istio-proxy.log",
            "sealos-system.daemon-2.gradual-rollout.log",
        ],
        "{}",
        files["MISSING.txt"]
    );
    let before = &files["logs/sealos-system.daemon-1.gradual-rollout.previous.log"];
    assert!(
        before.contains("previous=true") && before.contains("container=gradual-rollout"),
        "{before}"
    );
    assert!(before.contains("of /daemon-1"), "{before}");
    let now = &files["logs/sealos-system.daemon-1.gradual-rollout.log"];
    assert!(!now.contains("previous=true"), "{now}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_is_there_as_a_whole_or_not_at_all() {
    let cluster = Cluster::start().await;
    let page = json!([{"name": "x".repeat(20 << 20)}]).to_string();
    let (page, whole) = (axum::body::Bytes::from(page.clone()), page);
    let page = move || async move { page };
    let app = axum::Router::new().route("/api/v1/rollouts", axum::routing::get(page));
    let mut servers = JoinSet::new();
    let address = served(app, &mut servers).await;
    let (code, files, out) = bundle(&cluster, &["--daemon", &format!("http://{address}")]).await;
    assert_eq!(code, 0, "{out}");
    assert!(files["daemon/rollouts.json"] == whole, "20 MiB are cut");
}

/// A Prometheus that answers every query with one series.
fn prometheus() -> axum::Router {
    let answer = || async {
        let series = json!([{"metric": {"code": "503"}, "value": [1_772_452_800, "7"]}]);
        let data = json!({"resultType": "vector", "result": series});
        axum::Json(json!({"status": "success", "data": data}))
    };
    axum::Router::new().route("/api/v1/query", axum::routing::post(answer))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bundle_comes_without_a_cluster_with_what_daemon_and_prometheus_say() {
    let cluster = Cluster::start().await;
    let mut servers = JoinSet::new();
    let app = axum::Router::new()
        .route(
            "/metrics",
            axum::routing::get(|| async { "gradual_rollout_x 1\n" }),
        )
        .route(
            "/api/v1/rollouts",
            axum::routing::get(|| async {
                r#"{"rollouts":[{"complaint":"shop fails, my token hunter2","name":"shop"}]}"#
            }),
        );
    let daemon = served(app, &mut servers).await;
    let prometheus = served(prometheus(), &mut servers).await;
    let settings = cluster.folder.path().join("settings.toml");
    // Where the daemon is stands in the settings.
    let text = format!("listen = \"{daemon}\"\n[prometheus]\nendpoints = [\"http://{prometheus}\"]\n");
    tokio::fs::write(&settings, text).await.unwrap();
    let whole = std::fs::read_to_string(cluster.kubeconfig()).unwrap();
    let hangs = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    for way in ["refused", "hangs", "no kubeconfig", "401", "403"] {
        cluster.store.faults().clear();
        let kubeconfig = cluster.kubeconfig();
        std::fs::write(&kubeconfig, &whole).unwrap();
        match way {
            "refused" => write_kubeconfig(&kubeconfig, "127.0.0.1:9".parse().unwrap()).unwrap(),
            "hangs" => write_kubeconfig(&kubeconfig, hangs.local_addr().unwrap()).unwrap(),
            "no kubeconfig" => std::fs::remove_file(&kubeconfig).unwrap(),
            code => {
                let code = code.parse().unwrap();
                cluster.store.inject(Fault::new(Action::Fail(Failure::new(
                    code,
                    "Forbidden",
                    "eve may not",
                ))));
            }
        }
        let began = tokio::time::Instant::now();
        let (code, files, out) = bundle(&cluster, &["--config", settings.to_str().unwrap()]).await;
        assert!(began.elapsed() < std::time::Duration::from_secs(30), "{way}");
        assert_eq!(code, 4, "{way}: {out}");
        let last = out.trim_end().lines().last().unwrap();
        assert!(
            last.contains("PARTIAL") && last.contains("MISSING.txt"),
            "{way}: {out}"
        );
        let missing = &files["MISSING.txt"];
        let says = match way {
            "refused" | "hangs" => "unable to reach the cluster while listing the rollouts of sealos-system",
            "no kubeconfig" => "found no cluster",
            _ => "not allowed while listing the rollouts of sealos-system: eve may not",
        };
        assert!(
            missing.contains("resources with their history") && missing.contains(says),
            "{way}: {missing}"
        );
        assert_eq!(files["daemon/metrics.txt"], "gradual_rollout_x 1\n", "{way}");
        let state = &files["daemon/rollouts.json"];
        assert!(
            state.contains("shop fails") && !state.contains("hunter2"),
            "{way}: {state}"
        );
        let told: Value = serde_json::from_str(&files["queries/general.json"]).unwrap();
        assert_eq!(told["queries"][0]["series"][0]["value"], 7.0, "{way}: {told:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_that_a_cluster_does_not_have_is_refused_and_no_bundle_is_written() {
    let cluster = Cluster::start().await;
    for wrong in [&["--rollout", "nothing"][..], &["nothing"]] {
        let path = cluster.folder.path().join("none.tar");
        let arguments = [&["incident", "-o", path.to_str().unwrap()], wrong].concat();
        let (code, out, err) = cluster.run(&arguments).await;
        assert_eq!(code, 3, "{out}{err}");
        assert!(!path.exists());
    }
}
