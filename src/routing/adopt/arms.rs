//! Whose requests are counted: presets and labels, from what a router names.

use crate::rollout::router_spec::{Backend, Destination};
use crate::rollout::spec::{ArmSource, Arms, Preset};
use crate::routing::backend;
use crate::routing::service::service_of;
use std::collections::BTreeMap;

/// The longest value of a label matcher.
const LONGEST: usize = 256;

fn source(preset: Preset, labels: impl IntoIterator<Item = (&'static str, String)>) -> ArmSource {
    ArmSource {
        preset,
        labels: labels
            .into_iter()
            .map(|(label, value)| (label.to_owned(), value))
            .collect(),
        latency_labels: BTreeMap::new(),
        metrics: None,
    }
}

/// Istio's names for a destination: Service and namespace where it is a Service, else the host as it is.
fn destination(host: &str, home: &str) -> BTreeMap<&'static str, String> {
    match service_of(host, home) {
        Some((namespace, name)) => BTreeMap::from([
            ("destination_service_name", name),
            ("destination_service_namespace", namespace),
        ]),
        None => BTreeMap::from([("destination_service_name", host.to_owned())]),
    }
}

/// The arms of a pair of Istio's destinations.
pub(super) fn of_destinations(
    canary: &Destination,
    control: &Destination,
    home: &str,
) -> Result<Arms, String> {
    let (mut new, mut old) = (destination(&canary.host, home), destination(&control.host, home));
    if new == old {
        const VERSION: &str = "destination_version";
        let (canary, control) = match (&canary.subset, &control.subset) {
            (Some(canary), Some(control)) if canary != control => (canary.clone(), control.clone()),
            (Some(canary), None) => (canary.clone(), format!("!{canary}")),
            (None, Some(control)) => (format!("!{control}"), control.clone()),
            (Some(_) | None, _) => {
                return Err(
                    "its destinations are one Service, told apart by the port alone: no metric of Istio's tells them apart, so nothing could be judged"
                        .to_owned(),
                );
            }
        };
        new.insert(VERSION, canary);
        old.insert(VERSION, control);
    }
    Ok(Arms {
        canary: source(Preset::Istio, new),
        control: Some(source(Preset::Istio, old)),
    })
}

/// The arms of a pair of back ends, as Istio's gateways report them.
pub(super) fn of_backends(canary: &Backend, control: &Backend, home: &str) -> Result<Arms, String> {
    let of = |arm: &Backend| match backend::service(arm, home) {
        Some((namespace, name)) => BTreeMap::from([
            ("destination_service_name", name),
            ("destination_service_namespace", namespace),
        ]),
        None => BTreeMap::from([("destination_service_name", arm.name.clone())]),
    };
    let (new, old) = (of(canary), of(control));
    if new == old {
        return Err(
            "its back ends are one Service, told apart by the port alone: no metric tells them apart, so nothing could be judged"
                .to_owned(),
        );
    }
    Ok(Arms {
        canary: source(Preset::IstioGateway, new),
        control: Some(source(Preset::IstioGateway, old)),
    })
}

/// The arms of a pair of back ends behind Envoy Gateway: clusters are named after the rule and the back end's place.
pub(super) fn of_clusters(route: (&str, &str), places: &[(usize, [usize; 2])]) -> Result<Arms, String> {
    let (namespace, name) = route;
    let arm = |which: fn([usize; 2]) -> usize| {
        let paths: Vec<String> = places
            .iter()
            .map(|(rule, backends)| format!("rule/{rule}/backend/{}", which(*backends)))
            .collect();
        let value = match paths.as_slice() {
            [one] => format!("httproute/{namespace}/{name}/{one}"),
            several => format!(
                "~httproute/{}/{}/({})",
                escaped(namespace),
                escaped(name),
                several.join("|")
            ),
        };
        (value.len() <= LONGEST).then_some(value)
    };
    match (arm(|[canary, _]| canary), arm(|[_, control]| control)) {
        (Some(canary), Some(control)) => {
            let of = |value| source(Preset::EnvoyGateway, [("envoy_cluster_name", value)]);
            Ok(Arms {
                canary: of(canary),
                control: Some(of(control)),
            })
        }
        (_, _) => Err(format!(
            "its rules are too many for one label matcher of {LONGEST} characters: take some of them into a route of their own"
        )),
    }
}

/// What Prometheus calls the Ingress' namespace where it scrapes without `honorLabels`, as it does unless it is told
/// otherwise: its own label of that name is the controller's.
pub(super) const NAMESPACE: &str = "exported_namespace";

/// The arms of nginx's upstreams: the Ingresses that lead there, and which side nginx chose. `None` where that is too
/// long for one matcher.
pub(super) fn of_ingresses(namespace: &str, ingresses: &[&str]) -> Option<Arms> {
    let names = match ingresses {
        [one] => (*one).to_owned(),
        several => {
            let escaped: Vec<String> = several.iter().map(|name| escaped(name)).collect();
            format!("~{}", escaped.join("|"))
        }
    };
    // `canary` names the alternative upstream, and is empty or `-` on control.
    let arm = |side: &str| {
        source(
            Preset::IngressNginx,
            [
                (NAMESPACE, namespace.to_owned()),
                ("ingress", names.clone()),
                ("canary", side.to_owned()),
            ],
        )
    };
    (names.len() <= LONGEST).then(|| Arms {
        canary: arm("~..+"),
        control: Some(arm("~-?")),
    })
}

/// A name as a regular expression: of what names may hold, only points mean something else there.
fn escaped(name: &str) -> String {
    name.replace('.', "\\.")
}
