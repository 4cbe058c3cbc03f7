//! What takes its time: a pause beyond every limit of patience, everything that does not arrive, and an emergency that
//! outlives edits.

use super::world::{Event, Weather, World, spec, weight};
use crate::rollout::command::Verb;
use crate::rollout::reason::{Reason, State};
use crate::rollout::weight::Weight;
use serde_json::{Value, json};

#[test]
fn a_pause_longer_than_every_limit_of_patience_is_no_failure_and_no_alarm() {
    let mut spec = spec();
    // What would act after a while: on darkness, and on too few requests.
    spec["judge"]["onBlind"] = json!("rollback");
    spec["judge"]["blindAfter"] = json!("10m");
    spec["judge"]["insufficient"] = json!({"after": "1h", "then": "promote"});
    let mut world = World::new(spec);
    world.until("alpha at 5%", |w| w.highest("alpha") == weight(50));
    world.ticks(4);
    world.say(Verb::Pause, "alpha", None);
    world.tick();
    let paused = world.component("alpha").clone();
    assert!(paused.paused_by.is_some());
    // Four days, looked at now and then, in a thin stream of requests; and again right after a restart.
    world.weather.insert("alpha".into(), Weather::Quiet);
    for hour in 0..96 {
        world.live(&Event::Sleep(3500), |_, _, _| {});
        if hour % 24 == 12 {
            world.restart();
        }
        for decision in world.ticks(10) {
            assert!(decision.raises.is_empty() && decision.lowers.is_empty());
            let alarms = decision
                .notes
                .iter()
                .filter(|n| n.warning && n.component.as_deref() == Some("alpha"));
            assert_eq!(alarms.count(), 0, "{:?}", decision.notes);
        }
        let alpha = world.component("alpha");
        assert_eq!(
            (alpha.state, alpha.reason),
            (State::Walking, Reason::Paused),
            "hour {hour}"
        );
        assert_eq!((alpha.attempt, alpha.weight), (paused.attempt, paused.weight));
    }
    assert_eq!(
        world.component("alpha").held,
        paused.held,
        "the clock stood still"
    );
    world.weather.insert("alpha".into(), Weather::Good);
    world.say(Verb::Resume, "alpha", None);
    world.until("alpha at 10%", |w| w.highest("alpha") >= weight(100));
}

/// Both components behind routers that move requests.
fn routed() -> Value {
    let mut spec = spec();
    for component in spec["components"].as_array_mut().unwrap() {
        let backend = |version: u8| json!({"name": format!("shop-v{version}"), "port": 80});
        component["routers"] = json!([{"gatewayApi": {
            "kind": "HTTPRoute", "name": component["name"], "canary": backend(2), "control": backend(1),
        }}]);
    }
    spec
}

fn at_everything() -> World {
    let mut world = World::new(routed());
    world.say(Verb::Approve, "*", None);
    world.until("everything", |w| {
        w.highest("alpha") == Weight::FULL && w.component("alpha").weight.written == Weight::FULL
    });
    assert_eq!(world.component("alpha").state, State::Walking);
    world
}

#[test]
fn everything_that_does_not_arrive_completes_nothing() {
    let mut world = at_everything();
    world.weather.insert("alpha".into(), Weather::Elsewhere);
    world.ticks(60);
    let alpha = world.component("alpha").clone();
    assert_ne!(alpha.state, State::Completed, "{}", alpha.message);
    assert!(
        matches!(
            alpha.reason,
            Reason::NotArriving | Reason::LostTraffic | Reason::NotAchievable
        ),
        "{}: {}",
        alpha.reason,
        alpha.message
    );
    assert!(
        alpha.definition.is_some(),
        "control is still what it would go back to"
    );
    world.say(Verb::Rollback, "alpha", None);
    world.ticks(2);
    assert_eq!(world.highest("alpha"), Weight::ZERO);
}

