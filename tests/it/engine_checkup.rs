//! The doctor as the daemon runs it: what it finds is in a condition, goes when it is mended, and keeps nobody waiting.

use crate::support::world::{NS, World, rollout, virtual_service};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use gradual_rollout::cluster::connect::Clients;
use gradual_rollout::engine::DoctorSettings;
use gradual_rollout::rollout::status::Condition;
use serde_json::json;
use std::collections::BTreeSet;

fn doctor() -> DoctorSettings {
    DoctorSettings {
        namespace: NS.to_owned(),
        lease: "gradual-rollout".to_owned(),
        shards: 1,
        has_prometheus: true,
    }
}

/// A world with a rollout of one component whose object Flux applies, and the doctor at work.
fn fluxed(paused: bool) -> World {
    let mut world = World::new();
    world.doctor = Some(doctor());
    let mut shop = virtual_service("shop");
    shop["metadata"]["labels"] = json!({"kustomize.toolkit.fluxcd.io/name": "apps"});
    world.store.put(shop).unwrap();
    let mut demo = rollout("demo", &["shop"]);
    demo["spec"]["paused"] = json!(paused);
    world.store.put(demo).unwrap();
    world
}

fn found(world: &World) -> Option<Condition> {
    world.status().condition("Findings").cloned()
}

fn says(world: &World, status: &str, reason: &str) -> bool {
    found(world).is_some_and(|c| c.status == status && c.reason == reason)
}

/// How often the resource is written in 66 minutes.
async fn writes(world: &World) -> usize {
    let mut versions = BTreeSet::new();
    for _ in 0..66 * 60 {
        versions.insert(world.object()["metadata"]["resourceVersion"].to_string());
        world.pass(1).await;
    }
    versions.len()
}

#[tokio::test(start_paused = true)]
async fn what_is_found_is_told_once_and_goes_when_it_is_mended() {
    let mut world = fluxed(true);
    world.start("daemon-1");
    world.until("Flux is told", |w| says(w, "True", "D503")).await;
    let condition = found(&world).unwrap();
    let wanted = format!("D503 virtualservice {NS}/shop: Flux applies it");
    assert!(condition.message.starts_with(&wanted), "{}", condition.message);
    // Looked at six times more, and the same found: nothing is written for it.
    world.pass(120).await;
    let with = writes(&world).await;
    let mut alone = fluxed(true);
    alone.doctor = None;
    alone.start("daemon-1");
    alone.pass(120).await;
    let without = writes(&alone).await;
    assert!(found(&alone).is_none() && with <= without, "{with} and {without}");

    let mut shop = world.vs("shop");
    shop["metadata"]["labels"] = json!({});
    world.store.put(shop).unwrap();
    world.pass(11 * 60 + 60).await;
    assert!(says(&world, "False", "NothingFound"), "{:?}", found(&world));
    world
        .until("an Event told it", |w| {
            let events = w.store.list("events");
            events.iter().any(|event| event["reason"] == "Findings")
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn another_spec_is_looked_at_soon_and_a_right_that_lacks_is_the_daemons_own() {
    let mut world = fluxed(true);
    world.store.set_access(|spec| {
        let asked = |field: &str| spec["resourceAttributes"][field].as_str().unwrap_or_default();
        !(asked("resource") == "virtualservices" && asked("verb") == "patch")
    });
    world.start("daemon-1");
    world
        .until("the right is missed", |w| says(w, "True", "D201"))
        .await;
    let message = found(&world).unwrap().message;
    assert!(
        message.contains("may not patch virtualservices.networking.istio.io"),
        "{message}"
    );
    let mut shop = world.vs("shop");
    shop["metadata"]["labels"] = json!({});
    world.store.put(shop).unwrap();
    let mut demo = world.object();
    demo["spec"]["components"][0]["routers"][0]["istio"]["canary"]["subset"] = json!("v9");
    world.store.put(demo).unwrap();
    world.pass(8).await;
    let condition = found(&world).unwrap();
    assert_eq!(condition.observed_generation, Some(2), "{condition:?}");
    assert!(!condition.message.contains("D503"), "{}", condition.message);
    assert!(condition.message.contains("D502"), "{}", condition.message);
}

#[tokio::test(start_paused = true)]
async fn a_doctor_that_gets_no_answer_delays_no_step_and_says_so() {
    // Whoever asks for rights never hears of them.
    let hang = async |request: Request, next: Next| {
        if request.uri().path().ends_with("/selfsubjectaccessreviews") {
            std::future::pending::<()>().await;
        }
        next.run(request).await
    };
    let mut stepped = Vec::new();
    for hangs in [false, true] {
        let mut world = fluxed(false);
        let router = world.store.router();
        let router = if hangs {
            router.layer(from_fn(hang))
        } else {
            router
        };
        world.start_over("daemon-1", Clients::from_service(router));
        world.until("the first step", |w| w.weight("shop") > 0).await;
        stepped.push(world.clock.now());
        world.until("the doctor looked", |w| found(w).is_some()).await;
        assert_eq!(says(&world, "True", "D003"), hangs, "{:?}", found(&world));
        world.kill().await;
    }
    assert_eq!(stepped[0], stepped[1]);
}
