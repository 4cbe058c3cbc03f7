//! What checks beside those on the arms may do, and what they may not.

use super::promises::{config, life};
use super::world::{Event, Weather, World, spec, weight};
use crate::rollout::observation::Decision;
use crate::rollout::reason::{Reason, State, Verdict};
use crate::rollout::status::{CheckStatus, GradualRolloutStatus};
use crate::rollout::weight::Weight;
use proptest::prelude::*;
use serde_json::{Value, json};

fn world(checks: Value) -> World {
    let mut spec = spec();
    spec["checks"] = checks;
    World::new(spec)
}

/// A gauge held to 5 for promotion and 10 for a rollback within 30 s.
fn lag(more: &Value) -> Value {
    let mut check = json!({"name": "lag", "metric": "query", "query": {"canary": "max(lag)"},
                           "promote": {"max": 5}, "rollback": {"max": 10}, "for": "30s"});
    let fields = more.as_object().unwrap().clone();
    check.as_object_mut().unwrap().extend(fields);
    check
}

fn check<'a>(world: &'a World, name: &str) -> &'a CheckStatus {
    let checks = &world.component("alpha").checks;
    checks.iter().find(|c| c.name == name).unwrap()
}

/// What a decision does to the traffic, and where it leaves the components.
fn effects(decision: &Decision) -> String {
    let stands = |status: &GradualRolloutStatus| -> Vec<_> {
        let of = |c: &crate::rollout::status::ComponentStatus| (c.state, c.reason, c.weight, c.held, c.step);
        status.components.iter().map(of).collect()
    };
    format!(
        "{:?} {:?} {:?} {:?}",
        decision.raises,
        decision.lowers,
        decision.watched,
        stands(&decision.next)
    )
}

fn gauge() -> impl Strategy<Value = Result<f64, String>> {
    prop_oneof![
        (0.0..20.0).prop_map(Ok),
        Just(Ok(100.0)),
        Just(Err("no series".to_owned())),
    ]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_dry_run_or_alert_check_never_changes_a_decision(life in life(), says in prop::collection::vec((gauge(), 0u64..2000), 40)) {
        let beside = json!([
            lag(&json!({"dryRun": true})),
            lag(&json!({"name": "lag2", "action": "alert", "severity": "info"})),
            {"name": "strict", "metric": "errorRate", "dryRun": true, "promote": {"max": "0%"}, "rollback": {"max": "0.001%"}, "for": "1h"},
            {"name": "p50", "metric": "latency", "quantile": 0.5, "action": "alert", "promote": {"max": "1ms"}, "rollback": {"max": "2ms"}, "window": "10m"},
            {"name": "conn", "metric": "connectionSuccess", "dryRun": true, "series": {"canary": {"a": "b"}}},
        ]);
        let mut plain = World::demo();
        let mut watched = world(beside);
        for (event, (value, errors)) in life.iter().zip(says) {
            for name in ["lag", "lag2"] {
                watched.gauges.insert(name.to_owned(), value.clone());
            }
            watched.streams.insert("conn".to_owned(), (2000, errors));
            let (mut without, mut with) = (Vec::new(), Vec::new());
            plain.live(event, |_, _, decision| without.push(effects(decision)));
            watched.live(event, |_, _, decision| with.push(effects(decision)));
            prop_assert_eq!(without, with);
        }
    }

    #[test]
    fn an_unknown_gauge_never_promotes_and_never_rolls_back(good in 0usize..30, bad in 0usize..3, dark in 1usize..300, onblind in prop_oneof![
        Just("hold"), Just("rollback"), Just("rollbackAlways"),
    ]) {
        let mut spec = spec();
        spec["checks"] = json!([lag(&json!({}))]);
        spec["judge"]["onBlind"] = json!(onblind);
        let mut world = World::new(spec);
        world.gauges.insert("lag".to_owned(), Ok(1.0));
        world.until("alpha at 5%", |w| w.highest("alpha") == weight(50));
        world.ticks(good);
        world.gauges.insert("lag".to_owned(), Ok(50.0));
        world.ticks(bad);
        world.gauges.insert("lag".to_owned(), Err("`max(lag)` gives NaN".to_owned()));
        let before = world.highest("alpha");
        for decision in world.ticks(dark) {
            // At 0%, where beta is, there is no canary data to ask for.
            prop_assert!(decision.raises.iter().all(|r| r.component != "alpha"), "{:?}", decision.raises);
            prop_assert!(decision.lowers.is_empty(), "{:?}", decision.lowers);
        }
        prop_assert_eq!(world.highest("alpha"), before);
        prop_assert_eq!(check(&world, "lag").verdict, Verdict::Unknown);
    }

    #[test]
    fn a_check_that_holds_never_lowers(over in 10.0..1000.0, errors in 1u64..2000, looks in 1usize..60) {
        let mut world = world(json!([
            {"name": "errors", "action": "hold"}, {"name": "p95", "rollback": "none"}, {"name": "available", "action": "hold"},
            lag(&json!({"action": "hold"})),
            {"name": "conn", "metric": "connectionSuccess", "action": "hold", "series": {"canary": {"a": "b"}}},
        ]));
        world.gauges.insert("lag".to_owned(), Ok(1.0));
        world.streams.insert("conn".to_owned(), (2000, 0));
        world.until("alpha at 5%", |w| w.highest("alpha") == weight(50));
        world.gauges.insert("lag".to_owned(), Ok(over));
        world.streams.insert("conn".to_owned(), (2000, errors));
        world.weather.insert("alpha".to_owned(), Weather::CanaryFails);
        for decision in world.ticks(looks) {
            prop_assert!(decision.lowers.is_empty(), "{:?}", decision.lowers);
        }
        prop_assert_eq!(world.highest("alpha"), weight(50));
    }
}

