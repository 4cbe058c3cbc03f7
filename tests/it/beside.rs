//! Checks beside the arms go the whole way: from the YAML through `validate` and a real Prometheus into the status, and
//! to a rollback.

use crate::support::tools::Prometheus;
use crate::support::world::{NS, component, virtual_service};
use axum::Router;
use axum::routing::get;
use gradual_rollout::clock::Clock;
use gradual_rollout::cluster::connect::Clients;
use gradual_rollout::daemon::{self, Handles};
use gradual_rollout::engine::{EngineSettings, View};
use gradual_rollout::metrics::{PrometheusSettings, PrometheusSource, Source};
use gradual_rollout::rollout::reason::{Reason, State, Verdict};
use gradual_rollout::rollout::spec::GradualRollout;
use gradual_rollout::rollout::status::{CheckStatus, ComponentStatus, GradualRolloutStatus};
use gradual_rollout::sandbox::apiserver::Store;
use gradual_rollout::telemetry::Metrics;
use jiff::Timestamp;
use kube::CustomResourceExt as _;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What the exporter's page says besides steadily growing counters.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<(String, f64)>>>);

impl Page {
    fn says(&self, gauges: &[(&str, f64)]) {
        let lines = gauges
            .iter()
            .map(|(series, value)| ((*series).to_owned(), *value));
        *self.0.lock().unwrap() = lines.collect();
    }

