//! `migrate apply` in a cluster.

use crate::kinds;
use crate::objects::{ingress, service};
use crate::support::{Said, cluster, migrate};
use gradual_rollout_apiserver::clock::Clock;
use gradual_rollout_apiserver::{Action, Failure, Fault, Store};
use gradual_rollout_toolkit::trouble::{End, Trouble};
use serde_json::{Value, json};
use std::sync::Arc;

pub(crate) const VS: &str = "virtualservices.networking.istio.io";
pub(crate) const GW: &str = "gateways.networking.istio.io";
pub(crate) const ING: &str = "ingresses.networking.k8s.io";

/// A cluster with Istio and two tenants, each with a shop.
pub(crate) fn tenants(names: &[&str]) -> (Store, Clock) {
    let (store, clock) = cluster();
    kinds::istio(&store);
    store.namespace("istio-system");
    crate::standing::gateway_pod(&store);
    for namespace in names {
        store.namespace(namespace);
        store.put(ingress(namespace, "shop")).unwrap();
        store.put(service(namespace, "shop")).unwrap();
    }
    (store, clock)
}

/// The hosts that are open at the gateway.
pub(crate) fn open(store: &Store) -> Vec<String> {
    let Some(gateway) = store.get(GW, "istio-system", "sealos-gateway") else {
        return Vec::new();
    };
    let servers = gateway["spec"]["servers"].as_array().unwrap();
    let hosts = servers
        .iter()
        .flat_map(|server| server["hosts"].as_array().unwrap());
    let mut all: Vec<String> = hosts.map(|host| host.as_str().unwrap().to_owned()).collect();
    all.sort();
    all.dedup();
    all
}

pub(crate) fn marked(store: &Store, namespace: &str, name: &str) -> bool {
    let ingress = store.get(ING, namespace, name).unwrap();
    ingress["metadata"]["labels"].get("sealos.io/migrated-to-istio") == Some(&json!("true"))
}

