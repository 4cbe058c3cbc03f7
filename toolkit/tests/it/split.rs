//! Handing over to a split listener: routes are bound to it, and what would arrive there without an answer is not handed over.

use crate::apply::{GW, ING, VS, tenants};
use crate::handing_over::listener;
use crate::objects::{ingress, service};
use crate::support::{Said, migrate};
use gradual_rollout_apiserver::Store;
use gradual_rollout_apiserver::clock::Clock;
use gradual_rollout_toolkit::trouble::End;
use serde_json::{Value, json};
use std::time::Duration;

const GR: &str = "gradualrollouts.rollout.sealos.io";
const SPLIT: &str = "istio-system/split";
const OWN: &str = "istio-system/sealos-gateway";

fn with_rollouts() -> (Store, Clock) {
    let (store, clock) = tenants(&["ns-a"]);
    for document in include_str!("../../../deploy/crd.yaml").split("\n---") {
        let crd: Value = serde_saphyr::from_str(document).unwrap();
        store.register_crd(&crd).unwrap();
    }
    store.namespace("sealos-system");
    listener(&store);
    (store, clock)
}

const HAND: [&str; 5] = [
    "apply",
    "--rollout",
    "sealos-system/batch",
    "--split",
    "istio-system/istio-ingressgateway:8081",
];

async fn hand(store: &Store, clock: &Clock, more: &[&str]) -> Said {
    said(store, clock, &[&["-n", "ns-a"], &HAND[..], more].concat()).await
}

async fn said(store: &Store, clock: &Clock, words: &[&str]) -> Said {
    let said = migrate(store, clock, words).await;
    println!("{}{}{:?}\n", said.err, said.out, said.end);
    said
}

fn bound(store: &Store) -> Vec<Value> {
    let all = store.list(VS);
    all.iter()
        .map(|route| route["spec"]["gateways"].clone())
        .collect()
}

fn edit(store: &Store, resource: &str, namespace: &str, name: &str, change: impl Fn(&mut Value)) {
    let mut object = Value::clone(&store.get(resource, namespace, name).unwrap());
    change(&mut object);
    store.put(object).unwrap();
}

