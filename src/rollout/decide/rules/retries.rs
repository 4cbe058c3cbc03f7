//! Beginning again by itself, and going back together.

use super::world::{Weather, World, spec, weight};
use crate::rollout::command::Verb;
use crate::rollout::observation::Mark;
use crate::rollout::reason::{Reason, State};
use crate::rollout::sample::Dark;
use crate::rollout::weight::Weight;
use serde_json::{Value, json};
use std::time::Duration;

fn with(rollback: Value) -> World {
    let mut spec = spec();
    spec["rollback"] = rollback;
    World::new(spec)
}

fn retrying() -> World {
    with(json!({"retry": {"after": "10m", "times": 2, "factor": 3}}))
}

fn fail(world: &mut World) {
    world.until("some traffic", |w| {
        w.component("alpha").weight.written >= weight(50)
    });
    world.weather.insert("alpha".into(), Weather::CanaryFails);
    world.until("back", |w| {
        let c = w.component("alpha");
        c.weight.written.is_zero() && c.lowering.is_none()
    });
    world.weather.insert("alpha".into(), Weather::Good);
}

#[test]
fn after_a_breach_it_begins_again_by_itself_each_time_later_and_not_for_ever() {
    let mut world = retrying();
    fail(&mut world);
    for minutes in [10, 30] {
        let c = world.component("alpha");
        assert!(c.message.contains("begins again by itself"), "{}", c.message);
        let back = world.now;
        world.restart();
        world.until("it walks again", |w| w.component("alpha").state == State::Walking);
        let waited = world.now.duration_since(back).unsigned_abs();
        let asked = Duration::from_secs(minutes * 60);
        assert!(
            waited <= asked + Duration::from_secs(20) && waited + Duration::from_secs(120) >= asked,
            "{waited:?}"
        );
        assert!(
            world
                .component("alpha")
                .evidence
                .as_ref()
                .is_some_and(|l| l.judged.0.is_zero()),
            "fresh evidence"
        );
        fail(&mut world);
    }
    let c = world.component("alpha");
    assert_eq!(c.retry.unwrap().tried, 2);
    assert!(
        c.message.contains("all that spec.rollback.retry allows"),
        "{}",
        c.message
    );
    world.ticks(1000);
    assert_eq!(world.component("alpha").state, State::RolledBack);
    world.say(Verb::Retry, "alpha", None);
    world.tick();
    assert_eq!(
        world.component("alpha").retry,
        None,
        "a person begins the count anew"
    );
}

#[test]
fn a_retry_by_a_person_has_seen_nothing_yet() {
    let mut world = World::demo();
    world.until("alpha at 10%", |w| w.highest("alpha") == weight(100));
    // Put back to somewhere above 0%, it is judged there all the while.
    world.say(Verb::Rollback, "alpha", Some(weight(50)));
    world.ticks(20);
    let judged = |world: &World| {
        let ledger = world.component("alpha").evidence.clone().unwrap();
        ledger.judged.0.as_secs()
    };
    assert_eq!(world.component("alpha").state, State::RolledBack);
    assert!(judged(&world) > 60 && !world.component("alpha").checks.is_empty());
    world.say(Verb::Retry, "alpha", None);
    world.tick();
    let alpha = world.component("alpha");
    assert_eq!((alpha.state, alpha.attempt), (State::Walking, 2));
    assert_eq!(judged(&world), 0, "of this attempt");
    let early = world.ticks(5);
    assert!(
        early
            .iter()
            .all(|d| d.raises.iter().all(|r| r.component != "alpha"))
    );
    world.until("the next step", |w| w.highest("alpha") == weight(100));
}

#[test]
fn what_a_person_put_back_or_paused_never_begins_again_by_itself() {
    for verb in [Verb::Rollback, Verb::Pause] {
        let mut world = retrying();
        fail(&mut world);
        world.say(verb, "alpha", None);
        world.ticks(1000);
        assert_eq!(world.component("alpha").state, State::RolledBack, "{verb}");
    }
    let mut world = retrying();
    world.until("5%", |w| w.component("alpha").weight.written == weight(50));
    world.say(Verb::Rollback, "alpha", None);
    world.ticks(1000);
    assert_eq!(world.component("alpha").state, State::RolledBack);
    // And nothing does where the resource does not ask for it.
    let mut world = World::demo();
    fail(&mut world);
    world.ticks(1000);
    assert_eq!(world.component("alpha").state, State::RolledBack);
}

