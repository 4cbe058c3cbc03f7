//! Routed objects: read, and written with preconditions.

use super::ClusterError;
use crate::routing::{ObjectKind, ObjectPatch, ObjectRef, PatchBody};
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::Value;
use std::sync::Arc;

/// The field manager of the daemon's writes.
pub const FIELD_MANAGER: &str = "gradual-rollout";

/// How the daemon's own objects (its Lease, Events) are created and replaced: by name, like everything that it writes.
pub(super) fn creating() -> PostParams {
    PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}

/// How a kind of routed object is addressed under one of its versions.
pub(super) fn resource(kind: ObjectKind, version: &str) -> ApiResource {
    let api_version = match kind.group() {
        "" => version.to_owned(),
        group => format!("{group}/{version}"),
    };
    ApiResource {
        group: kind.group().to_owned(),
        version: version.to_owned(),
        api_version,
        kind: kind.kind().to_owned(),
        plural: kind.plural().to_owned(),
    }
}

/// Whether a request was answered as by a server that does not serve the version at all: then nothing was done, and
/// an older version may be served. An object that is missing is named in the answer.
fn not_served(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status)
        if status.code == 404 && status.details.as_ref().is_none_or(|d| d.name.is_empty()))
}

/// Asks under the preferred version, and under older ones as long as the server does not know the version.
async fn under_any<F>(
    client: &Client,
    object: &ObjectRef,
    ask: impl Fn(Api<DynamicObject>) -> F,
) -> kube::Result<DynamicObject>
where
    F: Future<Output = kube::Result<DynamicObject>>,
{
    let under = |version: &str| {
        ask(Api::namespaced_with(
            client.clone(),
            &object.namespace,
            &resource(object.kind, version),
        ))
    };
    let mut answer = under(object.kind.version()).await;
    for version in object.kind.versions().iter().skip(1) {
        match &answer {
            Err(error) if not_served(error) => answer = under(version).await,
            Ok(_) | Err(_) => break,
        }
    }
    answer
}

/// Reads an object afresh.
pub async fn get(client: &Client, object: &ObjectRef) -> Result<Arc<Value>, ClusterError> {
    let attempt = || format!("reading {object}");
    let read = under_any(client, object, |api| async move { api.get(&object.name).await })
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
    let body = Patch::Json::<()>(body.clone());
    let (params, body) = (&params, &body);
    let written = under_any(client, object, |api| async move {
        api.patch(&object.name, params, body).await
    })
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
