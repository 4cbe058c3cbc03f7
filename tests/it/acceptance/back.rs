//! Going back: what keeps no rollback up, and what a rollback leaves as it is.

use super::{ROUTES, bytes, walking_at_25};
use crate::cli_explain::api;
use crate::support::world::{NS, World, percent, rollout, virtual_service};
use gradual_rollout::rollout::reason::{Reason, State};
use gradual_rollout::sandbox::apiserver::{Action, Failure, Fault};
use serde_json::{Value, json};
use std::time::Duration;

fn endpoints(service: &str, slice: u8, ready: &[bool]) -> Value {
    let of = |(n, ready): (usize, &bool)| json!({"addresses": [format!("10.0.{slice}.{n}")], "conditions": {"ready": ready}});
    json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": format!("{service}-{slice}"), "namespace": NS, "labels": {"kubernetes.io/service-name": service}},
        "endpoints": ready.iter().enumerate().map(of).collect::<Vec<_>>(), "ports": []})
}

#[tokio::test(start_paused = true)]
async fn a_rollback_of_what_has_no_traffic_changes_nothing_but_the_mark() {
    let world = walking_at_25().await;
    world.say("rollback", json!({"components": ["shop"], "who": "ada"}));
    world.until("0%", |w| w.weight("shop") == 0).await;
    world
        .until("told", |w| w.component("shop").state == State::RolledBack)
        .await;
    world.pass(60).await;
    let before = bytes(&world);
    let id = world.say("rollback", json!({"components": ["shop"], "who": "ada"}));
    world
        .until("answered", |w| w.status().commands.iter().any(|c| c.id == id))
        .await;
    world.pass(600).await;
    assert_eq!(bytes(&world), before);
    assert_eq!(world.component("shop").state, State::RolledBack);
}

#[tokio::test(start_paused = true)]
async fn a_rollback_of_what_never_began_changes_nothing_and_keeps_it_from_beginning() {
    let mut world = World::new();
    for name in ["cart", "shop"] {
        world.store.put(virtual_service(name)).unwrap();
    }
    let mut object = rollout("demo", &["cart", "shop"]);
    let steps = object["spec"].as_object_mut().unwrap().remove("steps").unwrap();
    object["spec"]["phases"] = json!([
        {"name": "pilot", "components": ["cart"], "steps": [{"weight": "5%", "hold": "1h"}]},
        {"name": "all", "steps": steps},
    ]);
    object["spec"]["phases"][1]["steps"]
        .as_array_mut()
        .unwrap()
        .remove(0);
    object["spec"]["allowJump"] = json!(true);
    world.store.put(object).unwrap();
    world.start("daemon-1");
    world.until("the pilot is at 5%", |w| w.weight("cart") == 5).await;
    let before = bytes(&world);
    let id = world.say("rollback", json!({"components": ["shop"], "who": "ada"}));
    world
        .until("answered", |w| w.status().commands.iter().any(|c| c.id == id))
        .await;
    world.until("the pilot went on", |w| w.weight("cart") == 50).await;
    assert_eq!(bytes(&world), before, "but for our mark");
    let shop = world.component("shop");
    assert_eq!((shop.state, shop.weight.written), (State::RolledBack, percent(0)));
    assert!(shop.history.iter().all(|h| h.to.is_zero()), "{:?}", shop.history);
}

#[tokio::test(start_paused = true)]
async fn with_one_of_several_routes_gone_the_others_are_lowered_and_it_is_named() {
    let mut world = World::new();
    world.store.put(virtual_service("shop")).unwrap();
    for name in ["second", "third"] {
        let mut vs = virtual_service("shop");
        vs["metadata"]["name"] = json!(name);
        world.store.put(vs).unwrap();
    }
    let mut object = rollout("demo", &["shop"]);
    object["spec"]["components"][0]["routers"][0]["istio"]["virtualServices"] = json!([
        {"name": "shop"}, {"name": "second"}, {"name": "third"}]);
    world.store.put(object).unwrap();
    world.start("daemon-1");
    let third = |w: &World| {
        let vs = w.store.get(ROUTES, NS, "third").unwrap();
        vs["spec"]["http"][0]["route"][1]["weight"].clone()
    };
    world
        .until("25% everywhere", |w| w.weight("shop") == 25 && third(w) == 25)
        .await;
    world.pass(5).await;
    world.store.delete(ROUTES, NS, "second").unwrap();
    world.pass(1200).await;
    assert_eq!(world.weight("shop"), 25, "nothing rises");
    let shop = world.component("shop");
    assert!(
        shop.message.contains("virtualservice sealos-system/second"),
        "{}",
        shop.message
    );
    world.say("rollback", json!({"components": ["shop"], "who": "ada"}));
    world
        .until("the others are back", |w| w.weight("shop") == 0 && third(w) == 0)
        .await;
    // What is gone carries nothing, so that is all there is to bring back.
    world
        .until("over", |w| w.component("shop").lowering.is_none())
        .await;
    let back = world.component("shop");
    assert_eq!((back.state, back.weight.written), (State::RolledBack, percent(0)));
    assert!(
        back.message.contains("virtualservice sealos-system/second"),
        "{}",
        back.message
    );
}

