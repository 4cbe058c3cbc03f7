//! Who owns which field: `metadata.managedFields`, and server-side apply on top of it.

use super::failure::{Cause, Failure};
use super::fields::{Delta, Fields, element};
use super::json;
use super::resource::Resource;
use super::schema::{ListKind, Schema};
use serde_json::{Value, json};
use std::sync::Arc;

/// What one manager owns through one operation on one subresource.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    manager: String,
    apply: bool,
    subresource: &'static str,
    api_version: String,
    time: String,
    fields: Arc<Fields>,
}

/// Who writes, and when.
#[derive(Clone, Debug)]
pub(super) struct Author<'a> {
    /// The field manager.
    pub manager: &'a str,
    /// `""`, `"status"` or `"scale"`.
    pub subresource: &'static str,
    /// The version the request was made in.
    pub api_version: &'a str,
    /// RFC 3339, whole seconds.
    pub time: &'a str,
}

/// All entries of an object. Cheap to clone.
pub(super) type Managers = Arc<Vec<Entry>>;

impl Entry {
    fn is(&self, author: &Author<'_>, apply: bool) -> bool {
        self.manager == author.manager && self.apply == apply && self.subresource == author.subresource
    }

    fn new(author: &Author<'_>, apply: bool, fields: Fields) -> Self {
        Self {
            manager: author.manager.to_owned(),
            apply,
            subresource: author.subresource,
            api_version: author.api_version.to_owned(),
            time: author.time.to_owned(),
            fields: Arc::new(fields),
        }
    }

    /// Takes fields out. What has none of them stays as it is, shared with the object before.
    fn lose(&mut self, fields: &Fields) {
        if !self.fields.apart(fields) {
            Arc::make_mut(&mut self.fields).subtract(fields);
        }
    }

    /// Whether it would be written the same, but for the time.
    fn says_the_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.fields, &other.fields)
            && self.manager == other.manager
            && self.apply == other.apply
            && self.subresource == other.subresource
            && self.api_version == other.api_version
    }

    fn to_json(&self) -> Value {
        let mut entry = json!({
            "manager": self.manager, "operation": if self.apply { "Apply" } else { "Update" },
            "apiVersion": self.api_version, "time": self.time,
            "fieldsType": "FieldsV1", "fieldsV1": self.fields.to_json(),
        });
        if !self.subresource.is_empty() {
            json::set(&mut entry, "subresource", Some(json!(self.subresource)));
        }
        entry
    }

    fn describe(&self) -> String {
        let part = match self.subresource {
            "" => String::new(),
            part => format!(" with subresource {part:?}"),
        };
        let version = if self.apply {
            String::new()
        } else {
            format!(" using {}", self.api_version)
        };
        format!("{:?}{part}{version}", self.manager)
    }
}

/// What managers own of an object's metadata.
const OWNED: [&str; 4] = ["labels", "annotations", "finalizers", "ownerReferences"];

/// The part of an object that managers own.
fn owned(value: &Value) -> Value {
    let mut out = value.clone();
    if let Some(map) = out.as_object_mut() {
        map.remove("apiVersion");
        map.remove("kind");
        if let Some(meta) = map.get_mut("metadata").and_then(Value::as_object_mut) {
            meta.retain(|k, _| OWNED.contains(&k.as_str()));
            if meta.is_empty() {
                map.remove("metadata");
            }
        }
    }
    out
}

fn members(value: Option<&Value>) -> impl Iterator<Item = &str> {
    let fields = value.and_then(Value::as_object);
    fields
        .into_iter()
        .flat_map(|fields| fields.keys().map(String::as_str))
}

/// The paths a write changed, outside the fields the server itself keeps. Nothing is copied for it: what an object says
/// of its managers is longer than most of what is written.
fn delta(schema: &Schema, old: Option<&Value>, new: &Value) -> Delta {
    let mut out = Delta::default();
    let mut look = |path: &[&str], old: Option<&Value>, new: Option<&Value>| {
        if old != new {
            let below = path.iter().try_fold(schema, |schema, name| schema.field(name));
            let one = Delta::between(below, old, new);
            out.changed.lay(path, one.changed);
            out.removed.lay(path, one.removed);
        }
    };
    let gone = members(old).filter(|name| new.get(*name).is_none());
    for name in members(Some(new)).chain(gone) {
        if matches!(name, "apiVersion" | "kind") {
            continue;
        }
        let (old, new) = (old.and_then(|o| o.get(name)), new.get(name));
        if name == "metadata" {
            for field in OWNED {
                look(
                    &[name, field],
                    old.and_then(|m| m.get(field)),
                    new.and_then(|m| m.get(field)),
                );
            }
        } else {
            look(&[name], old, new);
        }
    }
    out
}

