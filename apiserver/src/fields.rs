//! Sets of fields, as `metadata.managedFields[].fieldsV1` writes them: who owns what.

use super::schema::{ListKind, Schema};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A set of paths into an object. Path elements carry their kind: `f:name`, `k:{"name":"x"}`, `v:"x"`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields {
    /// The path that ends here is in the set.
    pub own: bool,
    /// Longer paths.
    pub below: BTreeMap<String, Fields>,
}

/// The element that stands for a list's item, if its list tells items apart.
pub(super) fn element(list: &ListKind, item: &Value) -> Option<String> {
    match list {
        ListKind::Map(keys) => {
            let key: Map<String, Value> = keys
                .iter()
                .filter_map(|k| Some((k.clone(), item.get(k)?.clone())))
                .collect();
            Some(format!("k:{}", Value::Object(key)))
        }
        ListKind::Set => Some(format!("v:{item}")),
        ListKind::Atomic => None,
    }
}

/// Whether two items are the same one of their list: they have one element.
fn same_item(list: &ListKind, one: &Value, other: &Value) -> bool {
    match list {
        ListKind::Map(keys) => keys.iter().all(|k| one.get(k) == other.get(k)),
        ListKind::Set => one == other,
        ListKind::Atomic => false,
    }
}

fn list_of(schema: Option<&Schema>) -> &ListKind {
    schema.map_or(&ListKind::Atomic, |s| &s.list)
}

fn items_of(schema: Option<&Schema>) -> Option<&Schema> {
    schema.and_then(|s| s.items.as_deref())
}