    /// 100 requests a second, split at 5%, none of them an error; and as many handshakes.
    fn text(&self, seconds: f64) -> String {
        let requests = |version: &str, share: f64| {
            let host = format!("shop-{version}.{NS}.svc.cluster.local");
            let labels = format!(
                r#"reporter="source",destination_service="{host}",response_code="200",response_flags="-",request_protocol="http",grpc_response_status="""#
            );
            format!(
                "istio_requests_total{{{labels}}} {}\n",
                (seconds * 100.0 * share).floor()
            )
        };
        let mut page = requests("v1", 0.95) + &requests("v2", 0.05);
        for version in ["v1", "v2"] {
            let labels = format!(r#"listener="shop-{version}""#);
            let done = (seconds * 500.0).floor();
            writeln!(page, "envoy_listener_ssl_handshake{{{labels}}} {done}").unwrap();
            writeln!(page, "envoy_listener_ssl_connection_error{{{labels}}} 0").unwrap();
        }
        for (series, value) in self.0.lock().unwrap().iter() {
            writeln!(page, "{series} {value}").unwrap();
        }
        page
    }

    async fn serve(&self, servers: &mut JoinSet<()>) -> SocketAddr {
        let (page, begun) = (self.clone(), Clock::System.now());
        let text = move || async move { page.text(age(begun)) };
        let router = Router::new().route("/metrics", get(text));
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        servers.spawn(async move { axum::serve(listener, router).await.unwrap() });
        address
    }
}

fn age(begun: Timestamp) -> f64 {
    Clock::System.now().duration_since(begun).as_secs_f64()
}

fn rollout() -> Value {
    json!({
        "apiVersion": "rollout.sealos.io/v1alpha1", "kind": "GradualRollout",
        "metadata": {"name": "demo", "namespace": NS},
        "spec": {
            "components": [component("shop")],
            "steps": [{"weight": "5%", "hold": "1h"}],
            "judge": {"interval": "1s", "settle": "1s"},
            "checks": [
                {"name": "queue", "metric": "query", "for": "3s", "promote": {"max": 5}, "rollback": {"max": 10},
                 "query": {"canary": "max(queue_depth{ns=\"{{namespace}}\", app=~\"{{component}}|none\"})"}},
                {"name": "two", "metric": "query", "dryRun": true, "promote": {"max": 5}, "query": {"canary": "queue_depth"}},
                {"name": "tls", "metric": "tlsHandshake", "window": "3s", "minRequests": 100,
                 "series": {"canary": {"listener": "{{component}}-v2"}, "control": {"listener": "~{{component}}-v1"}}},
                {"name": "errors", "window": "3s", "minRequests": 10, "errors": {"codes": ["5xx", "404"]}},
                {"name": "ready", "metric": "readiness", "deployment": "{{component}}-v2"}
            ]
        }
    })
}

fn handles(store: &Store, prometheus: &Prometheus) -> Handles {
    let settings = PrometheusSettings::at([prometheus.url()]);
    Handles {
        clients: Clients::from_service(store.router()),
        source: Source::Prometheus(Arc::new(PrometheusSource::new(&settings).unwrap())),
        clock: Clock::System,
        namespace: NS.into(),
        lease: "gradual-rollout".into(),
        identity: "daemon-1".into(),
        shards: 1,
        lease_renew: Duration::from_secs(5),
        lease_duration: Duration::from_secs(15),
        watch_namespaces: Vec::new(),
        engine: EngineSettings {
            persist_every: Some(Duration::from_secs(1)),
            ..EngineSettings::default()
        },
        metrics: Metrics::new(),
        inbound: None,
        view: tokio::sync::watch::channel(View::default()).0,
    }
}

fn shop(store: &Store) -> ComponentStatus {
    let object = store.get("gradualrollouts.rollout.sealos.io", NS, "demo");
    let status = object.and_then(|o| o.get("status").cloned()).unwrap_or_default();
    let status: GradualRolloutStatus = serde_json::from_value(status).unwrap_or_default();
    status.component("shop").cloned().unwrap_or_default()
}

async fn until(what: &str, store: &Store, so: impl Fn(&ComponentStatus) -> bool) -> ComponentStatus {
    for _ in 0..1200 {
        let c = shop(store);
        if so(&c) {
            return c;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not within a minute: {what}\n{:#?}", shop(store));
}

fn verdict(c: &ComponentStatus, name: &str) -> Option<Verdict> {
    c.checks.iter().find(|k| k.name == name).map(|k| k.verdict)
}

fn check<'a>(c: &'a ComponentStatus, name: &str) -> &'a CheckStatus {
    c.checks.iter().find(|k| k.name == name).unwrap()
}

#[tokio::test]
async fn a_query_goes_from_the_file_into_the_status_and_puts_the_traffic_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("demo.yaml");
    std::fs::write(&file, rollout().to_string()).unwrap();
    let validate = Command::new(env!("CARGO_BIN_EXE_gradual-rollout"))
        .arg("validate")
        .arg(&file)
        .output()
        .unwrap();
    assert!(validate.status.success(), "{validate:?}");

    let mut tasks = JoinSet::new();
    let page = Page::default();
    let depth = |app: &str| format!("queue_depth{{ns=\"{NS}\",app=\"{app}\"}}");
    page.says(&[(&depth("shop"), 2.0), (&depth("other"), 99.0)]);
    let address = page.serve(&mut tasks).await;
    let prometheus = Prometheus::start(&[address], Duration::from_secs(1)).await;

    let store = Store::new(Clock::System);
    let definition = serde_json::to_value(GradualRollout::crd()).unwrap();
    store.register_crd(&definition).unwrap();
    store.namespace(NS);
    store.put(virtual_service("shop")).unwrap();
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "shop-v2", "namespace": NS},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "shop"}},
                 "template": {"metadata": {"labels": {"app": "shop"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}},
        "status": {"replicas": 2, "readyReplicas": 2}
    });
    store.put(deployment).unwrap();
    store.put(rollout()).unwrap();
    let stop = CancellationToken::new();
    let daemon = daemon::run(handles(&store, &prometheus), None, stop.clone());
    tasks.spawn(async move { daemon.await.unwrap() });

    let c = until("everything is seen at 5%", &store, |c| {
        c.weight.written.permille() == 50
            && ["queue", "tls", "ready", "errors"]
                .iter()
                .all(|name| verdict(c, name) == Some(Verdict::Pass))
    })
    .await;
    assert_eq!(check(&c, "queue").value.as_deref(), Some("2"));
    assert_eq!(check(&c, "ready").value.as_deref(), Some("100%"));
    let two = check(&c, "two");
    assert_eq!((two.verdict, two.dry_run), (Verdict::Unknown, true), "{two:?}");
    assert!(
        two.message.contains("2 series where one is expected"),
        "{}",
        two.message
    );

    page.says(&[(&depth("shop"), 50.0), (&depth("other"), 99.0)]);
    let c = until("the traffic is back", &store, |c| c.state == State::RolledBack).await;
    assert_eq!(c.reason, Reason::Breach);
    assert!(
        c.message
            .starts_with("queue: 50 is over the rollback limit of 10 since"),
        "{}",
        c.message
    );
    let vs = store
        .get("virtualservices.networking.istio.io", NS, "shop")
        .unwrap();
    assert_eq!(vs["spec"]["http"][0]["route"][1]["weight"], 0);
    stop.cancel();
}
