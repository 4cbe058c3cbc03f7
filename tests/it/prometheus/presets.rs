//! Every preset against a real Prometheus that scrapes its exporter's own words: names, labels, units and bounds as
//! the exporters' sources and pages have them.

use super::{Exporter, View, ask};
use crate::support::tools::{self, Prometheus};
use gradual_rollout::metrics::{Cursor, PrometheusSettings, PrometheusSource, Source};
use gradual_rollout::rollout::sample::{Counts, Histogram, Reading};
use gradual_rollout::rollout::spec::{ArmMetrics, Preset, Unit};
use jiff::Timestamp;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Requests so far: before, and after something happened.
type Count = [u64; 2];

/// What one exporter serves.
struct Page {
    preset: Preset,
    requests: &'static str,
    /// Its series: labels, and how many.
    counted: Vec<(String, Count)>,
    histogram: &'static str,
    /// Upper bounds in the exporter's unit, as it prints them.
    bounds: &'static [&'static str],
    /// Its series: labels, how many, and how long each of those took that came later, in the exporter's unit.
    timed: Vec<(String, Count, f64)>,
    canary: Vec<(&'static str, &'static str)>,
    control: Vec<(&'static str, &'static str)>,
    metrics: Option<ArmMetrics>,
    expected: Expected,
}

/// What must come of it, canary first: requests and errors; and the bucket of the P95, in milliseconds.
struct Expected {
    counts: [(u64, u64); 2],
    p95: [(f64, f64); 2],
}

impl Page {
    /// The text, before or after.
    fn text(&self, then: usize) -> String {
        let mut text = format!(
            "# HELP {0} Requests.\n# TYPE {0} counter\n",
            self.requests.trim_end_matches(' ')
        );
        for (labels, count) in &self.counted {
            // A series exists from its first request on.
            if count[then] > 0 {
                writeln!(text, "{}{{{labels}}} {}", self.requests, count[then]).unwrap();
            }
        }
        let name = self.histogram;
        writeln!(text, "# HELP {name} Durations.\n# TYPE {name} histogram").unwrap();
        for (labels, count, later) in self.timed.iter().filter(|(_, count, _)| count[then] > 0) {
            let within = |bound: f64| {
                // What was there before took no time at all.
                let more = count[then] - count[0];
                count[0] + if *later <= bound { more } else { 0 }
            };
            for bound in self.bounds {
                let n = within(bound.parse().unwrap());
                writeln!(text, "{name}_bucket{{{labels},le=\"{bound}\"}} {n}").unwrap();
            }
            writeln!(text, "{name}_bucket{{{labels},le=\"+Inf\"}} {}", count[then]).unwrap();
            writeln!(text, "{name}_sum{{{labels}}} 12.5").unwrap();
            writeln!(text, "{name}_count{{{labels}}} {}", count[then]).unwrap();
        }
        text
    }
}

const ENVOYS: &[&str] = &[
    "0.5", "1", "5", "10", "25", "50", "100", "250", "500", "1000", "2500", "5000", "10000", "30000",
    "60000", "300000", "600000", "1800000", "3600000",
];
const GOS: &[&str] = &[
    "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10",
];

