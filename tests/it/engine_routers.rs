//! A component with several routers: the edge, and a controller further in.

use crate::support::world::{NS, World, component, rollout, virtual_service};
use gradual_rollout::rollout::reason::{Reason, State};
use gradual_rollout::rollout::weight::Weight;
use gradual_rollout::sandbox::apiserver::{Action, Failure, Fault};
use serde_json::{Value, json};
use std::time::Duration;

const ROUTES: &str = "virtualservices.networking.istio.io";

/// The edge is a route, and a controller is told by `ConfigMap` and environment, or restarted.
fn world(restart: bool) -> World {
    let mut world = World::new();
    world.store.put(virtual_service("shop")).unwrap();
    let metadata = |name: &str| json!({"name": name, "namespace": NS});
    world
        .store
        .put(
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata("shop-config"),
            "data": {"networking_mode": "ingress", "istio_percentage": "0"}}),
        )
        .unwrap();
    let container = json!({"name": "controller", "image": "shop:1",
        "env": [{"name": "NETWORKING_MODE", "value": "ingress"}, {"name": "ISTIO_PERCENTAGE", "value": "0"}]});
    world
        .store
        .put(
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata("shop-controller"),
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "shop"}}, "template": {
                "metadata": {"labels": {"app": "shop"}}, "spec": {"containers": [container]}}}}),
        )
        .unwrap();
    let mut object = rollout("demo", &["shop"]);
    let mut with_switch = component("shop");
    let mut switch = json!({"deployment": "shop-controller", "configMap": "shop-config"});
    if restart {
        switch["restart"] = json!(true);
    }
    with_switch["routers"]
        .as_array_mut()
        .unwrap()
        .push(json!({"controllerSwitch": switch}));
    object["spec"]["components"] = json!([with_switch]);
    world.store.put(object).unwrap();
    world.start("daemon-1");
    world
}

fn object(world: &World, resource: &str, name: &str) -> Value {
    (*world.store.get(resource, NS, name).unwrap()).clone()
}

fn config(world: &World) -> String {
    let map = object(world, "configmaps", "shop-config");
    map["data"]["istio_percentage"].as_str().unwrap().to_owned()
}

fn pods(world: &World) -> String {
    let env = object(world, "deployments.apps", "shop-controller");
    let env = env["spec"]["template"]["spec"]["containers"][0]["env"].clone();
    env[1]["value"].as_str().unwrap().to_owned()
}

/// Everything that there is, in the order from the edge.
fn all(world: &World) -> [String; 3] {
    [world.weight("shop").to_string(), config(world), pods(world)]
}

#[tokio::test(start_paused = true)]
async fn a_raise_goes_in_first_and_the_edge_waits_for_the_pods() {
    let world = world(false);
    world.until("the controller is told", |w| config(w) == "5").await;
    world.pass(2).await;
    assert_eq!(all(&world), ["0", "5", "5"], "the pods have not rolled out yet");
    let routers = world.component("shop").routers;
    assert_eq!(routers.len(), 2);
    world
        .until("all of it", |w| {
            w.component("shop").weight.written.permille() == 50
        })
        .await;
    assert_eq!(all(&world), ["5", "5", "5"]);
    world.pass(70).await;
    let routers = world.component("shop").routers;
    let told: Vec<_> = routers
        .iter()
        .map(|r| (r.router.as_str(), r.observed.map(Weight::permille), r.settled))
        .collect();
    assert_eq!(
        told,
        [("istio", Some(50), true), ("controllerSwitch", Some(50), true)]
    );
}

