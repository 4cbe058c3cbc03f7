//! `tenant create`, `check` and `delete`.

mod asking;
mod host_network;
pub(crate) mod isolation;
mod losing;

use crate::kinds::{ISTIO, put, serve};
use crate::preflight::healthy::{controller, ingress, secret};
use crate::support::{Said, cluster, migrate};
use gradual_rollout_apiserver::clock::Clock;
use gradual_rollout_apiserver::{Action, Failure, Fault, Store};
use gradual_rollout_toolkit::trouble::{End, Trouble};
use serde_json::{Value, json};

/// A cluster with Istio's kinds, and ingress-nginx in its namespace.
pub(crate) fn with_istio() -> (Store, Clock) {
    let (store, clock) = cluster();
    for kind in ISTIO {
        serve(&store, kind);
    }
    store.namespace("istio-system");
    put(&store, controller(&[]));
    put(
        &store,
        secret("certs", "ada", &["ada.a.com", "*.ada.a.com"], 2027),
    );
    (store, clock)
}

pub(crate) const CREATE: [&str; 7] = [
    "tenant",
    "create",
    "ada",
    "--domain",
    "a.com",
    "--certificate",
    "certs/ada",
];

pub(crate) async fn create(store: &Store, clock: &Clock) -> Said {
    migrate(store, clock, &CREATE).await
}

#[tokio::test]
async fn a_tenant_gets_a_namespace_that_only_the_gateway_and_nginx_reach() {
    let (store, clock) = with_istio();
    let said = create(&store, &clock).await;
    println!("{}{}", said.out, said.err);
    assert_eq!(said.end.unwrap(), End::Done);
    let policy = store
        .get("networkpolicies.networking.k8s.io", "ns-ada", "tenant-isolation")
        .unwrap();
    assert_eq!(policy["spec"]["policyTypes"], json!(["Ingress"]));
    assert_eq!(
        policy["spec"]["ingress"][0]["from"],
        json!([
            {"podSelector": {}},
            {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "istio-system"}},
                "podSelector": {"matchLabels": {"istio": "ingressgateway"}},
            },
            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}}},
        ])
    );
    let quota = store.get("resourcequotas", "ns-ada", "tenant-network").unwrap();
    assert_eq!(quota["spec"]["hard"], json!({"services.loadbalancers": "0"}));
    let gateway = store
        .get("gateways.networking.istio.io", "ns-ada", "ada-gateway")
        .unwrap();
    assert_eq!(
        gateway["spec"]["servers"][1]["hosts"],
        json!(["ns-ada/ada.a.com", "ns-ada/*.ada.a.com"])
    );
    assert_eq!(
        gateway["spec"]["servers"][1]["tls"]["credentialName"],
        "ada-tls-cert"
    );
    let (source, copy) = (
        store.get("secrets", "certs", "ada").unwrap(),
        store.get("secrets", "istio-system", "ada-tls-cert").unwrap(),
    );
    assert_eq!(source["data"], copy["data"]);
    assert_eq!(
        copy["metadata"]["annotations"]["rollout.sealos.io/copy-of"],
        "certs/ada"
    );
    // No sidecars, so nothing that only they would enforce.
    assert!(store.list("authorizationpolicies.security.istio.io").is_empty());
}

#[tokio::test]
async fn in_a_mesh_callers_are_told_apart_by_namespace_too() {
    let (store, clock) = with_istio();
    let words = [&CREATE[..], &["--mesh", "--allow-namespace", "monitoring"]].concat();
    migrate(&store, &clock, &words).await.end.unwrap();
    let policy = store
        .get(
            "authorizationpolicies.security.istio.io",
            "ns-ada",
            "tenant-isolation",
        )
        .unwrap();
    assert_eq!(
        policy["spec"]["rules"][0]["from"][0]["source"]["namespaces"],
        json!(["ns-ada", "istio-system", "ingress-nginx", "monitoring"])
    );
}

#[tokio::test]
async fn a_second_run_changes_nothing_and_a_dry_run_writes_nothing() {
    let (store, clock) = with_istio();
    let dry = [&CREATE[..], &["--dry-run"]].concat();
    let said = migrate(&store, &clock, &dry).await;
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(
        said.out.contains("would be written: Namespace ns-ada"),
        "{}",
        said.out
    );
    assert!(store.get("namespaces", "", "ns-ada").is_none());
    create(&store, &clock).await.end.unwrap();
    let version = store.version();
    create(&store, &clock).await.end.unwrap();
    assert_eq!(store.version(), version);
}

