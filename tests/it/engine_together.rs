//! One object that is routed by more than one list, or by more than one component.

use crate::support::world::{NS, World, component, rollout, virtual_service};
use gradual_rollout::rollout::reason::{Reason, State};
use serde_json::{Value, json};

const ROLLOUTS: &str = "gradualrollouts.rollout.sealos.io";

/// The canaries' weights of every route, http routes first.
fn weights(world: &World) -> Vec<u64> {
    let vs = world.vs("shop");
    let routes = ["http", "tls"]
        .into_iter()
        .filter_map(|list| vs["spec"][list].as_array());
    routes
        .flatten()
        .map(|route| route["route"][1]["weight"].as_u64().unwrap())
        .collect()
}

/// Components whose routes stand in one object.
fn many(components: usize) -> (Vec<Value>, Value) {
    let mut vs = virtual_service("shop");
    let names: Vec<String> = (0..components).map(|n| format!("c{n:02}")).collect();
    let routes = names.iter().map(|name| {
        let mut route = virtual_service(name)["spec"]["http"][0].clone();
        route["name"] = json!(name);
        route["match"] = json!([{"uri": {"prefix": format!("/{name}")}}]);
        route
    });
    vs["spec"]["http"] = routes.collect::<Vec<_>>().into();
    let components = names.iter().map(|name| {
        let mut component = component(name);
        component["routers"][0]["istio"]["virtualServices"] = json!([{"name": "shop", "routes": [name]}]);
        component
    });
    (components.collect(), vs)
}

#[tokio::test(start_paused = true)]
async fn a_plan_raises_two_lists_of_one_object_and_what_was_put_back_stays_so_when_the_resource_goes() {
    let mut world = World::new();
    let mut vs = virtual_service("shop");
    let mut passthrough = vs["spec"]["http"][0]["route"].clone();
    for (arm, weight) in [(0, 70), (1, 30)] {
        vs["spec"]["http"][0]["route"][arm]["weight"] = json!(weight);
        passthrough[arm]["weight"] = json!(weight);
    }
    vs["spec"]["tls"] = json!([{"match": [{"sniHosts": ["shop.example.com"]}], "route": passthrough}]);
    world.store.put(vs).unwrap();
    let mut object = rollout("demo", &["shop"]);
    object["spec"]["onDelete"] = json!("restore");
    object["spec"]["components"][0]["routers"][0]["istio"]["virtualServices"] =
        json!([{"name": "shop", "routes": ["main"]}, {"name": "shop", "kind": "tls"}]);
    world.store.put(object).unwrap();
    world.start("daemon-1");
    world.until("50%", |w| weights(w) == [50, 50]).await;
    world.say("rollback", json!({"components": ["shop"], "who": "ada"}));
    world
        .until("back", |w| w.component("shop").state == State::RolledBack)
        .await;
    world.store.delete(ROLLOUTS, NS, "demo").unwrap();
    world.until("gone", |w| w.object().is_null()).await;
    assert_eq!(weights(&world), [0, 0]);
}

#[tokio::test(start_paused = true)]
async fn components_of_one_object_rise_one_after_the_other_and_none_waits_for_a_race_it_lost() {
    let mut world = World::new();
    let (components, vs) = many(12);
    world.store.put(vs).unwrap();
    let mut object = rollout("demo", &[]);
    object["spec"]["components"] = components.into();
    object["spec"]["paused"] = json!(true);
    world.store.put(object).unwrap();
    world.start("daemon-1");
    world
        .until("known", |w| {
            let status = w.status();
            status.components.len() == 12 && status.components.iter().all(|c| c.since.is_some())
        })
        .await;
    world.pass(30).await;
    let wish = json!({"components": ["*"], "who": "ada", "weight": "10%", "force": true});
    world.say("set", wish);
    let began = world.clock.now();
    world
        .until("all at 10%", |w| weights(w).iter().all(|weight| *weight == 10))
        .await;
    let took = world.clock.now().duration_since(began).as_secs();
    assert!(took <= 2, "{took} s");
    for c in world.status().components {
        assert_ne!(c.reason, Reason::WriteFailed, "{}: {}", c.name, c.message);
    }
}
