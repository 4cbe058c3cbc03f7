//! Headers of answers that an Ingress names a `ConfigMap` for: who changes that changes what nginx says, and no Ingress.

use crate::apply::VS;
use crate::ownership::{annotate, settings, two_classes};
use crate::support::{Said, migrate};
use gradual_rollout_apiserver::clock::Clock;
use gradual_rollout_apiserver::{Action, Failure, Fault, Store};
use gradual_rollout_toolkit::trouble::End;
use serde_json::{Value, json};

const APPLY: [&str; 4] = ["apply", "--all", "--ingress-class", "nginx"];

/// Two shops, of which one names headers.
fn named() -> (Store, Clock) {
    let (store, clock) = two_classes(&["ns-a", "ns-b"]);
    let allowed = json!({"hsts": "false", "global-allowed-response-headers": "x-one,x-two"});
    settings(&store, "outer", allowed);
    headers(&store, json!({"x-one": "1"}));
    annotate(&store, "ns-a", "shop", "custom-headers", "ns-a/headers");
    (store, clock)
}

fn headers(store: &Store, data: Value) {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data,
        "metadata": {"name": "headers", "namespace": "ns-a"}});
    store.put(map).unwrap();
}

async fn run(store: &Store, clock: &Clock, words: &[&str]) -> Said {
    let said = migrate(store, clock, words).await;
    println!("{words:?}\n{}{}{:?}\n", said.err, said.out, said.end);
    said
}

/// What the gateway sets on answers of a namespace.
fn sets(store: &Store, namespace: &str) -> Value {
    let routes = store.list(VS);
    let route = routes
        .iter()
        .find(|route| route["metadata"]["namespace"] == namespace);
    route.unwrap()["spec"]["http"][0]["headers"]["response"]["set"].clone()
}

#[tokio::test(start_paused = true)]
async fn headers_that_were_changed_in_their_config_map_are_told_until_their_route_is_written_anew() {
    let (store, clock) = named();
    run(&store, &clock, &APPLY).await.end.unwrap();
    assert_eq!(sets(&store, "ns-a"), json!({"x-one": "1"}));
    assert_eq!(run(&store, &clock, &["validate"]).await.end.unwrap(), End::Done);
    headers(&store, json!({"x-one": "1", "x-two": "2"}));
    let told = run(&store, &clock, &["validate"]).await;
    assert_eq!(told.end.unwrap(), End::Partly);
    assert!(
        told.err
            .contains("blocker  STATE-HEADERS-CHANGED  VirtualService ns-a/")
            && told.err.contains("ns-a/headers"),
        "{}",
        told.err
    );
    assert!(
        !told.err.contains("ns-b"),
        "who does not name it is not told of: {}",
        told.err
    );
    let status = run(&store, &clock, &["status"]).await;
    assert!(
        status.out.contains("STATE-HEADERS-CHANGED")
            && status.out.contains("1 migrated")
            && status.out.contains("1 failed"),
        "{}",
        status.out
    );
    // What is advised mends it.
    let advised = ["apply", "--ingress", "ns-a/shop", "--ingress-class", "nginx"];
    assert_eq!(run(&store, &clock, &advised).await.end.unwrap(), End::Done);
    assert_eq!(sets(&store, "ns-a"), json!({"x-one": "1", "x-two": "2"}));
    assert_eq!(run(&store, &clock, &["validate"]).await.end.unwrap(), End::Done);
    let version = store.version();
    run(&store, &clock, &APPLY).await.end.unwrap();
    assert_eq!(store.version(), version, "nothing is written twice");
}

#[tokio::test(start_paused = true)]
async fn headers_that_are_gone_or_may_not_be_looked_at_are_told_too() {
    let (store, clock) = named();
    run(&store, &clock, &APPLY).await.end.unwrap();
    let refused = Action::Fail(Failure::new(403, "Forbidden", "configmaps is forbidden"));
    let number = store.inject(
        Fault::new(refused)
            .verb("get")
            .resource("configmaps")
            .name("headers"),
    );
    let told = run(&store, &clock, &["validate"]).await;
    assert!(
        told.err.contains("STATE-HEADERS-CHANGED")
            && told.err.contains("nobody knows: configmaps is forbidden"),
        "{}",
        told.err
    );
    store.faults().lift(number);
    store.delete("configmaps", "ns-a", "headers").unwrap();
    let told = run(&store, &clock, &["validate"]).await;
    assert!(
        told.err.contains("ConfigMap ns-a/headers is gone"),
        "{}",
        told.err
    );
    headers(&store, json!({"x-one": "1"}));
    let well = run(&store, &clock, &["validate"]).await;
    assert_eq!(
        (well.end.unwrap(), well.err.as_str()),
        (End::Done, ""),
        "they are back as they were"
    );
}
