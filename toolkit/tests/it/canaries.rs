//! Canaries of people: they are of the routes that they split, on whatever host, from the first run to the last.

use crate::apply::{ING, VS, marked, tenants};
use crate::objects::{ingress, service};
use crate::support::{Said, migrate, migrate_by};
use gradual_rollout_apiserver::Store;
use gradual_rollout_apiserver::clock::Clock;
use gradual_rollout_toolkit::trouble::{End, Trouble};
use serde_json::{Value, json};
use std::time::Duration;
use tempfile::TempDir;

const DR: &str = "destinationrules.networking.istio.io";
const ACCEPT: &str =
    "CLEANUP-NOT-PROBED,CLEANUP-COUNT-UNKNOWN,CLEANUP-NAME-UNKNOWN,CLEANUP-NAME-LEADS-TO-NGINX";

fn show(said: &Said) {
    println!("{}{}{:?}\n", said.err, said.out, said.end);
}

fn canary(namespace: &str, host: &str, weight: &str) -> Value {
    let mut made = ingress(namespace, "shop-c");
    made["metadata"]["annotations"] = json!({"nginx.ingress.kubernetes.io/canary": "True",
        "nginx.ingress.kubernetes.io/canary-weight": weight});
    made["spec"]["rules"][0]["host"] = json!(host);
    made
}

/// The shop of `ns-a`, and a canary with a tenth of its requests.
fn split() -> (Store, Clock) {
    let (store, clock) = tenants(&["ns-a"]);
    store.put(service("ns-a", "shop-c")).unwrap();
    store.put(canary("ns-a", "shop.ns-a.example.com", "10")).unwrap();
    (store, clock)
}

/// Changes what a canary that is there asks for, and nothing else of it.
fn weigh(store: &Store, weight: &str) {
    let mut changed = Value::clone(&store.get(ING, "ns-a", "shop-c").unwrap());
    changed["metadata"]["annotations"]["nginx.ingress.kubernetes.io/canary-weight"] = json!(weight);
    store.put(changed).unwrap();
}

/// The weights of a host's routes, by Service; none is all.
fn weights(store: &Store, host: &str) -> Vec<(String, Value)> {
    let all = store.list(VS);
    let route = all
        .iter()
        .find(|route| route["spec"]["hosts"][0] == host)
        .unwrap();
    let to = route["spec"]["http"][0]["route"].as_array().unwrap().iter();
    to.map(|to| {
        let service = to["destination"]["host"].as_str().unwrap();
        (
            service.split('.').next().unwrap().to_owned(),
            to["weight"].clone(),
        )
    })
    .collect()
}

const SHOP: &str = "shop.ns-a.example.com";

fn all_to_the_shop() -> Vec<(String, Value)> {
    vec![("shop".to_owned(), Value::Null)]
}

fn split_by(weight: u64) -> Vec<(String, Value)> {
    vec![
        ("shop".to_owned(), json!(100 - weight)),
        ("shop-c".to_owned(), json!(weight)),
    ]
}

async fn done(store: &Store, clock: &Clock, words: &[&str]) -> Said {
    let said = migrate(store, clock, words).await;
    show(&said);
    assert!(matches!(said.end, Ok(End::Done)), "{words:?}");
    said
}

/// The states and codes of Ingresses.
async fn states(store: &Store, clock: &Clock) -> Vec<(String, String, Vec<String>)> {
    let said = migrate(store, clock, &["--json", "status"]).await;
    let told: Value = serde_json::from_str(&said.out).unwrap();
    let one = |one: &Value| {
        let wrong = one["wrong"].as_array().unwrap().iter();
        let codes = wrong.map(|wrong| wrong["code"].as_str().unwrap().to_owned());
        let text = |field: &str| one[field].as_str().unwrap().to_owned();
        (text("name"), text("state"), codes.collect())
    };
    told["ingresses"].as_array().unwrap().iter().map(one).collect()
}

fn is(name: &str, state: &str, codes: &[&str]) -> (String, String, Vec<String>) {
    (
        name.into(),
        state.into(),
        codes.iter().map(ToString::to_string).collect(),
    )
}

