//! A small virtual cluster with a daemon in it: the shipped code over the sandbox's API server.

use gradual_rollout::clock::Clock;
use gradual_rollout::cluster::connect::Clients;
use gradual_rollout::cluster::lease;
use gradual_rollout::daemon::{self, Handles};
use gradual_rollout::engine::{DoctorSettings, EngineSettings, Freeze, Limits, View};
use gradual_rollout::metrics::{
    ArmSnapshot, Ask, Bucket, Counter, PodSnapshot, Simulation, Snapshot, Source,
};
use gradual_rollout::notify::Outbox;
use gradual_rollout::rollout::sample::{Blindness, Dark};
use gradual_rollout::rollout::spec::GradualRollout;
use gradual_rollout::rollout::status::{ComponentStatus, GradualRolloutStatus};
use gradual_rollout::rollout::weight::Weight;
use gradual_rollout::sandbox::apiserver::{Store, roll_out_deployments};
use gradual_rollout::telemetry::Metrics;
use jiff::Timestamp;
use kube::CustomResourceExt;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) const NS: &str = "sealos-system";

/// Tenants' requests: a steady rate, split by what the store's `VirtualService`s or `HTTPRoute`s say.
#[derive(Debug)]
pub(crate) struct Traffic {
    store: Store,
    state: Mutex<TrafficState>,
}

#[derive(Debug, Default)]
struct TrafficState {
    failing: BTreeSet<String>,
    /// Components whose canary answers nothing but errors.
    dead: BTreeSet<String>,
    /// Components of which control fails as well.
    outage: BTreeSet<String>,
    dark: bool,
    unlabelled: bool,
    arms: BTreeMap<(String, bool), (Timestamp, f64, f64)>,
    past: BTreeMap<(String, Timestamp), Snapshot>,
    /// The canary's share in percent, and whether the usual rate was asked for then.
    usual: BTreeSet<(u64, bool)>,
}

const RATE: f64 = 2000.0;

impl Traffic {
    pub(crate) fn fail(&self, component: &str) {
        self.state.lock().unwrap().failing.insert(component.to_owned());
    }

    /// Not one request of a component's canary is answered well.
    pub(crate) fn never_works(&self, component: &str) {
        self.state.lock().unwrap().dead.insert(component.to_owned());
    }

    /// Both arms of a component fail alike.
    pub(crate) fn fail_both(&self, component: &str) {
        self.fail(component);
        self.state.lock().unwrap().outage.insert(component.to_owned());
    }

    /// Both arms of a component answer well again.
    pub(crate) fn heal(&self, component: &str) {
        let mut state = self.state.lock().unwrap();
        state.failing.remove(component);
        state.outage.remove(component);
    }

    pub(crate) fn darken(&self, dark: bool) {
        self.state.lock().unwrap().dark = dark;
    }

    /// Forgets what was read before a time: nobody asks for it again.
    pub(crate) fn forget_before(&self, at: Timestamp) {
        self.state.lock().unwrap().past.retain(|(_, then), _| *then >= at);
    }

    /// From now on the source answers, and no series has the labels that are asked for.
    pub(crate) fn matches_nothing(&self) {
        self.state.lock().unwrap().unlabelled = true;
    }

    /// At which shares of the canary, in percent, the usual rate was asked for, and at which it was not.
    pub(crate) fn usual(&self) -> BTreeSet<(u64, bool)> {
        self.state.lock().unwrap().usual.clone()
    }

    fn share(&self, component: &str) -> f64 {
        let vs = self
            .store
            .get("virtualservices.networking.istio.io", NS, component);
        let Some(vs) = vs else {
            return if self.http_route(component).is_some() {
                self.route_share(component)
            } else {
                self.split(component)
            };
        };
        let pair = &main_route(&vs)["route"];
        if pair.get(1).is_none() {
            return self.split(component);
        }
        let weight = pair[1]["weight"].as_f64();
        weight.unwrap_or(0.0) / 100.0
    }
}

impl Traffic {
    /// The same of a component's `HTTPRoute`, control first: a weight that is left out is 1.
    fn route_share(&self, component: &str) -> f64 {
        let route = self.http_route(component);
        let weight = |n: usize| {
            let pointer = format!("/spec/rules/0/backendRefs/{n}/weight");
            let weight = route.as_ref()?.pointer(&pointer);
            Some(weight.and_then(Value::as_f64).unwrap_or(1.0))
        };
        match (weight(0), weight(1)) {
            (Some(control), Some(canary)) if canary > 0.0 => canary / (canary + control),
            _ => 0.0,
        }
    }

