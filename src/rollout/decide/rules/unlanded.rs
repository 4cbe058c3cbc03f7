//! A rollback, or a lowering by hand, that was accepted and is not written yet: whatever is asked for meanwhile, it lands
//! first. Only a raise that a person gives after it undoes it.

use super::foreign::{three, weights};
use super::world::{Lost, Weather, World, spec, weight};
use crate::rollout::command::{Command, Verb, Wish};
use crate::rollout::reason::{Reason, State};
use crate::rollout::status::{CommandOutcome, CommandResult};
use crate::rollout::weight::Weight;
use proptest::prelude::*;
use std::time::Duration;

/// Alpha at 10%, with one object of three that takes no writes.
fn stuck() -> World {
    let mut world = three();
    world.stuck = Some(2);
    world
}

fn command(world: &World, verb: Verb, to: Option<u16>, force: bool) -> Command {
    let wish = Wish {
        components: vec!["alpha".to_owned()],
        weight: to.map(weight),
        force,
        who: "eve".into(),
        ..Wish::default()
    };
    let millis = u64::try_from(world.now.as_millisecond()).unwrap();
    Command {
        id: ulid::Ulid::from_parts(millis, u128::from(millis)).to_string(),
        verb,
        wish,
    }
}

fn outcome(world: &World, command: &Command) -> CommandOutcome {
    let mut all = world.status.commands.iter();
    all.find(|c| c.is_of(command)).unwrap().clone()
}

/// What orders the lowering that does not land.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Order {
    Person,
    Emergency,
    Breach,
    ByHand,
}

const ORDERS: [Order; 4] = [Order::Person, Order::Emergency, Order::Breach, Order::ByHand];

impl Order {
    fn give(self, world: &mut World) {
        let mut asked = match self {
            Self::Breach => {
                world.weather.insert("alpha".into(), Weather::CanaryFails);
                world.until("it goes back", |w| {
                    w.component("alpha").state == State::RolledBack
                });
                world.weather.insert("alpha".into(), Weather::Good);
                return;
            }
            Self::Person | Self::Emergency => command(world, Verb::Rollback, None, false),
            Self::ByHand => command(world, Verb::Set, Some(50), false),
        };
        asked.wish.emergency = self == Self::Emergency;
        world.commands.push(asked.clone());
        world.tick();
        assert_eq!(outcome(world, &asked).result, CommandResult::Accepted);
    }

    fn goes_to(self) -> u16 {
        if self == Self::ByHand { 50 } else { 0 }
    }
}

/// An order that did not land yet, the daemon died perhaps.
fn under_way(order: Order, dies: bool) -> World {
    let mut world = stuck();
    order.give(&mut world);
    world.now += Duration::from_secs(1);
    if dies {
        world.restart();
        world.tick();
    }
    let standing = world.component("alpha").lowering.as_ref();
    assert_eq!(
        standing.map(|o| o.weight),
        Some(weight(order.goes_to())),
        "{order:?}"
    );
    assert_eq!(world.highest("alpha"), weight(100), "one object is where it was");
    world
}

#[test]
fn whoever_detaches_while_a_lowering_has_not_landed_is_refused_and_it_lands() {
    for order in ORDERS {
        for dies in [false, true] {
            let mut world = under_way(order, dies);
            let detach = command(&world, Verb::Detach, None, true);
            world.commands.push(detach.clone());
            world.ticks(2);
            let told = outcome(&world, &detach);
            assert_eq!(told.result, CommandResult::Refused, "{order:?}: {told:?}");
            let going = format!("going to {}", weight(order.goes_to()));
            assert!(told.message.contains(&going), "{}", told.message);
            assert!(!world.component("alpha").detached);
            world.stuck = None;
            world.ticks(2);
            assert_eq!(weights(&world), [order.goes_to(); 3], "{order:?}");
            // Landed, it may be let go.
            let detach = command(&world, Verb::Detach, None, false);
            world.commands.push(detach.clone());
            world.tick();
            assert_eq!(outcome(&world, &detach).result, CommandResult::Accepted);
            assert!(world.component("alpha").detached);
        }
    }
}