/// Its routes are in two namespaces, and the one in the other refuses our writes: a breach takes back what can be
/// taken back, at once, and names the rest.
#[tokio::test(start_paused = true)]
async fn a_route_in_another_namespace_that_refuses_us_keeps_no_other_up_when_the_canary_fails() {
    const OTHER: &str = "tenants";
    let mut world = World::new();
    world.store.namespace(OTHER);
    world.foreign_namespaces = vec![OTHER.to_owned()];
    world.store.put(virtual_service("shop")).unwrap();
    let mut away = virtual_service("shop");
    away["metadata"]["name"] = json!("away");
    away["metadata"]["namespace"] = json!(OTHER);
    world.store.put(away).unwrap();
    let mut object = rollout("demo", &["shop"]);
    object["spec"]["components"][0]["routers"][0]["istio"]["virtualServices"] =
        json!([{"name": "away", "namespace": OTHER}, {"name": "shop"}]);
    world.store.put(object).unwrap();
    world.start("daemon-1");
    let away = |w: &World| {
        let vs = w.store.get(ROUTES, OTHER, "away").unwrap();
        vs["spec"]["http"][0]["route"][1]["weight"].as_u64().unwrap()
    };
    world
        .until("25% in both", |w| w.weight("shop") == 25 && away(w) == 25)
        .await;
    world.pass(120).await;
    let denied = Failure::new(403, "Forbidden", "virtualservices is forbidden in tenants");
    world.store.faults().inject(
        Fault::new(Action::Fail(denied))
            .verb("patch")
            .resource(ROUTES)
            .name("away"),
    );
    world.traffic.fail("shop");
    let failed = world.clock.now();
    world.until("shop is back", |w| w.weight("shop") == 0).await;
    let took = world.clock.now().duration_since(failed).as_secs();
    assert!(took <= 31, "{took} s");
    world
        .until("told", |w| {
            w.component("shop")
                .message
                .contains("virtualservice tenants/away")
        })
        .await;
    let shop = world.component("shop");
    assert_eq!(
        (shop.state, away(&world)),
        (State::RolledBack, 25),
        "{}",
        shop.message
    );
    // Nobody who asks is told that it is back, by whichever way.
    let condition = |w: &World, kind: &str| {
        let status = w.status();
        let found = status.condition(kind).unwrap();
        (found.status.clone(), found.reason.clone())
    };
    assert_eq!(condition(&world, "Ready"), ("False".into(), "RollingBack".into()));
    assert_eq!(condition(&world, "RolledBack").0, "False");
    assert_eq!(world.status().progress.as_deref(), Some("0/1, 1 going back"));
    let path = format!("/api/v1/rollouts/{NS}/demo/components/shop/explain");
    assert_eq!(api(&world, &path).await.1["state"], "RollingBack");
    let state = |all: &Value| all["rollouts"][0]["status"]["components"][0]["state"].clone();
    assert_eq!(state(&api(&world, "/api/v1/rollouts").await.1), "RollingBack");
    // And as soon as it is allowed again, that one goes as well.
    world.store.faults().clear();
    world.until("all of it is back", |w| away(w) == 0).await;
    world
        .until("and told so", |w| condition(w, "RolledBack").0 == "True")
        .await;
    assert_eq!(state(&api(&world, "/api/v1/rollouts").await.1), "RolledBack");
}

#[tokio::test(start_paused = true)]
async fn neither_a_canary_without_pods_nor_one_ill_pod_of_control_keeps_a_rollback_up() {
    let mut world = World::new();
    world.store.put(virtual_service("shop")).unwrap();
    world.store.put(endpoints("shop-v1", 1, &[true, true])).unwrap();
    world.store.put(endpoints("shop-v2", 1, &[true])).unwrap();
    world.store.put(rollout("demo", &["shop"])).unwrap();
    world.start("daemon-1");
    world.until("25%", |w| w.weight("shop") == 25).await;
    world.pass(5).await;
    world.store.put(endpoints("shop-v1", 1, &[true, false])).unwrap();
    world.store.put(endpoints("shop-v2", 1, &[])).unwrap();
    world.say("rollback", json!({"components": ["shop"], "who": "ada"}));
    let asked = world.clock.now();
    while world.weight("shop") != 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(world.clock.now().duration_since(asked).as_millis() < 2000);
    }
    // Afterwards control shrinks to one pod: it keeps all the traffic.
    world.store.put(endpoints("shop-v1", 1, &[true])).unwrap();
    world.pass(3600).await;
    assert_eq!(world.weight("shop"), 0);
}

/// A person is obeyed whatever control is; what goes back by itself asks whether control can take the traffic. It can
/// with one pod of many, in whichever slice that is.
#[tokio::test(start_paused = true)]
async fn ill_pods_of_control_keep_no_automatic_rollback_up_while_one_is_well() {
    let mut world = World::new();
    world.store.put(virtual_service("shop")).unwrap();
    for (slice, ready) in [(1, &[true, true][..]), (2, &[true][..])] {
        world.store.put(endpoints("shop-v1", slice, ready)).unwrap();
    }
    world.store.put(endpoints("shop-v2", 1, &[true])).unwrap();
    world.store.put(rollout("demo", &["shop"])).unwrap();
    world.start("daemon-1");
    world.until("25%", |w| w.weight("shop") == 25).await;
    world.pass(120).await;
    for (slice, ready) in [(1, &[false, true][..]), (2, &[false][..])] {
        world.store.put(endpoints("shop-v1", slice, ready)).unwrap();
    }
    world.pass(5).await;
    world.traffic.fail("shop");
    let failed = world.clock.now();
    world.until("0%", |w| w.weight("shop") == 0).await;
    let took = world.clock.now().duration_since(failed).as_secs();
    assert!(took <= 31, "{took} s");
    world
        .until("told", |w| w.component("shop").state == State::RolledBack)
        .await;
    assert_eq!(world.component("shop").reason, Reason::Breach);
}
