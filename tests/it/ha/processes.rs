//! The program itself, in processes of their own: stopped, killed, and woken up again. Nothing here holds them to a
//! figure, for the machine may be busy; the figures are held in virtual time, and printed here.

use super::fencing::{Raise, furniture, share_in};
use super::gate::Gate;
use crate::support::world::NS;
use futures::future::join_all;
use gradual_rollout::clock::Clock;
use gradual_rollout::cluster::crd;
use gradual_rollout::sandbox::apiserver::{Store, write_kubeconfig};
use serde_json::{Value, json};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How long anything may take on a busy machine.
const LONG: Duration = Duration::from_secs(120);

/// An API server for several programs.
struct Place {
    raise: Raise,
    store: Store,
    folder: tempfile::TempDir,
    servers: JoinSet<()>,
}

/// A running program.
struct Program(Child);

impl Program {
    async fn signal(&self, name: &str) {
        let id = self.0.id().unwrap().to_string();
        let told = Command::new("kill").args([name, &id]).status().await.unwrap();
        assert!(told.success(), "kill {name} {id}");
    }
}

impl Place {
    fn new(raise: Raise) -> Self {
        let store = Store::new(Clock::System);
        store.namespace(NS);
        store.namespace("istio-system");
        store.register_crd(&crd::definition()).unwrap();
        for object in furniture(raise) {
            store.put(object).unwrap();
        }
        Self {
            raise,
            store,
            folder: tempfile::tempdir().unwrap(),
            servers: JoinSet::new(),
        }
    }

    /// Starts the program; its way to the API server leads through a gate.
    async fn start(&mut self, identity: &str, gate: &Gate) -> Program {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let kubeconfig = self.folder.path().join(format!("{identity}.kubeconfig"));
        write_kubeconfig(&kubeconfig, listener.local_addr().unwrap()).unwrap();
        let server = gate.guard(self.store.router());
        self.servers
            .spawn(async move { axum::serve(listener, server).await.unwrap() });
        let settings = self.folder.path().join(format!("{identity}.toml"));
        let text = format!("listen = \"127.0.0.1:0\"\n[lease]\nidentity = \"{identity}\"\n");
        std::fs::write(&settings, text).unwrap();
        let log = std::fs::File::create(self.log(identity)).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_gradual-rollout"))
            .args(["run", "--config", settings.to_str().unwrap()])
            .env_clear()
            .env("KUBECONFIG", &kubeconfig)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Program(child)
    }

    fn log(&self, identity: &str) -> std::path::PathBuf {
        self.folder.path().join(format!("{identity}.log"))
    }

    fn leader(&self) -> String {
        let lease = self
            .store
            .get("leases.coordination.k8s.io", NS, "gradual-rollout");
        let holder = lease.and_then(|l| l["spec"]["holderIdentity"].as_str().map(str::to_owned));
        holder.unwrap_or_default()
    }

    /// In permille.
    fn share(&self) -> u64 {
        share_in(&self.store, self.raise)
    }

    fn component(&self) -> Value {
        let demo = self
            .store
            .get("gradualrollouts.rollout.sealos.io", NS, "demo")
            .unwrap();
        demo["status"]["components"][0].clone()
    }

    #[expect(clippy::needless_pass_by_value, reason = "called with json!(…)")]
    fn say(&self, verb: &str, wish: Value) {
        let id = ulid::Ulid::generate();
        // Whoever writes at the same moment: again.
        for _ in 0..20 {
            let demo = self.store.get("gradualrollouts.rollout.sealos.io", NS, "demo");
            let mut demo = (*demo.unwrap()).clone();
            let key = format!("rollout.sealos.io/command.{verb}.{id}");
            demo["metadata"]["annotations"][key] = wish.to_string().into();
            if self.store.put(demo).is_ok() {
                return;
            }
        }
        panic!("the wish could not be written");
    }

