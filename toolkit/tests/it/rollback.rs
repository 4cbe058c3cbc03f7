//! `migrate rollback` in a cluster.

use crate::apply::{GW, ING, VS, marked, open, tenants};
use crate::objects::{asked, ingress, service};
use crate::support::{Said, migrate};
use gradual_rollout_apiserver::clock::Clock;
use gradual_rollout_apiserver::{Action, Change, Failure, Fault, Store};
use gradual_rollout_toolkit::trouble::{End, Trouble};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::sync::broadcast::Receiver;

const MADE: [&str; 6] = [
    VS,
    GW,
    ING,
    "destinationrules.networking.istio.io",
    "authorizationpolicies.security.istio.io",
    "secrets",
];

fn state(store: &Store) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for resource in MADE {
        for object in store.list(resource) {
            let meta = &object["metadata"];
            let name = format!("{resource} {}/{}", meta["namespace"], meta["name"]);
            all.insert(name, asked(&object));
        }
    }
    all
}

fn show(said: &Said) {
    println!("{}{}{:?}\n", said.err, said.out, said.end);
}

/// Two tenants, one of which has everything: a certificate, an address list, a back end with gRPC.
pub(crate) fn full() -> (Store, Clock) {
    let (store, clock) = tenants(&["ns-a", "ns-b"]);
    let mut rich = ingress("ns-a", "shop");
    rich["spec"]["tls"] = json!([{"hosts": ["shop.ns-a.example.com"], "secretName": "shop-tls"}]);
    rich["metadata"]["annotations"] = json!({"nginx.ingress.kubernetes.io/whitelist-source-range": "10.0.0.0/8",
        "nginx.ingress.kubernetes.io/backend-protocol": "GRPC"});
    store.put(rich).unwrap();
    store
        .put(
            json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": {"name": "shop-tls", "namespace": "ns-a"},
            "stringData": {"tls.crt": "crt", "tls.key": "key"}}),
        )
        .unwrap();
    (store, clock)
}

async fn backed_up(store: &Store, clock: &Clock) -> (TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b").to_str().unwrap().to_owned();
    migrate(store, clock, &["backup", "--dir", &path])
        .await
        .end
        .unwrap();
    (dir, path)
}

#[tokio::test(start_paused = true)]
async fn what_was_applied_and_cleaned_up_is_as_it_was_before() {
    let (store, clock) = full();
    let before = state(&store);
    let (_dir, dir) = backed_up(&store, &clock).await;
    let said = migrate(&store, &clock, &["apply", "--all"]).await;
    assert_eq!(said.end.unwrap(), End::Done);
    assert_eq!(state(&store).len(), before.len() + 6);
    store.delete(ING, "ns-a", "shop").unwrap();
    let shown = migrate(&store, &clock, &["rollback", "--all", "--dir", &dir, "--dry-run"]).await;
    show(&shown);
    assert_eq!(state(&store).len(), before.len() + 5);
    let said = migrate(&store, &clock, &["rollback", "--all", "--dir", &dir]).await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Done);
    assert_eq!(state(&store), before);
    let version = store.version();
    let again = migrate(&store, &clock, &["rollback", "--all", "--dir", &dir]).await;
    show(&again);
    assert_eq!((again.end.unwrap(), store.version()), (End::Done, version));
}

