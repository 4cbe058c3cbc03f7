//! The program itself, in a process of its own, killed at moments of chance while it walks a plan: over HTTP, at real
//! time, judged by a real Prometheus. What it writes is held to the same promises.

use crate::promises::{Promises, ROUTES, Seen, canary};
use crate::scrambled;
use crate::tools::Prometheus;
use crate::traffic::Traffic;
use crate::world::virtual_service;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::routing::get;
use gradual_rollout::clock::Clock;
use gradual_rollout::rollout::reason::State;
use gradual_rollout::rollout::spec::GradualRollout;
use gradual_rollout::rollout::status::{ComponentStatus, GradualRolloutStatus};
use gradual_rollout::sandbox::apiserver::Store;
use kube::CustomResourceExt;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

const NS: &str = crate::world::NS;
/// Half of them fail on the way.
const NAMES: [&str; 6] = ["shop", "cart", "desk", "mail", "wiki", "chat"];

/// So long that the plan is walked while it is killed, and not yet over when the last of them fails.
fn hold() -> &'static str {
    if kills() > 100 { "15s" } else { "2s" }
}

fn rollout() -> Value {
    let component = |name: &&str| {
        let host = |version: &str| format!("{name}-{version}.{NS}.svc.cluster.local");
        let arm =
            |version: &str| json!({"preset": "istio", "labels": {"destination_service": host(version)}});
        json!({"name": name,
            "routers": [{"istio": {"virtualServices": [{"name": name, "routes": ["main"]}],
                "canary": {"host": host("v2")}, "control": {"host": host("v1")}}}],
            "arms": {"canary": arm("v2"), "control": arm("v1")}})
    };
    let steps: Vec<Value> = (1..=10)
        .map(|n| json!({"weight": format!("{}%", n * 10), "hold": hold()}))
        .collect();
    json!({
        "apiVersion": "rollout.sealos.io/v1alpha1", "kind": "GradualRollout",
        "metadata": {"name": "demo", "namespace": NS},
        "spec": {"components": NAMES.iter().map(component).collect::<Vec<_>>(), "steps": steps,
            "judge": {"interval": "1s", "settle": "1s"}}
    })
}

struct Scene {
    store: Store,
    promises: Arc<Promises>,
    traffic: Arc<Traffic>,
    folder: tempfile::TempDir,
    _prometheus: Prometheus,
    _servers: JoinSet<()>,
}

