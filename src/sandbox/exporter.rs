//! The simulated gateway's `/metrics`, in Istio's own words.

use super::draw::real;
use super::shape::BUCKETS;
use super::tenants::{Counted, QUICK, Tenants};
use crate::metrics::exposition::{Exported, ExportedLatency, IstioLabels, bounds_ms, encode};
use crate::rollout::spec::{GradualRollout, Preset, Router};
use jiff::Timestamp;

/// The text of `/metrics` for every component that has a VirtualService.
pub(super) fn text(rollout: &GradualRollout, tenants: &Tenants, now: Timestamp) -> String {
    let namespace = rollout.metadata.namespace.as_deref().unwrap_or("default");
    let mut exported = Vec::new();
    for component in &rollout.spec.components {
        let pair = component.routers.iter().find_map(|router| match router {
            Router::Istio(istio) => Some([&istio.canary, &istio.control]),
            Router::ControllerSwitch(_) => None,
        });
        let (Some(pair), Some((_, both))) = (pair, tenants.look(&component.name, now)) else {
            continue;
        };
        for (destination, arm) in pair.into_iter().zip(&both) {
            let service = destination.host.split('.').next().unwrap_or_default();
            exported.extend(series(service, namespace, arm));
        }
    }
    encode(Preset::IstioGateway, &exported)
}

/// One series for what was answered, one for what failed; each from its first request on.
fn series(service: &str, namespace: &str, arm: &Counted) -> Vec<Exported> {
    let bounds = bounds_ms(Preset::IstioGateway);
    let mut failures = [0; BUCKETS];
    if let Some(quick) = failures.get_mut(QUICK) {
        *quick = arm.failed;
    }
    let labels = |code: &str, flags: &str| {
        IstioLabels {
            reporter: "source",
            source_workload: "istio-ingressgateway",
            source_namespace: "istio-system",
            destination_workload: service,
            destination_version: "v1",
            destination_service: service,
            destination_namespace: namespace,
            protocol: "http",
            code,
            flags,
            grpc_status: "",
        }
        .labels()
    };
    [
        ("200", "-", arm.answered, arm.buckets),
        ("503", "UF", arm.failed, failures),
    ]
    .into_iter()
    .filter(|(_, _, requests, _)| *requests > 0)
    .map(|(code, flags, requests, buckets)| Exported {
        labels: labels(code, flags),
        requests,
        latency: Some(histogram(bounds, &buckets)),
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
    use crate::rollout::weight::Weight;
    use crate::sandbox::plan::Plan;
    use crate::sandbox::tenants::Tenant;
    use std::time::Duration;

    #[test]
    fn both_arms_are_exported_under_the_labels_that_the_plan_selects_by() {
        let epoch: Timestamp = "2026-01-05T02:00:00Z".parse().unwrap();
        let tenant = Tenant {
            component: "terminal".into(),
            rate: 100.0,
            preset: Preset::IstioGateway,
        };
        let half = Weight::from_percent(50).unwrap();
        let tenants = Tenants::new(1, epoch, Duration::from_secs(10), vec![tenant], move |_| half);
        tenants.fail("terminal", crate::metrics::ask::Side::Canary, 0.5, epoch);
        let text = text(
            &Plan::Sealos.rollout().unwrap(),
            &tenants,
            epoch + Duration::from_secs(60),
        );
        for wanted in [
            r#"reporter="source""#,
            r#"destination_service_name="terminal-istio""#,
            r#"destination_service_name="terminal-nginx""#,
            r#"response_code="503""#,
            r#"le="+Inf""#,
        ] {
            assert!(text.contains(wanted), "{wanted} in {text}");
        }
    }
}
