//! Every transition as a sentence: where a component stands, what happens, where it stands then.

use super::world::{Event, Weather, World, spec, weight};
use crate::rollout::command::Verb;
use crate::rollout::reason::{Reason, State};
use crate::rollout::sample::Dark;
use crate::rollout::status::CommandResult;
use crate::rollout::weight::Weight;

/// Where alpha stands before something happens.
#[derive(Clone, Copy, Debug)]
enum At {
    /// Just found at 30% by the first look there ever was.
    Found,
    /// On its plan at 10%, judged for three looks.
    Walking,
    /// Set to 20% by a person.
    Manual,
    /// Lowered to 3% by somebody else.
    Drifted,
    /// Put back to 0% by a person.
    RolledBack,
    /// At 100%, its plan over.
    Completed,
    /// Gone from the spec at 10%.
    Orphaned,
}

/// What happens to alpha.
#[derive(Clone, Copy, Debug)]
enum When {
    Says(Verb),
    Sets(u16),
    SomebodyWrites(u16),
    /// A person writes past us under the paused plan.
    SomebodyWritesWhilePaused(u16),
    SomebodyWritesWhileControlIsAway(u16),
    TheCanaryFails,
    TheCanaryFailsWhilePaused,
    TheCanaryFailsWhileControlIsAway,
    BothFail,
    ControlFails,
    TheSourceIsDown,
    TheCanarysSeriesVanish,
    TheRoutersDisagreeWithTheStamp,
    ARestart,
    AnotherFirstWeight,
    AHoldIsEdited,
    TheLastPhaseGoes,
}

use State::{Completed, Drifted, Manual, Orphaned, RolledBack, Walking};
use When::{
    AHoldIsEdited, ARestart, AnotherFirstWeight, BothFail, ControlFails, Says, Sets, SomebodyWrites,
    SomebodyWritesWhileControlIsAway, SomebodyWritesWhilePaused, TheCanaryFails,
    TheCanaryFailsWhileControlIsAway, TheCanaryFailsWhilePaused, TheCanarysSeriesVanish, TheLastPhaseGoes,
    TheRoutersDisagreeWithTheStamp, TheSourceIsDown,
};

