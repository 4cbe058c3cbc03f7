//! What is written rests on Ingresses, and no run changes what rests on those that it does not speak for.

use crate::apply::{ING, VS, marked, open, tenants};
use crate::objects::{ingress, service};
use crate::standing::gateway_pod;
use crate::support::{Said, migrate};
use gradual_rollout_apiserver::Store;
use gradual_rollout_apiserver::clock::Clock;
use gradual_rollout_toolkit::trouble::{End, Trouble};
use serde_json::{Value, json};

pub(crate) const AP: &str = "authorizationpolicies.security.istio.io";
pub(crate) const DR: &str = "destinationrules.networking.istio.io";
const P: &str = "nginx.ingress.kubernetes.io";
const NGINX: [&str; 2] = ["--ingress-class", "nginx"];
const INNER: [&str; 2] = ["--ingress-class", "inner"];

fn controller(name: &str, class: &str, map: &str) -> Value {
    let args = [
        "/nginx-ingress-controller".to_owned(),
        format!("--controller-class=k8s.io/{class}"),
        format!("--ingress-class={class}"),
        format!("--configmap=ingress-nginx/{map}"),
    ];
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"namespace": "ingress-nginx", "name": name},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": {
            "metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": "controller", "image": "img:1", "args": args}]}}}})
}

/// Writes the settings of a controller.
pub(crate) fn settings(store: &Store, name: &str, data: Value) {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data,
        "metadata": {"name": name, "namespace": "ingress-nginx"}});
    store.put(map).unwrap();
}

/// Tenants in a cluster with two controllers of ingress-nginx, each with its class and its ConfigMap.
pub(crate) fn two_classes(names: &[&str]) -> (Store, Clock) {
    let (store, clock) = tenants(names);
    store.namespace("ingress-nginx");
    for (name, class) in [("outer", "nginx"), ("inner", "inner")] {
        let class_object = json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
            "metadata": {"name": class}, "spec": {"controller": format!("k8s.io/{class}")}});
        store.put(class_object).unwrap();
        store.put(controller(name, class, name)).unwrap();
        settings(&store, name, json!({"hsts": "false"}));
    }
    gateway_pod(&store);
    (store, clock)
}

pub(crate) fn edit(store: &Store, namespace: &str, name: &str, change: impl Fn(&mut Value)) {
    let mut object = Value::clone(&store.get(ING, namespace, name).unwrap());
    change(&mut object);
    store.put(object).unwrap();
}

pub(crate) fn annotate(store: &Store, namespace: &str, name: &str, annotation: &str, value: &str) {
    edit(store, namespace, name, |ingress| {
        ingress["metadata"]["annotations"][format!("{P}/{annotation}")] = json!(value);
    });
}

/// An Ingress of the inner class, for a host and a path.
fn inner(namespace: &str, name: &str, host: &str, path: &str, back_end: &str) -> Value {
    let mut inner = ingress(namespace, name);
    inner["spec"]["ingressClassName"] = json!("inner");
    inner["spec"]["rules"][0]["host"] = json!(host);
    let path_object = &mut inner["spec"]["rules"][0]["http"]["paths"][0];
    path_object["path"] = json!(path);
    path_object["backend"]["service"]["name"] = json!(back_end);
    inner
}

/// What was made, without what the store keeps of it.
pub(crate) fn made(store: &Store) -> Vec<Value> {
    let all = [VS, AP, DR].iter().flat_map(|kind| store.list(kind));
    all.map(|object| {
        json!([
            object["kind"],
            object["metadata"]["name"],
            object["metadata"]["namespace"],
            object["spec"]
        ])
    })
    .collect()
}

async fn run(store: &Store, clock: &Clock, words: &[&str], more: &[&str]) -> Said {
    let said = migrate(store, clock, &[words, more].concat()).await;
    println!("{words:?} {more:?}\n{}{}{:?}\n", said.err, said.out, said.end);
    said
}

async fn done(store: &Store, clock: &Clock, words: &[&str], more: &[&str]) -> Said {
    let said = run(store, clock, words, more).await;
    assert_eq!(*said.end.as_ref().unwrap(), End::Done);
    said
}

