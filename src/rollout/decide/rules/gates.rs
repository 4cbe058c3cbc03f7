//! What stands between a component and its next weight, and what people and schedules do about it.

use super::world::{Event, Weather, World, spec, weight};
use crate::rollout::command::Verb;
use crate::rollout::decide::decide;
use crate::rollout::observation::{Frozen, Mark};
use crate::rollout::reason::{Reason, State};
use crate::rollout::sample::{Counts, Dark, Slice};
use crate::rollout::status::CommandResult;
use crate::rollout::weight::Weight;
use serde_json::json;
use std::time::Duration;

fn at_gate() -> World {
    let mut world = World::demo();
    world.until("both wait for approval", |w| {
        ["alpha", "beta"]
            .iter()
            .all(|c| w.component(c).reason == Reason::AwaitingApproval)
    });
    world
}

fn last(world: &World) -> (CommandResult, String) {
    let outcome = world.status.commands.last().unwrap();
    (outcome.result, outcome.message.clone())
}

#[test]
fn the_gate_opens_by_approval_and_by_nothing_else() {
    let mut world = at_gate();
    world.say(Verb::Promote, "*", None);
    world.ticks(50);
    assert_eq!(world.highest("alpha"), weight(700));
    world.say(Verb::Approve, "*", None);
    world.until("90%", |w| w.highest("alpha") == weight(900));
    assert_eq!(world.status.approvals.len(), 1);
    world.say(Verb::Approve, "*", None);
    world.ticks(1);
    assert_eq!(last(&world).0, CommandResult::Refused, "there is no second gate");
}

#[test]
fn a_closed_window_and_a_freeze_hold_and_only_the_freeze_stops_the_clock() {
    for (schedule, reason, clock_runs) in [
        (
            json!({"windows": [{"from": "10:00", "to": "11:00"}]}),
            Reason::OutsideWindow,
            true,
        ),
        (
            json!({"freezes": [{"from": "2026-03-02T00:00:00Z", "to": "2026-03-03T00:00:00Z"}]}),
            Reason::Frozen,
            false,
        ),
    ] {
        let mut world = World::demo();
        world.until("5%", |w| w.highest("alpha") == weight(50));
        world.edit(|spec| spec.schedule = Some(serde_json::from_value(schedule.clone()).unwrap()));
        world.ticks(12);
        let held = world.component("alpha").held;
        world.ticks(12);
        assert_eq!(world.highest("alpha"), weight(50), "{reason}");
        assert_eq!(world.component("alpha").held != held, clock_runs, "{reason}");
        if clock_runs {
            assert_eq!(world.component("alpha").reason, reason);
            world.now = "2026-03-02T10:00:00Z".parse().unwrap();
            world.until("the window opens", |w| w.highest("alpha") == weight(100));
        }
        world.weather.insert("alpha".into(), Weather::CanaryFails);
        world.ticks(5);
        assert_eq!(world.highest("alpha"), Weight::ZERO, "falling is always allowed");
    }
}

#[test]
fn a_canary_that_fails_again_after_a_retry_goes_back_again_and_walks_its_plan_once_it_is_mended() {
    let mut world = World::demo();
    for attempt in ["first", "second"] {
        world.until("5%", |w| w.highest("alpha") == weight(50));
        world.ticks(4);
        world.weather.insert("alpha".into(), Weather::CanaryFails);
        world.until("back", |w| {
            w.highest("alpha").is_zero() && w.component("alpha").lowering.is_none()
        });
        let alpha = world.component("alpha").clone();
        assert_eq!(
            (alpha.state, alpha.reason),
            (State::RolledBack, Reason::Breach),
            "{attempt}"
        );
        // Mended or not, nothing begins again by itself.
        world.weather.insert("alpha".into(), Weather::Good);
        world.ticks(50);
        assert_eq!(world.highest("alpha"), Weight::ZERO, "{attempt}");
        world.say(Verb::Retry, "alpha", None);
    }
    world.until("its plan, to the gate", |w| w.highest("alpha") == weight(700));
}

