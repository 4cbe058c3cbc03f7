//! Routed objects that refuse, vanish or belong to somebody else: named, held, and no rollback waits.

use crate::support::world::{NS, World, percent, rollout, virtual_service};
use gradual_rollout::rollout::reason::{Reason, State};
use gradual_rollout::sandbox::apiserver::{Action, Failure, Fault};
use serde_json::{Value, json};

const ROUTES: &str = "virtualservices.networking.istio.io";

fn patches(action: Action) -> Fault {
    Fault::new(action).verb("patch").resource(ROUTES)
}

#[tokio::test(start_paused = true)]
async fn three_lost_races_in_a_row_keep_no_rollback_up() {
    let world = World::with(&["shop"]);
    world.until("25%", |w| w.weight("shop") == 25).await;
    let conflict = Failure::new(409, "Conflict", "the object has been modified");
    world
        .store
        .faults()
        .inject(patches(Action::Fail(conflict)).times(3));
    let asked = world.clock.now();
    world.say("rollback", json!({"components": ["shop"], "who": "ada"}));
    for _ in 0..200 {
        if world.weight("shop") == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(world.weight("shop"), 0);
    let took = world.clock.now().duration_since(asked).as_millis();
    assert!(took < 2000, "{took} ms");
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_refuses_a_raise_holds_that_component_and_the_others_go_on() {
    let world = World::with(&["shop", "cart"]);
    world
        .until("5%", |w| w.weight("shop") == 5 && w.weight("cart") == 5)
        .await;
    let refuse = Failure::new(
        403,
        "Forbidden",
        "admission webhook \"rules.corp\" denied the request",
    );
    let fault = world
        .store
        .faults()
        .inject(patches(Action::Fail(refuse)).name("shop"));
    world
        .until("cart done", |w| w.component("cart").state == State::Completed)
        .await;
    let shop = world.component("shop");
    assert_eq!(
        (shop.weight.written, shop.reason),
        (percent(5), Reason::WriteFailed)
    );
    assert!(
        shop.message.contains("rules.corp") && shop.message.contains("virtualservice sealos-system/shop"),
        "{}",
        shop.message
    );
    world.store.faults().lift(fault);
    world.until("25%", |w| w.weight("shop") == 25).await;
}

/// A change to the object of a component at 5%, and what is said about it while another component goes on.
async fn held(change: impl FnOnce(&mut Value)) -> String {
    held_at(5, change).await
}

/// The same, where what was changed is brought to so much.
async fn held_at(at: u16, change: impl FnOnce(&mut Value)) -> String {
    let world = World::with(&["shop", "cart"]);
    world
        .until("5%", |w| w.weight("shop") == 5 && w.weight("cart") == 5)
        .await;
    let mut vs = world.vs("shop");
    change(&mut vs);
    world.store.put(vs).unwrap();
    world.until("cart goes on", |w| w.weight("cart") == 50).await;
    let shop = world.component("shop");
    assert_eq!(shop.reason, Reason::RouterUnreadable, "{}", shop.message);
    assert_eq!(shop.weight.written, percent(at));
    assert!(
        shop.message.contains("virtualservice sealos-system/shop"),
        "{}",
        shop.message
    );
    shop.message
}

#[tokio::test(start_paused = true)]
async fn a_route_that_is_renamed_in_the_middle_is_named() {
    let message = held(|vs| vs["spec"]["http"][0]["name"] = "other".into()).await;
    assert!(
        message.contains("no route named \"main\"") && message.contains("\"other\""),
        "{message}"
    );
}

#[tokio::test(start_paused = true)]
async fn another_route_with_the_pair_and_a_new_name_hold_and_a_rollback_reaches_both() {
    let world = World::with(&["shop"]);
    world.until("25%", |w| w.weight("shop") == 25).await;
    let mut vs = world.vs("shop");
    let mut twin = vs["spec"]["http"][0].clone();
    twin["name"] = "theirs".into();
    twin["match"] = json!([{"uri": {"prefix": "/x"}}]);
    vs["spec"]["http"].as_array_mut().unwrap().insert(0, twin);
    vs["spec"]["http"][1]["name"] = "renamed".into();
    world.store.put(vs).unwrap();
    world
        .until("named", |w| {
            w.component("shop").reason == Reason::RouterUnreadable
        })
        .await;
    world.pass(1800).await;
    let canary = |w: &World, route: usize| w.vs("shop")["spec"]["http"][route]["route"][1]["weight"].as_u64();
    assert_eq!(
        (canary(&world, 0), canary(&world, 1)),
        (Some(25), Some(25)),
        "nothing rises"
    );
    world.say("rollback", json!({"components": ["shop"], "who": "ada"}));
    world
        .until("back in both", |w| {
            canary(w, 0) == Some(0) && canary(w, 1) == Some(0)
        })
        .await;
    world
        .until("told", |w| w.component("shop").state == State::RolledBack)
        .await;
    let version = world.vs("shop")["metadata"]["resourceVersion"].clone();
    world.pass(600).await;
    assert_eq!(
        world.vs("shop")["metadata"]["resourceVersion"],
        version,
        "it is written once"
    );
}

/// What a route gives the canary, all its entries.
fn canaries(world: &World, route: &str) -> Vec<i64> {
    let vs = world.vs("shop");
    let routes = vs["spec"]["http"].as_array().unwrap();
    let found = routes.iter().find(|r| r["name"] == route).unwrap();
    let entries = found["route"].as_array().unwrap().iter();
    let canary = entries.filter(|e| e["destination"]["host"].as_str().unwrap().contains("v2"));
    canary.map(|e| e["weight"].as_i64().unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_foreign_route_that_is_ambiguous_keeps_no_rollback_up_and_stays_as_it_is() {
    let world = World::with(&["shop"]);
    world.until("25%", |w| w.weight("shop") == 25).await;
    let mut vs = world.vs("shop");
    let mut theirs = vs["spec"]["http"][0].clone();
    theirs["name"] = "theirs".into();
    theirs["match"] = json!([{"uri": {"prefix": "/x"}}]);
    let mut twin = theirs["route"][1].clone();
    twin["headers"] = json!({"request": {"set": {"x": "1"}}});
    theirs["route"].as_array_mut().unwrap().push(twin);
    vs["spec"]["http"]
        .as_array_mut()
        .unwrap()
        .insert(0, theirs.clone());
    vs["spec"]["http"][1]["name"] = "renamed".into();
    world.store.put(vs).unwrap();
    world
        .until("named", |w| {
            w.component("shop").reason == Reason::RouterUnreadable
        })
        .await;
    world.say("rollback", json!({"components": ["shop"], "who": "ada"}));
    world.until("back", |w| canaries(w, "renamed") == [0]).await;
    world
        .until("told", |w| w.component("shop").state == State::RolledBack)
        .await;
    assert_eq!(world.vs("shop")["spec"]["http"][0], theirs);
    let told = |w: &World| {
        let events = w.store.list("events");
        let told = events.iter().find(|event| event["reason"] == "NotLowered");
        told.map(ToString::to_string)
    };
    world.until("an event", |w| told(w).is_some()).await;
    let event = told(&world).unwrap();
    assert!(
        event.contains("theirs") && event.contains("still gives the canary"),
        "{event}"
    );
}

#[tokio::test(start_paused = true)]
async fn our_route_with_the_canary_in_it_twice_or_with_weights_that_are_none_goes_back() {
    for change in [
        |route: &mut Value| {
            let twin = route[1].clone();
            route.as_array_mut().unwrap().push(twin);
        },
        |route: &mut Value| {
            route[0]["weight"] = json!(150);
            route[1]["weight"] = json!(-50);
        },
    ] {
        let world = World::with(&["shop"]);
        world.until("25%", |w| w.weight("shop") == 25).await;
        let mut vs = world.vs("shop");
        change(&mut vs["spec"]["http"][0]["route"]);
        world.store.put(vs).unwrap();
        world.say("rollback", json!({"components": ["shop"], "who": "ada"}));
        world
            .until("back", |w| canaries(w, "main").iter().all(|weight| *weight == 0))
            .await;
        world
            .until("told", |w| w.component("shop").state == State::RolledBack)
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_rollback_of_a_renamed_route_leaves_what_another_rollout_names() {
    let mut world = World::new();
    let mut vs = virtual_service("shop");
    let mut api = vs["spec"]["http"][0].clone();
    api["name"] = "api".into();
    vs["spec"]["http"].as_array_mut().unwrap().push(api);
    world.store.put(vs).unwrap();
    world.store.put(rollout("demo", &["shop"])).unwrap();
    let mut other = rollout("other", &["shop"]);
    let theirs = &mut other["spec"]["components"][0];
    theirs["name"] = "api".into();
    theirs["routers"][0]["istio"]["virtualServices"][0]["routes"] = json!(["api"]);
    for arm in ["canary", "control"] {
        theirs["arms"][arm]["labels"]["destination_service"] = format!("api-{arm}").into();
    }
    // Paused, it lets a person set its weight.
    other["spec"]["paused"] = json!(true);
    world.store.put(other).unwrap();
    world.start("daemon-1");
    world.until("25%", |w| w.weight("shop") == 25).await;
    let mut vs = world.vs("shop");
    let routes = &mut vs["spec"]["http"];
    routes[0]["name"] = "renamed".into();
    for (route, canary) in [(0, 30), (1, 40)] {
        routes[route]["route"][0]["weight"] = json!(100 - canary);
        routes[route]["route"][1]["weight"] = json!(canary);
    }
    world.store.put(vs).unwrap();
    world.pass(30).await;
    world.say("rollback", json!({"components": ["shop"], "who": "ada"}));
    world.until("back", |w| canaries(w, "renamed") == [0]).await;
    world
        .until("told", |w| w.component("shop").state == State::RolledBack)
        .await;
    assert_eq!(canaries(&world, "api"), [40], "the other's is the other's");
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_vanishes_in_the_middle_is_named() {
    let message = held(|vs| {
        vs["spec"]["http"][0]["route"].as_array_mut().unwrap().pop();
    })
    .await;
    assert!(
        message.contains("lacks the canary destination shop-v2"),
        "{message}"
    );
}

#[tokio::test(start_paused = true)]
async fn weights_that_are_all_zero_are_named() {
    let message = held(|vs| {
        for arm in 0..2 {
            vs["spec"]["http"][0]["route"][arm]["weight"] = 0.into();
        }
    })
    .await;
    assert!(message.contains("both destinations have weight 0"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_stands_twice_is_named() {
    // It gives the canary more than was written, and what stands twice goes to nothing.
    let message = held_at(0, |vs| {
        let twin = vs["spec"]["http"][0]["route"][1].clone();
        vs["spec"]["http"][0]["route"].as_array_mut().unwrap().push(twin);
    })
    .await;
    assert!(
        message.contains("merge them, or tell them apart by port"),
        "{message}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_route_that_becomes_a_delegation_names_the_delegate() {
    let message = held(|vs| {
        vs["spec"]["http"][0] = json!({"name": "main", "delegate": {"name": "inner", "namespace": "shop"}});
    })
    .await;
    assert!(message.contains("name the delegate shop/inner"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn several_virtual_services_and_one_of_them_a_delegate_move_together() {
    let mut world = World::new();
    world.store.put(virtual_service("shop")).unwrap();
    let mut inner = virtual_service("shop");
    inner["metadata"]["name"] = "inner".into();
    let spec = inner["spec"].as_object_mut().unwrap();
    spec.remove("hosts");
    world.store.put(inner).unwrap();
    let mut object = rollout("demo", &["shop"]);
    let router = &mut object["spec"]["components"][0]["routers"][0]["istio"];
    router["virtualServices"] =
        json!([{"name": "shop", "routes": ["main"]}, {"name": "inner", "namespace": NS}]);
    router["testers"] = json!({"cookie": {"name": "who", "value": "tester"}});
    world.store.put(object).unwrap();
    world.start("daemon-1");
    for weight in [5, 25] {
        world
            .until("both", |w| {
                w.weight("shop") == weight && w.weight("inner") == weight
            })
            .await;
    }
    for name in ["shop", "inner"] {
        let first = world.vs(name)["spec"]["http"][0]["name"].clone();
        assert_eq!(first, "gradual-rollout-shop-testers-0", "in {name}");
    }
    world.say("rollback", json!({"components": ["shop"], "who": "ada"}));
    world
        .until("both back", |w| w.weight("shop") == 0 && w.weight("inner") == 0)
        .await;
    for name in ["shop", "inner"] {
        assert_eq!(world.vs(name)["spec"]["http"].as_array().unwrap().len(), 1);
    }
}

/// The only route with the pair is meant; then there are two, an emergency lowers both, and the error says which name
/// to write. Whoever does as it says has not said that the plan may begin again.
#[tokio::test(start_paused = true)]
async fn naming_the_route_after_an_emergency_leaves_it_where_the_emergency_put_it() {
    let mut world = World::new();
    world.store.put(virtual_service("shop")).unwrap();
    let mut object = rollout("demo", &["shop"]);
    let services = &mut object["spec"]["components"][0]["routers"][0]["istio"]["virtualServices"];
    *services = json!([{"name": "shop"}]);
    world.store.put(object).unwrap();
    world.start("daemon-1");
    world.until("25%", |w| w.weight("shop") == 25).await;
    let mut vs = world.vs("shop");
    let mut twin = vs["spec"]["http"][0].clone();
    twin["name"] = "theirs".into();
    twin["match"] = json!([{"uri": {"prefix": "/x"}}]);
    vs["spec"]["http"].as_array_mut().unwrap().insert(0, twin);
    world.store.put(vs).unwrap();
    world
        .until("named", |w| {
            w.component("shop").reason == Reason::RouterUnreadable
        })
        .await;
    world.say(
        "rollback",
        json!({"components": ["shop"], "who": "ada", "reason": "login fails", "emergency": true}),
    );
    world
        .until("back", |w| {
            let shop = w.component("shop");
            shop.state == State::RolledBack && shop.lowering.is_none() && w.weight("shop") == 0
        })
        .await;
    let before = world.component("shop");
    assert_eq!(before.reason, Reason::Emergency);
    let mut object = world.object();
    object["spec"]["components"][0]["routers"][0]["istio"]["virtualServices"][0]["routes"] = json!(["main"]);
    world.store.put(object).unwrap();
    world.pass(3600).await;
    let shop = world.component("shop");
    assert_eq!(
        (shop.state, shop.reason, shop.attempt),
        (State::RolledBack, Reason::Emergency, before.attempt),
        "{}",
        shop.message
    );
    assert_eq!((world.weight("shop"), shop.weight.asked), (0, percent(0)));
    assert_eq!(
        shop.history, before.history,
        "nothing happened, so nothing is told"
    );
    assert!(
        shop.message.contains("ada") && shop.message.contains("login fails"),
        "{}",
        shop.message
    );
    // A new daemon knows it, too.
    world.kill().await;
    world.start("daemon-2");
    world.pass(600).await;
    assert_eq!(world.component("shop").state, State::RolledBack);
    world.say("retry", json!({"components": ["shop"], "who": "ada"}));
    world.until("5%", |w| w.weight("shop") == 5).await;
}