#[test]
fn a_gauge_over_its_limit_for_the_whole_of_for_puts_the_traffic_back() {
    let mut world = world(json!([lag(&json!({}))]));
    world.gauges.insert("lag".to_owned(), Ok(1.0));
    world.until("alpha at 10%", |w| w.highest("alpha") == weight(100));
    world.say(crate::rollout::command::Verb::Pause, "alpha", None);
    world.ticks(8);
    assert_eq!(check(&world, "lag").verdict, Verdict::Pass);
    world.gauges.insert("lag".to_owned(), Ok(12.0));
    world.ticks(3);
    assert_eq!(check(&world, "lag").verdict, Verdict::Hold);
    assert_eq!(
        world.highest("alpha"),
        weight(100),
        "20 s are not the whole of 30 s"
    );
    world.gauges.insert("lag".to_owned(), Err("gone".to_owned()));
    world.tick();
    world.gauges.insert("lag".to_owned(), Ok(12.0));
    world.ticks(2);
    world.restart();
    world.tick();
    assert_eq!(world.highest("alpha"), weight(100), "a gap begins `for` anew");
    world.ticks(2);
    assert_eq!(world.highest("alpha"), Weight::ZERO, "a restart does not");
    let alpha = world.component("alpha");
    assert_eq!((alpha.state, alpha.reason), (State::RolledBack, Reason::Breach));
    assert!(
        alpha.message.contains("lag: 12 is over the rollback limit of 10"),
        "{}",
        alpha.message
    );
}

#[test]
fn a_look_that_comes_some_milliseconds_early_makes_for_no_interval_longer() {
    let mut world = world(json!([lag(&json!({}))]));
    world.gauges.insert("lag".to_owned(), Ok(1.0));
    world.until("alpha at 10%", |w| w.highest("alpha") == weight(100));
    world.say(crate::rollout::command::Verb::Pause, "alpha", None);
    world.ticks(8);
    world.gauges.insert("lag".to_owned(), Ok(12.0));
    world.ticks(3);
    assert_eq!(world.highest("alpha"), weight(100));
    world.now -= std::time::Duration::from_millis(20);
    world.tick();
    assert_eq!(
        world.highest("alpha"),
        Weight::ZERO,
        "30 s but for 20 ms are 30 s"
    );
}

