//! Edits of a resource whose traffic is under way: none of them leaves traffic that nobody watches over.

use crate::support::world::{NS, World, rollout, virtual_service};
use gradual_rollout::rollout::reason::State;
use serde_json::{Value, json};

fn invalid(w: &World) -> Option<String> {
    let status = w.status();
    let ready = status.condition("Ready")?;
    (ready.reason == "InvalidSpec").then(|| ready.message.clone())
}

/// The component's router names this VirtualService instead.
fn reroute(world: &World, to: &str) {
    let mut object = world.object();
    object["spec"]["components"][0]["routers"][0]["istio"]["virtualServices"] = json!([{"name": to}]);
    world.store.put(object).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_route_that_an_edit_would_leave_behind_is_watched_until_its_traffic_is_back() {
    for restart in [false, true] {
        let mut world = World::new();
        for name in ["shop", "other"] {
            world.store.put(virtual_service(name)).unwrap();
        }
        let mut other = world.vs("other");
        other["spec"]["http"][0]["route"] = world.vs("shop")["spec"]["http"][0]["route"].clone();
        world.store.put(other).unwrap();
        world.store.put(rollout("demo", &["shop"])).unwrap();
        world.start("daemon-1");
        world.until("25%", |w| w.weight("shop") == 25).await;
        world.pass(120).await;
        reroute(&world, "other");
        world.until("told", |w| invalid(w).is_some()).await;
        let told = invalid(&world).unwrap();
        assert!(told.contains("virtualservice sealos-system/shop"), "{told}");
        assert!(told.contains("25%"), "{told}");
        if restart {
            world.kill().await;
            world.start("daemon-2");
        }
        world.pass(1800).await;
        assert_eq!(
            (world.weight("shop"), world.weight("other")),
            (25, 0),
            "nothing rises meanwhile"
        );
        world.traffic.fail("shop");
        world.until("back", |w| w.weight("shop") == 0).await;
        world.traffic.heal("shop");
        // Now nothing is left behind, and the edit is taken up; who was put back begins again by a person's word.
        world.until("taken up", |w| invalid(w).is_none()).await;
        world.pass(1800).await;
        assert_eq!(
            (world.component("shop").state, world.weight("other")),
            (State::RolledBack, 0)
        );
        world.say("retry", json!({"components": ["shop"], "who": "ada"}));
        world.until("other has 5%", |w| w.weight("other") == 5).await;
        assert_eq!(world.weight("shop"), 0);
        assert_eq!(invalid(&world), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pair_that_is_swapped_or_exchanged_under_way_moves_nothing() {
    for (canary, control) in [("v1", "v2"), ("v3", "v1")] {
        let world = World::with(&["shop"]);
        world.until("25%", |w| w.weight("shop") == 25).await;
        let before = world.vs("shop")["spec"].clone();
        let mut object = world.object();
        let istio = &mut object["spec"]["components"][0]["routers"][0]["istio"];
        for (end, subset) in [("canary", canary), ("control", control)] {
            istio[end]["subset"] = json!(subset);
        }
        world.store.put(object).unwrap();
        world.until("told", |w| invalid(w).is_some()).await;
        assert!(
            invalid(&world).unwrap().contains("would be left"),
            "{:?}",
            invalid(&world)
        );
        world.pass(600).await;
        assert_eq!(world.vs("shop")["spec"], before);
        world.traffic.fail("shop");
        world.until("back", |w| w.weight("shop") == 0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_router_that_is_added_is_taken_up_at_once() {
    let mut world = World::new();
    for name in ["shop", "second"] {
        let mut vs = virtual_service("shop");
        vs["metadata"]["name"] = json!(name);
        world.store.put(vs).unwrap();
    }
    world.store.put(rollout("demo", &["shop"])).unwrap();
    world.start("daemon-1");
    world.until("25%", |w| w.weight("shop") == 25).await;
    let mut object = world.object();
    object["spec"]["components"][0]["routers"][0]["istio"]["virtualServices"] =
        json!([{"name": "shop"}, {"name": "second"}]);
    world.store.put(object).unwrap();
    world.pass(60).await;
    assert_eq!(invalid(&world), None);
    assert!(world.weight("shop") > 0, "nothing is taken back for it");
}

#[tokio::test(start_paused = true)]
async fn a_restart_beside_a_spec_that_cannot_be_used_judges_and_puts_back_what_the_status_remembers() {
    let jump = json!([{"weight": "5%", "hold": "5m"}, {"weight": "90%", "hold": "5m"}]);
    // After one slip the rest can be used; after the other only what the status remembers.
    let routes = "/spec/components/0/routers/0/istio/virtualServices";
    let slips: [(&str, Value); 2] = [
        (routes, json!([{"name": "shop", "namespace": "elsewhere"}])),
        ("/spec/steps", jump),
    ];
    for (path, value) in slips {
        let mut world = World::with(&["shop", "cart"]);
        world
            .until("25%", |w| w.weight("shop") == 25 && w.weight("cart") == 25)
            .await;
        world.say("rollback", json!({"components": ["cart"], "who": "ada"}));
        world.until("cart is back", |w| w.weight("cart") == 0).await;
        world.pass(120).await;
        let mut object = world.object();
        let good = object["spec"].clone();
        *object.pointer_mut(path).unwrap() = value;
        world.store.put(object).unwrap();
        world.until("told", |w| invalid(w).is_some()).await;
        world.kill().await;
        world.start("daemon-2");
        world.pass(1800).await;
        assert!(invalid(&world).is_some());
        assert_eq!(
            (world.weight("shop"), world.weight("cart")),
            (25, 0),
            "nothing rises"
        );
        world.traffic.fail("shop");
        world.until("0%", |w| w.weight("shop") == 0).await;
        world.traffic.heal("shop");
        // Who was put back stays so when the spec is mended.
        let mut object = world.object();
        object["spec"] = good;
        world.store.put(object).unwrap();
        world.pass(3600).await;
        assert_eq!(invalid(&world), None);
        for name in ["shop", "cart"] {
            assert_eq!(
                (world.component(name).state, world.weight(name)),
                (State::RolledBack, 0),
                "{name}: {}",
                world.component(name).message
            );
        }
        assert_eq!(world.object()["metadata"]["namespace"], NS);
    }
}
