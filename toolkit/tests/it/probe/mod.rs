//! `probe`: two data planes on loopback, and what is said of their answers.

mod answered;
mod backends;
mod bodies;
mod cors;
pub(crate) mod edge;
mod guards;
mod hung;
mod preflights;
mod secured;
mod suites;
mod withdrawn;

use crate::kinds::put;
use crate::preflight::healthy::{controller, service};
use crate::support::{Said, cluster, migrate};
use edge::{Arrived, Edge, Hands, Says, says};
use gradual_rollout_apiserver::clock::Clock;
use gradual_rollout_apiserver::{Action, Failure, Fault, Store};
use gradual_rollout_toolkit::trouble::{End, Trouble};
use http::Version;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An Ingress for a host, with TLS and these annotations of ingress-nginx.
fn ingress(namespace: &str, host: &str, paths: &[&str], annotations: &[(&str, &str)]) -> Value {
    let paths: Vec<Value> = paths
        .iter()
        .map(|path| {
            json!({"path": path, "pathType": "Prefix", "backend": {"service": {"name": "shop", "port": {"number": 80}}}})
        })
        .collect();
    let annotations: serde_json::Map<String, Value> = annotations
        .iter()
        .map(|(key, value)| (format!("nginx.ingress.kubernetes.io/{key}"), json!(value)))
        .collect();
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"namespace": namespace, "name": host.replace('*', "any"), "annotations": annotations},
        "spec": {
            "ingressClassName": "nginx", "tls": [{"hosts": [host], "secretName": host}],
            "rules": [{"host": host, "http": {"paths": paths}}],
        },
    })
}

fn with(ingresses: Vec<Value>) -> (Store, Clock) {
    let (store, clock) = cluster();
    put(&store, controller(&[]));
    for ingress in ingresses {
        let namespace = ingress["metadata"]["namespace"].as_str().unwrap().to_owned();
        put(&store, ingress);
        put(&store, service(&namespace, "shop", "ClusterIP"));
    }
    (store, clock)
}

fn shop() -> (Store, Clock) {
    with(vec![ingress("ns-ada", "shop.a.com", &["/foo"], &[])])
}

/// As both sides answer where nothing is special: http is sent to https, /foo is served, the rest is not.
fn plain(arrived: &Arrived) -> Says {
    let path = arrived.target.split('?').next().unwrap_or_default();
    let decoded = path.replace("%66", "f").replace("//", "/");
    if arrived.host != "shop.a.com" {
        return says(404);
    }
    if !arrived.https {
        return says(308).with("location", &format!("https://shop.a.com{}", arrived.target));
    }
    if decoded == "/foo" || decoded.starts_with("/foo/") {
        return says(200)
            .with("x-backend", "shop")
            .with("content-type", "text/html");
    }
    says(404)
}

/// Runs the probe against two sides.
async fn probe(store: &Store, clock: &Clock, nginx: &Edge, istio: &Edge, more: &[&str]) -> Said {
    let (here, there) = (nginx.address(), istio.address());
    let words = [&["probe", "--nginx", &here, "--istio", &there], more].concat();
    let said = migrate(store, clock, &words).await;
    println!("{}{}", said.out, said.err);
    said
}

/// Nginx answers plainly, the gateway as given.
async fn against(istio: impl Fn(&Arrived) -> Says + Send + Sync + 'static, more: &[&str]) -> Said {
    let (store, clock) = shop();
    let nginx = Edge::start(Hands::default(), plain).await;
    let istio = Edge::start(Hands::default(), istio).await;
    probe(&store, &clock, &nginx, &istio, more).await
}

