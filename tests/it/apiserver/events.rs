//! Events of `events.k8s.io/v1`: kube-apiserver refuses much that a schema would let through.

use super::*;
use k8s_openapi::api::events::v1::Event;

fn events(store: &Store) -> Api<Event> {
    Api::default_namespaced(store.client("default"))
}

fn event() -> Value {
    json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "w.1", "namespace": "default"},
        "action": "Breach", "reason": "Breach", "note": "errors", "type": "Warning",
        "eventTime": "2026-01-05T02:00:00.000000Z",
        "regarding": {"apiVersion": "example.com/v1", "kind": "Widget", "name": "w", "namespace": "default"},
        "reportingController": "example.com/controller", "reportingInstance": "controller-0",
    })
}

async fn create(store: &Store, object: Value) -> Result<Event, kube::Error> {
    let object: Event = serde_json::from_value(object).unwrap();
    events(store).create(&PostParams::default(), &object).await
}

async fn patch(store: &Store, change: Value) -> Result<Event, kube::Error> {
    let patch = Patch::Merge(change);
    events(store).patch("w.1", &PatchParams::default(), &patch).await
}

#[tokio::test(start_paused = true)]
async fn an_event_without_what_makes_it_one_is_refused_by_field() {
    let store = store();
    for (field, value, named) in [
        ("action", json!(""), "action"),
        ("reason", json!(""), "reason"),
        ("reason", json!("x".repeat(129)), "reason"),
        ("note", json!("x".repeat(1025)), "message"),
        ("type", json!("Alarm"), "type"),
        ("eventTime", Value::Null, "eventTime"),
        ("reportingController", json!(""), "reportingController"),
        ("reportingController", json!("not/a/name"), "reportingController"),
        ("reportingInstance", json!("x".repeat(129)), "reportingInstance"),
        (
            "series",
            json!({"count": 1, "lastObservedTime": "2026-01-05T02:00:00.000000Z"}),
            "series.count",
        ),
    ] {
        let mut object = event();
        object[field] = value;
        let (code, _, message) = refusal(create(&store, object).await.unwrap_err());
        assert_eq!(code, 422, "{field}: {message}");
        assert!(message.contains(&format!(": {named}: ")), "{field}: {message}");
    }
    create(&store, event()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn of_an_event_only_the_series_may_change() {
    let store = store();
    create(&store, event()).await.unwrap();
    for change in [
        json!({"note": "more errors"}),
        json!({"type": "Normal"}),
        json!({"eventTime": "2026-01-05T02:00:01.000000Z"}),
        json!({"reportingInstance": "controller-1"}),
    ] {
        let (code, _, message) = refusal(patch(&store, change.clone()).await.unwrap_err());
        assert_eq!(code, 422, "{change}");
        assert!(message.contains("field is immutable"), "{change}: {message}");
    }
    let at = "2026-01-05T02:01:00.000000Z";
    let told = patch(&store, json!({"series": {"count": 4, "lastObservedTime": at}}));
    assert_eq!(told.await.unwrap().series.unwrap().count, 4);
    let less = patch(&store, json!({"series": {"count": 1, "lastObservedTime": at}}));
    let (code, _, message) = refusal(less.await.unwrap_err());
    assert_eq!(
        (code, message.contains("should be at least 2")),
        (422, true),
        "{message}"
    );
}
