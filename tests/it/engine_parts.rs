//! Routed objects that are no longer as the resource has them: what can be read of them is read and put back, and what
//! nothing of ours reaches is told until it is gone.

use crate::support::world::{NS, World, percent, rollout, virtual_service};
use gradual_rollout::rollout::reason::{Reason, State};
use serde_json::{Value, json};

const ROUTES: &str = "virtualservices.networking.istio.io";

fn to(arm: &str, weight: Option<u64>) -> Value {
    let mut entry = json!({"destination": {"host": format!("shop-{arm}.{NS}.svc.cluster.local")}});
    if let Some(weight) = weight {
        entry["weight"] = weight.into();
    }
    entry
}

/// A route with the pair, by its path.
fn route(name: &str, canary: u64) -> Value {
    json!({"name": name, "match": [{"uri": {"prefix": format!("/{name}")}}],
        "route": [to("v1", Some(100 - canary)), to("v2", Some(canary))]})
}

fn single(name: &str) -> Value {
    json!({"name": name, "route": [to("v2", None)]})
}

fn service(name: &str, routes: &[Value]) -> Value {
    let mut service = virtual_service("shop");
    service["metadata"]["name"] = name.into();
    service["spec"]["http"] = routes.into();
    service
}

/// A rollout of shop, over VirtualServices with these routes; no names mean the one with the pair.
fn world(services: &[(&str, &[&str])]) -> World {
    let mut world = World::new();
    let mut named = Vec::new();
    for (name, routes) in services {
        let all: Vec<Value> = routes.iter().map(|route_name| route(route_name, 0)).collect();
        let all = if all.is_empty() { vec![route("p", 0)] } else { all };
        world.store.put(service(name, &all)).unwrap();
        named.push(if routes.is_empty() {
            json!({"name": name})
        } else {
            json!({"name": name, "routes": routes})
        });
    }
    let mut object = rollout("demo", &["shop"]);
    object["spec"]["components"][0]["routers"][0]["istio"]["virtualServices"] = named.into();
    world.store.put(object).unwrap();
    world.start("daemon-1");
    world
}

/// What each route of a VirtualService gives the canary.
fn canaries(world: &World, name: &str) -> Vec<(String, u64)> {
    let vs = world.vs(name);
    let routes = vs["spec"]["http"].as_array().unwrap();
    let of = |route: &Value| {
        let entries = route["route"].as_array().unwrap().iter();
        let canary = entries.filter(|e| e["destination"]["host"].as_str().unwrap().starts_with("shop-v2"));
        canary.map(|e| e["weight"].as_u64().unwrap_or(100)).sum()
    };
    let named = routes
        .iter()
        .map(|r| (r["name"].as_str().unwrap().to_owned(), of(r)));
    named.collect()
}

fn is_at(world: &World, name: &str, weight: u64) -> bool {
    canaries(world, name).iter().all(|(_, canary)| *canary == weight)
}

/// Somebody writes other routes.
fn edit(world: &World, name: &str, routes: &[Value]) {
    let mut vs = world.vs(name);
    vs["spec"]["http"] = routes.into();
    world.store.put(vs).unwrap();
}

async fn rolled_back(world: &World) {
    world.say("rollback", json!({"components": ["shop"], "who": "ada"}));
    world
        .until("back", |w| {
            let shop = w.component("shop");
            shop.state == State::RolledBack && shop.lowering.is_none()
        })
        .await;
}

fn condition(world: &World, kind: &str) -> (String, String) {
    let status = world.status();
    let found = status.condition(kind).unwrap();
    (found.status.clone(), found.reason.clone())
}

