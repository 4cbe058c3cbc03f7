//! `migrate backup` in a cluster.

use crate::kinds;
use crate::objects::ingress;
use crate::support::{cluster, migrate};
use gradual_rollout_apiserver::{Action, Failure, Fault, Store};
use gradual_rollout_toolkit::trouble::{End, Trouble};
use serde_json::{Value, json};
use std::fs;

fn fill(store: &Store, namespaces: &[&str]) {
    for namespace in namespaces {
        store.namespace(namespace);
        store.put(ingress(namespace, "shop")).unwrap();
        store
            .put(
                json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"},
                "metadata": {"name": "settings", "namespace": namespace}}),
            )
            .unwrap();
        store
            .put(
                json!({"apiVersion": "v1", "kind": "Secret", "stringData": {"password": "hidden"},
                "metadata": {"name": "users", "namespace": namespace}}),
            )
            .unwrap();
    }
}

fn read(path: &std::path::Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[tokio::test]
async fn everything_but_secrets_is_kept_and_what_the_cluster_lacks_is_told() {
    let (store, clock) = cluster();
    fill(&store, &["ns-a", "ns-b"]);
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("b");
    let words = ["backup", "--dir", dir.to_str().unwrap()];
    let said = migrate(&store, &clock, &words).await;
    println!("{}{}", said.err, said.out);
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(said.err.contains("certificates.cert-manager.io"), "{}", said.err);
    let kept = read(&dir.join("ns-a/ingresses.networking.k8s.io.json"));
    let item = kept.pointer("/items/0").unwrap();
    assert_eq!(item["spec"], ingress("ns-a", "shop")["spec"]);
    assert_eq!(item["apiVersion"], "networking.k8s.io/v1");
    assert_eq!(item["metadata"].get("uid"), None);
    let all: String = walk(&dir);
    assert!(
        !all.contains("hidden") && !all.contains("aGlkZGVu"),
        "a secret is kept"
    );
    let manifest = read(&dir.join("manifest.json"));
    let finished = manifest["finishedAt"].as_str().unwrap();
    assert!(finished.starts_with("2026-01-05T02:00:0"), "{finished}");
    assert_eq!(manifest["namespaces"].as_object().unwrap().len(), 3, "{manifest}");

    let again = migrate(&store, &clock, &words).await;
    let Err(Trouble::Refused(why)) = again.end else {
        panic!("{again:?}")
    };
    assert!(why.contains("never changed"), "{why}");
}

fn walk(dir: &std::path::Path) -> String {
    let mut all = String::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.push_str(&walk(&path));
        } else {
            all.push_str(&fs::read_to_string(path).unwrap());
        }
    }
    all
}

#[tokio::test]
async fn an_interrupted_backup_goes_on_where_it_stopped() {
    let (store, clock) = cluster();
    fill(&store, &["ns-a", "ns-b", "ns-c"]);
    let dir = tempfile::tempdir().unwrap();
    let words = ["backup", "--dir", dir.path().to_str().unwrap()];
    let mut fault = Fault::new(Action::Fail(Failure::new(500, "InternalError", "etcd is away")))
        .verb("list")
        .resource("ingresses.networking.k8s.io");
    fault.namespace = Some("ns-b".to_owned());
    let number = store.inject(fault);
    let stopped = migrate(&store, &clock, &words).await;
    println!("{:?}", stopped.end);
    assert!(stopped.end.is_err());
    store.faults().lift(number);
    // What was kept stays as it was, whatever became of it meanwhile.
    let before = read(&dir.path().join("ns-a/manifest.json"));
    let mut changed = ingress("ns-a", "shop");
    changed["metadata"]["labels"] = json!({});
    store.put(changed).unwrap();
    let said = migrate(&store, &clock, &words).await;
    println!("{}{}", said.err, said.out);
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(said.out.contains("from before"), "{}", said.out);
    assert_eq!(read(&dir.path().join("ns-a/manifest.json")), before);
    assert!(dir.path().join("ns-b/ingresses.networking.k8s.io.json").exists());
}

#[tokio::test]
async fn what_may_not_be_read_is_named_and_the_rest_is_kept() {
    let (store, clock) = cluster();
    fill(&store, &["ns-a", "ns-b"]);
    let dir = tempfile::tempdir().unwrap();
    let words = ["--json", "backup", "--dir", dir.path().to_str().unwrap()];
    let mut fault = Fault::new(Action::Fail(Failure::new(
        403,
        "Forbidden",
        "configmaps is forbidden: User \"ops\" cannot list resource \"configmaps\"",
    )))
    .verb("list")
    .resource("configmaps");
    fault.namespace = Some("ns-b".to_owned());
    let number = store.inject(fault);
    let said = migrate(&store, &clock, &words).await;
    assert_eq!(said.end.unwrap(), End::Partly);
    let told: Value = serde_json::from_str(&said.out).unwrap();
    assert!(
        told["findings"].to_string().contains("BACKUP-FORBIDDEN"),
        "{told:#}"
    );
    assert_eq!(told["finishedAt"], Value::Null);
    assert!(!dir.path().join("ns-b/manifest.json").exists());
    store.faults().lift(number);
    assert_eq!(migrate(&store, &clock, &words).await.end.unwrap(), End::Done);
}

#[tokio::test]
async fn a_namespace_that_is_not_there_and_a_folder_of_another_cluster_are_refused() {
    let (store, clock) = cluster();
    fill(&store, &["ns-a"]);
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("b");
    let to = to.to_str().unwrap();
    let typo = migrate(&store, &clock, &["-n", "ns-z", "backup", "--dir", to]).await;
    let Err(Trouble::Usage(why)) = typo.end else {
        panic!("{typo:?}")
    };
    assert!(why.contains("ns-z"), "{why}");
    kinds::istio(&store);
    store.inject(
        Fault::new(Action::Fail(Failure::new(500, "InternalError", "away")))
            .verb("list")
            .resource("configmaps"),
    );
    migrate(&store, &clock, &["backup", "--dir", to])
        .await
        .end
        .unwrap_err();
    let (other, clock) = {
        let (other, clock) = cluster();
        // Ids are counted, so that of the first namespaces would be the same.
        other.delete("namespaces", "", "kube-system").unwrap();
        other.namespace("kube-system");
        (other, clock)
    };
    let said = migrate(&other, &clock, &["backup", "--dir", to]).await;
    let Err(Trouble::Refused(why)) = said.end else {
        panic!("{said:?}")
    };
    assert!(why.contains("another cluster"), "{why}");
}
