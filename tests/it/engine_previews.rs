//! Routes for testers and mirrors over the wire: written, kept, taken away, never in the way of a rollback.

use crate::support::world::{NS, World, main_route, percent, rollout, virtual_service};
use gradual_rollout::rollout::reason::{Reason, State};
use gradual_rollout::rollout::status::CommandResult;
use gradual_rollout::sandbox::apiserver::{Action, Failure, Fault};
use serde_json::{Value, json};

const RULE: &str = "gradual-rollout-shop-testers-0";

/// `shop` with testers by a header and a mirror, both in the spec.
fn world() -> World {
    let mut world = World::new();
    world.store.put(virtual_service("shop")).unwrap();
    let mut object = rollout("demo", &["shop"]);
    let router = &mut object["spec"]["components"][0]["routers"][0]["istio"];
    router["testers"] = json!({"headers": {"canary": "true"}});
    router["mirror"] = json!("10%");
    world.store.put(object).unwrap();
    world.start("daemon-1");
    world
}

fn rules(world: &World) -> Vec<String> {
    let vs = world.vs("shop");
    let routes = vs["spec"]["http"].as_array().unwrap();
    routes
        .iter()
        .map(|r| r["name"].as_str().unwrap().to_owned())
        .collect()
}

/// What is left of the object when everything that changes by itself is taken off.
fn bare(mut vs: Value) -> Value {
    let metadata = vs["metadata"].as_object_mut().unwrap();
    for field in [
        "resourceVersion",
        "generation",
        "managedFields",
        "uid",
        "creationTimestamp",
    ] {
        metadata.remove(field);
    }
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove("rollout.sealos.io/w.shop");
        annotations.remove("rollout.sealos.io/o.shop");
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
    for entry in vs["spec"]["http"][0]["route"].as_array_mut().unwrap() {
        entry.as_object_mut().unwrap().remove("weight");
    }
    vs
}

#[tokio::test(start_paused = true)]
async fn testers_come_first_stay_through_every_step_and_go_at_the_end() {
    let world = world();
    world.until("testers", |w| rules(w) == [RULE, "main"]).await;
    assert_eq!(world.weight("shop"), 0, "before any weight");
    let main = main_route(&world.vs("shop"));
    assert_eq!(main["mirrorPercentage"], json!({"value": 10}), "{main:#}");
    let rule = world.vs("shop")["spec"]["http"][0].clone();
    assert_eq!(rule["timeout"], "7s", "what the route has, the rule has");
    for weight in [5, 25, 50, 75] {
        world.until("the next step", |w| w.weight("shop") == weight).await;
        assert_eq!(
            world.vs("shop")["spec"]["http"][0],
            rule,
            "a step touches no rule"
        );
    }
    let preview = world.component("shop").preview.unwrap();
    assert_eq!(preview.written.as_deref(), Some("header canary=true, mirror 10%"));
    world
        .until("completed", |w| w.component("shop").state == State::Completed)
        .await;
    world.until("alone", |w| rules(w) == ["main"]).await;
    world
        .until("known", |w| w.component("shop").preview.is_none())
        .await;
    assert_eq!(bare(world.vs("shop")), bare(virtual_service("shop")));
}

