//! Who is blamed for what Prometheus refuses, and for how long.

use super::*;
use crate::metrics::batch::refusal::{Refusals, WRONG};
use crate::metrics::wire::Fault;

/// Everybody looks at once; who was refused, and in how many queries.
async fn look(server: &Server, source: &PrometheusSource, services: &[String]) -> (Vec<Blindness>, usize) {
    let asks: Vec<Ask> = services.iter().map(|service| ask(service)).collect();
    let answers = join_all(asks.iter().map(|ask| source.look(ask, instant()))).await;
    let refused = answers.into_iter().filter_map(Result::err).collect();
    (refused, server.asked().len())
}

async fn serve(services: &[String], rules: Rules) -> (Server, PrometheusSource) {
    let store = store(services);
    let server = Server::start(Rules { store, ..rules }).await;
    let source = source(&server);
    (server, source)
}

#[tokio::test]
async fn a_moment_in_which_everything_is_refused_blinds_nobody_at_the_next_look() {
    for (count, most) in [(1, 1), (2, 3), (20, 3), (300, 3)] {
        for word in [
            Rules::default(),
            Rules {
                refuses: Some("istio"),
                ..Rules::default()
            },
        ] {
            let fails = word.refuses.is_none().then_some("istio");
            let services = services(count);
            let (server, source) = serve(&services, Rules { fails, ..word }).await;
            for _ in 0..3 {
                let (refused, queries) = look(&server, &source, &services).await;
                assert!(refused.iter().all(|blindness| blindness.kind == Dark::Refused));
                assert_eq!(refused.len(), count);
                let together = match count {
                    1 => ": canary".to_owned(),
                    2 => ", together with 1 other: canary".to_owned(),
                    more => format!(", together with {} others: canary", more - 1),
                };
                let named = |blindness: &Blindness| {
                    let wanted =
                        format!(". Asked for{together} istio_requests_total{{destination_service_name=");
                    blindness.message.contains(&wanted) && blindness.message.chars().count() <= 421
                };
                assert!(refused.iter().all(named), "{}", refused[0].message);
                assert!(
                    queries <= most,
                    "{queries} queries about {count} that are all refused"
                );
            }
            {
                let mut rules = server.rules.lock().unwrap();
                (rules.fails, rules.refuses) = (None, None);
            }
            let (refused, queries) = look(&server, &source, &services).await;
            assert_eq!((refused, queries), (Vec::new(), 1));
        }
    }
}

#[tokio::test]
async fn what_cannot_be_carried_out_beside_others_is_asked_apart_once_more_and_rests_then() {
    let mut services = services(100);
    services[37] = "poison".to_owned();
    let fails = Some("poison");
    let (server, source) = serve(
        &services,
        Rules {
            fails,
            ..Rules::default()
        },
    )
    .await;
    let (refused, queries) = look(&server, &source, &services).await;
    assert_eq!(refused.len(), 1);
    let told = &refused[0].message;
    let wanted = r#"HTTP 422: expanding series: a store is down. Asked for: canary istio_requests_total{destination_service_name="poison""#;
    assert!(told.contains(wanted), "{told}");
    assert!(queries <= 16, "{queries}");
    let (refused, queries) = look(&server, &source, &services).await;
    assert_eq!((refused.len(), queries), (1, 2), "the others, and this one");
    let again = "; asked again after 2026-11-21T08:00:";
    assert!(refused[0].message.contains(again), "{}", refused[0].message);
    let (refused, queries) = look(&server, &source, &services).await;
    assert_eq!((refused.len(), queries), (1, 1));
    assert!(refused[0].message.contains(again), "{}", refused[0].message);
}

