//! DELETE: preconditions, finalizers, and what goes with an object.

use super::admit::raise_generation;
use super::ask::Ask;
use super::failure::Failure;
use super::json::{self, meta, text};
use super::selector::Selector;
use super::store::{Inner, Key, Store, Stored};
use super::wire;
use super::write::drop_object;
use serde_json::{Value, json};
use std::sync::Arc;

/// `DeleteOptions`, as far as they matter here.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    /// The object must have this uid.
    pub uid: String,
    /// The object must be at this version.
    pub version: String,
    /// Leave the objects it owns.
    pub orphan: bool,
    /// Nothing is stored.
    pub dry_run: bool,
}

impl Options {
    /// Reads a `DeleteOptions` body.
    pub(super) fn of(body: &Value) -> Self {
        let dry = body
            .get("dryRun")
            .and_then(Value::as_array)
            .is_some_and(|d| d.contains(&json!("All")));
        Self {
            uid: text(body, "/preconditions/uid").to_owned(),
            version: text(body, "/preconditions/resourceVersion").to_owned(),
            orphan: text(body, "/propagationPolicy") == "Orphan",
            dry_run: dry,
        }
    }
}

/// Deletes one object. Answers `Status` Success, or the object while finalizers hold it.
pub(super) fn one(store: &Store, ask: &Ask, options: &Options) -> Result<Arc<Value>, Failure> {
    let stamp = store.stamp();
    let mut inner = store.lock();
    let resource = &*ask.resource;
    let current = inner.find(resource, &ask.namespace, &ask.name).cloned();
    let Some(current) = current else {
        return Err(Failure::not_found(resource, &ask.name));
    };
    for (what, wanted, is) in [
        ("UID", &options.uid, meta(&current.value, "uid")),
        (
            "ResourceVersion",
            &options.version,
            meta(&current.value, "resourceVersion"),
        ),
    ] {
        if !wanted.is_empty() && wanted != is {
            let why =
                format!("Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {is}");
            return Err(Failure::conflict_because(resource, &ask.name, &why));
        }
    }
    let mut ask = ask.clone();
    ask.dry_run |= options.dry_run;
    remove(&mut inner, &ask, &current, options.orphan, &stamp)
}

fn remove(
    inner: &mut Inner,
    ask: &Ask,
    current: &Stored,
    orphan: bool,
    stamp: &str,
) -> Result<Arc<Value>, Failure> {
    let resource = &*ask.resource;
    let key: Key = (ask.namespace.clone(), ask.name.clone());
    let held = current
        .value
        .pointer("/metadata/finalizers")
        .and_then(Value::as_array);
    if held.is_some_and(|f| !f.is_empty()) {
        if !meta(&current.value, "deletionTimestamp").is_empty() {
            return Ok(wire::outward(resource, &current.value));
        }
        let mut next = Value::clone(&current.value);
        let version = inner.next().to_string();
        let meta = json::metadata(&mut next);
        meta.insert("deletionTimestamp".to_owned(), json!(stamp));
        meta.insert("deletionGracePeriodSeconds".to_owned(), json!(0));
        if !ask.dry_run {
            meta.insert("resourceVersion".to_owned(), json!(version));
        }
        if resource.generations {
            raise_generation(&mut next);
        }
        let value = Arc::new(next);
        if !ask.dry_run {
            let stored = Stored {
                value: value.clone(),
                managers: current.managers.clone(),
            };
            inner.commit(resource, &key, Some(stored), None);
        }
        return Ok(wire::outward(resource, &value));
    }
    let uid = meta(&current.value, "uid").to_owned();
    if !ask.dry_run {
        contents(inner, ask, &current.value, stamp)?;
    }
    drop_object(inner, ask, &key, Value::clone(&current.value));
    if !ask.dry_run && !orphan {
        dependents(inner, &uid, stamp)?;
    }
    Ok(Arc::new(json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "details": {"name": ask.name, "group": resource.group, "kind": resource.plural, "uid": uid},
    })))
}

/// A namespace takes its objects with it, a definition its resources.
fn contents(inner: &mut Inner, ask: &Ask, gone: &Value, stamp: &str) -> Result<(), Failure> {
    let resource = &*ask.resource;
    let is_namespace = resource.group.is_empty() && resource.plural == "namespaces";
    let defined = format!(
        "{}.{}",
        text(gone, "/spec/names/plural"),
        text(gone, "/spec/group")
    );
    let is_definition = resource.plural == "customresourcedefinitions";
    if !is_namespace && !is_definition {
        return Ok(());
    }
    let doomed = inner.pick(|storage, (namespace, _), _| {
        if is_namespace {
            *namespace == ask.name
        } else {
            storage == defined
        }
    });
    each(inner, doomed, stamp)
}

/// Garbage collection: objects whose last owner is gone.
fn dependents(inner: &mut Inner, uid: &str, stamp: &str) -> Result<(), Failure> {
    let doomed = inner.pick(|_, _, stored| {
        let owners = stored
            .value
            .pointer("/metadata/ownerReferences")
            .and_then(Value::as_array);
        owners.is_some_and(|o| !o.is_empty() && o.iter().all(|o| text(o, "/uid") == uid))
    });
    each(inner, doomed, stamp)
}

fn each(
    inner: &mut Inner,
    doomed: Vec<(Arc<super::resource::Resource>, Key)>,
    stamp: &str,
) -> Result<(), Failure> {
    for (resource, (namespace, name)) in doomed {
        let ask = Ask::trusted(resource, "delete", &namespace, &name);
        if let Some(stored) = inner.find(&ask.resource, &namespace, &name).cloned() {
            remove(inner, &ask, &stored, false, stamp)?;
        }
    }
    Ok(())
}

/// Deletes every matching object and answers the list of them.
pub(super) fn many(
    store: &Store,
    ask: &Ask,
    selector: &Selector,
    options: &Options,
) -> Result<Value, Failure> {
    let stamp = store.stamp();
    let mut inner = store.lock();
    let resource = ask.resource.clone();
    let found: Vec<(Key, Stored)> = inner
        .objects
        .get(&resource.storage())
        .into_iter()
        .flatten()
        .filter(|((namespace, _), s)| {
            (ask.namespace.is_empty() || *namespace == ask.namespace) && selector.matches(&s.value)
        })
        .map(|(k, s)| (k.clone(), s.clone()))
        .collect();
    let mut items = Vec::new();
    for ((namespace, name), stored) in found {
        let mut one = ask.clone();
        one.dry_run |= options.dry_run;
        one.namespace = namespace;
        one.name = name;
        remove(&mut inner, &one, &stored, options.orphan, &stamp)?;
        items.push(Value::clone(&wire::outward(&resource, &stored.value)));
    }
    Ok(json!({
        "kind": resource.list_kind, "apiVersion": resource.group_version(),
        "metadata": {"resourceVersion": inner.version.to_string()}, "items": items,
    }))
}

impl Inner {
    /// The keys of all objects that `wanted` picks, with a resource that serves each.
    fn pick(
        &self,
        wanted: impl Fn(&str, &Key, &Stored) -> bool,
    ) -> Vec<(Arc<super::resource::Resource>, Key)> {
        let mut out = Vec::new();
        for (storage, objects) in &self.objects {
            let served = self
                .registry
                .rows()
                .find(|r| r.storage() == *storage && r.group == r.stored_group);
            let Some(resource) = served.cloned() else { continue };
            for (key, stored) in objects {
                if wanted(storage, key, stored) {
                    out.push((resource.clone(), key.clone()));
                }
            }
        }
        out
    }
}
