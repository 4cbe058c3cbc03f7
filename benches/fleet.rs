//! What a large fleet costs the daemon: `cargo bench --bench fleet -- 10000`. Prints figures; holds nobody to them.
//!
//! A child process is the cluster and the Prometheus, so that what is counted here is the daemon alone: its CPU time
//! and memory out of `/proc/self`, its queries and bytes out of its own counters. `BUCKETS=4` (of Istio's 20) shows
//! what the buckets cost.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a program that measures, and ends at the first surprise"
)]

use axum::routing::post;
use gradual_rollout::clock::Clock;
use gradual_rollout::cluster::connect::connect;
use gradual_rollout::cluster::crd;
use gradual_rollout::daemon::{self, Handles};
use gradual_rollout::engine::{EngineSettings, View};
use gradual_rollout::metrics::{PrometheusSettings, PrometheusSource, Source};
use gradual_rollout::sandbox::apiserver::{Store, serve, write_kubeconfig};
use gradual_rollout::telemetry::Metrics;
use regex::Regex;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const NS: &str = "fleet";
/// Components in one resource: the most there may be.
const PER_RESOURCE: usize = 64;
/// How long is measured: six looks.
const MEASURED: Duration = Duration::from_secs(60);
/// Istio's own bounds, in milliseconds.
const BOUNDS: [&str; 20] = [
    "50", "100", "250", "+Inf", "0.5", "1", "5", "10", "25", "500", "1000", "2500", "5000", "10000", "30000",
    "60000", "300000", "600000", "1800000", "3600000",
];

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let number = words.iter().find_map(|word| word.parse().ok()).unwrap_or(1_000);
    if let Some(folder) = words.iter().position(|word| word == "--cluster") {
        return run(cluster(Path::new(&words[folder + 1]), number));
    }
    run(measure(number));
}

fn run(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(future);
    runtime.shutdown_background();
}

/// A cluster with so many components, and the Prometheus that scrapes them.
async fn cluster(folder: &Path, components: usize) {
    let store = Store::new(Clock::System);
    store.namespace(NS);
    store.register_crd(&crd::definition()).unwrap();
    let names: Vec<String> = (0..components).map(|n| format!("shop-{n}")).collect();
    for name in &names {
        store.put(virtual_service(name)).unwrap();
    }
    for (n, names) in names.chunks(PER_RESOURCE).enumerate() {
        store.put(rollout(&format!("fleet-{n}"), names)).unwrap();
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    write_kubeconfig(&folder.join("kubeconfig"), listener.local_addr().unwrap()).unwrap();
    tokio::spawn(serve(listener, store, std::future::pending()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("http://{}", listener.local_addr().unwrap());
    let router = axum::Router::new()
        .route("/api/v1/query", post(|form: String| async move { answer(&form) }))
        .route(
            "/api/v1/query_range",
            post(|| async { r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"# }),
        )
        .layer(axum::extract::DefaultBodyLimit::disable());
    axum::serve(listener, router).await.unwrap();
}

fn host(name: &str, version: &str) -> String {
    format!("{name}-{version}.{NS}.svc.cluster.local")
}

fn virtual_service(name: &str) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": name, "namespace": NS},
        "spec": {"hosts": [name], "http": [{"name": "main", "route": [
            {"destination": {"host": host(name, "v1")}, "weight": 100},
            {"destination": {"host": host(name, "v2")}, "weight": 0}
        ]}]}
    })
}

fn rollout(name: &str, components: &[String]) -> Value {
    let arm = |name: &str, version: &str| json!({"preset": "istio", "labels": {"destination_service_name": name, "destination_version": version}});
    let component = |name: &String| {
        json!({"name": name,
            "routers": [{"istio": {"virtualServices": [{"name": name, "routes": ["main"]}],
                "canary": {"host": host(name, "v2")}, "control": {"host": host(name, "v1")}}}],
            "arms": {"canary": arm(name, "v2"), "control": arm(name, "v1")}})
    };
    json!({
        "apiVersion": "rollout.sealos.io/v1alpha1", "kind": "GradualRollout",
        "metadata": {"name": name, "namespace": NS},
        "spec": {"components": components.iter().map(component).collect::<Vec<_>>(),
            "steps": [{"weight": "5%", "hold": "1d"}, {"weight": "25%", "hold": "1d"}]}
    })
}

static PART: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?s)^label_replace\(.*?(timestamp\()?(istio_\w+)\{.*"rollout_part", "([^"]*)", "rollout_part", ""\)$"#).unwrap()
});
static SERVICE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"shop(?:\\)*-\d+").unwrap());

