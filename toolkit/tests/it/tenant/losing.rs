//! What clients have by a tenant is not taken from them without being told.

use super::{create, with_istio};
use crate::kinds::put;
use crate::preflight::healthy::ingress;
use crate::support::migrate;
use gradual_rollout_apiserver::Store;
use gradual_rollout_toolkit::trouble::{End, Trouble};
use serde_json::{Value, json};

fn live(store: &Store) {
    put(
        store,
        json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"namespace": "ns-ada", "name": "live"},
        "spec": {"hosts": ["ada.a.com"], "gateways": ["ada-gateway"], "http": [
            {"route": [{"destination": {"host": "shop"}}]},
        ]}}),
    );
}

fn gateway(store: &Store) -> Value {
    let found = store.get("gateways.networking.istio.io", "ns-ada", "ada-gateway");
    (*found.unwrap()).clone()
}

#[tokio::test]
async fn a_host_that_is_served_and_not_named_again_is_a_refusal_with_what_is_behind_it() {
    let (store, clock) = with_istio();
    create(&store, &clock).await.end.unwrap();
    live(&store);
    let before = gateway(&store);
    let other = ["tenant", "create", "ada", "--domain", "other.io"];
    let said = migrate(&store, &clock, &other).await;
    println!("{}{}", said.out, said.err);
    assert_eq!(said.end.unwrap(), End::Refused);
    for words in [
        "TENANT-HOST-LOST  Gateway ns-ada/ada-gateway: it serves *.ada.a.com, ada.a.com by now",
        "VirtualService ns-ada/live is behind it",
    ] {
        assert!(said.err.contains(words), "{words}: {}", said.err);
    }
    assert_eq!(gateway(&store), before);
    let accepted = [&other[..], &["--accept", "TENANT-HOST-LOST"]].concat();
    let said = migrate(&store, &clock, &accepted).await;
    println!("{}{}", said.out, said.err);
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(
        said.out.contains("accepted: Gateway ns-ada/ada-gateway"),
        "{}",
        said.out
    );
    assert_eq!(
        gateway(&store)["spec"]["servers"][0]["hosts"],
        json!(["ns-ada/ada.other.io", "ns-ada/*.ada.other.io"])
    );
}

#[tokio::test]
async fn a_port_that_would_be_closed_is_a_loss_too() {
    let (store, clock) = with_istio();
    create(&store, &clock).await.end.unwrap();
    store.delete("secrets", "istio-system", "ada-tls-cert").unwrap();
    let said = migrate(&store, &clock, &["tenant", "create", "ada", "--domain", "a.com"]).await;
    assert_eq!(said.end.unwrap(), End::Refused);
    assert!(said.err.contains("ada.a.com on port 443"), "{}", said.err);
}

#[tokio::test]
async fn callers_that_are_not_named_again_are_not_shut_out_in_silence() {
    let (store, clock) = with_istio();
    store.namespace("monitoring");
    let plain = ["tenant", "create", "ada", "--domain", "a.com"];
    let more = ["--allow-namespace", "monitoring", "--allow-cidr", "10.9.0.0/16"];
    let all = [&plain[..], &more[..]].concat();
    migrate(&store, &clock, &all).await.end.unwrap();
    let said = migrate(&store, &clock, &plain).await;
    println!("{}{}", said.out, said.err);
    assert_eq!(said.end.unwrap(), End::Refused);
    assert!(
        said.err.contains(
            "TENANT-CALLER-LOST  NetworkPolicy ns-ada/tenant-isolation: it lets in pods of namespace monitoring, the addresses 10.9.0.0/16 by now"
        ),
        "{}",
        said.err
    );
    assert_eq!(migrate(&store, &clock, &all).await.end.unwrap(), End::Done);
    // Nobody calls from a namespace that is gone.
    store.delete("namespaces", "", "monitoring").unwrap();
    let cidr = [&plain[..], &more[2..]].concat();
    assert_eq!(migrate(&store, &clock, &cidr).await.end.unwrap(), End::Done);
    let typo = [&plain[..], &["--accept", "TENANT-IN-USE"]].concat();
    assert!(matches!(
        migrate(&store, &clock, &typo).await.end,
        Err(Trouble::Usage(_))
    ));
}

#[tokio::test]
async fn what_sidecars_enforce_and_is_not_renewed_is_said() {
    let (store, clock) = with_istio();
    let plain = ["tenant", "create", "ada", "--domain", "a.com"];
    migrate(&store, &clock, &[&plain[..], &["--mesh"]].concat())
        .await
        .end
        .unwrap();
    let more = [&plain[..], &["--allow-namespace", "monitoring"]].concat();
    let said = migrate(&store, &clock, &more).await;
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(
        said.out
            .contains("AuthorizationPolicy ns-ada/tenant-isolation was made with --mesh and stays"),
        "{}",
        said.out
    );
}

#[tokio::test]
async fn what_serves_hosts_is_named_and_a_tenant_is_not_deleted_under_it() {
    let (store, clock) = with_istio();
    create(&store, &clock).await.end.unwrap();
    live(&store);
    put(
        &store,
        ingress("ns-ada", "old", "old.ada.a.com", json!({}), "old"),
    );
    let plain = migrate(&store, &clock, &["tenant", "delete", "ada"]).await;
    assert_eq!(plain.end.unwrap(), End::Refused);
    assert!(
        plain
            .err
            .contains("TENANT-IN-USE  VirtualService ns-ada/live: it serves ada.a.com by Gateway"),
        "{}",
        plain.err
    );
    assert!(
        !plain.err.contains("Ingress ns-ada/old"),
        "it stays: {}",
        plain.err
    );
    let whole = ["tenant", "delete", "ada", "--namespace-too"];
    let dry = migrate(&store, &clock, &[&whole[..], &["--dry-run"]].concat()).await;
    println!("{}{}", dry.out, dry.err);
    assert_eq!(dry.end.unwrap(), End::Refused);
    for words in [
        "VirtualService ns-ada/live: it serves ada.a.com",
        "Ingress ns-ada/old: it serves old.ada.a.com",
    ] {
        assert!(dry.err.contains(words), "{words}: {}", dry.err);
    }
    gateway(&store);
    let said = migrate(
        &store,
        &clock,
        &[&whole[..], &["--accept", "tenant-in-use"]].concat(),
    )
    .await;
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(
        said.out.contains("accepted: VirtualService ns-ada/live"),
        "{}",
        said.out
    );
    assert!(
        store
            .get("namespaces", "", "ns-ada")
            .is_none_or(|found| { found.pointer("/metadata/deletionTimestamp").is_some() })
    );
}
