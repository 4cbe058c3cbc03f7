//! What a program asks for while control cannot take the traffic.

use super::world::{World, weight};
use crate::rollout::command::Verb;
use crate::rollout::reason::{Reason, State};
use crate::rollout::status::CommandResult;
use crate::rollout::weight::Weight;

/// At 5%, and control has no ready endpoint when an alert asks for a rollback.
fn alerted() -> World {
    let mut world = World::demo();
    world.until("5%", |w| w.component("alpha").weight.written == weight(50));
    world.ticks(3);
    world.ready = Some(false);
    alert(&mut world);
    world
}

fn alert(world: &mut World) {
    world.say(Verb::Rollback, "alpha", None);
    world.commands.last_mut().unwrap().wish.automatic = true;
}

#[test]
fn a_programs_rollback_waits_until_control_can_take_the_traffic_whatever_dies_meanwhile_and_is_told_once() {
    let mut world = alerted();
    let decision = world.tick();
    let told = |d: &crate::rollout::observation::Decision| {
        let notes = d.notes.iter();
        notes
            .filter(|note| note.reason == Reason::ControlNotReady)
            .count()
    };
    assert_eq!(told(&decision), 1, "{:?}", decision.notes);
    let outcome = world.status.commands.last().unwrap();
    assert_eq!(outcome.result, CommandResult::Accepted);
    assert!(outcome.message.contains("stays at 5%"), "{}", outcome.message);
    world.restart();
    let again: usize = world.ticks(200).iter().map(told).sum();
    let alpha = world.component("alpha");
    assert_eq!(
        (world.highest("alpha"), alpha.reason, again),
        (weight(50), Reason::ControlNotReady, 0)
    );
    assert!(
        alpha.message.contains("ada asked to put it back to 0%: because"),
        "{}",
        alpha.message
    );
    world.ready = None;
    world.ticks(5);
    assert_eq!(world.highest("alpha"), weight(50), "nothing known is not ready");
    world.ready = Some(true);
    world.ticks(2);
    let alpha = world.component("alpha");
    assert_eq!(
        (world.highest("alpha"), alpha.state, alpha.reason),
        (Weight::ZERO, State::RolledBack, Reason::RollbackRequested)
    );
    assert!(alpha.recall.is_none(), "{:?}", alpha.recall);
}

#[test]
fn a_person_does_not_wait_for_control_and_whoever_resumes_has_heard_the_alert() {
    let mut world = alerted();
    world.tick();
    world.say(Verb::Rollback, "alpha", None);
    world.ticks(2);
    assert_eq!(world.highest("alpha"), Weight::ZERO, "rule 6: a person may");
    assert!(world.component("alpha").recall.is_none());
    for verb in [Verb::Resume, Verb::Detach] {
        let mut world = alerted();
        world.tick();
        world.say(verb, "alpha", None);
        world.tick();
        world.ready = Some(true);
        world.ticks(5);
        assert!(world.highest("alpha") >= weight(50), "{verb}");
        let outcome = world.status.commands.last().unwrap();
        assert_eq!(
            outcome.result,
            CommandResult::Accepted,
            "{verb}: {}",
            outcome.message
        );
    }
}

#[test]
fn where_control_is_ready_or_nobody_knows_a_program_is_obeyed_at_once() {
    for ready in [Some(true), None] {
        let mut world = World::demo();
        world.until("5%", |w| w.component("alpha").weight.written == weight(50));
        world.ready = ready;
        alert(&mut world);
        world.ticks(2);
        assert_eq!(world.highest("alpha"), Weight::ZERO, "{ready:?}");
    }
}

/// However far a person, or a weaker alert, takes it meanwhile: what asked for less has the last word once control is ready.
#[test]
fn what_waits_to_go_further_is_called_off_by_no_lowering_that_stops_before_it() {
    for (first_person, by_program) in [(true, false), (false, false), (false, true)] {
        let mut world = World::demo();
        world.until("5%", |w| w.component("alpha").weight.written == weight(50));
        world.ticks(3);
        let partly = |world: &mut World| {
            world.say(Verb::Rollback, "alpha", Some(weight(20)));
            world.commands.last_mut().unwrap().wish.automatic = by_program;
            world.ticks(3);
        };
        if first_person {
            partly(&mut world);
        }
        world.ready = Some(false);
        alert(&mut world);
        world.ticks(3);
        if !first_person {
            partly(&mut world);
        }
        let stands = if by_program { weight(50) } else { weight(20) };
        assert_eq!(world.highest("alpha"), stands, "{by_program}");
        world.ready = Some(true);
        world.ticks(3);
        assert_eq!(
            world.highest("alpha"),
            Weight::ZERO,
            "{first_person} {by_program}"
        );
        assert_eq!(world.component("alpha").state, State::RolledBack);
    }
}

#[test]
fn a_set_that_lowers_leaves_an_alert_waiting_and_one_that_raises_needs_force_and_says_what_it_calls_off() {
    let last = |world: &World| {
        let outcome = world.status.commands.last().unwrap();
        (outcome.result, outcome.message.clone())
    };
    let mut world = alerted();
    world.tick();
    world.say(Verb::Set, "alpha", Some(weight(40)));
    world.ticks(3);
    let (result, message) = last(&world);
    assert_eq!(result, CommandResult::Accepted, "{message}");
    assert!(message.contains("still goes on to 0%"), "{message}");
    let alpha = world.component("alpha");
    assert_eq!(
        (world.highest("alpha"), alpha.reason),
        (weight(40), Reason::ControlNotReady)
    );
    assert!(alpha.recall.is_some());
    // Nobody knows whether control is ready: that alone would not keep a person from it.
    world.ready = None;
    world.say(Verb::Set, "alpha", Some(weight(60)));
    world.ticks(2);
    let (result, message) = last(&world);
    assert_eq!(result, CommandResult::Refused, "{message}");
    assert!(
        message.contains("an alert") && message.contains("`resume`") && message.contains("--force"),
        "{message}"
    );
    let mut forced = world.clone();
    world.ready = Some(true);
    world.ticks(2);
    assert_eq!(
        (world.highest("alpha"), world.component("alpha").state),
        (Weight::ZERO, State::RolledBack)
    );
    forced.say(Verb::Set, "alpha", Some(weight(60)));
    forced.commands[0].wish.force = true;
    forced.ticks(2);
    let (result, message) = last(&forced);
    assert_eq!(result, CommandResult::Accepted, "{message}");
    assert!(message.contains("called off"), "{message}");
    forced.ready = Some(true);
    forced.ticks(5);
    assert_eq!(forced.highest("alpha"), weight(60));
}

#[test]
fn a_rollout_in_which_an_alerts_rollback_waits_is_not_said_to_be_walking_its_plan() {
    let mut world = alerted();
    world.ticks(3);
    for (kind, holds) in [("Ready", "False"), ("Stalled", "True")] {
        let condition = world.status.condition(kind).unwrap();
        assert_eq!(
            (condition.status.as_str(), condition.reason.as_str()),
            (holds, "ControlNotReady"),
            "{kind}: {}",
            condition.message
        );
        assert!(
            condition.message.contains("alpha") && condition.message.contains("no ready endpoint"),
            "{}",
            condition.message
        );
    }
    world.ready = Some(true);
    world.ticks(3);
    assert_eq!(world.status.condition("Ready").unwrap().reason, "RolledBack");
}
