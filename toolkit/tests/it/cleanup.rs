//! `migrate cleanup` in a cluster whose nginx counts.

use crate::apply::{ING, VS, certificate, marked, open, tenants};
use crate::objects::{deployment, ingress, service};
use crate::support::{Said, migrate, migrate_by};
use gradual_rollout_apiserver::Store;
use gradual_rollout_apiserver::clock::Clock;
use gradual_rollout_toolkit::trouble::{End, Trouble};
use http::Response;
use kube::client::Body;
use serde_json::{Value, json};
use std::time::Duration;
use tempfile::TempDir;

const NAMES: &str = "CLEANUP-NAME-UNKNOWN,CLEANUP-NAME-LEADS-TO-NGINX";

fn show(said: &Said) {
    println!("{}{}{:?}\n", said.err, said.out, said.end);
}

/// A client to whom the controller's pod says that it had so many requests.
pub(crate) fn counting(store: &Store, requests: u64) -> kube::Client {
    telling(store, &format!(" {requests}\n"))
}

/// One to whom the pod says this behind the labels of the only series.
pub(crate) fn telling(store: &Store, value: &str) -> kube::Client {
    let value = value.to_owned();
    let inner = store.client("default");
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let (inner, value) = (inner.clone(), value.clone());
        async move {
            if request
                .uri()
                .path()
                .ends_with("/pods/nginx-1:10254/proxy/metrics")
            {
                let text = format!(
                    "nginx_ingress_controller_requests{{ingress=\"shop\",namespace=\"ns-a\",status=\"200\"}}{value}"
                );
                return Ok(Response::new(Body::from(text.into_bytes())));
            }
            inner.send(request).await
        }
    });
    kube::Client::new(service, "default")
}

fn nginx(store: &Store) {
    store.namespace("ingress-nginx");
    let mut controller = deployment("ingress-nginx", "nginx");
    controller["spec"]["template"]["spec"]["containers"][0]["args"] = json!(["/nginx-ingress-controller"]);
    store.put(controller).unwrap();
    store
        .put(json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "nginx-1", "namespace": "ingress-nginx", "labels": {"app": "nginx"}},
            "spec": {"containers": [{"name": "main", "image": "img"}]}}))
        .unwrap();
}

pub(crate) async fn ready() -> (Store, Clock, TempDir, String) {
    let (store, clock) = tenants(&["ns-a"]);
    nginx(&store);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b").to_str().unwrap().to_owned();
    migrate(&store, &clock, &["backup", "--dir", &path])
        .await
        .end
        .unwrap();
    migrate(&store, &clock, &["-n", "ns-a", "apply"])
        .await
        .end
        .unwrap();
    (store, clock, dir, path)
}

