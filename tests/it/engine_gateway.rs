//! The engine over a route of the Gateway API, in virtual time: weights in an `HTTPRoute`, and what its gateways say.

use crate::support::world::{NS, World, component, percent, rollout, virtual_service};
use gradual_rollout::rollout::arrival::Arrival;
use gradual_rollout::rollout::reason::{Reason, State};
use gradual_rollout::sandbox::apiserver::accept_routes;
use serde_json::{Value, json};
use tokio::task::JoinSet;

const ROUTES: &str = "httproutes.gateway.networking.k8s.io";

/// Weights as people leave them: control without any, so 1, and a canary at 0.
fn route(name: &str) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": name, "namespace": NS, "labels": {"kept": "yes"}, "annotations": {"example.com/kept": "a \"note\""}},
        "spec": {
            "parentRefs": [{"name": "public", "namespace": "infra", "sectionName": "https"}],
            "hostnames": [format!("{name}.example.com")],
            "rules": [
                {"name": "main", "timeouts": {"request": "7s"},
                    "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x-kept", "value": "yes"}]}}],
                    "backendRefs": [
                    {"name": format!("{name}-v1"), "port": 80}, {"name": format!("{name}-v2"), "port": 80, "weight": 0}]},
                {"name": "fallback", "backendRefs": [{"name": "maintenance", "port": 80}]},
            ],
        },
    })
}

/// A rollout of one component behind an `HTTPRoute`.
fn shop() -> Value {
    let mut object = rollout("demo", &["shop"]);
    let backend = |version: &str| json!({"name": format!("shop-{version}"), "port": 80});
    object["spec"]["components"][0]["routers"] = json!([{"gatewayApi": {
        "kind": "HTTPRoute", "name": "shop", "rules": ["main"], "canary": backend("v2"), "control": backend("v1"),
    }}]);
    object
}

/// A world with that rollout and a daemon; its gateway's controller is not there yet.
fn world() -> World {
    let mut world = World::new();
    world.store.put(route("shop")).unwrap();
    world.store.put(shop()).unwrap();
    world.start("daemon-1");
    world
}

fn gateway(world: &World) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(accept_routes(world.store.clone()));
    tasks
}

fn stored(world: &World) -> Value {
    (*world.store.get(ROUTES, NS, "shop").unwrap()).clone()
}

/// The canary's weight and the pair's sum.
fn weights(world: &World) -> (u64, u64) {
    let route = stored(world);
    let weight = |n: usize| {
        route["spec"]["rules"][0]["backendRefs"][n]["weight"]
            .as_u64()
            .unwrap()
    };
    (weight(1), weight(0) + weight(1))
}

fn events(world: &World, reason: &str) -> usize {
    let all = world.store.list("events");
    all.iter().filter(|event| event["reason"] == reason).count()
}

