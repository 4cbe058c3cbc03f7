//! What is nginx's, by the Services and Ingresses that tell it: a name that leads there keeps its Ingress.

use crate::apply::{ING, tenants};
use crate::kinds::put;
use crate::objects::deployment;
use crate::support::migrate;
use gradual_rollout_apiserver::Store;
use gradual_rollout_apiserver::clock::Clock;
use serde_json::{Value, json};

const ACCEPTED: &str = "CLEANUP-NOT-PROBED,CLEANUP-COUNT-UNKNOWN,CLEANUP-COUNTING";

/// Nginx as this workload, and a migrated Ingress with a host that this machine knows.
fn migrated(kind: &str) -> (Store, Clock) {
    let (store, clock) = tenants(&["ns-a"]);
    let mut controller = deployment("ingress-nginx", "nginx");
    controller["kind"] = json!(kind);
    controller["spec"]["template"]["spec"]["containers"][0]["args"] = json!(["/nginx-ingress-controller"]);
    controller["spec"]["template"]["metadata"]["labels"] = json!({"app": "nginx", "role": "controller"});
    if kind == "DaemonSet" {
        controller["spec"].as_object_mut().unwrap().remove("replicas");
    }
    put(&store, controller);
    let mut shop = Value::clone(&store.get(ING, "ns-a", "shop").unwrap());
    shop["spec"]["rules"][0]["host"] = json!("localhost");
    // The conversion is another test's affair: it is marked by hand.
    shop["metadata"]["labels"]["sealos.io/migrated-to-istio"] = json!("true");
    put(&store, shop);
    (store, clock)
}

fn service(name: &str, selector: Value, more: Value, status: Value) -> Value {
    let mut spec = json!({"selector": selector, "ports": [{"port": 443}]});
    for (field, value) in more.as_object().unwrap() {
        spec[field] = value.clone();
    }
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "ingress-nginx"},
        "spec": spec, "status": {"loadBalancer": {"ingress": status}}})
}

/// What cleanup would say of the name.
async fn said(store: &Store, clock: &Clock) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b").to_str().unwrap().to_owned();
    migrate(store, clock, &["backup", "--dir", &path])
        .await
        .end
        .unwrap();
    let words = [
        "--json",
        "cleanup",
        "--all",
        "--dir",
        &path,
        "--soak",
        "0",
        "--dry-run",
        "--accept",
        ACCEPTED,
        "--gateway-address",
        "192.0.2.1",
    ];
    let said = migrate(store, clock, &words).await;
    println!("{}{}{:?}", said.err, said.out, said.end);
    let told: Value = serde_json::from_str(&said.out).unwrap();
    let all = told["findings"].as_array().unwrap().iter();
    let names = all.filter(|one| one["code"].as_str().unwrap().contains("NAME"));
    names
        .map(|one| {
            format!(
                "{}: {}",
                one["code"].as_str().unwrap(),
                one["message"].as_str().unwrap()
            )
        })
        .collect()
}

#[tokio::test]
async fn a_name_that_leads_to_an_address_of_a_service_of_nginx_is_told_however_that_tells_it() {
    let its = || json!({"app": "nginx"});
    for kind in ["Deployment", "DaemonSet"] {
        for service in [
            service(
                "lb",
                its(),
                json!({"type": "LoadBalancer"}),
                json!([{"ip": "127.0.0.1"}, {"ip": "::1"}]),
            ),
            // A name of a load balancer is looked up, as some clouds have nothing else.
            service(
                "lb",
                its(),
                json!({"type": "LoadBalancer"}),
                json!([{"hostname": "localhost"}]),
            ),
            service(
                "lb",
                its(),
                json!({"externalIPs": ["127.0.0.1", "::1"]}),
                json!([]),
            ),
        ] {
            let (store, clock) = migrated(kind);
            put(&store, service.clone());
            let told = said(&store, &clock).await;
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(
                told[0].starts_with("CLEANUP-NAME-LEADS-TO-NGINX: ") && told[0].contains("localhost"),
                "{service}: {told:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_name_that_leads_to_an_address_that_nginx_wrote_on_an_ingress_is_told() {
    let (store, clock) = migrated("DaemonSet");
    let status = json!({"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}, {"ip": "::1"}]}});
    let mut shop = Value::clone(&store.get(ING, "ns-a", "shop").unwrap());
    shop["status"] = status;
    put(&store, shop);
    let told = said(&store, &clock).await;
    assert!(
        told.len() == 1 && told[0].starts_with("CLEANUP-NAME-LEADS-TO-NGINX: "),
        "{told:?}"
    );
}

#[tokio::test]
async fn what_no_service_of_nginx_tells_is_not_known_to_be_away_from_it() {
    let localhost = || json!([{"ip": "127.0.0.1"}, {"ip": "::1"}]);
    let balancer = || json!({"type": "LoadBalancer"});
    for (service, wanted) in [
        // It is in front of other pods.
        (
            service("lb", json!({"app": "other"}), balancer(), localhost()),
            "no address to compare with is known",
        ),
        (
            service(
                "lb",
                json!({"app": "nginx", "tier": "x"}),
                balancer(),
                localhost(),
            ),
            "no address to compare with is known",
        ),
        // It is nobody's without a selector.
        (
            service("lb", json!({}), balancer(), localhost()),
            "no address to compare with is known",
        ),
        (
            service(
                "lb",
                json!({"app": "nginx"}),
                balancer(),
                json!([{"hostname": "lb.nowhere.invalid"}]),
            ),
            "the load balancer lb.nowhere.invalid could not be looked up",
        ),
        (
            service(
                "lb",
                json!({"app": "nginx"}),
                balancer(),
                json!([{"ip": "198.51.100.7"}]),
            ),
            "which no object tells of either side",
        ),
    ] {
        let (store, clock) = migrated("Deployment");
        put(&store, service.clone());
        let told = said(&store, &clock).await;
        assert!(
            told.len() == 1 && told[0].starts_with("CLEANUP-NAME-UNKNOWN: ") && told[0].contains(wanted),
            "{service}: {told:?}"
        );
    }
}
