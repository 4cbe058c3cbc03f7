//! A real Prometheus asked about many components at once, and about the past.

use crate::support::tools::Prometheus;
use axum::Router;
use axum::routing::get;
use futures::future::join_all;
use gradual_rollout::clock::Clock;
use gradual_rollout::metrics::exposition::{Exported, ExportedLatency, IstioLabels, bounds_ms, encode};
use gradual_rollout::metrics::{Ask, PrometheusSettings, PrometheusSource, Source};
use gradual_rollout::rollout::spec::{ArmSource, Arms, Preset, Traffic};
use jiff::Timestamp;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

const COMPONENTS: u64 = 50;

/// Both versions of each component's service, as one sidecar would export all of them.
fn page() -> String {
    let names: Vec<String> = (0..COMPONENTS).map(|number| format!("shop-{number}")).collect();
    let mut all = Vec::new();
    for (name, number) in names.iter().zip(1..) {
        for (version, requests) in [("v1", number * 100), ("v2", number)] {
            for (code, share) in [("200", 3), ("503", 1)] {
                let labels = IstioLabels {
                    reporter: "destination",
                    source_workload: "istio-ingressgateway",
                    source_namespace: "istio-system",
                    destination_workload: name,
                    destination_version: version,
                    destination_service: name,
                    destination_namespace: "ns-a",
                    protocol: "http",
                    code,
                    flags: "-",
                    grpc_status: "",
                };
                let requests = requests * share;
                let cumulative = bounds_ms(Preset::Istio).iter();
                all.push(Exported {
                    labels: labels.labels(),
                    requests,
                    latency: Some(ExportedLatency {
                        cumulative: cumulative
                            .map(|&ms| if ms < 25.0 { 0 } else { requests })
                            .collect(),
                        sum_ms: 0.0,
                    }),
                });
            }
        }
    }
    encode(Preset::Istio, &all)
}

