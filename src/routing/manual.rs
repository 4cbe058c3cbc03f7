//! A weight that only a person can set: what is asked for, and what was confirmed.

use super::hook::hook_object;
use super::object::ObjectRef;
use super::seen::text;
use super::stamp::{Stamp, key};
use crate::rollout::status::{ComponentStatus, RouterStatus};
use crate::rollout::weight::Weight;
use serde_json::Value;

/// What the annotation has to say for what a component asks of a person now; `None` when nobody is asked.
pub fn confirmation(component: &ComponentStatus, who: &str) -> Option<String> {
    let waits = |router: &RouterStatus| router.router == "manual" && router.waiting_for.is_some();
    if !component.routers.iter().any(waits) {
        return None;
    }
    let (id, weight, reason) = match (&component.lowering, &component.intent) {
        (Some(order), _) => (&order.id, order.weight, order.reason),
        (None, Some(intent)) => (&intent.id, intent.weight, intent.reason),
        (None, None) => return None,
    };
    let stamp = Stamp::new(id, weight, &reason.to_string()).ok()?;
    Some(format!("{stamp} by {who}"))
}

/// The annotation of the resource by which a person confirms a component's weight: a stamp with the id of what was
/// asked for, and ` by ` who.
pub fn confirmed_key(component: &str) -> String {
    key("rollout.sealos.io/m.", component)
}

/// What such an annotation says.
pub fn confirmed(text: &str) -> Option<Stamp> {
    text.split_once(" by ")
        .map_or(text, |(stamp, _)| stamp)
        .parse()
        .ok()
}

/// What a person has still to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The write that waits for it.
    pub want: Stamp,
    /// For the one who does it.
    pub words: String,
}

/// What a person confirmed, as an object, and what is still asked for.
pub fn manual_object(
    object: &ObjectRef,
    stamp_key: &str,
    confirmed: Option<&Stamp>,
    asked: Option<&Asked>,
    version: u64,
) -> Value {
    let weight = confirmed.map_or(Weight::ZERO, Stamp::weight);
    let mut json = hook_object(object, stamp_key, weight, (None, confirmed), version);
    if let (Some(asked), Some(spec)) = (asked, json.get_mut("spec").and_then(Value::as_object_mut)) {
        spec.insert("want".to_owned(), asked.want.to_string().into());
        spec.insert("words".to_owned(), asked.words.clone().into());
    }
    json
}

/// What a person has still to do, of such an object.
pub fn asked(json: &Value) -> Option<Asked> {
    Some(Asked {
        want: text(json, "/spec/want")?.parse().ok()?,
        words: text(json, "/spec/words")?.to_owned(),
    })
}
