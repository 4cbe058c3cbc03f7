//! `migrate rollback` beside those who delete and change what it gives back: a cleanup, a person, a rollback that was ended.

use crate::apply::{GW, ING, VS, marked, open, tenants};
use crate::rollback::full;
use crate::support::{Said, migrate, migrate_by, migrate_until};
use futures::FutureExt as _;
use gradual_rollout_apiserver::Store;
use gradual_rollout_apiserver::clock::Clock;
use gradual_rollout_toolkit::trouble::End;
use http::{Method, Request};
use kube::client::Body;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::Notify;

const ACCEPTED: &str = "CLEANUP-NAME-UNKNOWN,CLEANUP-NOT-PROBED,CLEANUP-COUNT-UNKNOWN,CLEANUP-COUNTING";
const BACK: &str = "rollout.sealos.io/going-back";
const LIST: &str = "nginx.ingress.kubernetes.io/whitelist-source-range";

fn show(said: &Said) {
    println!("{}{}{:?}\n", said.err, said.out, said.end);
}

/// Runs a verb beside whom somebody does something, right before its first write of a method and kind arrives.
async fn beside(
    store: &Store,
    clock: &Clock,
    words: &[&str],
    (verb, kind): (Method, &'static str),
    act: impl Future<Output = ()>,
) -> Said {
    let (inner, reached, go) = (
        store.client("default"),
        Arc::new(Notify::new()),
        Arc::new(Notify::new()),
    );
    let (tell, wait, first) = (reached.clone(), go.clone(), Arc::new(AtomicBool::new(true)));
    let service = tower::service_fn(move |request: Request<Body>| {
        let (inner, tell, wait) = (inner.clone(), tell.clone(), wait.clone());
        let meant = *request.method() == verb && request.uri().path().contains(kind);
        let held = meant && first.swap(false, Ordering::SeqCst);
        async move {
            if held {
                tell.notify_one();
                wait.notified().await;
            }
            inner.send(request).await
        }
    });
    let run = migrate_by(kube::Client::new(service, "default"), clock, words);
    let meddling = async {
        reached.notified().await;
        act.await;
        go.notify_one();
    };
    let (said, ()) = tokio::join!(run, meddling);
    show(&said);
    said
}

fn deleting(store: &Store) -> impl Future<Output = ()> {
    std::future::ready(()).map(|()| store.delete(ING, "ns-a", "shop").unwrap())
}

fn edit(store: &Store, resource: &str, namespace: &str, name: &str, change: impl Fn(&mut Value)) {
    let mut object = Value::clone(&store.get(resource, namespace, name).unwrap());
    change(&mut object);
    store.put(object).unwrap();
}

async fn ready() -> (Store, Clock, TempDir, String) {
    let (store, clock) = full();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b").to_str().unwrap().to_owned();
    for words in [&["backup", "--dir", &path][..], &["apply", "--all"]] {
        assert_eq!(migrate(&store, &clock, words).await.end.unwrap(), End::Done);
    }
    (store, clock, dir, path)
}

/// The host is open, with its route and its policy.
fn served(store: &Store) {
    assert!(
        open(store).contains(&"ns-a/shop.ns-a.example.com".to_owned()),
        "{:?}",
        open(store)
    );
    let route = |route: &Arc<Value>| route["metadata"]["namespace"] == "ns-a";
    assert!(store.list(VS).iter().any(route));
    assert_eq!(store.list("authorizationpolicies.security.istio.io").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_cleanup_leaves_what_a_rollback_gives_back() {
    let (store, clock, _dir, dir) = ready().await;
    let route = store.list(VS).remove(0);
    assert_eq!(route["metadata"]["namespace"], "ns-a");
    edit(
        &store,
        VS,
        "ns-a",
        route["metadata"]["name"].as_str().unwrap(),
        |route| {
            route["metadata"]["annotations"][BACK] = json!("2026-01-05T02:00:00Z");
        },
    );
    let words = [
        "cleanup", "--all", "--dir", &dir, "--soak", "0", "--accept", ACCEPTED,
    ];
    let said = migrate(&store, &clock, &words).await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Partly);
    assert!(said.err.contains("CLEANUP-GOING-BACK"), "{}", said.err);
    assert!(store.get(ING, "ns-a", "shop").is_some() && store.get(ING, "ns-b", "shop").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_cleanup_and_a_rollback_at_once_never_leave_a_host_without_a_way_in() {
    // Whatever the rollback is about to write, a whole cleanup comes before it.
    for (verb, kind) in [
        (Method::PATCH, "/virtualservices/"),
        (Method::PATCH, "/ingresses/"),
        (Method::DELETE, "/gateways/"),
        (Method::DELETE, "/virtualservices/"),
    ] {
        let (store, clock, _dir, dir) = ready().await;
        let cleaning = async {
            let words = [
                "cleanup", "--all", "--dir", &dir, "--soak", "0", "--accept", ACCEPTED,
            ];
            show(&migrate(&store, &clock, &words).await);
        };
        let words = ["rollback", "--all"];
        let said = beside(&store, &clock, &words, (verb.clone(), kind), cleaning).await;
        for namespace in ["ns-a", "ns-b"] {
            let host = format!("{namespace}/shop.{namespace}.example.com");
            let there = store.get(ING, namespace, "shop").is_some();
            let there = there || open(&store).contains(&host);
            assert!(there, "{verb} {kind}: {host} has no way in");
        }
        let first = kind == "/virtualservices/" && verb == Method::PATCH;
        assert_eq!(said.end.unwrap(), if first { End::Partly } else { End::Done });
        assert_eq!(said.err.contains("ROLLBACK-CHANGED"), first, "{}", said.err);
    }
}

#[tokio::test(start_paused = true)]
async fn an_ingress_that_is_deleted_while_it_is_given_back_keeps_its_host_open_and_others_go() {
    for kind in ["/virtualservices/", "/ingresses/"] {
        let (store, clock, _dir, dir) = ready().await;
        let words = ["rollback", "--all"];
        let said = beside(&store, &clock, &words, (Method::PATCH, kind), deleting(&store)).await;
        assert_eq!(said.end.unwrap(), End::Partly);
        served(&store);
        assert_eq!(
            open(&store).len(),
            1,
            "the other host is closed: {:?}",
            open(&store)
        );
        for told in [
            "ROLLBACK-INGRESS-LOST  Ingress ns-a/shop: it is not there any more",
            "--gone ns-a/shop",
            "unmark Ingress ns-a/shop: it is not there any more",
        ] {
            assert!(said.err.contains(told), "{told}: {}", said.err);
        }
        // Asked again it is missed, and comes back.
        let again = migrate(&store, &clock, &["rollback", "--all", "--dir", &dir]).await;
        show(&again);
        assert_eq!(again.end.unwrap(), End::Done);
        assert!(store.get(ING, "ns-a", "shop").is_some() && store.list(GW).is_empty());
        assert!(store.list(VS).is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn an_ingress_that_is_deleted_as_its_host_is_closed_has_it_opened_again() {
    for words in [&["rollback", "--all"][..], &["-n", "ns-a", "rollback"]] {
        let (store, clock, _dir, _path) = ready().await;
        // With a host that stays the Gateway is written, without one it is deleted.
        let verb = if words.len() == 2 {
            Method::DELETE
        } else {
            Method::PATCH
        };
        let before = store.get(GW, "istio-system", "sealos-gateway").unwrap()["spec"]["servers"].clone();
        let said = beside(&store, &clock, words, (verb, "/gateways/"), deleting(&store)).await;
        assert_eq!(said.end.unwrap(), End::Partly);
        served(&store);
        assert!(said.err.contains("was opened again"), "{}", said.err);
        let now = store.get(GW, "istio-system", "sealos-gateway").unwrap()["spec"]["servers"].clone();
        if words.len() == 3 {
            assert_eq!(now, before, "as it was, its certificate among it");
        }
        assert!(
            now.to_string().contains("credentialName"),
            "with its certificate: {now}"
        );
        assert_eq!(store.list("secrets").len(), 2, "which is still there");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_deleted_or_loses_its_guard_while_nginx_gets_time_keeps_its_host_and_guard_at_the_gateway() {
    for gone in [true, false] {
        let (store, clock, _dir, dir) = ready().await;
        store.delete(ING, "ns-a", "shop").unwrap();
        let meddling = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            if gone {
                store.delete(ING, "ns-a", "shop").unwrap();
            } else {
                edit(&store, ING, "ns-a", "shop", |shop| {
                    shop["metadata"]["annotations"]
                        .as_object_mut()
                        .unwrap()
                        .remove(LIST);
                });
            }
        };
        let words = ["rollback", "--all", "--dir", &dir];
        let (said, ()) = tokio::join!(migrate(&store, &clock, &words), meddling);
        show(&said);
        assert_eq!(said.end.unwrap(), End::Partly);
        served(&store);
        let why = if gone {
            "it is not there any more"
        } else {
            "it was changed in what nginx reads, guards among it"
        };
        assert!(
            said.err
                .contains(&format!("ROLLBACK-INGRESS-LOST  Ingress ns-a/shop: {why}")),
            "{}",
            said.err
        );
        assert!(!open(&store).iter().any(|host| host.starts_with("ns-b/")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_rollback_that_was_ended_and_is_asked_for_again_waits_the_rest_of_the_time() {
    let (store, clock, _dir, dir) = ready().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    store.delete(ING, "ns-a", "shop").unwrap();
    let words = ["rollback", "--all", "--dir", &dir];
    let killed = tokio::time::timeout(Duration::from_secs(5), migrate(&store, &clock, &words)).await;
    assert!(killed.is_err() && store.get(ING, "ns-a", "shop").is_some());
    let begun = tokio::time::Instant::now();
    let open_then = async {
        tokio::time::sleep(Duration::from_secs(8)).await;
        served(&store);
    };
    let (said, ()) = tokio::join!(migrate(&store, &clock, &words), open_then);
    show(&said);
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(
        said.err.contains("giving nginx 11 s to serve what came back"),
        "{}",
        said.err
    );
    assert!(
        begun.elapsed() >= Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    assert!(store.list(GW).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_rollback_that_is_told_to_end_while_nginx_gets_time_says_where_it_stopped() {
    let (store, clock, _dir, dir) = ready().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    store.delete(ING, "ns-a", "shop").unwrap();
    let begun = tokio::time::Instant::now();
    let stopped = || begun.elapsed() > Duration::from_secs(5);
    let words = ["rollback", "--all", "--dir", &dir];
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let client = store.client("default");
    let end = migrate_until(client, &clock, &words, &stopped, &mut out, &mut err).await;
    let err = String::from_utf8(err).unwrap();
    println!("{err}");
    assert_eq!(end.unwrap(), End::Partly);
    assert!(
        err.contains("ROLLBACK-INTERRUPTED") && err.contains("10 s before its end"),
        "{err}"
    );
    served(&store);
    assert!(marked(&store, "ns-b", "shop"), "no mark was taken off");
    let said = migrate(&store, &clock, &words).await;
    assert_eq!(said.end.unwrap(), End::Done);
}

#[tokio::test(start_paused = true)]
async fn ingresses_that_are_there_for_long_are_not_waited_for() {
    let (store, clock) = tenants(&["ns-a"]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    for words in [["apply", "--all"], ["rollback", "--all"]] {
        let said = migrate(&store, &clock, &words).await;
        show(&said);
        assert_eq!(said.end.unwrap(), End::Done);
        assert!(!said.err.contains("giving nginx"), "{}", said.err);
    }
}
