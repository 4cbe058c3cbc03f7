//! What controllers are told: the share of new objects, and where they are made.

use super::{Shares, mark, marked, set};
use serde_json::{Map, Value};

/// The keys of a `ConfigMap`, and what says that nothing goes to Istio.
const KEYS: [(&str, Option<&str>); 3] = [
    ("networking_mode", Some("ingress")),
    ("istio_percentage", Some("0")),
    ("enable_istio_monitoring", None),
];

/// The same for variables of a Deployment.
const VARIABLES: [(&str, Option<&str>); 11] = [
    ("NETWORKING_MODE", Some("ingress")),
    ("ISTIO_PERCENTAGE", Some("0")),
    ("USE_ISTIO_NETWORKING", Some("false")),
    ("USE_INGRESS_NETWORKING", Some("true")),
    ("ISTIO_ENABLED", Some("false")),
    ("ENABLE_ISTIO_WEBHOOKS", Some("false")),
    ("ENABLE_ISTIO_MONITORING", None),
    ("EMERGENCY_ROLLBACK", None),
    ("ROLLBACK_TIMESTAMP", None),
    ("ISTIO_GATEWAY", None),
    ("VIRTUALSERVICE_MUTATING_ANNOTATIONS", None),
];

/// For what the daemon restarted the pods.
const RESTARTED: &str = "rollout.sealos.io/restarted-for";

fn outcome(kept: Value, told: &[&str], gone: bool) -> Shares {
    if told.is_empty() {
        return Shares::Same(kept);
    }
    let what = told.join(", ");
    let how = if gone {
        "it is gone, and comes back with nothing for Istio"
    } else {
        "it stays as it is"
    };
    Shares::Held(
        kept,
        format!("{what}: {how}, as that is the share of new objects"),
    )
}

/// A kept `ConfigMap` with the switches of now.
pub(super) fn config_map(mut kept: Value, live: Option<&Value>) -> Shares {
    if marked(&kept) || live.is_some_and(marked) {
        mark(&mut kept, live);
    }
    let mut data = kept
        .get("data")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    let mut told = Vec::new();
    for (key, rest) in KEYS {
        let rest = rest.map(Value::from);
        let next = match live {
            Some(live) => live.get("data").and_then(|data| data.get(key)),
            None => data.get(key).and(rest.as_ref()).or_else(|| data.get(key)),
        };
        if next != data.get(key) {
            let next = next.cloned();
            set(&mut data, key, next.as_ref());
            told.push(key);
        }
    }
    if let (false, Some(map)) = (told.is_empty(), kept.as_object_mut()) {
        map.insert("data".to_owned(), data.into());
    }
    outcome(kept, &told, live.is_none())
}

fn containers(deployment: &Value) -> &[Value] {
    let all = deployment
        .pointer("/spec/template/spec/containers")
        .and_then(Value::as_array);
    all.map_or(&[], Vec::as_slice)
}

fn env(container: &Value) -> &[Value] {
    let all = container.get("env").and_then(Value::as_array);
    all.map_or(&[], Vec::as_slice)
}

fn variable<'a>(container: &'a Value, name: &str) -> Option<&'a Value> {
    env(container)
        .iter()
        .find(|entry| entry.get("name").and_then(Value::as_str) == Some(name))
}

/// Whether a Deployment is a controller that is told a share: other programs have variables of such names too.
fn controller(deployment: &Value) -> bool {
    let told = |container: &Value| {
        ["NETWORKING_MODE", "ISTIO_PERCENTAGE", "USE_ISTIO_NETWORKING"]
            .iter()
            .any(|name| variable(container, name).is_some())
    };
    marked(deployment) || containers(deployment).iter().any(told)
}

/// A kept Deployment with the switches of now.
pub(super) fn deployment(mut kept: Value, live: Option<&Value>) -> Shares {
    if !(controller(&kept) || live.is_some_and(controller)) {
        return Shares::Same(kept);
    }
    mark(&mut kept, live);
    let mut told = Vec::new();
    let mut all = containers(&kept).to_vec();
    for container in &mut all {
        let same = |other: &&Value| other.get("name") == container.get("name");
        let now = live.and_then(|live| containers(live).iter().find(same));
        for (name, rest) in VARIABLES {
            let was = variable(container, name).cloned();
            let next = match (now, &was) {
                (Some(now), _) => variable(now, name).cloned(),
                (None, Some(was)) => Some(at_rest(was, rest)),
                (None, None) => None,
            };
            if next != was {
                put(container, name, next);
                told.push(name);
            }
        }
    }
    if let Some(place) = kept.pointer_mut("/spec/template/spec/containers") {
        *place = Value::Array(all);
    }
    restarted(&mut kept, live);
    told.sort_unstable();
    told.dedup();
    outcome(kept, &told, live.is_none())
}

/// A variable that tells a controller to give Istio nothing. What comes from elsewhere is told there.
fn at_rest(entry: &Value, rest: Option<&str>) -> Value {
    let mut entry = entry.clone();
    if let (Some(rest), Some(map)) = (rest, entry.as_object_mut())
        && map.contains_key("value")
    {
        map.insert("value".to_owned(), rest.into());
    }
    entry
}

/// Sets a variable where it stands, or behind all others, or takes it away.
fn put(container: &mut Value, name: &str, entry: Option<Value>) {
    let mut all = env(container).to_vec();
    let at = all
        .iter()
        .position(|entry| entry.get("name").and_then(Value::as_str) == Some(name));
    match (at.and_then(|at| all.get_mut(at)), entry) {
        (Some(place), Some(entry)) => *place = entry,
        (None, Some(entry)) => all.push(entry),
        (_, None) => all.retain(|entry| entry.get("name").and_then(Value::as_str) != Some(name)),
    }
    let Some(map) = container.as_object_mut() else {
        return;
    };
    if all.is_empty() {
        map.remove("env");
    } else {
        map.insert("env".to_owned(), all.into());
    }
}

/// For what the daemon restarted the pods: another text would restart them once more.
fn restarted(kept: &mut Value, live: Option<&Value>) {
    let said = |object: &Value| {
        object
            .pointer("/spec/template/metadata/annotations")?
            .get(RESTARTED)
            .cloned()
    };
    let now = live.and_then(said);
    if said(kept) == now {
        return;
    }
    let Some(meta) = kept
        .pointer_mut("/spec/template/metadata")
        .and_then(Value::as_object_mut)
    else {
        return;
    };
    let notes = meta
        .entry("annotations")
        .or_insert_with(|| Value::Object(Map::new()));
    if let Some(notes) = notes.as_object_mut() {
        set(notes, RESTARTED, now.as_ref());
    }
}
