//! Weights of a `VirtualService`.

use super::{Shares, annotations, mark, set};
use serde_json::{Map, Value};

/// The lists that have weights.
const LISTS: [&str; 3] = ["http", "tls", "tcp"];

/// What the daemon moves beside the weights.
const MIRRORS: [&str; 4] = ["mirror", "mirrors", "mirrorPercentage", "mirror_percent"];

/// A kept route with the weights and marks of now.
pub(super) fn of_now(mut kept: Value, live: Option<&Value>) -> Shares {
    let Some(live) = live else {
        return gone(kept);
    };
    mark(&mut kept, Some(live));
    let mut told = Vec::new();
    for list in LISTS {
        let was = kept.pointer(&format!("/spec/{list}")).cloned();
        let now = live.pointer(&format!("/spec/{list}"));
        if was.as_ref() == now {
            continue;
        }
        let weighed = match (&was, now) {
            (Some(Value::Array(was)), Some(Value::Array(now))) => weighed(was, now).map(Value::Array),
            _ => None,
        };
        match &weighed {
            Some(next) if Some(next) == was.as_ref() => continue,
            Some(_) => told.push(format!("the weights of spec.{list} stay as they are")),
            None => told.push(format!(
                "spec.{list} stays as it is: its routes are others than in the backup, whose weights are for those of then"
            )),
        }
        if let Some(spec) = kept.get_mut("spec").and_then(Value::as_object_mut) {
            set(spec, list, weighed.as_ref().or(now));
        }
    }
    if told.is_empty() {
        return Shares::Same(kept);
    }
    Shares::Held(kept, format!("{}: they are the daemon's", told.join("; ")))
}

/// Routes as they were, with the weights of now; none where one of them is not the route that it was.
fn weighed(was: &[Value], now: &[Value]) -> Option<Vec<Value>> {
    if was.len() != now.len() {
        return None;
    }
    let all = was.iter().zip(now);
    all.map(|(was, now)| one(was, now)).collect()
}

fn one(was: &Value, now: &Value) -> Option<Value> {
    let same = |field: &str| was.get(field) == now.get(field);
    if !(same("name") && same("match")) {
        return None;
    }
    let leads = |route: &Value| {
        route
            .get("route")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    let (mut next, from) = (leads(was), leads(now));
    if next.len() != from.len() {
        return None;
    }
    for (next, from) in next.iter_mut().zip(&from) {
        if next.get("destination") != from.get("destination") {
            return None;
        }
        set(next.as_object_mut()?, "weight", from.get("weight"));
    }
    let mut route: Map<String, Value> = was.as_object()?.clone();
    if route.contains_key("route") {
        route.insert("route".to_owned(), Value::Array(next));
    }
    for field in MIRRORS {
        set(&mut route, field, now.get(field));
    }
    Some(Value::Object(route))
}

/// One that is gone carries no share now. Created with the weights of then it would, unless these were at rest.
fn gone(mut kept: Value) -> Shares {
    if at_rest(&kept) {
        mark(&mut kept, None);
        return Shares::Same(kept);
    }
    let stamps: Vec<&str> = annotations(&kept)
        .filter(|(name, _)| name.starts_with("rollout.sealos.io/w."))
        .filter_map(|(_, stamp)| stamp.as_str())
        .collect();
    Shares::Left(format!(
        "not created: it is gone, and the backup has it with a share (as marked: {}); write it by hand with the canary at 0",
        stamps.join(", ")
    ))
}

/// Whether every mark says 0%, and no route splits.
fn at_rest(kept: &Value) -> bool {
    let marks = annotations(kept).filter(|(name, _)| name.starts_with("rollout.sealos.io/w."));
    let mut weights = marks.map(|(_, stamp)| stamp.as_str().and_then(|stamp| stamp.split(' ').nth(1)));
    let routes = LISTS
        .iter()
        .filter_map(|list| kept.pointer(&format!("/spec/{list}"))?.as_array());
    let carries = |route: &&Value| route.get("weight").and_then(Value::as_u64) != Some(0);
    let splits = |route: &Value| {
        let leads = route.get("route").and_then(Value::as_array);
        leads.is_some_and(|leads| leads.iter().filter(carries).count() > 1)
    };
    weights.all(|weight| weight == Some("0%")) && !routes.flatten().any(splits)
}