#[test]
fn a_check_that_an_edit_brings_was_not_in_the_dark_before() {
    let mut world = world(json!([]));
    let stay = |w: &mut World| {
        w.until("alpha at 10%", |w| w.highest("alpha") == weight(100));
        w.say(crate::rollout::command::Verb::Pause, "alpha", None);
        w.ticks(200);
    };
    stay(&mut world);
    let brought: Vec<crate::rollout::spec::Check> = serde_json::from_value(json!([
        lag(&json!({})),
        {"name": "own", "metric": "errorRate", "errors": {"codes": ["499"]}},
    ]))
    .unwrap();
    world.edit(|spec| spec.checks = Some(brought));
    let dark = |decisions: &[Decision]| {
        let notes = decisions.iter().flat_map(|d| &d.notes);
        let of_alpha = |n: &&crate::rollout::observation::Note| n.component.as_deref() == Some("alpha");
        notes
            .filter(of_alpha)
            .filter(|n| n.reason == Reason::Blind)
            .count()
    };
    let after = usize::try_from(world.plan.judge.blind_after.as_secs() / 10).unwrap();
    assert_eq!(
        dark(&world.ticks(after - 2)),
        0,
        "nobody could have read them before"
    );
    world.restart();
    assert_eq!(
        dark(&world.ticks(6)),
        1,
        "and a daemon that begins anew knows how long that is"
    );
}

#[test]
fn a_hold_does_not_run_while_one_check_cannot_be_told() {
    let mut world = world(json!([lag(&json!({}))]));
    world.gauges.insert("lag".to_owned(), Ok(1.0));
    world.until("alpha at 5%", |w| w.highest("alpha") == weight(50));
    world.ticks(3);
    world
        .gauges
        .insert("lag".to_owned(), Err("`max(lag)` gives NaN".to_owned()));
    world.tick();
    let held = world.component("alpha").held;
    assert!(held.is_some());
    world.ticks(200);
    assert_eq!(world.component("alpha").held, held, "time in the dark is no hold");
    world.gauges.insert("lag".to_owned(), Ok(1.0));
    world.ticks(2);
    assert!(world.component("alpha").held > held, "it goes on where it was");
    assert_eq!(world.highest("alpha"), weight(50));
}

#[test]
fn a_check_that_cannot_be_told_for_long_alarms_once_and_says_that_it_is_one_whatever_else_holds_meanwhile() {
    let mut world = world(json!([lag(&json!({}))]));
    world.gauges.insert("lag".to_owned(), Ok(1.0));
    world.until("alpha at 5%", |w| w.highest("alpha") == weight(50));
    world
        .gauges
        .insert("lag".to_owned(), Err("`max(lag)` gives NaN".to_owned()));
    let mut told = Vec::new();
    for weather in [
        Weather::Good,
        Weather::BothFail,
        Weather::Good,
        Weather::ControlFails,
        Weather::Good,
    ] {
        world.all(weather);
        for decision in world.ticks(80) {
            let notes = decision.notes.into_iter();
            told.extend(
                notes.filter(|n| n.reason == Reason::Blind && n.component.as_deref() == Some("alpha")),
            );
        }
    }
    let [alarm] = told.as_slice() else {
        panic!("{told:?}")
    };
    assert!(alarm.warning);
    let begin = "a check could not be told for more than 10m: lag: `max(lag)` gives NaN";
    assert!(alarm.message.starts_with(begin), "{}", alarm.message);
}

#[test]
fn the_remedy_that_is_told_is_that_of_the_fault_there_is_now() {
    let mut world = world(json!([lag(&json!({}))]));
    world.gauges.insert("lag".to_owned(), Ok(1.0));
    world.until("alpha at 5%", |w| w.highest("alpha") == weight(50));
    world
        .gauges
        .insert("lag".to_owned(), Err("`max(lag)` gives NaN".to_owned()));
    world.ticks(30);
    assert!(world.component("alpha").message.contains("gives NaN"));
    world.gauges.insert(
        "lag".to_owned(),
        Err("it is refused: 401, see `headers`".to_owned()),
    );
    world.ticks(2);
    let message = &world.component("alpha").message;
    assert!(
        message.contains("401, see `headers`"),
        "the remedy is that of the fault there is: {message}"
    );
}

