//! YAML with the place of every value, so that a problem found later still names its line.

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::{Location, Spanned};
use std::collections::BTreeMap;
use std::fmt;

/// A place in a file, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Line.
    pub line: u64,
    /// Column.
    pub column: u64,
}

impl From<Location> for Place {
    fn from(location: Location) -> Self {
        Self {
            line: location.line(),
            column: location.column(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A document: its value without nulls (as the API server reads them: absent), and where each field stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Document {
    /// The value.
    pub value: Value,
    places: BTreeMap<String, Place>,
}

impl Document {
    /// Where a field stands, given as `spec.phases[0].steps`; where it is absent, the nearest thing around it.
    pub(super) fn place(&self, path: &str) -> Option<Place> {
        let mut path = path;
        loop {
            if let Some(place) = self.places.get(path) {
                return Some(*place);
            }
            if path.is_empty() {
                return None;
            }
            path = path
                .rfind(['.', '['])
                .map_or("", |end| path.get(..end).unwrap_or(""));
        }
    }
}

/// A text that is no YAML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NotYaml {
    /// Where it stops making sense.
    pub place: Option<Place>,
    /// What is wrong.
    pub message: String,
}

impl Document {
    /// Each item of a list, as `kubectl get -o yaml` writes several; or the document itself.
    fn apart(self) -> Vec<Self> {
        let of_list = |value: &Value| {
            let kind = value.get("kind").and_then(Value::as_str);
            kind.is_some_and(|kind| kind.ends_with("List"))
        };
        let items = self.value.get("items").and_then(Value::as_array);
        let Some(items) = items.filter(|_| of_list(&self.value)) else {
            return vec![self];
        };
        // Told by the item's own fields, and by its line in the file.
        let within = |at: usize| {
            let prefix = format!("items[{at}]");
            let from = self.places.range(prefix.clone()..);
            from.map_while(|(path, place)| {
                let path = path.strip_prefix(&prefix)?;
                Some((path.strip_prefix('.').unwrap_or(path).to_owned(), *place))
            })
            .collect()
        };
        let item = |(at, value): (usize, &Value)| Self {
            value: value.clone(),
            places: within(at),
        };
        items.iter().enumerate().map(item).collect()
    }
}

/// Reads every document of a text, and of lists each item; empty ones are left out.
pub(super) fn read(text: &str) -> Result<Vec<Document>, NotYaml> {
    let nodes: Vec<Spanned<Node>> = serde_saphyr::from_multiple(text).map_err(|error| {
        let place = error.location().map(Place::from);
        // The place is told by the caller, in the form of all places; the first line alone says what is wrong.
        let full = error.without_snippet().to_string();
        let message = full.lines().next().unwrap_or_default();
        let message = place
            .and_then(|p| message.strip_suffix(&format!(" at line {}, column {}", p.line, p.column)))
            .unwrap_or(message);
        NotYaml {
            place,
            message: message.to_owned(),
        }
    })?;
    Ok(nodes
        .into_iter()
        .flat_map(|node| {
            let mut places = BTreeMap::new();
            let value = flatten(node, String::new(), None, &mut places).unwrap_or(Value::Null);
            Document { value, places }.apart()
        })
        .collect())
}

/// Turns nodes into JSON, notes their places, and leaves nulls out.
fn flatten(
    node: Spanned<Node>,
    path: String,
    key: Option<Place>,
    places: &mut BTreeMap<String, Place>,
) -> Option<Value> {
    // A field is best pointed at by its key: a block's own place is its first line below.
    let place = key.unwrap_or_else(|| Place::from(node.referenced));
    let value = match node.value {
        Node::Null => return None,
        Node::Scalar(value) => value,
        Node::List(items) => {
            let items = items.into_iter().enumerate();
            Value::Array(
                items
                    .filter_map(|(i, item)| flatten(item, format!("{path}[{i}]"), None, places))
                    .collect(),
            )
        }
        Node::Map(entries) => {
            let mut map = Map::new();
            for (key, node) in entries {
                let child = if path.is_empty() {
                    key.value.clone()
                } else {
                    format!("{path}.{}", key.value)
                };
                let at = Place::from(key.referenced);
                if let Some(value) = flatten(node, child, Some(at), places) {
                    map.insert(key.value, value);
                }
            }
            Value::Object(map)
        }
    };
    places.insert(path, place);
    Some(value)
}

/// A YAML node.
enum Node {
    Null,
    Scalar(Value),
    List(Vec<Spanned<Node>>),
    Map(Vec<(Spanned<String>, Spanned<Node>)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_bool<E>(self, v: bool) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Bool(v)))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Node, E> {
        Ok(Node::Scalar(v.into()))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Node, E> {
        Ok(Node::Scalar(v.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, v: f64) -> Result<Node, E> {
        Number::from_f64(v)
            .map(|n| Node::Scalar(Value::Number(n)))
            .ok_or_else(|| E::custom(format!("{v} is not a number that JSON knows")))
    }

    fn visit_str<E>(self, v: &str) -> Result<Node, E> {
        Ok(Node::Scalar(Value::String(v.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_come_with_their_lines_and_nulls_are_absent() {
        let text = "a: 1\nb:\n  c: [x, 2.5, ~]\n  d: null\n---\n# nothing\n---\nweight: 5%\n";
        let documents = read(text).unwrap();
        assert_eq!(documents.len(), 2);
        assert_eq!(documents[0].value, json!({"a": 1, "b": {"c": ["x", 2.5]}}));
        assert_eq!(documents[0].place("b.c[1]"), Some(Place { line: 3, column: 10 }));
        assert_eq!(documents[0].place("b.c").map(|p| p.line), Some(3));
        assert_eq!(
            documents[0].place("b.gone.deep[3]").map(|p| p.line),
            Some(2),
            "what is absent is told by what is around it"
        );
        assert_eq!(documents[1].place("weight").map(|p| p.line), Some(8));
    }

    #[test]
    fn each_item_of_a_list_is_a_document_with_its_own_lines() {
        let text = "kind: List\nitems:\n- kind: A\n  spec:\n    x: 1\n- kind: B\n  spec:\n    y: [2,\n      3]\n---\nkind: C\nitems: [1]\n";
        let documents = read(text).unwrap();
        let kinds: Vec<&Value> = documents.iter().map(|d| &d.value["kind"]).collect();
        assert_eq!(kinds, ["A", "B", "C"], "only a list has items of its own");
        assert_eq!(documents[0].place("spec.x").map(|p| p.line), Some(5));
        assert_eq!(documents[1].place("spec.y[1]").map(|p| p.line), Some(9));
        assert_eq!(documents[1].place("gone").map(|p| p.line), Some(6));
    }

    #[test]
    fn what_is_no_yaml_names_its_line() {
        let error = read("a: 1\nb: [1, 2\nc: 3\n").unwrap_err();
        assert!(error.place.is_some(), "{error:?}");
        let twice = read("a: 1\na: 2\n").unwrap_err();
        assert_eq!(twice.place.map(|p| p.line), Some(2), "{twice:?}");
    }
}
