//! Approvals, checklists, other rollouts and addresses before phases and steps, and a turn before all.

use super::promises::{config, event};
use super::world::{Event, Weather, World, spec, weight};
use crate::rollout::command::Verb;
use crate::rollout::observation::{Decision, Turn};
use crate::rollout::reason::{Reason, State};
use crate::rollout::status::CommandResult;
use crate::rollout::weight::Weight;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::time::Duration;

/// The cutover behind these gates instead of one approval.
fn behind(gates: Value) -> Value {
    let mut spec = spec();
    spec["phases"][2]["requires"] = gates;
    spec
}

fn approve(world: &mut World, change: impl FnOnce(&mut crate::rollout::command::Wish)) {
    world.say(Verb::Approve, "*", None);
    change(&mut world.commands.last_mut().unwrap().wish);
    world.tick();
}

fn last(world: &World) -> (CommandResult, String) {
    let outcome = world.status.commands.last().unwrap();
    (outcome.result, outcome.message.clone())
}

fn waits(world: &mut World, reason: Reason) {
    world.until("both stand before the gate", |w| {
        ["alpha", "beta"].iter().all(|c| w.component(c).reason == reason)
    });
}

#[test]
fn an_approval_says_who_when_and_why_and_is_void_when_nothing_makes_use_of_it_in_time() {
    let mut world = World::new(behind(json!([{"approval": {"expires": "1h"}}])));
    // Too early: hours before anybody stands there.
    approve(&mut world, |wish| wish.phase = Some("cutover".into()));
    assert_eq!(last(&world).0, CommandResult::Accepted, "{}", last(&world).1);
    world.all(Weather::Quiet);
    world.now += Duration::from_secs(3600);
    world.all(Weather::Good);
    waits(&mut world, Reason::AwaitingApproval);
    let told = world.component("alpha").message.clone();
    assert!(told.contains("that of ada") && told.contains("void"), "{told}");
    world.ticks(20);
    assert_eq!(world.highest("alpha"), weight(700));
    approve(&mut world, |wish| wish.reason = "change 4711".into());
    let given = world.status.approvals.clone();
    assert_eq!(given.len(), 1, "the void one is gone: {given:?}");
    assert_eq!(
        (given[0].by.as_str(), given[0].comment.as_deref()),
        ("ada", Some("change 4711"))
    );
    world.until("90%", |w| w.component("alpha").weight.written == weight(900));
    assert!(world.status.approvals[0].used_at.is_some());
    // What was made use of is not void, however late the others come.
    world.now += Duration::from_secs(7200);
    world.until("beta too", |w| w.component("beta").weight.written >= weight(900));
}

#[test]
fn a_leave_ends_with_the_attempt_that_it_was_given_for_and_one_given_after_the_rollback_counts() {
    for early in [false, true] {
        let mut world = World::new(behind(json!([{"approval": {}}])));
        waits(&mut world, Reason::AwaitingApproval);
        approve(&mut world, |_| ());
        world.until("90%", |w| {
            ["alpha", "beta"]
                .iter()
                .all(|c| w.component(c).weight.written == weight(900))
        });
        world.say(Verb::Rollback, "*", None);
        world.until("back", |w| {
            ["alpha", "beta"]
                .iter()
                .all(|c| w.component(c).weight.written.is_zero())
        });
        world.ticks(3);
        if early {
            // Before anything stands there: for the next attempt, and not called open already.
            approve(&mut world, |wish| wish.phase = Some("cutover".into()));
            let (result, message) = last(&world);
            assert_eq!(result, CommandResult::Accepted);
            assert!(message.contains("is open"), "{message}");
        }
        world.say(Verb::Retry, "*", None);
        if early {
            world.until("90% again", |w| {
                w.component("alpha").weight.written == weight(900)
            });
            continue;
        }
        waits(&mut world, Reason::AwaitingApproval);
        world.ticks(50);
        let alpha = world.component("alpha");
        assert_eq!(alpha.weight.written, weight(700));
        assert!(
            alpha.message.contains("was for the attempt before"),
            "{}",
            alpha.message
        );
        approve(&mut world, |_| ());
        world.until("90% again", |w| {
            w.component("alpha").weight.written == weight(900)
        });
    }
}

