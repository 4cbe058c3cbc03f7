//! Objects: created, replaced, deleted, selected.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_new_object_gets_uid_time_generation_and_version_and_its_status_is_dropped() {
    let store = store();
    let mut object = widget("w", json!({"size": 1}));
    object.data["status"] = json!({"share": "5%"});
    let made = widgets_api(&store)
        .create(&PostParams::default(), &object)
        .await
        .unwrap();
    assert_eq!(made.metadata.generation, Some(1));
    assert!(made.metadata.uid.is_some() && made.metadata.resource_version.is_some());
    assert_eq!(
        made.metadata.creation_timestamp.unwrap().0.to_string(),
        "2026-01-05T02:00:00Z"
    );
    assert_eq!(made.data.get("status"), None);
}

#[tokio::test(start_paused = true)]
async fn creating_twice_is_already_exists_and_a_missing_namespace_is_not_found() {
    let (store, api, _) = with_widget(json!({"size": 1})).await;
    let error = api
        .create(&PostParams::default(), &widget("w", json!({"size": 1})))
        .await
        .unwrap_err();
    assert_eq!(
        refusal(error),
        (
            409,
            "AlreadyExists".into(),
            "widgets.example.com \"w\" already exists".into()
        )
    );
    let elsewhere: Api<DynamicObject> = Api::namespaced_with(store.client("x"), "nowhere", &resource());
    let error = elsewhere
        .create(&PostParams::default(), &widget("w", json!({"size": 1})))
        .await
        .unwrap_err();
    assert_eq!(
        refusal(error),
        (404, "NotFound".into(), "namespaces \"nowhere\" not found".into())
    );
}

#[tokio::test(start_paused = true)]
async fn a_put_with_an_old_version_conflicts_and_without_one_is_invalid() {
    let (_, api, made) = with_widget(json!({"size": 1})).await;
    let mut next = made.clone();
    next.data["spec"]["size"] = json!(2);
    api.replace("w", &PostParams::default(), &next).await.unwrap();
    next.data["spec"]["size"] = json!(3);
    let (code, reason, message) = refusal(api.replace("w", &PostParams::default(), &next).await.unwrap_err());
    assert_eq!((code, reason.as_str()), (409, "Conflict"));
    assert!(message.starts_with(
        "Operation cannot be fulfilled on widgets.example.com \"w\": the object has been modified"
    ));
    next.metadata.resource_version = None;
    let (code, reason, message) = refusal(api.replace("w", &PostParams::default(), &next).await.unwrap_err());
    assert_eq!((code, reason.as_str()), (422, "Invalid"));
    assert!(message.contains("metadata.resourceVersion: Invalid value: 0: must be specified for an update"));
}

#[tokio::test(start_paused = true)]
async fn only_a_change_of_the_spec_raises_the_generation() {
    let (_, api, _) = with_widget(json!({"size": 1})).await;
    let pp = PatchParams::default();
    let labelled = api
        .patch(
            "w",
            &pp,
            &Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}})),
        )
        .await
        .unwrap();
    assert_eq!(labelled.metadata.generation, Some(1));
    let status = api
        .patch_status("w", &pp, &Patch::Merge(json!({"status": {"share": "5%"}})))
        .await
        .unwrap();
    assert_eq!(status.metadata.generation, Some(1));
    let bigger = api
        .patch("w", &pp, &Patch::Merge(json!({"spec": {"size": 2}})))
        .await
        .unwrap();
    assert_eq!(bigger.metadata.generation, Some(2));
}

#[tokio::test(start_paused = true)]
async fn the_status_path_writes_only_status_and_the_main_path_never_does() {
    let (_, api, _) = with_widget(json!({"size": 1})).await;
    let pp = PatchParams::default();
    let body =
        json!({"x": 1, "metadata": {"labels": {"a": "b"}}, "spec": {"size": 9}, "status": {"share": "5%"}});
    let after = api.patch_status("w", &pp, &Patch::Merge(&body)).await.unwrap();
    assert_eq!(
        (after.data["spec"]["size"].clone(), after.metadata.labels),
        (json!(1), None)
    );
    assert_eq!(
        (after.data["status"]["share"].clone(), after.data.get("x")),
        (json!("5%"), None)
    );
    let after = api
        .patch("w", &pp, &Patch::Merge(json!({"status": {"share": "6%"}})))
        .await
        .unwrap();
    assert_eq!(after.data["status"]["share"], "5%");
}

