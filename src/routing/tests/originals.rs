//! What stood there before the first write comes back byte for byte, whatever the router.

use super::controller_switch::{SWITCH, config_map, deployment};
use super::*;

const SHOP: &str = "- istio:
    virtualServices: [{name: shop}]
    canary: {host: new}
    control: {host: old}
";

fn shop(route: &Value) -> Value {
    json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": "shop", "namespace": "sealos-system", "uid": "u", "resourceVersion": "7",
            "annotations": {"mine": "yes"}},
        "spec": {"http": [{"match": [{"uri": {"prefix": "/"}}], "route": route, "timeout": "7s"}]}})
}

/// As the daemon writes: weight, stamp and journal in one request.
fn write(target: &Target<'_>, object: &mut Value, id: &str, weight: Weight, mode: WriteMode) {
    let patch = target.write(object, &stamp(id, weight), mode).unwrap();
    let patch = target.journalled(object, patch);
    serve(&patch, object).unwrap();
}

fn restore(target: &Target<'_>, object: &mut Value) -> PutBack {
    let back = target.restore(object, &[]);
    if let Some(patch) = &back.patch {
        serve(patch, object).unwrap();
    }
    back
}

/// A server leaves maps without members out of metadata; and versions are its own.
fn bytes(object: &Value) -> Value {
    let mut object = object.clone();
    let metadata = object["metadata"].as_object_mut().unwrap();
    metadata.remove("resourceVersion");
    if metadata.get("annotations").is_some_and(|a| *a == json!({})) {
        metadata.remove("annotations");
    }
    object
}

#[test]
fn whatever_the_router_and_whatever_was_written_the_originals_come_back_byte_for_byte() {
    let emergency = WriteMode::Emergency {
        at: "2026-03-02T09:00:00Z".parse().unwrap(),
    };
    let mut bare = config_map(&Value::Null);
    bare.as_object_mut().unwrap().remove("data");
    let mut without_env = deployment(&json!([]));
    without_env["spec"]["template"]["spec"]["containers"][1]
        .as_object_mut()
        .unwrap()
        .remove("env");
    let plain = json!([{"name": "KEPT", "value": "a"}, {"name": "ISTIO_PERCENTAGE"},
        {"name": "NETWORKING_MODE", "value": "ingress"}, {"name": "EMERGENCY_ROLLBACK", "value": "false"}]);
    let cases = [
        (
            SHOP,
            0,
            shop(&json!([{"destination": {"host": "old"}, "weight": 100},
            {"destination": {"host": "new"}, "weight": 0}])),
        ),
        (
            SHOP,
            0,
            shop(&json!([{"destination": {"host": "new"}}, {"destination": {"host": "old"}, "weight": 3}])),
        ),
        (
            SHOP,
            0,
            shop(&json!([{"destination": {"host": "third"}, "weight": 50},
            {"destination": {"host": "new"}, "weight": 0}, {"destination": {"host": "old"}, "weight": 100}])),
        ),
        (SWITCH, 0, bare),
        (SWITCH, 0, config_map(&json!({}))),
        (
            SWITCH,
            0,
            config_map(&json!({"domain": "x", "istio_percentage": "0", "networking_mode": ""})),
        ),
        (SWITCH, 1, without_env),
        (SWITCH, 1, deployment(&plain)),
        (SWITCH, 1, deployment(&json!([]))),
    ];
    for (routers, index, original) in cases {
        let component = component(routers);
        let target = &targets(&component, "sealos-system")[index];
        let mut object = original.clone();
        write(target, &mut object, "01A", percent(10), WriteMode::Normal);
        write(target, &mut object, "01B", percent(30), WriteMode::Normal);
        write(target, &mut object, "01C", percent(0), emergency);
        write(target, &mut object, "01D", percent(10), WriteMode::Normal);
        write(target, &mut object, "01E", percent(0), WriteMode::Normal);
        assert_ne!(bytes(&object), bytes(&original), "{original:#}");
        let back = restore(target, &mut object);
        assert_eq!(back.kept, None, "{original:#}");
        assert_eq!(bytes(&object), bytes(&original));
        assert_eq!(restore(target, &mut object), PutBack::default(), "once is enough");
    }
}

