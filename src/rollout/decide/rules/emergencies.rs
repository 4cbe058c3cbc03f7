//! An emergency that was done without a daemon, and waits beside a raise when one comes back: whatever the clocks of
//! those who gave the two say, the traffic stays back, and the record names whoever called the emergency.

use super::foreign::{three, weights};
use super::world::{World, weight};
use crate::rollout::command::{Command, Verb, Wish};
use crate::rollout::observation::{Decision, Mark};
use crate::rollout::reason::{Reason, State};
use crate::rollout::status::CommandResult;
use crate::rollout::weight::Weight;
use proptest::prelude::*;
use std::time::Duration;

/// An id of so many seconds before or after the world's time.
fn id(world: &World, skew: i64, serial: u128) -> String {
    let millis = world.now.as_millisecond() + skew * 1000;
    ulid::Ulid::from_parts(u64::try_from(millis).unwrap(), serial).to_string()
}

fn command(verb: Verb, id: String, who: &str, to: Option<u16>) -> Command {
    let wish = Wish {
        components: vec!["alpha".to_owned()],
        weight: to.map(weight),
        force: verb != Verb::Rollback,
        emergency: verb == Verb::Rollback,
        who: who.to_owned(),
        reason: "login fails".into(),
        ..Wish::default()
    };
    Command { id, verb, wish }
}

/// What an emergency writes without a daemon, to the first objects.
fn done_directly(world: &mut World, emergency: &Command, reach: usize) {
    for object in world.objects.get_mut("alpha").unwrap().iter_mut().take(reach) {
        object.weight = Weight::ZERO;
        object.stamp = Some(Mark {
            id: emergency.id.clone(),
            weight: Weight::ZERO,
            reason: Some(Reason::Emergency),
        });
    }
}

fn result(world: &World, command: &Command) -> Option<CommandResult> {
    let found = world.status.commands.iter().find(|c| c.id == command.id);
    found.map(|outcome| outcome.result)
}

/// The command of another that was the last one before, for another component.
fn eve_was_here(world: &mut World) {
    let mut eve = command(Verb::Set, id(world, -30, 1), "eve", Some(50));
    eve.wish.components = vec!["beta".into()];
    world.commands.push(eve);
    world.tick();
    world.ticks(2);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_emergency_that_waits_beside_a_raise_wins_whatever_their_ids_say(
        (callers, raisers) in (-600..=600_i64, -600..=600_i64),
        (verb, to) in prop_oneof![
            Just((Verb::Set, Some(600))), Just((Verb::Set, Some(50))), Just((Verb::Retry, None)),
            Just((Verb::Resume, None)), Just((Verb::Promote, None)), Just((Verb::Detach, None)),
        ],
        (dead, reach) in (prop::bool::ANY, 0..=3_usize),
    ) {
        let mut world = three();
        eve_was_here(&mut world);
        let raise = command(verb, id(&world, raisers, 2), "eve", to);
        let emergency = command(Verb::Rollback, id(&world, callers, 3), "bob", None);
        done_directly(&mut world, &emergency, reach);
        if dead {
            world.restart();
        }
        world.commands.extend([emergency.clone(), raise.clone()]);
        world.ticks(6);
        prop_assert_eq!(weights(&world), [0, 0, 0]);
        let c = world.component("alpha");
        prop_assert_eq!((c.state, c.reason), (State::RolledBack, Reason::Emergency), "{}", c.message);
        prop_assert_eq!(result(&world, &emergency), Some(CommandResult::Accepted));
        let told = world.status.commands.iter().find(|c| c.id == raise.id).unwrap();
        prop_assert!(
            told.result == CommandResult::Cancelled && told.message.contains("ask again")
                || told.result == CommandResult::Expired,
            "{told:?}"
        );
        prop_assert!(c.drifts.is_empty(), "{:?}", c.drifts);
        let entry = c.history.last().unwrap();
        prop_assert_eq!((entry.from, entry.to), (weight(100), Weight::ZERO), "once: {:?}", c.history);
        prop_assert_eq!(entry.reason, Reason::Emergency);
        prop_assert_eq!(entry.who.as_deref(), Some("bob"));
        prop_assert_eq!(entry.id.as_ref(), Some(&emergency.id));
    }
}

/// Two looks: the first sees the mark alone, the second the wish, too.
fn mark_first(world: &mut World, emergency: &Command) -> Vec<Decision> {
    done_directly(world, emergency, 3);
    let mut looks = vec![world.tick()];
    world.commands.push(emergency.clone());
    looks.extend(world.ticks(3));
    looks
}

#[test]
fn an_emergency_whose_mark_is_seen_before_its_wish_is_told_once_and_gets_its_giver_when_that_comes() {
    let mut world = three();
    eve_was_here(&mut world);
    world.now += Duration::from_secs(60);
    let emergency = command(Verb::Rollback, id(&world, 0, 3), "bob", None);
    let looks = mark_first(&mut world, &emergency);
    let alarms: Vec<_> = looks
        .iter()
        .flat_map(|look| &look.notes)
        .filter(|note| note.reason == Reason::Emergency)
        .collect();
    assert_eq!(alarms.len(), 1, "{alarms:#?}");
    let found = looks[0].audits.iter().find(|audit| !audit.commanded).unwrap();
    assert_eq!(
        (found.id.as_str(), found.who.as_str()),
        (emergency.id.as_str(), "unknown")
    );
    assert_eq!(result(&world, &emergency), Some(CommandResult::Accepted));
    let c = world.component("alpha");
    assert!(
        c.message.starts_with("bob asked to put it back to 0%"),
        "{}",
        c.message
    );
    let back: Vec<_> = c
        .history
        .iter()
        .filter(|h| h.reason == Reason::Emergency)
        .collect();
    assert_eq!(back.len(), 1, "{back:#?}");
    assert_eq!(
        (back[0].who.as_deref(), back[0].id.as_ref()),
        (Some("bob"), Some(&emergency.id))
    );
    assert_eq!(weights(&world), [0, 0, 0]);
}

#[test]
fn a_raise_that_is_given_after_an_emergency_was_answered_is_obeyed_beside_its_annotation() {
    let mut world = three();
    let emergency = command(Verb::Rollback, id(&world, -5, 3), "bob", None);
    world.commands.push(emergency.clone());
    world.ticks(2);
    let retry = command(Verb::Retry, id(&world, 0, 4), "eve", None);
    world.now += Duration::from_secs(1);
    let retry = Command {
        id: id(&world, 0, 4),
        ..retry
    };
    world.commands.extend([emergency, retry.clone()]);
    world.tick();
    assert_eq!(result(&world, &retry), Some(CommandResult::Accepted));
}
