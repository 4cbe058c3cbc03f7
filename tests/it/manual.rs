//! Weights that only a person can set: the person is asked once, nothing is done before it is, and a rollback of
//! everything else waits for nobody.

use crate::cli_cluster::{Cluster, NAMESPACE};
use crate::support::world::{World, percent, rollout, virtual_service};
use gradual_rollout::rollout::reason::State;
use gradual_rollout::rollout::status::RouterStatus;
use gradual_rollout::rollout::weight::Weight;
use gradual_rollout::routing::confirmation;
use serde_json::{Value, json};

const WORDS: &str = "set pool `new` at the load balancer";

fn world() -> World {
    let mut world = World::new();
    world.store.put(virtual_service("shop")).unwrap();
    let mut object = rollout("demo", &["shop"]);
    let routers = object["spec"]["components"][0]["routers"].as_array_mut().unwrap();
    routers.insert(0, json!({"manual": {"instructions": WORDS}}));
    world.store.put(object).unwrap();
    world.start("daemon-1");
    world
}

fn asked(world: &World) -> Option<String> {
    let manual = |r: &&RouterStatus| r.router == "manual";
    world
        .component("shop")
        .routers
        .iter()
        .find(manual)?
        .waiting_for
        .clone()
}

fn tells_of(world: &World, weight: &str) -> bool {
    asked(world).is_some_and(|text| text.contains(&format!("set shop to {weight}")))
}

/// As `gradual-rollout confirm shop` does.
fn confirm(world: &World) {
    let said = confirmation(&world.component("shop"), "ada");
    world.annotate("rollout.sealos.io/m.shop", &said.expect("somebody is asked"));
}

