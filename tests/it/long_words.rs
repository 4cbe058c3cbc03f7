//! Words without end, from whoever may write them: they are cut, and keep nothing up.

use crate::support::world::{NS, World, virtual_service};
use gradual_rollout::rollout::reason::{Reason, State};
use gradual_rollout::rollout::status::CommandResult;
use gradual_rollout::sandbox::apiserver::{Action, Failure, Fault};
use serde_json::{Value, json};

const ROLLOUTS: &str = "gradualrollouts.rollout.sealos.io";
const ROUTES: &str = "virtualservices.networking.istio.io";

async fn at_five_percent() -> World {
    let world = World::with(&["shop", "cart"]);
    world
        .until("5%", |w| w.weight("shop") == 5 && w.weight("cart") == 5)
        .await;
    world
}

fn waiting(world: &World) -> usize {
    let annotations = world.object()["metadata"]["annotations"].clone();
    let keys = annotations.as_object().cloned().unwrap_or_default();
    keys.keys().filter(|key| key.contains("/command.")).count()
}

#[tokio::test(start_paused = true)]
async fn commands_with_words_without_end_are_answered_and_keep_nobody_up() {
    let world = at_five_percent().await;
    let names: Vec<String> = (0..200).map(|n| format!("no-{n}")).collect();
    let mut several = names.clone();
    several.push("shop".into());
    let long = "ä".repeat(300);
    world.say("pause", json!({"components": ["shop"], "who": long}));
    world.say(
        "rollback",
        json!({"components": ["shop"], "who": "eve", "reason": "r".repeat(3000)}),
    );
    world.say("rollback", json!({"components": several, "who": "ada"}));
    world
        .until("answered, and taken away", |w| {
            w.status().commands.len() == 3 && waiting(w) == 0
        })
        .await;
    let status = world.status();
    let results: Vec<CommandResult> = status.commands.iter().map(|c| c.result).collect();
    assert_eq!(
        results,
        [
            CommandResult::Accepted,
            CommandResult::Accepted,
            CommandResult::Partly
        ]
    );
    let shop = status.component("shop").unwrap();
    assert_eq!(
        (world.weight("shop"), shop.state, shop.reason),
        (0, State::RolledBack, Reason::RollbackRequested)
    );
    let paused_by = shop.paused_by.as_deref().unwrap();
    assert!(
        paused_by.contains("ää…") && paused_by.contains("(claimed, by "),
        "cut, and still told how well it is known: {paused_by}"
    );
    world.until("cart goes on", |w| w.weight("cart") == 25).await;
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_refuses_a_route_with_a_sermon_stops_that_component_alone() {
    let world = at_five_percent().await;
    let sermon = "denied by a policy that has much to say; ".repeat(80);
    let refused = Fault::new(Action::Fail(Failure::new(403, "Forbidden", sermon)))
        .verb("patch")
        .resource(ROUTES)
        .name("shop");
    let fault = world.store.inject(refused);
    world.until("cart goes on", |w| w.weight("cart") == 25).await;
    world
        .until("it is said", |w| {
            w.component("shop").reason == Reason::WriteFailed
        })
        .await;
    let message = world.component("shop").message;
    assert!(
        message.contains("much to say") && message.chars().count() <= 1024,
        "{message}"
    );
    world.say(
        "rollback",
        json!({"components": ["shop"], "who": "ada", "reason": "it does not move"}),
    );
    world
        .until("what hinders it, and why it goes back", |w| {
            let message = w.component("shop").message;
            message.starts_with("not written yet") && message.contains("it does not move")
        })
        .await;
    world.store.faults().lift(fault);
    world.until("back", |w| w.weight("shop") == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_mark_that_is_one_letter_too_long_is_no_end_of_a_rollout() {
    let mut world = World::new();
    let mut vs = virtual_service("shop");
    vs["metadata"]["annotations"] =
        json!({"rollout.sealos.io/w.shop": format!("{} 0% Step", "a".repeat(64))});
    world.store.put(vs).unwrap();
    world
        .store
        .put(crate::support::world::rollout("demo", &["shop"]))
        .unwrap();
    world.start("daemon-1");
    world.until("it walks", |w| w.weight("shop") == 5).await;
}

#[tokio::test(start_paused = true)]
async fn a_status_that_the_api_server_does_not_take_is_told_to_people() {
    let world = at_five_percent().await;
    let mut failure = Failure::new(422, "Invalid", "components[0].reason: Unsupported value");
    failure.causes = vec![gradual_rollout::sandbox::apiserver::Cause {
        reason: "FieldValueNotSupported",
        message: "Unsupported value".into(),
        field: "status.components[0].reason".into(),
    }];
    let refused = Fault::new(Action::Fail(failure))
        .verb("patch")
        .resource(ROLLOUTS)
        .subresource("status");
    let fault = world.store.inject(refused);
    world.say("pause", json!({"components": ["shop"], "who": "ada"}));
    let told = |w: &World| -> Vec<Value> {
        let events = w.store.list("events");
        let ours = events.iter().filter(|e| e["reason"] == "StatusRefused");
        ours.map(|e| (**e).clone()).collect()
    };
    world.until("told", |w| !told(w).is_empty()).await;
    world.pass(300).await;
    let events = told(&world);
    assert_eq!(events.len(), 1, "once, and counted: {events:#?}");
    let note = events[0]["message"]
        .as_str()
        .or(events[0]["note"].as_str())
        .unwrap();
    assert!(
        note.contains("Unsupported value") && note.contains("deploy/crd.yaml"),
        "{note}"
    );
    world.store.faults().lift(fault);
    world.until("answered", |w| waiting(w) == 0).await;
    assert_eq!(world.object()["metadata"]["namespace"], json!(NS));
}
