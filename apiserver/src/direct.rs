//! Writes by the simulation itself, without HTTP.

use super::ask::{Ask, Sub};
use super::delete::{self, Options};
use super::failure::Failure;
use super::json::{self, meta, text};
use super::resource::Resource;
use super::store::Store;
use super::write;
use serde_json::{Value, json};
use std::sync::Arc;

/// Creates or replaces an object; its status too if it has one, otherwise the status stays.
pub(super) fn put(store: &Store, mut object: Value) -> Result<Arc<Value>, Failure> {
    let (version, kind) = (
        text(&object, "/apiVersion").to_owned(),
        text(&object, "/kind").to_owned(),
    );
    let Some(resource) = store.registry().by_kind(&version, &kind) else {
        return Err(Failure::bad_request(format!(
            "no matches for kind {kind:?} in version {version:?}"
        )));
    };
    let namespace = match meta(&object, "namespace") {
        "" if resource.namespaced => "default".to_owned(),
        given => given.to_owned(),
    };
    let name = meta(&object, "name").to_owned();
    let current = store
        .lock()
        .find(&resource, &namespace, &name)
        .map(|s| s.value.clone());
    if let Some(current) = current {
        if object.get("status").is_none() {
            json::set(&mut object, "status", current.get("status").cloned());
        }
        return Ok(write::replace(
            store,
            &Ask::trusted(resource, "update", &namespace, &name),
            object,
        )?
        .object);
    }
    json::metadata(&mut object).remove("resourceVersion");
    Ok(write::create(store, &Ask::trusted(resource, "create", &namespace, ""), object)?.object)
}

/// Replaces the status of an object.
pub(super) fn put_status(
    store: &Store,
    resource: &str,
    namespace: &str,
    name: &str,
    status: Value,
) -> Result<Arc<Value>, Failure> {
    let resource = find(store, resource)?;
    let mut ask = Ask::trusted(resource, "update", namespace, name);
    ask.sub = Sub::Status;
    let mut body = json!({"metadata": {"name": name}, "kind": ask.resource.kind});
    json::set(&mut body, "status", Some(status));
    Ok(write::replace(store, &ask, body)?.object)
}

/// Deletes an object; finalizers are respected.
pub(super) fn delete(store: &Store, resource: &str, namespace: &str, name: &str) -> Result<(), Failure> {
    let resource = find(store, resource)?;
    let ask = Ask::trusted(resource, "delete", namespace, name);
    delete::one(store, &ask, &Options::default()).map(drop)
}

fn find(store: &Store, resource: &str) -> Result<Arc<Resource>, Failure> {
    store
        .registry()
        .by_name(resource)
        .ok_or_else(Failure::no_such_resource)
}
