//! `tenant check --request`: what its pods run, and what is said where they cannot be run.

use super::isolation::{Ends, api_service, run_pods};
use super::{create, with_istio};
use crate::kinds::put;
use crate::preflight::healthy::{service, slice};
use crate::support::{Said, migrate};
use gradual_rollout_apiserver::clock::Clock;
use gradual_rollout_apiserver::{Action, Failure, Fault, Store};
use gradual_rollout_toolkit::trouble::{End, Trouble};
use serde_json::{Value, json};

const WORDS: [&str; 10] = [
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

/// A tenant with a Service that can be asked for.
async fn ready() -> (Store, Clock) {
    let (store, clock) = with_istio();
    create(&store, &clock).await.end.unwrap();
    put(&store, api_service());
    let mut shop = service("ns-ada", "shop", "ClusterIP");
    shop["spec"]["clusterIP"] = "10.96.0.7".into();
    put(&store, shop);
    put(&store, slice("ns-ada", "shop"));
    (store, clock)
}

/// Asks, while pods of an isolated tenant end as they do.
async fn asked(store: &Store, clock: &Clock, more: &[&str]) -> Said {
    let words = [&WORDS[..], more].concat();
    let said = tokio::select! {
        said = migrate(store, clock, &words) => said,
        () = run_pods(store.clone(), Ends::With(0), Ends::With(1)) => unreachable!(),
    };
    println!("{}{}{:?}", said.err, said.out, said.end);
    said
}

fn refused(verb: &str, namespace: &str) -> Fault {
    let why = Failure::new(403, "Forbidden", "pods is forbidden");
    let mut fault = Fault::new(Action::Fail(why)).verb(verb).resource("pods");
    fault.namespace = Some(namespace.to_owned());
    fault
}

#[tokio::test(start_paused = true)]
async fn the_pods_connect_and_end_and_may_do_nothing_else() {
    let (store, clock) = ready().await;
    let mut pods = store.subscribe("pods");
    let said = asked(&store, &clock, &["--image", "mirror/busybox:1"]).await;
    assert_eq!(said.end.unwrap(), End::Done);
    let mut made: Vec<(String, Value)> = Vec::new();
    while let Ok(change) = pods.try_recv() {
        let is_new = !change.deleted
            && change
                .object
                .pointer("/status/phase")
                .is_none_or(|phase| phase == "Pending");
        if is_new {
            let meta = &change.object["metadata"];
            assert!(
                meta["name"]
                    .as_str()
                    .unwrap()
                    .starts_with("gradual-rollout-check-"),
                "{meta}"
            );
            assert_eq!(meta["labels"]["app.kubernetes.io/managed-by"], "gradual-rollout");
            let namespace = meta["namespace"].as_str().unwrap().to_owned();
            made.push((namespace, change.object["spec"].clone()));
        }
    }
    let container = |name: &str, address: &str, port: &str| {
        json!({
            "name": name, "image": "mirror/busybox:1", "command": ["nc", "-z", "-w", "5", address, port],
            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "100m", "memory": "32Mi"}},
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
        })
    };
    let check = || container("check", "10.96.0.7", "80");
    let pod = |containers: Vec<Value>| {
        json!({
            "restartPolicy": "Never", "automountServiceAccountToken": false, "activeDeadlineSeconds": 120,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65534, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": containers,
        })
    };
    let wanted = [
        ("ns-ada".to_owned(), pod(vec![check()])),
        (
            "default".to_owned(),
            pod(vec![check(), container("control", "10.96.0.1", "443")]),
        ),
    ];
    assert_eq!(made, wanted);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_may_not_be_made_is_told_with_its_namespace_and_the_other_is_taken_away() {
    for namespace in ["ns-ada", "default"] {
        let (store, clock) = ready().await;
        store.inject(refused("create", namespace));
        let said = asked(&store, &clock, &[]).await;
        let Err(trouble) = said.end else {
            panic!("{said:?}")
        };
        let told = trouble.to_string();
        assert!(
            told.contains(&format!("make a pod in {namespace}")) && told.contains("pods is forbidden"),
            "{told}"
        );
        assert!(store.list("pods").is_empty());
        assert!(
            !said.out.contains("as it was made"),
            "nothing was found out: {}",
            said.out
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_may_not_be_looked_at_is_told_and_both_are_taken_away() {
    let (store, clock) = ready().await;
    store.inject(refused("get", "default"));
    let said = asked(&store, &clock, &[]).await;
    let told = said.end.unwrap_err().to_string();
    assert!(told.contains("pods is forbidden"), "{told}");
    assert!(store.list("pods").is_empty(), "deleted without a look");
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_may_not_be_deleted_is_named_and_what_was_found_holds() {
    let (store, clock) = ready().await;
    store.inject(refused("delete", "default"));
    let said = asked(&store, &clock, &[]).await;
    assert_eq!(said.end.unwrap(), End::Done);
    let left = store.list("pods");
    assert_eq!(left.len(), 1);
    let line = format!(
        "left behind: Pod default/{}",
        left[0]["metadata"]["name"].as_str().unwrap()
    );
    assert!(
        said.err.contains(&line) && said.err.contains("pods is forbidden"),
        "{}",
        said.err
    );
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_somebody_deletes_tells_nothing() {
    let (store, clock) = ready().await;
    let mut pods = store.subscribe("pods");
    let deletes = async {
        while let Ok(change) = pods.recv().await {
            let meta = &change.object["metadata"];
            if !change.deleted && meta["namespace"] == "default" {
                store
                    .delete("pods", "default", meta["name"].as_str().unwrap())
                    .unwrap();
            }
        }
    };
    let said = tokio::select! {
        said = migrate(&store, &clock, &WORDS) => said,
        () = run_pods(store.clone(), Ends::With(0), Ends::Never) => unreachable!(),
        () = deletes => unreachable!(),
    };
    assert!(
        matches!(&said.end, Err(Trouble::Refused(why)) if why.contains("Pod default/") && why.contains("was deleted by somebody else")),
        "{said:?}"
    );
    assert!(store.list("pods").is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_asked_for_is_said_before_a_pod_is_made() {
    for (change, more, wanted) in [
        (
            "nothing ready",
            vec![],
            "no Service in ns-ada has a ready endpoint",
        ),
        (
            "",
            vec!["--from", "ns-ada"],
            "--from must be another namespace than the tenant's",
        ),
        (
            "",
            vec!["--service", "none:80"],
            "there is no Service ns-ada/none",
        ),
        (
            "",
            vec!["--service", "shop"],
            "--service \"shop\" is not as it should be",
        ),
        (
            "",
            vec!["--control", "kubernetes:443"],
            "is not NAMESPACE/NAME:PORT",
        ),
        (
            "",
            vec!["--control", "default/none:443"],
            "there is no Service default/none",
        ),
    ] {
        let (store, clock) = ready().await;
        if change == "nothing ready" {
            let mut none = slice("ns-ada", "shop");
            none["endpoints"][0]["conditions"] = json!({"ready": false});
            put(&store, none);
        }
        let version = store.version();
        let said = asked(&store, &clock, &more).await;
        let told = said.end.unwrap_err().to_string();
        assert!(told.contains(wanted), "{wanted}: {told}");
        assert_eq!(store.version(), version, "{more:?}");
    }
}
