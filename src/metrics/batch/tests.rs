//! Batches against a Prometheus that counts what it is asked.

mod fake;
mod figures;
mod refused;
mod same;

use self::fake::{Rules, Server, sidecars};
use super::*;
use crate::metrics::settings::PrometheusSettings;
use crate::metrics::{Cursor, PrometheusSource, Source};
use crate::rollout::sample::Reading;
use crate::rollout::spec::{ArmSource, Arms, Preset, Traffic};
use futures::future::join_all;

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|&(label, value)| (label.to_owned(), value.to_owned()))
        .collect()
}

fn ask(service: &str) -> Ask {
    let source = |version| ArmSource {
        preset: Preset::Istio,
        latency_labels: BTreeMap::new(),
        metrics: None,
        labels: labels(&[
            ("destination_service_name", service),
            ("destination_version", version),
        ]),
    };
    Ask {
        rollout: format!("ns/{service}"),
        component: service.to_owned(),
        arms: Arms {
            canary: source("v2"),
            control: Some(source("v1")),
        },
        traffic: Traffic::Requests,
        wants_latency: true,
        wants_history: false,
    }
}

fn services(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("shop-{number}")).collect()
}

fn store(services: &[String]) -> Vec<fake::Stored> {
    let arm = |(place, service): (usize, &String)| {
        let requests = f64::from(u32::try_from(place).unwrap() + 1) * 8.0;
        let mut all = sidecars(service, "v2", 1, requests);
        all.extend(sidecars(service, "v1", 1, requests * 2.0));
        all
    };
    services.iter().enumerate().flat_map(arm).collect()
}

fn instant() -> Timestamp {
    "2026-11-21T08:00:02Z".parse().unwrap()
}

fn source(server: &Server) -> PrometheusSource {
    let settings = PrometheusSettings {
        timeout: Duration::from_secs(30),
        ..PrometheusSettings::at([server.url.clone()])
    };
    PrometheusSource::new(&settings).unwrap()
}

/// Requests of both arms.
fn requests(snapshot: &Snapshot) -> (f64, f64) {
    let sum = |arm: &crate::metrics::ArmSnapshot| {
        let pods = arm.pods.values();
        pods.flat_map(|pod| pod.requests.values().map(|counter| counter.count))
            .sum()
    };
    (sum(&snapshot.canary), snapshot.control.as_ref().map_or(0.0, sum))
}

#[tokio::test]
async fn a_thousand_components_of_as_many_resources_cost_a_handful_of_queries_an_interval() {
    let services = services(1_000);
    let server = Server::start(Rules {
        store: store(&services),
        ..Rules::default()
    })
    .await;
    let source = Source::Prometheus(Arc::new(source(&server)));
    let mut cursors = vec![Cursor::default(); services.len()];
    for beat in 0..3_i32 {
        let at = instant() + Duration::from_secs(10) * beat.unsigned_abs();
        for stored in &mut server.rules.lock().unwrap().store {
            stored.value += f64::from(beat) * 4.0;
            // Never after the instant that is asked about: that would be a wrong clock.
            stored.scraped += if beat == 0 { 0.0 } else { 10.0 };
        }
        let looks = services.iter().zip(&mut cursors).map(|(service, cursor)| {
            let (source, ask) = (&source, ask(service));
            async move { source.observe(&ask, cursor, at).await }
        });
        let readings = join_all(looks).await;
        let asked = server.asked().len();
        assert!((1..=6).contains(&asked), "{asked} queries for one interval");
        let fresh = readings
            .iter()
            .filter(|reading| matches!(reading, Reading::Fresh(_)));
        assert_eq!(fresh.count(), if beat == 0 { 0 } else { 1_000 }, "beat {beat}");
    }
    let known: Vec<_> = cursors.iter().map(Cursor::at).collect();
    assert!(known.iter().all(|at| *at == known[0]), "one instant for all");
}

#[tokio::test]
async fn checks_with_an_idea_of_an_error_of_their_own_ask_for_nothing_more() {
    let services = services(1_000);
    let server = Server::start(Rules {
        store: store(&services),
        ..Rules::default()
    })
    .await;
    let source = Source::Prometheus(Arc::new(source(&server)));
    let errors = crate::rollout::spec::Errors {
        codes: Some(vec!["5xx".to_owned(), "499".to_owned()]),
        ..crate::rollout::spec::Errors::default()
    };
    let rule = crate::metrics::gauge::rule(&errors).unwrap();
    let mut cursors = vec![(Cursor::default(), Cursor::default()); services.len()];
    for beat in 0..2_i32 {
        let at = instant() + Duration::from_secs(10) * beat.unsigned_abs();
        for stored in &mut server.rules.lock().unwrap().store {
            stored.value += f64::from(beat) * 4.0;
            stored.scraped += if beat == 0 { 0.0 } else { 10.0 };
        }
        let looks = services.iter().zip(&mut cursors).map(|(service, (arms, own))| {
            let (source, ask, rule) = (&source, ask(service), &rule);
            async move {
                let plain = source.observe(&ask, arms, at);
                let sorted = crate::metrics::gauge::observe_errors(source, &ask, rule, own, at);
                futures::join!(plain, sorted)
            }
        });
        let readings = join_all(looks).await;
        let asked = server.asked().len();
        assert!((1..=6).contains(&asked), "{asked} queries for one interval");
        let both = |(one, other): &&(Reading, Reading)| {
            matches!((one, other), (Reading::Fresh(_), Reading::Fresh(_)))
        };
        let fresh = readings.iter().filter(both).count();
        assert_eq!(fresh, if beat == 0 { 0 } else { 1_000 }, "beat {beat}");
    }
}

