//! A component whose name alone is edited stays what it was: what was put back stays back, what a person stopped stays
//! stopped, whatever it carries and whether or not somebody was there to see the edit.

use super::foreign::three;
use super::world::{Weather, World, weight};
use crate::rollout::command::{Command, Verb, Wish};
use crate::rollout::plan::Plan;
use crate::rollout::reason::State;
use crate::rollout::status::CommandResult;
use crate::rollout::weight::Weight;
use std::time::Duration;

/// Edits the name in the spec; the routed objects bear marks of the old one alone.
fn rename(world: &mut World, from: &str, to: &str) {
    for component in &mut world.spec.components {
        if component.name == from {
            to.clone_into(&mut component.name);
        }
    }
    let named = world.spec.phases.iter_mut().flatten();
    for name in named.filter_map(|phase| phase.components.as_mut()).flatten() {
        if name == from {
            to.clone_into(name);
        }
    }
    world.plan = Plan::parse(&world.spec).unwrap();
    // The routers are the new name's, so the old one is let go.
    world.plan.take_in(&world.status, |_| true);
    let mut objects = world.objects.remove(from).unwrap();
    for object in &mut objects {
        object.stamp = None;
    }
    world.objects.insert(to.to_owned(), objects);
    let weather = world.weather.remove(from).unwrap_or(Weather::Good);
    world.weather.insert(to.to_owned(), weather);
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stand {
    Breach,
    Emergency,
    Rollback,
    Paused,
    PausedAtZero,
    Manual,
}

use Stand::{Breach, Emergency, Manual, Paused, PausedAtZero, Rollback};

fn stand(which: Stand) -> World {
    let mut world = if which == PausedAtZero {
        let mut world = World::demo();
        world.say(Verb::Pause, "alpha", None);
        world
    } else {
        three()
    };
    match which {
        Breach => {
            world.weather.insert("alpha".into(), Weather::CanaryFails);
            world.until("it is back", |w| {
                let c = w.component("alpha");
                c.state == State::RolledBack && c.lowering.is_none()
            });
            world.weather.insert("alpha".into(), Weather::Good);
        }
        Emergency => {
            let millis = u64::try_from(world.now.as_millisecond()).unwrap();
            world.commands.push(Command {
                id: ulid::Ulid::from_parts(millis, 1).to_string(),
                verb: Verb::Rollback,
                wish: Wish {
                    components: vec!["alpha".into()],
                    emergency: true,
                    ..Wish::default()
                },
            });
        }
        Rollback => world.say(Verb::Rollback, "alpha", None),
        Paused => world.say(Verb::Pause, "alpha", None),
        PausedAtZero => {}
        Manual => world.say(Verb::Set, "alpha", Some(weight(50))),
    }
    world.ticks(3);
    world.commands.clear();
    world.tick();
    world
}

#[test]
fn a_component_that_is_only_renamed_stays_what_it_was() {
    for which in [Breach, Emergency, Rollback, Paused, PausedAtZero, Manual] {
        for dies in [false, true] {
            let mut world = stand(which);
            let before = world.component("alpha").clone();
            let weights: Vec<Weight> = world.objects["alpha"].iter().map(|o| o.weight).collect();
            rename(&mut world, "alpha", "gamma");
            if dies {
                world.restart();
            }
            let first = world.tick();
            let marked = before.definition.is_some() || before.back.is_some() || before.routed_by.is_some();
            assert!(marked, "{which:?}");
            assert_eq!(first.detached, ["alpha"], "{which:?}");
            assert!(
                first
                    .notes
                    .iter()
                    .any(|n| n.message.contains("it was called alpha until now")),
                "{which:?}"
            );
            // Long enough for a walk to rise.
            world.now += Duration::from_secs(3600);
            world.ticks(400);
            let c = world.component("gamma");
            assert_eq!(
                (c.state, c.paused_by.is_some(), c.weight.written),
                (before.state, before.paused_by.is_some(), before.weight.written),
                "{which:?} {dies}: {}",
                c.message
            );
            assert_eq!(c.reason, before.reason, "{which:?} {dies}: {}", c.message);
            assert_eq!(c.history.first(), before.history.first(), "{which:?}");
            let now: Vec<Weight> = world.objects["gamma"].iter().map(|o| o.weight).collect();
            assert_eq!(now, weights, "{which:?} {dies}");
            assert!(world.status.component("alpha").is_none());
            if c.state == State::RolledBack {
                let marks = world.objects["gamma"]
                    .iter()
                    .map(|o| o.stamp.as_ref().map(|m| m.reason));
                assert!(
                    marks.eq([Some(Some(before.reason)); 3]),
                    "known by its marks, too"
                );
            }
        }
    }
}

#[test]
fn a_walk_goes_on_by_its_new_name() {
    let mut world = three();
    rename(&mut world, "alpha", "gamma");
    world.tick();
    world.until("it rises", |w| w.component("gamma").weight.written > weight(100));
}

/// Where a raise was half written by the old name, the new one does not end it, and takes it back.
#[test]
fn a_raise_that_the_old_name_declared_is_nobodys() {
    let mut world = three();
    world.die = Some(1);
    world.until("one of three is raised", |w| {
        w.objects["alpha"][0].weight > weight(100)
    });
    world.die = None;
    assert!(world.component("alpha").intent.is_some());
    rename(&mut world, "alpha", "gamma");
    world.restart();
    world.ticks(3);
    assert_eq!(world.highest("gamma"), weight(100));
}

#[test]
fn another_plan_of_the_new_name_begins_again_but_not_after_an_emergency() {
    for (which, begins) in [(Breach, true), (Emergency, false)] {
        let mut world = stand(which);
        world.spec.components[0].arms = world.spec.components[1].arms.clone();
        rename(&mut world, "alpha", "gamma");
        world.ticks(3);
        assert_eq!(
            world.component("gamma").state == State::Walking,
            begins,
            "{which:?}"
        );
    }
}

#[test]
fn a_name_that_takes_other_routers_begins_anew() {
    let mut world = stand(Rollback);
    let routers = world.spec.components[1].routers.clone();
    world.spec.components.remove(1);
    world.spec.components[0].routers = routers;
    rename(&mut world, "alpha", "gamma");
    world.ticks(2);
    assert_ne!(world.component("gamma").state, State::RolledBack);
}

#[test]
fn what_was_let_go_stays_so_by_any_name() {
    for (zero, dies) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut world = if zero { World::demo() } else { three() };
        world.say(Verb::Detach, "alpha", None);
        world.ticks(3);
        world.commands.clear();
        world.tick();
        let at = world.highest("alpha");
        assert!(world.component("alpha").detached);
        for (from, to) in [("alpha", "gamma"), ("gamma", "delta")] {
            rename(&mut world, from, to);
            if dies {
                world.restart();
            }
            world.tick();
            world.now += Duration::from_secs(3600);
            world.ticks(400);
            let c = world.component(to);
            assert!(
                c.detached && c.state == State::Manual,
                "{zero} {dies}: {}",
                c.message
            );
            assert_eq!(world.highest(to), at, "{zero} {dies}");
        }
        world.say(Verb::Resume, "delta", None);
        world.until("it rises", |w| w.highest("delta") > at);
    }
}

