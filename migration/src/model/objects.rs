//! What every Kubernetes object has, read from its JSON.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The metadata both models look at.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Meta {
    pub(crate) name: String,
    pub(crate) namespace: Option<String>,
    pub(crate) creation_timestamp: Option<String>,
    pub(crate) annotations: std::collections::BTreeMap<String, String>,
}

impl Meta {
    pub(crate) fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or("default")
    }

    /// RFC 3339 in UTC, as the API server writes it, sorts as text. An object that has none yet is the oldest.
    pub(crate) fn created(&self) -> &str {
        self.creation_timestamp.as_deref().unwrap_or_default()
    }

    pub(crate) fn key(&self) -> String {
        format!("{}/{}", self.namespace(), self.name)
    }
}

/// An object as it is stored.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Object<S> {
    #[serde(default)]
    pub(crate) metadata: Meta,
    pub(crate) spec: S,
}

/// In what people write, a field without a value is a field that is not there.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let given = fields.iter().filter(|(_, value)| !value.is_null());
            given
                .map(|(key, value)| (key.clone(), without_nulls(value)))
                .collect()
        }
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// The objects of one kind, and why others of that kind could not be read.
pub(crate) fn of_kind<S: DeserializeOwned>(values: &[Value], kind: &str) -> (Vec<Object<S>>, Vec<String>) {
    let mut read = Vec::new();
    let mut unread = Vec::new();
    for value in values {
        if value.get("kind").and_then(Value::as_str) != Some(kind) {
            continue;
        }
        match Object::deserialize(&without_nulls(value)) {
            Ok(object) => read.push(object),
            Err(error) => {
                let name = value
                    .pointer("/metadata/name")
                    .and_then(Value::as_str)
                    .unwrap_or("without a name");
                unread.push(format!("{kind} {name}: {error}"));
            }
        }
    }
    (read, unread)
}