#[tokio::test]
async fn all_that_were_refused_beside_others_come_back_together() {
    let mut services = services(40);
    for service in services.iter_mut().skip(20) {
        *service = format!("west-{service}");
    }
    let fails = Some("west");
    let (server, source) = serve(
        &services,
        Rules {
            fails,
            ..Rules::default()
        },
    )
    .await;
    let (refused, queries) = look(&server, &source, &services).await;
    assert_eq!(refused.len(), 20);
    assert!(queries <= 64, "{queries}");
    server.rules.lock().unwrap().fails = None;
    let (refused, queries) = look(&server, &source, &services).await;
    assert_eq!(
        (refused, queries),
        (Vec::new(), 2),
        "apart once more, in one query"
    );
    let (refused, queries) = look(&server, &source, &services).await;
    assert_eq!((refused, queries), (Vec::new(), 1));
}

#[tokio::test]
async fn hundreds_that_stay_refused_cost_a_bounded_search_and_keep_no_other_waiting() {
    let mut services = services(400);
    for service in services.iter_mut().skip(200) {
        *service = format!("west-{service}");
    }
    let fails = Some("west");
    let (server, source) = serve(
        &services,
        Rules {
            fails,
            ..Rules::default()
        },
    )
    .await;
    let mut dark = Vec::new();
    for round in 0..40 {
        let (refused, queries) = look(&server, &source, &services).await;
        let most = if round == 0 { 64 + 16 } else { 1 + 16 + 16 };
        assert!(queries <= most, "{queries} queries in round {round}");
        dark.push(refused.len());
        if queries == 1 {
            break;
        }
    }
    assert!(
        dark[0] < 216 && dark.is_sorted_by(|one, next| one >= next),
        "{dark:?}"
    );
    assert_eq!(dark.last(), Some(&200), "{dark:?}");
    assert!(dark.len() < 40, "none rests: {dark:?}");
}

#[tokio::test]
async fn a_search_ends_where_the_source_falls_silent() {
    let mut services = services(20);
    services[7] = "poison".to_owned();
    let server = Server::start(Rules {
        store: store(&services),
        fails: Some("poison"),
        silent_after: Some(2),
        ..Rules::default()
    })
    .await;
    let settings = PrometheusSettings {
        timeout: Duration::from_secs(1),
        total_timeout: Some(Duration::from_secs(1)),
        ..PrometheusSettings::at([server.url.clone()])
    };
    let source = PrometheusSource::new(&settings).unwrap();
    let (dark, _) = look(&server, &source, &services).await;
    assert_eq!(dark.len(), 19, "one bore witness");
    assert!(
        dark.iter().all(|blindness| blindness.kind == Dark::Down),
        "{dark:?}"
    );
    server.rules.lock().unwrap().silent_after = None;
    let (refused, _) = look(&server, &source, &services).await;
    assert_eq!(refused.len(), 1, "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn rests_double_up_to_half_a_minute_and_only_what_is_wrong_waits_for_a_whole_one() {
    let mut shelf = Shelf::default();
    let ready = shelf.ready(&ask("shop")).unwrap();
    let blindness = || Blindness {
        kind: Dark::Refused,
        message: "HTTP 422".to_owned(),
    };
    let mut refusals = Refusals::default();
    for seconds in [0, 8, 16, 30, 30] {
        let begun = tokio::time::Instant::now();
        refusals.suspect(&ready, (blindness(), Fault::Failed), true, begun);
        let rests = |refusals: &Refusals| refusals.remembered(&ready.key, None).is_some();
        if seconds > 0 {
            tokio::time::advance(Duration::from_millis(1_000 * seconds - 1)).await;
            assert!(rests(&refusals), "{seconds}");
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert!(!rests(&refusals), "{seconds}");
    }
    refusals.answered([&ready.key].into_iter());
    let begun = tokio::time::Instant::now();
    refusals.suspect(&ready, (blindness(), Fault::Wrong), true, begun);
    tokio::time::advance(WRONG.checked_sub(Duration::from_millis(300)).unwrap()).await;
    let told = refusals.remembered(&ready.key, Some(instant())).unwrap().message;
    assert_eq!(told, "HTTP 422; asked again after 2026-11-21T08:00:03Z");
}
