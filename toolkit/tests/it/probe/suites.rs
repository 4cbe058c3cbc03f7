//! The suites: what a corpus of GETs does not ask for.

use super::edge::{Arrived, Edge, Hands, Says, says};
use super::{ingress, plain, probe, with};
use crate::support::Said;
use gradual_rollout_apiserver::Store;
use gradual_rollout_apiserver::clock::Clock;
use gradual_rollout_toolkit::probe::code;
use gradual_rollout_toolkit::trouble::End;
use http::Version;

pub(super) async fn sides(
    cluster: (Store, Clock),
    nginx: impl Fn(&Arrived) -> Says + Send + Sync + 'static,
    istio: impl Fn(&Arrived) -> Says + Send + Sync + 'static,
    suite: &str,
) -> Said {
    // What is said beside the suite may follow it.
    let words: Vec<&str> = std::iter::once("--suite").chain(suite.split(' ')).collect();
    let (nginx, istio) = (
        Edge::start(Hands::default(), nginx).await,
        Edge::start(Hands::default(), istio).await,
    );
    probe(&cluster.0, &cluster.1, &nginx, &istio, &words).await
}

pub(super) fn shop(annotations: &[(&str, &str)]) -> (Store, Clock) {
    with(vec![ingress("ns-ada", "shop.a.com", &["/foo"], annotations)])
}

pub(super) fn is(said: Said, end: End, line: &str) {
    assert_eq!(said.end.unwrap(), end, "{}", said.out);
    assert!(said.out.contains(line), "{line}: {}", said.out);
}

#[tokio::test]
async fn every_suite_passes_where_both_are_alike() {
    let (store, clock) = shop(&[("enable-cors", "true"), ("auth-type", "basic")]);
    let (nginx, istio) = (
        Edge::start(Hands::default(), plain).await,
        Edge::start(Hands::default(), plain).await,
    );
    // How long a busy machine takes is nothing to this test.
    let words = [
        "--suite",
        "all",
        "--slower",
        "1000000",
        "--much-slower",
        "1000000",
    ];
    let said = probe(&store, &clock, &nginx, &istio, &words).await;
    is(
        said,
        End::Done,
        "asked: cors 3, guards 1, limits 1, multi-tenant 2, performance 51, protocols 2, redirects 2, routes ",
    );
}

#[tokio::test]
async fn websockets_and_grpc_are_asked_for_as_their_clients_do() {
    let upgraded = |arrived: &Arrived| match arrived.header("upgrade") {
        "websocket" => says(101)
            .with("upgrade", "websocket")
            .with("connection", "Upgrade"),
        _ => plain(arrived),
    };
    let line = "PROBE-WEBSOCKET  shop.a.com: WebSocket GET https://shop.a.com/foo: nginx: 101; istio: 200";
    is(
        sides(shop(&[]), upgraded, plain, "protocols").await,
        End::Refused,
        line,
    );
    is(
        sides(shop(&[]), upgraded, upgraded, "protocols").await,
        End::Done,
        "alike",
    );
    let grpc = |arrived: &Arrived| {
        if arrived.header("content-type") == "application/grpc" {
            assert_eq!(
                (arrived.version, arrived.method.as_str()),
                (Version::HTTP_2, "POST")
            );
            return says(200).with("grpc-status", "12");
        }
        plain(arrived)
    };
    let cluster = || shop(&[("backend-protocol", "GRPC")]);
    let line = "PROBE-GRPC  shop.a.com: POST https://shop.a.com/foo/gradual.rollout.Probe/Check: nginx: gRPC 12; istio: HTTP 200, no gRPC";
    is(
        sides(cluster(), grpc, plain, "protocols").await,
        End::Refused,
        line,
    );
    is(
        sides(cluster(), grpc, grpc, "protocols").await,
        End::Done,
        "alike",
    );
}

#[tokio::test]
async fn a_gateway_without_http2_is_told() {
    let (store, clock) = shop(&[]);
    let nginx = Edge::start(Hands::default(), plain).await;
    let old = Hands {
        two: false,
        ..Hands::default()
    };
    let istio = Edge::start(old, plain).await;
    let said = probe(&store, &clock, &nginx, &istio, &["--suite", "protocols"]).await;
    is(
        said,
        End::Refused,
        "PROBE-HTTP2  shop.a.com: HTTP/2 GET https://shop.a.com/foo: nginx: 200; istio: no HTTP",
    );
}