/// (at, when, then its state, and its weight in permille)
const TABLE: &[(At, When, State, u16)] = &[
    (At::Found, Says(Verb::Resume), Walking, 300),
    (At::Found, Says(Verb::Rollback), RolledBack, 0),
    (At::Found, SomebodyWrites(100), Drifted, 100),
    (At::Found, SomebodyWrites(500), Walking, 300),
    (At::Found, TheCanaryFails, RolledBack, 0),
    (At::Found, TheCanaryFailsWhileControlIsAway, Walking, 300),
    (At::Found, TheSourceIsDown, Walking, 300),
    (At::Found, ARestart, Walking, 300),
    (At::Walking, Says(Verb::Pause), Walking, 100),
    (At::Walking, Says(Verb::Resume), Walking, 100),
    (At::Walking, Says(Verb::Promote), Walking, 100),
    (At::Walking, Says(Verb::Retry), Walking, 100),
    (At::Walking, Says(Verb::Approve), Walking, 100),
    (At::Walking, Says(Verb::Rollback), RolledBack, 0),
    (At::Walking, Says(Verb::Detach), Manual, 100),
    (At::Walking, Sets(0), Manual, 0),
    (At::Walking, Sets(100), Manual, 100),
    (At::Walking, Sets(300), Manual, 300),
    (At::Walking, SomebodyWrites(30), Drifted, 30),
    (At::Walking, SomebodyWrites(500), Walking, 100),
    (At::Walking, SomebodyWritesWhilePaused(500), Manual, 500),
    (At::Walking, SomebodyWritesWhileControlIsAway(500), Manual, 500),
    (At::Walking, TheCanaryFails, RolledBack, 0),
    (At::Walking, TheCanaryFailsWhilePaused, RolledBack, 0),
    (At::Walking, TheCanaryFailsWhileControlIsAway, Walking, 100),
    (At::Walking, BothFail, Walking, 100),
    (At::Walking, ControlFails, Walking, 100),
    (At::Walking, TheSourceIsDown, Walking, 100),
    (At::Walking, TheCanarysSeriesVanish, Walking, 100),
    (At::Walking, TheRoutersDisagreeWithTheStamp, Walking, 100),
    (At::Walking, ARestart, Walking, 100),
    (At::Walking, AnotherFirstWeight, Walking, 100),
    (At::Walking, AHoldIsEdited, Walking, 100),
    (At::Walking, TheLastPhaseGoes, Walking, 100),
    (At::Manual, Says(Verb::Pause), Manual, 200),
    (At::Manual, Says(Verb::Resume), Walking, 200),
    (At::Manual, Says(Verb::Promote), Manual, 200),
    (At::Manual, Says(Verb::Retry), Manual, 200),
    (At::Manual, Says(Verb::Rollback), RolledBack, 0),
    (At::Manual, Says(Verb::Detach), Manual, 200),
    (At::Manual, Sets(50), Manual, 50),
    (At::Manual, Sets(600), Manual, 600),
    (At::Manual, SomebodyWrites(500), Manual, 500),
    (At::Manual, SomebodyWrites(30), Drifted, 30),
    (At::Manual, TheCanaryFails, RolledBack, 0),
    (At::Manual, TheSourceIsDown, Manual, 200),
    (At::Manual, BothFail, Manual, 200),
    (At::Manual, ARestart, Manual, 200),
    (At::Manual, AnotherFirstWeight, Manual, 200),
    (At::Drifted, Says(Verb::Pause), Drifted, 30),
    (At::Drifted, Says(Verb::Resume), Walking, 30),
    (At::Drifted, Says(Verb::Promote), Drifted, 30),
    (At::Drifted, Says(Verb::Retry), Drifted, 30),
    (At::Drifted, Says(Verb::Rollback), RolledBack, 0),
    (At::Drifted, Sets(0), Manual, 0),
    (At::Drifted, Sets(300), Manual, 300),
    (At::Drifted, SomebodyWrites(500), Drifted, 30),
    (At::Drifted, TheCanaryFails, RolledBack, 0),
    (At::Drifted, TheSourceIsDown, Drifted, 30),
    (At::Drifted, ARestart, Drifted, 30),
    (At::RolledBack, Says(Verb::Pause), RolledBack, 0),
    (At::RolledBack, Says(Verb::Resume), RolledBack, 0),
    (At::RolledBack, Says(Verb::Promote), RolledBack, 0),
    (At::RolledBack, Says(Verb::Approve), RolledBack, 0),
    (At::RolledBack, Says(Verb::Retry), Walking, 0),
    (At::RolledBack, Says(Verb::Rollback), RolledBack, 0),
    (At::RolledBack, Sets(0), RolledBack, 0),
    (At::RolledBack, Sets(100), RolledBack, 0),
    (At::RolledBack, SomebodyWrites(500), RolledBack, 0),
    (At::RolledBack, TheCanaryFails, RolledBack, 0),
    (At::RolledBack, ARestart, RolledBack, 0),
    (At::RolledBack, AnotherFirstWeight, Walking, 0),
    (At::RolledBack, AHoldIsEdited, RolledBack, 0),
    (At::Completed, Says(Verb::Pause), Completed, 1000),
    (At::Completed, Says(Verb::Resume), Completed, 1000),
    (At::Completed, Says(Verb::Promote), Completed, 1000),
    (At::Completed, Says(Verb::Rollback), RolledBack, 0),
    (At::Completed, Sets(500), Manual, 500),
    (At::Completed, SomebodyWrites(500), Completed, 500),
    (At::Completed, TheCanaryFails, Completed, 1000),
    (At::Completed, TheSourceIsDown, Completed, 1000),
    (At::Completed, AHoldIsEdited, Completed, 1000),
    (At::Completed, AnotherFirstWeight, Walking, 1000),
    (At::Completed, ARestart, Completed, 1000),
    (At::Orphaned, Says(Verb::Pause), Orphaned, 100),
    (At::Orphaned, Says(Verb::Promote), Orphaned, 100),
    (At::Orphaned, Sets(300), Orphaned, 100),
    (At::Orphaned, TheCanaryFails, RolledBack, 0),
    (At::Orphaned, TheSourceIsDown, Orphaned, 100),
    (At::Orphaned, Says(Verb::Rollback), RolledBack, 0),
    (At::Orphaned, Says(Verb::Retry), Orphaned, 100),
    (At::Orphaned, SomebodyWrites(300), Orphaned, 300),
    (At::Orphaned, SomebodyWrites(30), Orphaned, 30),
    (At::Orphaned, ARestart, Orphaned, 100),
];

