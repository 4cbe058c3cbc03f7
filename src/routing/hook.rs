//! A hook: a weight that is read and set by requests. What it answers is put into the form of an object, so that it is
//! read, fenced and stamped like every other.

use super::error::RoutingError;
use super::object::ObjectRef;
use super::patch::{Change, Draft, malformed, path};
use super::seen::{Reading, member};
use super::stamp::Stamp;
use crate::rollout::hook_spec::Hook;
use crate::rollout::weight::Weight;
use serde_json::{Map, Value, json};

/// All weights there are.
pub(super) const FINEST: Weight = match Weight::from_permille(1) {
    Some(weight) => weight,
    None => Weight::ZERO,
};

/// A hook, and the component that it is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Called<'a> {
    /// The hook.
    pub hook: &'a Hook,
    /// The component's name.
    pub component: &'a str,
}

impl Called<'_> {
    /// The name of what it answers, as an object: the component at the address.
    pub(super) fn name(&self) -> String {
        format!("{}@{}", self.component, self.hook.place())
    }

    /// What is wrong with the question itself.
    pub(super) fn check(&self, object: &ObjectRef) -> Result<(), RoutingError> {
        self.hook.problem().map_or(Ok(()), |why| {
            Err(RoutingError::BadHook {
                object: object.clone(),
                why,
            })
        })
    }
}

/// What a hook said, as an object. `id` is what it remembers of the last write, whoever's that was; a stamp is only
/// made of one of ours.
pub fn hook_object(
    object: &ObjectRef,
    stamp_key: &str,
    weight: Weight,
    (id, stamp): (Option<&str>, Option<&Stamp>),
    version: u64,
) -> Value {
    let mut annotations = Map::new();
    if let Some(stamp) = stamp {
        annotations.insert(stamp_key.to_owned(), stamp.to_string().into());
    }
    json!({
        "apiVersion": object.kind.api_version(),
        "kind": object.kind.kind(),
        "metadata": {
            "name": object.name,
            "namespace": object.namespace,
            "resourceVersion": version.to_string(),
            "annotations": annotations,
        },
        "spec": {"weight": weight.percent(), "id": id},
    })
}

pub(super) fn read(object: &ObjectRef, json: &Value) -> Result<Vec<Reading>, RoutingError> {
    let said = member(json, "/spec/weight").and_then(Value::as_f64);
    let weight = said
        .and_then(|percent| Weight::from_ratio(percent / 100.0))
        .ok_or_else(|| malformed(object, "weight", "a number from 0 to 100"))?;
    Ok(vec![Reading {
        place: "weight".to_owned(),
        weight,
    }])
}

pub(super) fn draft(json: &Value, weight: Weight, draft: &mut Draft<'_>) {
    draft.versioned();
    let old = member(json, "/spec/weight");
    if old.and_then(Value::as_f64) != Some(weight.percent()) {
        let change = Change {
            path: "weight".to_owned(),
            from: old.map(Value::to_string),
            to: Some(weight.percent().to_string()),
        };
        draft.set(path(["spec", "weight"]), weight.percent().into(), change);
    }
}
