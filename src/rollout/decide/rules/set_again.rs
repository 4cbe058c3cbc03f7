//! What a person's `set` may raise without `--force`: nothing that was put back, nothing beside what failed, and nothing
//! that nobody could see.

use super::world::{Weather, World, spec, weight};
use crate::rollout::command::Verb;
use crate::rollout::reason::{Reason, State};
use crate::rollout::sample::Dark;
use crate::rollout::status::CommandResult;
use crate::rollout::weight::Weight;
use serde_json::json;

fn at_five() -> World {
    let mut world = World::demo();
    world.until("5%", |w| w.component("alpha").weight.observed == Some(weight(50)));
    world.ticks(3);
    world
}

/// Sets a weight, and what was answered.
fn set(world: &mut World, component: &str, permille: u16, force: bool) -> (CommandResult, String) {
    world.say(Verb::Set, component, Some(weight(permille)));
    world.commands.last_mut().unwrap().wish.force = force;
    world.ticks(3);
    let outcome = world.status.commands.last().unwrap();
    (outcome.result, outcome.message.clone())
}

fn put_back(world: &mut World, by: &str) {
    match by {
        "a breach" => {
            world.weather.insert("alpha".into(), Weather::CanaryFails);
        }
        "a person, in part" => world.say(Verb::Rollback, "alpha", Some(weight(20))),
        _ => {
            world.say(Verb::Rollback, "alpha", None);
            world.commands.last_mut().unwrap().wish.emergency = by == "an emergency";
        }
    }
    world.until("back", |w| {
        let alpha = w.component("alpha");
        alpha.state == State::RolledBack && alpha.lowering.is_none()
    });
    world.weather.insert("alpha".into(), Weather::Good);
    world.tick();
}

#[test]
fn what_was_put_back_for_whatever_reason_is_not_set_upwards_without_a_retry_or_force() {
    for by in ["a breach", "a person", "a person, in part", "an emergency"] {
        for dark in [false, true] {
            let mut world = at_five();
            put_back(&mut world, by);
            if dark {
                world.all(Weather::Blind(Dark::Down));
                world.tick();
            }
            let stands = world.highest("alpha");
            let (result, message) = set(&mut world, "alpha", 50, false);
            assert_eq!(result, CommandResult::Refused, "{by}: {message}");
            assert!(
                message.contains("`retry`") && message.contains("--force"),
                "{by}: {message}"
            );
            assert_eq!(
                (world.highest("alpha"), world.component("alpha").state),
                (stands, State::RolledBack),
                "{by}"
            );
            let (result, message) = set(&mut world, "alpha", 50, true);
            assert_eq!(result, CommandResult::Accepted, "{by}: {message}");
            assert_eq!(world.highest("alpha"), weight(50), "{by}");
        }
    }
    let mut world = at_five();
    put_back(&mut world, "a person");
    world.say(Verb::Retry, "alpha", None);
    world.tick();
    assert_eq!(set(&mut world, "alpha", 70, false).0, CommandResult::Accepted);
    assert_eq!(world.highest("alpha"), weight(70));
}

/// Or `set 0%` would be the way round it.
#[test]
fn what_was_put_back_and_is_set_where_it_is_or_lower_stays_back() {
    for (to, stands) in [(20, 20), (10, 10), (0, 0)] {
        let mut world = at_five();
        put_back(&mut world, "a person, in part");
        let (result, message) = set(&mut world, "alpha", to, false);
        assert_eq!(result, CommandResult::Accepted, "{message}");
        assert!(message.contains("stays rolled back"), "{message}");
        assert_eq!(world.highest("alpha"), weight(stands));
        let alpha = world.component("alpha");
        assert_eq!((alpha.state, alpha.lowering.clone()), (State::RolledBack, None));
        assert_eq!(alpha.reason, Reason::RollbackRequested);
        assert_eq!(set(&mut world, "alpha", 50, false).0, CommandResult::Refused);
        world.say(Verb::Resume, "alpha", None);
        world.ticks(50);
        assert_eq!(world.highest("alpha"), weight(stands));
    }
}

