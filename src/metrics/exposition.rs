//! The text that exporters serve, written from numbers: so that a real Prometheus can scrape simulated traffic.
//! Names, labels and units are those of the real exporters, or the presets would be tried on invented series.

use super::preset::Facts;
use crate::rollout::spec::Preset;
use std::fmt::Write as _;

/// Upper bounds of Istio's (and Envoy's) duration histogram, in milliseconds, without +Inf.
pub const ISTIO_BOUNDS_MS: [f64; 19] = [
    0.5,
    1.0,
    5.0,
    10.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1_000.0,
    2_500.0,
    5_000.0,
    10_000.0,
    30_000.0,
    60_000.0,
    300_000.0,
    600_000.0,
    1_800_000.0,
    3_600_000.0,
];

/// Upper bounds of ingress-nginx' duration histogram, in milliseconds (it serves seconds), without +Inf.
pub const NGINX_BOUNDS_MS: [f64; 11] = [
    5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 5_000.0, 10_000.0,
];

/// Upper bounds of Linkerd's latency histogram, in milliseconds, without +Inf.
pub const LINKERD_BOUNDS_MS: [f64; 11] = [
    1.0, 10.0, 50.0, 100.0, 200.0, 300.0, 400.0, 500.0, 1_000.0, 5_000.0, 10_000.0,
];

/// Upper bounds of Traefik's duration histogram, in milliseconds (it serves seconds), without +Inf.
pub const TRAEFIK_BOUNDS_MS: [f64; 4] = [100.0, 300.0, 1_200.0, 5_000.0];

/// The bounds that an exporter's histogram has unless it is told others, in milliseconds, without +Inf. An exporter
/// that nobody knows is taken to have those of Prometheus' own libraries, which are nginx' too.
pub const fn bounds_ms(preset: Preset) -> &'static [f64] {
    match preset {
        Preset::Istio | Preset::IstioGateway | Preset::Envoy | Preset::EnvoyGateway => &ISTIO_BOUNDS_MS,
        Preset::IngressNginx | Preset::GatewayApi => &NGINX_BOUNDS_MS,
        Preset::Linkerd => &LINKERD_BOUNDS_MS,
        Preset::Traefik => &TRAEFIK_BOUNDS_MS,
    }
}

/// Requests that an exporter counts together.
#[derive(Clone, Debug, PartialEq)]
pub struct Exported {
    /// What tells them from others: [`IstioLabels`] or [`NginxLabels`].
    pub labels: Vec<(String, String)>,
    /// How many, since the process started.
    pub requests: u64,
    /// How long they took, when the exporter says so.
    pub latency: Option<ExportedLatency>,
}

/// A histogram as it is served.
#[derive(Clone, Debug, PartialEq)]
pub struct ExportedLatency {
    /// Cumulative counts, one per bound of [`bounds_ms`]; how many there were in all is the number of requests.
    pub cumulative: Vec<u64>,
    /// The sum of all durations in milliseconds.
    pub sum_ms: f64,
}

/// What Istio says of requests that ended alike. Labels that are not listed here are `unknown`, as its proxies say
/// of what they do not know.
#[derive(Clone, Copy, Debug)]
pub struct IstioLabels<'a> {
    /// `destination` for a sidecar, `source` for a gateway.
    pub reporter: &'a str,
    /// Who called.
    pub source_workload: &'a str,
    /// Its namespace.
    pub source_namespace: &'a str,
    /// The workload that answered.
    pub destination_workload: &'a str,
    /// Its version label.
    pub destination_version: &'a str,
    /// The Service's name.
    pub destination_service: &'a str,
    /// Its namespace.
    pub destination_namespace: &'a str,
    /// `http` or `grpc`.
    pub protocol: &'a str,
    /// The response code; `0` when there was none.
    pub code: &'a str,
    /// `-` when there is none.
    pub flags: &'a str,
    /// Empty when it is no gRPC.
    pub grpc_status: &'a str,
}

impl IstioLabels<'_> {
    /// All labels, in the order in which the proxies serve them.
    pub fn labels(&self) -> Vec<(String, String)> {
        const UNKNOWN: &str = "unknown";
        let host = format!(
            "{}.{}.svc.cluster.local",
            self.destination_service, self.destination_namespace
        );
        let all: [(&'static str, &str); 25] = [
            ("reporter", self.reporter),
            ("source_workload", self.source_workload),
            ("source_workload_namespace", self.source_namespace),
            ("source_canonical_service", self.source_workload),
            ("source_canonical_revision", "latest"),
            ("source_principal", UNKNOWN),
            ("source_app", self.source_workload),
            ("source_version", UNKNOWN),
            ("source_cluster", "Kubernetes"),
            ("destination_workload", self.destination_workload),
            ("destination_workload_namespace", self.destination_namespace),
            ("destination_canonical_service", self.destination_service),
            ("destination_canonical_revision", self.destination_version),
            ("destination_principal", UNKNOWN),
            ("destination_app", self.destination_service),
            ("destination_version", self.destination_version),
            ("destination_cluster", "Kubernetes"),
            ("destination_service", &host),
            ("destination_service_name", self.destination_service),
            ("destination_service_namespace", self.destination_namespace),
            ("request_protocol", self.protocol),
            ("response_code", self.code),
            ("grpc_response_status", self.grpc_status),
            ("response_flags", self.flags),
            ("connection_security_policy", UNKNOWN),
        ];
        owned(&all)
    }
}