#[tokio::test(start_paused = true)]
async fn what_somebody_changes_of_a_route_its_testers_get_within_half_a_minute() {
    let world = world();
    world
        .until("5% and testers", |w| {
            w.weight("shop") == 5 && rules(w) == [RULE, "main"]
        })
        .await;
    world.pass(5).await;
    let edit = |field: &str, value: Value| {
        let mut theirs = world.vs("shop");
        theirs["spec"]["http"][1][field] = value;
        world.store.put(theirs).unwrap();
    };
    let rule = || world.vs("shop")["spec"]["http"][0].clone();
    edit("timeout", json!("9s"));
    edit("retries", json!({"attempts": 4}));
    world.pass(30).await;
    assert_eq!(
        (rule()["timeout"].clone(), rule()["retries"]["attempts"].clone()),
        (json!("9s"), json!(4))
    );
    edit(
        "match",
        json!([{"uri": {"prefix": "/a"}}, {"uri": {"prefix": "/b"}}]),
    );
    world.pass(30).await;
    let matches = rule()["match"].clone();
    let reached: Vec<_> = matches
        .as_array()
        .unwrap()
        .iter()
        .map(|m| &m["uri"]["prefix"])
        .collect();
    assert_eq!(reached, ["/a", "/b"], "{matches:#}");
    let only = |m: &Value| m["headers"]["canary"] == json!({"exact": "true"});
    assert!(matches.as_array().unwrap().iter().all(only), "{matches:#}");
    assert_eq!(
        (world.weight("shop"), rules(&world)),
        (5, vec![RULE.into(), "main".into()])
    );
}

