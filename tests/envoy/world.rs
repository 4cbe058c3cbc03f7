//! Everything together: an API server, Envoy with its bridge, Prometheus, the daemon, and for each app two back ends
//! and its clients.

use crate::backend::Backend;
use crate::bridge::{Bridge, Kind, write};
use crate::foreign::Editor;
use crate::load::{Load, Seen};
use crate::objects::{arm_cluster, coarse, host, rollout, route};
use crate::process::Process;
use crate::prometheus::Prometheus;
use crate::proxy::Envoy;
use crate::wait::{LONG, until};
use gradual_rollout::clock::Clock;
use gradual_rollout::cluster::{connect::connect, crd};
use gradual_rollout::rollout::status::ComponentStatus;
use gradual_rollout::sandbox::apiserver::{Store, serve, write_kubeconfig};
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, PostParams};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The namespace of everything.
pub(crate) const NS: &str = "apps";

/// An app before it runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) name: &'static str,
    /// Requests a second.
    pub(crate) rate: u32,
    /// What its route allows a request.
    pub(crate) timeout: Option<&'static str>,
    /// How long its clients wait.
    pub(crate) patience: Duration,
}

impl Plan {
    pub(crate) const fn new(name: &'static str, rate: u32) -> Self {
        Self {
            name,
            rate,
            timeout: Some("1s"),
            patience: Duration::from_secs(20),
        }
    }
}

/// An app that runs.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) name: &'static str,
    pub(crate) control: Backend,
    pub(crate) canary: Backend,
    pub(crate) load: Load,
}

impl App {
    /// Waits for so many answers as clients want them.
    pub(crate) async fn answers(&self, count: usize) {
        let before = self.load.seen().len();
        let what = format!("{count} answers for {}", self.name);
        until(&what, async || {
            let seen = self.load.seen();
            (seen.iter().skip(before).filter(|seen| seen.is_good()).count() >= count).then_some(())
        })
        .await;
    }

    /// What went wrong, for the message of a test that failed.
    pub(crate) fn complaints(&self) -> Vec<Seen> {
        self.load.bad()
    }
}

#[derive(Debug)]
pub(crate) struct World {
    kind: Kind,
    pub(crate) apps: Vec<App>,
    pub(crate) envoy: Envoy,
    pub(crate) prometheus: Prometheus,
    pub(crate) bridge: Bridge,
    daemon: Process,
    api: Connection,
    folder: tempfile::TempDir,
    _server: JoinSet<()>,
    _place: SemaphorePermit<'static>,
}

/// How many of these worlds there are at once: what they measure is shares and times.
static PLACES: Semaphore = Semaphore::const_new(4);

struct Connection(kube::Client);

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connection")
    }
}

/// A span of time in which an app's traffic was split in one way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// The canary's part of it.
    pub(crate) share: f64,
    pub(crate) from: Instant,
    pub(crate) to: Instant,
}

impl World {
    /// Brings up everything but the rollout; all traffic is on control.
    pub(crate) async fn start(kind: Kind, plans: &[Plan]) -> Self {
        let place = PLACES.acquire().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("routes")).unwrap();
        let store = Store::new(Clock::System);
        store.namespace(NS);
        store.register_crd(&crd::definition()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        write_kubeconfig(&kubeconfig, listener.local_addr().unwrap()).unwrap();
        let mut server = JoinSet::new();
        server.spawn(async move {
            let _ = serve(listener, store, std::future::pending()).await;
        });
        let client = connect(Some(&kubeconfig), None).await.unwrap().api;
        let (mut arms, mut clusters) = (Vec::new(), Vec::new());
        let routes = Api::namespaced_with(client.clone(), NS, &kind.resource());
        for plan in plans {
            let (control, canary) = (Backend::start("control").await, Backend::start("canary").await);
            clusters.push((arm_cluster(kind, plan.name, "v1"), control.address));
            clusters.push((arm_cluster(kind, plan.name, "v2"), canary.address));
            arms.push((plan, control, canary));
            let object: DynamicObject = serde_json::from_value(route(kind, plan)).unwrap();
            routes.create(&PostParams::default(), &object).await.unwrap();
        }
        write(&folder.path().join("routes"), "0", &[]);
        let envoy = Envoy::start(folder.path(), &clusters).await;
        let bridge = Bridge::start(
            client.clone(),
            NS,
            kind,
            &folder.path().join("routes"),
            envoy.admin,
        );
        until("every app is routed", async || {
            let periods = bridge.periods();
            let last = periods.last().filter(|last| last.in_force.is_some())?;
            (last.shares.len() == plans.len()).then_some(())
        })
        .await;
        let load = |plan: &Plan| Load::start(envoy.listener, &host(plan.name), plan.rate, plan.patience);
        let apps = arms.into_iter().map(|(plan, control, canary)| App {
            name: plan.name,
            control,
            canary,
            load: load(plan),
        });
        let apps: Vec<App> = apps.collect();
        let prometheus = Prometheus::start(folder.path(), envoy.admin).await;
        let daemon = daemon(folder.path(), &prometheus.url());
        Self {
            kind,
            apps,
            envoy,
            prometheus,
            bridge,
            daemon,
            api: Connection(client),
            folder,
            _server: server,
            _place: place,
        }
    }

