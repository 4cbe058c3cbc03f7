//! A Deployment whose pods read the switch's `ConfigMap` when they start, and are restarted when it changes.
//!
//! Done as `kubectl rollout restart` does it, under a key of our own: an annotation of the pod template that names the
//! weight. So a restart happens exactly when the weight changes, and the Deployment tells which weight its pods were
//! started for. Before the first restart it says nothing: then the `ConfigMap` alone counts.

use super::controller_switch::percent;
use super::error::RoutingError;
use super::object::ObjectRef;
use super::patch::{Change, Draft, malformed, path};
use super::seen::{Reading, member, text};
use crate::rollout::weight::Weight;
use serde_json::{Value, json};

/// The annotation of the pod template.
const KEY: &str = "rollout.sealos.io/restarted-for";
const PLACE: &str = "spec.template.metadata.annotations[rollout.sealos.io/restarted-for]";

fn annotations(json: &Value) -> Option<&Value> {
    member(json, "/spec/template/metadata/annotations")
}

/// The weight that the pods were started for; nothing before the first restart of ours.
pub(super) fn read(object: &ObjectRef, json: &Value) -> Result<Vec<Reading>, RoutingError> {
    if !member(json, "/spec/template").is_some_and(Value::is_object) {
        return Err(malformed(object, "spec.template", "a map"));
    }
    let started = annotations(json).and_then(|a| a.get(KEY)?.as_str()?.parse().ok());
    Ok(started
        .map(|weight| Reading {
            place: PLACE.to_owned(),
            weight,
        })
        .into_iter()
        .collect())
}

/// Drafts the restart for a weight.
pub(super) fn draft(
    object: &ObjectRef,
    json: &Value,
    weight: Weight,
    draft: &mut Draft<'_>,
) -> Result<(), RoutingError> {
    read(object, json)?;
    percent(object, PLACE, weight)?;
    draft.same_object();
    let place = path(["spec", "template", "metadata", "annotations", KEY]);
    let old = annotations(json).and_then(|a| a.get(KEY));
    let new = weight.to_string();
    if let Some(old) = old {
        draft.test(place.clone(), old.clone());
    }
    if old.and_then(Value::as_str) == Some(&new) {
        return Ok(());
    }
    if annotations(json).is_none() {
        // The whole map is written, so nobody may have written one meanwhile.
        draft.versioned();
        if member(json, "/spec/template/metadata").is_none() {
            draft.scaffold(path(["spec", "template", "metadata"]), json!({}));
        }
        draft.scaffold(path(["spec", "template", "metadata", "annotations"]), json!({}));
    }
    let from = text(
        json,
        "/spec/template/metadata/annotations/rollout.sealos.io~1restarted-for",
    );
    let change = Change {
        path: PLACE.to_owned(),
        from: from.map(str::to_owned),
        to: Some(new.clone()),
    };
    draft.set(place, new.into(), change);
    Ok(())
}