    /// A raise by hand: these programs have no Prometheus.
    fn set(&self, weight: &str) {
        self.say(
            "set",
            json!({"components": ["shop"], "weight": weight, "force": true, "who": "ada"}),
        );
    }

    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) -> Duration {
        let begun = Instant::now();
        while !holds(self) {
            if begun.elapsed() > LONG {
                let logs =
                    ["first", "second"].map(|id| std::fs::read_to_string(self.log(id)).unwrap_or_default());
                panic!("never: {what}\n{:#}\n{}\n{}", self.component(), logs[0], logs[1]);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        begun.elapsed()
    }

    /// Two programs: the first leads, the second stands by and is warm.
    async fn pair(&mut self, gate: &Gate) -> (Program, Program) {
        let first = self.start("first", gate).await;
        self.until("the first leads", |p| p.leader() == "first").await;
        let second = self.start("second", &Gate::new()).await;
        if self.raise == Raise::Further {
            self.set("5%");
            self.until("5%", |p| {
                p.share() == 50 && p.component()["weight"]["written"] == "5%"
            })
            .await;
        }
        let log = self.log("second");
        self.until("the second is there", |_| {
            std::fs::read_to_string(&log).unwrap().contains("starting")
        })
        .await;
        (first, second)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_is_told_to_stop_or_killed_is_replaced_by_the_next() {
    let told = async {
        let mut place = Place::new(Raise::Further);
        let (mut first, _second) = place.pair(&Gate::new()).await;
        first.signal("-TERM").await;
        let took = place.until("the second leads", |p| p.leader() == "second").await;
        let ended = tokio::time::timeout(LONG, first.0.wait()).await.unwrap().unwrap();
        assert!(ended.success(), "{ended}");
        place.say("rollback", json!({"components": ["shop"], "who": "ada"}));
        place.until("back", |p| p.share() == 0).await;
        took
    };
    let killed = async {
        let mut place = Place::new(Raise::Further);
        let (first, _second) = place.pair(&Gate::new()).await;
        first.signal("-KILL").await;
        place.say("rollback", json!({"components": ["shop"], "who": "ada"}));
        let took = place.until("the second leads", |p| p.leader() == "second").await;
        let back = place.until("back", |p| p.share() == 0).await;
        (took, took + back)
    };
    let (told, (killed, back)) = tokio::join!(told, killed);
    eprintln!("SIGTERM: {told:?}; kill -9: {killed:?}, and what was wished meanwhile after {back:?}");
    assert!(
        told < Duration::from_secs(10),
        "as long as a Lease that runs out: {told:?}"
    );
}

/// Stops the first program at a call of its raise, wakes it up when the second one has rolled back.
async fn stopped_at((raise, like, number): (Raise, &str, usize)) {
    let mut place = Place::new(raise);
    let gate = Gate::new();
    let (first, _second) = place.pair(&gate).await;
    gate.arm_at(like, number);
    place.set(if raise == Raise::Further { "25%" } else { "5%" });
    place.until("a call is held", |_| gate.held().is_some()).await;
    first.signal("-STOP").await;
    let call = gate.held().unwrap();
    place.until("the second leads", |p| p.leader() == "second").await;
    place.say("rollback", json!({"components": ["shop"], "who": "ada"}));
    place
        .until("back", |p| {
            p.share() == 0 && p.component()["state"] == "RolledBack"
        })
        .await;
    gate.open();
    first.signal("-CONT").await;
    let awake = place.log("first");
    place
        .until("the first has found out", |_| {
            let log = std::fs::read_to_string(&awake).unwrap();
            [
                "somebody else holds the Lease",
                "could not be renewed in time",
                "not renewed in time",
            ]
            .iter()
            .any(|words| log.contains(words))
        })
        .await;
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        assert_eq!(place.share(), 0, "{call}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let c = place.component();
    assert_eq!(c["state"], "RolledBack", "{call}: {c:#}");
    assert_eq!(c["intent"], Value::Null, "{call}: {c:#}");
    assert_eq!(place.leader(), "second");
    eprintln!("{raise:?}, stopped at {call}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_was_stopped_between_two_calls_of_a_raise_undoes_nothing_when_it_wakes_up() {
    const STATUS: &str = "PATCH /gradualrollouts/demo/status";
    let calls = [
        (Raise::Further, "GET /virtualservices/shop", 0),
        (Raise::Further, STATUS, 0),
        (Raise::Further, STATUS, 1),
        (Raise::Further, "PATCH /virtualservices/shop", 0),
        (Raise::First, STATUS, 0),
        (Raise::First, "PATCH /virtualservices/shop", 0),
        (Raise::Made, "POST /ingresses", 0),
        (Raise::Made, "PATCH /ingresses", 0),
    ];
    join_all(calls.map(stopped_at)).await;
}
