//! The controller switch in a ConfigMap.

use super::controller_switch::{Mode, Reader, keys, never_above, percent};
use super::error::RoutingError;
use super::object::ObjectRef;
use super::patch::{Change, Draft, malformed, path, plain};
use super::seen::{Reading, member};
use crate::rollout::router_spec::ControllerSwitch;
use crate::rollout::weight::Weight;
use serde_json::{Map, Value};

fn data<'j>(object: &ObjectRef, json: &'j Value) -> Result<Option<&'j Map<String, Value>>, RoutingError> {
    match member(json, "/data") {
        None => Ok(None),
        Some(Value::Object(data)) => Ok(Some(data)),
        Some(_) => Err(malformed(object, "data", "a map")),
    }
}

/// What mode and percentage say.
pub(super) fn read(object: &ObjectRef, json: &Value) -> Result<Vec<Reading>, RoutingError> {
    let data = data(object, json)?;
    let reader = Reader {
        object,
        value: |key: &str| data?.get(key)?.as_str(),
        prefix: "data.",
    };
    let mode = reader.mode("networking_mode")?;
    reader.read("istio_percentage", mode)
}

/// Drafts the keys of a weight. What they said before does not matter, so that a rollback is never kept waiting by a
/// value that cannot be read.
pub(super) fn draft(
    switch: &ControllerSwitch,
    object: &ObjectRef,
    json: &Value,
    (weight, lowering): (Weight, bool),
    draft: &mut Draft<'_>,
) -> Result<(), RoutingError> {
    if json.pointer("/immutable").and_then(Value::as_bool) == Some(true) {
        return Err(RoutingError::Immutable {
            object: object.clone(),
        });
    }
    draft.versioned();
    let data = data(object, json)?;
    let says = data.and_then(|data| data.get("istio_percentage")?.as_str());
    let weight = if lowering {
        never_above(says, weight)
    } else {
        weight
    };
    if data.is_none() {
        draft.scaffold(path(["data"]), Value::Object(Map::new()));
    }
    let mode = Mode::of(weight, switch.at_full.unwrap_or_default());
    for (key, new) in keys(percent(object, "data.istio_percentage", weight)?, mode) {
        let old = data.and_then(|data| data.get(key));
        if let Some(old) = old {
            draft.test(path(["data", key]), old.clone());
        }
        if old.and_then(Value::as_str) != Some(&new) {
            let change = Change {
                path: format!("data.{key}"),
                from: old.map(plain),
                to: Some(new.clone()),
            };
            draft.set(path(["data", key]), new.into(), change);
        }
    }
    Ok(())
}