/// Who says stop, or back, names what there is when they say it; a daemon may hear that only after the edit.
#[test]
fn what_stops_or_puts_back_is_obeyed_by_a_name_of_before() {
    for (verb, emergency) in [
        (Verb::Rollback, false),
        (Verb::Rollback, true),
        (Verb::Pause, false),
    ] {
        for late in [0, 1, 400] {
            for dies in [false, true] {
                let mut world = three();
                // Nobody listens from here on.
                rename(&mut world, "alpha", "gamma");
                if late > 0 {
                    world.tick();
                    rename(&mut world, "gamma", "delta");
                    world.tick();
                }
                let name = if late > 0 { "delta" } else { "gamma" };
                world.say(verb, "alpha", None);
                world.commands.last_mut().unwrap().wish.emergency = emergency;
                if dies {
                    world.restart();
                }
                world.tick();
                let before = world.highest(name);
                world.now += Duration::from_secs(3600);
                world.ticks(400);
                let c = world.component(name);
                let outcome = world.status.commands.last().unwrap();
                assert_eq!(outcome.result, CommandResult::Accepted, "{}", outcome.message);
                if verb == Verb::Pause {
                    assert!(
                        c.paused_by.is_some() && world.highest(name) == before,
                        "{late} {dies}"
                    );
                } else {
                    assert!(
                        c.state == State::RolledBack && world.highest(name).is_zero(),
                        "{late} {dies}"
                    );
                }
            }
        }
    }
    // Whoever has the name now is meant by it; and what raises names what there is.
    let mut world = three();
    rename(&mut world, "alpha", "gamma");
    world.tick();
    world.say(Verb::Set, "alpha", Some(weight(900)));
    world.tick();
    let outcome = world.status.commands.last().unwrap();
    assert_eq!(outcome.result, CommandResult::Refused, "{}", outcome.message);
}
