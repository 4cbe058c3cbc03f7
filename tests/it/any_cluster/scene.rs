//! A namespace for one test, its daemons and its traffic; all of it gone afterwards, as far as the cluster lets go.

use super::cluster::{Connection, kubeconfig, until};
use super::definition::{LABEL, hold, release};
use super::objects::{GATEWAYS, GROUP};
use super::traffic::Traffic;
use futures::FutureExt;
use gradual_rollout::clock::Clock;
use gradual_rollout::daemon::{self, Handles};
use gradual_rollout::engine::{DoctorSettings, EngineSettings, View};
use gradual_rollout::metrics::Source;
use gradual_rollout::rollout::status::{ComponentStatus, GradualRolloutStatus};
use gradual_rollout::telemetry::Metrics;
use serde_json::{Value, json};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(super) struct Scene {
    /// The namespace.
    pub(super) ns: String,
    /// A connection as whom the kubeconfig says.
    pub(super) admin: Connection,
    pub(super) traffic: Arc<Traffic>,
    pub(super) folder: tempfile::TempDir,
    /// The version in which the cluster has `VirtualServices`.
    istio: &'static str,
    /// The kubeconfig of the daemons, once there is one.
    shipped: Option<PathBuf>,
    /// The kubeconfig of whoever uses the program, once there is one.
    operator: tokio::sync::OnceCell<PathBuf>,
    /// Cluster-wide objects that go with the test: their paths.
    pub(super) extras: Vec<String>,
    daemons: JoinSet<()>,
    helpers: JoinSet<()>,
}

/// One daemon of a test.
pub(super) struct Daemon {
    stop: CancellationToken,
    task: tokio::task::AbortHandle,
}

impl Daemon {
    /// As SIGTERM.
    pub(super) async fn stop(&self) {
        self.stop.cancel();
        until(
            "the daemon ended",
            async || self.task.is_finished().then_some(()),
            async || String::new(),
        )
        .await;
    }

    /// As `kill -9`.
    pub(super) fn kill(&self) {
        self.task.abort();
    }
}

