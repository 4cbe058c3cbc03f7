//! Golden: realistic `VirtualServices`.

use super::*;

const SHOP: &str = "- istio:
    virtualServices: [{name: shop, routes: [primary]}]
    canary: {host: shop, subset: v2}
    control: {host: shop, subset: v1}
";

/// As `kubectl get -o json` gives it: matches, mirrors, retries, a redirect before and a fallback behind.
fn shop() -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {
            "name": "shop", "namespace": "apps", "uid": "9d6a", "resourceVersion": "4711", "generation": 7,
            "annotations": {"meta.helm.sh/release-name": "shop"},
            "managedFields": [{"manager": "helm", "operation": "Update", "time": "2026-11-01T09:00:00Z",
                "fieldsV1": {"f:metadata": {}, "f:spec": {"f:http": {}}}}]
        },
        "spec": {
            "hosts": ["shop.example.com"], "gateways": ["istio-system/sealos-gateway"],
            "http": [
                {"name": "old-paths", "match": [{"uri": {"prefix": "/v0"}}], "redirect": {"uri": "/"}},
                {"name": "primary", "match": [{"uri": {"prefix": "/"}}], "retries": {"attempts": 2},
                 "mirror": {"host": "shadow"}, "route": [
                    {"destination": {"host": "shop", "subset": "v1", "port": {"number": 8080}}, "weight": 95},
                    {"destination": {"host": "shop", "subset": "v2", "port": {"number": 8080}}, "weight": 5,
                     "headers": {"response": {"set": {"x-arm": "canary"}}}}
                 ]},
                {"name": "fallback", "route": [{"destination": {"host": "maintenance"}}]}
            ]
        }
    })
}

fn write(routers: &str, object: &Value, weight: Weight) -> Result<ObjectPatch, RoutingError> {
    let component = component(routers);
    let targets = targets(&component, "apps");
    targets[0].write(object, &stamp("01J8", weight), WriteMode::Normal)
}

fn read(routers: &str, object: &Value) -> Result<Seen, RoutingError> {
    let component = component(routers);
    let targets = targets(&component, "apps");
    targets[0].read(object)
}

#[test]
fn a_raise_is_fenced_by_the_version_and_names_everything_it_relies_on() {
    let patch = write(SHOP, &shop(), percent(10)).unwrap();
    assert_eq!(
        wire(&patch),
        json!([
            {"op": "replace", "path": "/metadata/resourceVersion", "value": "4711"},
            {"op": "test", "path": "/spec/http/1/name", "value": "primary"},
            {"op": "test", "path": "/spec/http/1/route/1/destination",
             "value": {"host": "shop", "subset": "v2", "port": {"number": 8080}}},
            {"op": "test", "path": "/spec/http/1/route/1/weight", "value": 5},
            {"op": "test", "path": "/spec/http/1/route/0/destination",
             "value": {"host": "shop", "subset": "v1", "port": {"number": 8080}}},
            {"op": "test", "path": "/spec/http/1/route/0/weight", "value": 95},
            {"op": "add", "path": "/spec/http/1/route/1/weight", "value": 10},
            {"op": "add", "path": "/spec/http/1/route/0/weight", "value": 90},
            {"op": "add", "path": "/metadata/annotations/rollout.sealos.io~1w.shop", "value": "01J8 10% Raised"}
        ])
    );
    assert_eq!(
        printed(&patch),
        [
            "spec.http[1].route[1].weight (route \"primary\", canary): 5 → 10",
            "spec.http[1].route[0].weight (route \"primary\", control): 95 → 90",
            "metadata.annotations[rollout.sealos.io/w.shop]: (absent) → 01J8 10% Raised",
        ]
    );
}

