//! Several targets of one component on one object.

use super::*;

const LISTS: &str = "- istio:
    virtualServices: [{name: shop}, {name: shop, kind: tls}]
    canary: {host: new}
    control: {host: old}
";
const PAIRS: &str = "- istio:
    virtualServices: [{name: shop, routes: [web]}]
    canary: {host: new}
    control: {host: old}
- istio:
    virtualServices: [{name: shop, routes: [api]}]
    canary: {host: new-api}
    control: {host: old-api}
";
const ENTRIES: &str = "- istio:
    virtualServices: [{name: shop, routes: [web]}, {name: shop, routes: [more]}]
    canary: {host: new}
    control: {host: old}
";

fn pair(canary: &str, control: &str, weight: u64) -> Value {
    json!([{"destination": {"host": canary}, "weight": weight},
        {"destination": {"host": control}, "weight": 100 - weight}])
}

fn object(weight: u64) -> Value {
    json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
    "metadata": {"name": "shop", "namespace": "apps", "uid": "u", "resourceVersion": "7"},
    "spec": {
        "http": [{"name": "web", "route": pair("new", "old", weight)}, {"name": "api", "route": pair("new-api", "old-api", weight)}],
        "tls": [{"match": [{"sniHosts": ["a"]}], "route": pair("new", "old", weight)}]}})
}

/// One that has two routes with the same pair, and no other.
fn of_one_list(weight: u64) -> Value {
    let mut object = object(weight);
    object["spec"]["http"] = json!([{"name": "web", "route": pair("new", "old", weight)},
        {"name": "more", "route": pair("new", "old", weight)}]);
    object["spec"].as_object_mut().unwrap().remove("tls");
    object
}

/// The canaries' weights, of http routes first.
fn weights(object: &Value) -> Vec<u64> {
    let routes = ["http", "tls"]
        .into_iter()
        .filter_map(|list| object["spec"][list].as_array());
    routes
        .flatten()
        .map(|route| route["route"][0]["weight"].as_u64().unwrap())
        .collect()
}

/// As the daemon raises: all of an object at once.
fn raise(all: &[Target<'_>], object: &mut Value, id: &str, weight: Weight) {
    let all: Vec<&Target<'_>> = all.iter().collect();
    let patch = write_together(&all, object, &stamp(id, weight)).unwrap();
    serve(&patch, object).unwrap();
}

/// As the daemon puts back: one after the other.
fn lower(all: &[Target<'_>], object: &mut Value, id: &str) {
    for target in all {
        let patch = target
            .write(
                object,
                &Stamp::new(id, Weight::ZERO, "RollbackRequested").unwrap(),
                WriteMode::Normal,
            )
            .unwrap();
        serve(&target.journalled(object, patch), object).unwrap();
    }
}

/// As the daemon lets go: one after the other; and what stays away.
fn leave(all: &[Target<'_>], object: &mut Value) -> Vec<String> {
    let beside: Vec<&Target<'_>> = all.iter().collect();
    let mut kept = Vec::new();
    for target in all {
        let back = target.restore(object, &beside);
        if let Some(patch) = &back.patch {
            serve(patch, object).unwrap();
        }
        kept.extend(back.kept);
    }
    kept
}

#[test]
fn all_targets_of_an_object_rise_in_one_write_and_their_originals_come_back() {
    for (routers, start) in [(LISTS, object(0)), (PAIRS, object(0)), (ENTRIES, of_one_list(0))] {
        let component = component(routers);
        let all = targets(&component, "apps");
        let mut object = start.clone();
        raise(&all, &mut object, "01A", percent(10));
        let risen = weights(&object).into_iter().filter(|w| *w == 10).count();
        assert_eq!(risen, 2, "{routers}: {object:#}");
        for target in &all {
            let seen = target.read(&object).unwrap();
            assert_eq!(
                (seen.weight, seen.stamp.unwrap().weight()),
                (percent(10), percent(10))
            );
        }
        raise(&all, &mut object, "01B", percent(40));
        lower(&all, &mut object, "01C");
        assert_eq!(weights(&object), weights(&start), "{routers}");
        assert_eq!(leave(&all, &mut object), Vec::<String>::new());
        assert_eq!(object["spec"], start["spec"], "{routers}");
        assert_eq!(
            object["metadata"].get("annotations").unwrap_or(&json!({})),
            &json!({})
        );
    }
}

#[test]
fn a_canary_that_was_put_back_gets_nothing_by_the_originals_of_another_list_or_pair() {
    for (routers, start) in [
        (LISTS, object(30)),
        (PAIRS, object(30)),
        (ENTRIES, of_one_list(30)),
    ] {
        let component = component(routers);
        let all = targets(&component, "apps");
        let mut object = start;
        raise(&all, &mut object, "01A", percent(50));
        lower(&all, &mut object, "01B");
        let back = weights(&object);
        assert_eq!(back.iter().filter(|w| **w == 0).count(), 2, "{routers}");
        let kept = leave(&all, &mut object);
        assert_eq!(weights(&object), back, "{routers}: {kept:?}");
        let [kept] = kept.as_slice() else {
            unreachable!("{kept:?}")
        };
        assert_eq!(kept.matches("they say 30%").count(), 2, "{routers}: {kept}");
    }
}

#[test]
fn a_route_that_no_router_is_about_any_more_is_left_as_it_stands() {
    let (before, after) = (
        component(PAIRS),
        component(
            PAIRS
                .split("- istio")
                .nth(1)
                .map(|first| format!("- istio{first}"))
                .unwrap()
                .as_str(),
        ),
    );
    let all = targets(&before, "apps");
    let mut object = object(30);
    raise(&all, &mut object, "01A", percent(50));
    lower(&all, &mut object, "01B");
    let kept = leave(&targets(&after, "apps"), &mut object);
    assert_eq!(weights(&object), [0, 0, 30], "{kept:?}");
    assert!(
        kept[0].contains("no router of the component is about http[1] api"),
        "{kept:?}"
    );
}

#[test]
fn what_one_target_cannot_write_keeps_all_of_its_object_where_it_is() {
    let component = component(LISTS);
    let all = targets(&component, "apps");
    let all: Vec<&Target<'_>> = all.iter().collect();
    let mut object = object(10);
    object["spec"]["tls"][0]["route"][1]["weight"] = json!("many");
    assert!(write_together(&all, &object, &stamp("01A", percent(20))).is_err());
}