fn istio(preset: Preset) -> Page {
    let reporter = if preset == Preset::Istio {
        "destination"
    } else {
        "source"
    };
    let labels = |reporter: &str, version: &str, protocol: &str, code: &str, flags: &str, grpc: &str| {
        format!(
            "reporter=\"{reporter}\",source_workload=\"istio-ingressgateway\",source_canonical_service=\"istio-ingressgateway\",\
             source_canonical_revision=\"latest\",source_workload_namespace=\"istio-system\",source_principal=\"unknown\",\
             source_app=\"istio-ingressgateway\",source_version=\"unknown\",source_cluster=\"Kubernetes\",\
             destination_workload=\"shop-{version}\",destination_workload_namespace=\"apps\",destination_principal=\"unknown\",\
             destination_app=\"shop\",destination_version=\"{version}\",destination_service=\"shop.apps.svc.cluster.local\",\
             destination_canonical_service=\"shop\",destination_canonical_revision=\"{version}\",\
             destination_service_name=\"shop\",destination_service_namespace=\"apps\",destination_cluster=\"Kubernetes\",\
             request_protocol=\"{protocol}\",response_code=\"{code}\",grpc_response_status=\"{grpc}\",\
             response_flags=\"{flags}\",connection_security_policy=\"unknown\""
        )
    };
    let ours = |version: &str, protocol: &str, code: &str, flags: &str, grpc: &str| {
        labels(reporter, version, protocol, code, flags, grpc)
    };
    let other = if reporter == "source" {
        "destination"
    } else {
        "source"
    };
    let all = vec![
        (ours("v2", "http", "200", "-", ""), [100, 190], 40.0),
        (ours("v2", "http", "503", "UF,URX", ""), [0, 4], 40.0),
        (ours("v2", "http", "404", "NR", ""), [0, 1], 40.0),
        (ours("v2", "http", "0", "DC", ""), [3, 5], 40.0),
        (ours("v2", "http", "499", "-", ""), [0, 2], 40.0),
        (ours("v2", "grpc", "200", "-", "14"), [0, 1], 40.0),
        (ours("v2", "http", "101", "-", ""), [0, 30], 900_000.0),
        (ours("v1", "http", "200", "-", ""), [1000, 1900], 4.0),
        (ours("v1", "http", "500", "-", ""), [7, 8], 4.0),
        (labels(other, "v2", "http", "500", "-", ""), [0, 5000], 1.0),
    ];
    let arm = |version| {
        vec![
            ("destination_service_name", "shop"),
            ("destination_version", version),
        ]
    };
    Page {
        preset,
        requests: "istio_requests_total",
        counted: all
            .iter()
            .map(|(labels, count, _)| (labels.clone(), *count))
            .collect(),
        histogram: "istio_request_duration_milliseconds",
        bounds: ENVOYS,
        timed: all,
        canary: arm("v2"),
        control: arm("v1"),
        metrics: None,
        expected: Expected {
            counts: [(130, 6), (901, 1)],
            p95: [(25.0, 50.0), (1.0, 5.0)],
        },
    }
}

fn ingress_nginx() -> Page {
    let labels = |canary: &str, status: &str| {
        format!(
            "canary=\"{canary}\",controller_class=\"k8s.io/ingress-nginx\",controller_namespace=\"ingress-nginx\",\
             controller_pod=\"ingress-nginx-controller-0\",host=\"shop.example.com\",ingress=\"shop\",method=\"GET\",\
             namespace=\"apps\",path=\"/\",service=\"shop\",status=\"{status}\""
        )
    };
    let all = vec![
        (labels("apps-shop-v2-80", "200"), [0, 90], 0.2),
        (labels("apps-shop-v2-80", "502"), [0, 6], 0.2),
        (labels("apps-shop-v2-80", "499"), [0, 4], 0.2),
        (labels("apps-shop-v2-80", "101"), [0, 50], 800.0),
        (labels("", "200"), [500, 1400], 0.02),
        (labels("-", "404"), [20, 60], 0.02),
        (labels("", "503"), [0, 2], 0.02),
    ];
    Page {
        preset: Preset::IngressNginx,
        requests: "nginx_ingress_controller_requests",
        counted: all
            .iter()
            .map(|(labels, count, _)| (labels.clone(), *count))
            .collect(),
        histogram: "nginx_ingress_controller_request_duration_seconds",
        bounds: GOS,
        timed: all,
        canary: vec![("ingress", "shop"), ("canary", "~..+")],
        control: vec![("ingress", "shop"), ("canary", "~-?")],
        metrics: None,
        expected: Expected {
            counts: [(150, 6), (942, 2)],
            p95: [(100.0, 250.0), (10.0, 25.0)],
        },
    }
}

fn envoy(preset: Preset, canary: &'static str, control: &'static str) -> Page {
    let cluster =
        |name: &str, code: &str| format!("envoy_response_code=\"{code}\",envoy_cluster_name=\"{name}\"");
    let timed = |name: &str| format!("envoy_cluster_name=\"{name}\"");
    Page {
        preset,
        requests: "envoy_cluster_upstream_rq",
        counted: vec![
            (cluster(canary, "200"), [40, 120]),
            (cluster(canary, "503"), [0, 15]),
            (cluster(canary, "504"), [0, 5]),
            (cluster(control, "200"), [4000, 5900]),
            (cluster(control, "404"), [10, 110]),
            (cluster("somebody-elses", "500"), [0, 9999]),
        ],
        histogram: "envoy_cluster_upstream_rq_time",
        bounds: ENVOYS,
        timed: vec![
            (timed(canary), [40, 140], 700.0),
            (timed(control), [4010, 6010], 70.0),
            (timed("somebody-elses"), [0, 9999], 1.0),
        ],
        canary: vec![("envoy_cluster_name", canary)],
        control: vec![("envoy_cluster_name", control)],
        metrics: None,
        expected: Expected {
            counts: [(100, 20), (2000, 0)],
            p95: [(500.0, 1000.0), (50.0, 100.0)],
        },
    }
}