async fn exporter(servers: &mut JoinSet<()>) -> SocketAddr {
    let page = page();
    let router = Router::new().route("/metrics", get(|| async move { page.clone() }));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    servers.spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

fn ask(component: &str, service: &str, canary: &str, control: &str) -> Ask {
    let source = |version: &str| ArmSource {
        preset: Preset::Istio,
        latency_labels: std::collections::BTreeMap::new(),
        metrics: None,
        labels: [
            ("destination_service_name".to_owned(), service.to_owned()),
            ("destination_version".to_owned(), version.to_owned()),
        ]
        .into(),
    };
    Ask {
        rollout: "ns-a/all".to_owned(),
        component: component.to_owned(),
        arms: Arms {
            canary: source(canary),
            control: Some(source(control)),
        },
        traffic: Traffic::Requests,
        wants_latency: true,
        wants_history: false,
    }
}

fn source(prometheus: &Prometheus) -> PrometheusSource {
    // The machine may be busy with other tests.
    let settings = PrometheusSettings {
        timeout: Duration::from_secs(30),
        ..PrometheusSettings::at([prometheus.url()])
    };
    PrometheusSource::new(&settings).unwrap()
}

/// Waits until every series was scraped at least `scrapes` times; the instant at which it was.
async fn scraped(source: &PrometheusSource, scrapes: usize) -> Timestamp {
    let last = format!("shop-{}", COMPONENTS - 1);
    let ask = ask("last", &last, "v2", "v1");
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..600 {
        let now = Clock::System.now();
        let snapshot = source.read(&ask, now).await.unwrap();
        let samples = snapshot.canary.pods.values().map(|pod| pod.sampled_at);
        seen.extend(samples);
        if seen.len() >= scrapes {
            return snapshot.at;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("not scraped {scrapes} times within a minute: {seen:?}");
}

#[tokio::test]
async fn fifty_components_are_one_query_and_each_gets_what_it_would_get_alone() {
    let mut servers = JoinSet::new();
    let prometheus = Prometheus::start(&[exporter(&mut servers).await], Duration::from_secs(1)).await;
    let source = source(&prometheus);
    let at = scraped(&source, 1).await;
    let mut asks: Vec<Ask> = (0..COMPONENTS)
        .map(|number| format!("shop-{number}"))
        .map(|name| ask(&name, &name, "v2", "v1"))
        .collect();
    // Selectors that are compared here, not there: both must read patterns alike.
    for (service, canary, control) in [
        (r"~shop-\d", "v2", "!v2"),
        ("~shop-1.*|shop-2", "~v[2-9]", "~v[^2-9]"),
        ("~(?i)SHOP-7", "v2", "!~v2|v3"),
        ("~[^4]+-4", "v2", "~..?"),
        (r"~\w+-3\b", "v2", "~[[:alpha:]]1"),
        ("!shop-0", "v2", "v1"),
        ("nowhere", "v2", "v1"),
    ] {
        asks.push(ask(service, service, canary, control));
    }
    let before = source.traffic().0;
    let together = join_all(asks.iter().map(|ask| source.read(ask, at))).await;
    assert_eq!(source.traffic().0 - before, 1, "queries");
    for (ask, together) in asks.iter().zip(together) {
        let alone = source.read(ask, at).await.unwrap();
        let together = together.unwrap();
        assert_eq!(together, alone, "{}", ask.component);
        let seen = |arm: &gradual_rollout::metrics::ArmSnapshot| !arm.pods.is_empty();
        let expected = ask.component != "nowhere";
        assert_eq!(seen(&together.canary), expected, "{}", ask.component);
        assert_eq!(
            together.control.as_ref().is_some_and(seen),
            expected,
            "{}",
            ask.component
        );
    }
    assert_eq!(
        source.traffic().0 - before,
        1 + u64::try_from(asks.len()).unwrap()
    );
}

#[tokio::test]
async fn one_ask_that_a_real_prometheus_refuses_spoils_no_other() {
    let mut servers = JoinSet::new();
    let prometheus = Prometheus::start(&[exporter(&mut servers).await], Duration::from_secs(1)).await;
    let source = source(&prometheus);
    let at = scraped(&source, 1).await;
    let mut asks: Vec<Ask> = (0..10)
        .map(|number| format!("shop-{number}"))
        .map(|name| ask(&name, &name, "v2", "v1"))
        .collect();
    // A pattern that Rust takes and RE2 does not.
    asks.push(ask("poison", r"~a{1,1001}", "v2", "v1"));
    let answers = join_all(asks.iter().map(|ask| source.read(ask, at))).await;
    for (ask, answer) in asks.iter().zip(answers) {
        match ask.component.as_str() {
            "poison" => assert!(answer.is_err(), "{}: {answer:?}", ask.component),
            name => assert!(!answer.unwrap().canary.pods.is_empty(), "{name}"),
        }
    }
}

#[tokio::test]
async fn the_past_is_told_as_it_would_have_been_read_then() {
    let mut servers = JoinSet::new();
    let prometheus = Prometheus::start(&[exporter(&mut servers).await], Duration::from_secs(1)).await;
    let client = source(&prometheus);
    let to = scraped(&client, 4).await;
    let from = to - Duration::from_secs(20);
    let ask = ask("shop-7", "shop-7", "v2", "v1");
    let source = Source::Prometheus(Arc::new(client));
    let history = source
        .history(&ask, from, to, Duration::from_secs(1))
        .await
        .unwrap();
    assert!((20..=21).contains(&history.len()), "{}", history.len());
    let with_data = history
        .iter()
        .filter(|snapshot| !snapshot.canary.pods.is_empty())
        .count();
    assert!(with_data >= 2, "{with_data} instants with data");
    for then in history {
        let read = source.read(&ask, then.at).await.unwrap();
        assert_eq!(then, read, "at {}", read.at);
    }
}
