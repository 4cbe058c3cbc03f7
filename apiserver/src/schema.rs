//! A structural schema, compiled once: types, bounds, list kinds and rules of every field.
//!
//! Checking lives in [`super::check`], dropping unknown fields and filling defaults in [`super::prune`].

use super::rules::Rules;
use regex::Regex;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// What a value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// A JSON object.
    Object,
    /// A JSON array.
    Array,
    /// A string.
    Text,
    /// A whole number.
    Integer,
    /// Any number.
    Number,
    /// True or false.
    Boolean,
}

impl Type {
    /// The name in a schema and in messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::Text => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }
}

/// How the items of a list are told apart when it is merged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum ListKind {
    /// Replaced as a whole.
    #[default]
    Atomic,
    /// Scalars, each once.
    Set,
    /// Objects, each once per value of these fields.
    Map(Vec<String>),
}

/// Fields beyond the named ones.
#[derive(Debug, Default)]
pub(super) enum Additional {
    /// Unknown: dropped or refused.
    #[default]
    None,
    /// Anything goes.
    Any,
    /// A map with values of this schema.
    Each(Box<Schema>),
}

/// One node of a compiled schema.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of the API of its own"
)]
pub(super) struct Schema {
    /// The type; `None` accepts any.
    pub kind: Option<Type>,
    /// Null is a value of it.
    pub nullable: bool,
    /// Integers and strings both.
    pub int_or_string: bool,
    /// Unknown fields survive.
    pub preserve: bool,
    /// Maps only: owned as a whole.
    pub atomic: bool,
    /// The named fields.
    pub properties: BTreeMap<String, Schema>,
    /// Other fields.
    pub additional: Additional,
    /// The items of an array.
    pub items: Option<Box<Schema>>,
    /// How items are told apart by validation and server-side apply.
    pub list: ListKind,
    /// How items are told apart by strategic merge; empty for replaced lists and `""` for sets of scalars.
    pub merge_key: Option<String>,
    /// Fields that must be there.
    pub required: Vec<String>,
    /// The only accepted values.
    pub choices: Vec<Value>,
    /// Fills an absent field.
    pub default: Option<Value>,
    /// Bounds.
    pub bounds: Bounds,
    /// `allOf`.
    pub all: Vec<Schema>,
    /// `anyOf`.
    pub any: Vec<Schema>,
    /// `oneOf`.
    pub one: Vec<Schema>,
    /// `not`.
    pub not: Option<Box<Schema>>,
    /// CEL rules of this node.
    pub rules: Option<Rules>,
    /// This node or one below has CEL rules.
    pub has_rules: bool,
}

/// Limits on numbers, texts, lists and maps.
#[derive(Debug, Default)]
pub(super) struct Bounds {
    /// Smallest and largest number, and whether the bound itself is out.
    pub least: Option<(f64, bool)>,
    /// See `least`.
    pub most: Option<(f64, bool)>,
    /// The number is a multiple of this.
    pub multiple_of: Option<f64>,
    /// Shortest text, in characters.
    pub min_length: Option<usize>,
    /// Longest text, in characters.
    pub max_length: Option<usize>,
    /// The text matches.
    pub pattern: Option<Regex>,
    /// Fewest items.
    pub min_items: Option<usize>,
    /// Most items.
    pub max_items: Option<usize>,
    /// No two items are the same.
    pub unique: bool,
    /// Fewest fields.
    pub min_properties: Option<usize>,
    /// Most fields.
    pub max_properties: Option<usize>,
    /// `format: date-time`.
    pub date_time: bool,
}

