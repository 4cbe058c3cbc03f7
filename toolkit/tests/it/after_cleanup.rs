//! `migrate apply` and `rollback` where some Ingresses were cleaned up already.

use crate::apply::{GW, ING, VS, open, tenants};
use crate::objects::{ingress, service};
use crate::support::{Said, migrate};
use gradual_rollout_apiserver::clock::Clock;
use gradual_rollout_apiserver::{Action, Failure, Fault, Store};
use gradual_rollout_toolkit::trouble::End;
use serde_json::{Value, json};
use std::sync::Arc;
use tempfile::TempDir;

const DR: &str = "destinationrules.networking.istio.io";
const ACCEPTED: &str = "CLEANUP-NAME-UNKNOWN,CLEANUP-NAME-LEADS-TO-NGINX,CLEANUP-NOT-PROBED,CLEANUP-COUNT-UNKNOWN,CLEANUP-COUNTING";

fn show(said: &Said) {
    println!("{}{}{:?}\n", said.err, said.out, said.end);
}

/// An Ingress for a path of a host.
fn path(name: &str, host: &str, path: &str) -> Value {
    let mut one = ingress("ns-s", name);
    one["spec"]["rules"][0]["host"] = json!(host);
    one["spec"]["rules"][0]["http"]["paths"][0]["path"] = json!(path);
    one
}

async fn done(store: &Store, clock: &Clock, words: &[&str]) -> Said {
    let said = migrate(store, clock, words).await;
    show(&said);
    assert_eq!(*said.end.as_ref().unwrap(), End::Done);
    said
}

async fn backed_up(store: &Store, clock: &Clock) -> (TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b").to_str().unwrap().to_owned();
    done(store, clock, &["backup", "--dir", &path]).await;
    (dir, path)
}