#[tokio::test]
async fn two_sides_that_answer_alike_open_the_gate() {
    let (store, clock) = shop();
    let (nginx, istio) = (
        Edge::start(Hands::default(), plain).await,
        Edge::start(Hands::default(), plain).await,
    );
    let said = probe(&store, &clock, &nginx, &istio, &[]).await;
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(said.out.contains("alike: 0 blockers, 0 warnings"), "{}", said.out);
    let (here, there) = (nginx.seen.lock().unwrap(), istio.seen.lock().unwrap());
    assert_eq!(here.len(), there.len());
    for arrived in there.iter() {
        assert_eq!(arrived.method, "GET");
        assert_eq!(arrived.version, Version::HTTP_11);
        if arrived.https {
            assert_eq!(arrived.name, arrived.host, "the name in TLS is the host's");
        }
    }
    // As they are sent, no client in between made them nicer.
    let asked: BTreeSet<&str> = there.iter().map(|arrived| arrived.target.as_str()).collect();
    for target in [
        "/foo",
        "/foo/",
        "/foo/x/y",
        "/fooxyz",
        "//foo",
        "/foo/y/../x",
        "/foo/a%2Fb",
        "/foo?q=1&r=/",
    ] {
        assert!(asked.contains(target), "{target} is not among {asked:?}");
    }
}

#[tokio::test]
async fn a_path_that_the_gateway_does_not_serve_is_a_blocker() {
    let said = against(
        |arrived| {
            if arrived.https && arrived.target == "/foo/x/y" {
                says(404)
            } else {
                plain(arrived)
            }
        },
        &[],
    )
    .await;
    assert_eq!(said.end.unwrap(), End::Refused);
    let line = "PROBE-STATUS  shop.a.com: GET https://shop.a.com/foo/x/y: nginx: 200; istio: 404";
    assert!(said.out.contains(line), "{}", said.out);
}

#[tokio::test]
async fn another_place_another_back_end_and_another_header_are_told() {
    let said = against(
        |arrived| match (arrived.https, arrived.target.as_str()) {
            (false, "/foo") => says(308).with("location", "https://other.a.com/foo"),
            (true, "/foo") => says(200)
                .with("x-backend", "other")
                .with("content-type", "text/html"),
            (true, "/foo/") => says(200)
                .with("x-backend", "shop")
                .with("content-type", "text/plain"),
            _ => plain(arrived),
        },
        &[],
    )
    .await;
    assert_eq!(said.end.unwrap(), End::Refused);
    for line in [
        "PROBE-LOCATION  shop.a.com: GET http://shop.a.com/foo: nginx: 308 to https://shop.a.com/foo; istio: 308 to https://other.a.com/foo",
        "PROBE-BACKEND  shop.a.com: GET https://shop.a.com/foo: nginx: shop; istio: other",
        "PROBE-HEADER  shop.a.com: GET https://shop.a.com/foo/: nginx: content-type: text/html; istio: content-type: text/plain",
    ] {
        assert!(said.out.contains(line), "{line}: {}", said.out);
    }
}

#[tokio::test]
async fn warnings_open_the_gate_unless_it_is_strict() {
    let other = |arrived: &Arrived| {
        let mut says = plain(arrived);
        says.headers.retain(|(name, _)| *name != "content-type");
        says
    };
    assert_eq!(against(other, &[]).await.end.unwrap(), End::Done);
    assert_eq!(against(other, &["--strict"]).await.end.unwrap(), End::Refused);
}

#[tokio::test]
async fn what_the_models_foresee_is_a_warning_and_what_they_do_not_is_none() {
    // Istio does not merge slashes.
    let slashes = |arrived: &Arrived| {
        if arrived.https && arrived.target.starts_with("//") {
            says(404)
        } else {
            plain(arrived)
        }
    };
    let said = against(slashes, &["--json"]).await;
    let whole: Value = serde_json::from_str(&said.out).unwrap();
    let differences = whole["differences"].as_array().unwrap();
    assert!(!differences.is_empty());
    for difference in differences {
        assert_eq!(difference["code"], "PROBE-FORESEEN", "{difference}");
        assert!(
            difference["question"]
                .as_str()
                .unwrap()
                .contains("//shop.a.com//"),
            "{difference}"
        );
    }
    assert_eq!(said.end.unwrap(), End::Done);
    // The models say 404: any other failure is not what was foreseen.
    let broken = |arrived: &Arrived| {
        if arrived.https && arrived.target == "//foo" {
            says(500)
        } else {
            plain(arrived)
        }
    };
    assert_eq!(against(broken, &[]).await.end.unwrap(), End::Refused);
    let said = against(slashes, &["--quick", "--strict"]).await;
    assert_eq!(said.end.unwrap(), End::Done, "clients do not spell it so");
}

