//! The rest of the switch: pods that are restarted for their `ConfigMap`, and the variables around the mode.

use super::controller_switch::{SWITCH, deployment, read, with, write};
use super::*;

fn restart() -> String {
    SWITCH.replace("deployment:", "restart: true, deployment:")
}

#[test]
fn pods_are_restarted_exactly_when_the_weight_changes_and_their_environment_stays() {
    let env = json!([{"name": "NETWORKING_MODE", "value": "ingress"}]);
    let mut object = deployment(&env);
    let untouched = object["spec"]["template"]["spec"].clone();
    assert!(
        read(&restart(), 1, &object).unwrap().is_silent(),
        "before our first restart"
    );
    let template = |object: &Value| object["spec"]["template"].clone();
    let mut last = template(&object);
    for (percentage, restarts) in [(5, true), (5, false), (25, true), (0, true), (0, false)] {
        let patch = write(&restart(), 1, &object, percent(percentage)).unwrap();
        serve(&patch, &mut object).unwrap();
        assert_eq!(template(&object) != last, restarts, "{percentage}%");
        assert_eq!(
            read(&restart(), 1, &object).unwrap().agreed(),
            Some(percent(percentage))
        );
        last = template(&object);
    }
    assert_eq!(object["spec"]["template"]["spec"], untouched);
    assert_eq!(
        printed(&write(&restart(), 1, &object, percent(10)).unwrap())[0],
        "spec.template.metadata.annotations[rollout.sealos.io/restarted-for]: 0% → 10%"
    );
}

#[test]
fn a_restart_is_fenced_like_every_write_and_leaves_foreign_annotations_of_the_pods_alone() {
    let mut object = deployment(&json!([]));
    object["spec"]["template"]["metadata"] =
        json!({"annotations": {"kubectl.kubernetes.io/restartedAt": "2026-03-02T09:00:00Z"}});
    let first = write(&restart(), 1, &object, percent(5)).unwrap();
    assert_eq!(wire(&first)[0]["path"], "/metadata/resourceVersion");
    serve(&first, &mut object).unwrap();
    assert_eq!(
        object["spec"]["template"]["metadata"]["annotations"],
        json!({"kubectl.kubernetes.io/restartedAt": "2026-03-02T09:00:00Z",
            "rollout.sealos.io/restarted-for": "5%"})
    );
    let raise = write(&restart(), 1, &object, percent(25)).unwrap();
    let back = with(&restart(), 1, |t| {
        t.write(&object, &stamp("01Z", percent(0)), WriteMode::Normal)
    })
    .unwrap();
    serve(&back, &mut object).unwrap();
    assert_eq!(
        serve(&raise, &mut object),
        Err(422),
        "read before the rollback, it never lands after it"
    );
}

#[test]
fn the_originals_of_a_restarted_deployment_come_back() {
    let original = deployment(&json!([]));
    let mut object = original.clone();
    with(&restart(), 1, |target| {
        for (id, weight) in [("01A", 5), ("01B", 0)] {
            let patch = target
                .write(&object, &stamp(id, percent(weight)), WriteMode::Normal)
                .unwrap();
            serve(&target.journalled(&object, patch), &mut object).unwrap();
        }
        let back = target.restore(&object, &[]);
        assert_eq!(back.kept, None);
        serve(&back.patch.unwrap(), &mut object).unwrap();
    });
    assert_eq!(object["spec"], original["spec"]);
    assert_eq!(
        object["metadata"]["annotations"],
        original["metadata"]["annotations"]
    );
}

#[test]
fn the_gateway_and_the_webhooks_annotations_are_told_above_zero_and_not_touched_by_a_rollback() {
    let value = |object: &Value, name: &str| {
        let env = object["spec"]["template"]["spec"]["containers"][1]["env"]
            .as_array()
            .unwrap();
        env.iter().find(|v| v["name"] == name).map(|v| v["value"].clone())
    };
    let cases = [
        (
            "flags: switches, gateway: sealos-gateway.istio-system,",
            "ISTIO_GATEWAY",
            "sealos-gateway.istio-system",
            "ISTIO_ENABLED",
        ),
        (
            "flags: webhook, mutatingAnnotations: sealos.io/app-name=istio-migrated,",
            "VIRTUALSERVICE_MUTATING_ANNOTATIONS",
            "sealos.io/app-name=istio-migrated",
            "ENABLE_ISTIO_WEBHOOKS",
        ),
    ];
    for (given, name, wanted, switch) in cases {
        let routers = SWITCH.replace("deployment:", &format!("{given} deployment:"));
        let mut object = deployment(&json!([]));
        serve(&write(&routers, 1, &object, percent(0)).unwrap(), &mut object).unwrap();
        assert_eq!(value(&object, name), None, "nobody's business at 0%");
        assert_eq!(value(&object, switch), Some(json!("false")));
        for weight in [5, 100, 0] {
            serve(
                &write(&routers, 1, &object, percent(weight)).unwrap(),
                &mut object,
            )
            .unwrap();
            assert_eq!(value(&object, name), Some(json!(wanted)), "{weight}%");
            assert_eq!(value(&object, switch), Some(json!((weight > 0).to_string())));
            assert_eq!(
                read(&routers, 1, &object).unwrap().agreed(),
                Some(percent(weight))
            );
        }
    }
}

#[test]
fn what_does_not_go_together_is_said_with_its_field() {
    let mistake = |text: &str| {
        let component = component(&format!("- controllerSwitch: {text}\n"));
        let crate::rollout::spec::Router::ControllerSwitch(switch) = &component.routers[0] else {
            unreachable!()
        };
        switch.mistake().map(|(field, _)| field)
    };
    for (text, field) in [
        ("{}", Some("controllerSwitch")),
        ("{restart: true, configMap: a}", Some("controllerSwitch.restart")),
        (
            "{restart: true, configMap: a, deployment: b, flags: mode}",
            Some("controllerSwitch.flags"),
        ),
        ("{deployment: b, gateway: g}", Some("controllerSwitch.gateway")),
        (
            "{deployment: b, flags: mode, mutatingAnnotations: a}",
            Some("controllerSwitch.mutatingAnnotations"),
        ),
        ("{restart: true, configMap: a, deployment: b}", None),
        ("{deployment: b, flags: webhook, mutatingAnnotations: a}", None),
    ] {
        assert_eq!(mistake(text), field, "{text}");
    }
}
