//! Patches of every kind, and who owns what after them.

use super::*;

async fn json_patch(
    api: &Api<DynamicObject>,
    operations: Value,
) -> Result<DynamicObject, (u16, String, String)> {
    let patch: json_patch::Patch = serde_json::from_value(operations).unwrap();
    api.patch("w", &PatchParams::default(), &Patch::Json::<()>(patch))
        .await
        .map_err(refusal)
}

#[tokio::test(start_paused = true)]
async fn a_merge_patch_with_an_old_version_conflicts_even_with_the_same_content() {
    let (_, api, made) = with_widget(json!({"size": 1})).await;
    let pp = PatchParams::default();
    let body = json!({"metadata": {"resourceVersion": version(&made)}, "status": {"share": "5%"}});
    api.patch_status("w", &pp, &Patch::Merge(&body)).await.unwrap();
    let (code, reason, _) = refusal(
        api.patch_status("w", &pp, &Patch::Merge(&body))
            .await
            .unwrap_err(),
    );
    assert_eq!((code, reason.as_str()), (409, "Conflict"));
}

#[tokio::test(start_paused = true)]
async fn a_json_patch_tells_a_lost_race_from_a_changed_shape() {
    let (_, api, made) = with_widget(json!({"size": 1, "parts": [{"name": "a"}]})).await;
    let old = version(&made);
    json_patch(&api, json!([{"op": "replace", "path": "/spec/size", "value": 2}]))
        .await
        .unwrap();
    let lost = json!([
        {"op": "replace", "path": "/metadata/resourceVersion", "value": old},
        {"op": "replace", "path": "/spec/size", "value": 3}]);
    assert_eq!(json_patch(&api, lost).await.unwrap_err().0, 409);
    let said = "the server rejected our request due to an error in our request";
    for bad in [
        json!([{"op": "test", "path": "/spec/parts/0/name", "value": "b"}]),
        json!([{"op": "test", "path": "/metadata/resourceVersion", "value": old}]),
        json!([{"op": "remove", "path": "/spec/colour"}]),
        json!([{"op": "replace", "path": "/spec/colour", "value": "red"}]),
        json!([{"op": "add", "path": "/metadata/annotations/x", "value": "y"}]),
    ] {
        assert_eq!(
            json_patch(&api, bad.clone()).await.unwrap_err(),
            (422, "Invalid".into(), said.into()),
            "{bad}"
        );
    }
    let fine = json!([
        {"op": "test", "path": "/spec/size", "value": 2.0},
        {"op": "test", "path": "/spec/colour", "value": null},
        {"op": "add", "path": "/spec/colour", "value": "red"}]);
    assert_eq!(
        json_patch(&api, fine).await.unwrap().data["spec"]["colour"],
        "red"
    );
}

#[tokio::test(start_paused = true)]
async fn a_strategic_merge_is_refused_for_custom_resources() {
    let (_, api, _) = with_widget(json!({"size": 1})).await;
    let error = api
        .patch(
            "w",
            &PatchParams::default(),
            &Patch::Strategic(json!({"spec": {"size": 2}})),
        )
        .await;
    assert_eq!(refusal(error.unwrap_err()).0, 415);
}

#[tokio::test(start_paused = true)]
async fn a_strategic_merge_finds_containers_and_variables_by_name() {
    let api: Api<Deployment> = Api::default_namespaced(store().client("default"));
    api.create(&PostParams::default(), &deployment()).await.unwrap();
    let patch = json!({"spec": {"template": {"spec": {"containers": [
        {"name": "web", "env": [{"name": "B", "value": "3"}, {"name": "A", "$patch": "delete"}, {"name": "C", "value": "4"}]}]}}}});
    let after = api
        .patch("d", &PatchParams::default(), &Patch::Strategic(patch))
        .await
        .unwrap();
    let containers = serde_json::to_value(after.spec.template.spec.unwrap().containers).unwrap();
    assert_eq!(
        containers,
        json!([
            {"name": "web", "image": "web:1", "env": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}]},
            {"name": "side", "image": "side:1"}])
    );
    assert_eq!(after.metadata.generation, Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_patch_cannot_rename_an_object() {
    let (_, api, _) = with_widget(json!({"size": 1})).await;
    let error = api
        .patch(
            "w",
            &PatchParams::default(),
            &Patch::Merge(json!({"metadata": {"name": "v"}})),
        )
        .await;
    assert_eq!(refusal(error.unwrap_err()).0, 400);
}

#[tokio::test(start_paused = true)]
async fn apply_creates_removes_what_was_dropped_and_respects_other_managers() {
    let store = store();
    let api = widgets_api(&store);
    let config = |spec: Value| json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec});
    let (mine, theirs) = (PatchParams::apply("mine"), PatchParams::apply("theirs"));
    let first = config(json!({"size": 1, "colour": "red", "parts": [{"name": "a", "count": 1}]}));
    let path = format!("{WIDGETS}/w?fieldManager=mine");
    let (code, _, _) = raw(
        &store,
        "PATCH",
        &path,
        "application/apply-patch+yaml",
        JSON,
        first,
    )
    .await;
    assert_eq!(code, 201);
    let other = config(json!({"note": "n", "parts": [{"name": "b"}]}));
    api.patch("w", &theirs, &Patch::Apply(other)).await.unwrap();
    let after = api
        .patch("w", &mine, &Patch::Apply(config(json!({"size": 2}))))
        .await
        .unwrap();
    assert_eq!(
        after.data["spec"],
        json!({"size": 2, "note": "n", "parts": [{"name": "b"}]})
    );
    let clash = config(json!({"size": 3}));
    let error = api.patch("w", &theirs, &Patch::Apply(&clash)).await.unwrap_err();
    let kube::Error::Api(status) = error else {
        panic!("{error}")
    };
    assert_eq!(status.code, 409);
    assert_eq!(
        status.message,
        "Apply failed with 1 conflict: conflict with \"mine\": .spec.size"
    );
    let causes = serde_json::to_value(&status.details.unwrap().causes).unwrap();
    assert_eq!(causes[0]["field"], ".spec.size");
    assert_eq!(causes[0]["reason"], "FieldManagerConflict");
    let forced = api
        .patch("w", &theirs.clone().force(), &Patch::Apply(&clash))
        .await
        .unwrap();
    assert_eq!(forced.data["spec"]["size"], 3);
}

