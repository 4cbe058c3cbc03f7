//! A lowering by command, without a daemon, beside routes that it does not reach.

use crate::cli_cluster::{Cluster, NAMESPACE};
use serde_json::{Value, json};

const ROLLOUTS: &str = "gradualrollouts.rollout.sealos.io";
const SERVICES: &str = "virtualservices.networking.istio.io";
const EMERGENCY: [&str; 6] = ["emergency-rollback", "--reason", "x", "--force", "--verify", "0s"];
const ROLLBACK: [&str; 4] = ["rollback", "shop", "--no-confirm", "--reason=x"];

fn to(subset: &str, weight: u64) -> Value {
    json!({"destination": {"host": "shop", "subset": subset}, "weight": weight})
}

async fn with(routes: Value) -> Cluster {
    let cluster = Cluster::start().await;
    let mut service = (*cluster.store.get(SERVICES, NAMESPACE, "shop").unwrap()).clone();
    service["spec"]["http"] = routes;
    cluster.store.put(service).unwrap();
    cluster
}

fn canary(cluster: &Cluster, pointer: &str) -> Value {
    let service = cluster.store.get(SERVICES, NAMESPACE, "shop").unwrap();
    service.pointer(pointer).cloned().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_in_front_that_takes_all_to_the_canary_is_no_success() {
    for command in [&EMERGENCY[..], &ROLLBACK[..]] {
        let all = json!({"name": "all", "route": [to("v2", 100)]});
        let cluster = with(json!([all, {"route": [to("v1", 60), to("v2", 40)]}])).await;
        let (code, out, err) = cluster.run(command).await;
        assert_eq!(code, 3, "{out}{err}");
        assert!(out.contains("route \"all\" stands before ours"), "{out}{err}");
        assert_eq!(
            canary(&cluster, "/spec/http/1/route/1/weight"),
            0,
            "ours is lowered all the same"
        );
        if command.len() == EMERGENCY.len() {
            assert!(out.contains("NOTHING WAS PUT BACK"), "{out}{err}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_the_named_route_in_front_that_takes_all_to_the_canary_is_no_success_either() {
    for command in [&EMERGENCY[..], &ROLLBACK[..]] {
        let copy = json!({"name": "copy", "route": [to("v1", 0), to("v2", 100)]});
        let cluster = with(json!([copy, {"name": "p", "route": [to("v1", 60), to("v2", 40)]}])).await;
        let mut rollout = (*cluster.store.get(ROLLOUTS, NAMESPACE, "shop").unwrap()).clone();
        let routers = &mut rollout["spec"]["components"][0]["routers"];
        routers[0]["istio"]["virtualServices"][0]["routes"] = json!(["p"]);
        cluster.store.put(rollout).unwrap();
        let (code, out, err) = cluster.run(command).await;
        assert_eq!(code, 3, "{out}{err}");
        assert!(
            out.contains("route \"copy\" stands before ours") && out.contains("100%"),
            "{out}{err}"
        );
        assert_eq!(canary(&cluster, "/spec/http/1/route/1/weight"), 0, "{out}{err}");
        let theirs = canary(&cluster, "/spec/http/0/route/1/weight");
        assert_eq!(theirs, 100, "what is not named is not written");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_that_takes_some_to_the_canary_is_told_and_the_rest_is_back() {
    let beta =
        json!({"name": "beta", "match": [{"headers": {"x": {"exact": "1"}}}], "route": [to("v2", 100)]});
    let cluster = with(json!([beta, {"route": [to("v1", 60), to("v2", 40)]}])).await;
    let (code, out, err) = cluster.run(&ROLLBACK).await;
    assert_eq!(code, 0, "{out}{err}");
    assert!(
        out.contains("route \"beta\" still gives the canary 100%"),
        "{out}{err}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_without_control_is_not_lowered_and_the_remedy_that_is_named_is_one() {
    let cluster = with(json!([{"name": "p", "route": [to("v2", 100)]}])).await;
    let (code, out, err) = cluster.run(&EMERGENCY).await;
    assert_eq!(code, 3, "{out}{err}");
    let remedy = "add it with the canary's weight, and give the canary 0";
    assert!(
        out.contains("lacks the control destination") && out.contains(remedy),
        "{out}{err}"
    );
    let cluster = with(
        json!([{"name": "p", "route": [{"destination": {"host": "shop", "subset": "v2"}}, to("v1", 0)]}]),
    )
    .await;
    let (code, out, err) = cluster.run(&EMERGENCY).await;
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(
        canary(&cluster, "/spec/http/0/route/1/weight"),
        100,
        "a route of nothing is one that Istio refuses"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_testers_go_from_an_object_without_the_pair_whether_that_puts_everything_back_or_not() {
    let testers = json!({"name": "gradual-rollout-shop-testers-0", "route": [to("v2", 100)]});
    for command in [&EMERGENCY[..], &ROLLBACK[..]] {
        for (arm, expected) in [("v1", 0), ("v2", 3)] {
            let cluster = with(json!([testers, {"name": "p", "route": [to(arm, 100)]}])).await;
            let (code, out, err) = cluster.run(command).await;
            assert_eq!(code, expected, "{arm} {command:?}: {out}{err}");
            let first = canary(&cluster, "/spec/http/0/name");
            assert_eq!(first, "p", "{arm} {command:?}: {out}{err}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pair_that_somebody_took_away_is_back_whatever_else_leads_to_the_canary() {
    for command in [&EMERGENCY[..], &ROLLBACK[..]] {
        let testers =
            json!({"name": "t", "match": [{"headers": {"x": {"exact": "1"}}}], "route": [to("v2", 100)]});
        let cluster = with(json!([testers, {"name": "p", "route": [to("v1", 100)]}])).await;
        let (code, out, err) = cluster.run(command).await;
        assert_eq!(code, 0, "{out}{err}");
        assert!(out.contains("already at 0%"), "{out}{err}");
        assert!(
            out.contains("route \"t\" still gives the canary 100%"),
            "{out}{err}"
        );
    }
}