fn route(store: &Store, namespace: &str) -> Arc<Value> {
    let mut all = store.list(VS);
    all.retain(|object| object["metadata"]["namespace"] == namespace);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

fn fail(verb: &str, resource: &str) -> Fault {
    Fault::new(Action::Fail(Failure::new(500, "InternalError", "etcd is away")))
        .verb(verb)
        .resource(resource)
}

fn show(said: &Said) {
    println!("{}{}{:?}\n", said.err, said.out, said.end);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_written_marked_and_the_second_time_nothing_is_done() {
    let (store, clock) = tenants(&["ns-a", "ns-b"]);
    let said = migrate(&store, &clock, &["-n", "ns-a", "apply"]).await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Done);
    assert_eq!(open(&store), ["ns-a/shop.ns-a.example.com"]);
    assert!(marked(&store, "ns-a", "shop") && !marked(&store, "ns-b", "shop"));
    let ingress = store.get(ING, "ns-a", "shop").unwrap();
    assert_eq!(ingress["metadata"]["labels"]["app"], "shop");
    assert_eq!(
        ingress["metadata"]["annotations"]["sealos.io/migration-time"],
        "2026-01-05T02:00:00Z"
    );
    let version = store.version();
    let again = migrate(&store, &clock, &["-n", "ns-a", "apply"]).await;
    assert_eq!(again.end.unwrap(), End::Done);
    assert!(
        !again.err.contains("FOREIGN-ANNOTATION"),
        "our own marks are told: {}",
        again.err
    );
    assert_eq!(store.version(), version, "{}", again.out);
    let next = migrate(&store, &clock, &["apply", "--batch", "ns-b"]).await;
    assert_eq!(next.end.unwrap(), End::Done);
    assert_eq!(open(&store).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_writes_nothing_and_only_the_plan_that_was_looked_at_is_written() {
    let (store, clock) = tenants(&["ns-a"]);
    let version = store.version();
    for dry in ["--dry-run", "--dry-run=server"] {
        let said = migrate(&store, &clock, &["-n", "ns-a", "apply", dry]).await;
        show(&said);
        assert_eq!(said.end.unwrap(), End::Done);
        assert_eq!(store.version(), version);
    }
    let said = migrate(&store, &clock, &["--json", "-n", "ns-a", "apply", "--dry-run"]).await;
    let told: Value = serde_json::from_str(&said.out).unwrap();
    let hash = told["plan"].as_str().unwrap();
    let mut changed = ingress("ns-a", "shop");
    changed["spec"]["rules"][0]["http"]["paths"][0]["path"] = json!("/api");
    store.put(changed).unwrap();
    let version = store.version();
    let refused = migrate(&store, &clock, &["-n", "ns-a", "apply", "--plan", hash]).await;
    show(&refused);
    assert!(matches!(refused.end, Err(Trouble::Refused(_))));
    assert_eq!(store.version(), version);
    store.put(ingress("ns-a", "shop")).unwrap();
    let said = migrate(&store, &clock, &["-n", "ns-a", "apply", "--plan", hash]).await;
    assert_eq!(said.end.unwrap(), End::Done);
}

#[tokio::test(start_paused = true)]
async fn what_the_converter_refuses_is_left_out_and_named_and_the_rest_goes_on() {
    let (store, clock) = tenants(&["ns-a"]);
    let mut admin = ingress("ns-a", "admin");
    admin["metadata"]["annotations"] = json!({"nginx.ingress.kubernetes.io/auth-type": "basic",
        "nginx.ingress.kubernetes.io/auth-secret": "users"});
    store.put(admin).unwrap();
    store.put(service("ns-a", "admin")).unwrap();
    let said = migrate(&store, &clock, &["-n", "ns-a", "apply"]).await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Partly);
    assert!(said.err.contains("APPLY-REFUSED") && said.err.contains("AUTH-BASIC"));
    assert!(said.out.contains(" 1 left out, 0 failed"), "{}", said.out);
    assert_eq!(open(&store), ["ns-a/shop.ns-a.example.com"]);
    assert!(marked(&store, "ns-a", "shop") && !marked(&store, "ns-a", "admin"));
    let one = migrate(&store, &clock, &["apply", "--ingress", "ns-a/admin"]).await;
    assert_eq!(one.end.unwrap(), End::Refused);
}

#[tokio::test(start_paused = true)]
async fn a_route_that_failed_keeps_its_host_closed_and_the_next_run_goes_on() {
    let (store, clock) = tenants(&["ns-a", "ns-b"]);
    let mut fault = fail("patch", VS);
    fault.namespace = Some("ns-b".to_owned());
    let number = store.inject(fault);
    let said = migrate(&store, &clock, &["apply", "--all"]).await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Partly);
    assert_eq!(open(&store), ["ns-a/shop.ns-a.example.com"]);
    assert!(marked(&store, "ns-a", "shop") && !marked(&store, "ns-b", "shop"));
    store.faults().lift(number);
    let said = migrate(&store, &clock, &["apply", "--all"]).await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Done);
    assert_eq!(open(&store).len(), 2);
    assert!(marked(&store, "ns-b", "shop"));
}

