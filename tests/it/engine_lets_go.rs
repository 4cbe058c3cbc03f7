//! Letting go of a component, and what does not give way to that: a rollback that has not landed.

use crate::support::world::{World, percent, rollout, virtual_service};
use gradual_rollout::rollout::reason::{Reason, State};
use gradual_rollout::rollout::status::{CommandOutcome, CommandResult};
use gradual_rollout::sandbox::apiserver::{Action, Failure, Fault};
use serde_json::json;

const ROUTES: &str = "virtualservices.networking.istio.io";

/// What the API server answers to a write of a route, until it is lifted.
fn refuses(world: &World, name: &str, code: u16) -> u64 {
    let failure = match code {
        403 => Failure::new(403, "Forbidden", "you may not patch it"),
        _ => Failure::internal("not now"),
    };
    let fault = Fault::new(Action::Fail(failure))
        .resource(ROUTES)
        .verb("patch")
        .name(name);
    world.store.faults().inject(fault)
}

/// Shop at 25%, and held there by hand.
async fn held() -> World {
    let world = World::with(&["shop"]);
    world.until("25%", |w| w.weight("shop") == 25).await;
    world.say(
        "set",
        json!({"components": ["shop"], "weight": "20%", "who": "ada"}),
    );
    world
        .until("20%", |w| {
            w.weight("shop") == 20 && w.component("shop").lowering.is_none()
        })
        .await;
    world
}

/// Shop at 20%, and a rollback of it that cannot be written until the fault is lifted.
async fn going_back() -> (World, u64) {
    let world = held().await;
    let fault = refuses(&world, "shop", 500);
    world.say("rollback", json!({"components": ["shop"], "who": "ada"}));
    world
        .until("it goes back", |w| w.component("shop").lowering.is_some())
        .await;
    (world, fault)
}

fn mark(world: &World, of: &str) -> Option<String> {
    let annotations = &world.vs(of)["metadata"]["annotations"];
    annotations[format!("rollout.sealos.io/w.{of}")]
        .as_str()
        .map(str::to_owned)
}

async fn answer(world: &World, id: &str) -> CommandOutcome {
    let told = |w: &World| w.status().commands.iter().find(|c| c.id == id).cloned();
    world.until("told", |w| told(w).is_some()).await;
    told(world).unwrap()
}

#[tokio::test(start_paused = true)]
async fn marks_that_do_not_come_off_are_told_and_tried_until_they_are_by_the_next_daemon_too() {
    let mut world = held().await;
    let fault = refuses(&world, "shop", 403);
    let id = world.say("detach", json!({"components": ["shop"], "who": "ada"}));
    assert_eq!(answer(&world, &id).await.result, CommandResult::Accepted);
    let says = |w: &World| w.component("shop").message.contains("our marks are still on");
    world.until("what stays is told", says).await;
    let shop = world.component("shop");
    assert!(shop.message.contains("you may not patch it"), "{}", shop.message);
    assert!(shop.letting_go.is_some() && shop.detached);
    assert!(mark(&world, "shop").is_some());
    world.kill().await;
    world.store.faults().lift(fault);
    world.start("daemon-2");
    world.until("off", |w| mark(w, "shop").is_none()).await;
    world
        .until("told", |w| w.component("shop").letting_go.is_none())
        .await;
    let shop = world.component("shop");
    assert!(shop.message.contains("our marks are off"), "{}", shop.message);
    assert_eq!((shop.detached, world.weight("shop")), (true, 20));
}

