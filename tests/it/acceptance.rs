//! What peers' users were hurt by, over routed objects: the lines of `docs/acceptance.md` that no other test has.

mod back;
mod costs;
mod due;
mod page;

use crate::support::world::{World, component, percent, rollout, virtual_service};
use gradual_rollout::rollout::reason::{Reason, State};
use gradual_rollout::sandbox::apiserver::{Action, Failure, Fault};
use serde_json::{Value, json};
use std::time::Duration;

const ROUTES: &str = "virtualservices.networking.istio.io";

/// The object without the two weights of its first route, our annotations, and what every write changes.
fn foreign(mut vs: Value) -> String {
    let metadata = vs["metadata"].as_object_mut().unwrap();
    for key in ["resourceVersion", "managedFields", "generation"] {
        metadata.remove(key);
    }
    if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
        annotations.retain(|key, _| !key.starts_with("rollout.sealos.io/"));
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
    for arm in 0..2 {
        vs["spec"]["http"][0]["route"][arm]["weight"] = Value::Null;
    }
    vs.to_string()
}

/// Everything but our annotations and what every write changes, weights included.
fn bytes(world: &World) -> String {
    let vs = world.vs("shop");
    let route = vs["spec"]["http"][0]["route"].to_string();
    format!("{} {route} {}", foreign(vs.clone()), vs["metadata"]["generation"])
}

fn version(vs: &Value) -> String {
    vs["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
}

/// The canary's weight as somebody else writes it.
fn weigh(world: &World, name: &str, weight: u64) {
    let mut vs = world.vs(name);
    vs["spec"]["http"][0]["route"][0]["weight"] = (100 - weight).into();
    vs["spec"]["http"][0]["route"][1]["weight"] = weight.into();
    world.store.put(vs).unwrap();
}

async fn walking_at_25() -> World {
    let world = World::with(&["shop"]);
    world
        .until("25%", |w| {
            w.weight("shop") == 25 && w.component("shop").weight.written == percent(25)
        })
        .await;
    world
}

#[tokio::test(start_paused = true)]
async fn foreign_labels_annotations_hosts_and_gateways_are_no_drift_and_stay() {
    let world = walking_at_25().await;
    let mut vs = world.vs("shop");
    vs["metadata"]["labels"]["team"] = json!("edge");
    vs["metadata"]["annotations"]["example.com/note"] = json!("kept");
    vs["spec"]["hosts"]
        .as_array_mut()
        .unwrap()
        .push(json!("shop.example.org"));
    vs["spec"]["gateways"] = json!(["infra/public"]);
    world.store.put(vs).unwrap();
    let left = foreign(world.vs("shop"));
    world.pass(30).await;
    let shop = world.component("shop");
    assert_eq!((world.weight("shop"), shop.state), (25, State::Walking));
    assert!(shop.drifts.is_empty(), "{:?}", shop.drifts);
    world.until("75%", |w| w.weight("shop") == 75).await;
    assert_eq!(foreign(world.vs("shop")), left);
    let mut vs = world.vs("shop");
    vs["spec"].as_object_mut().unwrap().remove("gateways");
    world.store.put(vs).unwrap();
    let left = foreign(world.vs("shop"));
    world
        .until("completed", |w| w.component("shop").state == State::Completed)
        .await;
    assert_eq!(
        foreign(world.vs("shop")),
        left,
        "nobody's repair undoes another's"
    );
}

#[tokio::test(start_paused = true)]
async fn after_ten_changes_of_a_weight_only_two_numbers_of_a_rich_route_differ() {
    let mut world = World::new();
    let mut vs = virtual_service("shop");
    vs["spec"]["exportTo"] = json!([".", "infra"]);
    vs["spec"]["tls"] = json!([{"match": [{"port": 443, "sniHosts": ["a.example.com"]}], "route": [{"destination": {"host": "tls"}}]}]);
    vs["spec"]["http"][0]["xFuture"] = json!({"deep": [1, 2.5, null, {"": "empty"}], "big": 1e300});
    for n in 0..5 {
        let other = json!({"name": format!("other-{n}"), "match": [{"uri": {"prefix": format!("/{n}")}}],
            "route": [{"destination": {"host": "other"}, "weight": 3}], "directResponse": {"status": 200 + n}});
        vs["spec"]["http"].as_array_mut().unwrap().push(other);
    }
    world.store.put(vs).unwrap();
    let before = foreign(world.vs("shop"));
    let mut object = rollout("demo", &["shop"]);
    let steps = (1..=10).map(|n| json!({"weight": format!("{}%", n * 10), "hold": "5m"}));
    object["spec"]["steps"] = steps.collect();
    world.store.put(object).unwrap();
    world.start("daemon-1");
    for n in 1..=10 {
        world
            .until("the next weight", |w| w.weight("shop") == n * 10)
            .await;
        assert_eq!(foreign(world.vs("shop")), before, "at {n}0%");
    }
}

#[tokio::test(start_paused = true)]
async fn a_foreign_weight_on_what_is_idle_is_put_back_or_yielded_to_and_never_a_jump() {
    let world = walking_at_25().await;
    for raised in [26, 100] {
        weigh(&world, "shop", raised);
        tokio::time::sleep(Duration::from_millis(900)).await;
        assert_eq!(world.weight("shop"), 25, "put back at once");
        world.pass(5).await;
    }
    world.say("rollback", json!({"components": ["shop"], "who": "ada"}));
    world.until("0%", |w| w.weight("shop") == 0).await;
    world.pass(7200).await;
    weigh(&world, "shop", 50);
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(world.weight("shop"), 0, "put back at once, although it idles");
    world.pass(7200).await;
    world.say("retry", json!({"components": ["shop"], "who": "ada"}));
    world
        .until("completed", |w| w.component("shop").state == State::Completed)
        .await;
    world.pass(60).await;
    let mut changes = world.store.subscribe(ROUTES);
    weigh(&world, "shop", 60);
    world.pass(3600).await;
    assert_eq!(world.weight("shop"), 60, "a lowering is yielded to");
    while let Ok(change) = changes.try_recv() {
        let weight = &change.object["spec"]["http"][0]["route"][1]["weight"];
        assert_eq!(*weight, json!(60), "never a jump");
    }
}

#[tokio::test(start_paused = true)]
async fn news_that_nobody_takes_delay_no_rollback() {
    let world = walking_at_25().await;
    for verb in ["create", "patch"] {
        let hang = Fault::new(Action::Hang)
            .verb(verb)
            .resource("events.events.k8s.io");
        world.store.faults().inject(hang);
        let hang = Fault::new(Action::Hang).verb(verb).resource("events");
        world.store.faults().inject(hang);
    }
    let asked = world.clock.now();
    world.say("rollback", json!({"components": ["shop"], "who": "ada"}));
    while world.weight("shop") != 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let took = world.clock.now().duration_since(asked).as_millis();
        assert!(took < 2000, "{took} ms");
    }
    world
        .until("told", |w| w.component("shop").state == State::RolledBack)
        .await;
}