/// What ingress-nginx says of requests that ended alike.
#[derive(Clone, Copy, Debug)]
pub struct NginxLabels<'a> {
    /// The primary Ingress's namespace.
    pub namespace: &'a str,
    /// The primary Ingress, for both arms.
    pub ingress: &'a str,
    /// The primary Service, for both arms.
    pub service: &'a str,
    /// The canary upstream `NAMESPACE-SERVICE-PORT`; empty or `-` for all others.
    pub canary: &'a str,
    /// The host; empty with `--metrics-per-host=false`.
    pub host: &'a str,
    /// The code, or its class with `--report-status-classes`.
    pub status: &'a str,
    /// The controller's pod.
    pub controller_pod: &'a str,
}

impl NginxLabels<'_> {
    /// All labels.
    pub fn labels(&self) -> Vec<(String, String)> {
        owned(&[
            ("canary", self.canary),
            ("controller_class", "k8s.io/ingress-nginx"),
            ("controller_namespace", "ingress-nginx"),
            ("controller_pod", self.controller_pod),
            ("host", self.host),
            ("ingress", self.ingress),
            ("method", "GET"),
            ("namespace", self.namespace),
            ("path", "/"),
            ("service", self.service),
            ("status", self.status),
        ])
    }
}

fn owned(labels: &[(&'static str, &str)]) -> Vec<(String, String)> {
    labels
        .iter()
        .map(|&(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// The text of `/metrics`. Presets whose series have the same name go into one call: a family must not appear
/// twice in a text.
pub fn encode(preset: Preset, exported: &[Exported]) -> String {
    encode_as(preset.facts(), bounds_ms(preset), exported)
}

/// The same, for an exporter of which only the resource knows what it calls things.
pub fn encode_as(facts: &Facts<'_>, bounds: &[f64], exported: &[Exported]) -> String {
    let mut text = String::new();
    family(&mut text, facts.requests, "counter");
    for one in exported {
        sample(&mut text, facts.requests, &one.labels, None, one.requests);
    }
    let histogram = facts.buckets.trim_end_matches("_bucket");
    let timed = |one: &Exported| one.latency.is_some() && !histogram.is_empty();
    if exported.iter().any(timed) {
        family(&mut text, histogram, "histogram");
    }
    for one in exported.iter().filter(|one| timed(one)) {
        if let Some(latency) = &one.latency {
            buckets(&mut text, facts, bounds, one, latency);
            let sum = latency.sum_ms / facts.to_ms;
            sample(&mut text, &format!("{histogram}_sum"), &one.labels, None, sum);
            sample(
                &mut text,
                &format!("{histogram}_count"),
                &one.labels,
                None,
                one.requests,
            );
        }
    }
    text
}

fn buckets(text: &mut String, facts: &Facts<'_>, bounds: &[f64], one: &Exported, latency: &ExportedLatency) {
    for (bound, count) in bounds.iter().zip(&latency.cumulative) {
        let le = (bound / facts.to_ms).to_string();
        sample(text, facts.buckets, &one.labels, Some(&le), count);
    }
    sample(text, facts.buckets, &one.labels, Some("+Inf"), one.requests);
}

fn family(text: &mut String, name: &str, kind: &str) {
    // Writing to a String cannot fail; here and below.
    let _ = writeln!(text, "# TYPE {name} {kind}");
}

fn sample(
    text: &mut String,
    name: &str,
    labels: &[(String, String)],
    le: Option<&str>,
    value: impl std::fmt::Display,
) {
    let le = le.map(|le| ("le", le));
    let labels = labels
        .iter()
        .map(|(label, value)| (label.as_str(), value.as_str()))
        .chain(le);
    let labels: Vec<String> = labels
        .map(|(label, value)| format!("{label}={}", super::matcher::quoted(value)))
        .collect();
    let _ = writeln!(text, "{name}{{{}}} {value}", labels.join(","));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nginx_serves_seconds_and_istio_milliseconds() {
        let exported = |preset, labels| Exported {
            labels,
            requests: 7,
            latency: Some(ExportedLatency {
                cumulative: vec![1; bounds_ms(preset).len()],
                sum_ms: 500.0,
            }),
        };
        let labels = vec![("status".to_owned(), "200".to_owned())];
        let text = encode(Preset::IngressNginx, &[exported(Preset::IngressNginx, labels)]);
        assert!(
            text.starts_with("# TYPE nginx_ingress_controller_requests counter\n"),
            "{text}"
        );
        assert!(
            text.contains(r#"nginx_ingress_controller_requests{status="200"} 7"#),
            "{text}"
        );
        assert!(
            text.contains(r#"request_duration_seconds_bucket{status="200",le="0.005"} 1"#),
            "{text}"
        );
        assert!(
            text.contains(r#"request_duration_seconds_bucket{status="200",le="+Inf"} 7"#),
            "{text}"
        );
        assert!(
            text.contains(r#"request_duration_seconds_sum{status="200"} 0.5"#),
            "{text}"
        );
        let labels = vec![("response_code".to_owned(), "200".to_owned())];
        let text = encode(Preset::Istio, &[exported(Preset::Istio, labels)]);
        assert!(
            text.contains(r#"duration_milliseconds_bucket{response_code="200",le="0.5"} 1"#),
            "{text}"
        );
        assert!(
            text.contains(r#"duration_milliseconds_sum{response_code="200"} 500"#),
            "{text}"
        );
    }
}
