//! A migration among people who edit, delete and protect things meanwhile, and runs that are killed or meet each other.

use crate::apply::{GW, ING, VS, marked, open, tenants};
use crate::objects::{ingress, service};
use crate::standing::gateway_pod;
use crate::support::{Said, migrate};
use gradual_rollout_apiserver::clock::Clock;
use gradual_rollout_apiserver::{Action, Failure, Fault, Store};
use gradual_rollout_toolkit::trouble::{End, Trouble};
use serde_json::{Value, json};
use std::time::Duration;
use tempfile::TempDir;

const AP: &str = "authorizationpolicies.security.istio.io";
const DR: &str = "destinationrules.networking.istio.io";
const LIST: &str = "nginx.ingress.kubernetes.io/whitelist-source-range";

fn show(said: &Said) {
    println!("{}{}{:?}\n", said.err, said.out, said.end);
}

async fn done(store: &Store, clock: &Clock, words: &[&str]) -> Said {
    let said = migrate(store, clock, words).await;
    show(&said);
    assert_eq!(*said.end.as_ref().unwrap(), End::Done);
    said
}

async fn partly(store: &Store, clock: &Clock, words: &[&str]) -> Said {
    let said = migrate(store, clock, words).await;
    show(&said);
    assert_ne!(*said.end.as_ref().unwrap(), End::Done);
    said
}

async fn backed_up(store: &Store, clock: &Clock) -> (TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b").to_str().unwrap().to_owned();
    done(store, clock, &["backup", "--dir", &path]).await;
    (dir, path)
}

fn edit(store: &Store, resource: &str, namespace: &str, name: &str, change: impl Fn(&mut Value)) {
    let mut object = Value::clone(&store.get(resource, namespace, name).unwrap());
    change(&mut object);
    store.put(object).unwrap();
}

fn only(store: &Store, resource: &str) -> (String, String) {
    let all = store.list(resource);
    assert_eq!(all.len(), 1, "{all:?}");
    let of = |field: &str| all[0]["metadata"][field].as_str().unwrap().to_owned();
    (of("namespace"), of("name"))
}

/// A tenant with an address list and a back end with gRPC.
fn guarded() -> (Store, Clock) {
    let (store, clock) = tenants(&["ns-a"]);
    gateway_pod(&store);
    edit(&store, ING, "ns-a", "shop", |shop| {
        shop["metadata"]["annotations"] = json!({(LIST): "10.0.0.0/8",
            "nginx.ingress.kubernetes.io/backend-protocol": "GRPC"});
    });
    (store, clock)
}

