//! The sandbox's API server answers like kube-apiserver, one test per line of behaviour.

use futures::{StreamExt, TryStreamExt};
use gradual_rollout::clock::Clock;
use gradual_rollout::sandbox::apiserver::{Action, Failure, Fault, Store, roll_out_deployments};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{
    Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams,
};
use kube::discovery::ApiResource;
use serde_json::{Value, json};
use std::time::Duration;

/// A definition with what the schema rules need: bounds, a keyed list, a CEL rule, a transition rule.
pub(crate) fn widgets() -> Value {
    let part = json!({"type": "object", "required": ["name"], "properties": {
        "name": {"type": "string"}, "count": {"type": "integer"}}});
    let spec = json!({
        "type": "object", "required": ["size"], "description": "What is asked.",
        "x-kubernetes-validations": [
            {"rule": "self.size != 13", "message": "thirteen is unlucky"},
            {"rule": "!has(self.colour) || !has(oldSelf.colour) || self.colour == oldSelf.colour", "message": "colour is immutable"},
        ],
        "properties": {
            "size": {"type": "integer", "minimum": 1, "maximum": 100, "description": "How big."},
            "colour": {"type": "string", "enum": ["red", "blue"]},
            "share": {"x-kubernetes-int-or-string": true, "maximum": 100, "pattern": "^[0-9]+%$"},
            "note": {"type": "string", "maxLength": 8, "nullable": true},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "parts": {"type": "array", "maxItems": 3, "items": part,
                "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        },
    });
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let status = json!({"type": "object", "properties": {
        "share": {"type": "string", "pattern": "^[0-9]+%$"},
        "conditions": {"type": "array", "items": open},
    }});
    let schema =
        json!({"type": "object", "description": "A widget.", "properties": {"spec": spec, "status": status}});
    let ready = ".status.conditions[?(@.type==\"Ready\")].status";
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"kind": "Widget", "listKind": "WidgetList", "plural": "widgets", "singular": "widget",
                "shortNames": ["wd"], "categories": ["all"]},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "additionalPrinterColumns": [
                    {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
                    {"name": "Ready", "type": "string", "jsonPath": ready},
                    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                ],
                "schema": {"openAPIV3Schema": schema},
            }],
        },
    })
}

pub(crate) fn store() -> Store {
    let store = Store::new(Clock::simulated("2026-01-05T02:00:00Z".parse().unwrap()));
    store.register_crd(&widgets()).unwrap();
    store
}

fn widget(name: &str, spec: Value) -> DynamicObject {
    serde_json::from_value(json!({
        "apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec,
    }))
    .unwrap()
}

fn resource() -> ApiResource {
    ApiResource {
        group: "example.com".into(),
        version: "v1".into(),
        api_version: "example.com/v1".into(),
        kind: "Widget".into(),
        plural: "widgets".into(),
    }
}

fn widgets_api(store: &Store) -> Api<DynamicObject> {
    Api::namespaced_with(store.client("default"), "default", &resource())
}

async fn with_widget(spec: Value) -> (Store, Api<DynamicObject>, DynamicObject) {
    let store = store();
    let api = widgets_api(&store);
    let made = api
        .create(&PostParams::default(), &widget("w", spec))
        .await
        .unwrap();
    (store, api, made)
}

fn refusal(error: kube::Error) -> (u16, String, String) {
    match error {
        kube::Error::Api(status) => (status.code, status.reason.clone(), status.message.clone()),
        other => panic!("not a refusal: {other}"),
    }
}

fn version(object: &DynamicObject) -> String {
    object.metadata.resource_version.clone().unwrap()
}

/// A plain request: code, headers that matter, and body.
async fn raw(
    store: &Store,
    method: &str,
    path: &str,
    media: &str,
    accept: &str,
    body: Value,
) -> (u16, Vec<String>, Value) {
    use tower::ServiceExt;
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", media)
        .header("accept", accept)
        .header("user-agent", "tester/1.0")
        .body(axum::body::Body::from(body))
        .unwrap();
    let response = store.router().oneshot(request).await.unwrap();
    let code = response.status().as_u16();
    let warnings = response
        .headers()
        .get_all("warning")
        .iter()
        .map(|w| w.to_str().unwrap().to_owned())
        .collect();
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX)
        .await
        .unwrap();
    (
        code,
        warnings,
        serde_json::from_slice(&bytes).unwrap_or(Value::Null),
    )
}

