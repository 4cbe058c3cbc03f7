//! How objects are written: as they are, as a table for kubectl, or their metadata alone.

use super::resource::Resource;
use super::wire;
use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use std::sync::Arc;

/// What comes along in a table's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Include {
    /// Nothing.
    None,
    /// The metadata.
    Metadata,
    /// Everything.
    Object,
}

/// The shape of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// The object.
    Full,
    /// `meta.k8s.io/v1` Table.
    Table(Include),
    /// `meta.k8s.io/v1` `PartialObjectMetadata`.
    Metadata,
}

/// Objects at a version, as they are: written without being copied.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Listed<'a> {
    kind: &'a str,
    api_version: String,
    metadata: Value,
    #[serde(serialize_with = "each")]
    items: Vec<Arc<Value>>,
}

fn each<S: Serializer>(items: &[Arc<Value>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(items.iter().map(|item| &**item))
}

impl<'a> Listed<'a> {
    /// Stored objects at a version.
    pub(super) fn of(resource: &'a Resource, stored: &[Arc<Value>], version: u64) -> Self {
        Self::at(resource, stored, &version.to_string())
    }

    fn at(resource: &'a Resource, stored: &[Arc<Value>], version: &str) -> Self {
        Self {
            kind: &resource.list_kind,
            api_version: resource.group_version(),
            metadata: json!({"resourceVersion": version}),
            items: stored.iter().map(|s| wire::outward(resource, s)).collect(),
        }
    }
}

impl View {
    /// The first shape in an `Accept` header that is known here; `None` when there is none.
    pub(super) fn accepted(accept: &str, include: &str) -> Option<Self> {
        if accept.trim().is_empty() {
            return Some(Self::Full);
        }
        accept.split(',').find_map(|one| {
            let mut parts = one.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            let shape = parts.find_map(|p| p.strip_prefix("as="));
            if !matches!(media, "application/json" | "*/*" | "application/*") {
                return None;
            }
            match shape {
                None => Some(Self::Full),
                Some("Table") if one.contains("v=v1") && !one.contains("v=v1beta1") => {
                    Some(Self::Table(match include {
                        "None" => Include::None,
                        "Object" => Include::Object,
                        _ => Include::Metadata,
                    }))
                }
                Some("PartialObjectMetadata" | "PartialObjectMetadataList") => Some(Self::Metadata),
                Some(_) => None,
            }
        })
    }

    /// One stored object.
    pub(super) fn one(self, resource: &Resource, stored: &Arc<Value>, now: Timestamp) -> Value {
        match self {
            Self::Full => Value::clone(&wire::outward(resource, stored)),
            Self::Metadata => partial(stored),
            Self::Table(include) => {
                let version = super::json::meta(stored, "resourceVersion").to_owned();
                table(resource, std::slice::from_ref(stored), include, &version, now)
            }
        }
    }

    /// Several stored objects at a version.
    pub(super) fn list(
        self,
        resource: &Resource,
        stored: &[Arc<Value>],
        version: u64,
        now: Timestamp,
    ) -> Value {
        let version = version.to_string();
        match self {
            Self::Full => json!(Listed::at(resource, stored, &version)),
            Self::Metadata => json!({
                "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
                "metadata": {"resourceVersion": version},
                "items": stored.iter().map(|s| partial(s)).collect::<Vec<_>>(),
            }),
            Self::Table(include) => table(resource, stored, include, &version, now),
        }
    }

    /// A bookmark in this shape.
    pub(super) fn bookmark(self, object: &Value) -> Value {
        match self {
            Self::Full => object.clone(),
            Self::Metadata => partial(object),
            Self::Table(_) => {
                let mut partial = partial(object);
                super::json::set(&mut partial, "spec", None);
                json!({
                    "kind": "Table", "apiVersion": "meta.k8s.io/v1", "columnDefinitions": [],
                    "metadata": {"resourceVersion": super::json::meta(object, "resourceVersion")},
                    "rows": [{"cells": [], "object": partial}],
                })
            }
        }
    }
}

fn partial(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
        "metadata": object.get("metadata").cloned().unwrap_or_default(),
    })
}

fn table(
    resource: &Resource,
    stored: &[Arc<Value>],
    include: Include,
    version: &str,
    now: Timestamp,
) -> Value {
    // Events are known by what they say: their names come last, and only with -o wide.
    let events = resource.plural == "events" && !resource.custom;
    let name = json!({
        "name": "Name", "type": "string", "format": "name", "priority": i32::from(events),
        "description": "Name must be unique within a namespace.",
    });
    let mut columns: Vec<Value> = resource
        .columns
        .iter()
        .map(|c| {
            json!({
                "name": c.name, "type": c.kind, "format": c.format, "description": c.description,
                "priority": c.priority,
            })
        })
        .collect();
    let at = if events { columns.len() } else { 0 };
    columns.insert(at, name);
    let rows: Vec<Value> = stored
        .iter()
        .map(|object| {
            let mut cells: Vec<Value> = resource.columns.iter().map(|c| c.value(object, now)).collect();
            cells.insert(at.min(cells.len()), json!(super::json::meta(object, "name")));
            let mut row = json!({"cells": cells});
            let along = match include {
                Include::None => None,
                Include::Metadata => {
                    let mut partial = partial(object);
                    super::json::metadata(&mut partial).remove("managedFields");
                    Some(partial)
                }
                Include::Object => Some(Value::clone(&wire::outward(resource, object))),
            };
            super::json::set(&mut row, "object", along);
            row
        })
        .collect();
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": version},
        "columnDefinitions": columns, "rows": rows,
    })
}