#[tokio::test(start_paused = true)]
async fn a_write_that_changes_nothing_keeps_the_version_and_tells_nobody() {
    let (store, api, made) = with_widget(json!({"size": 1})).await;
    let mut changes = store.subscribe("widgets.example.com");
    let after = api
        .patch(
            "w",
            &PatchParams::default(),
            &Patch::Merge(json!({"spec": {"size": 1}})),
        )
        .await
        .unwrap();
    assert_eq!(version(&after), version(&made));
    assert!(changes.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_answers_and_stores_nothing() {
    let (store, api, made) = with_widget(json!({"size": 1})).await;
    let before = store.version();
    let dry = PatchParams {
        dry_run: true,
        ..PatchParams::default()
    };
    let after = api
        .patch("w", &dry, &Patch::Merge(json!({"spec": {"size": 2}})))
        .await
        .unwrap();
    assert_eq!(after.data["spec"]["size"], 2);
    api.create(
        &PostParams {
            dry_run: true,
            ..PostParams::default()
        },
        &widget("v", json!({"size": 1})),
    )
    .await
    .unwrap();
    api.delete(
        "w",
        &DeleteParams {
            dry_run: true,
            ..DeleteParams::default()
        },
    )
    .await
    .unwrap();
    assert_eq!(store.version(), before);
    assert_eq!(version(&api.get("w").await.unwrap()), version(&made));
}

#[tokio::test(start_paused = true)]
async fn finalizers_hold_an_object_until_they_are_emptied() {
    let (_, api, _) = with_widget(json!({"size": 1})).await;
    let pp = PatchParams::default();
    api.patch(
        "w",
        &pp,
        &Patch::Merge(json!({"metadata": {"finalizers": ["example.com/hold"]}})),
    )
    .await
    .unwrap();
    let held = api
        .delete("w", &DeleteParams::default())
        .await
        .unwrap()
        .left()
        .unwrap();
    assert!(held.metadata.deletion_timestamp.is_some());
    let more = json!({"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}});
    assert!(
        refusal(api.patch("w", &pp, &Patch::Merge(more)).await.unwrap_err())
            .2
            .contains("no new finalizers")
    );
    api.patch("w", &pp, &Patch::Merge(json!({"metadata": {"finalizers": null}})))
        .await
        .unwrap();
    assert_eq!(refusal(api.get("w").await.unwrap_err()).0, 404);
}

#[tokio::test(start_paused = true)]
async fn a_delete_answers_with_the_uid_and_checks_its_preconditions() {
    let (_, api, made) = with_widget(json!({"size": 1})).await;
    let wrong = kube::api::Preconditions {
        uid: Some("x".into()),
        resource_version: None,
    };
    let dp = DeleteParams {
        preconditions: Some(wrong),
        ..DeleteParams::default()
    };
    assert_eq!(refusal(api.delete("w", &dp).await.unwrap_err()).0, 409);
    let status = api
        .delete("w", &DeleteParams::default())
        .await
        .unwrap()
        .right()
        .unwrap();
    assert_eq!(status.details.unwrap().uid, made.metadata.uid.unwrap());
}

#[tokio::test(start_paused = true)]
async fn selectors_narrow_lists_and_an_unknown_field_label_is_refused() {
    let store = store();
    let api = widgets_api(&store);
    for (name, label) in [("a", "x"), ("b", "y"), ("c", "y")] {
        let mut object = widget(name, json!({"size": 1}));
        object.metadata.labels = Some([("l".to_owned(), label.to_owned())].into());
        api.create(&PostParams::default(), &object).await.unwrap();
    }
    for (labels, wanted) in [
        ("l=y", "bc"),
        ("l!=y", "a"),
        ("l in (x,z)", "a"),
        ("l notin (x)", "bc"),
        ("!l", ""),
        ("l", "abc"),
    ] {
        let found = api.list(&ListParams::default().labels(labels)).await.unwrap();
        let names: String = found
            .items
            .iter()
            .map(|w| w.metadata.name.clone().unwrap())
            .collect();
        assert_eq!(names, wanted, "{labels}");
    }
    assert_eq!(
        api.list(&ListParams::default().fields("metadata.name=b"))
            .await
            .unwrap()
            .items
            .len(),
        1
    );
    let error = api
        .list(&ListParams::default().fields("spec.size=1"))
        .await
        .unwrap_err();
    assert_eq!(
        refusal(error),
        (
            400,
            "BadRequest".into(),
            "field label not supported: spec.size".into()
        )
    );
}

#[tokio::test(start_paused = true)]
async fn a_namespace_takes_its_objects_and_a_definition_its_resources_with_it() {
    let store = store();
    store.namespace("team");
    store
        .put(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "team"}}))
        .unwrap();
    store.put(json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"size": 1}})).unwrap();
    store.delete("namespaces", "", "team").unwrap();
    assert!(store.get("configmaps", "team", "c").is_none());
    store
        .delete(
            "customresourcedefinitions.apiextensions.k8s.io",
            "",
            "widgets.example.com",
        )
        .unwrap();
    assert!(store.list("widgets.example.com").is_empty());
    assert_eq!(raw(&store, "GET", WIDGETS, JSON, JSON, Value::Null).await.0, 404);
}