#[test]
fn everything_that_no_gateway_carries_or_that_is_not_taken_up_completes_nothing() {
    for refused in [true, false] {
        let mut world = at_everything();
        for object in world.objects.get_mut("alpha").unwrap() {
            object.settled = refused;
            object.refusal = refused.then(|| "is not accepted by gateway infra/public".to_owned());
        }
        world.ticks(60);
        let alpha = world.component("alpha").clone();
        assert_eq!(
            (alpha.state, alpha.weight.written),
            (State::Walking, Weight::FULL),
            "{}",
            alpha.message
        );
        for object in world.objects.get_mut("alpha").unwrap() {
            (object.settled, object.refusal) = (true, None);
        }
        world.until("completed", |w| w.component("alpha").state == State::Completed);
    }
}

#[test]
fn an_emergency_outlives_every_edit_and_only_a_person_begins_again() {
    let mut world = World::demo();
    world.edit(|spec| {
        spec.rollback = Some(serde_json::from_value(json!({"retry": {"after": "1m", "times": 3}})).unwrap());
    });
    world.until("alpha at 10%", |w| {
        w.component("alpha").weight.written == weight(100)
    });
    world.say(Verb::Rollback, "alpha", Some(weight(50)));
    world.commands[0].wish.emergency = true;
    world.ticks(2);
    let before = world.component("alpha").clone();
    assert_eq!(
        (before.state, before.reason, before.weight.written),
        (State::RolledBack, Reason::Emergency, weight(50))
    );
    let another = |spec: &mut crate::rollout::spec::GradualRolloutSpec| {
        spec.phases.as_mut().unwrap()[0].steps[0].weight = weight(40);
    };
    world.edit(another);
    world.ticks(20);
    world.restart();
    world.ticks(20);
    let alpha = world.component("alpha");
    assert_eq!(
        (alpha.state, alpha.reason, alpha.attempt),
        (State::RolledBack, Reason::Emergency, before.attempt)
    );
    assert_eq!(world.highest("alpha"), weight(50));
    // What it had kept fails, too: that goes back by itself, and is no less an emergency for it.
    world.weather.insert("alpha".into(), Weather::CanaryFails);
    world.ticks(20);
    assert_eq!(world.highest("alpha"), Weight::ZERO);
    world.weather.clear();
    world.edit(|spec| spec.phases.as_mut().unwrap()[0].steps[0].weight = weight(30));
    world.ticks(120);
    assert_eq!(
        (world.component("alpha").state, world.highest("alpha")),
        (State::RolledBack, Weight::ZERO),
        "{}",
        world.component("alpha").message
    );
    world.say(Verb::Retry, "alpha", None);
    world.until("alpha at 3%", |w| w.highest("alpha") == weight(30));
}

#[test]
fn what_went_back_along_with_an_emergency_waits_for_a_person_too() {
    let mut world = World::demo();
    world.edit(|spec| {
        spec.rollback = Some(serde_json::from_value(json!({"scope": "rollout"})).unwrap());
    });
    world.until("both have traffic", |w| {
        !w.component("alpha").weight.written.is_zero() && !w.component("beta").weight.written.is_zero()
    });
    world.say(Verb::Rollback, "alpha", None);
    world.commands[0].wish.emergency = true;
    world.ticks(2);
    assert_eq!(
        (world.component("beta").state, world.component("beta").reason),
        (State::RolledBack, Reason::OtherFailed)
    );
    world.edit(|spec| spec.phases.as_mut().unwrap()[2].steps[0].weight = weight(720));
    world.ticks(40);
    for name in ["alpha", "beta"] {
        assert_eq!(
            (world.component(name).state, world.highest(name)),
            (State::RolledBack, Weight::ZERO),
            "{name}: {}",
            world.component(name).message
        );
    }
    world.say(Verb::Retry, "alpha", None);
    world.say(Verb::Retry, "beta", None);
    world.until("both have traffic again", |w| {
        !w.highest("alpha").is_zero() && !w.highest("beta").is_zero()
    });
}