#[tokio::test]
async fn a_host_that_another_namespace_has_is_refused_before_anything_is_written() {
    let (store, clock) = with_istio();
    put(
        &store,
        ingress("ns-bob", "shop", "x.ada.a.com", json!({}), "shop"),
    );
    let said = create(&store, &clock).await;
    assert!(
        matches!(&said.end, Err(Trouble::Refused(why)) if why.contains("Ingress ns-bob/shop has x.ada.a.com")),
        "{said:?}"
    );
    assert!(store.get("namespaces", "", "ns-ada").is_none());
}

#[tokio::test]
async fn what_somebody_else_wrote_under_the_name_is_not_taken_over() {
    let (store, clock) = with_istio();
    put(
        &store,
        json!({"apiVersion": "networking.istio.io/v1", "kind": "Gateway",
        "metadata": {"namespace": "ns-ada", "name": "ada-gateway"}, "spec": {"servers": []}}),
    );
    let said = create(&store, &clock).await;
    assert!(
        matches!(&said.end, Err(Trouble::Refused(why)) if why.contains("Gateway ns-ada/ada-gateway is there already"))
    );
    assert!(store.list("networkpolicies.networking.k8s.io").is_empty());
}

#[tokio::test]
async fn what_was_written_and_what_was_not_is_listed_when_it_ends_half_way() {
    let (store, clock) = with_istio();
    let no = Failure::new(403, "Forbidden", "gateways are not for you");
    store.inject(
        Fault::new(Action::Fail(no))
            .verb("patch")
            .resource("gateways.networking.istio.io"),
    );
    let said = create(&store, &clock).await;
    assert_eq!(said.end.unwrap(), End::Partly);
    assert!(
        said.out
            .contains("written: NetworkPolicy ns-ada/tenant-isolation"),
        "{}",
        said.out
    );
    assert!(
        said.err.contains("not written: Gateway ns-ada/ada-gateway"),
        "{}",
        said.err
    );
    assert!(said.err.contains("not for you"), "{}", said.err);
    store.faults().clear();
    assert_eq!(
        create(&store, &clock).await.end.unwrap(),
        End::Done,
        "the next run goes on"
    );
}

#[tokio::test]
async fn names_and_hosts_that_cannot_be_are_refused() {
    let (store, clock) = with_istio();
    for words in [
        ["tenant", "create", "Ada", "--domain", "a.com"],
        ["tenant", "create", "ada", "--allow-cidr", "10.0.0.0"],
        ["tenant", "create", "ada", "--host", "*"],
        ["tenant", "create", "ada", "--host", "*.com"],
        ["tenant", "create", "ada", "--gateway-selector", "istio"],
    ] {
        let said = migrate(&store, &clock, &words).await;
        assert!(matches!(said.end, Err(Trouble::Usage(_))), "{words:?}: {said:?}");
    }
}

#[tokio::test]
async fn delete_takes_away_what_was_made_and_the_namespace_only_if_told() {
    let (store, clock) = with_istio();
    create(&store, &clock).await.end.unwrap();
    put(
        &store,
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"namespace": "ns-ada", "name": "own"}, "spec": {"podSelector": {}}}),
    );
    let said = migrate(&store, &clock, &["tenant", "delete", "ada"]).await;
    assert_eq!(said.end.unwrap(), End::Done);
    // Clients are let in no more before the isolation goes.
    let place = |what: &str| {
        said.out
            .find(what)
            .unwrap_or_else(|| panic!("{what}: {}", said.out))
    };
    assert!(place("Gateway") < place("NetworkPolicy"));
    assert!(store.get("secrets", "istio-system", "ada-tls-cert").is_none());
    assert!(
        store
            .get("networkpolicies.networking.k8s.io", "ns-ada", "own")
            .is_some()
    );
    assert!(store.get("namespaces", "", "ns-ada").is_some());
    let said = migrate(&store, &clock, &["tenant", "delete", "ada", "--namespace-too"]).await;
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(said.out.contains("deleted: Namespace ns-ada"), "{}", said.out);
}