impl Fields {
    /// Nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        !self.own && self.below.is_empty()
    }

    /// Adds every leaf of `value`.
    pub(super) fn collect(&mut self, schema: Option<&Schema>, value: &Value) {
        match value {
            Value::Object(fields) if !fields.is_empty() && !schema.is_some_and(|s| s.atomic) => {
                for (name, value) in fields {
                    self.below
                        .entry(format!("f:{name}"))
                        .or_default()
                        .collect(schema.and_then(|s| s.field(name)), value);
                }
            }
            Value::Array(items) if !items.is_empty() && *list_of(schema) != ListKind::Atomic => {
                for item in items {
                    if let Some(element) = element(list_of(schema), item) {
                        let below = self.below.entry(element).or_default();
                        below.own = true;
                        if item.is_object() {
                            below.collect(items_of(schema), item);
                        }
                    }
                }
            }
            Value::Object(_)
            | Value::Array(_)
            | Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_) => self.own = true,
        }
    }

    /// Puts paths below the member that these names lead to.
    pub(super) fn lay(&mut self, names: &[&str], fields: Self) {
        if fields.is_empty() {
            return;
        }
        let at = names
            .iter()
            .fold(self, |at, name| at.below.entry(format!("f:{name}")).or_default());
        *at = fields;
    }

    /// Adds every path of `other`.
    pub(super) fn unite(&mut self, other: &Self) {
        self.own |= other.own;
        for (element, theirs) in &other.below {
            self.below.entry(element.clone()).or_default().unite(theirs);
        }
    }

    /// Takes every path of `other` out; true when something was.
    pub(super) fn subtract(&mut self, other: &Self) -> bool {
        let mut changed = self.own && other.own;
        self.own &= !other.own;
        self.below.retain(|element, mine| {
            if let Some(theirs) = other.below.get(element) {
                changed |= mine.subtract(theirs);
            }
            !mine.is_empty()
        });
        changed
    }

    /// Every path of `other` is in it.
    pub(super) fn covers(&self, other: &Self) -> bool {
        (self.own || !other.own)
            && other
                .below
                .iter()
                .all(|(e, theirs)| self.below.get(e).is_some_and(|mine| mine.covers(theirs)))
    }

    /// The two have no path in common.
    pub(super) fn apart(&self, other: &Self) -> bool {
        !(self.own && other.own)
            && self
                .below
                .iter()
                .all(|(e, mine)| other.below.get(e).is_none_or(|theirs| mine.apart(theirs)))
    }

    /// The paths in both.
    pub(super) fn both(&self, other: &Self) -> Self {
        let mut out = Self {
            own: self.own && other.own,
            below: BTreeMap::new(),
        };
        for (element, mine) in &self.below {
            if let Some(both) = other.below.get(element).map(|theirs| mine.both(theirs))
                && !both.is_empty()
            {
                out.below.insert(element.clone(), both);
            }
        }
        out
    }

    /// The paths in words: `.spec.containers[name="web"].image`.
    pub(super) fn paths(&self) -> Vec<String> {
        let mut out = Vec::new();
        self.write_paths("", &mut out);
        out
    }

    fn write_paths(&self, path: &str, out: &mut Vec<String>) {
        if self.own {
            out.push(path.to_owned());
        }
        for (element, below) in &self.below {
            let step = if let Some(name) = element.strip_prefix("f:") {
                format!(".{name}")
            } else if let Some(key) = element.strip_prefix("k:") {
                let key: BTreeMap<String, Value> = serde_json::from_str(key).unwrap_or_default();
                let key: Vec<String> = key.iter().map(|(k, v)| format!("{k}={v}")).collect();
                format!("[{}]", key.join(","))
            } else {
                format!("[={}]", element.strip_prefix("v:").unwrap_or(element))
            };
            below.write_paths(&format!("{path}{step}"), out);
        }
    }

    /// As `fieldsV1`.
    pub(super) fn to_json(&self) -> Value {
        let mut map = Map::new();
        if self.own && !self.below.is_empty() {
            map.insert(".".to_owned(), Value::Object(Map::new()));
        }
        map.extend(
            self.below
                .iter()
                .map(|(element, below)| (element.clone(), below.to_json())),
        );
        Value::Object(map)
    }

    /// Removes from `value` what the set names.
    pub(super) fn remove_from(&self, schema: Option<&Schema>, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (element, below) in &self.below {
                    let Some(name) = element.strip_prefix("f:") else {
                        continue;
                    };
                    if below.own {
                        fields.remove(name);
                    } else if let Some(value) = fields.get_mut(name) {
                        below.remove_from(schema.and_then(|s| s.field(name)), value);
                    }
                }
            }
            Value::Array(items) => {
                let list = list_of(schema);
                items.retain_mut(|item| {
                    let Some(below) = element(list, item).and_then(|e| self.below.get(&e)) else {
                        return true;
                    };
                    if !below.own {
                        below.remove_from(items_of(schema), item);
                    }
                    !below.own
                });
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

/// What a write did: the paths it set, and the paths it took away.
#[derive(Debug, Default)]
pub(super) struct Delta {
    /// Added or with another value.
    pub changed: Fields,
    /// No longer there.
    pub removed: Fields,
}

impl Delta {
    /// The difference between two values.
    pub(super) fn between(schema: Option<&Schema>, old: Option<&Value>, new: Option<&Value>) -> Self {
        let (mut changed, mut removed) = (Fields::default(), Fields::default());
        diff(schema, old, new, &mut changed, &mut removed);
        Self { changed, removed }
    }
}

fn diff(
    schema: Option<&Schema>,
    old: Option<&Value>,
    new: Option<&Value>,
    changed: &mut Fields,
    removed: &mut Fields,
) {
    let mut step = |element: String, schema: Option<&Schema>, old: Option<&Value>, new: Option<&Value>| {
        let (mut c, mut r) = (Fields::default(), Fields::default());
        diff(schema, old, new, &mut c, &mut r);
        if element.starts_with("k:") || element.starts_with("v:") {
            c.own |= old.is_none();
            r.own |= new.is_none();
        }
        if !c.is_empty() {
            changed.below.insert(element.clone(), c);
        }
        if !r.is_empty() {
            removed.below.insert(element, r);
        }
    };
    match (old, new) {
        (old, new) if old == new => {}
        (Some(Value::Object(old)), Some(Value::Object(new))) if !schema.is_some_and(|s| s.atomic) => {
            for (name, value) in new {
                let before = old.get(name);
                if before != Some(value) {
                    step(
                        format!("f:{name}"),
                        schema.and_then(|s| s.field(name)),
                        before,
                        Some(value),
                    );
                }
            }
            for (name, value) in old.iter().filter(|(name, _)| !new.contains_key(*name)) {
                step(
                    format!("f:{name}"),
                    schema.and_then(|s| s.field(name)),
                    Some(value),
                    None,
                );
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) if *list_of(schema) != ListKind::Atomic => {
            let list = list_of(schema);
            for item in new {
                let before = old.iter().find(|old| same_item(list, old, item));
                if before != Some(item)
                    && let Some(e) = element(list, item)
                {
                    step(e, items_of(schema), before, Some(item));
                }
            }
            let gone = old
                .iter()
                .filter(|old| !new.iter().any(|new| same_item(list, old, new)));
            for item in gone {
                if let Some(e) = element(list, item) {
                    step(e, items_of(schema), Some(item), None);
                }
            }
        }
        (old, new) => {
            if let Some(old) = old
                && (new.is_none() || old.is_object())
            {
                removed.collect(schema, old);
            }
            if let Some(new) = new {
                changed.collect(schema, new);
            }
        }
    }
}