#[tokio::test(start_paused = true)]
async fn one_namespace_is_undone_and_the_other_stays_open() {
    let (store, clock) = full();
    migrate(&store, &clock, &["apply", "--all"]).await.end.unwrap();
    // A tenant's own, made by another verb.
    let tenants = json!({"apiVersion": "networking.istio.io/v1", "kind": "Gateway",
        "metadata": {"name": "a-gateway", "namespace": "ns-a", "labels": {"app.kubernetes.io/managed-by": "gradual-rollout"}},
        "spec": {"servers": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["ns-a/shop.ns-a.example.com"]}]}});
    store.put(tenants.clone()).unwrap();
    let said = migrate(&store, &clock, &["-n", "ns-a", "rollback"]).await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Done);
    assert_eq!(open(&store), ["ns-b/shop.ns-b.example.com"]);
    assert_eq!(
        store.get(GW, "ns-a", "a-gateway").unwrap()["spec"],
        tenants["spec"]
    );
    assert!(!marked(&store, "ns-a", "shop") && marked(&store, "ns-b", "shop"));
    assert_eq!(store.list(VS).len(), 1);
    assert_eq!(
        store.list("secrets").len(),
        1,
        "the copy is gone, the certificate is not"
    );
    // The Gateway is still this program's, and as it was written.
    let next = migrate(&store, &clock, &["-n", "ns-a", "apply"]).await;
    assert_eq!(next.end.unwrap(), End::Done);
    assert_eq!(open(&store).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_ingress_that_is_nowhere_any_more_keeps_its_host_open() {
    let (store, clock) = full();
    let (_dir, dir) = backed_up(&store, &clock).await;
    store.put(ingress("ns-b", "late")).unwrap();
    store.put(service("ns-b", "late")).unwrap();
    migrate(&store, &clock, &["apply", "--all"]).await.end.unwrap();
    store.delete(ING, "ns-b", "late").unwrap();
    let version = store.version();
    let none = migrate(&store, &clock, &["rollback", "--all"]).await;
    show(&none);
    assert!(matches!(none.end, Err(Trouble::Usage(_))));
    let lacking = migrate(&store, &clock, &["rollback", "--all", "--dir", &dir]).await;
    show(&lacking);
    let Err(Trouble::Refused(why)) = lacking.end else {
        panic!("not refused")
    };
    assert!(why.contains("ns-b/late"), "{why}");
    assert_eq!(store.version(), version);
    let words = ["rollback", "--all", "--gone", "orphans", "--dry-run"];
    let shown = migrate(&store, &clock, &words).await;
    assert!(!shown.out.contains("come back"), "{}", shown.out);
    let words = ["rollback", "--all", "--dir", &dir, "--gone", "ns-b/late"];
    assert_eq!(migrate(&store, &clock, &words).await.end.unwrap(), End::Done);
    assert_eq!(open(&store), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_cannot_be_written_keeps_its_routes_and_policies() {
    let (store, clock) = full();
    migrate(&store, &clock, &["apply", "--all"]).await.end.unwrap();
    let number = store.inject(
        Fault::new(Action::Fail(Failure::new(
            403,
            "Forbidden",
            "gateways is forbidden",
        )))
        .verb("patch")
        .resource(GW),
    );
    let said = migrate(&store, &clock, &["-n", "ns-a", "rollback"]).await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Partly);
    assert!(said.err.contains("ROLLBACK-STILL-OPEN"));
    assert_eq!((store.list(VS).len(), open(&store).len()), (2, 2));
    store.faults().lift(number);
    let said = migrate(&store, &clock, &["-n", "ns-a", "rollback"]).await;
    assert_eq!(said.end.unwrap(), End::Done);
    assert_eq!((store.list(VS).len(), open(&store).len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn what_somebody_edited_is_left_but_its_host_is_closed() {
    let (store, clock) = full();
    migrate(&store, &clock, &["apply", "--all"]).await.end.unwrap();
    let mut edited = Value::clone(&store.list(VS)[1]);
    assert_eq!(edited["metadata"]["namespace"], "ns-b");
    edited["spec"]["http"][0]["timeout"] = json!("5s");
    store.put(edited).unwrap();
    let said = migrate(&store, &clock, &["-n", "ns-b", "rollback"]).await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(said.err.contains("ROLLBACK-EDITED"));
    assert_eq!(
        (store.list(VS).len(), open(&store)),
        (2, vec!["ns-a/shop.ns-a.example.com".to_owned()])
    );
    let said = migrate(&store, &clock, &["-n", "ns-b", "rollback", "--overwrite"]).await;
    assert_eq!(said.end.unwrap(), End::Done);
    assert_eq!(store.list(VS).len(), 1);
}

/// Serves this program's own resource.
pub(crate) fn rollout(store: &Store) {
    for document in include_str!("../../../deploy/crd.yaml").split("\n---") {
        let crd: Value = serde_saphyr::from_str(document).unwrap();
        store.register_crd(&crd).unwrap();
    }
    store.namespace("sealos-system");
    crate::handing_over::listener(store);
}

/// A canary of a rollout that sends a share.
pub(crate) fn canary(weight: &str) -> Value {
    let mut canary = ingress("ns-a", "gr-shop-80-1234");
    canary["metadata"]["labels"] = json!({"app.kubernetes.io/managed-by": "gradual-rollout"});
    canary["metadata"]["annotations"] = json!({"nginx.ingress.kubernetes.io/canary": "true",
        "nginx.ingress.kubernetes.io/canary-weight": weight});
    canary
}

#[tokio::test(start_paused = true)]
async fn the_share_that_nginx_sends_comes_back_first_and_is_waited_for() {
    let (store, clock) = full();
    rollout(&store);
    let words = [
        "-n",
        "ns-a",
        "apply",
        "--rollout",
        "sealos-system/batch",
        "--split",
        "istio-system/istio-ingressgateway:8081",
        "--unprobed",
        "--split-trusts-nginx",
    ];
    assert_eq!(migrate(&store, &clock, &words).await.end.unwrap(), End::Done);
    store.put(canary("250")).unwrap();
    let version = store.version();
    let late = migrate(&store, &clock, &["-n", "ns-a", "rollback", "--wait", "5"]).await;
    show(&late);
    assert!(
        matches!(&late.end, Err(Trouble::TimedOut(why)) if why.contains("gradual-rollout emergency-rollback")),
        "{:?}",
        late.end
    );
    assert_eq!(store.version(), version + 1, "only the command was written");
    let told = store
        .get("gradualrollouts.rollout.sealos.io", "sealos-system", "batch")
        .unwrap();
    let notes = told["metadata"]["annotations"].as_object().unwrap();
    let (key, wish) = notes
        .iter()
        .find(|(key, _)| key.contains("command.rollback."))
        .unwrap();
    let id = key.rsplit('.').next().unwrap();
    assert!(id.parse::<ulid::Ulid>().is_ok(), "{id}");
    let wish: Value = serde_json::from_str(wish.as_str().unwrap()).unwrap();
    assert_eq!(wish["components"], json!(["ns-a"]));
    // The daemon does what it was told while it is waited for.
    let daemon = async {
        tokio::time::sleep(std::time::Duration::from_secs(7)).await;
        assert_eq!(open(&store).len(), 1, "nothing is closed while requests arrive");
        store.delete(ING, "ns-a", "gr-shop-80-1234").unwrap();
    };
    let words = ["-n", "ns-a", "rollback"];
    let (said, ()) = tokio::join!(migrate(&store, &clock, &words), daemon);
    show(&said);
    assert_eq!(said.end.unwrap(), End::Done);
    assert_eq!(open(&store), Vec::<String>::new());
    assert_eq!(store.list("gradualrollouts.rollout.sealos.io").len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_share_that_nobody_can_take_back_stops_it_before_anything_is_written() {
    let (store, clock) = full();
    migrate(&store, &clock, &["-n", "ns-a", "apply"])
        .await
        .end
        .unwrap();
    store.put(canary("10")).unwrap();
    let version = store.version();
    let said = migrate(&store, &clock, &["-n", "ns-a", "rollback"]).await;
    show(&said);
    assert!(matches!(said.end, Err(Trouble::Refused(_))));
    assert_eq!(store.version(), version);
    let typo = migrate(&store, &clock, &["rollback"]).await;
    assert!(matches!(typo.end, Err(Trouble::Usage(_))));
}

/// The commands to go back that were written on a rollout, whatever became of it since.
fn commands(changes: &mut Receiver<Arc<Change>>) -> Vec<String> {
    let mut found = Vec::new();
    while let Ok(change) = changes.try_recv() {
        let notes = change.object["metadata"]["annotations"].as_object().cloned();
        let commands = notes.into_iter().flatten().map(|(key, _)| key);
        found.extend(commands.filter(|key| key.contains("command.rollback.")));
    }
    found.dedup();
    found
}

const HAND_OVER: [&str; 9] = [
    "-n",
    "ns-a",
    "apply",
    "--rollout",
    "sealos-system/batch",
    "--split",
    "istio-system/istio-ingressgateway:8081",
    "--unprobed",
    "--split-trusts-nginx",
];

#[tokio::test(start_paused = true)]
async fn a_rollout_that_stands_at_0_is_told_too_for_it_would_raise_while_it_is_undone() {
    for at_0 in [None, Some("0")] {
        let (store, clock) = full();
        rollout(&store);
        assert_eq!(migrate(&store, &clock, &HAND_OVER).await.end.unwrap(), End::Done);
        if let Some(weight) = at_0 {
            store.put(canary(weight)).unwrap();
        }
        let mut changes = store.subscribe("gradualrollouts.rollout.sealos.io");
        let shown = migrate(&store, &clock, &["-n", "ns-a", "rollback", "--dry-run"]).await;
        let first = shown.out.lines().next().unwrap();
        assert_eq!(first, "back to 0   GradualRollout sealos-system/batch");
        assert!(commands(&mut changes).is_empty());
        let said = migrate(&store, &clock, &["-n", "ns-a", "rollback"]).await;
        show(&said);
        assert_eq!(said.end.unwrap(), End::Done);
        assert_eq!(commands(&mut changes).len(), 1, "{at_0:?}");
        assert!(said.out.contains("1 back to 0"), "{}", said.out);
    }
}

#[tokio::test(start_paused = true)]
async fn a_share_that_comes_while_nginx_is_given_time_keeps_the_hosts_open() {
    let (store, clock) = full();
    let (_folder, dir) = backed_up(&store, &clock).await;
    rollout(&store);
    assert_eq!(migrate(&store, &clock, &HAND_OVER).await.end.unwrap(), End::Done);
    store.delete(ING, "ns-a", "shop").unwrap();
    // A raise that was under way when its rollout was told.
    let raise = async {
        tokio::time::sleep(std::time::Duration::from_secs(7)).await;
        assert!(store.get(ING, "ns-a", "shop").is_some(), "it is back by now");
        store.put(canary("50")).unwrap();
    };
    let words = ["-n", "ns-a", "rollback", "--dir", &dir];
    let (said, ()) = tokio::join!(migrate(&store, &clock, &words), raise);
    show(&said);
    assert_eq!(said.end.unwrap(), End::Partly);
    assert!(said.err.contains("ROLLBACK-SHARE-AGAIN"), "{}", said.err);
    assert_eq!(open(&store), ["ns-a/shop.ns-a.example.com"]);
    store.delete(ING, "ns-a", "gr-shop-80-1234").unwrap();
    let again = migrate(&store, &clock, &words).await;
    assert_eq!(again.end.unwrap(), End::Done);
    assert_eq!(open(&store), Vec::<String>::new());
}
