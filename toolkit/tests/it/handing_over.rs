//! Handing a batch to a GradualRollout: only what was probed since it was written.

use crate::apply::{ING, marked, tenants};
use crate::objects::{ingress, service};
use crate::support::{Said, migrate};
use gradual_rollout_apiserver::Store;
use gradual_rollout_apiserver::clock::Clock;
use gradual_rollout_toolkit::trouble::End;
use serde_json::{Value, json};

const GR: &str = "gradualrollouts.rollout.sealos.io";

fn show(said: &Said) {
    println!("{}{}{:?}\n", said.err, said.out, said.end);
}

/// The listener that nginx's share arrives at: a port of the gateway's Service, and a Gateway.
pub(crate) fn listener(store: &Store) {
    let there = store.get("services", "istio-system", "istio-ingressgateway");
    let mut service = there.map_or_else(
        || {
            json!({"apiVersion": "v1", "kind": "Service",
                "metadata": {"name": "istio-ingressgateway", "namespace": "istio-system"},
                "spec": {"selector": {"istio": "ingressgateway"},
                    "ports": [{"name": "http2", "port": 80, "targetPort": 8080}]}})
        },
        |service| Value::clone(&service),
    );
    let ports = service["spec"]["ports"].as_array_mut().unwrap();
    if ports.iter().all(|port| port["port"] != 8081) {
        ports.push(json!({"name": "split", "port": 8081, "targetPort": 8081}));
    }
    store.put(service).unwrap();
    store.put(split_gateway(8081)).unwrap();
}

fn split_gateway(number: u16) -> Value {
    json!({"apiVersion": "networking.istio.io/v1", "kind": "Gateway",
        "metadata": {"name": "split", "namespace": "istio-system"},
        "spec": {"selector": {"istio": "ingressgateway"}, "servers": [
            {"port": {"name": "http-split", "number": number, "protocol": "HTTP"}, "hosts": ["*"]}]}})
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_handed_to_a_rollout_that_the_definition_accepts() {
    let (store, clock) = tenants(&["ns-a"]);
    let text = include_str!("../../../deploy/crd.yaml");
    for document in text.split("\n---") {
        let crd: Value = serde_saphyr::from_str(document).unwrap();
        store.register_crd(&crd).unwrap();
    }
    store.namespace("sealos-system");
    listener(&store);
    let words = [
        "-n",
        "ns-a",
        "apply",
        "--rollout",
        "sealos-system/batch-1",
        "--split",
        "istio-system/istio-ingressgateway:8081",
    ];
    let there = || store.get("gradualrollouts.rollout.sealos.io", "sealos-system", "batch-1");
    let probed = || {
        let mut shop = Value::clone(&store.get(ING, "ns-a", "shop").unwrap());
        shop["metadata"]["annotations"]["rollout.sealos.io/probed-at"] = json!(clock.now().to_string());
        store.put(shop).unwrap();
    };
    // The first run writes the routes, and hands nothing over that nobody has asked anything of.
    let said = migrate(&store, &clock, &words).await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Partly);
    assert!(said.err.contains("APPLY-NOT-PROBED") && there().is_none() && marked(&store, "ns-a", "shop"));
    let again = migrate(&store, &clock, &words).await;
    assert_eq!(again.end.unwrap(), End::Refused, "it is still not probed");
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    probed();
    // What is written anew, whatever for, was not probed as it is.
    let other = [&words[..], &["--cluster-domain", "other.local"]].concat();
    let said = migrate(&store, &clock, &other).await;
    assert_eq!(said.end.unwrap(), End::Partly);
    assert!(said.err.contains("APPLY-NOT-PROBED"), "{}", said.err);
    assert!(
        migrate(&store, &clock, &other)
            .await
            .err
            .contains("APPLY-NOT-PROBED")
    );
    assert!(there().is_none());
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    probed();
    let words = other;
    // What moves the traffic is told before, and is part of the plan.
    let version = store.version();
    let dry = migrate(&store, &clock, &[&words[..], &["--dry-run"]].concat()).await;
    show(&dry);
    let line =
        "hand over to GradualRollout sealos-system/batch-1, which is asked to move the traffic of ns-a\n";
    assert!(dry.out.contains(line), "{}", dry.out);
    let json = migrate(
        &store,
        &clock,
        &[&["--json"], &words[..], &["--dry-run"]].concat(),
    )
    .await;
    let told: Value = serde_json::from_str(&json.out).unwrap();
    let handed = json!({"object": "GradualRollout sealos-system/batch-1", "action": "handOver"});
    assert!(told["planned"].as_array().unwrap().contains(&handed), "{told}");
    let hash = told["plan"].as_str().unwrap();
    let without = migrate(
        &store,
        &clock,
        &[
            "-n",
            "ns-a",
            "apply",
            "--cluster-domain",
            "other.local",
            "--plan",
            hash,
        ],
    )
    .await;
    assert!(
        without
            .end
            .unwrap_err()
            .to_string()
            .contains("nothing was written")
    );
    let server = migrate(&store, &clock, &[&words[..], &["--dry-run=server"]].concat()).await;
    show(&server);
    assert!(
        server
            .err
            .contains("it would ask the daemon to move the traffic of ns-a")
    );
    assert!(!server.err.contains("the daemon is asked"));
    assert_eq!((store.version(), there().is_none()), (version, true));
    let said = migrate(&store, &clock, &[&words[..], &["--plan", hash]].concat()).await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Done);
    assert_eq!(there().unwrap()["spec"]["components"][0]["name"], "ns-a");
}

