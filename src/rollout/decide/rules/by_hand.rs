//! What is said of a weight that a person asked for, and of one that a person did not get.

use super::world::{Weather, World, spec, weight};
use crate::rollout::command::Verb;
use crate::rollout::reason::{Reason, State};
use crate::rollout::sample::Dark;
use crate::rollout::weight::Weight;
use serde_json::{Value, json};

/// Both components behind routers whose gateways may refuse them.
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

fn refuse(world: &mut World, why: Option<&str>) {
    for object in world.objects.get_mut("alpha").unwrap() {
        object.refusal = why.map(str::to_owned);
    }
}

fn said(world: &World) -> String {
    let alpha = world.component("alpha");
    assert_eq!(alpha.state, State::Manual);
    alpha.message.clone()
}

#[test]
fn what_was_set_and_never_written_is_not_said_to_have_been_set() {
    let mut world = World::new(routed());
    world.say(Verb::Set, "alpha", Some(weight(200)));
    world.commands[0].wish.force = true;
    refuse(&mut world, Some("is not accepted by gateway infra/public"));
    world.ticks(3);
    assert_eq!(world.highest("alpha"), Weight::ZERO);
    let told = said(&world);
    assert!(!told.contains("set by hand"), "it is not there yet: {told}");
    assert!(told.contains("20% was asked for"), "{told}");
    // The wish is over, and what stands in its way is still there; then that goes, too.
    world.ticks(70);
    assert_eq!(world.highest("alpha"), Weight::ZERO);
    let told = said(&world);
    assert!(
        told.contains("is not accepted") && !told.contains("set by hand"),
        "{told}"
    );
    refuse(&mut world, None);
    world.ticks(3);
    let told = said(&world);
    assert_eq!(world.component("alpha").reason, Reason::Manual);
    assert!(
        !told.contains("set by hand") && told.contains("stays at 0%") && told.contains("`resume`"),
        "{told}"
    );
}

#[test]
fn what_was_set_and_written_is_said_to_have_been_set_whatever_came_after() {
    let mut world = World::new(routed());
    world.say(Verb::Set, "alpha", Some(weight(200)));
    world.ticks(3);
    assert_eq!(world.highest("alpha"), weight(200));
    assert!(said(&world).starts_with("ada set 20%; "), "{}", said(&world));
    refuse(&mut world, Some("is not accepted by gateway infra/public"));
    world.ticks(3);
    assert!(
        said(&world).contains("20% stays as it was set by hand"),
        "{}",
        said(&world)
    );
    refuse(&mut world, None);
    world.ticks(3);
    assert!(said(&world).starts_with("ada set 20%; "), "{}", said(&world));
}

#[test]
fn a_forced_raise_is_written_although_paused_and_nothing_else_is() {
    for by_resource in [true, false] {
        let mut world = World::demo();
        world.until("5%", |w| w.highest("alpha") == weight(50));
        if by_resource {
            world.edit(|spec| spec.paused = Some(true));
        } else {
            world.say(Verb::Pause, "alpha", None);
        }
        world.ticks(2);
        world.say(Verb::Set, "alpha", Some(weight(300)));
        world.ticks(2);
        assert_eq!(world.highest("alpha"), weight(50), "without force a pause holds");
        world.say(Verb::Set, "alpha", Some(weight(300)));
        world.commands[0].wish.force = true;
        world.ticks(2);
        assert_eq!(
            world.highest("alpha"),
            weight(300),
            "by the resource: {by_resource}"
        );
    }
}

#[test]
fn whoever_pauses_after_a_raise_was_forced_has_the_last_word() {
    for by_resource in [true, false] {
        let mut world = World::demo();
        world.until("5%", |w| w.highest("alpha") == weight(50));
        world.ticks(4);
        let settle = |world: &mut World, settled: bool| {
            for object in world.objects.get_mut("alpha").unwrap() {
                object.settled = settled;
            }
        };
        // What was asked for waits for its routed objects.
        settle(&mut world, false);
        world.say(Verb::Set, "alpha", Some(weight(300)));
        world.commands[0].wish.force = true;
        world.tick();
        if by_resource {
            world.edit(|spec| spec.paused = Some(true));
        } else {
            world.say(Verb::Pause, "alpha", None);
        }
        world.tick();
        settle(&mut world, true);
        world.ticks(4);
        assert_eq!(
            world.highest("alpha"),
            weight(50),
            "by the resource: {by_resource}"
        );
    }
}

#[test]
fn whoever_put_it_back_and_why_outlive_the_trouble_with_writing_it() {
    let mut world = World::demo();
    world.until("5%", |w| w.highest("alpha") == weight(50));
    world.ticks(2);
    world.unreadable = Some("VirtualService apps/alpha cannot be read: 503".into());
    world.say(Verb::Rollback, "alpha", None);
    world.commands[0].wish.emergency = true;
    world.commands[0].wish.reason = "logins hang; why: nobody knows".into();
    let asked = "ada asked to put it back to 0%: logins hang; why: nobody knows";
    for trouble in ["503", "502"] {
        world.unreadable = Some(format!("VirtualService apps/alpha cannot be read: {trouble}"));
        world.ticks(3);
        assert_eq!(
            world.component("alpha").message,
            format!(
                "not written yet, going to 0%: VirtualService apps/alpha cannot be read: {trouble}; why: {asked}"
            )
        );
        assert_eq!(world.component("alpha").state, State::RolledBack);
    }
    world.unreadable = None;
    world.until("0%", |w| w.component("alpha").weight.written.is_zero());
    let alpha = world.component("alpha");
    assert_eq!(alpha.message, asked);
    assert_eq!(alpha.history.last().unwrap().message, asked);
}

#[test]
fn a_weight_set_by_hand_says_that_nobody_sees_a_breach_while_nobody_does() {
    let mut world = World::demo();
    world.until("5%", |w| w.highest("alpha") == weight(50));
    world.ticks(4);
    world.say(Verb::Set, "alpha", Some(weight(300)));
    world.ticks(2);
    for _ in 0..3 {
        assert_eq!(
            world.component("alpha").reason,
            Reason::Manual,
            "{}",
            said(&world)
        );
        world.tick();
    }
    world.weather.insert("alpha".into(), Weather::Blind(Dark::Down));
    world.ticks(2);
    let alpha = world.component("alpha");
    assert_eq!((alpha.state, alpha.reason), (State::Manual, Reason::Blind));
    assert!(
        alpha.message.contains("a breach cannot be seen") && alpha.message.contains("30% stays"),
        "{}",
        alpha.message
    );
    let alarms = |decisions: Vec<crate::rollout::observation::Decision>| {
        let notes = decisions.into_iter().flat_map(|d| d.notes);
        notes.filter(|n| n.reason == Reason::Blind && n.warning).count()
    };
    assert_eq!(alarms(world.ticks(100)), 1, "as for the others");
    assert!(said(&world).contains("for more than"), "{}", said(&world));
    world.weather.insert("alpha".into(), Weather::Good);
    world.ticks(2);
    assert_eq!(world.component("alpha").reason, Reason::Manual);
    assert!(said(&world).starts_with("ada set 30%; "), "{}", said(&world));
}
