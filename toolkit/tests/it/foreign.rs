//! Objects of others that decide at the gateway beside ours.

use crate::apply::{open, tenants};
use crate::ownership::{AP, DR, annotate, edit};
use crate::standing::gateway_pod;
use crate::support::{Said, migrate};
use gradual_rollout_apiserver::Store;
use gradual_rollout_apiserver::clock::Clock;
use gradual_rollout_toolkit::trouble::End;
use serde_json::{Value, json};

async fn run(store: &Store, clock: &Clock, words: &[&str]) -> Said {
    let said = migrate(store, clock, words).await;
    println!("{words:?}\n{}{}{:?}\n", said.err, said.out, said.end);
    said
}

async fn done(store: &Store, clock: &Clock, words: &[&str]) {
    assert_eq!(run(store, clock, words).await.end.unwrap(), End::Done);
}

fn rule(namespace: &str, host: &str) -> Value {
    json!({"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
        "metadata": {"name": "mine", "namespace": namespace},
        "spec": {"host": host, "trafficPolicy": {"tls": {"mode": "DISABLE"}}}})
}

#[tokio::test(start_paused = true)]
async fn a_rule_of_others_for_a_service_that_needs_one_keeps_its_host_closed_and_is_told_where_it_comes_later()
 {
    for (namespace, host) in [("ns-a", "shop"), ("istio-system", "shop.ns-a.svc.cluster.local")] {
        let (store, clock) = tenants(&["ns-a"]);
        gateway_pod(&store);
        annotate(&store, "ns-a", "shop", "backend-protocol", "HTTPS");
        store.put(rule(namespace, host)).unwrap();
        let said = run(&store, &clock, &["apply", "--all"]).await;
        assert!(
            said.err.contains(&format!(
                "blocker  APPLY-RULE-TAKEN  DestinationRule {namespace}/mine"
            )),
            "{}",
            said.err
        );
        assert_ne!(said.end.unwrap(), End::Done);
        assert_eq!(open(&store), Vec::<String>::new());
        store.delete(DR, namespace, "mine").unwrap();
        done(&store, &clock, &["apply", "--all"]).await;
        done(&store, &clock, &["validate"]).await;
        store.put(rule(namespace, host)).unwrap();
        let told = run(&store, &clock, &["validate"]).await;
        assert!(told.err.contains("blocker  STATE-RULE-TAKEN"), "{}", told.err);
        assert_eq!(told.end.unwrap(), End::Partly);
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_of_others_that_lets_nobody_in_is_told_and_one_for_other_hosts_is_not() {
    let (store, clock) = tenants(&["ns-a"]);
    gateway_pod(&store);
    let policy = |spec: Value| {
        json!({"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
            "metadata": {"name": "all", "namespace": "istio-system"}, "spec": spec})
    };
    store.put(policy(json!({}))).unwrap();
    let said = run(&store, &clock, &["apply", "--all"]).await;
    assert!(
        said.err
            .contains("blocker  APPLY-DENIED  AuthorizationPolicy istio-system/all"),
        "{}",
        said.err
    );
    assert_eq!(open(&store), Vec::<String>::new());
    let denies =
        |host: &str| json!({"action": "DENY", "rules": [{"to": [{"operation": {"hosts": [host]}}]}]});
    store.put(policy(denies("other.example.com"))).unwrap();
    done(&store, &clock, &["apply", "--all"]).await;
    done(&store, &clock, &["validate"]).await;
    store.put(policy(denies("shop.ns-a.example.com"))).unwrap();
    let told = run(&store, &clock, &["validate"]).await;
    assert!(told.err.contains("blocker  STATE-DENIED"), "{}", told.err);
    store.delete(AP, "istio-system", "all").unwrap();
    done(&store, &clock, &["validate"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_stands_for_hosts_of_another_server_is_told_and_one_of_the_platform_serves_both() {
    let (store, clock) = tenants(&["ns-a", "ns-b"]);
    gateway_pod(&store);
    let wild = |namespace: &str, of: &Value| {
        let mut secret = of.clone();
        secret["metadata"] = json!({"namespace": namespace, "name": "wild"});
        secret
    };
    let one = crate::preflight::healthy::secret("x", "wild", &["*.w.com"], 2027);
    for namespace in ["ns-a", "ns-b"] {
        edit(&store, namespace, "shop", |shop| {
            let host = format!("{namespace}.w.com");
            shop["spec"]["tls"] = json!([{"hosts": [host], "secretName": "wild"}]);
            shop["spec"]["rules"][0]["host"] = json!(host);
        });
        store.put(wild(namespace, &one)).unwrap();
    }
    let said = run(&store, &clock, &["apply", "--all", "--dry-run"]).await;
    assert!(
        said.err.contains("APPLY-CERTIFICATE-COVERS") && said.err.contains("TLS-SAME-CERTIFICATE"),
        "{}",
        said.err
    );
    store.put(wild("istio-system", &one)).unwrap();
    let said = run(&store, &clock, &["apply", "--all"]).await;
    assert_eq!(said.end.as_ref().unwrap(), &End::Done);
    assert!(!said.err.contains("APPLY-CERTIFICATE-COVERS"), "{}", said.err);
    let gateway = store
        .get(crate::apply::GW, "istio-system", "sealos-gateway")
        .unwrap();
    let servers = gateway["spec"]["servers"].as_array().unwrap();
    let secured: Vec<&Value> = servers
        .iter()
        .filter(|server| server["port"]["number"] == 443)
        .collect();
    assert_eq!(secured.len(), 1, "{servers:?}");
    assert_eq!(secured[0]["tls"]["credentialName"], "wild");
    // Another certificate of the name is told, whoever has it.
    let own = crate::preflight::healthy::secret("x", "wild", &["ns-b.w.com"], 2027);
    store.put(wild("ns-b", &own)).unwrap();
    let said = run(&store, &clock, &["apply", "--all", "--dry-run"]).await;
    assert!(
        said.err.contains("APPLY-CERTIFICATE-COVERS") && said.err.contains("ns-b.w.com"),
        "{}",
        said.err
    );
}