#[tokio::test(start_paused = true)]
async fn every_object_that_was_planned_is_among_the_results_also_a_gateway_none_of_whose_hosts_can_be_opened()
{
    let (store, clock) = tenants(&["ns-a"]);
    store.inject(fail("patch", VS));
    let said = migrate(&store, &clock, &["--json", "apply", "--all"]).await;
    assert_eq!(said.end.unwrap(), End::Refused);
    let told: Value = serde_json::from_str(&said.out).unwrap();
    let of = |list: &str| -> Vec<String> {
        let all = told[list].as_array().unwrap().iter();
        all.map(|one| one["object"].as_str().unwrap().to_owned())
            .collect()
    };
    let (planned, results) = (of("planned"), of("results"));
    assert!(
        planned.iter().any(|object| object.starts_with("Gateway ")),
        "{planned:?}"
    );
    for object in &planned {
        assert_eq!(
            results.iter().filter(|one| *one == object).count(),
            1,
            "{object}: {told:#}"
        );
    }
    let lines = told["results"].as_array().unwrap();
    let gateway = lines
        .iter()
        .find(|one| one["object"].as_str().unwrap().starts_with("Gateway "))
        .unwrap();
    assert_eq!(gateway["result"], "leftOut", "{gateway}");
    assert!(
        gateway["message"].as_str().unwrap().contains("none of its hosts"),
        "{gateway}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_budget_for_failures_stops_it_and_the_rest_is_listed() {
    let names: Vec<String> = (0..60).map(|n| format!("ns-{n}")).collect();
    let (store, clock) = tenants(&names.iter().map(String::as_str).collect::<Vec<_>>());
    store.inject(fail("patch", VS));
    let words = ["--json", "apply", "--all", "--max-failures", "2", "--rate", "10"];
    let said = migrate(&store, &clock, &words).await;
    assert_eq!(said.end.unwrap(), End::Refused, "nothing was written");
    let told: Value = serde_json::from_str(&said.out).unwrap();
    let results = told["results"].as_array().unwrap();
    let count = |word: &str| results.iter().filter(|line| line["result"] == word).count();
    let (failed, left) = (count("failed"), count("notReached") + count("leftOut"));
    println!("{failed} failed, {left} left");
    assert!((3..=20).contains(&failed), "{failed}");
    assert_eq!(
        failed + left,
        121,
        "every route, every mark and the Gateway are listed"
    );
    assert!(told["findings"].to_string().contains("APPLY-STOPPED"));
    assert_eq!(open(&store), Vec::<String>::new());
}

pub(crate) fn certificate(namespace: &str, name: &str, text: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": name, "namespace": namespace},
        "stringData": {"tls.crt": text, "tls.key": "key"}})
}

#[tokio::test(start_paused = true)]
async fn certificates_are_copied_to_the_gateway_and_renewed_with_their_source() {
    let (store, clock) = tenants(&["ns-a"]);
    let mut tls = ingress("ns-a", "shop");
    tls["spec"]["tls"] = json!([{"hosts": ["shop.ns-a.example.com"], "secretName": "shop-tls"}]);
    store.put(tls).unwrap();
    store.put(certificate("ns-a", "shop-tls", "first")).unwrap();
    let said = migrate(&store, &clock, &["-n", "ns-a", "apply"]).await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Done);
    let copies = || -> Vec<Arc<Value>> {
        let mut all = store.list("secrets");
        all.retain(|secret| secret["metadata"]["namespace"] == "istio-system");
        all
    };
    let copy = copies().remove(0);
    assert_eq!(
        copy["metadata"]["annotations"]["rollout.sealos.io/copy-of"],
        "ns-a/shop-tls"
    );
    let gateway = store.get(GW, "istio-system", "sealos-gateway").unwrap();
    assert!(
        gateway["spec"]
            .to_string()
            .contains(copy["metadata"]["name"].as_str().unwrap())
    );
    store.put(certificate("ns-a", "shop-tls", "second")).unwrap();
    let before = store.version();
    let said = migrate(&store, &clock, &["apply", "--all", "--secrets-only"]).await;
    assert_eq!(said.end.unwrap(), End::Done);
    assert_eq!(store.version(), before + 1);
    assert_ne!(copies()[0]["data"], copy["data"]);
    let said = migrate(&store, &clock, &["apply", "--all", "--secrets-only"]).await;
    assert_eq!(said.end.unwrap(), End::Done);
    assert_eq!(store.version(), before + 1);
    // The gateway shows it when the Ingress was cleaned up, too.
    store.delete(ING, "ns-a", "shop").unwrap();
    store.put(certificate("ns-a", "shop-tls", "third")).unwrap();
    let second = copies().remove(0);
    let said = migrate(&store, &clock, &["apply", "--all", "--secrets-only"]).await;
    assert_eq!(said.end.unwrap(), End::Done);
    assert_ne!(copies()[0]["data"], second["data"]);
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_another_verb_made_is_renewed_with_its_labels() {
    let (store, clock) = tenants(&["ns-a"]);
    store.put(certificate("ns-a", "own", "first")).unwrap();
    let mut copy = certificate("istio-system", "ns-a-own", "first");
    copy["metadata"]["labels"] = json!({"app.kubernetes.io/managed-by": "gradual-rollout",
        "rollout.sealos.io/tenant": "a"});
    copy["metadata"]["annotations"] = json!({"rollout.sealos.io/copy-of": "ns-a/own"});
    store.put(copy).unwrap();
    let version = store.version();
    let same = migrate(&store, &clock, &["apply", "--all", "--secrets-only"]).await;
    assert_eq!((same.end.unwrap(), store.version()), (End::Done, version));
    store.put(certificate("ns-a", "own", "second")).unwrap();
    let stale = migrate(&store, &clock, &["validate"]).await;
    assert!(stale.err.contains("VALIDATE-COPY-STALE"), "{}", stale.err);
    let said = migrate(&store, &clock, &["apply", "--all", "--secrets-only"]).await;
    assert_eq!(said.end.unwrap(), End::Done);
    let now = store.get("secrets", "istio-system", "ns-a-own").unwrap();
    assert_eq!(now["data"], store.get("secrets", "ns-a", "own").unwrap()["data"]);
    assert_eq!(now["metadata"]["labels"]["rollout.sealos.io/tenant"], "a");
    assert_eq!(
        now["metadata"]["annotations"]["rollout.sealos.io/copy-of"],
        "ns-a/own"
    );
}

