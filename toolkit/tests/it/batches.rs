//! `migrate apply` once more: what is not needed any more goes when it is said, and two batches at once are both there.

use crate::apply::{GW, ING, VS, marked, open, tenants};
use crate::objects::{asked, ingress, service};
use crate::rollback::full;
use crate::support::{Said, migrate, migrate_by};
use gradual_rollout_apiserver::{Action, Failure, Fault, Store};
use gradual_rollout_toolkit::trouble::End;
use http::{Method, Request};
use kube::client::Body;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;

const PARTS: [&str; 5] = [
    VS,
    GW,
    "destinationrules.networking.istio.io",
    "authorizationpolicies.security.istio.io",
    "secrets",
];

fn show(said: &Said) {
    println!("{}{}{:?}\n", said.err, said.out, said.end);
}

/// What there is of a tenant, at the gateway too.
fn of(store: &Store, tenant: &str) -> Vec<String> {
    let all = PARTS.iter().flat_map(|kind| store.list(kind));
    let ours = all
        .filter(|object| object["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "gradual-rollout");
    let named = ours.map(|object| {
        let kind = object["kind"].as_str().unwrap().to_owned();
        let meta = &object["metadata"];
        (kind, meta["name"].as_str().unwrap().to_owned())
    });
    let mut names: Vec<String> = named
        .filter(|(_, name)| name.contains(tenant))
        .map(|(kind, name)| format!("{kind} {name}"))
        .collect();
    names.sort();
    names
}

/// The shop of `ns-a` moves to another host, in clear, for everybody.
fn moves(store: &Store) {
    let mut moved = ingress("ns-a", "shop");
    moved["spec"]["rules"][0]["host"] = json!("new.ns-a.example.com");
    let labels = &store.get(ING, "ns-a", "shop").unwrap()["metadata"];
    moved["metadata"]["labels"] = labels["labels"].clone();
    for mark in ["sealos.io/migration-time", "rollout.sealos.io/source-hash"] {
        moved["metadata"]["annotations"][mark] = labels["annotations"][mark].clone();
    }
    store.put(moved).unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_the_batch_needs_no_more_is_told_and_goes_when_it_is_said_and_nothing_of_others() {
    let (store, clock) = full();
    migrate(&store, &clock, &["apply", "--all"]).await.end.unwrap();
    let (before, other) = (of(&store, "ns-a"), of(&store, "ns-b"));
    assert_eq!(before.len(), 3, "{before:?}");
    let rules = store.list("destinationrules.networking.istio.io").len();
    moves(&store);
    let told = migrate(&store, &clock, &["-n", "ns-a", "apply"]).await;
    show(&told);
    assert_eq!(told.end.unwrap(), End::Done);
    // As long as the route stays, so does what it needs.
    assert_eq!(told.err.matches("APPLY-STALE").count(), 1, "{}", told.err);
    assert_eq!(open(&store).len(), 3);

    let version = store.version();
    let shown = migrate(&store, &clock, &["-n", "ns-a", "apply", "--prune", "--dry-run"]).await;
    show(&shown);
    let lines: Vec<&str> = shown
        .out
        .lines()
        .filter_map(|line| line.strip_prefix("prune  "))
        .collect();
    let kinds: Vec<&str> = lines.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(
        kinds,
        [
            "VirtualService",
            "AuthorizationPolicy",
            "DestinationRule",
            "Secret"
        ]
    );
    assert!(!shown.err.contains("APPLY-STALE") && shown.out.contains("4 to prune"));
    let server = ["-n", "ns-a", "apply", "--prune", "--dry-run=server"];
    let tried = migrate(&store, &clock, &server).await;
    assert_eq!(tried.end.unwrap(), End::Done);
    assert_eq!(store.version(), version, "a dry run writes nothing");

    let hash = shown
        .out
        .lines()
        .last()
        .unwrap()
        .split([' ', ':'])
        .nth(1)
        .unwrap();
    let said = migrate(
        &store,
        &clock,
        &["-n", "ns-a", "apply", "--prune", "--plan", hash],
    )
    .await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Done);
    assert_eq!(
        open(&store),
        ["ns-a/new.ns-a.example.com", "ns-b/shop.ns-b.example.com"]
    );
    assert_eq!(of(&store, "ns-a").len(), 1, "{:?}", of(&store, "ns-a"));
    assert_eq!(of(&store, "ns-b"), other);
    let left = store.list("destinationrules.networking.istio.io").len();
    assert_eq!(left, rules - 1);
    let version = store.version();
    let again = migrate(&store, &clock, &["-n", "ns-a", "apply", "--prune"]).await;
    assert_eq!((again.end.unwrap(), store.version()), (End::Done, version));
}

#[tokio::test(start_paused = true)]
async fn what_serves_an_ingress_that_is_gone_or_was_edited_is_not_pruned() {
    let (store, clock) = full();
    migrate(&store, &clock, &["apply", "--all"]).await.end.unwrap();
    store.delete(ING, "ns-b", "shop").unwrap();
    let route = store
        .list(VS)
        .into_iter()
        .find(|route| route["metadata"]["namespace"] == "ns-a")
        .unwrap();
    let mut edited = Value::clone(&route);
    edited["spec"]["http"][0]["timeout"] = json!("5s");
    store.put(edited).unwrap();
    moves(&store);
    let said = migrate(&store, &clock, &["apply", "--all", "--prune"]).await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(
        said.err.contains("APPLY-STALE  VirtualService ns-a/"),
        "{}",
        said.err
    );
    assert_eq!(open(&store).len(), 3);
    assert_eq!(store.list(VS).len(), 3);
    let words = ["apply", "--all", "--prune", "--overwrite"];
    assert_eq!(migrate(&store, &clock, &words).await.end.unwrap(), End::Done);
    assert_eq!(
        open(&store),
        ["ns-a/new.ns-a.example.com", "ns-b/shop.ns-b.example.com"]
    );
}

#[tokio::test(start_paused = true)]
async fn while_the_gateway_cannot_be_written_nothing_is_pruned() {
    let (store, clock) = full();
    migrate(&store, &clock, &["apply", "--all"]).await.end.unwrap();
    moves(&store);
    let no = Failure::new(403, "Forbidden", "gateways is forbidden");
    let number = store.inject(Fault::new(Action::Fail(no)).verb("patch").resource(GW));
    let before = asked(&store.list("authorizationpolicies.security.istio.io")[0]);
    let said = migrate(&store, &clock, &["-n", "ns-a", "apply", "--prune"]).await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Partly);
    assert!(
        said.err.contains("the Gateway is not as it should be"),
        "{}",
        said.err
    );
    assert_eq!(
        asked(&store.list("authorizationpolicies.security.istio.io")[0]),
        before
    );
    assert_eq!(store.list(VS).len(), 3);
    store.faults().lift(number);
    let said = migrate(&store, &clock, &["-n", "ns-a", "apply", "--prune"]).await;
    assert_eq!(said.end.unwrap(), End::Done);
    assert_eq!(store.list(VS).len(), 2);
}

/// A client whose first write of a Gateway waits until somebody else was there before it.
fn overtaken(store: &Store) -> (kube::Client, Arc<Notify>, Arc<Notify>) {
    let (inner, first) = (store.client("default"), Arc::new(AtomicBool::new(true)));
    let (at, on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (told, waiting) = (at.clone(), on.clone());
    let service = tower::service_fn(move |request: Request<Body>| {
        let writes = request.method() == Method::PATCH && request.uri().path().contains("/gateways/");
        let waits = writes && first.swap(false, Ordering::SeqCst);
        let (inner, told, waiting) = (inner.clone(), told.clone(), waiting.clone());
        async move {
            if waits {
                told.notify_one();
                waiting.notified().await;
            }
            inner.send(request).await
        }
    });
    (kube::Client::new(service, "default"), at, on)
}

#[tokio::test(start_paused = true)]
async fn of_two_later_batches_at_once_the_one_that_comes_late_writes_the_gateway_with_both() {
    let (store, clock) = tenants(&["ns-0", "ns-a", "ns-b"]);
    migrate(&store, &clock, &["-n", "ns-0", "apply"])
        .await
        .end
        .unwrap();
    let (client, at, on) = overtaken(&store);
    let other = async {
        at.notified().await;
        let said = migrate(&store, &clock, &["-n", "ns-b", "apply"]).await;
        assert_eq!(said.end.unwrap(), End::Done);
        on.notify_one();
    };
    let (said, ()) = tokio::join!(migrate_by(client, &clock, &["-n", "ns-a", "apply"]), other);
    show(&said);
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(
        said.err.contains("another batch wrote it at the same time"),
        "{}",
        said.err
    );
    let hosts = ["ns-0", "ns-a", "ns-b"].map(|name| format!("{name}/shop.{name}.example.com"));
    assert_eq!(open(&store), hosts);
    assert!(marked(&store, "ns-a", "shop") && marked(&store, "ns-b", "shop"));
    // It is as it was written, so nobody takes it for edited.
    let version = store.version();
    let again = migrate(&store, &clock, &["apply", "--all"]).await;
    assert_eq!((again.end.unwrap(), store.version()), (End::Done, version));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_somebody_closes_meanwhile_is_not_opened_again() {
    let (store, clock) = tenants(&["ns-0", "ns-a"]);
    migrate(&store, &clock, &["-n", "ns-0", "apply"])
        .await
        .end
        .unwrap();
    // So that the Gateway is written, and not deleted.
    let mut late = ingress("ns-0", "late");
    late["spec"]["rules"][0]["host"] = json!("late.ns-0.example.com");
    store.put(late).unwrap();
    store.put(service("ns-0", "late")).unwrap();
    migrate(&store, &clock, &["-n", "ns-0", "apply"])
        .await
        .end
        .unwrap();
    let (client, at, on) = overtaken(&store);
    let other = async {
        at.notified().await;
        let words = ["rollback", "--ingress", "ns-0/late"];
        assert_eq!(migrate(&store, &clock, &words).await.end.unwrap(), End::Done);
        on.notify_one();
    };
    let (said, ()) = tokio::join!(migrate_by(client, &clock, &["-n", "ns-a", "apply"]), other);
    show(&said);
    assert_eq!(said.end.unwrap(), End::Partly);
    assert!(
        said.err.contains("hosts were closed in it") && said.err.contains("late.ns-0.example.com"),
        "{}",
        said.err
    );
    assert_eq!(open(&store), ["ns-0/shop.ns-0.example.com"]);
    let again = migrate(&store, &clock, &["-n", "ns-a", "apply"]).await;
    assert_eq!(again.end.unwrap(), End::Done);
    assert_eq!(open(&store).len(), 2);
}
