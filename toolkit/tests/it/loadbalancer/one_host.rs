//! A host for a port in clear and one of TLS that the pods end themselves.

use super::{MINIO, balancer, get, minio, with_gateway};
use crate::kinds::put;
use crate::preflight::healthy::ingress;
use crate::support::migrate;
use gradual_rollout_toolkit::trouble::{End, Trouble};
use serde_json::json;

#[tokio::test]
async fn what_is_in_clear_and_what_the_pods_end_themselves_have_one_host_and_neither_is_told_of_the_other() {
    let (store, clock) = with_gateway();
    let ports = json!([{"name": "http", "port": 80}, {"name": "https", "port": 443}, {"name": "http-admin", "port": 8081}]);
    put(&store, balancer("web", ports));
    let words = [
        "-n",
        "ns-ada",
        "loadbalancer",
        "migrate",
        "web",
        "--domain",
        "web.a.com",
    ];
    let said = migrate(&store, &clock, &words).await;
    println!("{}{}", said.out, said.err);
    assert_eq!(said.end.unwrap(), End::Done);
    let hosts = |name: &str| get(&store, "virtualservices", name)["spec"]["hosts"].clone();
    assert_eq!(hosts("lb-web-80"), json!(["web.a.com"]));
    assert_eq!(
        hosts("lb-web-443"),
        json!(["web.a.com"]),
        "the pods' certificate is for it"
    );
    assert_eq!(hosts("lb-web-8081"), json!(["http-admin.web.a.com"]));
    let clear = said
        .out
        .lines()
        .find(|line| line.contains("served in clear"))
        .unwrap();
    assert!(
        clear.contains("web.a.com (port 80)") && !clear.contains("443"),
        "{clear}"
    );
    let validated = migrate(&store, &clock, &["validate"]).await;
    assert!(!validated.err.contains("HOST-TWICE"), "{}", validated.err);
    // Said outright it is the same.
    put(
        &store,
        balancer(
            "own",
            json!([{"name": "http", "port": 80}, {"name": "https", "port": 443}]),
        ),
    );
    let own = [
        "-n",
        "ns-ada",
        "loadbalancer",
        "migrate",
        "own",
        "--host",
        "80=own.a.com",
        "--host",
        "443=own.a.com",
    ];
    assert_eq!(migrate(&store, &clock, &own).await.end.unwrap(), End::Done);
    // Two of one kind, and TLS that the gateway ends for one of them, are not told apart.
    let certificate = ["--certificate", "ns-ada/s3-tls"];
    let said = migrate(&store, &clock, &[&own[..], &certificate].concat()).await;
    assert!(
        matches!(said.end, Err(Trouble::Usage(why)) if why.contains("ports 80 and 443") && why.contains("ends TLS"))
    );
    let said = migrate(
        &store,
        &clock,
        &[&words[..], &["--host", "8081=web.a.com"]].concat(),
    )
    .await;
    assert!(matches!(said.end, Err(Trouble::Usage(why)) if why.contains("ports 80 and 8081")));
}

#[tokio::test]
async fn a_host_that_another_namespace_has_is_refused_before_anything_is_written() {
    let theirs = [
        ingress("ns-bob", "shop", "s3.a.com", json!({}), "shop"),
        json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": {"name": "shop", "namespace": "ns-bob"},
            "spec": {"hosts": ["console.s3.a.com"], "gateways": ["istio-system/edge"]}}),
        json!({"apiVersion": "networking.istio.io/v1", "kind": "Gateway",
            "metadata": {"name": "tenant-bob", "namespace": "ns-bob", "labels": {"rollout.sealos.io/tenant": "bob"}},
            "spec": {"selector": {"istio": "other"}, "servers": [
                {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["ns-bob/s3.a.com"]}]}}),
    ];
    for object in theirs {
        let (store, clock) = with_gateway();
        put(&store, minio());
        put(&store, object);
        let version = store.version();
        let said = migrate(&store, &clock, &MINIO).await;
        println!("{said:?}");
        assert!(
            matches!(&said.end, Err(Trouble::Refused(why)) if why.contains("ns-bob/") && why.contains("s3.a.com")),
            "{:?}",
            said.end
        );
        assert_eq!(store.version(), version);
    }
}
