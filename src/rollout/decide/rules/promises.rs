//! The promises as properties.

use super::world::{Event, Weather, World, weight};
use crate::rollout::command::Verb;
use crate::rollout::decide::decide;
use crate::rollout::reason::{Reason, State, Verdict};
use crate::rollout::sample::Dark;
use crate::rollout::status::CheckStatus;
use crate::rollout::weight::Weight;
use crate::rollout::window::Opening;
use proptest::prelude::*;
use std::time::Duration;

fn weather() -> impl Strategy<Value = Weather> {
    prop_oneof![
        6 => Just(Weather::Good),
        1 => Just(Weather::CanaryFails),
        1 => Just(Weather::BothFail),
        1 => Just(Weather::ControlFails),
        1 => Just(Weather::Quiet),
        1 => Just(Weather::NoLook),
        2 => prop_oneof![
            Just(Dark::Down), Just(Dark::Vanished), Just(Dark::Empty), Just(Dark::Stale), Just(Dark::Partial),
        ].prop_map(Weather::Blind),
    ]
}

fn verb() -> impl Strategy<Value = Event> {
    prop_oneof![
        1 => Just(Event::Say(Verb::Pause, None)),
        3 => Just(Event::Say(Verb::Resume, None)),
        1 => Just(Event::Say(Verb::Approve, None)),
        1 => Just(Event::Say(Verb::Promote, None)),
        1 => Just(Event::Say(Verb::Rollback, None)),
        2 => Just(Event::Say(Verb::Retry, None)),
        2 => Just(Event::Say(Verb::Complaint, None)),
        1 => (0u16..=1000).prop_map(|w| Event::Say(Verb::Set, Some(w))),
        1 => (0u16..=1000).prop_map(|w| Event::Say(Verb::Rollback, Some(w))),
    ]
}

pub(super) fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (weather(), 1u8..12).prop_map(|(w, n)| Event::Weather(w, n)),
        3 => verb(),
        1 => (0u16..=1000).prop_map(Event::Foreign),
        1 => Just(Event::DieBeforeWrite),
        1 => Just(Event::DieHalfway),
        1 => Just(Event::Restart),
        1 => (1u16..2000).prop_map(Event::Sleep),
        1 => prop_oneof![Just(Some(true)), Just(None), Just(Some(false))].prop_map(Event::Endpoint),
    ]
}

pub(super) fn life() -> impl Strategy<Value = Vec<Event>> {
    prop::collection::vec(event(), 1..40)
}

