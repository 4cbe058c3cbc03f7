//! What kube-apiserver demands of Events that come as `events.k8s.io/v1`, beyond their schema. It names the fields
//! as the core form does.

use super::failure::Cause;
use super::json;
use super::names;
use super::resource::Resource;
use serde_json::{Value, json};

/// Bytes of an action, a reason, an instance.
const SHORT: usize = 128;
/// Bytes of a note.
const NOTE: usize = 1024;

/// Required words: where they stand, what they are called, and how long they may be.
const WORDS: [(&str, &str, usize); 3] = [
    ("/reportingInstance", "reportingInstance", SHORT),
    ("/action", "action", SHORT),
    ("/reason", "reason", SHORT),
];

/// What never changes after an Event was written: all but its series.
const FIXED: [(&str, &str); 9] = [
    ("regarding", "involvedObject"),
    ("reason", "reason"),
    ("note", "message"),
    ("type", "type"),
    ("eventTime", "eventTime"),
    ("action", "action"),
    ("related", "related"),
    ("reportingController", "reportingController"),
    ("reportingInstance", "reportingInstance"),
];

/// What is wrong with an Event.
pub(super) fn check(resource: &Resource, new: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    if (resource.group.as_str(), resource.plural.as_str()) != ("events.k8s.io", "events") {
        return causes;
    }
    let controller = json::text(new, "/reportingController");
    if controller.is_empty() {
        causes.push(Cause::required("reportingController", ""));
    } else if let Some(why) = names::bad_key(controller) {
        causes.push(Cause::invalid("reportingController", &json!(controller), why));
    }
    for (at, field, most) in WORDS {
        if json::text(new, at).is_empty() {
            causes.push(Cause::required(field, ""));
        }
        causes.extend(too_long(new, at, field, most));
    }
    causes.extend(too_long(new, "/note", "message", NOTE));
    if json::text(new, "/eventTime").is_empty() {
        causes.push(Cause::required("eventTime", ""));
    }
    let kind = json::text(new, "/type");
    if !["Normal", "Warning"].contains(&kind) {
        let why = format!("has invalid value: {kind}");
        causes.push(Cause::invalid("type", &json!(""), why));
    }
    if let Some(series) = given(new, "series").filter(|s| old.and_then(|o| given(o, "series")) != Some(s)) {
        if series
            .get("count")
            .and_then(Value::as_i64)
            .is_none_or(|count| count < 2)
        {
            causes.push(Cause::invalid("series.count", &json!(""), "should be at least 2"));
        }
        if json::text(series, "/lastObservedTime").is_empty() {
            causes.push(Cause::required("series.lastObservedTime", ""));
        }
    }
    for (field, named) in FIXED {
        if old.is_some_and(|old| given(old, field) != given(new, field)) {
            let value = given(new, field).cloned().unwrap_or_default();
            causes.push(Cause::invalid(named, &value, "field is immutable"));
        }
    }
    causes
}

fn given<'a>(object: &'a Value, field: &str) -> Option<&'a Value> {
    object.get(field).filter(|value| !value.is_null())
}

fn too_long(new: &Value, at: &str, field: &str, most: usize) -> Option<Cause> {
    let why = format!("can have at most {most} characters");
    (json::text(new, at).len() > most).then(|| Cause::invalid(field, &json!(""), why))
}
