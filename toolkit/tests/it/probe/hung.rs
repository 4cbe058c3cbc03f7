//! A side that takes connections and never answers.

use super::edge::{Edge, Hands, says};
use super::{ingress, probe, with};
use gradual_rollout_apiserver::Store;
use gradual_rollout_toolkit::trouble::End;
use serde_json::{Value, json};

/// As many hosts as are asked at once, and some that are not.
const HOSTS: usize = 40;

fn marks(store: &Store) -> usize {
    let all = store.list("ingresses.networking.k8s.io");
    let marked = all
        .iter()
        .filter(|one| one["metadata"]["annotations"]["rollout.sealos.io/probed-at"].is_string());
    marked.count()
}

#[tokio::test]
async fn a_side_that_hangs_is_not_asked_to_the_end_and_what_was_not_asked_is_named() {
    let cluster = || {
        let all = (0..HOSTS).map(|number| {
            let mut one = ingress("ns-ada", &format!("h{number}.a.com"), &["/"], &[]);
            one["metadata"]["labels"] = json!({"sealos.io/migrated-to-istio": "true"});
            one
        });
        with(all.collect())
    };
    let (store, clock) = cluster();
    let nginx = Edge::start(Hands::default(), |_| says(200)).await;
    let istio = Edge::start(Hands::default(), |_| says(200)).await;
    let said = probe(&store, &clock, &nginx, &istio, &["--json"]).await;
    let whole: Value = serde_json::from_str(&said.out).unwrap();
    let all = whole["asked"]["routes"].as_u64().unwrap();
    assert_eq!((whole["unasked"].as_u64(), marks(&store)), (Some(0), HOSTS));
    for hangs in ["nginx", "gateway"] {
        let edge = async |name: &str| {
            let late = if name == hangs { 600_000 } else { 0 };
            Edge::start(Hands::default(), move |_| says(200).after(late)).await
        };
        let (nginx, istio) = (edge("nginx").await, edge("gateway").await);
        let (store, clock) = cluster();
        let said = probe(&store, &clock, &nginx, &istio, &["--json", "--timeout", "1"]).await;
        assert_eq!(said.end.unwrap(), End::Refused);
        let whole: Value = serde_json::from_str(&said.out).unwrap();
        let differences = whole["differences"].as_array().unwrap();
        let of = |code: &str| differences.iter().filter(|one| one["code"] == code).count() as u64;
        assert_eq!(of("PROBE-HUNG"), 1);
        let told = differences
            .iter()
            .find(|one| one["code"] == "PROBE-HUNG")
            .unwrap();
        assert_eq!(told["host"], hangs);
        // What was not asked is not among what was, and each has its name.
        let asked = whole["asked"]["routes"].as_u64().unwrap();
        assert!(asked < all / 4, "{asked} of {all}");
        assert_eq!(of("PROBE-UNASKED"), whole["unasked"].as_u64().unwrap());
        assert_eq!(asked + of("PROBE-UNASKED"), all);
        assert_eq!(of("PROBE-LATE"), asked, "all that was asked ran out of time");
        assert_eq!(marks(&store), 0);
    }
}

#[tokio::test]
async fn where_a_side_was_given_up_every_suite_names_what_it_did_not_ask() {
    let (store, clock) = with(vec![ingress(
        "ns-ada",
        "shop.a.com",
        &["/foo"],
        &[("enable-cors", "true"), ("auth-type", "basic")],
    )]);
    let nginx = Edge::start(Hands::default(), |_| says(200)).await;
    let istio = Edge::start(Hands::default(), |_| says(200).after(600_000)).await;
    let words = ["--suite", "all", "--json", "--timeout", "1"];
    let said = probe(&store, &clock, &nginx, &istio, &words).await;
    assert_eq!(said.end.unwrap(), End::Refused);
    let whole: Value = serde_json::from_str(&said.out).unwrap();
    let differences = whole["differences"].as_array().unwrap();
    for suite in [
        "multi-tenant",
        "protocols",
        "ssl-certificates",
        "cors",
        "performance",
        "guards",
        "limits",
        "redirects",
    ] {
        let named = differences
            .iter()
            .any(|one| one["code"] == "PROBE-UNASKED" && one["suite"] == suite);
        assert!(named, "{suite}");
    }
}
