//! Hosts, Gateways, pods and back ups that move under what is served: nothing of others moves with them, and what does is
//! told.

use crate::apply::{GW, ING, VS, open};
use crate::objects::{ingress, service};
use crate::ownership::{AP, annotate, edit, made, two_classes};
use crate::support::{Said, migrate};
use gradual_rollout_apiserver::Store;
use gradual_rollout_apiserver::clock::Clock;
use gradual_rollout_toolkit::apply::item::stamped;
use gradual_rollout_toolkit::trouble::{End, Trouble};
use serde_json::{Value, json};

const LIST: &str = "whitelist-source-range";

async fn run(store: &Store, clock: &Clock, words: &[&str]) -> Said {
    let class = ["--ingress-class", "nginx"];
    let more = if words.contains(&"apply") { &class[..] } else { &[] };
    let said = migrate(store, clock, &[words, more].concat()).await;
    println!("{words:?}\n{}{}{:?}\n", said.err, said.out, said.end);
    said
}

async fn done(store: &Store, clock: &Clock, words: &[&str]) -> Said {
    let said = run(store, clock, words).await;
    assert_eq!(*said.end.as_ref().unwrap(), End::Done, "{words:?}");
    said
}

fn hosts(store: &Store, namespace: &str, name: &str) -> String {
    store.get(GW, namespace, name).unwrap()["spec"]["servers"].to_string()
}

#[tokio::test(start_paused = true)]
async fn a_batch_moves_its_hosts_to_another_gateway_and_nobody_elses() {
    let (store, clock) = two_classes(&["ns-a", "ns-b"]);
    store.namespace("gw2");
    done(&store, &clock, &["apply", "--all"]).await;
    done(&store, &clock, &["apply", "-n", "ns-a", "--gateway", "gw2/other"]).await;
    let all = hosts(&store, "gw2", "other");
    assert!(all.contains("ns-a/") && !all.contains("ns-b/"), "{all}");
    assert!(hosts(&store, "istio-system", "sealos-gateway").contains("ns-b/"));
}

#[tokio::test(start_paused = true)]
async fn the_pods_of_a_gateway_that_others_are_served_by_are_not_changed_by_a_flag_nor_by_one_that_is_forgotten()
 {
    let (store, clock) = two_classes(&["ns-a", "ns-b"]);
    annotate(&store, "ns-b", "shop", LIST, "10.0.0.0/8");
    let selector = ["--gateway-selector", "istio=own"];
    done(&store, &clock, &[&["apply", "--all"], &selector[..]].concat()).await;
    let before = (made(&store), hosts(&store, "istio-system", "sealos-gateway"));
    // Forgotten: it is as it is.
    done(&store, &clock, &["apply", "--all"]).await;
    assert_eq!(
        (made(&store), hosts(&store, "istio-system", "sealos-gateway")),
        before
    );
    let version = store.version();
    let other = ["apply", "-n", "ns-a", "--gateway-selector", "istio=other"];
    let said = run(&store, &clock, &other).await;
    let Err(Trouble::Refused(why)) = said.end else {
        panic!("{:?}", said.end);
    };
    assert!(why.contains("istio=own") && why.contains("--gateway"), "{why}");
    assert_eq!(store.version(), version);
    // Somebody does it by hand.
    let mut gateway = Value::clone(&store.get(GW, "istio-system", "sealos-gateway").unwrap());
    gateway["spec"]["selector"] = json!({"istio": "other"});
    store.put(gateway).unwrap();
    let told = run(&store, &clock, &["validate"]).await;
    assert!(
        told.err.contains("blocker  STATE-GUARD-ELSEWHERE"),
        "{}",
        told.err
    );
}