fn linkerd() -> Page {
    let peer = |service: &str, direction: &str| {
        format!(
            "direction=\"{direction}\",authority=\"shop.apps.svc.cluster.local:80\",target_addr=\"10.4.0.7:8080\",\
             target_ip=\"10.4.0.7\",target_port=\"8080\",tls=\"true\",server_id=\"default.apps.serviceaccount.identity\",\
             dst_control_plane_ns=\"linkerd\",dst_deployment=\"{service}\",dst_namespace=\"apps\",\
             dst_service=\"{service}\",dst_serviceaccount=\"default\""
        )
    };
    let ended = |service: &str, how: &str| format!("{},{how}", peer(service, "outbound"));
    let timed = |service: &str, code: &str| ended(service, &format!("status_code=\"{code}\""));
    Page {
        preset: Preset::Linkerd,
        requests: "response_total",
        counted: vec![
            (
                ended(
                    "shop-v2",
                    r#"status_code="200",classification="success",grpc_status="",error="""#,
                ),
                [10, 100],
            ),
            (
                ended(
                    "shop-v2",
                    r#"status_code="500",classification="failure",grpc_status="",error="""#,
                ),
                [0, 3],
            ),
            (
                ended(
                    "shop-v2",
                    r#"status_code="200",classification="failure",grpc_status="14",error="""#,
                ),
                [0, 4],
            ),
            (
                ended(
                    "shop-v2",
                    r#"classification="failure",grpc_status="",error="connect timed out""#,
                ),
                [0, 2],
            ),
            (
                ended(
                    "shop-v2",
                    r#"status_code="404",classification="success",grpc_status="",error="""#,
                ),
                [0, 1],
            ),
            (
                ended(
                    "shop-v1",
                    r#"status_code="200",classification="success",grpc_status="",error="""#,
                ),
                [900, 1900],
            ),
            (
                format!(
                    "{},status_code=\"500\",classification=\"failure\"",
                    peer("shop-v2", "inbound")
                ),
                [0, 777],
            ),
        ],
        histogram: "response_latency_ms",
        bounds: &[
            "1", "2", "3", "4", "5", "10", "20", "30", "40", "50", "100", "200", "300", "400", "500", "1000",
            "2000", "3000", "4000", "5000", "10000", "20000", "30000", "40000", "50000",
        ],
        timed: vec![
            (timed("shop-v2", "200"), [10, 104], 35.0),
            (timed("shop-v2", "500"), [0, 3], 35.0),
            (timed("shop-v2", "404"), [0, 1], 35.0),
            (timed("shop-v1", "200"), [900, 1900], 3.5),
        ],
        canary: vec![("direction", "outbound"), ("dst_service", "shop-v2")],
        control: vec![("direction", "outbound"), ("dst_service", "shop-v1")],
        metrics: None,
        expected: Expected {
            counts: [(100, 9), (1000, 0)],
            p95: [(30.0, 40.0), (3.0, 4.0)],
        },
    }
}