#[tokio::test(start_paused = true)]
async fn a_plain_write_takes_fields_over_and_the_next_apply_says_from_whom() {
    let store = store();
    let api = widgets_api(&store);
    let config = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"size": 1}});
    let gitops = PatchParams::apply("gitops");
    api.patch("w", &gitops, &Patch::Apply(&config)).await.unwrap();
    let person = PatchParams {
        field_manager: Some("kubectl-patch".into()),
        ..PatchParams::default()
    };
    let after = api
        .patch("w", &person, &Patch::Merge(json!({"spec": {"size": 2}})))
        .await
        .unwrap();
    let managers: Vec<String> = after
        .metadata
        .managed_fields
        .unwrap()
        .into_iter()
        .filter_map(|m| m.manager)
        .collect();
    assert_eq!(
        managers,
        ["kubectl-patch"],
        "the only field of gitops is taken over"
    );
    let said = refusal(api.patch("w", &gitops, &Patch::Apply(&config)).await.unwrap_err()).2;
    assert_eq!(
        said,
        "Apply failed with 1 conflict: conflict with \"kubectl-patch\" using example.com/v1: .spec.size"
    );
}

fn applied(spec: Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec})
}

#[tokio::test(start_paused = true)]
async fn what_two_managers_apply_stays_until_both_drop_it() {
    let api = widgets_api(&store());
    let shared = applied(json!({"size": 1, "note": "n", "parts": [{"name": "a"}]}));
    for manager in ["one", "two"] {
        api.patch("w", &PatchParams::apply(manager), &Patch::Apply(&shared))
            .await
            .unwrap();
    }
    let less = applied(json!({"size": 1}));
    let after = api
        .patch("w", &PatchParams::apply("one"), &Patch::Apply(&less))
        .await
        .unwrap();
    assert_eq!(after.data["spec"], shared["spec"]);
    let after = api
        .patch("w", &PatchParams::apply("two"), &Patch::Apply(&less))
        .await
        .unwrap();
    assert_eq!(
        (after.data["spec"]["size"].clone(), after.data["spec"].get("note")),
        (json!(1), None)
    );
}

#[tokio::test(start_paused = true)]
async fn a_repeated_plain_write_takes_the_field_from_who_applied_the_same_value() {
    let api = widgets_api(&store());
    let person = PatchParams {
        field_manager: Some("person".into()),
        ..PatchParams::default()
    };
    let post = PostParams {
        field_manager: Some("person".into()),
        ..PostParams::default()
    };
    api.create(&post, &widget("w", json!({"size": 1}))).await.unwrap();
    let gitops = PatchParams::apply("gitops");
    api.patch("w", &gitops, &Patch::Apply(applied(json!({"size": 1}))))
        .await
        .unwrap();
    let after = api
        .patch("w", &person, &Patch::Merge(json!({"spec": {"size": 2}})))
        .await
        .unwrap();
    let owners: Vec<_> = after
        .metadata
        .managed_fields
        .unwrap()
        .into_iter()
        .filter_map(|m| m.manager)
        .collect();
    assert_eq!(owners, ["person"]);
    let error = api
        .patch("w", &gitops, &Patch::Apply(applied(json!({"size": 1}))))
        .await
        .unwrap_err();
    assert!(refusal(error).2.contains("conflict with \"person\""));
}
