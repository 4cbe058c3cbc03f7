//! Back ends of Gateway API rules: which is which, with the API's defaults filled in, and what people call them.

use super::object::Place;
use super::seen::text;
use crate::rollout::router_spec::Backend;
use serde_json::Value;

/// The kind of a back end that names none.
const SERVICE: &str = "Service";
/// What tells one back end of a rule from another.
const IDENTITY: [&str; 5] = ["group", "kind", "namespace", "name", "port"];

/// A back end as people write it.
pub(super) fn describe(backend: &Backend) -> String {
    let namespace = backend.namespace.as_deref().map(|ns| format!("{ns}/"));
    let kind = backend.kind.as_deref().filter(|kind| *kind != SERVICE);
    let port = backend.port.map(|p| format!(" port {p}"));
    format!(
        "{}{}{}{}",
        kind.map(|kind| format!("{kind} ")).unwrap_or_default(),
        namespace.unwrap_or_default(),
        backend.name,
        port.unwrap_or_default()
    )
}

/// A back end by all that tells it from others; `home` is the route's namespace.
pub(super) fn place(backend: &Backend, home: &str) -> Place {
    let group = backend.group.as_deref().unwrap_or_default();
    let kind = backend.kind.as_deref().unwrap_or(SERVICE);
    let namespace = backend.namespace.as_deref().unwrap_or(home);
    let name = format!("{group}/{kind}/{namespace}/{}", backend.name);
    (name, None, backend.port)
}

/// Whether an entry of a rule goes to a back end of a route in `home`: all as the API reads it, the port where one is
/// asked for.
pub(super) fn goes_to(entry: &Value, backend: &Backend, home: &str) -> bool {
    let found = read(entry);
    let (wanted, _, port) = place(backend, home);
    place(&found, home).0 == wanted && (port.is_none() || port == found.port)
}

/// The back ends of a rule.
pub(super) fn entries(rule: &Value) -> &[Value] {
    rule.get("backendRefs")
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The back ends of a rule as people write them.
pub(super) fn written(entries: &[Value]) -> String {
    if entries.is_empty() {
        return "none".to_owned();
    }
    let described: Vec<String> = entries.iter().map(|entry| describe(&read(entry))).collect();
    described.join(", ")
}

/// What an entry says of its identity, as far as it says anything.
pub(super) fn identity(entry: &Value) -> impl Iterator<Item = (&'static str, &Value)> {
    IDENTITY
        .into_iter()
        .filter_map(|member| Some((member, entry.get(member).filter(|value| !value.is_null())?)))
}

/// The Service (namespace, name) of a back end; `None` for other kinds.
pub(super) fn service(backend: &Backend, home: &str) -> Option<(String, String)> {
    let is_service = backend.kind.as_deref().is_none_or(|kind| kind == SERVICE)
        && backend.group.as_deref().is_none_or(str::is_empty);
    is_service.then(|| {
        let namespace = backend.namespace.as_deref().unwrap_or(home);
        (namespace.to_owned(), backend.name.clone())
    })
}

fn read(entry: &Value) -> Backend {
    let owned = |member: &str| text(entry, member).map(str::to_owned);
    Backend {
        name: owned("/name").unwrap_or_else(|| "?".to_owned()),
        port: entry
            .get("port")
            .and_then(Value::as_i64)
            .and_then(|port| i32::try_from(port).ok()),
        kind: owned("/kind"),
        group: owned("/group"),
        namespace: owned("/namespace"),
    }
}