#[test]
fn the_journal_is_written_in_the_request_that_changes_a_place_first_and_only_then() {
    let component = component(SHOP);
    let target = &targets(&component, "sealos-system")[0];
    let mut object =
        shop(&json!([{"destination": {"host": "old"}, "weight": 100}, {"destination": {"host": "new"}}]));
    let journal = |object: &Value| object["metadata"]["annotations"]["rollout.sealos.io/o.shop"].clone();
    write(target, &mut object, "01A", percent(5), WriteMode::Normal);
    let first = journal(&object);
    assert!(first.as_str().unwrap().contains("100"), "{first}");
    let patch = target
        .write(&object, &stamp("01B", percent(10)), WriteMode::Normal)
        .unwrap();
    assert_eq!(
        target.journalled(&object, patch.clone()),
        patch,
        "nothing new, nothing more"
    );
    write(target, &mut object, "01B", percent(10), WriteMode::Normal);
    assert_eq!(journal(&object), first);
    let off = target.detach(&object).unwrap();
    serve(&off, &mut object).unwrap();
    assert_eq!(object["metadata"]["annotations"], json!({"mine": "yes"}));
    assert_eq!(
        target.read(&object).unwrap().agreed(),
        Some(percent(10)),
        "the weight stays"
    );
}

#[test]
fn what_others_did_meanwhile_stays_and_what_they_took_away_does_not_come_back() {
    let component = component(SHOP);
    let target = &targets(&component, "sealos-system")[0];
    let mut object =
        shop(&json!([{"destination": {"host": "old"}, "weight": 100}, {"destination": {"host": "new"}}]));
    write(target, &mut object, "01A", percent(5), WriteMode::Normal);
    write(target, &mut object, "01B", percent(0), WriteMode::Normal);
    object["spec"]["http"][0]["route"]
        .as_array_mut()
        .unwrap()
        .insert(0, json!({"destination": {"host": "third"}, "weight": 0}));
    object["spec"]["http"][0]["timeout"] = json!("9s");
    assert_eq!(restore(target, &mut object).kept, None);
    assert_eq!(
        object["spec"]["http"][0]["route"],
        json!([{"destination": {"host": "third"}, "weight": 0}, {"destination": {"host": "old"}, "weight": 100},
            {"destination": {"host": "new"}}])
    );
    assert_eq!(object["spec"]["http"][0]["timeout"], "9s");

    let with_env = super::component(SWITCH);
    let target = &targets(&with_env, "sealos-system")[1];
    let mut object = deployment(&json!([{"name": "NETWORKING_MODE", "value": "ingress"}]));
    write(target, &mut object, "01A", percent(5), WriteMode::Normal);
    write(target, &mut object, "01B", percent(0), WriteMode::Normal);
    object["spec"]["template"]["spec"]["containers"][1]["env"] = json!([{"name": "THEIRS", "value": "1"}]);
    restore(target, &mut object);
    assert_eq!(
        object["spec"]["template"]["spec"]["containers"][1]["env"],
        json!([{"name": "THEIRS", "value": "1"}]),
        "a variable that somebody took away is not made anew"
    );
}

#[test]
fn originals_that_give_the_canary_more_than_it_has_stay_away_and_the_marks_come_off() {
    let component = component(SHOP);
    let target = &targets(&component, "sealos-system")[0];
    let mut object = shop(
        &json!([{"destination": {"host": "old"}, "weight": 80}, {"destination": {"host": "new"}, "weight": 20}]),
    );
    write(target, &mut object, "01A", percent(0), WriteMode::Normal);
    let back = restore(target, &mut object);
    assert!(back.kept.unwrap().contains("they say 20%"));
    assert_eq!(
        target.read(&object).unwrap().agreed(),
        Some(percent(0)),
        "never a raise"
    );
    assert_eq!(object["metadata"]["annotations"], json!({"mine": "yes"}));
}