#[tokio::test(start_paused = true)]
async fn what_somebody_edited_is_left_and_named_until_it_is_to_be_overwritten() {
    let (store, clock) = tenants(&["ns-a"]);
    migrate(&store, &clock, &["-n", "ns-a", "apply"])
        .await
        .end
        .unwrap();
    let written = route(&store, "ns-a");
    let mut edited = Value::clone(&written);
    edited["spec"]["http"][0]["timeout"] = json!("5s");
    store.put(edited).unwrap();
    let said = migrate(&store, &clock, &["-n", "ns-a", "apply"]).await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Partly);
    assert!(said.err.contains("APPLY-EDITED"), "{}", said.err);
    assert_eq!(route(&store, "ns-a")["spec"]["http"][0]["timeout"], "5s");
    // The Ingress changes too: three sides, all different.
    let mut changed = ingress("ns-a", "shop");
    changed["spec"]["rules"][0]["http"]["paths"][0]["path"] = json!("/api");
    changed["metadata"]["labels"]["sealos.io/migrated-to-istio"] = json!("true");
    changed["metadata"]["annotations"] =
        store.get(ING, "ns-a", "shop").unwrap()["metadata"]["annotations"].clone();
    store.put(changed).unwrap();
    let said = migrate(&store, &clock, &["-n", "ns-a", "apply"]).await;
    show(&said);
    assert!(said.err.contains("APPLY-EDITED-BOTH") && said.err.contains("APPLY-SOURCE-CHANGED"));
    let said = migrate(&store, &clock, &["-n", "ns-a", "apply", "--overwrite"]).await;
    assert_eq!(said.end.unwrap(), End::Done);
    let now = route(&store, "ns-a");
    assert_eq!(now["spec"]["http"][0].get("timeout"), None);
    assert!(now["spec"].to_string().contains("/api"));
}

#[tokio::test(start_paused = true)]
async fn an_ingress_that_was_cleaned_up_stays_open_when_the_next_batch_is_written() {
    let (store, clock) = tenants(&["ns-a", "ns-b"]);
    migrate(&store, &clock, &["-n", "ns-a", "apply"])
        .await
        .end
        .unwrap();
    store.delete(ING, "ns-a", "shop").unwrap();
    let said = migrate(&store, &clock, &["-n", "ns-b", "apply"]).await;
    assert_eq!(said.end.unwrap(), End::Done);
    assert_eq!(
        open(&store),
        ["ns-a/shop.ns-a.example.com", "ns-b/shop.ns-b.example.com"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_host_that_somebody_else_serves_at_a_gateway_is_left_out() {
    let (store, clock) = tenants(&["ns-a"]);
    store
        .put(
            json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": {"name": "mine", "namespace": "ns-a"},
            "spec": {"hosts": ["shop.ns-a.example.com"], "gateways": ["istio-system/other"]}}),
        )
        .unwrap();
    let said = migrate(&store, &clock, &["-n", "ns-a", "apply"]).await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Refused);
    assert!(said.err.contains("APPLY-HOST-TAKEN"));
    assert_eq!((open(&store).len(), marked(&store, "ns-a", "shop")), (0, false));
    store
        .put(json!({"apiVersion": "networking.istio.io/v1", "kind": "Gateway",
            "metadata": {"name": "sealos-gateway", "namespace": "istio-system"}, "spec": {"servers": []}}))
        .unwrap();
    store.delete(VS, "ns-a", "mine").unwrap();
    let said = migrate(&store, &clock, &["-n", "ns-a", "apply"]).await;
    show(&said);
    assert!(said.err.contains("APPLY-FOREIGN"));
    assert!(!marked(&store, "ns-a", "shop"));
}

