//! Checks that are read beside the arms, tried before anything is applied.

use super::{BOUNDS, MS, Record, TEST, file, run};
use serde_json::Value;

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
        says("handshakes")
            .unwrap()
            .contains("neither counter has a series"),
        "{out}"
    );
    assert_eq!((says("queue"), says("errors")), (None, None));
    let queries = about["queries"].as_array().unwrap();
    let asked = queries.iter().find(|q| q["purpose"] == "check queue").unwrap();
    assert_eq!(asked["promql"], r#"max(queue_depth{app="shop"})"#);
}