    fn http_route(&self, component: &str) -> Option<Arc<Value>> {
        self.store
            .get("httproutes.gateway.networking.k8s.io", NS, component)
    }

    /// The share that canary Ingresses give a component: the greatest of them.
    fn split(&self, component: &str) -> f64 {
        let canaries = self.store.list("ingresses.networking.k8s.io");
        let label = |object: &Value| object["metadata"]["labels"]["rollout.sealos.io/component"].clone();
        // nginx asks nobody whose it is; where the canary does not say, its alias does.
        let ours = canaries.iter().filter(|i| {
            let name = i["metadata"]["name"].as_str().unwrap_or_default();
            let alias = || self.store.get("services", NS, name).map(|alias| label(&alias));
            let said = Some(label(i)).filter(|said| !said.is_null()).or_else(alias);
            said.is_some_and(|said| said == component)
        });
        let weights = ours.filter_map(|i| {
            let key = "nginx.ingress.kubernetes.io/canary-weight";
            i["metadata"]["annotations"][key].as_str()?.parse::<f64>().ok()
        });
        weights.fold(0.0, f64::max) / 1000.0
    }
}

impl Simulation for Traffic {
    fn has_past(&self) -> bool {
        false
    }

    fn scrape(&self, ask: &Ask, at: Timestamp) -> Result<Snapshot, Blindness> {
        let share = self.share(&ask.component);
        let mut state = self.state.lock().unwrap();
        if state.dark {
            return Err(Blindness {
                kind: Dark::Down,
                message: "the story says so".into(),
            });
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 100")]
        state
            .usual
            .insert(((share * 100.0).round() as u64, ask.wants_history));
        let mut snapshot = Snapshot::empty(ask, at);
        if state.unlabelled {
            return Ok(snapshot);
        }
        let key = (ask.component.clone(), snapshot.at);
        if let Some(known) = state.past.get(&key) {
            return Ok(known.clone());
        }
        let failing = state.failing.contains(&ask.component);
        let outage = state.outage.contains(&ask.component);
        let dead = state.dead.contains(&ask.component);
        let mut arm = |canary: bool, share: f64| {
            let (last, requests, errors) = state
                .arms
                .entry((ask.component.clone(), canary))
                .or_insert((at, 0.0, 0.0));
            let passed = at.duration_since(*last).as_secs_f64();
            let new = (passed * RATE * share).floor();
            *last = at;
            *requests += new;
            if canary && dead {
                *errors += new;
            } else if (canary && failing) || outage {
                *errors += new * 0.7;
            }
            let (all, bad) = (*requests, errors.floor());
            let mut pods = BTreeMap::new();
            if all > 0.0 {
                let requests = BTreeMap::from([
                    (
                        "200".to_owned(),
                        Counter {
                            count: all - bad,
                            error: false,
                        },
                    ),
                    (
                        "503".to_owned(),
                        Counter {
                            count: bad,
                            error: true,
                        },
                    ),
                ]);
                let bucket = |le_ms: f64, share: f64| Bucket {
                    le_ms,
                    count: (all * share).floor(),
                };
                let latency = BTreeMap::from([(
                    "le".to_owned(),
                    vec![
                        bucket(50.0, 0.5),
                        bucket(100.0, 0.97),
                        bucket(250.0, 1.0),
                        bucket(f64::INFINITY, 1.0),
                    ],
                )]);
                pods.insert(
                    "gateway".to_owned(),
                    PodSnapshot {
                        sampled_at: snapshot.at,
                        requests,
                        latency,
                    },
                );
            }
            ArmSnapshot { pods }
        };
        snapshot.canary = arm(true, share);
        snapshot.control = Some(arm(false, 1.0 - share));
        state.past.insert(key, snapshot.clone());
        Ok(snapshot)
    }
}

/// A cluster, its tenants, and a daemon that can be killed and started.
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) traffic: Arc<Traffic>,
    /// What the newest daemon shows.
    pub(crate) view: tokio::sync::watch::Receiver<View>,
    /// What the daemons' doctor has to know; none: it looks at nothing.
    pub(crate) doctor: Option<DoctorSettings>,
    /// What the daemons' settings freeze.
    pub(crate) freeze: Option<Freeze>,
    /// How many rollouts may run at once.
    pub(crate) limits: Limits,
    /// How often daemons persist what did not change; none: as they always do.
    pub(crate) persist_every: Option<Duration>,
    /// Other namespaces that its rollouts may route in.
    pub(crate) foreign_namespaces: Vec<String>,
    /// How often the Lease is renewed, and how long it is believed.
    pub(crate) lease: (Duration, Duration),
    /// What daemons read instead of the traffic itself, which it is made of.
    pub(crate) scrapes: Option<Arc<dyn Simulation>>,
    /// In how many shards daemons that are started from now on split the work.
    pub(crate) shards: u32,
    /// Where messages to people go in; none: nobody is told.
    pub(crate) outbox: Option<Outbox>,
    daemons: JoinSet<()>,
    stop: CancellationToken,
    _helpers: JoinSet<()>,
}

