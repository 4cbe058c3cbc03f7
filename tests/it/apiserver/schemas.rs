//! Schemas and rules: what is dropped, refused and kept.

use super::*;

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

/// The definition that the product itself is made of.
fn rollouts() -> (Store, Api<DynamicObject>) {
    use gradual_rollout::rollout::spec::GradualRollout;
    use kube::{CustomResourceExt, Resource};
    let store = Store::new(Clock::simulated("2026-01-05T02:00:00Z".parse().unwrap()));
    store
        .register_crd(&serde_json::to_value(GradualRollout::crd()).unwrap())
        .unwrap();
    let resource = ApiResource::erase::<GradualRollout>(&());
    assert_eq!(GradualRollout::plural(&()), "gradualrollouts");
    let api = Api::namespaced_with(store.client("default"), "default", &resource);
    (store, api)
}

fn rollout(change: impl Fn(&mut Value)) -> DynamicObject {
    let route = json!({"virtualServices": [{"name": "shop", "routes": ["primary"]}],
        "canary": {"host": "shop", "subset": "v2"}, "control": {"host": "shop", "subset": "v1"}});
    let arm = json!({"preset": "istio", "labels": {"destination_workload": "shop"}});
    let mut object = json!({
        "apiVersion": "rollout.sealos.io/v1alpha1", "kind": "GradualRollout", "metadata": {"name": "shop"},
        "spec": {
            "components": [{"name": "shop", "routers": [{"istio": route}], "arms": {"canary": arm, "control": arm}}],
            "steps": [{"weight": "5%", "hold": "1h"}, {"weight": "50%", "hold": "1h"}],
        },
    });
    change(&mut object["spec"]);
    serde_json::from_value(object).unwrap()
}

#[tokio::test(start_paused = true)]
async fn our_own_definition_is_served_with_all_its_rules() {
    let (_, api) = rollouts();
    for (change, wanted) in [
        (
            &(|s: &mut Value| s["phases"] = json!([{"name": "a", "steps": [{"weight": "5%", "hold": "1h"}]}]))
                as &dyn Fn(&mut Value),
            "spec: Invalid value: give either steps or phases",
        ),
        (
            &|s| {
                s["components"][0]["routers"][0]["controllerSwitch"] =
                    json!({"deployment": "d", "configMap": "c"});
            },
            "exactly one of",
        ),
        (
            &|s| s["steps"][1]["weight"] = json!("150%"),
            "spec.steps[1].weight",
        ),
        (
            &|s| s["steps"][1]["hold"] = json!(3),
            "spec.steps[1].hold in body must be of type string",
        ),
        (
            &|s| {
                let twin = s["components"][0].clone();
                s["components"].as_array_mut().unwrap().push(twin);
            },
            "spec.components[1]: Duplicate value: {\"name\":\"shop\"}",
        ),
    ] {
        let error = api
            .create(&PostParams::default(), &rollout(change))
            .await
            .unwrap_err();
        let (code, _, message) = refusal(error);
        assert_eq!(code, 422);
        assert!(message.contains(wanted), "{message}");
    }
    api.create(&PostParams::default(), &rollout(|_| {}))
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stricter_definition_locks_only_what_is_changed() {
    let (store, api, _) = with_widget(json!({"size": 90})).await;
    let mut stricter = widgets();
    let size = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/size/maximum";
    *stricter.pointer_mut(size).unwrap() = json!(50);
    store.register_crd(&stricter).unwrap();
    let pp = PatchParams::default();
    api.patch("w", &pp, &Patch::Merge(json!({"spec": {"note": "n"}})))
        .await
        .unwrap();
    let error = api
        .patch("w", &pp, &Patch::Merge(json!({"spec": {"size": 91}})))
        .await
        .unwrap_err();
    assert!(refusal(error).2.contains("less than or equal to 50"));
}