#[test]
fn what_is_read_says_who_wrote_and_when() {
    let seen = read(SHOP, &shop()).unwrap();
    assert_eq!(seen.agreed(), Some(percent(5)));
    assert_eq!(seen.foreign_manager.as_deref(), Some("helm"));
    assert_eq!(
        (seen.uid.as_str(), seen.resource_version.as_str()),
        ("9d6a", "4711")
    );
    assert_eq!(seen.generation, Some(7));
    assert!(seen.settled);
    assert_eq!(seen.share, Share::Requests);
}

#[test]
fn a_weight_finer_than_the_sum_multiplies_it_only_when_the_pair_is_alone() {
    let mut object = shop();
    let patch = write(SHOP, &object, permille(125)).unwrap();
    serve(&patch, &mut object).unwrap();
    assert_eq!(object["spec"]["http"][1]["route"][1]["weight"], 125);
    assert_eq!(object["spec"]["http"][1]["route"][0]["weight"], 875);

    let mut object = shop();
    let third = json!({"destination": {"host": "beta"}, "weight": 20});
    object["spec"]["http"][1]["route"]
        .as_array_mut()
        .unwrap()
        .push(third);
    let error = write(SHOP, &object, permille(125)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "virtualservice apps/shop: 12.5% cannot be written at route \"primary\"; \
         the finest weight there is 1% and its multiples"
    );
}

#[test]
fn several_routes_that_disagree_are_split_and_one_write_brings_them_together() {
    let routers = SHOP.replace("[primary]", "[primary, api]");
    let mut object = shop();
    let mut api = object["spec"]["http"][1].clone();
    api["name"] = "api".into();
    api["route"][0]["weight"] = 3.into();
    api["route"][1]["weight"] = 1.into();
    object["spec"]["http"].as_array_mut().unwrap().push(api);
    let seen = read(&routers, &object).unwrap();
    assert!(seen.is_split());
    assert_eq!(
        (seen.lowest, seen.weight, seen.agreed()),
        (percent(5), percent(25), None)
    );
    let patch = write(&routers, &object, percent(50)).unwrap();
    serve(&patch, &mut object).unwrap();
    assert_eq!(read(&routers, &object).unwrap().agreed(), Some(percent(50)));
    assert_eq!(
        object["spec"]["http"][3]["route"][0]["weight"], 2,
        "the sum of 4 is kept"
    );
}

#[test]
fn without_names_the_one_route_with_the_pair_is_found_and_two_are_an_error() {
    let routers = SHOP.replace(", routes: [primary]", "");
    let mut object = shop();
    assert_eq!(read(&routers, &object).unwrap().weight, percent(5));
    let twin = object["spec"]["http"][1].clone();
    object["spec"]["http"].as_array_mut().unwrap().push(twin);
    object["spec"]["http"][3]["name"] = Value::Null;
    let error = write(&routers, &object, percent(10)).unwrap_err();
    assert_eq!(error.category(), "Ambiguous");
    let text = error.to_string();
    assert!(
        text.contains("virtualservice apps/shop") && text.contains("\"primary\", http[3]"),
        "{text}"
    );
}

#[test]
fn tls_and_tcp_routes_are_found_by_their_pair_alone() {
    for list in ["tls", "tcp"] {
        let routers = format!(
            "- istio: {{virtualServices: [{{name: db, namespace: data, kind: {list}}}], canary: {{host: new}}, control: {{host: old}}}}\n"
        );
        let object = json!({"kind": "VirtualService",
            "metadata": {"name": "db", "namespace": "data", "resourceVersion": "1"},
            "spec": {list: [{"match": [{"port": 5432}], "route": [
                {"destination": {"host": "new"}},
                {"destination": {"host": "old"}, "weight": 100}]}]}});
        let mut written = object.clone();
        serve(&write(&routers, &object, percent(25)).unwrap(), &mut written).unwrap();
        let seen = read(&routers, &written).unwrap();
        assert_eq!(seen.agreed(), Some(percent(25)));
        assert_eq!(seen.stamp.unwrap().id(), "01J8");
        let named = routers.replace(&format!("kind: {list}"), &format!("kind: {list}, routes: [a]"));
        assert_eq!(read(&named, &object).unwrap_err().category(), "NamesNotAllowed");
    }
}

