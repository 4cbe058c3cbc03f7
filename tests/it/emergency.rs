//! Emergency rollback: by the program as people start it, without a daemon, without rights that it can do without, and
//! against an API server that is ill.

mod lost;
mod metrics;
mod stuck;

use crate::cli_cluster::{Cluster, NAMESPACE};
use crate::support::world::{World, rollout, virtual_service};
use axum::Router;
use axum::routing::{get, post};
use gradual_rollout::rollout::reason::{Reason, State};
use gradual_rollout::sandbox::apiserver::{Action, Failure, Fault, serve, write_kubeconfig};
use serde_json::{Value, json};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use tokio::task::JoinSet;

const ROLLOUTS: &str = "gradualrollouts.rollout.sealos.io";
const SERVICES: &str = "virtualservices.networking.istio.io";
const NOW: [&str; 6] = ["emergency-rollback", "--reason", "x", "--force", "--verify", "0s"];

fn forbidden() -> Action {
    Action::Fail(Failure::new(403, "Forbidden", "eve may not"))
}

fn busy() -> Action {
    Action::Fail(Failure::new(429, "TooManyRequests", "too many requests"))
}

/// Components `c0` to `cN` in resources of 64, all at 40%.
fn fleet(cluster: &Cluster, n: usize) {
    cluster.store.delete(ROLLOUTS, NAMESPACE, "shop").unwrap();
    let names: Vec<String> = (0..n).map(|i| format!("c{i}")).collect();
    for name in &names {
        let mut service = virtual_service(name);
        service["spec"]["http"][0]["route"][0]["weight"] = json!(60);
        service["spec"]["http"][0]["route"][1]["weight"] = json!(40);
        cluster.store.put(service).unwrap();
    }
    for (i, names) in names.chunks(64).enumerate() {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        cluster.store.put(rollout(&format!("fleet-{i}"), &names)).unwrap();
    }
}

fn weight(cluster: &Cluster, name: &str) -> u64 {
    let service = cluster.store.get(SERVICES, NAMESPACE, name).unwrap();
    service
        .pointer("/spec/http/0/route/1/weight")
        .and_then(Value::as_u64)
        .unwrap()
}

async fn reported(cluster: &Cluster, more: &[&str]) -> (i32, Value, String) {
    let path = cluster.folder.path().join("report.json");
    let path = path.to_str().unwrap();
    let now = if more.contains(&"--verify") {
        &NOW[..4]
    } else {
        &NOW[..]
    };
    let arguments: Vec<&str> = [now, &["--report", path], more].concat();
    let (code, out, err) = cluster.run(&arguments).await;
    let text = std::fs::read_to_string(path).unwrap_or_else(|_| panic!("{out}{err}"));
    (code, serde_json::from_str(&text).unwrap(), format!("{out}{err}"))
}

