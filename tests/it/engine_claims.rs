//! Two resources that name one route.

use crate::support::world::{NS, World, component, rollout};
use gradual_rollout::rollout::reason::{Reason, State};
use serde_json::{Value, json};

/// The named component of another resource's status.
fn of<'a>(object: &'a Value, name: &str) -> &'a Value {
    let all = object["status"]["components"].as_array();
    let named = all.into_iter().flatten().find(|c| c["name"] == name);
    named.unwrap_or(&Value::Null)
}

fn ready(object: &Value) -> (String, String) {
    let all = object["status"]["conditions"].as_array();
    let ready = all.into_iter().flatten().find(|c| c["type"] == "Ready");
    let text = |field: &str| {
        ready
            .and_then(|c| c[field].as_str())
            .unwrap_or_default()
            .to_owned()
    };
    (text("reason"), text("message"))
}

#[tokio::test(start_paused = true)]
async fn a_component_whose_route_is_anothers_holds_by_name_and_the_others_go_on() {
    let world = World::with(&["shop", "cart"]);
    let mut demo = world.object();
    demo["spec"]["components"] = json!([component("shop")]);
    world.store.put(demo).unwrap();
    world.until("5%", |w| w.weight("shop") == 5).await;
    world.store.put(rollout("younger", &["shop", "cart"])).unwrap();
    world
        .until("its own route rises", |w| w.weight("cart") == 25)
        .await;
    let younger = world.rollout("younger");
    let held = of(&younger, "shop");
    assert_eq!(
        (&held["reason"], &held["state"]),
        (&json!("Claimed"), &json!("Walking")),
        "{held:#}"
    );
    let message = held["message"].as_str().unwrap();
    assert!(
        message.contains("VirtualService") || message.contains("virtualservice"),
        "{message}"
    );
    assert!(message.contains("demo"), "{message}");
    let (reason, message) = ready(&younger);
    assert_eq!(reason, "PartlyClaimed");
    assert!(message.starts_with("shop: "), "{message}");
    // Commands about it write nothing.
    world.say_to("younger", "rollback", json!({"components": ["*"], "who": "ada"}));
    world.until("cart is back", |w| w.weight("cart") == 0).await;
    world.until("the older goes on", |w| w.weight("shop") == 50).await;
    assert!(of(&world.rollout("younger"), "shop")["lowering"].is_null());
}

/// `old` (demo) walks cart; `young` walks shop, and is at 25%.
async fn two() -> World {
    let world = World::with(&["shop", "cart"]);
    let mut demo = world.object();
    demo["spec"]["components"] = json!([component("cart")]);
    world.store.put(demo).unwrap();
    world.until("5%", |w| w.weight("cart") == 5).await;
    world.store.put(rollout("young", &["shop"])).unwrap();
    world
        .until("25%", |w| w.weight("shop") == 25 && w.weight("cart") == 25)
        .await;
    world
}

/// The same, and the older names shop, too, and waits.
async fn two_and_one_waits() -> World {
    let world = two().await;
    let mut demo = world.object();
    demo["spec"]["components"] = json!([component("cart"), component("shop")]);
    world.store.put(demo).unwrap();
    world
        .until("it waits", |w| {
            of(&w.rollout("demo"), "shop")["reason"] == "Claimed"
        })
        .await;
    world
}