#[tokio::test]
async fn http2_that_a_gateway_speaks_and_does_not_agree_on_is_none() {
    let (store, clock) = shop(&[]);
    let nginx = Edge::start(Hands::default(), plain).await;
    // An Envoy whose listener names http/1.1 alone goes on without a protocol, and takes HTTP/2 all the same. Clients ask
    // for it in the handshake only.
    let silent = Hands {
        silent: true,
        ..Hands::default()
    };
    let istio = Edge::start(silent, plain).await;
    let said = probe(&store, &clock, &nginx, &istio, &["--suite", "protocols"]).await;
    is(
        said,
        End::Refused,
        "PROBE-HTTP2  shop.a.com: HTTP/2 GET https://shop.a.com/foo: nginx: 200; istio: no HTTP (HTTP/2 was not agreed on",
    );
}

#[tokio::test]
async fn certificates_without_the_name_or_ended_are_blockers_and_another_one_is_not() {
    let (store, clock) = shop(&[]);
    let nginx = Edge::start(Hands::default(), plain).await;
    for (names, ends, end, line) in [
        ("shop.a.com", 2027, End::Done, "PROBE-CERTIFICATE-OTHER"),
        ("*.a.com", 2027, End::Done, "PROBE-CERTIFICATE-OTHER"),
        (
            "other.a.com",
            2027,
            End::Refused,
            "PROBE-CERTIFICATE-NAMES  shop.a.com: TLS to shop.a.com: nginx: shop.a.com; istio: other.a.com",
        ),
        ("shop.a.com", 2025, End::Refused, "PROBE-CERTIFICATE-ENDED"),
    ] {
        let hands = Hands {
            names: vec![names.to_owned()],
            ends,
            two: true,
            ..Hands::default()
        };
        let istio = Edge::start(hands, plain).await;
        is(
            probe(&store, &clock, &nginx, &istio, &["--suite", "ssl-certificates"]).await,
            end,
            line,
        );
    }
}

#[tokio::test]
async fn a_gateways_side_that_shows_nothing_of_envoy_is_told() {
    let bare = |arrived: &Arrived| {
        let mut said = plain(arrived);
        said.headers.retain(|(name, _)| *name != "server");
        said
    };
    let said = sides(shop(&[]), plain, bare, "routes").await;
    assert!(
        said.err.contains("PROBE-NO-ENVOY") || said.out.contains("PROBE-NO-ENVOY"),
        "{} {}",
        said.out,
        said.err
    );
    let said = sides(shop(&[]), bare, plain, "routes").await;
    is(said, End::Done, "0 warnings");
}

#[tokio::test]
async fn a_host_over_another_tenants_connection_and_a_host_of_nobody_are_not_served() {
    let two = || {
        with(vec![
            ingress("ns-ada", "shop.a.com", &["/"], &[]),
            ingress("ns-bob", "shop.b.com", &["/"], &[]),
        ])
    };
    // nginx looks at the Host header alone, as it always did; the gateway is asked to tell them apart.
    let apart = |arrived: &Arrived| {
        if arrived.https && arrived.name == arrived.host && arrived.host != "nobody.invalid" {
            says(200)
        } else {
            says(404)
        }
    };
    // A certificate of none of the hosts: no browser uses its connection for another.
    let strangers = || Hands {
        names: vec!["gateway.invalid".to_owned()],
        ..Hands::default()
    };
    let run = async |istio: Edge| {
        let (store, clock) = two();
        let nginx = Edge::start(Hands::default(), |_| says(404)).await;
        probe(&store, &clock, &nginx, &istio, &["--suite", "multi-tenant"]).await
    };
    let said = run(Edge::start(strangers(), apart).await).await;
    is(said, End::Done, "asked: multi-tenant 4");
    let line = "PROBE-CROSS-TENANT  shop.a.com: GET https://shop.a.com/ over TLS to shop.b.com: nginx: not asked; istio: 200";
    let mixed = |arrived: &Arrived| {
        if arrived.host == "nobody.invalid" {
            says(404)
        } else {
            says(200)
        }
    };
    let said = run(Edge::start(strangers(), mixed).await).await;
    is(said, End::Refused, line);
    let any = |arrived: &Arrived| {
        if arrived.host == "nobody.invalid" {
            says(200)
        } else {
            says(404)
        }
    };
    is(
        sides(two(), |_| says(404), any, "multi-tenant").await,
        End::Refused,
        "PROBE-STRANGER  nobody.invalid",
    );
}