fn step<'r>(report: &'r Value, name: &str) -> &'r Value {
    let steps = report["steps"].as_array().unwrap();
    steps
        .iter()
        .find(|step| step["step"] == name)
        .unwrap_or_else(|| panic!("{report:#}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_needs_no_right_to_list_nor_to_read_a_lease_when_the_rollout_is_named() {
    let cluster = Cluster::start().await;
    for fault in [
        Fault::new(forbidden()).verb("list"),
        Fault::new(forbidden()).resource("leases.coordination.k8s.io"),
    ] {
        cluster.store.inject(fault);
    }
    let (code, out, err) = cluster.run(&NOW).await;
    assert_eq!((code, cluster.shop().0), (3, 40), "{out}{err}");
    assert!(err.contains("--rollout NAME"), "{err}");
    let named: Vec<&str> = [&NOW[..], &["--rollout", "shop"]].concat();
    let (code, out, err) = cluster.run(&named).await;
    assert_eq!((code, cluster.shop().0), (0, 0), "{out}{err}");
    assert_eq!(
        cluster.commands().len(),
        1,
        "the wish stays for whoever comes back"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_run_says_already_writes_nothing_and_leaves_one_wish() {
    let cluster = Cluster::start().await;
    let (code, out, err) = cluster.run(&NOW).await;
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("40% → 0%"), "{out}");
    let before = (cluster.store.version(), cluster.commands());
    let (code, out, err) = cluster.run(&NOW).await;
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("already at 0%"), "{out}");
    assert_eq!((cluster.store.version(), cluster.commands()), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_put_back_is_named_with_its_remedy_and_the_rest_goes_back() {
    let cluster = Cluster::start().await;
    fleet(&cluster, 5);
    cluster.store.inject(
        Fault::new(forbidden())
            .verb("patch")
            .resource(SERVICES)
            .name("c1"),
    );
    cluster.store.delete(SERVICES, NAMESPACE, "c3").unwrap();
    let (code, report, out) = reported(&cluster, &[]).await;
    assert_eq!(code, 4, "{out}");
    for name in ["c0", "c2", "c4"] {
        assert_eq!(weight(&cluster, name), 0, "{name}: {out}");
    }
    assert_eq!(weight(&cluster, "c1"), 40);
    let said = |n: usize| report["components"][n]["message"].as_str().unwrap();
    assert!(
        said(1).contains("virtualservice sealos-system/c1 not lowered")
            && said(1).contains("eve may not")
            && said(1).contains("as somebody who may get and patch"),
        "{}",
        said(1)
    );
    assert!(said(3).contains("carries no traffic"), "{}", said(3));
    assert_eq!(report["components"][1]["result"], "refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_server_that_is_busy_or_lets_races_be_lost_is_asked_again() {
    let cluster = Cluster::start().await;
    fleet(&cluster, 6);
    for (verb, action, times) in [
        ("get", busy(), 5),
        ("patch", busy(), 7),
        (
            "patch",
            Action::Fail(Failure::new(409, "Conflict", "the object has been modified")),
            6,
        ),
        (
            "patch",
            Action::FailAfter(Failure::new(503, "ServiceUnavailable", "lost on the way")),
            2,
        ),
    ] {
        cluster
            .store
            .inject(Fault::new(action).verb(verb).resource(SERVICES).times(times));
    }
    cluster
        .store
        .inject(Fault::new(busy()).verb("patch").resource(ROLLOUTS).times(2));
    let (code, report, out) = reported(&cluster, &[]).await;
    assert_eq!(code, 0, "{out}\n{report:#}");
    for n in 0..6 {
        assert_eq!(weight(&cluster, &format!("c{n}")), 0, "{out}");
    }
    let annotations = cluster.store.get(ROLLOUTS, NAMESPACE, "fleet-0").unwrap();
    let annotations = annotations.pointer("/metadata/annotations").unwrap().to_string();
    assert!(annotations.contains("command.rollback."), "{annotations}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traffic_goes_back_although_the_wish_cannot_be_recorded() {
    let cluster = Cluster::start().await;
    cluster
        .store
        .inject(Fault::new(forbidden()).verb("patch").resource(ROLLOUTS));
    let (code, report, out) = reported(&cluster, &[]).await;
    assert_eq!((code, cluster.shop().0), (0, 0), "{out}");
    let said = report["components"][0]["message"].as_str().unwrap();
    assert!(said.contains("could not be recorded on shop"), "{said}");
    assert!(
        cluster.shop().1.unwrap().ends_with(" 0% Emergency"),
        "the mark tells a daemon why"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_components_than_go_at_once_all_go_back() {
    let cluster = Cluster::start().await;
    fleet(&cluster, 150);
    let (code, report, out) = reported(&cluster, &[]).await;
    assert_eq!(code, 0, "{out}");
    for n in 0..150 {
        assert_eq!(weight(&cluster, &format!("c{n}")), 0);
    }
    assert_eq!(report["components"].as_array().unwrap().len(), 150);
    assert_eq!(
        report["after"][149]["weight"],
        json!(0.0),
        "read back: {}",
        report["after"][149]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_could_not_be_told_afterwards_is_refused_before_anything_is_done() {
    let cluster = Cluster::start().await;
    let version = cluster.store.version();
    let nowhere = cluster.folder.path().join("no/such/report.json");
    let nowhere = nowhere.to_str().unwrap();
    for (more, says) in [
        (["--report", nowhere], nowhere),
        (["--notify", "hunter2"], "--notify: its url is none"),
        (
            ["--notify", "ftp://chat.example.com/hunter2"],
            "--notify: its url is none",
        ),
        (["--probe", "nowhere"], "--probe nowhere: no URL"),
    ] {
        let (code, out, err) = cluster.run(&[&NOW[..], &more].concat()).await;
        assert_eq!(code, 64, "{out}{err}");
        assert!(err.contains(says), "{err}");
        assert!(!err.contains("hunter2"), "{err}");
    }
    assert_eq!(cluster.store.version(), version, "nothing was written");
    assert_eq!(weight(&cluster, "shop"), 40);
}

/// Answers GET with 200 on `/well`, and remembers what is posted.
async fn web() -> (String, Arc<Mutex<Vec<Value>>>, JoinSet<()>) {
    let posted = Arc::new(Mutex::new(Vec::new()));
    let heard = posted.clone();
    let app = Router::new().route("/well", get(|| async { "ok" })).route(
        "/hook",
        post(move |body: String| async move {
            heard.lock().unwrap().push(serde_json::from_str(&body).unwrap());
        }),
    );
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut server = JoinSet::new();
    server.spawn(async move { axum::serve(listener, app).await.unwrap() });
    (url, posted, server)
}

fn endpoints(service: &str, ready: bool) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": format!("{service}-1"), "namespace": NAMESPACE,
            "labels": {"kubernetes.io/service-name": service}},
        "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": ready}}],
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_verified_in_four_steps_and_people_are_told() {
    let cluster = Cluster::start().await;
    let (url, posted, _server) = web().await;
    cluster.store.put(endpoints("shop", true)).unwrap();
    let (well, hook) = (format!("{url}/well"), format!("{url}/hook"));
    let (code, report, out) = reported(&cluster, &["--probe", &well, "--notify", &hook]).await;
    assert_eq!(code, 0, "{out}");
    for (name, result) in [
        ("services recovered", "ok"),
        ("users unaffected", "ok"),
        ("metrics back", "unknown"),
        ("people told", "ok"),
    ] {
        assert_eq!(step(&report, name)["result"], result, "{report:#}");
    }
    assert!(out.contains("services recovered"), "{out}");
    let health = &report["health"];
    assert_eq!(
        health["before"]["components"][0]["control"][0]["ready"], true,
        "{health:#}"
    );
    assert_eq!(
        health["after"]["components"][0]["weight"],
        json!(0.0),
        "{health:#}"
    );
    assert!(
        health["before"]["components"][0]["metrics"]["unknown"].is_string(),
        "{health:#}"
    );
    let posted = posted.lock().unwrap();
    let [message] = posted.as_slice() else {
        panic!("{posted:?}")
    };
    assert_eq!(
        (&message["topic"], &message["who"]),
        (&json!("emergency"), &json!("eve"))
    );
    let text = message["text"].as_str().unwrap();
    assert!(text.contains("1 of 1 components are back: x"), "{text}");
    assert_eq!(report["told"][0], json!({"receiver": "127.0.0.1", "told": true}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_well_afterwards_is_said_and_makes_it_half_done() {
    let cluster = Cluster::start().await;
    let (url, _, _server) = web().await;
    cluster.store.put(endpoints("shop", false)).unwrap();
    let (ill, hook) = (format!("{url}/ill"), format!("{url}/nobody"));
    let (code, report, out) = reported(&cluster, &["--probe", &ill, "--notify", &hook]).await;
    assert_eq!((code, cluster.shop().0), (4, 0), "{out}");
    let services = &step(&report, "services recovered");
    assert_eq!(services["result"], "failed", "{services}");
    assert!(
        services["message"]
            .as_str()
            .unwrap()
            .contains("0 of 1 endpoints ready"),
        "{services}"
    );
    let users = step(&report, "users unaffected");
    assert_eq!(users["result"], "failed");
    assert!(
        users["message"].as_str().unwrap().contains("status 404"),
        "{users}"
    );
    let people = step(&report, "people told");
    assert_eq!(people["result"], "failed");
    assert!(
        people["message"].as_str().unwrap().contains("status 404"),
        "{people}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prometheus_and_a_chat_that_hang_keep_no_traffic_up() {
    let cluster = Cluster::start().await;
    // Takes connections and says nothing, ever.
    let deaf = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", deaf.local_addr().unwrap());
    let settings = cluster.folder.path().join("settings.toml");
    let text = format!(
        "[prometheus]\nendpoints = [\"{url}\"]\n[[notify]]\nname = \"ops\"\nkind = \"slack\"\nurl = \"{url}/hunter2\"\n"
    );
    std::fs::write(&settings, text).unwrap();
    let mut changes = cluster.store.subscribe(SERVICES);
    let path = cluster.folder.path().join("report.json");
    let (settings, report) = (settings.to_str().unwrap(), path.to_str().unwrap());
    let arguments: Vec<&str> = [&NOW[..], &["--report", report, "--config", settings]].concat();
    let run = cluster.run(&arguments);
    let seen = async {
        let change = changes.recv().await.unwrap();
        (change, path.exists())
    };
    let ((code, out, err), (change, told)) = tokio::join!(run, seen);
    assert_eq!(code, 0, "{out}{err}");
    assert!(!told, "the weight is written before anybody has answered");
    assert_eq!(
        change.object.pointer("/spec/http/0/route/1/weight"),
        Some(&json!(0))
    );
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!text.contains("hunter2") && !out.contains("hunter2"), "{text}");
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(step(&report, "metrics back")["result"], "unknown", "{report:#}");
    let people = step(&report, "people told");
    assert_eq!(people["result"], "failed");
    assert!(
        people["message"].as_str().unwrap().contains("ops: no answer"),
        "{people}"
    );
}

/// The rollout as it is at a weight of 0, where nobody may write to its route.
async fn back_and_forbidden(intent: Option<Value>) -> Cluster {
    let cluster = Cluster::start().await;
    let mut service = (*cluster.store.get(SERVICES, NAMESPACE, "shop").unwrap()).clone();
    service["spec"]["http"][0]["route"][0]["weight"] = json!(100);
    service["spec"]["http"][0]["route"][1]["weight"] = json!(0);
    cluster.store.put(service).unwrap();
    let mut shop = json!({"name": "shop", "state": "RolledBack", "reason": "Breach", "message": "errors",
        "weight": {"asked": "0%", "written": "0%", "observed": "0%"}});
    if let Some(intent) = intent {
        shop["intent"] = intent;
        shop["weight"]["asked"] = json!("10%");
    }
    let status = json!({"components": [shop]});
    cluster
        .store
        .put_status(ROLLOUTS, NAMESPACE, "shop", status)
        .unwrap();
    cluster
        .store
        .inject(Fault::new(forbidden()).verb("patch").resource(SERVICES));
    cluster
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_at_0_already_is_back_although_it_cannot_be_marked_unless_a_raise_may_be_on_its_way() {
    let intent =
        json!({"id": "i", "weight": "10%", "reason": "Manual", "at": "2026-03-02T09:00:00Z", "objects": []});
    for (intent, leads, ends) in [(None, false, 0), (Some(intent), false, 3), (None, true, 3)] {
        let place = format!("{intent:?} {leads}");
        let declared = intent.is_some();
        let cluster = back_and_forbidden(intent).await;
        if leads {
            cluster.lease();
        }
        let (code, report, out) = reported(&cluster, &[]).await;
        let said = report["components"][0]["message"].as_str().unwrap();
        assert!(
            said.contains("at 0% already") && said.contains("eve may not"),
            "{place}: {said}"
        );
        assert!(!said.contains("not lowered"), "{place}: {said}");
        assert_eq!(
            said.contains("may still land"),
            declared || leads,
            "{place}: {said}"
        );
        assert_eq!(code, ends, "{place}: {out}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_daemon_refuses_goes_back_from_here() {
    let cluster = Cluster::start().await;
    cluster.lease();
    let (store, mut changes) = (cluster.store.clone(), cluster.store.subscribe(ROLLOUTS));
    let mut daemon = JoinSet::new();
    daemon.spawn(async move {
        while let Ok(change) = changes.recv().await {
            let annotations = change
                .object
                .pointer("/metadata/annotations")
                .and_then(Value::as_object);
            let key = annotations
                .into_iter()
                .flat_map(|all| all.keys())
                .find(|key| key.contains("/command."));
            let Some(id) = key.and_then(|key| key.rsplit('.').next()) else {
                continue;
            };
            let mut status = change.object["status"].clone();
            status["commands"] = json!([{"id": id, "verb": "rollback", "at": "2026-03-02T09:00:00Z",
                "result": "Refused", "message": "shop: its routed objects are not known"}]);
            store.put_status(ROLLOUTS, NAMESPACE, "shop", status).unwrap();
            return;
        }
    });
    let (code, report, out) = reported(&cluster, &[]).await;
    assert_eq!((code, cluster.shop().0), (0, 0), "{out}");
    let said = report["components"][0]["message"].as_str().unwrap();
    assert!(
        said.contains("40% → 0%") && said.contains("the daemon refused it"),
        "{said}"
    );
}

/// The program in real time, against a world whose own time stands still meanwhile.
pub(crate) fn emergency_in(world: &World, more: &[&str]) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    write_kubeconfig(&kubeconfig, listener.local_addr().unwrap()).unwrap();
    let store = world.store.clone();
    let (close, closed) = tokio::sync::oneshot::channel::<()>();
    let server = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            serve(listener, store, async { drop(closed.await) })
                .await
                .unwrap();
        });
    });
    let output = Command::new(env!("CARGO_BIN_EXE_gradual-rollout"))
        .args(NOW)
        .args(more)
        .env_clear()
        .env("KUBECONFIG", &kubeconfig)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    drop(close);
    server.join().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_comes_back_does_not_undo_it() {
    let mut world = World::with(&["shop", "cart"]);
    world
        .until("25%", |w| w.weight("shop") == 25 && w.weight("cart") == 25)
        .await;
    world.kill().await;
    world.pass(60).await;
    let (code, out) = emergency_in(&world, &[]);
    assert_eq!(code, 0, "{out}");
    assert_eq!((world.weight("shop"), world.weight("cart")), (0, 0), "{out}");
    let mut changes = world.store.subscribe(SERVICES);
    world.start("daemon-2");
    world.pass(3600).await;
    for name in ["shop", "cart"] {
        let c = world.component(name);
        assert_eq!(
            (c.state, c.reason),
            (State::RolledBack, Reason::Emergency),
            "{c:#?}"
        );
        assert_eq!(world.weight(name), 0);
    }
    while let Ok(change) = changes.try_recv() {
        let weight = change.object.pointer("/spec/http/0/route/1/weight").cloned();
        assert_eq!(weight, Some(json!(0)), "not for a moment");
    }
    let annotations = world.object()["metadata"]["annotations"].to_string();
    assert!(
        !annotations.contains("command.rollback"),
        "taken up: {annotations}"
    );
}
