//! Commands of which nobody can tell which was given later: what lowers is obeyed, and what raises gives way.

use super::world::{World, weight};
use crate::rollout::command::{Command, Verb, Wish, pending};
use crate::rollout::decide::decide;
use crate::rollout::reason::State;
use crate::rollout::status::{COMMANDS_AT_ONCE, CommandOutcome, CommandResult};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

fn command(world: &World, verb: Verb, id: String, to: Option<u16>) -> Command {
    let wish = Wish {
        components: vec!["alpha".to_owned()],
        weight: to.map(weight),
        force: true,
        expires_at: Some(world.now + Duration::from_secs(480)),
        ..Wish::default()
    };
    Command { id, verb, wish }
}

fn ulid(world: &World, seconds_ago: u64) -> String {
    let millis = u64::try_from(world.now.as_millisecond()).unwrap() - seconds_ago * 1000;
    ulid::Ulid::from_parts(millis, u128::from(seconds_ago)).to_string()
}

/// One look at all of these together, and what became of them by their ids.
fn look(world: &mut World, commands: &[Command]) -> BTreeMap<String, CommandOutcome> {
    let annotations: BTreeMap<String, String> = commands.iter().map(|c| (c.key(), c.value())).collect();
    let mut seen = world.observe(false);
    (seen.commands, seen.malformed) = pending(&annotations);
    let decision = decide(&world.plan, world.status.clone(), &seen, world.now);
    world.status = decision.next;
    let outcome = |command: &Command| {
        let found = world.status.commands.iter().find(|c| c.is_of(command));
        (command.key(), found.unwrap().clone())
    };
    commands.iter().map(outcome).collect()
}

/// At 40%, on its way.
fn walking() -> World {
    let mut world = World::demo();
    world.until("40%", |w| {
        w.component("alpha").weight.observed == Some(weight(400))
    });
    world
}

#[test]
fn a_raise_whose_age_beside_a_rollback_is_unknown_gives_way_to_it() {
    for (raise, to) in [
        (Verb::Set, Some(700)),
        (Verb::Retry, None),
        (Verb::Resume, None),
        (Verb::Promote, None),
        // It lowers as things are, and is more than the rollback leaves.
        (Verb::Set, Some(50)),
        // It would leave the traffic where it is.
        (Verb::Detach, None),
    ] {
        for (of_raise, of_back) in [("1796040000c", None), ("0000", None), ("7", Some("1796040000"))] {
            let mut world = walking();
            let back = of_back.map_or_else(|| ulid(&world, 1), str::to_owned);
            let back = command(&world, Verb::Rollback, back, None);
            let raise = command(&world, raise, of_raise.to_owned(), to);
            let told = look(&mut world, &[raise.clone(), back.clone()]);
            let alpha = world.component("alpha");
            assert_eq!(alpha.state, State::RolledBack, "{raise:?}");
            assert_eq!(alpha.lowering.as_ref().map(|order| order.weight), Some(weight(0)));
            assert_eq!(told[&back.key()].result, CommandResult::Accepted);
            let outcome = &told[&raise.key()];
            assert_eq!(outcome.result, CommandResult::Cancelled, "{outcome:?}");
            let says = format!("its age beside the rollback {} is unknown", back.id);
            assert!(outcome.message.contains(&says), "{}", outcome.message);
        }
    }
}

#[test]
fn a_resume_whose_age_beside_a_pause_is_unknown_leaves_it_paused() {
    for (of_resume, of_pause) in [("1796040000", "1796040000"), ("7", "1796040000"), ("1", "2")] {
        let mut world = walking();
        let resume = command(&world, Verb::Resume, of_resume.to_owned(), None);
        let pause = command(&world, Verb::Pause, of_pause.to_owned(), None);
        let told = look(&mut world, &[resume.clone(), pause]);
        assert!(world.component("alpha").paused_by.is_some());
        assert_eq!(told[&resume.key()].result, CommandResult::Cancelled);
    }
}

#[test]
fn a_raise_that_was_surely_given_later_is_obeyed() {
    let mut world = walking();
    let back = command(&world, Verb::Rollback, ulid(&world, 2), None);
    let retry = command(&world, Verb::Retry, ulid(&world, 1), None);
    let told = look(&mut world, &[back, retry.clone()]);
    assert_eq!(told[&retry.key()].result, CommandResult::Accepted);
    assert_ne!(world.component("alpha").state, State::RolledBack);
}

