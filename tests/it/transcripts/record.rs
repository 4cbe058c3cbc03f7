//! Four hours of a shop's traffic, as Istio's sidecars would have told it to a Prometheus.

use gradual_rollout::metrics::exposition::{ISTIO_BOUNDS_MS, IstioLabels};
use std::fmt::Write as _;

/// 2026-03-02T08:00:00Z, a Monday.
const BEGIN: u64 = 1_772_438_400;
const HOURS: u64 = 4;
const SCRAPE: u64 = 15;
/// When v2 begins to fail, in seconds after the beginning: 10:30.
const FAILS: u64 = 9_000;

/// One version: requests a second, its errors in a million before and after [`FAILS`].
struct Version {
    name: &'static str,
    rate: u64,
    before: u64,
    after: u64,
}

/// `OpenMetrics` text: v1 answers 19 requests a second, v2 one.
pub(super) fn shop() -> String {
    let mut text = String::new();
    for version in [
        Version {
            name: "v1",
            rate: 19,
            before: 300,
            after: 300,
        },
        Version {
            name: "v2",
            rate: 1,
            before: 300,
            after: 30_000,
        },
    ] {
        for scrape in 0..=HOURS * 3600 / SCRAPE {
            version.scrape(&mut text, scrape * SCRAPE);
        }
    }
    text.push_str("# EOF\n");
    text
}

impl Version {
    fn scrape(&self, text: &mut String, passed: u64) {
        // An hour's worth before the record begins, so that nothing is born within it.
        let good = (passed.min(FAILS) + 3600) * self.rate;
        let bad = passed.saturating_sub(FAILS) * self.rate;
        let all = good + bad;
        let errors = (good * self.before + bad * self.after) / 1_000_000;
        let at = BEGIN + passed;
        for (code, count) in [("200", all - errors), ("503", errors)] {
            let labels = self.labels(code);
            writeln!(text, "istio_requests_total{{{labels}}} {count} {at}").unwrap();
            for (bound, share) in ISTIO_BOUNDS_MS.iter().zip(SHARES) {
                let below = count * share / 1000;
                writeln!(
                    text,
                    "istio_request_duration_milliseconds_bucket{{{labels},le=\"{bound}\"}} {below} {at}"
                )
                .unwrap();
            }
            writeln!(
                text,
                "istio_request_duration_milliseconds_bucket{{{labels},le=\"+Inf\"}} {count} {at}"
            )
            .unwrap();
        }
    }

    fn labels(&self, code: &str) -> String {
        let flags = if code == "503" { "UF" } else { "-" };
        let labels = IstioLabels {
            reporter: "destination",
            source_workload: "istio-ingressgateway",
            source_namespace: "istio-system",
            destination_workload: "shop",
            destination_version: self.name,
            destination_service: "shop",
            destination_namespace: "sealos-system",
            protocol: "http",
            code,
            flags,
            grpc_status: "",
        };
        let mut text = format!("pod=\"shop-{}\",instance=\"10.0.0.1:15020\"", self.name);
        for (name, value) in labels.labels().iter().filter(|(_, value)| !value.is_empty()) {
            write!(text, ",{name}=\"{value}\"").unwrap();
        }
        text
    }
}

/// Of a thousand requests, how many took at most as long as each bound.
const SHARES: [u64; 19] = [
    0, 10, 200, 450, 700, 850, 940, 990, 997, 999, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000,
];