#[tokio::test(start_paused = true)]
async fn asked_for_the_weight_that_is_there_already_a_route_gets_a_mark_and_no_other_byte() {
    let world = walking_at_25().await;
    world.say("pause", json!({"components": ["shop"], "who": "ada"}));
    world
        .until("paused", |w| w.component("shop").reason == Reason::Paused)
        .await;
    let before = bytes(&world);
    for _ in 0..2 {
        let id = world.say(
            "set",
            json!({"components": ["shop"], "weight": "25%", "who": "ada"}),
        );
        world
            .until("answered", |w| w.status().commands.iter().any(|c| c.id == id))
            .await;
        world.pass(60).await;
        assert_eq!(bytes(&world), before);
        let marked = version(&world.vs("shop"));
        world.pass(3600).await;
        assert_eq!(version(&world.vs("shop")), marked, "looking writes nothing");
    }
}

#[tokio::test(start_paused = true)]
async fn a_third_destination_keeps_its_share_and_the_pair_moves_within_the_rest() {
    let mut world = World::new();
    let mut vs = virtual_service("shop");
    let third = json!({"destination": {"host": "beta"}, "weight": 25});
    vs["spec"]["http"][0]["route"].as_array_mut().unwrap().push(third);
    world.store.put(vs).unwrap();
    world.store.put(rollout("demo", &["shop"])).unwrap();
    world.start("daemon-1");
    let weights = |w: &World| {
        let route = w.vs("shop")["spec"]["http"][0]["route"].clone();
        [0, 1, 2].map(|n: usize| route[n]["weight"].as_i64().unwrap())
    };
    for expected in [
        [95, 5, 25],
        [75, 25, 25],
        [50, 50, 25],
        [25, 75, 25],
        [0, 100, 25],
    ] {
        world.until("the next step", |w| weights(w) == expected).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_brings_testers_back_once() {
    let mut world = World::new();
    world.store.put(virtual_service("shop")).unwrap();
    let mut object = rollout("demo", &["shop"]);
    object["spec"]["components"][0]["routers"][0]["istio"]["testers"] =
        json!({"headers": {"canary": "true"}});
    world.store.put(object).unwrap();
    world.start("daemon-1");
    let rules = |w: &World| w.vs("shop")["spec"]["http"].as_array().unwrap().len();
    for _ in 0..3 {
        world
            .until("5% and a rule", |w| main(w) == 5 && rules(w) == 2)
            .await;
        world.say("rollback", json!({"components": ["shop"], "who": "ada"}));
        world.until("alone", |w| rules(w) == 1 && main(w) == 0).await;
        world
            .until("told", |w| w.component("shop").state == State::RolledBack)
            .await;
        world.say("retry", json!({"components": ["shop"], "who": "ada"}));
    }
}

fn main(world: &World) -> u64 {
    world.weight("shop")
}

/// A pair told apart by subset and port, and what is said when the object that brings it changes like this at 5%.
async fn held(change: impl FnOnce(&mut Value)) -> String {
    let mut world = World::new();
    let to = |subset: &str| json!({"host": "shop", "subset": subset, "port": 8080});
    let mut vs = virtual_service("shop");
    for (arm, subset) in ["v1", "v2"].into_iter().enumerate() {
        vs["spec"]["http"][0]["route"][arm]["destination"] =
            json!({"host": "shop", "subset": subset, "port": {"number": 8080}});
    }
    world.store.put(vs).unwrap();
    world.store.put(virtual_service("cart")).unwrap();
    let mut object = rollout("demo", &["shop", "cart"]);
    let mut shop = component("shop");
    shop["routers"][0]["istio"]["canary"] = to("v2");
    shop["routers"][0]["istio"]["control"] = to("v1");
    object["spec"]["components"][0] = shop;
    world.store.put(object).unwrap();
    world.start("daemon-1");
    world
        .until("5%", |w| w.weight("shop") == 5 && w.weight("cart") == 5)
        .await;
    let mut vs = world.vs("shop");
    change(&mut vs);
    world.store.put(vs).unwrap();
    let before = version(&world.vs("shop"));
    world.until("cart goes on", |w| w.weight("cart") == 50).await;
    let shop = world.component("shop");
    assert_eq!(shop.reason, Reason::RouterUnreadable, "{}", shop.message);
    assert!(
        shop.message.contains("virtualservice sealos-system/shop"),
        "{}",
        shop.message
    );
    assert_eq!(version(&world.vs("shop")), before, "nothing is written");
    shop.message
}

#[tokio::test(start_paused = true)]
async fn a_subset_that_is_not_there_is_named() {
    let message = held(|vs| vs["spec"]["http"][0]["route"][1]["destination"]["subset"] = "v3".into()).await;
    assert!(message.contains("canary destination shop subset v2"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn a_port_that_is_not_there_is_named() {
    let message =
        held(|vs| vs["spec"]["http"][0]["route"][1]["destination"]["port"]["number"] = 9090.into()).await;
    assert!(message.contains("port 8080"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn a_write_that_arrived_although_its_answer_was_lost_is_not_written_twice() {
    let world = World::with(&["shop"]);
    world.until("5%", |w| w.weight("shop") == 5).await;
    let lost = Fault::new(Action::FailAfter(Failure::new(
        504,
        "Timeout",
        "the answer was lost",
    )));
    world
        .store
        .faults()
        .inject(lost.verb("patch").resource(ROUTES).times(1));
    world.until("25%", |w| w.weight("shop") == 25).await;
    world
        .until("known", |w| w.component("shop").weight.written == percent(25))
        .await;
    let raised = |w: &World| {
        w.component("shop")
            .history
            .iter()
            .filter(|h| h.to == percent(25))
            .count()
    };
    world.until("50%", |w| w.weight("shop") == 50).await;
    assert_eq!(raised(&world), 1, "{:?}", world.component("shop").history);
}
