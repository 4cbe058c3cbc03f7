//! Evidence is about what was asked: by other arms, or to another question, nothing of it counts.

use super::world::{Weather, World, alike, spec, weight};
use crate::rollout::command::Verb;
use crate::rollout::observation::Decision;
use crate::rollout::reason::{Reason, State, Verdict};
use crate::rollout::spec::{ArmSource, Check};
use crate::rollout::weight::Weight;
use serde_json::{Value, json};

/// An edit of `alpha`'s canary or control.
fn edit_arm(world: &mut World, canary: bool) {
    world.edit(|spec| {
        let arms = spec.components[0].arms.as_mut().unwrap();
        let arm: &mut ArmSource = if canary {
            &mut arms.canary
        } else {
            arms.control.as_mut().unwrap()
        };
        arm.labels
            .insert("destination_service_namespace".to_owned(), "apps".to_owned());
    });
}

fn raised(decision: &Decision) -> bool {
    decision.raises.iter().any(|r| r.component == "alpha")
}

/// How many looks it takes from here to the raise.
fn looks_to_raise(world: &World) -> usize {
    let mut ahead = world.clone();
    (1..100)
        .find(|_| raised(&ahead.tick()))
        .unwrap_or_else(|| panic!("never raised: {}", ahead.component("alpha").message))
}

#[test]
fn arms_that_are_edited_at_the_end_of_a_hold_begin_it_anew_and_what_the_old_ones_passed_counts_no_more() {
    for (canary, restart, promoted) in [
        (true, false, false),
        (false, false, false),
        (true, true, false),
        (true, false, true),
    ] {
        let mut world = World::demo();
        world.until("alpha at 5%", |w| {
            w.component("alpha").weight.written == weight(50)
        });
        let looks = looks_to_raise(&world);
        if promoted {
            world.say(Verb::Promote, "alpha", None);
            world.all(Weather::NoLook);
            world.tick();
            world.all(Weather::Good);
        } else {
            assert!(!world.ticks(looks - 1).iter().any(raised));
        }
        edit_arm(&mut world, canary);
        if restart {
            world.restart();
        }
        // A look whose beginning was asked for by the old arms, and a hold of 30 s.
        let after: Vec<Decision> = (0..3).map(|_| world.tick()).collect();
        assert!(
            !after.iter().any(raised),
            "canary {canary}, restart {restart}, promoted {promoted}: raised on what the old arms had passed"
        );
        assert_eq!(
            after[0]
                .next
                .component("alpha")
                .unwrap()
                .held
                .unwrap_or_default()
                .0
                .as_secs(),
            0
        );
        let told = after[0].notes.iter().filter(|n| n.reason == Reason::SpecChanged);
        assert_eq!(told.count(), 1, "somebody is told why it holds");
        let looks = looks_to_raise(&world);
        assert!(
            looks <= 2,
            "canary {canary}: {looks} looks after the hold was over"
        );
    }
}

#[test]
fn arms_that_are_edited_neither_carry_an_old_breach_along_nor_hide_a_new_one() {
    let mut world = World::demo();
    world.until("alpha at 10%", |w| {
        w.component("alpha").weight.written == weight(100)
    });
    world.ticks(5);
    world.ready = Some(false);
    world.weather.insert("alpha".into(), Weather::CanaryFails);
    world.ticks(5);
    assert_eq!(world.component("alpha").reason, Reason::ControlNotReady);
    // The labels had named something else, which fails.
    edit_arm(&mut world, true);
    world.ready = Some(true);
    world.weather.insert("alpha".into(), Weather::Good);
    world.ticks(3);
    assert_eq!(
        world.highest("alpha"),
        weight(100),
        "{}",
        world.component("alpha").message
    );
    world.weather.insert("alpha".into(), Weather::CanaryFails);
    world.ticks(2);
    assert_eq!(world.highest("alpha"), Weight::ZERO);
    assert_eq!(world.component("alpha").state, State::RolledBack);
}

#[test]
fn an_edit_of_another_components_arms_or_of_what_no_sample_depends_on_forgets_nothing() {
    let mut world = World::demo();
    world.until("alpha at 5%", |w| {
        w.component("alpha").weight.written == weight(50)
    });
    let looks = looks_to_raise(&world);
    world.ticks(looks - 2);
    world.edit(|spec| {
        spec.components[1].arms = spec.components[0].arms.clone();
        spec.components[0].traffic = Some(crate::rollout::spec::Traffic::Requests);
    });
    assert!(!raised(&world.tick()));
    assert!(raised(&world.tick()), "{}", world.component("alpha").message);
}

