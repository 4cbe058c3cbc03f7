//! What a crowd of components costs, and how long it takes for all of them to go back.

use crate::support::world::{World, rollout, virtual_service};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use gradual_rollout::cluster::connect::Clients;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

fn named(kind: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{kind}-{n}")).collect()
}

/// A rollout of so many components, all named anew.
fn crowd(world: &World, rollout_name: &str, names: &[String]) -> Value {
    for name in names {
        world.store.put(virtual_service(name)).unwrap();
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    rollout(rollout_name, &names)
}

#[tokio::test(start_paused = true)]
async fn of_a_hundred_that_fail_at_once_the_last_goes_back_within_an_interval_and_a_second_of_the_first() {
    let mut world = World::new();
    let names = named("app", 100);
    for (n, part) in names.chunks(20).enumerate() {
        let mut object = crowd(&world, &format!("part-{n}"), part);
        object["spec"]["steps"] = json!([{"weight": "25%", "hold": "5h"}]);
        object["spec"]["allowJump"] = json!(true);
        world.store.put(object).unwrap();
    }
    world.start("daemon-1");
    let at = |w: &World, weight: u64| names.iter().filter(|name| w.weight(name) == weight).count();
    world.until("all at 25%", |w| at(w, 25) == 100).await;
    world.pass(120).await;
    for name in &names {
        world.traffic.fail(name);
    }
    world.until("one is back", |w| at(w, 0) > 0).await;
    let first = world.clock.now();
    world.until("all are back", |w| at(w, 0) == 100).await;
    let took = world.clock.now().duration_since(first).as_secs();
    assert!(took <= 11, "{took} s after the first, at intervals of 10 s");
}

#[tokio::test(start_paused = true)]
async fn of_one_resource_that_fails_as_a_whole_the_last_goes_back_within_a_second_of_the_first() {
    let mut world = World::new();
    let names = named("app", 64);
    let mut object = crowd(&world, "demo", &names);
    object["spec"]["steps"] = json!([{"weight": "25%", "hold": "5h"}]);
    object["spec"]["allowJump"] = json!(true);
    world.store.put(object).unwrap();
    world.start("daemon-1");
    let at = |w: &World, weight: u64| names.iter().filter(|name| w.weight(name) == weight).count();
    world.until("all at 25%", |w| at(w, 25) == 64).await;
    world.pass(120).await;
    for name in &names {
        world.traffic.fail(name);
    }
    while at(&world, 0) == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let first = world.clock.now();
    while at(&world, 0) < 64 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let took = world.clock.now().duration_since(first).as_millis();
        assert!(took <= 1000, "{took} ms after the first");
    }
}

/// What twenty minutes cost in requests of any kind, and in writes, with ten components that have canary traffic and
/// so many that idle.
async fn cost(idle: usize) -> (u64, u64) {
    let asked = Arc::new(AtomicU64::new(0));
    let mut world = World::new();
    let mut object = crowd(&world, "demo", &named("idle", idle));
    object["spec"]["paused"] = json!(true);
    world.store.put(object).unwrap();
    let busy = named("busy", 10);
    let mut object = crowd(&world, "busy", &busy);
    object["spec"]["steps"] = json!([{"weight": "25%", "hold": "5h"}]);
    object["spec"]["allowJump"] = json!(true);
    world.store.put(object).unwrap();
    let counted = asked.clone();
    let count = from_fn(move |request: Request, next: Next| {
        counted.fetch_add(1, Ordering::Relaxed);
        next.run(request)
    });
    world.start_over(
        "daemon-1",
        Clients::from_service(world.store.router().layer(count)),
    );
    world
        .until("the busy are at 25%", |w| {
            busy.iter().all(|name| w.weight(name) == 25)
        })
        .await;
    world.pass(600).await;
    let before = (asked.load(Ordering::Relaxed), world.store.version());
    world.pass(1200).await;
    let after = (asked.load(Ordering::Relaxed), world.store.version());
    (after.0 - before.0, after.1 - before.1)
}

#[tokio::test(start_paused = true)]
async fn what_idles_costs_neither_requests_nor_writes_however_much_it_is() {
    let few = cost(2).await;
    assert!(few.1 >= 200, "the lease is renewed, and that is counted: {few:?}");
    assert_eq!(few, cost(64).await, "requests and writes");
}