fn stand(at: At) -> World {
    if matches!(at, At::Found) {
        return World::found(spec(), weight(300)).0;
    }
    let mut world = World::demo();
    if matches!(at, At::Completed) {
        world.say(Verb::Approve, "*", None);
        world.commands[0].wish.phase = Some("cutover".into());
        world.until("alpha is finished", |w| w.component("alpha").state == Completed);
        return world;
    }
    world.until("alpha at 10%", |w| {
        w.component("alpha").weight.written == weight(100)
    });
    match at {
        At::Walking | At::Completed | At::Found => {}
        At::Manual => world.say(Verb::Set, "alpha", Some(weight(200))),
        At::Drifted => world.live(&Event::Foreign(30), |_, _, _| {}),
        At::RolledBack => world.say(Verb::Rollback, "alpha", None),
        At::Orphaned => remove(&mut world),
    }
    world.ticks(3);
    world
}

fn remove(world: &mut World) {
    world.edit(|spec| {
        spec.components.retain(|c| c.name != "alpha");
        for phase in spec.phases.iter_mut().flatten() {
            phase.components = None;
        }
    });
}

fn happen(world: &mut World, when: When) {
    // Nothing of the plan's own rises while something happens, so that a row shows its trigger alone.
    let gate = |world: &mut World, name: &str| {
        world.weather.insert(name.to_owned(), Weather::NoLook);
    };
    let foreign = |world: &mut World, permille| world.live(&Event::Foreign(permille), |_, _, _| {});
    let fails = |world: &mut World, weather, n| {
        world.weather.insert("alpha".into(), weather);
        world.ticks(n);
    };
    match when {
        Says(verb) => {
            gate(world, "alpha");
            world.say(verb, "alpha", None);
        }
        Sets(permille) => {
            gate(world, "alpha");
            world.say(Verb::Set, "alpha", Some(weight(permille)));
        }
        SomebodyWrites(permille) => {
            gate(world, "alpha");
            foreign(world, permille);
        }
        SomebodyWritesWhilePaused(permille) => {
            gate(world, "alpha");
            world.say(Verb::Pause, "alpha", None);
            world.tick();
            foreign(world, permille);
        }
        SomebodyWritesWhileControlIsAway(permille) => {
            gate(world, "alpha");
            world.ready = Some(false);
            foreign(world, permille);
        }
        TheCanaryFails => fails(world, Weather::CanaryFails, 6),
        TheCanaryFailsWhilePaused => {
            world.say(Verb::Pause, "alpha", None);
            fails(world, Weather::CanaryFails, 6);
        }
        TheCanaryFailsWhileControlIsAway => {
            world.ready = Some(false);
            fails(world, Weather::CanaryFails, 6);
        }
        BothFail => fails(world, Weather::BothFail, 12),
        ControlFails => fails(world, Weather::ControlFails, 12),
        TheSourceIsDown => fails(world, Weather::Blind(Dark::Down), 90),
        TheCanarysSeriesVanish => fails(world, Weather::Blind(Dark::Vanished), 90),
        TheRoutersDisagreeWithTheStamp => {
            gate(world, "alpha");
            world.objects.get_mut("alpha").unwrap()[0].weight = weight(900);
        }
        ARestart => {
            gate(world, "alpha");
            world.restart();
        }
        AnotherFirstWeight => {
            gate(world, "alpha");
            world.edit(|spec| spec.phases.as_mut().unwrap()[0].steps[0].weight = weight(40));
        }
        AHoldIsEdited => {
            gate(world, "alpha");
            world.edit(|spec| spec.phases.as_mut().unwrap()[0].steps[0].hold = "40s".parse().unwrap());
        }
        TheLastPhaseGoes => {
            gate(world, "alpha");
            world.edit(|spec| drop(spec.phases.as_mut().unwrap().pop()));
        }
    }
    world.ticks(3);
}

