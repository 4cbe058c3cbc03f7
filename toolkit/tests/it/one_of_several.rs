//! `migrate rollback` of one Ingress beside others that stay: their GradualRollout, their share, and an older one of its path.

use crate::apply::{GW, ING, tenants};
use crate::handing_over::listener;
use crate::objects::{ingress, service};
use crate::rollback::rollout;
use crate::support::{Said, migrate};
use gradual_rollout_apiserver::Store;
use gradual_rollout_apiserver::clock::Clock;
use gradual_rollout_toolkit::trouble::End;
use serde_json::{Value, json};
use std::time::Duration;

const GR: &str = "gradualrollouts.rollout.sealos.io";
const LIST: &str = "nginx.ingress.kubernetes.io/whitelist-source-range";

async fn said(store: &Store, clock: &Clock, words: &[&str]) -> Said {
    let said = migrate(store, clock, words).await;
    println!("{}{}{:?}\n", said.err, said.out, said.end);
    said
}

/// A tenant with two shops, handed over.
async fn two() -> (Store, Clock) {
    let (store, clock) = tenants(&["ns-a", "ns-b"]);
    rollout(&store);
    listener(&store);
    store.put(ingress("ns-a", "adm")).unwrap();
    store.put(service("ns-a", "adm")).unwrap();
    let words = [
        "apply",
        "--all",
        "--rollout",
        "sealos-system/batch",
        "--split",
        "istio-system/istio-ingressgateway:8081",
        "--unprobed",
    ];
    assert_eq!(said(&store, &clock, &words).await.end.unwrap(), End::Done);
    tokio::time::sleep(Duration::from_secs(60)).await;
    (store, clock)
}