async fn backed_up(store: &Store, clock: &Clock) -> (TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b").to_str().unwrap().to_owned();
    done(store, clock, &["backup", "--dir", &path]).await;
    (dir, path)
}

#[tokio::test(start_paused = true)]
async fn a_canary_is_of_the_route_that_it_splits_and_is_marked_with_it() {
    let (store, clock) = split();
    done(&store, &clock, &["apply", "--all"]).await;
    assert_eq!(weights(&store, SHOP), split_by(10));
    assert!(marked(&store, "ns-a", "shop") && marked(&store, "ns-a", "shop-c"));
    let route = store.list(VS).remove(0);
    let notes = &route["metadata"]["annotations"];
    assert_eq!(notes["rollout.sealos.io/converted-from"], "ns-a/shop,ns-a/shop-c");
    assert_eq!(notes["rollout.sealos.io/canaries"], "ns-a/shop-c");
    let version = store.version();
    done(&store, &clock, &["apply", "--all"]).await;
    assert_eq!(store.version(), version, "the second time nothing is done");
    assert_eq!(
        states(&store, &clock).await,
        [is("shop", "migrated", &[]), is("shop-c", "migrated", &[])]
    );
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_changes_comes_or_goes_is_a_change_of_what_it_splits() {
    let (store, clock) = split();
    done(&store, &clock, &["apply", "--all"]).await;
    let changed = ["STATE-SOURCE-CHANGED"];
    weigh(&store, "0");
    assert_eq!(
        states(&store, &clock).await,
        [is("shop", "changed", &changed), is("shop-c", "changed", &changed)]
    );
    let (_dir, dir) = backed_up(&store, &clock).await;
    tokio::time::sleep(Duration::from_secs(25 * 3600)).await;
    let words = ["-n", "ns-a", "cleanup", "--dir", &dir, "--accept", ACCEPT];
    let said = migrate(&store, &clock, &words).await;
    show(&said);
    assert_eq!(
        said.end.unwrap(),
        End::Refused,
        "its sick canary would have a share for good"
    );
    assert!(said.err.contains("CLEANUP-NOT-WELL") && store.get(ING, "ns-a", "shop").is_some());
    done(&store, &clock, &["apply", "--all"]).await;
    assert_eq!(weights(&store, SHOP), all_to_the_shop());
    weigh(&store, "50");
    done(&store, &clock, &["apply", "--all"]).await;
    assert_eq!(weights(&store, SHOP), split_by(50));
    // It ends, with its Service, as canaries do.
    store.delete(ING, "ns-a", "shop-c").unwrap();
    store.delete("services", "ns-a", "shop-c").unwrap();
    assert_eq!(
        states(&store, &clock).await,
        [
            is("shop", "changed", &changed),
            is("shop-c", "orphaned", &["STATE-CANARY-GONE"])
        ]
    );
    let said = migrate(&store, &clock, &["validate"]).await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Partly);
    let told = said.err.split("VALIDATE-BACKEND-MISSING").nth(1).unwrap();
    assert!(told.contains("by nginx they are not") && !told.contains("nginx answers them too"));
    done(&store, &clock, &["apply", "--ingress", "ns-a/shop", "--prune"]).await;
    assert_eq!(weights(&store, SHOP), all_to_the_shop());
    assert_eq!(states(&store, &clock).await, [is("shop", "migrated", &[])]);
    let rules = store.list(DR);
    assert!(
        rules
            .iter()
            .all(|rule| !rule["spec"]["host"].to_string().contains("shop-c")),
        "{rules:?}"
    );
    // Another one comes.
    store.put(service("ns-a", "shop-c")).unwrap();
    store.put(canary("ns-a", SHOP, "50")).unwrap();
    let all = states(&store, &clock).await;
    assert_eq!(all, [is("shop", "changed", &changed), is("shop-c", "left", &[])]);
    let said = migrate(&store, &clock, &[&words[..], &["--dry-run"]].concat()).await;
    assert!(said.err.contains("CLEANUP-NOT-WELL") && !said.out.contains("would be deleted: Ingress"));
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_nginx_ignores_is_no_change_and_one_that_cannot_be_converted_is() {
    let (store, clock) = split();
    let mut second = canary("ns-a", SHOP, "30");
    second["metadata"]["name"] = json!("a-second-c");
    store.put(second).unwrap();
    done(&store, &clock, &["apply", "--all"]).await;
    assert_eq!(weights(&store, SHOP), split_by(10));
    let all = states(&store, &clock).await;
    assert_eq!(
        all[1],
        is("shop", "migrated", &[]),
        "nginx uses one canary of an upstream"
    );
    store.delete(ING, "ns-a", "a-second-c").unwrap();
    store.delete("services", "ns-a", "shop-c").unwrap();
    let said = migrate(&store, &clock, &["apply", "--all"]).await;
    show(&said);
    assert_eq!(
        weights(&store, SHOP),
        all_to_the_shop(),
        "as nginx does without its back end"
    );
    let all = states(&store, &clock).await;
    assert_eq!(
        all[0],
        is("shop", "changed", &["STATE-SOURCE-CHANGED"]),
        "it would split again with its Service"
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_canary_splits_on_other_hosts_does_not_depend_on_the_batch() {
    let (store, clock) = split();
    let mut other = ingress("ns-a", "other");
    other["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"] = json!("shop");
    store.put(other).unwrap();
    let version = store.version();
    let said = migrate(&store, &clock, &["apply", "--ingress", "ns-a/other"]).await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Refused);
    assert!(said.err.contains("APPLY-HOST-SHARED") && said.err.contains("ns-a/shop-c"));
    assert_eq!(store.version(), version);
    done(&store, &clock, &["apply", "--ingress", "ns-a/other", "--widen"]).await;
    let host = "other.ns-a.example.com";
    assert_eq!(weights(&store, host), split_by(10));
    let all = [
        is("other", "migrated", &[]),
        is("shop", "migrated", &[]),
        is("shop-c", "migrated", &[]),
    ];
    assert_eq!(states(&store, &clock).await, all);
    weigh(&store, "40");
    let changed = ["STATE-SOURCE-CHANGED"];
    let all = ["other", "shop", "shop-c"].map(|name| is(name, "changed", &changed));
    assert_eq!(states(&store, &clock).await, all);
    done(&store, &clock, &["apply", "--all"]).await;
    // Each goes back by itself, and the canary with the last that it splits.
    done(&store, &clock, &["rollback", "--ingress", "ns-a/other"]).await;
    assert!(
        marked(&store, "ns-a", "shop-c")
            && marked(&store, "ns-a", "shop")
            && !marked(&store, "ns-a", "other")
    );
    let said = migrate(&store, &clock, &["rollback", "--ingress", "ns-a/shop-c"]).await;
    show(&said);
    assert!(said.err.contains("ROLLBACK-SHARED") && marked(&store, "ns-a", "shop-c"));
    done(&store, &clock, &["rollback", "--ingress", "ns-a/shop"]).await;
    assert!(!marked(&store, "ns-a", "shop-c") && store.list(VS).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_canary_is_cleaned_up_with_what_it_splits_and_after_it_and_comes_back_with_it() {
    let (store, clock) = split();
    done(&store, &clock, &["apply", "--all"]).await;
    let (_dir, dir) = backed_up(&store, &clock).await;
    tokio::time::sleep(Duration::from_secs(25 * 3600)).await;
    let words = ["cleanup", "--dir", &dir, "--accept", ACCEPT];
    let alone = [&words[..], &["--ingress", "ns-a/shop-c"]].concat();
    let said = migrate(&store, &clock, &alone).await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Refused);
    assert!(said.err.contains("CLEANUP-CANARY"));
    done(&store, &clock, &[&words[..], &["-n", "ns-a"]].concat()).await;
    assert!(store.get(ING, "ns-a", "shop").is_none() && store.get(ING, "ns-a", "shop-c").is_none());
    assert_eq!(weights(&store, SHOP), split_by(10));
    assert_eq!(
        states(&store, &clock).await,
        [is("shop", "cleaned", &[]), is("shop-c", "cleaned", &[])]
    );
    done(
        &store,
        &clock,
        &["rollback", "--ingress", "ns-a/shop", "--dir", &dir],
    )
    .await;
    assert!(store.get(ING, "ns-a", "shop").is_some() && !marked(&store, "ns-a", "shop-c"));
    assert!(store.list(VS).is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_a_canary_of_people_splits_is_not_handed_over_and_it_is_said_why() {
    let (store, clock) = split();
    let text = include_str!("../../../deploy/crd.yaml");
    for document in text.split("\n---") {
        let crd: Value = serde_saphyr::from_str(document).unwrap();
        store.register_crd(&crd).unwrap();
    }
    store.namespace("sealos-system");
    crate::handing_over::listener(&store);
    let hand = [
        "--rollout",
        "sealos-system/one",
        "--split",
        "istio-system/istio-ingressgateway:8081",
    ];
    done(&store, &clock, &["apply", "--all"]).await;
    let words = [&["-n", "ns-a", "apply", "--unprobed"][..], &hand].concat();
    let said = migrate(&store, &clock, &words).await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Refused);
    assert!(said.err.contains("APPLY-CANARY-SPLITS") && said.err.contains("ns-a/shop-c"));
    store.delete(ING, "ns-a", "shop-c").unwrap();
    done(&store, &clock, &words).await;
    assert_eq!(weights(&store, SHOP), all_to_the_shop());
    let missing: Result<_, Trouble> = migrate(
        &store,
        &clock,
        &["cleanup", "--dir", "x", "--ingress", "ns-a/shop-c"],
    )
    .await
    .end;
    assert!(missing.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_canary_of_another_namespace_that_may_not_be_seen_is_not_called_gone() {
    let (store, clock) = split();
    store.namespace("ns-z");
    store.delete(ING, "ns-a", "shop-c").unwrap();
    store.put(service("ns-z", "shop-c")).unwrap();
    store.put(canary("ns-z", SHOP, "10")).unwrap();
    done(&store, &clock, &["apply", "--all"]).await;
    assert_eq!(weights(&store, SHOP), split_by(10));
    // Whoever has the rights of one namespace lists the Ingresses of that alone.
    let inner = store.client("default");
    let narrow = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let inner = inner.clone();
        async move {
            if request.uri().path() == "/apis/networking.k8s.io/v1/ingresses" {
                let said = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 403,
                    "reason": "Forbidden", "message": "not you"});
                let body = kube::client::Body::from(said.to_string().into_bytes());
                return Ok(http::Response::builder().status(403).body(body).unwrap());
            }
            inner.send(request).await
        }
    });
    let client = kube::Client::new(narrow, "default");
    let said = migrate_by(client, &clock, &["-n", "ns-a", "--json", "status"]).await;
    show(&said);
    let told: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(told["ingresses"][0]["state"], "migrated");
    // Who sees it all is told when it goes.
    store.delete(ING, "ns-z", "shop-c").unwrap();
    let all = states(&store, &clock).await;
    assert_eq!(all[0], is("shop", "changed", &["STATE-SOURCE-CHANGED"]));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_only_a_canary_has_is_served_by_nobody_and_both_verbs_count_alike() {
    let (store, clock) = split();
    let mut more = Value::clone(&store.get(ING, "ns-a", "shop-c").unwrap());
    let mut rule = more["spec"]["rules"][0].clone();
    rule["host"] = json!("only.ns-a.example.com");
    more["spec"]["rules"].as_array_mut().unwrap().push(rule);
    store.put(more).unwrap();
    migrate(&store, &clock, &["apply", "--all"]).await.end.unwrap();
    let status = migrate(&store, &clock, &["status"]).await;
    let validate = migrate(&store, &clock, &["validate"]).await;
    println!("{}{}{}{}", status.out, status.err, validate.out, validate.err);
    assert!(
        status.out.contains("2 migrated (1 hosts served by both)"),
        "{}",
        status.out
    );
    let line = "0 Ingresses left, 2 migrated (1 hosts served by both), 0 changed, 0 failed, 0 cleaned up, 0 orphaned: ";
    assert!(validate.out.contains(line), "{}", validate.out);
}