#[tokio::test(start_paused = true)]
async fn ingresses_that_share_a_host_are_written_together_or_not_at_all() {
    let (store, clock) = tenants(&["ns-a", "ns-b"]);
    let mut shared = ingress("ns-b", "shop");
    shared["spec"]["rules"][0]["host"] = json!("shop.ns-a.example.com");
    shared["spec"]["rules"][0]["http"]["paths"][0]["path"] = json!("/b");
    store.put(shared).unwrap();
    let said = migrate(&store, &clock, &["-n", "ns-a", "apply"]).await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Refused);
    assert!(said.err.contains("APPLY-HOST-SHARED") && said.err.contains("ns-b/shop"));
    let said = migrate(&store, &clock, &["-n", "ns-a", "apply", "--widen"]).await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(marked(&store, "ns-a", "shop") && marked(&store, "ns-b", "shop"));
}

#[tokio::test(start_paused = true)]
async fn what_is_written_is_taken_by_istios_own_definitions() {
    let Some(file) = crate::schemas::file() else {
        return;
    };
    let text = std::fs::read_to_string(file).unwrap();
    let (store, clock) = tenants(&["ns-a"]);
    for document in text.split("\n---\n") {
        let crd: Value = serde_saphyr::from_str(document).unwrap();
        if crd["kind"] == "CustomResourceDefinition" {
            store.register_crd(&crd).unwrap();
        }
    }
    let mut tls = ingress("ns-a", "shop");
    tls["spec"]["tls"] = json!([{"hosts": ["shop.ns-a.example.com"], "secretName": "shop-tls"}]);
    tls["metadata"]["annotations"] = json!({"nginx.ingress.kubernetes.io/whitelist-source-range": "10.0.0.0/8",
        "nginx.ingress.kubernetes.io/backend-protocol": "GRPC"});
    store.put(tls).unwrap();
    store.put(certificate("ns-a", "shop-tls", "first")).unwrap();
    let said = migrate(&store, &clock, &["-n", "ns-a", "apply"]).await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Done);
    for resource in [
        VS,
        GW,
        "destinationrules.networking.istio.io",
        "authorizationpolicies.security.istio.io",
    ] {
        assert_eq!(store.list(resource).len(), 1, "{resource}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_an_ingress_has_no_more_is_told() {
    let (store, clock) = tenants(&["ns-a"]);
    migrate(&store, &clock, &["-n", "ns-a", "apply"])
        .await
        .end
        .unwrap();
    let mut moved = Value::clone(&store.get(ING, "ns-a", "shop").unwrap());
    moved["spec"]["rules"][0]["host"] = json!("new.ns-a.example.com");
    store.put(moved).unwrap();
    let said = migrate(&store, &clock, &["-n", "ns-a", "apply"]).await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(said.err.contains("APPLY-STALE"), "{}", said.err);
    assert_eq!(open(&store).len(), 2);
    migrate(&store, &clock, &["-n", "ns-a", "rollback"])
        .await
        .end
        .unwrap();
    migrate(&store, &clock, &["-n", "ns-a", "apply"])
        .await
        .end
        .unwrap();
    assert_eq!(open(&store), ["ns-a/new.ns-a.example.com"]);
}

#[tokio::test(start_paused = true)]
async fn a_policy_whose_address_list_was_taken_away_is_told() {
    let (store, clock) = tenants(&["ns-a"]);
    let list = "nginx.ingress.kubernetes.io/whitelist-source-range";
    let mut guarded = ingress("ns-a", "shop");
    guarded["metadata"]["annotations"][list] = json!("10.0.0.0/8");
    store.put(guarded).unwrap();
    migrate(&store, &clock, &["-n", "ns-a", "apply"])
        .await
        .end
        .unwrap();
    let mut open_to_all = Value::clone(&store.get(ING, "ns-a", "shop").unwrap());
    open_to_all["metadata"]["annotations"]
        .as_object_mut()
        .unwrap()
        .remove(list);
    store.put(open_to_all).unwrap();
    let said = migrate(&store, &clock, &["-n", "ns-a", "apply"]).await;
    show(&said);
    assert!(
        said.err
            .contains("APPLY-STALE  AuthorizationPolicy istio-system/"),
        "{}",
        said.err
    );
    migrate(&store, &clock, &["-n", "ns-a", "rollback"])
        .await
        .end
        .unwrap();
    let again = migrate(&store, &clock, &["-n", "ns-a", "apply"]).await;
    assert!(!again.err.contains("APPLY-STALE"), "{}", again.err);
    assert_eq!(store.list("authorizationpolicies.security.istio.io").len(), 0);
}

#[tokio::test(start_paused = true)]
async fn two_hundred_objects_a_second_are_written_where_they_may_be() {
    let names: Vec<String> = (0..200).map(|n| format!("ns-{n}")).collect();
    let (store, clock) = tenants(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let begun = tokio::time::Instant::now();
    let said = migrate(&store, &clock, &["apply", "--all", "--rate", "200"]).await;
    assert_eq!(said.end.unwrap(), End::Done);
    // 200 routes, one Gateway, 200 marks.
    let took = begun.elapsed().as_millis();
    assert!((1990..=2020).contains(&took), "{took} ms");
    assert_eq!(open(&store).len(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_typo_no_rights_and_a_cluster_without_istio_are_told_before_anything_is_written() {
    let (store, clock) = tenants(&["ns-a"]);
    let version = store.version();
    for words in [
        vec!["apply"],
        vec!["-n", "ns-z", "apply"],
        vec!["apply", "--ingress", "ns-a/shpo"],
        vec!["-n", "ns-a", "apply", "--accept", "BODY"],
    ] {
        let said = migrate(&store, &clock, &words).await;
        println!("{:?}", said.end);
        assert!(matches!(said.end, Err(Trouble::Usage(_))), "{words:?}");
    }
    store.inject(
        Fault::new(Action::Fail(Failure::new(
            403,
            "Forbidden",
            "secrets is forbidden: User \"ops\" cannot list resource \"secrets\"",
        )))
        .verb("list")
        .resource("secrets"),
    );
    let said = migrate(&store, &clock, &["-n", "ns-a", "apply"]).await;
    println!("{:?}", said.end);
    assert!(matches!(said.end, Err(Trouble::Refused(_))));
    assert_eq!(store.version(), version);
    let (bare, clock) = cluster();
    let said = migrate(&bare, &clock, &["apply", "--all"]).await;
    println!("{:?}", said.end);
    assert!(matches!(said.end, Err(Trouble::Refused(_))));
}

/// Prints how long it takes: `cargo test -p gradual-rollout-toolkit --release -- --ignored --nocapture five_thousand`.
#[tokio::test]
#[ignore = "a figure, no test"]
async fn five_thousand_ingresses_with_a_certificate_each() {
    let (store, clock) = tenants(&["ns-a"]);
    for number in 0..5000 {
        let name = format!("app-{number}");
        let mut tls = ingress("ns-a", &name);
        tls["spec"]["tls"] = json!([{"hosts": [format!("{name}.ns-a.example.com")], "secretName": name}]);
        store.put(tls).unwrap();
        store.put(service("ns-a", &name)).unwrap();
        store.put(certificate("ns-a", &name, "crt")).unwrap();
    }
    for words in [
        vec!["-n", "ns-a", "apply", "--dry-run"],
        vec!["-n", "ns-a", "apply", "--rate", "10000"],
        vec!["-n", "ns-a", "apply", "--rate", "10000"],
        vec!["validate"],
        vec!["status"],
    ] {
        let begun = tokio::time::Instant::now();
        let said = migrate(&store, &clock, &words).await;
        println!("{words:?}: {:?} {:?}", begun.elapsed(), said.end);
        println!("  {}", said.out.lines().last().unwrap_or_default());
    }
}
