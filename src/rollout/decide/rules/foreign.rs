//! Somebody else moves the weights of a component with several routed objects.

use super::world::{Lost, Weather, World, weight};
use crate::rollout::command::Verb;
use crate::rollout::observation::Mark;
use crate::rollout::reason::{Reason, State};
use crate::rollout::status::{CommandResult, GradualRolloutStatus};
use crate::rollout::weight::Weight;
use proptest::prelude::*;

/// Alpha at 10% with three routed objects.
pub(super) fn three() -> World {
    let mut world = World::demo();
    let objects = world.objects.get_mut("alpha").unwrap();
    let one = objects[0].clone();
    objects.resize(3, one);
    world.until("alpha at 10%", |w| {
        w.component("alpha").weight.written == weight(100) && w.highest("alpha") == weight(100)
    });
    world.tick();
    world
}

fn edit(world: &mut World, at: usize, to: u16, manager: &str) {
    let object = &mut world.objects.get_mut("alpha").unwrap()[at];
    object.weight = weight(to);
    object.manager = Some(manager.to_owned());
}

pub(super) fn weights(world: &World) -> Vec<u16> {
    world.objects["alpha"]
        .iter()
        .map(|o| o.weight.permille())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rule_9_each_foreign_change_is_told_once_and_none_beyond_what_was_written_stays(
        edits in proptest::collection::vec((0usize..3, 0u16..=1000), 1..6)
    ) {
        let mut world = three();
        // Nothing is looked at, so the plan does not go on meanwhile.
        world.weather.insert("alpha".into(), Weather::NoLook);
        for (n, (at, to)) in edits.into_iter().enumerate() {
            let (written, drifts) = (world.component("alpha").weight.written, world.component("alpha").drifts.len());
            edit(&mut world, at, to, &format!("tool-{n}"));
            world.ticks(4);
            prop_assert!(world.highest("alpha") <= written, "beyond {written}: {:?}", weights(&world));
            let told = world.component("alpha").clone();
            prop_assert!(told.drifts.len() <= drifts + 1, "{:#?}", told.drifts);
            prop_assert_ne!(told.reason, Reason::GitOpsFight);
            world.ticks(4);
            let later = world.component("alpha");
            prop_assert_eq!(&later.drifts, &told.drifts);
            prop_assert_eq!(&later.history, &told.history);
            prop_assert_eq!(later.since, told.since);
            if told.state != State::Walking {
                prop_assert_eq!(&later.message, &told.message);
            }
        }
        world.say(Verb::Rollback, "alpha", None);
        world.ticks(2);
        prop_assert_eq!(world.highest("alpha"), Weight::ZERO);
    }
}

#[test]
fn what_a_lowering_of_ours_leaves_apart_is_nobodys_change() {
    let mut world = three();
    for (at, to) in [(1, 0), (0, 0), (0, 101)] {
        edit(&mut world, at, to, "ada");
        world.ticks(4);
    }
    assert_eq!(weights(&world), [100, 0, 100]);
    assert_eq!(
        world.component("alpha").drifts.len(),
        2,
        "lowered one after the other, and raised"
    );
}

#[test]
fn one_of_three_that_is_lowered_holds_the_plan_and_resume_takes_all_on_from_there() {
    let mut world = three();
    edit(&mut world, 1, 50, "ada");
    world.ticks(3);
    let alpha = world.component("alpha");
    assert_eq!((alpha.state, alpha.reason), (State::Drifted, Reason::Drifted));
    assert!(alpha.message.contains("ada lowered"), "{}", alpha.message);
    assert_eq!(weights(&world), [100, 50, 100]);
    world.say(Verb::Resume, "alpha", None);
    world.tick();
    let outcome = world.status.commands.last().unwrap();
    assert!(
        outcome.message.contains("all of them go to 5%"),
        "{}",
        outcome.message
    );
    world.ticks(1);
    assert_eq!(weights(&world), [50, 50, 50]);
    world.until("10% again", |w| weights(w) == [100, 100, 100]);
}

#[test]
fn objects_that_disagree_at_the_first_look_are_told_once_and_wait() {
    let mut world = three();
    edit(&mut world, 2, 30, "ada");
    world.status = GradualRolloutStatus::default();
    world.restart();
    world.ticks(2);
    let first = world.component("alpha").clone();
    assert_eq!((first.state, first.reason), (State::Drifted, Reason::Drifted));
    assert!(first.message.contains("3%"), "{}", first.message);
    world.ticks(20);
    let later = world.component("alpha");
    assert_eq!((&later.history, &later.drifts), (&first.history, &first.drifts));
    assert_eq!(later.since, first.since);
    assert_eq!(
        weights(&world),
        [100, 100, 30],
        "nothing is written before somebody says so"
    );
}