#[tokio::test(start_paused = true)]
async fn a_password_that_is_asked_for_since_the_migration_closes_the_host_and_rollback_gives_it_to_nginx() {
    let (store, clock) = tenants(&["ns-a"]);
    gateway_pod(&store);
    done(&store, &clock, &["apply", "--all"]).await;
    edit(&store, ING, "ns-a", "shop", |shop| {
        shop["metadata"]["annotations"]["nginx.ingress.kubernetes.io/auth-type"] = json!("basic");
        shop["metadata"]["annotations"]["nginx.ingress.kubernetes.io/auth-secret"] = json!("users");
    });
    let said = partly(&store, &clock, &["validate"]).await;
    assert!(said.err.contains("blocker  STATE-UNPROTECTED"), "{}", said.err);
    // What somebody edited is not written: then it is not said to be closed.
    let (_, name) = only(&store, VS);
    edit(&store, VS, "ns-a", &name, |route| {
        route["spec"]["http"][0]["timeout"] = json!("5s");
    });
    let said = partly(&store, &clock, &["apply", "--all"]).await;
    assert!(
        said.err.contains("APPLY-UNPROTECTED") && !said.err.contains("APPLY-CLOSED"),
        "{}",
        said.err
    );
    let said = partly(&store, &clock, &["apply", "--all", "--overwrite"]).await;
    assert!(said.err.contains("APPLY-CLOSED"), "{}", said.err);
    let route = store.list(VS).remove(0);
    for rule in route["spec"]["http"].as_array().unwrap() {
        assert_eq!(rule["directResponse"]["status"], 403, "{rule}");
    }
    done(&store, &clock, &["rollback", "--ingress", "ns-a/shop"]).await;
    assert_eq!((open(&store).len(), marked(&store, "ns-a", "shop")), (0, false));
    done(&store, &clock, &["validate"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_policy_or_a_rule_that_is_gone_or_edited_is_a_blocker_and_keeps_its_ingress() {
    let (store, clock) = guarded();
    done(&store, &clock, &["apply", "--all"]).await;
    let (_dir, folder) = backed_up(&store, &clock).await;
    done(&store, &clock, &["validate"]).await;
    let version = store.version();
    done(&store, &clock, &["apply", "--all"]).await;
    assert_eq!(store.version(), version);
    for (resource, missing, edited) in [
        (AP, "STATE-GUARD-MISSING", "STATE-GUARD-EDITED"),
        (DR, "STATE-RULE-MISSING", "STATE-RULE-EDITED"),
    ] {
        let (namespace, name) = only(&store, resource);
        edit(&store, resource, &namespace, &name, |object| {
            object["spec"]["rules"] = json!([]);
        });
        let said = partly(&store, &clock, &["validate"]).await;
        assert!(said.err.contains(&format!("blocker  {edited}")), "{}", said.err);
        store.delete(resource, &namespace, &name).unwrap();
        let said = partly(&store, &clock, &["validate"]).await;
        assert!(said.err.contains(&format!("blocker  {missing}")), "{}", said.err);
        let words = ["cleanup", "--all", "--dir", &folder, "--soak", "0"];
        let said = partly(&store, &clock, &words).await;
        assert!(
            said.err.contains("CLEANUP-NOT-WELL") && said.err.contains(missing),
            "{}",
            said.err
        );
        done(&store, &clock, &["apply", "--all"]).await;
        done(&store, &clock, &["validate"]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn two_first_batches_at_once_leave_the_hosts_of_both_open() {
    let (store, clock) = tenants(&["ns-a", "ns-b"]);
    let (a, b) = tokio::join!(
        migrate(&store, &clock, &["-n", "ns-a", "apply"]),
        migrate(&store, &clock, &["-n", "ns-b", "apply"])
    );
    show(&a);
    show(&b);
    assert_eq!((a.end.unwrap(), b.end.unwrap()), (End::Done, End::Done));
    assert_eq!(open(&store).len(), 2);
    // What both wrote is known as ours, and as it was written.
    let version = store.version();
    let said = done(&store, &clock, &["apply", "--all"]).await;
    assert!(!said.err.contains("EDITED"), "{}", said.err);
    assert_eq!(store.version(), version);
    done(&store, &clock, &["-n", "ns-a", "rollback"]).await;
    done(&store, &clock, &["-n", "ns-a", "apply"]).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_restored_is_in_no_applys_way() {
    let (store, clock) = guarded();
    done(&store, &clock, &["apply", "--all"]).await;
    let (_dir, folder) = backed_up(&store, &clock).await;
    let (namespace, route) = only(&store, VS);
    edit(&store, VS, &namespace, &route, |route| {
        route["spec"]["http"][0]["timeout"] = json!("5s");
    });
    let (namespace, policy) = only(&store, AP);
    store.delete(AP, &namespace, &policy).unwrap();
    store.delete(GW, "istio-system", "sealos-gateway").unwrap();
    done(&store, &clock, &["restore", "--dir", &folder, "--overwrite"]).await;
    store.put(ingress("ns-a", "more")).unwrap();
    store.put(service("ns-a", "more")).unwrap();
    edit(&store, ING, "ns-a", "shop", |shop| {
        shop["spec"]["rules"][0]["http"]["paths"][0]["path"] = json!("/new");
        shop["metadata"]["annotations"][LIST] = json!("11.0.0.0/8");
    });
    done(&store, &clock, &["apply", "--all"]).await;
    assert!(
        store.get(VS, "ns-a", &route).unwrap()["spec"]
            .to_string()
            .contains("/new")
    );
    assert_eq!(open(&store).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn servers_that_others_added_to_the_gateway_stay_and_are_known_as_theirs() {
    let (store, clock) = tenants(&["ns-a", "ns-b"]);
    done(&store, &clock, &["apply", "--all"]).await;
    edit(&store, GW, "istio-system", "sealos-gateway", |gateway| {
        let servers = gateway["spec"]["servers"].as_array_mut().unwrap();
        for (number, host) in [
            (8080, "legacy.corp.example.com"),
            (8081, "ns-z/extra.example.com"),
        ] {
            servers.push(json!({"port": {"name": format!("http-{number}"), "number": number, "protocol": "HTTP"}, "hosts": [host]}));
        }
    });
    let theirs = ["legacy.corp.example.com", "ns-z/extra.example.com"];
    let said = done(&store, &clock, &["-n", "ns-a", "rollback"]).await;
    assert!(said.err.contains("ROLLBACK-EDITED"), "{}", said.err);
    let [legacy, extra] = theirs;
    assert_eq!(open(&store), [legacy, "ns-b/shop.ns-b.example.com", extra]);
    let said = partly(&store, &clock, &["-n", "ns-a", "apply"]).await;
    assert!(said.err.contains("APPLY-EDITED"), "{}", said.err);
    assert_eq!(open(&store), [legacy, "ns-b/shop.ns-b.example.com", extra]);
    done(&store, &clock, &["rollback", "--all"]).await;
    assert_eq!(open(&store), theirs);
}

#[tokio::test(start_paused = true)]
async fn what_an_apply_left_that_was_killed_is_told_and_taken_away() {
    for words in [["rollback", "--all"].as_slice(), &["-n", "ns-a", "rollback"]] {
        let (store, clock) = guarded();
        edit(&store, ING, "ns-a", "shop", |shop| {
            shop["spec"]["tls"] = json!([{"hosts": ["shop.ns-a.example.com"], "secretName": "shop-tls"}]);
        });
        store
            .put(
                json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
                "metadata": {"name": "shop-tls", "namespace": "ns-a"}, "stringData": {"tls.crt": "c", "tls.key": "k"}}),
            )
            .unwrap();
        let number = store.inject(Fault::new(Action::Hang).verb("patch").resource(VS));
        let apply = ["apply", "--all"];
        let killed = tokio::time::timeout(Duration::from_secs(5), migrate(&store, &clock, &apply)).await;
        assert!(killed.is_err());
        store.faults().lift(number);
        assert_eq!((store.list(AP).len(), store.list(VS).len()), (1, 0));
        let said = partly(&store, &clock, &["validate"]).await;
        for told in [
            "blocker  STATE-LEFTOVER-GUARD",
            "warning  STATE-LEFTOVER-RULE",
            "warning  STATE-LEFTOVER-COPY",
        ] {
            assert!(said.err.contains(told), "{told}: {}", said.err);
        }
        let said = done(&store, &clock, &["status"]).await;
        assert!(said.out.contains("STATE-LEFTOVER-GUARD"), "{}", said.out);
        done(&store, &clock, words).await;
        assert_eq!((store.list(AP).len(), store.list(DR).len()), (0, 0));
        assert_eq!(
            store.list("secrets").len(),
            1,
            "the copy is gone, the certificate is not"
        );
        done(&store, &clock, &["validate"]).await;
    }
}

fn handing_over() -> [&'static str; 7] {
    [
        "apply",
        "--all",
        "--rollout",
        "sealos-system/batch",
        "--split",
        "istio-system/istio-ingressgateway:8081",
        "--unprobed",
    ]
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_which_something_is_refused_is_not_handed_over() {
    let (store, clock) = tenants(&["ns-a"]);
    for document in include_str!("../../../deploy/crd.yaml").split("\n---") {
        let crd: Value = serde_saphyr::from_str(document).unwrap();
        store.register_crd(&crd).unwrap();
    }
    store.namespace("sealos-system");
    crate::handing_over::listener(&store);
    let mut admin = ingress("ns-a", "admin");
    admin["metadata"]["annotations"] = json!({"nginx.ingress.kubernetes.io/auth-type": "basic",
        "nginx.ingress.kubernetes.io/auth-secret": "users"});
    admin["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"] = json!("shop");
    store.put(admin).unwrap();
    let rollouts = || store.list("gradualrollouts.rollout.sealos.io").len();
    let said = partly(&store, &clock, &handing_over()).await;
    assert!(
        said.err.contains("not everything of the batch is there"),
        "{}",
        said.err
    );
    assert_eq!(rollouts(), 0);
    store.delete(ING, "ns-a", "admin").unwrap();
    done(&store, &clock, &handing_over()).await;
    assert_eq!(rollouts(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_older_gateway_comes_back_only_after_the_ingresses_whose_hosts_it_closes() {
    let (store, clock) = tenants(&["ns-a", "ns-b"]);
    done(&store, &clock, &["-n", "ns-a", "apply"]).await;
    let (_dir, folder) = backed_up(&store, &clock).await;
    done(&store, &clock, &["-n", "ns-b", "apply"]).await;
    store.delete(ING, "ns-b", "shop").unwrap();
    let number = store.inject(Fault::new(Action::Hang).verb("create").resource(ING));
    let words = ["restore", "--dir", &folder, "--overwrite"];
    let killed = tokio::time::timeout(Duration::from_secs(5), migrate(&store, &clock, &words)).await;
    assert!(killed.is_err());
    assert_eq!(
        open(&store).len(),
        2,
        "a host was closed that nginx does not serve"
    );
    store.faults().lift(number);
    store.inject(
        Fault::new(Action::Fail(Failure::new(
            403,
            "Forbidden",
            "ingresses is forbidden",
        )))
        .verb("create")
        .resource(ING),
    );
    let said = partly(&store, &clock, &words).await;
    assert!(said.err.contains("RESTORE-HALTED"), "{}", said.err);
    assert_eq!(
        open(&store).len(),
        2,
        "a host was closed that nginx does not serve"
    );
}

#[tokio::test(start_paused = true)]
async fn hosts_that_move_to_another_gateway_are_open_there_before_their_routes_are_bound_to_it() {
    let (store, clock) = tenants(&["ns-a"]);
    done(&store, &clock, &["apply", "--all"]).await;
    store.put(ingress("ns-a", "new")).unwrap();
    store.put(service("ns-a", "new")).unwrap();
    let number = store.inject(Fault::new(Action::Hang).verb("patch").resource(VS));
    let words = ["apply", "--all", "--gateway", "istio-system/other"];
    let killed = tokio::time::timeout(Duration::from_secs(5), migrate(&store, &clock, &words)).await;
    assert!(killed.is_err());
    let other = store.get(GW, "istio-system", "other").unwrap()["spec"].to_string();
    assert!(
        other.contains("ns-a/shop.") && !other.contains("ns-a/new."),
        "only what is served already: {other}"
    );
    store.faults().lift(number);
    done(&store, &clock, &words).await;
    let other = store.get(GW, "istio-system", "other").unwrap()["spec"].to_string();
    assert!(
        other.contains("ns-a/shop.") && other.contains("ns-a/new."),
        "{other}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_told_and_nothing_to_do_is_well() {
    let (store, clock) = tenants(&["ns-a"]);
    let (_dir, folder) = backed_up(&store, &clock).await;
    let version = store.version();
    for words in [
        vec!["-n", "nope", "rollback"],
        vec!["rollback", "--ingress", "ns-a/shpo"],
        vec!["-n", "nope", "cleanup", "--dir", &folder],
        vec!["-n", "nope", "status"],
        vec!["-n", "nope", "validate"],
        vec!["restore", "--dir", &folder, "--kind", "Ingresss"],
        vec!["restore", "--dir", &folder, "--kind", "Ingress", "--name", "shpo"],
    ] {
        let said = migrate(&store, &clock, &words).await;
        println!("{:?}", said.end);
        assert!(matches!(said.end, Err(Trouble::Usage(_))), "{words:?}");
    }
    store.namespace("empty");
    done(&store, &clock, &["-n", "ns-a", "rollback"]).await;
    done(&store, &clock, &["-n", "empty", "rollback"]).await;
    done(&store, &clock, &["-n", "empty", "status"]).await;
    done(&store, &clock, &["-n", "empty", "cleanup", "--dir", &folder]).await;
    done(
        &store,
        &clock,
        &[
            "restore",
            "--dir",
            &folder,
            "--kind",
            "ingresses",
            "--name",
            "shop",
        ],
    )
    .await;
    assert_eq!(store.version(), version + 1, "the namespace alone");
}
