//! Putting traffic back where it cannot be told any more which route is meant.

use super::*;

const ISTIO: &str = "- istio:
    virtualServices: [{name: shop}]
    canary: {host: shop, subset: v2}
    control: {host: shop, subset: v1}
";

fn route(name: &str, canary: i64, control: i64) -> Value {
    json!({"name": name, "route": [
        {"destination": {"host": "shop", "subset": "v1"}, "weight": control},
        {"destination": {"host": "shop", "subset": "v2"}, "weight": canary},
    ]})
}

fn service(routes: &[Value]) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": "shop", "namespace": "apps", "uid": "u", "resourceVersion": "7"},
        "spec": {"hosts": ["shop"], "http": routes},
    })
}

const GATEWAY: &str = "- gatewayApi:
    kind: HTTPRoute
    name: shop
    canary: {name: new, port: 80}
    control: {name: old, port: 80}
";

fn http_route(rules: &[(i64, i64)]) -> Value {
    let rule = |(canary, control): &(i64, i64)| json!({"backendRefs": [{"name": "old", "port": 80, "weight": control}, {"name": "new", "port": 80, "weight": canary}]});
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": "shop", "namespace": "apps", "uid": "u", "resourceVersion": "7"},
        "spec": {"rules": rules.iter().map(rule).collect::<Vec<_>>()},
    })
}

/// Lowers as the daemon does, and says what the target reads afterwards.
fn lower(routers: &str, object: &mut Value, to: Weight) -> Result<Weight, RoutingError> {
    let component = component(routers);
    let targets = targets(&component, "apps");
    let target = targets[0].for_lowering(object);
    let ceiling = target.read(object).map_or(to, |seen| seen.lowest.min(to));
    let weight = target.at_most(object, ceiling)?;
    let stamp = Stamp::new("01J8", weight, "RollbackRequested").unwrap();
    if let Write::Patch(patch) = target.lower(Some(object), &stamp, to, WriteMode::Normal)? {
        serve(&patch, object).unwrap();
    }
    targets[0].read(object).map(|seen| seen.weight)
}

fn pairs(object: &Value, list: &str, entries: &str) -> Vec<(i64, i64)> {
    let weight = |entry: &Value| entry["weight"].as_i64().unwrap();
    let pair = |route: &Value| (weight(&route[entries][1]), weight(&route[entries][0]));
    object["spec"][list]
        .as_array()
        .unwrap()
        .iter()
        .map(pair)
        .collect()
}

#[test]
fn a_foreign_twin_of_our_route_keeps_no_rollback_up_and_both_go_back() {
    for foreign in [route("x", 40, 60), route("testers", 100, 0), route("x", 0, 100)] {
        let mut object = service(&[foreign, route("ours", 40, 60)]);
        let component = component(ISTIO);
        let target = &targets(&component, "apps")[0];
        assert_eq!(target.read(&object).unwrap_err().category(), "Ambiguous");
        let raise = target.write(&object, &stamp("01J8", percent(50)), WriteMode::Normal);
        assert_eq!(raise.unwrap_err().category(), "Ambiguous", "nothing rises");
        assert_eq!(lower(ISTIO, &mut object, Weight::ZERO), Ok(Weight::ZERO));
        assert_eq!(pairs(&object, "http", "route"), [(0, 100), (0, 100)]);
        let raise = target.write(&object, &stamp("01J9", percent(50)), WriteMode::Normal);
        assert_eq!(
            raise.unwrap_err().category(),
            "Ambiguous",
            "nothing rises afterwards either"
        );
    }
}

#[test]
fn a_route_of_ours_that_was_renamed_goes_back_by_its_pair() {
    let routers = ISTIO.replace("{name: shop}", "{name: shop, routes: [primary]}");
    let mut object = service(&[route("main", 40, 60)]);
    assert_eq!(lower(&routers, &mut object, Weight::ZERO), Ok(Weight::ZERO));
    assert_eq!(pairs(&object, "http", "route"), [(0, 100)]);
}

#[test]
fn on_the_way_back_to_somewhere_above_nothing_no_route_rises() {
    let mut object = service(&[route("x", 5, 95), route("ours", 40, 60)]);
    // Which is meant is still not known, so it is not told as done.
    assert_eq!(
        lower(ISTIO, &mut object, percent(10)).unwrap_err().category(),
        "Ambiguous"
    );
    assert_eq!(pairs(&object, "http", "route"), [(5, 95), (5, 95)]);
}

#[test]
fn rules_of_the_gateway_api_go_back_alike() {
    let mut object = http_route(&[(40, 60), (1, 0)]);
    assert_eq!(lower(GATEWAY, &mut object, Weight::ZERO), Ok(Weight::ZERO));
    assert_eq!(pairs(&object, "rules", "backendRefs"), [(0, 100), (0, 1)]);
}

#[test]
fn what_was_never_put_back_by_us_is_no_zero() {
    let component = component(ISTIO);
    let object = service(&[route("x", 0, 100), route("ours", 0, 100)]);
    let read = targets(&component, "apps")[0].read(&object);
    assert_eq!(read.unwrap_err().category(), "Ambiguous");
}