#[test]
fn a_weight_above_the_lowest_is_refused_where_objects_disagree_and_what_the_refusal_names_works() {
    for remedy in ["set", "resume"] {
        let mut world = three();
        edit(&mut world, 2, 30, "ada");
        world.ticks(3);
        for refused in [50, 100, 500] {
            world.say(Verb::Set, "alpha", Some(weight(refused)));
            world.ticks(3);
            let told = world.status.commands.last().unwrap().clone();
            assert_eq!(told.result, CommandResult::Refused, "{refused}: {}", told.message);
            assert!(told.message.contains("`set 3%` or `resume`"), "{}", told.message);
            assert_eq!(weights(&world), [100, 100, 30], "nothing is written");
        }
        match remedy {
            "set" => world.say(Verb::Set, "alpha", Some(weight(30))),
            _ => world.say(Verb::Resume, "alpha", None),
        }
        world.ticks(5);
        assert_eq!(weights(&world), [30, 30, 30], "{remedy}");
        assert_eq!(world.component("alpha").lowering, None);
        world.say(Verb::Set, "alpha", Some(weight(200)));
        world.until("20%", |w| weights(w) == [200, 200, 200]);
    }
}

#[test]
fn a_mark_that_nobody_can_have_made_yet_lets_no_weight_rise() {
    for state in [State::Walking, State::Drifted] {
        let mut world = three();
        if state == State::Drifted {
            for at in 0..3 {
                edit(&mut world, at, 50, "ada");
            }
            world.ticks(3);
        }
        let before = world.component("alpha").weight.written;
        for object in world.objects.get_mut("alpha").unwrap() {
            object.weight = weight(600);
            object.stamp = Some(Mark {
                id: "7ZZZZZZZZZZZZZZZZZZZZZZZZZ".into(),
                weight: weight(600),
                reason: Some(Reason::Step),
            });
        }
        world.ticks(3);
        assert_eq!(world.highest("alpha"), before, "{state}");
        let last = world.component("alpha").history.last().unwrap().clone();
        assert_ne!(last.reason, Reason::Step, "{last:?}");
    }
}

#[test]
fn whoever_lowers_one_object_after_the_other_fights_nobody() {
    let mut world = three();
    for (at, to) in [(0, 20), (1, 10), (2, 0), (0, 0)] {
        edit(&mut world, at, to, "kubectl-edit");
        world.ticks(3);
        let alpha = world.component("alpha");
        assert_eq!((alpha.state, alpha.reason), (State::Drifted, Reason::Drifted));
        assert_eq!(alpha.drifts.len(), 1);
    }
    edit(&mut world, 1, 900, "kubectl-edit");
    world.ticks(3);
    assert_eq!(
        world.highest("alpha"),
        weight(10),
        "and a raise is put back all the same"
    );
}

#[test]
fn what_goes_back_is_back_when_each_object_that_is_there_is_down() {
    for lost in [Lost::Gone, Lost::Garbled] {
        let mut world = three();
        world.objects.get_mut("alpha").unwrap()[1].lost = Some(lost);
        world.say(Verb::Rollback, "alpha", None);
        world.ticks(4);
        let alpha = world.component("alpha");
        assert_eq!(alpha.state, State::RolledBack);
        assert_eq!(weights(&world), [0, 100, 0]);
        // What cannot be understood may carry traffic. What is gone carries none.
        let back = world.status.condition("RolledBack").unwrap();
        let over = lost == Lost::Gone;
        assert_eq!(alpha.lowering.is_none(), over, "{lost:?}: {}", alpha.message);
        assert_eq!(back.status == "True", over, "{back:?}");
        let progress = world.status.progress.as_deref();
        assert_eq!(
            progress,
            Some(if over { "0/2, 1 back" } else { "0/2, 1 going back" })
        );
        world.objects.get_mut("alpha").unwrap()[1].lost = None;
        world.ticks(4);
        assert_eq!(
            world.highest("alpha"),
            Weight::ZERO,
            "{lost:?}: one that comes back carries nothing"
        );
        assert!(world.component("alpha").lowering.is_none());
    }
}

#[test]
fn a_raise_by_somebody_else_is_put_back_although_another_object_says_nothing() {
    for lost in [Lost::Gone, Lost::Garbled] {
        let mut world = three();
        world.objects.get_mut("alpha").unwrap()[1].lost = Some(lost);
        world.ticks(2);
        edit(&mut world, 0, 600, "ada");
        world.ticks(2);
        assert_eq!(weights(&world)[0], 100, "{lost:?}");
        let told = &world.component("alpha").drifts;
        assert_eq!(told.len(), 1, "{told:?}");
    }
}