/// Answers plainly, but fails the first time that it is asked for /foo.
fn failing_once() -> impl Fn(&Arrived) -> Says + Send + Sync + 'static {
    let turn = AtomicUsize::new(0);
    move |arrived| {
        let first = arrived.https && arrived.target == "/foo" && turn.fetch_add(1, Ordering::SeqCst) == 0;
        if first { says(502) } else { plain(arrived) }
    }
}

/// The shop, with the mark of a migration.
fn migrated_shop() -> (Store, Clock) {
    let mut migrated = ingress("ns-ada", "shop.a.com", &["/foo"], &[]);
    migrated["metadata"]["labels"] = json!({"sealos.io/migrated-to-istio": "true"});
    with(vec![migrated])
}

fn probed(store: &Store) -> bool {
    let shop = store
        .get("ingresses.networking.k8s.io", "ns-ada", "shop.a.com")
        .unwrap();
    shop["metadata"]["annotations"]["rollout.sealos.io/probed-at"].is_string()
}

#[tokio::test]
async fn a_gateway_that_fails_now_and_then_keeps_the_gate_shut() {
    let (store, clock) = migrated_shop();
    let nginx = Edge::start(Hands::default(), plain).await;
    let istio = Edge::start(Hands::default(), failing_once()).await;
    let said = probe(&store, &clock, &nginx, &istio, &[]).await;
    assert_eq!(said.end.unwrap(), End::Refused);
    let line =
        "PROBE-FLAKY  shop.a.com: GET https://shop.a.com/foo: nginx: 200, then 200; istio: 502, then 200";
    assert!(said.out.contains(line), "{}", said.out);
    assert!(!probed(&store), "it would open the gate");
}

#[tokio::test]
async fn where_nginx_itself_wavers_nothing_is_compared_and_nothing_is_marked() {
    let (store, clock) = migrated_shop();
    let nginx = Edge::start(Hands::default(), failing_once()).await;
    let istio = Edge::start(Hands::default(), plain).await;
    let said = probe(&store, &clock, &nginx, &istio, &[]).await;
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(said.out.contains("PROBE-UNSTABLE"), "{}", said.out);
    assert!(said.out.contains("nginx: 502, then 200"), "{}", said.out);
    assert!(!probed(&store), "it is not known to be alike");
    let said = probe(&store, &clock, &nginx, &istio, &[]).await;
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(probed(&store), "asked again, both are steady: {}", said.out);
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_is_told() {
    let said = against(
        |arrived| {
            if arrived.https && arrived.target == "/foo" {
                says(200).after(60_000)
            } else {
                plain(arrived)
            }
        },
        &["--timeout", "1"],
    )
    .await;
    assert_eq!(said.end.unwrap(), End::Refused);
    assert!(
        said.out.contains(
            "PROBE-LATE  shop.a.com: GET https://shop.a.com/foo: nginx: 200; istio: nothing in time"
        ),
        "{}",
        said.out
    );
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_told_and_a_side_that_is_gone_is_no_finding() {
    let (store, clock) = shop();
    let (nginx, istio) = (
        Edge::start(Hands::default(), plain).await,
        Edge::start(Hands::default(), plain).await,
    );
    let here = nginx.address();
    let half = format!("127.0.0.1:{}:1", istio.http);
    let said = migrate(&store, &clock, &["probe", "--nginx", &here, "--istio", &half]).await;
    assert_eq!(said.end.unwrap(), End::Refused);
    assert!(said.out.contains("PROBE-REFUSED"), "{}", said.out);
    let said = migrate(
        &store,
        &clock,
        &["probe", "--nginx", &here, "--istio", "127.0.0.1:1:1"],
    )
    .await;
    let Err(Trouble::Unreachable(why)) = said.end else {
        panic!("{:?}", said.end)
    };
    assert!(
        why.contains("unable to reach istio") && why.contains("--istio"),
        "{why}"
    );
}

#[tokio::test]
async fn addresses_are_those_of_the_load_balancers_and_must_be_named_where_there_are_none() {
    let (store, clock) = shop();
    let said = migrate(&store, &clock, &["probe"]).await;
    assert!(matches!(said.end, Err(Trouble::Usage(why)) if why.contains("--nginx")));
    put(
        &store,
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "ingress-nginx", "name": "edge"},
            "spec": {"type": "LoadBalancer", "selector": {"app": "ingress-nginx"}, "ports": [{"port": 80}]},
            "status": {"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}]}},
        }),
    );
    let said = migrate(&store, &clock, &["probe"]).await;
    assert!(matches!(said.end, Err(Trouble::Usage(why)) if why.contains("--istio")));
}

