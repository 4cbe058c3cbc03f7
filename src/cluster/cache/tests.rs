use super::*;
use serde_json::json;

fn cache() -> (Cache, Scope, ObjectRef) {
    let cache = Cache::new(Clients::from_service(axum::Router::new()));
    cache.want(ObjectKind::VirtualService, "apps");
    let shop = ObjectRef {
        kind: ObjectKind::VirtualService,
        namespace: "apps".into(),
        name: "shop".into(),
    };
    (
        cache,
        (What::Routed(ObjectKind::VirtualService), "apps".into()),
        shop,
    )
}

fn at(version: u64) -> Value {
    json!({"metadata": {"name": "shop", "namespace": "apps", "resourceVersion": version.to_string()}})
}

fn seen(version: u64) -> DynamicObject {
    serde_json::from_value(at(version)).unwrap()
}

fn version(cache: &Cache, object: &ObjectRef) -> Option<String> {
    let Cached::Object(json) = cache.get(object) else {
        return None;
    };
    Some(json.pointer("/metadata/resourceVersion")?.as_str()?.to_owned())
}

#[tokio::test]
async fn a_list_that_began_before_our_write_does_not_undo_it() {
    let (cache, scope, shop) = cache();
    cache.take(&scope, Event::Init);
    cache.put(&shop, Arc::new(at(20)));
    cache.take(&scope, Event::InitApply(seen(10)));
    cache.take(&scope, Event::InitDone);
    assert_eq!(version(&cache, &shop).as_deref(), Some("20"));
    cache.take(&scope, Event::Init);
    cache.take(&scope, Event::InitApply(seen(5)));
    cache.take(&scope, Event::InitDone);
    assert_eq!(
        version(&cache, &shop).as_deref(),
        Some("5"),
        "a restored cluster counts from lower again"
    );
}

#[tokio::test]
async fn an_answer_that_comes_after_the_deletion_brings_nothing_back() {
    let (cache, scope, shop) = cache();
    for event in [
        Event::Init,
        Event::InitApply(seen(10)),
        Event::InitDone,
        Event::Delete(seen(12)),
    ] {
        cache.take(&scope, event);
    }
    cache.put(&shop, Arc::new(at(11)));
    assert!(matches!(cache.get(&shop), Cached::Missing));
}
