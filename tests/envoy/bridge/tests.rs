use super::Kind;
use serde_json::{Value, json};

fn service(route: &Value) -> Value {
    json!({
        "metadata": {"namespace": "apps", "name": "shop"},
        "spec": {"hosts": ["shop.example.com"], "http": [{"name": "main", "route": route}]},
    })
}

fn pair(control: i64, canary: i64) -> Value {
    service(&json!([
        {"destination": {"host": "shop", "subset": "v1"}, "weight": control},
        {"destination": {"host": "shop", "subset": "v2"}, "weight": canary},
    ]))
}

fn route(object: &Value) -> Value {
    Kind::VirtualService.translate(object).unwrap()["routes"][0]["route"].clone()
}

#[test]
fn weights_are_handed_on_as_they_are_and_zero_weights_are_dropped() {
    let weighted = |object| route(object)["weighted_clusters"]["clusters"].clone();
    assert_eq!(
        weighted(&pair(3, 1)),
        json!([{"name": "outbound|80|v1|shop", "weight": 3}, {"name": "outbound|80|v2|shop", "weight": 1}])
    );
    assert_eq!(route(&pair(100, 0))["cluster"], "outbound|80|v1|shop");
    assert_eq!(route(&pair(0, 7))["cluster"], "outbound|80|v2|shop");
}

#[test]
fn the_weight_of_a_single_destination_means_nothing() {
    let only = |weight: Value| {
        service(
            &json!([{"destination": {"host": "shop", "subset": "v1", "port": {"number": 8080}}, "weight": weight}]),
        )
    };
    for weight in [json!(0), json!(17), Value::Null] {
        assert_eq!(route(&only(weight))["cluster"], "outbound|8080|v1|shop");
    }
}

#[test]
fn a_route_behind_one_that_takes_everything_is_never_asked() {
    let mut object = pair(90, 10);
    let matched = json!({"match": [{"headers": {"x-tester": {"exact": "yes"}}}, {"uri": {"prefix": "/v2"}}],
        "route": [{"destination": {"host": "shop", "subset": "v2"}}]});
    object["spec"]["http"]
        .as_array_mut()
        .unwrap()
        .push(matched.clone());
    let count = |object: &Value| {
        let host = Kind::VirtualService.translate(object).unwrap();
        host["routes"].as_array().unwrap().len()
    };
    assert_eq!(count(&object), 1);
    object["spec"]["http"].as_array_mut().unwrap().swap(0, 1);
    assert_eq!(count(&object), 3);
}

/// Each is one of the rules that Istio's webhook has and its schema has not.
fn refused(cases: &[(&str, Value, &str)]) {
    for (at, value, field) in cases {
        let mut object = pair(5, 0);
        let (parent, key) = at.rsplit_once('/').unwrap();
        object.pointer_mut(parent).unwrap()[key] = value.clone();
        if at.ends_with("host") {
            object["spec"]["http"][0]["route"][1]["weight"] = json!(5);
        }
        match Kind::VirtualService.translate(&object) {
            Err(refusal) => assert!(refusal.0.contains(field), "{at} = {value}: {}", refusal.0),
            Ok(served) => panic!("{at} = {value} is served: {served}"),
        }
    }
}

#[test]
fn what_istio_refuses_of_hosts_routes_and_times_is_refused_with_its_field() {
    refused(&[
        ("/spec/hosts", json!([]), "spec.hosts"),
        ("/spec/hosts", json!(["*"]), "spec.hosts[0]"),
        ("/spec/hosts", json!(["shop.*.com"]), "spec.hosts[0]"),
        ("/spec/hosts", json!(["*.foo.com", "a.foo.com"]), "spec.hosts[1]"),
        ("/spec/http", json!([]), "spec: at least one of"),
        ("/spec/http/0/route", json!([]), "spec.http[0]: exactly one of"),
        (
            "/spec/http/0/redirect",
            json!({"uri": "/"}),
            "spec.http[0]: exactly one of",
        ),
        (
            "/spec/http/0/route/0/weight",
            json!(-1),
            "spec.http[0].route[0].weight",
        ),
        (
            "/spec/http/0/route/0/weight",
            json!(0),
            "spec.http[0].route: the weights add up to 0",
        ),
        ("/spec/http/0/timeout", json!("0s"), "spec.http[0].timeout"),
        ("/spec/http/0/timeout", json!("1500us"), "spec.http[0].timeout"),
        (
            "/spec/http/0/retries",
            json!({"attempts": 0, "retryOn": "5xx"}),
            "spec.http[0].retries",
        ),
    ]);
}