/// Runs a test in a namespace of its own, and tidies up however it ends.
pub(super) async fn on_cluster(test: impl AsyncFnOnce(&mut Scene)) {
    let admin = Connection::open(kubeconfig()).await;
    hold(&admin).await;
    let ns = format!(
        "gradual-rollout-{}",
        ulid::Ulid::generate().to_string().to_lowercase()
    );
    let outcome = AssertUnwindSafe(async {
        let mut scene = Scene::new(&ns, admin.clone()).await;
        let outcome = AssertUnwindSafe(test(&mut scene)).catch_unwind().await;
        scene.daemons.shutdown().await;
        scene.helpers.shutdown().await;
        for path in scene.extras.iter().rev() {
            admin.delete(path).await;
        }
        outcome
    })
    .catch_unwind()
    .await;
    // A failure to tidy up is told, and hides no other.
    let tidied = AssertUnwindSafe(async {
        tidy(&admin, &ns).await;
        release(&admin).await;
    })
    .catch_unwind()
    .await;
    for result in [outcome.and_then(|inner| inner), tidied] {
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Takes away what is in a namespace, and the namespace. Whether it ever vanishes is up to the cluster's controllers.
async fn tidy(admin: &Connection, ns: &str) {
    let rollouts = format!("/apis/{GROUP}/namespaces/{ns}/gradualrollouts");
    let listed = admin.get(&rollouts).await.body;
    for item in listed["items"].as_array().into_iter().flatten() {
        let path = format!("{rollouts}/{}", item["metadata"]["name"].as_str().unwrap());
        admin
            .merge(&path, &json!({"metadata": {"finalizers": null}}))
            .await;
    }
    let istio = istio_version(admin).await.unwrap_or("v1");
    let routes = format!("/apis/networking.istio.io/{istio}/namespaces/{ns}/virtualservices");
    for collection in [
        rollouts,
        routes,
        format!("/apis/{GATEWAYS}/namespaces/{ns}/httproutes"),
        format!("/apis/apps/v1/namespaces/{ns}/deployments"),
        format!("/apis/coordination.k8s.io/v1/namespaces/{ns}/leases"),
        format!("/apis/events.k8s.io/v1/namespaces/{ns}/events"),
        format!("/apis/networking.k8s.io/v1/namespaces/{ns}/ingresses"),
        format!("/api/v1/namespaces/{ns}/configmaps"),
        format!("/api/v1/namespaces/{ns}/services"),
    ] {
        admin.delete(&collection).await;
    }
    admin.delete(&format!("/api/v1/namespaces/{ns}")).await;
}

impl Scene {
    async fn new(ns: &str, admin: Connection) -> Self {
        let labels = json!({LABEL.0: LABEL.1});
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ns, "labels": labels}});
        admin
            .post("/api/v1/namespaces", &namespace)
            .await
            .ok("a namespace");
        let traffic = Arc::new(Traffic::default());
        let mut helpers = JoinSet::new();
        let istio = istio_version(&admin).await.expect("VirtualServices are served");
        let routes = format!("/apis/networking.istio.io/{istio}/namespaces/{ns}/virtualservices");
        let split = follow(admin.clone(), ns.to_owned(), routes, traffic.clone());
        helpers.spawn(split);
        Self {
            ns: ns.to_owned(),
            admin,
            traffic,
            folder: tempfile::tempdir().unwrap(),
            istio,
            shipped: None,
            operator: tokio::sync::OnceCell::new(),
            extras: Vec::new(),
            daemons: JoinSet::new(),
            helpers,
        }
    }

    /// Does something beside the test, until it ends.
    pub(super) fn beside(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.helpers.spawn(task);
    }

    /// The path of the namespace's rollouts, of one of them, or of its status.
    pub(super) fn rollouts(&self, name: &str) -> String {
        join(
            format!("/apis/{GROUP}/namespaces/{}/gradualrollouts", self.ns),
            name,
        )
    }

    pub(super) fn routes(&self, name: &str) -> String {
        let all = format!(
            "/apis/networking.istio.io/v1/namespaces/{}/virtualservices",
            self.ns
        );
        join(all, name)
    }

    pub(super) fn core(&self, plural: &str, name: &str) -> String {
        join(format!("/api/v1/namespaces/{}/{plural}", self.ns), name)
    }

    pub(super) fn ingresses(&self, name: &str) -> String {
        let all = format!("/apis/networking.k8s.io/v1/namespaces/{}/ingresses", self.ns);
        join(all, name)
    }

    pub(super) fn deployments(&self, name: &str) -> String {
        join(format!("/apis/apps/v1/namespaces/{}/deployments", self.ns), name)
    }

    /// Creates an object of the namespace.
    pub(super) async fn create(&self, object: &Value) -> Value {
        let mut object = object.clone();
        if object["kind"] == "VirtualService" {
            object["apiVersion"] = json!(format!("networking.istio.io/{}", self.istio));
        }
        let path = match object["kind"].as_str().unwrap() {
            "GradualRollout" => self.rollouts(""),
            "VirtualService" => self.routes(""),
            "HTTPRoute" => format!("/apis/{GATEWAYS}/namespaces/{}/httproutes", self.ns),
            "Deployment" => self.deployments(""),
            "ConfigMap" => self.core("configmaps", ""),
            "Service" => self.core("services", ""),
            "Ingress" => self.ingresses(""),
            "ServiceAccount" => self.core("serviceaccounts", ""),
            other => panic!("where do {other}s go?"),
        };
        self.admin.post(&path, &object).await.ok(object)
    }

    /// Brings a rollout `demo` of these components with their routes.
    pub(super) async fn bring(&self, components: &[&str], weights: &[&str]) {
        for name in components {
            self.create(&super::objects::virtual_service(&self.ns, name))
                .await;
        }
        self.create(&super::objects::rollout(&self.ns, "demo", components, weights))
            .await;
    }

    /// Starts a daemon in this process that looks after the namespace, with the rights that `deploy/` grants and no
    /// others.
    pub(super) async fn start(&mut self, identity: &str) -> Daemon {
        let kubeconfig = self.shipped().await;
        self.start_as(identity, &kubeconfig).await
    }

    /// The kubeconfig of a daemon with the shipped rights.
    pub(super) async fn shipped(&mut self) -> PathBuf {
        if self.shipped.is_none() {
            self.shipped = Some(super::rights::shipped(self).await);
        }
        self.shipped.clone().unwrap()
    }

    /// The same, as somebody else.
    pub(super) async fn start_as(&mut self, identity: &str, kubeconfig: &Path) -> Daemon {
        let handles = Handles {
            clients: Connection::open(kubeconfig).await.clients,
            source: Source::Simulated(self.traffic.clone()),
            clock: Clock::System,
            namespace: self.ns.clone(),
            lease: "gradual-rollout".into(),
            identity: identity.into(),
            shards: 1,
            lease_renew: Duration::from_secs(2),
            lease_duration: Duration::from_secs(10),
            watch_namespaces: vec![self.ns.clone()],
            engine: EngineSettings {
                doctor: Some(DoctorSettings {
                    namespace: self.ns.clone(),
                    lease: "gradual-rollout".into(),
                    shards: 1,
                    has_prometheus: true,
                }),
                ..EngineSettings::default()
            },
            metrics: Metrics::new(),
            inbound: None,
            view: tokio::sync::watch::channel(View::default()).0,
        };
        let stop = CancellationToken::new();
        let told = stop.clone();
        let task = self
            .daemons
            .spawn(async move { daemon::run(handles, None, told).await.unwrap() });
        Daemon { stop, task }
    }

    pub(super) async fn object(&self) -> Value {
        self.admin.get(&self.rollouts("demo")).await.body
    }

    pub(super) async fn status(&self) -> GradualRolloutStatus {
        serde_json::from_value(self.object().await["status"].clone()).unwrap_or_default()
    }

    pub(super) async fn component(&self, name: &str) -> ComponentStatus {
        self.status().await.component(name).cloned().unwrap_or_default()
    }

    pub(super) async fn route(&self, name: &str) -> Value {
        self.admin.get(&self.routes(name)).await.ok(name)
    }

    /// The canary's weight as the cluster has it.
    pub(super) async fn weight(&self, name: &str) -> u64 {
        canary(&self.route(name).await)
    }

    /// Waits until something is so.
    pub(super) async fn until(&self, what: &str, mut so: impl AsyncFnMut(&Self) -> bool) {
        until(
            what,
            async || so(self).await.then_some(()),
            async || format!("{:#}", self.object().await),
        )
        .await;
    }

    pub(super) async fn until_weight(&self, name: &str, weight: u64) {
        let what = format!("{name} at {weight}%");
        self.until(&what, async |s| s.weight(name).await == weight).await;
    }

    /// What `kubectl annotate` sends: a wish on the rollout. Gives its id.
    pub(super) async fn say(&self, verb: &str, wish: &Value) -> String {
        let id = ulid::Ulid::generate().to_string();
        let key = format!("rollout.sealos.io/command.{verb}.{id}");
        let body = json!({"metadata": {"annotations": {key: wish.to_string()}}});
        let path = format!("{}?fieldManager=kubectl-annotate", self.rollouts("demo"));
        self.admin.merge(&path, &body).await.ok(verb);
        id
    }

    /// The program itself, against this cluster and namespace, with the rights of the shipped role for operators.
    pub(super) async fn program(&self, arguments: &[&str]) -> Command {
        let kubeconfig = self.operator.get_or_init(|| super::rights::operator(self)).await;
        let mut command = Command::new(env!("CARGO_BIN_EXE_gradual-rollout"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("GRADUAL_ROLLOUT") {
                command.env_remove(name);
            }
        }
        command
            .args(arguments)
            .args(["-n", &self.ns])
            .env("KUBECONFIG", kubeconfig)
            // The daemons' own namespace: who operates in it may read their Lease there, and only there.
            .env("GRADUAL_ROLLOUT__NAMESPACE", &self.ns)
            .env("USER", "eve")
            .stdin(Stdio::null());
        command
    }

    /// Runs the program to its end: exit code, output, errors.
    pub(super) async fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        finish(self.program(arguments).await).await
    }

    /// A kubeconfig for the same cluster with another user's token.
    pub(super) fn kubeconfig_with(&self, token: &str) -> PathBuf {
        let known = kube::config::Kubeconfig::read_from(kubeconfig()).unwrap();
        let mut value = serde_json::to_value(known).unwrap();
        let current = value["current-context"].clone();
        let contexts = value["contexts"].as_array_mut().unwrap();
        for context in contexts.iter_mut().filter(|c| c["name"] == current) {
            context["context"]["user"] = json!("account");
        }
        value["users"] = json!([{"name": "account", "user": {"token": token}}]);
        let path = self.folder.path().join(ulid::Ulid::generate().to_string());
        // JSON is YAML.
        std::fs::write(&path, value.to_string()).unwrap();
        path
    }
}