#[tokio::test(start_paused = true)]
async fn who_takes_the_responsibility_hands_over_unprobed() {
    let (store, clock) = tenants(&["ns-a"]);
    for document in include_str!("../../../deploy/crd.yaml").split("\n---") {
        let crd: Value = serde_saphyr::from_str(document).unwrap();
        store.register_crd(&crd).unwrap();
    }
    store.namespace("sealos-system");
    listener(&store);
    let words = [
        "-n",
        "ns-a",
        "apply",
        "--rollout",
        "sealos-system/batch-1",
        "--split",
        "istio-system/istio-ingressgateway:8081",
        "--unprobed",
    ];
    let said = migrate(&store, &clock, &words).await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(said.err.contains("info     APPLY-NOT-PROBED"), "{}", said.err);
}

#[tokio::test(start_paused = true)]
async fn a_flag_of_the_controller_that_nobody_sees_can_be_told() {
    let (store, clock) = tenants(&["ns-a"]);
    let mut none = ingress("ns-a", "none");
    none["spec"].as_object_mut().unwrap().remove("ingressClassName");
    store.put(none).unwrap();
    let words = ["-n", "ns-a", "apply", "--dry-run", "--controller-flag"];
    let said = migrate(
        &store,
        &clock,
        &[&words[..], &["--watch-ingress-without-class=false"]].concat(),
    )
    .await;
    show(&said);
    assert!(said.err.contains("(CLASS-MISSING)"), "{}", said.err);
}

/// A cluster with the definition of rollouts, and what is put before each run of `apply`.
fn with_rollouts(names: &[&str]) -> (Store, Clock) {
    let (store, clock) = tenants(names);
    for document in include_str!("../../../deploy/crd.yaml").split("\n---") {
        let crd: Value = serde_saphyr::from_str(document).unwrap();
        store.register_crd(&crd).unwrap();
    }
    store.namespace("sealos-system");
    listener(&store);
    (store, clock)
}

fn probed(store: &Store, clock: &Clock, namespace: &str, name: &str) {
    let mut ingress = Value::clone(&store.get(ING, namespace, name).unwrap());
    ingress["metadata"]["annotations"]["rollout.sealos.io/probed-at"] = json!(clock.now().to_string());
    store.put(ingress).unwrap();
}

const SPLIT: [&str; 2] = ["--split", "istio-system/istio-ingressgateway:8081"];

