//! Routes that no gateway carries, and traffic that does not come as its weight asks.

use super::world::{Weather, World, spec, weight};
use crate::rollout::arrival::Arrival;
use crate::rollout::command::Verb;
use crate::rollout::observation::Note;
use crate::rollout::reason::{Reason, State};
use crate::rollout::status::CommandResult;
use crate::rollout::weight::Weight;
use serde_json::{Value, json};

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

fn refuse(world: &mut World, why: Option<&str>) {
    for object in world.objects.get_mut("alpha").unwrap() {
        object.refusal = why.map(str::to_owned);
    }
}

fn told(notes: &[Note], reason: Reason) -> usize {
    notes.iter().filter(|n| n.reason == reason).count()
}

#[test]
fn a_route_that_no_gateway_carries_rises_no_further_and_is_not_held_through_its_step() {
    let mut world = World::new(routed());
    refuse(&mut world, Some("is not accepted by gateway infra/public"));
    world.ticks(60);
    assert_eq!(world.highest("alpha"), Weight::ZERO);
    assert_eq!(world.component("alpha").reason, Reason::RouteNotAccepted);
    refuse(&mut world, None);
    world.until("5%", |w| w.highest("alpha") == weight(50));
    refuse(
        &mut world,
        Some("has a back end that gateway infra/public cannot use"),
    );
    world.ticks(3);
    let held = world.component("alpha").held;
    world.ticks(60);
    assert_eq!(world.highest("alpha"), weight(50));
    assert_eq!(
        world.component("alpha").held,
        held,
        "what is not carried is not tried"
    );
    world.say(Verb::Set, "alpha", Some(weight(300)));
    world.ticks(1);
    let outcome = world.status.commands.last().unwrap();
    assert_eq!(outcome.result, CommandResult::Refused);
    assert!(outcome.message.contains("would carry nothing"), "{outcome:?}");
    refuse(&mut world, None);
    world.until("10%", |w| w.highest("alpha") >= weight(100));
}

#[test]
fn a_route_that_no_gateway_carries_is_lowered_all_the_same() {
    for by_hand in [true, false] {
        let mut world = World::new(routed());
        world.until("5%", |w| w.highest("alpha") == weight(50));
        world.ticks(9);
        refuse(&mut world, Some("is not accepted by gateway infra/public"));
        if by_hand {
            world.say(Verb::Rollback, "alpha", None);
        } else {
            world.all(Weather::CanaryFails);
        }
        world.ticks(12);
        assert_eq!(world.highest("alpha"), Weight::ZERO);
        assert_eq!(world.component("alpha").state, State::RolledBack);
    }
}

#[test]
fn what_the_gateways_find_fault_with_is_told_when_it_changes_and_only_then() {
    let mut world = World::new(routed());
    let say = |world: &mut World, remark: Option<&str>| {
        let mut seen = world.observe(true);
        let alpha = seen.components.get_mut("alpha").unwrap();
        if let crate::rollout::observation::Routers::Read(objects) = &mut alpha.routers {
            objects[0].remark = remark.map(str::to_owned);
        }
        let decision = crate::rollout::decide::decide(&world.plan, world.status.clone(), &seen, world.now);
        world.status = decision.next.clone();
        decision
    };
    let first = say(&mut world, Some("is not accepted by gateway infra/internal"));
    assert_eq!(told(&first.notes, Reason::RouteNotAccepted), 1);
    assert!(first.changed);
    let gateways = world.component("alpha").gateways.clone().unwrap();
    assert!(gateways.ends_with("is not accepted by gateway infra/internal"));
    let again = say(&mut world, Some("is not accepted by gateway infra/internal"));
    assert_eq!(told(&again.notes, Reason::RouteNotAccepted), 0);
    let over = say(&mut world, None);
    assert_eq!(told(&over.notes, Reason::RouteAccepted), 1);
    assert_eq!(world.component("alpha").gateways, None);
}

#[test]
fn less_than_half_of_what_was_asked_for_holds_and_is_told_once() {
    let mut world = World::new(routed());
    world.until("5%", |w| w.highest("alpha") == weight(50));
    world.weather.insert("alpha".into(), Weather::Sticky(30));
    let mut notes = Vec::new();
    for decision in world.ticks(40) {
        notes.extend(decision.notes);
    }
    let alpha = world.component("alpha").clone();
    assert_eq!(
        (alpha.state, alpha.reason),
        (State::Walking, Reason::NotAchievable)
    );
    assert_eq!(told(&notes, Reason::NotAchievable), 1, "{notes:#?}");
    assert!(alpha.message.contains("session affinity"), "{}", alpha.message);
    assert_eq!(alpha.measured.unwrap().verdict, Arrival::NotAchievable);
    let condition = world.status.condition("TrafficDeviates").unwrap();
    assert_eq!(condition.status, "True");
    assert!(condition.message.starts_with("alpha: "), "{}", condition.message);
    let held = alpha.held;
    world.ticks(30);
    assert_eq!(
        world.component("alpha").held,
        held,
        "another step is no trial of this one"
    );
    assert_eq!(world.highest("alpha"), weight(50));
    // Whatever it was is mended: the last window shows it before the sums do.
    world.weather.insert("alpha".into(), Weather::Good);
    world.until("10%", |w| w.highest("alpha") >= weight(100));
    world.ticks(6);
    assert_eq!(world.status.condition("TrafficDeviates").unwrap().status, "False");
}

#[test]
fn somewhat_less_than_asked_for_is_told_and_holds_nothing_by_itself() {
    let mut spec = routed();
    spec["checks"] = json!([{"name": "throughput", "promote": "none"}]);
    let mut world = World::new(spec);
    world.until("5%", |w| w.highest("alpha") == weight(50));
    world.all(Weather::Sticky(70));
    let mut notes = Vec::new();
    for _ in 0..200 {
        if world.highest("alpha") > weight(50) {
            break;
        }
        notes.extend(world.tick().notes);
    }
    assert_eq!(
        world.highest("alpha"),
        weight(100),
        "{:?}",
        world.component("alpha")
    );
    world.until("told", |w| {
        w.component("alpha")
            .measured
            .is_some_and(|m| m.verdict == Arrival::NotAchievable)
    });
    assert_ne!(world.component("alpha").reason, Reason::NotAchievable);
}

#[test]
fn a_switchs_share_of_new_objects_is_not_verified_by_requests() {
    let mut world = World::demo();
    world.until("5%", |w| w.highest("alpha") == weight(50));
    world.all(Weather::Sticky(30));
    world.ticks(60);
    assert_eq!(world.component("alpha").measured, None);
    assert_ne!(world.component("alpha").reason, Reason::NotAchievable);
}
