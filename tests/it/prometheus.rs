//! What a real Prometheus says of exporters that fail, restart, vanish and come back, read by the shipped client.

mod native;
mod presets;

use crate::support::tools::Prometheus;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use gradual_rollout::clock::Clock;
use gradual_rollout::metrics::exposition::{
    Exported, ExportedLatency, IstioLabels, NginxLabels, bounds_ms, encode,
};
use gradual_rollout::metrics::{Ask, Cursor, PrometheusSettings, PrometheusSource, Source};
use gradual_rollout::rollout::sample::{Arm, Counts, Dark, Reading, Tick};
use gradual_rollout::rollout::spec::{ArmSource, Arms, Preset, Traffic};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;

/// An exporter whose page a test writes; `None` fails every scrape.
#[derive(Clone, Default)]
struct Exporter(Arc<Mutex<Option<String>>>);

impl Exporter {
    async fn start(servers: &mut JoinSet<()>) -> (Self, SocketAddr) {
        let exporter = Self::default();
        let page = |State(exporter): State<Self>| async move {
            exporter
                .0
                .lock()
                .unwrap()
                .clone()
                .ok_or(StatusCode::SERVICE_UNAVAILABLE)
        };
        let router = Router::new()
            .route("/metrics", get(page))
            .with_state(exporter.clone());
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        servers.spawn(async move { axum::serve(listener, router).await.unwrap() });
        (exporter, address)
    }

    fn serves(&self, page: String) {
        *self.0.lock().unwrap() = Some(page);
    }

    fn fails(&self) {
        *self.0.lock().unwrap() = None;
    }
}

fn istio(version: &str, codes: &[(&str, &str, u64)]) -> String {
    let exported = |&(code, flags, requests): &(&str, &str, u64)| Exported {
        labels: IstioLabels {
            reporter: "destination",
            source_workload: "istio-ingressgateway",
            source_namespace: "istio-system",
            destination_workload: "shop",
            destination_version: version,
            destination_service: "shop",
            destination_namespace: "ns-a",
            protocol: "http",
            code,
            flags,
            grpc_status: "",
        }
        .labels(),
        requests,
        latency: Some(ExportedLatency {
            cumulative: bounds_ms(Preset::Istio)
                .iter()
                .map(|&ms| if ms < 25.0 { 0 } else { requests })
                .collect(),
            sum_ms: 0.0,
        }),
    };
    encode(Preset::Istio, &codes.iter().map(exported).collect::<Vec<_>>())
}

fn nginx(series: &[(&str, &str, u64)]) -> String {
    let exported = |&(canary, status, requests): &(&str, &str, u64)| Exported {
        labels: NginxLabels {
            namespace: "ns-a",
            ingress: "terminal-x",
            service: "terminal-x",
            canary,
            host: "x.example.com",
            status,
            controller_pod: "nginx-1",
        }
        .labels(),
        requests,
        latency: Some(ExportedLatency {
            cumulative: bounds_ms(Preset::IngressNginx)
                .iter()
                .map(|&ms| if ms < 100.0 { 0 } else { requests })
                .collect(),
            sum_ms: 0.0,
        }),
    };
    encode(
        Preset::IngressNginx,
        &series.iter().map(exported).collect::<Vec<_>>(),
    )
}

fn ask(preset: Preset, canary: &[(&str, &str)], control: &[(&str, &str)]) -> Ask {
    let source = |labels: &[(&str, &str)]| ArmSource {
        preset,
        labels: labels
            .iter()
            .map(|&(label, value)| (label.to_owned(), value.to_owned()))
            .collect::<BTreeMap<_, _>>(),
        latency_labels: BTreeMap::new(),
        metrics: None,
    };
    Ask {
        rollout: "ns-a/shop".to_owned(),
        component: "shop".to_owned(),
        arms: Arms {
            canary: source(canary),
            control: Some(source(control)),
        },
        traffic: Traffic::Requests,
        wants_latency: true,
        wants_history: false,
    }
}

/// A component's view of the source: what was counted so far.
struct View<'a> {
    source: &'a Source,
    ask: Ask,
    cursor: Cursor,
    canary: Counts,
    control: Counts,
    last: Option<Tick>,
}

impl<'a> View<'a> {
    fn new(source: &'a Source, ask: Ask) -> Self {
        Self {
            source,
            ask,
            cursor: Cursor::default(),
            canary: Counts::default(),
            control: Counts::default(),
            last: None,
        }
    }

