//! Routed objects that can be read in part, or that give the canary more than their weight says.

use super::world::{Lost, Weather, World, weight};
use crate::rollout::command::Verb;
use crate::rollout::decide::decide;
use crate::rollout::observation::{Decision, Mark, Routers};
use crate::rollout::reason::{Reason, State};
use crate::rollout::status::{CommandResult, LeftOver};
use crate::rollout::weight::Weight;

/// Alpha at 10% with two routed objects, and nobody looks at the metrics.
fn at_ten() -> World {
    let mut world = World::demo();
    world.until("alpha at 10%", |w| {
        w.component("alpha").weight.written == weight(100) && w.highest("alpha") == weight(100)
    });
    world.tick();
    world.all(Weather::NoLook);
    world
}

fn back() -> World {
    let mut world = at_ten();
    world.say(Verb::Rollback, "alpha", None);
    world.ticks(3);
    let alpha = world.component("alpha");
    assert_eq!(
        (alpha.state, alpha.weight.observed),
        (State::RolledBack, Some(Weight::ZERO))
    );
    world
}

/// Somebody edits an object so that it is not as the resource has it, and gives the canary so much.
fn edit(world: &mut World, at: usize, to: u16, beyond: u16) {
    let object = &mut world.objects.get_mut("alpha").unwrap()[at];
    (object.weight, object.beyond) = (weight(to), weight(beyond));
    object.lost = Some(Lost::InPart);
    object.manager = Some("kubectl-edit".into());
}

fn mend(world: &mut World, at: usize) {
    let object = &mut world.objects.get_mut("alpha").unwrap()[at];
    (object.beyond, object.lost, object.left) = (Weight::ZERO, None, None);
}

fn condition(world: &World, kind: &str) -> (String, String, String) {
    let found = world.status.condition(kind).unwrap().clone();
    (found.status, found.reason, found.message)
}

fn told(decisions: &[Decision], reason: Reason) -> Vec<String> {
    let notes = decisions.iter().flat_map(|d| &d.notes);
    let notes = notes.filter(|note| note.reason == reason);
    notes.map(|note| note.message.clone()).collect()
}

#[test]
fn a_raise_of_what_can_be_read_only_in_part_is_put_back_and_its_share_is_said() {
    for (mut world, written) in [(at_ten(), 100), (back(), 0)] {
        edit(&mut world, 1, 600, 0);
        let decisions = world.ticks(3);
        assert_eq!(world.highest("alpha"), weight(written));
        let notes = told(&decisions, Reason::DriftReverted);
        assert!(
            notes.iter().any(|note| note.contains("to 60%; putting it back")),
            "{notes:?}"
        );
        let alpha = world.component("alpha");
        assert_eq!(
            alpha.lowering, None,
            "it is over although the object is not as it should be"
        );
        assert_eq!(alpha.weight.written, weight(written));
        let raises = decisions.iter().flat_map(|d| &d.raises);
        assert_eq!(raises.filter(|raise| raise.component == "alpha").count(), 0);
    }
}

#[test]
fn what_no_write_reaches_is_going_back_until_somebody_mends_it_and_no_wait_takes_it_for_back() {
    let mut world = back();
    edit(&mut world, 0, 0, 1000);
    let decisions = world.ticks(30);
    let alpha = world.component("alpha");
    assert!(alpha.lowering.is_some(), "{alpha:#?}");
    let orders: Vec<&String> = decisions
        .iter()
        .flat_map(|d| &d.lowers)
        .map(|lower| &lower.id)
        .collect();
    assert!(
        orders.windows(2).all(|two| two[0] == two[1]),
        "one order, and no other: {orders:?}"
    );
    assert_eq!(told(&decisions, Reason::DriftReverted).len(), 1);
    assert_eq!(condition(&world, "Ready").1, "RollingBack");
    assert_eq!(condition(&world, "RolledBack").0, "False");
    mend(&mut world, 0);
    world.ticks(3);
    assert_eq!(world.component("alpha").lowering, None);
    assert_eq!(condition(&world, "RolledBack").0, "True");
}