fn events(world: &World, reason: &str) -> Vec<String> {
    let all = world.store.list("events");
    let told = all.iter().filter(|event| event["reason"] == reason);
    told.map(|event| event["message"].as_str().unwrap_or_default().to_owned())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_renamed_or_copied_route_that_is_raised_is_put_back_while_walking_and_after_a_rollback() {
    for back in [false, true] {
        for (names, edited) in [
            (&["p", "q"][..], [route("pp", 5), route("q", 60)]),
            (&[][..], [route("p", 5), route("p2", 60)]),
        ] {
            let world = world(&[("shop", names)]);
            world.until("5%", |w| is_at(w, "shop", 5)).await;
            let mut at = 5;
            let mut edited = edited;
            if back {
                rolled_back(&world).await;
                edited[0]["route"][0]["weight"] = 100.into();
                edited[0]["route"][1]["weight"] = 0.into();
                at = 0;
            } else {
                world
                    .until("known", |w| w.component("shop").weight.written == percent(5))
                    .await;
            }
            edit(&world, "shop", &edited);
            world.pass(5).await;
            assert!(
                is_at(&world, "shop", at),
                "{back}: {:?}",
                canaries(&world, "shop")
            );
            let shop = world.component("shop");
            assert_eq!(
                (shop.lowering, shop.weight.written),
                (None, percent(u16::try_from(at).unwrap()))
            );
            assert!(
                events(&world, "DriftReverted")
                    .iter()
                    .any(|told| told.contains("to 60%")),
                "{:?}",
                events(&world, "DriftReverted")
            );
            let version = world.vs("shop")["metadata"]["resourceVersion"].clone();
            world.pass(1800).await;
            assert_eq!(
                world.vs("shop")["metadata"]["resourceVersion"],
                version,
                "once, and nothing rises"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_route_that_leads_to_the_canary_alone_after_a_rollback_is_going_back_until_control_is_in_it_again()
{
    // As it is told; or without any weight, which Istio refuses.
    let told = [to("v2", Some(0)), to("v1", Some(100))];
    for (names, entries) in [
        (&["p"][..], told.clone()),
        (&[][..], told),
        (&["p"][..], [to("v2", None), to("v1", None)]),
    ] {
        let world = world(&[("shop", names)]);
        world.until("5%", |w| is_at(w, "shop", 5)).await;
        rolled_back(&world).await;
        assert_eq!(condition(&world, "RolledBack").0, "True");
        edit(&world, "shop", &[single("p")]);
        world
            .until("told", |w| condition(w, "Ready").1 == "RollingBack")
            .await;
        world.pass(600).await;
        assert_eq!(condition(&world, "RolledBack").0, "False");
        let shop = world.component("shop");
        assert!(
            shop.message.contains("lacks the control destination shop-v1")
                && shop
                    .message
                    .contains("add it with the canary's weight, and give the canary 0"),
            "{}",
            shop.message
        );
        let told = events(&world, "DriftReverted");
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("to 100%"), "{told:?}");
        edit(&world, "shop", &[json!({"name": "p", "route": entries})]);
        world
            .until("back", |w| condition(w, "RolledBack").0 == "True")
            .await;
        let vs = world.vs("shop");
        assert_eq!(vs["spec"]["http"][0]["route"][1]["weight"], 100);
    }
}

#[tokio::test(start_paused = true)]
async fn a_route_of_two_that_lost_control_keeps_a_rollback_from_passing_for_done() {
    let world = world(&[("shop", &["p", "q"])]);
    world.until("5%", |w| is_at(w, "shop", 5)).await;
    edit(&world, "shop", &[single("p"), route("q", 5)]);
    world.say("rollback", json!({"components": ["shop"], "who": "ada"}));
    world
        .until("what can be", |w| canaries(w, "shop")[1].1 == 0)
        .await;
    world.pass(120).await;
    let shop = world.component("shop");
    assert!(shop.lowering.is_some() && shop.state == State::RolledBack);
    assert!(
        shop.message.contains("route \"p\" still gives the canary 100%"),
        "{}",
        shop.message
    );
    let version = world.vs("shop")["metadata"]["resourceVersion"].clone();
    world.pass(120).await;
    assert_eq!(
        world.vs("shop")["metadata"]["resourceVersion"],
        version,
        "it is written once"
    );
    edit(&world, "shop", &[route("p", 5), route("q", 0)]);
    world
        .until("back", |w| {
            is_at(w, "shop", 0) && w.component("shop").lowering.is_none()
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_route_in_front_that_gives_the_canary_everything_is_told_after_a_rollback_until_it_is_gone() {
    in_front(single("all")).await;
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_the_named_route_in_front_that_gives_the_canary_everything_is_told_just_so() {
    let mut copy = route("all", 100);
    copy.as_object_mut().unwrap().remove("match");
    in_front(copy).await;
}

async fn in_front(taker: Value) {
    let world = world(&[("shop", &["p"])]);
    world.until("5%", |w| is_at(w, "shop", 5)).await;
    edit(&world, "shop", &[taker, route("p", 5)]);
    world
        .until("told", |w| w.component("shop").reason == Reason::Ineligible)
        .await;
    assert_eq!(world.component("shop").left, None, "nothing was lowered yet");
    rolled_back(&world).await;
    let left = world.component("shop").left.unwrap();
    assert!(
        left.all && left.message.contains("route \"all\" stands before ours"),
        "{left:?}"
    );
    assert_eq!(condition(&world, "Ready"), ("False".into(), "NotLowered".into()));
    assert_eq!(condition(&world, "RolledBack").0, "False");
    assert_eq!(
        canaries(&world, "shop"),
        [("all".into(), 100), ("p".into(), 0)],
        "it is not ours"
    );
    world
        .until("an event", |w| events(w, "NotLowered").len() == 1)
        .await;
    edit(&world, "shop", &[route("p", 0)]);
    world
        .until("gone", |w| condition(w, "RolledBack").0 == "True")
        .await;
    assert_eq!(world.component("shop").left, None);
}

#[tokio::test(start_paused = true)]
async fn what_a_rollback_left_of_renamed_routes_stands_in_the_status_until_it_is_gone() {
    let world = world(&[("shop", &["p"])]);
    world.until("5%", |w| is_at(w, "shop", 5)).await;
    world.say(
        "set",
        json!({"components": ["shop"], "weight": "40%", "who": "ada", "force": true}),
    );
    world
        .until("40%", |w| w.component("shop").weight.written == percent(40))
        .await;
    world.say("pause", json!({"components": ["shop"], "who": "ada"}));
    world.pass(5).await;
    edit(&world, "shop", &[route("pp", 60), route("other", 40)]);
    rolled_back(&world).await;
    assert_eq!(canaries(&world, "shop"), [("pp".into(), 60), ("other".into(), 0)]);
    let left = world.component("shop").left.unwrap();
    assert!(
        !left.all && left.message.contains("route \"pp\" still gives the canary 60%"),
        "{left:?}"
    );
    world.pass(600).await;
    assert!(world.component("shop").left.is_some());
    edit(&world, "shop", &[route("p", 0)]);
    world.until("gone", |w| w.component("shop").left.is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_raised_beside_a_copied_route_after_a_rollback_is_back_and_not_going_back_for_ever() {
    let world = world(&[("one", &["q1", "q2"]), ("two", &["q3"])]);
    world
        .until("5%", |w| is_at(w, "one", 5) && is_at(w, "two", 5))
        .await;
    rolled_back(&world).await;
    edit(&world, "one", &[route("q1", 0), route("q1", 0), route("q2", 70)]);
    edit(&world, "two", &[route("q3", 70)]);
    world
        .until("back", |w| is_at(w, "one", 0) && is_at(w, "two", 0))
        .await;
    world.pass(10).await;
    let shop = world.component("shop");
    assert_eq!((shop.state, shop.lowering), (State::RolledBack, None));
    assert_ne!(condition(&world, "Ready").1, "RollingBack");
    assert_eq!(world.store.list(ROUTES).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_canary_by_another_name_that_has_the_share_we_gave_it_is_going_back_until_somebody_mends_it() {
    let world = world(&[("shop", &[])]);
    world.until("5%", |w| is_at(w, "shop", 5)).await;
    world.pass(5).await;
    let renamed = json!({"name": "p", "route": [to("v1", Some(95)), to("v9", Some(5))]});
    edit(&world, "shop", &[renamed]);
    world.pass(5).await;
    world.say("rollback", json!({"components": ["shop"], "who": "ada"}));
    world.pass(60).await;
    let shop = world.component("shop");
    assert!(shop.lowering.is_some(), "{shop:#?}");
    assert_eq!(condition(&world, "RolledBack").0, "False");
    let status = world.object()["status"].to_string();
    assert!(
        status.contains("gives shop-v9") && status.contains("the canary by another name"),
        "{status}"
    );
    edit(&world, "shop", &[route("p", 5)]);
    world
        .until("back", |w| {
            is_at(w, "shop", 0) && w.component("shop").lowering.is_none()
        })
        .await;
    world
        .until("told", |w| condition(w, "RolledBack").0 == "True")
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_pair_that_somebody_took_away_is_back_and_what_else_leads_to_the_canary_is_told() {
    let testers =
        json!({"name": "t", "match": [{"headers": {"x": {"exact": "1"}}}], "route": [to("v2", None)]});
    let control = json!({"name": "p", "route": [to("v1", None)]});
    for (names, edited, told) in [
        (&[][..], vec![testers.clone(), control.clone()], true),
        (&["q"][..], vec![testers, control.clone()], true),
        (&[][..], vec![control], false),
    ] {
        for late in [false, true] {
            let world = world(&[("shop", names)]);
            world.until("5%", |w| is_at(w, "shop", 5)).await;
            if late {
                rolled_back(&world).await;
            }
            edit(&world, "shop", &edited);
            world.pass(5).await;
            rolled_back(&world).await;
            world.pass(60).await;
            assert_eq!(condition(&world, "RolledBack").0, "True");
            let left = world.component("shop").left;
            assert_eq!(left.is_some(), told, "{left:?}");
            let says = left.map(|left| {
                (
                    left.all,
                    left.message.contains("route \"t\" still gives the canary 100%"),
                )
            });
            assert_eq!(says, told.then_some((false, true)));
            assert_eq!(
                events(&world, "NotLowered").len(),
                usize::from(told),
                "{:?}",
                events(&world, "NotLowered")
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_route_that_was_renamed_and_leads_to_the_canary_alone_is_told_as_a_raise() {
    let world = world(&[("shop", &["p"])]);
    world.until("5%", |w| is_at(w, "shop", 5)).await;
    world
        .until("known", |w| w.component("shop").weight.written == percent(5))
        .await;
    edit(&world, "shop", &[single("pp")]);
    world
        .until("told", |w| {
            events(w, "DriftReverted")
                .iter()
                .any(|told| told.contains("to 100%"))
        })
        .await;
    rolled_back_or_not(&world).await;
    assert_eq!(condition(&world, "RolledBack").0, "False");
    let message = world.component("shop").message;
    assert!(
        message.contains("\"pp\" still gives the canary 100%"),
        "{message}"
    );
}

/// A rollback that cannot be over.
async fn rolled_back_or_not(world: &World) {
    world.say("rollback", json!({"components": ["shop"], "who": "ada"}));
    world.pass(60).await;
    assert!(world.component("shop").lowering.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_pair_that_somebody_spelt_otherwise_is_put_back_and_a_raise_of_another_spelling_is_one() {
    let world = world(&[("shop", &["p"])]);
    world.until("5%", |w| is_at(w, "shop", 5)).await;
    let short =
        |arm: &str, weight: u64| json!({"destination": {"host": format!("shop-{arm}")}, "weight": weight});
    edit(
        &world,
        "shop",
        &[json!({"name": "p", "route": [short("v1", 95), short("v2", 5)]})],
    );
    rolled_back(&world).await;
    assert!(is_at(&world, "shop", 0), "{:?}", canaries(&world, "shop"));
    assert_eq!(condition(&world, "RolledBack").0, "True");
    edit(
        &world,
        "shop",
        &[json!({"name": "p", "route": [to("v1", Some(60)), to("v2", Some(0)), short("v2", 40)]})],
    );
    world
        .until("told", |w| {
            events(w, "DriftReverted")
                .iter()
                .any(|told| told.contains("to 40%"))
        })
        .await;
    world.pass(5).await;
    assert!(is_at(&world, "shop", 0), "{:?}", canaries(&world, "shop"));
    assert_eq!(condition(&world, "RolledBack").0, "True");
}

#[tokio::test(start_paused = true)]
async fn a_route_that_another_resource_names_is_its_own_business_after_a_restart_too() {
    let mut world = World::new();
    world
        .store
        .put(service("shop", &[route("p", 0), route("q", 40)]))
        .unwrap();
    for (name, component, named) in [("demo", "shop", "p"), ("other", "cart", "q")] {
        let mut object = rollout(name, &["shop"]);
        let of = &mut object["spec"]["components"][0];
        of["name"] = component.into();
        of["routers"][0]["istio"]["virtualServices"] = json!([{"name": "shop", "routes": [named]}]);
        // It stands where it was found: nothing on the object says whose it is.
        object["spec"]["paused"] = (name == "other").into();
        world.store.put(object).unwrap();
    }
    world.start("daemon-1");
    let begun = [("p".to_owned(), 5), ("q".to_owned(), 40)];
    world.until("5%", |w| canaries(w, "shop") == begun).await;
    rolled_back(&world).await;
    for identity in ["daemon-2", "daemon-3"] {
        world.kill().await;
        world.start(identity);
        world.pass(60).await;
        assert_eq!(world.component("shop").left, None);
        assert_eq!(condition(&world, "RolledBack").0, "True");
    }
    assert_eq!(events(&world, "NotLowered"), [""; 0]);
    assert_eq!(canaries(&world, "shop")[1].1, 40);
}