fn told(store: &Store) -> Vec<Value> {
    let rollout = store.get(GR, "sealos-system", "batch").unwrap();
    let notes = rollout["metadata"]["annotations"].as_object().unwrap();
    let wishes = notes.iter().filter(|(key, _)| key.contains("command.rollback."));
    wishes
        .map(|(_, wish)| serde_json::from_str(wish.as_str().unwrap()).unwrap())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn the_rollout_of_those_that_stay_is_not_deleted_and_what_becomes_of_their_share_is_told() {
    let (store, clock) = two().await;
    let words = ["rollback", "--ingress", "ns-a/adm"];
    let dry = said(&store, &clock, &[&words[..], &["--dry-run"]].concat()).await;
    let done = said(&store, &clock, &words).await;
    assert_eq!(dry.end.unwrap(), End::Done);
    assert_eq!(done.end.unwrap(), End::Done);
    for text in [&dry.err, &done.err] {
        assert!(
            text.contains("warning  ROLLBACK-SHARE-TOGETHER  GradualRollout sealos-system/batch")
                && text.contains("that of ns-a/shop goes back to 0")
                && text.contains("gradual-rollout retry -n sealos-system -c ns-a"),
            "{text}"
        );
    }
    assert!(!dry.out.contains("delete      GradualRollout"), "{}", dry.out);
    // Another namespace's share is nobody's here.
    let wishes = told(&store);
    assert_eq!(wishes.len(), 1);
    assert_eq!(wishes[0]["components"], json!(["ns-a"]));
    assert!(crate::apply::marked(&store, "ns-a", "shop") && !crate::apply::marked(&store, "ns-a", "adm"));
    // The last one takes it away.
    let rest = said(&store, &clock, &["-n", "ns-a", "rollback"]).await;
    assert_eq!(rest.end.unwrap(), End::Done);
    assert!(store.get(GR, "sealos-system", "batch").is_some(), "ns-b stays");
    let rest = said(&store, &clock, &["rollback", "--ingress", "ns-b/shop"]).await;
    assert_eq!(rest.end.unwrap(), End::Done);
    assert!(!rest.err.contains("ROLLBACK-SHARE-TOGETHER"), "{}", rest.err);
    assert!(store.list(GR).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_component_that_does_not_select_what_goes_back_keeps_its_share() {
    let (store, clock) = two().await;
    // By name, each a component of its own.
    let mut rollout = Value::clone(&store.get(GR, "sealos-system", "batch").unwrap());
    let mut one = rollout["spec"]["components"][0].clone();
    assert_eq!(one["name"], "ns-a");
    let mut other = one.clone();
    for (component, name) in [(&mut one, "adm"), (&mut other, "shop")] {
        component["name"] = json!(name);
        component["routers"][0]["ingressNginx"]["ingresses"] =
            json!({"names": [name], "namespaces": ["ns-a"]});
    }
    rollout["spec"]["components"] = json!([one, other]);
    store.put(rollout).unwrap();
    // It has a share, and it is its own.
    let mut canary = crate::rollback::canary("500");
    canary["metadata"]["labels"]["rollout.sealos.io/component"] = json!("shop");
    canary["metadata"]["annotations"]["rollout.sealos.io/rollout"] = json!("sealos-system/batch");
    canary["spec"]["rules"][0]["host"] = json!("shop.ns-a.example.com");
    store.put(canary).unwrap();
    let done = said(&store, &clock, &["rollback", "--ingress", "ns-a/adm"]).await;
    assert_eq!(done.end.unwrap(), End::Done);
    let wishes = told(&store);
    assert_eq!(wishes.len(), 1);
    assert_eq!(wishes[0]["components"], json!(["adm"]));
    assert!(!done.err.contains("ROLLBACK-SHARE-TOGETHER"), "{}", done.err);
    assert!(store.get(ING, "ns-a", "gr-shop-80-1234").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_would_be_lost_by_age_on_the_way_back_is_a_refusal_before_anything_is_undone() {
    let (store, clock) = tenants(&["ns-a"]);
    let mut old = Value::clone(&store.get(ING, "ns-a", "shop").unwrap());
    old["metadata"]["annotations"] = json!({(LIST): "10.0.0.0/8"});
    store.put(old).unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let mut young = ingress("ns-a", "young");
    young["spec"]["rules"][0]["host"] = json!("shop.ns-a.example.com");
    store.put(young).unwrap();
    store.put(service("ns-a", "young")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b").to_str().unwrap().to_owned();
    said(&store, &clock, &["backup", "--dir", &path]).await;
    said(&store, &clock, &["apply", "--all"]).await;
    store.delete(ING, "ns-a", "shop").unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let version = store.version();
    let words = ["-n", "ns-a", "rollback", "--dir", &path];
    for (more, end) in [(&["--dry-run"][..], End::Partly), (&[], End::Refused)] {
        let refused = said(&store, &clock, &[&words[..], more].concat()).await;
        assert_eq!(refused.end.unwrap(), end);
        assert!(
            refused
                .err
                .contains("blocker  RESTORE-YOUNGER  Ingress ns-a/shop")
                && refused.err.contains("--accept RESTORE-YOUNGER"),
            "{}",
            refused.err
        );
        assert_eq!(store.version(), version, "nothing is undone");
    }
    let accept = [&words[..], &["--accept", "RESTORE-YOUNGER"]].concat();
    let dry = said(&store, &clock, &[&accept[..], &["--dry-run"]].concat()).await;
    assert_eq!(dry.end.unwrap(), End::Done);
    let done = said(&store, &clock, &accept).await;
    assert_eq!(done.end.unwrap(), End::Done);
    for text in [&dry.err, &done.err] {
        assert_eq!(text.matches("warning  RESTORE-YOUNGER").count(), 1, "{text}");
    }
    assert!(store.list(GW).is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_that_comes_back_behind_another_with_the_same_guard_is_told_and_comes_back() {
    let (store, clock) = tenants(&["ns-a"]);
    let list = |ingress: &mut Value| ingress["metadata"]["annotations"] = json!({(LIST): "10.0.0.0/8"});
    let mut old = Value::clone(&store.get(ING, "ns-a", "shop").unwrap());
    list(&mut old);
    store.put(old).unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let mut young = ingress("ns-a", "young");
    young["spec"]["rules"][0]["host"] = json!("shop.ns-a.example.com");
    list(&mut young);
    store.put(young).unwrap();
    store.put(service("ns-a", "young")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b").to_str().unwrap().to_owned();
    said(&store, &clock, &["backup", "--dir", &path]).await;
    said(&store, &clock, &["apply", "--all"]).await;
    store.delete(ING, "ns-a", "shop").unwrap();
    let words = ["-n", "ns-a", "rollback", "--dir", &path];
    for more in [&["--dry-run"][..], &[]] {
        let done = said(&store, &clock, &[&words[..], more].concat()).await;
        assert_eq!(done.end.unwrap(), End::Done);
        assert_eq!(
            done.err.matches("warning  RESTORE-YOUNGER").count(),
            1,
            "{}",
            done.err
        );
    }
}
