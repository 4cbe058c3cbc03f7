//! The engine over the wire: watches, writes, races and restarts, in virtual time.

use crate::support::world::{NS, World, percent, rollout, virtual_service};
use gradual_rollout::rollout::reason::{Reason, State, Verdict};
use gradual_rollout::rollout::status::CommandResult;
use gradual_rollout::sandbox::apiserver::{Action, Fault};
use serde_json::json;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn a_healthy_component_walks_its_plan_to_the_end() {
    let world = World::with(&["shop"]);
    world.until("100%", |w| w.weight("shop") == 100).await;
    world
        .until("completed", |w| w.component("shop").state == State::Completed)
        .await;
    let c = world.component("shop");
    assert_eq!(c.weight.written, percent(100));
    assert_eq!(c.history.len(), 5, "{:#?}", c.history);
    let vs = world.vs("shop");
    assert_eq!(vs["spec"]["http"][0]["timeout"], "7s", "what is not ours stays");
    assert_eq!(vs["metadata"]["labels"]["kept"], "yes");
    assert_eq!(world.status().condition("Completed").unwrap().status, "True");
}

#[tokio::test(start_paused = true)]
async fn the_usual_rate_is_asked_for_only_when_nearly_all_traffic_is_on_the_canary() {
    let world = World::with(&["shop"]);
    world
        .until("done", |w| w.component("shop").state == State::Completed)
        .await;
    let asked = world.traffic.usual();
    assert!(asked.contains(&(100, true)), "{asked:?}");
    assert!(asked.contains(&(25, false)), "{asked:?}");
    assert!(
        asked.iter().all(|&(share, usual)| !usual || share > 90),
        "{asked:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_failing_canary_goes_back_and_the_others_go_on() {
    let world = World::with(&["shop", "cart"]);
    world
        .until("25%", |w| w.weight("shop") == 25 && w.weight("cart") == 25)
        .await;
    world.pass(120).await;
    world.traffic.fail("shop");
    let failed = world.clock.now();
    world.until("shop at 0", |w| w.weight("shop") == 0).await;
    let took = world.clock.now().duration_since(failed).as_secs();
    assert!(took <= 31, "a canary that fails 70% took {took}s");
    world
        .until("cart done", |w| w.component("cart").state == State::Completed)
        .await;
    let c = world.component("shop");
    assert_eq!((c.state, c.reason), (State::RolledBack, Reason::Breach));
    assert_eq!(world.weight("shop"), 0);
    let why = c.checks.iter().find(|k| k.verdict == Verdict::Breach);
    assert!(
        why.is_some_and(|k| k.evidence.is_some() && k.value.is_some()),
        "what it went back for can be read afterwards: {:#?}",
        c.checks
    );
    assert_eq!(world.status().condition("Stalled").unwrap().status, "True");
    assert_eq!(world.status().condition("Ready").unwrap().reason, "RolledBack");
}

#[tokio::test(start_paused = true)]
async fn a_router_that_hangs_keeps_no_other_component_up() {
    let world = World::with(&["shop", "cart"]);
    world
        .until("25%", |w| w.weight("shop") == 25 && w.weight("cart") == 25)
        .await;
    world.pass(120).await;
    let hang = Fault::new(Action::Delay(Duration::from_secs(300)))
        .resource("virtualservices.networking.istio.io")
        .name("cart");
    world.store.faults().inject(hang.clone().verb("get"));
    world.store.faults().inject(hang.verb("patch"));
    world.say(
        "set",
        json!({"components": ["cart"], "weight": "30%", "who": "ada"}),
    );
    world.pass(15).await;
    world.traffic.fail("shop");
    let failed = world.clock.now();
    world.until("shop at 0", |w| w.weight("shop") == 0).await;
    assert!(world.clock.now().duration_since(failed).as_secs() <= 31);
    assert_eq!(world.weight("cart"), 25);
}

#[tokio::test(start_paused = true)]
async fn darkness_holds_and_light_goes_on() {
    let world = World::with(&["shop"]);
    world.until("25%", |w| w.weight("shop") == 25).await;
    world.traffic.darken(true);
    world.pass(3600).await;
    assert_eq!(world.weight("shop"), 25);
    assert_eq!(world.component("shop").reason, Reason::Blind);
    world.traffic.darken(false);
    world
        .until("completed", |w| w.component("shop").state == State::Completed)
        .await;
}

#[tokio::test(start_paused = true)]
async fn killed_at_any_moment_it_goes_on_where_it_was() {
    let mut world = World::with(&["shop"]);
    for n in 0..40 {
        world.pass(23).await;
        world.kill().await;
        let before = world.weight("shop");
        world.start(&format!("daemon-{}", n + 2));
        world.pass(1).await;
        assert_eq!(world.weight("shop"), before, "a start alone moves nothing");
        // The Lease of the dead runs out first.
        world.pass(16).await;
    }
    world
        .until("completed", |w| w.component("shop").state == State::Completed)
        .await;
    let weights: Vec<_> = world.component("shop").history.iter().map(|h| h.to).collect();
    assert_eq!(
        weights,
        [5, 25, 50, 75, 100].map(percent),
        "no step is skipped, none is taken twice"
    );
}

#[tokio::test(start_paused = true)]
async fn a_failing_canary_goes_back_although_the_daemon_dies_again_and_again() {
    let mut world = World::with(&["shop"]);
    world.until("25%", |w| w.weight("shop") == 25).await;
    world.pass(180).await;
    world.traffic.fail("shop");
    for n in 0..5 {
        world.kill().await;
        world.start(&format!("daemon-{}", n + 2));
        world.pass(35).await;
    }
    world.until("shop at 0", |w| w.weight("shop") == 0).await;
    world
        .until("known", |w| w.component("shop").state == State::RolledBack)
        .await;
}

#[tokio::test(start_paused = true)]
async fn the_younger_of_two_resources_that_route_one_object_writes_nothing() {
    let world = World::with(&["shop"]);
    world.until("5%", |w| w.weight("shop") == 5).await;
    world.store.put(rollout("younger", &["shop"])).unwrap();
    world.pass(60).await;
    let younger = world.rollout("younger");
    let ready = younger["status"]["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .find(|c| c["type"] == "Stalled")
        .unwrap();
    assert_eq!(
        (&ready["status"], &ready["reason"]),
        (&json!("True"), &json!("Claimed")),
        "{younger:#}"
    );
    world.until("the older goes on", |w| w.weight("shop") == 25).await;
    world
        .store
        .delete("gradualrollouts.rollout.sealos.io", NS, "demo")
        .unwrap();
    world
        .until("the younger takes over", |w| {
            w.rollout("younger")
                .pointer("/status/components/0/weight/written")
                .is_some()
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_spec_that_cannot_be_used_is_told_and_nothing_is_written() {
    let world = World::new();
    world.store.put(virtual_service("shop")).unwrap();
    let mut bad = rollout("demo", &["shop"]);
    bad["spec"]["checks"] = json!([{"name": "errors", "rollback": {"maxx": "1%"}}]);
    world.store.put(bad).unwrap();
    let mut world = world;
    world.start("daemon-1");
    world
        .until("stalled", |w| {
            w.status()
                .condition("Stalled")
                .is_some_and(|c| c.status == "True")
        })
        .await;
    let stalled = world.status().condition("Stalled").unwrap().clone();
    assert_eq!(stalled.reason, "InvalidSpec");
    assert!(
        stalled.message.contains("spec.checks[0].rollback"),
        "{}",
        stalled.message
    );
    world.pass(600).await;
    assert_eq!(world.weight("shop"), 0);
    let good = rollout("demo", &["shop"]);
    world.store.put(good).unwrap();
    world.until("5%", |w| w.weight("shop") == 5).await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_object_holds_its_component_by_name_and_the_others_go_on() {
    let world = World::with(&["shop", "cart"]);
    world.until("5%", |w| w.weight("shop") == 5).await;
    world
        .store
        .delete("virtualservices.networking.istio.io", NS, "cart")
        .unwrap();
    world
        .until("shop done", |w| w.component("shop").state == State::Completed)
        .await;
    let cart = world.component("cart");
    assert_eq!(cart.reason, Reason::RouterUnreadable);
    assert!(
        cart.message.contains("virtualservice sealos-system/cart"),
        "{}",
        cart.message
    );
    world.store.put(virtual_service("cart")).unwrap();
    world.pass(60).await;
    assert_eq!(
        world.component("cart").state,
        State::Drifted,
        "somebody lowered it: that is yielded to"
    );
}

#[tokio::test(start_paused = true)]
async fn a_command_is_done_once_answered_and_removed() {
    let world = World::with(&["shop"]);
    world.until("25%", |w| w.weight("shop") == 25).await;
    let id = world.say(
        "rollback",
        json!({"components": ["shop"], "reason": "test", "who": "ada"}),
    );
    world.until("0%", |w| w.weight("shop") == 0).await;
    world
        .until("answered", |w| w.status().commands.iter().any(|c| c.id == id))
        .await;
    world
        .until("removed", |w| {
            let annotations = w.object()["metadata"]["annotations"].clone();
            annotations
                .as_object()
                .is_none_or(|a| a.keys().all(|k| !k.contains(&id)))
        })
        .await;
    let outcome = world
        .status()
        .commands
        .iter()
        .find(|c| c.id == id)
        .unwrap()
        .clone();
    assert_eq!(outcome.result, CommandResult::Accepted);
    let who = outcome.who.unwrap();
    assert!(
        who.starts_with("ada (claimed"),
        "{who}: nothing guards commands here"
    );
    world.pass(3600).await;
    assert_eq!(world.weight("shop"), 0, "what was rolled back stays back");
    world.say("retry", json!({"components": ["shop"], "who": "ada"}));
    world.until("5% again", |w| w.weight("shop") == 5).await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_rollout_writes_nothing_at_all() {
    let world = World::with(&["shop"]);
    world
        .until("completed", |w| w.component("shop").state == State::Completed)
        .await;
    world.pass(120).await;
    let before = world.object()["metadata"]["resourceVersion"].clone();
    let route = world.vs("shop")["metadata"]["resourceVersion"].clone();
    world.pass(3 * 3600).await;
    assert_eq!(world.object()["metadata"]["resourceVersion"], before);
    assert_eq!(world.vs("shop")["metadata"]["resourceVersion"], route);
}

#[tokio::test(start_paused = true)]
async fn told_to_stop_it_gives_the_lease_back() {
    let mut world = World::with(&["shop"]);
    world.until("5%", |w| w.weight("shop") == 5).await;
    world.stop().await;
    let lease = world
        .store
        .get("leases.coordination.k8s.io", NS, "gradual-rollout")
        .unwrap();
    assert_eq!(lease["spec"]["holderIdentity"].as_str().unwrap_or_default(), "");
}

#[tokio::test(start_paused = true)]
async fn deleted_with_restore_the_traffic_goes_back_first() {
    let world = World::with(&["shop"]);
    let mut object = world.object();
    object["spec"]["onDelete"] = json!("restore");
    world.store.put(object).unwrap();
    world.until("25%", |w| w.weight("shop") == 25).await;
    let resources = "gradualrollouts.rollout.sealos.io";
    let mut routes = world.store.subscribe("virtualservices.networking.istio.io");
    let mut rollouts = world.store.subscribe(resources);
    world.store.delete(resources, NS, "demo").unwrap();
    world.until("gone", |w| w.object().is_null()).await;
    assert_eq!(world.weight("shop"), 0);
    let mut back = None;
    while let Ok(change) = routes.try_recv() {
        if change.object["spec"]["http"][0]["route"][1]["weight"] == json!(0) {
            back = back.or(Some(change.version));
        }
    }
    let mut over = None;
    while let Ok(change) = rollouts.try_recv() {
        over = over.or(change.deleted.then_some(change.version));
    }
    assert!(
        back.is_some() && back < over,
        "at 0% in version {back:?}, the resource gone in {over:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn deleted_with_restore_it_does_not_wait_for_an_object_that_is_gone() {
    let world = World::with(&["shop", "cart"]);
    let mut object = world.object();
    object["spec"]["onDelete"] = json!("restore");
    world.store.put(object).unwrap();
    world
        .until("25%", |w| w.weight("shop") == 25 && w.weight("cart") == 25)
        .await;
    world
        .store
        .delete("virtualservices.networking.istio.io", NS, "cart")
        .unwrap();
    world.pass(30).await;
    world
        .store
        .delete("gradualrollouts.rollout.sealos.io", NS, "demo")
        .unwrap();
    world.until("gone", |w| w.object().is_null()).await;
    assert_eq!(world.weight("shop"), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_given_back_is_not_marked_again_for_want_of_another_object() {
    let mut object = rollout("demo", &["shop"]);
    object["spec"]["onDelete"] = json!("restore");
    let services = &mut object["spec"]["components"][0]["routers"][0]["istio"]["virtualServices"];
    let mut second = services[0].clone();
    second["name"] = "inside".into();
    services.as_array_mut().unwrap().push(second);
    let mut inside = virtual_service("shop");
    inside["metadata"]["name"] = "inside".into();
    let mut world = World::new();
    for object in [virtual_service("shop"), inside, object] {
        world.store.put(object).unwrap();
    }
    world.start("a");
    world.until("25%", |w| w.weight("shop") == 25).await;
    world
        .store
        .delete("virtualservices.networking.istio.io", NS, "inside")
        .unwrap();
    world.pass(30).await;
    world
        .store
        .delete("gradualrollouts.rollout.sealos.io", NS, "demo")
        .unwrap();
    world.until("gone", |w| w.object().is_null()).await;
    world.pass(120).await;
    let vs = world.vs("shop");
    assert_eq!(world.weight("shop"), 0);
    let marks = vs["metadata"]["annotations"].as_object();
    let ours = marks
        .into_iter()
        .flatten()
        .any(|(key, _)| key.starts_with("rollout.sealos.io/"));
    assert!(!ours, "marked again: {vs}");
}

#[tokio::test(start_paused = true)]
async fn an_edit_that_cannot_be_used_raises_nothing_and_protects_as_before() {
    let world = World::with(&["shop"]);
    world.until("25%", |w| w.weight("shop") == 25).await;
    world.pass(120).await;
    let mut object = world.object();
    object["spec"]["steps"][1]["weight"] = json!("4%");
    object["spec"]["steps"] = json!([{"weight": "5%", "hold": "5m"}, {"weight": "90%", "hold": "5m"}]);
    world.store.put(object).unwrap();
    world
        .until("told", |w| {
            w.status()
                .condition("Stalled")
                .is_some_and(|c| c.reason == "InvalidSpec")
        })
        .await;
    world.pass(1800).await;
    assert_eq!(
        world.weight("shop"),
        25,
        "nothing rises by a spec that cannot be used"
    );
    world.traffic.fail("shop");
    world.until("0%", |w| w.weight("shop") == 0).await;
}

#[tokio::test(start_paused = true)]
async fn an_old_manifest_applied_again_does_not_undo_a_rollback() {
    let world = World::with(&["shop"]);
    world.until("25%", |w| w.weight("shop") == 25).await;
    let saved = world.vs("shop");
    world.say("rollback", json!({"components": ["shop"], "who": "ada"}));
    world.until("0%", |w| w.weight("shop") == 0).await;
    world.pass(30).await;
    let mut copy = saved;
    copy["metadata"]["resourceVersion"] = world.vs("shop")["metadata"]["resourceVersion"].clone();
    world.store.put(copy).unwrap();
    world.until("put back", |w| w.weight("shop") == 0).await;
    assert_eq!(world.component("shop").state, State::RolledBack);
}

#[tokio::test(start_paused = true)]
async fn what_somebody_lowered_further_no_emergency_lifts() {
    let mut world = World::new();
    for name in ["shop", "spa"] {
        world.store.put(virtual_service(name)).unwrap();
    }
    let mut object = rollout("demo", &["shop"]);
    let pair = object["spec"]["components"][0]["routers"][0]["istio"].clone();
    let mut spa = virtual_service("spa");
    spa["spec"]["http"][0]["route"][0]["destination"] = pair["control"].clone();
    spa["spec"]["http"][0]["route"][1]["destination"] = pair["canary"].clone();
    world.store.put(spa).unwrap();
    object["spec"]["components"][0]["routers"][0]["istio"]["virtualServices"] =
        json!([{"name": "shop", "routes": ["main"]}, {"name": "spa", "routes": ["main"]}]);
    world.store.put(object).unwrap();
    world.start("daemon-1");
    world
        .until("25%", |w| w.weight("shop") == 25 && w.weight("spa") == 25)
        .await;
    let mut by_hand = world.vs("spa");
    by_hand["spec"]["http"][0]["route"][0]["weight"] = json!(97);
    by_hand["spec"]["http"][0]["route"][1]["weight"] = json!(3);
    world.store.put(by_hand).unwrap();
    world.say(
        "rollback",
        json!({"components": ["shop"], "weight": "10%", "emergency": true, "who": "ada"}),
    );
    world.until("10%", |w| w.weight("shop") == 10).await;
    world.pass(60).await;
    assert_eq!((world.weight("shop"), world.weight("spa")), (10, 3));
}

#[tokio::test(start_paused = true)]
async fn a_status_that_cannot_be_written_delays_no_rollback() {
    let world = World::with(&["shop"]);
    world.until("25%", |w| w.weight("shop") == 25).await;
    world.pass(120).await;
    let refuse = Fault::new(Action::Hang)
        .resource("gradualrollouts.rollout.sealos.io")
        .subresource("status");
    world.store.faults().inject(refuse);
    world.traffic.fail("shop");
    let failed = world.clock.now();
    world.until("0%", |w| w.weight("shop") == 0).await;
    assert!(world.clock.now().duration_since(failed).as_secs() <= 31);
    world.store.faults().clear();
    world
        .until("known", |w| w.component("shop").state == State::RolledBack)
        .await;
}

#[tokio::test(start_paused = true)]
async fn an_istio_that_serves_only_the_betas_is_moved_all_the_same() {
    let mut world = World::new();
    let mut definition = (*world
        .store
        .get(
            "customresourcedefinitions.apiextensions.k8s.io",
            "",
            "virtualservices.networking.istio.io",
        )
        .unwrap())
    .clone();
    let versions = definition["spec"]["versions"].as_array_mut().unwrap();
    versions.retain(|version| version["name"] != "v1");
    versions[0]["storage"] = json!(true);
    world.store.register_crd(&definition).unwrap();
    let mut route = virtual_service("shop");
    route["apiVersion"] = json!("networking.istio.io/v1beta1");
    world.store.put(route).unwrap();
    world.store.put(rollout("demo", &["shop"])).unwrap();
    world.start("daemon-1");
    world.until("25%", |w| w.weight("shop") == 25).await;
    world.say("rollback", json!({"components": ["shop"], "who": "ada"}));
    world.until("0%", |w| w.weight("shop") == 0).await;
}

#[tokio::test(start_paused = true)]
async fn labels_that_match_nothing_are_named_at_the_first_look() {
    let mut world = World::new();
    world.store.put(virtual_service("shop")).unwrap();
    world.store.put(rollout("demo", &["shop"])).unwrap();
    world.traffic.matches_nothing();
    world.start("daemon-1");
    for seconds in [20, 400] {
        world.pass(seconds).await;
        let c = world.component("shop");
        assert_eq!(c.reason, Reason::Blind);
        assert!(
            c.message.contains("istio_requests_total") && c.message.contains("spec.components[].arms"),
            "after {seconds} s: {}",
            c.message
        );
    }
    assert_eq!(world.weight("shop"), 0, "nothing rises on no data");
}

#[tokio::test(start_paused = true)]
async fn a_component_that_nobody_looks_at_while_it_is_paused_is_not_called_blind() {
    let mut world = World::new();
    world.store.put(virtual_service("shop")).unwrap();
    let mut demo = rollout("demo", &["shop"]);
    demo["spec"]["paused"] = json!(true);
    world.store.put(demo).unwrap();
    world.start("daemon-1");
    world.pass(3600).await;
    // Whatever happens to the resource lets it be decided about again.
    world.annotate("somebody", "was here");
    world.pass(60).await;
    let told = |w: &World| {
        let events = w.store.list("events");
        events.iter().any(|event| event["reason"] == "Blind")
    };
    assert!(!told(&world) && !world.component("shop").blind_told);

    // Going on it looks, and what it does not see then is darkness.
    world.traffic.darken(true);
    let mut demo = world.object();
    demo["spec"]["paused"] = json!(false);
    world.store.put(demo).unwrap();
    world.until("it is told", told).await;
}