#[tokio::test]
async fn a_copy_that_was_renewed_by_apply_is_known_all_the_same() {
    let (store, clock) = with_istio();
    create(&store, &clock).await.end.unwrap();
    // As `apply --secrets-only` writes it: it knows nothing of tenants.
    let mut copy = (*store.get("secrets", "istio-system", "ada-tls-cert").unwrap()).clone();
    copy["metadata"]["labels"] = json!({"app.kubernetes.io/managed-by": "gradual-rollout"});
    put(&store, copy);
    put(&store, secret("istio-system", "bob-tls-cert", &["b.com"], 2027));
    migrate(&store, &clock, &["tenant", "delete", "ada"])
        .await
        .end
        .unwrap();
    assert!(store.get("secrets", "istio-system", "ada-tls-cert").is_none());
    // A certificate of that name that is no copy of ours stays.
    let said = migrate(&store, &clock, &["tenant", "delete", "bob"]).await;
    assert!(said.end.is_err());
    assert!(store.get("secrets", "istio-system", "bob-tls-cert").is_some());
}

#[tokio::test]
async fn a_namespace_that_was_there_before_is_never_deleted() {
    let (store, clock) = with_istio();
    store.namespace("ns-ada");
    create(&store, &clock).await.end.unwrap();
    let said = migrate(&store, &clock, &["tenant", "delete", "ada", "--namespace-too"]).await;
    assert!(matches!(said.end, Err(Trouble::Refused(why)) if why.contains("was not made by")));
    assert!(
        store
            .get("gateways.networking.istio.io", "ns-ada", "ada-gateway")
            .is_some()
    );
}

#[tokio::test]
async fn check_tells_what_is_gone_changed_old_or_somebody_elses() {
    let (store, clock) = with_istio();
    create(&store, &clock).await.end.unwrap();
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
        "the network was not asked: {}",
        said.out
    );
    assert!(
        said.out.contains("as it was made; the network was not asked"),
        "{}",
        said.out
    );
    let elsewhere = migrate(&store, &clock, &[&["-n", "ns-x"], &check[..]].concat()).await;
    assert!(
        matches!(&elsewhere.end, Err(Trouble::Usage(why)) if why.contains("leave -n out")),
        "{elsewhere:?}"
    );
    store
        .delete("resourcequotas", "ns-ada", "tenant-network")
        .unwrap();
    let mut policy = (*store
        .get("networkpolicies.networking.k8s.io", "ns-ada", "tenant-isolation")
        .unwrap())
    .clone();
    policy["spec"]["ingress"] = json!([{}]);
    put(&store, policy);
    put(
        &store,
        secret("certs", "ada", &["ada.a.com", "*.ada.a.com"], 2028),
    );
    put(&store, ingress("ns-bob", "shop", "ada.a.com", json!({}), "shop"));
    let said = migrate(&store, &clock, &check).await;
    println!("{}", said.out);
    assert_eq!(said.end.unwrap(), End::Refused);
    for line in [
        "TENANT-MISSING  ResourceQuota ns-ada/tenant-network",
        "TENANT-CHANGED  NetworkPolicy ns-ada/tenant-isolation: it is not as it was made: spec.ingress[0].from is gone",
        "TENANT-CERTIFICATE-OLD  Secret istio-system/ada-tls-cert",
        "TENANT-HOST-SHARED  tenant ada: Ingress ns-bob/shop has ada.a.com",
    ] {
        assert!(said.out.contains(line), "{line}: {}", said.out);
    }
}