impl Scene {
    async fn new() -> Self {
        let store = Store::new(Clock::System);
        store
            .register_crd(&serde_json::to_value(GradualRollout::crd()).unwrap())
            .unwrap();
        store.namespace(NS);
        for name in NAMES {
            store.put(virtual_service(name)).unwrap();
        }
        let promises = Arc::new(Promises::of(&[rollout()], &Clock::System, NS));
        store.put(rollout()).unwrap();
        let traffic = Arc::new(Traffic::default());
        let mut servers = JoinSet::new();
        let api = serve(&mut servers, api(&store, &promises)).await;
        let metrics = serve(&mut servers, exporter(&store, &traffic)).await;
        let prometheus = Prometheus::start(&[metrics], Duration::from_secs(1)).await;
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
             clusters: [{{name: c, cluster: {{server: \"http://{api}\"}}}}]\nusers: [{{name: u, user: {{}}}}]\n"
        );
        std::fs::write(folder.path().join("kubeconfig"), kubeconfig).unwrap();
        // A pod of a StatefulSet comes back by its own name, and need not wait for its own Lease to run out.
        let settings = format!(
            "listen = \"127.0.0.1:0\"\n[lease]\nidentity = \"gradual-rollout-0\"\n[prometheus]\nendpoints = [\"{}\"]\n",
            prometheus.url()
        );
        std::fs::write(folder.path().join("settings.toml"), settings).unwrap();
        Self {
            store,
            promises,
            traffic,
            folder,
            _prometheus: prometheus,
            _servers: servers,
        }
    }

    fn start(&self) -> Child {
        let file = |name: &str| self.folder.path().join(name);
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(file("log"))
            .unwrap();
        Command::new(Path::new(env!("CARGO_BIN_EXE_gradual-rollout")))
            .args(["run", "--config"])
            .arg(file("settings.toml"))
            .env("KUBECONFIG", file("kubeconfig"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    fn weight(&self, name: &str) -> u64 {
        canary(&self.store.get(ROUTES, NS, name).unwrap())
    }

    fn component(&self, name: &str) -> ComponentStatus {
        let object = self.store.get(crate::promises::ROLLOUTS, NS, "demo").unwrap();
        let status: GradualRolloutStatus =
            serde_json::from_value(object["status"].clone()).unwrap_or_default();
        status.component(name).cloned().unwrap_or_default()
    }

    fn fail(&self, name: &str) {
        self.traffic.fail(name);
        let mut facts = self.promises.facts.lock().unwrap();
        facts.failing.insert(name.to_owned(), Clock::System.now());
    }

    fn is_under_way(&self) -> bool {
        NAMES.iter().any(|name| (1..1000).contains(&self.weight(name)))
    }

    fn ended(&self) -> bool {
        NAMES
            .iter()
            .all(|name| self.component(name).state.is_terminal() && self.component(name).lowering.is_none())
    }
}

async fn serve(servers: &mut JoinSet<()>, router: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    servers.spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

fn api(store: &Store, promises: &Arc<Promises>) -> Router {
    let (watched, promises) = (store.clone(), promises.clone());
    store.router().layer(from_fn(move |request: Request, next: Next| {
        let (store, promises) = (watched.clone(), promises.clone());
        async move {
            let (parts, body) = request.into_parts();
            let bytes = to_bytes(body, usize::MAX).await.unwrap();
            let seen = Seen {
                method: parts.method.to_string(),
                path: parts.uri.path().to_owned(),
                body: bytes.clone(),
            };
            let before = promises.before(&store, &seen);
            let response = next.run(Request::from_parts(parts, Body::from(bytes))).await;
            if response.status().is_success() {
                promises.after(&store, &seen, before);
            }
            response
        }
    }))
}

fn exporter(store: &Store, traffic: &Arc<Traffic>) -> Router {
    let (store, traffic) = (store.clone(), traffic.clone());
    let page = async move || {
        let page = NAMES.map(|name| {
            let permille = canary(&store.get(ROUTES, NS, name).unwrap());
            let page = traffic.page(NS, name);
            // What was counted up to now was split as before.
            #[expect(clippy::cast_precision_loss, reason = "at most 1000")]
            traffic.split(name, permille as f64 / 1000.0);
            page
        });
        page.concat()
    };
    Router::new().route("/metrics", get(page))
}

/// How long it lives at most, in milliseconds: where it is killed a few times only, long enough to come further.
fn longest() -> u64 {
    if kills() > 100 { 1500 } else { 4000 }
}

/// How often it is killed: with `make sweep` as often as is promised.
fn kills() -> u64 {
    match std::env::var("SWEEP").as_deref() {
        Ok("all") => 200,
        Ok(_) => 0,
        Err(_) => 12,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_itself_killed_at_moments_of_chance_keeps_every_promise() {
    let kills = kills();
    if kills == 0 {
        return;
    }
    let scene = Scene::new().await;
    let mut child = scene.start();
    // A machine that is busy takes its time to start the first one.
    let began = tokio::time::Instant::now();
    while !scene.is_under_way() && began.elapsed() < Duration::from_secs(120) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut on_the_way = 0;
    for n in 0..kills {
        // Some die while they start, some in the middle of a write, some at rest.
        let life = Duration::from_millis(scrambled(n) as u64 % longest());
        tokio::time::sleep(life).await;
        on_the_way += u64::from(scene.is_under_way());
        child.kill().await.unwrap();
        if n == kills / 3 {
            scene.fail("cart");
        }
        if n == kills / 2 {
            scene.fail("mail");
        }
        if n == kills * 2 / 3 {
            scene.fail("chat");
        }
        child = scene.start();
    }
    let most = NAMES
        .iter()
        .map(|name| scene.weight(name))
        .max()
        .unwrap_or_default();
    assert!(
        on_the_way * 10 >= kills * 7,
        "{on_the_way} of {kills} kills were under a running plan"
    );
    assert!(most > 100, "the plan went on meanwhile: {most}");
    let began = tokio::time::Instant::now();
    while !scene.ended() {
        assert!(
            began.elapsed() < Duration::from_secs(240),
            "it does not come to its end: {:?}\n{:?}\n{}",
            NAMES.map(|name| (name, scene.weight(name), scene.component(name).reason)),
            scene.promises.broken(),
            std::fs::read_to_string(scene.folder.path().join("log")).unwrap_or_default()
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    child.kill().await.unwrap();
    let broken = scene.promises.broken();
    assert!(broken.is_empty(), "{broken:#?}");
    for name in NAMES {
        let failed = ["cart", "mail", "chat"].contains(&name);
        let (state, weight) = if failed {
            (State::RolledBack, 0)
        } else {
            (State::Completed, 1000)
        };
        assert_eq!(
            (scene.component(name).state, scene.weight(name)),
            (state, weight),
            "{name}"
        );
    }
    println!(
        "killed {kills} times, {on_the_way} of them under way: {} writes, 0 violations",
        scene.promises.writes()
    );
}