#[tokio::test(start_paused = true)]
async fn routes_are_bound_to_the_listener_when_they_are_handed_over_and_stay_probed_and_bound() {
    let (store, clock) = with_rollouts();
    assert_eq!(
        said(&store, &clock, &["-n", "ns-a", "apply"]).await.end.unwrap(),
        End::Done
    );
    assert_eq!(bound(&store), [json!([OWN])]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    edit(&store, ING, "ns-a", "shop", |shop| {
        shop["metadata"]["annotations"]["rollout.sealos.io/probed-at"] = json!(clock.now().to_string());
    });
    let since = || {
        store.get(ING, "ns-a", "shop").unwrap()["metadata"]["annotations"]["sealos.io/migration-time"].clone()
    };
    let before = since();
    let done = hand(&store, &clock, &[]).await;
    assert_eq!(done.end.unwrap(), End::Done);
    assert_eq!(bound(&store), [json!([OWN, SPLIT])]);
    assert_eq!(since(), before, "what it was probed for stands");
    let rollout = store.get(GR, "sealos-system", "batch").unwrap();
    let router = &rollout["spec"]["components"][0]["routers"][0]["ingressNginx"];
    assert_eq!(router["gateway"]["name"], SPLIT);
    // Whoever applies it again, by whatever words, takes nothing off; who joins is bound as well.
    store.put(ingress("ns-a", "late")).unwrap();
    store.put(service("ns-a", "late")).unwrap();
    let done = said(&store, &clock, &["apply", "--all"]).await;
    assert_eq!(done.end.unwrap(), End::Done);
    assert!(done.err.contains("APPLY-JOINS"), "{}", done.err);
    assert_eq!(bound(&store), [json!([OWN, SPLIT]), json!([OWN, SPLIT])]);
    let version = store.version();
    assert_eq!(
        said(&store, &clock, &["apply", "--all"]).await.end.unwrap(),
        End::Done
    );
    assert_eq!(store.version(), version);
    let well = said(&store, &clock, &["validate"]).await;
    assert_eq!(well.end.unwrap(), End::Done, "{}", well.err);
    // Nobody's share arrives there any more.
    store.delete(GR, "sealos-system", "batch").unwrap();
    assert_eq!(
        said(&store, &clock, &["apply", "--all"]).await.end.unwrap(),
        End::Done
    );
    assert_eq!(bound(&store), [json!([OWN]), json!([OWN])]);
}

#[tokio::test(start_paused = true)]
async fn without_a_listener_that_takes_the_share_nothing_is_handed_over_and_it_is_said_what_to_make() {
    for (change, told) in [
        ("no service", "it is not there"),
        ("no port", "it has no port 8081"),
        ("no gateway", "no Gateway listens on its port 8081"),
        ("other pods", "no Gateway listens on its port 8081"),
        ("two", "--split-gateway NAMESPACE/NAME"),
        ("redirects", "take httpsRedirect off"),
        ("one host", "APPLY-SPLIT-UNBOUND"),
        ("own", "is a server of Gateway istio-system/sealos-gateway"),
    ] {
        let (store, clock) = with_rollouts();
        let gateway = |change: &dyn Fn(&mut Value)| edit(&store, GW, "istio-system", "split", change);
        match change {
            "no service" => drop(store.delete("services", "istio-system", "istio-ingressgateway")),
            "no port" => edit(
                &store,
                "services",
                "istio-system",
                "istio-ingressgateway",
                |service| {
                    service["spec"]["ports"] = json!([{"name": "http", "port": 80}]);
                },
            ),
            "no gateway" => drop(store.delete(GW, "istio-system", "split")),
            "other pods" => gateway(&|gateway| gateway["spec"]["selector"] = json!({"app": "other"})),
            "two" => {
                let mut two = Value::clone(&store.get(GW, "istio-system", "split").unwrap());
                two["metadata"] = json!({"name": "split-2", "namespace": "istio-system"});
                store.put(two).unwrap();
            }
            "redirects" => {
                gateway(&|gateway| gateway["spec"]["servers"][0]["tls"] = json!({"httpsRedirect": true}));
            }
            "one host" => {
                gateway(&|gateway| gateway["spec"]["servers"][0]["hosts"] = json!(["other.example.com"]));
            }
            _ => {
                let split = store.get(GW, "istio-system", "split").unwrap()["spec"]["servers"][0].clone();
                store.delete(GW, "istio-system", "split").unwrap();
                said(&store, &clock, &["-n", "ns-a", "apply"]).await;
                edit(&store, GW, "istio-system", "sealos-gateway", |own| {
                    own["spec"]["servers"].as_array_mut().unwrap().push(split.clone());
                });
            }
        }
        let done = hand(&store, &clock, &["--unprobed"]).await;
        assert_ne!(done.end.unwrap(), End::Done, "{change}");
        assert!(done.err.contains(told), "{change}: {}", done.err);
        let code = "APPLY-SPLIT-LISTENER";
        assert_eq!(
            done.err.contains(code),
            change != "one host",
            "{change}: {}",
            done.err
        );
        assert!(store.list(GR).is_empty(), "{change}");
        if change == "two" {
            let done = hand(&store, &clock, &["--unprobed", "--split-gateway", SPLIT]).await;
            assert_eq!(done.end.unwrap(), End::Done);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_rollout_would_take_along_without_a_route_at_the_listener_is_not_handed_over() {
    let (store, clock) = with_rollouts();
    assert_eq!(
        said(&store, &clock, &["apply", "--all"]).await.end.unwrap(),
        End::Done
    );
    store.put(ingress("ns-a", "more")).unwrap();
    store.put(service("ns-a", "more")).unwrap();
    let words = [&HAND[..], &["--unprobed", "--ingress", "ns-a/more"]].concat();
    let done = said(&store, &clock, &words).await;
    assert_ne!(done.end.unwrap(), End::Done);
    assert!(
        done.err.contains("APPLY-SPLIT-UNBOUND") && done.err.contains("ns-a/shop"),
        "{}",
        done.err
    );
    assert!(store.list(GR).is_empty());
    assert_eq!(
        hand(&store, &clock, &["--unprobed"]).await.end.unwrap(),
        End::Done
    );
}

#[tokio::test(start_paused = true)]
async fn an_address_list_is_not_handed_over_unless_the_listener_believes_nginx_of_the_client() {
    let guarded = || {
        let (store, clock) = with_rollouts();
        edit(&store, ING, "ns-a", "shop", |shop| {
            shop["metadata"]["annotations"] =
                json!({"nginx.ingress.kubernetes.io/whitelist-source-range": "10.0.0.0/8"});
            shop["spec"]["tls"] = json!([{"hosts": ["shop.ns-a.example.com"], "secretName": "shop-tls"}]);
        });
        store
            .put(
                json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
                "metadata": {"name": "shop-tls", "namespace": "ns-a"}, "stringData": {"tls.crt": "c", "tls.key": "k"}}),
            )
            .unwrap();
        (store, clock)
    };
    let (store, clock) = guarded();
    let refused = hand(&store, &clock, &["--unprobed"]).await;
    assert_ne!(refused.end.unwrap(), End::Done);
    assert!(
        refused.err.contains("blocker  APPLY-SPLIT-ADDRESSES"),
        "{}",
        refused.err
    );
    // That back ends are told http is worth a look, and no more.
    assert!(
        refused.err.contains("warning  APPLY-SPLIT-SCHEME"),
        "{}",
        refused.err
    );
    assert!(store.list(GR).is_empty());
    let accepted = hand(&store, &clock, &["--unprobed", "--split-trusts-nginx"]).await;
    assert_eq!(accepted.end.unwrap(), End::Done);
    assert!(
        accepted.err.contains("warning  APPLY-SPLIT-ADDRESSES"),
        "{}",
        accepted.err
    );
    let (store, clock) = guarded();
    // A tenant's map of the same name says nothing of the gateway.
    for (namespace, count, end) in [
        ("ns-a", 1, End::Partly),
        // The routes are there by now.
        ("istio-system", 0, End::Refused),
        ("istio-system", 1, End::Done),
    ] {
        let mesh = format!("defaultConfig: {{gatewayTopology: {{numTrustedProxies: {count}}}}}");
        store
            .put(json!({"apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "istio", "namespace": namespace}, "data": {"mesh": mesh}}))
            .unwrap();
        assert_eq!(
            hand(&store, &clock, &["--unprobed"]).await.end.unwrap(),
            end,
            "{namespace}"
        );
    }
}
