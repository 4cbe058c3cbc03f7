//! Native histograms, scraped as protobuf by a real Prometheus: text cannot hold them.

use super::{View, ask};
use crate::support::tools::Prometheus;
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use gradual_rollout::clock::Clock;
use gradual_rollout::metrics::{PrometheusSettings, PrometheusSource, Source};
use gradual_rollout::rollout::sample::{Dark, Reading};
use gradual_rollout::rollout::spec::{ArmMetrics, Preset, Unit};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;

/// Protobuf's wire format, as much of it as exporters need.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.0.push(u8::try_from(n & 0x7f).unwrap() | 0x80);
            n >>= 7;
        }
        self.0.push(u8::try_from(n).unwrap());
    }

    fn number(mut self, field: u64, n: u64) -> Self {
        self.varint(field << 3);
        self.varint(n);
        self
    }

    /// A signed number, zigzag.
    fn signed(self, field: u64, n: i64) -> Self {
        let zigzag = (n << 1) ^ (n >> 63);
        self.number(field, u64::from_ne_bytes(zigzag.to_ne_bytes()))
    }

    fn double(mut self, field: u64, n: f64) -> Self {
        self.varint((field << 3) | 1);
        self.0.extend(n.to_le_bytes());
        self
    }

    fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self.varint((field << 3) | 2);
        self.varint(u64::try_from(bytes.len()).unwrap());
        self.0.extend(bytes);
        self
    }

    fn message(self, field: u64, message: &Self) -> Self {
        self.bytes(field, &message.0)
    }

    /// A `Metric` with these labels; its value follows.
    fn labelled(labels: &[(&str, &str)]) -> Self {
        labels.iter().fold(Self::default(), |metric, (name, value)| {
            let pair = Self::default()
                .bytes(1, name.as_bytes())
                .bytes(2, value.as_bytes());
            metric.message(1, &pair)
        })
    }

    /// A `MetricFamily`, preceded by its length.
    fn family(name: &str, kind: u64, metrics: &[Self]) -> Vec<u8> {
        let family = Self::default().bytes(1, name.as_bytes()).number(3, kind);
        let family = metrics
            .iter()
            .fold(family, |family, metric| family.message(4, metric));
        let mut delimited = Self::default();
        delimited.varint(u64::try_from(family.0.len()).unwrap());
        delimited.0.extend(family.0);
        delimited.0
    }
}

const COUNTER: u64 = 0;
const HISTOGRAM: u64 = 4;

/// So many requests that all took between 2^(index-1) and 2^index eighths of a doubling (schema 3), in seconds.
fn histogram(labels: &[(&str, &str)], buckets: &[(i64, u64)]) -> Message {
    let all: u64 = buckets.iter().map(|(_, count)| count).sum();
    let mut value = Message::default()
        .number(1, all)
        .double(2, 1.5)
        .signed(5, 3)
        .double(6, 1e-128)
        .number(7, 0);
    // Each bucket is a span of its own: how far from the end of the last one, and how long.
    let mut end = 0;
    for (index, _) in buckets {
        value = value.message(12, &Message::default().signed(1, index - end).number(2, 1));
        end = index + 1;
    }
    let mut before = 0;
    for (_, count) in buckets {
        let count = i64::try_from(*count).unwrap();
        value = value.signed(13, count - before);
        before = count;
    }
    Message::labelled(labels).message(7, &value)
}

/// An arm: requests with 200 and 503, and the buckets of their durations.
type ArmPage<'a> = (&'a str, u64, u64, &'a [(i64, u64)]);