const JSON: &str = "application/json";
const WIDGETS: &str = "/apis/example.com/v1/namespaces/default/widgets";

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
    let body = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"size": 9}, "status": {"share": "5%"}});
    let after = api.patch_status("w", &pp, &Patch::Merge(&body)).await.unwrap();
    assert_eq!(
        (after.data["spec"]["size"].clone(), after.metadata.labels),
        (json!(1), None)
    );
    assert_eq!(after.data["status"]["share"], "5%");
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

fn deployment() -> Deployment {
    serde_json::from_value(json!({
        "metadata": {"name": "d"},
        "spec": {
            "replicas": 2, "selector": {"matchLabels": {"app": "d"}},
            "template": {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [
                {"name": "web", "image": "web:1", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
                {"name": "side", "image": "side:1"}]}},
        },
    }))
    .unwrap()
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
async fn an_unknown_field_is_dropped_with_a_warning_refused_when_strict_and_silent_when_ignored() {
    let store = store();
    let body = |name: &str| {
        json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name},
        "spec": {"size": 1, "sise": 2, "free": {"any": 1}, "parts": [{"name": "a", "x": 1}]}})
    };
    let (code, warnings, made) = raw(&store, "POST", WIDGETS, JSON, JSON, body("a")).await;
    assert_eq!(code, 201);
    assert_eq!(
        warnings,
        [
            r#"299 - "unknown field \"spec.parts[0].x\"""#,
            r#"299 - "unknown field \"spec.sise\"""#
        ]
    );
    assert_eq!(
        made["spec"],
        json!({"size": 1, "free": {"any": 1}, "parts": [{"name": "a"}]})
    );
    let (code, _, said) = raw(
        &store,
        "POST",
        &format!("{WIDGETS}?fieldValidation=Strict"),
        JSON,
        JSON,
        body("b"),
    )
    .await;
    assert_eq!((code, said["reason"].as_str()), (400, Some("BadRequest")));
    assert!(
        said["message"]
            .as_str()
            .unwrap()
            .contains("strict decoding error: unknown field \"spec.parts[0].x\"")
    );
    let (code, warnings, _) = raw(
        &store,
        "POST",
        &format!("{WIDGETS}?fieldValidation=Ignore"),
        JSON,
        JSON,
        body("c"),
    )
    .await;
    assert_eq!((code, warnings.len()), (201, 0));
    let path = format!("{WIDGETS}/d?fieldManager=me");
    let (code, _, said) = raw(
        &store,
        "PATCH",
        &path,
        "application/apply-patch+yaml",
        JSON,
        body("d"),
    )
    .await;
    assert_eq!(code, 500);
    assert!(
        said["message"]
            .as_str()
            .unwrap()
            .contains("field not declared in schema")
    );
}

