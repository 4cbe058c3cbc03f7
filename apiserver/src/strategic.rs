//! Strategic merge patches for built-in resources: lists of named things are merged, not replaced.

use super::failure::Failure;
use super::schema::Schema;
use serde_json::{Map, Value};

/// Lays `patch` over `live`.
pub(super) fn merge(schema: Option<&Schema>, live: &mut Value, patch: &Value) -> Result<(), Failure> {
    let Some(patch) = patch.as_object() else {
        *live = patch.clone();
        return Ok(());
    };
    match directive(patch) {
        Some("replace") => {
            *live = Value::Object(without_directives(patch));
            return Ok(());
        }
        Some("delete") => {
            *live = Value::Object(Map::new());
            return Ok(());
        }
        None | Some("merge") => {}
        Some(other) => {
            return Err(Failure::bad_request(format!("unknown patch type: {other}")));
        }
    }
    if !live.is_object() {
        *live = Value::Object(Map::new());
    }
    let Some(fields) = live.as_object_mut() else {
        return Ok(());
    };
    if let Some(keep) = patch.get("$retainKeys").and_then(Value::as_array) {
        fields.retain(|name, _| keep.iter().any(|k| k == name));
    }
    for (name, value) in patch {
        if let Some(list) = name.strip_prefix("$deleteFromPrimitiveList/") {
            if let (Some(items), Some(gone)) = (
                fields.get_mut(list).and_then(Value::as_array_mut),
                value.as_array(),
            ) {
                items.retain(|item| !gone.contains(item));
            }
            continue;
        }
        if name.starts_with('$') {
            continue;
        }
        let schema = schema.and_then(|s| s.field(name));
        if value.is_null() {
            fields.remove(name);
        } else if let (Some(key), Some(items)) =
            (schema.and_then(|s| s.merge_key.as_deref()), value.as_array())
        {
            let slot = fields
                .entry(name.clone())
                .or_insert_with(|| Value::Array(Vec::new()));
            merge_list(schema.and_then(|s| s.items.as_deref()), key, slot, items)?;
        } else if value.is_object() {
            let slot = fields.entry(name.clone()).or_insert(Value::Null);
            merge(schema, slot, value)?;
        } else {
            fields.insert(name.clone(), value.clone());
        }
    }
    for (name, order) in patch {
        if let Some(list) = name.strip_prefix("$setElementOrder/")
            && let Some(items) = fields.get_mut(list).and_then(Value::as_array_mut)
            && let Some(order) = order.as_array()
        {
            let key = schema
                .and_then(|s| s.field(list))
                .and_then(|s| s.merge_key.as_deref())
                .unwrap_or_default();
            let place = |item: &Value| {
                let id = identity(item, key);
                order
                    .iter()
                    .position(|o| identity(o, key) == id)
                    .unwrap_or(usize::MAX)
            };
            items.sort_by_key(place);
        }
    }
    Ok(())
}

fn identity<'a>(item: &'a Value, key: &str) -> Option<&'a Value> {
    if key.is_empty() || !item.is_object() {
        Some(item)
    } else {
        item.get(key)
    }
}

fn merge_list(schema: Option<&Schema>, key: &str, live: &mut Value, patch: &[Value]) -> Result<(), Failure> {
    if !live.is_array() {
        *live = Value::Array(Vec::new());
    }
    let Some(items) = live.as_array_mut() else {
        return Ok(());
    };
    if patch
        .iter()
        .filter_map(Value::as_object)
        .any(|p| directive(p) == Some("replace"))
    {
        *items = patch
            .iter()
            .filter(|p| p.get("$patch").is_none())
            .cloned()
            .collect();
        return Ok(());
    }
    for change in patch {
        if key.is_empty() || !change.is_object() {
            if !items.contains(change) {
                items.push(change.clone());
            }
            continue;
        }
        let Some(id) = change.get(key) else {
            return Err(Failure::bad_request(format!(
                "map: {change} does not contain declared merge key: {key}"
            )));
        };
        let delete = change.as_object().and_then(directive) == Some("delete");
        let found = items.iter().position(|item| item.get(key) == Some(id));
        match found {
            Some(i) if delete => {
                items.remove(i);
            }
            Some(i) => {
                if let Some(slot) = items.get_mut(i) {
                    merge(schema, slot, change)?;
                }
            }
            None if delete => {}
            None => {
                let mut new = Value::Object(Map::new());
                merge(schema, &mut new, change)?;
                items.push(new);
            }
        }
    }
    Ok(())
}

fn directive(patch: &Map<String, Value>) -> Option<&str> {
    patch.get("$patch").and_then(Value::as_str)
}

fn without_directives(patch: &Map<String, Value>) -> Map<String, Value> {
    patch
        .iter()
        .filter(|(k, _)| !k.starts_with('$'))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect()
}
