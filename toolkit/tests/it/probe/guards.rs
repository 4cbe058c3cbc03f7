//! Guards that are not an Ingress's own, and those that nobody can ask for.

use super::edge::{Arrived, Edge, Hands, Says, says};
use super::suites::{is, shop, sides};
use super::{ingress, plain, probe, with};
use crate::kinds::put;
use crate::preflight::healthy::{controller, settings};
use gradual_rollout_apiserver::Store;
use gradual_rollout_apiserver::clock::Clock;
use gradual_rollout_toolkit::trouble::End;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Migrated Ingresses, of a controller with these settings.
fn controlled(ingresses: Vec<Value>, data: Value) -> (Store, Clock) {
    let migrated = ingresses.into_iter().map(|mut one| {
        one["metadata"]["labels"] = json!({"sealos.io/migrated-to-istio": "true"});
        one
    });
    let (store, clock) = with(migrated.collect());
    put(&store, controller(&["--configmap=ingress-nginx/settings"]));
    put(&store, settings(data));
    (store, clock)
}

fn at_the_edge(store: &Store, name: &str) -> bool {
    let one = store.get("ingresses.networking.k8s.io", "ns-ada", name).unwrap();
    one["metadata"]["annotations"]["rollout.sealos.io/edge-probed-at"].is_string()
}

/// Answers those who come over TLS with a status.
fn over_tls(status: u16) -> impl Fn(&Arrived) -> Says + Send + Sync + 'static {
    move |arrived| {
        if arrived.https {
            says(status)
        } else {
            plain(arrived)
        }
    }
}

#[tokio::test]
async fn what_the_controller_guards_for_everybody_is_asked_for_on_every_host() {
    for (key, value, status) in [
        ("whitelist-source-range", "10.0.0.0/8", 403),
        ("denylist-source-range", "127.0.0.0/8", 403),
        ("block-cidrs", "127.0.0.0/8", 403),
        ("global-auth-url", "https://auth.a.com", 401),
    ] {
        let cluster = || {
            let spared = [("enable-global-auth", "False")];
            controlled(
                vec![
                    ingress(
                        "ns-ada",
                        "shop.a.com",
                        &["/foo", "/.well-known/acme-challenge/x"],
                        &[],
                    ),
                    ingress("ns-ada", "free.a.com", &["/foo"], &spared),
                ],
                json!({key: value}),
            )
        };
        let by_asking = key == "global-auth-url";
        let hands = || Hands {
            names: vec!["*.a.com".to_owned()],
            ..Hands::default()
        };
        let (store, clock) = cluster();
        let (nginx, istio) = (
            Edge::start(hands(), over_tls(status)).await,
            Edge::start(hands(), over_tls(200)).await,
        );
        let said = probe(&store, &clock, &nginx, &istio, &["--suite", "guards"]).await;
        let asked = if by_asking { "guards 1" } else { "guards 3" };
        assert!(said.out.contains(asked), "{key}: {}", said.out);
        let line = format!("PROBE-OPEN  shop.a.com: GET https://shop.a.com/foo: nginx: {status}; istio: 200");
        is(said, End::Refused, &line);
        // Whom nginx lets through cannot say what the gateway does to others.
        let let_in = Edge::start(hands(), over_tls(200)).await;
        let said = probe(&store, &clock, &let_in, &istio, &["--suite", "edge"]).await;
        println!("{}{}", said.out, said.err);
        assert!(
            said.out.contains("PROBE-GUARD-UNASKED  shop.a.com"),
            "{key}: {}",
            said.out
        );
        assert!(!said.out.contains("--item edge-probed"), "{}", said.out);
        assert_eq!(
            (
                at_the_edge(&store, "shop.a.com"),
                at_the_edge(&store, "free.a.com")
            ),
            (false, by_asking),
            "{key}"
        );
    }
}

