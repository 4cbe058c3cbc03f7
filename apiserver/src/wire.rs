//! Between the version a client speaks and the version that is stored.

use super::resource::Resource;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Event fields: in core, and in events.k8s.io.
const EVENT: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

fn renamed(resource: &Resource) -> bool {
    resource.group != resource.stored_group
}

fn rename(
    fields: &mut Map<String, Value>,
    from: fn(&(&'static str, &'static str)) -> (&'static str, &'static str),
) {
    for (old, new) in EVENT.iter().map(from) {
        if let Some(value) = fields.remove(old) {
            fields.insert(new.to_owned(), value);
        }
    }
}

/// A stored object as the client of `resource` sees it.
pub(super) fn outward(resource: &Resource, stored: &Arc<Value>) -> Arc<Value> {
    if !renamed(resource) && resource.version == resource.stored_version {
        return stored.clone();
    }
    let mut value = Value::clone(stored);
    if let Some(fields) = value.as_object_mut() {
        fields.insert("apiVersion".to_owned(), json!(resource.group_version()));
        if renamed(resource) {
            rename(fields, |(core, new)| (core, new));
        }
    }
    Arc::new(value)
}

/// What a client of `resource` wrote, as it is stored.
pub(super) fn inward(resource: &Resource, mut value: Value) -> Value {
    if let Some(fields) = value.as_object_mut() {
        fields.insert("apiVersion".to_owned(), json!(resource.stored_group_version()));
        if renamed(resource) {
            rename(fields, |(core, new)| (new, core));
        }
    }
    value
}