/// Runs a program to its end: exit code, output, errors.
pub(super) async fn finish(mut command: Command) -> (i32, String, String) {
    let output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap_or(-1);
    (code, text(output.stdout), text(output.stderr))
}

fn join(path: String, name: &str) -> String {
    if name.is_empty() {
        path
    } else {
        format!("{path}/{name}")
    }
}

/// The newest version in which a cluster serves `VirtualServices`: Istio before 1.22 has only the betas.
pub(super) async fn istio_version(cluster: &Connection) -> Option<&'static str> {
    for version in ["v1", "v1beta1", "v1alpha3"] {
        let group_version = format!("networking.istio.io/{version}");
        if cluster.serves(&group_version, "virtualservices").await {
            return Some(version);
        }
    }
    None
}

/// The canary's weight of a route, whatever rules stand before it.
fn canary(route: &Value) -> u64 {
    let routes = route["spec"]["http"].as_array();
    let main = routes.into_iter().flatten().find(|r| r["name"] == "main");
    main.and_then(|main| main["route"][1]["weight"].as_u64())
        .unwrap_or_default()
}

/// Splits the traffic as the objects in the cluster say, over and over.
async fn follow(admin: Connection, ns: String, routes: String, traffic: Arc<Traffic>) {
    let switches = format!("/api/v1/namespaces/{ns}/configmaps");
    loop {
        for path in [&routes, &switches] {
            let listed = admin.get(path).await.body;
            for item in listed["items"].as_array().into_iter().flatten() {
                let percent = match item.pointer("/data/istio_percentage").and_then(Value::as_str) {
                    Some(text) => text.parse().unwrap_or_default(),
                    None => canary(item),
                };
                let name = item["metadata"]["name"].as_str().unwrap_or_default();
                traffic.split(name, f64::from(u32::try_from(percent).unwrap()) / 100.0);
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