#[test]
fn a_failed_pilot_stops_the_rollout_and_a_retry_walks_alone_and_catches_up() {
    let mut world = World::demo();
    world.until("5%", |w| w.highest("alpha") == weight(50));
    world.say(Verb::Rollback, "alpha", None);
    world.ticks(100);
    assert_eq!(world.highest("beta"), Weight::ZERO);
    assert_eq!(world.status.condition("Ready").unwrap().reason, "PhaseFailed");
    world.say(Verb::Retry, "alpha", None);
    world.until("both at the gate", |w| {
        w.highest("alpha") == weight(700) && w.highest("beta") == weight(700)
    });
    assert!(!world.component("alpha").alone, "it has caught up");
}

#[test]
fn what_comes_too_late_or_is_overtaken_raises_nothing() {
    let mut world = World::demo();
    world.until("5%", |w| w.highest("alpha") == weight(50));
    world.say(Verb::Set, "alpha", Some(weight(300)));
    world.now += Duration::from_secs(700);
    world.ticks(1);
    assert_eq!(last(&world).0, CommandResult::Expired);
    world.say(Verb::Set, "alpha", Some(weight(300)));
    world.say(Verb::Pause, "alpha", None);
    world.ticks(3);
    assert!(
        world
            .status
            .commands
            .iter()
            .any(|c| c.result == CommandResult::Cancelled)
    );
    assert_eq!(world.highest("alpha"), weight(50));
    world.say(Verb::Resume, "alpha", None);
    world.say(Verb::Set, "alpha", Some(weight(300)));
    let nameless = world.commands.last_mut().unwrap();
    nameless.id = "please".into();
    world.ticks(2);
    assert!(last(&world).1.contains("expiresAt"), "{}", last(&world).1);
    assert_eq!(world.highest("alpha"), weight(50));
}

#[test]
fn a_canary_that_gets_nothing_is_not_held_through_its_step_nor_raised_by_hand() {
    let mut world = World::demo();
    world.all(Weather::Elsewhere);
    world.until("5%", |w| w.highest("alpha") == weight(50));
    world.ticks(20);
    let held = world.component("alpha").held;
    assert_eq!(world.component("alpha").reason, Reason::NotArriving);
    world.ticks(60);
    assert_eq!(world.component("alpha").held, held, "waiting is no trial");
    world.say(Verb::Set, "alpha", Some(weight(300)));
    world.ticks(1);
    let (result, message) = last(&world);
    assert_eq!(result, CommandResult::Refused);
    assert!(
        message.contains("nobody would see") && message.contains("--force"),
        "{message}"
    );
    world.say(Verb::Set, "alpha", Some(weight(300)));
    world.commands[0].wish.force = true;
    world.ticks(2);
    assert_eq!(world.highest("alpha"), weight(300));
}

#[test]
fn a_raise_by_hand_is_refused_on_pause_freeze_and_without_control_and_force_overrides() {
    let mut world = World::demo();
    world.until("5%", |w| w.highest("alpha") == weight(50));
    world.ticks(4);
    world.ready = Some(false);
    world.say(Verb::Set, "alpha", Some(weight(300)));
    world.ticks(1);
    assert!(last(&world).1.contains("no ready endpoint"), "{}", last(&world).1);
    world.ready = Some(true);
    world.say(Verb::Pause, "alpha", None);
    world.ticks(1);
    world.say(Verb::Set, "alpha", Some(weight(300)));
    world.ticks(1);
    assert!(last(&world).1.contains("it is paused"), "{}", last(&world).1);
    world.say(Verb::Resume, "alpha", None);
    world.ticks(1);
    let frozen = Frozen {
        until: None,
        says: "everything is frozen by ada".to_owned(),
    };
    world.frozen = Some(frozen);
    world.say(Verb::Set, "alpha", Some(weight(300)));
    world.ticks(1);
    assert!(last(&world).1.contains("frozen by ada"), "{}", last(&world).1);
    assert_eq!(world.highest("alpha"), weight(50), "nothing rose");
    world.frozen = None;
    world.all(Weather::Blind(Dark::Down));
    world.say(Verb::Set, "alpha", Some(weight(300)));
    world.ticks(1);
    assert_eq!(last(&world).0, CommandResult::Refused, "the source is down");
    world.say(Verb::Set, "alpha", Some(weight(300)));
    world.commands[0].wish.force = true;
    world.ticks(2);
    assert_eq!(
        (world.highest("alpha"), world.component("alpha").state),
        (weight(300), State::Manual)
    );
    world.all(Weather::Good);
    world.ticks(5);
    world.weather.insert("alpha".into(), Weather::CanaryFails);
    world.ticks(5);
    assert_eq!(
        world.highest("alpha"),
        Weight::ZERO,
        "a weight by hand keeps the rollback armed"
    );
}

