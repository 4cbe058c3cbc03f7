//! Does a value fit its schema? The messages are those of a real API server.

use super::failure::Cause;
use super::prune::join;
use super::schema::{Additional, ListKind, Schema, Type};
use serde_json::{Value, json};
use std::collections::BTreeSet;

impl Schema {
    /// Every field that does not fit; empty when the object is valid. What did not change since `old` is not
    /// looked at again, so a stricter schema does not lock old objects.
    pub(super) fn check(&self, new: &Value, old: Option<&Value>) -> Vec<Cause> {
        let mut causes = Vec::new();
        self.shape(new, old, "", &mut causes);
        if !self.has_rules {
            return causes;
        }
        let blocking = causes.iter().any(|c| {
            matches!(
                c.reason,
                "FieldValueNotSupported"
                    | "FieldValueRequired"
                    | "FieldValueTooLong"
                    | "FieldValueTooMany"
                    | "FieldValueTypeInvalid"
            )
        });
        if blocking {
            causes.push(Cause::invalid(
                "<nil>",
                &Value::Null,
                "some validation rules were not checked because the object was invalid; correct the existing \
                 errors to complete validation",
            ));
        } else {
            self.obey(new, old, "", &mut causes);
        }
        causes
    }

    fn shape(&self, new: &Value, old: Option<&Value>, path: &str, causes: &mut Vec<Cause>) {
        if old == Some(new) || (new.is_null() && self.nullable && self.choices.is_empty()) {
            return;
        }
        if !self.fits(new) {
            let (wanted, is) = (self.wanted(), type_name(new));
            causes.push(Cause {
                reason: "FieldValueTypeInvalid",
                field: path.to_owned(),
                message: format!(
                    "Invalid value: \"{is}\": {path} in body must be of type {wanted}: \"{is}\""
                ),
            });
            return;
        }
        self.values(new, path, causes);
        match new {
            Value::Object(fields) => {
                for (name, value) in fields {
                    if let Some(schema) = self.field(name) {
                        let path = match (&self.additional, self.properties.contains_key(name)) {
                            (Additional::Each(_), false) => format!("{path}.{name}"),
                            (Additional::Each(_) | Additional::None | Additional::Any, _) => join(path, name),
                        };
                        schema.shape(value, old.and_then(|o| o.get(name)), &path, causes);
                    }
                }
            }
            Value::Array(items) => {
                self.duplicates(items, path, causes);
                if let Some(schema) = &self.items {
                    for (i, item) in items.iter().enumerate() {
                        schema.shape(item, self.twin(item, old), &format!("{path}[{i}]"), causes);
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    /// The item of `old` that stands for the same thing as `item`: only lists with keys have one.
    fn twin<'a>(&self, item: &Value, old: Option<&'a Value>) -> Option<&'a Value> {
        let ListKind::Map(keys) = &self.list else {
            return None;
        };
        old?.as_array()?
            .iter()
            .find(|o| keys.iter().all(|k| o.get(k) == item.get(k)))
    }

    fn obey(&self, new: &Value, old: Option<&Value>, path: &str, causes: &mut Vec<Cause>) {
        if !self.has_rules || new.is_null() || old == Some(new) {
            return;
        }
        if let Some(rules) = &self.rules {
            rules.check(new, old.filter(|o| !o.is_null()), path, causes);
        }
        match new {
            Value::Object(fields) => {
                for (name, value) in fields {
                    if let Some(schema) = self.field(name) {
                        schema.obey(value, old.and_then(|o| o.get(name)), &join(path, name), causes);
                    }
                }
            }
            Value::Array(items) => {
                if let Some(schema) = &self.items {
                    for (i, item) in items.iter().enumerate() {
                        schema.obey(item, self.twin(item, old), &format!("{path}[{i}]"), causes);
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn wanted(&self) -> &'static str {
        if self.int_or_string {
            "integer,string"
        } else {
            self.kind.map_or("any", Type::name)
        }
    }

    fn fits(&self, value: &Value) -> bool {
        if value.is_null() && self.nullable {
            return true;
        }
        if self.int_or_string {
            return value.is_string() || is_whole(value);
        }
        match self.kind {
            None => true,
            Some(Type::Object) => value.is_object(),
            Some(Type::Array) => value.is_array(),
            Some(Type::Text) => value.is_string(),
            Some(Type::Integer) => is_whole(value),
            Some(Type::Number) => value.is_number(),
            Some(Type::Boolean) => value.is_boolean(),
        }
    }

    fn values(&self, value: &Value, path: &str, causes: &mut Vec<Cause>) {
        let b = &self.bounds;
        let mut bad = |why: String| causes.push(Cause::invalid(path, value, format!("{path} in body {why}")));
        if let Some(n) = value.as_f64() {
            if let Some((least, open)) = b.least
                && (n < least || (open && n <= least))
            {
                bad(format!(
                    "should be greater than {}{least}",
                    if open { "" } else { "or equal to " }
                ));
            }
            if let Some((most, open)) = b.most
                && (n > most || (open && n >= most))
            {
                bad(format!(
                    "should be less than {}{most}",
                    if open { "" } else { "or equal to " }
                ));
            }
            if let Some(step) = b.multiple_of
                && ((n / step).round() * step - n).abs() > 1e-9
            {
                bad(format!("should be a multiple of {step}"));
            }
        }
        if let Some(text) = value.as_str() {
            let length = text.chars().count();
            if b.min_length.is_some_and(|least| length < least) {
                bad(format!(
                    "should be at least {} chars long",
                    b.min_length.unwrap_or_default()
                ));
            }
            if let Some(pattern) = &b.pattern
                && !pattern.is_match(text)
            {
                bad(format!("should match '{}'", pattern.as_str()));
            }
            if b.date_time && text.parse::<jiff::Timestamp>().is_err() {
                bad(format!("must be of type date-time: {value}"));
            }
            if let Some(most) = b.max_length.filter(|most| length > *most) {
                causes.push(Cause {
                    reason: "FieldValueTooLong",
                    field: path.to_owned(),
                    message: format!("Too long: may not be more than {most} bytes"),
                });
            }
        }
        let counts = value
            .as_array()
            .map(|a| (a.len(), b.min_items, b.max_items, "items"))
            .or_else(|| {
                value
                    .as_object()
                    .map(|o| (o.len(), b.min_properties, b.max_properties, "properties"))
            });
        if let Some((count, least, most, what)) = counts {
            if let Some(least) = least.filter(|least| count < *least) {
                let why = format!("{path} in body should have at least {least} {what}");
                causes.push(Cause::invalid(path, &json!(count), why));
            }
            if let Some(most) = most.filter(|most| count > *most) {
                causes.push(Cause {
                    reason: "FieldValueTooMany",
                    field: path.to_owned(),
                    message: format!("Too many: {count}: must have at most {most} items"),
                });
            }
        }
        if let Some(fields) = value.as_object() {
            for name in self.required.iter().filter(|name| !fields.contains_key(*name)) {
                causes.push(Cause::required(join(path, name), ""));
            }
        }
        if !self.choices.is_empty() && (value.is_null() || !self.choices.contains(value)) {
            let known: Vec<String> = self
                .choices
                .iter()
                .filter(|c| !c.is_null())
                .map(ToString::to_string)
                .collect();
            causes.push(Cause {
                reason: "FieldValueNotSupported",
                field: path.to_owned(),
                message: format!(
                    "Unsupported value: {value}: supported values: {}",
                    known.join(", ")
                ),
            });
        }
        self.combined(value, path, causes);
    }

    fn combined(&self, value: &Value, path: &str, causes: &mut Vec<Cause>) {
        for part in &self.all {
            part.shape(value, None, path, causes);
        }
        let passes = |s: &Self| {
            let mut causes = Vec::new();
            s.shape(value, None, path, &mut causes);
            causes.is_empty()
        };
        let mut bad = |why: String| {
            causes.push(Cause {
                reason: "FieldValueInvalid",
                field: "<nil>".to_owned(),
                message: format!("Invalid value: \"\": \"{path}\" {why}"),
            });
        };
        if !self.any.is_empty() && !self.any.iter().any(passes) {
            bad("must validate at least one schema (anyOf)".to_owned());
        }
        if !self.one.is_empty() {
            let found = match self.one.iter().filter(|s| passes(s)).count() {
                0 => Some("Found none valid".to_owned()),
                1 => None,
                many => Some(format!("Found {many} valid alternatives")),
            };
            if let Some(found) = found {
                bad(format!("must validate one and only one schema (oneOf). {found}"));
            }
        }
        if self.not.as_ref().is_some_and(|s| passes(s)) {
            bad("must not validate the schema (not)".to_owned());
        }
    }

    fn duplicates(&self, items: &[Value], path: &str, causes: &mut Vec<Cause>) {
        let mut seen = BTreeSet::new();
        let mut note = |i: usize, key: String| {
            if !seen.insert(key.clone()) {
                causes.push(Cause {
                    reason: "FieldValueDuplicate",
                    field: format!("{path}[{i}]"),
                    message: format!("Duplicate value: {key}"),
                });
            }
        };
        match &self.list {
            ListKind::Map(keys) => {
                for (i, item) in items.iter().enumerate() {
                    let key: serde_json::Map<String, Value> = keys
                        .iter()
                        .filter_map(|k| Some((k.clone(), item.get(k)?.clone())))
                        .collect();
                    note(i, Value::Object(key).to_string());
                }
            }
            ListKind::Set => items
                .iter()
                .enumerate()
                .for_each(|(i, item)| note(i, item.to_string())),
            ListKind::Atomic if self.bounds.unique => {
                items
                    .iter()
                    .enumerate()
                    .for_each(|(i, item)| note(i, item.to_string()));
            }
            ListKind::Atomic => {}
        }
    }
}

fn is_whole(value: &Value) -> bool {
    value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|n| n.fract() == 0.0)
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) if is_whole(value) => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
