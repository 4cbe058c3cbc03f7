//! The one step that cannot be taken back: not while somebody may still come by the address.

use super::{balancer, minio, service, with_gateway};
use crate::kinds::put;
use crate::support::{Said, migrate};
use gradual_rollout_apiserver::Store;
use gradual_rollout_apiserver::clock::Clock;
use gradual_rollout_toolkit::trouble::{End, Trouble};
use serde_json::{Value, json};

const LEADS: &str = "RELEASE-NAME-LEADS-TO-BALANCER";
const UNKNOWN: &str = "RELEASE-NAME-UNKNOWN";

/// A load balancer at an address, whose path through the gateway was written.
async fn prepared(address: &[&str], hosts: [&str; 2], notes: Value) -> (Store, Clock, Vec<String>) {
    let (store, clock) = with_gateway();
    let mut service = minio();
    let addresses: Vec<Value> = address.iter().map(|ip| json!({"ip": ip})).collect();
    service["status"] = json!({"loadBalancer": {"ingress": addresses}});
    service["metadata"]["annotations"] = notes;
    put(&store, service);
    let words: Vec<String> = ["-n", "ns-ada", "loadbalancer", "migrate", "minio", "--host"]
        .iter()
        .map(ToString::to_string)
        .chain([
            format!("9000={}", hosts[0]),
            "--host".to_owned(),
            format!("9001={}", hosts[1]),
        ])
        .collect();
    assert_eq!(
        migrated(&store, &clock, &words, &[]).await.end.unwrap(),
        End::Done
    );
    (store, clock, words)
}

async fn migrated(store: &Store, clock: &Clock, words: &[String], more: &[&str]) -> Said {
    let words: Vec<&str> = words
        .iter()
        .map(String::as_str)
        .chain(more.iter().copied())
        .collect();
    let said = migrate(store, clock, &words).await;
    println!("{}{}{:?}", said.out, said.err, said.end);
    said
}

fn kind(store: &Store) -> Value {
    service(store)["spec"]["type"].clone()
}

#[tokio::test]
async fn an_address_that_a_name_leads_to_is_not_given_up_unless_that_is_accepted() {
    let (store, clock, words) = prepared(&["127.0.0.1", "::1"], ["localhost", "x.invalid"], json!({})).await;
    let version = store.version();
    for more in [
        &["--release-address"][..],
        &["--release-address", "--dry-run"],
        &["--release-address", "--accept", UNKNOWN],
        &["--release-address", "--accept", LEADS],
    ] {
        let said = migrated(&store, &clock, &words, more).await;
        assert_eq!(said.end.unwrap(), End::Refused);
        assert_eq!(said.err.contains(LEADS), !more.contains(&LEADS), "{}", said.err);
        assert_eq!(
            said.err.contains(UNKNOWN),
            !more.contains(&UNKNOWN),
            "{}",
            said.err
        );
        assert_eq!(store.version(), version, "nothing is written: {more:?}");
    }
    let both = format!("{LEADS},{UNKNOWN}");
    let said = migrated(&store, &clock, &words, &["--release-address", "--accept", &both]).await;
    assert_eq!(said.end.unwrap(), End::Done);
    assert_eq!(kind(&store), "NodePort");
}

#[tokio::test]
async fn an_address_that_no_name_leads_to_any_more_is_given_up_and_a_name_that_external_dns_keeps_is_one() {
    let (store, clock, words) = prepared(&["192.0.2.7"], ["localhost", "b.invalid"], json!({})).await;
    let said = migrated(&store, &clock, &words, &["--release-address"]).await;
    assert!(
        !said.err.contains("localhost") && said.err.contains("b.invalid"),
        "{}",
        said.err
    );
    let notes = json!({"external-dns.alpha.kubernetes.io/hostname": "localhost."});
    let (store, clock, words) = prepared(&["127.0.0.1", "::1"], ["a.invalid", "b.invalid"], notes).await;
    let said = migrated(
        &store,
        &clock,
        &words,
        &["--release-address", "--accept", UNKNOWN],
    )
    .await;
    assert_eq!(said.end.unwrap(), End::Refused);
    assert!(said.err.contains("localhost leads to"), "{}", said.err);
}

#[tokio::test]
async fn of_ports_without_a_host_nobody_knows_who_still_comes() {
    let (store, clock) = with_gateway();
    put(&store, balancer("pg", json!([{"name": "pg", "port": 5432}])));
    let words: Vec<String> = ["-n", "ns-ada", "loadbalancer", "migrate", "pg", "--tcp", "5432"]
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        migrated(&store, &clock, &words, &[]).await.end.unwrap(),
        End::Done
    );
    let said = migrated(&store, &clock, &words, &["--release-address"]).await;
    assert_eq!(said.end.unwrap(), End::Refused);
    assert!(
        said.err.contains(UNKNOWN) && said.err.contains("port 5432"),
        "{}",
        said.err
    );
    let json = migrate(
        &store,
        &clock,
        &[
            &["--json"][..],
            &words.iter().map(String::as_str).collect::<Vec<_>>(),
            &["--release-address"],
        ]
        .concat(),
    )
    .await;
    let told: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(
        (&told["released"], &told["findings"][0]["code"]),
        (&json!(false), &json!(UNKNOWN))
    );
    let typo = migrated(&store, &clock, &words, &["--release-address", "--accept", "ANY"]).await;
    assert!(matches!(typo.end, Err(Trouble::Usage(why)) if why.contains(LEADS)));
    let said = migrated(
        &store,
        &clock,
        &words,
        &["--release-address", "--accept", UNKNOWN],
    )
    .await;
    assert_eq!(said.end.unwrap(), End::Done);
}
