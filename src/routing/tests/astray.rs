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
    let target = targets[0].for_lowering(object, &[]);
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

/// The route with the canary in it twice, as somebody splits it by a header rewrite.
fn twice(name: &str, canary: i64, control: i64) -> Value {
    json!({"name": name, "route": [
        {"destination": {"host": "shop", "subset": "v1"}, "weight": control},
        {"destination": {"host": "shop", "subset": "v2"}, "weight": canary},
        {"destination": {"host": "shop", "subset": "v2"}, "weight": canary, "headers": {"request": {"set": {"x": "1"}}}},
    ]})
}

fn weights(object: &Value, list: &str, entries: &str) -> Vec<Vec<i64>> {
    let weight = |entry: &Value| entry["weight"].as_i64().unwrap();
    let all = |route: &Value| route[entries].as_array().unwrap().iter().map(weight).collect();
    object["spec"][list].as_array().unwrap().iter().map(all).collect()
}

#[test]
fn a_foreign_route_that_is_itself_ambiguous_keeps_no_rollback_up() {
    let mut object = service(&[twice("theirs", 25, 50), route("ours", 50, 50)]);
    lower(ISTIO, &mut object, Weight::ZERO).unwrap();
    assert_eq!(
        weights(&object, "http", "route"),
        [vec![100, 0, 0], vec![100, 0]],
        "no name tells them apart, so both go back"
    );

    let named = ISTIO.replace("{name: shop}", "{name: shop, routes: [primary]}");
    let mut object = service(&[twice("theirs", 25, 50), route("main", 50, 50)]);
    let foreign = object["spec"]["http"][0].clone();
    object["metadata"]["annotations"] = json!({"rollout.sealos.io/w.shop": "01A 50% Step"});
    object["spec"]["http"][0]["route"][0]["weight"] = json!(75);
    let mine = component(&named);
    let target = targets(&mine, "apps")[0].for_lowering(&object, &[]);
    let left = target.left(&object);
    assert!(left.undone.is_empty());
    assert!(
        left.theirs[0].contains("\"theirs\" still gives the canary 40%"),
        "{left:?}"
    );
    lower(&named, &mut object, Weight::ZERO).unwrap();
    assert_eq!(
        weights(&object, "http", "route"),
        [vec![75, 25, 25], vec![100, 0]],
        "ours says what we wrote last"
    );
    assert_eq!(object["spec"]["http"][0]["route"][1], foreign["route"][1]);
}

#[test]
fn our_own_route_with_the_canary_in_it_twice_goes_back_whole() {
    let named = ISTIO.replace("{name: shop}", "{name: shop, routes: [primary]}");
    for routers in [ISTIO, &named] {
        let mut object = service(&[twice("primary", 25, 50)]);
        assert_eq!(lower(routers, &mut object, Weight::ZERO), Ok(Weight::ZERO));
        assert_eq!(weights(&object, "http", "route"), [vec![100, 0, 0]]);
        assert_eq!(
            lower(routers, &mut object, Weight::ZERO),
            Ok(Weight::ZERO),
            "and again"
        );
    }
    let mut object = service(&[twice("primary", 2, 96)]);
    lower(ISTIO, &mut object, percent(10)).unwrap_err();
    assert_eq!(
        weights(&object, "http", "route"),
        [vec![96, 2, 2]],
        "below already: nothing rises"
    );
    let mut object = service(&[twice("primary", 25, 50)]);
    lower(ISTIO, &mut object, percent(10)).unwrap_err();
    assert_eq!(
        weights(&object, "http", "route"),
        [vec![100, 0, 0]],
        "rather below than above"
    );
}

#[test]
fn weights_that_are_none_keep_no_rollback_up() {
    let mut object = service(&[route("primary", -50, 150)]);
    assert_eq!(lower(ISTIO, &mut object, Weight::ZERO), Ok(Weight::ZERO));
    assert_eq!(pairs(&object, "http", "route"), [(0, 150)]);
    let mut object = service(&[route("primary", 0, 0)]);
    object["spec"]["http"][0]["route"][1]["weight"] = json!("many");
    assert_eq!(lower(ISTIO, &mut object, Weight::ZERO), Ok(Weight::ZERO));
    assert_eq!(pairs(&object, "http", "route"), [(0, 100)], "control has it all");
    let mut object = http_route(&[(-50, 150), (20, 80)]);
    assert_eq!(lower(GATEWAY, &mut object, Weight::ZERO), Ok(Weight::ZERO));
    assert_eq!(pairs(&object, "rules", "backendRefs"), [(0, 150), (0, 100)]);
}

#[test]
fn a_rule_with_the_same_back_end_twice_keeps_no_rollback_up() {
    let mut object = http_route(&[(20, 80), (40, 60)]);
    let again = json!({"name": "new", "port": 80, "filters": [{"type": "RequestMirror"}]});
    object["spec"]["rules"][0]["backendRefs"]
        .as_array_mut()
        .unwrap()
        .push(again);
    lower(GATEWAY, &mut object, Weight::ZERO).unwrap();
    let of = |n: usize| object["spec"]["rules"][n]["backendRefs"].clone();
    assert_eq!(
        (&of(0)[0]["weight"], &of(0)[1]["weight"], &of(0)[2]["weight"]),
        (&json!(101), &json!(0), &json!(0))
    );
    assert_eq!(
        (&of(1)[0]["weight"], &of(1)[1]["weight"]),
        (&json!(100), &json!(0))
    );
}

