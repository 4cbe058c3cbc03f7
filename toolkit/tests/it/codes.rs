//! Every code that a verb which meets a cluster can find has a test that names it; and those that no other test is about
//! have their inputs here.

use crate::apply::{ING, VS, tenants};
use crate::objects::{ingress, service};
use crate::preflight::healthy::healthy;
use crate::restore::{delete_all, filled};
use crate::standing::gateway_pod;
use crate::support::{Said, migrate, migrate_by};
use crate::tenant::with_istio;
use gradual_rollout_apiserver::clock::Clock;
use gradual_rollout_apiserver::{Action, Failure, Fault, Store};
use gradual_rollout_toolkit::explain;
use gradual_rollout_toolkit::trouble::End;
use http::{Request, Response};
use kube::client::Body;
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;

fn sources(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

/// The merge of servers is held by unit tests in `src/apply/gateway.rs`, and that it is told by none.
const ELSEWHERE: [&str; 1] = ["APPLY-CIPHERS"];

#[test]
fn every_code_of_the_page_stands_in_a_test() {
    let mut text = String::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"), &mut text);
    let part = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
    let stands = |code: &str| {
        text.match_indices(code).any(|(at, _)| {
            let bytes = text.as_bytes();
            !part(at.checked_sub(1).and_then(|at| bytes.get(at))) && !part(bytes.get(at + code.len()))
        })
    };
    let all = explain::all();
    assert!(all.len() > 150, "{}", all.len());
    let untested: Vec<String> = all
        .into_iter()
        .map(|known| known.code)
        .filter(|code| !ELSEWHERE.contains(&code.as_str()) && !stands(code))
        .collect();
    assert_eq!(untested, [""; 0], "codes that no test is about");
}

async fn run(store: &Store, clock: &Clock, words: &[&str]) -> Said {
    let said = migrate(store, clock, words).await;
    println!("{words:?}\n{}{}{:?}\n", said.err, said.out, said.end);
    said
}

async fn backed_up(store: &Store, clock: &Clock) -> (TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b").to_str().unwrap().to_owned();
    assert_eq!(
        run(store, clock, &["backup", "--dir", &path]).await.end.unwrap(),
        End::Done
    );
    (dir, path)
}

fn refused(verb: &str, resource: &str) -> Fault {
    let why = Failure::new(403, "Forbidden", "it is forbidden");
    Fault::new(Action::Fail(why)).verb(verb).resource(resource)
}

fn edit(store: &Store, resource: &str, object: &Value, change: impl Fn(&mut Value)) {
    let text = |field: &str| object["metadata"][field].as_str().unwrap();
    let mut now = Value::clone(&store.get(resource, text("namespace"), text("name")).unwrap());
    change(&mut now);
    store.put(now).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_tenant_without_a_certificate_is_said_to_be_served_in_clear() {
    let (store, clock) = with_istio();
    run(&store, &clock, &["tenant", "create", "ada", "--domain", "a.com"])
        .await
        .end
        .unwrap();
    let said = run(&store, &clock, &["tenant", "check", "ada", "--domain", "a.com"]).await;
    assert!(
        said.out
            .contains("warning  TENANT-IN-CLEAR  Secret istio-system/ada-tls-cert"),
        "{}",
        said.out
    );
    assert!(
        said.out.contains("tenant ada: as it was made"),
        "it is a warning: {}",
        said.out
    );
}

#[tokio::test(start_paused = true)]
async fn a_route_that_somebody_took_off_every_gateway_is_told() {
    let (store, clock) = tenants(&["ns-a"]);
    gateway_pod(&store);
    run(&store, &clock, &["apply", "--all"]).await.end.unwrap();
    let route = store.list(VS).remove(0);
    edit(&store, VS, &route, |route| {
        route["spec"].as_object_mut().unwrap().remove("gateways");
    });
    let said = run(&store, &clock, &["validate"]).await;
    assert_eq!(said.end.unwrap(), End::Partly);
    assert!(
        said.err
            .contains("blocker  STATE-NO-GATEWAY  VirtualService ns-a/"),
        "{}",
        said.err
    );
    let status = run(&store, &clock, &["status"]).await;
    assert!(
        status.out.contains("STATE-NO-GATEWAY") && status.out.contains("1 failed"),
        "{}",
        status.out
    );
}

#[tokio::test(start_paused = true)]
async fn where_pruned_names_lead_that_cannot_be_looked_up_is_said_to_be_unknown() {
    let (store, clock) = tenants(&["ns-a"]);
    run(&store, &clock, &["apply", "--all"]).await.end.unwrap();
    let mut moved = ingress("ns-a", "shop");
    moved["spec"]["rules"][0]["host"] = json!("new.ns-a.example.com");
    edit(&store, ING, &moved, |now| now["spec"] = moved["spec"].clone());
    // No Service of the gateway tells its address, so nobody knows whether a name leads there.
    let said = run(&store, &clock, &["apply", "--all", "--prune"]).await;
    assert!(
        said.err.contains("warning  APPLY-NAME-UNKNOWN  batch") && said.err.contains("shop.ns-a.example.com"),
        "{}",
        said.err
    );
    assert_eq!(said.end.unwrap(), End::Done, "it is a warning");
    assert_eq!(store.list(VS).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_takes_all_other_hosts_is_left_for_the_batch_that_has_all() {
    let (store, clock) = tenants(&["ns-a"]);
    let mut rest = ingress("ns-a", "rest");
    rest["spec"]["rules"][0].as_object_mut().unwrap().remove("host");
    store.put(rest).unwrap();
    store.put(service("ns-a", "rest")).unwrap();
    let said = run(&store, &clock, &["-n", "ns-a", "apply"]).await;
    assert!(
        said.err.contains("warning  APPLY-CATCH-ALL  Ingress ns-a/rest"),
        "{}",
        said.err
    );
    assert_eq!(store.list(VS).len(), 1, "the other is written");
    let said = run(&store, &clock, &["apply", "--all"]).await;
    assert!(!said.err.contains("APPLY-CATCH-ALL"), "{}", said.err);
    assert_eq!(store.list(VS).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_comes_along_is_named_with_whom_it_comes_for_and_what_is_different_too() {
    let (store, clock) = tenants(&["ns-a", "ns-b"]);
    let mut other = ingress("ns-b", "other");
    other["spec"]["rules"][0]["host"] = json!("shop.ns-a.example.com");
    other["spec"]["rules"][0]["http"]["paths"][0]["path"] = json!("/other");
    store.put(other).unwrap();
    store.put(service("ns-b", "other")).unwrap();
    let words = ["apply", "--ingress", "ns-a/shop", "--widen"];
    let said = run(&store, &clock, &words).await;
    assert!(
        said.err
            .contains("info     APPLY-WIDENED  Ingress ns-b/other: it comes along")
            && said.err.contains("with ns-a/shop"),
        "{}",
        said.err
    );
    assert!(crate::apply::marked(&store, "ns-b", "other"));
    assert!(!crate::apply::marked(&store, "ns-b", "shop"), "nobody named it");
    assert!(
        said.err
            .contains("info     APPLY-APPROXIMATED  Ingress ns-b/other: something is different at the gateway: IDLE-TIMEOUT"),
        "{}",
        said.err
    );
}

#[tokio::test(start_paused = true)]
async fn a_note_of_a_cleanup_that_cannot_be_taken_off_is_told() {
    let (store, clock) = tenants(&["ns-a"]);
    run(&store, &clock, &["apply", "--all"]).await.end.unwrap();
    let route = store.list(VS).remove(0);
    edit(&store, VS, &route, |route| {
        let notes = &mut route["metadata"]["annotations"];
        notes["rollout.sealos.io/cleaned-at"] = json!("2026-01-05T01:00:00Z");
        notes["rollout.sealos.io/cleaned-up"] = json!("ns-a/shop");
    });
    let number = store.inject(refused("patch", VS));
    let said = run(&store, &clock, &["apply", "--all"]).await;
    assert!(
        said.err
            .contains("warning  CLEANUP-NOTE-STAYS  VirtualService ns-a/")
            && said.err.contains("it is forbidden"),
        "{}",
        said.err
    );
    store.faults().lift(number);
    let said = run(&store, &clock, &["apply", "--all"]).await;
    assert!(!said.err.contains("CLEANUP-NOTE-STAYS"), "{}", said.err);
    let route = store.list(VS).remove(0);
    assert!(
        route["metadata"]["annotations"]
            .get("rollout.sealos.io/cleaned-at")
            .is_none()
    );
}

#[tokio::test(start_paused = true)]
async fn a_count_that_cannot_be_written_down_is_told_and_an_owner_keeps_its_ingress() {
    let (store, clock, _dir, dir) = crate::cleanup::ready().await;
    edit(&store, ING, &ingress("ns-a", "shop"), |shop| {
        shop["metadata"]["labels"]["app.kubernetes.io/managed-by"] = json!("Helm");
        shop["metadata"]["annotations"]["meta.helm.sh/release-name"] = json!("shop");
    });
    store.inject(refused("patch", ING));
    let words = ["cleanup", "-n", "ns-a", "--dir", &dir];
    let said = migrate_by(crate::cleanup::counting(&store, 7), &clock, &words).await;
    println!("{}{}", said.err, said.out);
    assert!(
        said.err
            .contains("warning  CLEANUP-NOT-REMEMBERED  Ingress ns-a/shop")
            && said.err.contains("it is forbidden"),
        "{}",
        said.err
    );
    assert!(
        said.err.contains("blocker  CLEANUP-OWNED  Ingress ns-a/shop"),
        "{}",
        said.err
    );
    assert!(store.get(ING, "ns-a", "shop").is_some());
}

#[tokio::test(start_paused = true)]
async fn an_object_comes_back_without_an_owner_that_is_gone_or_cannot_be_looked_up_and_that_is_told() {
    for (fault, code) in [
        (None, "RESTORE-OWNER-GONE"),
        (Some(refused("get", "configmaps")), "RESTORE-OWNER-UNKNOWN"),
    ] {
        let (store, clock) = filled();
        let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {},
            "metadata": {"name": "owner", "namespace": "ns-a"}});
        store.put(owner).unwrap();
        let uid = store.get("configmaps", "ns-a", "owner").unwrap()["metadata"]["uid"].clone();
        edit(&store, "services", &service("ns-a", "shop"), |shop| {
            shop["metadata"]["ownerReferences"] =
                json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}]);
        });
        let (_dir, dir) = backed_up(&store, &clock).await;
        delete_all(&store);
        if let Some(fault) = fault {
            store.inject(fault);
        }
        let said = run(&store, &clock, &["restore", "--dir", &dir, "--kind", "Service"]).await;
        assert!(
            said.err.contains(&format!("warning  {code}  Service ns-a/shop")),
            "{code}: {}",
            said.err
        );
        let shop = store.get("services", "ns-a", "shop").unwrap();
        assert!(shop["metadata"].get("ownerReferences").is_none(), "{shop}");
    }
}

#[tokio::test(start_paused = true)]
async fn kinds_that_are_not_served_are_named_by_a_backup_and_by_a_restore_that_misses_them() {
    let (store, clock) = filled();
    let (_dir, dir) = backed_up(&store, &clock).await;
    // Another cluster without Istio's rules.
    let (bare, clock) = crate::support::cluster();
    let said = run(&bare, &clock, &["restore", "--dir", &dir, "--other-cluster"]).await;
    assert!(
        said.err.contains("blocker  RESTORE-KIND-ABSENT  namespace ns-a")
            && said.err.contains("destinationrules"),
        "{}",
        said.err
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b").to_str().unwrap().to_owned();
    let said = run(&bare, &clock, &["backup", "--dir", &path]).await;
    assert!(
        said.err
            .contains("info     BACKUP-KIND-ABSENT  cluster: it serves no")
            && said.err.contains("destinationrules"),
        "{}",
        said.err
    );
}

#[tokio::test(start_paused = true)]
async fn a_backup_that_was_never_finished_says_so_when_it_is_put_back() {
    let (store, clock) = filled();
    store.namespace("ns-b");
    let mut unseen = refused("list", "configmaps");
    unseen.namespace = Some("ns-b".to_owned());
    store.inject(unseen);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b").to_str().unwrap().to_owned();
    run(&store, &clock, &["backup", "--dir", &path]).await.end.ok();
    delete_all(&store);
    let said = run(&store, &clock, &["restore", "--dir", &path]).await;
    assert!(said.err.contains("warning  RESTORE-UNFINISHED"), "{}", said.err);
    assert!(
        store.get(ING, "ns-a", "shop").is_some(),
        "what is in it comes back"
    );
}

/// A cluster of another version.
fn of_version(store: &Store, minor: &'static str) -> kube::Client {
    let inner = store.client("default");
    let service = tower::service_fn(move |request: Request<Body>| {
        let inner = inner.clone();
        async move {
            if request.uri().path() == "/version" {
                let told = json!({"major": "1", "minor": minor, "gitVersion": format!("v1.{minor}.0"), "gitCommit": "",
                    "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": ""});
                return Ok(Response::new(Body::from(told.to_string().into_bytes())));
            }
            inner.send(request).await
        }
    });
    kube::Client::new(service, "default")
}

#[tokio::test]
async fn a_cluster_that_is_too_old_and_one_without_istiod_are_told() {
    let (store, clock) = healthy();
    for (minor, code) in [
        ("26", "blocker  CLUSTER-OLD  cluster"),
        ("29", "warning  POLICY-UNSUPPORTED  cluster"),
    ] {
        let said = migrate_by(of_version(&store, minor), &clock, &["preflight"]).await;
        println!("{}", said.out);
        assert!(said.out.contains(code), "{code}: {}", said.out);
    }
    for deployment in store.list("deployments.apps") {
        let text = |field: &str| deployment["metadata"][field].as_str().unwrap();
        if text("name").starts_with("istiod") {
            store
                .delete("deployments.apps", text("namespace"), text("name"))
                .unwrap();
        }
    }
    let said = run(&store, &clock, &["preflight"]).await;
    assert!(
        said.out.contains("blocker  ISTIOD-MISSING  cluster"),
        "{}",
        said.out
    );
    assert_eq!(said.end.unwrap(), End::Refused);
}
