//! Back ends that somebody spelt otherwise than the resource does.

use super::*;

const ISTIO: &str = "- istio:
    virtualServices: [{name: shop}]
    canary: {host: shop, subset: v2}
    control: {host: shop, subset: v1}
";

const GATEWAY: &str = "- gatewayApi:
    kind: HTTPRoute
    name: shop
    canary: {name: new, port: 80}
    control: {name: old, port: 80}
";

const LONG: &str = "shop.apps.svc.cluster.local";

fn to(host: &str, subset: &str, weight: i64) -> Value {
    json!({"destination": {"host": host, "subset": subset}, "weight": weight})
}

fn service(routes: &Value) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": "shop", "namespace": "apps", "uid": "u", "resourceVersion": "7"},
        "spec": {"hosts": ["shop"], "http": routes},
    })
}

fn route(entries: &[Value]) -> Value {
    service(&json!([{"name": "p", "route": entries}]))
}

fn backends(of: &[(&str, i64, i64)]) -> Value {
    let one = |(name, port, weight): &(&str, i64, i64)| json!({"name": name, "port": port, "weight": weight});
    json!({"backendRefs": of.iter().map(one).collect::<Vec<_>>()})
}

fn http_route(rules: &[Value]) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": "shop", "namespace": "apps", "uid": "u", "resourceVersion": "7"},
        "spec": {"rules": rules},
    })
}

/// Lowers to 0 as the daemon does, and says what a lowering still leaves.
fn lower(routers: &str, object: &mut Value, claims: &[ClaimKey]) -> Left {
    let component = component(routers);
    let targets = targets(&component, "apps");
    let target = targets[0].for_lowering(object, claims);
    let left = target.left(object);
    let stamp = Stamp::new("01J8", Weight::ZERO, "RollbackRequested").unwrap();
    let write = target.lower(Some(object), &stamp, Weight::ZERO, WriteMode::Normal);
    if let Write::Patch(patch) = write.unwrap() {
        serve(&patch, object).unwrap();
    }
    left
}

fn weights(object: &Value, pointer: &str) -> Vec<i64> {
    let all = object.pointer(pointer).unwrap().as_array().unwrap();
    all.iter()
        .map(|entry| entry["weight"].as_i64().unwrap())
        .collect()
}

#[test]
fn a_pair_that_somebody_spelt_otherwise_goes_back_and_the_error_says_that_it_is_there() {
    for names in ["", ", routes: [p]"] {
        let routers = ISTIO.replace("{name: shop}", &format!("{{name: shop{names}}}"));
        let mut object = route(&[to(LONG, "v1", 60), to(LONG, "v2", 40)]);
        let mine = component(&routers);
        let target = &targets(&mine, "apps")[0];
        let error = target.read(&object).unwrap_err();
        assert_eq!(error.category(), "SpeltOtherwise");
        let says = error.to_string();
        assert!(says.contains(&format!("only as {LONG} subset v2")), "{says}");
        let read = target.in_part(&object, &[]).unwrap();
        assert_eq!(
            (read.seen.weight, read.unknown),
            (percent(40), false),
            "it is known"
        );
        lower(&routers, &mut object, &[]);
        assert_eq!(weights(&object, "/spec/http/0/route"), [100, 0]);
        assert_eq!(target.read(&object).unwrap().weight, Weight::ZERO, "it is back");
    }
    // The Service of that name in another namespace is another.
    let mut object = route(&[
        to("shop.other.svc.cluster.local", "v2", 40),
        to("shop", "v1", 60),
        to("shop", "v2", 0),
    ]);
    lower(ISTIO, &mut object, &[]);
    assert_eq!(weights(&object, "/spec/http/0/route"), [40, 60, 0]);
}

#[test]
fn whoever_adds_the_pair_beside_another_spelling_of_it_has_not_put_it_back_before_both_are() {
    for (entries, lowered) in [
        (
            vec![
                to(LONG, "v1", 60),
                to(LONG, "v2", 40),
                to("shop", "v2", 0),
                to("shop", "v1", 0),
            ],
            vec![100, 0, 0, 0],
        ),
        (
            vec![to("shop", "v1", 60), to("shop", "v2", 0), to(LONG, "v2", 40)],
            vec![100, 0, 0],
        ),
        (
            vec![to(LONG, "v1", 60), to(LONG, "v2", 40), to("shop", "v2", 0)],
            vec![100, 0, 0],
        ),
    ] {
        let mut object = route(&entries);
        let mine = component(ISTIO);
        let target = &targets(&mine, "apps")[0];
        assert!(target.read(&object).is_err(), "{entries:?}");
        assert_eq!(
            target.in_part(&object, &[]).unwrap().seen.weight,
            percent(40),
            "{entries:?}"
        );
        lower(ISTIO, &mut object, &[]);
        assert_eq!(weights(&object, "/spec/http/0/route"), lowered, "{entries:?}");
    }
    let third = route(&[
        to("shop", "v1", 60),
        to("shop", "v2", 30),
        to(LONG, "v2", 0),
        to(LONG, "v1", 10),
    ]);
    let mine = component(ISTIO);
    let read = targets(&mine, "apps")[0].read(&third);
    assert!(
        read.is_ok(),
        "what gives the canary nothing is in nobody's way: {read:?}"
    );
}

#[test]
fn the_same_services_on_another_port_go_back_too_unless_they_are_another_components_pair() {
    for rule in [
        backends(&[("old", 8080, 60), ("new", 8080, 40)]),
        backends(&[
            ("old", 8080, 60),
            ("new", 8080, 40),
            ("old", 80, 0),
            ("new", 80, 0),
        ]),
    ] {
        let mut object = http_route(std::slice::from_ref(&rule));
        let mine = component(GATEWAY);
        let target = &targets(&mine, "apps")[0];
        assert!(target.read(&object).is_err());
        let whole = lower(GATEWAY, &mut object, &[]);
        assert!(whole.is_whole(), "{whole:?}");
        assert_eq!(
            weights(&object, "/spec/rules/0/backendRefs")[..2],
            [100, 0],
            "{rule}"
        );
    }
    let says = |rule: &Value| {
        let mine = component(GATEWAY);
        let error = targets(&mine, "apps")[0]
            .read(&http_route(std::slice::from_ref(rule)))
            .unwrap_err();
        error.to_string()
    };
    let told = says(&backends(&[("old", 8080, 60), ("new", 8080, 40)]));
    assert!(told.contains("only as new port 8080"), "{told}");
    // Another component splits the same two on that port.
    let theirs = component(&GATEWAY.replace("80}", "8080}"));
    let claims = targets(&theirs, "apps")[0].claims();
    let mut object = http_route(&[backends(&[("old", 8080, 60), ("new", 8080, 40)])]);
    let mine = component(GATEWAY);
    let target = targets(&mine, "apps")[0].for_lowering(&object, &claims);
    let stamp = Stamp::new("01J8", Weight::ZERO, "RollbackRequested").unwrap();
    let write = target.lower(Some(&object), &stamp, Weight::ZERO, WriteMode::Normal);
    assert!(write.is_err(), "nothing of it is surely ours: {write:?}");
    // Beside the pair itself another port is somebody's own, and told: nothing is back that is not.
    object = http_route(&[backends(&[("old", 80, 60), ("new", 80, 10), ("new", 8080, 30)])]);
    let left = lower(GATEWAY, &mut object, &[]);
    assert_eq!(weights(&object, "/spec/rules/0/backendRefs"), [70, 0, 30]);
    assert!(
        !left.is_whole() && left.taken[0].contains("on another port than the resource names"),
        "{left:?}"
    );
}
