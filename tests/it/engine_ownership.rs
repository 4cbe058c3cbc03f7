//! What is taken from a routed object is given back: journals, the finalizer, and letting go.

use crate::support::world::{NS, World, rollout, virtual_service};
use gradual_rollout::rollout::reason::{Reason, State};
use gradual_rollout::rollout::status::CommandResult;
use gradual_rollout::sandbox::apiserver::{Action, Failure, Fault};
use serde_json::{Value, json};
use std::time::Duration;

const ROLLOUTS: &str = "gradualrollouts.rollout.sealos.io";
const ROUTES: &str = "virtualservices.networking.istio.io";

fn with(on_delete: &str, components: &[&str]) -> World {
    let mut world = World::new();
    for name in components {
        world.store.put(virtual_service(name)).unwrap();
    }
    let mut object = rollout("demo", components);
    object["spec"]["onDelete"] = json!(on_delete);
    world.store.put(object).unwrap();
    world.start("daemon-1");
    world
}

/// What is its owner's of an object: everything but what each write of anybody's changes.
fn owned(mut object: Value) -> Value {
    let metadata = object["metadata"].as_object_mut().unwrap();
    for key in ["resourceVersion", "managedFields", "generation"] {
        metadata.remove(key);
    }
    object
}

fn delete(world: &World) {
    world.store.delete(ROLLOUTS, NS, "demo").unwrap();
}

async fn gone(world: &World) {
    world.until("gone", |w| w.object().is_null()).await;
}

#[tokio::test(start_paused = true)]
async fn deleted_with_keep_the_traffic_stays_and_our_marks_come_off() {
    let world = with("keep", &["shop"]);
    let before = owned(world.vs("shop"));
    world.until("25%", |w| w.weight("shop") == 25).await;
    let mut changes = world.store.subscribe(ROUTES);
    delete(&world);
    gone(&world).await;
    while let Ok(change) = changes.try_recv() {
        let weight = &change.object["spec"]["http"][0]["route"][1]["weight"];
        assert_eq!(*weight, json!(25), "not for a moment anything else");
    }
    let mut after = owned(world.vs("shop"));
    assert_eq!(world.weight("shop"), 25);
    after["spec"]["http"][0]["route"][0]["weight"] = json!(100);
    after["spec"]["http"][0]["route"][1]["weight"] = json!(0);
    assert_eq!(after, before, "but for the weights, not a byte of ours stays");
}

#[tokio::test(start_paused = true)]
async fn a_finalizer_that_could_not_be_removed_is_removed_soon_after() {
    for on_delete in ["keep", "restore"] {
        for failure in [
            Failure::new(409, "Conflict", "the object has been modified"),
            Failure::internal("not now"),
        ] {
            let world = with(on_delete, &["shop"]);
            world.until("25%", |w| w.weight("shop") == 25).await;
            delete(&world);
            let fault = Fault::new(Action::Fail(failure.clone()))
                .resource(ROLLOUTS)
                .subresource("")
                .verb("patch")
                .times(2);
            world.store.inject(fault);
            world.pass(20).await;
            assert!(
                world.object().is_null(),
                "{on_delete} {failure:?}: {:#}",
                world.object()
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn deleted_with_restore_every_object_is_what_it_was_byte_for_byte() {
    let mut world = World::new();
    let mut vs = virtual_service("shop");
    vs["spec"]["http"][0]["route"][0]["weight"] = json!(3);
    vs["spec"]["http"][0]["route"][1]
        .as_object_mut()
        .unwrap()
        .remove("weight");
    world.store.put(vs).unwrap();
    let before = owned(world.vs("shop"));
    let mut object = rollout("demo", &["shop"]);
    object["spec"]["onDelete"] = json!("restore");
    object["spec"]["steps"] = json!([{"weight": "10%", "hold": "50m"}]);
    world.store.put(object).unwrap();
    world.start("daemon-1");
    world
        .until("10%", |w| w.component("shop").weight.written.permille() == 100)
        .await;
    assert_eq!(world.weight("shop"), 3, "of 30");
    delete(&world);
    gone(&world).await;
    assert_eq!(owned(world.vs("shop")), before);
}

#[tokio::test(start_paused = true)]
async fn nothing_rises_before_the_finalizer_is_there_and_lowers_never_wait_for_it() {
    let world = with("keep", &["shop"]);
    let refused = Fault::new(Action::Fail(Failure::internal("finalizers are not for you")))
        .resource(ROLLOUTS)
        .subresource("")
        .verb("patch");
    let fault = world.store.faults().inject(refused);
    world.pass(1200).await;
    assert_eq!(world.weight("shop"), 0);
    let message = world.component("shop").message;
    assert!(message.contains("rollout.sealos.io/let-go"), "{message}");
    world.store.faults().lift(fault);
    world.until("25%", |w| w.weight("shop") == 25).await;
    let finalizers = world.object()["metadata"]["finalizers"].clone();
    assert_eq!(finalizers, json!(["rollout.sealos.io/let-go"]));
}

fn endpoints(service: &str, ready: bool) -> Value {
    json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": format!("{service}-1"), "namespace": NS,
            "labels": {"kubernetes.io/service-name": service}},
        "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": ready}}], "ports": []})
}

