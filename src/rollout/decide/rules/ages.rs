//! Commands whose ids tell when they were given by a number: seconds, milliseconds, microseconds or nanoseconds.

use super::foreign::three;
use super::world::{World, weight};
use crate::rollout::command::{Command, Verb, Wish};
use crate::rollout::reason::State;
use crate::rollout::status::{CommandResult, GradualRolloutStatus};
use jiff::Timestamp;
use std::time::Duration;

/// So many nanoseconds does a digit less stand for.
const UNITS: [i128; 4] = [1_000_000_000, 1_000_000, 1_000, 1];

fn number(at: Timestamp, unit: i128) -> String {
    (at.as_nanosecond() / unit).to_string()
}

/// A raise that says when it ends, as docs/commands.md writes it.
fn raise(world: &World, verb: Verb, id: String) -> Command {
    let wish = Wish {
        components: vec!["alpha".to_owned()],
        weight: (verb == Verb::Set).then(|| weight(600)),
        force: true,
        expires_at: Some(world.now + Duration::from_secs(300)),
        ..Wish::default()
    };
    Command { id, verb, wish }
}

fn told(world: &World, id: &str) -> (CommandResult, String) {
    let mut found = world.status.commands.iter().filter(|c| c.id == id);
    let one = found.next().unwrap();
    (one.result, one.message.clone())
}

/// Put back four tenths into a second, and answered.
fn put_back() -> (World, Timestamp) {
    let mut world = three();
    world.now += Duration::from_millis(400);
    let at = world.now;
    world.say(Verb::Rollback, "alpha", None);
    world.ticks(2);
    assert_eq!(world.component("alpha").state, State::RolledBack);
    (world, at)
}

#[test]
fn a_raise_whose_number_is_of_a_time_before_an_answered_rollback_does_not_undo_it() {
    for unit in UNITS {
        for verb in [Verb::Set, Verb::Retry] {
            for status_is_lost in [false, true] {
                let (mut world, at) = put_back();
                if status_is_lost {
                    world.status = GradualRolloutStatus::default();
                    world.restart();
                    world.tick();
                }
                let late = raise(&world, verb, number(at - Duration::from_secs(40), unit));
                world.commands.push(late.clone());
                world.ticks(3);
                let (result, message) = told(&world, &late.id);
                assert_eq!(result, CommandResult::Cancelled, "{}: {message}", late.id);
                assert_eq!(world.component("alpha").state, State::RolledBack);
                assert!(world.highest("alpha").is_zero());
                let anew = raise(&world, verb, number(world.now, unit));
                world.commands.push(anew.clone());
                world.ticks(3);
                assert_eq!(told(&world, &anew.id).0, CommandResult::Accepted, "{}", anew.id);
                assert_ne!(world.component("alpha").state, State::RolledBack);
            }
        }
    }
}

#[test]
fn a_raise_that_is_known_to_the_second_gives_way_within_that_second() {
    for (unit, wanted) in [
        (UNITS[0], CommandResult::Cancelled),
        (UNITS[1], CommandResult::Accepted),
    ] {
        let (mut world, _) = put_back();
        // Of a rollback it counts when it was answered.
        let at = world.status.commands.last().unwrap().at;
        let same_second = raise(&world, Verb::Retry, number(at + Duration::from_millis(300), unit));
        world.commands.push(same_second.clone());
        world.ticks(2);
        let (result, message) = told(&world, &same_second.id);
        assert_eq!(result, wanted, "{message}");
    }
}

#[test]
fn what_waits_beside_a_rollback_is_told_apart_by_numbers_too() {
    for unit in UNITS {
        for (of_retry, wanted) in [(-3, CommandResult::Cancelled), (3, CommandResult::Accepted)] {
            let mut world = three();
            world.now += Duration::from_secs(20);
            let at = world.now;
            let mut back = raise(&world, Verb::Rollback, number(at, unit));
            back.wish.expires_at = None;
            let given = at + jiff::SignedDuration::from_secs(of_retry);
            let retry = raise(&world, Verb::Retry, number(given, unit));
            world.commands = vec![retry.clone(), back];
            world.tick();
            assert_eq!(told(&world, &retry.id).0, wanted, "{of_retry} {unit}");
        }
    }
}

#[test]
fn a_number_that_is_an_old_time_is_too_late_and_one_that_is_to_come_says_nothing() {
    let mut world = three();
    let old = raise(&world, Verb::Set, number(world.now - Duration::from_secs(700), 1));
    let mut to_come = raise(&world, Verb::Set, "2034567890".to_owned());
    to_come.wish.expires_at = None;
    world.commands = vec![old.clone(), to_come.clone()];
    world.tick();
    assert_eq!(told(&world, &old.id).0, CommandResult::Expired);
    let (result, message) = told(&world, &to_come.id);
    assert_eq!(result, CommandResult::Refused, "{message}");
    assert!(message.contains("expiresAt"), "{message}");
}
