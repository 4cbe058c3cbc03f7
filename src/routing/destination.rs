//! Routes and destinations: which is which, and what people call them.

use super::seen::text;
use super::service::service_of;
use crate::rollout::router_spec::Destination;
use serde_json::Value;

/// A destination as people write it.
pub(super) fn describe(destination: &Destination) -> String {
    let subset = destination.subset.as_deref().map(|s| format!(" subset {s}"));
    let port = destination.port.map(|p| format!(" port {p}"));
    format!(
        "{}{}{}",
        destination.host,
        subset.unwrap_or_default(),
        port.unwrap_or_default()
    )
}

/// Whether an entry of a route goes to a destination: host and subset exactly as written, the port where one is
/// asked for.
pub(super) fn goes_to(entry: &Value, destination: &Destination) -> bool {
    let subset = text(entry, "/destination/subset").filter(|subset| !subset.is_empty());
    text(entry, "/destination/host") == Some(destination.host.as_str())
        && subset == destination.subset.as_deref()
        && destination.port.is_none_or(|wanted| port(entry) == Some(wanted))
}

/// Whether traffic to one destination may reach the other, however its host is spelt: `shop` in the namespace `apps` and
/// `shop.apps.svc.cluster.local` are one, and a destination without a subset reaches all subsets.
pub(super) fn may_reach(destination: &Value, other: &Destination) -> bool {
    let host = text(destination, "/host").unwrap_or_default();
    let begins = |long: &str, short: &str| {
        long.strip_prefix(short)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let subset = text(destination, "/subset").filter(|subset| !subset.is_empty());
    (begins(host, &other.host) || begins(&other.host, host))
        && (subset.is_none() || other.subset.is_none() || subset == other.subset.as_deref())
}

/// Whether an entry of a route leads to a destination, however its host is spelt. One without the subset that tells the
/// two arms apart leads to both, and is none of either.
pub(super) fn leads_to(entry: &Value, other: &Destination) -> bool {
    let Some(destination) = entry.get("destination") else {
        return false;
    };
    let subset = text(destination, "/subset").filter(|subset| !subset.is_empty());
    let ports_differ = matches!((other.port, port(entry)), (Some(wanted), Some(found)) if wanted != found);
    may_reach(destination, other) && subset == other.subset.as_deref() && !ports_differ
}

/// The same of one Service for certain, as it is read in the namespace `home`: what is told apart by it may be written.
pub(super) fn is_spelt(entry: &Value, other: &Destination, home: &str) -> bool {
    let host = text(entry, "/destination/host").unwrap_or_default();
    let service = service_of(host, home);
    let same = host == other.host || service.is_some() && service == service_of(&other.host, home);
    same && leads_to(entry, other)
}

/// The destinations of a route.
pub(super) fn entries(route: &Value) -> &[Value] {
    route
        .get("route")
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The destinations of a route as people write them.
pub(super) fn written(destinations: &[Value]) -> String {
    let described: Vec<String> = destinations
        .iter()
        .map(|entry| {
            describe(&Destination {
                host: text(entry, "/destination/host").unwrap_or("?").to_owned(),
                subset: text(entry, "/destination/subset").map(str::to_owned),
                port: port(entry),
            })
        })
        .collect();
    or_none(&described)
}

/// A route as people call it: by its name, or by its place in the list.
pub(super) fn label(list: &str, index: usize, route: &Value) -> String {
    text(route, "/name").map_or_else(|| format!("{list}[{index}]"), |name| format!("{name:?}"))
}

/// Several routes as people call them.
pub(super) fn labels<'j>(list: &str, routes: impl Iterator<Item = (usize, &'j Value)>) -> String {
    let labels: Vec<String> = routes.map(|(index, route)| label(list, index, route)).collect();
    or_none(&labels)
}

fn or_none(found: &[String]) -> String {
    if found.is_empty() {
        "none".to_owned()
    } else {
        found.join(", ")
    }
}

fn port(entry: &Value) -> Option<i32> {
    let number = entry
        .pointer("/destination/port/number")
        .and_then(Value::as_i64)?;
    i32::try_from(number).ok()
}