#[test]
fn a_raise_that_is_given_when_a_lowering_was_answered_is_later_whatever_its_id() {
    let mut world = walking();
    let back = command(&world, Verb::Rollback, "2".to_owned(), None);
    look(&mut world, std::slice::from_ref(&back));
    // Its annotation is still there.
    let retry = command(&world, Verb::Retry, "1".to_owned(), None);
    let told = look(&mut world, &[back, retry.clone()]);
    assert_eq!(told[&retry.key()].result, CommandResult::Accepted);
}

#[test]
fn what_gives_way_has_its_turn_before_those_that_take_its_place_are_gone() {
    let mut world = walking();
    // As many are answered, and their annotations stay, that there is room for ten more at a look.
    let rollback = |world: &World, id: String| command(world, Verb::Rollback, id, None);
    let mut waiting: Vec<Command> = (0..COMMANDS_AT_ONCE - 10)
        .map(|n| rollback(&world, format!("3{n:04}")))
        .collect();
    look(&mut world, &waiting);
    waiting.extend((0..20).map(|n| rollback(&world, format!("1{n:04}"))));
    let retry = command(&world, Verb::Retry, "2".to_owned(), None);
    waiting.push(retry.clone());
    let mut told = None;
    for _ in 0..5 {
        world.now += Duration::from_secs(1);
        let annotations: BTreeMap<String, String> = waiting.iter().map(|c| (c.key(), c.value())).collect();
        let mut seen = world.observe(false);
        (seen.commands, seen.malformed) = pending(&annotations);
        let decision = decide(&world.plan, world.status.clone(), &seen, world.now);
        world.status = decision.next.clone();
        let outcome = world.status.commands.iter().find(|c| c.is_of(&retry)).cloned();
        told = told.or(outcome);
        waiting.retain(|command| !decision.done.contains(&command.key()));
        assert_eq!(world.component("alpha").state, State::RolledBack);
    }
    assert!(waiting.is_empty());
    // In its own turn, behind them, nobody would know any more that they were given beside it.
    let told = told.unwrap();
    assert_eq!(told.result, CommandResult::Cancelled, "{told:?}");
    assert!(
        told.message.contains("its age beside the rollback 1"),
        "{}",
        told.message
    );
}

/// Ids as they come: ULIDs of the last minute, seconds and nanoseconds of the clock, words.
fn an_id() -> impl Strategy<Value = (Option<u64>, String)> {
    prop_oneof![
        (0..60_u64).prop_map(|ago| (Some(ago), String::new())),
        "[0-9]{10}|[0-9]{19}|[0-9a-zA-Z]{1,12}|8[0-9A-HJKMNP-TV-Z]{25}".prop_map(|id| (None, id)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_waits_beside_a_lowering_raises_unless_it_was_surely_given_later(
        given in prop::collection::vec((0..6_usize, an_id(), 0..100_u16), 1..6),
        (back, to) in (an_id(), prop::option::of(0..20_u16)),
        first in prop::bool::ANY,
    ) {
        let mut world = walking();
        world.first = first;
        let verbs = [Verb::Set, Verb::Retry, Verb::Resume, Verb::Promote, Verb::Detach, Verb::Pause];
        let id = |world: &World, (ago, id): &(Option<u64>, String)| {
            ago.map_or_else(|| id.clone(), |ago| ulid(world, ago))
        };
        let back_id = id(&world, &back);
        let back = command(&world, Verb::Rollback, back_id, to.map(|to| to * 10));
        let mut all: Vec<Command> = given.iter().map(|(verb, given, percent)| {
            let verb = verbs[*verb];
            let to = (verb == Verb::Set).then_some(percent * 10);
            command(&world, verb, id(&world, given), to)
        }).collect();
        // Of two under one key the annotation holds the later one.
        let by_key: BTreeMap<String, Command> = all.drain(..).map(|c| (c.key(), c)).collect();
        all.extend(by_key.into_values());
        let surely_later = all.iter().any(|c| c.is_after(&back) == Some(true));
        all.push(back.clone());
        look(&mut world, &all);
        let alpha = world.component("alpha");
        let target = back.wish.weight.unwrap_or_default();
        if !surely_later {
            let deeper = alpha.weight.asked < target;
            prop_assert!(alpha.state == State::RolledBack || deeper, "{:?}", world.status.commands);
            prop_assert!(alpha.weight.asked <= target, "{}", alpha.weight.asked);
            prop_assert!(alpha.lowering.as_ref().is_some_and(|order| order.weight <= target));
            prop_assert!(!alpha.detached);
        }
    }
}