/// The route that carries the pair, wherever it stands among others.
pub(crate) fn main_route(vs: &Value) -> Value {
    let routes = vs["spec"]["http"].as_array().cloned().unwrap_or_default();
    let main = routes.into_iter().find(|route| route["name"] == "main");
    main.unwrap_or_default()
}

pub(crate) fn virtual_service(name: &str) -> Value {
    let host = |version: &str| json!({"host": format!("{name}-{version}.{NS}.svc.cluster.local")});
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": name, "namespace": NS, "labels": {"kept": "yes"}},
        "spec": {"hosts": [format!("{name}.example.com")], "http": [{"name": "main", "timeout": "7s", "route": [
            {"destination": host("v1"), "weight": 100}, {"destination": host("v2"), "weight": 0}
        ]}]}
    })
}

pub(crate) fn component(name: &str) -> Value {
    let host = |version: &str| format!("{name}-{version}.{NS}.svc.cluster.local");
    let arm =
        |version: &str| json!({"preset": "istio-gateway", "labels": {"destination_service": host(version)}});
    json!({
        "name": name,
        "routers": [{"istio": {"virtualServices": [{"name": name, "routes": ["main"]}],
            "canary": {"host": host("v2")}, "control": {"host": host("v1")}}}],
        "arms": {"canary": arm("v2"), "control": arm("v1")}
    })
}

pub(crate) fn rollout(name: &str, components: &[&str]) -> Value {
    let components: Vec<Value> = components.iter().map(|c| component(c)).collect();
    json!({
        "apiVersion": "rollout.sealos.io/v1alpha1", "kind": "GradualRollout",
        "metadata": {"name": name, "namespace": NS},
        "spec": {"components": components,
            "steps": [{"weight": "5%", "hold": "5m"}, {"weight": "25%", "hold": "5m"}, {"weight": "50%", "hold": "5m"},
                      {"weight": "75%", "hold": "5m"}, {"weight": "100%", "hold": "5m"}]}
    })
}

impl World {
    pub(crate) fn new() -> Self {
        let clock = Clock::simulated("2026-03-02T02:00:00Z".parse().unwrap());
        let store = Store::new(clock.clone());
        store
            .register_crd(&serde_json::to_value(GradualRollout::crd()).unwrap())
            .unwrap();
        store.namespace(NS);
        let traffic = Arc::new(Traffic {
            store: store.clone(),
            state: Mutex::default(),
        });
        let mut helpers = JoinSet::new();
        let deployments = store.clone();
        helpers.spawn(async move { roll_out_deployments(deployments, Duration::from_secs(20)).await });
        Self {
            store,
            clock,
            traffic,
            view: tokio::sync::watch::channel(View::default()).1,
            doctor: None,
            freeze: None,
            limits: Limits::default(),
            persist_every: None,
            foreign_namespaces: Vec::new(),
            lease: (lease::RENEW, lease::BELIEVED),
            scrapes: None,
            shards: 1,
            outbox: None,
            daemons: JoinSet::new(),
            stop: CancellationToken::new(),
            _helpers: helpers,
        }
    }

    /// A world with a rollout of these components, and a daemon.
    pub(crate) fn with(components: &[&str]) -> Self {
        let mut world = Self::new();
        for name in components {
            world.store.put(virtual_service(name)).unwrap();
        }
        world.store.put(rollout("demo", components)).unwrap();
        world.start("daemon-1");
        world
    }

