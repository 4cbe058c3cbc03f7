//! The third step of the verification, by a real Prometheus: requests that are back, that are not, and that are back on a
//! path which is ill too.

use super::{Cluster, NAMESPACE, ROLLOUTS, reported, step};
use crate::support::tools::Prometheus;
use axum::Router;
use axum::routing::get;
use gradual_rollout::metrics::exposition::{Exported, IstioLabels, encode};
use gradual_rollout::rollout::spec::Preset;
use gradual_rollout::sandbox::apiserver::Store;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;

/// How requests go: per scrape, of which 200 are control's.
struct Way {
    service: &'static str,
    /// Whether the canary gets 50 whatever its weight is.
    goes_on: bool,
    /// So many of control's fail.
    control_errors: u64,
    /// What becomes of it: the step, the exit code and what is said.
    ends: (&'static str, i32, &'static str),
}

const WAYS: [Way; 3] = [
    Way {
        service: "stops",
        goes_on: false,
        control_errors: 0,
        ends: ("ok", 0, "1 components are back"),
    },
    Way {
        service: "goes-on",
        goes_on: true,
        control_errors: 0,
        ends: ("failed", 4, "the canary still gets 20%"),
    },
    Way {
        service: "ill",
        goes_on: false,
        control_errors: 8,
        ends: ("failed", 4, "4% errors on the old path"),
    },
];

/// What was counted so far: control's without errors, its errors, the canary's.
#[derive(Clone, Copy, Default)]
struct Counted {
    well: u64,
    errors: u64,
    canary: u64,
}

/// Counts on with each scrape.
struct Mesh(Mutex<[Counted; 3]>, [Store; 3]);

impl Mesh {
    fn page(&self) -> String {
        let mut all = self.0.lock().unwrap();
        let mut series = Vec::new();
        for ((way, counted), store) in WAYS.iter().zip(all.iter_mut()).zip(&self.1) {
            counted.well += 200 - way.control_errors;
            counted.errors += way.control_errors;
            let shop = store.get(super::SERVICES, NAMESPACE, "shop").unwrap();
            let up = shop.pointer("/spec/http/0/route/1/weight") != Some(&json!(0));
            counted.canary += if up || way.goes_on { 50 } else { 0 };
            series.push(exported(way.service, "v1", "200", counted.well));
            series.push(exported(way.service, "v1", "500", counted.errors));
            series.push(exported(way.service, "v2", "200", counted.canary));
        }
        encode(Preset::Istio, &series)
    }
}

fn exported(service: &str, version: &str, code: &str, requests: u64) -> Exported {
    Exported {
        labels: IstioLabels {
            reporter: "destination",
            source_workload: "istio-ingressgateway",
            source_namespace: "istio-system",
            destination_workload: service,
            destination_version: version,
            destination_service: service,
            destination_namespace: NAMESPACE,
            protocol: "http",
            code,
            flags: "-",
            grpc_status: "",
        }
        .labels(),
        requests,
        latency: None,
    }
}

async fn served(mesh: Arc<Mesh>, servers: &mut JoinSet<()>) -> SocketAddr {
    let page = move || {
        let mesh = mesh.clone();
        async move { mesh.page() }
    };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().route("/metrics", get(page));
    servers.spawn(async move { axum::serve(listener, app).await.unwrap() });
    address
}

/// The rollout of a cluster, judged by the series of this service.
async fn judged_by(service: &str, url: &str, cluster: &Cluster) -> String {
    let mut shop = (*cluster.store.get(ROLLOUTS, NAMESPACE, "shop").unwrap()).clone();
    let arms = &mut shop["spec"]["components"][0]["arms"];
    for arm in ["canary", "control"] {
        arms[arm]["labels"]["destination_service_name"] = json!(service);
    }
    cluster.store.put(shop).unwrap();
    let settings = cluster.folder.path().join("settings.toml");
    let text = format!("[prometheus]\nendpoints = [\"{url}\"]\n");
    tokio::fs::write(&settings, text).await.unwrap();
    settings.to_str().unwrap().to_owned()
}

/// Until it has scraped for longer than two of the instants are apart at which an emergency reads it: what was before the
/// rollback is there, and must not be counted.
async fn scraped_for_a_while(url: &str) {
    let query = "query=min(count_over_time(istio_requests_total[1m]))";
    loop {
        let answer = reqwest::get(format!("{url}/api/v1/query?{query}")).await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        let said = answer.pointer("/data/result/0/value/1").and_then(Value::as_str);
        if said.is_some_and(|n| n.parse::<u32>().unwrap() >= 20) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_are_back_when_the_canarys_counters_stand_and_not_when_they_go_on_or_the_old_path_fails() {
    let clusters = [
        Cluster::start().await,
        Cluster::start().await,
        Cluster::start().await,
    ];
    let mesh = Arc::new(Mesh(
        Mutex::default(),
        clusters.each_ref().map(|cluster| cluster.store.clone()),
    ));
    let mut servers = JoinSet::new();
    let target = served(mesh, &mut servers).await;
    let prometheus = Prometheus::start(&[target], Duration::from_secs(1)).await;
    let url = prometheus.url();
    scraped_for_a_while(&url).await;
    let runs = WAYS.iter().zip(&clusters).map(|(way, cluster)| {
        let url = url.as_str();
        async move {
            let settings = judged_by(way.service, url, cluster).await;
            let more = ["--config", &settings, "--verify", "30s"];
            (way, reported(cluster, &more).await)
        }
    });
    for (way, (code, report, out)) in futures::future::join_all(runs).await {
        let step = step(&report, "metrics back");
        let (result, exit, says) = way.ends;
        assert_eq!(
            (&step["result"], code),
            (&json!(result), exit),
            "{}: {out}",
            way.service
        );
        let said = step["message"].as_str().unwrap();
        assert!(said.contains(says), "{}: {said}", way.service);
        let before = &report["health"]["before"]["components"][0]["metrics"];
        assert!(
            before["canaryShare"].as_f64().unwrap() > 15.0,
            "{}: what was before is told too: {before}",
            way.service
        );
    }
}
