//! `tenant check --request`: two pods ask, and what they found is the verdict.

use super::{create, with_istio};
use crate::kinds::put;
use crate::preflight::healthy::{service, slice};
use crate::support::{Said, migrate};
use gradual_rollout_apiserver::Store;
use gradual_rollout_toolkit::trouble::{End, Trouble};
use serde_json::{Value, json};

/// How a pod ends.
#[derive(Clone, Copy)]
pub(crate) enum Ends {
    With(i64),
    Never,
}

/// A stand-in for kubelet and network: pods of the tenant end one way, those of others another.
pub(crate) async fn run_pods(store: Store, own: Ends, other: Ends) {
    let mut changes = store.subscribe("pods");
    while let Ok(change) = changes.recv().await {
        let pod = &change.object;
        if change.deleted
            || pod
                .pointer("/status/phase")
                .and_then(Value::as_str)
                .is_some_and(|p| p != "Pending")
        {
            continue;
        }
        let (namespace, name) = (
            pod["metadata"]["namespace"].as_str().unwrap(),
            pod["metadata"]["name"].as_str().unwrap(),
        );
        let ends = if namespace == "ns-ada" { own } else { other };
        if let Ends::With(code) = ends {
            let phase = if code == 0 { "Succeeded" } else { "Failed" };
            let status = json!({"phase": phase, "containerStatuses": [{
                "name": "check", "image": "x", "imageID": "x", "ready": false, "restartCount": 0,
                "state": {"terminated": {"exitCode": code}},
            }]});
            store.put_status("pods", namespace, name, status).unwrap();
        }
    }
}

async fn check(own: Ends, other: Ends) -> (Store, Said) {
    let (store, clock) = with_istio();
    create(&store, &clock).await.end.unwrap();
    put(&store, service("ns-ada", "shop", "ClusterIP"));
    put(&store, slice("ns-ada", "shop"));
    let words = [
        "tenant",
        "check",
        "ada",
        "--domain",
        "a.com",
        "--certificate",
        "certs/ada",
        "--request",
        "--timeout",
        "30",
    ];
    let said = tokio::select! {
        said = migrate(&store, &clock, &words) => said,
        () = run_pods(store.clone(), own, other) => unreachable!(),
    };
    (store, said)
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_only_its_own_pods_reach_is_isolated_and_the_pods_are_deleted() {
    let (store, said) = check(Ends::With(0), Ends::With(1)).await;
    assert_eq!(said.end.unwrap(), End::Done, "{}", said.out);
    assert!(said.out.ends_with("tenant ada: as it was made\n"), "{}", said.out);
    assert!(store.list("pods").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_others_reach_is_open() {
    let (store, said) = check(Ends::With(0), Ends::With(0)).await;
    assert_eq!(said.end.unwrap(), End::Refused);
    assert!(
        said.out
            .contains("TENANT-OPEN  Service ns-ada/shop:80: a pod in namespace default reached it"),
        "{}",
        said.out
    );
    assert!(store.list("pods").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_nobody_reaches_is_not_called_isolated() {
    let (_, said) = check(Ends::With(1), Ends::With(1)).await;
    assert_eq!(said.end.unwrap(), End::Refused);
    assert!(said.out.contains("TENANT-UNTOLD"), "{}", said.out);
}

#[tokio::test(start_paused = true)]
async fn an_image_without_nc_tells_nothing() {
    let (store, said) = check(Ends::With(0), Ends::With(127)).await;
    assert!(matches!(said.end, Err(Trouble::Refused(why)) if why.contains("ended with 127")));
    assert!(store.list("pods").is_empty());
}

#[tokio::test(start_paused = true)]
async fn pods_that_do_not_end_are_waited_for_no_longer_than_told_and_deleted() {
    let (store, said) = check(Ends::With(0), Ends::Never).await;
    assert!(matches!(said.end, Err(Trouble::TimedOut(_))), "{said:?}");
    assert!(store.list("pods").is_empty());
}

#[tokio::test]
async fn a_host_under_the_wildcard_of_another_tenant_belongs_to_that_one() {
    let (store, clock) = with_istio();
    let said = migrate(&store, &clock, &super::CREATE).await;
    assert_eq!(said.end.unwrap(), End::Done);
    for more in [["--host", "x.ada.a.com"], ["--domain", "ada.a.com"]] {
        let words = [&["tenant", "create", "bob"], &more[..]].concat();
        let said = migrate(&store, &clock, &words).await;
        let why = said.end.unwrap_err().to_string();
        assert!(why.contains("*.ada.a.com"), "{why}");
    }
    let again = migrate(&store, &clock, &super::CREATE).await;
    assert!(!again.out.contains("written: "), "{}", again.out);
    assert!(again.out.contains("as it should be"), "{}", again.out);
}
