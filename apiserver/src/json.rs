//! Small readers and writers for JSON objects that never panic.

use serde_json::{Map, Value};

/// The text at a JSON pointer, or `""`.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// `metadata.<field>` as text, or `""`.
pub(super) fn meta<'a>(value: &'a Value, field: &str) -> &'a str {
    value
        .get("metadata")
        .and_then(|m| m.get(field))
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The object behind `value`, which becomes one if it was anything else.
pub(super) fn object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            unreachable!("made an object above")
        }
    }
}

/// The object in `value[key]`, created when absent.
pub(super) fn child<'a>(value: &'a mut Value, key: &str) -> &'a mut Map<String, Value> {
    object(object(value).entry(key).or_insert(Value::Null))
}

/// The metadata, created when absent.
pub(super) fn metadata(value: &mut Value) -> &mut Map<String, Value> {
    child(value, "metadata")
}

/// Sets `value[key]`, or removes it when there is nothing to set.
pub(super) fn set(value: &mut Value, key: &str, new: Option<Value>) {
    let map = object(value);
    match new {
        Some(new) => map.insert(key.to_owned(), new),
        None => map.remove(key),
    };
}

/// Equal as an API server sees it: numbers by value, so that 95 and 95.0 are the same.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => x == y || x.as_f64() == y.as_f64(),
        (Value::Array(x), Value::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same(x, y)),
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len() && x.iter().all(|(k, v)| y.get(k).is_some_and(|w| same(v, w)))
        }
        (a, b) => a == b,
    }
}
