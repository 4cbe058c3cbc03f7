//! Where a component begins, and where it stays when control cannot take anything back.

use super::world::{Weather, World, spec, weight};
use crate::rollout::command::Verb;
use crate::rollout::reason::{Reason, State, Verdict};
use crate::rollout::weight::Weight;

#[test]
fn what_is_found_at_a_weight_is_left_there_and_judged_there_before_anything_rises() {
    let (mut world, first) = World::found(spec(), weight(300));
    assert_eq!(
        (first.raises, first.lowers),
        (vec![], vec![]),
        "nothing is written at the first look"
    );
    let c = world.component("alpha");
    assert_eq!((c.state, c.weight.written), (State::Walking, weight(300)));
    for _ in 0..60 {
        let decision = world.tick();
        let Some(raise) = decision.raises.iter().find(|r| r.component == "alpha") else {
            assert_eq!(world.highest("alpha"), weight(300));
            continue;
        };
        let c = decision.next.component("alpha").unwrap();
        let held = c.held.unwrap_or_default().0;
        assert!(held.as_secs() >= 30, "{held:?}");
        let passed = |v| matches!(v, Verdict::Pass | Verdict::Skipped);
        assert!(!c.checks.is_empty() && c.checks.iter().all(|k| passed(k.verdict)));
        assert_eq!(raise.weight, weight(400), "the next declared one");
        return;
    }
    panic!("it never went on: {}", world.component("alpha").message);
}

#[test]
fn another_plan_at_everything_sends_nothing_to_a_control_that_is_ill_until_it_is_well() {
    for by_hand in [false, true] {
        let mut world = World::demo();
        if by_hand {
            world.say(Verb::Set, "alpha", Some(Weight::FULL));
            world.ticks(10);
        } else {
            world.say(Verb::Approve, "*", None);
            world.commands[0].wish.phase = Some("cutover".into());
            world.until("alpha is finished", |w| {
                w.component("alpha").state == State::Completed
            });
        }
        assert_eq!(world.highest("alpha"), Weight::FULL);
        world.ready = Some(false);
        world.weather.insert("alpha".into(), Weather::CanaryFails);
        world.edit(|spec| spec.phases.as_mut().unwrap()[0].steps[0].weight = weight(40));
        for decision in world.ticks(20) {
            assert!(decision.lowers.iter().all(|l| l.component != "alpha"));
            assert_eq!(world.highest("alpha"), Weight::FULL, "by hand: {by_hand}");
        }
        assert_eq!(world.component("alpha").reason, Reason::ControlNotReady);
        world.ready = Some(true);
        world.ticks(2);
        assert_eq!(world.highest("alpha"), Weight::ZERO, "by hand: {by_hand}");
    }
}

#[test]
fn a_plan_that_was_put_back_begins_again_by_an_edit_and_editing_it_back_moves_nothing() {
    let mut world = World::demo();
    world.until("alpha at 5%", |w| w.highest("alpha") == weight(50));
    world.say(Verb::Rollback, "alpha", None);
    world.ticks(2);
    world.weather.insert("alpha".into(), Weather::NoLook);
    let first = |world: &mut World, permille| {
        world.edit(|spec| spec.phases.as_mut().unwrap()[0].steps[0].weight = weight(permille));
    };
    first(&mut world, 40);
    world.tick();
    first(&mut world, 50);
    for decision in world.ticks(3) {
        assert!(decision.lowers.is_empty(), "{:?}", decision.lowers);
    }
    let alpha = world.component("alpha");
    assert_eq!((alpha.state, alpha.attempt), (State::Walking, 2), "begun once");
    assert_eq!(world.highest("alpha"), Weight::ZERO);
    world.weather.insert("alpha".into(), Weather::Good);
    world.until("5%", |w| w.highest("alpha") == weight(50));
}