#[test]
fn darkness_rolls_back_only_where_the_resource_says_so_and_then_only_after_a_while() {
    for (on_blind, kind, falls) in [
        ("hold", Dark::Vanished, false),
        ("rollback", Dark::Down, false),
        ("rollback", Dark::Vanished, true),
        ("rollbackAlways", Dark::Down, true),
    ] {
        let mut spec = spec();
        spec["judge"]["onBlind"] = json!(on_blind);
        spec["judge"]["blindAfter"] = json!("5m");
        let mut world = World::new(spec);
        world.until("5%", |w| w.highest("alpha") == weight(50));
        world.ticks(4);
        world.weather.insert("alpha".into(), Weather::Blind(kind));
        world.ticks(20);
        assert_eq!(world.highest("alpha"), weight(50), "not before blindAfter");
        world.ticks(30);
        assert_eq!(world.highest("alpha").is_zero(), falls, "{on_blind} {kind:?}");
    }
}

#[test]
fn with_the_glass_broken_a_foreign_raise_stands_and_is_judged() {
    let mut world = World::demo();
    world.until("5%", |w| w.highest("alpha") == weight(50));
    world.ticks(4);
    world.glass = Some(("ada".into(), world.now + Duration::from_secs(3600)));
    for object in world.objects.get_mut("alpha").unwrap() {
        object.weight = weight(600);
        object.manager = Some("kubectl-edit".into());
    }
    world.ticks(3);
    assert_eq!(
        (world.highest("alpha"), world.component("alpha").state),
        (weight(600), State::Manual)
    );
    world.ticks(5);
    world.weather.insert("alpha".into(), Weather::CanaryFails);
    world.ticks(5);
    assert_eq!(world.highest("alpha"), Weight::ZERO);
}

#[test]
fn one_failure_stops_or_takes_along_the_others_as_the_resource_says() {
    for (policy, beta) in [
        (json!({"onFailure": "stop"}), weight(100)),
        (json!({"scope": "rollout"}), Weight::ZERO),
    ] {
        let mut spec = spec();
        spec["rollback"] = policy.clone();
        let mut world = World::new(spec);
        world.until("beta at 10%", |w| w.highest("beta") == weight(100));
        world.ticks(4);
        world.weather.insert("alpha".into(), Weather::CanaryFails);
        world.until("alpha back", |w| w.highest("alpha").is_zero());
        world.ticks(100);
        assert_eq!(world.highest("beta"), beta, "{policy}");
    }
}

#[test]
fn where_no_declared_weight_follows_it_holds_and_says_so() {
    let mut world = at_gate();
    world.say(Verb::Set, "alpha", Some(weight(650)));
    world.ticks(3);
    world.edit(|spec| {
        for phase in spec.phases.as_mut().unwrap() {
            phase.steps.retain(|s| s.weight < weight(600));
        }
        spec.phases.as_mut().unwrap().retain(|p| !p.steps.is_empty());
    });
    world.say(Verb::Resume, "alpha", None);
    world.ticks(20);
    assert_eq!(world.component("alpha").reason, Reason::SpecChanged);
    assert_eq!(world.highest("alpha"), weight(650));
}