fn traefik() -> Page {
    let labels = |service: &str, protocol: &str, code: &str| {
        format!(
            "code=\"{code}\",method=\"GET\",protocol=\"{protocol}\",service=\"apps-{service}-80@kubernetes\""
        )
    };
    let all = vec![
        (labels("shop-v2", "http", "200"), [0, 80], 1.0),
        (labels("shop-v2", "http", "502"), [0, 8], 1.0),
        (labels("shop-v2", "http", "499"), [0, 2], 1.0),
        (labels("shop-v2", "grpc", "0"), [0, 6], 1.0),
        (labels("shop-v2", "grpc", "14"), [0, 4], 1.0),
        (labels("shop-v2", "websocket", "0"), [0, 40], 700.0),
        (labels("shop-v2", "websocket", "101"), [0, 10], 700.0),
        (labels("shop-v2", "sse", "200"), [0, 20], 700.0),
        (labels("shop-v1", "http", "200"), [300, 1300], 0.25),
        (labels("shop-v1", "http", "500"), [1, 4], 0.25),
    ];
    Page {
        preset: Preset::Traefik,
        requests: "traefik_service_requests_total",
        counted: all
            .iter()
            .map(|(labels, count, _)| (labels.clone(), *count))
            .collect(),
        histogram: "traefik_service_request_duration_seconds",
        bounds: &["0.1", "0.3", "1.2", "5"],
        timed: all,
        canary: vec![("service", "~apps-shop-v2-.*")],
        control: vec![("service", "apps-shop-v1-80@kubernetes")],
        metrics: None,
        expected: Expected {
            counts: [(170, 12), (1003, 3)],
            p95: [(300.0, 1200.0), (100.0, 300.0)],
        },
    }
}

fn gatewayapi() -> Page {
    let labels = |backend: &str, class: &str| {
        format!("gateway=\"edge\",route=\"shop\",backend=\"{backend}\",status_class=\"{class}\"")
    };
    let all = vec![
        (labels("shop-v2", "2xx"), [0, 95], 0.04),
        (labels("shop-v2", "5xx"), [0, 5], 0.04),
        (labels("shop-v1", "2xx"), [9, 509], 0.4),
        (labels("shop-v1", "4xx"), [0, 30], 0.4),
    ];
    Page {
        preset: Preset::GatewayApi,
        requests: "edge_http_requests_total",
        counted: all
            .iter()
            .map(|(labels, count, _)| (labels.clone(), *count))
            .collect(),
        histogram: "edge_http_request_duration_seconds",
        bounds: GOS,
        timed: all,
        canary: vec![("backend", "shop-v2")],
        control: vec![("backend", "shop-v1")],
        metrics: Some(ArmMetrics {
            requests: "edge_http_requests_total".to_owned(),
            code: "status_class".to_owned(),
            buckets: Some("edge_http_request_duration_seconds_bucket".to_owned()),
            unit: Some(Unit::Seconds),
            grpc_status: None,
            flags: None,
        }),
        expected: Expected {
            counts: [(100, 5), (530, 0)],
            p95: [(25.0, 50.0), (250.0, 500.0)],
        },
    }
}

fn all() -> Vec<Page> {
    vec![
        istio(Preset::Istio),
        istio(Preset::IstioGateway),
        ingress_nginx(),
        envoy(Preset::Envoy, "shop-v2", "shop-v1"),
        envoy(
            Preset::EnvoyGateway,
            "httproute/apps/shop/rule/0/backend/1",
            "httproute/apps/shop/rule/0/backend/0",
        ),
        linkerd(),
        traefik(),
        gatewayapi(),
    ]
}

/// The bucket of the P95: over which bound, and at most which.
fn p95(latency: &Histogram) -> (f64, f64) {
    let all: u64 = latency.counts.iter().sum();
    let mut below = 0;
    for (place, count) in latency.counts.iter().enumerate() {
        below += count;
        if below * 100 >= all * 95 {
            let bound = |place: usize| latency.bounds_ms.get(place).copied();
            let low = place.checked_sub(1).and_then(bound).unwrap_or(0.0);
            return (low, bound(place).unwrap_or(f64::INFINITY));
        }
    }
    panic!("no requests in {latency:?}");
}

fn shown(counts: &Counts) -> (u64, u64) {
    (counts.requests, counts.errors)
}

