//! Slips of the pen, and a daemon that is restarted beside them: what the spec says of going back is obeyed, and who gives
//! a command is told why nothing comes of it.

use crate::support::world::{World, component};
use gradual_rollout::rollout::reason::{Reason, State};
use gradual_rollout::rollout::status::CommandResult;
use gradual_rollout::sandbox::apiserver::{Action, Failure, Fault};
use serde_json::{Value, json};

fn jump() -> Value {
    json!([{"weight": "5%", "hold": "5m"}, {"weight": "90%", "hold": "5m"}])
}

fn invalid(w: &World) -> Option<String> {
    let status = w.status();
    let ready = status.condition("Ready")?;
    (ready.reason == "InvalidSpec").then(|| ready.message.clone())
}

fn edit(world: &World, edit: impl FnOnce(&mut Value)) {
    let mut object = world.object();
    edit(&mut object["spec"]);
    world.store.put(object).unwrap();
}

fn outcome(world: &World, id: &str) -> Option<(CommandResult, String)> {
    let status = world.status();
    let found = status.commands.iter().find(|c| c.id == id)?;
    Some((found.result, found.message.clone()))
}

fn asked(world: &World) -> usize {
    let object = world.object();
    let annotations = object["metadata"]["annotations"].as_object();
    let keys = annotations.into_iter().flat_map(|a| a.keys());
    keys.filter(|key| key.contains("/command.")).count()
}

#[tokio::test(start_paused = true)]
async fn who_goes_back_together_does_so_beside_a_slip_in_the_steps_and_after_a_restart() {
    let mut world = World::with(&["shop", "cart"]);
    edit(&world, |spec| spec["rollback"] = json!({"scope": "rollout"}));
    world
        .until("25%", |w| w.weight("shop") == 25 && w.weight("cart") == 25)
        .await;
    world.pass(60).await;
    edit(&world, |spec| spec["steps"] = jump());
    world.until("told", |w| invalid(w).is_some()).await;
    world.kill().await;
    world.start("daemon-2");
    world.pass(600).await;
    assert_eq!(
        (world.weight("shop"), world.weight("cart")),
        (25, 25),
        "nothing rises"
    );
    let told = invalid(&world).unwrap();
    assert!(told.contains("the rest of the spec holds"), "{told}");
    world.traffic.fail("shop");
    world
        .until("both are back", |w| w.weight("shop") + w.weight("cart") == 0)
        .await;
    assert_eq!(world.component("shop").reason, Reason::Breach);
    assert_eq!(world.component("cart").reason, Reason::OtherFailed);
}

#[tokio::test(start_paused = true)]
async fn what_no_check_would_put_back_stays_beside_a_slip_and_after_a_restart() {
    let mut world = World::with(&["shop"]);
    let off = |name: &str| json!({"name": name, "rollback": "none"});
    edit(&world, |spec| {
        spec["checks"] = json!([off("errors"), off("available"), off("p95")]);
    });
    world.until("25%", |w| w.weight("shop") == 25).await;
    world.traffic.fail("shop");
    world.pass(900).await;
    assert_eq!(
        world.weight("shop"),
        25,
        "no check puts it back: {}",
        world.component("shop").message
    );
    edit(&world, |spec| spec["steps"] = jump());
    world.until("told", |w| invalid(w).is_some()).await;
    world.kill().await;
    world.start("daemon-2");
    world.pass(900).await;
    assert_eq!(
        world.weight("shop"),
        25,
        "nor after a slip and a restart: {}",
        world.component("shop").message
    );
}

#[tokio::test(start_paused = true)]
async fn a_command_beside_a_spec_that_cannot_be_used_is_refused_with_the_problem_after_a_restart_too() {
    for restart in [false, true] {
        let mut world = World::with(&["shop", "cart"]);
        world.until("5%", |w| w.weight("shop") == 5).await;
        world.say("rollback", json!({"components": ["*"], "who": "ada"}));
        world
            .until("back", |w| {
                let back = |name| {
                    w.component(name).state == State::RolledBack && w.component(name).lowering.is_none()
                };
                back("shop") && back("cart")
            })
            .await;
        if restart {
            world.kill().await;
        }
        edit(&world, |spec| spec["steps"] = jump());
        if restart {
            world.start("daemon-2");
        }
        world.until("told", |w| invalid(w).is_some()).await;
        let id = world.say("retry", json!({"components": ["shop", "cart"], "who": "ada"}));
        world.until("answered", |w| outcome(w, &id).is_some()).await;
        let (result, said) = outcome(&world, &id).unwrap();
        assert_eq!(result, CommandResult::Refused, "{restart}: {said}");
        assert!(said.contains("spec.steps[1].weight"), "{restart}: {said}");
        world.until("taken away", |w| asked(w) == 0).await;
        world.pass(600).await;
        assert_eq!((world.weight("shop"), world.weight("cart")), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_for_what_was_never_begun_is_refused_with_the_problem_and_a_rollback_is_kept() {
    let world = World::new();
    let mut demo = crate::support::world::rollout("demo", &[]);
    demo["spec"]["components"] = json!([component("shop")]);
    demo["spec"]["steps"] = jump();
    world.store.put(demo).unwrap();
    let mut world = world;
    world.start("daemon-1");
    world.until("told", |w| invalid(w).is_some()).await;
    let pause = world.say("pause", json!({"components": ["*"], "who": "ada"}));
    let back = world.say("rollback", json!({"components": ["*"], "who": "ada"}));
    world.until("answered", |w| outcome(w, &pause).is_some()).await;
    world.until("taken away", |w| asked(w) == 1).await;
    world.pass(60).await;
    let (result, said) = outcome(&world, &pause).unwrap();
    assert_eq!(result, CommandResult::Refused);
    assert!(
        said.contains("spec.steps[1].weight") && said.contains("give the command again"),
        "{said}"
    );
    assert_eq!(outcome(&world, &back), None, "it is obeyed when it can be");
    assert_eq!(world.status().commands.len(), 1, "told once");
}

#[tokio::test(start_paused = true)]
async fn an_annotation_that_is_written_over_before_it_is_taken_away_is_another_command() {
    let world = World::with(&["shop", "cart"]);
    world
        .until("25%", |w| w.weight("shop") == 25 && w.weight("cart") == 25)
        .await;
    let failure = Failure::new(503, "ServiceUnavailable", "not now");
    let fault = Fault::new(Action::Fail(failure)).verb("patch");
    let fault = fault
        .resource("gradualrollouts.rollout.sealos.io")
        .subresource("");
    world.store.faults().inject(fault);
    let key = "rollout.sealos.io/command.rollback.1796040000";
    let told = |w: &World| {
        w.status()
            .commands
            .iter()
            .filter(|c| c.id == "1796040000")
            .count()
    };
    world.annotate(key, r#"{"components":["shop"]}"#);
    world
        .until("shop is back, and told so", |w| {
            w.weight("shop") == 0 && told(w) == 1
        })
        .await;
    assert_eq!(
        (asked(&world), world.weight("cart")),
        (1, 25),
        "it cannot be taken away"
    );
    world.annotate(key, r#"{"components":["cart"]}"#);
    world.store.faults().clear();
    world
        .until("cart is back, and told so", |w| {
            w.weight("cart") == 0 && told(w) == 2
        })
        .await;
    world.until("taken away", |w| asked(w) == 0).await;
    world.pass(60).await;
    assert_eq!(told(&world), 2, "each is told once");
}
