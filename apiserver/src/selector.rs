//! Label and field selectors.

use super::failure::Failure;
use super::resource::Resource;
use serde_json::Value;

#[derive(Clone, Debug, PartialEq)]
enum Test {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
}

/// Which objects a list or watch is about.
#[derive(Clone, Debug, Default)]
pub(super) struct Selector {
    labels: Vec<Test>,
    fields: Vec<(String, String, bool)>,
}

impl Selector {
    /// Reads `labelSelector` and `fieldSelector`.
    pub(super) fn parse(resource: &Resource, labels: &str, fields: &str) -> Result<Self, Failure> {
        let mut this = Self::default();
        for part in split(labels) {
            this.labels.push(test(part).ok_or_else(|| {
                Failure::bad_request(format!(
                    "unable to parse requirement: {part:?} of labelSelector {labels:?}"
                ))
            })?);
        }
        for part in fields.split(',').filter(|p| !p.is_empty()) {
            let (key, value, equal) = if let Some((k, v)) = part.split_once("!=") {
                (k, v, false)
            } else if let Some((k, v)) = part.split_once("==").or_else(|| part.split_once('=')) {
                (k, v, true)
            } else {
                return Err(Failure::bad_request(format!(
                    "invalid selector: '{fields}'; can't understand '{part}'"
                )));
            };
            let known = matches!(key, "metadata.name" | "metadata.namespace")
                || resource.selectable.iter().any(|s| s == key);
            if !known {
                return Err(Failure::bad_request(format!("field label not supported: {key}")));
            }
            this.fields.push((key.to_owned(), value.to_owned(), equal));
        }
        Ok(this)
    }

    /// Does this object match? Events are looked at in their stored form.
    pub(super) fn matches(&self, object: &Value) -> bool {
        let labels = object.pointer("/metadata/labels");
        let label = |key: &str| labels.and_then(|l| l.get(key)).and_then(Value::as_str);
        self.labels.iter().all(|test| match test {
            Test::In(key, values) => label(key).is_some_and(|l| values.iter().any(|v| v == l)),
            Test::NotIn(key, values) => label(key).is_none_or(|l| values.iter().all(|v| v != l)),
            Test::Exists(key) => label(key).is_some(),
            Test::Absent(key) => label(key).is_none(),
        }) && self.fields.iter().all(|(path, wanted, equal)| {
            let mut at = Some(object);
            for step in path.split('.') {
                at = at.and_then(|v| v.get(step));
            }
            let found = at.and_then(Value::as_str).unwrap_or_default();
            (found == wanted) == *equal
        })
    }
}

/// Splits at commas outside parentheses.
fn split(labels: &str) -> Vec<&str> {
    let mut depth = 0;
    labels
        .split(|c| {
            match c {
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            c == ',' && depth == 0
        })
        .map(str::trim)
        .filter(|p| !p.is_empty())
        .collect()
}

fn test(part: &str) -> Option<Test> {
    let set = |rest: &str| -> Option<Vec<String>> {
        let inside = rest.trim().strip_prefix('(')?.strip_suffix(')')?;
        Some(inside.split(',').map(|v| v.trim().to_owned()).collect())
    };
    if let Some((key, rest)) = part
        .split_once(" notin ")
        .or_else(|| part.split_once(" notin(").map(|(k, _)| (k, "")))
    {
        return Some(Test::NotIn(key.trim().to_owned(), set(rest)?));
    }
    if let Some((key, rest)) = part.split_once(" in ") {
        return Some(Test::In(key.trim().to_owned(), set(rest)?));
    }
    if let Some((key, value)) = part.split_once("!=") {
        return Some(Test::NotIn(key.trim().to_owned(), vec![value.trim().to_owned()]));
    }
    if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return Some(Test::In(key.trim().to_owned(), vec![value.trim().to_owned()]));
    }
    if let Some(key) = part.strip_prefix('!') {
        return Some(Test::Absent(key.trim().to_owned()));
    }
    (!part.contains([' ', '('])).then(|| Test::Exists(part.to_owned()))
}