#[test]
fn an_old_mark_that_comes_back_is_somebody_elses_write() {
    let mut world = World::demo();
    world.until("10%", |w| w.component("alpha").weight.written == weight(100));
    world.tick();
    let saved = world.objects["alpha"].clone();
    world.say(Verb::Rollback, "alpha", None);
    world.ticks(3);
    assert!(
        saved[0]
            .stamp
            .as_ref()
            .is_some_and(|mark: &Mark| mark.weight == weight(100))
    );
    world.objects.insert("alpha".into(), saved);
    world.ticks(2);
    assert_eq!(
        world.highest("alpha"),
        Weight::ZERO,
        "a saved manifest undid a rollback"
    );
    assert_eq!(world.component("alpha").state, State::RolledBack);
}

#[test]
fn a_spec_that_cannot_be_used_raises_nothing_and_still_rolls_back() {
    let mut world = World::demo();
    world.until("5%", |w| w.highest("alpha") == weight(50));
    world.invalid = Some("spec.steps[1].weight: too far".into());
    world.ticks(100);
    assert_eq!(world.highest("alpha"), weight(50));
    assert_eq!(world.component("alpha").reason, Reason::InvalidSpec);
    assert_eq!(world.status.condition("Stalled").unwrap().reason, "InvalidSpec");
    world.weather.insert("alpha".into(), Weather::CanaryFails);
    world.ticks(5);
    assert_eq!(world.highest("alpha"), Weight::ZERO);
}

#[test]
fn a_component_added_later_begins_at_its_first_step_and_a_status_stays_small() {
    let mut world = at_gate();
    world.edit(|spec| {
        let mut gamma = spec.components[1].clone();
        gamma.name = "gamma".into();
        spec.components.push(gamma);
    });
    let empty = world.objects["alpha"].iter().map(|o| super::world::Object {
        weight: Weight::ZERO,
        stamp: None,
        ..o.clone()
    });
    let empty: Vec<_> = empty.collect();
    world.objects.insert("gamma".into(), empty);
    world.until("gamma has caught up", |w| w.highest("gamma") == weight(700));
    for c in &world.status.components {
        let size = serde_json::to_string(c).unwrap().len();
        assert!(size <= 4096, "{} takes {size} bytes", c.name);
    }
}

#[test]
fn whoever_begins_again_behind_the_others_keeps_nobody_waiting() {
    let mut world = at_gate();
    world.say(Verb::Rollback, "alpha", None);
    world.ticks(3);
    world.say(Verb::Approve, "*", None);
    world.until("beta goes on", |w| w.highest("beta") == weight(950));
    world.say(Verb::Retry, "alpha", None);
    world.ticks(2);
    assert!(world.component("alpha").alone);
    world.until("beta done", |w| w.component("beta").state == State::Completed);
    world.until("alpha done", |w| w.component("alpha").state == State::Completed);
    assert!(!world.component("alpha").alone);
}

#[test]
fn long_darkness_is_an_alarm_once() {
    let mut world = World::demo();
    world.until("5%", |w| w.highest("alpha") == weight(50));
    world.weather.insert("alpha".into(), Weather::Blind(Dark::Down));
    let alarms = |world: &mut World, looks| {
        let notes = world.ticks(looks).into_iter().flat_map(|d| d.notes);
        notes.filter(|n| n.reason == Reason::Blind && n.warning).count()
    };
    assert_eq!(alarms(&mut world, 50), 0, "not before blindAfter");
    assert_eq!(alarms(&mut world, 30), 1);
    world.restart();
    assert_eq!(alarms(&mut world, 100), 0, "once, also over a restart");
}