/// Writes the entries into the object. Of those that are what they were before, what stands there is kept.
fn store(value: &mut Value, before: &[Entry], entries: &[Entry]) {
    let meta = json::metadata(value);
    let mut known = match meta.remove("managedFields") {
        Some(Value::Array(known)) if known.len() == before.len() => known,
        Some(_) | None => Vec::new(),
    };
    let mut list = Vec::with_capacity(entries.len());
    for entry in entries {
        let at = before.iter().position(|old| old.says_the_same(entry));
        let kept = at.and_then(|at| known.get_mut(at)).map(Value::take);
        list.push(match kept {
            Some(mut kept) => {
                json::set(&mut kept, "time", Some(json!(entry.time)));
                kept
            }
            None => entry.to_json(),
        });
    }
    if !list.is_empty() {
        meta.insert("managedFields".to_owned(), Value::Array(list));
    }
}

/// The usual write, fast: the author owns all it changed already, and nobody else does. Only the time moves.
fn again(entries: &Managers, author: &Author<'_>, delta: &Delta, new: &mut Value) -> Option<Managers> {
    if !delta.removed.is_empty() || delta.changed.is_empty() {
        return None;
    }
    let mine = entries.iter().position(|e| e.is(author, false))?;
    let fits = entries.iter().enumerate().all(|(i, e)| {
        if i == mine {
            e.api_version == author.api_version && e.fields.covers(&delta.changed)
        } else {
            e.fields.apart(&delta.changed)
        }
    });
    let written = new
        .pointer_mut("/metadata/managedFields")?
        .get_mut(mine)
        .filter(|_| fits)?;
    json::set(written, "time", Some(json!(author.time)));
    let mut next = Vec::clone(entries);
    author.time.clone_into(&mut next.get_mut(mine)?.time);
    Some(Arc::new(next))
}

/// After a plain write: what changed now belongs to its author alone. Writes `managedFields` into `new`.
pub(super) fn update(
    schema: &Schema,
    entries: &Managers,
    author: &Author<'_>,
    old: Option<&Value>,
    new: &mut Value,
) -> Managers {
    let delta = delta(schema, old, new);
    if let Some(same) = again(entries, author, &delta, new) {
        return same;
    }
    let mut next = Vec::with_capacity(entries.len() + 1);
    let mut mine = None;
    for entry in entries.iter() {
        let mut entry = entry.clone();
        if entry.is(author, false) {
            if !entry.fields.covers(&delta.changed) {
                Arc::make_mut(&mut entry.fields).unite(&delta.changed);
            }
            entry.lose(&delta.removed);
            if !delta.changed.is_empty() {
                author.time.clone_into(&mut entry.time);
            }
            author.api_version.clone_into(&mut entry.api_version);
            mine = Some(());
        } else {
            entry.lose(&delta.changed);
            entry.lose(&delta.removed);
        }
        if !entry.fields.is_empty() {
            next.push(entry);
        }
    }
    if mine.is_none() && !delta.changed.is_empty() {
        next.push(Entry::new(author, false, delta.changed));
    }
    store(new, entries, &next);
    Arc::new(next)
}

/// The result of a server-side apply, not yet validated.
pub(super) struct Applied {
    /// The object.
    pub value: Value,
    /// Who owns what after it.
    pub managers: Managers,
}