#[test]
fn what_is_missing_is_named_and_never_created() {
    let mut object = shop();
    object["spec"]["http"][1]["route"].as_array_mut().unwrap().pop();
    let error = write(SHOP, &object, percent(10)).unwrap_err();
    assert_eq!(error.category(), "MissingDestination");
    assert!(
        error
            .to_string()
            .contains("route \"primary\" (to shop subset v1 port 8080) lacks the canary destination shop subset v2; add it with weight 0"),
        "{error}"
    );
    let unnamed = SHOP.replace(", routes: [primary]", "");
    assert_eq!(
        write(&unnamed, &object, percent(10)).unwrap_err().category(),
        "MissingDestination"
    );

    let error = read(&SHOP.replace("[primary]", "[main]"), &shop()).unwrap_err();
    assert_eq!(error.category(), "NoSuchRoute");
    assert!(
        error
            .to_string()
            .contains("\"old-paths\", \"primary\", \"fallback\""),
        "{error}"
    );
    let elsewhere = unnamed.replace("host: shop", "host: cart");
    assert_eq!(read(&elsewhere, &shop()).unwrap_err().category(), "NoSuchRoute");
}

#[test]
fn a_destination_is_compared_exactly_as_written() {
    let unnamed = SHOP.replace(", routes: [primary]", "");
    // The route names subsets; a pair without them is another pair.
    let plain = unnamed
        .replace(", subset: v2", "")
        .replace("control: {host: shop, subset: v1}", "control: {host: old}");
    assert_eq!(read(&plain, &shop()).unwrap_err().category(), "NoSuchRoute");
    let full = unnamed.replace("host: shop,", "host: shop.apps.svc.cluster.local,");
    assert_eq!(read(&full, &shop()).unwrap_err().category(), "SpeltOtherwise");
    // Nor the other way round: the same first label is another Service in another namespace.
    let mut other = shop();
    for arm in 0..2 {
        other["spec"]["http"][1]["route"][arm]["destination"]["host"] = "shop.other.svc.cluster.local".into();
    }
    for spelt in [&unnamed, &full] {
        assert_eq!(read(spelt, &other).unwrap_err().category(), "NoSuchRoute");
    }
    let port = |n: &str| unnamed.replace("subset: v2", &format!("subset: v2, port: {n}"));
    assert!(read(&port("8080"), &shop()).is_ok());
    assert_eq!(
        read(&port("8081"), &shop()).unwrap_err().category(),
        "MissingDestination"
    );
    let same = unnamed.replace("subset: v2", "subset: v1");
    assert_eq!(read(&same, &shop()).unwrap_err().category(), "SameDestination");
}

#[test]
fn a_destination_that_stands_twice_is_ambiguous() {
    let mut object = shop();
    let twin = object["spec"]["http"][1]["route"][1].clone();
    object["spec"]["http"][1]["route"]
        .as_array_mut()
        .unwrap()
        .push(twin);
    assert_eq!(
        write(SHOP, &object, Weight::ZERO).unwrap_err().category(),
        "Ambiguous"
    );
}

#[test]
fn weights_that_the_crd_lets_through_are_refused_here() {
    for bad in [json!(-5), json!(2.5), json!("5"), json!(4_294_967_296u64)] {
        let mut object = shop();
        object["spec"]["http"][1]["route"][1]["weight"] = bad.clone();
        let error = write(SHOP, &object, percent(10)).unwrap_err();
        assert_eq!(error.category(), "BadValue", "{bad}");
        assert!(
            error.to_string().contains("spec.http[1].route[1].weight"),
            "{error}"
        );
    }
    let mut object = shop();
    object["spec"]["http"][1]["route"][0]["weight"] = i32::MAX.into();
    assert_eq!(
        read(SHOP, &object).unwrap_err().category(),
        "BadValue",
        "the sum does not fit"
    );
}