pub(super) fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 96,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Lives a life and holds every look against a promise.
fn always(life: &[Event], mut promise: impl FnMut(&World, &World, &crate::rollout::observation::Decision)) {
    for mut world in [World::demo(), World::pooled()] {
        for event in life {
            world.live(event, &mut promise);
        }
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn rule_1_weight_never_rises_without_a_pass_an_ended_hold_an_open_window_and_a_read_back(life in life()) {
        always(&life, |before, _, decision| {
            for raise in decision.raises.iter().filter(|r| r.reason != Reason::Manual) {
                let was = before.component(&raise.component);
                let next = decision.next.component(&raise.component).unwrap();
                let from = next.weight.written;
                assert!(raise.weight > from);
                assert!(next.paused_by.is_none(), "paused");
                assert_eq!(before.plan.calendar.at(before.now), Opening::Open);
                assert!(before.objects[&raise.component].iter().all(|o| o.weight == from && o.settled), "not read back");
                let fresh = !matches!(before.weather.get(&raise.component), Some(Weather::Blind(_) | Weather::NoLook));
                assert!(fresh || matches!(before.weather.get(&raise.component), Some(Weather::NoLook)), "raised blind");
                let all_pass = |checks: &[CheckStatus]| checks.iter().all(|c| matches!(c.verdict, Verdict::Pass | Verdict::Skipped));
                let judged_good = all_pass(&next.checks) || super::pools::allowed_by_its_pool(&decision.next, next, all_pass);
                assert!(judged_good || from.is_zero(), "{:?}", next.checks);
                let hold = before.plan.component(&raise.component).unwrap().steps.iter().rev()
                    .find(|s| s.weight <= from).map_or(Duration::ZERO, |s| s.hold);
                let held = next.held.map_or(Duration::ZERO, |h| h.0);
                assert!(held >= hold || next.hold_ended || was.hold_ended, "hold {hold:?} held {held:?}");
            }
        });
    }

    #[test]
    fn rule_2_darkness_neither_raises_nor_lowers(kind in prop_oneof![
        Just(Dark::Down), Just(Dark::Vanished), Just(Dark::Empty), Just(Dark::Stale), Just(Dark::Partial),
        Just(Dark::NotANumber), Just(Dark::Refused),
    ], lit in 0usize..60) {
        let mut world = World::demo();
        world.ticks(lit);
        world.all(Weather::Blind(kind));
        world.ticks(2);
        let before = world.highest("alpha");
        for decision in world.ticks(200) {
            prop_assert!(decision.raises.is_empty(), "raised in the dark");
            prop_assert!(decision.lowers.is_empty(), "lowered in the dark");
        }
        let told = world.component("alpha").checks.iter().find(|c| matches!(c.verdict, Verdict::Pass | Verdict::Breach));
        prop_assert!(told.is_none(), "told in the dark: {told:?}");
        prop_assert_eq!(world.highest("alpha"), before);
        let held = world.component("alpha").held;
        world.ticks(10);
        prop_assert_eq!(world.component("alpha").held, held, "darkness counts as held time");
    }

    #[test]
    fn rule_3_what_a_check_counts_is_the_canarys_alone(permille in 10u16..=100, looks in 6usize..9) {
        let mut world = World::demo();
        world.say(Verb::Set, "alpha", Some(weight(permille)));
        world.ticks(looks);
        let most = i64::from(permille) * 100 * i64::try_from(looks).unwrap();
        let errors = world.component("alpha").checks.iter().find(|c| c.name == "errors").unwrap();
        prop_assert!(errors.samples > 0, "nothing was counted");
        prop_assert!(errors.samples <= most, "{} of at most {most}", errors.samples);
    }

    #[test]
    fn rule_4_over_the_limit_by_chance_holds_and_over_it_for_sure_rolls_back(looks in 1usize..4) {
        let mut world = World::demo();
        world.until("alpha at 5%", |w| w.highest("alpha") == weight(50));
        world.weather.insert("alpha".into(), Weather::NoLook);
        world.ticks(4);
        world.weather.insert("alpha".into(), Weather::Blip);
        for decision in world.ticks(looks) {
            prop_assert!(decision.lowers.is_empty(), "{:?}", decision.lowers);
        }
        world.weather.insert("alpha".into(), Weather::CanaryFails);
        world.ticks(3);
        prop_assert_eq!(world.highest("alpha"), Weight::ZERO);
    }

    #[test]
    fn rule_5_a_fault_that_control_has_too_moves_nothing(permille in 10u16..=800, both: bool, looks in 1usize..40) {
        let mut world = World::demo();
        world.say(Verb::Set, "alpha", Some(weight(permille)));
        world.ticks(8);
        world.say(Verb::Resume, "alpha", None);
        world.weather.insert("alpha".into(), if both { Weather::BothFail } else { Weather::ControlFails });
        world.tick();
        let stands = world.highest("alpha");
        for decision in world.ticks(looks) {
            prop_assert!(decision.lowers.iter().all(|l| l.component != "alpha"), "{:?}", decision.lowers);
            prop_assert!(decision.raises.iter().all(|r| r.component != "alpha"), "{:?}", decision.raises);
        }
        prop_assert_eq!(world.highest("alpha"), stands);
    }

    #[test]
    fn rule_12_nothing_rises_above_nine_tenths_without_controls_frozen_baseline(life in life()) {
        let mut world = World::demo();
        world.say(Verb::Approve, "*", None);
        world.commands[0].wish.phase = Some("cutover".into());
        world.until("alpha at 70%", |w| w.component("alpha").weight.written == weight(700));
        let promise = |_: &World, _: &World, decision: &crate::rollout::observation::Decision| {
            for raise in decision.raises.iter().filter(|r| r.reason == Reason::Step && r.weight > weight(900)) {
                let frozen = decision.next.component(&raise.component).unwrap().baseline.as_ref();
                assert!(frozen.is_some_and(|b| b.requests > 0), "to {} without a baseline", raise.weight);
            }
        };
        world.live(&Event::Weather(Weather::Good, 60), promise);
        for event in &life {
            world.live(event, promise);
        }
    }

    #[test]
    fn rule_6_a_breach_is_answered_whatever_else_is_going_on(paused: bool, quiet_other: bool, ready in prop_oneof![Just(None), Just(Some(true))]) {
        let mut world = World::demo();
        world.until("alpha at 5%", |w| w.highest("alpha") == weight(50));
        if paused {
            world.say(Verb::Pause, "alpha", None);
        }
        world.ticks(5);
        world.ready = ready;
        if quiet_other {
            world.weather.insert("beta".into(), Weather::Blind(Dark::Down));
        }
        world.weather.insert("alpha".into(), Weather::CanaryFails);
        world.ticks(4);
        prop_assert_eq!(world.highest("alpha"), Weight::ZERO);
        prop_assert_eq!(world.component("alpha").state, State::RolledBack);
    }

    #[test]
    fn rule_6_the_look_that_finds_a_breach_is_the_look_that_asks_to_go_back(life in life()) {
        always(&life, |before, _, decision| {
            for c in &decision.next.components {
                let was = before.component(&c.name);
                let said = |checks: &[CheckStatus], name: &str| checks.iter().any(|k| k.name == name && k.verdict == Verdict::Breach);
                let found = c.checks.iter().any(|k| said(&c.checks, &k.name) && !said(&was.checks, &k.name));
                let under_way = matches!(was.state, State::Walking | State::Manual | State::Drifted);
                if found && under_way && !c.detached && was.weight.written > Weight::ZERO && before.ready != Some(false) {
                    let mut lowers = decision.lowers.iter().filter(|l| l.component == c.name);
                    assert!(lowers.any(|l| l.weight == Weight::ZERO), "{:?}: {:?}", c.checks, decision.lowers);
                }
            }
        });
    }

    #[test]
    fn a_canary_without_endpoints_goes_back_at_the_second_look_whatever_the_metrics_say_and_only_if_control_has_some(
        weather in prop_oneof![
            Just(Weather::Good), Just(Weather::Quiet), Just(Weather::BothFail),
            Just(Weather::Blind(Dark::Down)), Just(Weather::Blind(Dark::Vanished)),
        ],
        control in prop_oneof![Just(Some(true)), Just(Some(false)), Just(None)],
        restart: bool,
    ) {
        let mut world = World::demo();
        world.until("alpha at 5%", |w| w.highest("alpha") == weight(50));
        world.ticks(2);
        world.all(weather);
        (world.canary_ready, world.ready) = (Some(false), control);
        world.ticks(1);
        prop_assert_eq!(world.highest("alpha"), weight(50), "one look may fall between two pods");
        if restart {
            world.restart();
        }
        world.ticks(2);
        if control == Some(true) {
            prop_assert_eq!(world.highest("alpha"), Weight::ZERO);
            prop_assert_eq!(world.component("alpha").reason, Reason::LostTraffic);
        } else {
            prop_assert_eq!(world.highest("alpha"), weight(50));
        }
    }

    #[test]
    fn rule_6_control_without_endpoints_keeps_the_traffic_where_it_is_but_obeys_a_person(person: bool) {
        let mut world = World::demo();
        world.until("alpha at 5%", |w| w.highest("alpha") == weight(50));
        world.ticks(5);
        world.ready = Some(false);
        world.weather.insert("alpha".into(), Weather::CanaryFails);
        world.ticks(6);
        prop_assert_eq!(world.highest("alpha"), weight(50));
        prop_assert_eq!(world.component("alpha").reason, Reason::ControlNotReady);
        if person {
            world.say(Verb::Rollback, "alpha", None);
        } else {
            world.ready = Some(true);
        }
        world.ticks(2);
        prop_assert_eq!(world.highest("alpha"), Weight::ZERO);
    }

    #[test]
    fn rule_7_what_was_declared_and_not_written_is_decided_anew_and_never_replayed(life in life(), half: bool) {
        let mut world = World::demo();
        for event in &life {
            world.live(event, |_, _, _| {});
        }
        world.ready = Some(true);
        world.all(Weather::Good);
        world.die = Some(usize::from(half));
        world.tick();
        world.die = None;
        world.restart();
        world.all(Weather::Blind(Dark::Down));
        let settled = world.highest("alpha");
        for decision in world.ticks(40) {
            // Manual raises are wishes of a person that still stand; everything else needs fresh judgement.
            prop_assert!(decision.raises.iter().all(|r| r.reason == Reason::Manual), "replayed {:?}", decision.raises);
        }
        prop_assert!(world.component("alpha").intent.is_none() || world.component("alpha").state == State::Manual);
        prop_assert!(world.highest("alpha") <= settled || world.component("alpha").state == State::Manual);
    }

    #[test]
    fn rule_7_no_raise_is_asked_for_while_the_objects_show_something_else(permille in 0u16..=1000) {
        let mut world = World::demo();
        world.until("alpha at 10%", |w| w.component("alpha").weight.written == weight(100));
        world.ticks(4);
        world.objects.get_mut("alpha").unwrap()[0].weight = weight(permille);
        let decision = world.tick();
        prop_assert!(permille == 100 || decision.raises.iter().all(|r| r.component != "alpha"), "{:?}", decision.raises);
    }

    #[test]
    fn rule_7_what_the_server_made_of_a_raise_and_not_what_was_asked_is_what_is_written(permille in 0u16..=1000) {
        let mut world = World::demo();
        world.until("alpha at 5%", |w| w.component("alpha").weight.written == weight(50));
        let raised = (0..1000).find_map(|_| {
            let decision = world.tick();
            decision.raises.iter().find(|r| r.component == "alpha").map(|r| r.weight)
        });
        prop_assert_eq!(raised, Some(weight(100)));
        // A webhook that changes the numbers beside our mark.
        for object in world.objects.get_mut("alpha").into_iter().flatten() {
            object.weight = weight(permille);
        }
        world.tick();
        let written = world.component("alpha").weight.written;
        prop_assert!(permille == 100 || written != weight(100), "nobody read {} back", written);
    }

    #[test]
    fn rule_8_our_own_write_that_the_status_missed_is_bookkeeping_and_not_drift(permille in 0u16..=1000) {
        let mut world = World::demo();
        world.until("alpha at 10%", |w| w.component("alpha").weight.written == weight(100));
        let forgotten = world.status.clone();
        world.say(Verb::Set, "alpha", Some(weight(permille)));
        world.ticks(2);
        world.status = forgotten;
        world.restart();
        let decision = world.tick();
        prop_assert!(decision.lowers.is_empty(), "put back its own write: {:?}", decision.lowers);
        prop_assert!(world.component("alpha").drifts.is_empty());
        prop_assert_eq!(world.component("alpha").weight.written, weight(permille));
    }

    #[test]
    fn rule_8_a_rollback_stamp_is_recognised_without_its_status(_n in 0u8..1) {
        let mut world = World::demo();
        world.until("alpha at 10%", |w| w.component("alpha").weight.written == weight(100));
        let forgotten = world.status.clone();
        world.say(Verb::Rollback, "alpha", None);
        world.tick();
        world.status = forgotten;
        world.restart();
        world.ticks(30);
        prop_assert_eq!(world.component("alpha").state, State::RolledBack);
        prop_assert_eq!(world.highest("alpha"), Weight::ZERO);
    }

    #[test]
    fn rule_9_a_foreign_raise_is_put_back_and_a_foreign_lowering_is_yielded_to(permille in 0u16..=1000) {
        let mut world = World::demo();
        world.until("alpha at 10%", |w| w.component("alpha").weight.written == weight(100));
        world.weather.insert("alpha".into(), Weather::NoLook);
        world.tick();
        world.live(&Event::Foreign(permille), |_, _, _| {});
        world.ticks(3);
        let c = world.component("alpha");
        match permille.cmp(&100) {
            std::cmp::Ordering::Greater => prop_assert_eq!(world.highest("alpha"), weight(100), "put back"),
            std::cmp::Ordering::Less => {
                prop_assert_eq!(world.highest("alpha"), weight(permille), "yielded to");
                prop_assert_eq!(c.state, State::Drifted);
            }
            std::cmp::Ordering::Equal => prop_assert_eq!(c.state, State::Walking),
        }
    }

    #[test]
    fn rule_10_only_the_next_declared_weight_is_ever_raised_to(life in life()) {
        always(&life, |before, _, decision| {
            for raise in decision.raises.iter().filter(|r| r.reason != Reason::Manual) {
                let written = decision.next.component(&raise.component).unwrap().weight.written;
                let plan = before.plan.component(&raise.component).unwrap();
                let next = plan.steps.iter().map(|s| s.weight).find(|w| *w > written);
                assert_eq!(Some(raise.weight), next, "from {written}");
            }
        });
    }

    #[test]
    fn rule_11_restarts_advance_nothing_and_delay_a_rollback_by_a_look_at_most(at in 1usize..40) {
        let mut world = World::demo();
        world.ticks(at);
        world.all(Weather::NoLook);
        world.ticks(2);
        let before = (world.highest("alpha"), world.component("alpha").held);
        for _ in 0..5 {
            world.restart();
            world.tick();
        }
        prop_assert_eq!((world.highest("alpha"), world.component("alpha").held), before);
        let on = world.component("alpha").weight.written;
        if on > Weight::ZERO && world.component("alpha").state == State::Walking {
            world.say(Verb::Pause, "alpha", None);
            world.all(Weather::Good);
            world.ticks(6);
            world.weather.insert("alpha".into(), Weather::CanaryFails);
            for _ in 0..3 {
                world.tick();
                world.restart();
            }
            prop_assert_eq!(world.highest("alpha"), Weight::ZERO, "restarts hid the breach");
        }
    }

    #[test]
    fn rule_13_a_terminal_state_outlives_everything_but_retry(events in prop::collection::vec(event(), 1..20), edit in 0u8..4) {
        let mut world = World::demo();
        world.until("alpha at 5%", |w| w.highest("alpha") == weight(50));
        world.say(Verb::Rollback, "alpha", None);
        world.ticks(2);
        match edit {
            0 => world.edit(|spec| spec.schedule = Some(serde_json::from_value(serde_json::json!({"freezes": []})).unwrap())),
            1 => world.edit(|spec| spec.checks = Some(serde_json::from_value(
                serde_json::json!([{"name": "errors", "rollback": {"max": "2%"}}])).unwrap())),
            2 => world.edit(|spec| spec.judge = None),
            _ => {}
        }
        for event in events.iter().filter(|e| !matches!(e, Event::Say(Verb::Retry | Verb::Set, _))) {
            world.live(event, |_, _, decision| {
                assert!(decision.raises.iter().all(|r| r.component != "alpha"));
            });
            prop_assert_eq!(world.component("alpha").state, State::RolledBack);
        }
    }

    #[test]
    fn rule_14_rollback_and_emergency_never_raise(life in life(), to in 0u16..=1000, emergency: bool) {
        let mut world = World::demo();
        for event in &life {
            world.live(event, |_, _, _| {});
        }
        world.all(Weather::NoLook);
        let before = world.highest("alpha");
        world.say(Verb::Rollback, "alpha", Some(weight(to)));
        world.commands[0].wish.emergency = emergency;
        for decision in world.ticks(2) {
            // Whoever carries an order out never raises either; the order itself must not rely on that.
            let mut orders = decision.lowers.iter().filter(|l| l.component == "alpha");
            prop_assert!(orders.all(|l| l.weight <= before));
        }
        prop_assert!(world.component("alpha").weight.asked <= before);
        prop_assert!(world.highest("alpha") <= before);
        prop_assert!(world.highest("alpha") <= weight(to));
    }

    #[test]
    fn rule_15_extra_looks_ask_for_nothing_and_change_nothing(life in life()) {
        let mut world = World::demo();
        for event in &life {
            world.live(event, |_, _, _| {});
        }
        world.ready = Some(true);
        world.all(Weather::NoLook);
        world.ticks(3);
        let seen = world.observe(false);
        let once = decide(&world.plan, world.status.clone(), &seen, world.now);
        let twice = decide(&world.plan, once.next.clone(), &seen, world.now);
        prop_assert!(!twice.changed && twice.raises == once.raises && twice.lowers == once.lowers && twice.notes.is_empty(),
            "{twice:?}");
        prop_assert_eq!(&once.next, &twice.next);
    }
}

#[test]
fn rule_12_control_is_frozen_as_baseline_before_it_falls_below_a_tenth() {
    let mut world = World::demo();
    world.say(Verb::Approve, "*", None);
    world.commands[0].wish.phase = Some("cutover".into());
    world.until("alpha at 95%", |w| {
        w.component("alpha").weight.written == weight(950)
    });
    assert!(
        world.component("alpha").baseline.is_some(),
        "nothing to compare with at 100%"
    );
    world.until("alpha is finished", |w| {
        w.component("alpha").state == State::Completed
    });
    assert_eq!(world.highest("alpha"), Weight::FULL);
}

#[test]
fn rule_13_another_plan_begins_again_and_an_edit_of_its_holds_does_not() {
    let mut world = World::demo();
    world.until("alpha at 5%", |w| w.highest("alpha") == weight(50));
    world.say(Verb::Rollback, "alpha", None);
    world.ticks(2);
    world.edit(|spec| spec.phases.as_mut().unwrap()[0].steps[0].hold = "40s".parse().unwrap());
    world.ticks(2);
    assert_eq!(world.component("alpha").state, State::RolledBack);
    world.edit(|spec| spec.phases.as_mut().unwrap()[0].steps[0].weight = weight(40));
    world.tick();
    assert_eq!(world.component("alpha").state, State::Walking);
    assert_eq!(world.component("alpha").attempt, 2);
}
