//! `HTTPRoute`s: a component of each pair of back ends in their rules.

use super::choose::{Arm, CanaryName};
use super::pairs::{self, Chosen, Way};
use super::{Adopted, Taken, arms, names};
use crate::rollout::router_spec::{Backend, GatewayApi, RouteKind, Router};
use crate::routing::backend::{describe, entries};
use crate::routing::destination::label;
use crate::routing::object::ObjectKind;
use crate::routing::seen::text;
use serde_json::Value;
use std::collections::BTreeSet;

const ISTIO: &str = "istio.io/gateway-controller";
const ENVOY_GATEWAY: &str = "gateway.envoyproxy.io/gatewayclass-controller";

impl Arm for Backend {
    fn host(&self) -> &str {
        &self.name
    }

    fn subset(&self) -> Option<&str> {
        None
    }

    fn described(&self) -> String {
        describe(self)
    }
}

/// Makes components of an `HTTPRoute`, or says why not.
pub(super) fn adopt(json: &Value, said: &[CanaryName], taken: &mut Taken, adopted: &mut Adopted) {
    let (namespace, name) = names(json);
    let rules = json.pointer("/spec/rules").and_then(Value::as_array);
    let ways: Vec<Way<Backend>> = rules
        .into_iter()
        .flatten()
        .enumerate()
        .map(|(at, rule)| Way {
            label: label("rules", at, rule),
            name: text(rule, "/name")
                .filter(|name| !name.is_empty())
                .map(str::to_owned),
            at,
            goes: Ok(entries(rule)
                .iter()
                .map(|entry| (backend(entry, namespace), weight(entry)))
                .collect()),
        })
        .collect();
    pairs::adopt(
        (ObjectKind::HttpRoute, json),
        ways,
        said,
        taken,
        adopted,
        |chosen| make(json, (namespace, name), chosen),
    );
}

/// A back end, without what the API fills in.
fn backend(entry: &Value, home: &str) -> Backend {
    let said = |member: &str, usual: &str| {
        text(entry, member)
            .filter(|value| !value.is_empty() && *value != usual)
            .map(str::to_owned)
    };
    let port = entry.get("port").and_then(Value::as_i64);
    Backend {
        name: text(entry, "/name").unwrap_or_default().to_owned(),
        port: port.and_then(|port| i32::try_from(port).ok()),
        kind: said("/kind", "Service"),
        group: said("/group", ""),
        namespace: said("/namespace", home),
    }
}

/// A weight that is left out is 1. What is no weight is found when the object is read.
fn weight(entry: &Value) -> i64 {
    match entry.get("weight") {
        None | Some(Value::Null) => 1,
        Some(weight) => weight.as_i64().unwrap_or(0),
    }
}

fn make(json: &Value, (namespace, name): (&str, &str), chosen: &Chosen<Backend>) -> pairs::Made {
    let parents = json.pointer("/status/parents").and_then(Value::as_array);
    let controllers: BTreeSet<&str> = parents
        .into_iter()
        .flatten()
        .filter_map(|parent| text(parent, "/controllerName"))
        .collect();
    let mut notes = Vec::new();
    let arms = if controllers.contains(ENVOY_GATEWAY) {
        if !chosen
            .places
            .iter()
            .all(|(rule, backends)| has_filters(json, *rule, *backends))
        {
            notes.push(
                "Envoy Gateway counts the back ends of a rule as one unless each has a filter (setting a header is enough): add one, or nothing can be judged (docs/metrics.md)."
                    .to_owned(),
            );
        }
        arms::of_clusters((namespace, name), &chosen.places)?
    } else {
        if controllers.contains(ISTIO) {
            notes.push("Counted by Istio's gateway.".to_owned());
        } else {
            let who = if controllers.is_empty() {
                "no gateway has said that it serves this route".to_owned()
            } else {
                let all: Vec<&str> = controllers.into_iter().collect();
                format!("it is served by {}", all.join(", "))
            };
            notes.push(format!(
                "GUESSED: {who}, and the requests are taken to be counted by Istio's gateway. For another write its preset and labels in `arms` (docs/metrics.md)."
            ));
        }
        arms::of_backends(&chosen.canary, &chosen.control, namespace)?
    };
    let router = Router::GatewayApi(GatewayApi {
        kind: RouteKind::Http,
        name: name.to_owned(),
        namespace: None,
        rules: chosen.names.clone(),
        canary: chosen.canary.clone(),
        control: chosen.control.clone(),
    });
    Ok((router, arms, notes))
}

fn has_filters(json: &Value, rule: usize, backends: [usize; 2]) -> bool {
    backends.iter().all(|backend| {
        let filters = json.pointer(&format!("/spec/rules/{rule}/backendRefs/{backend}/filters"));
        filters
            .and_then(Value::as_array)
            .is_some_and(|filters| !filters.is_empty())
    })
}
