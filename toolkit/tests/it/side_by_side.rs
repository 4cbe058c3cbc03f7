//! Tenants and load balancers beside what `apply` writes: neither takes the other's objects for its own.

use crate::kinds::put;
use crate::preflight::healthy::secret;
use crate::support::migrate;
use gradual_rollout_apiserver::Store;
use gradual_rollout_toolkit::trouble::End;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What is known of a cluster's objects but their versions.
fn state(store: &Store) -> BTreeMap<String, Value> {
    let kinds = [
        "gateways.networking.istio.io",
        "virtualservices.networking.istio.io",
        "authorizationpolicies.security.istio.io",
        "networkpolicies.networking.k8s.io",
        "resourcequotas",
        "secrets",
    ];
    let all = kinds
        .iter()
        .flat_map(|kind| store.list(kind).into_iter().map(move |object| (kind, object)));
    all.map(|(kind, object)| {
        let meta = &object["metadata"];
        let what = json!([
            meta["labels"],
            meta["annotations"],
            object["spec"],
            object["data"]
        ]);
        (format!("{kind} {}/{}", meta["namespace"], meta["name"]), what)
    })
    .collect()
}

#[tokio::test(start_paused = true)]
async fn what_tenants_and_load_balancers_have_is_neither_changed_nor_deleted_by_apply_and_rollback() {
    let (store, clock) = crate::apply::tenants(&["ns-a"]);
    put(
        &store,
        secret("certs", "ada", &["ada.a.com", "*.ada.a.com"], 2027),
    );
    put(
        &store,
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "istio-system", "name": "edge"},
            "spec": {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "selector": {"istio": "ingressgateway"}, "ports": [
                {"name": "a", "port": 80, "targetPort": 8080}, {"name": "b", "port": 443, "targetPort": 8443},
            ]},
        }),
    );
    let words = [
        "tenant",
        "create",
        "ada",
        "--domain",
        "a.com",
        "--certificate",
        "certs/ada",
        "--mesh",
    ];
    assert_eq!(migrate(&store, &clock, &words).await.end.unwrap(), End::Done);
    put(
        &store,
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "ns-ada", "name": "s3"},
        "spec": {"type": "LoadBalancer", "ports": [{"name": "http", "port": 80}],
            "loadBalancerSourceRanges": ["10.0.0.0/8"]}}),
    );
    let words = [
        "-n",
        "ns-ada",
        "loadbalancer",
        "migrate",
        "s3",
        "--domain",
        "s3.b.com",
        "--certificate",
        "certs/ada",
    ];
    assert_eq!(migrate(&store, &clock, &words).await.end.unwrap(), End::Done);
    let before = state(&store);
    let said = migrate(&store, &clock, &["apply", "--all"]).await;
    assert_eq!(said.end.unwrap(), End::Done, "{}{}", said.out, said.err);
    let applied = state(&store);
    assert!(applied.len() > before.len());
    assert!(
        before
            .iter()
            .all(|(name, object)| applied.get(name) == Some(object))
    );
    let said = migrate(&store, &clock, &["rollback", "--all"]).await;
    assert_eq!(said.end.unwrap(), End::Done, "{}{}", said.out, said.err);
    assert_eq!(state(&store), before);
}

#[tokio::test(start_paused = true)]
async fn a_tenants_certificate_is_renewed_with_all_others() {
    let (store, clock) = crate::apply::tenants(&["ns-a"]);
    put(
        &store,
        secret("certs", "ada", &["ada.a.com", "*.ada.a.com"], 2027),
    );
    let create = [
        "tenant",
        "create",
        "ada",
        "--domain",
        "a.com",
        "--certificate",
        "certs/ada",
    ];
    migrate(&store, &clock, &create).await.end.unwrap();
    put(
        &store,
        secret("certs", "ada", &["ada.a.com", "*.ada.a.com"], 2028),
    );
    let said = migrate(&store, &clock, &["apply", "--all", "--secrets-only"]).await;
    assert_eq!(said.end.unwrap(), End::Done, "{}{}", said.out, said.err);
    let (source, copy) = (
        store.get("secrets", "certs", "ada").unwrap(),
        store.get("secrets", "istio-system", "ada-tls-cert").unwrap(),
    );
    assert_eq!(source["data"], copy["data"]);
    let check = [
        "tenant",
        "check",
        "ada",
        "--domain",
        "a.com",
        "--certificate",
        "certs/ada",
    ];
    let said = migrate(&store, &clock, &check).await;
    assert_eq!(
        said.end.unwrap(),
        End::Partly,
        "as it was made, unasked: {}",
        said.out
    );
    let said = migrate(&store, &clock, &["tenant", "delete", "ada"]).await;
    assert!(
        said.out.contains("deleted: Secret istio-system/ada-tls-cert"),
        "{}",
        said.out
    );
}