    async fn look(&mut self) -> Reading {
        let reading = self
            .source
            .observe(&self.ask, &mut self.cursor, Clock::System.now())
            .await;
        if let Reading::Fresh(tick) = &reading {
            for (sum, arm) in [
                (&mut self.canary, &tick.canary),
                (&mut self.control, &tick.control),
            ] {
                let counts = arm.counts().cloned().unwrap_or_default();
                sum.requests += counts.requests;
                sum.errors += counts.errors;
            }
            self.last = Some(tick.clone());
        }
        reading
    }

    /// Looks until it is so; within half a minute, because Prometheus discovers its targets every five seconds.
    async fn until(&mut self, what: &str, so: impl Fn(&Self, &Reading) -> bool) {
        let mut reading = Reading::Waiting;
        for _ in 0..300 {
            reading = self.look().await;
            if so(self, &reading) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!(
            "not within 30 s: {what}; last {reading:?}, canary {:?}, control {:?}",
            self.canary, self.control
        );
    }

    /// Looks until so much was counted on the canary: it must be that, and never more.
    async fn counts(&mut self, requests: u64, errors: u64) {
        let what = format!("{requests} requests, {errors} errors on the canary");
        self.until(&what, |view, _| {
            view.canary.requests >= requests && view.canary.errors >= errors
        })
        .await;
        assert_eq!(
            (self.canary.requests, self.canary.errors),
            (requests, errors),
            "{what}"
        );
    }
}

fn is_dark(reading: &Reading, dark: Dark) -> bool {
    matches!(reading, Reading::Blind(blindness) if blindness.kind == dark)
}

#[tokio::test]
async fn sidecars_that_fail_restart_and_vanish_are_counted_as_they_were() {
    let mut servers = JoinSet::new();
    let (new, new_address) = Exporter::start(&mut servers).await;
    let (old, old_address) = Exporter::start(&mut servers).await;
    new.serves(istio("v2", &[("200", "-", 100)]));
    old.serves(istio("v1", &[("200", "-", 1000)]));
    let prometheus = Prometheus::start(&[new_address, old_address], Duration::from_secs(1)).await;
    let settings = PrometheusSettings::at([prometheus.url()]);
    let source = Source::Prometheus(Arc::new(PrometheusSource::new(&settings).unwrap()));
    let arms = |version| {
        [
            ("destination_service_name", "shop"),
            ("destination_version", version),
        ]
    };
    let mut view = View::new(&source, ask(Preset::Istio, &arms("v2"), &arms("v1")));

    view.until("a first tick", |_, reading| matches!(reading, Reading::Fresh(_)))
        .await;
    assert_eq!(
        (view.canary.requests, view.control.requests),
        (0, 0),
        "what was before counting began is not counted"
    );

    // The first 5xx is a series that is born at 40; a hung-up client is none.
    new.serves(istio(
        "v2",
        &[("200", "-", 110), ("503", "UF,URX", 40), ("0", "DC", 5)],
    ));
    view.counts(55, 40).await;
    let latency = view
        .last
        .as_ref()
        .unwrap()
        .canary
        .counts()
        .unwrap()
        .latency
        .clone()
        .unwrap();
    assert_eq!(latency.counts.iter().sum::<u64>(), 55);
    assert_eq!((latency.bounds_ms[4], latency.counts[4]), (25.0, 55));

    // The process starts anew.
    new.serves(istio("v2", &[("200", "-", 7), ("503", "UF,URX", 2)]));
    view.counts(64, 42).await;

    // A target that fails to be scraped is darkness, not a drop; what it did meanwhile is not lost.
    new.fails();
    old.serves(istio("v1", &[("200", "-", 1500)]));
    view.until("the canary has vanished", |_, reading| {
        is_dark(reading, Dark::Vanished)
    })
    .await;
    assert!(matches!(view.last.as_ref().unwrap().canary, Arm::Seen(_)));
    new.serves(istio("v2", &[("200", "-", 27), ("503", "UF,URX", 2)]));
    view.counts(84, 42).await;
    assert_eq!((view.control.requests, view.control.errors), (500, 0));

    // A restarted daemon goes on from its persisted cursor.
    let text = serde_json::to_string(&view.cursor).unwrap();
    view.cursor = serde_json::from_str(&text).unwrap();
    new.serves(istio("v2", &[("200", "-", 28), ("503", "UF,URX", 3)]));
    view.counts(86, 43).await;

    // Prometheus itself goes away: the source is down, the canary is not to blame.
    drop(prometheus);
    assert!(is_dark(&view.look().await, Dark::Down));
}

#[tokio::test]
async fn an_ingress_controller_tells_its_arms_apart_by_the_canary_label() {
    let mut servers = JoinSet::new();
    let (controller, address) = Exporter::start(&mut servers).await;
    controller.serves(nginx(&[("", "200", 500), ("-", "404", 20)]));
    let prometheus = Prometheus::start(&[address], Duration::from_secs(1)).await;
    let settings = PrometheusSettings::at(["http://127.0.0.1:1".to_owned(), prometheus.url()]);
    let source = Source::Prometheus(Arc::new(PrometheusSource::new(&settings).unwrap()));
    let arms = |canary| [("ingress", "~terminal-.*"), ("canary", canary)];
    let mut view = View::new(&source, ask(Preset::IngressNginx, &arms("~..+"), &arms("~-?")));

    view.until("a first tick without a canary", |_, reading| {
        matches!(reading, Reading::Fresh(tick) if tick.canary == Arm::Absent && tick.control.counts().is_some())
    })
    .await;
    // Its first requests, half of them errors: the controller was seen before, so they count from 0.
    let canary = "ns-a-terminal-y-80";
    controller.serves(nginx(&[
        ("", "200", 600),
        ("-", "404", 20),
        (canary, "200", 6),
        (canary, "502", 4),
        (canary, "499", 2),
    ]));
    view.counts(12, 4).await;
    assert_eq!((view.control.requests, view.control.errors), (100, 0));
    let latency = view
        .last
        .as_ref()
        .unwrap()
        .canary
        .counts()
        .unwrap()
        .latency
        .clone()
        .unwrap();
    assert_eq!(
        (latency.bounds_ms[4], latency.counts[4]),
        (100.0, 12),
        "seconds were read as milliseconds"
    );
}

#[tokio::test]
async fn prometheus_refuses_a_question_it_does_not_understand() {
    let prometheus = Prometheus::start(&[], Duration::from_secs(1)).await;
    let settings = PrometheusSettings::at([prometheus.url()]);
    let source = Source::Prometheus(Arc::new(PrometheusSource::new(&settings).unwrap()));
    // Ours allows `&&` in a class, RE2 reads it as two characters; a flag unknown to it is refused.
    let unknown = [("host", "~(?x)a")];
    let blindness = source
        .read(&ask(Preset::Istio, &unknown, &[]), Clock::System.now())
        .await
        .unwrap_err();
    assert_eq!(blindness.kind, Dark::Refused, "{}", blindness.message);
    assert!(
        blindness.message.contains("invalid or unsupported Perl syntax"),
        "{}",
        blindness.message
    );
    let nothing = source
        .read(
            &ask(Preset::Istio, &[("host", "a")], &[("host", "b")]),
            Clock::System.now(),
        )
        .await;
    assert!(nothing.unwrap().canary.pods.is_empty());
}

#[tokio::test]
async fn what_no_counter_can_say_is_neither_good_nor_bad() {
    let mut servers = JoinSet::new();
    let (exporter, address) = Exporter::start(&mut servers).await;
    let page = |count: &str| {
        let series = |service: &str, count: &str| {
            format!(
                "traefik_service_requests_total{{code=\"200\",method=\"GET\",protocol=\"http\",service=\"{service}\"}} {count}\n"
            )
        };
        format!(
            "# TYPE traefik_service_requests_total counter\n{}{}",
            series("new", count),
            series("old", "1000")
        )
    };
    exporter.serves(page("7"));
    let prometheus = Prometheus::start(&[address], Duration::from_secs(1)).await;
    let settings = PrometheusSettings::at([prometheus.url()]);
    let source = Source::Prometheus(Arc::new(PrometheusSource::new(&settings).unwrap()));
    let mut view = View::new(
        &source,
        ask(Preset::Traefik, &[("service", "new")], &[("service", "old")]),
    );
    view.until("a first tick", |_, reading| matches!(reading, Reading::Fresh(_)))
        .await;
    for (count, shown) in [
        ("NaN", "NaN"),
        ("+Inf", "inf"),
        ("-3", "-3"),
        ("1e300", "1000000"),
    ] {
        exporter.serves(page(count));
        let says = format!("canary: the requests of {address} are counted as {shown}");
        view.until(&says, |_, reading| {
            matches!(reading, Reading::Blind(dark) if dark.kind == Dark::NotANumber && dark.message.starts_with(&says))
        })
        .await;
    }
    exporter.serves(page("10"));
    view.counts(3, 0).await;

    // Labels that match nothing, from a source that answers.
    let mut view = View::new(
        &source,
        ask(Preset::Traefik, &[("service", "gnu")], &[("service", "ode")]),
    );
    let Reading::Blind(dark) = view.look().await else {
        panic!("there is nothing to see");
    };
    assert_eq!(dark.kind, Dark::Empty);
    let says = r#"canary traefik_service_requests_total{service="gnu"} or control"#;
    assert!(dark.message.contains(says), "{}", dark.message);
}
