//! Marks that are not true any more, and what is asked more than once.

use super::edge::{Arrived, Edge, Hands, Says, says};
use super::suites::is;
use super::{ingress, migrated_shop, plain, probe, probed, with};
use crate::support::migrate;
use gradual_rollout_apiserver::{Action, Failure, Fault, Store};
use gradual_rollout_toolkit::trouble::End;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A gateway that answers plainly until it breaks.
async fn breaking() -> (Edge, Arc<AtomicBool>) {
    let broken = Arc::new(AtomicBool::new(false));
    let fails = broken.clone();
    let answer = move |arrived: &Arrived| {
        if fails.load(Ordering::SeqCst) {
            says(503)
        } else {
            plain(arrived)
        }
    };
    (Edge::start(Hands::default(), answer).await, broken)
}

fn at_the_edge(store: &Store) -> bool {
    let shop = store
        .get("ingresses.networking.k8s.io", "ns-ada", "shop.a.com")
        .unwrap();
    shop["metadata"]["annotations"]["rollout.sealos.io/edge-probed-at"].is_string()
}

#[tokio::test]
async fn a_gateway_that_breaks_after_it_was_probed_loses_the_mark_that_opens_the_gates() {
    for (more, stays) in [(&[][..], false), (&["--quick"], false), (&["--no-mark"], true)] {
        let (store, clock) = migrated_shop();
        let nginx = Edge::start(Hands::default(), plain).await;
        let (istio, broken) = breaking().await;
        let said = probe(&store, &clock, &nginx, &istio, &[]).await;
        assert_eq!(said.end.unwrap(), End::Done);
        assert!(probed(&store));
        broken.store(true, Ordering::SeqCst);
        let said = probe(&store, &clock, &nginx, &istio, more).await;
        assert_eq!(said.end.unwrap(), End::Refused);
        assert_eq!(probed(&store), stays, "{more:?}");
        let line = "not marked as probed any more, as they are not alike now: ns-ada/shop.a.com";
        assert_eq!(said.out.contains(line), !stays, "{}", said.out);
    }
}

#[tokio::test]
async fn each_suite_takes_off_its_own_mark_and_one_that_cannot_be_taken_off_is_told() {
    let (store, clock) = migrated_shop();
    let nginx = Edge::start(Hands::default(), plain).await;
    let (istio, broken) = breaking().await;
    for suite in ["routes", "edge"] {
        probe(&store, &clock, &nginx, &istio, &["--suite", suite]).await;
    }
    assert!(probed(&store) && at_the_edge(&store));
    broken.store(true, Ordering::SeqCst);
    let no = Failure::new(403, "Forbidden", "it may not");
    store.inject(Fault::new(Action::Fail(no)).verb("patch").times(1));
    let said = probe(&store, &clock, &nginx, &istio, &["--suite", "redirects"]).await;
    assert!(
        said.err
            .contains("ns-ada/shop.a.com: its mark of before could not be taken off"),
        "{}",
        said.err
    );
    assert!(probed(&store) && at_the_edge(&store));
    probe(&store, &clock, &nginx, &istio, &["--suite", "redirects"]).await;
    assert!(probed(&store) && !at_the_edge(&store));
}

#[tokio::test]
async fn a_host_with_a_list_and_without_a_certificate_can_be_marked() {
    let mut shop = ingress(
        "ns-ada",
        "shop.a.com",
        &["/foo"],
        &[("whitelist-source-range", "127.0.0.0/8")],
    );
    shop["spec"].as_object_mut().unwrap().remove("tls");
    shop["metadata"]["labels"] = json!({"sealos.io/migrated-to-istio": "true"});
    let (store, clock) = with(vec![shop]);
    let served = |arrived: &Arrived| -> Says {
        let path = arrived.target.split('?').next().unwrap_or_default();
        if arrived.host == "shop.a.com" && (path == "/foo" || path.starts_with("/foo/")) {
            return says(200).with("x-backend", "shop");
        }
        says(404)
    };
    let nginx = Edge::start(Hands::default(), served).await;
    let istio = Edge::start(Hands::default(), served).await;
    // The gateway has no certificate, so nobody listens with TLS; nginx shows its own.
    let here = nginx.address();
    let there = format!("127.0.0.1:{}:1", istio.http);
    let words = ["probe", "--nginx", &here, "--istio", &there];
    let said = migrate(&store, &clock, &words).await;
    println!("{}{}", said.out, said.err);
    assert!(said.out.contains("PROBE-FORESEEN"), "{}", said.out);
    is(said, End::Done, "0 blockers");
    assert!(probed(&store));
}

#[tokio::test]
async fn a_gateway_that_lets_every_second_one_in_is_seen() {
    let guarded = || {
        with(vec![ingress(
            "ns-ada",
            "shop.a.com",
            &["/foo"],
            &[("auth-url", "https://auth.a.com")],
        )])
    };
    let (store, clock) = guarded();
    let nginx = Edge::start(Hands::default(), |_: &Arrived| says(401)).await;
    let count = AtomicUsize::new(0);
    let leaks = move |_: &Arrived| match count.fetch_add(1, Ordering::SeqCst) % 2 {
        0 => says(401),
        _ => says(200),
    };
    let istio = Edge::start(Hands::default(), leaks).await;
    let said = probe(&store, &clock, &nginx, &istio, &["--suite", "guards"]).await;
    assert!(said.out.contains("guards 1"), "{}", said.out);
    is(
        said,
        End::Refused,
        "PROBE-OPEN  shop.a.com: GET https://shop.a.com/foo: nginx: 401; istio: 200",
    );
}