#[tokio::test]
async fn every_preset_reads_its_exporters_own_words() {
    let mut servers = JoinSet::new();
    let pages = all();
    let (mut exporters, mut targets) = (Vec::new(), Vec::new());
    for page in &pages {
        let (exporter, address) = Exporter::start(&mut servers).await;
        exporter.serves(page.text(0));
        exporters.push(exporter);
        targets.push(address);
    }
    let prometheus = Prometheus::start(&targets, Duration::from_secs(1)).await;
    let settings = PrometheusSettings::at([prometheus.url()]);
    let source = Source::Prometheus(Arc::new(PrometheusSource::new(&settings).unwrap()));
    let mut views = Vec::new();
    for page in &pages {
        let mut asked = ask(page.preset, &page.canary, &page.control);
        asked.arms.canary.metrics = page.metrics.clone();
        asked.arms.control.as_mut().unwrap().metrics = page.metrics.clone();
        let mut view = View::new(&source, asked);
        view.until("a first tick", |_, reading| matches!(reading, Reading::Fresh(_)))
            .await;
        views.push(view);
    }
    for ((page, exporter), view) in pages.iter().zip(&exporters).zip(&mut views) {
        exporter.serves(page.text(1));
        let preset = page.preset;
        let Expected { counts, p95: slow } = &page.expected;
        view.until(&format!("{preset:?} counts {counts:?}"), |view, _| {
            view.canary.requests >= counts[0].0 && view.control.requests >= counts[1].0
        })
        .await;
        assert_eq!([shown(&view.canary), shown(&view.control)], *counts, "{preset:?}");
        let tick = view.last.as_ref().unwrap();
        for (arm, bucket) in [&tick.canary, &tick.control].into_iter().zip(slow) {
            let latency = arm.counts().unwrap().latency.clone();
            let latency = latency.unwrap_or_else(|| panic!("{preset:?} has durations"));
            assert_eq!(p95(&latency), *bucket, "{preset:?}: {latency:?}");
        }
    }
}

/// What came a minute on each series: the hour of yesterday that is asked about, and the last ten minutes.
fn yesterday_and_now(page: &Page, at: i64) -> String {
    let mut text = String::new();
    for (n, (labels, count)) in page.counted.iter().enumerate() {
        let more = i64::try_from(count[1] - count[0]).unwrap();
        for since in (-86_400 - 4_200..=-86_400)
            .step_by(60)
            .chain((-600..=0).step_by(60))
        {
            let total = more * (since + 200_000) / 60;
            let exporter = format!("instance=\"{n}\",job=\"{:?}\"", page.preset);
            writeln!(
                text,
                "{}{{{exporter},{labels}}} {total} {}",
                page.requests,
                at + since
            )
            .unwrap();
        }
    }
    text
}

#[tokio::test]
async fn every_preset_knows_what_is_usual_at_this_hour() {
    // 2026-03-02T10:00:00Z.
    const AT: i64 = 1_772_445_600;
    for page in &all() {
        let preset = page.preset;
        // Two of them read one counter, so each has a Prometheus of its own.
        let record = yesterday_and_now(page, AT);
        let prometheus = Prometheus::with_record(&format!("{record}# EOF\n")).await;
        let settings = PrometheusSettings::at([prometheus.url()]);
        let source = Source::Prometheus(Arc::new(PrometheusSource::new(&settings).unwrap()));
        let mut asked = ask(preset, &page.canary, &page.control);
        asked.arms.canary.metrics = page.metrics.clone();
        asked.arms.control.as_mut().unwrap().metrics = page.metrics.clone();
        asked.wants_latency = false;
        asked.wants_history = true;
        let mut cursor = Cursor::default();
        let mut usual = None;
        for ago in [120, 60, 0] {
            let at = Timestamp::from_second(AT - ago).unwrap();
            if let Reading::Fresh(tick) = source.observe(&asked, &mut cursor, at).await {
                usual = tick.usual_rate.or(usual);
            }
        }
        let [canary, control] = page.expected.counts.map(|(requests, _)| requests);
        #[expect(clippy::cast_precision_loss, reason = "some hundreds")]
        let expected = (canary + control) as f64 / 60.0;
        let usual = usual.unwrap_or_else(|| panic!("{preset:?} knows nothing of yesterday"));
        assert!(
            (usual / expected - 1.0).abs() < 0.02,
            "{preset:?}: {usual} requests/s, not {expected}"
        );
    }
}

#[test]
fn the_pages_of_these_exporters_are_ones_that_promtool_can_read() {
    let Some(promtool) = tools::optional("promtool") else {
        println!("skipped: no promtool on PATH or in .tools/");
        return;
    };
    for page in all() {
        let mut check = Command::new(&promtool)
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = check.stdin.take().unwrap();
        stdin.write_all(page.text(1).as_bytes()).unwrap();
        drop(stdin);
        let said = check.wait_with_output().unwrap();
        // 3: it reads well, and a linter would name it otherwise.
        assert!(
            matches!(said.status.code(), Some(0 | 3)),
            "{:?}: {}",
            page.preset,
            String::from_utf8_lossy(&said.stderr)
        );
    }
}