    pub(crate) fn start(&mut self, identity: &str) {
        self.start_over(identity, Clients::from_service(self.store.router()));
    }

    /// Starts a daemon over other connections to the same store.
    pub(crate) fn start_over(&mut self, identity: &str, clients: Clients) {
        let (handles, shown) = self.handles(identity, clients);
        self.view = shown;
        self.stop = CancellationToken::new();
        let stop = self.stop.clone();
        self.daemons
            .spawn(async move { daemon::run(handles, None, stop).await.unwrap() });
    }

    /// What a daemon of this world works with, and what it will show.
    pub(crate) fn handles(
        &self,
        identity: &str,
        clients: Clients,
    ) -> (Handles, tokio::sync::watch::Receiver<View>) {
        let (view, shown) = tokio::sync::watch::channel(View::default());
        let handles = Handles {
            clients,
            source: Source::Simulated(self.scrapes.clone().unwrap_or_else(|| self.traffic.clone())),
            clock: self.clock.clone(),
            namespace: NS.into(),
            lease: "gradual-rollout".into(),
            identity: identity.into(),
            shards: self.shards,
            lease_renew: self.lease.0,
            lease_duration: self.lease.1,
            watch_namespaces: Vec::new(),
            engine: EngineSettings {
                doctor: self.doctor.clone(),
                limits: self.limits.clone(),
                freeze: self.freeze.clone(),
                persist_every: self.persist_every,
                allowed_namespaces: self.foreign_namespaces.clone(),
                outbox: self.outbox.clone(),
                ..EngineSettings::default()
            },
            metrics: Metrics::new(),
            inbound: None,
            view,
        };
        (handles, shown)
    }

    /// As `kill -9`: nothing is drained, nothing given back.
    pub(crate) async fn kill(&mut self) {
        self.daemons.abort_all();
        while self.daemons.join_next().await.is_some() {}
    }

    /// As SIGTERM.
    pub(crate) async fn stop(&mut self) {
        self.stop.cancel();
        while let Some(ended) = self.daemons.join_next().await {
            ended.unwrap();
        }
    }

    pub(crate) fn object(&self) -> Value {
        self.rollout("demo")
    }

    pub(crate) fn rollout(&self, name: &str) -> Value {
        self.store
            .get("gradualrollouts.rollout.sealos.io", NS, name)
            .map(|v| (*v).clone())
            .unwrap_or_default()
    }

    pub(crate) fn status(&self) -> GradualRolloutStatus {
        serde_json::from_value(self.object()["status"].clone()).unwrap_or_default()
    }

    pub(crate) fn component(&self, name: &str) -> ComponentStatus {
        self.status().component(name).cloned().unwrap_or_default()
    }

    pub(crate) fn vs(&self, name: &str) -> Value {
        (*self
            .store
            .get("virtualservices.networking.istio.io", NS, name)
            .unwrap())
        .clone()
    }

    pub(crate) fn weight(&self, name: &str) -> u64 {
        main_route(&self.vs(name))["route"][1]["weight"].as_u64().unwrap()
    }

    pub(crate) async fn pass(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    /// Lets virtual time pass until something holds.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        for _ in 0..40_000 {
            if holds(self) {
                return;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        panic!("never: {what}\n{:#}", self.object());
    }

    pub(crate) fn annotate(&self, key: &str, value: &str) {
        self.annotate_on("demo", key, value);
    }

    fn annotate_on(&self, rollout: &str, key: &str, value: &str) {
        let mut object = self.rollout(rollout);
        object["metadata"]["annotations"][key] = value.into();
        self.store.put(object).unwrap();
    }

    pub(crate) fn say(&self, verb: &str, wish: Value) -> String {
        self.say_to("demo", verb, wish)
    }

    #[expect(clippy::needless_pass_by_value, reason = "called with json!(…)")]
    pub(crate) fn say_to(&self, rollout: &str, verb: &str, wish: Value) -> String {
        let millis = u64::try_from(self.clock.now().as_millisecond()).unwrap();
        let id = ulid::Ulid::from_parts(millis, u128::from(self.store.version())).to_string();
        self.annotate_on(
            rollout,
            &format!("rollout.sealos.io/command.{verb}.{id}"),
            &wish.to_string(),
        );
        id
    }
}

pub(crate) fn percent(n: u16) -> Weight {
    Weight::from_percent(n).unwrap()
}