    pub(crate) fn app(&self, name: &str) -> &App {
        self.apps.iter().find(|app| app.name == name).unwrap()
    }

    /// Somebody else who edits an app's route.
    pub(crate) async fn editor(&self, name: &str) -> Editor {
        Editor::start(self.kind, self.routes(), name).await
    }

    /// The routes at the API server.
    pub(crate) fn routes(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.api.0.clone(), NS, &self.kind.resource())
    }

    fn rollouts(&self) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("rollout.sealos.io", "v1alpha1", "GradualRollout");
        Api::namespaced_with(self.api.0.clone(), NS, &ApiResource::from_gvk(&kind))
    }

    /// Brings a rollout of these apps: weights with their holds, and how it is judged.
    pub(crate) async fn roll_out(&self, name: &str, apps: &[&str], steps: &[(&str, &str)], judge: &Value) {
        self.roll_out_by(name, apps, steps, judge, &coarse()).await;
    }

    /// The same, by these checks.
    pub(crate) async fn roll_out_by(
        &self,
        name: &str,
        apps: &[&str],
        steps: &[(&str, &str)],
        judge: &Value,
        checks: &Value,
    ) {
        let object = serde_json::from_value(rollout(self.kind, name, apps, steps, judge, checks)).unwrap();
        self.rollouts()
            .create(&PostParams::default(), &object)
            .await
            .unwrap();
    }

    /// Where an app stands, as the status says.
    pub(crate) async fn component(&self, name: &str) -> Option<ComponentStatus> {
        let listed = self
            .rollouts()
            .list(&kube::api::ListParams::default())
            .await
            .ok()?;
        let mut all = listed.items.iter().flat_map(|object| {
            object.data["status"]["components"]
                .as_array()
                .into_iter()
                .flatten()
        });
        let found = all.find(|component| component["name"] == name)?;
        Some(serde_json::from_value(found.clone()).unwrap())
    }

    /// Waits until the status of an app is so.
    pub(crate) async fn until(&mut self, name: &str, what: &str, so: impl Fn(&ComponentStatus) -> bool) {
        self.wait(name, what, async |world| {
            world.component(name).await.as_ref().is_some_and(&so)
        })
        .await;
    }

    async fn wait(&mut self, name: &str, what: &str, mut so: impl AsyncFnMut(&Self) -> bool) {
        let wait = async {
            while !so(self).await {
                assert!(self.daemon.runs(), "the daemon ended:\n{}", self.daemon.said());
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        if tokio::time::timeout(LONG, wait).await.is_err() {
            let (status, spans) = (self.component(name).await, self.spans(name));
            panic!(
                "{name} is never {what}: {status:#?}\n{spans:#?}\n{}",
                self.daemon.said()
            );
        }
    }

    /// Waits until Envoy goes by this share of an app's traffic for the canary.
    pub(crate) async fn until_share(&mut self, name: &str, share: f64) {
        let what = format!("{share} in Envoy");
        let so = |spans: &[Span]| spans.last().is_some_and(|last| (last.share - share).abs() < 1e-9);
        self.wait(name, &what, async |world| so(&world.spans(name))).await;
    }

    /// How an app's traffic was split, in order. What is routed by one split is in its span; what is routed while one
    /// takes the place of another is in none.
    pub(crate) fn spans(&self, name: &str) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        let canary = arm_cluster(self.kind, name, "v2");
        for period in self.bridge.periods() {
            let (Some(from), Some(parts)) = (period.in_force, period.shares.get(&host(name))) else {
                continue;
            };
            let share = parts.get(&canary).copied().unwrap_or(0.0);
            let to = period.replaced.unwrap_or_else(Instant::now);
            match spans.last_mut() {
                Some(last) if (last.share - share).abs() < 1e-9 => last.to = to,
                _ => spans.push(Span { share, from, to }),
            }
        }
        spans
    }

    /// Runs the program to its end.
    pub(crate) async fn run(&self, words: &[&str]) -> Output {
        let mut command = program(self.folder.path());
        command.args(words).args(["-n", NS]).env("USER", "ada");
        tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap()
    }

    /// What the daemon said lately.
    pub(crate) fn daemon_said(&self) -> String {
        self.daemon.said()
    }
}

/// How many requests came to a back end within a span. Those that were under way when it began are left out.
pub(crate) fn arrived(backend: &Backend, span: Span) -> u64 {
    let from = span.from + Duration::from_millis(300);
    let arrivals = backend.arrivals();
    arrivals.iter().filter(|at| (from..span.to).contains(at)).count() as u64
}

fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gradual-rollout"));
    command.env_clear().env("KUBECONFIG", folder.join("kubeconfig"));
    command
}

fn daemon(folder: &Path, prometheus: &str) -> Process {
    let text = format!(
        "namespace = \"{NS}\"\nlisten = \"127.0.0.1:0\"\n[watch]\nnamespaces = [\"{NS}\"]\n[prometheus]\n\
         endpoints = [\"{prometheus}\"]\n"
    );
    std::fs::write(folder.join("settings.toml"), text).unwrap();
    let mut command = program(folder);
    command.args(["run", "--config", "settings.toml"]);
    Process::start(command, folder, "daemon.log")
}
