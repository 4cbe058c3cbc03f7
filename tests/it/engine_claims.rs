//! Two resources that name one route.

use crate::support::world::{World, component, rollout};
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
    // Once the younger's is back, the older may have it.
    world.say_to("young", "rollback", json!({"components": ["shop"], "who": "ada"}));
    world.until("back", |w| w.weight("shop") == 0).await;
    // Its mark says that it was rolled back: a person says when it begins again.
    world
        .until("the older has it", |w| {
            of(&w.rollout("demo"), "shop")["state"] == "RolledBack"
        })
        .await;
    assert_eq!(ready(&world.rollout("young")).0, "Claimed");
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
    assert!(
        message.contains("young, whose canary traffic is on it"),
        "{message}"
    );
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