/// Counters that have risen ever since 1970, 20 requests a second each.
fn answer(form: &str) -> String {
    let form = form
        .split('&')
        .find_map(|pair| pair.strip_prefix("query="))
        .unwrap();
    let query = decoded(form);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 5 * 5;
    let buckets = std::env::var("BUCKETS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(BOUNDS.len());
    let mut result = String::new();
    for text in query.split("\nor ") {
        let Some(found) = PART.captures(text) else {
            continue;
        };
        let mark = &found[3];
        let services: BTreeSet<String> = SERVICE
            .find_iter(text)
            .map(|m| m.as_str().replace('\\', ""))
            .collect();
        for service in services {
            for version in ["v1", "v2"] {
                let mut say = |more: &str, value: u64| {
                    let comma = if result.is_empty() { "" } else { "," };
                    write!(result, r#"{comma}{{"metric":{{"rollout_part":"{mark}","pod":"{service}-{version}-5d8f7c9b64-x2x7k","instance":"10.20.30.40:15020","destination_service_name":"{service}","destination_version":"{version}"{more}}},"value":[{now}.123,"{value}"]}}"#).unwrap();
                };
                let count = now * 20;
                if found.get(1).is_some() {
                    say(r#","job":"pods""#, now);
                } else if found[2].ends_with("_bucket") {
                    for le in &BOUNDS[..buckets] {
                        let bound: f64 = le.parse().unwrap_or(f64::INFINITY);
                        let share = if bound < 50.0 {
                            50
                        } else if bound < 250.0 {
                            97
                        } else {
                            100
                        };
                        say(&format!(r#","le":"{le}""#), count * share / 100);
                    }
                } else {
                    say(
                        r#","response_code":"200","response_flags":"-","request_protocol":"http""#,
                        count,
                    );
                }
            }
        }
    }
    format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{result}]}}}}"#)
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let hex: Vec<u8> = rest.by_ref().take(2).collect();
                u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap()
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).unwrap()
}

async fn measure(components: usize) {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--cluster",
            folder.path().to_str().unwrap(),
            &components.to_string(),
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut url = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut url)
        .unwrap();
    let settings = PrometheusSettings {
        endpoints: vec![url.trim().to_owned()],
        ..PrometheusSettings::default()
    };
    let prometheus = Arc::new(PrometheusSource::new(&settings).unwrap());
    let (view, shown) = tokio::sync::watch::channel(View::default());
    let handles = Handles {
        clients: connect(Some(&folder.path().join("kubeconfig")), None)
            .await
            .unwrap(),
        source: Source::Prometheus(prometheus.clone()),
        clock: Clock::System,
        namespace: NS.into(),
        lease: "gradual-rollout".into(),
        identity: "fleet".into(),
        shards: 1,
        lease_renew: Duration::from_secs(5),
        lease_duration: Duration::from_secs(15),
        watch_namespaces: Vec::new(),
        engine: EngineSettings::default(),
        metrics: Metrics::new(),
        inbound: None,
        view,
    };
    let stop = CancellationToken::new();
    let daemon = tokio::spawn(daemon::run(handles, None, stop.clone()));
    let begun = Instant::now();
    let raised = loop {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let all = shown.borrow().rollouts();
        let at = all
            .iter()
            .flat_map(|rollout| &rollout.status.components)
            .filter(|c| c.weight.written.permille() == 50 && !c.checks.is_empty());
        let raised = at.count();
        if raised == components || begun.elapsed() > Duration::from_secs(300) {
            break raised;
        }
    };
    println!(
        "{raised} of {components} components hold 5% and are judged after {:?}",
        begun.elapsed()
    );
    // Past settling, and past the burst of writes.
    tokio::time::sleep(Duration::from_secs(30)).await;
    let (cpu, (queries, bytes)) = (cpu(), prometheus.traffic());
    tokio::time::sleep(MEASURED).await;
    let used = self::cpu() - cpu;
    let (asked, read) = prometheus.traffic();
    let looks = MEASURED.as_secs_f64() / 10.0;
    println!(
        "CPU          {:.1}% of one core",
        used / MEASURED.as_secs_f64() * 100.0
    );
    println!(
        "memory       {} now, {} at most",
        memory("VmRSS:"),
        memory("VmHWM:")
    );
    println!("queries      {:.1} a look", (asked - queries) as f64 / looks);
    println!(
        "read         {:.1} MB a look",
        (read - bytes) as f64 / looks / 1e6
    );
    stop.cancel();
    drop(daemon);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Seconds of CPU time of this process.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = [11, 12].iter().map(|n| fields[*n].parse::<f64>().unwrap()).sum();
    ticks / 100.0
}

fn memory(name: &str) -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.trim_start_matches(name).trim().to_owned()
}
