//! A second emergency, while a raise that was begun after the first is on its way to an object that still bears the first
//! one's mark. Nobody leads by then, so nothing but the second one's own mark can stop it.

use super::gate::Gate;
use super::{Daemon, soon};
use crate::emergency::emergency_in;
use crate::support::world::{NS, World, rollout, virtual_service};
use gradual_rollout::rollout::reason::{Reason, State};
use serde_json::{Value, json};
use std::time::Duration;

const DEPLOYMENTS: &str = "deployments.apps";

/// A component with a route and a controller, of which the controller is told first.
fn world() -> World {
    let world = World::new();
    let mut demo = rollout("demo", &["shop"]);
    let routers = demo["spec"]["components"][0]["routers"].as_array_mut().unwrap();
    routers.push(json!({"controllerSwitch": {"deployment": "shop-controller"}}));
    let controller = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "shop-controller", "namespace": NS},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "shop-controller"}}, "template": {
            "metadata": {"labels": {"app": "shop-controller"}},
            "spec": {"containers": [{"name": "controller", "image": "controller", "env": []}]}}},
    });
    for object in [virtual_service("shop"), controller, demo] {
        world.store.put(object).unwrap();
    }
    world
}

fn controller(world: &World) -> Value {
    let object = world.store.get(DEPLOYMENTS, NS, "shop-controller").unwrap();
    (*object).clone()
}

fn mark(object: &Value) -> String {
    let mark = &object["metadata"]["annotations"]["rollout.sealos.io/w.shop"];
    mark.as_str().unwrap_or_default().to_owned()
}

/// What both objects give the canary: the route in percent, the controller as its variable.
fn says(world: &World) -> (u64, u64) {
    let object = controller(world);
    let env = &object["spec"]["template"]["spec"]["containers"][0]["env"];
    let all = env.as_array().into_iter().flatten();
    let mut share = all.filter(|variable| variable["name"] == "ISTIO_PERCENTAGE");
    let share = share.next().and_then(|variable| variable["value"].as_str());
    (world.weight("shop"), share.unwrap().parse().unwrap())
}

fn is_back(world: &World) -> bool {
    let c = world.component("shop");
    c.state == State::RolledBack && c.lowering.is_none() && world.weight("shop") == 0
}

/// Holds the write of a raise to one of the objects, kills who sent it, calls an emergency, and lets the write go.
async fn during(held: &str, (verb, mut wish): (&str, Value), arguments: &[&str]) {
    // A controller may have been told of the raise before; in dual mode that stays.
    let kept = if arguments.contains(&"dual") { 10 } else { 0 };
    let is_kept = |says: (u64, u64)| says.0 == 0 && says.1 <= kept;
    let place = format!("{held} held, {verb}, {arguments:?}");
    let world = world();
    let gate = Gate::new();
    let daemon = Daemon::over(&world, "first", gate.clients(&world));
    world.until("5%", |w| w.weight("shop") == 5).await;
    world.pass(120).await;
    let first = json!({"components": ["shop"], "who": "ada", "reason": "one", "emergency": true});
    world.say("rollback", first);
    world.until("back", is_back).await;
    world.pass(120).await;
    let marks = (mark(&world.vs("shop")), mark(&controller(&world)));
    assert!(
        marks.0.ends_with(" 0% Emergency") && marks.1.ends_with(" 0% Emergency"),
        "{place}: {marks:?}"
    );
    gate.arm_at(held, 0);
    wish["components"] = json!(["shop"]);
    wish["who"] = json!("ada");
    world.say(verb, wish);
    soon(&world, &place, Duration::from_secs(900), |_| {
        gate.held().is_some()
    })
    .await;
    let declared = world.component("shop").intent;
    assert!(declared.is_some(), "{place}");
    daemon.kill().await;
    // Of the two objects the other one may have been raised before.
    let (code, out) = emergency_in(&world, arguments);
    // 4: the controller has yet to roll out what was written to it.
    assert!(
        [0, 4].contains(&code) && out.contains("Put back in"),
        "{place}: {code} {out}"
    );
    assert!(is_kept(says(&world)), "{place}: {:?}: {out}", says(&world));
    let now = (mark(&world.vs("shop")), mark(&controller(&world)));
    assert!(
        now.0 != marks.0 && now.1 != marks.1,
        "{place}: not marked anew: {out}"
    );
    gate.open();
    soon(&world, &place, Duration::from_secs(5), |_| {
        gate.answer().is_some()
    })
    .await;
    // By the `test` of the mark.
    assert_eq!(gate.answer(), Some(422), "{place}: {out}");
    let after = (mark(&world.vs("shop")), mark(&controller(&world)));
    assert_eq!(after, now, "{place}: nothing was written");
    let _second = Daemon::start(&world, "second");
    world
        .until("taken up", |w| w.component("shop").reason == Reason::Emergency)
        .await;
    world.pass(1800).await;
    assert!(is_back(&world), "{place}: {:#?}", world.component("shop"));
    assert!(is_kept(says(&world)), "{place}: {:?}", says(&world));
}

const ROUTE: &str = "PATCH virtualservices/shop";
const CONTROLLER: &str = "PATCH deployments/shop-controller";

#[tokio::test(start_paused = true)]
async fn a_second_emergency_marks_anew_so_that_no_raise_in_flight_lands_on_the_first_ones_mark() {
    let forced = || json!({"weight": "10%", "force": true});
    for held in [ROUTE, CONTROLLER] {
        during(held, ("set", forced()), &[]).await;
        during(held, ("retry", json!({})), &["--component", "shop"]).await;
    }
    during(
        ROUTE,
        ("set", forced()),
        &["--mode", "dual", "--percentage", "10"],
    )
    .await;
}