#[tokio::test]
async fn what_nginx_guards_and_the_gateway_serves_is_a_blocker() {
    let cluster = || shop(&[("auth-url", "https://auth.a.com")]);
    let guarded = |_: &Arrived| says(401);
    let line = "PROBE-OPEN  shop.a.com: GET https://shop.a.com/foo: nginx: 401; istio: 200";
    is(sides(cluster(), guarded, plain, "edge").await, End::Refused, line);
    is(
        sides(cluster(), guarded, guarded, "guards").await,
        End::Done,
        "alike",
    );
}

#[tokio::test]
async fn a_lost_guard_is_seen_whatever_the_application_behind_it_answers() {
    let cluster = || shop(&[("auth-url", "https://auth.a.com")]);
    let guarded = |_: &Arrived| says(401);
    for status in [302, 404, 500] {
        let application = move |_: &Arrived| says(status).with("location", "/login");
        let line = format!("PROBE-OPEN  shop.a.com: GET https://shop.a.com/foo: nginx: 401; istio: {status}");
        is(
            sides(cluster(), guarded, application, "guards").await,
            End::Refused,
            &line,
        );
    }
    // Another word for the same no.
    is(
        sides(cluster(), guarded, |_| says(403), "guards").await,
        End::Done,
        "alike",
    );
    let sign_in = |_: &Arrived| says(302).with("location", "https://auth.a.com/start");
    is(
        sides(cluster(), sign_in, sign_in, "guards").await,
        End::Done,
        "alike",
    );
    let own = |_: &Arrived| says(302).with("location", "/login");
    is(
        sides(cluster(), sign_in, own, "guards").await,
        End::Refused,
        "PROBE-OPEN",
    );
}

#[tokio::test]
async fn a_guard_that_one_path_alone_has_lost_is_seen() {
    let paths = ["/app", "/admin", "/admin/(v[0-9])?(.*)"];
    let cluster = with(vec![ingress(
        "ns-ada",
        "shop.a.com",
        &paths,
        &[("auth-url", "https://auth.a.com"), ("use-regex", "true")],
    )]);
    let lost = |arrived: &Arrived| says(if arrived.target == "/admin" { 200 } else { 401 });
    let said = sides(cluster, |_| says(401), lost, "guards").await;
    assert!(said.out.contains("guards 3"), "{}", said.out);
    let line = "PROBE-OPEN  shop.a.com: GET https://shop.a.com/admin: nginx: 401; istio: 200";
    is(said, End::Refused, line);
}

#[tokio::test]
async fn a_guard_that_lets_the_prober_through_was_not_tested_and_there_is_no_mark_of_the_edge() {
    let mut migrated = ingress(
        "ns-ada",
        "shop.a.com",
        &["/foo"],
        &[("whitelist-source-range", "10.0.0.0/8")],
    );
    migrated["metadata"]["labels"] = serde_json::json!({"sealos.io/migrated-to-istio": "true"});
    let (store, clock) = with(vec![migrated]);
    let start = async |status: Option<u16>| {
        Edge::start(Hands::default(), move |arrived: &Arrived| match status {
            Some(status) if arrived.https => says(status),
            _ => plain(arrived),
        })
        .await
    };
    let marked = || {
        let shop = store
            .get("ingresses.networking.k8s.io", "ns-ada", "shop.a.com")
            .unwrap();
        shop["metadata"]["annotations"]["rollout.sealos.io/edge-probed-at"].is_string()
    };
    for (status, tested) in [(None, false), (Some(404), false), (Some(403), true)] {
        let (nginx, istio) = (start(status).await, start(status).await);
        let said = probe(&store, &clock, &nginx, &istio, &["--suite", "edge"]).await;
        println!("{}{}", said.out, said.err);
        assert_eq!(said.end.unwrap(), End::Done, "{status:?}: it is a warning");
        let line = "PROBE-GUARD-UNASKED  shop.a.com: GET https://shop.a.com/foo";
        assert_eq!(said.out.contains(line), !tested, "{}", said.out);
        assert_eq!(said.out.contains("--item edge-probed"), tested, "{}", said.out);
        let names = "not marked at the edge, as nothing is known of their guards there: ns-ada/shop.a.com";
        assert_eq!(
            (said.out.contains(names), marked()),
            (!tested, tested),
            "{}",
            said.out
        );
    }
}