#[tokio::test(start_paused = true)]
async fn what_a_rollout_would_take_along_unprobed_keeps_the_whole_from_being_handed_over() {
    let (store, clock) = with_rollouts(&["ns-a"]);
    let mut pub_ = ingress("ns-a", "pub");
    pub_["spec"]["rules"][0]["host"] = json!("pub.ns-a.example.com");
    store.put(pub_).unwrap();
    store.put(service("ns-a", "pub")).unwrap();
    let said = migrate(&store, &clock, &["-n", "ns-a", "apply"]).await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Done);
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    probed(&store, &clock, "ns-a", "pub");
    let words = ["apply", "--ingress", "ns-a/pub", "--rollout", "sealos-system/w1"];
    let words = [&words[..], &SPLIT].concat();
    let said = migrate(&store, &clock, &words).await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Refused);
    assert!(said.err.contains("blocker  APPLY-NOT-PROBED") && said.err.contains("ns-a/shop"));
    assert!(store.list(GR).is_empty());
    probed(&store, &clock, "ns-a", "shop");
    // With its route as well: one alone would leave the other without one at the split listener.
    let said = migrate(&store, &clock, &words).await;
    assert!(said.err.contains("APPLY-SPLIT-UNBOUND"), "{}", said.err);
    let words = ["-n", "ns-a", "apply", "--rollout", "sealos-system/w1"];
    let said = migrate(&store, &clock, &[&words[..], &SPLIT].concat()).await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(store.get(GR, "sealos-system", "w1").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_namespace_is_handed_to_one_rollout_and_who_joins_it_later_is_told() {
    let (store, clock) = with_rollouts(&["ns-a", "ns-b"]);
    let said = migrate(&store, &clock, &["apply", "--batch", "ns-a,ns-b"]).await;
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(!said.err.contains("APPLY-JOINS"), "{}", said.err);
    probed(&store, &clock, "ns-a", "shop");
    probed(&store, &clock, "ns-b", "shop");
    let hand = async |batch: &str, rollout: &str| {
        let words = ["apply", "--batch", batch, "--rollout", rollout];
        let said = migrate(&store, &clock, &[&words[..], &SPLIT].concat()).await;
        show(&said);
        said
    };
    assert_eq!(hand("ns-a", "sealos-system/w1").await.end.unwrap(), End::Done);
    let second = hand("ns-a", "sealos-system/w2").await;
    assert_eq!(second.end.unwrap(), End::Refused);
    let line = "APPLY-HANDED-OVER-ALREADY  GradualRollout sealos-system/w1";
    assert!(second.err.contains(line), "{}", second.err);
    assert!(store.get(GR, "sealos-system", "w2").is_none());
    // What it would let go of keeps it as it is.
    let other = hand("ns-b", "sealos-system/w1").await;
    assert_eq!(other.end.unwrap(), End::Refused);
    assert!(
        other.err.contains("APPLY-ROLLOUT-SHRINKS") && other.err.contains("ns-a too"),
        "{}",
        other.err
    );
    // Its own again is no second one, and another namespace is nobody's yet.
    assert_eq!(hand("ns-a", "sealos-system/w1").await.end.unwrap(), End::Done);
    assert_eq!(hand("ns-b", "sealos-system/w3").await.end.unwrap(), End::Done);
    let mut late = ingress("ns-a", "late");
    late["spec"]["rules"][0]["host"] = json!("late.ns-a.example.com");
    store.put(late).unwrap();
    store.put(service("ns-a", "late")).unwrap();
    let said = migrate(&store, &clock, &["apply", "--ingress", "ns-a/late"]).await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(
        said.err.contains("warning  APPLY-JOINS") && said.err.contains("sealos-system/w1"),
        "{}",
        said.err
    );
    assert!(!said.err.contains("w3"), "{}", said.err);
    let again = migrate(&store, &clock, &["apply", "--ingress", "ns-a/late"]).await;
    assert!(!again.err.contains("APPLY-JOINS"), "it is there: {}", again.err);
}