fn events(world: &World) -> Vec<Value> {
    let all = world.store.list("events");
    let ours = all.iter().filter(|e| e["reason"] == "WaitingForPerson");
    ours.map(|e| (**e).clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn the_inner_router_is_raised_the_person_is_asked_once_and_nothing_goes_on_before_it_is_done() {
    let world = world();
    world.until("asked for 5%", |w| tells_of(w, "5%")).await;
    assert_eq!(world.weight("shop"), 5, "what is further in was raised before");
    let words = asked(&world).unwrap();
    assert!(
        words.contains("`gradual-rollout confirm shop`: set pool"),
        "{words}"
    );
    world.pass(3600).await;
    let c = world.component("shop");
    assert_eq!(
        c.weight.written,
        Weight::ZERO,
        "a person takes as long as a person takes"
    );
    assert_eq!(world.weight("shop"), 5);
    let told = events(&world);
    assert_eq!(told.len(), 1, "asked once");
    assert!(told[0].to_string().contains(WORDS), "{told:?}");
    confirm(&world);
    world
        .until("the step is written", |w| {
            w.component("shop").weight.written == percent(5)
        })
        .await;
    assert_eq!(asked(&world), None);
    world.until("asked for 25%", |w| tells_of(w, "25%")).await;
    confirm(&world);
    world
        .until("the next step", |w| {
            w.component("shop").weight.written == percent(25)
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_rollback_takes_everything_else_back_at_once_and_is_done_when_the_person_is() {
    let world = world();
    world.until("asked for 5%", |w| tells_of(w, "5%")).await;
    confirm(&world);
    world
        .until("5%", |w| w.component("shop").weight.written == percent(5))
        .await;
    world.say("rollback", json!({"components": ["shop"], "who": "ada"}));
    world
        .until("asked for 0%", |w| w.weight("shop") == 0 && tells_of(w, "0%"))
        .await;
    world.pass(3600).await;
    let c = world.component("shop");
    assert!(c.lowering.is_some(), "not done before it is: {c:#?}");
    let warned = events(&world).iter().filter(|e| e["type"] == "Warning").count();
    assert_eq!(warned, 1, "one alarm, not one per look");
    confirm(&world);
    world
        .until("done", |w| {
            let c = w.component("shop");
            c.state == State::RolledBack && c.lowering.is_none()
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_rollback_before_the_person_did_anything_asks_for_nothing() {
    let world = world();
    world.until("asked for 5%", |w| tells_of(w, "5%")).await;
    world.say("rollback", json!({"components": ["shop"], "who": "ada"}));
    world
        .until("back", |w| {
            let c = w.component("shop");
            w.weight("shop") == 0 && c.state == State::RolledBack && c.lowering.is_none()
        })
        .await;
    assert_eq!(asked(&world), None);
}

#[tokio::test(start_paused = true)]
async fn the_next_daemon_asks_again_and_takes_what_was_confirmed_meanwhile() {
    let mut world = world();
    world.until("asked for 5%", |w| tells_of(w, "5%")).await;
    confirm(&world);
    world
        .until("5%", |w| w.component("shop").weight.written == percent(5))
        .await;
    world.say("rollback", json!({"components": ["shop"], "who": "ada"}));
    world.until("asked for 0%", |w| tells_of(w, "0%")).await;
    world.kill().await;
    confirm(&world);
    world.start("daemon-2");
    world
        .until("done", |w| {
            let c = w.component("shop");
            c.state == State::RolledBack && c.lowering.is_none()
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn confirm_writes_what_is_asked_and_refuses_when_nobody_is() {
    let cluster = Cluster::start().await;
    let name = "gradualrollouts.rollout.sealos.io";
    let (code, out, err) = cluster.run(&["confirm", "shop"]).await;
    assert_eq!(code, 3, "{out}{err}");
    assert!(err.contains("with the router `manual`"), "{err}");
    let mut object = (*cluster.store.get(name, NAMESPACE, "shop").unwrap()).clone();
    object["spec"]["components"][0]["routers"] = json!([{"manual": {"instructions": WORDS}}]);
    cluster.store.put(object).unwrap();
    let (code, out, err) = cluster.run(&["confirm", "shop"]).await;
    assert_eq!(code, 3, "{out}{err}");
    assert!(err.contains("waits for nobody"), "{err}");
    let shop = json!({"name": "shop", "state": "Walking", "reason": "Step", "message": "raising",
        "weight": {"asked": "50%", "written": "40%"},
        "intent": {"id": "01B", "weight": "50%", "reason": "Step", "at": "2026-03-02T09:00:00Z", "objects": []},
        "routers": [{"router": "manual", "asked": "50%", "settled": false, "waitingFor": "a person"}]});
    cluster
        .store
        .put_status(name, NAMESPACE, "shop", json!({"components": [shop]}))
        .unwrap();
    let (code, out, err) = cluster.run(&["confirm", "shop"]).await;
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(out, "confirmed: shop of shop is at 50%\n");
    let object = cluster.store.get(name, NAMESPACE, "shop").unwrap();
    assert_eq!(
        object["metadata"]["annotations"]["rollout.sealos.io/m.shop"],
        "01B 50% Step by eve"
    );
    let (code, out, err) = cluster.run(&["rollback", "shop", "--no-confirm"]).await;
    assert_eq!(code, 3, "{out}{err}");
    assert!(
        format!("{out}{err}").contains("only a person can set it"),
        "{out}{err}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_person_alone_is_a_router_too() {
    let mut world = World::new();
    let mut object = rollout("demo", &["shop"]);
    object["spec"]["components"][0]["routers"] = json!([{"manual": {"instructions": WORDS}}]);
    world.store.put(object).unwrap();
    world.start("daemon-1");
    world.until("asked", |w| tells_of(w, "5%")).await;
    confirm(&world);
    world
        .until("written", |w| w.component("shop").weight.written == percent(5))
        .await;
}

#[tokio::test(start_paused = true)]
async fn without_a_control_arm_a_person_is_asked_too() {
    let mut world = World::new();
    let mut object = rollout("demo", &["shop"]);
    object["spec"]["components"][0]["routers"] = json!([{"manual": {"instructions": WORDS}}]);
    object["spec"]["components"][0]["arms"]
        .as_object_mut()
        .unwrap()
        .remove("control");
    world.store.put(object).unwrap();
    world.start("daemon-1");
    world.until("asked", |w| tells_of(w, "5%")).await;
}