fn probed(store: &Store, clock: &Clock) {
    let mut ingress = Value::clone(&store.get(ING, "ns-a", "shop").unwrap());
    ingress["metadata"]["annotations"]["rollout.sealos.io/probed-at"] = json!(clock.now().to_string());
    store.put(ingress).unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_migrated_probed_and_soaked_without_a_request_goes_and_can_come_back() {
    let (store, clock, _dir, dir) = ready().await;
    let before = store.get(ING, "ns-a", "shop").unwrap()["spec"].clone();
    let words = ["-n", "ns-a", "cleanup", "--dir", &dir, "--accept", NAMES];
    let early = migrate_by(counting(&store, 7), &clock, &words).await;
    show(&early);
    assert_eq!(early.end.unwrap(), End::Refused);
    for code in ["CLEANUP-SOAKING", "CLEANUP-NOT-PROBED", "CLEANUP-COUNTING"] {
        assert!(early.err.contains(code), "{code}");
    }
    probed(&store, &clock);
    tokio::time::sleep(Duration::from_secs(25 * 3600)).await;
    // Nginx had a request meanwhile: the time begins anew.
    let used = migrate_by(counting(&store, 8), &clock, &words).await;
    assert!(
        used.err.contains("CLEANUP-COUNTING") && !used.err.contains("CLEANUP-SOAKING"),
        "{}",
        used.err
    );
    tokio::time::sleep(Duration::from_secs(25 * 3600)).await;
    let version = store.version();
    let dry = migrate_by(
        counting(&store, 8),
        &clock,
        &[&words[..], &["--dry-run"]].concat(),
    )
    .await;
    show(&dry);
    assert_eq!((dry.end.unwrap(), store.version()), (End::Done, version));
    let said = migrate_by(counting(&store, 8), &clock, &words).await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(store.get(ING, "ns-a", "shop").is_none());
    assert_eq!(open(&store).len(), 1, "the gateway still serves it");
    assert!(store.list(VS)[0]["metadata"]["annotations"]["rollout.sealos.io/cleaned-at"].is_string());
    let back = migrate(&store, &clock, &["restore", "--dir", &dir, "--kind", "Ingress"]).await;
    assert_eq!(back.end.unwrap(), End::Done);
    let shop = store.get(ING, "ns-a", "shop").unwrap();
    assert_eq!(shop["spec"], before);
    // What was known of it before it was gone is not known of it now.
    let note = |object: &Value, name: &str| object["metadata"]["annotations"][name].is_string();
    for mark in [
        "rollout.sealos.io/probed-at",
        "rollout.sealos.io/nginx-requests",
        "sealos.io/migration-time",
    ] {
        assert!(!note(&shop, mark), "{mark}");
    }
    assert!(!note(&store.list(VS)[0], "rollout.sealos.io/cleaned-at"));
    let again = migrate(&store, &clock, &["restore", "--dir", &dir, "--kind", "Ingress"]).await;
    assert!(
        again.out.contains("0 written"),
        "marks are no difference: {}",
        again.out
    );
    let applied = migrate(&store, &clock, &["-n", "ns-a", "apply"]).await;
    assert_eq!(applied.end.unwrap(), End::Done);
    store.delete(ING, "ns-a", "shop").unwrap();
    let said = migrate(&store, &clock, &["status"]).await;
    assert!(
        said.out.contains("0 cleaned up, 1 orphaned"),
        "somebody else deleted it: {}",
        said.out
    );
}

#[tokio::test(start_paused = true)]
async fn what_cleanup_says_to_have_them_back_leaves_the_marks_of_all_others() {
    let (store, clock) = tenants(&["ns-a", "ns-b"]);
    nginx(&store);
    store.put(ingress("ns-a", "other")).unwrap();
    store.put(service("ns-a", "other")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("b").to_str().unwrap().to_owned();
    for words in [&["backup", "--dir", &dir][..], &["apply", "--all"]] {
        migrate(&store, &clock, words).await.end.unwrap();
    }
    probed(&store, &clock);
    tokio::time::sleep(Duration::from_secs(25 * 3600)).await;
    let all = format!("{NAMES},CLEANUP-NOT-PROBED,CLEANUP-COUNT-UNKNOWN");
    let words = [
        "cleanup",
        "--ingress",
        "ns-a/shop",
        "--dir",
        &dir,
        "--accept",
        &all,
        "--soak",
        "0",
    ];
    let said = migrate(&store, &clock, &words).await;
    show(&said);
    assert!(store.get(ING, "ns-a", "shop").is_none());
    let line = said
        .out
        .lines()
        .find_map(|line| line.strip_prefix("to have them back: migrate "));
    let typed: Vec<&str> = line.unwrap().split(' ').collect();
    let back = migrate(&store, &clock, &typed).await;
    show(&back);
    assert_eq!(back.end.unwrap(), End::Done);
    assert!(store.get(ING, "ns-a", "shop").is_some());
    assert!(marked(&store, "ns-a", "other") && marked(&store, "ns-b", "shop"));
}

#[tokio::test(start_paused = true)]
async fn an_ingress_that_came_back_by_another_hand_is_cleaned_up_no_more_once_it_is_applied() {
    let (store, clock, _dir, dir) = ready().await;
    let kept = Value::clone(&store.get(ING, "ns-a", "shop").unwrap());
    tokio::time::sleep(Duration::from_secs(25 * 3600)).await;
    let all = format!("{NAMES},CLEANUP-NOT-PROBED,CLEANUP-COUNT-UNKNOWN");
    let gone = ["cleanup", "--all", "--dir", &dir, "--accept", &all];
    migrate(&store, &clock, &gone).await.end.unwrap();
    let cleaned = || store.list(VS)[0]["metadata"]["annotations"]["rollout.sealos.io/cleaned-at"].is_string();
    assert!(cleaned() && store.get(ING, "ns-a", "shop").is_none());
    let mut back = kept;
    let meta = back["metadata"].as_object_mut().unwrap();
    meta.retain(|field, _| !["uid", "resourceVersion", "managedFields"].contains(&field.as_str()));
    store.put(back).unwrap();
    let applied = migrate(&store, &clock, &["-n", "ns-a", "apply"]).await;
    show(&applied);
    assert_eq!(applied.end.unwrap(), End::Done);
    assert!(!cleaned());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_in_the_backup_as_it_is_stays_whatever_is_accepted() {
    let (store, clock, _dir, dir) = ready().await;
    probed(&store, &clock);
    let all = format!("{NAMES},CLEANUP-COUNTING");
    let words = ["cleanup", "--all", "--dir", &dir, "--accept", &all];
    tokio::time::sleep(Duration::from_secs(25 * 3600)).await;
    let mut changed = Value::clone(&store.get(ING, "ns-a", "shop").unwrap());
    changed["metadata"]["labels"]["new"] = json!("1");
    store.put(changed).unwrap();
    let said = migrate_by(counting(&store, 7), &clock, &words).await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Refused);
    assert!(said.err.contains("CLEANUP-NOT-KEPT"));
    assert!(store.get(ING, "ns-a", "shop").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_route_that_is_missing_and_an_nginx_that_does_not_tell_keep_an_ingress() {
    let (store, clock, _dir, dir) = ready().await;
    let words = ["cleanup", "--all", "--dir", &dir, "--accept", NAMES];
    let silent = migrate(&store, &clock, &words).await;
    show(&silent);
    assert!(silent.err.contains("CLEANUP-COUNT-UNKNOWN"));
    let route = store.list(VS).remove(0);
    store
        .delete(VS, "ns-a", route["metadata"]["name"].as_str().unwrap())
        .unwrap();
    let said = migrate_by(counting(&store, 0), &clock, &words).await;
    assert!(said.err.contains("CLEANUP-NOT-WELL"), "{}", said.err);
    assert_eq!(said.end.unwrap(), End::Refused);
}

#[tokio::test(start_paused = true)]
async fn what_is_mistyped_is_told_before_anything_is_looked_at() {
    let (store, clock, _dir, dir) = ready().await;
    for words in [
        vec!["cleanup", "--dir", &dir],
        vec!["cleanup", "--all", "--dir", "/nowhere"],
        vec!["cleanup", "--all", "--dir", &dir, "--accept", "CLEANUP-NOT-KEPT"],
        vec!["cleanup", "--dir", &dir, "--ingress", "ns-a/typo"],
    ] {
        let said = migrate(&store, &clock, &words).await;
        println!("{:?}", said.end);
        assert!(matches!(said.end, Err(Trouble::Usage(_))), "{words:?}");
    }
}

/// What is asked of names and counters, where the shop is served otherwise and the controller runs with flags.
async fn judged(flags: &[&str], change: impl Fn(&mut Value)) -> Said {
    let (store, clock) = tenants(&["ns-a"]);
    nginx(&store);
    let mut controller = Value::clone(&store.get("deployments.apps", "ingress-nginx", "nginx").unwrap());
    let args = [&["/nginx-ingress-controller"][..], flags].concat();
    controller["spec"]["template"]["spec"]["containers"][0]["args"] = json!(args);
    store.put(controller).unwrap();
    let mut shop = Value::clone(&store.get(ING, "ns-a", "shop").unwrap());
    change(&mut shop);
    // The conversion is another test's affair: it is marked by hand.
    shop["metadata"]["labels"]["sealos.io/migrated-to-istio"] = json!("true");
    store.put(shop).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b").to_str().unwrap().to_owned();
    migrate(&store, &clock, &["backup", "--dir", &path])
        .await
        .end
        .unwrap();
    let words = ["-n", "ns-a", "cleanup", "--dir", &path, "--dry-run"];
    let said = migrate_by(counting(&store, 7), &clock, &words).await;
    show(&said);
    said
}

#[tokio::test(start_paused = true)]
async fn hosts_that_nginx_writes_no_series_for_are_not_taken_for_unused() {
    let host = |host: &'static str| move |shop: &mut Value| shop["spec"]["rules"][0]["host"] = json!(host);
    let alias = |alias: &'static str| {
        move |shop: &mut Value| {
            shop["metadata"]["annotations"]["nginx.ingress.kubernetes.io/server-alias"] = json!(alias);
        }
    };
    let catch_all = |shop: &mut Value| {
        shop["spec"] = json!({"ingressClassName": "nginx",
            "defaultBackend": {"service": {"name": "shop", "port": {"number": 80}}}});
    };
    let unknown = "CLEANUP-COUNT-UNKNOWN";
    assert!(judged(&[], host("*.a.com")).await.err.contains(unknown));
    assert!(judged(&[], alias("~^x")).await.err.contains(unknown));
    assert!(judged(&[], catch_all).await.err.contains(unknown));
    assert!(!judged(&[], host("a.com")).await.err.contains(unknown));
    assert!(!judged(&[], alias("b.com")).await.err.contains(unknown));
    for flags in [
        ["--metrics-per-undefined-host=true"],
        ["--metrics-per-undefined-host"],
        ["--metrics-per-host=false"],
    ] {
        assert!(
            !judged(&flags, host("*.a.com")).await.err.contains(unknown),
            "{flags:?}"
        );
    }
    let without = ["--exclude-socket-metrics=nginx_ingress_controller_requests"];
    assert!(judged(&without, host("a.com")).await.err.contains(unknown));
}

#[tokio::test(start_paused = true)]
async fn every_name_of_an_ingress_is_asked_for_and_a_wildcard_is_never_known_by_one() {
    let names = |said: &Said| -> Vec<String> {
        let lines = said.err.lines().filter(|line| line.contains("CLEANUP-NAME"));
        lines.map(ToOwned::to_owned).collect()
    };
    let said = judged(&[], |shop| {
        shop["metadata"]["annotations"]["nginx.ingress.kubernetes.io/server-alias"] =
            json!("b.invalid, c.invalid");
        shop["metadata"]["annotations"]["nginx.ingress.kubernetes.io/from-to-www-redirect"] = json!("true");
        shop["spec"]["rules"][0]["host"] = json!("a.invalid");
    })
    .await;
    for name in ["a.invalid", "b.invalid", "c.invalid", "www.a.invalid"] {
        assert!(
            names(&said).iter().any(|line| line.contains(name)),
            "{name}: {}",
            said.err
        );
    }
    let said = judged(&[], |shop| {
        shop["spec"] = json!({"ingressClassName": "nginx",
            "defaultBackend": {"service": {"name": "shop", "port": {"number": 80}}}});
    })
    .await;
    assert_eq!(names(&said).len(), 1, "{}", said.err);
}

#[tokio::test(start_paused = true)]
async fn a_load_balancer_of_nginx_whose_name_nobody_knows_is_no_proof_that_hosts_lead_away() {
    let said = judged(&[], |shop| {
        shop["spec"]["rules"][0]["host"] = json!("localhost");
        shop["status"] =
            json!({"loadBalancer": {"ingress": [{"hostname": "lb.invalid"}, {"ip": "192.0.2.1"}]}});
    })
    .await;
    assert!(
        said.err.contains("CLEANUP-NAME-UNKNOWN") && said.err.contains("lb.invalid"),
        "{}",
        said.err
    );
}

#[tokio::test(start_paused = true)]
async fn a_host_that_leads_to_an_address_of_neither_side_may_lead_to_nginx_and_one_that_leads_to_the_gateway_does_not()
 {
    let (store, clock) = tenants(&["ns-a"]);
    nginx(&store);
    // The conversion is another test's affair: it is marked by hand.
    let mut shop = ingress("ns-a", "shop");
    shop["metadata"]["labels"]["sealos.io/migrated-to-istio"] = json!("true");
    shop["spec"]["rules"][0]["host"] = json!("localhost");
    // Nginx on the network of its nodes writes their addresses; what stands before them it does not know.
    shop["status"] = json!({"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}});
    store.put(shop).unwrap();
    let gateway = json!({"apiVersion": "networking.istio.io/v1", "kind": "Gateway",
        "metadata": {"namespace": "istio-system", "name": "sealos-gateway",
            "labels": {"app.kubernetes.io/managed-by": "gradual-rollout"}},
        "spec": {"selector": {"istio": "ingressgateway"}, "servers": [{"hosts": ["ns-a/localhost"],
            "port": {"number": 80, "name": "http", "protocol": "HTTP"}}]}});
    store.put(gateway).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("b").to_str().unwrap().to_owned();
    migrate(&store, &clock, &["backup", "--dir", &dir])
        .await
        .end
        .unwrap();
    let words = ["-n", "ns-a", "cleanup", "--dir", &dir, "--dry-run"];
    let said = migrate(&store, &clock, &words).await;
    show(&said);
    assert!(
        said.err.contains("CLEANUP-NAME-UNKNOWN") && said.err.contains("--gateway-address"),
        "{}",
        said.err
    );
    let named = [&words[..], &["--gateway-address", "127.0.0.1,::1"]].concat();
    let said = migrate(&store, &clock, &named).await;
    assert!(!said.err.contains("CLEANUP-NAME"), "{}", said.err);
    let mut edge = service("istio-system", "edge");
    edge["spec"]["selector"] = json!({"istio": "ingressgateway"});
    edge["status"] = json!({"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}, {"ip": "::1"}]}});
    store.put(edge).unwrap();
    let said = migrate(&store, &clock, &words).await;
    assert!(!said.err.contains("CLEANUP-NAME"), "{}", said.err);
}

#[tokio::test(start_paused = true)]
async fn an_ingress_that_is_named_is_never_passed_over_in_silence() {
    let (store, clock, _dir, dir) = ready().await;
    let words = [
        "cleanup",
        "--dir",
        &dir,
        "--ingress",
        "ns-a/shop",
        "--ingress-class",
    ];
    let said = migrate(&store, &clock, &[&words[..], &["public"]].concat()).await;
    let why = said.end.unwrap_err();
    assert!(
        matches!(&why, Trouble::Usage(text) if text.contains("ns-a/shop") && text.contains("--ingress-class")),
        "{why}"
    );
    let said = migrate(&store, &clock, &[&words[..], &["nginx"]].concat()).await;
    assert!(said.err.contains("CLEANUP-SOAKING"), "{}", said.err);
}

#[tokio::test(start_paused = true)]
async fn a_backup_with_marks_gives_none_back() {
    let (store, clock, folder, _) = ready().await;
    probed(&store, &clock);
    let late = folder.path().join("late").to_str().unwrap().to_owned();
    migrate(&store, &clock, &["backup", "--dir", &late])
        .await
        .end
        .unwrap();
    store.delete(ING, "ns-a", "shop").unwrap();
    let words = ["restore", "--dir", &late, "--kind", "Ingress"];
    let back = migrate(&store, &clock, &words).await;
    show(&back);
    assert_eq!(back.end.unwrap(), End::Done);
    let shop = store.get(ING, "ns-a", "shop").unwrap();
    let (labels, notes) = (&shop["metadata"]["labels"], &shop["metadata"]["annotations"]);
    assert_eq!(labels, &json!({"app": "shop"}));
    assert_eq!(
        notes,
        &json!({"nginx.ingress.kubernetes.io/proxy-read-timeout": "300"})
    );
    let again = migrate(&store, &clock, &words).await;
    assert!(
        again.out.contains("0 written"),
        "marks are no difference: {}",
        again.out
    );
    // Marked anew, it soaks anew, whatever the backup says of the time before.
    migrate(&store, &clock, &["-n", "ns-a", "apply"])
        .await
        .end
        .unwrap();
    let since = |store: &Store| {
        let shop = store.get(ING, "ns-a", "shop").unwrap();
        shop["metadata"]["annotations"]["sealos.io/migration-time"].clone()
    };
    let now = since(&store);
    assert!(now.is_string());
    migrate(&store, &clock, &words).await.end.unwrap();
    assert_eq!(since(&store), now);
}

#[tokio::test(start_paused = true)]
async fn a_certificate_of_an_ingress_that_goes_stays_without_it_and_that_is_told() {
    let (store, clock, _dir, dir) = ready().await;
    crate::kinds::cert_manager(&store);
    let shop = store.get(ING, "ns-a", "shop").unwrap();
    let mut certificate = crate::objects::custom(
        "cert-manager.io/v1",
        "Certificate",
        "ns-a",
        "shop-tls",
        json!({"secretName": "shop-tls"}),
    );
    certificate["metadata"]["ownerReferences"] = json!([{"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "name": "shop", "uid": shop["metadata"]["uid"], "controller": true}]);
    store.put(certificate).unwrap();
    probed(&store, &clock);
    tokio::time::sleep(Duration::from_secs(25 * 3600)).await;
    let accept = format!("{NAMES},CLEANUP-COUNTING,CLEANUP-COUNT-UNKNOWN,CLEANUP-NOT-PROBED");
    let words = ["-n", "ns-a", "cleanup", "--dir", &dir, "--accept", &accept];
    let said = migrate(&store, &clock, &words).await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(
        said.err
            .contains("CLEANUP-CERTIFICATE-STAYS  Certificate ns-a/shop-tls"),
        "{}",
        said.err
    );
    assert!(store.get(ING, "ns-a", "shop").is_none());
    let stays = store.get("certificates.cert-manager.io", "ns-a", "shop-tls");
    assert!(stays.is_some(), "it was collected with its owner");
}

/// What is taken away after everything was judged to be well.
type Harm = fn(&Store);

#[tokio::test(start_paused = true)]
async fn an_ingress_stays_while_what_serves_its_host_at_the_gateway_is_not_well() {
    let harms: [(&str, Harm); 4] = [
        ("VALIDATE-GATEWAY-DOWN", |store| {
            store.delete("pods", "istio-system", "gateway-1").unwrap();
        }),
        ("VALIDATE-CERTIFICATE-MISSING", |store| {
            for secret in store.list("secrets") {
                let meta = &secret["metadata"];
                if meta["namespace"] == "istio-system" {
                    store
                        .delete("secrets", "istio-system", meta["name"].as_str().unwrap())
                        .unwrap();
                }
            }
        }),
        ("VALIDATE-COPY-STALE", |store| {
            store.put(certificate("ns-a", "shop-tls", "second")).unwrap();
        }),
        ("VALIDATE-HOST-TWICE", |store| {
            let mut other = Value::clone(&store.list(VS)[0]);
            other["metadata"] = json!({"name": "other", "namespace": "ns-a"});
            store.put(other).unwrap();
        }),
    ];
    let all = format!("{NAMES},CLEANUP-NOT-PROBED,CLEANUP-COUNT-UNKNOWN,CLEANUP-COUNTING");
    for (code, harm) in harms {
        let (store, clock) = tenants(&["ns-a", "ns-b"]);
        let mut tls = ingress("ns-a", "shop");
        tls["spec"]["tls"] = json!([{"hosts": ["shop.ns-a.example.com"], "secretName": "shop-tls"}]);
        store.put(tls).unwrap();
        store.put(certificate("ns-a", "shop-tls", "first")).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("b").to_str().unwrap().to_owned();
        for words in [&["backup", "--dir", &path][..], &["apply", "--all"]] {
            assert_eq!(migrate(&store, &clock, words).await.end.unwrap(), End::Done);
        }
        harm(&store);
        let words = [
            "cleanup", "--all", "--dir", &path, "--soak", "0", "--accept", &all,
        ];
        let said = migrate(&store, &clock, &words).await;
        show(&said);
        let line = |of: &str| {
            let line = format!("blocker  CLEANUP-NOT-WELL  Ingress {of}/shop");
            said.err
                .lines()
                .any(|said| said.contains(&line) && said.contains(code))
        };
        let both = code == "VALIDATE-GATEWAY-DOWN";
        assert_eq!((line("ns-a"), line("ns-b")), (true, both), "{code} {}", said.err);
        assert!(store.get(ING, "ns-a", "shop").is_some(), "{code}");
        // Who has nothing to do with it is not kept by it.
        assert_eq!(store.get(ING, "ns-b", "shop").is_some(), both, "{code}");
        assert_eq!(said.end.unwrap(), if both { End::Refused } else { End::Partly });
    }
}
