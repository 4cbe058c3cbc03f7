//! The computed cells of built-in resources in `kubectl get`.

use super::column::{Column, age};
use super::json::text;
use jiff::Timestamp;
use serde_json::{Value, json};

pub(super) fn count(object: &Value, pointer: &str) -> Value {
    json!(
        object
            .pointer(pointer)
            .and_then(Value::as_i64)
            .unwrap_or_default()
    )
}

pub(super) fn data(object: &Value, _: Timestamp) -> Value {
    let size = |key: &str| {
        object
            .get(key)
            .and_then(Value::as_object)
            .map_or(0, serde_json::Map::len)
    };
    json!(size("data") + size("binaryData"))
}

pub(super) fn deployment_ready(d: &Value, _: Timestamp) -> Value {
    json!(format!(
        "{}/{}",
        count(d, "/status/readyReplicas"),
        count(d, "/spec/replicas")
    ))
}

pub(super) fn pod_ready(pod: &Value, _: Timestamp) -> Value {
    let list = |pointer: &str| {
        pod.pointer(pointer)
            .and_then(Value::as_array)
            .map_or(&[][..], Vec::as_slice)
    };
    let ready = list("/status/containerStatuses")
        .iter()
        .filter(|c| c.get("ready") == Some(&json!(true)))
        .count();
    json!(format!("{ready}/{}", list("/spec/containers").len()))
}

pub(super) fn ports(service: &Value, _: Timestamp) -> Value {
    let list = service.pointer("/spec/ports").and_then(Value::as_array);
    let ports: Vec<String> = list
        .into_iter()
        .flatten()
        .map(|p| {
            let protocol = p.get("protocol").and_then(Value::as_str).unwrap_or("TCP");
            format!("{}/{protocol}", p.get("port").cloned().unwrap_or_default())
        })
        .collect();
    json!(if ports.is_empty() {
        "<none>".to_owned()
    } else {
        ports.join(",")
    })
}

pub(super) fn join(object: &Value, list: &str, field: &str) -> Value {
    let items: Vec<String> = object
        .pointer(list)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|i| i.pointer(field))
        .map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned))
        .collect();
    json!(if items.is_empty() {
        "<unset>".to_owned()
    } else {
        items.join(",")
    })
}

pub(super) fn event_columns() -> Vec<Column> {
    // Written for the stored form, which tables are made from.
    vec![
        Column::made("Last Seen", |e, now| {
            let times = [
                "/series/lastObservedTime",
                "/lastTimestamp",
                "/eventTime",
                "/firstTimestamp",
            ];
            let at = times
                .iter()
                .map(|t| text(e, t))
                .find(|t| !t.is_empty())
                .unwrap_or_default();
            json!(age(at, now))
        }),
        Column::path("Type", "string", ".type"),
        Column::path("Reason", "string", ".reason"),
        Column::made("Object", |e, _| {
            let kind = text(e, "/involvedObject/kind").to_lowercase();
            json!(format!("{kind}/{}", text(e, "/involvedObject/name")))
        }),
        Column::path("Message", "string", ".message"),
    ]
}
