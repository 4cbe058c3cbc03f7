//! Dropping what a schema does not know, and filling in what it says by default.

use super::schema::{Additional, ListKind, Schema, Type};
use serde_json::Value;

impl Schema {
    /// Removes unknown fields and writes their paths to `dropped`.
    pub(super) fn prune(&self, value: &mut Value, path: &str, dropped: &mut Vec<String>) {
        match value {
            Value::Object(fields) if self.kind == Some(Type::Object) || !self.properties.is_empty() => {
                let open = self.preserve || !matches!(self.additional, Additional::None);
                if !open {
                    fields.retain(|name, _| {
                        let known = self.properties.contains_key(name);
                        if !known {
                            dropped.push(join(path, name));
                        }
                        known
                    });
                }
                for (name, value) in fields {
                    if let Some(schema) = self.field(name) {
                        schema.prune(value, &join(path, name), dropped);
                    }
                }
            }
            Value::Array(items) => {
                if let Some(schema) = &self.items {
                    for (i, item) in items.iter_mut().enumerate() {
                        schema.prune(item, &format!("{path}[{i}]"), dropped);
                    }
                }
            }
            Value::Object(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    /// Removes nulls where null is no value, then fills absent fields that have a default.
    pub(super) fn fill(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.retain(|name, value| {
                    !value.is_null()
                        || self
                            .field(name)
                            .is_none_or(|s| s.nullable || (s.kind.is_none() && !s.int_or_string))
                });
                for (name, schema) in &self.properties {
                    if let Some(default) = &schema.default
                        && !fields.contains_key(name)
                    {
                        fields.insert(name.clone(), default.clone());
                    }
                }
                for (name, value) in fields {
                    if let Some(schema) = self.field(name) {
                        schema.fill(value);
                    }
                }
            }
            Value::Array(items) => {
                if let Some(schema) = &self.items {
                    for item in items {
                        schema.fill(item);
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    /// Fills defaults only where they tell the items of a list apart, such as a port's protocol.
    pub(super) fn fill_keys(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    if let Some(schema) = self.field(name) {
                        schema.fill_keys(value);
                    }
                }
            }
            Value::Array(items) => {
                let Some(schema) = &self.items else { return };
                let keys = if let ListKind::Map(keys) = &self.list {
                    keys.as_slice()
                } else {
                    &[]
                };
                for item in items {
                    for key in keys {
                        if let (Some(default), Some(item)) = (
                            schema.field(key).and_then(|f| f.default.as_ref()),
                            item.as_object_mut(),
                        ) {
                            item.entry(key.clone()).or_insert_with(|| default.clone());
                        }
                    }
                    schema.fill_keys(item);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

/// `path.name`, without a leading dot.
pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}