#[tokio::test(start_paused = true)]
async fn a_host_that_moves_between_namespaces_is_served_by_the_next_in_the_run_that_prunes_the_last() {
    let (store, clock) = two_classes(&["ns-a", "ns-b"]);
    done(&store, &clock, &["apply", "--all"]).await;
    edit(&store, "ns-a", "shop", |shop| {
        shop["spec"]["rules"][0]["host"] = json!("old.ns-a.example.com");
    });
    let mut next = ingress("ns-b", "next");
    next["spec"]["rules"][0]["host"] = json!("shop.ns-a.example.com");
    store.put(next).unwrap();
    store.put(service("ns-b", "next")).unwrap();
    let said = run(&store, &clock, &["apply", "--all"]).await;
    assert!(
        said.err.contains("APPLY-HOST-TAKEN") && said.err.contains("--prune"),
        "{}",
        said.err
    );
    done(&store, &clock, &["apply", "--all", "--prune"]).await;
    let open = open(&store);
    assert!(
        open.contains(&"ns-b/shop.ns-a.example.com".to_owned()),
        "{open:?}"
    );
    assert!(
        !open.contains(&"ns-a/shop.ns-a.example.com".to_owned()),
        "{open:?}"
    );
    done(&store, &clock, &["validate"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_backup_does_not_open_a_host_whose_ingress_was_guarded_more_since() {
    let (store, clock) = two_classes(&["ns-a"]);
    annotate(&store, "ns-a", "shop", LIST, "0.0.0.0/0");
    done(&store, &clock, &["apply", "--all"]).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b").to_str().unwrap().to_owned();
    done(&store, &clock, &["backup", "--dir", &path]).await;
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    annotate(&store, "ns-a", "shop", LIST, "10.0.0.0/8");
    done(&store, &clock, &["apply", "--all"]).await;
    let before = made(&store);
    for more in [&[][..], &["--kind", "AuthorizationPolicy"]] {
        let said = run(&store, &clock, &[&["restore", "--dir", &path], more].concat()).await;
        assert!(
            said.err.contains("RESTORE-INGRESS-STAYS"),
            "{more:?}: {}",
            said.err
        );
        assert_eq!(said.end.unwrap(), End::Partly);
        assert_eq!(made(&store), before, "{more:?}");
    }
    // A policy that is not the one that a route was written with is told, however it looks.
    let policy = store.list(AP).remove(0);
    let mut old = Value::clone(&policy);
    old["spec"]["rules"] = json!([]);
    store.put(old).unwrap();
    let told = run(&store, &clock, &["validate"]).await;
    assert!(told.err.contains("STATE-GUARD-EDITED"), "{}", told.err);
    // All of it, and the Ingress too, is put back when that is said.
    done(&store, &clock, &["restore", "--dir", &path, "--overwrite"]).await;
    assert!(store.list(AP)[0].to_string().contains("0.0.0.0/0"));
}

#[tokio::test(start_paused = true)]
async fn an_ingress_that_lost_its_mark_is_judged_by_its_route() {
    let (store, clock) = two_classes(&["ns-a"]);
    done(&store, &clock, &["apply", "--all"]).await;
    edit(&store, "ns-a", "shop", |shop| {
        shop["metadata"]["labels"] = json!({});
    });
    let told = run(&store, &clock, &["validate"]).await;
    assert!(
        told.err.contains("warning  STATE-UNMARKED  Ingress ns-a/shop"),
        "{}",
        told.err
    );
    // Whoever writes an Ingress may write what it was converted of, too.
    annotate(&store, "ns-a", "shop", "auth-type", "basic");
    edit(&store, "ns-a", "shop", |shop| {
        let notes = shop["metadata"]["annotations"].as_object_mut().unwrap();
        notes.retain(|name, _| !name.contains("sealos.io"));
    });
    let told = run(&store, &clock, &["validate"]).await;
    assert!(
        told.err.contains("blocker  STATE-UNPROTECTED  Ingress ns-a/shop"),
        "{}",
        told.err
    );
    let status = run(&store, &clock, &["status"]).await;
    assert!(status.out.contains("1 failed"), "{}", status.out);
}

#[tokio::test(start_paused = true)]
async fn an_ingress_that_is_of_another_class_since_is_told_and_the_remedy_ends_it() {
    let (store, clock) = two_classes(&["ns-a"]);
    done(&store, &clock, &["apply", "--all"]).await;
    edit(&store, "ns-a", "shop", |shop| {
        shop["spec"]["ingressClassName"] = json!("haproxy");
    });
    let told = run(&store, &clock, &["validate"]).await;
    assert!(
        told.err.contains("STATE-OTHER-CLASS") && told.err.contains("rollback --ingress ns-a/shop"),
        "{}",
        told.err
    );
    let said = run(&store, &clock, &["apply", "-n", "ns-a"]).await;
    assert!(
        said.err.contains("blocker  APPLY-STILL-SERVED") && !said.err.contains("APPLY-NOT-SERVED"),
        "{}",
        said.err
    );
    assert_ne!(said.end.unwrap(), End::Done);
    done(&store, &clock, &["rollback", "--ingress", "ns-a/shop"]).await;
    done(&store, &clock, &["validate"]).await;
    assert_eq!(store.list(VS).len(), 0);
    assert!(store.get(ING, "ns-a", "shop").is_some());
}

#[tokio::test(start_paused = true)]
async fn annotations_are_not_read_by_another_prefix_than_what_is_served_was_converted_by() {
    let (store, clock) = two_classes(&["ns-a"]);
    annotate(&store, "ns-a", "shop", LIST, "10.0.0.0/8");
    done(&store, &clock, &["apply", "--all"]).await;
    let version = store.version();
    let said = run(
        &store,
        &clock,
        &["apply", "--all", "--annotations-prefix", "my.org"],
    )
    .await;
    let Err(Trouble::Refused(why)) = said.end else {
        panic!("{:?}", said.end);
    };
    assert!(why.contains("my.org") && why.contains("ns-a/shop"), "{why}");
    assert_eq!(store.version(), version);
}

#[tokio::test(start_paused = true)]
async fn an_ingress_that_keeps_a_younger_one_from_being_served_stays_and_one_that_came_back_younger_is_told()
{
    let (store, clock) = two_classes(&["ns-a", "ns-b"]);
    annotate(&store, "ns-a", "shop", LIST, "10.0.0.0/8");
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    let mut other = ingress("ns-b", "open");
    other["spec"]["rules"][0]["host"] = json!("shop.ns-a.example.com");
    store.put(other).unwrap();
    store.put(service("ns-b", "open")).unwrap();
    run(&store, &clock, &["apply", "--all"]).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b").to_str().unwrap().to_owned();
    done(&store, &clock, &["backup", "--dir", &path]).await;
    let accept = "CLEANUP-NAME-UNKNOWN,CLEANUP-COUNTING,CLEANUP-COUNT-UNKNOWN,CLEANUP-NOT-PROBED";
    let words = [
        "cleanup", "-n", "ns-a", "--dir", &path, "--soak", "0", "--accept", accept,
    ];
    let said = run(&store, &clock, &words).await;
    assert!(
        said.err.contains("CLEANUP-SHADOWS  Ingress ns-a/shop") && said.err.contains("ns-b/open"),
        "{}",
        said.err
    );
    assert!(store.get(ING, "ns-a", "shop").is_some());
    let accept = format!("{accept},CLEANUP-SHADOWS");
    let words = [
        "cleanup", "-n", "ns-a", "--dir", &path, "--soak", "0", "--accept", &accept,
    ];
    done(&store, &clock, &words).await;
    let words = [
        "restore", "-n", "ns-a", "--dir", &path, "--kind", "Ingress", "--name", "shop",
    ];
    let said = run(&store, &clock, &words).await;
    assert!(
        said.err.contains("warning  RESTORE-YOUNGER  Ingress ns-a/shop"),
        "{}",
        said.err
    );
}

#[tokio::test(start_paused = true)]
async fn while_a_name_leads_to_the_gateway_its_host_is_not_pruned() {
    let (store, clock) = two_classes(&["ns-a"]);
    done(&store, &clock, &["apply", "--all"]).await;
    // No Ingress may have a host that this machine knows, so it is as if one had had it once.
    let mut old = Value::clone(&store.list(VS)[0]);
    old["metadata"] = json!({"name": "old", "namespace": "ns-a", "labels": old["metadata"]["labels"],
        "annotations": old["metadata"]["annotations"]});
    old["spec"]["hosts"] = json!(["localhost"]);
    store.put(stamped(old, None)).unwrap();
    let mut gateway = Value::clone(&store.list(GW)[0]);
    let hosts = gateway["spec"]["servers"][0]["hosts"].as_array_mut().unwrap();
    hosts.push(json!("ns-a/localhost"));
    store.put(stamped(gateway, None)).unwrap();
    let edge = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "edge", "namespace": "istio-system"},
        "spec": {"selector": {"istio": "ingressgateway"}, "ports": [{"port": 80}]},
        "status": {"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}, {"ip": "::1"}]}}});
    store.put(edge).unwrap();
    let version = store.version();
    let shown = run(&store, &clock, &["apply", "--all", "--prune", "--dry-run"]).await;
    assert!(
        shown.err.contains("blocker  APPLY-NAME-LEADS-TO-GATEWAY"),
        "{}",
        shown.err
    );
    let said = run(&store, &clock, &["apply", "--all", "--prune"]).await;
    assert!(said.end.unwrap_err().to_string().contains("localhost ("));
    assert_eq!((store.version(), open(&store).len()), (version, 2));
    done(
        &store,
        &clock,
        &["apply", "--all", "--prune", "--prune-named", "--overwrite"],
    )
    .await;
    assert_eq!(open(&store), ["ns-a/shop.ns-a.example.com"]);
}
