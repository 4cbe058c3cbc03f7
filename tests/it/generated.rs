//! Generated files equal what the code generates, and the definition is one that an API server takes.

use gradual_rollout::cluster::crd;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

fn generated() -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_gradual-rollout"))
        .args(["generate", "crd"])
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_committed_definition_is_the_codes_own() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/crd.yaml");
    let fresh = generated();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &fresh).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == fresh,
        "deploy/crd.yaml is stale: UPDATE=1 rewrites it"
    );
    let read: Value = serde_saphyr::from_str(&fresh).unwrap();
    assert_eq!(read, crd::definition(), "YAML says what the code says");
}

/// What a structural schema may hold beside its structure.
const KEYS: &[&str] = &[
    "title",
    "description",
    "type",
    "format",
    "properties",
    "additionalProperties",
    "items",
    "required",
    "enum",
    "nullable",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "maxProperties",
    "pattern",
    "x-kubernetes-int-or-string",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
];

/// Formats that the API server knows; it warns on every apply of others, such as `uint32`.
const FORMATS: &[&str] = &["int32", "int64", "double", "float", "date-time"];

fn complaints(schema: &Value, path: &str, found: &mut Vec<String>) {
    let mut complain = |what: String| found.push(format!("{path}: {what}"));
    let Some(fields) = schema.as_object() else {
        return complain(format!("is no schema: {schema}"));
    };
    let is = |key: &str| schema.get(key) == Some(&Value::Bool(true));
    let kind = schema.get("type").and_then(Value::as_str);
    for key in fields.keys().filter(|key| !KEYS.contains(&key.as_str())) {
        complain(format!(
            "{key} has no place in a structural schema (or is not used here on purpose)"
        ));
    }
    if kind.is_none() && !is("x-kubernetes-int-or-string") && !is("x-kubernetes-preserve-unknown-fields") {
        complain("has no type".to_owned());
    }
    if kind.is_some() && is("x-kubernetes-int-or-string") {
        complain("has a type and is int-or-string".to_owned());
    }
    if let Some(format) = schema
        .get("format")
        .and_then(Value::as_str)
        .filter(|f| !FORMATS.contains(f))
    {
        complain(format!("format {format} is not known to the API server"));
    }
    if schema
        .get("enum")
        .and_then(Value::as_array)
        .is_some_and(|words| words.contains(&Value::Null))
    {
        complain("null among its words: the API server refuses it all the same".to_owned());
    }
    if schema.get("default").is_some() {
        complain("a default is stored for ever".to_owned());
    }
    if schema.get("properties").is_some() && schema.get("additionalProperties").is_some() {
        complain("properties and additionalProperties exclude each other".to_owned());
    }
    let bounded = |key: &str| schema.get(key).is_some_and(Value::is_u64);
    let free = schema.get("enum").is_none() && schema.get("format").is_none_or(|f| f != "date-time");
    match kind {
        Some("array") if !bounded("maxItems") => {
            complain("a list without maxItems makes rules too dear".to_owned());
        }
        Some("array") if !schema.get("items").is_some_and(Value::is_object) => {
            complain("items must be a schema".into());
        }
        Some("string") if free && !bounded("maxLength") => complain("a string without maxLength".to_owned()),
        Some("object")
            if schema.get("additionalProperties").is_some_and(Value::is_object)
                && !bounded("maxProperties") =>
        {
            complain("a map without maxProperties".to_owned());
        }
        _ => {}
    }
    if schema.get("x-kubernetes-list-type").is_some_and(|t| t == "map") {
        let item = schema.get("items").cloned().unwrap_or_default();
        for key in schema["x-kubernetes-list-map-keys"]
            .as_array()
            .cloned()
            .unwrap_or_default()
        {
            let required = item["required"].as_array().is_some_and(|r| r.contains(&key));
            let scalar = item["properties"][key.as_str().unwrap_or_default()]["type"] == "string";
            if !(required && scalar) {
                complain(format!(
                    "the list's key {key} is not a required string of its items"
                ));
            }
        }
    }
    for (name, inner) in schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        complaints(inner, &format!("{path}.{name}"), found);
    }
    for (key, name) in [("items", "[]"), ("additionalProperties", "{}")] {
        if let Some(inner) = schema.get(key).filter(|v| v.is_object()) {
            complaints(inner, &format!("{path}{name}"), found);
        }
    }
}

#[test]
fn the_schema_is_structural() {
    let definition = crd::definition();
    let schema = definition
        .pointer("/spec/versions/0/schema/openAPIV3Schema")
        .unwrap();
    let mut found = Vec::new();
    complaints(schema, "", &mut found);
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert!(schema.get("x-kubernetes-validations").is_none() || schema["type"] == "object");
    assert_eq!(
        definition.pointer("/spec/versions/0/subresources/status"),
        Some(&serde_json::json!({}))
    );
}

#[test]
fn what_is_not_structural_is_seen() {
    for (schema, says) in [
        (serde_json::json!({"oneOf": []}), "oneOf"),
        (serde_json::json!({"description": "x"}), "no type"),
        (
            serde_json::json!({"type": "integer", "format": "uint32"}),
            "uint32",
        ),
        (serde_json::json!({"type": "string"}), "maxLength"),
        (
            serde_json::json!({"type": "array", "items": {"type": "integer"}}),
            "maxItems",
        ),
        (serde_json::json!({"type": "string", "enum": ["a", null]}), "null"),
    ] {
        let mut found = Vec::new();
        complaints(&schema, "", &mut found);
        assert!(found.iter().any(|c| c.contains(says)), "{schema}: {found:?}");
    }
}

#[test]
fn every_rule_of_the_schema_compiles_and_the_examples_keep_them() {
    for file in ["sealos.yaml", "shop.yaml"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(file);
        let text = std::fs::read_to_string(path).unwrap();
        let object: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(crd::broken_rules(&object), [], "{file}");
    }
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/shop.yaml")).unwrap();
    for (from, to, says) in [
        (
            "  steps:",
            "  phases: [{name: a, steps: [{weight: 5%, hold: 1d}]}]\n  steps:",
            "either steps or phases",
        ),
        ("weight: 25%", "weight: 2%", "ascend"),
        ("weight: 25%", "weight: 5", "twice"),
        (
            "- istio:",
            "- controllerSwitch: {deployment: x}\n      istio:",
            "exactly one of",
        ),
        (
            "virtualServices: [{name: shop}]",
            "virtualServices: []",
            "at least one",
        ),
        (
            "preset: istio",
            "preset: gatewayapi",
            "metrics goes with preset gatewayapi",
        ),
        (
            "preset: istio,",
            "preset: istio, metrics: {requests: a, code: b},",
            "metrics goes with preset gatewayapi",
        ),
        (
            "preset: istio,",
            "preset: gatewayapi, metrics: {requests: a, code: b, buckets: c},",
            "buckets and unit go together",
        ),
        ("hold: 1d", "hold: one day", "form"),
        ("weight: 5%", "weight: 500%", "form"),
        ("weight: 5%", "weight: 101", "between 0 and 100"),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text);
        let object: Value = serde_saphyr::from_str(&changed).unwrap();
        let broken = crd::broken_rules(&object);
        assert!(
            broken.iter().any(|b| b.message.contains(says)),
            "{to}: {broken:?}"
        );
    }
}
