//! Checks that are read beside the arms, tried before anything is applied.

use super::{AT, BOUNDS, MS, Record, TEST, file, run};
use serde_json::Value;
use std::fmt::Write as _;

const CHECKS: &str = r#"{name: errors},
  {name: queue, metric: query, promote: {max: 100}, rollback: {max: 1000}, query: {canary: 'max(queue_depth{app="{{component}}"})'}},
  {name: lag, metric: query, promote: {max: 1}, rollback: {max: 10}, query: {canary: 'lag_seconds{app="{{component}}"}'}},
  {name: lost, metric: query, promote: {max: 1}, query: {canary: 'nothing_of_this_name'}},
  {name: handshakes, metric: tlsHandshake, series: {canary: {pod: "~gateway-.*"}}},
  {name: ready, metric: readiness, deployment: shop}"#;

#[tokio::test]
async fn what_is_read_beside_the_arms_is_asked_for_once_and_what_is_missing_in_it_named() {
    let mut record = Record(String::new());
    record.service("shop", 15, MS, BOUNDS);
    for (series, value) in [
        (r#"queue_depth{app="shop"}"#, 250),
        (r#"lag_seconds{app="shop",queue="a"}"#, 1),
        (r#"lag_seconds{app="shop",queue="b"}"#, 2),
    ] {
        record.stands(series, value);
    }
    let prometheus = record.served().await;
    let yaml = file("shop", "", CHECKS);
    let (code, out, err) = run(&format!("{TEST} -o json"), &yaml, &prometheus.url(), &[]).await;
    assert_eq!(code, 3, "{out}{err}");
    let told: Value = serde_json::from_str(&out).unwrap();
    let about = &told["components"][0];
    let check = |name: &str| {
        let checks = about["checks"].as_array().unwrap();
        checks
            .iter()
            .find(|c| c["name"] == name)
            .unwrap_or_else(|| panic!("no {name} in {out}"))
    };
    let is = |name: &str| {
        (
            check(name)["verdict"].as_str().unwrap(),
            check(name)["value"].clone(),
        )
    };
    assert_eq!(
        is("errors").0,
        "Pass",
        "the arms are not blinded by what is beside them"
    );
    assert_eq!(
        is("queue"),
        ("Hold", Value::from("250")),
        "past 100, not past 1000"
    );
    assert_eq!(check("queue")["promote"], "max 100");
    assert_eq!(is("lag"), ("Unknown", Value::Null));
    assert_eq!(is("lost"), ("Unknown", Value::Null));
    assert_eq!(is("handshakes").0, "Unknown");
    assert_eq!(is("ready").0, "Skipped");
    let missing = about["missing"].as_array().unwrap();
    let says = |name: &str| {
        let of = format!("check {name}");
        missing
            .iter()
            .find(|m| m["of"] == of.as_str())
            .map(|m| m["message"].to_string())
    };
    assert!(
        says("lag").unwrap().contains("2 series where one is expected"),
        "{out}"
    );
    assert!(says("lost").unwrap().contains("gives no series"), "{out}");
    assert!(
        says("handshakes").unwrap().contains("there is neither a"),
        "{out}"
    );
    assert_eq!((says("queue"), says("errors")), (None, None));
    let queries = about["queries"].as_array().unwrap();
    let asked = queries.iter().find(|q| q["purpose"] == "check queue").unwrap();
    assert_eq!(asked["promql"], r#"max(queue_depth{app="shop"})"#);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_of_a_query_is_held_against_the_scrapes_of_its_own_series() {
    let mut record = Record(String::new());
    record.service("shop", 15, MS, BOUNDS);
    record.rises("seldom_total", 60, 60, AT);
    record.rises("often_total", 60, 5, AT);
    // Its pod began a minute and a half ago.
    for at in (AT - 90..=AT).filter(|at| at % 15 == 0) {
        writeln!(record.0, "young_total {} {at}", at - AT + 7200).unwrap();
    }
    let prometheus = record.served().await;
    let rare = "a scrape of it comes every 1m: make it at least 4m";
    for (query, says) in [
        ("rate(seldom_total[2m])", Some(rare)),
        (
            "sum(rate(often_total[1m])) / sum(rate(seldom_total[2m]))",
            Some(rare),
        ),
        ("rate(seldom_total[30s])", Some("shorter than two scrapes")),
        ("rate(seldom_total[4m])", None),
        ("rate(often_total[20s])", None),
        ("rate(young_total[1m])", None),
        (
            "rate(young_total[45s])",
            Some("comes every 15s: make it at least 1m"),
        ),
    ] {
        let check =
            format!("{{name: own, metric: query, promote: {{max: 9}}, query: {{canary: '{query}'}}}}");
        let yaml = file("shop", "", &check);
        let (code, out, err) = run(&format!("{TEST} -o json"), &yaml, &prometheus.url(), &[]).await;
        assert_eq!(code, if says.is_some() { 3 } else { 0 }, "{query}: {out}{err}");
        let told: Value = serde_json::from_str(&out).unwrap();
        let missing = told["components"][0]["missing"].to_string();
        assert!(
            says.is_none_or(|says| missing.contains(says)),
            "{query}: {missing}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_misspelt_counter_of_a_pair_is_missing_and_nobody_is_put_back_for_it() {
    let mut record = Record(String::new());
    record.service("shop", 15, MS, BOUNDS);
    record.rises(r#"handshakes_failed_total{pod="gateway"}"#, 60, 15, AT);
    record.rises(r#"handshakes_total{pod="elsewhere"}"#, 600, 15, AT);
    let prometheus = record.served().await;
    let series = r#"series: {canary: {pod: "gateway"}}"#;
    for (counters, says) in [
        ("total: handshake_total", "no `handshake_total` at all"),
        ("succeeded: handshake_total", "no `handshake_total` at all"),
        ("total: handshakes_total", "has none under the same labels"),
    ] {
        let check = format!(
            "{{name: done, metric: tlsHandshake, counters: {{{counters}, failed: handshakes_failed_total}}, {series}}}"
        );
        let yaml = file("shop", "", &check);
        let (code, out, err) = run(&format!("{TEST} -o json"), &yaml, &prometheus.url(), &[]).await;
        assert_eq!(code, 3, "{out}{err}");
        let told: Value = serde_json::from_str(&out).unwrap();
        let about = &told["components"][0];
        let checks = about["checks"].as_array().unwrap();
        let done = checks.iter().find(|c| c["name"] == "done").unwrap();
        assert_eq!(done["verdict"], "Unknown", "{out}");
        assert_eq!(about["putBackAt"], Value::Null, "{out}");
        let missing = about["missing"].to_string();
        assert!(missing.contains("check done") && missing.contains(says), "{out}");
    }
}

const REPLAYED: &str = r#"{name: throughput, promote: none},
  {name: gone, metric: errorRate, promote: {max: 5%}, rollback: {max: 20%}, errors: {codes: ["410"]}},
  {name: queue, metric: query, promote: {max: 100}, rollback: {max: 1000}, for: 5m, query: {canary: 'max(queue_depth{app="{{component}}"})'}},
  {name: handshakes, metric: tlsHandshake, counters: {total: handshakes_total, failed: handshakes_failed_total}, series: {canary: {pod: "gateway"}}},
  {name: share, metric: query, promote: {max: 1}, query: {canary: 'queue_depth / {{weight}}'}},
  {name: ready, metric: readiness, deployment: shop}"#;

/// An hour of a healthy service, whose queue overflows at 09:15, if it does, and whose canary answers so many requests a
/// second with 410 from then on, beside ten that go well.
fn hour(overflows: bool, gone: i64) -> Record {
    let mut record = Record(String::new());
    record.service("shop", 15, MS, BOUNDS);
    let labels = r#"pod="shop-v2",reporter="destination",destination_service_name="shop",destination_version="v2",response_flags="-",request_protocol="http",response_code="410""#;
    for at in (AT - 3600..=AT).filter(|at| at % 15 == 0) {
        let depth = if overflows && at >= AT - 2700 { 2000 } else { 5 };
        writeln!(record.0, r#"queue_depth{{app="shop"}} {depth} {at}"#).unwrap();
        let count = (at - (AT - 2700)).max(0) * gone;
        writeln!(record.0, "istio_requests_total{{{labels}}} {count} {at}").unwrap();
    }
    record.rises(r#"handshakes_total{pod="gateway"}"#, 600, 15, AT);
    record.rises(r#"handshakes_failed_total{pod="gateway"}"#, 0, 15, AT);
    record
}

async fn replayed(overflows: bool, gone: bool) -> Value {
    let mut record = hour(overflows, if gone { 20 } else { 0 });
    // Samples of one series stand together in what promtool reads.
    let mut lines: Vec<&str> = record.0.lines().collect();
    lines.sort_by_key(|line| {
        line.rsplit_once(' ')
            .map(|(rest, _)| rest.rsplit_once(' ').unwrap().0)
    });
    record.0 = lines.join("\n") + "\n";
    let prometheus = record.served().await;
    let yaml = file("shop", "", REPLAYED);
    let words = "backtest --from 2026-03-02T09:01:00Z --to 2026-03-02T10:00:00Z --quick -o json";
    let (code, out, err) = run(words, &yaml, &prometheus.url(), &[]).await;
    assert_eq!(code, 0, "{out}{err}");
    serde_json::from_str(&out).unwrap()
}

#[tokio::test]
async fn a_backtest_replays_what_is_read_beside_the_arms_and_names_what_it_cannot() {
    let told = replayed(false, false).await;
    let shop = &told["components"][0];
    assert_eq!(shop["outcome"]["end"], "completed", "{told:#}");
    let checks = shop["checks"].as_array().unwrap();
    for name in ["errors", "gone", "queue", "handshakes"] {
        let check = checks.iter().find(|c| c["name"] == name).unwrap();
        assert_eq!(check["verdict"], "Pass", "{check:#}");
    }
    assert!(
        checks
            .iter()
            .all(|c| c["name"] != "ready" && c["name"] != "share")
    );
    let assumptions = told["assumptions"].to_string();
    assert!(
        assumptions.contains("ready (readiness is read from the cluster"),
        "{assumptions}"
    );
    assert!(
        assumptions.contains("share (its query depends on {{weight}}"),
        "{assumptions}"
    );

    let told = replayed(true, false).await;
    let outcome = &told["components"][0]["outcome"];
    assert_eq!(outcome["end"], "rolledBack", "{told:#}");
    let message = outcome["message"].as_str().unwrap();
    assert!(
        message.starts_with("queue: 2000 is over the rollback limit of 1000 since 2026-03-02T09:15"),
        "{message}"
    );

    let told = replayed(false, true).await;
    let outcome = &told["components"][0]["outcome"];
    assert_eq!(outcome["end"], "rolledBack", "{told:#}");
    let message = outcome["message"].as_str().unwrap();
    assert!(message.starts_with("gone: "), "{message}");
}

#[tokio::test]
async fn a_backtest_moves_the_limits_of_counts_beside_the_arms_and_names_those_it_does_not() {
    let mut record = hour(false, 5);
    let mut lines: Vec<&str> = record.0.lines().collect();
    lines.sort_by_key(|line| {
        line.rsplit_once(' ')
            .map(|(rest, _)| rest.rsplit_once(' ').unwrap().0)
    });
    record.0 = lines.join("\n") + "\n";
    let prometheus = record.served().await;
    let yaml = file("shop", "", REPLAYED);
    let words =
        "backtest --from 2026-03-02T09:01:00Z --to 2026-03-02T10:00:00Z --weight 5% --step 30s -o json";
    let (code, out, err) = run(words, &yaml, &prometheus.url(), &[]).await;
    assert_eq!(code, 0, "{out}{err}");
    let told: Value = serde_json::from_str(&out).unwrap();
    let limits = told["components"][0]["limits"].as_array().unwrap();
    let moved = limits
        .iter()
        .find(|l| l["check"] == "gone" && l["kind"] == "rollback")
        .unwrap_or_else(|| panic!("{limits:#?}"));
    assert_eq!(moved["wanted"], "not rolled back by it", "{moved:#}");
    assert!(moved["becomes"].is_string(), "{moved:#}");
    let assumptions = told["assumptions"].to_string();
    assert!(
        assumptions.contains("Not moved, for they count nothing: the limits of queue."),
        "{assumptions}"
    );
}

const EVERY: &str = r#"{name: errors, errors: {codes: ["5xx", "499"]}},
  {name: p95, action: hold}, {name: available, dryRun: true},
  {name: handshakes, metric: tlsHandshake, counters: {total: handshakes_total, failed: handshakes_failed_total}, series: {canary: {pod: "new"}, control: {pod: "old"}}},
  {name: queue, metric: query, promote: {max: 100}, rollback: {max: 1000}, query: {canary: 'max(queue_depth{app="{{component}}"})'}},
  {name: ready, metric: readiness, deployment: shop}"#;

#[tokio::test]
async fn every_check_of_the_file_has_a_row_and_those_that_count_a_value_and_samples() {
    let mut record = Record(String::new());
    record.service("shop", 15, MS, BOUNDS);
    record.stands(r#"queue_depth{app="shop"}"#, 5);
    for (pod, failed) in [("new", 240), ("old", 0)] {
        record.rises(&format!(r#"handshakes_total{{pod="{pod}"}}"#), 600, 15, AT);
        record.rises(
            &format!(r#"handshakes_failed_total{{pod="{pod}"}}"#),
            failed,
            15,
            AT,
        );
    }
    let prometheus = record.served().await;
    let yaml = file("shop", "", EVERY);
    let (_, out, err) = run(&format!("{TEST} -o json"), &yaml, &prometheus.url(), &[]).await;
    let told: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
    let checks = told["components"][0]["checks"].as_array().unwrap();
    let mut names: Vec<_> = checks.iter().map(|c| c["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    let all = [
        "available",
        "errors",
        "handshakes",
        "p95",
        "queue",
        "ready",
        "throughput",
    ];
    assert_eq!(names, all, "{out}");
    for check in checks.iter().filter(|c| c["name"] != "ready") {
        assert!(check["value"].is_string(), "{check:#}");
        assert!(check["samples"].as_i64() > Some(0), "{check:#}");
    }
    let handshakes = checks.iter().find(|c| c["name"] == "handshakes").unwrap();
    assert_eq!(handshakes["verdict"], "Breach", "{handshakes:#}");
    assert!(told["components"][0]["putBackAt"].is_string(), "{out}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_check_of_another_phase_lacks_is_missing_now() {
    let mut record = Record(String::new());
    record.service("shop", 15, MS, BOUNDS);
    let prometheus = record.served().await;
    let query = |name: &str| {
        format!(
            "{{name: other, metric: query, promote: {{max: 9}}, query: {{canary: 'max({name}) or vector(1)'}}}}"
        )
    };
    for (promql, code) in [(query("x"), 0), (query("x").replace(" or vector(1)", ""), 3)] {
        let yaml = file("shop", "", "").replace(
            "steps: [{weight: 5%, hold: 10m}, {weight: 25%, hold: 10m}]",
            &format!(
                "phases: [{{name: pilot, steps: [{{weight: 5%, hold: 10m}}], checks: [{promql}]}}, {{name: rest, steps: [{{weight: 25%, hold: 10m}}]}}]"
            ),
        );
        let (found, out, err) = run(&format!("{TEST} -o json"), &yaml, &prometheus.url(), &[]).await;
        assert_eq!(found, code, "{out}{err}");
        let told: Value = serde_json::from_str(&out).unwrap();
        let missing = told["components"][0]["missing"].to_string();
        assert_eq!(
            missing.contains("check other, of another phase"),
            code == 3,
            "{missing}"
        );
    }
}
