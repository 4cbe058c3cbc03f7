//! What the simulated proxies serve under `/metrics`, each in its own words.

use super::draw::real;
use super::shape::BUCKETS;
use super::tenants::{Counted, QUICK, Tenants};
use crate::metrics::exposition::{
    Exported, ExportedLatency, IstioLabels, NginxLabels, bounds_ms, encode, encode_as,
};
use crate::metrics::preset::Facts;
use crate::rollout::spec::{ArmSource, GradualRollout, Preset};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// The text of `/metrics` for every component that says where its samples come from.
pub(super) fn text(rollout: &GradualRollout, tenants: &Tenants, now: Timestamp) -> String {
    let namespace = rollout.metadata.namespace.as_deref().unwrap_or("default");
    let (mut istio, mut nginx) = (Vec::new(), Vec::new());
    let mut others: BTreeMap<&str, (Facts<'_>, Preset, Vec<Exported>)> = BTreeMap::new();
    for component in &rollout.spec.components {
        let Some((arms, (_, both))) = component.arms.as_ref().zip(tenants.look(&component.name, now)) else {
            continue;
        };
        let sources = [Some(&arms.canary), arms.control.as_ref()];
        for ((source, counted), is_canary) in sources.into_iter().zip(&both).zip([true, false]) {
            let Some(source) = source else { continue };
            match source.preset {
                Preset::Istio | Preset::IstioGateway => istio.extend(by_istio(source, namespace, counted)),
                Preset::IngressNginx => nginx.extend(by_nginx(source, namespace, is_canary, counted)),
                preset @ (Preset::Envoy
                | Preset::EnvoyGateway
                | Preset::Linkerd
                | Preset::Traefik
                | Preset::GatewayApi) => {
                    let facts = Facts::of(source);
                    let family = others.entry(facts.requests);
                    let (_, _, series) = family.or_insert((facts, preset, Vec::new()));
                    series.extend(by_code(source, &facts, counted));
                }
            }
        }
    }
    let mut text = encode(Preset::IstioGateway, &istio) + &encode(Preset::IngressNginx, &nginx);
    for (facts, preset, series) in others.values() {
        text.push_str(&encode_as(facts, bounds_ms(*preset), series));
    }
    text
}

/// A value that a matcher selects: itself, or for `~PREFIX.*` something that begins so.
fn selected(source: &ArmSource, label: &str) -> String {
    let asked = source.labels.get(label).map_or("", String::as_str);
    match asked.strip_prefix('~') {
        Some(pattern) => format!("{}tenants", pattern.trim_end_matches(".*")),
        None => asked.to_owned(),
    }
}

fn by_istio(source: &ArmSource, namespace: &str, counted: &Counted) -> Vec<Exported> {
    let service = selected(source, "destination_service_name");
    let version = selected(source, "destination_version");
    let (reporter, caller) = if source.preset == Preset::Istio {
        ("destination", "tenant")
    } else {
        ("source", "istio-ingressgateway")
    };
    let labels = |code: &str, flags: &str| {
        IstioLabels {
            reporter,
            source_workload: caller,
            source_namespace: "istio-system",
            destination_workload: &service,
            destination_version: &version,
            destination_service: &service,
            destination_namespace: namespace,
            protocol: "http",
            code,
            flags,
            grpc_status: "",
        }
        .labels()
    };
    series(source.preset, counted, [labels("200", "-"), labels("503", "UF")])
}

fn by_nginx(source: &ArmSource, namespace: &str, is_canary: bool, counted: &Counted) -> Vec<Exported> {
    let ingress = selected(source, "ingress");
    let upstream = format!("{namespace}-{ingress}-80");
    let labels = |status: &str| {
        NginxLabels {
            namespace,
            ingress: &ingress,
            service: &ingress,
            canary: if is_canary { &upstream } else { "" },
            host: "",
            status,
            controller_pod: "ingress-nginx-controller-0",
        }
        .labels()
    };
    series(source.preset, counted, [labels("200"), labels("503")])
}

/// The labels that the arm selects by, those that its preset always asks for, and the code.
fn by_code(source: &ArmSource, facts: &Facts<'_>, counted: &Counted) -> Vec<Exported> {
    let fixed = facts
        .fixed
        .iter()
        .map(|&(label, value)| (label.to_owned(), value.to_owned()));
    let asked = source
        .labels
        .keys()
        .map(|label| (label.clone(), selected(source, label)));
    let common: BTreeMap<String, String> = fixed.chain(asked).collect();
    let labels = |code: &str| {
        let code = (facts.code.to_owned(), code.to_owned());
        let mut labels = common.clone();
        labels.extend([code]);
        labels.into_iter().collect()
    };
    series(source.preset, counted, [labels("200"), labels("503")])
}

/// One series for what was answered, one for what failed; each from its first request on.
fn series(preset: Preset, counted: &Counted, labels: [Vec<(String, String)>; 2]) -> Vec<Exported> {
    let mut failures = [0; BUCKETS];
    if let Some(quick) = failures.get_mut(QUICK) {
        *quick = counted.failed;
    }
    [(counted.answered, counted.buckets), (counted.failed, failures)]
        .into_iter()
        .zip(labels)
        .filter(|((requests, _), _)| *requests > 0)
        .map(|((requests, buckets), labels)| Exported {
            labels,
            requests,
            latency: Some(histogram(bounds_ms(preset), &buckets)),
        })
        .collect()
}

/// Cumulative counts; the sum takes every request for as slow as its bucket allows.
fn histogram(bounds: &[f64], buckets: &[u64; BUCKETS]) -> ExportedLatency {
    let (mut below, mut sum_ms) = (0, 0.0);
    let cumulative = bounds
        .iter()
        .zip(buckets)
        .map(|(bound, here)| {
            below += here;
            sum_ms += bound * real(*here);
            below
        })
        .collect();
    ExportedLatency { cumulative, sum_ms }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::ask::Side;
    use crate::rollout::weight::Weight;
    use crate::sandbox::plan::Plan;
    use crate::sandbox::tenants::{Moves, Tenant};
    use std::time::Duration;

    #[test]
    fn both_arms_are_exported_under_the_labels_that_the_plan_selects_by() {
        let epoch: Timestamp = "2026-01-05T02:00:00Z".parse().unwrap();
        let tenant = |component: &str, preset| Tenant {
            component: component.into(),
            rate: 100.0,
            preset,
            moves: Moves::Requests,
        };
        let all = vec![
            tenant("terminal", Preset::IngressNginx),
            tenant("frontend", Preset::IstioGateway),
        ];
        let half = Weight::from_percent(50).unwrap();
        let tenants = Tenants::new(1, epoch, Duration::from_secs(10), all, move |_| half);
        tenants.fail("*", Side::Canary, 0.5, epoch);
        let text = text(
            &Plan::Sealos.rollout().unwrap(),
            &tenants,
            epoch + Duration::from_secs(60),
        );
        for wanted in [
            r#"ingress="terminal-tenants""#,
            r#"canary="sealos-system-terminal-tenants-80""#,
            r#"canary="","#,
            r#"reporter="source""#,
            r#"destination_service_name="sealos-frontend""#,
            r#"destination_version="istio""#,
            r#"destination_version="ingress""#,
            r#"response_code="503""#,
            r#"status="503""#,
            r#"le="+Inf""#,
        ] {
            assert!(text.contains(wanted), "{wanted} in {text}");
        }
    }

    #[test]
    fn other_presets_are_exported_under_their_own_names_and_the_labels_of_the_arm() {
        let epoch: Timestamp = "2026-01-05T02:00:00Z".parse().unwrap();
        let mut rollout = Plan::Sealos.rollout().unwrap();
        let arm = |preset: &str, metrics: serde_json::Value| {
            let source = serde_json::json!({"preset": preset, "labels": {"job": "edge", "service": "~shop-.*"}, "metrics": metrics});
            serde_json::from_value::<ArmSource>(source).unwrap()
        };
        let named = serde_json::json!({"requests": "edge_total", "code": "status", "buckets": "edge_ms_bucket", "unit": "ms"});
        let mut tenants = Vec::new();
        for (component, source) in rollout.spec.components.iter_mut().zip([
            arm("traefik", serde_json::Value::Null),
            arm("linkerd", serde_json::Value::Null),
            arm("gatewayapi", named),
        ]) {
            tenants.push(Tenant {
                component: component.name.clone(),
                rate: 100.0,
                preset: source.preset,
                moves: Moves::Requests,
            });
            let arms = component.arms.as_mut().unwrap();
            (arms.canary, arms.control) = (source, None);
        }
        let half = Weight::from_percent(50).unwrap();
        let tenants = Tenants::new(1, epoch, Duration::from_secs(10), tenants, move |_| half);
        let text = text(&rollout, &tenants, epoch + Duration::from_secs(60));
        for wanted in [
            r#"traefik_service_requests_total{code="200",job="edge",service="shop-tenants"}"#,
            r#"traefik_service_request_duration_seconds_bucket{code="200",job="edge",service="shop-tenants",le="0.1"}"#,
            r#"response_total{direction="inbound",job="edge",service="shop-tenants",status_code="200"}"#,
            r#"edge_total{job="edge",service="shop-tenants",status="200"}"#,
            r#"edge_ms_bucket{job="edge",service="shop-tenants",status="200",le="5"}"#,
        ] {
            assert!(text.contains(wanted), "{wanted} in {text}");
        }
    }
}
