//! Every story ends as it says, in virtual time and in this process.

use gradual_rollout::sandbox::{Options, Report, play, stories};

fn told(name: &str) -> Report {
    let story = stories::named(name).unwrap().quick();
    let report = play(&story, &Options::default(), Box::new(std::io::sink())).unwrap();
    assert!(report.reached, "{name}: {:#?}\n{}", report.missing, report.line());
    report
}

#[test]
fn the_migration_ends_at_100_percent() {
    let report = told("migration");
    assert!(
        report
            .components
            .iter()
            .all(|c| (c.weight - 100.0).abs() < f64::EPSILON)
    );
}

#[test]
fn a_failing_canary_goes_back_and_the_others_finish() {
    let report = told("errors");
    let failed = report.components.iter().find(|c| c.name == "db-adminer").unwrap();
    assert!(failed.weight.abs() < f64::EPSILON);
    let took = failed.breach_to_zero_ms.unwrap();
    assert!(
        (0..=10_250).contains(&took),
        "an interval and a quarter of a second, not {took} ms"
    );
    assert!(
        report
            .components
            .iter()
            .all(|c| c.name == "db-adminer" || c.breach_to_zero_ms.is_none())
    );
}

#[test]
fn behind_routes_of_the_gateway_api_it_is_the_same() {
    let report = told("gateway");
    let weight = |name: &str| report.components.iter().find(|c| c.name == name).unwrap().weight;
    assert!(weight("launchpad").abs() < f64::EPSILON);
    assert!((weight("frontend") - 100.0).abs() < f64::EPSILON);
}

#[test]
fn a_slow_canary_goes_back_and_the_others_finish() {
    told("latency");
}

#[test]
fn without_metrics_it_holds_and_then_goes_on() {
    told("blackout");
}

#[test]
fn too_few_requests_are_waited_for_and_then_promoted_on_record() {
    told("low-traffic");
}

#[test]
fn an_outage_of_both_arms_is_not_the_canarys_fault() {
    told("shared-outage");
}

#[test]
fn a_lowering_by_hand_is_respected_and_a_raise_is_put_back() {
    told("drift");
}

#[test]
fn a_killed_daemon_goes_on_where_it_was() {
    told("restart");
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let ends = || {
        let report = told("errors");
        (report.virtual_seconds.to_bits(), report.components)
    };
    assert_eq!(ends(), ends());
}