#[tokio::test]
async fn a_guard_of_hosts_that_no_rule_names_is_told_as_nobody_asked_for_it() {
    let list = [("whitelist-source-range", "10.0.0.0/8")];
    let mut nameless = ingress("ns-ada", "any", &["/foo", "/bar"], &list);
    nameless["spec"]["rules"][0]
        .as_object_mut()
        .unwrap()
        .remove("host");
    nameless["spec"]["tls"] = json!([]);
    let mut default = ingress("ns-ada", "default", &[], &list);
    default["spec"] = json!({"ingressClassName": "nginx",
        "defaultBackend": {"service": {"name": "shop", "port": {"number": 80}}}});
    for (one, paths) in [(nameless, vec!["/foo", "/bar"]), (default, vec!["/"])] {
        let name = one["metadata"]["name"].as_str().unwrap().to_owned();
        let cluster = controlled(
            vec![ingress("ns-ada", "shop.a.com", &["/foo"], &[]), one],
            json!({}),
        );
        let (nginx, istio) = (
            Edge::start(Hands::default(), plain).await,
            Edge::start(Hands::default(), plain).await,
        );
        let words = ["--suite", "edge", "--json"];
        let said = probe(&cluster.0, &cluster.1, &nginx, &istio, &words).await;
        assert_eq!(said.end.unwrap(), End::Done, "it is a warning");
        let whole: Value = serde_json::from_str(&said.out).unwrap();
        let unasked: Vec<&str> = whole["differences"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|hit| hit["code"] == "PROBE-GUARD-UNASKED" && hit["nginx"] == "not asked")
            .map(|hit| hit["question"].as_str().unwrap())
            .collect();
        for path in &paths {
            let line = format!("{path} of hosts that no rule names (namespace ns-ada)");
            assert!(unasked.contains(&line.as_str()), "{line}: {unasked:?}");
        }
        assert_eq!(unasked.len(), paths.len(), "{unasked:?}");
        assert_eq!(
            (
                at_the_edge(&cluster.0, &name),
                at_the_edge(&cluster.0, "shop.a.com")
            ),
            (false, true)
        );
    }
}

#[tokio::test]
async fn what_a_default_back_end_serves_of_a_guarded_host_is_asked_for_too() {
    let mut one = ingress(
        "ns-ada",
        "shop.a.com",
        &["/foo"],
        &[("auth-url", "https://auth.a.com")],
    );
    one["spec"]["defaultBackend"] = json!({"service": {"name": "shop", "port": {"number": 80}}});
    let lost = |arrived: &Arrived| says(if arrived.target == "/" { 200 } else { 401 });
    let line = "PROBE-OPEN  shop.a.com: GET https://shop.a.com/: nginx: 401; istio: 200";
    is(
        sides(with(vec![one]), |_| says(401), lost, "guards").await,
        End::Refused,
        line,
    );
}

#[tokio::test]
async fn a_no_that_a_back_end_says_by_itself_is_not_taken_for_the_guards() {
    let cluster = || shop(&[("auth-url", "https://auth.a.com")]);
    let own = |_: &Arrived| says(403).with("x-backend", "shop");
    is(
        sides(cluster(), |_| says(401), own, "guards").await,
        End::Done,
        "PROBE-GUARD-UNASKED  shop.a.com: GET https://shop.a.com/foo: nginx: 401; istio: 403",
    );
    is(
        sides(cluster(), |_| says(401), |_| says(403), "guards").await,
        End::Done,
        "alike: 0 blockers, 0 warnings",
    );
}

#[tokio::test]
async fn a_gateway_that_has_no_route_yet_is_not_said_to_let_anybody_in() {
    let cluster = || shop(&[("auth-url", "https://auth.a.com")]);
    let no_route = || says(404).empty();
    let said = sides(cluster(), |_| says(401), move |_| no_route(), "guards").await;
    assert!(!said.out.contains("PROBE-OPEN"), "{}", said.out);
    let line = "PROBE-STATUS  shop.a.com: GET https://shop.a.com/foo: nginx: 401; istio: 404";
    is(said, End::Refused, line);
    // What passed through Envoy, or may have, is the application's.
    let marks = [
        ("x-envoy-upstream-service-time", "3"),
        ("x-backend", "shop"),
        ("content-type", "text/html"),
    ];
    for (name, value) in marks {
        let application = move |_: &Arrived| says(404).empty().with(name, value);
        let line = "PROBE-OPEN  shop.a.com: GET https://shop.a.com/foo: nginx: 401; istio: 404";
        is(
            sides(cluster(), |_| says(401), application, "guards").await,
            End::Refused,
            line,
        );
    }
}

#[tokio::test]
async fn one_pod_that_lets_in_is_seen_behind_others_that_have_no_route_yet() {
    let asked = AtomicUsize::new(0);
    let pods = move |_: &Arrived| match asked.fetch_add(1, Ordering::SeqCst) {
        3 => says(200).with("x-backend", "shop"),
        _ => says(404).empty(),
    };
    let cluster = shop(&[("auth-url", "https://auth.a.com")]);
    is(
        sides(cluster, |_| says(401), pods, "guards").await,
        End::Refused,
        "PROBE-OPEN  shop.a.com: GET https://shop.a.com/foo: nginx: 401; istio: 200",
    );
}