#[tokio::test]
async fn a_host_is_served_to_another_tenant_also_where_its_application_answers_an_error() {
    let two = || {
        with(vec![
            ingress("ns-ada", "shop.a.com", &["/"], &[]),
            ingress("ns-bob", "shop.b.com", &["/"], &[]),
        ])
    };
    let answers = |status: u16, marked: bool| {
        move |arrived: &Arrived| match (arrived.host.as_str(), marked) {
            ("nobody.invalid", _) => says(404),
            (_, true) => says(status).with("x-envoy-upstream-service-time", "3"),
            (_, false) => says(status),
        }
    };
    for (status, marked, end) in [
        (500, false, End::Refused),
        (401, false, End::Refused),
        (404, true, End::Refused),
        (404, false, End::Done),
        (421, false, End::Done),
    ] {
        let line = if end == End::Done {
            "alike"
        } else {
            "PROBE-CROSS-TENANT"
        };
        is(
            sides(two(), |_| says(404), answers(status, marked), "multi-tenant").await,
            end,
            line,
        );
    }
}

#[tokio::test]
async fn a_body_that_nginx_refuses_and_the_gateway_takes_is_told_and_none_is_sent() {
    let cluster = || shop(&[("proxy-body-size", "8m"), ("limit-rps", "5")]);
    let limited = |arrived: &Arrived| {
        let length: u64 = arrived.header("content-length").parse().unwrap_or_default();
        if length > 8 << 20 {
            says(413)
        } else {
            plain(arrived)
        }
    };
    let line = "PROBE-LIMIT  shop.a.com: GET https://shop.a.com/foo with 8388609 bytes to come: nginx: 413; istio: 200";
    let said = sides(cluster(), limited, plain, "limits").await;
    assert!(
        said.out.contains("PROBE-LIMIT-UNASKED  shop.a.com: limit-rps"),
        "{}",
        said.out
    );
    is(said, End::Done, line);
    let said = sides(cluster(), limited, limited, "edge").await;
    assert!(!said.out.contains("PROBE-LIMIT "), "{}", said.out);
    // The controller's limit is asked of one host for all.
    let common = |arrived: &Arrived| {
        assert!(arrived.method == "GET" && arrived.header("expect") == "100-continue");
        says(if arrived.header("content-length") == "1048577" {
            413
        } else {
            200
        })
    };
    let two = with(vec![
        ingress("ns-ada", "shop.a.com", &["/"], &[]),
        ingress("ns-bob", "shop.b.com", &["/"], &[]),
    ]);
    is(
        sides(two, common, |_| says(200), "limits").await,
        End::Done,
        "asked: limits 1",
    );
}

#[tokio::test]
async fn the_edge_has_a_mark_of_its_own_and_says_how_its_item_is_ticked() {
    let mut migrated = ingress("ns-ada", "shop.a.com", &["/foo"], &[]);
    migrated["metadata"]["labels"] = serde_json::json!({"sealos.io/migrated-to-istio": "true"});
    let (store, clock) = with(vec![migrated]);
    let notes = || {
        let shop = store
            .get("ingresses.networking.k8s.io", "ns-ada", "shop.a.com")
            .unwrap();
        let note = |name: &str| shop["metadata"]["annotations"][name].is_string();
        (
            note("rollout.sealos.io/probed-at"),
            note("rollout.sealos.io/edge-probed-at"),
        )
    };
    let (nginx, istio) = (
        Edge::start(Hands::default(), plain).await,
        Edge::start(Hands::default(), plain).await,
    );
    let tick = "gradual-rollout approve --rollout NAME --phase edge --item edge-probed";
    let said = probe(&store, &clock, &nginx, &istio, &["--suite", "guards"]).await;
    assert!(
        !said.out.contains(tick) && notes() == (false, false),
        "{}",
        said.out
    );
    let broken = Edge::start(Hands::default(), |_| says(404)).await;
    let said = probe(&store, &clock, &nginx, &broken, &["--suite", "edge"]).await;
    assert!(
        !said.out.contains(tick) && notes() == (false, false),
        "{}",
        said.out
    );
    let part = probe(
        &store,
        &clock,
        &nginx,
        &istio,
        &["--suite", "edge", "-n", "ns-ada", "--no-mark"],
    )
    .await;
    assert!(
        !part.out.contains(tick),
        "a part of the hosts says nothing of the rest"
    );
    let said = probe(&store, &clock, &nginx, &istio, &["--suite", "edge"]).await;
    assert!(
        said.out
            .contains("marked as probed at the edge: ns-ada/shop.a.com\n"),
        "{}",
        said.out
    );
    assert!(
        said.out.contains(tick) && notes() == (false, true),
        "{}",
        said.out
    );
    let plan = std::fs::read_to_string("../config/sealos.yaml").unwrap();
    assert!(
        plan.contains("checklist: {items: [edge-probed]}"),
        "the plan waits for it"
    );
}

