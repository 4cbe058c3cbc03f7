//! Written objects, read back: what is true of every router.

mod astray;
mod beyond;
mod controller_switch;
mod controller_switch_fences;
mod controller_switch_restart;
mod gateway_api;
mod gateway_api_properties;
mod istio;
mod istio_properties;
mod nginx;
mod originals;
mod parents;
mod preview;
mod preview_properties;
mod preview_renamed;
mod schema;
mod spelt;
mod together;

use super::*;
use crate::rollout::spec::Component;
use crate::rollout::weight::Weight;
use json_patch::PatchOperation;
use serde_json::{Value, json};

/// A component from the YAML that a user would write.
fn component(routers: &str) -> Component {
    serde_saphyr::from_str(&format!("name: shop\nrouters:\n{routers}")).unwrap()
}

fn percent(percent: u16) -> Weight {
    Weight::from_percent(percent).unwrap()
}

fn permille(permille: u16) -> Weight {
    Weight::from_permille(permille).unwrap()
}

fn stamp(id: &str, weight: Weight) -> Stamp {
    Stamp::new(id, weight, "Raised").unwrap()
}

fn operations(patch: &ObjectPatch) -> &[PatchOperation] {
    let PatchBody::Json(operations) = &patch.body;
    operations
}

/// The patch as it goes over the wire.
fn wire(patch: &ObjectPatch) -> Value {
    serde_json::to_value(operations(patch)).unwrap()
}

/// Changes as a dry run prints them.
fn printed(patch: &ObjectPatch) -> Vec<String> {
    patch.changes.iter().map(ToString::to_string).collect()
}

/// Applies a patch as the API server does: 409 for a stale version, 422 for a failed test or a wrong path; a change
/// makes a new version.
fn serve(patch: &ObjectPatch, object: &mut Value) -> Result<(), u16> {
    let current = object["metadata"]["resourceVersion"].clone();
    let mut changed = object.clone();
    json_patch::patch(&mut changed, operations(patch)).map_err(|_| 422u16)?;
    if changed["metadata"]["resourceVersion"] != current {
        return Err(409);
    }
    if changed != *object {
        let next = current.as_str().unwrap().parse::<u64>().unwrap() + 1;
        changed["metadata"]["resourceVersion"] = next.to_string().into();
    }
    *object = changed;
    Ok(())
}

/// The object without the bytes that a write may touch.
fn without(object: &Value, original: &Value, target: &Target<'_>, weights: &[&str]) -> Value {
    let mut rest = object.clone();
    rest["metadata"]["resourceVersion"] = Value::Null;
    let annotations = rest["metadata"]["annotations"].as_object_mut();
    if let Some(annotations) = annotations {
        annotations.remove(target.stamp_key());
    }
    if original
        .pointer("/metadata/annotations")
        .is_none_or(Value::is_null)
    {
        rest["metadata"].as_object_mut().unwrap().remove("annotations");
    }
    for pointer in weights {
        let (parent, member) = pointer.rsplit_once('/').unwrap();
        if let Some(parent) = rest.pointer_mut(parent).and_then(Value::as_object_mut) {
            parent.remove(member);
        }
    }
    rest
}