#[test]
fn of_a_rollback_and_a_detach_that_wait_together_the_rollback_lands_whichever_was_given_first() {
    for (first, emergency) in [
        (Verb::Rollback, false),
        (Verb::Detach, false),
        (Verb::Rollback, true),
        (Verb::Detach, true),
    ] {
        let mut world = three();
        let mut both = Vec::new();
        let last = if first == Verb::Rollback {
            Verb::Detach
        } else {
            Verb::Rollback
        };
        for verb in [first, last] {
            let mut given = command(&world, verb, None, false);
            given.wish.emergency = emergency && verb == Verb::Rollback;
            both.push(given);
            world.now += Duration::from_secs(2);
        }
        world.restart();
        world.commands.clone_from(&both);
        world.ticks(3);
        assert_eq!(weights(&world), [0, 0, 0], "{first} first");
        let c = world.component("alpha");
        assert_eq!(
            (c.state, c.detached),
            (State::RolledBack, false),
            "{first} first: {}",
            c.message
        );
    }
}

fn remove(world: &mut World) {
    world.edit(|spec| {
        spec.components.retain(|c| c.name != "alpha");
        for phase in spec.phases.iter_mut().flatten() {
            if let Some(names) = &mut phase.components {
                names.retain(|name| name != "alpha");
            }
        }
        spec.phases
            .as_mut()
            .unwrap()
            .retain(|p| p.components.as_ref().is_none_or(|c| !c.is_empty()));
    });
}

#[test]
fn an_orphan_whose_rollback_has_not_landed_is_not_let_go() {
    let mut world = stuck();
    remove(&mut world);
    world.tick();
    world.say(Verb::Rollback, "alpha", None);
    world.tick();
    let detach = command(&world, Verb::Detach, None, false);
    world.commands.push(detach.clone());
    world.tick();
    assert_eq!(outcome(&world, &detach).result, CommandResult::Refused);
    world.stuck = None;
    world.ticks(2);
    assert_eq!(weights(&world), [0, 0, 0]);
    // Put into the spec again it is still back.
    assert_eq!(world.component("alpha").state, State::RolledBack);
}

/// Every verb but a raise that undoes it, beside everything that orders a lowering.
#[test]
fn no_verb_that_is_no_raise_by_a_person_keeps_a_lowering_from_landing() {
    let verbs = [
        (Verb::Set, Some(80)),
        (Verb::Set, Some(300)),
        (Verb::Pause, None),
        (Verb::Resume, None),
        (Verb::Promote, None),
        (Verb::Approve, None),
        (Verb::Retry, None),
        (Verb::Detach, None),
        (Verb::Complaint, None),
    ];
    for order in [Order::Person, Order::Emergency, Order::Breach] {
        for (verb, to) in verbs {
            for dies in [false, true] {
                let mut world = under_way(order, dies);
                world.commands.push(command(&world, verb, to, false));
                world.ticks(3);
                let order_stands = world.component("alpha").lowering.as_ref().map(|o| o.weight);
                assert_eq!(order_stands, Some(Weight::ZERO), "{order:?} {verb} {to:?}");
                // `retry` begins the plan again once it has landed.
                world.weather.insert("alpha".into(), Weather::NoLook);
                world.ready = None;
                world.stuck = None;
                world.tick();
                world.tick();
                assert_eq!(weights(&world), [0, 0, 0], "{order:?} {verb} {to:?}");
            }
        }
    }
}

#[test]
fn who_resumes_what_was_paused_and_put_back_does_not_make_it_look_as_if_it_went_on() {
    let mut world = under_way(Order::Person, false);
    world.say(Verb::Pause, "alpha", None);
    world.tick();
    let was = world.component("alpha").clone();
    world.say(Verb::Resume, "alpha", None);
    world.tick();
    let is = world.component("alpha");
    assert!(is.paused_by.is_none());
    assert_eq!(
        (is.state, is.reason, &is.message),
        (State::RolledBack, was.reason, &was.message)
    );
}