#[test]
fn what_fails_where_a_person_put_it_waits_for_a_person() {
    type Given = (&'static str, fn(&mut World));
    let givens: [Given; 3] = [
        ("a rollback that keeps some", |w| {
            w.say(Verb::Rollback, "alpha", Some(weight(20)));
        }),
        ("a weight", |w| w.say(Verb::Set, "alpha", Some(weight(60)))),
        ("a lower weight by somebody else", |w| {
            for object in w.objects.get_mut("alpha").unwrap() {
                object.weight = weight(20);
            }
        }),
    ];
    for (given, give) in givens {
        let mut world = retrying();
        world.until("5%", |w| w.component("alpha").weight.observed == Some(weight(50)));
        give(&mut world);
        world.ticks(3);
        let stands = world.component("alpha").state;
        assert_ne!(stands, State::Walking, "{given}");
        assert!(!world.component("alpha").weight.written.is_zero(), "{given}");
        world.weather.insert("alpha".into(), Weather::CanaryFails);
        world.until("back", |w| w.component("alpha").weight.written.is_zero());
        world.weather.insert("alpha".into(), Weather::Good);
        let c = world.component("alpha");
        assert_eq!(c.reason, Reason::Breach, "{given}");
        assert!(
            !c.message.contains("begins again by itself"),
            "{given}: {}",
            c.message
        );
        world.ticks(1000);
        let c = world.component("alpha");
        assert_eq!(
            (c.state, c.weight.written),
            (State::RolledBack, Weight::ZERO),
            "{given}"
        );
    }
}

#[test]
fn what_begins_again_waits_for_freezes_and_for_a_new_approval() {
    let mut world = retrying();
    world.until("before the gate", |w| {
        w.component("alpha").reason == Reason::AwaitingApproval
    });
    world.say(Verb::Approve, "*", None);
    world.until("90%", |w| w.component("alpha").weight.written == weight(900));
    fail(&mut world);
    world.freeze(true);
    world.ticks(200);
    assert_eq!(world.highest("alpha"), Weight::ZERO, "frozen");
    world.freeze(false);
    world.until("before the gate again", |w| {
        let c = w.component("alpha");
        c.weight.written == weight(700) && c.reason == Reason::AwaitingApproval
    });
    assert!(
        world.component("alpha").message.contains("the attempt before"),
        "{}",
        world.component("alpha").message
    );
    world.ticks(50);
    assert_eq!(world.highest("alpha"), weight(700));
    world.say(Verb::Approve, "*", None);
    world.until("90% again", |w| w.highest("alpha") == weight(900));
}

#[test]
fn a_rollback_for_darkness_is_nobodys_word_either() {
    let mut spec = spec();
    spec["rollback"] = json!({"retry": {"after": "10m"}});
    spec["judge"]["onBlind"] = json!("rollback");
    spec["judge"]["blindAfter"] = json!("5m");
    let mut world = World::new(spec);
    world.until("5%", |w| w.component("alpha").weight.written == weight(50));
    world.ticks(4);
    world
        .weather
        .insert("alpha".into(), Weather::Blind(Dark::Vanished));
    world.until("back", |w| w.component("alpha").state == State::RolledBack);
    world.until("again", |w| w.component("alpha").state == State::Walking);
    world.ticks(100);
    assert_eq!(world.highest("alpha"), Weight::ZERO, "nothing rises in the dark");
}

/// Both at 10%, where one going back takes the other along.
fn joint() -> World {
    let mut world = with(json!({"scope": "rollout"}));
    world.until("both at 10%", |w| {
        ["alpha", "beta"]
            .iter()
            .all(|c| w.component(c).weight.written == weight(100))
    });
    world
}

#[test]
fn a_crash_after_the_first_write_of_a_joint_rollback_still_takes_the_others_along() {
    let mut world = joint();
    // The daemon wrote alpha's rollback and died before beta's and before the status.
    let later = ulid::Ulid::from_parts(u64::try_from(world.now.as_millisecond()).unwrap() + 1, 9).to_string();
    for object in world.objects.get_mut("alpha").unwrap() {
        object.weight = Weight::ZERO;
        object.stamp = Some(Mark {
            id: later.clone(),
            weight: Weight::ZERO,
            reason: Some(Reason::Breach),
        });
    }
    world.restart();
    world.ticks(3);
    assert_eq!(world.component("alpha").state, State::RolledBack);
    assert_eq!(
        (world.highest("beta"), world.component("beta").reason),
        (Weight::ZERO, Reason::OtherFailed)
    );
}

#[test]
fn who_cannot_go_back_with_the_others_follows_as_soon_as_control_can_take_the_traffic() {
    let mut world = joint();
    world.ready = Some(false);
    world.say(Verb::Rollback, "alpha", None);
    world.ticks(5);
    assert_eq!(
        (world.highest("alpha"), world.highest("beta")),
        (Weight::ZERO, weight(100)),
        "control cannot take it"
    );
    world.restart();
    world.ticks(5);
    world.ready = Some(true);
    world.ticks(3);
    assert_eq!(
        (world.highest("beta"), world.component("beta").state),
        (Weight::ZERO, State::RolledBack)
    );
}

#[test]
fn who_went_back_with_another_begins_again_whether_or_not_the_daemon_died_before_it_said_so() {
    for (crash, why) in [
        (false, Reason::Breach),
        (true, Reason::Breach),
        (true, Reason::RollbackRequested),
    ] {
        let mut world = with(json!({"scope": "rollout", "retry": {"after": "10m"}}));
        world.until("both at 10%", |w| {
            ["alpha", "beta"]
                .iter()
                .all(|c| w.component(c).weight.written == weight(100))
        });
        if crash {
            let millis = u64::try_from(world.now.as_millisecond()).unwrap();
            for (n, name, why) in [(1, "alpha", why), (2, "beta", Reason::OtherFailed)] {
                let id = ulid::Ulid::from_parts(millis, (u128::MAX >> 48) - n).to_string();
                world.write(name, &id, Weight::ZERO, why, usize::MAX);
            }
            world.restart();
        } else {
            world.weather.insert("alpha".into(), Weather::CanaryFails);
            world.until("back", |w| w.component("alpha").weight.written.is_zero());
            world.weather.insert("alpha".into(), Weather::Good);
        }
        world.ticks(3);
        let beta = world.component("beta");
        assert_eq!(
            (beta.state, beta.reason),
            (State::RolledBack, Reason::OtherFailed)
        );
        let automatic = why == Reason::Breach;
        let due = beta.retry.and_then(|retry| retry.due).is_some();
        assert_eq!(due, automatic, "crash: {crash}, {why}: {beta:#?}");
        assert_eq!(
            beta.message.contains("begins again by itself"),
            automatic,
            "{}",
            beta.message
        );
        world.ticks(200);
        let walks = |name: &str| world.component(name).state == State::Walking;
        assert_eq!(
            (walks("alpha"), walks("beta")),
            (automatic, automatic),
            "{crash}, {why}"
        );
    }
}

#[test]
fn who_had_no_traffic_yet_does_not_begin_after_a_joint_rollback_until_the_one_that_failed_does() {
    let mut world = with(json!({"scope": "rollout"}));
    world.until("10%", |w| w.component("alpha").weight.written == weight(100));
    world.weather.insert("beta".into(), Weather::NoLook);
    for object in world.objects.get_mut("beta").unwrap() {
        object.settled = false;
    }
    world.say(Verb::Rollback, "alpha", None);
    world.say(Verb::Rollback, "beta", None);
    world.ticks(3);
    for object in world.objects.get_mut("beta").unwrap() {
        object.settled = true;
    }
    world.all(Weather::Good);
    world.say(Verb::Retry, "beta", None);
    world.ticks(100);
    assert_eq!(world.highest("beta"), Weight::ZERO);
    assert_eq!(world.component("beta").reason, Reason::StoppedByFailure);
    world.say(Verb::Retry, "alpha", None);
    world.until("both go on", |w| {
        w.highest("alpha") == weight(700) && w.highest("beta") == weight(700)
    });
}