#[tokio::test(start_paused = true)]
async fn wherever_a_raise_fails_what_it_had_raised_is_taken_back_and_later_it_succeeds() {
    for (resource, name) in [
        ("configmaps", "shop-config"),
        ("deployments.apps", "shop-controller"),
        (ROUTES, "shop"),
    ] {
        let world = world(false);
        world
            .until("5%", |w| w.component("shop").weight.written.permille() == 50)
            .await;
        // Only the raise is hit: the lowering that takes it back goes through.
        let refused = Fault::new(Action::Fail(Failure::internal("not now")))
            .resource(resource)
            .name(name)
            .verb("patch")
            .times(1);
        let raise = world.store.faults().inject(refused);
        let taken_back = |w: &World| {
            let history = &w.component("shop").history;
            history.iter().any(|h| h.reason == Reason::HalfRaised)
        };
        // Where the very first write fails there is nothing to take back: it is tried again.
        if resource != "configmaps" {
            world
                .until("refused and taken back", |w| {
                    taken_back(w) && w.component("shop").lowering.is_none()
                })
                .await;
            assert_eq!(
                all(&world),
                ["5", "5", "5"],
                "{resource}: the lower weight everywhere"
            );
        }
        world.store.faults().lift(raise);
        world
            .until("25%", |w| w.component("shop").weight.written.permille() == 250)
            .await;
        assert_eq!(all(&world), ["25", "25", "25"], "{resource}");
        assert_eq!(taken_back(&world), resource != "configmaps", "{resource}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rollback_starts_at_the_edge_and_a_dead_edge_keeps_the_others_up_for_a_moment_only() {
    let world = world(false);
    world
        .until("25%", |w| w.component("shop").weight.written.permille() == 250)
        .await;
    world.pass(60).await;
    let hang = Fault::new(Action::Hang)
        .resource(ROUTES)
        .name("shop")
        .verb("patch");
    let hanging = world.store.faults().inject(hang);
    world.say("rollback", json!({"components": ["shop"], "who": "ada"}));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(all(&world), ["25", "25", "25"], "the edge has the first turn");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(all(&world), ["25", "0", "0"]);
    world.store.faults().lift(hanging);
    world
        .until("back", |w| {
            w.component("shop").state == State::RolledBack && w.weight("shop") == 0
        })
        .await;
}

/// What the controller's pods were started for.
fn restarted(world: &World) -> String {
    let template = object(world, "deployments.apps", "shop-controller")["spec"]["template"].clone();
    let key = "/metadata/annotations/rollout.sealos.io~1restarted-for";
    let started = template.pointer(key).and_then(Value::as_str);
    started.unwrap_or("never").to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_rollback_starts_no_pods_before_the_config_map_that_they_read_is_written() {
    let world = world(true);
    world
        .until("5%", |w| w.component("shop").weight.written.permille() == 50)
        .await;
    let refused = Fault::new(Action::Fail(Failure::internal("not now")));
    let refused = refused.resource("configmaps").name("shop-config").verb("patch");
    let refused = world.store.faults().inject(refused);
    world.say("rollback", json!({"components": ["shop"], "who": "ada"}));
    world.until("the edge is back", |w| w.weight("shop") == 0).await;
    world.pass(30).await;
    assert_eq!(
        (config(&world), restarted(&world)),
        ("5".into(), "5%".into()),
        "started now they would go on with 5%, and nothing would start them again"
    );
    world.store.faults().lift(refused);
    world
        .until("back", |w| {
            w.component("shop").state == State::RolledBack && w.component("shop").lowering.is_none()
        })
        .await;
    assert_eq!((config(&world), restarted(&world)), ("0".into(), "0%".into()));
}

#[tokio::test(start_paused = true)]
async fn pods_that_read_the_config_map_at_their_start_are_restarted_after_it_changed() {
    let world = world(true);
    world.until("the map", |w| config(w) == "5").await;
    world
        .until("all of it", |w| {
            w.component("shop").weight.written.permille() == 50
        })
        .await;
    assert_eq!(
        (restarted(&world), pods(&world), world.weight("shop")),
        ("5%".into(), "0".into(), 5)
    );
    world.say("rollback", json!({"components": ["shop"], "who": "ada"}));
    world
        .until("back", |w| {
            w.component("shop").state == State::RolledBack && w.component("shop").lowering.is_none()
        })
        .await;
    assert_eq!(
        (restarted(&world), config(&world), world.weight("shop")),
        ("0%".into(), "0".into(), 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_weight_that_somebody_raised_is_put_back_within_one_event_and_a_lower_one_is_yielded_to_whatever_the_router()
 {
    for kind in ["route", "map", "environment"] {
        for (to, back) in [(40, true), (1, false)] {
            let world = world(false);
            world
                .until("5%", |w| w.component("shop").weight.written.permille() == 50)
                .await;
            world.pass(90).await;
            let mut edited = match kind {
                "route" => object(&world, ROUTES, "shop"),
                "map" => object(&world, "configmaps", "shop-config"),
                _ => object(&world, "deployments.apps", "shop-controller"),
            };
            match kind {
                "route" => {
                    edited["spec"]["http"][0]["route"][0]["weight"] = json!(100 - to);
                    edited["spec"]["http"][0]["route"][1]["weight"] = json!(to);
                }
                "map" => edited["data"]["istio_percentage"] = json!(to.to_string()),
                _ => {
                    edited["spec"]["template"]["spec"]["containers"][0]["env"][1]["value"] =
                        json!(to.to_string());
                }
            }
            world.store.put(edited).unwrap();
            // No look at the metrics, no timer: the watch event alone.
            tokio::time::sleep(Duration::from_millis(900)).await;
            let now = match kind {
                "route" => world.weight("shop").to_string(),
                "map" => config(&world),
                _ => pods(&world),
            };
            let state = world.component("shop").state;
            if back {
                assert_eq!(now, "5", "{kind} raised");
            } else {
                assert_eq!((now.as_str(), state), ("1", State::Drifted), "{kind} lowered");
            }
        }
    }
}

/// Two routes of one component, at 25%.
async fn twins() -> World {
    let mut world = World::new();
    for name in ["shop", "second"] {
        let mut vs = virtual_service("shop");
        vs["metadata"]["name"] = json!(name);
        world.store.put(vs).unwrap();
    }
    let mut object = rollout("demo", &["shop"]);
    object["spec"]["components"][0]["routers"][0]["istio"]["virtualServices"] =
        json!([{"name": "shop"}, {"name": "second"}]);
    object["spec"]["steps"] = json!([{"weight": "5%", "hold": "5m"}, {"weight": "25%", "hold": "30d"}]);
    world.store.put(object).unwrap();
    world.start("daemon-1");
    world.until("25% on both", |w| weights(w) == (25, 25)).await;
    world.pass(120).await;
    world
}

fn weights(world: &World) -> (u64, u64) {
    let of = |name| {
        let route = object(world, ROUTES, name);
        route["spec"]["http"][0]["route"][1]["weight"].as_u64().unwrap()
    };
    (of("shop"), of("second"))
}

fn weigh(world: &World, name: &str, canary: u64) {
    let mut route = object(world, ROUTES, name);
    let pair = &mut route["spec"]["http"][0]["route"];
    (pair[0]["weight"], pair[1]["weight"]) = (json!(100 - canary), json!(canary));
    world.store.put(route).unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_of_two_routes_that_somebody_lowers_is_told_once_and_writes_nothing_after() {
    let world = twins().await;
    weigh(&world, "second", 10);
    world
        .until("told", |w| w.component("shop").reason == Reason::Drifted)
        .await;
    let told = world.component("shop");
    let before = world.store.version();
    world.pass(600).await;
    // The Lease is renewed each two seconds or so, and the ledger is kept once a minute.
    let written = world.store.version() - before;
    assert!(written < 600, "{written} writes in ten minutes");
    let later = world.component("shop");
    assert_eq!((&later.history, &later.drifts), (&told.history, &told.drifts));
    assert_eq!(weights(&world), (25, 10));
    // A raise is put back all the same, and nothing is lifted for it.
    weigh(&world, "second", 100);
    world.until("put back", |w| weights(w) == (25, 25)).await;
    assert_eq!(world.component("shop").drifts.len(), 2);
    assert_ne!(world.component("shop").reason, Reason::GitOpsFight);
    world.say("resume", json!({"components": ["shop"], "who": "ada"}));
    world
        .until("on its plan", |w| w.component("shop").state == State::Walking)
        .await;
    assert_eq!(weights(&world), (25, 25));
}

#[tokio::test(start_paused = true)]
async fn with_one_of_two_routes_gone_a_raise_of_the_other_is_put_back_and_a_rollback_ends() {
    let world = twins().await;
    world.store.delete(ROUTES, NS, "second").unwrap();
    world.pass(60).await;
    let shop = |w: &World| {
        let route = object(w, ROUTES, "shop");
        route["spec"]["http"][0]["route"][1]["weight"].as_u64().unwrap()
    };
    weigh(&world, "shop", 80);
    world.until("put back", |w| shop(w) == 25).await;
    world.say(
        "rollback",
        json!({"components": ["shop"], "who": "ada", "reason": "login fails"}),
    );
    world
        .until("back", |w| w.component("shop").lowering.is_none() && shop(w) == 0)
        .await;
    let back = world.component("shop");
    assert_eq!(
        (back.state, back.weight.written),
        (State::RolledBack, Weight::ZERO)
    );
    assert!(back.message.contains("login fails"), "{}", back.message);
    world.pass(60).await;
    assert_eq!(world.status().condition("RolledBack").unwrap().status, "True");
}