#[test]
fn an_object_that_was_written_before_journals_were_kept_gets_none() {
    let component = component(SHOP);
    let target = &targets(&component, "sealos-system")[0];
    let mut object = shop(
        &json!([{"destination": {"host": "old"}, "weight": 75}, {"destination": {"host": "new"}, "weight": 25}]),
    );
    object["metadata"]["annotations"]["rollout.sealos.io/w.shop"] = json!("01A 25% Step");
    write(target, &mut object, "01B", percent(0), WriteMode::Normal);
    assert!(
        object["metadata"]["annotations"]
            .get("rollout.sealos.io/o.shop")
            .is_none()
    );
    assert!(
        restore(target, &mut object)
            .kept
            .unwrap()
            .contains("was not kept")
    );
    assert_eq!(object["metadata"]["annotations"], json!({"mine": "yes"}));
}

#[test]
fn a_journal_that_somebody_garbled_is_left_alone_and_never_keeps_a_rollback_waiting() {
    let component = component(SHOP);
    let target = &targets(&component, "sealos-system")[0];
    let mut object =
        shop(&json!([{"destination": {"host": "old"}, "weight": 100}, {"destination": {"host": "new"}}]));
    write(target, &mut object, "01A", percent(5), WriteMode::Normal);
    object["metadata"]["annotations"]["rollout.sealos.io/o.shop"] = json!("{what");
    write(target, &mut object, "01B", percent(0), WriteMode::Normal);
    assert_eq!(target.read(&object).unwrap().agreed(), Some(percent(0)));
    assert!(
        restore(target, &mut object)
            .kept
            .unwrap()
            .contains("cannot be read")
    );
}

#[test]
fn a_route_without_a_name_is_found_again_although_rules_of_ours_came_before_it_and_those_go_first() {
    use crate::rollout::observation::Wanted;
    let routers = format!("{SHOP}    testers: {{headers: {{canary: \"true\"}}}}\n    mirror: 10%\n");
    let component = component(&routers);
    let target = &targets(&component, "sealos-system")[0];
    let original =
        shop(&json!([{"destination": {"host": "old"}, "weight": 3}, {"destination": {"host": "new"}}]));
    let mut object = original.clone();
    write(target, &mut object, "01A", percent(10), WriteMode::Normal);
    let before = object["metadata"]["annotations"]["rollout.sealos.io/o.shop"].clone();
    let preview = target.preview(&object, &Wanted::AsSpecified).unwrap().unwrap();
    serve(&preview, &mut object).unwrap();
    assert_eq!(
        object["spec"]["http"].as_array().unwrap().len(),
        2,
        "ours is first"
    );
    write(target, &mut object, "01B", percent(30), WriteMode::Normal);
    let back = Stamp::new("01C", percent(0), "Breach").unwrap();
    let patch = target.write(&object, &back, WriteMode::Normal).unwrap();
    let patch = target.journalled(&object, patch);
    serve(&patch, &mut object).unwrap();
    let after = &object["metadata"]["annotations"]["rollout.sealos.io/o.shop"];
    assert_eq!(*after, before, "what we wrote ourselves is no original");
    assert_eq!(restore(target, &mut object).kept, None);
    assert_eq!(bytes(&object), bytes(&original));
}

#[test]
fn a_route_of_the_gateway_api_comes_back_byte_for_byte() {
    let routers = "- gatewayApi: {kind: HTTPRoute, name: shop, canary: {name: new, port: 80}, control: {name: old, port: 80}}\n";
    let component = component(routers);
    let target = &targets(&component, "sealos-system")[0];
    let original = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": "shop", "namespace": "sealos-system", "uid": "u", "resourceVersion": "7"},
        "spec": {"rules": [{"backendRefs": [{"name": "old", "port": 80, "weight": 3},
            {"name": "new", "port": 80, "weight": 0}]}]}});
    let mut object = original.clone();
    write(target, &mut object, "01A", percent(10), WriteMode::Normal);
    write(target, &mut object, "01B", percent(0), WriteMode::Normal);
    assert_ne!(bytes(&object), bytes(&original));
    assert_eq!(restore(target, &mut object).kept, None);
    assert_eq!(bytes(&object), bytes(&original));
}