#[test]
fn controls_frozen_past_outlives_an_edit_of_the_canarys_arm_and_not_one_of_its_own() {
    for canary in [true, false] {
        let mut world = World::demo();
        world.say(Verb::Approve, "*", None);
        world.commands[0].wish.phase = Some("cutover".into());
        world.until("alpha at 95%", |w| {
            w.component("alpha").weight.written == weight(950)
        });
        assert!(world.component("alpha").baseline.is_some());
        edit_arm(&mut world, canary);
        world.tick();
        assert_eq!(world.component("alpha").baseline.is_some(), canary);
    }
}

#[test]
fn a_pool_counts_anew_when_the_arms_of_a_member_are_edited() {
    let names = ["alpha", "beta"].map(str::to_owned);
    let mut spec = alike(&names, Some("pair"));
    spec["checks"] = json!([{"name": "errors", "window": "1h", "for": "1h"}]);
    let mut world = World::new(spec);
    world.all(Weather::Rare(0));
    world.until("alpha at 5%", |w| {
        w.component("alpha").weight.written == weight(50)
    });
    world.ticks(100);
    let again = |world: &World| world.status.pools.iter().map(|p| p.again).max().unwrap();
    assert_eq!(again(&world), 0);
    edit_arm(&mut world, true);
    world.tick();
    assert_eq!(again(&world), 1);
    world.ticks(5);
    assert_eq!(again(&world), 1, "once for each edit");
}

fn with_check(check: &Value) -> World {
    let mut spec = spec();
    spec["checks"] = json!([check]);
    World::new(spec)
}

fn ask(world: &mut World, check: &Value) {
    let checks: Vec<Check> = serde_json::from_value(json!([check])).unwrap();
    world.edit(|spec| spec.checks = Some(checks));
}

fn paused_at_10(world: &mut World) {
    world.until("alpha at 10%", |w| {
        w.component("alpha").weight.written == weight(100)
    });
    world.say(Verb::Pause, "alpha", None);
    world.ticks(8);
}

#[test]
fn a_gauge_that_asks_something_else_under_its_old_name_begins_anew_and_other_limits_do_not() {
    let lag = |query: &str, max: u32| {
        json!({"name": "lag", "metric": "query", "query": {"canary": query},
               "promote": {"max": 5}, "rollback": {"max": max}, "for": "30s"})
    };
    for (query, max, back) in [("max(other)", 10, false), ("max(lag)", 11, true)] {
        let mut world = with_check(&lag("max(lag)", 10));
        world.gauges.insert("lag".to_owned(), Ok(1.0));
        paused_at_10(&mut world);
        world.gauges.insert("lag".to_owned(), Ok(12.0));
        world.ticks(3);
        assert_eq!(world.highest("alpha"), weight(100), "20 s are not 30 s");
        ask(&mut world, &lag(query, max));
        world.tick();
        assert_eq!(world.highest("alpha").is_zero(), back, "{query} {max}");
        world.ticks(3);
        assert_eq!(
            world.highest("alpha"),
            Weight::ZERO,
            "over for the whole of `for`"
        );
    }
}

#[test]
fn counters_that_are_edited_under_their_checks_name_begin_anew() {
    let conn = |label: &str| json!({"name": "conn", "metric": "connectionSuccess", "series": {"canary": {"a": label}}});
    let mut world = with_check(&conn("b"));
    world.streams.insert("conn".to_owned(), (20_000, 0));
    paused_at_10(&mut world);
    world.ticks(40);
    let verdict = |world: &World| {
        let checks = &world.component("alpha").checks;
        checks.iter().find(|k| k.name == "conn").unwrap().verdict
    };
    assert_eq!(verdict(&world), Verdict::Pass);
    world.streams.remove("conn");
    ask(&mut world, &conn("c"));
    world.ticks(2);
    assert_ne!(verdict(&world), Verdict::Pass, "nothing was counted of these yet");
    assert_eq!(world.highest("alpha"), weight(100));
}
