//! Rollbacks that are called where the clock is behind, or ahead: a raise that was on its way meanwhile undoes none of
//! them, and one that is given after they were seen to be done is obeyed at once.

use super::foreign::three;
use super::world::{World, weight};
use crate::rollout::command::{Command, Verb, Wish};
use crate::rollout::observation::Mark;
use crate::rollout::reason::{Reason, State};
use crate::rollout::spec::Scope;
use crate::rollout::status::{CommandOutcome, CommandResult};
use crate::rollout::weight::Weight;
use std::time::Duration;

/// Seconds by which the clock of whoever calls a rollback is wrong.
const SKEWS: [i64; 6] = [0, -1, -30, -300, -900, 120];

fn command(world: &World, verb: Verb, seconds: i64, emergency: bool) -> Command {
    let millis = u64::try_from(world.now.as_millisecond() + seconds * 1000).unwrap();
    let wish = Wish {
        components: vec!["alpha".to_owned()],
        weight: (verb == Verb::Set).then(|| weight(500)),
        force: verb != Verb::Rollback,
        emergency,
        who: "bob".into(),
        ..Wish::default()
    };
    Command {
        id: ulid::Ulid::from_parts(millis, 5).to_string(),
        verb,
        wish,
    }
}

fn marked(world: &mut World, component: &str, id: &str) {
    for object in world.objects.get_mut(component).unwrap() {
        object.weight = Weight::ZERO;
        object.stamp = Some(Mark {
            id: id.to_owned(),
            weight: Weight::ZERO,
            reason: Some(Reason::Emergency),
        });
    }
}

fn outcome(world: &World, command: &Command) -> CommandOutcome {
    let mut all = world.status.commands.iter();
    all.find(|c| c.is_of(command)).unwrap().clone()
}

fn stays_back(world: &World, raise: &Command, what: &str) {
    let told = outcome(world, raise);
    assert_eq!(told.result, CommandResult::Cancelled, "{what}: {told:?}");
    assert!(
        told.message.contains("give it again") || told.message.contains("ask again"),
        "{told:?}"
    );
    assert_eq!(world.component("alpha").state, State::RolledBack, "{what}");
    assert!(world.highest("alpha").is_zero(), "{what}");
}

#[test]
fn a_raise_that_was_given_before_a_rollback_and_arrives_after_it_was_answered_does_not_undo_it_whatever_the_callers_clock()
 {
    for emergency in [true, false] {
        for skew in SKEWS {
            for verb in [Verb::Set, Verb::Retry] {
                let what = format!("{verb} {skew} {emergency}");
                let mut world = three();
                let raise = command(&world, verb, 0, false);
                world.now += Duration::from_millis(1500);
                let back = command(&world, Verb::Rollback, skew, emergency);
                world.commands.push(back);
                world.ticks(2);
                world.commands.push(raise.clone());
                world.ticks(2);
                stays_back(&world, &raise, &what);
                // After it is seen to be done, whoever wants it says so again.
                world.now += Duration::from_secs(1);
                let again = command(&world, Verb::Retry, 0, false);
                world.commands.push(again.clone());
                world.tick();
                assert_eq!(outcome(&world, &again).result, CommandResult::Accepted, "{what}");
                assert_eq!(world.component("alpha").state, State::Walking, "{what}");
            }
        }
    }
}

#[test]
fn who_raises_by_a_clock_that_is_behind_is_told_about_clocks() {
    let mut world = three();
    let back = command(&world, Verb::Rollback, -300, true);
    world.commands.push(back);
    world.ticks(2);
    let retry = command(&world, Verb::Retry, -200, false);
    world.commands.push(retry.clone());
    world.tick();
    stays_back(&world, &retry, "behind");
    let told = outcome(&world, &retry).message;
    assert!(told.contains("set the clock of whoever gives it"), "{told}");
}

#[test]
fn a_raise_beside_the_mark_of_an_emergency_whose_wish_was_not_recorded_does_not_undo_it() {
    for skew in [0, -1, -300] {
        for dies in [true, false] {
            for together in [true, false] {
                let mut world = three();
                // Another's mark is older than any clock here is wrong.
                world.now += Duration::from_secs(400);
                let raise = command(&world, Verb::Set, 0, false);
                world.now += Duration::from_millis(1500);
                let emergency = command(&world, Verb::Rollback, skew, true);
                marked(&mut world, "alpha", &emergency.id);
                if dies {
                    world.restart();
                }
                if !together {
                    world.tick();
                }
                world.commands.push(raise.clone());
                world.ticks(2);
                stays_back(&world, &raise, &format!("{skew} {dies} {together}"));
                assert_eq!(world.component("alpha").reason, Reason::Emergency);
            }
        }
    }
}

#[test]
fn beside_a_waiting_emergency_a_raise_is_told_of_that_and_of_no_other_rollback() {
    for digits in [true, false] {
        let mut world = three();
        let set = command(&world, Verb::Set, 0, false);
        world.commands.push(set);
        world.ticks(2);
        let mut both = [
            command(&world, Verb::Rollback, -25, true),
            command(&world, Verb::Retry, -20, false),
        ];
        for command in both.iter_mut().filter(|_| digits) {
            let at = command.given_at().unwrap();
            command.id = at.as_nanosecond().to_string();
        }
        world.commands.extend(both.clone());
        world.ticks(2);
        let told = outcome(&world, &both[1]);
        assert!(
            told.message.contains("an emergency rollback waits beside it"),
            "{told:?}"
        );
        assert!(world.highest("alpha").is_zero());
    }
}

/// The mark of one member is seen before the other's: that one follows it, until its own is seen.
#[test]
fn who_follows_another_into_an_emergency_of_both_keeps_the_emergency_of_its_own() {
    for wish in [false, true] {
        for late in [0, 1, 3] {
            let mut world = World::demo();
            world.plan.scope = Scope::Rollout;
            world.until("both at 10%", |w| {
                ["alpha", "beta"]
                    .iter()
                    .all(|c| w.component(c).weight.written == weight(100))
            });
            world.tick();
            let mut emergency = command(&world, Verb::Rollback, 0, true);
            emergency.wish.components = vec!["alpha".into(), "beta".into()];
            marked(&mut world, "alpha", &emergency.id);
            if late == 0 {
                // Written between the look and the write that follows from it.
                world.stuck = Some(0);
                world.tick();
                world.stuck = None;
            } else {
                world.ticks(late);
            }
            // An emergency's mark is above the one that it finds.
            let landed = late == 3;
            let id = if landed {
                command(&world, Verb::Rollback, 0, true).id
            } else {
                emergency.id.clone()
            };
            marked(&mut world, "beta", &id);
            if wish {
                world.commands.push(emergency.clone());
            }
            world.ticks(3);
            let c = world.component("beta");
            assert_eq!(
                (c.state, c.reason),
                (State::RolledBack, Reason::Emergency),
                "{late}: {}",
                c.message
            );
            assert!(c.fingerprint.is_none(), "it waits for a person");
            let entry = c.history.last().unwrap();
            assert_eq!(entry.reason, Reason::Emergency, "{late}");
            // Where it was there already its wish moves nothing, and stands among the commands.
            if !wish || !landed {
                assert_eq!(entry.id.as_ref(), Some(&id), "{late}");
                assert_eq!(
                    entry.who.as_deref(),
                    Some(if wish { "bob" } else { "unknown" }),
                    "{late}"
                );
                assert_eq!(c.mark.as_ref(), Some(&id));
            }
            assert!(world.highest("beta").is_zero());
        }
    }
}