fn route(store: &Store) -> Arc<Value> {
    let mut all = store.list(VS);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

/// Two Ingresses share a host, and one of them was cleaned up; the other belongs to Argo CD, so it stays.
async fn half_cleaned() -> (Store, Clock, TempDir, String) {
    let (store, clock) = tenants(&[]);
    store.namespace("ns-s");
    let mut a = path("a", "h.example.com", "/a");
    a["spec"]["tls"] = json!([{"hosts": ["h.example.com"], "secretName": "h-tls"}]);
    store.put(a).unwrap();
    store
        .put(
            json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": {"name": "h-tls", "namespace": "ns-s"}, "stringData": {"tls.crt": "c", "tls.key": "k"}}),
        )
        .unwrap();
    let mut b = path("b", "h.example.com", "/b");
    b["metadata"]["labels"]["argocd.argoproj.io/instance"] = json!("shop");
    store.put(b).unwrap();
    store.put(service("ns-s", "a")).unwrap();
    store.put(service("ns-s", "b")).unwrap();
    done(&store, &clock, &["-n", "ns-s", "apply"]).await;
    let (dir, folder) = backed_up(&store, &clock).await;
    let words = [
        "-n", "ns-s", "cleanup", "--dir", &folder, "--soak", "0", "--accept", ACCEPTED,
    ];
    let said = migrate(&store, &clock, &words).await;
    show(&said);
    assert!(store.get(ING, "ns-s", "a").is_none() && store.get(ING, "ns-s", "b").is_some());
    (store, clock, dir, folder)
}

#[tokio::test(start_paused = true)]
async fn an_apply_keeps_the_routes_of_an_ingress_that_was_cleaned_up_and_rollback_brings_it_back() {
    let (store, clock, _dir, folder) = half_cleaned().await;
    let (before, gateway) = (
        route(&store),
        store.get(GW, "istio-system", "sealos-gateway").unwrap(),
    );
    let said = done(&store, &clock, &["-n", "ns-s", "apply"]).await;
    assert!(said.err.contains("APPLY-KEPT"), "{}", said.err);
    assert_eq!(route(&store), before);
    assert_eq!(
        store.get(GW, "istio-system", "sealos-gateway").unwrap()["spec"],
        gateway["spec"],
        "its certificate is still shown"
    );
    done(&store, &clock, &["-n", "ns-s", "rollback", "--dir", &folder]).await;
    assert!(store.get(ING, "ns-s", "a").is_some());
    assert_eq!(open(&store), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_route_that_would_be_otherwise_is_left_until_the_ingress_that_was_cleaned_up_is_back() {
    let (store, clock, _dir, folder) = half_cleaned().await;
    let before = route(&store);
    let mut b = Value::clone(&store.get(ING, "ns-s", "b").unwrap());
    b["spec"]["rules"][0]["http"]["paths"][0]["path"] = json!("/c");
    store.put(b).unwrap();
    for more in [&[][..], &["--overwrite"]] {
        let said = migrate(&store, &clock, &[&["-n", "ns-s", "apply"], more].concat()).await;
        show(&said);
        assert!(said.err.contains("APPLY-GONE-SHARED"), "{}", said.err);
        assert_ne!(said.end.unwrap(), End::Done);
        assert_eq!(route(&store), before);
    }
    // The remedy that is told works.
    done(
        &store,
        &clock,
        &["restore", "--dir", &folder, "--kind", "Ingress", "--name", "a"],
    )
    .await;
    done(&store, &clock, &["-n", "ns-s", "apply"]).await;
    let now = route(&store)["spec"].to_string();
    assert!(
        ["\"/a\"", "\"/c\""].iter().all(|path| now.contains(path)) && !now.contains("\"/b\""),
        "{now}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_settings_of_a_port_that_is_still_served_are_kept() {
    let (store, clock) = tenants(&[]);
    store.namespace("ns-s");
    for (name, number) in [("a", 8443), ("b", 9443)] {
        let mut one = path(name, &format!("{name}.example.com"), "/");
        one["metadata"]["annotations"] = json!({"nginx.ingress.kubernetes.io/backend-protocol": "HTTPS"});
        one["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"] =
            json!({"name": "web", "port": {"number": number}});
        store.put(one).unwrap();
    }
    let mut web = service("ns-s", "web");
    web["spec"]["ports"] = json!([{"name": "https", "port": 8443}, {"name": "https-b", "port": 9443}]);
    store.put(web).unwrap();
    done(&store, &clock, &["-n", "ns-s", "apply"]).await;
    let rule = store.list(DR).remove(0);
    assert!(rule["spec"].to_string().contains("8443") && rule["spec"].to_string().contains("9443"));
    let (_dir, folder) = backed_up(&store, &clock).await;
    let words = [
        "cleanup",
        "--ingress",
        "ns-s/a",
        "--dir",
        &folder,
        "--soak",
        "0",
        "--accept",
        ACCEPTED,
    ];
    done(&store, &clock, &words).await;
    let said = migrate(&store, &clock, &["-n", "ns-s", "apply"]).await;
    show(&said);
    assert_eq!(store.list(DR).remove(0)["spec"], rule["spec"]);
}

#[tokio::test(start_paused = true)]
async fn a_cleanup_that_was_killed_is_known_to_rollback_and_a_second_one_goes_on() {
    let (store, clock) = tenants(&["ns-a", "ns-b"]);
    done(&store, &clock, &["apply", "--all"]).await;
    let (_dir, folder) = backed_up(&store, &clock).await;
    let words = [
        "cleanup", "--all", "--dir", &folder, "--soak", "0", "--accept", ACCEPTED, "--rate", "1",
    ];
    // It ends after the first deletion, as by kill -9: nothing of it is awaited any more.
    let killed = async {
        while store.list(ING).len() == 2 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        biased;
        () = killed => {}
        said = migrate(&store, &clock, &words) => panic!("it ended: {said:?}"),
    }
    assert_eq!(store.list(ING).len(), 1);
    let cleaned =
        |route: &&Arc<Value>| route["metadata"]["annotations"]["rollout.sealos.io/cleaned-at"].is_string();
    assert!(
        store.list(VS).iter().filter(cleaned).count() >= 1,
        "nobody would know of it"
    );
    let told = migrate(&store, &clock, &["--json", "status"]).await;
    let told: Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!(
        (&told["total"]["cleaned"], &told["total"]["orphaned"]),
        (&json!(1), &json!(0))
    );
    done(&store, &clock, &words).await;
    assert_eq!(store.list(ING).len(), 0);
    done(
        &store,
        &clock,
        &["rollback", "--all", "--gone", "orphans", "--dir", &folder],
    )
    .await;
    assert_eq!(store.list(ING).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_the_backup_has_comes_back_whatever_is_said_of_orphans() {
    let (store, clock) = tenants(&["ns-a"]);
    done(&store, &clock, &["apply", "--all"]).await;
    let (_dir, folder) = backed_up(&store, &clock).await;
    store.put(ingress("ns-a", "late")).unwrap();
    store.put(service("ns-a", "late")).unwrap();
    done(&store, &clock, &["apply", "--all"]).await;
    store.delete(ING, "ns-a", "shop").unwrap();
    store.delete(ING, "ns-a", "late").unwrap();
    let words = ["rollback", "--all", "--gone", "orphans", "--dir", &folder];
    let said = done(&store, &clock, &words).await;
    assert!(said.out.contains("1 come back"), "{}", said.out);
    let back: Vec<Arc<Value>> = store.list(ING);
    assert_eq!((back.len(), &back[0]["metadata"]["name"]), (1, &json!("shop")));
}

#[tokio::test(start_paused = true)]
async fn an_ingress_whose_deletion_cannot_be_written_down_first_stays() {
    let (store, clock) = tenants(&["ns-a"]);
    done(&store, &clock, &["apply", "--all"]).await;
    let (_dir, folder) = backed_up(&store, &clock).await;
    store.inject(
        Fault::new(Action::Fail(Failure::new(
            403,
            "Forbidden",
            "virtualservices is forbidden",
        )))
        .verb("patch")
        .resource(VS),
    );
    let words = [
        "cleanup", "--all", "--dir", &folder, "--soak", "0", "--accept", ACCEPTED,
    ];
    let said = migrate(&store, &clock, &words).await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Refused);
    assert!(said.err.contains("CLEANUP-FAILED"), "{}", said.err);
    assert_eq!(store.list(ING).len(), 1);
}
