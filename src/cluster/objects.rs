//! Routed objects: read, and written with preconditions.

use super::ClusterError;
use crate::routing::{ObjectKind, ObjectPatch, ObjectRef, PatchBody};
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::Value;
use std::sync::Arc;

/// The field manager of the daemon's writes.
pub const FIELD_MANAGER: &str = "gradual-rollout";

/// How a kind of routed object is addressed.
pub(super) fn resource(kind: ObjectKind) -> ApiResource {
    ApiResource {
        group: kind.group().to_owned(),
        version: kind.version().to_owned(),
        api_version: kind.api_version(),
        kind: kind.kind().to_owned(),
        plural: kind.plural().to_owned(),
    }
}

fn api(client: &Client, object: &ObjectRef) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), &object.namespace, &resource(object.kind))
}

/// Reads an object afresh.
pub async fn get(client: &Client, object: &ObjectRef) -> Result<Arc<Value>, ClusterError> {
    let attempt = || format!("reading {object}");
    let read = api(client, object)
        .get(&object.name)
        .await
        .map_err(|e| ClusterError::new(attempt(), e))?;
    json(object.kind, &read).map_err(|e| ClusterError::Unreachable {
        attempt: attempt(),
        message: e.to_string(),
    })
}

/// Writes an object, and gives what it is afterwards. A patch that lost a race is never sent again: read, decide.
pub async fn patch(
    client: &Client,
    object: &ObjectRef,
    patch: &ObjectPatch,
    manager: &str,
    dry_run: bool,
) -> Result<Arc<Value>, ClusterError> {
    let attempt = || format!("writing {object}");
    let params = PatchParams {
        dry_run,
        field_manager: Some(manager.to_owned()),
        ..PatchParams::default()
    };
    let PatchBody::Json(body) = &patch.body;
    let written = api(client, object)
        .patch(&object.name, &params, &Patch::Json::<()>(body.clone()))
        .await
        .map_err(|e| ClusterError::new(attempt(), e))?;
    json(object.kind, &written).map_err(|e| ClusterError::Unreachable {
        attempt: attempt(),
        message: e.to_string(),
    })
}

/// An object as JSON. Lists leave kind and version out of their items; here they are always in.
pub(super) fn json(kind: ObjectKind, object: &DynamicObject) -> Result<Arc<Value>, serde_json::Error> {
    let mut value = serde_json::to_value(object)?;
    if let Value::Object(members) = &mut value {
        members.entry("kind").or_insert_with(|| kind.kind().into());
        members
            .entry("apiVersion")
            .or_insert_with(|| kind.api_version().into());
    }
    Ok(Arc::new(value))
}
