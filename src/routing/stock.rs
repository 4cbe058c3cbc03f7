//! Objects by kind and namespace, as a watch, a person's command or a file of manifests brought them: what a
//! selection looks through.

use super::nginx::Classes;
use super::object::{ObjectKind, ObjectRef};
use super::seen::text;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Lists of objects. What was never put in is not known; it is not taken for empty.
#[derive(Clone, Debug, Default)]
pub struct Stock {
    lists: BTreeMap<(ObjectKind, String), Vec<Arc<Value>>>,
    classes: Classes,
    taken: BTreeMap<ObjectRef, String>,
}

impl Stock {
    /// Puts a whole list in: every object of a kind in a namespace.
    pub fn put(&mut self, kind: ObjectKind, namespace: &str, objects: Vec<Arc<Value>>) {
        self.lists.insert((kind, namespace.to_owned()), objects);
    }

    /// Says which objects that a selection would have are another's, and whose, in words.
    pub fn set_taken(&mut self, taken: BTreeMap<ObjectRef, String>) {
        self.taken = taken;
    }

    /// Whose an object is, where it is another's.
    pub(super) fn taken(&self, object: &ObjectRef) -> Option<&str> {
        self.taken.get(object).map(String::as_str)
    }

    /// Says which Ingresses one controller serves together.
    pub fn set_classes(&mut self, classes: Classes) {
        self.classes = classes;
    }

    /// Which Ingresses one controller serves together, as far as anybody said.
    pub(super) fn classes(&self) -> &Classes {
        &self.classes
    }

    /// The objects of a kind in a namespace, as far as they are known.
    pub fn list(&self, kind: ObjectKind, namespace: &str) -> &[Arc<Value>] {
        self.lists
            .get(&(kind, namespace.to_owned()))
            .map_or(&[], Vec::as_slice)
    }

    /// Whether a list was put in.
    pub(super) fn knows(&self, kind: ObjectKind, namespace: &str) -> bool {
        self.lists.contains_key(&(kind, namespace.to_owned()))
    }

    /// One object by name.
    pub fn find(&self, kind: ObjectKind, namespace: &str, name: &str) -> Option<&Arc<Value>> {
        self.list(kind, namespace)
            .iter()
            .find(|json| text(json, "/metadata/name") == Some(name))
    }

    /// Whether both hold the very same copies: then whatever was found in one is found in the other.
    pub fn is_same(&self, other: &Self) -> bool {
        self.classes == other.classes
            && self.taken == other.taken
            && self.lists.len() == other.lists.len()
            && self.lists.iter().zip(&other.lists).all(|((a, x), (b, y))| {
                a == b && x.len() == y.len() && x.iter().zip(y).all(|(x, y)| Arc::ptr_eq(x, y))
            })
    }
}