#[tokio::test(start_paused = true)]
async fn whoever_takes_up_again_what_is_being_let_go_keeps_its_marks() {
    let world = held().await;
    let fault = refuses(&world, "shop", 403);
    world.say("detach", json!({"components": ["shop"], "who": "ada"}));
    world
        .until("let go", |w| w.component("shop").letting_go.is_some())
        .await;
    world.say("rollback", json!({"components": ["shop"], "who": "ada"}));
    world
        .until("taken up", |w| w.component("shop").state == State::RolledBack)
        .await;
    world.store.faults().lift(fault);
    world.until("0%", |w| w.weight("shop") == 0).await;
    world.pass(60).await;
    assert!(mark(&world, "shop").is_some_and(|mark| mark.contains("RollbackRequested")));
    assert!(world.component("shop").letting_go.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_orphan_stays_in_the_status_until_our_marks_are_off_its_objects() {
    let world = held().await;
    let mut object = world.object();
    object["spec"]["components"][0]["name"] = json!("other");
    object["spec"]["components"][0]["routers"][0]["istio"]["virtualServices"] = json!([{"name": "other"}]);
    world.store.put(object).unwrap();
    world
        .until("orphaned", |w| w.component("shop").state == State::Orphaned)
        .await;
    let fault = refuses(&world, "shop", 403);
    let id = world.say("detach", json!({"components": ["shop"], "who": "ada"}));
    assert_eq!(answer(&world, &id).await.result, CommandResult::Accepted);
    world.pass(30).await;
    let shop = world.component("shop");
    assert!(
        shop.message.contains("our marks are still on"),
        "{}",
        shop.message
    );
    world.store.faults().lift(fault);
    world
        .until("gone", |w| w.status().component("shop").is_none())
        .await;
    assert_eq!((mark(&world, "shop"), world.weight("shop")), (None, 20));
}

#[tokio::test(start_paused = true)]
async fn who_detaches_while_a_rollback_cannot_be_written_is_refused_and_it_lands() {
    let mut world = held().await;
    for (verb, emergency) in [("rollback", false), ("rollback", true)] {
        let fault = refuses(&world, "shop", 500);
        let wish = json!({"components": ["shop"], "emergency": emergency, "who": "ada"});
        let id = world.say(verb, wish);
        assert_eq!(answer(&world, &id).await.result, CommandResult::Accepted);
        let id = world.say("detach", json!({"components": ["shop"], "who": "ada"}));
        let told = answer(&world, &id).await;
        assert_eq!(told.result, CommandResult::Refused, "{told:?}");
        world.kill().await;
        world.start("daemon-2");
        world.store.faults().lift(fault);
        world
            .until("back", |w| {
                w.weight("shop") == 0 && w.component("shop").lowering.is_none()
            })
            .await;
        assert!(!world.component("shop").detached);
        world.say(
            "set",
            json!({"components": ["shop"], "weight": "20%", "force": true, "who": "ada"}),
        );
        world
            .until("20%", |w| {
                w.component("shop").weight.observed == Some(percent(20))
            })
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_forced_raise_beside_a_rollback_that_cannot_be_written_stands() {
    let (world, fault) = going_back().await;
    let id = world.say(
        "set",
        json!({"components": ["shop"], "weight": "30%", "force": true, "who": "eve"}),
    );
    assert_eq!(answer(&world, &id).await.result, CommandResult::Accepted);
    world.pass(5).await;
    world.store.faults().lift(fault);
    world.until("30%", |w| w.weight("shop") == 30).await;
    world.pass(60).await;
    let shop = world.component("shop");
    assert_eq!(
        (world.weight("shop"), shop.state),
        (30, State::Manual),
        "{}",
        shop.message
    );
}

#[tokio::test(start_paused = true)]
async fn a_component_that_is_renamed_while_its_rollback_has_not_landed_is_put_back_first() {
    let (world, fault) = going_back().await;
    let mut object = world.object();
    object["spec"]["components"][0]["name"] = json!("store");
    world.store.put(object).unwrap();
    world.pass(10).await;
    assert!(
        world.component("shop").lowering.is_some(),
        "not forgotten with its name"
    );
    world.store.faults().lift(fault);
    world.until("0%", |w| w.weight("shop") == 0).await;
    world
        .until("taken up", |w| w.status().component("store").is_some())
        .await;
}

#[tokio::test(start_paused = true)]
async fn what_an_emergency_put_back_or_a_person_paused_stays_so_by_a_new_name_and_our_marks_follow() {
    for (verb, reason) in [("rollback", Reason::Emergency), ("pause", Reason::Paused)] {
        for dies in [false, true] {
            let mut world = World::with(&["shop"]);
            world.until("25%", |w| w.weight("shop") == 25).await;
            let wish = json!({"components": ["shop"], "emergency": verb == "rollback", "who": "ada"});
            world.say(verb, wish);
            let stands =
                |w: &World| w.component("shop").reason == reason && w.component("shop").lowering.is_none();
            world.until("it stands", stands).await;
            let weight = world.weight("shop");
            if dies {
                world.kill().await;
            }
            let mut object = world.object();
            object["spec"]["components"][0]["name"] = json!("store");
            world.store.put(object).unwrap();
            if dies {
                world.start("daemon-2");
            }
            world
                .until("taken up", |w| w.status().component("store").is_some())
                .await;
            world.pass(1800).await;
            let store = world.component("store");
            assert_eq!(
                (store.state == State::RolledBack, store.paused_by.is_some()),
                (verb == "rollback", verb == "pause"),
                "{dies}: {}",
                store.message
            );
            assert_eq!(
                (store.reason, world.weight("shop")),
                (reason, weight),
                "{dies}: {}",
                store.message
            );
            assert_eq!(mark(&world, "shop"), None);
            let vs = world.vs("shop");
            let marks = vs["metadata"]["annotations"].as_object();
            let marks = marks.cloned().unwrap_or_default();
            assert!(
                marks.keys().all(|key| key.rsplit('.').next() != Some("shop")),
                "{marks:?}"
            );
            assert_eq!(
                marks.contains_key("rollout.sealos.io/w.store"),
                verb == "rollback",
                "{marks:?}"
            );
            assert!(world.status().component("shop").is_none());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_follows_another_does_not_write_over_an_emergency_of_its_own() {
    let mut world = World::new();
    for name in ["shop", "cart"] {
        world.store.put(virtual_service(name)).unwrap();
    }
    let mut object = rollout("demo", &["shop", "cart"]);
    object["spec"]["rollback"] = json!({"scope": "rollout"});
    world.store.put(object).unwrap();
    world.start("daemon-1");
    world
        .until("both at 25%", |w| {
            w.weight("shop") == 25 && w.weight("cart") == 25
        })
        .await;
    world.say("pause", json!({"components": ["*"], "who": "ada"}));
    world
        .until("read back", |w| {
            ["shop", "cart"]
                .iter()
                .all(|c| w.component(c).weight.observed == Some(percent(25)))
        })
        .await;
    let id =
        ulid::Ulid::from_parts(u64::try_from(world.clock.now().as_millisecond()).unwrap(), 7).to_string();
    let emergency = |name: &str| {
        let mut vs = world.vs(name);
        vs["spec"]["http"][0]["route"][0]["weight"] = json!(100);
        vs["spec"]["http"][0]["route"][1]["weight"] = json!(0);
        vs["metadata"]["annotations"][format!("rollout.sealos.io/w.{name}")] =
            json!(format!("{id} 0% Emergency"));
        world.store.put(vs).unwrap();
    };
    let fault = refuses(&world, "cart", 500);
    emergency("shop");
    world
        .until("cart follows", |w| {
            let order = w.component("cart").lowering;
            order.is_some_and(|order| order.reason == Reason::OtherFailed)
        })
        .await;
    emergency("cart");
    world.store.faults().lift(fault);
    world
        .until("cart is back", |w| w.component("cart").lowering.is_none())
        .await;
    world.pass(10).await;
    let cart = world.component("cart");
    assert_eq!(
        (cart.state, cart.reason),
        (State::RolledBack, Reason::Emergency),
        "{}",
        cart.message
    );
    assert_eq!(mark(&world, "cart"), Some(format!("{id} 0% Emergency")));
    let entry = cart.history.last().unwrap();
    assert_eq!(
        (entry.reason, entry.id.as_ref(), entry.who.as_deref()),
        (Reason::Emergency, Some(&id), Some("unknown"))
    );
}