/// Applies `config` over `live` in the name of `author`. Fields the author applied before and dropped now go,
/// unless somebody else owns them; changing what another manager owns is a conflict unless forced.
pub(super) fn apply(
    resource: &Resource,
    live: Option<(&Value, &Managers)>,
    config: &Value,
    author: &Author<'_>,
    force: bool,
) -> Result<Applied, Failure> {
    let schema = resource.schema();
    let wanted = owned(config);
    let mut fields = Fields::default();
    fields.collect(Some(schema), &wanted);
    fields.own = false;
    let none = Managers::default();
    let (base, entries) = live.unwrap_or((config, &none));
    let mut value = base.clone();
    merge(Some(schema), &mut value, &wanted);
    let changed = if live.is_some() {
        delta(schema, Some(base), &value).changed
    } else {
        Fields::default()
    };

    let mut next: Vec<Entry> = Vec::new();
    let mut before = Fields::default();
    let mut others = Fields::default();
    let mut conflicts: Vec<(String, Vec<String>)> = Vec::new();
    for entry in entries.iter() {
        if entry.is(author, true) {
            before = Fields::clone(&entry.fields);
            continue;
        }
        let clash = entry.fields.both(&changed);
        let mut entry = entry.clone();
        if !clash.is_empty() {
            if force {
                Arc::make_mut(&mut entry.fields).subtract(&clash);
            } else {
                conflicts.push((entry.describe(), clash.paths()));
            }
        }
        others.unite(&entry.fields);
        if !entry.fields.is_empty() {
            next.push(entry);
        }
    }
    if !conflicts.is_empty() {
        return Err(conflict(resource, json::meta(config, "name"), &conflicts));
    }
    let mut dropped = before.clone();
    dropped.subtract(&fields);
    keep_shared(&mut dropped, &others);
    dropped.remove_from(Some(schema), &mut value);
    let same = before == fields && changed.is_empty() && dropped.is_empty();
    let mut mine = Entry::new(author, true, fields);
    if same && let Some(old) = entries.iter().find(|e| e.is(author, true)) {
        mine.time.clone_from(&old.time);
    }
    if !mine.fields.is_empty() {
        next.insert(0, mine);
    }
    store(&mut value, entries, &next);
    Ok(Applied {
        value,
        managers: Arc::new(next),
    })
}

/// An item stays when somebody else owns anything in it.
fn keep_shared(dropped: &mut Fields, others: &Fields) {
    dropped.below.retain(|element, below| {
        if let Some(theirs) = others.below.get(element) {
            if theirs.own || element.starts_with("k:") {
                below.own = false;
            }
            keep_shared(below, theirs);
        }
        !below.is_empty()
    });
}

fn conflict(resource: &Resource, name: &str, conflicts: &[(String, Vec<String>)]) -> Failure {
    let count: usize = conflicts.iter().map(|(_, paths)| paths.len()).sum();
    let said: Vec<String> = conflicts
        .iter()
        .map(|(who, paths)| match paths.as_slice() {
            [path] => format!("conflict with {who}: {path}"),
            [] | [_, ..] => format!("conflicts with {who}:\n- {}", paths.join("\n- ")),
        })
        .collect();
    let plural = if count == 1 { "" } else { "s" };
    let message = format!("Apply failed with {count} conflict{plural}: {}", said.join("\n"));
    let mut failure = Failure::conflict(resource, name);
    failure.message = message;
    failure.about.clear();
    failure.causes = conflicts
        .iter()
        .flat_map(|(who, paths)| {
            paths.iter().map(move |path| Cause {
                reason: "FieldManagerConflict",
                field: path.clone(),
                message: format!("conflict with {who}"),
            })
        })
        .collect();
    failure
}

/// Lays `wanted` over `live`: objects field by field, lists by their kind.
fn merge(schema: Option<&Schema>, live: &mut Value, wanted: &Value) {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) if !schema.is_some_and(|s| s.atomic) => {
            for (name, value) in wanted {
                if value.is_null() {
                    live.remove(name);
                } else {
                    let slot = live.entry(name.clone()).or_insert(Value::Null);
                    merge(schema.and_then(|s| s.field(name)), slot, value);
                }
            }
        }
        (Value::Array(live), Value::Array(wanted)) if schema.is_some_and(|s| s.list != ListKind::Atomic) => {
            let Some(schema) = schema else { return };
            for item in wanted {
                let key = element(&schema.list, item);
                match live.iter_mut().find(|l| element(&schema.list, l) == key) {
                    Some(slot) => merge(schema.items.as_deref(), slot, item),
                    None => live.push(item.clone()),
                }
            }
        }
        (live, wanted) => *live = wanted.clone(),
    }
}