#[test]
fn a_gauge_past_its_promote_limit_holds_and_for_a_window_after() {
    let mut world = world(json!([lag(&json!({"window": "60s"}))]));
    world.gauges.insert("lag".to_owned(), Ok(7.0));
    world.until("alpha at 5%", |w| w.highest("alpha") == weight(50));
    world.ticks(60);
    assert_eq!(world.highest("alpha"), weight(50));
    let alpha = world.component("alpha");
    assert_eq!(alpha.reason, Reason::BetweenLimits);
    assert!(
        alpha.message.contains("lag: 7 is over the promote limit of 5"),
        "{}",
        alpha.message
    );
    world.gauges.insert("lag".to_owned(), Ok(2.0));
    world.ticks(5);
    assert_eq!(check(&world, "lag").verdict, Verdict::Hold);
    world.ticks(3);
    assert_ne!(
        world.highest("alpha"),
        weight(50),
        "a window of good readings is enough"
    );
}

#[test]
fn a_pair_of_counters_is_judged_by_evidence_of_its_own_while_the_arms_are_well() {
    let mut world = world(json!([
        {"name": "conn", "metric": "connectionSuccess", "series": {"canary": {"a": "b"}}},
    ]));
    world.streams.insert("conn".to_owned(), (2000, 0));
    world.until("alpha at 10%", |w| w.highest("alpha") == weight(100));
    world.until("settled", |w| check(w, "conn").verdict == Verdict::Pass);
    assert_eq!(check(&world, "conn").value.as_deref(), Some("100%"));
    world.streams.insert("conn".to_owned(), (2000, 200));
    world.until("back", |w| w.component("alpha").state == State::RolledBack);
    let alpha = world.component("alpha");
    assert_eq!(
        (alpha.reason, world.highest("alpha")),
        (Reason::Breach, Weight::ZERO)
    );
    assert!(alpha.message.starts_with("conn: "), "{}", alpha.message);
}

#[test]
fn a_pair_without_counts_holds_and_is_not_the_arms_darkness() {
    let mut world = world(json!([
        {"name": "conn", "metric": "connectionSuccess", "series": {"canary": {"a": "b"}}},
    ]));
    world.until("alpha at 5%", |w| w.highest("alpha") == weight(50));
    world.ticks(100);
    assert_eq!(world.highest("alpha"), weight(50));
    assert_eq!(check(&world, "conn").verdict, Verdict::Unknown);
    assert_eq!(check(&world, "errors").verdict, Verdict::Pass);
}

#[test]
fn before_the_first_raise_what_needs_no_traffic_is_judged() {
    let mut world = world(json!([{"name": "ready", "metric": "readiness", "deployment": "{{component}}"}]));
    world.gauges.insert("ready".to_owned(), Ok(0.5));
    world.ticks(30);
    assert_eq!(world.highest("alpha"), Weight::ZERO);
    assert!(
        world
            .component("alpha")
            .message
            .contains("ready: 50% is under the promote limit of 100%")
    );
    world.gauges.insert("ready".to_owned(), Ok(1.0));
    world.until("alpha at 5%", |w| w.highest("alpha") == weight(50));
}

#[test]
fn a_breach_that_moves_nothing_is_told_once_and_as_loudly_as_it_says() {
    let mut world = world(json!([
        lag(&json!({"action": "alert", "severity": "warning"})),
        lag(&json!({"name": "tried", "dryRun": true})),
    ]));
    for name in ["lag", "tried"] {
        world.gauges.insert(name.to_owned(), Ok(50.0));
    }
    world.say(crate::rollout::command::Verb::Set, "alpha", Some(weight(50)));
    let decisions = world.ticks(30);
    let told: Vec<_> = decisions
        .iter()
        .flat_map(|d| &d.notes)
        .filter(|n| n.reason == Reason::CheckBreached)
        .collect();
    let alpha: Vec<_> = told
        .iter()
        .filter(|n| n.component.as_deref() == Some("alpha"))
        .map(|n| (n.message.split(':').next().unwrap_or_default(), n.warning))
        .collect();
    assert_eq!(alpha, [("lag", true), ("tried", false)]);
    let status = serde_json::to_value(check(&world, "lag")).unwrap();
    assert_eq!(
        (&status["action"], &status["severity"]),
        (&json!("alert"), &json!("warning"))
    );
    assert_eq!(check(&world, "tried").verdict, Verdict::Breach);
    assert_eq!(world.highest("alpha"), weight(50));
}

