//! What complaints promise: they never raise, they hold until they are old or answered, and each counts once.

use super::promises::{config, life};
use super::world::{World, spec, weight};
use crate::rollout::command::Verb;
use crate::rollout::complaint::COMPLAINTS_KEPT;
use crate::rollout::reason::{Reason, State};
use crate::rollout::status::{COMMANDS_KEPT, CommandResult};
use crate::rollout::weight::Weight;
use proptest::prelude::*;
use serde_json::json;
use std::time::Duration;

fn world(action: &str) -> World {
    let mut spec = spec();
    spec["complaints"] = json!({ "action": action });
    let mut world = World::new(spec);
    world.until("5%", |w| w.highest("alpha") == weight(50));
    world
}

fn complain(world: &mut World, times: usize) {
    for _ in 0..times {
        world.say(Verb::Complaint, "alpha", None);
        world.tick();
    }
}

#[test]
fn three_within_an_hour_hold_and_their_age_lets_go() {
    let mut world = world("hold");
    complain(&mut world, 2);
    assert_ne!(world.component("alpha").reason, Reason::Complaints);
    let told = world.status.commands.iter().map(|c| c.message.clone());
    let told: Vec<String> = told.collect();
    assert!(
        told[0].contains("1 of 3 within 1h") && told[1].contains("2 of 3 within 1h"),
        "{told:?}"
    );
    complain(&mut world, 1);
    let first = world.component("alpha").complaints[0].at;
    assert_eq!(world.component("alpha").reason, Reason::Complaints);
    assert!(
        world.component("alpha").message.contains("by ada: because"),
        "{}",
        world.component("alpha").message
    );
    world.now = first + Duration::from_secs(3600 - 20);
    world.tick();
    assert_eq!(world.highest("alpha"), weight(50), "held for all of the hour");
    assert_eq!(world.component("alpha").reason, Reason::Complaints);
    world.until("the plan goes on", |w| w.highest("alpha") == weight(100));
}

#[test]
fn while_complaints_hold_the_clock_of_the_hold_stands() {
    let mut world = world("hold");
    complain(&mut world, 3);
    let held = world.component("alpha").held;
    world.ticks(30);
    assert_eq!(world.component("alpha").reason, Reason::Complaints);
    assert_eq!(
        world.component("alpha").held,
        held,
        "thirty looks, none of them counted"
    );
    world.say(Verb::Resume, "alpha", None);
    world.ticks(2);
    assert_eq!(world.highest("alpha"), weight(50), "the hold is still to come");
    world.until("and then it goes on", |w| w.highest("alpha") == weight(100));
}

#[test]
fn the_daemon_wakes_when_the_oldest_that_counts_is_old() {
    let mut world = world("hold");
    complain(&mut world, 3);
    let due = world.component("alpha").complaints[0].at + Duration::from_secs(3600);
    let woken = world.tick().wake_at.unwrap();
    assert!(woken <= due, "{woken} is later than {due}");
}

#[test]
fn resume_answers_them_and_a_restart_forgets_none() {
    let mut world = world("hold");
    complain(&mut world, 3);
    world.restart();
    world.tick();
    assert_eq!(
        world.component("alpha").reason,
        Reason::Complaints,
        "after a restart"
    );
    world.say(Verb::Resume, "alpha", None);
    world.tick();
    assert_ne!(world.component("alpha").reason, Reason::Complaints);
    assert!(world.component("alpha").complaints.iter().all(|c| c.settled));
    complain(&mut world, 2);
    assert_ne!(
        world.component("alpha").reason,
        Reason::Complaints,
        "counted from anew"
    );
}

#[test]
fn the_same_complaint_counts_once_however_often_it_comes() {
    let mut world = world("hold");
    world.say(Verb::Complaint, "alpha", None);
    let same = world.commands[0].clone();
    world.tick();
    for _ in 0..20 {
        // As after a restore of the annotation, when the outcome is long forgotten.
        world.status.commands.clear();
        world.commands.push(same.clone());
        world.tick();
    }
    assert_eq!(world.component("alpha").complaints.len(), 1);
    assert_ne!(world.component("alpha").reason, Reason::Complaints);
}

#[test]
fn where_the_resource_says_so_they_put_the_traffic_back_by_their_own_name() {
    let mut world = world("rollback");
    complain(&mut world, 3);
    world.tick();
    let alpha = world.component("alpha");
    assert_eq!(
        (alpha.state, alpha.reason),
        (State::RolledBack, Reason::ComplaintRollback)
    );
    assert_eq!(world.highest("alpha"), Weight::ZERO);
    world.say(Verb::Retry, "alpha", None);
    world.until("it begins again", |w| w.highest("alpha") == weight(50));
}

#[test]
fn control_without_an_endpoint_keeps_the_traffic_and_is_told_once() {
    let mut world = world("rollback");
    world.ready = Some(false);
    complain(&mut world, 3);
    let told: usize = world.ticks(20).iter().map(|d| d.notes.len()).sum();
    assert_eq!(world.component("alpha").reason, Reason::ControlNotReady);
    assert_eq!(
        (world.highest("alpha"), told),
        (weight(50), 0),
        "told when it began"
    );
    world.ready = Some(true);
    world.ticks(2);
    assert_eq!(world.component("alpha").reason, Reason::ComplaintRollback);
}

#[test]
fn none_and_a_terminal_state_record_and_hold_nothing() {
    let mut off = world("none");
    complain(&mut off, 5);
    assert_eq!(off.component("alpha").complaints.len(), 5);
    assert_ne!(off.component("alpha").reason, Reason::Complaints);
    let mut back = world("hold");
    back.say(Verb::Rollback, "alpha", None);
    back.ticks(3);
    complain(&mut back, 5);
    assert_eq!(back.component("alpha").state, State::RolledBack);
    assert_eq!(
        back.status.commands.last().unwrap().result,
        CommandResult::Accepted
    );
    back.say(Verb::Retry, "alpha", None);
    back.until("it begins again", |w| w.highest("alpha") == weight(50));
}

#[test]
fn a_crowd_neither_grows_the_status_nor_pushes_out_what_became_of_commands() {
    let mut world = world("hold");
    world.say(Verb::Pause, "alpha", None);
    world.tick();
    complain(&mut world, 3 * COMMANDS_KEPT);
    assert_eq!(world.component("alpha").complaints.len(), COMPLAINTS_KEPT);
    assert!(world.status.commands.iter().any(|c| c.verb == "pause"));
    assert!(world.status.commands.len() <= COMPLAINTS_KEPT + 1);
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn complaints_never_raise(life in life(), at in 0usize..40, many in 3usize..6, back: bool) {
        let mut spec = spec();
        spec["complaints"] = json!({"within": "7d", "action": if back { "rollback" } else { "hold" }});
        let mut world = World::new(spec);
        for (n, event) in life.iter().enumerate() {
            if n == at {
                complain(&mut world, many);
            }
            world.live(event, |before, _, decision| {
                let c = before.component("alpha");
                let held = !c.state.is_terminal() && c.complaints.iter().filter(|c| !c.settled).count() >= 3;
                let resumed = before.commands.iter().any(|c| matches!(c.verb, Verb::Resume | Verb::Retry));
                for raise in decision.raises.iter().filter(|r| r.component == "alpha" && r.reason != Reason::Manual) {
                    assert!(!held || resumed, "raised to {} in spite of complaints", raise.weight);
                }
            });
        }
    }
}
