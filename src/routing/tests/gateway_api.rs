//! Golden: realistic Gateway API routes.

use super::*;

const SHOP: &str = "- gatewayApi:
    kind: HTTPRoute
    name: shop
    rules: [main]
    canary: {name: shop-v2, port: 80}
    control: {name: shop-v1, port: 80}
";

/// As `kubectl get -o json` gives it: filters, a redirect before and a fallback behind.
fn shop() -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {
            "name": "shop", "namespace": "apps", "uid": "9d6a", "resourceVersion": "4711", "generation": 7,
            "annotations": {"meta.helm.sh/release-name": "shop"},
            "managedFields": [{"manager": "helm", "operation": "Update", "time": "2026-11-01T09:00:00Z",
                "fieldsV1": {"f:metadata": {}, "f:spec": {"f:rules": {}}}}]
        },
        "spec": {
            "parentRefs": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "public",
                "namespace": "infra", "sectionName": "https"}],
            "hostnames": ["shop.example.com"],
            "rules": [
                {"name": "old-paths", "matches": [{"path": {"type": "PathPrefix", "value": "/v0"}}],
                 "filters": [{"type": "RequestRedirect", "requestRedirect": {"path": {"type": "ReplaceFullPath", "replaceFullPath": "/"}}}]},
                {"name": "main", "timeouts": {"request": "7s"}, "backendRefs": [
                    {"group": "", "kind": "Service", "name": "shop-v1", "port": 80, "weight": 95},
                    {"group": "", "kind": "Service", "name": "shop-v2", "port": 80, "weight": 5,
                     "filters": [{"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [{"name": "x-arm", "value": "canary"}]}}]}
                ]},
                {"name": "fallback", "backendRefs": [{"name": "maintenance", "port": 80}]}
            ]
        },
        "status": {"parents": []}
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

fn weights(object: &Value, rule: usize) -> Vec<Option<i64>> {
    let backends = object["spec"]["rules"][rule]["backendRefs"].as_array().unwrap();
    backends.iter().map(|b| b["weight"].as_i64()).collect()
}

/// A route with one unnamed rule to these back ends.
fn plain(backends: &Value) -> Value {
    json!({"kind": "HTTPRoute", "metadata": {"name": "shop", "namespace": "apps", "resourceVersion": "1"},
        "spec": {"rules": [{"backendRefs": backends}]}})
}

const PLAIN: &str =
    "- gatewayApi: {kind: HTTPRoute, name: shop, canary: {name: new}, control: {name: old}}\n";

#[test]
fn a_raise_of_a_gateways_route_is_fenced_by_the_version_and_names_everything_it_relies_on() {
    let patch = write(SHOP, &shop(), percent(10)).unwrap();
    let test = |entry: u8, member: &str, value: Value| json!({"op": "test", "path": format!("/spec/rules/1/backendRefs/{entry}/{member}"), "value": value});
    let identity = |entry: u8, name: &str| {
        [
            test(entry, "group", "".into()),
            test(entry, "kind", "Service".into()),
            test(entry, "name", name.into()),
            test(entry, "port", 80.into()),
        ]
    };
    let add = |path: &str, value: Value| json!({"op": "add", "path": path, "value": value});
    let mut wanted = vec![
        json!({"op": "replace", "path": "/metadata/resourceVersion", "value": "4711"}),
        json!({"op": "test", "path": "/spec/rules/1/name", "value": "main"}),
    ];
    wanted.extend(identity(1, "shop-v2"));
    wanted.push(test(1, "weight", 5.into()));
    wanted.extend(identity(0, "shop-v1"));
    wanted.push(test(0, "weight", 95.into()));
    wanted.push(add("/spec/rules/1/backendRefs/1/weight", 10.into()));
    wanted.push(add("/spec/rules/1/backendRefs/0/weight", 90.into()));
    wanted.push(add(
        "/metadata/annotations/rollout.sealos.io~1w.shop",
        "01J8 10% Raised".into(),
    ));
    assert_eq!(wire(&patch), Value::Array(wanted));
    assert_eq!(
        printed(&patch),
        [
            "spec.rules[1].backendRefs[1].weight (rule \"main\", canary): 5 → 10",
            "spec.rules[1].backendRefs[0].weight (rule \"main\", control): 95 → 90",
            "metadata.annotations[rollout.sealos.io/w.shop]: (absent) → 01J8 10% Raised",
        ]
    );
    let seen = read(SHOP, &shop()).unwrap();
    assert_eq!((seen.agreed(), seen.share), (Some(percent(5)), Share::Requests));
    assert_eq!(seen.foreign_manager.as_deref(), Some("helm"));
}

#[test]
fn a_weight_that_is_left_out_is_one_and_not_zero() {
    let object = plain(&json!([{"name": "old", "port": 80}, {"name": "new", "port": 80}]));
    assert_eq!(read(PLAIN, &object).unwrap().agreed(), Some(percent(50)));
    let zero = plain(&json!([{"name": "old", "port": 80}, {"name": "new", "port": 80, "weight": 0}]));
    assert_eq!(read(PLAIN, &zero).unwrap().agreed(), Some(Weight::ZERO));
    // 1 and 0 sum to 1: back to 0 nothing but the stamp is written.
    let patch = write(PLAIN, &zero, Weight::ZERO).unwrap();
    assert_eq!(patch.changes.len(), 1, "{:?}", printed(&patch));
}

#[test]
fn the_default_pair_of_one_to_one_is_multiplied_as_little_as_its_weight_needs() {
    let object = plain(&json!([{"name": "old", "port": 80}, {"name": "new", "port": 80}]));
    for (weight, wanted) in [
        (Weight::ZERO, [None, Some(0)]),
        (Weight::FULL, [Some(0), Some(2)]),
        (percent(50), [None, None]),
        (percent(5), [Some(19), None]),
        (percent(1), [Some(198), Some(2)]),
        (permille(1), [Some(1998), Some(2)]),
    ] {
        let mut written = object.clone();
        serve(&write(PLAIN, &object, weight).unwrap(), &mut written).unwrap();
        let wanted = if weight.is_zero() {
            [Some(2), Some(0)]
        } else {
            wanted
        };
        assert_eq!(weights(&written, 0), wanted, "{weight}");
        assert_eq!(read(PLAIN, &written).unwrap().agreed(), Some(weight));
    }
}

#[test]
fn third_back_ends_keep_their_share_and_then_the_sum_is_never_multiplied() {
    let three = json!([{"name": "old", "weight": 60}, {"name": "third", "weight": 20}, {"name": "new", "weight": 20}]);
    let object = plain(&three);
    assert_eq!(read(PLAIN, &object).unwrap().agreed(), Some(percent(25)));
    let mut written = object.clone();
    serve(&write(PLAIN, &object, percent(50)).unwrap(), &mut written).unwrap();
    assert_eq!(weights(&written, 0), [Some(40), Some(20), Some(40)]);
    let error = write(PLAIN, &object, percent(1)).unwrap_err();
    assert_eq!(error.category(), "TooFine");
    assert!(
        error.to_string().contains("finest weight there is 2.5%"),
        "{error}"
    );
}

#[test]
fn back_ends_are_compared_as_the_api_fills_them_in() {
    let entry = |more: &Value| {
        let mut entry = json!({"name": "new", "port": 80, "weight": 1});
        entry
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        plain(&json!([{"name": "old", "port": 80, "weight": 99}, entry]))
    };
    for same in [
        json!({}),
        json!({"kind": "Service"}),
        json!({"group": "", "namespace": "apps"}),
    ] {
        assert_eq!(
            read(PLAIN, &entry(&same)).unwrap().agreed(),
            Some(percent(1)),
            "{same}"
        );
    }
    for other in [
        json!({"kind": "Backend", "group": "example.com"}),
        json!({"kind": "ServiceImport"}),
        json!({"namespace": "elsewhere"}),
    ] {
        let error = read(PLAIN, &entry(&other)).unwrap_err();
        assert_eq!(error.category(), "MissingDestination", "{other}");
    }
    let elsewhere = PLAIN.replace("{name: new}", "{name: new, namespace: elsewhere}");
    assert!(read(&elsewhere, &entry(&json!({"namespace": "elsewhere"}))).is_ok());
    let port = |port: u16| PLAIN.replace("{name: new}", &format!("{{name: new, port: {port}}}"));
    assert!(read(&port(80), &entry(&json!({}))).is_ok());
    assert_eq!(
        read(&port(81), &entry(&json!({}))).unwrap_err().category(),
        "SpeltOtherwise"
    );
    let same = PLAIN.replace("{name: old}", "{name: new, kind: Service, namespace: apps}");
    assert_eq!(
        read(&same, &entry(&json!({}))).unwrap_err().category(),
        "SameDestination"
    );
}

#[test]
fn what_is_missing_or_ambiguous_is_named_and_nothing_is_written() {
    let error = read(&SHOP.replace("[main]", "[primary]"), &shop()).unwrap_err();
    assert_eq!(error.category(), "NoSuchRoute");
    let text = error.to_string();
    assert!(
        text.contains("httproute apps/shop: spec.rules has no route named \"primary\"")
            && text.contains("\"old-paths\", \"main\", \"fallback\""),
        "{text}"
    );
    let mut object = shop();
    object["spec"]["rules"][1]["backendRefs"]
        .as_array_mut()
        .unwrap()
        .pop();
    let error = write(SHOP, &object, percent(10)).unwrap_err().to_string();
    assert!(
        error.contains(
            "route \"main\" (to shop-v1 port 80) lacks the canary destination shop-v2 port 80; add it with weight 0"
        ),
        "{error}"
    );
    let unnamed = SHOP.replace("    rules: [main]\n", "");
    assert_eq!(read(&unnamed, &shop()).unwrap().weight, percent(5));
    let mut object = shop();
    let twin = object["spec"]["rules"][1].clone();
    object["spec"]["rules"].as_array_mut().unwrap().push(twin);
    for routers in [SHOP, unnamed.as_str()] {
        let error = write(routers, &object, Weight::ZERO).unwrap_err();
        assert_eq!(error.category(), "Ambiguous", "{error}");
    }
    let mut object = shop();
    let twin = object["spec"]["rules"][1]["backendRefs"][1].clone();
    object["spec"]["rules"][1]["backendRefs"]
        .as_array_mut()
        .unwrap()
        .push(twin);
    assert_eq!(read(SHOP, &object).unwrap_err().category(), "Ambiguous");
    let both_zero = plain(&json!([{"name": "old", "weight": 0}, {"name": "new", "weight": 0}]));
    assert_eq!(read(PLAIN, &both_zero).unwrap_err().category(), "EmptyPair");
    let other = json!({"kind": "GRPCRoute", "metadata": {"name": "shop", "namespace": "apps"}});
    assert_eq!(read(PLAIN, &other).unwrap_err().category(), "WrongObject");
}

#[test]
fn weights_beyond_a_million_are_refused() {
    for bad in [json!(-1), json!(2.5), json!("5"), json!(1_000_001)] {
        let object = plain(&json!([{"name": "old"}, {"name": "new", "weight": bad}]));
        let error = read(PLAIN, &object).unwrap_err();
        assert_eq!(error.category(), "BadValue");
        assert!(
            error.to_string().contains("spec.rules[0].backendRefs[1].weight"),
            "{error}"
        );
    }
    let object = plain(&json!([{"name": "old", "weight": 1_000_000}, {"name": "new", "weight": 1}]));
    assert_eq!(read(PLAIN, &object).unwrap_err().category(), "BadValue");
    // Multiplied, the sum would not fit: then it is not multiplied.
    let object = plain(&json!([{"name": "old", "weight": 500_001}, {"name": "new", "weight": 0}]));
    assert_eq!(
        write(PLAIN, &object, percent(5)).unwrap_err().category(),
        "TooFine"
    );
}

#[test]
fn every_kind_is_read_and_claimed_alike_and_control_names_its_service() {
    for kind in ["HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute"] {
        let routers = PLAIN.replace("HTTPRoute", kind);
        let component = component(&routers);
        let targets = targets(&component, "apps");
        let object = targets[0].object();
        assert_eq!(object.kind.kind(), kind);
        assert_eq!(object.kind.group(), "gateway.networking.k8s.io");
        assert_eq!(
            targets[0].control_services(),
            [("apps".to_owned(), "old".to_owned())]
        );
        assert_eq!(
            targets[0].canary_services(),
            [("apps".to_owned(), "new".to_owned())]
        );
        assert!(object.kind.missing().unwrap().contains(object.kind.plural()));
        let mut manifest = plain(&json!([{"name": "old"}, {"name": "new"}]));
        manifest["kind"] = kind.into();
        assert_eq!(targets[0].read(&manifest).unwrap().agreed(), Some(percent(50)));
    }
    let claims = |routers: &str| targets(&component(routers), "apps")[0].claims();
    let (main, unnamed) = (claims(SHOP), claims(&SHOP.replace("    rules: [main]\n", "")));
    assert!(main[0].overlaps(&unnamed[0]));
    assert!(!main[0].overlaps(&claims(&SHOP.replace("[main]", "[fallback]"))[0]));
    assert!(!main[0].overlaps(&claims(PLAIN)[0]));
    assert_eq!(main[0].to_string(), "httproute apps/shop rules/main");
    let control = PLAIN.replace("{name: old}", "{name: old, kind: Backend, group: example.com}");
    let outside = component(&control);
    assert!(targets(&outside, "apps")[0].control_services().is_empty());
}