#[test]
fn what_istio_refuses_of_matches_and_destinations_is_refused_with_its_field() {
    refused(&[
        (
            "/spec/http/0/match",
            json!([{"uri": {"prefix": ""}}]),
            "spec.http[0].match[0].uri.prefix",
        ),
        (
            "/spec/http/0/match",
            json!([{"uri": {"regex": ""}}]),
            "spec.http[0].match[0].uri.regex",
        ),
        (
            "/spec/http/0/match",
            json!([{"uri": {"exact": "/", "prefix": "/"}}]),
            "spec.http[0].match[0].uri",
        ),
        (
            "/spec/http/0/match",
            json!([{"uri": {"regex": "/a(?!b)"}}]),
            "spec.http[0].match[0].uri.regex",
        ),
        (
            "/spec/http/0/route/0/destination/subset",
            json!("V1"),
            "spec.http[0].route[0].destination.subset",
        ),
        (
            "/spec/http/0/route/0/destination/subset",
            json!("-v1"),
            "spec.http[0].route[0].destination.subset",
        ),
        (
            "/spec/gateways",
            json!(["istio-system/Public_Gateway"]),
            "spec.gateways[0]",
        ),
        (
            "/spec/http/0/match",
            json!([{"headers": {"a b": {"exact": "1"}}}]),
            "spec.http[0].match[0].headers.a b",
        ),
        (
            "/spec/http/0/mirror",
            json!({"host": "*"}),
            "spec.http[0].mirror.destination.host",
        ),
        (
            "/spec/http/0/mirrorPercentage",
            json!({"value": 10}),
            "spec.http[0].mirrorPercentage",
        ),
        (
            "/spec/http/0/route/0/destination/host",
            json!("*"),
            "spec.http[0].route[0].destination.host",
        ),
        (
            "/spec/http/0/route/0/destination/port",
            json!({"number": 0}),
            "destination.port.number",
        ),
        (
            "/spec/http/0/route/0/destination/subset",
            json!("v 1"),
            "destination.subset",
        ),
    ]);
}

#[test]
fn mirror_and_mirrors_exclude_each_other_and_what_stands_behind_the_catch_all_is_read() {
    let mut object = pair(90, 10);
    object["spec"]["http"][0]["mirror"] = json!({"host": "shop", "subset": "v2"});
    object["spec"]["http"][0]["mirrors"] = json!([{"destination": {"host": "shop"}}]);
    let refusal = Kind::VirtualService.translate(&object).unwrap_err().0;
    assert!(refusal.contains("spec.http[0]: mirror and mirrors"), "{refusal}");
    let mut object = pair(90, 10);
    let behind = json!({"match": [{"uri": {"prefix": ""}}],
        "route": [{"destination": {"host": "shop", "subset": "v2"}}]});
    object["spec"]["http"].as_array_mut().unwrap().push(behind);
    let refusal = Kind::VirtualService.translate(&object).unwrap_err().0;
    assert!(refusal.contains("spec.http[1].match[0].uri.prefix"), "{refusal}");
}

#[test]
fn a_weight_that_an_httproute_does_not_say_is_one_and_nothing_left_is_a_500() {
    let object = |weights: [Value; 2]| {
        let [control, canary] = weights;
        json!({
            "metadata": {"namespace": "apps", "name": "shop"},
            "spec": {"hostnames": ["shop.example.com"], "rules": [{"backendRefs": [
                {"name": "shop-v1", "port": 80, "weight": control}, {"name": "shop-v2", "port": 80, "weight": canary}
            ]}]},
        })
    };
    let served = |weights| Kind::HttpRoute.translate(&object(weights)).unwrap()["routes"][0].clone();
    let clusters = served([json!(3), Value::Null])["route"]["weighted_clusters"]["clusters"].clone();
    assert_eq!(
        clusters,
        json!([{"name": "outbound|80||shop-v1", "weight": 3}, {"name": "outbound|80||shop-v2", "weight": 1}])
    );
    let alone = served([json!(1), json!(0)])["route"]["weighted_clusters"]["clusters"].clone();
    assert_eq!(alone, json!([{"name": "outbound|80||shop-v1", "weight": 1}]));
    assert_eq!(served([json!(0), json!(0)])["direct_response"]["status"], 500);
    assert!(Kind::HttpRoute.translate(&object([json!(-1), json!(1)])).is_err());
    let mut other = object([json!(1), json!(1)]);
    other["spec"]["rules"][0]["matches"] = json!([{"method": "GET"}]);
    let refusal = Kind::HttpRoute.translate(&other).unwrap_err().0;
    assert!(refusal.contains("spec.rules[0].matches[0].method"), "{refusal}");
    let mut timed = object([json!(1), json!(1)]);
    timed["spec"]["rules"][0]["timeouts"] = json!({"request": "900ms"});
    let timeout = Kind::HttpRoute.translate(&timed).unwrap()["routes"][0]["route"]["timeout"].clone();
    assert_eq!(timeout, "0.900s");
    timed["spec"]["rules"][0]["timeouts"] = json!({"request": "soon"});
    let refusal = Kind::HttpRoute.translate(&timed).unwrap_err().0;
    assert!(refusal.contains("spec.rules[0].timeouts.request"), "{refusal}");
}

#[test]
fn retries_that_istio_refuses_are_refused() {
    for (retries, field) in [
        (
            json!({"attempts": 2, "retryOn": "5xx,sometimes"}),
            "retries.retryOn",
        ),
        (
            json!({"attempts": 2, "perTryTimeout": "0s"}),
            "retries.perTryTimeout",
        ),
    ] {
        let mut object = pair(5, 95);
        object["spec"]["http"][0]["retries"] = retries;
        let refusal = Kind::VirtualService.translate(&object).unwrap_err().0;
        assert!(refusal.contains(field), "{refusal}");
    }
    let mut object = pair(5, 95);
    object["spec"]["http"][0]["retries"] =
        json!({"attempts": 2, "retryOn": "503, connect-failure", "perTryTimeout": "2s"});
    let served = Kind::VirtualService.translate(&object).unwrap();
    assert_eq!(
        served["routes"][0]["route"]["retry_policy"]["per_try_timeout"],
        "2.000s"
    );
}