#[tokio::test]
async fn a_namespace_without_hosts_is_refused_and_a_report_is_written_to_a_file() {
    let (store, clock) = shop();
    let (nginx, istio) = (
        Edge::start(Hands::default(), plain).await,
        Edge::start(Hands::default(), plain).await,
    );
    let said = probe(&store, &clock, &nginx, &istio, &["-n", "ns-bob"]).await;
    assert!(matches!(said.end, Err(Trouble::Refused(why)) if why.contains("nothing to ask for")));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("probe.json");
    let path = file.to_str().unwrap();
    let said = probe(
        &store,
        &clock,
        &nginx,
        &istio,
        &["-n", "ns-ada", "--report", path],
    )
    .await;
    assert_eq!(said.end.unwrap(), End::Done);
    let whole: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(whole["alike"], true);
}

#[tokio::test]
async fn migrated_ingresses_that_are_alike_are_marked_and_no_others() {
    let migrated = |namespace: &str, host: &str| {
        let mut ingress = ingress(namespace, host, &["/"], &[]);
        ingress["metadata"]["labels"] = json!({"sealos.io/migrated-to-istio": "true"});
        ingress
    };
    let (store, clock) = with(vec![
        migrated("ns-ada", "good.a.com"),
        migrated("ns-ada", "bad.a.com"),
        migrated("ns-ada", "*.b.com"),
        ingress("ns-ada", "other.a.com", &["/"], &[]),
    ]);
    let good = |_: &Arrived| says(200);
    let some = |arrived: &Arrived| {
        if arrived.host == "bad.a.com" || arrived.host == "one.b.com" {
            says(404)
        } else {
            says(200)
        }
    };
    let marks = |store: &Store| -> Vec<String> {
        let all = store.list("ingresses.networking.k8s.io");
        let marked = all
            .iter()
            .filter(|one| !one["metadata"]["annotations"]["rollout.sealos.io/probed-at"].is_null());
        marked
            .map(|one| one["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let (nginx, istio) = (
        Edge::start(Hands::default(), good).await,
        Edge::start(Hands::default(), some).await,
    );
    for words in [&["--no-mark"][..], &["--quick"], &["--suite", "cors"]] {
        probe(&store, &clock, &nginx, &istio, words).await;
        assert_eq!(marks(&store), [""; 0], "{words:?}");
    }
    let said = probe(&store, &clock, &nginx, &istio, &[]).await;
    assert_eq!(said.end.unwrap(), End::Refused);
    assert!(
        said.out.contains("marked as probed: ns-ada/good.a.com\n"),
        "{}",
        said.out
    );
    assert_eq!(marks(&store), ["good.a.com"]);
    // One that changed while it was asked for is not marked, and it is said.
    let late = Failure::new(409, "Conflict", "the object has been modified");
    store.inject(
        Fault::new(Action::Fail(late))
            .verb("patch")
            .resource("ingresses.networking.k8s.io")
            .name("bad.a.com"),
    );
    let alike = Edge::start(Hands::default(), good).await;
    let said = probe(&store, &clock, &nginx, &alike, &[]).await;
    assert_eq!(said.end.unwrap(), End::Partly);
    assert!(said.err.contains("not marked: ns-ada/bad.a.com"), "{}", said.err);
    assert_eq!(marks(&store), ["any.b.com", "good.a.com"]);
}

/// The figure: 1,000 routes in at most 30 s. Only what was asked is held here; the time depends on the machine.
#[tokio::test]
async fn a_thousand_routes_are_asked_from_all_sides() {
    let ingresses = (0..250)
        .map(|host| {
            ingress(
                "ns-ada",
                &format!("h{host}.a.com"),
                &["/a", "/b", "/c", "/d"],
                &[],
            )
        })
        .collect();
    let (store, clock) = with(ingresses);
    let same = |_: &Arrived| says(200);
    let (nginx, istio) = (
        Edge::start(Hands::default(), same).await,
        Edge::start(Hands::default(), same).await,
    );
    let began = tokio::time::Instant::now();
    let said = probe(&store, &clock, &nginx, &istio, &["--quick", "--rate", "20000"]).await;
    println!(
        "{} questions to each side in {:?}",
        nginx.seen.lock().unwrap().len(),
        began.elapsed()
    );
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(nginx.seen.lock().unwrap().len() > 10_000);
}

#[tokio::test]
async fn one_side_is_not_compared_with_itself() {
    let (store, clock) = shop();
    let edge = Edge::start(Hands::default(), plain).await;
    let said = probe(&store, &clock, &edge, &edge, &[]).await;
    assert!(
        matches!(&said.end, Err(Trouble::Usage(why)) if why.contains("--istio") && why.contains("same")),
        "{said:?}"
    );
}

#[tokio::test]
async fn two_sides_that_are_dead_are_not_alike_and_nothing_is_marked() {
    let mut migrated = ingress("ns-ada", "shop.a.com", &["/foo"], &[]);
    migrated["metadata"]["labels"] = json!({"sealos.io/migrated-to-istio": "true"});
    for status in [503, 404] {
        let (store, clock) = with(vec![migrated.clone()]);
        let dead = move |arrived: &Arrived| {
            if arrived.https {
                says(status)
            } else {
                plain(arrived)
            }
        };
        let (nginx, istio) = (
            Edge::start(Hands::default(), dead).await,
            Edge::start(Hands::default(), dead).await,
        );
        let said = probe(&store, &clock, &nginx, &istio, &[]).await;
        assert_eq!(said.end.unwrap(), End::Refused, "{status}");
        assert!(said.out.contains("PROBE-NO-BACKEND  shop.a.com"), "{}", said.out);
        let ingress = store.list("ingresses.networking.k8s.io").remove(0);
        assert!(ingress["metadata"]["annotations"]["rollout.sealos.io/probed-at"].is_null());
    }
    // A back end that says itself that there is nothing is one.
    let (store, clock) = with(vec![migrated]);
    let own = |arrived: &Arrived| {
        if arrived.https {
            says(404).with("x-backend", "shop")
        } else {
            plain(arrived)
        }
    };
    let (nginx, istio) = (
        Edge::start(Hands::default(), own).await,
        Edge::start(Hands::default(), own).await,
    );
    let said = probe(&store, &clock, &nginx, &istio, &[]).await;
    assert_eq!(said.end.unwrap(), End::Done, "{}", said.out);
}

#[tokio::test]
async fn an_ingress_is_not_alive_because_another_of_its_host_or_of_www_is() {
    let mut dead = ingress("ns-ada", "shop.a.com", &["/dead"], &[]);
    dead["metadata"]["name"] = "dead".into();
    let (store, clock) = with(vec![
        ingress("ns-ada", "shop.a.com", &["/foo"], &[]),
        dead,
        ingress("ns-ada", "www.shop.a.com", &["/dead"], &[]),
    ]);
    let half = |arrived: &Arrived| {
        if arrived.host == "www.shop.a.com" {
            return says(200);
        }
        if arrived.https && arrived.target.starts_with("/dead") {
            return says(503);
        }
        plain(arrived)
    };
    let (nginx, istio) = (
        Edge::start(Hands::default(), half).await,
        Edge::start(Hands::default(), half).await,
    );
    let said = probe(&store, &clock, &nginx, &istio, &[]).await;
    assert_eq!(said.end.unwrap(), End::Refused);
    assert!(said.out.contains("(Ingress ns-ada/dead)"), "{}", said.out);
    assert_eq!(said.out.matches("PROBE-NO-BACKEND  ").count(), 1, "{}", said.out);
}
