//! What `validate` advises is tried, word by word: it has to take away what it is said to.

use crate::apply::{ING, tenants};
use crate::objects::ingress;
use crate::ownership::{AP, annotate, edit};
use crate::standing::gateway_pod;
use crate::support::{Said, migrate};
use crate::takeover::follow;
use gradual_rollout_apiserver::Store;
use gradual_rollout_apiserver::clock::Clock;
use gradual_rollout_toolkit::trouble::End;
use serde_json::{Value, json};

const STALE: &str = "STATE-GUARD-STALE";

async fn run(store: &Store, clock: &Clock, words: &[&str]) -> Said {
    let said = migrate(store, clock, words).await;
    println!("{words:?}\n{}{}{:?}\n", said.err, said.out, said.end);
    said
}

/// A host whose Ingress has a list, migrated; and the policy of that.
async fn guarded() -> (Store, Clock, Value) {
    let (store, clock) = tenants(&["ns-a"]);
    gateway_pod(&store);
    annotate(&store, "ns-a", "shop", "whitelist-source-range", "10.0.0.0/8");
    run(&store, &clock, &["apply", "--all"]).await.end.unwrap();
    let policy = Value::clone(&store.list(AP)[0]);
    (store, clock, policy)
}

fn open_to_all(store: &Store) {
    edit(store, "ns-a", "shop", |shop| {
        let notes = shop["metadata"]["annotations"].as_object_mut().unwrap();
        notes.retain(|name, _| !name.contains("whitelist"));
    });
}

/// Follows what is said of the policy, and nothing of it is left.
async fn helps(store: &Store, clock: &Clock) {
    let told = run(store, clock, &["validate"]).await;
    assert!(told.err.contains(&format!("blocker  {STALE}")), "{}", told.err);
    let followed = follow(store, clock, &told, STALE, "apply").await;
    assert!(followed.end.is_ok(), "{:?}", followed.end);
    let left = run(store, clock, &["validate"]).await;
    assert!(!left.err.contains(STALE), "{}", left.err);
    assert_eq!(store.list(AP).len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_policy_too_many_goes_by_what_is_advised() {
    let (store, clock, _) = guarded().await;
    open_to_all(&store);
    helps(&store, &clock).await;
}

#[tokio::test(start_paused = true)]
async fn a_policy_too_many_that_somebody_edited_goes_by_what_is_advised() {
    let (store, clock, _) = guarded().await;
    open_to_all(&store);
    let mut policy = Value::clone(&store.list(AP)[0]);
    policy["spec"]["rules"][0]["from"][0]["source"]["notRemoteIpBlocks"] = json!(["10.0.0.0/9"]);
    store.put(policy).unwrap();
    helps(&store, &clock).await;
}

/// Nothing is left for an `apply` to read.
async fn cleaned_up(store: &Store, clock: &Clock) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b").to_str().unwrap().to_owned();
    run(store, clock, &["backup", "--dir", &path]).await.end.unwrap();
    let accepted = "CLEANUP-NAME-UNKNOWN,CLEANUP-NOT-PROBED,CLEANUP-COUNT-UNKNOWN,CLEANUP-COUNTING";
    let words = [
        "cleanup", "--all", "--dir", &path, "--soak", "0", "--accept", accepted,
    ];
    assert_eq!(run(store, clock, &words).await.end.unwrap(), End::Done);
    assert!(store.list(ING).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_policy_too_many_goes_by_what_is_advised_where_every_ingress_was_cleaned_up() {
    let (store, clock, policy) = guarded().await;
    open_to_all(&store);
    run(&store, &clock, &["apply", "--all", "--prune"])
        .await
        .end
        .unwrap();
    cleaned_up(&store, &clock).await;
    store.put(policy).unwrap();
    helps(&store, &clock).await;
    assert_eq!(run(&store, &clock, &["validate"]).await.end.unwrap(), End::Done);
}

#[tokio::test(start_paused = true)]
async fn a_policy_too_many_goes_by_what_is_advised_where_somebody_deleted_its_ingress() {
    let (store, clock, policy) = guarded().await;
    open_to_all(&store);
    run(&store, &clock, &["apply", "--all", "--prune"])
        .await
        .end
        .unwrap();
    store.put(policy).unwrap();
    store.delete(ING, "ns-a", "shop").unwrap();
    helps(&store, &clock).await;
}

#[tokio::test(start_paused = true)]
async fn a_policy_too_many_goes_by_what_is_advised_where_its_ingress_is_refused_by_now() {
    let (store, clock, _) = guarded().await;
    open_to_all(&store);
    annotate(&store, "ns-a", "shop", "custom-headers", "ns-a/none");
    let told = run(&store, &clock, &["validate"]).await;
    // It cannot be written anew, and that is said; so it is given back.
    let followed = follow(&store, &clock, &told, STALE, "apply").await;
    assert!(followed.err.contains("APPLY-REFUSED"), "{}", followed.err);
    assert_eq!(store.list(AP).len(), 1);
    let followed = follow(&store, &clock, &told, STALE, "rollback").await;
    assert_eq!(followed.end.unwrap(), End::Done);
    assert_eq!(store.list(AP).len(), 0);
    let left = run(&store, &clock, &["validate"]).await;
    assert!(!left.err.contains(STALE), "{}", left.err);
}

#[tokio::test(start_paused = true)]
async fn a_policy_too_many_that_somebody_edited_is_not_to_be_overwritten_with_everything_else() {
    let (store, clock, mut policy) = guarded().await;
    open_to_all(&store);
    run(&store, &clock, &["apply", "--all", "--prune"])
        .await
        .end
        .unwrap();
    cleaned_up(&store, &clock).await;
    policy["spec"]["rules"][0]["from"][0]["source"]["notRemoteIpBlocks"] = json!(["10.0.0.0/9"]);
    store.put(policy.clone()).unwrap();
    let told = run(&store, &clock, &["validate"]).await;
    let name = policy["metadata"]["name"].as_str().unwrap();
    let line = format!("kubectl delete authorizationpolicies.security.istio.io -n istio-system {name}");
    assert!(
        told.err.contains(&line) && !told.err.contains("--all --prune"),
        "{}",
        told.err
    );
}

#[tokio::test(start_paused = true)]
async fn a_policy_too_many_goes_by_what_is_advised_where_its_host_is_shared() {
    let (store, clock, _) = guarded().await;
    let mut other = ingress("ns-a", "other");
    other["spec"]["rules"][0]["host"] = json!("shop.ns-a.example.com");
    other["spec"]["rules"][0]["http"]["paths"][0]["path"] = json!("/other");
    store.put(other).unwrap();
    store.put(crate::objects::service("ns-a", "other")).unwrap();
    run(&store, &clock, &["apply", "--all"]).await.end.unwrap();
    open_to_all(&store);
    helps(&store, &clock).await;
}