/// The schema of `metadata`, the same for every object.
pub(super) static METADATA: LazyLock<Value> = LazyLock::new(|| {
    let text = json!({"type": "string"});
    let map = json!({"type": "object", "additionalProperties": {"type": "string"}, "nullable": true});
    json!({"type": "object", "nullable": true, "properties": {
        "name": text, "generateName": text, "namespace": text, "uid": text, "resourceVersion": text,
        "selfLink": text, "generation": {"type": "integer"},
        "creationTimestamp": {"type": "string", "nullable": true},
        "deletionTimestamp": {"type": "string", "nullable": true},
        "deletionGracePeriodSeconds": {"type": "integer", "nullable": true},
        "labels": map, "annotations": map,
        "finalizers": {"type": "array", "items": text, "nullable": true,
            "x-kubernetes-list-type": "set", "x-kubernetes-patch-merge-key": ""},
        "ownerReferences": {"type": "array", "nullable": true,
            "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["uid"],
            "x-kubernetes-patch-merge-key": "uid",
            "items": {"type": "object", "required": ["apiVersion", "kind", "name", "uid"], "properties": {
                "apiVersion": text, "kind": text, "name": text, "uid": text,
                "controller": {"type": "boolean"}, "blockOwnerDeletion": {"type": "boolean"}}}},
        "managedFields": {"type": "array", "nullable": true,
            "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
    }})
});

impl Schema {
    /// Compiles the schema of a whole object: `apiVersion`, `kind` and `metadata` are added. Broken patterns and
    /// rules are left out here; [`super::crd`] refuses a definition that has any.
    pub(super) fn compile(raw: &Value) -> Self {
        let mut root = Self::node(raw);
        for (field, schema) in [
            ("apiVersion", &json!({"type": "string"})),
            ("kind", &json!({"type": "string"})),
            ("metadata", &*METADATA),
        ] {
            root.properties.insert(field.to_owned(), Self::node(schema));
        }
        root
    }

    /// Compiles one node and what is below it.
    pub(super) fn node(raw: &Value) -> Self {
        let flag = |key: &str| raw.get(key).and_then(Value::as_bool).unwrap_or_default();
        let several = |key: &str| -> Vec<Self> {
            raw.get(key)
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .map(Self::node)
                .collect()
        };
        let mut this = Self {
            kind: raw.get("type").and_then(Value::as_str).and_then(kind),
            nullable: flag("nullable"),
            int_or_string: flag("x-kubernetes-int-or-string"),
            preserve: flag("x-kubernetes-preserve-unknown-fields"),
            atomic: raw.get("x-kubernetes-map-type").and_then(Value::as_str) == Some("atomic"),
            items: raw
                .get("items")
                .filter(|i| i.is_object())
                .map(|i| Box::new(Self::node(i))),
            list: list_kind(raw),
            merge_key: raw
                .get("x-kubernetes-patch-merge-key")
                .and_then(Value::as_str)
                .map(str::to_owned),
            required: texts(raw.get("required")),
            choices: raw
                .get("enum")
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default(),
            default: raw.get("default").cloned(),
            bounds: Bounds::of(raw),
            all: several("allOf"),
            any: several("anyOf"),
            one: several("oneOf"),
            not: raw.get("not").map(|n| Box::new(Self::node(n))),
            rules: Rules::of(raw),
            ..Self::default()
        };
        if let Some(properties) = raw.get("properties").and_then(Value::as_object) {
            this.properties = properties
                .iter()
                .map(|(k, v)| (k.clone(), Self::node(v)))
                .collect();
        }
        this.additional = match raw.get("additionalProperties") {
            Some(Value::Bool(true)) => Additional::Any,
            Some(each @ Value::Object(_)) => Additional::Each(Box::new(Self::node(each))),
            _ => Additional::None,
        };
        if flag("x-kubernetes-embedded-resource") {
            for field in ["apiVersion", "kind"] {
                this.properties
                    .entry(field.to_owned())
                    .or_insert_with(|| Self::node(&json!({"type": "string"})));
            }
            this.properties
                .insert("metadata".to_owned(), Self::node(&METADATA));
        }
        this.has_rules = this.rules.is_some()
            || this.properties.values().any(|s| s.has_rules)
            || this.items.as_ref().is_some_and(|s| s.has_rules)
            || matches!(&this.additional, Additional::Each(s) if s.has_rules);
        this
    }

    /// The schema of a field, named or not.
    pub(super) fn field(&self, name: &str) -> Option<&Self> {
        self.properties.get(name).or(match &self.additional {
            Additional::Each(each) => Some(each),
            Additional::None | Additional::Any => None,
        })
    }
}

impl Bounds {
    fn of(raw: &Value) -> Self {
        let count = |key: &str| {
            raw.get(key)
                .and_then(Value::as_u64)
                .and_then(|n| usize::try_from(n).ok())
        };
        let number = |key: &str| raw.get(key).and_then(Value::as_f64);
        let open = |key: &str| raw.get(key).and_then(Value::as_bool).unwrap_or_default();
        Self {
            least: number("minimum").map(|n| (n, open("exclusiveMinimum"))),
            most: number("maximum").map(|n| (n, open("exclusiveMaximum"))),
            multiple_of: number("multipleOf"),
            min_length: count("minLength"),
            max_length: count("maxLength"),
            pattern: raw
                .get("pattern")
                .and_then(Value::as_str)
                .and_then(|p| Regex::new(p).ok()),
            min_items: count("minItems"),
            max_items: count("maxItems"),
            unique: open("uniqueItems"),
            min_properties: count("minProperties"),
            max_properties: count("maxProperties"),
            date_time: raw.get("format").and_then(Value::as_str) == Some("date-time"),
        }
    }
}

fn kind(name: &str) -> Option<Type> {
    [
        Type::Object,
        Type::Array,
        Type::Text,
        Type::Integer,
        Type::Number,
        Type::Boolean,
    ]
    .into_iter()
    .find(|t| t.name() == name)
}

fn texts(list: Option<&Value>) -> Vec<String> {
    list.and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

fn list_kind(raw: &Value) -> ListKind {
    match raw.get("x-kubernetes-list-type").and_then(Value::as_str) {
        Some("map") => ListKind::Map(texts(raw.get("x-kubernetes-list-map-keys"))),
        Some("set") => ListKind::Set,
        _ => ListKind::Atomic,
    }
}
