//! Components that were taken out of the spec while they had canary traffic.

use crate::support::world::{NS, World, component, rollout, virtual_service};
use gradual_rollout::rollout::reason::{Reason, State};
use serde_json::{Value, json};

/// Takes `shop` out of the spec; `cart` stays.
fn remove_shop(world: &World) {
    let mut object = world.object();
    object["spec"]["components"] = json!([component("cart")]);
    world.store.put(object).unwrap();
}

async fn orphaned() -> World {
    let world = World::with(&["shop", "cart"]);
    world
        .until("25%", |w| w.weight("shop") == 25 && w.weight("cart") == 25)
        .await;
    remove_shop(&world);
    world
        .until("orphaned", |w| w.component("shop").state == State::Orphaned)
        .await;
    world
}

fn marks(object: &Value) -> usize {
    let annotations = object["metadata"]["annotations"].as_object();
    annotations.map_or(0, |a| a.keys().filter(|k| k.ends_with("/w.shop")).count())
}

#[tokio::test(start_paused = true)]
async fn an_orphan_keeps_its_traffic_and_goes_back_when_it_fails_also_after_a_restart() {
    let mut world = orphaned().await;
    world.pass(1800).await;
    assert_eq!(world.weight("shop"), 25, "nothing rises, nothing falls");
    world.kill().await;
    world.start("daemon-2");
    world.pass(120).await;
    world.traffic.fail("shop");
    world.until("0%", |w| w.weight("shop") == 0).await;
    world
        .until("told", |w| w.component("shop").state == State::RolledBack)
        .await;
    assert_eq!(world.component("shop").reason, Reason::Breach);
    world
        .until("cart done", |w| w.component("cart").state == State::Completed)
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_detached_orphan_leaves_no_mark_and_others_may_write_its_route() {
    let world = orphaned().await;
    let mut younger = world.object();
    younger["metadata"] = json!({"name": "other", "namespace": NS});
    younger["spec"]["components"] = json!([component("shop")]);
    younger["status"] = Value::Null;
    world.store.put(younger).unwrap();
    let stalled = |w: &World| w.rollout("other")["status"]["conditions"][0]["reason"] == "Claimed";
    world.until("the younger waits", stalled).await;
    assert_eq!(marks(&world.vs("shop")), 1);
    world.say("detach", json!({"components": ["shop"], "who": "ada"}));
    world
        .until("let go", |w| w.status().component("shop").is_none())
        .await;
    world
        .until("taken over where it stands, or higher", |w| {
            let of = &w.rollout("other")["status"]["components"][0];
            of["name"] == "shop" && of["state"] == "Walking" && w.weight("shop") >= 25
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_renamed_component_goes_on_where_its_route_stands_and_the_old_name_leaves_no_mark() {
    let world = World::with(&["shop"]);
    world.until("25%", |w| w.weight("shop") == 25).await;
    let mut object = world.object();
    object["spec"]["components"][0]["name"] = json!("store");
    world.store.put(object).unwrap();
    world
        .until("taken over", |w| w.status().component("store").is_some())
        .await;
    world.until("no mark", |w| marks(&w.vs("shop")) == 0).await;
    assert!(world.status().component("shop").is_none());
    assert!(world.weight("shop") >= 25);
}

#[tokio::test(start_paused = true)]
async fn a_component_that_is_renamed_and_loses_a_router_in_one_edit_goes_on_as_it_was() {
    let mut world = World::new();
    let mut both = component("shop");
    both["routers"]
        .as_array_mut()
        .unwrap()
        .push(component("cart")["routers"][0].clone());
    for name in ["shop", "cart"] {
        world.store.put(virtual_service(name)).unwrap();
    }
    let mut object = rollout("demo", &["shop"]);
    object["spec"]["components"] = json!([both]);
    world.store.put(object).unwrap();
    world.start("daemon-1");
    world
        .until("25%", |w| w.weight("shop") == 25 && w.weight("cart") == 25)
        .await;
    let mut object = world.object();
    let mut renamed = component("shop");
    renamed["name"] = json!("store");
    object["spec"]["components"] = json!([renamed]);
    world.store.put(object).unwrap();
    world
        .until("told", |w| {
            w.object()["status"]["conditions"]
                .to_string()
                .contains("nobody would watch")
        })
        .await;
    world.traffic.fail("shop");
    world
        .until("both are back", |w| {
            w.weight("shop") == 0 && w.weight("cart") == 0
        })
        .await;
    world
        .until("the edit is taken up", |w| {
            w.status().component("store").is_some()
        })
        .await;
}
