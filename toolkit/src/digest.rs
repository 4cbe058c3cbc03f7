//! Digests of JSON: the same value gives the same digest, in whatever order its fields come.

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::Value;
use std::fmt::Write as _;

/// SHA-256 of bytes, in hexadecimal.
pub fn of_bytes(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for byte in digest(&SHA256, bytes).as_ref() {
        // Writing to a text does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// SHA-256 of a value.
pub fn of(value: &Value) -> String {
    let mut text = String::new();
    canonical(value, &mut text);
    of_bytes(text.as_bytes())
}

/// Its first 16 digits, which suffice to tell one thing's states apart and fit a label.
pub fn short(value: &Value) -> String {
    of(value).chars().take(16).collect()
}

/// JSON with sorted fields, whatever order the map keeps in this build.
fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut fields: Vec<(&String, &Value)> = map.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            out.push('{');
            for (name, field) in fields {
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                canonical(field, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            out.push_str(&value.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_order_of_fields_does_not_matter_and_everything_else_does() {
        let (a, b): (Value, Value) = (
            serde_json::from_str(r#"{"x":{"a":1,"b":2},"y":[1]}"#).unwrap(),
            serde_json::from_str(r#"{"y":[1],"x":{"b":2,"a":1}}"#).unwrap(),
        );
        assert_eq!(of(&a), of(&b));
        assert_ne!(of(&json!({"x": "1"})), of(&json!({"x": 1})));
        assert_ne!(of(&json!([["a"], "b"])), of(&json!([["a", "b"]])));
        assert_eq!(
            of_bytes(b""),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