/// Has the route's gateway say so, of its newest generation.
fn say(world: &World, accepted: &str, resolved: &str) {
    let route = stored(world);
    let generation = &route["metadata"]["generation"];
    let condition = |kind: &str, status: &str| {
        json!({"type": kind, "status": status, "reason": if status == "True" { kind } else { "NotAllowed" },
            "message": "says the gateway", "observedGeneration": generation, "lastTransitionTime": "2026-03-02T02:00:00Z"})
    };
    let parents = json!([{"parentRef": route["spec"]["parentRefs"][0], "controllerName": "example.com/gateway",
        "conditions": [condition("Accepted", accepted), condition("ResolvedRefs", resolved)]}]);
    world
        .store
        .put_status(ROUTES, NS, "shop", json!({"parents": parents}))
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_http_route_walks_its_plan_and_nothing_else_of_it_changes() {
    let world = world();
    let _gateway = gateway(&world);
    let before = stored(&world);
    let mut seen = Vec::new();
    for weight in [5, 25, 50, 75, 100] {
        world
            .until("the next weight", |w| {
                let (canary, sum) = weights(w);
                canary * 100 == weight * sum
            })
            .await;
        seen.push(weights(&world).1);
    }
    // 1 and 0: multiplied as little as each weight needs, and never back and forth.
    assert_eq!(seen, [100, 100, 100, 100, 100]);
    world
        .until("completed", |w| w.component("shop").state == State::Completed)
        .await;
    let c = world.component("shop");
    assert_eq!(c.weight.written, percent(100));
    assert_eq!(c.gateways, None);
    assert_eq!(c.measured.unwrap().verdict, Arrival::Arriving);
    let rest = |mut route: Value| {
        for n in 0..2 {
            route["spec"]["rules"][0]["backendRefs"][n]["weight"] = Value::Null;
        }
        let mut annotations = route["metadata"]["annotations"].clone();
        let all = annotations.as_object_mut().unwrap();
        all.retain(|key, _| !key.starts_with("rollout.sealos.io/"));
        (
            route["spec"].clone(),
            route["metadata"]["labels"].clone(),
            annotations,
        )
    };
    assert!(before["metadata"]["annotations"]["example.com/kept"].is_string());
    assert!(
        before["spec"]["rules"][0]["filters"].is_array()
            && before["spec"]["rules"][0]["timeouts"].is_object()
    );
    assert_eq!(rest(stored(&world)), rest(before), "what is not ours stays");
}

#[tokio::test(start_paused = true)]
async fn what_others_change_of_an_http_route_under_way_is_no_drift_and_stays() {
    let world = world();
    let _gateway = gateway(&world);
    world.until("25%", |w| weights(w) == (25, 100)).await;
    world.pass(5).await;
    let mut theirs = stored(&world);
    theirs["metadata"]["labels"]["team"] = json!("edge");
    theirs["metadata"]["annotations"]["example.com/note"] = json!("theirs");
    theirs["spec"]["hostnames"] = json!(["shop.example.com", "shop.example.org"]);
    theirs["spec"]["rules"][0]["timeouts"]["request"] = json!("9s");
    theirs["spec"]["rules"][0]["filters"][0]["requestHeaderModifier"]["remove"] = json!(["x-old"]);
    theirs["spec"]["rules"][1]["matches"] = json!([{"path": {"type": "PathPrefix", "value": "/old"}}]);
    world.store.put(theirs).unwrap();
    let foreign = |w: &World| {
        let mut route = stored(w);
        for n in 0..2 {
            route["spec"]["rules"][0]["backendRefs"][n]["weight"] = Value::Null;
        }
        let metadata = &mut route["metadata"];
        let annotations = metadata["annotations"].as_object_mut().unwrap();
        annotations.retain(|key, _| !key.starts_with("rollout.sealos.io/"));
        (
            route["spec"].clone(),
            route["metadata"]["labels"].clone(),
            route["metadata"]["annotations"].clone(),
        )
    };
    let left = foreign(&world);
    world.pass(30).await;
    let shop = world.component("shop");
    assert_eq!((weights(&world).0, shop.state), (25, State::Walking));
    assert!(shop.drifts.is_empty(), "{:?}", shop.drifts);
    world.until("50%", |w| weights(w) == (50, 100)).await;
    assert_eq!(foreign(&world), left);
    world.traffic.fail("shop");
    world.until("0%", |w| weights(w) == (0, 100)).await;
    assert_eq!(foreign(&world), left);
}

#[tokio::test(start_paused = true)]
async fn a_route_that_is_not_accepted_does_not_rise_and_is_put_back_all_the_same() {
    let world = world();
    world.pass(600).await;
    let c = world.component("shop");
    assert_eq!((c.reason, weights(&world).0), (Reason::RouteNotAccepted, 0));
    assert!(
        c.message
            .contains("httproute sealos-system/shop is not accepted by gateway infra/public section https"),
        "{}",
        c.message
    );
    assert_eq!(c.gateways.unwrap(), c.message.split(": a raise").next().unwrap());
    assert_eq!(events(&world, "RouteNotAccepted"), 1);
    say(&world, "True", "True");
    world.until("5%", |w| weights(w) == (5, 100)).await;
    assert_eq!(events(&world, "RouteAccepted"), 1);
    // The gateway has not looked at the new weights: nothing rises, and nothing is wrong.
    world.pass(1200).await;
    let c = world.component("shop");
    assert_eq!((c.reason, weights(&world).0), (Reason::RouterSettling, 5));
    assert!(
        c.message.contains("has not taken up its newest generation"),
        "{}",
        c.message
    );
    say(&world, "True", "True");
    world.until("25%", |w| weights(w) == (25, 100)).await;
    say(&world, "True", "False");
    world.pass(600).await;
    assert_eq!(world.component("shop").reason, Reason::RouteNotAccepted);
    world.traffic.fail("shop");
    let failed = world.clock.now();
    world.until("shop at 0", |w| weights(w) == (0, 100)).await;
    assert!(world.clock.now().duration_since(failed).as_secs() <= 31);
    assert_eq!(world.component("shop").reason, Reason::Breach);
}

#[tokio::test(start_paused = true)]
async fn a_foreign_raise_of_an_http_route_is_put_back_and_a_missing_rule_is_named() {
    let world = world();
    let _gateway = gateway(&world);
    world.until("25%", |w| weights(w) == (25, 100)).await;
    let mut edited = stored(&world);
    edited["spec"]["rules"][0]["backendRefs"][0]["weight"] = 10.into();
    edited["spec"]["rules"][0]["backendRefs"][1]["weight"] = 90.into();
    world.store.put(edited).unwrap();
    world.until("put back", |w| weights(w) == (25, 100)).await;
    let mut edited = stored(&world);
    edited["spec"]["rules"][0]["name"] = "other".into();
    world.store.put(edited).unwrap();
    world
        .until("the rule is missed", |w| {
            w.component("shop").reason == Reason::RouterUnreadable
        })
        .await;
    let message = world.component("shop").message;
    assert!(
        message.contains("httproute sealos-system/shop: spec.rules has no route named \"main\""),
        "{message}"
    );
    assert_eq!(weights(&world), (25, 100), "nothing is written");
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_is_not_served_is_named_with_what_to_install_and_the_others_go_on() {
    let world = world();
    world.store.put(virtual_service("cart")).unwrap();
    let mut object = world.object();
    let all = object["spec"]["components"].as_array_mut().unwrap();
    all.push(component("cart"));
    world.store.put(object).unwrap();
    world
        .store
        .delete(
            "customresourcedefinitions.apiextensions.k8s.io",
            "",
            "httproutes.gateway.networking.k8s.io",
        )
        .unwrap();
    let _gateway = gateway(&world);
    world
        .until("it says so", |w| {
            let c = w.component("shop");
            c.reason == Reason::RouterUnreadable
                && c.message
                    .contains("kubectl get crd httproutes.gateway.networking.k8s.io")
        })
        .await;
    world
        .until("cart goes on", |w| w.component("cart").state == State::Completed)
        .await;
    let shop = world.component("shop");
    assert_eq!(
        (shop.weight.written, shop.reason),
        (percent(0), Reason::RouterUnreadable)
    );
}

#[tokio::test(start_paused = true)]
async fn a_rule_behind_another_with_the_same_matches_is_not_raised_and_a_rollback_behind_one_is_no_success() {
    let world = world();
    let _gateway = gateway(&world);
    world.until("5%", |w| weights(w).0 == 5).await;
    let mut route = stored(&world);
    let rules = route["spec"]["rules"].as_array_mut().unwrap();
    rules.insert(
        0,
        json!({"name": "all", "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
        "backendRefs": [{"name": "shop-v2", "port": 80}]}),
    );
    world.store.put(route).unwrap();
    world
        .until("told", |w| w.component("shop").reason == Reason::Ineligible)
        .await;
    let message = world.component("shop").message;
    assert!(
        message.contains(
            "rule \"all\" stands before ours, takes all of its requests, and gives the canary 100%"
        ),
        "{message}"
    );
    world.say("rollback", json!({"components": ["shop"], "who": "ada"}));
    world
        .until("told", |w| w.component("shop").left.is_some_and(|left| left.all))
        .await;
    let left = world.component("shop").left.unwrap().message;
    assert!(left.contains("rule \"all\" stands before ours"), "{left}");
    let mut route = stored(&world);
    route["spec"]["rules"].as_array_mut().unwrap().remove(0);
    world.store.put(route).unwrap();
    world.until("gone", |w| w.component("shop").left.is_none()).await;
    assert_eq!(weights(&world).0, 0);
}
