//! What a schema bounds: lengths, ranges and patterns, checked without a server. Types and words are serde's job.

use super::crd::BrokenRule;
use regex::Regex;
use serde_json::Value;

/// The bounds of a schema that a value breaks.
pub(super) fn broken(schema: &Value, value: &Value, path: &str) -> Vec<BrokenRule> {
    let mut found = Vec::new();
    walk(schema, value, path, &mut found);
    found
}

fn walk(schema: &Value, value: &Value, path: &str, found: &mut Vec<BrokenRule>) {
    let mut complain = |message: String| {
        found.push(BrokenRule {
            path: path.to_owned(),
            message,
        });
    };
    let count = |key: &str| schema.get(key).and_then(Value::as_u64);
    let number = |key: &str| schema.get(key).and_then(Value::as_f64);
    match value {
        Value::String(text) => {
            let length = text.chars().count() as u64;
            if count("maxLength").is_some_and(|most| length > most) {
                complain(format!(
                    "longer than {} characters",
                    count("maxLength").unwrap_or(0)
                ));
            }
            if count("minLength").is_some_and(|least| length < least) {
                complain("must not be empty".to_owned());
            }
            let pattern = schema.get("pattern").and_then(Value::as_str);
            if let Some(pattern) = pattern.filter(|p| Regex::new(p).is_ok_and(|r| !r.is_match(text))) {
                complain(format!("{text:?} does not have the form {pattern}"));
            }
        }
        Value::Number(n) => {
            let n = n.as_f64().unwrap_or(f64::NAN);
            if number("minimum").is_some_and(|least| n < least)
                || number("maximum").is_some_and(|most| n > most)
            {
                let bound = |key| number(key).map_or_else(|| "…".to_owned(), |b| b.to_string());
                complain(format!(
                    "{n} is not between {} and {}",
                    bound("minimum"),
                    bound("maximum")
                ));
            }
        }
        Value::Array(items) => {
            let many = items.len() as u64;
            if count("minItems").is_some_and(|least| many < least) {
                complain("must name at least one".to_owned());
            }
            if count("maxItems").is_some_and(|most| many > most) {
                complain(format!(
                    "{many} are too many: at most {}",
                    count("maxItems").unwrap_or(0)
                ));
            }
            if let Some(each) = schema.get("items") {
                for (i, item) in items.iter().enumerate() {
                    walk(each, item, &format!("{path}[{i}]"), found);
                }
            }
        }
        Value::Object(fields) => {
            if count("maxProperties").is_some_and(|most| fields.len() as u64 > most) {
                complain(format!(
                    "has more than {} entries",
                    count("maxProperties").unwrap_or(0)
                ));
            }
            for (name, field) in fields {
                let inner = schema.get("properties").and_then(|p| p.get(name));
                if let Some(inner) = inner.or_else(|| schema.get("additionalProperties")) {
                    let path = if path.is_empty() {
                        name.clone()
                    } else {
                        format!("{path}.{name}")
                    };
                    walk(inner, field, &path, found);
                }
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}