#[tokio::test(start_paused = true)]
async fn twenty_writers_with_one_version_have_one_winner() {
    let (_, api, made) = with_widget(json!({"size": 1})).await;
    let writes = (0..20).map(|i| {
        let body = json!({"metadata": {"resourceVersion": version(&made)}, "spec": {"size": i + 20}});
        let api = api.clone();
        async move {
            api.patch("w", &PatchParams::default(), &Patch::Merge(body))
                .await
                .is_ok()
        }
    });
    let won = futures::future::join_all(writes)
        .await
        .into_iter()
        .filter(|ok| *ok)
        .count();
    assert_eq!(won, 1);
}

#[tokio::test(start_paused = true)]
async fn annotation_names_beyond_63_bytes_and_bad_names_are_refused() {
    let (_, api, _) = with_widget(json!({"size": 1})).await;
    let key = format!("example.com/{}", "x".repeat(64));
    let error = api
        .patch(
            "w",
            &PatchParams::default(),
            &Patch::Merge(json!({"metadata": {"annotations": {key: "1"}}})),
        )
        .await;
    assert!(
        refusal(error.unwrap_err())
            .2
            .contains("name part must be no more than 63 bytes")
    );
    let error = api
        .create(&PostParams::default(), &widget("Bad_Name", json!({"size": 1})))
        .await
        .unwrap_err();
    assert!(
        refusal(error)
            .2
            .contains("a lowercase RFC 1123 subdomain must consist of")
    );
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_taken_by_compare_and_swap_and_created_by_a_put() {
    use k8s_openapi::api::coordination::v1::Lease;
    let api: Api<Lease> = Api::default_namespaced(store().client("default"));
    let mut lease: Lease = serde_json::from_value(json!({
        "metadata": {"name": "l"},
        "spec": {"holderIdentity": "a", "leaseDurationSeconds": 15, "renewTime": "2026-01-05T02:00:00.123456Z"},
    }))
    .unwrap();
    let made = api.replace("l", &PostParams::default(), &lease).await.unwrap();
    lease.metadata.resource_version = made.metadata.resource_version;
    api.replace("l", &PostParams::default(), &{
        let mut taken = lease.clone();
        taken.spec.as_mut().unwrap().holder_identity = Some("b".into());
        taken
    })
    .await
    .unwrap();
    assert_eq!(
        refusal(
            api.replace("l", &PostParams::default(), &lease)
                .await
                .unwrap_err()
        )
        .0,
        409
    );
    let held = api.get("l").await.unwrap().spec.unwrap();
    assert_eq!(held.holder_identity.as_deref(), Some("b"));
    assert!(held.renew_time.is_some());
}

#[tokio::test(start_paused = true)]
async fn what_an_owner_owned_goes_with_it_unless_orphaned() {
    let (store, api, made) = with_widget(json!({"size": 1})).await;
    let owned = |name: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "ownerReferences": [
            {"apiVersion": "example.com/v1", "kind": "Widget", "name": "w", "uid": made.metadata.uid}]}})
    };
    store.put(owned("a")).unwrap();
    api.delete("w", &DeleteParams::default()).await.unwrap();
    assert!(store.get("configmaps", "default", "a").is_none());
    let made = api
        .create(&PostParams::default(), &widget("v", json!({"size": 1})))
        .await
        .unwrap();
    let mut kept = owned("b");
    kept["metadata"]["ownerReferences"][0]["uid"] = json!(made.metadata.uid);
    store.put(kept).unwrap();
    let orphan = DeleteParams {
        propagation_policy: Some(kube::api::PropagationPolicy::Orphan),
        ..DeleteParams::default()
    };
    api.delete("v", &orphan).await.unwrap();
    assert!(store.get("configmaps", "default", "b").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_generated_name_is_fresh_each_time() {
    let store = store();
    let api = widgets_api(&store);
    let mut object = widget("", json!({"size": 1}));
    object.metadata.name = None;
    object.metadata.generate_name = Some("w-".into());
    let mut names = std::collections::BTreeSet::new();
    for _ in 0..50 {
        names.insert(
            api.create(&PostParams::default(), &object)
                .await
                .unwrap()
                .metadata
                .name
                .unwrap(),
        );
    }
    assert_eq!(names.len(), 50);
    assert!(names.iter().all(|n| n.starts_with("w-") && n.len() == 7));
}

#[tokio::test(start_paused = true)]
async fn what_a_name_is_generated_from_must_be_a_name_itself_but_for_a_dash_at_its_end() {
    let store = store();
    let api = widgets_api(&store);
    for (base, fits) in [
        ("w.1-", true),
        ("w", true),
        ("w.", false),
        ("w-.", false),
        ("Ww-", false),
        ("-", false),
    ] {
        let mut object = widget("", json!({"size": 1}));
        object.metadata.name = None;
        object.metadata.generate_name = Some(base.into());
        let outcome = api.create(&PostParams::default(), &object).await;
        assert_eq!(outcome.is_ok(), fits, "{base}: {outcome:?}");
        if let Err(error) = outcome {
            assert!(refusal(error).2.contains("metadata.generateName"), "{base}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_simulation_writes_status_with_an_object_and_keeps_it_otherwise() {
    let store = store();
    let mut object = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"},
        "spec": {"size": 1}, "status": {"share": "5%"}});
    store.put(object.clone()).unwrap();
    object.as_object_mut().unwrap().remove("status");
    object["spec"]["size"] = json!(2);
    let after = store.put(object).unwrap();
    assert_eq!(
        (&after["spec"]["size"], &after["status"]["share"]),
        (&json!(2), &json!("5%"))
    );
    store.register_crd(&widgets()).unwrap();
    let crd = store
        .get(
            "customresourcedefinitions.apiextensions.k8s.io",
            "",
            "widgets.example.com",
        )
        .unwrap();
    assert_eq!(crd["status"]["conditions"][1]["type"], "Established");
}

#[tokio::test(start_paused = true)]
async fn what_was_emptied_in_metadata_is_gone_and_has_to_be_made_again() {
    let (_, api, _) = with_widget(json!({"size": 1})).await;
    let write = |patch: Value| {
        let api = api.clone();
        async move {
            let patch: json_patch::Patch = serde_json::from_value(patch).unwrap();
            let patch = Patch::<()>::Json(patch);
            api.patch("w", &PatchParams::default(), &patch).await
        }
    };
    let add = json!([{"op": "add", "path": "/metadata/annotations/a", "value": "1"}]);
    let (code, ..) = refusal(write(add.clone()).await.unwrap_err());
    assert_eq!(code, 422, "there is nothing to add to");
    write(json!([{"op": "add", "path": "/metadata/annotations", "value": {"a": "1"}}]))
        .await
        .unwrap();
    let bare = write(json!([{"op": "remove", "path": "/metadata/annotations/a"}]))
        .await
        .unwrap();
    assert_eq!(bare.metadata.annotations, None);
    let (code, ..) = refusal(write(add).await.unwrap_err());
    assert_eq!(code, 422);
}
