//! VirtualServices: a component of each pair of destinations in their `http` routes.

use super::choose::{Arm, CanaryName};
use super::pairs::{self, Chosen, Way};
use super::{Adopted, Taken, arms, names};
use crate::rollout::router_spec::{Destination, Istio, Router, VirtualServiceRoutes};
use crate::routing::destination::{describe, entries, label};
use crate::routing::object::ObjectKind;
use crate::routing::seen::text;
use serde_json::Value;

impl Arm for Destination {
    fn host(&self) -> &str {
        &self.host
    }

    fn subset(&self) -> Option<&str> {
        self.subset.as_deref()
    }

    fn described(&self) -> String {
        describe(self)
    }
}

/// Makes components of a VirtualService, or says why not.
pub(super) fn adopt(json: &Value, said: &[CanaryName], taken: &mut Taken, adopted: &mut Adopted) {
    let of = |list: &str| {
        let routes = json.pointer(&format!("/spec/{list}")).and_then(Value::as_array);
        routes.map_or(&[] as &[Value], Vec::as_slice)
    };
    let http = of("http").iter().enumerate().map(|(at, route)| Way {
        label: label("http", at, route),
        name: text(route, "/name")
            .filter(|name| !name.is_empty())
            .map(str::to_owned),
        at,
        goes: destinations(route),
    });
    let others = ["tls", "tcp"].into_iter().flat_map(|list| {
        of(list).iter().enumerate().map(move |(at, route)| Way {
            label: label(list, at, route),
            name: None,
            at,
            goes: Err(format!(
                "{list} routes carry connections, which no preset counts: write it by hand with `kind: {list}` and checks of connections (docs/routers.md, docs/metrics.md)"
            )),
        })
    });
    let ways: Vec<Way<Destination>> = http.chain(others).collect();
    let (namespace, name) = names(json);
    pairs::adopt(
        (ObjectKind::VirtualService, json),
        ways,
        said,
        taken,
        adopted,
        |chosen| make(namespace, name, chosen),
    );
}

fn destinations(route: &Value) -> Result<Vec<(Destination, i64)>, String> {
    if let Some(delegate) = route.get("delegate").filter(|delegate| delegate.is_object()) {
        let to = text(delegate, "/name").unwrap_or("?");
        return Err(format!(
            "it only delegates to {to}: the weights are there, give that VirtualService to init"
        ));
    }
    let entries = entries(route);
    if entries.is_empty() {
        let does = ["redirect", "directResponse"]
            .into_iter()
            .find(|does| route.get(does).is_some());
        return Err(does.map_or_else(
            || "it has no destinations".to_owned(),
            |does| format!("it has no destinations, but a {does}"),
        ));
    }
    Ok(entries
        .iter()
        .map(|entry| (destination(entry), weight(entry)))
        .collect())
}

fn destination(entry: &Value) -> Destination {
    let port = entry.pointer("/destination/port/number").and_then(Value::as_i64);
    Destination {
        host: text(entry, "/destination/host").unwrap_or_default().to_owned(),
        subset: text(entry, "/destination/subset")
            .filter(|subset| !subset.is_empty())
            .map(str::to_owned),
        port: port.and_then(|port| i32::try_from(port).ok()),
    }
}

/// Beside others a destination without a weight gets nothing. What is no weight is found when the object is read.
fn weight(entry: &Value) -> i64 {
    entry.get("weight").and_then(Value::as_i64).unwrap_or(0)
}

fn make(namespace: &str, name: &str, chosen: &Chosen<Destination>) -> pairs::Made {
    let (canary, control) = (&chosen.canary, &chosen.control);
    let arms = arms::of_destinations(canary, control, namespace)?;
    let router = Router::Istio(Istio {
        virtual_services: vec![VirtualServiceRoutes {
            name: name.to_owned(),
            namespace: None,
            kind: None,
            routes: chosen.names.clone(),
        }],
        canary: canary.clone(),
        control: control.clone(),
        testers: None,
        mirror: None,
    });
    let mut notes = Vec::new();
    if arms.canary.labels.contains_key("destination_version") {
        notes.push(
            "destination_version is the pods' label `version`; the subset's name is taken for it: see the DestinationRule."
                .to_owned(),
        );
    }
    notes.push(
        "Counted by the destination's sidecar; for a mesh without sidecars: preset istio-gateway.".to_owned(),
    );
    Ok((router, arms, notes))
}