#[test]
fn an_automatic_retry_that_is_due_ends_where_a_person_sets_what_was_put_back() {
    let mut spec = spec();
    spec["rollback"] = json!({"retry": {"after": "5m", "times": 2}});
    let mut world = World::new(spec);
    world.until("5%", |w| w.component("alpha").weight.observed == Some(weight(50)));
    world.ticks(3);
    put_back(&mut world, "a breach");
    assert!(
        world
            .component("alpha")
            .message
            .contains("begins again by itself")
    );
    assert_eq!(set(&mut world, "alpha", 0, false).0, CommandResult::Accepted);
    world.ticks(100);
    let alpha = world.component("alpha");
    assert_eq!(alpha.state, State::RolledBack);
    assert!(
        !alpha.message.contains("begins again by itself"),
        "{}",
        alpha.message
    );
}

#[test]
fn beside_one_that_failed_nothing_is_set_upwards_until_that_one_is_retried() {
    for policy in [json!({"scope": "rollout"}), json!({"onFailure": "stop"})] {
        let mut spec = spec();
        spec["rollback"] = policy.clone();
        let mut world = World::new(spec);
        world.until("beta at 10%", |w| w.highest("beta") == weight(100));
        world.ticks(4);
        world.weather.insert("alpha".into(), Weather::CanaryFails);
        world.until("alpha back", |w| w.highest("alpha").is_zero());
        world.ticks(3);
        if world.component("beta").state == State::RolledBack {
            world.say(Verb::Retry, "beta", None);
            world.ticks(3);
        }
        assert_eq!(world.component("beta").state, State::Walking);
        let stands = world.highest("beta");
        let (result, message) = set(&mut world, "beta", 300, false);
        assert_eq!(result, CommandResult::Refused, "{policy}: {message}");
        assert!(
            message.contains("alpha was rolled back") && message.contains("retried"),
            "{message}"
        );
        assert_eq!(world.highest("beta"), stands);
        world.weather.insert("alpha".into(), Weather::Good);
        world.say(Verb::Retry, "alpha", None);
        world.ticks(2);
        let (result, message) = set(&mut world, "beta", 300, false);
        assert_eq!(result, CommandResult::Accepted, "{policy}: {message}");
    }
}

#[test]
fn nothing_is_set_upwards_in_the_dark_without_force() {
    for kind in [
        Dark::Down,
        Dark::Refused,
        Dark::Vanished,
        Dark::Empty,
        Dark::Stale,
        Dark::Partial,
        Dark::NotANumber,
    ] {
        for by_hand in [false, true] {
            let mut world = at_five();
            if by_hand {
                set(&mut world, "alpha", 60, false);
                world.ticks(4);
            }
            world.weather.insert("alpha".into(), Weather::Blind(kind));
            world.tick();
            let stands = world.highest("alpha");
            let (result, message) = set(&mut world, "alpha", 300, false);
            assert_eq!(result, CommandResult::Refused, "{kind:?}: {message}");
            assert!(message.contains("--force"), "{message}");
            assert_eq!(world.highest("alpha"), stands, "{kind:?}");
            let (result, message) = set(&mut world, "alpha", 300, true);
            assert_eq!(result, CommandResult::Accepted, "{kind:?}");
            assert!(message.contains("warning: "), "{message}");
            assert_eq!(world.highest("alpha"), weight(300), "{kind:?}");
        }
    }
}

#[test]
fn nothing_is_set_upwards_at_once_where_nothing_was_ever_read_since_the_last_change() {
    let mut world = at_five();
    set(&mut world, "alpha", 60, false);
    world.weather.insert("alpha".into(), Weather::NoLook);
    let (result, message) = set(&mut world, "alpha", 70, false);
    assert_eq!(result, CommandResult::Accepted, "a moment ago: {message}");
    world.ticks(10);
    let (result, message) = set(&mut world, "alpha", 300, false);
    assert_eq!(result, CommandResult::Refused, "{message}");
    assert_eq!(world.highest("alpha"), weight(70));
}

#[test]
fn a_daemon_that_has_not_looked_yet_raises_nothing_by_hand_on_what_another_saw() {
    let mut world = at_five();
    world.restart();
    world.now += std::time::Duration::from_secs(60);
    world.say(Verb::Set, "alpha", Some(weight(300)));
    let mut seen = world.observe(false);
    for component in seen.components.values_mut() {
        component.unlooked = true;
    }
    let decision = crate::rollout::decide::decide(&world.plan, world.status.clone(), &seen, world.now);
    let outcome = decision.next.commands.last().unwrap();
    assert_eq!(outcome.result, CommandResult::Refused, "{}", outcome.message);
    assert!(decision.raises.is_empty());
    assert_ne!(world.highest("alpha"), Weight::ZERO);
}