#[test]
fn what_the_past_says_of_bursts_reaches_the_judge() {
    let mut world = World::demo();
    world.ticks(3);
    let slice = |i: u64| Slice {
        length: Duration::from_secs(60),
        control: Counts {
            requests: 1200,
            errors: if i % 10 == 3 { 9 } else { 0 },
            latency: None,
        },
    };
    let past: Vec<Slice> = (0..120).map(slice).collect();
    let mut seen = world.observe(true);
    if let Some(alpha) = seen.components.get_mut("alpha") {
        alpha.history = Some(past.into());
    }
    let next = decide(&world.plan, world.status.clone(), &seen, world.now).next;
    let phi = |name: &str| {
        let ledger = next.component(name).and_then(|c| c.evidence.as_ref());
        ledger.map(|l| l.noise.errors.phi())
    };
    assert!(phi("alpha").is_some_and(|phi| phi > 5.0), "{:?}", phi("alpha"));
    assert_eq!(
        phi("beta"),
        Some(4.0),
        "where no past is known bursts are supposed"
    );
}

#[test]
fn a_tool_that_lowers_again_after_each_resume_is_named_the_third_time() {
    let mut world = at_gate();
    for fight in [false, false, true, false] {
        world.live(&Event::Foreign(10), |_, _, _| {});
        world.ticks(2);
        let c = world.component("alpha");
        let expected = if fight {
            Reason::GitOpsFight
        } else {
            Reason::Drifted
        };
        assert_eq!((c.state, c.reason), (State::Drifted, expected), "{}", c.message);
        assert_eq!(world.highest("alpha"), weight(10));
        // After a fight was named, whoever resumes has settled it.
        world.say(Verb::Resume, "alpha", None);
        world.until("back", |w| w.component("alpha").reason == Reason::HoldingStep);
    }
}

#[test]
fn an_alert_that_began_before_the_last_write_puts_back_with_a_newer_mark() {
    let mut world = World::demo();
    let began = world.now;
    world.until("5%", |w| w.highest("alpha") == weight(50));
    world.ticks(3);
    let mark = world.component("alpha").mark.clone().unwrap();
    world.say(Verb::Rollback, "alpha", None);
    let millis = u64::try_from(began.as_millisecond()).unwrap();
    world.commands[0].id = ulid::Ulid::from_parts(millis, 1).to_string();
    world.ticks(3);
    let alpha = world.component("alpha");
    assert_eq!(
        (alpha.state, world.highest("alpha")),
        (State::RolledBack, Weight::ZERO)
    );
    assert!(
        alpha.lowering.is_none() && alpha.mark.clone().unwrap() > mark,
        "{:?}",
        alpha.mark
    );
}

#[test]
fn what_a_command_wrote_without_a_daemon_keeps_the_commands_mark() {
    let mut world = World::demo();
    world.until("5%", |w| w.highest("alpha") == weight(50));
    world.ticks(3);
    world.say(Verb::Rollback, "alpha", None);
    let id = world.commands[0].id.clone();
    world.write("alpha", &id, Weight::ZERO, Reason::RollbackRequested, usize::MAX);
    world.ticks(3);
    let alpha = world.component("alpha");
    assert_eq!(alpha.state, State::RolledBack);
    assert_eq!(
        alpha.mark.as_deref(),
        Some(id.as_str()),
        "a second write would restart pods again"
    );
}

#[test]
fn a_joint_rollback_goes_on_where_a_crash_left_it() {
    let mut spec = spec();
    spec["rollback"] = json!({"scope": "rollout"});
    let mut world = World::new(spec);
    let (first, second) = ("alpha", "beta");
    world.until("both have traffic", |w| {
        [first, second].iter().all(|name| w.highest(name) >= weight(50))
    });
    // The traffic of one was put back, and then the daemon died before it said so.
    let millis = u64::try_from(world.now.as_millisecond()).unwrap();
    let id = ulid::Ulid::from_parts(millis, u128::MAX >> 48).to_string();
    world.write(first, &id, Weight::ZERO, Reason::Breach, usize::MAX);
    world.restart();
    world.ticks(3);
    for name in [first, second] {
        assert_eq!(world.component(name).state, State::RolledBack, "{name}");
        assert_eq!(world.highest(name), Weight::ZERO, "{name}");
    }
}