#[test]
fn resume_beside_a_lowering_by_hand_takes_nobody_above_where_that_goes() {
    let mut world = three();
    world.objects.get_mut("alpha").unwrap()[0].weight = weight(80);
    world.tick();
    world.stuck = Some(0);
    let set = command(&world, Verb::Set, Some(50), false);
    world.commands.push(set);
    world.tick();
    world.say(Verb::Resume, "alpha", None);
    world.tick();
    world.stuck = None;
    world.weather.insert("alpha".into(), Weather::NoLook);
    world.ticks(2);
    assert_eq!(weights(&world), [50, 50, 50]);
}

#[test]
fn another_plan_begins_only_when_the_rollback_before_it_has_landed() {
    let mut world = under_way(Order::Breach, false);
    world.edit(|spec| {
        let steps = serde_json::json!([{"weight": "2%", "hold": "30s"}]);
        spec.phases.as_mut().unwrap()[0].steps = serde_json::from_value(steps).unwrap();
    });
    world.tick();
    assert_eq!(world.component("alpha").state, State::Walking, "another plan");
    for decision in world.ticks(10) {
        assert!(decision.raises.iter().all(|r| r.component != "alpha"));
        assert!(
            decision
                .lowers
                .iter()
                .any(|l| l.component == "alpha" && l.weight.is_zero())
        );
    }
    world.stuck = None;
    world.tick();
    world.tick();
    assert_eq!(world.component("alpha").weight.written, Weight::ZERO);
}

#[test]
fn a_component_that_is_removed_and_added_again_is_still_put_back() {
    let mut world = under_way(Order::Person, false);
    let whole = world.spec.clone();
    remove(&mut world);
    world.ticks(2);
    world.edit(|spec| *spec = whole);
    world.ticks(2);
    assert!(world.component("alpha").lowering.is_some());
    world.stuck = None;
    world.ticks(2);
    assert_eq!(weights(&world), [0, 0, 0]);
    assert_eq!(world.component("alpha").state, State::RolledBack);
}

#[test]
fn a_rollback_of_the_rollout_to_more_does_not_take_the_place_of_a_lowering_to_less() {
    let mut spec = spec();
    spec["rollback"] = serde_json::json!({"scope": "rollout", "to": "8%"});
    let mut world = World::new(spec);
    world.until("both at 10%", |w| {
        ["alpha", "beta"]
            .iter()
            .all(|c| w.component(c).weight.written == weight(100))
    });
    world.stuck = Some(0);
    let set = command(&world, Verb::Set, Some(20), false);
    world.commands.push(set);
    world.tick();
    world.say(Verb::Rollback, "beta", None);
    world.tick();
    let order = world.component("alpha").lowering.clone().unwrap();
    assert_eq!((order.weight, order.reason), (weight(20), Reason::OtherFailed));
}

#[test]
fn what_becomes_anothers_before_its_rollback_has_landed_is_owed_it() {
    let mut world = under_way(Order::Emergency, false);
    world.claimed = Some("they are another's".into());
    world.ticks(2);
    let c = world.component("alpha");
    assert_eq!(
        (c.owed, c.lowering.is_some()),
        (Some(Weight::ZERO), false),
        "{}",
        c.message
    );
    world.claimed = None;
    world.stuck = None;
    world.ticks(3);
    assert_eq!(weights(&world), [0, 0, 0]);
    assert_eq!(world.component("alpha").reason, Reason::Emergency);
    // What had landed owes nothing.
    let mut world = three();
    world.say(Verb::Rollback, "alpha", None);
    world.ticks(2);
    world.claimed = Some("they are another's".into());
    world.ticks(2);
    assert_eq!(world.component("alpha").owed, None);
}