#[tokio::test]
async fn annotations_of_another_prefix_are_asked_for_as_well() {
    let mut other = ingress(
        "ns-ada",
        "shop.a.com",
        &["/foo"],
        &[("auth-url", "https://unread.a.com")],
    );
    other["metadata"]["annotations"]["my.org/server-alias"] = serde_json::json!("alias.a.com");
    let (store, clock) = with(vec![other]);
    let flags = ["--annotations-prefix=my.org"];
    crate::kinds::put(&store, crate::preflight::healthy::controller(&flags));
    let (nginx, istio) = (
        Edge::start(Hands::default(), |_| says(200)).await,
        Edge::start(Hands::default(), |_| says(200)).await,
    );
    let said = probe(
        &store,
        &clock,
        &nginx,
        &istio,
        &["--suite", "routes", "--suite", "guards"],
    )
    .await;
    assert!(
        said.out.contains("guards 0"),
        "nobody reads that guard: {}",
        said.out
    );
    let asked = istio.seen.lock().unwrap();
    assert!(asked.iter().any(|arrived| arrived.host == "alias.a.com"));
}

#[tokio::test]
async fn a_performance_that_nobody_measured_is_no_good_one() {
    let dead = |_: &Arrived| says(404);
    is(
        sides(shop(&[]), dead, dead, "performance").await,
        End::Refused,
        "PROBE-NO-SAMPLES  all hosts: 51 questions: nginx: nothing to time",
    );
}

#[tokio::test]
async fn clients_that_come_in_clear_are_sent_to_tls_by_both() {
    let served = |arrived: &Arrived| {
        if arrived.https { plain(arrived) } else { says(200) }
    };
    let line = "PROBE-STATUS  shop.a.com: GET http://shop.a.com/: nginx: 308 to https://shop.a.com/; istio: 200 (and 1 more)";
    is(sides(shop(&[]), plain, served, "edge").await, End::Refused, line);
    is(
        sides(shop(&[]), plain, plain, "redirects").await,
        End::Done,
        "asked: redirects 2",
    );
}

#[tokio::test]
async fn a_gateway_that_is_much_slower_is_a_blocker() {
    let slow = |arrived: &Arrived| plain(arrived).after(if arrived.https { 400 } else { 0 });
    let (store, clock) = shop(&[]);
    let (nginx, istio) = (
        Edge::start(Hands::default(), plain).await,
        Edge::start(Hands::default(), slow).await,
    );
    let words = ["--suite", "performance", "--samples", "5"];
    let said = probe(&store, &clock, &nginx, &istio, &words).await;
    is(
        said,
        End::Refused,
        "PROBE-MUCH-SLOWER  all hosts: 95th percentile of 5 answers of 6 questions",
    );
    // What may be slower than that, and what slower is worth a word, says who asks.
    for (limit, line) in [
        (
            "1",
            "PROBE-SLOWER  all hosts: 95th percentile of 5 answers of 6 questions",
        ),
        (
            "1000000000",
            "PROBE-TIMED  all hosts: 95th percentile of 5 answers of 6 questions",
        ),
    ] {
        let limits = ["--slower", limit, "--much-slower", "1000000000"];
        let said = probe(&store, &clock, &nginx, &istio, &[&words[..], &limits].concat()).await;
        is(said, End::Done, line);
    }
}

#[test]
fn every_code_of_the_probe_is_in_the_chapter_with_its_remedy() {
    let chapter = std::fs::read_to_string("../docs/migration-toolkit.md").unwrap();
    for code in code::ALL {
        let row = format!(
            "| {} | {} | {} | {} |",
            code.name,
            code.severity.word(),
            code.meaning,
            code.remedy
        );
        assert!(chapter.contains(&row), "the chapter lacks\n{row}");
    }
}