#[test]
fn a_rolled_back_component_of_which_nobody_knows_what_it_gives_the_canary_is_not_ready_for_that() {
    let mut world = back();
    world.objects.get_mut("alpha").unwrap()[0].lost = Some(Lost::Garbled);
    let decisions = world.ticks(5);
    let (status, reason, message) = condition(&world, "Ready");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "RouterUnreadable"));
    assert!(
        message.contains("alpha") && message.contains("says nothing"),
        "{message}"
    );
    assert_eq!(condition(&world, "RolledBack").0, "False");
    assert_eq!(told(&decisions, Reason::NotLowered).len(), 1);
    mend(&mut world, 0);
    world.ticks(2);
    assert_eq!(condition(&world, "RolledBack").0, "True");
    assert_eq!(world.component("alpha").left, None);
}

#[test]
fn what_is_set_by_hand_and_raised_in_part_is_told_with_the_share_that_it_has() {
    let mut world = at_ten();
    world.say(Verb::Set, "alpha", Some(weight(50)));
    world.ticks(2);
    edit(&mut world, 1, 600, 0);
    world.ticks(2);
    let alpha = world.component("alpha");
    assert_eq!(alpha.state, State::Manual);
    assert!(
        alpha.message.contains("60%") && !alpha.message.contains("5% stays"),
        "{}",
        alpha.message
    );
    assert_eq!(world.highest("alpha"), weight(600), "it is theirs to set");
}

#[test]
fn requests_that_reach_the_canary_beside_a_lowered_weight_are_told_until_they_are_gone() {
    for all in [true, false] {
        let mut world = at_ten();
        let left = LeftOver {
            message: "route \"all\" gives the canary 100%".into(),
            all,
        };
        world.objects.get_mut("alpha").unwrap()[0].left = Some(left.clone());
        world.tick();
        assert_eq!(world.component("alpha").left, None, "it was not lowered");
        world.say(Verb::Rollback, "alpha", None);
        let decisions = world.ticks(5);
        assert_eq!(world.component("alpha").left, Some(left.clone()));
        assert_eq!(
            told(&decisions, Reason::NotLowered),
            std::slice::from_ref(&left.message),
            "once"
        );
        let ready = condition(&world, "Ready");
        assert_eq!(
            ready.1 == "NotLowered" && ready.2.contains(&left.message),
            all,
            "{ready:?}"
        );
        let rolled_back = condition(&world, "RolledBack");
        let (says, progress) = if all {
            (
                "0 of 2 rolled back, 1 not sure to be back: see Ready",
                "0/2, 1 not back",
            )
        } else {
            ("1 of 2 rolled back", "0/2, 1 back")
        };
        assert_eq!(rolled_back.0 == "False", all);
        assert_eq!(rolled_back.2, says);
        assert_eq!(world.status.progress.as_deref(), Some(progress));
        mend(&mut world, 0);
        world.ticks(2);
        assert_eq!(world.component("alpha").left, None);
        assert_eq!(condition(&world, "RolledBack").0, "True");
    }
}

#[test]
fn a_component_whose_requests_all_reach_the_canary_beside_its_weight_is_not_ready_while_it_walks() {
    for all in [true, false] {
        let mut world = at_ten();
        world.objects.get_mut("alpha").unwrap()[0].left = Some(LeftOver {
            message: "route \"all\" stands before ours and gives the canary 100%".into(),
            all,
        });
        world.ticks(2);
        let (status, reason, message) = condition(&world, "Ready");
        assert_eq!(status == "False", all, "{reason}: {message}");
        assert_eq!(
            reason == "Ineligible" && message.contains("alpha") && message.contains("gives the canary 100%"),
            all
        );
        world.say(Verb::Set, "alpha", Some(weight(50)));
        world.ticks(3);
        let reason = condition(&world, "Ready").1;
        assert_eq!(reason == "NotLowered", all, "{reason}");
        mend(&mut world, 0);
        world.ticks(2);
        assert_eq!(condition(&world, "Ready").0, "True");
    }
}