#[tokio::test(start_paused = true)]
async fn an_older_resource_that_is_edited_takes_no_route_in_the_middle_of_a_rollout() {
    let mut world = two().await;
    let mut demo = world.object();
    demo["spec"]["components"] = json!([component("cart"), component("shop")]);
    world.store.put(demo).unwrap();
    world
        .until("told", |w| of(&w.rollout("demo"), "shop")["reason"] == "Claimed")
        .await;
    assert_eq!(world.weight("shop"), 25, "nothing was taken away");
    world.kill().await;
    world.start("daemon-2");
    world
        .until("both go on", |w| w.weight("shop") == 50 && w.weight("cart") == 50)
        .await;
    let history = world.rollout("young");
    let history = of(&history, "shop")["history"].to_string();
    assert!(
        !history.contains("DriftReverted") && !history.contains("Drifted"),
        "{history}"
    );
    // Who was put back waits for a person, and nobody else begins there; let go, it is the older's.
    world.say_to("young", "rollback", json!({"components": ["shop"], "who": "ada"}));
    world.until("back", |w| w.weight("shop") == 0).await;
    world.pass(600).await;
    assert_eq!(of(&world.rollout("demo"), "shop")["reason"], "Claimed");
    world.say_to("young", "detach", json!({"components": ["shop"], "who": "ada"}));
    world
        .until("the older has it", |w| {
            of(&w.rollout("demo"), "shop")["since"].is_string()
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn what_was_put_back_elsewhere_takes_no_live_route_when_it_is_edited() {
    let world = two().await;
    world.say(
        "rollback",
        json!({"components": ["cart"], "who": "ada", "emergency": true}),
    );
    world
        .until("back", |w| {
            w.component("cart").state == State::RolledBack && w.weight("cart") == 0
        })
        .await;
    let weight = world.weight("shop");
    let mut demo = world.object();
    let mut cart = component("shop");
    cart["name"] = json!("cart");
    demo["spec"]["components"] = json!([cart]);
    world.store.put(demo).unwrap();
    world
        .until("told", |w| {
            w.object()["status"]["conditions"]
                .to_string()
                .contains("\"Claimed\"")
        })
        .await;
    world.pass(60).await;
    assert!(
        world.weight("shop") >= weight,
        "{} of {weight}",
        world.weight("shop")
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_put_back_and_edited_away_takes_nothing_from_who_went_on_there_when_it_is_edited_back() {
    let world = World::with(&["shop", "cart", "side"]);
    let of_shop = |name: &str, route: &str| {
        let mut one = component(route);
        one["name"] = json!(name);
        json!([one])
    };
    let edit = |route: &str| {
        let mut demo = world.object();
        demo["spec"]["components"] = of_shop("first", route);
        world.store.put(demo).unwrap();
    };
    edit("shop");
    world.until("5%", |w| w.weight("shop") == 5).await;
    world.say(
        "rollback",
        json!({"components": ["first"], "who": "ada", "emergency": true}),
    );
    world
        .until("back", |w| {
            w.component("first").state == State::RolledBack && w.weight("shop") == 0
        })
        .await;
    edit("side");
    world
        .until("it was seen there", |w| {
            w.component("first").back.as_deref() == Some("elsewhere")
        })
        .await;
    world.store.put(rollout("young", &["shop"])).unwrap();
    world
        .until("the other goes on there", |w| w.weight("shop") == 25)
        .await;
    edit("shop");
    world
        .until("told", |w| {
            w.object()["status"]["conditions"]
                .to_string()
                .contains("\"Claimed\"")
        })
        .await;
    world.until("and further", |w| w.weight("shop") == 50).await;
    let young = world.rollout("young");
    let history = of(&young, "shop")["history"].to_string();
    assert!(!history.contains("Drift"), "{history}");
}

#[tokio::test(start_paused = true)]
async fn what_was_detached_takes_nothing_back_from_whoever_went_on_there() {
    let world = two_and_one_waits().await;
    world.say_to("young", "detach", json!({"components": ["shop"], "who": "ada"}));
    world
        .until("the older has it", |w| {
            of(&w.rollout("demo"), "shop")["since"].is_string()
        })
        .await;
    let weight = world.weight("shop");
    for (verb, wish) in [
        ("rollback", json!({})),
        ("set", json!({"weight": "1%"})),
        ("resume", json!({})),
    ] {
        let mut wish = wish;
        wish["components"] = json!(["shop"]);
        let id = world.say_to("young", verb, wish);
        let answered = |w: &World| w.rollout("young")["status"]["commands"].to_string().contains(&id);
        world.until("answered", answered).await;
        world.pass(60).await;
        assert!(
            world.weight("shop") >= weight,
            "{verb}: {} of {weight}",
            world.weight("shop")
        );
        assert_ne!(of(&world.rollout("demo"), "shop")["reason"], "Claimed", "{verb}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_owner_that_is_deleted_keeps_stays_although_an_older_resource_waits() {
    let world = two().await;
    let mut demo = world.object();
    demo["spec"]["components"] = json!([component("cart"), component("desk")]);
    world
        .store
        .put(crate::support::world::virtual_service("desk"))
        .unwrap();
    world.store.put(demo).unwrap();
    world
        .until("looked at", |w| w.component("desk").since.is_some())
        .await;
    let mut demo = world.object();
    let mut desk = component("shop");
    desk["name"] = json!("desk");
    demo["spec"]["components"] = json!([component("cart"), desk]);
    world.store.put(demo).unwrap();
    world
        .until("it waits", |w| w.component("desk").reason == Reason::Claimed)
        .await;
    let weight = world.weight("shop");
    world
        .store
        .delete("gradualrollouts.rollout.sealos.io", NS, "young")
        .unwrap();
    world
        .until("the older has it", |w| w.component("desk").since.is_some())
        .await;
    assert!(
        world.weight("shop") >= weight,
        "{} of {weight} was kept",
        world.weight("shop")
    );
}

#[tokio::test(start_paused = true)]
async fn a_live_component_that_is_renamed_keeps_its_route_although_an_older_resource_waits() {
    let world = two_and_one_waits().await;
    let weight = world.weight("shop");
    let mut young = world.rollout("young");
    young["spec"]["components"][0]["name"] = json!("store");
    world.store.put(young).unwrap();
    world
        .until("renamed", |w| {
            of(&w.rollout("young"), "store")["since"].is_string()
        })
        .await;
    world.pass(60).await;
    assert!(world.weight("shop") >= weight);
    assert_eq!(of(&world.rollout("demo"), "shop")["reason"], "Claimed");
}

#[tokio::test(start_paused = true)]
async fn what_is_put_back_while_it_is_anothers_does_not_begin_when_the_owner_lets_go() {
    let world = two_and_one_waits().await;
    let weight = world.weight("shop");
    world.say(
        "rollback",
        json!({"components": ["shop"], "who": "ada", "emergency": true}),
    );
    world
        .until("remembered", |w| w.component("shop").state == State::RolledBack)
        .await;
    assert!(world.weight("shop") >= weight, "the owner's stays");
    world.say_to("young", "detach", json!({"components": ["shop"], "who": "ada"}));
    world
        .until("it has it, and it is put back", |w| {
            w.component("shop").since.is_some() && w.weight("shop") == 0
        })
        .await;
    world.pass(600).await;
    let shop = world.component("shop");
    assert_eq!((world.weight("shop"), shop.state), (0, State::RolledBack));
    assert_eq!(
        (shop.reason, shop.lowering, shop.owed),
        (Reason::Emergency, None, None)
    );
    assert!(
        shop.message.starts_with("ada (claimed") && shop.message.contains("asked to put it back"),
        "{}",
        shop.message
    );
}

#[tokio::test(start_paused = true)]
async fn what_has_traffic_is_watched_over_by_its_plan_while_its_edit_names_what_is_anothers() {
    let mut world = two().await;
    let mut demo = world.object();
    let both = json!([component("cart")["routers"][0], component("shop")["routers"][0]]);
    demo["spec"]["components"][0]["routers"] = both;
    world.store.put(demo).unwrap();
    world
        .until("told", |w| ready(&w.rollout("demo")).0 == "InvalidSpec")
        .await;
    let message = ready(&world.rollout("demo")).1;
    assert!(message.contains("young, which has begun there"), "{message}");
    assert!(message.contains("spec.components[0].routers"), "{message}");
    world.pass(1800).await;
    assert_eq!(world.weight("cart"), 25, "nothing rises");
    world.kill().await;
    world.start("daemon-2");
    world
        .until("the younger goes on", |w| w.weight("shop") >= 50)
        .await;
    world.traffic.fail("cart");
    world.until("cart is judged", |w| w.weight("cart") == 0).await;
    world
        .until("and its end told", |w| {
            w.component("cart").state == State::RolledBack
        })
        .await;
    assert_eq!(world.component("cart").reason, Reason::Breach);
}

/// The younger is brought to 0 by a person; the older waits, and goes on waiting.
async fn still_owns(world: &World, what: &str) {
    world.pass(900).await;
    assert_eq!(of(&world.rollout("demo"), "shop")["reason"], "Claimed", "{what}");
    assert_eq!(world.weight("shop"), 0, "{what}");
}

#[tokio::test(start_paused = true)]
async fn whom_a_person_brings_to_0_still_owns_its_route_and_begins_again_there() {
    let mut world = two_and_one_waits().await;
    let id = world.say_to("young", "set", json!({"components": ["shop"], "weight": "0%"}));
    world.until("set", |w| w.weight("shop") == 0).await;
    world
        .until("done", |w| {
            let young = w.rollout("young");
            let shop = of(&young, "shop");
            young["status"]["commands"].to_string().contains(&id)
                && shop["lowering"].is_null()
                && shop["state"] == "Manual"
        })
        .await;
    still_owns(&world, "set 0%").await;
    world.kill().await;
    world.start("daemon-2");
    still_owns(&world, "set 0% and a new daemon").await;
    world.say_to("young", "resume", json!({"components": ["shop"]}));
    world.until("its plan goes on", |w| w.weight("shop") == 5).await;
    let mut lowered = world.vs("shop");
    lowered["spec"]["http"][0]["route"][0]["weight"] = 100.into();
    lowered["spec"]["http"][0]["route"][1]["weight"] = 0.into();
    world.store.put(lowered).unwrap();
    world
        .until("yielded to", |w| {
            of(&w.rollout("young"), "shop")["state"] == "Drifted"
        })
        .await;
    still_owns(&world, "kubectl edit").await;
    world.say_to("young", "resume", json!({"components": ["shop"]}));
    world.until("its plan goes on", |w| w.weight("shop") == 5).await;
    world.say_to("young", "rollback", json!({"components": ["shop"], "who": "ada"}));
    world.until("back", |w| w.weight("shop") == 0).await;
    still_owns(&world, "rollback").await;
    world.say_to("young", "retry", json!({"components": ["shop"]}));
    world
        .until("its plan begins again", |w| w.weight("shop") == 5)
        .await;
    assert_eq!(of(&world.rollout("demo"), "shop")["reason"], "Claimed");
}

#[tokio::test(start_paused = true)]
async fn a_resume_of_what_is_anothers_names_the_owner() {
    let world = two_and_one_waits().await;
    world.say("rollback", json!({"components": ["shop"], "who": "ada"}));
    world
        .until("remembered", |w| w.component("shop").state == State::RolledBack)
        .await;
    let id = world.say("retry", json!({"components": ["shop"]}));
    let told = |w: &World| {
        let object = w.object();
        let all = object["status"]["commands"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        all.into_iter().find(|c| c["id"] == id)
    };
    world.until("answered", |w| told(w).is_some()).await;
    assert!(
        told(&world).unwrap()["message"]
            .as_str()
            .unwrap()
            .contains("young")
    );
}
