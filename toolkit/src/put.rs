//! Writing to a cluster: server-side apply as our own field manager, and deleting only what was looked at.

use crate::see::{self, Kind};
use crate::trouble::Trouble;
use jiff::Timestamp;
use kube::Client;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::{Value, json};

/// The field manager of everything that the toolkit writes.
pub const MANAGER: &str = "gradual-rollout";

/// The label by which objects are known as ours.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "gradual-rollout");

/// The labels of every object that is ours alone.
pub fn labels() -> Value {
    json!({(MANAGED_BY.0): MANAGED_BY.1})
}

/// A time as it is written: whole seconds, as Kubernetes writes its own.
pub fn stamp(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// Whether an object is ours alone.
pub fn is_ours(object: &Value) -> bool {
    see::label(object, MANAGED_BY.0) == Some(MANAGED_BY.1)
}

/// Applies an object: fields that it has become ours, fields that we had and it has not any more go. Somebody else's
/// value of a field is a conflict, which is told and not forced.
///
/// With `dry_run` the API server decides and stores nothing.
pub async fn apply(client: &Client, kind: Kind, object: &Value, dry_run: bool) -> Result<Value, Trouble> {
    let namespace = Some(see::namespace(object)).filter(|namespace| !namespace.is_empty());
    let api = match namespace {
        Some(namespace) => kind.within(client, namespace),
        None => kind.everywhere(client),
    };
    let mut writing = PatchParams::apply(MANAGER).validation_strict();
    writing.dry_run = dry_run;
    let name = see::name(object);
    api.patch(name, &writing, &Patch::Apply(object))
        .await
        .map(|written| serde_json::to_value(&written).unwrap_or_default())
        .map_err(|error| {
            Trouble::kube(
                format!("apply {} {}", kind.kind, see::place(namespace, name)),
                &error,
            )
        })
}

/// Deletes an object as it was read: not another of the same name, and not one that was changed since. False where it
/// was gone already.
pub async fn delete(client: &Client, kind: Kind, object: &Value) -> Result<bool, Trouble> {
    let namespace = Some(see::namespace(object)).filter(|namespace| !namespace.is_empty());
    let api = match namespace {
        Some(namespace) => kind.within(client, namespace),
        None => kind.everywhere(client),
    };
    let given = |pointer: &str| see::text(object, pointer).map(ToOwned::to_owned);
    let as_read = DeleteParams {
        preconditions: Some(Preconditions {
            uid: given("/metadata/uid"),
            resource_version: given("/metadata/resourceVersion"),
        }),
        ..DeleteParams::default()
    };
    let name = see::name(object);
    match api.delete(name, &as_read).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
        Err(error) => Err(Trouble::kube(
            format!("delete {} {}", kind.kind, see::place(namespace, name)),
            &error,
        )),
    }
}