#[test]
fn a_pair_without_any_share_cannot_be_moved() {
    let mut object = shop();
    for arm in 0..2 {
        object["spec"]["http"][1]["route"][arm]["weight"] = Value::Null;
    }
    assert_eq!(read(SHOP, &object).unwrap_err().category(), "EmptyPair");
    assert_eq!(
        write(SHOP, &object, percent(5)).unwrap_err().category(),
        "EmptyPair"
    );
}

#[test]
fn the_same_weight_again_changes_the_stamp_alone() {
    let patch = write(SHOP, &shop(), percent(5)).unwrap();
    assert_eq!(
        printed(&patch),
        ["metadata.annotations[rollout.sealos.io/w.shop]: (absent) → 01J8 5% Raised"]
    );
    assert_eq!(wire(&patch)[0]["op"], "replace");
}

#[test]
fn an_object_without_annotations_is_given_them() {
    let mut object = shop();
    object["metadata"].as_object_mut().unwrap().remove("annotations");
    let patch = write(SHOP, &object, percent(10)).unwrap();
    serve(&patch, &mut object).unwrap();
    assert_eq!(
        object["metadata"]["annotations"],
        json!({"rollout.sealos.io/w.shop": "01J8 10% Raised"})
    );
}

#[test]
fn detach_takes_off_the_stamp_and_nothing_else() {
    let component = component(SHOP);
    let targets = targets(&component, "apps");
    let original = shop();
    assert_eq!(targets[0].detach(&original), None);
    let mut object = original.clone();
    serve(&write(SHOP, &original, percent(5)).unwrap(), &mut object).unwrap();
    let patch = targets[0].detach(&object).unwrap();
    serve(&patch, &mut object).unwrap();
    object["metadata"]["resourceVersion"] = original["metadata"]["resourceVersion"].clone();
    assert_eq!(object, original);
}

#[test]
fn weights_that_cannot_be_written_are_told_beforehand() {
    let component = component(SHOP);
    let targets = targets(&component, "apps");
    let mut object = shop();
    object["spec"]["http"][1]["route"]
        .as_array_mut()
        .unwrap()
        .push(json!({"destination": {"host": "beta"}}));
    let asked = [percent(5), permille(125), permille(333)];
    assert_eq!(targets[0].validate_object(&object, &asked).len(), 2);
    assert_eq!(targets[0].at_most(&object, permille(125)).unwrap(), percent(12));
    // A manifest that was never in a cluster is read too, but not patched.
    object["metadata"]
        .as_object_mut()
        .unwrap()
        .remove("resourceVersion");
    assert_eq!(targets[0].validate_object(&object, &[percent(5)]), []);
    assert_eq!(
        write(SHOP, &object, percent(5)).unwrap_err().category(),
        "Malformed"
    );
}

#[test]
fn objects_come_in_the_order_of_the_routers_and_control_names_its_service() {
    let component = component(
        "- istio: {virtualServices: [{name: b}, {name: a, namespace: edge}], canary: {host: new}, control: {host: old}}
- controllerSwitch: {deployment: d, configMap: c}
",
    );
    let targets = targets(&component, "apps");
    let order: Vec<String> = targets.iter().map(|target| target.object().to_string()).collect();
    assert_eq!(
        order,
        [
            "virtualservice apps/b",
            "virtualservice edge/a",
            "configmap apps/c",
            "deployment apps/d"
        ]
    );
    assert_eq!(
        targets[1].control_services(),
        [("edge".to_owned(), "old".to_owned())]
    );
    assert_eq!(
        targets[1].canary_services(),
        [("edge".to_owned(), "new".to_owned())]
    );
    assert_eq!(targets[2].control_services(), []);
    assert_eq!(targets[2].canary_services(), []);
    assert_eq!(targets[0].claims()[0].to_string(), "virtualservice apps/b http/*");
}