#[test]
fn one_that_is_to_follow_a_rollback_still_does_after_it_was_set_lower_by_hand() {
    let mut spec = spec();
    spec["rollback"] = serde_json::json!({"scope": "rollout"});
    let mut world = World::new(spec);
    world.until("both at 10%", |w| {
        ["alpha", "beta"]
            .iter()
            .all(|c| w.component(c).weight.written == weight(100))
    });
    world.ready = Some(false);
    world.say(Verb::Rollback, "beta", None);
    world.tick();
    assert!(world.component("alpha").follows.is_some());
    let set = command(&world, Verb::Set, Some(50), false);
    world.commands.push(set);
    world.ticks(3);
    assert_eq!(world.component("alpha").weight.written, weight(50));
    world.ready = Some(true);
    world.ticks(3);
    assert_eq!(world.highest("alpha"), Weight::ZERO);
}

#[test]
fn a_raise_by_hand_that_a_rollback_overtakes_is_told_so() {
    let mut world = under_way(Order::Person, false);
    let mark = world.component("alpha").lowering.clone().unwrap();
    let set = command(&world, Verb::Set, Some(300), true);
    world.commands.push(set.clone());
    world.tick();
    assert_eq!(outcome(&world, &set).result, CommandResult::Accepted);
    // The write that was on its way lands after all.
    for object in world.objects.get_mut("alpha").unwrap() {
        object.weight = Weight::ZERO;
        object.stamp = Some(crate::rollout::observation::Mark {
            id: mark.id.clone(),
            weight: Weight::ZERO,
            reason: Some(mark.reason),
        });
    }
    if let Some(c) = world.status.component_mut("alpha") {
        // Its raise lost that race.
        c.intent = None;
    }
    world.tick();
    let c = world.component("alpha");
    assert_eq!(c.state, State::RolledBack, "{}", c.message);
    assert!(c.message.contains("the set to 30%"), "{}", c.message);
    assert!(c.message.contains("overtaken"), "{}", c.message);
}

fn any_word() -> impl Strategy<Value = (Verb, Option<u16>, bool)> {
    prop_oneof![
        2 => (0u16..=1000, prop::bool::ANY).prop_map(|(w, force)| (Verb::Set, Some(w), force)),
        2 => Just((Verb::Rollback, None, false)),
        3 => Just((Verb::Detach, None, false)),
        1 => Just((Verb::Pause, None, false)),
        2 => Just((Verb::Resume, None, false)),
        1 => Just((Verb::Promote, None, false)),
        1 => Just((Verb::Retry, None, false)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is said while a rollback cannot be written, it stands until a person raises; and then it lands.
    #[test]
    fn after_a_rollback_was_accepted_the_traffic_is_back_before_anything_of_lower_care_is_done(
        order in prop_oneof![Just(Order::Person), Just(Order::Emergency), Just(Order::Breach)],
        words in prop::collection::vec((any_word(), prop::bool::ANY, prop::option::weighted(0.2, 0usize..3)), 1..8),
    ) {
        let mut world = under_way(order, false);
        world.weather.insert("alpha".into(), Weather::NoLook);
        for ((verb, to, force), dies, gone) in words {
            let given = command(&world, verb, to, force);
            world.commands.push(given.clone());
            world.objects.get_mut("alpha").unwrap()[0].lost = gone.map(|_| Lost::Garbled);
            world.tick();
            if dies {
                world.restart();
            }
            let taken = outcome(&world, &given).result == CommandResult::Accepted;
            // A raise by a person: their word is the last.
            if taken && verb == Verb::Set && force {
                return Ok(());
            }
            let c = world.component("alpha");
            prop_assert_eq!(c.lowering.as_ref().map(|o| o.weight), Some(Weight::ZERO), "{} {:?}: {}", verb, to, c.message);
            prop_assert!(!c.detached);
        }
        for object in world.objects.get_mut("alpha").unwrap() {
            object.lost = None;
        }
        world.stuck = None;
        world.ticks(2);
        prop_assert_eq!(weights(&world), [0, 0, 0]);
    }
}