#[test]
fn a_pair_and_a_gauge_beside_the_defaults_fit_into_four_kibibytes_and_more_cost_little() {
    let pair =
        |name: &str| json!({"name": name, "metric": "connectionSuccess", "series": {"canary": {"a": name}}});
    let size = |checks: Value| {
        let mut world = world(checks);
        for name in ["connections", "handshakes"] {
            world.streams.insert(name.to_owned(), (2_345, 1));
        }
        for name in ["lag", "more"] {
            world.gauges.insert(name.to_owned(), Ok(4.123_456));
        }
        world.until("alpha at 10%", |w| w.highest("alpha") == weight(100));
        world.live(&Event::Weather(Weather::Good, 200), |_, _, _| {});
        serde_json::to_string(world.component("alpha")).unwrap().len()
    };
    let one = size(json!([pair("connections"), lag(&json!({}))]));
    assert!(one <= 4096, "{one} bytes");
    let pairs = size(json!([pair("connections"), pair("handshakes"), lag(&json!({}))]));
    assert!(pairs - one <= 600, "a pair takes {} bytes", pairs - one);
    let gauges = size(json!([
        pair("connections"),
        lag(&json!({})),
        lag(&json!({"name": "more"}))
    ]));
    assert!(gauges - one <= 256, "a gauge takes {} bytes", gauges - one);
}

#[test]
fn pods_that_are_not_ready_take_the_traffic_back_whatever_the_arms_say() {
    for weather in [
        Weather::Good,
        Weather::Quiet,
        Weather::BothFail,
        Weather::Blind(crate::rollout::sample::Dark::Down),
    ] {
        let mut world =
            world(json!([{"name": "ready", "metric": "readiness", "deployment": "x", "for": "30s"}]));
        world.gauges.insert("ready".to_owned(), Ok(1.0));
        world.until("alpha at 5%", |w| w.highest("alpha") == weight(50));
        world.ticks(4);
        world.all(weather);
        world.gauges.insert("ready".to_owned(), Ok(0.25));
        world.ticks(6);
        assert_eq!(world.highest("alpha"), Weight::ZERO, "{weather:?}");
        assert!(
            world
                .component("alpha")
                .message
                .starts_with("ready: 25% is under")
        );
    }
}

#[test]
fn the_status_names_both_limits_of_each_check_as_people_read_them() {
    let mut world = world(json!([lag(&json!({}))]));
    world.until("judged", |w| {
        w.component("alpha").checks.iter().any(|c| c.name == "lag")
    });
    let limits = |name: &str| {
        let check = check(&world, name);
        (check.promote.clone().unwrap(), check.rollback.clone().unwrap())
    };
    assert_eq!(limits("errors"), ("≤ 0.1%".into(), "≤ 1%".into()));
    assert_eq!(
        limits("p95"),
        ("≤ control + 15%".into(), "≤ control + 50%".into())
    );
    assert_eq!(limits("lag"), ("max 5".into(), "max 10".into()));
}

#[test]
fn what_a_check_has_come_to_is_said_by_its_component_in_the_same_look() {
    let mut spec = spec();
    spec["checks"] = json!([lag(&json!({"action": "hold"}))]);
    spec["phases"][0]["steps"][0]["hold"] = json!("1h");
    let mut world = World::new(spec);
    world.gauges.insert("lag".to_owned(), Ok(1.0));
    world.until("alpha at 5%", |w| w.highest("alpha") == weight(50));
    world.ticks(8);
    world.gauges.insert("lag".to_owned(), Ok(12.0));
    let mut came = Vec::new();
    for _ in 0..6 {
        world.ticks(1);
        let (lag, alpha) = (check(&world, "lag"), world.component("alpha"));
        if came.last() != Some(&lag.verdict) {
            came.push(lag.verdict);
            let said = format!("lag: {}", lag.message);
            assert!(
                alpha.message.starts_with(&said),
                "{}, and not {said}",
                alpha.message
            );
        }
    }
    assert_eq!(came, [Verdict::Hold, Verdict::Breach]);
}
