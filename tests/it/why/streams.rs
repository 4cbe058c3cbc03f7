//! Durations of what lasts by design, told from the others by a label of the exporter's.

use super::{AT, BOUNDS, MS, Record, TEST, file, run};
use serde_json::Value;

/// A service whose canary serves gRPC streams beside its requests, each longer than the largest bound.
fn record() -> Record {
    let mut record = Record(String::new());
    record.service("shop", 15, MS, BOUNDS);
    for version in ["v1", "v2"] {
        let labels = format!(
            r#"pod="shop-{version}",reporter="destination",destination_service_name="shop",destination_version="{version}",response_code="200",response_flags="-",request_protocol="grpc",grpc_response_status="0""#
        );
        record.rises(&format!("istio_requests_total{{{labels}}}"), 60, 15, AT);
        for (bound, _) in BOUNDS {
            let count = if *bound == "+Inf" { 60 } else { 0 };
            record.rises(&format!(r#"{MS}_bucket{{{labels},le="{bound}"}}"#), count, 15, AT);
        }
    }
    record
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_stay_out_of_latency_by_the_label_that_tells_them_and_are_counted_all_the_same() {
    let prometheus = record().served().await;
    let checks = "{name: errors}, {name: p95, promote: {max: 250ms}, rollback: {max: 250ms}}";
    let with = |labels: &str| {
        let yaml = file("shop", "", checks);
        ["v1", "v2"].into_iter().fold(yaml, |yaml, version| {
            let end = format!("destination_version: {version}}}");
            yaml.replace(&end, &format!("{end}{labels}"))
        })
    };
    let tested = async |labels: &str| {
        let (code, out, err) = run(&format!("{TEST} -o json"), &with(labels), &prometheus.url(), &[]).await;
        let told: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{code} {out}{err}"));
        (code, told["components"][0].clone())
    };
    let check = |about: &Value, name: &str| {
        let checks = about["checks"].as_array().unwrap().clone();
        checks.into_iter().find(|c| c["name"] == name).unwrap()
    };
    let (_, all) = tested("").await;
    assert_ne!(check(&all, "p95")["verdict"], "Pass", "{all}");
    let (code, told) = tested(", latencyLabels: {request_protocol: '!grpc'}").await;
    assert_eq!(
        (code, &check(&told, "p95")["verdict"]),
        (0, &Value::from("Pass")),
        "{told}"
    );
    let samples = |about: &Value, name: &str| check(about, name)["samples"].as_i64().unwrap();
    assert_eq!(samples(&told, "errors"), samples(&all, "errors"), "{told}");
    assert!(samples(&told, "p95") < samples(&told, "errors"), "{told}");

    let (code, told) = tested(", latencyLabels: {request_protocol: grcp}").await;
    let missing = told["missing"].to_string();
    let says = "latencyLabels leaves none of the durations of istio_request_duration_milliseconds_bucket that this arm has: correct request_protocol";
    assert_eq!(code, 3, "{told}");
    assert!(missing.contains(says), "{missing}");
}
