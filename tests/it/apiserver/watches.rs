//! Watches: what is told, from when, and what when it cannot be.

use super::*;

async fn kinds(api: &Api<DynamicObject>, wp: &WatchParams, from: &str, count: usize) -> Vec<String> {
    let stream = api.watch(wp, from).await.unwrap();
    let events: Vec<_> = stream.take(count).try_collect().await.unwrap();
    events
        .into_iter()
        .map(|event| match event {
            WatchEvent::Added(o) => format!("+{}", o.metadata.name.unwrap()),
            WatchEvent::Modified(o) => format!("~{}", o.metadata.name.unwrap()),
            WatchEvent::Deleted(o) => format!("-{}", o.metadata.name.unwrap()),
            WatchEvent::Bookmark(b) => format!("b{}", b.metadata.annotations.len()),
            WatchEvent::Error(e) => format!("!{}", e.code),
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_watch_tells_what_happened_since_a_version_in_order() {
    let (_, api, made) = with_widget(json!({"size": 1})).await;
    api.patch(
        "w",
        &PatchParams::default(),
        &Patch::Merge(json!({"spec": {"size": 2}})),
    )
    .await
    .unwrap();
    api.delete("w", &DeleteParams::default()).await.unwrap();
    api.create(&PostParams::default(), &widget("v", json!({"size": 1})))
        .await
        .unwrap();
    assert_eq!(
        kinds(&api, &WatchParams::default(), &version(&made), 3).await,
        ["~w", "-w", "+v"]
    );
    assert_eq!(kinds(&api, &WatchParams::default(), "0", 1).await, ["+v"]);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_leaves_the_selection_is_deleted_for_the_watcher() {
    let (_, api, made) = with_widget(json!({"size": 1})).await;
    for label in [json!("y"), json!("n"), json!("y")] {
        let patch = json!({"metadata": {"labels": {"l": label}}});
        api.patch("w", &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap();
    }
    api.patch(
        "w",
        &PatchParams::default(),
        &Patch::Merge(json!({"spec": {"size": 2}})),
    )
    .await
    .unwrap();
    let wp = WatchParams::default().labels("l=y");
    assert_eq!(
        kinds(&api, &wp, &version(&made), 4).await,
        ["+w", "-w", "+w", "~w"]
    );
}

#[tokio::test(start_paused = true)]
async fn initial_events_end_with_an_annotated_bookmark() {
    let (_, api, _) = with_widget(json!({"size": 1})).await;
    let wp = WatchParams::default().initial_events();
    assert_eq!(kinds(&api, &wp, "0", 2).await, ["+w", "b1"]);
}

#[tokio::test(start_paused = true)]
async fn a_version_older_than_the_history_is_gone_and_so_is_a_lagging_watch() {
    let (store, api, made) = with_widget(json!({"size": 1})).await;
    store.set_history(2);
    let lagging = api.watch(&WatchParams::default(), &version(&made)).await.unwrap();
    for size in 0..5000 {
        let mut w = store
            .get("widgets.example.com", "default", "w")
            .unwrap()
            .as_ref()
            .clone();
        w["spec"]["size"] = json!(size % 80 + 20);
        store.put(w).unwrap();
    }
    assert_eq!(
        kinds(&api, &WatchParams::default(), &version(&made), 9).await,
        ["!410"]
    );
    let first = lagging.boxed().next().await.unwrap().unwrap();
    assert!(matches!(first, WatchEvent::Error(e) if e.code == 410));
}

#[tokio::test(start_paused = true)]
async fn a_watch_ends_after_its_timeout_with_a_bookmark() {
    let (_, api, made) = with_widget(json!({"size": 1})).await;
    let wp = WatchParams::default().timeout(7);
    let started = tokio::time::Instant::now();
    assert_eq!(kinds(&api, &wp, &version(&made), 9).await, ["b0"]);
    assert_eq!(started.elapsed().as_secs(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_broken_watch_ends_and_the_watcher_comes_back_for_what_it_missed() {
    use kube::runtime::{WatchStreamExt, watcher};
    let (store, api, _) = with_widget(json!({"size": 1})).await;
    let mut stream = watcher(api.clone(), watcher::Config::default())
        .default_backoff()
        .applied_objects()
        .boxed();
    // The watcher tells of each end before it comes back.
    let mut size = async || loop {
        if let Ok(object) = stream.next().await.unwrap() {
            return object.data["spec"]["size"].clone();
        }
    };
    assert_eq!(size().await, 1);
    for (wanted, forget) in [(2, false), (3, true)] {
        store.break_watches();
        let patch = json!({"spec": {"size": wanted}});
        api.patch("w", &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap();
        if forget {
            store.forget_history();
        }
        assert_eq!(size().await, wanted);
    }
}

#[tokio::test(start_paused = true)]
async fn a_typed_client_and_the_controllers_watcher_run_under_the_paused_clock() {
    use kube::runtime::{WatchStreamExt, watcher};
    let store = store();
    let api: Api<ConfigMap> = Api::default_namespaced(store.client("default"));
    let mut stream = watcher(api.clone(), watcher::Config::default())
        .applied_objects()
        .boxed();
    let map = ConfigMap {
        metadata: kube::api::ObjectMeta {
            name: Some("c".into()),
            ..Default::default()
        },
        ..Default::default()
    };
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        tokio::time::sleep(Duration::from_secs(3600)).await;
        api.create(&PostParams::default(), &map).await.unwrap();
    });
    let seen = stream.next().await.unwrap().unwrap();
    assert_eq!(seen.metadata.name.as_deref(), Some("c"));
}