#[tokio::test(start_paused = true)]
async fn testers_and_a_mirror_that_the_spec_asks_for_no_more_go_and_the_weight_stays() {
    let world = world();
    world
        .until("5% and testers", |w| {
            w.weight("shop") == 5 && rules(w) == [RULE, "main"]
        })
        .await;
    world.pass(5).await;
    let attempt = world.component("shop").attempt;
    let mut object = world.object();
    let router = &mut object["spec"]["components"][0]["routers"][0]["istio"];
    for field in ["testers", "mirror"] {
        router.as_object_mut().unwrap().remove(field).unwrap();
    }
    world.store.put(object).unwrap();
    world.pass(30).await;
    assert_eq!(rules(&world), ["main"]);
    assert_eq!(bare(world.vs("shop")), bare(virtual_service("shop")));
    assert_eq!(world.weight("shop"), 5);
    let shop = world.component("shop");
    assert_eq!((shop.state, shop.attempt), (State::Walking, attempt));
    world.until("25%", |w| w.weight("shop") == 25).await;
    assert_eq!(rules(&world), ["main"], "nor do they come back");
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_fails_loses_its_testers_and_its_mirror_with_its_weight() {
    let world = world();
    world.until("25%", |w| w.weight("shop") == 25).await;
    world.pass(120).await;
    world.traffic.fail("shop");
    world.until("0%", |w| w.weight("shop") == 0).await;
    assert_eq!(rules(&world), ["main"], "in the same write");
    assert_eq!(main_route(&world.vs("shop")).get("mirror"), None);
    world.pass(600).await;
    assert_eq!(bare(world.vs("shop")), bare(virtual_service("shop")));
    assert_eq!(world.component("shop").reason, Reason::Breach);
}

#[tokio::test(start_paused = true)]
async fn commands_add_and_remove_and_the_daemons_successor_knows() {
    let mut world = World::with(&["shop"]);
    world.until("5%", |w| w.weight("shop") == 5).await;
    let route = json!({"action": "add", "header": {"name": "canary", "value": "true"}});
    let id = world.say(
        "header-route",
        json!({"components": ["shop"], "route": route, "who": "ada"}),
    );
    world.until("a rule", |w| rules(w) == [RULE, "main"]).await;
    world
        .until("read back", |w| {
            let preview = w.component("shop").preview.unwrap_or_default();
            preview.written == Some(format!("header canary=true ({id})"))
        })
        .await;
    let outcome = world.status().commands.pop().unwrap();
    assert_eq!(
        (outcome.result, outcome.verb.as_str()),
        (CommandResult::Accepted, "header-route")
    );
    world.kill().await;
    let before = world.vs("shop");
    world.start("daemon-2");
    world.pass(30).await;
    assert_eq!(world.vs("shop"), before, "a restart writes nothing");
    world.say("mirror", json!({"components": ["shop"], "weight": "2.5%"}));
    world
        .until("a mirror", |w| {
            main_route(&w.vs("shop"))["mirrorPercentage"]["value"] == json!(2.5)
        })
        .await;
    world.say("mirror", json!({"components": ["shop"]}));
    world.say(
        "header-route",
        json!({"components": ["shop"], "route": {"action": "remove"}}),
    );
    world.until("nothing", |w| rules(w) == ["main"]).await;
    assert_eq!(bare(world.vs("shop")), bare(virtual_service("shop")));
}

#[tokio::test(start_paused = true)]
async fn detached_the_object_is_its_owners_again() {
    let world = world();
    world.until("25%", |w| w.weight("shop") == 25).await;
    world.say("detach", json!({"components": ["shop"], "who": "ada"}));
    world.until("alone", |w| rules(w) == ["main"]).await;
    world.pass(300).await;
    assert_eq!(bare(world.vs("shop")), bare(virtual_service("shop")));
    assert_eq!(world.weight("shop"), 25, "the weight stays");
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_somebody_removed_is_reported_and_not_fought_over() {
    let world = world();
    world.until("5%", |w| w.weight("shop") == 5).await;
    let mut theirs = world.vs("shop");
    theirs["spec"]["http"].as_array_mut().unwrap().remove(0);
    world.store.put(theirs).unwrap();
    world.until("25%", |w| w.weight("shop") == 25).await;
    assert_eq!(rules(&world), ["main"]);
    let message = world.component("shop").preview.unwrap().message.unwrap();
    assert!(
        message.contains("took away our rule") && message.contains(RULE),
        "{message}"
    );
    assert_eq!(
        world.component("shop").weight.written,
        percent(25),
        "the plan goes on"
    );
}

#[tokio::test(start_paused = true)]
async fn a_rule_of_our_name_that_takes_everybody_is_drift_and_taken_off_at_once() {
    let world = world();
    world
        .until("5%", |w| w.weight("shop") == 5 && rules(w) == [RULE, "main"])
        .await;
    world.pass(3).await;
    let rogue = "gradual-rollout-shop-testers-7";
    let mut theirs = world.vs("shop");
    let mut rule = theirs["spec"]["http"][0].clone();
    rule["name"] = rogue.into();
    rule["match"] = json!([{"uri": {"prefix": "/"}}]);
    theirs["spec"]["http"].as_array_mut().unwrap().insert(0, rule);
    world.store.put(theirs).unwrap();
    world.pass(3).await;
    assert_eq!(rules(&world), [RULE, "main"], "{:#}", world.vs("shop")["spec"]);
    let shop = world.component("shop");
    let told = shop.history.last().unwrap();
    assert_eq!(told.reason, Reason::DriftReverted, "{told:?}");
    assert!(told.message.contains(rogue), "{told:?}");
    // And where somebody opens our own rule to everybody, while it is at 0%.
    world.say("rollback", json!({"components": ["shop"], "who": "ada"}));
    world
        .until("back", |w| rules(w) == ["main"] && w.weight("shop") == 0)
        .await;
    world.pass(10).await;
    let mut theirs = world.vs("shop");
    let mut rule = theirs["spec"]["http"][0].clone();
    rule["name"] = rogue.into();
    rule["route"].as_array_mut().unwrap().remove(0);
    theirs["spec"]["http"].as_array_mut().unwrap().insert(0, rule);
    world.store.put(theirs).unwrap();
    world.pass(3).await;
    assert_eq!(rules(&world), ["main"], "{:#?}", world.component("shop"));
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_refuses_our_rules_is_named_and_holds_no_weight_up() {
    let mut world = World::new();
    world.store.put(virtual_service("shop")).unwrap();
    let refuse = Failure::new(
        403,
        "Forbidden",
        "admission webhook \"rules.corp\" denied the request",
    );
    // The very first write is the testers'.
    world.store.faults().inject(
        Fault::new(Action::Fail(refuse))
            .verb("patch")
            .resource("virtualservices.networking.istio.io")
            .times(1),
    );
    let mut object = rollout("demo", &["shop"]);
    object["spec"]["components"][0]["routers"][0]["istio"]["testers"] =
        json!({"headers": {"canary": "true"}});
    world.store.put(object).unwrap();
    world.start("daemon-1");
    world
        .until("told", |w| {
            let preview = w.component("shop").preview.unwrap_or_default();
            preview.message.is_some_and(|m| m.contains("rules.corp"))
        })
        .await;
    world.until("5%", |w| w.weight("shop") == 5).await;
    world.until("tried again", |w| rules(w) == [RULE, "main"]).await;
    world
        .until("forgotten", |w| {
            w.component("shop").preview.unwrap().message.is_none()
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_users_mirror_is_left_alone_and_the_plan_goes_on() {
    let mut world = World::new();
    let mut vs = virtual_service("shop");
    vs["spec"]["http"][0]["mirror"] = json!({"host": "shadow"});
    world.store.put(vs).unwrap();
    let mut object = rollout("demo", &["shop"]);
    object["spec"]["components"][0]["routers"][0]["istio"]["mirror"] = json!("10%");
    world.store.put(object).unwrap();
    world.start("daemon-1");
    world.until("25%", |w| w.weight("shop") == 25).await;
    let preview = world.component("shop").preview.unwrap();
    assert!(
        preview.message.unwrap().contains("has a `mirror` of its own"),
        "named, with the remedy"
    );
    assert_eq!(main_route(&world.vs("shop"))["mirror"], json!({"host": "shadow"}));
}

#[tokio::test(start_paused = true)]
async fn with_testers_an_idle_rollout_writes_nothing() {
    let world = world();
    world.until("5%", |w| w.weight("shop") == 5).await;
    world.say("pause", json!({"components": ["shop"], "who": "ada"}));
    world.pass(60).await;
    let before = world.vs("shop");
    world.pass(3600).await;
    assert_eq!(world.vs("shop"), before);
}

#[tokio::test(start_paused = true)]
async fn deleted_with_keep_the_weight_stays_and_testers_and_mirror_go() {
    let world = world();
    let mut object = world.object();
    object["spec"]["onDelete"] = json!("keep");
    world.store.put(object).unwrap();
    world
        .until("25%", |w| w.weight("shop") == 25 && rules(w) == [RULE, "main"])
        .await;
    world
        .store
        .delete("gradualrollouts.rollout.sealos.io", NS, "demo")
        .unwrap();
    world.until("gone", |w| w.object().is_null()).await;
    assert_eq!(world.weight("shop"), 25);
    assert_eq!(rules(&world), ["main"]);
    assert_eq!(
        bare(world.vs("shop")),
        bare(virtual_service("shop")),
        "nor a mirror, nor a mark"
    );
}

#[tokio::test(start_paused = true)]
async fn a_rollback_takes_testers_and_mirror_off_a_route_without_the_pair_and_is_over_where_nothing_leads_to_the_canary()
 {
    for (arm, is_over) in [("shop-v1", true), ("shop-v2", false)] {
        for name in ["main", "renamed"] {
            let world = world();
            world
                .until("25%", |w| w.weight("shop") == 25 && rules(w) == [RULE, "main"])
                .await;
            let mut vs = world.vs("shop");
            let main = &mut vs["spec"]["http"][1];
            main["name"] = name.into();
            let mut entries = main["route"].as_array().unwrap().clone();
            entries.retain(|entry| entry["destination"]["host"].as_str().unwrap().starts_with(arm));
            entries[0].as_object_mut().unwrap().remove("weight");
            main["route"] = entries.into();
            world.store.put(vs).unwrap();
            world.pass(5).await;
            world.say("rollback", json!({"components": ["shop"], "who": "ada"}));
            world
                .until("what is ours is off", |w| {
                    rules(w) == [name] && w.vs("shop")["spec"]["http"][0].get("mirror").is_none()
                })
                .await;
            world.pass(30).await;
            let shop = world.component("shop");
            assert_eq!(shop.state, State::RolledBack);
            assert_eq!(shop.lowering.is_none(), is_over, "{arm} {name}: {shop:#?}");
        }
    }
}
