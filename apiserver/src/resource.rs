//! What is served: one [`Resource`] per group, version and plural, and the table that finds them.

use super::column::Column;
use super::schema::Schema;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, OnceLock};

/// Where a resource's schema comes from. Built-in ones are large and made on first use.
pub(super) enum Source {
    /// The OpenAPI v3 schema, as given.
    Given(Value),
    /// Made on first use.
    Made(fn() -> Value),
}

/// One served resource in one version.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of the API of its own"
)]
pub(super) struct Resource {
    /// API group; empty for core.
    pub group: String,
    /// Version within the group.
    pub version: String,
    /// Name in paths.
    pub plural: String,
    /// Name of one.
    pub singular: String,
    /// Kind in manifests.
    pub kind: String,
    /// Kind of a list.
    pub list_kind: String,
    /// Abbreviations kubectl accepts.
    pub short_names: Vec<String>,
    /// Groups such as `all`.
    pub categories: Vec<String>,
    /// Lives in namespaces.
    pub namespaced: bool,
    /// Has `/status`.
    pub status: bool,
    /// Has `/scale` with `spec.replicas`.
    pub scale: bool,
    /// Defined by a `CustomResourceDefinition`.
    pub custom: bool,
    /// A PUT without resourceVersion overwrites.
    pub unconditional: bool,
    /// A PUT creates what is absent.
    pub create_on_update: bool,
    /// Field selectors besides name and namespace, as dotted paths.
    pub selectable: Vec<String>,
    /// Columns after NAME.
    pub columns: Vec<Column>,
    /// The group whose objects these are: Events are stored once and served by two groups.
    pub stored_group: String,
    /// The version objects are stored in.
    pub stored_version: String,
    /// `metadata.generation` counts changes of what is asked for.
    pub generations: bool,
    pub(super) source: Source,
    pub(super) compiled: OnceLock<(Value, Schema)>,
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.group_version(), self.plural)
    }
}

impl Resource {
    /// `group/version`, or the version alone for core.
    pub(super) fn group_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// `plural.group`, or the plural alone for core.
    pub(super) fn group_resource(&self) -> String {
        if self.group.is_empty() {
            self.plural.clone()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// The name its objects are stored under.
    pub(super) fn storage(&self) -> String {
        if self.stored_group.is_empty() {
            self.plural.clone()
        } else {
            format!("{}.{}", self.plural, self.stored_group)
        }
    }

    /// `Kind.group`, or the kind alone for core.
    pub(super) fn group_kind(&self) -> String {
        if self.group.is_empty() {
            self.kind.clone()
        } else {
            format!("{}.{}", self.kind, self.group)
        }
    }

    /// The `apiVersion` of stored objects.
    pub(super) fn stored_group_version(&self) -> String {
        if self.stored_group.is_empty() {
            self.stored_version.clone()
        } else {
            format!("{}/{}", self.stored_group, self.stored_version)
        }
    }

    fn both(&self) -> &(Value, Schema) {
        self.compiled.get_or_init(|| {
            let raw = match &self.source {
                Source::Given(raw) => raw.clone(),
                Source::Made(make) => make(),
            };
            let schema = Schema::compile(&raw);
            (raw, schema)
        })
    }

    /// The compiled schema: made once.
    pub(super) fn schema(&self) -> &Schema {
        &self.both().1
    }

    /// The schema as OpenAPI v3.
    pub(super) fn raw_schema(&self) -> &Value {
        &self.both().0
    }

    /// The verbs discovery names.
    pub(super) fn verbs() -> Value {
        json!([
            "create",
            "delete",
            "deletecollection",
            "get",
            "list",
            "patch",
            "update",
            "watch"
        ])
    }
}

/// All served resources.
#[derive(Clone, Default)]
pub(super) struct Registry {
    rows: BTreeMap<(String, String, String), Arc<Resource>>,
    /// Rises when a resource is added or removed; part of OpenAPI hashes.
    pub generation: u64,
}

impl Registry {
    /// Serves a resource; replaces one of the same group, version and plural.
    pub(super) fn add(&mut self, resource: Resource) {
        let key = (
            resource.group.clone(),
            resource.version.clone(),
            resource.plural.clone(),
        );
        self.rows.insert(key, Arc::new(resource));
        self.generation += 1;
    }

    /// Stops serving every version of a resource.
    pub(super) fn remove(&mut self, group: &str, plural: &str) {
        self.rows.retain(|(g, _, p), _| g != group || p != plural);
        self.generation += 1;
    }

    /// The resource at a path.
    pub(super) fn find(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Resource>> {
        self.rows
            .get(&(group.to_owned(), version.to_owned(), plural.to_owned()))
            .cloned()
    }

    /// The resource of a manifest.
    pub(super) fn by_kind(&self, api_version: &str, kind: &str) -> Option<Arc<Resource>> {
        self.rows
            .values()
            .find(|r| r.kind == kind && r.group_version() == api_version)
            .cloned()
    }

    /// Any version of `plural.group` (core: the plural alone).
    pub(super) fn by_name(&self, group_resource: &str) -> Option<Arc<Resource>> {
        self.rows
            .values()
            .rev()
            .find(|r| r.group_resource() == group_resource)
            .cloned()
    }

    /// Every row, by group, version and plural.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.rows.values()
    }

    /// Group and versions, the preferred version first.
    pub(super) fn groups(&self) -> BTreeMap<String, Vec<String>> {
        let mut groups: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (group, version, _) in self.rows.keys() {
            groups.entry(group.clone()).or_default().insert(version.clone());
        }
        groups
            .into_iter()
            .map(|(group, versions)| {
                let mut versions: Vec<String> = versions.into_iter().collect();
                versions.sort_by_key(|v| std::cmp::Reverse(rank(v)));
                (group, versions)
            })
            .collect()
    }
}

/// Kubernetes' order of versions: `v2` over `v1` over `v1beta1` over `v1alpha1` over anything else.
fn rank(version: &str) -> (u8, u32, u32) {
    let Some(rest) = version.strip_prefix('v') else {
        return (0, 0, 0);
    };
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (major, tail) = rest.split_at(digits);
    let Ok(major) = major.parse() else {
        return (0, 0, 0);
    };
    if tail.is_empty() {
        return (3, major, 0);
    }
    for (stage, name) in [(2, "beta"), (1, "alpha")] {
        if let Some(minor) = tail.strip_prefix(name).and_then(|m| m.parse().ok()) {
            return (stage, major, minor);
        }
    }
    (0, 0, 0)
}