#[tokio::test]
async fn each_component_gets_its_own_series_and_equal_asks_share_an_answer() {
    let services = services(20);
    let server = Server::start(Rules {
        store: store(&services),
        ..Rules::default()
    })
    .await;
    let source = source(&server);
    let asks: Vec<Ask> = services
        .iter()
        .chain(&services)
        .map(|service| ask(service))
        .collect();
    let snapshots = join_all(asks.iter().map(|ask| source.read(ask, instant()))).await;
    assert_eq!(server.asked().len(), 1);
    for (place, snapshot) in snapshots.into_iter().enumerate() {
        let expected = f64::from(u32::try_from(place % 20).unwrap() + 1) * 8.0;
        assert_eq!(requests(&snapshot.unwrap()), (expected, expected * 2.0));
    }
}

#[tokio::test]
async fn an_ask_that_prometheus_refuses_spoils_no_other_and_is_not_asked_at_every_look() {
    let mut services = services(100);
    services[37] = "poison".to_owned();
    let server = Server::start(Rules {
        store: store(&services),
        refuses: Some("poison"),
        ..Rules::default()
    })
    .await;
    let source = source(&server);
    for look in 0..2_u32 {
        let at = instant() + Duration::from_secs(10) * look;
        let asks: Vec<Ask> = services.iter().map(|service| ask(service)).collect();
        let answers = join_all(asks.iter().map(|ask| source.read(ask, at))).await;
        for (service, answer) in services.iter().zip(answers) {
            match (service.as_str(), answer) {
                ("poison", Err(blindness)) => {
                    assert_eq!(blindness.kind, Dark::Refused);
                    assert!(blindness.message.contains("parse error"), "{}", blindness.message);
                }
                (_, Ok(snapshot)) => assert!(requests(&snapshot).0 > 0.0, "{service}"),
                (_, answer) => panic!("{service}: {answer:?}"),
            }
        }
        let asked = server.asked().len();
        // Halving 100 down to 1 and asking the other halves.
        let most = if look == 0 { 16 } else { 1 };
        assert!(asked <= most, "{asked} queries at look {look}");
    }
}

#[tokio::test]
async fn what_is_too_much_at_once_is_asked_in_parts_and_remembered() {
    let services = services(64);
    let server = Server::start(Rules {
        store: store(&services),
        longest: Some(1_500),
        ..Rules::default()
    })
    .await;
    let source = source(&server);
    let look = async || {
        let asks: Vec<Ask> = services.iter().map(|service| ask(service)).collect();
        let answers = join_all(asks.iter().map(|ask| source.read(ask, instant()))).await;
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        server.asked().len()
    };
    let (first, second, third) = (look().await, look().await, look().await);
    assert_eq!(first, second, "once may have been a bad moment");
    assert!(third < first, "{first} queries, then {third}");
}

#[tokio::test]
async fn a_query_that_hangs_keeps_no_other_waiting() {
    let services = services(3);
    let server = Server::start(Rules {
        store: store(&services),
        keeps: Some("slow"),
        ..Rules::default()
    })
    .await;
    let source = source(&server);
    // Too long to share a query with anybody.
    let slow = ask(&format!("slow{}", "w".repeat(100_000)));
    let fast: Vec<Ask> = services.iter().map(|service| ask(service)).collect();
    let mut hanging = Box::pin(source.read(&slow, instant()));
    let quick = join_all(fast.iter().map(|ask| source.read(ask, instant())));
    let answers = tokio::select! {
        _ = &mut hanging => panic!("it was to hang"),
        answers = quick => answers,
    };
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    // It is on the wire, and answers when it is let go.
    tokio::select! {
        _ = &mut hanging => panic!("it was to hang"),
        () = server.arrived.notified() => server.go_on.notify_one(),
    }
    assert!(hanging.await.is_ok());
}

#[tokio::test]
async fn who_goes_away_takes_nothing_with_him() {
    let services = services(2);
    let server = Server::start(Rules {
        store: store(&services),
        keeps: Some("shop"),
        ..Rules::default()
    })
    .await;
    let source = source(&server);
    let (one, other) = (ask("shop-0"), ask("shop-1"));
    let mut first = Box::pin(source.read(&one, instant()));
    let mut second = Box::pin(source.read(&other, instant()));
    tokio::select! {
        _ = &mut first => panic!("kept"),
        _ = &mut second => panic!("kept"),
        () = server.arrived.notified() => {}
    }
    // Whoever asked first drove the query so far.
    drop(first);
    server.go_on.notify_one();
    assert_eq!(requests(&second.await.unwrap()), (16.0, 32.0));
    assert_eq!(server.asked().len(), 1);
    // A batch that everybody left before it was sent is no trap for those who come later.
    drop(futures::poll!(Box::pin(source.read(&one, instant()))));
    server.rules.lock().unwrap().keeps = None;
    assert!(source.read(&other, instant()).await.is_ok());
}

#[tokio::test]
async fn components_that_share_series_are_told_of_once() {
    let services = services(2);
    let server = Server::start(Rules {
        store: store(&services),
        ..Rules::default()
    })
    .await;
    let source = source(&server);
    let (one, mut wide, mut same) = (ask("shop-0"), ask("~shop-.*"), ask("shop-1"));
    wide.component = "wide".to_owned();
    same.arms.control = Some(same.arms.canary.clone());
    for _ in 0..3 {
        let asks = [&one, &wide, &same].map(|ask| source.read(ask, instant()));
        let answers = join_all(asks).await;
        assert_eq!(
            requests(answers[1].as_ref().unwrap()),
            (24.0, 48.0),
            "both judge it"
        );
    }
    let told = source.shared_series();
    assert_eq!(told.len(), 3, "{told:#?}");
    assert!(
        told.iter()
            .any(|pair| pair.starts_with("both arms of shop-1 of ns/shop-1")),
        "{told:#?}"
    );
}