#[test]
fn what_was_put_back_and_is_raised_again_and_again_is_put_back_each_time_and_the_fight_is_named() {
    let mut world = back();
    let mut decisions = Vec::new();
    for _ in 0..5 {
        let object = &mut world.objects.get_mut("alpha").unwrap()[0];
        (object.weight, object.manager) = (weight(400), Some("argocd-controller".into()));
        decisions.extend(world.ticks(2));
        assert_eq!(world.highest("alpha"), Weight::ZERO);
    }
    let fights = told(&decisions, Reason::GitOpsFight);
    assert_eq!(fights.len(), 1, "{fights:?}");
    assert!(fights[0].contains("argocd-controller") && fights[0].contains("ignoreDifferences"));
    let alpha = world.component("alpha");
    assert!(
        alpha.message.contains("GitOpsFight: argocd-controller"),
        "{}",
        alpha.message
    );
    assert!(condition(&world, "Ready").2.contains("GitOpsFight"));
    assert_eq!(alpha.state, State::RolledBack);
}

#[test]
fn marks_of_what_was_put_back_after_a_rollback_end_an_order_as_any_other() {
    let mut world = back();
    edit(&mut world, 0, 0, 0);
    edit(&mut world, 1, 700, 0);
    world.ticks(4);
    let alpha = world.component("alpha");
    assert_eq!((alpha.state, alpha.lowering.clone()), (State::RolledBack, None));
    let marks = world.objects["alpha"].iter().map(|o| o.stamp.clone().unwrap());
    assert!(
        marks
            .clone()
            .all(|mark: Mark| mark.reason == Some(Reason::DriftReverted))
    );
    assert_eq!(condition(&world, "RolledBack").0, "True");
}

/// A look at a time at which alpha's routes are another resource's.
fn look_while_claimed(world: &mut World) {
    world.now += std::time::Duration::from_secs(10);
    let mut seen = world.observe(false);
    seen.components.get_mut("alpha").unwrap().routers = Routers::Claimed("they are another's".into());
    let decision = decide(&world.plan, world.status.clone(), &seen, world.now);
    assert!(decision.lowers.is_empty(), "nothing of another's is written");
    world.commands.clear();
    world.status = decision.next;
}

#[test]
fn a_rollback_that_was_refused_while_the_routes_were_anothers_is_done_when_they_are_its_own() {
    for retried in [false, true] {
        let mut world = World::demo();
        world.all(Weather::NoLook);
        look_while_claimed(&mut world);
        world.say(Verb::Rollback, "alpha", None);
        look_while_claimed(&mut world);
        let outcome = world.status.commands.last().unwrap();
        assert_eq!(outcome.result, CommandResult::Refused, "{}", outcome.message);
        look_while_claimed(&mut world);
        if retried {
            world.say(Verb::Retry, "alpha", None);
            look_while_claimed(&mut world);
        }
        // Its owner lets go of it, at 40%.
        for object in world.objects.get_mut("alpha").unwrap() {
            object.weight = weight(400);
        }
        world.ticks(4);
        let alpha = world.component("alpha");
        if retried {
            assert_eq!(
                (world.highest("alpha"), alpha.owed),
                (weight(400), None),
                "it is where it begins"
            );
            continue;
        }
        assert_eq!(world.highest("alpha"), Weight::ZERO);
        assert_eq!(
            (
                alpha.state,
                alpha.reason,
                alpha.weight.written,
                alpha.weight.observed,
                alpha.owed
            ),
            (
                State::RolledBack,
                Reason::RollbackRequested,
                Weight::ZERO,
                Some(Weight::ZERO),
                None
            )
        );
        assert_eq!(alpha.lowering, None);
    }
}

#[test]
fn what_cannot_be_used_in_a_spec_is_told_as_it_is_after_the_last_edit() {
    let mut world = at_ten();
    for problem in ["components[0]: sw is no switch", "components[2]: sy is no switch"] {
        world.invalid = Some(problem.into());
        world.ticks(2);
        assert_eq!(world.component("alpha").reason, Reason::InvalidSpec);
        assert_eq!(world.component("alpha").message, problem);
    }
}