/// Both arms.
fn page(arms: [ArmPage<'_>; 2]) -> Vec<u8> {
    let (mut counters, mut histograms) = (Vec::new(), Vec::new());
    for (backend, good, bad, buckets) in arms {
        for (code, count) in [("200", good), ("503", bad)] {
            let labels = [("backend", backend), ("code", code)];
            let value = Message::default().double(1, f64::from(u32::try_from(count).unwrap()));
            counters.push(Message::labelled(&labels).message(3, &value));
        }
        histograms.push(histogram(&[("backend", backend), ("code", "200")], buckets));
    }
    let mut page = Message::family("edge_requests_total", COUNTER, &counters);
    page.extend(Message::family(
        "edge_request_duration_seconds",
        HISTOGRAM,
        &histograms,
    ));
    page
}

#[tokio::test]
async fn native_histograms_are_judged_like_classic_ones() {
    let content = Arc::new(Mutex::new(Vec::new()));
    let served = content.clone();
    let respond = move || {
        let page = served.lock().unwrap().clone();
        let kind =
            "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
        async move { ([(CONTENT_TYPE, kind)], page) }
    };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/metrics", get(respond));
    let mut servers = JoinSet::new();
    servers.spawn(async move { axum::serve(listener, router).await.unwrap() });

    // Index k holds what took 2^((k-1)/8) to 2^(k/8) s: -40 is 29 to 31 ms, -8 is 459 to 500 ms, 0 is 0.92 to 1 s.
    *content.lock().unwrap() = page([("v2", 10, 0, &[(-40, 10)]), ("v1", 100, 0, &[(-40, 100)])]);
    let features = ["--enable-feature=native-histograms"];
    let prometheus = Prometheus::start_with(&[address], Duration::from_secs(1), &features).await;
    let settings = PrometheusSettings::at([prometheus.url()]);
    let source = Source::Prometheus(Arc::new(PrometheusSource::new(&settings).unwrap()));
    let metrics = |buckets: &str| {
        Some(ArmMetrics {
            requests: "edge_requests_total".to_owned(),
            code: "code".to_owned(),
            buckets: Some(buckets.to_owned()),
            unit: Some(Unit::Seconds),
            grpc_status: None,
            flags: None,
        })
    };
    let mut asked = ask(Preset::GatewayApi, &[("backend", "v2")], &[("backend", "v1")]);
    asked.arms.canary.metrics = metrics("edge_request_duration_seconds");
    asked.arms.control.as_mut().unwrap().metrics = metrics("edge_request_duration_seconds");
    let mut view = View::new(&source, asked.clone());
    view.until("a first tick", |_, reading| matches!(reading, Reading::Fresh(_)))
        .await;

    *content.lock().unwrap() = page([
        ("v2", 100, 10, &[(-40, 20), (-8, 80), (0, 10)]),
        ("v1", 1100, 0, &[(-40, 1100)]),
    ]);
    view.counts(100, 10).await;
    assert_eq!((view.control.requests, view.control.errors), (1000, 0));
    let tick = view.last.as_ref().unwrap();
    let of = |arm: &gradual_rollout::rollout::sample::Arm| arm.counts().unwrap().latency.clone().unwrap();
    let (canary, control) = (of(&tick.canary), of(&tick.control));
    assert_eq!(canary.bounds_ms, control.bounds_ms);
    let populated = |latency: &gradual_rollout::rollout::sample::Histogram| -> Vec<(f64, u64)> {
        let bounds = latency.bounds_ms.iter().copied().chain([f64::INFINITY]);
        bounds
            .zip(latency.counts.iter().copied())
            .filter(|(_, count)| *count > 0)
            .collect()
    };
    assert_eq!(populated(&canary), [(31.25, 10), (500.0, 80), (1000.0, 10)]);
    assert_eq!(populated(&control), [(31.25, 1000)]);

    // What Prometheus remembers of them is read as what it says of them now: by backtests, and of control's past.
    let now = Clock::System.now();
    let past = source.history(&asked, now - Duration::from_secs(3), now, Duration::from_secs(1));
    let past = past.await.unwrap();
    let timed = past.iter().flat_map(|snapshot| snapshot.canary.pods.values());
    assert!(timed.clone().count() > 0 && timed.clone().all(|pod| !pod.latency.is_empty()));

    // The classic name of a histogram that is native alone matches nothing, and errors are judged all the same.
    asked.arms.canary.metrics = metrics("edge_request_duration_seconds_bucket");
    let mut view = View::new(&source, asked.clone());
    view.until("a tick without durations", |_, reading| {
        matches!(reading, Reading::Fresh(tick) if tick.canary.counts().is_some_and(|c| c.latency.is_none()))
    })
    .await;
    // And a counter is no histogram.
    asked.arms.canary.metrics = metrics("edge_requests_total");
    let mut view = View::new(&source, asked);
    let reading = view.look().await;
    let Reading::Blind(blindness) = reading else {
        panic!("{reading:?}");
    };
    assert_eq!(blindness.kind, Dark::NotANumber);
    assert!(
        blindness.message.contains("is no native histogram"),
        "{}",
        blindness.message
    );
}