#[tokio::test(start_paused = true)]
async fn a_host_of_another_class_keeps_its_route_and_its_policy_in_whatever_namespace_the_newcomer_is() {
    for namespace in ["ns-a", "ns-c"] {
        let (store, clock) = two_classes(&["ns-a"]);
        annotate(&store, "ns-a", "shop", "whitelist-source-range", "10.0.0.0/8");
        store.namespace("ns-c");
        store.put(service(namespace, "in")).unwrap();
        settings(&store, "inner", json!({"whitelist-source-range": "0.0.0.0/0"}));
        done(&store, &clock, &["apply", "--all"], &NGINX).await;
        let before = made(&store);
        let newcomer = inner(namespace, "inshop", "shop.ns-a.example.com", "/in", "in");
        store.put(newcomer).unwrap();
        let said = run(&store, &clock, &["apply", "--all"], &INNER).await;
        assert!(said.err.contains("APPLY-HOST-TAKEN"), "{}", said.err);
        assert_ne!(said.end.unwrap(), End::Done);
        assert_eq!(made(&store), before, "{namespace}");
        assert!(!marked(&store, namespace, "inshop"));
        done(&store, &clock, &["validate"], &[]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_somebody_else_serves_is_not_denied_by_the_list_of_an_ingress_that_is_left_out() {
    let (store, clock) = two_classes(&["ns-b"]);
    annotate(&store, "ns-b", "shop", "whitelist-source-range", "10.0.0.0/8");
    let theirs = json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": "mine", "namespace": "ns-c"},
        "spec": {"hosts": ["shop.ns-b.example.com"], "gateways": ["ns-c/own"]}});
    store.namespace("ns-c");
    store.put(theirs).unwrap();
    let said = run(&store, &clock, &["apply", "--ingress", "ns-b/shop"], &NGINX).await;
    assert!(said.err.contains("APPLY-HOST-TAKEN"), "{}", said.err);
    assert_eq!(said.end.unwrap(), End::Refused);
    assert_eq!((store.list(AP).len(), open(&store).len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn how_a_service_is_spoken_to_is_not_changed_under_a_route_of_another_class() {
    let (store, clock) = two_classes(&["ns-b"]);
    annotate(&store, "ns-b", "shop", "backend-protocol", "HTTPS");
    done(&store, &clock, &["apply", "--all"], &NGINX).await;
    let before = made(&store);
    let other = inner("ns-b", "zz", "zz.example.com", "/", "shop");
    store.put(other.clone()).unwrap();
    // With another setting, and with none: neither is what nginx does.
    for balance in [Some("ewma"), None] {
        store.put(other.clone()).unwrap();
        if let Some(balance) = balance {
            annotate(&store, "ns-b", "zz", "load-balance", balance);
        }
        let said = run(&store, &clock, &["apply", "--ingress", "ns-b/zz"], &INNER).await;
        assert!(
            said.err.contains("APPLY-BACKEND-SHARED"),
            "{balance:?}: {}",
            said.err
        );
        assert_ne!(said.end.unwrap(), End::Done);
        assert_eq!(made(&store), before);
    }
    // What asks for the same is in nobody's way, and the rule stays when one of them goes.
    store.put(other).unwrap();
    annotate(&store, "ns-b", "zz", "backend-protocol", "HTTPS");
    done(&store, &clock, &["apply", "--ingress", "ns-b/zz"], &INNER).await;
    done(&store, &clock, &["rollback", "--ingress", "ns-b/zz"], &[]).await;
    assert_eq!(made(&store), before);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_moved_to_an_ingress_outside_of_the_batch_is_written_when_both_are_named() {
    let (store, clock) = two_classes(&["ns-a"]);
    done(&store, &clock, &["apply", "--all"], &NGINX).await;
    let before = made(&store);
    let mut next = ingress("ns-a", "next");
    next["spec"]["rules"][0]["host"] = json!("shop.ns-a.example.com");
    store.put(next).unwrap();
    store.put(service("ns-a", "next")).unwrap();
    edit(&store, "ns-a", "shop", |shop| {
        shop["spec"]["rules"][0]["host"] = json!("old.ns-a.example.com");
    });
    let said = run(&store, &clock, &["apply", "--ingress", "ns-a/next"], &NGINX).await;
    assert!(
        said.err.contains("APPLY-HOST-TAKEN") && said.err.contains("ns-a/shop"),
        "{}",
        said.err
    );
    assert_eq!(made(&store), before);
    done(&store, &clock, &["apply", "-n", "ns-a"], &NGINX).await;
    assert!(marked(&store, "ns-a", "next"));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_does_not_know_which_controller_is_meant_writes_nothing() {
    let (store, clock) = two_classes(&["ns-a"]);
    annotate(&store, "ns-a", "shop", "whitelist-source-range", "10.0.0.0/8");
    done(&store, &clock, &["apply", "--all"], &NGINX).await;
    let version = store.version();
    let said = run(&store, &clock, &["apply", "--all"], &[]).await;
    let Err(Trouble::Refused(why)) = said.end else {
        panic!("{:?}", said.end);
    };
    assert!(why.contains("--ingress-class"), "{why}");
    assert_eq!(store.version(), version);
}

#[tokio::test(start_paused = true)]
async fn what_the_controller_demands_of_all_since_is_told_and_closes_what_cannot_have_it() {
    let (store, clock) = two_classes(&["ns-a"]);
    done(&store, &clock, &["apply", "--all"], &NGINX).await;
    done(&store, &clock, &["validate"], &[]).await;
    settings(&store, "inner", json!({"hsts": "true"}));
    done(&store, &clock, &["validate"], &[]).await;
    // A list can be written, and is asked for.
    settings(
        &store,
        "outer",
        json!({"hsts": "false", "whitelist-source-range": "10.0.0.0/8"}),
    );
    let told = run(&store, &clock, &["validate"], &[]).await;
    assert!(
        told.err.contains("blocker  STATE-CONTROLLER-CHANGED") && told.err.contains("ingress-nginx/outer"),
        "{}",
        told.err
    );
    done(&store, &clock, &["apply", "--all"], &NGINX).await;
    assert_eq!(store.list(AP).len(), 1);
    done(&store, &clock, &["validate"], &[]).await;
    // A question to another server cannot.
    settings(
        &store,
        "outer",
        json!({"hsts": "false", "global-auth-url": "http://auth/x"}),
    );
    let status = done(&store, &clock, &["status"], &[]).await;
    assert!(status.out.contains("STATE-CONTROLLER-CHANGED"), "{}", status.out);
    let said = run(&store, &clock, &["apply", "--all"], &NGINX).await;
    assert!(
        said.err.contains("APPLY-CLOSED") && said.err.contains("CONTROLLER-SECURITY"),
        "{}",
        said.err
    );
    for rule in store.list(VS)[0]["spec"]["http"].as_array().unwrap() {
        assert_eq!(rule["directResponse"]["status"], 403, "{rule}");
    }
    let told = run(&store, &clock, &["validate"], &[]).await;
    assert!(told.err.contains("STATE-SHUT"), "{}", told.err);
}

#[tokio::test(start_paused = true)]
async fn a_port_that_has_another_number_or_another_name_since_is_told_until_it_is_written_anew() {
    let (store, clock) = two_classes(&["ns-a"]);
    edit(&store, "ns-a", "shop", |shop| {
        shop["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["port"] = json!({"name": "http"});
    });
    done(&store, &clock, &["apply", "--all"], &NGINX).await;
    done(&store, &clock, &["validate"], &[]).await;
    for ports in [
        json!([{"name": "http", "port": 8080}]),
        json!([{"name": "http", "port": 80}, {"name": "admin", "port": 8080}]),
    ] {
        let mut moved = service("ns-a", "shop");
        moved["spec"]["ports"] = ports;
        store.put(moved).unwrap();
        let told = run(&store, &clock, &["validate"], &[]).await;
        assert!(told.err.contains("blocker  STATE-PORT-CHANGED"), "{}", told.err);
        assert_eq!(told.end.unwrap(), End::Partly);
        done(&store, &clock, &["apply", "--all"], &NGINX).await;
        done(&store, &clock, &["validate"], &[]).await;
    }
}

/// Two Ingresses of one host, both served, and a backup of them.
async fn shared() -> (Store, Clock, tempfile::TempDir) {
    let (store, clock) = two_classes(&["ns-a"]);
    let mut admin = ingress("ns-a", "admin");
    admin["spec"]["rules"][0]["host"] = json!("shop.ns-a.example.com");
    admin["spec"]["rules"][0]["http"]["paths"][0]["path"] = json!("/admin");
    store.put(admin).unwrap();
    store.put(service("ns-a", "admin")).unwrap();
    done(&store, &clock, &["apply", "--all"], &NGINX).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b").to_str().unwrap().to_owned();
    done(&store, &clock, &["backup", "--dir", &path], &[]).await;
    (store, clock, dir)
}

#[tokio::test(start_paused = true)]
async fn a_path_that_was_closed_is_told_and_its_ingress_stays_until_it_is_open_again() {
    let (store, clock, dir) = shared().await;
    annotate(&store, "ns-a", "admin", "auth-type", "basic");
    annotate(&store, "ns-a", "admin", "auth-secret", "users");
    let said = run(&store, &clock, &["apply", "--all"], &NGINX).await;
    assert!(said.err.contains("APPLY-CLOSED"), "{}", said.err);
    // The way back that is told is one that is open.
    assert!(
        said.err.contains("rollback --ingress ns-a/admin,ns-a/shop") && said.err.contains("503"),
        "{}",
        said.err
    );
    edit(&store, "ns-a", "admin", |admin| {
        let notes = admin["metadata"]["annotations"].as_object_mut().unwrap();
        notes.retain(|name, _| !name.contains("/auth-"));
    });
    let told = run(&store, &clock, &["validate"], &[]).await;
    assert!(told.err.contains("STATE-SHUT"), "{}", told.err);
    assert!(!told.err.contains("Ingress ns-a/shop"), "{}", told.err);
    let path = dir.path().join("b").to_str().unwrap().to_owned();
    let accept = "CLEANUP-NAME-UNKNOWN,CLEANUP-COUNTING,CLEANUP-COUNT-UNKNOWN,CLEANUP-NOT-PROBED";
    let words = [
        "cleanup",
        "--ingress",
        "ns-a/admin",
        "--dir",
        &path,
        "--soak",
        "0",
        "--accept",
        accept,
    ];
    let said = run(&store, &clock, &words, &[]).await;
    assert!(said.err.contains("CLEANUP-NOT-WELL"), "{}", said.err);
    assert!(store.get(ING, "ns-a", "admin").is_some());
    done(&store, &clock, &["apply", "--all"], &NGINX).await;
    done(&store, &clock, &["validate"], &[]).await;
}

#[tokio::test(start_paused = true)]
async fn an_ingress_without_protection_that_is_refused_is_not_said_to_be_served_where_its_host_was_written_anew()
 {
    let (store, clock, _dir) = shared().await;
    edit(&store, "ns-a", "admin", |admin| {
        admin["spec"]["rules"][0]["http"]["paths"][0]["backend"] =
            json!({"resource": {"kind": "Bucket", "name": "x"}});
    });
    let said = run(&store, &clock, &["apply", "--all"], &NGINX).await;
    assert!(
        said.err.contains("APPLY-CLOSED  Ingress ns-a/admin") && !said.err.contains("APPLY-STILL-SERVED"),
        "{}",
        said.err
    );
    let told = run(&store, &clock, &["validate"], &[]).await;
    assert!(told.err.contains("STATE-SHUT"), "{}", told.err);
}

#[tokio::test(start_paused = true)]
async fn a_guarded_route_is_not_closed_for_a_reason_that_is_none_of_security_while_its_ingress_is_as_it_was()
{
    let (store, clock) = two_classes(&["ns-a"]);
    annotate(&store, "ns-a", "shop", "whitelist-source-range", "10.0.0.0/8");
    done(&store, &clock, &["apply", "--all"], &NGINX).await;
    let before = made(&store);
    store.delete("services", "ns-a", "shop").unwrap();
    let said = run(&store, &clock, &["apply", "--all"], &NGINX).await;
    assert!(!said.err.contains("APPLY-CLOSED"), "{}", said.err);
    assert_eq!(made(&store), before);
}
