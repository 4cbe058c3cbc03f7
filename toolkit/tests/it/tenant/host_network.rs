//! Tenants where nginx or the gateway is in the network of its nodes, and names that are too long for Istio.

use super::{CREATE, create, with_istio};
use crate::kinds::put;
use crate::preflight::healthy::{controller, gateway_pods};
use crate::support::migrate;
use gradual_rollout_apiserver::Store;
use gradual_rollout_toolkit::trouble::{End, Trouble};
use serde_json::{Value, json};

fn with_hosts_network(mut workload: Value) -> Value {
    workload["spec"]["template"]["spec"]["hostNetwork"] = json!(true);
    workload
}

fn node(store: &Store) {
    put(
        store,
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "one"}, "status": {"addresses": [
            {"type": "InternalIP", "address": "10.1.0.1"}, {"type": "Hostname", "address": "one"}]}}),
    );
}

#[tokio::test]
async fn a_tenant_is_not_cut_off_from_an_nginx_or_a_gateway_in_the_network_of_its_nodes() {
    for (harm, named) in [
        (
            with_hosts_network(controller(&[])),
            "Deployment ingress-nginx/ingress-nginx-controller",
        ),
        (
            with_hosts_network(gateway_pods(1)),
            "Deployment istio-system/istio-ingressgateway",
        ),
    ] {
        let (store, clock) = with_istio();
        put(&store, harm);
        node(&store);
        let version = store.version();
        let said = create(&store, &clock).await;
        let Err(Trouble::Refused(why)) = &said.end else {
            panic!("not refused: {said:?}")
        };
        for part in ["TENANT-HOST-NETWORK", named, "--allow-cidr", "10.1.0.1"] {
            assert!(why.contains(part), "{part}: {why}");
        }
        assert_eq!(store.version(), version, "nothing is written");
        let words = [
            &CREATE[..],
            &["--mesh", "--allow-cidr", "10.1.0.0/24,10.2.0.0/16"],
        ]
        .concat();
        let said = migrate(&store, &clock, &words).await;
        assert_eq!(said.end.unwrap(), End::Done);
        let policy = store
            .get("networkpolicies.networking.k8s.io", "ns-ada", "tenant-isolation")
            .unwrap();
        let from = policy["spec"]["ingress"][0]["from"].as_array().unwrap();
        assert_eq!(
            from[from.len() - 2..],
            [
                json!({"ipBlock": {"cidr": "10.1.0.0/24"}}),
                json!({"ipBlock": {"cidr": "10.2.0.0/16"}}),
            ]
        );
        let policy = store
            .get(
                "authorizationpolicies.security.istio.io",
                "ns-ada",
                "tenant-isolation",
            )
            .unwrap();
        assert_eq!(
            policy["spec"]["rules"][0]["from"][1],
            json!({"source": {"ipBlocks": ["10.1.0.0/24", "10.2.0.0/16"]}})
        );
    }
}

#[tokio::test]
async fn check_tells_that_nginx_went_into_the_network_of_its_nodes() {
    let (store, clock) = with_istio();
    create(&store, &clock).await.end.unwrap();
    put(&store, with_hosts_network(controller(&[])));
    let words = [
        "tenant",
        "check",
        "ada",
        "--domain",
        "a.com",
        "--certificate",
        "certs/ada",
    ];
    let said = migrate(&store, &clock, &words).await;
    assert_eq!(said.end.unwrap(), End::Refused);
    assert!(said.out.contains("TENANT-HOST-NETWORK"), "{}", said.out);
}

#[tokio::test]
async fn a_name_whose_gateway_istio_would_refuse_is_refused_before_anything_is_written() {
    let (store, clock) = with_istio();
    let version = store.version();
    for letters in [56, 60] {
        let name = "a".repeat(letters);
        let said = migrate(&store, &clock, &["tenant", "create", &name, "--domain", "a.com"]).await;
        assert!(
            matches!(&said.end, Err(Trouble::Usage(why)) if why.contains("at most 55")),
            "{letters}: {said:?}"
        );
        assert_eq!(store.version(), version, "{letters}");
    }
    let name = "a".repeat(55);
    let said = migrate(&store, &clock, &["tenant", "create", &name, "--domain", "a.com"]).await;
    assert_eq!(said.end.unwrap(), End::Done);
    let gateways = store.list("gateways.networking.istio.io");
    assert_eq!(
        gradual_rollout_migration::rules::check(&[(*gateways[0]).clone()]),
        []
    );
}