#[tokio::test(start_paused = true)]
async fn deleted_with_restore_and_nobody_to_take_the_traffic_it_stays_and_nobody_is_cut_off() {
    let world = with("restore", &["shop"]);
    world.store.put(endpoints("shop-v1", true)).unwrap();
    world.until("25%", |w| w.weight("shop") == 25).await;
    world.store.put(endpoints("shop-v1", false)).unwrap();
    world.pass(5).await;
    delete(&world);
    gone(&world).await;
    assert_eq!(world.weight("shop"), 25, "control could not have answered");
    let annotations = &world.vs("shop")["metadata"]["annotations"];
    assert!(annotations.is_null(), "{annotations}");
}

#[tokio::test(start_paused = true)]
async fn a_canary_whose_service_has_no_ready_endpoint_goes_back_at_the_second_look_and_an_unknown_one_stays()
{
    let world = with("keep", &["shop"]);
    world.store.put(endpoints("shop-v1", true)).unwrap();
    world.until("25%", |w| w.weight("shop") == 25).await;
    world.pass(60).await;
    assert_eq!(
        world.weight("shop"),
        25,
        "nothing is known of the canary's endpoints"
    );
    world.store.put(endpoints("shop-v2", true)).unwrap();
    world.pass(60).await;
    assert_eq!(world.weight("shop"), 25);
    world.store.put(endpoints("shop-v2", false)).unwrap();
    let gone = world.clock.now();
    world.until("0%", |w| w.weight("shop") == 0).await;
    let took = world.clock.now().duration_since(gone).as_secs();
    assert!(took <= 25, "{took} s");
    world
        .until("told", |w| w.component("shop").state == State::RolledBack)
        .await;
    let component = world.component("shop");
    assert_eq!(component.reason, Reason::LostTraffic);
    assert!(
        component.message.contains("no ready endpoint"),
        "{}",
        component.message
    );
}

#[tokio::test(start_paused = true)]
async fn a_route_that_cannot_be_written_does_not_keep_the_resource_for_ever() {
    let world = with("keep", &["shop", "cart"]);
    world
        .until("25%", |w| w.weight("shop") == 25 && w.weight("cart") == 25)
        .await;
    let hang = Fault::new(Action::Delay(Duration::from_secs(300)))
        .resource(ROUTES)
        .name("shop")
        .verb("patch");
    world.store.faults().inject(hang);
    delete(&world);
    let asked = world.clock.now();
    gone(&world).await;
    let took = world.clock.now().duration_since(asked).as_secs();
    assert!(took <= 45, "{took}s");
    let marks = |name: &str| !world.vs(name)["metadata"]["annotations"].is_null();
    assert!(marks("shop") && !marks("cart"), "one does not keep the other up");
}

#[tokio::test(start_paused = true)]
async fn a_resource_deleted_while_no_daemon_was_there_is_seen_out_by_the_next() {
    let mut world = with("restore", &["shop"]);
    let before = owned(world.vs("shop"));
    world.until("25%", |w| w.weight("shop") == 25).await;
    world.kill().await;
    delete(&world);
    world.pass(600).await;
    assert!(!world.object().is_null(), "the finalizer keeps it");
    world.start("daemon-2");
    gone(&world).await;
    assert_eq!(owned(world.vs("shop")), before);
}

#[tokio::test(start_paused = true)]
async fn detach_restores_only_what_has_no_traffic_left() {
    let world = with("keep", &["shop"]);
    let before = owned(world.vs("shop"));
    world.until("25%", |w| w.weight("shop") == 25).await;
    let wish = json!({"components": ["shop"], "restore": true, "who": "ada"});
    let outcome = |w: &World, id: &str| w.status().commands.iter().find(|c| c.id == id).cloned();
    let id = world.say("detach", wish.clone());
    world.until("told", |w| outcome(w, &id).is_some()).await;
    let told = outcome(&world, &id).unwrap();
    assert_eq!(told.result, CommandResult::Refused);
    assert!(
        told.message.contains("roll it back to 0% first"),
        "{}",
        told.message
    );
    world.say("rollback", json!({"components": ["shop"], "who": "ada"}));
    world
        .until("back", |w| {
            let c = w.component("shop");
            c.state == State::RolledBack && c.lowering.is_none()
        })
        .await;
    let id = world.say("detach", wish);
    world.until("told", |w| outcome(w, &id).is_some()).await;
    world.until("as it was", |w| owned(w.vs("shop")) == before).await;
    assert!(world.component("shop").message.contains("goes back"));
}