#[test]
fn who_raises_again_what_a_rollback_brought_down_is_answered_whatever_it_still_waits_for() {
    for lost in [None, Some(Lost::Garbled)] {
        let mut world = three();
        world.objects.get_mut("alpha").unwrap()[1].lost = lost;
        if lost.is_none() {
            // It takes no writes for now.
            world.stuck = Some(1);
        }
        world.say(Verb::Rollback, "alpha", None);
        world.ticks(3);
        assert!(world.component("alpha").lowering.is_some());
        for again in [400, 410] {
            edit(&mut world, 0, again, "ada");
            world.ticks(2);
            assert_eq!(weights(&world)[0], 0, "{again}: {lost:?}");
        }
        assert_eq!(world.component("alpha").reason, Reason::RollbackRequested);
        world.objects.get_mut("alpha").unwrap()[1].lost = None;
        world.stuck = None;
        world.ticks(3);
        assert_eq!(weights(&world), [0, 0, 0]);
        assert!(world.component("alpha").lowering.is_none());
    }
}

#[test]
fn a_spec_that_cannot_be_used_is_no_pause_for_others_to_raise_in() {
    let mut world = three();
    world.invalid = Some("a slip".into());
    edit(&mut world, 0, 600, "ada");
    world.ticks(3);
    assert_eq!(weights(&world), [100, 100, 100]);
    world.say(Verb::Rollback, "alpha", None);
    world.ticks(3);
    for pause in [false, true] {
        if pause {
            world.invalid = None;
            world.say(Verb::Pause, "alpha", None);
            world.ticks(1);
        }
        edit(&mut world, 2, 600, "bob");
        world.ticks(3);
        assert_eq!(weights(&world), [0, 0, 0], "paused: {pause}");
        assert_eq!(world.component("alpha").state, State::RolledBack);
    }
}

#[test]
fn a_raise_written_in_part_goes_back_although_another_object_cannot_be_read() {
    let mut world = three();
    world.die = Some(1);
    world.until("half of it is written", |w| weights(w) == [400, 100, 100]);
    world.objects.get_mut("alpha").unwrap()[1].lost = Some(Lost::Garbled);
    world.restart();
    world.ticks(3);
    assert_eq!(weights(&world), [100, 100, 100]);
}

/// Whoever lowers dies after the first of three objects, and nobody has heard of it: what the mark says was under way is
/// brought to its end, and nobody is blamed.
#[test]
fn a_lowering_whose_writer_died_on_the_way_is_brought_to_its_end() {
    for (verb, to, state) in [
        (Verb::Rollback, 0, State::RolledBack),
        (Verb::Set, 40, State::Manual),
    ] {
        for status_is_lost in [false, true] {
            let mut world = three();
            let (status, objects) = (world.status.clone(), world.objects["alpha"].clone());
            world.say(verb, "alpha", (verb == Verb::Set).then(|| weight(to)));
            world.ticks(2);
            assert_eq!(weights(&world), [to; 3]);
            for (n, object) in objects.into_iter().enumerate().skip(1) {
                world.objects.get_mut("alpha").unwrap()[n] = object;
            }
            world.status = if status_is_lost {
                GradualRolloutStatus::default()
            } else {
                status
            };
            world.restart();
            world.ticks(3);
            let c = world.component("alpha");
            if status_is_lost && verb == Verb::Set {
                assert_eq!(c.state, State::Drifted, "whose it was is not known any more");
                continue;
            }
            assert_eq!(
                weights(&world),
                [to; 3],
                "{verb:?}, status lost: {status_is_lost}"
            );
            assert_eq!(c.state, state, "{}", c.message);
            assert!(c.drifts.is_empty(), "{:?}", c.drifts);
            world.ticks(30);
            assert_eq!(weights(&world), [to; 3]);
        }
    }
}

#[test]
fn a_rollout_is_not_ready_while_nobody_can_read_where_the_traffic_of_one_of_its_components_goes() {
    let mut world = three();
    let ready = |world: &World| world.status.condition("Ready").unwrap().clone();
    assert_eq!(ready(&world).status, "True");
    world.objects.get_mut("alpha").unwrap()[1].lost = Some(Lost::Garbled);
    world.tick();
    let told = ready(&world);
    assert_eq!(
        (told.status.as_str(), told.reason.as_str()),
        ("False", "RouterUnreadable")
    );
    assert_eq!(told.message, "alpha: one of them says nothing");
    assert_eq!(
        world.status.condition("Stalled").unwrap().status,
        "False",
        "it may pass"
    );
    world.objects.get_mut("alpha").unwrap()[1].lost = None;
    world.tick();
    assert_eq!(ready(&world).status, "True");
}
