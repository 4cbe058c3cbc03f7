//! Whether a backup has an Ingress as it is.

use crate::backup::folder::{Folder, Manifest};
use crate::backup::sanitise::sanitised;
use crate::cluster::meta;
use crate::digest;
use crate::marks;
use crate::trouble::Trouble;
use gradual_rollout_migration::input::Key;
use serde_json::Value;
use std::collections::BTreeMap;

/// What a backup has of Ingresses, read namespace by namespace.
#[derive(Debug)]
pub struct Kept<'a> {
    folder: &'a Folder,
    manifest: &'a Manifest,
    read: BTreeMap<String, BTreeMap<String, String>>,
}

impl<'a> Kept<'a> {
    /// Nothing is read yet.
    pub fn new(folder: &'a Folder, manifest: &'a Manifest) -> Self {
        Self {
            folder,
            manifest,
            read: BTreeMap::new(),
        }
    }

    /// Whether it has an Ingress as it is, marks aside.
    pub fn has(&mut self, ingress: &Value, key: &Key) -> Result<Option<bool>, Trouble> {
        let (namespace, name) = key;
        if !self.manifest.namespaces.contains_key(namespace) {
            return Ok(None);
        }
        if !self.read.contains_key(namespace) {
            let objects = self.folder.read(self.manifest, namespace)?;
            let ingresses = objects
                .iter()
                .filter(|object| object.get("kind").and_then(Value::as_str) == Some("Ingress"));
            let all = ingresses.map(|object| (meta(object, "name").to_owned(), plain(object)));
            self.read.insert(namespace.clone(), all.collect());
        }
        let kept = self.read.get(namespace).and_then(|all| all.get(name));
        Ok(kept.map(|kept| *kept == plain(ingress)))
    }
}

/// The digest of an Ingress without our marks.
pub fn plain(ingress: &Value) -> String {
    let mut object = sanitised(ingress);
    for (field, is_ours) in [
        (
            "labels",
            &(|name: &str| name == marks::MIGRATED) as &dyn Fn(&str) -> bool,
        ),
        ("annotations", &|name: &str| marks::is_mark(name)),
    ] {
        if let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            if let Some(map) = meta.get_mut(field).and_then(Value::as_object_mut) {
                map.retain(|name, _| !is_ours(name));
            }
            if meta
                .get(field)
                .and_then(Value::as_object)
                .is_some_and(serde_json::Map::is_empty)
            {
                meta.remove(field);
            }
        }
    }
    digest::of(&object)
}