#[tokio::test]
async fn without_a_certificate_the_hosts_are_served_in_clear_and_it_is_said() {
    let (store, clock) = with_istio();
    let said = migrate(
        &store,
        &clock,
        &["--json", "tenant", "create", "ada", "--domain", "a.com"],
    )
    .await;
    assert_eq!(said.end.unwrap(), End::Done);
    let whole: Value = serde_json::from_str(&said.out).unwrap();
    assert!(whole["warnings"][0].as_str().unwrap().contains("served in clear"));
    let gateway = store
        .get("gateways.networking.istio.io", "ns-ada", "ada-gateway")
        .unwrap();
    assert_eq!(gateway["spec"]["servers"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_tenant_that_nobody_made_is_not_deleted_in_silence() {
    let (store, clock) = with_istio();
    let said = migrate(&store, &clock, &["tenant", "delete", "nope"]).await;
    assert!(
        matches!(&said.end, Err(Trouble::Refused(why)) if why.contains("nothing was made for a tenant nope")),
        "{said:?}"
    );
}

#[tokio::test]
async fn a_copy_that_apply_made_under_the_name_is_neither_overwritten_nor_deleted() {
    let (store, clock) = with_istio();
    let mut copy = secret("istio-system", "ada-tls-cert", &["b.com"], 2027);
    copy["metadata"]["labels"] = json!({"app.kubernetes.io/managed-by": "gradual-rollout"});
    copy["metadata"]["annotations"] = json!({"rollout.sealos.io/copy-of": "ada/tls-cert"});
    put(&store, copy.clone());
    let said = create(&store, &clock).await;
    assert!(
        matches!(&said.end, Err(Trouble::Refused(why)) if why.contains("was made for something else")),
        "{said:?}"
    );
    let said = migrate(&store, &clock, &["tenant", "delete", "ada"]).await;
    assert!(said.end.is_err());
    let there = store.get("secrets", "istio-system", "ada-tls-cert").unwrap();
    assert_eq!(there["data"], copy["data"]);
}

#[tokio::test]
async fn a_host_with_tls_that_apply_would_open_at_another_gateway_is_refused() {
    let (store, clock) = with_istio();
    let tls = json!([{"hosts": ["ada.a.com"], "secretName": "x"}]);
    let mut own = ingress("ns-ada", "shop", "ada.a.com", json!({}), "shop");
    own["spec"]["tls"] = tls;
    put(&store, own.clone());
    let said = create(&store, &clock).await;
    assert!(
        matches!(&said.end, Err(Trouble::Refused(why))
            if why.contains("Ingress ns-ada/shop") && why.contains("ada.a.com") && why.contains("skips")),
        "{said:?}"
    );
    assert!(store.list("gateways.networking.istio.io").is_empty());
    // Under the wildcard it is another host to Istio.
    own["spec"]["tls"] = json!([{"hosts": ["shop.ada.a.com"], "secretName": "x"}]);
    own["spec"]["rules"][0]["host"] = "shop.ada.a.com".into();
    put(&store, own);
    assert_eq!(create(&store, &clock).await.end.unwrap(), End::Done);
}

#[tokio::test]
async fn of_two_tenants_that_are_made_at_once_with_one_host_never_both_have_it() {
    let (store, clock) = with_istio();
    let words = |name: &'static str| ["tenant", "create", name, "--host", "shop.a.com"];
    let (one, two) = (words("ada"), words("bob"));
    let (one, two) = tokio::join!(migrate(&store, &clock, &one), migrate(&store, &clock, &two));
    println!("{one:?}\n{two:?}");
    let mut having = store.list("gateways.networking.istio.io");
    having.retain(|gateway| gateway.to_string().contains("shop.a.com"));
    assert!(having.len() <= 1, "{having:#?}");
    assert!(one.end.is_err() || two.end.is_err());
    // One after the other the second is refused, and the first is well.
    store.namespace("ns-cid");
    let refused = migrate(&store, &clock, &words("ada")).await;
    let again = migrate(&store, &clock, &words("bob")).await;
    assert!(refused.end.is_ok() != again.end.is_ok(), "{refused:?} {again:?}");
}

#[tokio::test]
async fn a_certificate_that_ended_is_refused_wherever_it_is() {
    let (store, clock) = with_istio();
    put(
        &store,
        secret("istio-system", "old", &["ada.a.com", "*.ada.a.com"], 2025),
    );
    let words = [
        "tenant",
        "create",
        "ada",
        "--domain",
        "a.com",
        "--certificate",
        "istio-system/old",
    ];
    let said = migrate(&store, &clock, &words).await;
    assert!(
        matches!(&said.end, Err(Trouble::Refused(why)) if why.contains("istio-system/old cannot be used: its certificate ended 2025")),
        "{said:?}"
    );
    assert!(store.list("gateways.networking.istio.io").is_empty());
}
