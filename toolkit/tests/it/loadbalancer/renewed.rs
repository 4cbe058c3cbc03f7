//! What a Service is when it gives its address up is what it gets back, and a host that it has no more is told.

use super::{MINIO, RELEASE, minio, with_gateway};
use crate::kinds::put;
use crate::support::migrate;
use gradual_rollout_toolkit::trouble::{End, Trouble};
use serde_json::{Value, json};

const NAMES: &str = "UNDO-NAME-UNKNOWN,UNDO-NAME-LEADS-TO-GATEWAY,UNDO-NO-ADDRESS";

#[tokio::test(start_paused = true)]
async fn a_service_that_lets_in_fewer_since_the_first_run_comes_back_with_that() {
    for before in [None, Some("10.0.0.0/8")] {
        let (store, clock) = with_gateway();
        let ranges = |range: Option<&str>| {
            let mut service = minio();
            if let Some(range) = range {
                service["spec"]["loadBalancerSourceRanges"] = json!([range]);
            }
            put(&store, service);
        };
        ranges(before);
        assert_eq!(migrate(&store, &clock, &MINIO).await.end.unwrap(), End::Done);
        ranges(Some("172.16.0.0/12"));
        let release = [&MINIO[..], &RELEASE].concat();
        let said = migrate(&store, &clock, &release).await;
        println!("{}{}", said.out, said.err);
        assert_eq!(said.end.unwrap(), End::Done);
        let undo = [
            "-n",
            "ns-ada",
            "loadbalancer",
            "undo",
            "minio",
            "--timeout",
            "1",
            "--accept",
            NAMES,
        ];
        let said = migrate(&store, &clock, &undo).await;
        println!("{}{}", said.out, said.err);
        let service = store.get("services", "ns-ada", "minio").unwrap();
        assert_eq!(service["spec"]["type"], "LoadBalancer");
        assert_eq!(
            service["spec"]["loadBalancerSourceRanges"],
            json!(["172.16.0.0/12"]),
            "{before:?}"
        );
        assert_eq!(service["spec"]["loadBalancerIP"], "192.0.2.7");
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_it_has_no_more_is_refused_before_its_guard_is_gone() {
    let (store, clock) = with_gateway();
    let mut service = minio();
    service["spec"]["loadBalancerSourceRanges"] = json!(["10.0.0.0/8"]);
    put(&store, service);
    assert_eq!(migrate(&store, &clock, &MINIO).await.end.unwrap(), End::Done);
    let version = store.version();
    let other: Vec<&str> = MINIO
        .iter()
        .map(|word| if *word == "s3.a.com" { "other.a.com" } else { word })
        .collect();
    let said = migrate(&store, &clock, &other).await;
    let Err(Trouble::Refused(why)) = said.end else {
        panic!("{:?}", said.end);
    };
    assert!(
        why.contains("s3.a.com") && why.contains("loadbalancer undo"),
        "{why}"
    );
    assert_eq!(store.version(), version);
}

#[tokio::test(start_paused = true)]
async fn what_was_written_for_a_service_that_is_gone_can_be_taken_away() {
    let (store, clock) = with_gateway();
    put(&store, minio());
    assert_eq!(migrate(&store, &clock, &MINIO).await.end.unwrap(), End::Done);
    store.delete("services", "ns-ada", "minio").unwrap();
    let undo = ["-n", "ns-ada", "loadbalancer", "undo", "minio", "--accept", NAMES];
    let said = migrate(&store, &clock, &undo).await;
    println!("{}{}", said.out, said.err);
    assert_eq!(said.end.unwrap(), End::Done);
    let left: Vec<Value> = [
        "gateways.networking.istio.io",
        "virtualservices.networking.istio.io",
    ]
    .iter()
    .flat_map(|kind| store.list(kind))
    .map(|object| Value::clone(&object))
    .collect();
    assert_eq!(left, Vec::<Value>::new());
}

#[tokio::test]
async fn a_guard_that_is_gone_or_edited_and_ranges_that_were_changed_are_told_until_the_path_is_written_anew()
{
    const AP: &str = "authorizationpolicies.security.istio.io";
    let (store, clock) = with_gateway();
    crate::standing::gateway_pod(&store);
    let ranged = |ranges: Value| {
        let mut service = minio();
        service["spec"]["loadBalancerSourceRanges"] = ranges;
        service
    };
    put(&store, ranged(json!(["10.0.0.0/8"])));
    let again = || migrate(&store, &clock, &MINIO);
    let validate = async |code: &str| {
        let said = migrate(&store, &clock, &["validate"]).await;
        println!("{}{}", said.err, said.out);
        assert!(
            said.err.contains(&format!("blocker  {code}")),
            "{code}: {}",
            said.err
        );
    };
    let well = async || {
        let said = migrate(&store, &clock, &["validate"]).await;
        assert_eq!((said.end.unwrap(), said.err), (End::Done, String::new()));
    };
    again().await.end.unwrap();
    well().await;
    let guard = Value::clone(&store.list(AP)[0]);
    let name = guard["metadata"]["name"].as_str().unwrap().to_owned();
    let name = name.as_str();
    store.delete(AP, "istio-system", name).unwrap();
    validate("STATE-GUARD-MISSING").await;
    validate("STATE-RANGES-CHANGED").await;
    again().await.end.unwrap();
    well().await;
    let guard = Value::clone(&store.list(AP)[0]);
    let mut wider = guard;
    wider["spec"]["rules"][0]["to"][0]["operation"]["hosts"] = json!(["nobody.a.com"]);
    store.put(wider).unwrap();
    validate("STATE-GUARD-EDITED").await;
    store.delete(AP, "istio-system", name).unwrap();
    again().await.end.unwrap();
    well().await;
    for ranges in [json!(["10.1.0.0/16"]), json!(["10.0.0.0/8", "172.16.0.0/12"])] {
        put(&store, ranged(ranges));
        validate("STATE-RANGES-CHANGED").await;
        again().await.end.unwrap();
        well().await;
    }
    // Whoever goes back takes nothing of it away that is not its own.
    let said = migrate(&store, &clock, &["rollback", "--all"]).await;
    assert_eq!((said.end.unwrap(), store.list(AP).len()), (End::Done, 1));
}
