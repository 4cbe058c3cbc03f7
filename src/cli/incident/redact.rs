//! What must not leave the cluster. By kind, and not by guessing alone: of a ConfigMap and of a Deployment's variables
//! only what this program sets is shown; everywhere else what is called like a secret is not.

mod addresses;
mod budget;
mod encoded;
mod keys;
mod text;
mod words;

use budget::{Budget, Depth};
use serde_json::Value;
pub(super) use text::without_secrets;

/// What stands in a secret's place.
const GONE: &str = "[redacted]";
/// What stands in the place of a text in which so much is encoded that the rest of it is not read.
const UNREAD: &str = "[redacted: too much is encoded in this text to read it]";
/// Names of values that this program sets or reads in controllers.
const OURS: [&str; 14] = [
    "networking_mode",
    "istio_percentage",
    "enable_istio_monitoring",
    "NETWORKING_MODE",
    "ISTIO_PERCENTAGE",
    "ENABLE_ISTIO_MONITORING",
    "EMERGENCY_ROLLBACK",
    "ROLLBACK_TIMESTAMP",
    "USE_ISTIO_NETWORKING",
    "USE_INGRESS_NETWORKING",
    "ISTIO_ENABLED",
    "ISTIO_GATEWAY",
    "ENABLE_ISTIO_WEBHOOKS",
    "VIRTUALSERVICE_MUTATING_ANNOTATIONS",
];
/// Parts of names that secrets have, without what separates words.
const SECRET: [&str; 15] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "credential",
    "authorization",
    "cookie",
    "apikey",
    "accesskey",
    "signingkey",
    "jwt",
    "bearer",
    "private",
];
/// So many texts within texts are read. What is deeper is not shown.
const DEEPEST: usize = 8;

/// An object without secrets, and without what only says who wrote which field.
pub(super) fn object(mut json: Value) -> Value {
    if let Some(metadata) = json.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
        // A copy of the whole object, secrets included.
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
    }
    if json.get("kind").and_then(Value::as_str) == Some("ConfigMap") {
        for field in ["data", "binaryData"] {
            let values = json.get_mut(field).and_then(Value::as_object_mut);
            for (name, value) in values.into_iter().flatten() {
                if !OURS.contains(&name.as_str()) {
                    *value = GONE.into();
                }
            }
        }
    }
    walk(&mut json, None);
    json
}

/// `depth`: of the text that it was read from, where it was one.
fn walk(json: &mut Value, depth: Option<Depth<'_>>) {
    match json {
        Value::Object(fields) => {
            let variable = fields.get("name").and_then(Value::as_str).map(str::to_owned);
            if let (Some(name), Some(value)) = (&variable, fields.get_mut("value"))
                && !OURS.contains(&name.as_str())
            {
                if value.is_string() {
                    *value = GONE.into();
                } else if is_secret(name) {
                    blank(value);
                }
            }
            for (name, value) in fields {
                if is_secret(name) && !OURS.contains(&name.as_str()) {
                    blank(value);
                } else {
                    walk(value, depth);
                }
            }
        }
        Value::Array(items) => {
            // `--password` and what it is stand one after the other.
            let (mut flag, mut short) = (false, None);
            for item in items {
                let is_flag = item.as_str().is_some_and(text::is_flag);
                let behind = |flag: String| words::behind_flag(&flag, item.as_str()?);
                if flag && !is_flag {
                    blank(item);
                } else if let Some(shown) = short.take().and_then(behind) {
                    *item = shown.into();
                } else {
                    walk(item, depth);
                }
                flag = is_flag;
                short = item
                    .as_str()
                    .filter(|word| words::is_short_flag(word))
                    .map(str::to_owned);
            }
        }
        Value::String(text) => {
            *text = depth.map_or_else(|| alone(text), |depth| within(text, depth));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A text of lines without secrets, also where it is JSON as a whole, or a line ends with JSON, as logs have it.
pub(super) fn page(said: &str) -> String {
    if said.trim_start().starts_with(['{', '['])
        && serde_json::from_str::<serde::de::IgnoredAny>(said).is_ok()
    {
        return alone(said);
    }
    let line = |line: &str| match line.find('{') {
        Some(at) if serde_json::from_str::<serde::de::IgnoredAny>(&line[at..]).is_ok() => {
            format!("{}{}", without_secrets(&line[..at]), alone(&line[at..]))
        }
        Some(_) | None => without_secrets(line),
    };
    // A key has lines of its own.
    keys::without(said)
        .split('\n')
        .map(line)
        .collect::<Vec<_>>()
        .join("\n")
}

/// A text of its own without secrets, also where it is JSON itself.
fn alone(said: &str) -> String {
    within(said, Depth::first(&Budget::of(said)))
}

/// The same of a text that stands in another.
fn within(said: &str, depth: Depth<'_>) -> String {
    let Some(mut inner) = as_json(said) else {
        return text::at(said, depth);
    };
    if depth.json >= DEEPEST {
        return GONE.to_owned();
    }
    let before = inner.clone();
    walk(&mut inner, Some(depth.in_json()));
    // Written as it was where nothing of it goes.
    if inner == before {
        said.to_owned()
    } else {
        inner.to_string()
    }
}

/// What a text is as JSON that has texts in it.
fn as_json(said: &str) -> Option<Value> {
    let begins = said.trim_start().starts_with(['{', '[', '"']);
    begins.then(|| serde_json::from_str(said).ok()).flatten()
}

/// Takes every value out, of whatever form; what is in it and how many stays to be seen.
fn blank(value: &mut Value) {
    match value {
        Value::String(_) | Value::Number(_) => *value = GONE.into(),
        Value::Array(items) => items.iter_mut().for_each(blank),
        Value::Object(fields) => fields.values_mut().for_each(blank),
        Value::Null | Value::Bool(_) => {}
    }
}

fn is_secret(name: &str) -> bool {
    let separates = |c: &char| !matches!(c, '-' | '_' | '.' | ' ');
    let name: String = name
        .chars()
        .filter(separates)
        .collect::<String>()
        .to_ascii_lowercase();
    // References name where a secret is, and not what it is.
    let reference = name.ends_with("name") || name.ends_with("ref") || name.ends_with("file");
    !reference && SECRET.iter().any(|part| name.contains(part))
}

#[cfg(test)]
mod tests;
