//! `CustomResourceDefinition`s: what they serve, and why one is refused.

use super::column::{Cell, Column, Path};
use super::failure::{Cause, Failure};
use super::json::text;
use super::resource::{Resource, Source};
use super::rules::Rules;
use regex::Regex;
use serde_json::{Value, json};
use std::sync::OnceLock;

/// The resources a definition serves, one per served version.
pub(super) fn resources(crd: &Value) -> Vec<Resource> {
    let versions = crd
        .pointer("/spec/versions")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let truth = |v: &Value, key: &str| v.get(key).and_then(Value::as_bool).unwrap_or_default();
    let names = |pointer: &str| -> Vec<String> {
        let list = crd.pointer(pointer).and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    };
    let or = |given: &str, other: String| if given.is_empty() { other } else { given.to_owned() };
    let kind = text(crd, "/spec/names/kind");
    let stored = versions.iter().find(|v| truth(v, "storage"));
    versions
        .iter()
        .filter(|v| truth(v, "served"))
        .map(|version| Resource {
            group: text(crd, "/spec/group").to_owned(),
            version: text(version, "/name").to_owned(),
            plural: text(crd, "/spec/names/plural").to_owned(),
            singular: or(text(crd, "/spec/names/singular"), kind.to_lowercase()),
            kind: kind.to_owned(),
            list_kind: or(text(crd, "/spec/names/listKind"), format!("{kind}List")),
            short_names: names("/spec/names/shortNames"),
            categories: names("/spec/names/categories"),
            namespaced: text(crd, "/spec/scope") == "Namespaced",
            status: version.pointer("/subresources/status").is_some(),
            scale: version.pointer("/subresources/scale").is_some(),
            custom: true,
            unconditional: false,
            create_on_update: false,
            generations: true,
            selectable: version
                .get("selectableFields")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .map(|f| text(f, "/jsonPath").trim_start_matches('.').to_owned())
                .collect(),
            columns: columns(version),
            stored_group: text(crd, "/spec/group").to_owned(),
            stored_version: stored.map(|v| text(v, "/name")).unwrap_or_default().to_owned(),
            source: Source::Given(
                version
                    .pointer("/schema/openAPIV3Schema")
                    .cloned()
                    .unwrap_or_else(
                        || json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
                    ),
            ),
            compiled: OnceLock::new(),
        })
        .collect()
}

fn columns(version: &Value) -> Vec<Column> {
    let Some(given) = version.get("additionalPrinterColumns").and_then(Value::as_array) else {
        return vec![Column::age()];
    };
    given
        .iter()
        .map(|column| Column {
            name: text(column, "/name").to_owned(),
            kind: text(column, "/type").to_owned(),
            format: text(column, "/format").to_owned(),
            description: text(column, "/description").to_owned(),
            priority: column.get("priority").and_then(Value::as_i64).unwrap_or_default(),
            cell: Cell::Path(Path::parse(text(column, "/jsonPath"))),
        })
        .collect()
}

/// Refuses a definition whose name, versions, patterns or rules cannot work.
pub(super) fn check(resource: &Resource, crd: &Value) -> Result<(), Failure> {
    let mut causes = Vec::new();
    let name = text(crd, "/metadata/name");
    for pointer in [
        "/spec/group",
        "/spec/names/plural",
        "/spec/names/kind",
        "/spec/scope",
    ] {
        if text(crd, pointer).is_empty() {
            causes.push(Cause::required(
                pointer.trim_start_matches('/').replace('/', "."),
                "",
            ));
        }
    }
    let wanted = format!("{}.{}", text(crd, "/spec/names/plural"), text(crd, "/spec/group"));
    if name != wanted {
        causes.push(Cause::invalid(
            "metadata.name",
            &json!(name),
            "must be spec.names.plural+\".\"+spec.group",
        ));
    }
    let versions = crd
        .pointer("/spec/versions")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let storage = versions
        .iter()
        .filter(|v| v.get("storage") == Some(&json!(true)))
        .count();
    if storage != 1 {
        causes.push(Cause::invalid(
            "spec.versions",
            &json!(storage),
            "must have exactly one version marked as storage version",
        ));
    }
    for (i, version) in versions.iter().enumerate() {
        let path = format!("spec.versions[{i}].schema.openAPIV3Schema");
        match version.pointer("/schema/openAPIV3Schema") {
            Some(schema) => node(schema, &path, &mut causes),
            None => causes.push(Cause::required(path, "schemas are required")),
        }
    }
    if causes.is_empty() {
        Ok(())
    } else {
        Err(Failure::invalid(resource, name, causes))
    }
}

fn node(schema: &Value, path: &str, causes: &mut Vec<Cause>) {
    if let Some(pattern) = schema.get("pattern").and_then(Value::as_str)
        && let Err(error) = Regex::new(pattern)
    {
        causes.push(Cause::invalid(
            format!("{path}.pattern"),
            &json!(pattern),
            error.to_string(),
        ));
    }
    let typed = schema.get("type").is_some()
        || [
            "x-kubernetes-int-or-string",
            "x-kubernetes-preserve-unknown-fields",
        ]
        .iter()
        .any(|flag| schema.get(flag) == Some(&json!(true)));
    if !typed {
        causes.push(Cause::required(
            format!("{path}.type"),
            "must not be empty for specified object fields",
        ));
    }
    if schema.get("$ref").is_some() {
        causes.push(Cause {
            reason: "FieldValueForbidden",
            field: format!("{path}.$ref"),
            message: "Forbidden: $ref is not supported".to_owned(),
        });
    }
    if schema.get("additionalProperties").is_some() && schema.get("properties").is_some() {
        causes.push(Cause {
            reason: "FieldValueForbidden",
            field: format!("{path}.additionalProperties"),
            message: "Forbidden: additionalProperties and properties are mutual exclusive".to_owned(),
        });
    }
    if let Some(rules) = Rules::of(schema) {
        for error in rules.errors() {
            causes.push(Cause::invalid(
                format!("{path}.x-kubernetes-validations"),
                &json!("rule"),
                format!("compilation failed: {error}"),
            ));
        }
    }
    for (name, below) in schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        node(below, &format!("{path}.properties[{name}]"), causes);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(below) = schema.get(key).filter(|b| b.is_object()) {
            node(below, &format!("{path}.{key}"), causes);
        }
    }
}

/// The status of a definition that is served, as of `now`.
pub(super) fn established(crd: &Value, now: &str) -> Value {
    let condition = |kind: &str, reason: &str, message: &str| json!({"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": now});
    let stored: Vec<&Value> = crd
        .pointer("/spec/versions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|v| v.get("storage") == Some(&json!(true)))
        .filter_map(|v| v.get("name"))
        .collect();
    json!({
        "acceptedNames": crd.pointer("/spec/names").cloned().unwrap_or_default(),
        "storedVersions": stored,
        "conditions": [
            condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        ],
    })
}