#[test]
fn an_approval_that_opens_nothing_is_told_why() {
    let mut world = World::new(behind(json!([{"approval": {}}])));
    waits(&mut world, Reason::AwaitingApproval);
    approve(&mut world, |wish| wish.weight = Some(weight(333)));
    let (result, message) = last(&world);
    assert_eq!(result, CommandResult::Refused);
    assert!(
        message.contains("there is no gate that requires approval there"),
        "{message}"
    );
    approve(&mut world, |wish| wish.phase = Some("nosuch".into()));
    let (result, message) = last(&world);
    assert_eq!(result, CommandResult::Refused);
    assert!(
        message.contains("there is no gate that requires approval there"),
        "{message}"
    );
    approve(&mut world, |_| ());
    approve(&mut world, |_| ());
    let (result, message) = last(&world);
    assert_eq!(result, CommandResult::Refused);
    assert!(message.contains("those ahead are open"), "{message}");
    approve(&mut world, |wish| wish.phase = Some("cutover".into()));
    let (result, message) = last(&world);
    assert_eq!(result, CommandResult::Accepted);
    assert!(message.contains("was open already"), "{message}");
}

#[test]
fn a_step_has_a_gate_of_its_own_and_an_approval_of_the_phase_does_not_open_it() {
    let mut spec = spec();
    spec["phases"][2]["steps"][1]["requires"] = json!([{"approval": {}}]);
    let mut world = World::new(spec);
    waits(&mut world, Reason::AwaitingApproval);
    assert!(world.component("alpha").message.starts_with("cutover needs"));
    approve(&mut world, |_| {});
    world.until("alpha before 95%", |w| {
        let c = w.component("alpha");
        c.weight.written == weight(900) && c.reason == Reason::AwaitingApproval
    });
    assert!(
        world.component("alpha").message.starts_with("cutover at 95%"),
        "{}",
        world.component("alpha").message
    );
    world.ticks(50);
    assert_eq!(world.highest("alpha"), weight(900));
    approve(&mut world, |wish| wish.weight = Some(weight(950)));
    assert!(last(&world).1.contains("cutover at 95%"), "{}", last(&world).1);
    world.until("100%", |w| w.highest("alpha") == Weight::FULL);
}

#[test]
fn a_checklist_is_done_when_every_item_is_ticked_and_who_ticked_is_kept_over_a_restart() {
    let mut world = World::new(behind(json!([{"checklist": {"items": ["dns", "runbook"]}}])));
    waits(&mut world, Reason::WaitingForChecklist);
    approve(&mut world, |_| {});
    assert_eq!(last(&world).0, CommandResult::Refused, "a tick is no approval");
    approve(&mut world, |wish| wish.item = Some("pager".into()));
    assert!(last(&world).1.contains("dns, runbook"), "{}", last(&world).1);
    approve(&mut world, |wish| wish.item = Some("dns".into()));
    assert!(last(&world).1.contains("open are runbook"), "{}", last(&world).1);
    world.restart();
    world.ticks(30);
    assert_eq!(world.highest("alpha"), weight(700));
    let told = world.component("alpha").message.clone();
    assert!(told.contains("runbook") && !told.contains("dns"), "{told}");
    approve(&mut world, |wish| wish.item = Some("runbook".into()));
    assert_eq!(world.status.approvals.len(), 2);
    world.until("90%", |w| w.highest("alpha") == weight(900));
}

#[test]
fn an_unknown_rollout_and_an_address_that_says_no_hold_and_say_so_and_lowering_asks_neither() {
    for (gate, key, reason) in [
        (
            json!({"rollout": {"name": "base", "is": "Completed"}}),
            "cutover/0",
            Reason::WaitingForRollout,
        ),
        (
            json!({"http": {"url": "https://change.example.com/gate"}}),
            "cutover/0/alpha",
            Reason::WaitingForGate,
        ),
    ] {
        let mut world = World::new(behind(json!([gate])));
        waits(&mut world, reason);
        world.ticks(20);
        assert_eq!(world.highest("alpha"), weight(700), "nothing known is no yes");
        world.answer(key, false);
        world.tick();
        assert!(
            world.component("alpha").message.ends_with("no"),
            "{}",
            world.component("alpha").message
        );
        world.weather.insert("alpha".into(), Weather::CanaryFails);
        world.until("alpha back", |w| w.highest("alpha").is_zero());
        world.answer(key, true);
        world.answer("cutover/0/beta", true);
        world.until("beta goes on", |w| w.highest("beta") == weight(900));
    }
}