#[tokio::test(start_paused = true)]
async fn the_schema_is_enforced_and_says_which_field() {
    let api = widgets_api(&store());
    for (spec, wanted) in [
        (json!({}), "spec.size: Required value"),
        (
            json!({"size": 0}),
            "spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1",
        ),
        (
            json!({"size": 101}),
            "spec.size: Invalid value: 101: spec.size in body should be less than or equal to 100",
        ),
        (
            json!({"size": "x"}),
            "spec.size: Invalid value: \"string\": spec.size in body must be of type integer: \"string\"",
        ),
        (
            json!({"size": 1, "colour": "green"}),
            "spec.colour: Unsupported value: \"green\": supported values: \"red\", \"blue\"",
        ),
        (
            json!({"size": 1, "share": "x"}),
            "spec.share: Invalid value: \"x\": spec.share in body should match '^[0-9]+%$'",
        ),
        (
            json!({"size": 1, "share": 1.5}),
            "spec.share in body must be of type integer,string: \"number\"",
        ),
        (
            json!({"size": 1, "note": "far too long"}),
            "spec.note: Too long: may not be more than 8 bytes",
        ),
        (
            json!({"size": 1, "parts": [{"name": "a"}, {"name": "a"}]}),
            "spec.parts[1]: Duplicate value: {\"name\":\"a\"}",
        ),
        (
            json!({"size": 1, "parts": [{"name": "a"}, {"name": "b"}, {"name": "c"}, {"name": "d"}]}),
            "spec.parts: Too many: 4: must have at most 3 items",
        ),
        (json!({"size": 13}), "spec: Invalid value: thirteen is unlucky"),
    ] {
        let error = api
            .create(&PostParams::default(), &widget("w", spec.clone()))
            .await
            .unwrap_err();
        let (code, reason, message) = refusal(error);
        assert_eq!((code, reason.as_str()), (422, "Invalid"), "{spec}");
        assert!(
            message.starts_with("Widget.example.com \"w\" is invalid: "),
            "{message}"
        );
        assert!(message.contains(wanted), "{message}");
    }
    api.create(
        &PostParams::default(),
        &widget("w", json!({"size": 1, "share": 5, "note": null})),
    )
    .await
    .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_transition_rule_waits_for_an_update() {
    let (_, api, _) = with_widget(json!({"size": 1, "colour": "red"})).await;
    let error = api
        .patch(
            "w",
            &PatchParams::default(),
            &Patch::Merge(json!({"spec": {"colour": "blue"}})),
        )
        .await;
    assert!(refusal(error.unwrap_err()).2.contains("colour is immutable"));
}

#[tokio::test(start_paused = true)]
async fn the_schema_holds_for_status_too() {
    let (_, api, _) = with_widget(json!({"size": 1})).await;
    let bad = api
        .patch_status(
            "w",
            &PatchParams::default(),
            &Patch::Merge(json!({"status": {"share": "x"}})),
        )
        .await;
    assert_eq!(refusal(bad.unwrap_err()).0, 422);
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
async fn kubectls_table_has_the_definitions_columns_and_ages_by_the_virtual_clock() {
    let (store, api, _) = with_widget(json!({"size": 4})).await;
    let status = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    api.patch_status("w", &PatchParams::default(), &Patch::Merge(status))
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(3 * 86_400)).await;
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let (_, _, table) = raw(&store, "GET", WIDGETS, JSON, accept, Value::Null).await;
    let names: Vec<&str> = table["columnDefinitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["Name", "Size", "Ready", "Age"]);
    assert_eq!(table["rows"][0]["cells"], json!(["w", 4, "True", "3d"]));
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    assert_eq!(table["rows"][0]["object"]["metadata"].get("managedFields"), None);
}

#[tokio::test(start_paused = true)]
async fn events_of_both_groups_are_the_same_objects() {
    use kube::runtime::events::{Event, EventType, Recorder, Reporter};
    let store = store();
    let client = store.client("default");
    let recorder = Recorder::new(
        client.clone(),
        Reporter {
            controller: "me".into(),
            instance: None,
        },
    );
    let about = k8s_openapi::api::core::v1::ObjectReference {
        kind: Some("Widget".into()),
        name: Some("w".into()),
        namespace: Some("default".into()),
        ..Default::default()
    };
    let event = Event {
        type_: EventType::Normal,
        reason: "Raised".into(),
        note: Some("to 5%".into()),
        action: "Raise".into(),
        secondary: None,
    };
    recorder.publish(&event, &about).await.unwrap();
    recorder.publish(&event, &about).await.unwrap();
    let core: Api<k8s_openapi::api::core::v1::Event> = Api::default_namespaced(client);
    let found = core
        .list(&ListParams::default().fields("involvedObject.name=w,involvedObject.kind=Widget"))
        .await
        .unwrap();
    assert_eq!(found.items.len(), 1, "the second is counted on the first");
    assert_eq!(found.items[0].message.as_deref(), Some("to 5%"));
    assert_eq!(found.items[0].series.as_ref().unwrap().count, Some(2));
}

#[tokio::test(start_paused = true)]
async fn faults_refuse_delay_and_lose_answers() {
    let (store, api, _) = with_widget(json!({"size": 1})).await;
    store.faults().inject(
        Fault::new(Action::Fail(Failure::unauthorized()))
            .verb("get")
            .times(1),
    );
    assert_eq!(refusal(api.get("w").await.unwrap_err()).0, 401);
    api.get("w").await.unwrap();
    let started = tokio::time::Instant::now();
    let slow = store.faults().inject(
        Fault::new(Action::Delay(Duration::from_secs(300)))
            .resource("widgets.example.com")
            .name("w"),
    );
    api.get("w").await.unwrap();
    assert_eq!(started.elapsed().as_secs(), 300);
    store.faults().lift(slow);
    let lost = Failure::new(504, "Timeout", "request timed out");
    store
        .faults()
        .inject(Fault::new(Action::FailAfter(lost)).verb("patch").times(1));
    let error = api
        .patch(
            "w",
            &PatchParams::default(),
            &Patch::Merge(json!({"spec": {"size": 2}})),
        )
        .await
        .unwrap_err();
    assert_eq!(refusal(error).0, 504);
    assert_eq!(
        api.get("w").await.unwrap().data["spec"]["size"],
        2,
        "the write had landed"
    );
}

#[tokio::test(start_paused = true)]
async fn a_deployment_rolls_out_after_its_delay() {
    let store = store();
    let api: Api<Deployment> = Api::default_namespaced(store.client("default"));
    api.create(&PostParams::default(), &deployment()).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(roll_out_deployments(store, Duration::from_secs(30)));
    tokio::time::sleep(Duration::from_secs(29)).await;
    let updated = |d: Deployment| d.status.and_then(|s| s.updated_replicas);
    assert_eq!(updated(api.get("d").await.unwrap()), Some(0));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let status = api.get("d").await.unwrap().status.unwrap();
    assert_eq!(
        (
            status.updated_replicas,
            status.ready_replicas,
            status.observed_generation
        ),
        (Some(2), Some(2), Some(1))
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
async fn istio_accepts_a_weight_of_101_and_keeps_unknown_fields() {
    let store = store();
    let route = json!({"apiVersion": "networking.istio.io/v1beta1", "kind": "VirtualService", "metadata": {"name": "shop"},
        "spec": {"hosts": ["shop"], "http": [{"name": "primary", "retries": {"attempts": 3}, "route": [
            {"destination": {"host": "shop", "subset": "v1"}, "weight": 101, "headers": {"x": {}}}]}]}});
    let made = store.put(route).unwrap();
    assert_eq!(made["spec"]["http"][0]["route"][0]["weight"], 101);
    let path = "/apis/networking.istio.io/v1/namespaces/default/virtualservices/shop";
    let (_, _, v1) = raw(&store, "GET", path, JSON, JSON, Value::Null).await;
    assert_eq!(v1["apiVersion"], "networking.istio.io/v1");
    assert_eq!(v1["spec"]["http"][0]["retries"]["attempts"], 3);
}

#[tokio::test(start_paused = true)]
async fn a_definition_that_cannot_work_is_refused() {
    let store = store();
    let mut crd = widgets();
    crd["metadata"]["name"] = json!("gadgets.example.com");
    crd["spec"]["names"]["plural"] = json!("gadgets");
    let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";
    crd.pointer_mut(spec).unwrap()["x-kubernetes-validations"][0]["rule"] = json!("self.size !=");
    let failure = store.register_crd(&crd).unwrap_err();
    assert!(failure.message.contains("compilation failed"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn discovery_names_what_is_served() {
    let store = store();
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    let (_, _, list) = raw(&store, "GET", "/apis", JSON, accept, Value::Null).await;
    let group = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|g| g["metadata"]["name"] == "example.com")
        .unwrap();
    let widgets = &group["versions"][0]["resources"][0];
    assert_eq!(
        (
            widgets["shortNames"][0].as_str(),
            widgets["categories"][0].as_str()
        ),
        (Some("wd"), Some("all"))
    );
    assert_eq!(widgets["subresources"][0]["subresource"], "status");
    let (_, _, groups) = raw(&store, "GET", "/apis", JSON, JSON, Value::Null).await;
    assert_eq!(groups["kind"], "APIGroupList");
    assert_eq!(
        raw(&store, "GET", "/openapi/v2", JSON, JSON, Value::Null).await.0,
        404
    );
    let (_, _, document) = raw(
        &store,
        "GET",
        "/openapi/v3/apis/example.com/v1",
        JSON,
        JSON,
        Value::Null,
    )
    .await;
    let schema = &document["components"]["schemas"]["com.example.v1.Widget"];
    assert_eq!(
        schema["properties"]["spec"]["properties"]["size"]["description"],
        "How big."
    );
}

#[tokio::test(start_paused = true)]
async fn reviews_answer_by_the_rules_of_the_simulation() {
    let store = store();
    store.add_token("t0k", "ann", &["ops"]);
    store.set_access(|spec| spec["resourceAttributes"]["verb"] == "get");
    let token = "/apis/authentication.k8s.io/v1/tokenreviews";
    let (_, _, known) = raw(
        &store,
        "POST",
        token,
        JSON,
        JSON,
        json!({"spec": {"token": "t0k"}}),
    )
    .await;
    assert_eq!(known["status"]["user"]["username"], "ann");
    let (_, _, unknown) = raw(&store, "POST", token, JSON, JSON, json!({"spec": {"token": "x"}})).await;
    assert_eq!(unknown["status"]["authenticated"], false);
    let access = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    for (verb, allowed) in [("get", true), ("delete", false)] {
        let body = json!({"spec": {"user": "ann", "resourceAttributes": {"verb": verb}}});
        assert_eq!(
            raw(&store, "POST", access, JSON, JSON, body).await.2["status"]["allowed"],
            allowed
        );
    }
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