#[test]
fn every_state_answers_every_trigger_as_the_table_says() {
    let mut wrong = Vec::new();
    for &(at, when, state, permille) in TABLE {
        let mut world = stand(at);
        happen(&mut world, when);
        let Some(c) = world.status.component("alpha") else {
            wrong.push(format!("{at:?}, {when:?}: forgotten"));
            continue;
        };
        let is = (c.state, world.highest("alpha"));
        if is != (state, weight(permille)) {
            wrong.push(format!(
                "{at:?}, {when:?}: is {:?} at {} ({:?}: {}), and should be {state:?} at {}",
                is.0,
                is.1,
                c.reason,
                c.message,
                weight(permille)
            ));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn an_orphan_whose_objects_are_no_longer_known_is_not_promised_a_rollback() {
    let mut world = stand(At::Orphaned);
    world.status.component_mut("alpha").unwrap().definition = None;
    world.plan.orphans.clear();
    let before = world.highest("alpha");
    happen(&mut world, Says(Verb::Rollback));
    assert_eq!(world.highest("alpha"), before);
    let outcome = world.status.commands.last().unwrap();
    assert_eq!(outcome.result, CommandResult::Refused);
    assert!(
        outcome.message.contains("put it back into the spec"),
        "{}",
        outcome.message
    );
    happen(&mut world, Says(Verb::Detach));
    assert!(world.status.component("alpha").is_none());
}

#[test]
fn what_was_let_go_is_neither_judged_nor_written_until_somebody_takes_it_up_again() {
    let mut world = stand(At::Walking);
    world.say(Verb::Detach, "alpha", None);
    world.tick();
    let quiet = |world: &mut World, n| {
        let decisions = world.ticks(n);
        assert!(
            decisions.iter().all(|d| !d.watched.contains(&"alpha".to_owned())),
            "not looked at"
        );
        let writes = decisions
            .iter()
            .flat_map(|d| &d.lowers)
            .filter(|l| l.component == "alpha");
        assert_eq!(writes.count(), 0);
    };
    world.weather.insert("alpha".into(), Weather::CanaryFails);
    quiet(&mut world, 60);
    world.live(&Event::Foreign(500), |_, _, _| {});
    quiet(&mut world, 5);
    assert_eq!(
        (world.component("alpha").weight.written, world.highest("alpha")),
        (weight(500), weight(500))
    );
    // The resource's deletion puts back what is ours.
    world.say(Verb::Rollback, "*", None);
    world.commands.last_mut().unwrap().id = format!("{}uid", crate::rollout::command::RESTORES);
    quiet(&mut world, 3);
    assert_eq!(world.highest("alpha"), weight(500));
    world.say(Verb::Resume, "alpha", None);
    world.ticks(60);
    let c = world.component("alpha");
    assert_eq!(
        (c.state, world.highest("alpha")),
        (RolledBack, Weight::ZERO),
        "judged again: {}",
        c.message
    );
}

#[test]
fn long_darkness_is_one_alarm_in_every_state_and_another_after_the_light() {
    for at in [At::Walking, At::Manual, At::Drifted, At::Orphaned] {
        let mut world = stand(at);
        let dark = Some(Weather::Blind(Dark::Down));
        let alarms = |weather: Option<Weather>, world: &mut World| {
            match weather {
                Some(weather) => world.weather.insert("alpha".into(), weather),
                None => world.weather.remove("alpha"),
            };
            let decisions = world.ticks(150);
            let notes = decisions.iter().flat_map(|d| &d.notes);
            let told = |n: &&crate::rollout::observation::Note| n.reason == Reason::Blind && n.warning;
            notes.filter(told).count()
        };
        assert_eq!(alarms(dark, &mut world), 1, "{at:?}");
        world.restart();
        assert_eq!(alarms(dark, &mut world), 0, "{at:?}: told already");
        assert_eq!(alarms(None, &mut world), 0, "{at:?}");
        assert_eq!(alarms(dark, &mut world), 1, "{at:?}: a new darkness");
    }
}

#[test]
fn an_orphan_that_is_put_back_says_so_until_it_is_detached_and_a_removal_at_zero_leaves_nothing() {
    let mut world = stand(At::Orphaned);
    happen(&mut world, TheCanaryFails);
    world.restart();
    world.ticks(5);
    let c = world.component("alpha");
    assert_eq!((c.state, c.reason), (RolledBack, Reason::Breach));
    happen(&mut world, Says(Verb::Detach));
    assert!(world.status.component("alpha").is_none());

    let mut world = stand(At::RolledBack);
    remove(&mut world);
    world.ticks(2);
    assert!(world.status.component("alpha").is_none());
}

#[test]
fn an_orphan_that_nothing_happens_to_asks_for_nothing_and_writes_nothing() {
    let mut world = stand(At::Orphaned);
    world.say(Verb::Pause, "*", None);
    // Long enough for every check to have its verdict.
    world.ticks(400);
    let quiet = world.ticks(20);
    assert!(quiet.iter().all(|d| d.raises.is_empty() && d.lowers.is_empty()));
    assert!(quiet.iter().all(|d| !d.changed), "at rest nothing changes");
    assert!(
        quiet.iter().all(|d| d.watched.contains(&"alpha".to_owned())),
        "it is still judged"
    );
}

#[test]
fn a_component_that_came_back_into_the_spec_walks_on_from_where_it_stands() {
    let mut world = stand(At::Orphaned);
    let demo = spec();
    world.edit(|spec| *spec = serde_json::from_value(demo).unwrap());
    world.ticks(2);
    let c = world.component("alpha");
    assert_eq!((c.state, c.weight.written), (Walking, weight(100)));
}

#[test]
fn what_another_component_has_taken_over_is_let_go_with_its_marks() {
    let mut world = stand(At::Walking);
    remove(&mut world);
    world.plan.orphans.clear();
    world.plan.take_in(&world.status, |_| true);
    let decision = world.tick();
    assert_eq!(decision.detached, ["alpha"]);
    assert!(decision.lowers.is_empty());
    assert!(world.status.component("alpha").is_none());
}

#[test]
fn the_same_manager_a_third_time_within_an_hour_is_a_fight_and_nothing_is_put_back() {
    let mut world = stand(At::Walking);
    world.weather.insert("alpha".into(), Weather::NoLook);
    for _ in 0..2 {
        world.live(&Event::Foreign(500), |_, _, _| {});
        world.ticks(3);
        assert_eq!(world.highest("alpha"), weight(100));
    }
    world.live(&Event::Foreign(500), |_, _, _| {});
    world.ticks(3);
    let c = world.component("alpha");
    assert_eq!((c.state, c.reason), (Drifted, Reason::GitOpsFight));
    assert!(c.message.contains("kubectl-edit"), "{}", c.message);
    assert_eq!(world.highest("alpha"), weight(500));
}

#[test]
fn a_hand_set_weight_that_the_status_missed_stays_in_the_hands_of_the_person() {
    let mut world = stand(At::Walking);
    let forgotten = world.status.clone();
    world.say(Verb::Set, "alpha", Some(weight(300)));
    world.ticks(2);
    world.status = forgotten;
    world.restart();
    world.ticks(60);
    assert_eq!(world.component("alpha").state, Manual);
    assert_eq!(world.highest("alpha"), weight(300));
}

#[test]
fn a_hand_set_weight_that_came_before_the_first_look_is_written_after_it() {
    let mut world = World::new(spec());
    let objects = world.objects.remove("alpha").unwrap();
    world.say(Verb::Set, "alpha", Some(weight(300)));
    world.ticks(3);
    assert_eq!(world.component("alpha").state, Manual);
    world.objects.insert("alpha".to_owned(), objects);
    world.ticks(3);
    assert_eq!(world.highest("alpha"), weight(300));
    assert_eq!(world.component("alpha").state, Manual);
}

#[test]
fn a_rollback_of_one_takes_all_back_where_the_scope_is_the_rollout() {
    let mut spec = spec();
    spec["rollback"] = serde_json::json!({"scope": "rollout"});
    let mut world = World::new(spec);
    world.until("beta at 10%", |w| {
        w.component("beta").weight.written == weight(100)
    });
    world.say(Verb::Rollback, "alpha", None);
    world.ticks(3);
    assert_eq!(world.highest("beta"), Weight::ZERO);
    assert_eq!(world.component("beta").reason, Reason::OtherFailed);
}

#[test]
fn a_rollback_of_one_stops_the_others_where_on_failure_is_stop() {
    let mut spec = spec();
    spec["rollback"] = serde_json::json!({"onFailure": "stop"});
    let mut world = World::new(spec);
    world.until("beta at 10%", |w| {
        w.component("beta").weight.written == weight(100)
    });
    world.say(Verb::Rollback, "alpha", None);
    assert!(world.ticks(200).iter().all(|d| d.raises.is_empty()));
    assert_eq!(world.component("beta").reason, Reason::StoppedByFailure);
    assert_eq!(world.highest("beta"), weight(100));
}