#[test]
fn a_route_in_which_nobody_has_anything_is_controls() {
    let mut object = service(&[route("primary", 0, 0)]);
    assert_eq!(lower(ISTIO, &mut object, Weight::ZERO), Ok(Weight::ZERO));
    assert_eq!(pairs(&object, "http", "route"), [(0, 100)]);
    assert_eq!(
        object["metadata"]["annotations"]["rollout.sealos.io/w.shop"],
        "01J8 0% RollbackRequested"
    );
}

/// As the daemon writes: weight, stamp and journal in one request.
fn journalled(routers: &str, object: &mut Value, (id, weight): (&str, Weight), claims: &[ClaimKey]) {
    let component = component(routers);
    let target = targets(&component, "apps")[0].for_lowering(object, claims);
    let stamp = Stamp::new(id, weight, "RollbackRequested").unwrap();
    let Write::Patch(patch) = target
        .lower(Some(object), &stamp, weight, WriteMode::Normal)
        .unwrap()
    else {
        unreachable!()
    };
    serve(&target.journalled(object, patch), object).unwrap();
}

#[test]
fn a_users_own_route_with_the_same_pair_is_neither_lowered_nor_journalled_nor_raised_when_ours_is_renamed() {
    let routers = ISTIO.replace("{name: shop}", "{name: shop, routes: [primary]}");
    let mine = component(&routers);
    let target = &targets(&mine, "apps")[0];
    let mut object = service(&[route("primary", 0, 100), route("api", 25, 75)]);
    let patch = target
        .write(&object, &stamp("01A", percent(20)), WriteMode::Normal)
        .unwrap();
    serve(&target.journalled(&object, patch), &mut object).unwrap();
    object["spec"]["http"][0]["name"] = json!("main");
    journalled(&routers, &mut object, ("01B", Weight::ZERO), &[]);
    assert_eq!(pairs(&object, "http", "route"), [(0, 100), (25, 75)]);
    let journal = object["metadata"]["annotations"]["rollout.sealos.io/o.shop"]
        .as_str()
        .unwrap();
    assert!(
        journal.contains("primary") && !journal.contains("api") && !journal.contains("main"),
        "{journal}"
    );
    let back = target.restore(&object, &[]);
    serve(&back.patch.unwrap(), &mut object).unwrap();
    assert_eq!(pairs(&object, "http", "route"), [(0, 100), (25, 75)]);
}

#[test]
fn where_no_route_says_what_we_wrote_every_one_goes_back_that_nobody_else_claims() {
    let routers = ISTIO.replace("{name: shop}", "{name: shop, routes: [primary]}");
    let others = ISTIO.replace("{name: shop}", "{name: shop, routes: [api]}");
    let routes = [route("main", 20, 80), route("api", 30, 70), route("more", 40, 60)];
    let start = || {
        let mut object = service(&routes);
        object["metadata"]["annotations"] = json!({"rollout.sealos.io/w.shop": "01A 10% Step"});
        object
    };
    let mut object = start();
    journalled(&routers, &mut object, ("01B", Weight::ZERO), &[]);
    assert_eq!(pairs(&object, "http", "route"), [(0, 100), (0, 100), (0, 100)]);

    let other = component(&others);
    let claims = targets(&other, "apps")[0].claims();
    let mut object = start();
    journalled(&routers, &mut object, ("01B", Weight::ZERO), &claims);
    assert_eq!(
        pairs(&object, "http", "route"),
        [(0, 100), (30, 70), (0, 100)],
        "by its claim"
    );
    let journal = object["metadata"]["annotations"].get("rollout.sealos.io/o.shop");
    assert_eq!(journal, None, "none of it is surely ours");

    let mut other = component(&others);
    other.name = "other".into();
    let theirs = &targets(&other, "apps")[0];
    let mut object = start();
    let patch = theirs
        .write(&object, &stamp("01A", percent(35)), WriteMode::Normal)
        .unwrap();
    serve(&theirs.journalled(&object, patch), &mut object).unwrap();
    journalled(&routers, &mut object, ("01B", Weight::ZERO), &[]);
    assert_eq!(pairs(&object, "http", "route")[1], (35, 65), "by its journal");
    let mine = component(&routers);
    let left = targets(&mine, "apps")[0].for_lowering(&object, &[]).left(&object);
    assert!(left.theirs[0].contains("another rollout claims it"), "{left:?}");
}

#[test]
fn restoring_raises_no_place_and_gives_back_the_others() {
    let routers = ISTIO.replace("{name: shop}", "{name: shop, routes: [primary, api]}");
    let mine = component(&routers);
    let target = &targets(&mine, "apps")[0];
    let mut object = service(&[route("primary", 0, 7), route("api", 25, 75)]);
    journalled(&routers, &mut object, ("01A", Weight::ZERO), &[]);
    let patch = target
        .write(&object, &stamp("01B", percent(10)), WriteMode::Normal)
        .unwrap();
    serve(&target.journalled(&object, patch), &mut object).unwrap();
    let back = target.restore(&object, &[]);
    assert!(
        back.kept
            .unwrap()
            .contains("they say 25% for route \"api\", and it stands at 10%")
    );
    serve(&back.patch.unwrap(), &mut object).unwrap();
    assert_eq!(pairs(&object, "http", "route"), [(0, 7), (10, 90)]);
}