#[tokio::test(start_paused = true)]
async fn killed_between_the_lowering_and_the_originals_the_next_daemon_ends_it() {
    let mut world = with("restore", &["shop"]);
    let before = owned(world.vs("shop"));
    world.until("25%", |w| w.weight("shop") == 25).await;
    delete(&world);
    for _ in 0..400 {
        if world.weight("shop") == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    world.kill().await;
    world.start("daemon-2");
    gone(&world).await;
    assert_eq!(owned(world.vs("shop")), before);
}

#[tokio::test(start_paused = true)]
async fn originals_that_cannot_be_read_back_keep_the_resource_for_half_a_minute_only() {
    let world = with("restore", &["shop"]);
    world.until("25%", |w| w.weight("shop") == 25).await;
    let refused = Fault::new(Action::Fail(Failure::internal("not now")))
        .resource(ROUTES)
        .verb("get");
    world.store.faults().inject(refused);
    delete(&world);
    let asked = world.clock.now();
    gone(&world).await;
    let took = world.clock.now().duration_since(asked).as_secs();
    assert!((30..=60).contains(&took), "{took}s");
    assert_eq!(world.weight("shop"), 0, "the traffic went back all the same");
}

#[tokio::test(start_paused = true)]
async fn deleted_with_restore_what_never_carried_anything_keeps_nothing_waiting_for_long() {
    let world = with("restore", &["shop"]);
    let originals = owned(world.vs("shop"));
    let mut object = world.object();
    let mut typo = object["spec"]["components"][0].clone();
    typo["name"] = json!("typo");
    typo["routers"][0]["istio"]["virtualServices"] = json!([{"name": "cart"}]);
    typo["routers"][0]["istio"]["canary"] = json!({"host": "cart", "subset": "typo"});
    object["spec"]["components"].as_array_mut().unwrap().push(typo);
    world.store.put(virtual_service("cart")).unwrap();
    world.store.put(object).unwrap();
    world.until("25%", |w| w.weight("shop") == 25).await;
    delete(&world);
    world.until("back", |w| w.weight("shop") == 0).await;
    for _ in 0..60 {
        world.pass(1).await;
        if world.object().is_null() {
            break;
        }
    }
    assert!(world.object().is_null(), "{:#}", world.object());
    assert_eq!(owned(world.vs("shop")), originals, "and its originals are back");
}

#[tokio::test(start_paused = true)]
async fn deleted_with_restore_what_was_detached_is_not_waited_for() {
    let world = with("restore", &["shop", "cart"]);
    world.until("25%", |w| w.weight("cart") == 25).await;
    world.say("detach", json!({"components": ["cart"], "who": "ada"}));
    world.until("detached", |w| w.component("cart").detached).await;
    world.store.delete(ROUTES, NS, "cart").unwrap();
    delete(&world);
    gone(&world).await;
    assert_eq!(world.weight("shop"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_rollback_is_over_where_no_route_leads_to_the_canary_any_more_and_says_what_is_wrong() {
    let world = with("keep", &["shop"]);
    world.until("25%", |w| w.weight("shop") == 25).await;
    let mut vs = world.vs("shop");
    for route in vs["spec"]["http"].as_array_mut().unwrap() {
        route["route"]
            .as_array_mut()
            .unwrap()
            .retain(|d| !d["destination"]["host"].as_str().unwrap().contains("v2"));
        route["route"][0]["weight"] = json!(100);
    }
    world.store.put(vs).unwrap();
    world.say("rollback", json!({"components": ["shop"], "who": "ada"}));
    world
        .until("over", |w| {
            w.component("shop").lowering.is_none() && w.component("shop").state == State::RolledBack
        })
        .await;
    let message = world.component("shop").message;
    assert!(
        message.contains("virtualservice") && message.contains("shop-v2"),
        "{message}"
    );
    assert_eq!(world.component("shop").weight.written.to_string(), "0%");
}

/// Whoever deletes the resource beside a rollback that cannot be written would otherwise leave the canary what it has, and
/// nobody to take it away.
#[tokio::test(start_paused = true)]
async fn deleted_with_keep_a_rollback_that_has_not_landed_lands_first_and_the_deletion_waits_and_says_so() {
    let world = with("keep", &["shop", "cart"]);
    world
        .until("25%", |w| w.weight("shop") == 25 && w.weight("cart") == 25)
        .await;
    let refused = Failure::new(403, "Forbidden", "no more");
    let fault = world
        .store
        .inject(Fault::new(Action::Fail(refused)).resource(ROUTES).verb("patch"));
    world.say("rollback", json!({"components": ["shop"], "who": "eve"}));
    world
        .until("it is going back", |w| w.component("shop").lowering.is_some())
        .await;
    delete(&world);
    world.pass(300).await;
    assert!(!world.object().is_null(), "it waits");
    let events = world.store.list("events");
    let told = events.iter().filter(|e| e["reason"] == "DeletionWaits");
    let told: Vec<&str> = told
        .filter_map(|e| e["message"].as_str().or(e["note"].as_str()))
        .collect();
    assert_eq!(told.len(), 1, "once: {told:?}");
    assert!(
        told[0].contains("shop from 25% to 0% (RollbackRequested)") && !told[0].contains("cart"),
        "{told:?}"
    );
    world.store.faults().lift(fault);
    gone(&world).await;
    assert_eq!((world.weight("shop"), world.weight("cart")), (0, 25));
}
