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

/// A stand-in for kubelet and network: pods of the tenant end one way, those of others another; what must be reached is.
pub(crate) async fn run_pods(store: Store, own: Ends, other: Ends) {
    run_both(store, own, other, 0).await;
}

/// The same, and what must be reached ends with a code.
async fn run_both(store: Store, own: Ends, other: Ends, control: i64) {
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
            let containers = pod["spec"]["containers"].as_array().unwrap();
            let ended = |container: &Value| {
                let name = container["name"].as_str().unwrap();
                (name.to_owned(), if name == "control" { control } else { code })
            };
            let ended: Vec<(String, i64)> = containers.iter().map(ended).collect();
            let well = ended.iter().all(|(_, code)| *code == 0);
            let statuses: Vec<Value> = ended
                .iter()
                .map(|(name, code)| {
                    json!({
                        "name": name, "image": "x", "imageID": "x", "ready": false, "restartCount": 0,
                        "state": {"terminated": {"exitCode": code}},
                    })
                })
                .collect();
            let phase = if well { "Succeeded" } else { "Failed" };
            let status = json!({"phase": phase, "containerStatuses": statuses});
            store.put_status("pods", namespace, name, status).unwrap();
        }
    }
}

/// What pods of other namespaces must reach, as each cluster has it.
pub(crate) fn api_service() -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "default", "name": "kubernetes"},
        "spec": {"clusterIP": "10.96.0.1", "ports": [{"name": "https", "port": 443, "targetPort": 6443}]}})
}

async fn check(own: Ends, other: Ends) -> (Store, Said) {
    check_with(own, other, 0, &[]).await
}

async fn check_with(own: Ends, other: Ends, control: i64, more: &[&str]) -> (Store, Said) {
    let (store, clock) = with_istio();
    create(&store, &clock).await.end.unwrap();
    put(&store, api_service());
    let mut shop = service("ns-ada", "shop", "ClusterIP");
    shop["spec"]["clusterIP"] = "10.96.0.7".into();
    put(&store, shop);
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
    let words = [&words[..], more].concat();
    let said = tokio::select! {
        said = migrate(&store, &clock, &words) => said,
        () = run_both(store.clone(), own, other, control) => unreachable!(),
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

#[tokio::test(start_paused = true)]
async fn a_pod_that_reaches_nothing_at_all_proves_no_isolation() {
    let (store, said) = check_with(Ends::With(0), Ends::With(1), 1, &[]).await;
    println!("{}{}", said.out, said.err);
    assert_eq!(said.end.unwrap(), End::Refused);
    assert!(
        said.out.contains("TENANT-UNTOLD") && said.out.contains("default/kubernetes:443"),
        "{}",
        said.out
    );
    assert!(said.out.contains("--control"), "{}", said.out);
    assert!(store.list("pods").is_empty());
}

#[tokio::test(start_paused = true)]
async fn pods_ask_by_address_so_that_a_name_nobody_knows_is_not_taken_for_a_shut_door() {
    let (store, clock) = with_istio();
    create(&store, &clock).await.end.unwrap();
    put(&store, api_service());
    let mut headless = service("ns-ada", "db", "ClusterIP");
    headless["spec"]["clusterIP"] = "None".into();
    headless["spec"]["ports"] = json!([{"name": "pg", "port": 5432}]);
    put(&store, headless);
    let mut behind = slice("ns-ada", "db");
    behind["ports"] = json!([{"name": "pg", "port": 15432}]);
    put(&store, behind);
    let mut pods = store.subscribe("pods");
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
        "5",
    ];
    let said = migrate(&store, &clock, &words).await;
    assert!(matches!(said.end, Err(Trouble::TimedOut(_))), "{said:?}");
    let mut asked = Vec::new();
    while let Ok(change) = pods.try_recv() {
        if change.deleted {
            continue;
        }
        for container in change.object["spec"]["containers"].as_array().unwrap() {
            let words = container["command"].as_array().unwrap();
            let to: Vec<&str> = words[4..].iter().filter_map(Value::as_str).collect();
            let namespace = change.object["metadata"]["namespace"].as_str().unwrap();
            asked.push(format!(
                "{namespace} {} {}",
                container["name"].as_str().unwrap(),
                to.join(":")
            ));
        }
    }
    assert_eq!(
        asked,
        [
            "ns-ada check 10.0.0.1:15432",
            "default check 10.0.0.1:15432",
            "default control 10.96.0.1:443",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn without_anything_that_must_be_reached_nothing_is_asked() {
    let (store, clock) = with_istio();
    create(&store, &clock).await.end.unwrap();
    let mut shop = service("ns-ada", "shop", "ClusterIP");
    shop["spec"]["clusterIP"] = "10.96.0.7".into();
    put(&store, shop);
    put(&store, slice("ns-ada", "shop"));
    let words = ["tenant", "check", "ada", "--domain", "a.com", "--request"];
    let version = store.version();
    let said = migrate(&store, &clock, &words).await;
    assert!(
        matches!(&said.end, Err(Trouble::Refused(why)) if why.contains("default/kubernetes") && why.contains("--control")),
        "{said:?}"
    );
    assert_eq!(store.version(), version);
}
