//! What comes too late: a raise that was given before a lowering and heard of after it, and a raise that meets a lowering
//! whose writer died.

use super::foreign::{three, weights};
use super::world::{Weather, World, weight};
use crate::rollout::command::{Command, Verb, Wish};
use crate::rollout::reason::{Reason, State};
use crate::rollout::status::{CommandResult, GradualRolloutStatus};
use jiff::Timestamp;
use std::time::Duration;

fn command(world: &World, verb: Verb, seconds_ago: i64, to: Option<u16>) -> Command {
    let at = world.now.as_millisecond() - seconds_ago * 1000;
    let wish = Wish {
        components: vec!["alpha".to_owned()],
        weight: to.map(weight),
        force: true,
        ..Wish::default()
    };
    Command {
        id: ulid::Ulid::from_parts(u64::try_from(at).unwrap(), 9).to_string(),
        verb,
        wish,
    }
}

fn result(world: &World, id: &str) -> CommandResult {
    let found = world.status.commands.iter().find(|c| c.id == id);
    found.unwrap().result
}

/// What it is told to do does it: given again when the clock of its giver shows the time that is named, it is taken up.
fn obeyed_when_it_says(world: &mut World, verb: Verb, to: Option<u16>, late: &str) {
    let told = world.status.commands.iter().find(|c| c.id == late).unwrap();
    let (_, behind) = told.message.split_once("once the clock there shows ").unwrap();
    let shows: Timestamp = behind.split(',').next().unwrap().parse().unwrap();
    assert!(shows <= world.now + Duration::from_secs(1), "{}", told.message);
    world.commands.clear();
    world.now = world.now.max(shows);
    let ago = world.now.duration_since(shows).as_secs();
    let again = command(world, verb, ago, to);
    world.commands.push(again.clone());
    world.ticks(3);
    assert_eq!(result(world, &again.id), CommandResult::Accepted, "{verb:?}");
}

#[test]
fn a_raise_that_was_given_before_a_rollback_and_arrives_after_it_was_answered_is_cancelled() {
    for (verb, to) in [(Verb::Set, Some(600)), (Verb::Retry, None)] {
        for (status_is_lost, seconds_ago, wanted) in [
            (false, 40, CommandResult::Cancelled),
            (true, 40, CommandResult::Cancelled),
            (false, 0, CommandResult::Accepted),
        ] {
            let mut world = three();
            world.say(Verb::Rollback, "alpha", None);
            world.tick();
            world.tick();
            assert_eq!(world.component("alpha").state, State::RolledBack);
            world.commands.clear();
            if status_is_lost {
                world.status = GradualRolloutStatus::default();
                world.restart();
                world.tick();
            }
            let late = command(&world, verb, seconds_ago, to);
            world.commands.push(late.clone());
            world.ticks(3);
            assert_eq!(result(&world, &late.id), wanted, "{verb:?} {status_is_lost}");
            let back = wanted == CommandResult::Cancelled;
            let told = world.status.commands.iter().find(|c| c.id == late.id);
            let clock = told.is_some_and(|c| c.message.contains("set the clock of whoever gives it"));
            assert_eq!(clock, back, "{told:?}");
            assert_eq!(
                world.component("alpha").state == State::RolledBack,
                back,
                "{verb:?}"
            );
            assert!(!back || world.highest("alpha").is_zero());
            if back {
                obeyed_when_it_says(&mut world, verb, to, &late.id);
            }
        }
    }
}

/// A rollback that nobody gave has no command to be later than.
#[test]
fn a_raise_that_was_given_before_a_breach_put_it_back_does_not_undo_that() {
    for (verb, to) in [(Verb::Set, Some(600)), (Verb::Retry, None)] {
        for (seconds_ago, wanted) in [(540, CommandResult::Cancelled), (0, CommandResult::Accepted)] {
            for written in [true, false] {
                let mut world = three();
                world.weather.insert("alpha".into(), Weather::CanaryFails);
                world.until("it goes back", |w| {
                    w.component("alpha").state == State::RolledBack
                });
                world.weather.insert("alpha".into(), Weather::Good);
                if written {
                    world.until("it is back", |w| w.component("alpha").lowering.is_none());
                }
                assert_eq!(world.component("alpha").lowering.is_none(), written);
                let mut given = command(&world, verb, seconds_ago, to);
                given.wish.expires_at = Some(world.now + Duration::from_secs(600));
                world.commands.push(given.clone());
                world.tick();
                assert_eq!(
                    result(&world, &given.id),
                    wanted,
                    "{verb:?} {seconds_ago} {written}"
                );
                let stays = world.component("alpha").state == State::RolledBack;
                assert_eq!(stays, wanted == CommandResult::Cancelled);
            }
        }
    }
}

#[test]
fn a_raise_from_a_time_that_has_not_come_gives_way_to_a_rollback_beside_it() {
    let mut world = three();
    let raise = command(&world, Verb::Set, -90, Some(700));
    world.commands.push(raise.clone());
    world.say(Verb::Rollback, "alpha", None);
    world.ticks(3);
    assert_eq!(result(&world, &raise.id), CommandResult::Cancelled);
    assert_eq!(weights(&world), [0, 0, 0]);
}

/// A raise has reached two of three objects, a rollback the first; nobody is left who knows of either.
#[test]
fn a_rollback_that_met_a_half_written_raise_is_brought_to_its_end_whoever_died() {
    let mut world = three();
    world.die = Some(2);
    world.until("two of them are raised", |w| weights(w)[1] > 100);
    world.die = None;
    let status = world.status.clone();
    assert!(world.component("alpha").intent.is_some(), "declared");
    let raised = world.objects["alpha"].clone();
    world.now += Duration::from_secs(1);
    world.say(Verb::Rollback, "alpha", None);
    world.ticks(2);
    assert_eq!(weights(&world), [0, 0, 0]);
    for (n, object) in raised.into_iter().enumerate().skip(1) {
        world.objects.get_mut("alpha").unwrap()[n] = object;
    }
    world.status = status;
    world.commands.clear();
    world.restart();
    world.ticks(4);
    assert_eq!(weights(&world), [0, 0, 0]);
    let c = world.component("alpha");
    assert_eq!(
        (c.state, c.reason),
        (State::RolledBack, Reason::RollbackRequested),
        "{}",
        c.message
    );
}

#[test]
fn a_half_written_rollback_is_brought_to_its_end_beside_what_never_had_a_mark() {
    let mut world = three();
    for object in world.objects.get_mut("alpha").unwrap() {
        object.stamp = None;
    }
    world.ticks(2);
    let (status, objects) = (world.status.clone(), world.objects["alpha"].clone());
    world.say(Verb::Rollback, "alpha", None);
    world.ticks(2);
    for (n, object) in objects.into_iter().enumerate().skip(1) {
        world.objects.get_mut("alpha").unwrap()[n] = object;
    }
    world.status = status;
    world.commands.clear();
    world.now += Duration::from_secs(1);
    world.restart();
    world.ticks(4);
    assert_eq!(weights(&world), [0, 0, 0]);
    assert_eq!(world.component("alpha").state, State::RolledBack);
}
