//! Tables, events, discovery, reviews, and the simulation behind them.

use super::*;

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
