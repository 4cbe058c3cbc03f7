//! Whom the gateway knows, and whether clients take what it shows.

use super::{MINIO, minio, with_gateway};
use crate::kinds::put;
use crate::preflight::healthy::secret;
use crate::support::migrate;
use gradual_rollout_apiserver::Store;
use gradual_rollout_toolkit::trouble::{End, Trouble};
use serde_json::json;

fn edit_gateway(store: &Store, policy: &str) {
    let mut edge = (*store.get("services", "istio-system", "edge").unwrap()).clone();
    edge["spec"]["externalTrafficPolicy"] = policy.into();
    put(store, edge);
}

#[tokio::test]
async fn ranges_are_not_kept_by_a_gateway_that_may_see_the_addresses_of_nodes() {
    let (store, clock) = with_gateway();
    let mut service = minio();
    service["spec"]["loadBalancerSourceRanges"] = json!(["10.0.0.0/8"]);
    put(&store, service);
    edit_gateway(&store, "Cluster");
    let before = store.version();
    let said = migrate(&store, &clock, &MINIO).await;
    println!("{}{}", said.out, said.err);
    assert_eq!(said.end.unwrap(), End::Refused);
    assert!(
        said.err
            .contains("CLIENT-ADDRESS  Service ns-ada/minio: it lets in 10.0.0.0/8 only")
            && said
                .err
                .contains("Service istio-system/edge has not externalTrafficPolicy Local"),
        "{}",
        said.err
    );
    assert_eq!(store.version(), before);
    let accepted = [&MINIO[..], &["--accept", "CLIENT-ADDRESS"]].concat();
    let said = migrate(&store, &clock, &accepted).await;
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(
        said.out.contains("warning: accepted: Service ns-ada/minio"),
        "{}",
        said.out
    );
    edit_gateway(&store, "Local");
    let said = migrate(&store, &clock, &MINIO).await;
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(!said.out.contains("externalTrafficPolicy"), "{}", said.out);
}

#[tokio::test]
async fn a_service_without_ranges_needs_nobodys_address() {
    let (store, clock) = with_gateway();
    put(&store, minio());
    edit_gateway(&store, "Cluster");
    let said = migrate(&store, &clock, &MINIO).await;
    assert_eq!(said.end.unwrap(), End::Done);
    // What is about giving the address up is accepted only with that.
    let early = [&MINIO[..], &["--accept", "RELEASE-NAME-UNKNOWN"]].concat();
    let said = migrate(&store, &clock, &early).await;
    assert!(matches!(said.end, Err(Trouble::Usage(_))), "{said:?}");
}

#[tokio::test]
async fn a_certificate_that_ended_is_refused_and_one_for_other_names_or_soon_over_is_told() {
    let (store, clock) = with_gateway();
    put(&store, minio());
    put(
        &store,
        secret("ns-ada", "s3-tls", &["s3.a.com", "*.s3.a.com"], 2025),
    );
    let said = migrate(&store, &clock, &MINIO).await;
    assert!(
        matches!(&said.end, Err(Trouble::Refused(why)) if why.contains("Secret ns-ada/s3-tls cannot be used: its certificate ended 2025-03-01")),
        "{said:?}"
    );
    assert!(store.list("virtualservices.networking.istio.io").is_empty());
    put(&store, secret("ns-ada", "s3-tls", &["s3.a.com"], 2027));
    let said = migrate(&store, &clock, &MINIO).await;
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(
        said.out
            .contains("warning: the certificate has not the names console.s3.a.com"),
        "{}",
        said.out
    );
}