#[test]
fn an_address_is_asked_only_while_nothing_else_stands_in_the_way() {
    let mut world = World::new(behind(
        json!([{"approval": {}}, {"http": {"url": "https://change.example.com/gate"}}]),
    ));
    let asked = |decisions: &[Decision]| decisions.iter().any(|d| !d.questions.is_empty());
    let mut all = Vec::new();
    for _ in 0..200 {
        all.push(world.tick());
    }
    assert_eq!(world.component("alpha").reason, Reason::AwaitingApproval);
    assert!(!asked(&all), "the approval is not given");
    approve(&mut world, |_| {});
    assert!(asked(&world.ticks(2)));
    world.freeze(true);
    world.tick();
    assert!(!asked(&world.ticks(5)), "frozen, it could not rise anyhow");
    world.freeze(false);
    let questions = world.tick().questions;
    let keys: Vec<&str> = questions.iter().map(|q| q.key.as_str()).collect();
    assert_eq!(keys, ["cutover/1/alpha", "cutover/1/beta"]);
    assert_eq!(questions[0].weight, weight(900));
}

#[test]
fn a_rollout_begins_only_on_its_turn_and_never_asks_again_once_it_has_begun() {
    let mut world = World::demo();
    world.turn = Turn::Full("it waits for its turn: 1 at once; running: other".into());
    world.ticks(30);
    assert_eq!(world.component("alpha").reason, Reason::WaitingForTurn);
    assert!(world.component("alpha").message.contains("running: other"));
    let since = world.status.waits_for_turn_since.unwrap();
    world.restart();
    assert!(world.tick().wants_turn);
    assert_eq!(
        world.status.waits_for_turn_since,
        Some(since),
        "its place in the line outlives a restart"
    );
    // By hand neither, unless somebody insists.
    world.say(Verb::Set, "alpha", Some(weight(50)));
    world.tick();
    assert_eq!(last(&world).0, CommandResult::Refused, "{}", last(&world).1);
    world.turn = Turn::Held;
    world.until("5%", |w| w.component("alpha").weight.written == weight(50));
    assert_eq!(world.status.waits_for_turn_since, None);
    world.turn = Turn::Full("full".into());
    world.until("both go on", |w| {
        w.highest("alpha") == weight(700) && w.highest("beta") == weight(700)
    });
}

fn gated() -> Value {
    let mut spec =
        behind(json!([{"approval": {"expires": "10m"}}, {"http": {"url": "https://gate.example.com/"}}]));
    spec["components"][1]["dependsOn"] = json!(["alpha"]);
    spec["rollback"] = json!({"retry": {"after": "2m", "times": 2}});
    spec
}

fn gated_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => event(),
        1 => any::<bool>().prop_map(Event::Freeze),
        1 => any::<bool>().prop_map(Event::Answer),
        1 => prop::bool::weighted(0.8).prop_map(Event::Room),
        1 => Just(Event::Say(Verb::Approve, None)),
    ]
}

proptest! {
    #![proptest_config(config())]

    /// Whatever happens in whatever order: nothing rises by itself past a gate that is shut, and a canary that fails goes
    /// back through all of them.
    #[test]
    fn no_gate_is_passed_while_it_is_shut_and_none_keeps_a_rollback(life in prop::collection::vec(gated_event(), 1..40)) {
        let mut world = World::new(gated());
        for event in &life {
            world.live(event, |before, _, decision| {
                for raise in decision.raises.iter().filter(|r| r.reason != Reason::Manual) {
                    let next = &decision.next;
                    let c = next.component(&raise.component).unwrap();
                    assert!(before.frozen.is_none(), "frozen, {} rises", raise.component);
                    assert!(next.runs() || matches!(before.turn, Turn::Held | Turn::Unlimited), "no turn");
                    if c.weight.written < weight(900) && raise.weight >= weight(900) {
                        let given = next.approvals.iter().any(|a| a.phase == "cutover" && a.used_at.is_some());
                        assert!(given, "nobody approved: {:?}", next.approvals);
                        let begun = c.retry.and_then(|r| r.begun);
                        assert!(next.approvals.iter().all(|a| begun.is_none_or(|begun| a.at >= begun)), "an old leave");
                        let key = format!("cutover/1/{}", raise.component);
                        assert!(before.answers.get(&key).is_some_and(|a| a.open), "the address did not say yes");
                    }
                    if raise.component == "beta" {
                        let alpha = next.component("alpha").unwrap();
                        let there = alpha.state == State::Completed || alpha.weight.written >= raise.weight;
                        assert!(there && alpha.state != State::RolledBack, "beta overtakes alpha");
                    }
                }
            });
        }
        // Every gate shut, and it fails.
        world.freeze(true);
        world.turn = Turn::Full("full".into());
        world.answers.clear();
        world.ready = Some(true);
        let stands = world.component("alpha").clone();
        if !stands.state.is_terminal() && stands.weight.written > weight(20) && !stands.detached {
            world.all(Weather::CanaryFails);
            world.ticks(30);
            prop_assert!(world.highest("alpha").is_zero(), "{:?}", world.component("alpha"));
        }
    }
}
