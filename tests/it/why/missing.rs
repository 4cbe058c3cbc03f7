//! Everything that can be missing, each with its remedy.

use super::{AT, BOUNDS, MS, Record, TEST, file, run};
use std::collections::BTreeSet;

/// Services that lack something each.
fn wanting() -> Record {
    let mut record = Record(String::new());
    record
        .service("shop", 15, MS, BOUNDS)
        .service("slow", 60, MS, BOUNDS)
        .service("seconds", 15, "istio_request_duration_seconds", BOUNDS)
        .service("bare", 15, "other", &[])
        .service(
            "fractions",
            15,
            MS,
            &[("0.05", 60), ("0.1", 96), ("0.25", 100), ("+Inf", 100)],
        )
        .service("coarse", 15, MS, &[("5000", 99), ("10000", 100), ("+Inf", 100)])
        .service(
            "long",
            15,
            MS,
            &[("50", 50), ("100", 80), ("250", 90), ("+Inf", 100)],
        )
        .service("mixed", 15, MS, BOUNDS)
        .service("wide", 15, MS, &[("10", 0), ("1000", 100), ("+Inf", 100)])
        .rises(
            r#"istio_request_duration_milliseconds_bucket{pod="mixed-v2",reporter="destination",destination_service_name="mixed",destination_version="v2",response_code="200",response_flags="-",request_protocol="http",le="150"}"#,
            588,
            15,
            AT,
        )
        .rises(
            r#"nginx_ingress_controller_requests{ingress="a",status="200"}"#,
            60,
            15,
            AT - 1800,
        );
    let fresh = r#"pod="fresh-v1",reporter="destination",destination_service_name="fresh",destination_version="v1",response_code="200",response_flags="-",request_protocol="http""#;
    record.rises(&format!("istio_requests_total{{{fresh}}}"), 600, 15, AT);
    for (bound, share) in BOUNDS {
        record.rises(
            &format!(r#"{MS}_bucket{{{fresh},le="{bound}"}}"#),
            6 * share,
            15,
            AT,
        );
    }
    for version in ["v1", "v2"] {
        let labels = format!(r#"pod="gate",backend="{version}",code="200""#);
        record.rises(&format!("gateway_requests_total{{{labels}}}"), 600, 15, AT);
        for (bound, share) in [("0.05", 60), ("0.1", 96), ("0.25", 100), ("+Inf", 100)] {
            record.rises(
                &format!(r#"gateway_seconds_bucket{{{labels},le="{bound}"}}"#),
                6 * share,
                15,
                AT,
            );
        }
    }
    record
}

/// What is wrong with an arm: files, and how what is said of each begins.
fn arms() -> Vec<(String, Vec<&'static str>)> {
    let nginx = file("shop", "", "")
        .replace("preset: istio,", "preset: ingress-nginx,")
        .replace(
            "destination_service_name: shop, destination_version: v2",
            "ingress: a, canary: \"~..+\"",
        )
        .replace(
            "destination_service_name: shop, destination_version: v1",
            "ingress: a, canary: \"\"",
        );
    let bare = ["v1", "v2"].into_iter().fold(file("gate", "", ""), |yaml, version| {
        yaml.replace(
            &format!("preset: istio, labels: {{destination_service_name: gate, destination_version: {version}}}"),
            &format!(
                "preset: gatewayapi, labels: {{backend: {version}}}, metrics: {{requests: gateway_requests_total, code: code, buckets: gateway_seconds, unit: s}}"
            ),
        )
    });
    let gateway = file("shop", "", "").replace("preset: istio,", "preset: istio-gateway,");
    vec![
        (file("shop", "", ""), vec![]),
        (
            file("shop", ", pod: shop-v9", ""),
            vec!["arms.canary: wrong label: pod: \"shop-v9\" matches nothing; there is \"shop-v2\""],
        ),
        (
            // Control has that service, so it is the version that nobody has yet.
            file("fresh", "", ""),
            vec!["arms.canary: wrong label: destination_version: \"v2\" matches nothing; there is \"v1\""],
        ),
        (
            file("wide", "", ""),
            vec![
                "check p95: its rollback limit of +50% cannot be judged, because nearly all of control's requests may be as slow as that",
            ],
        ),
        (
            bare,
            vec![
                "arms.canary: Prometheus has gateway_seconds_bucket, a classic histogram, and no gateway_seconds: correct metrics.buckets",
            ],
        ),
        (
            file("shop", ", zone: eu", ""),
            vec!["arms.canary: wrong label: zone: \"eu\" matches nothing; the series have no label zone"],
        ),
        (
            gateway,
            vec!["arms.canary: wrong label: reporter: \"source\" matches nothing; there is \"destination\""],
        ),
        (
            nginx,
            vec![
                "arms.canary: no scrape: the newest sample of nginx_ingress_controller_requests is of 2026-03-02T09:30:00Z",
                "arms.canary: no scrape: the newest sample of nginx_ingress_controller_requests{canary=\"\", ingress=\"a\"} is of 2026-03-02T09:30:00Z. Its pods",
            ],
        ),
    ]
}

/// What is wrong with histograms and times.
fn histograms() -> Vec<(String, Vec<&'static str>)> {
    vec![
        (
            file("seconds", "", ""),
            vec![
                "arms.canary: wrong unit: Prometheus has istio_request_duration_seconds_bucket, in seconds; the preset reads istio_request_duration_milliseconds_bucket, in milliseconds",
            ],
        ),
        (
            file("bare", "", ""),
            vec![
                "arms.canary: istio_request_duration_milliseconds_bucket has no series with this arm's labels",
            ],
        ),
        (
            file("coarse", "", ""),
            vec!["arms.canary: wrong unit, or bounds that do not fit this arm: nearly all"],
        ),
        (
            file("fractions", "", ""),
            vec![
                "arms.canary: wrong unit, or bounds that do not fit this arm: half of the requests take less than 0.1ms",
            ],
        ),
        (
            file("long", "", ""),
            vec![
                "check p95: canary's P95 lies beyond the largest bucket bound, 250ms",
                "check p95: control's P95 lies",
            ],
        ),
        (
            file("mixed", "", ""),
            vec![
                "arms: the arms have different latency buckets, and are compared at the 3 bounds that they share alone; the canary's own are 150ms, control's none. Give both the same: set",
            ],
        ),
        (
            file("slow", "", "{name: errors, for: 3m}"),
            vec!["check errors: for 3m is shorter than 4 scrapes of 1m: write at least 4m"],
        ),
        (
            file(
                "shop",
                "",
                "{name: p95, promote: {max: 100ms}, rollback: {max: 2s}}",
            ),
            vec![
                "check p95: a histogram without the rollback limit's bucket: its largest bound is 250ms, the limit 2s: set sidecar.istio.io/statsHistogramBuckets, in milliseconds",
            ],
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_is_missing_is_named_with_its_remedy() {
    let prometheus = wanting().served().await;
    for (yaml, says) in arms().into_iter().chain(histograms()) {
        let (code, out, err) = run(TEST, &yaml, &prometheus.url(), &[]).await;
        assert_eq!(code, if says.is_empty() { 0 } else { 3 }, "{yaml}\n{out}{err}");
        let lines = out
            .lines()
            .filter_map(|line| line.strip_prefix("  missing"))
            .map(str::trim);
        // What both arms lack is told of both, in the same words.
        let missing: BTreeSet<String> = lines
            .map(|line| line.replace("arms.control:", "arms.canary:"))
            .collect();
        assert_eq!(missing.len(), says.len(), "{yaml}\n{out}");
        for says in says {
            assert!(
                missing.iter().any(|line| line.starts_with(says)),
                "{says}\n{missing:#?}"
            );
        }
    }
}
