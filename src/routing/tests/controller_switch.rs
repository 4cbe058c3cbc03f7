//! The controller switch, in a ConfigMap and in a Deployment.

use super::*;
use proptest::prelude::*;

pub(super) const SWITCH: &str =
    "- controllerSwitch: {deployment: terminal-controller, configMap: terminal-controller-config}\n";

pub(super) fn config_map(data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data,
        "metadata": {"name": "terminal-controller-config", "namespace": "sealos-system", "resourceVersion": "7"}})
}

pub(super) fn deployment(env: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "terminal-controller", "namespace": "sealos-system", "uid": "u-1", "resourceVersion": "9",
            "generation": 3, "annotations": {"deployment.kubernetes.io/revision": "3"}},
        "spec": {"replicas": 2, "template": {"spec": {"containers": [
            {"name": "sidecar", "image": "proxy:1", "env": [{"name": "ISTIO_PERCENTAGE", "value": "99"}]},
            {"name": "controller", "image": "terminal:5", "env": env}
        ]}}},
        "status": {"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}
    })
}

pub(super) fn with<T>(routers: &str, index: usize, use_it: impl FnOnce(&Target<'_>) -> T) -> T {
    let component = component(routers);
    let targets = targets(&component, "sealos-system");
    use_it(&targets[index])
}

pub(super) fn read(routers: &str, index: usize, json: &Value) -> Result<Seen, RoutingError> {
    with(routers, index, |target| target.read(json))
}

pub(super) fn write(
    routers: &str,
    index: usize,
    json: &Value,
    weight: Weight,
) -> Result<ObjectPatch, RoutingError> {
    with(routers, index, |target| {
        target.write(json, &stamp("01J8", weight), WriteMode::Normal)
    })
}

fn env_of(object: &Value) -> Vec<(String, String)> {
    object["spec"]["template"]["spec"]["containers"][1]["env"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| {
            (
                v["name"].as_str().unwrap().to_owned(),
                v["value"].as_str().unwrap_or_default().to_owned(),
            )
        })
        .collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

#[test]
fn a_config_map_takes_mode_percentage_and_monitoring() {
    let mut object =
        config_map(&json!({"istio_percentage": "5", "networking_mode": "dual", "log_level": "info"}));
    let patch = write(SWITCH, 0, &object, percent(10)).unwrap();
    assert_eq!(wire(&patch)[0]["path"], "/metadata/resourceVersion");
    serve(&patch, &mut object).unwrap();
    assert_eq!(
        object["data"],
        json!({"istio_percentage": "10", "networking_mode": "dual", "enable_istio_monitoring": "true", "log_level": "info"})
    );
    assert_eq!(read(SWITCH, 0, &object).unwrap().agreed(), Some(percent(10)));
    assert_eq!(
        printed(&patch),
        [
            "data.istio_percentage: 5 → 10",
            "data.enable_istio_monitoring: (absent) → true",
            "metadata.annotations[rollout.sealos.io/w.shop]: (absent) → 01J8 10% Raised",
        ]
    );
}

#[test]
fn an_empty_config_map_is_ingress_and_can_be_filled() {
    let mut object = config_map(&Value::Null);
    object.as_object_mut().unwrap().remove("data");
    let seen = read(SWITCH, 0, &object).unwrap();
    assert_eq!(
        (seen.agreed(), seen.share),
        (Some(Weight::ZERO), Share::NewObjects)
    );
    serve(&write(SWITCH, 0, &object, percent(1)).unwrap(), &mut object).unwrap();
    assert_eq!(read(SWITCH, 0, &object).unwrap().agreed(), Some(percent(1)));
    object["immutable"] = true.into();
    assert_eq!(
        write(SWITCH, 0, &object, percent(2)).unwrap_err().category(),
        "Immutable"
    );
}

#[test]
fn the_mode_follows_the_weight_and_stays_dual_at_full_unless_asked() {
    let full = "- controllerSwitch: {configMap: terminal-controller-config, atFull: istio}\n";
    for (routers, weight, mode) in [
        (SWITCH, 0, "ingress"),
        (SWITCH, 1, "dual"),
        (SWITCH, 100, "dual"),
        (full, 99, "dual"),
        (full, 100, "istio"),
        (full, 0, "ingress"),
    ] {
        let mut object = config_map(&json!({}));
        serve(&write(routers, 0, &object, percent(weight)).unwrap(), &mut object).unwrap();
        assert_eq!(object["data"]["networking_mode"], mode, "{weight}");
        assert_eq!(read(routers, 0, &object).unwrap().agreed(), Some(percent(weight)));
    }
}

#[test]
fn a_mode_that_contradicts_the_percentage_splits_them() {
    let seen = |mode: &str, share: &str| {
        read(
            SWITCH,
            0,
            &config_map(&json!({"networking_mode": mode, "istio_percentage": share})),
        )
        .unwrap()
    };
    let ends = |seen: &Seen| (seen.lowest, seen.weight);
    assert_eq!(ends(&seen("ingress", "25")), (Weight::ZERO, percent(25)));
    assert_eq!(ends(&seen("istio", "25")), (percent(25), Weight::FULL));
    assert_eq!(ends(&seen("istio", "")), (Weight::ZERO, Weight::FULL));
    assert_eq!(seen("dual", "0").agreed(), Some(Weight::ZERO));
    assert_eq!(seen("istio", "100").agreed(), Some(Weight::FULL));
}

#[test]
fn what_cannot_be_read_is_an_error_but_never_keeps_a_rollback_waiting() {
    for data in [
        json!({"istio_percentage": "5%"}),
        json!({"istio_percentage": "101"}),
        json!({"istio_percentage": "+5"}),
        json!({"istio_percentage": "5.5"}),
        json!({"networking_mode": "Istio"}),
    ] {
        let mut object = config_map(&data);
        assert_eq!(
            read(SWITCH, 0, &object).unwrap_err().category(),
            "BadValue",
            "{data}"
        );
        serve(&write(SWITCH, 0, &object, Weight::ZERO).unwrap(), &mut object).unwrap();
        assert_eq!(read(SWITCH, 0, &object).unwrap().agreed(), Some(Weight::ZERO));
    }
}

#[test]
fn half_a_percent_is_refused_with_the_finest() {
    for (index, object) in [(0, config_map(&json!({}))), (1, deployment(&json!([])))] {
        let error = write(SWITCH, index, &object, permille(125)).unwrap_err();
        assert!(
            error.to_string().contains("12.5%") && error.to_string().contains("1% and its multiples"),
            "{error}"
        );
        with(SWITCH, index, |target| {
            assert_eq!(target.finest(&object).unwrap(), percent(1));
            assert_eq!(target.check(&[percent(5), permille(125)]).len(), 1);
        });
    }
}

#[test]
fn a_deployment_takes_variables_in_its_container_alone() {
    let mut object = deployment(&json!([
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "ISTIO_PERCENTAGE", "value": "5"},
    ]));
    let original = object.clone();
    let patch = write(SWITCH, 1, &object, percent(10)).unwrap();
    serve(&patch, &mut object).unwrap();
    assert_eq!(
        env_of(&object),
        pairs(&[
            ("POD", ""),
            ("ISTIO_PERCENTAGE", "10"),
            ("NETWORKING_MODE", "dual"),
            ("ENABLE_ISTIO_MONITORING", "true"),
        ])
    );
    let containers = "/spec/template/spec/containers";
    assert_eq!(
        object.pointer(&format!("{containers}/0")),
        original.pointer(&format!("{containers}/0"))
    );
    assert_eq!(
        object.pointer(&format!("{containers}/1/image")).unwrap(),
        "terminal:5"
    );
    assert_eq!(
        object["spec"]["template"]["metadata"],
        Value::Null,
        "the stamp must not restart pods"
    );
    assert_eq!(read(SWITCH, 1, &object).unwrap().agreed(), Some(percent(10)));
}

#[test]
fn a_container_without_environment_is_given_one() {
    let mut object = deployment(&Value::Null);
    object["spec"]["template"]["spec"]["containers"][1]
        .as_object_mut()
        .unwrap()
        .remove("env");
    serve(&write(SWITCH, 1, &object, percent(5)).unwrap(), &mut object).unwrap();
    assert_eq!(read(SWITCH, 1, &object).unwrap().agreed(), Some(percent(5)));
}

#[test]
fn a_value_from_elsewhere_is_never_overwritten() {
    let object = deployment(&json!([
        {"name": "ISTIO_PERCENTAGE", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "istio_percentage"}}}
    ]));
    for error in [
        read(SWITCH, 1, &object).unwrap_err(),
        write(SWITCH, 1, &object, Weight::ZERO).unwrap_err(),
    ] {
        assert_eq!(error.category(), "ValueFrom");
        assert!(
            error
                .to_string()
                .contains("ISTIO_PERCENTAGE of container \"controller\""),
            "{error}"
        );
    }
    let twice = deployment(&json!([
        {"name": "ISTIO_PERCENTAGE", "value": "1"}, {"name": "ISTIO_PERCENTAGE", "value": "2"}]));
    assert_eq!(read(SWITCH, 1, &twice).unwrap_err().category(), "Ambiguous");
    let other = SWITCH.replace("deployment:", "container: manager, deployment:");
    let error = read(&other, 1, &deployment(&json!([]))).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("no container \"manager\", only sidecar, controller"),
        "{error}"
    );
}

#[test]
fn an_emergency_is_told_to_the_controller_and_the_next_raise_takes_it_back() {
    let at = "2026-11-21T07:00:00Z".parse().unwrap();
    let mut object = deployment(&json!([{"name": "ISTIO_PERCENTAGE", "value": "25"}]));
    let emergency = |object: &Value| {
        with(SWITCH, 1, |t| {
            t.write(object, &stamp("01E", Weight::ZERO), WriteMode::Emergency { at })
        })
        .unwrap()
    };
    serve(&emergency(&object), &mut object).unwrap();
    let said = env_of(&object);
    for expected in pairs(&[
        ("ISTIO_PERCENTAGE", "0"),
        ("NETWORKING_MODE", "ingress"),
        ("EMERGENCY_ROLLBACK", "true"),
        ("ROLLBACK_TIMESTAMP", "2026-11-21T07:00:00Z"),
    ]) {
        assert!(said.contains(&expected), "{expected:?} in {said:?}");
    }
    let before = object["spec"].clone();
    serve(&emergency(&object), &mut object).unwrap();
    assert_eq!(
        object["spec"], before,
        "a retry with the same time restarts no pod"
    );
    let later = WriteMode::Emergency {
        at: "2026-11-21T07:05:00Z".parse().unwrap(),
    };
    let again = with(SWITCH, 1, |t| {
        t.write(&object, &stamp("01F", Weight::ZERO), later)
    })
    .unwrap();
    serve(&again, &mut object).unwrap();
    assert_eq!(
        object["spec"], before,
        "nor does another emergency while the first stands"
    );
    serve(&write(SWITCH, 1, &object, Weight::ZERO).unwrap(), &mut object).unwrap();
    assert!(env_of(&object).contains(&pairs(&[("EMERGENCY_ROLLBACK", "true")])[0]));
    serve(&write(SWITCH, 1, &object, percent(5)).unwrap(), &mut object).unwrap();
    assert!(env_of(&object).contains(&pairs(&[("EMERGENCY_ROLLBACK", "false")])[0]));
}

#[test]
fn emergency_flags_from_elsewhere_do_not_stop_the_rollback() {
    let at = "2026-11-21T07:00:00Z".parse().unwrap();
    let mut object = deployment(&json!([
        {"name": "EMERGENCY_ROLLBACK", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "e"}}},
        {"name": "ISTIO_PERCENTAGE", "value": "25"}]));
    let patch = with(SWITCH, 1, |t| {
        t.write(&object, &stamp("01E", Weight::ZERO), WriteMode::Emergency { at })
    })
    .unwrap();
    serve(&patch, &mut object).unwrap();
    assert!(env_of(&object).contains(&pairs(&[("ISTIO_PERCENTAGE", "0")])[0]));
}

#[test]
fn switches_say_what_the_mode_says() {
    let switches = SWITCH.replace("deployment:", "flags: switches, deployment:");
    for (weight, istio, ingress) in [(0, "false", "true"), (5, "true", "true"), (100, "true", "true")] {
        let mut object = deployment(&json!([]));
        serve(
            &write(&switches, 1, &object, percent(weight)).unwrap(),
            &mut object,
        )
        .unwrap();
        assert_eq!(
            env_of(&object),
            pairs(&[
                ("USE_ISTIO_NETWORKING", istio),
                ("USE_INGRESS_NETWORKING", ingress),
                ("ISTIO_ENABLED", istio),
                ("ISTIO_PERCENTAGE", &weight.to_string()),
            ])
        );
        assert_eq!(
            read(&switches, 1, &object).unwrap().agreed(),
            Some(percent(weight))
        );
    }
    let off = deployment(&json!([
        {"name": "USE_ISTIO_NETWORKING", "value": "false"}, {"name": "USE_INGRESS_NETWORKING", "value": "False"}]));
    assert_eq!(read(&switches, 1, &off).unwrap_err().category(), "BadValue");
}

#[test]
fn a_deployment_is_settled_when_every_pod_runs_what_is_written() {
    let waits = |change: fn(&mut Value)| {
        let mut object = deployment(&json!([]));
        change(&mut object);
        let seen = read(SWITCH, 1, &object).unwrap();
        assert_eq!(seen.settled, seen.waiting_for.is_none());
        seen.waiting_for
    };
    assert_eq!(waits(|_| ()), None);
    assert_eq!(
        waits(|d| d["metadata"]["generation"] = 4.into()).unwrap(),
        "its controller has not seen the change yet"
    );
    assert_eq!(
        waits(|d| d["status"]["updatedReplicas"] = 1.into()).unwrap(),
        "1 of 2 pods are updated"
    );
    assert_eq!(
        waits(|d| d["status"]["replicas"] = 3.into()).unwrap(),
        "1 old pods have not ended"
    );
    assert_eq!(
        waits(|d| d["status"]["availableReplicas"] = Value::Null).unwrap(),
        "0 of 2 pods are available"
    );
    let idle = |d: &mut Value| {
        d["spec"]["replicas"] = 0.into();
        d["status"] = json!({"observedGeneration": 3});
    };
    assert_eq!(
        waits(idle),
        None,
        "scaled to nothing there is nothing to wait for"
    );
}

proptest! {
    #[test]
    fn what_is_written_reads_back_and_no_other_variable_changes(
        weight in 0..=100u16,
        switches: bool,
        full: bool,
        old in prop::option::of(0..=100u16),
        others in prop::collection::vec(("[A-F]{1,3}", "[ -~]{0,8}"), 0..4),
        stamped: bool,
    ) {
        let routers = SWITCH.replace("deployment:", &format!(
            "flags: {}, atFull: {}, deployment:",
            if switches { "switches" } else { "mode" },
            if full { "istio" } else { "dual" }
        ));
        let mut env: Vec<Value> = others.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        env.extend(old.map(|old| json!({"name": "ISTIO_PERCENTAGE", "value": old.to_string()})));
        let mut object = deployment(&json!(env));
        if stamped {
            object["metadata"]["annotations"]["rollout.sealos.io/w.shop"] = "01OLD 3% Raised".into();
        }
        let others_of = |object: &Value| {
            let mut rest = object.clone();
            rest["metadata"]["resourceVersion"] = Value::Null;
            rest["metadata"]["annotations"]["rollout.sealos.io/w.shop"] = Value::Null;
            let env = rest["spec"]["template"]["spec"]["containers"][1]["env"].as_array_mut().unwrap();
            env.retain(|v| v["name"].as_str().unwrap().len() <= 3);
            rest
        };
        let before = others_of(&object);
        let patch = write(&routers, 1, &object, percent(weight)).unwrap();
        serve(&patch, &mut object).unwrap();
        let seen = read(&routers, 1, &object).unwrap();
        prop_assert_eq!(seen.agreed(), Some(percent(weight)));
        prop_assert_eq!(seen.stamp, Some(stamp("01J8", percent(weight))));
        prop_assert_eq!(others_of(&object), before);
    }
}

/// What a lowering leaves of a Deployment, and what it cannot write.
fn lowered(json: &Value) -> (Value, Vec<String>) {
    with(SWITCH, 1, |target| {
        let mut object = json.clone();
        let undone = target.left(json).undone;
        let down = stamp("01J9", Weight::ZERO);
        let Write::Patch(patch) = target
            .lower(Some(json), &down, Weight::ZERO, WriteMode::Normal)
            .unwrap()
        else {
            unreachable!()
        };
        serve(&patch, &mut object).unwrap();
        (object, undone)
    })
}

#[test]
fn a_variable_from_elsewhere_or_twice_keeps_no_lowering_of_the_others_up() {
    let elsewhere =
        json!({"name": "NETWORKING_MODE", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}});
    let json = deployment(&json!([elsewhere, {"name": "ISTIO_PERCENTAGE", "value": "40"},
        {"name": "ISTIO_PERCENTAGE", "value": "60"}]));
    assert!(
        write(SWITCH, 1, &json, Weight::ZERO).is_err(),
        "a raise demands that all is well"
    );
    let (object, undone) = lowered(&json);
    let env = &object["spec"]["template"]["spec"]["containers"][1]["env"];
    assert_eq!(env[0], elsewhere);
    assert_eq!((&env[1]["value"], &env[2]["value"]), (&json!("0"), &json!("0")));
    assert_eq!(undone.len(), 1, "{undone:?}");
    assert!(
        undone[0].contains("NETWORKING_MODE of container \"controller\""),
        "{undone:?}"
    );
}

#[test]
fn a_container_that_was_renamed_is_lowered_where_it_alone_has_the_variables() {
    let mut json = deployment(&json!([{"name": "ISTIO_PERCENTAGE", "value": "40"}]));
    json["spec"]["template"]["spec"]["containers"][1]["name"] = json!("manager");
    let refused = with(SWITCH, 1, |target| {
        target.lower(
            Some(&json),
            &stamp("01J9", Weight::ZERO),
            Weight::ZERO,
            WriteMode::Normal,
        )
    });
    assert_eq!(
        refused.unwrap_err().category(),
        "NoSuchContainer",
        "a sidecar has them too"
    );
    json["spec"]["template"]["spec"]["containers"][0]["env"] = json!([]);
    let (object, undone) = lowered(&json);
    let env = &object["spec"]["template"]["spec"]["containers"][1]["env"];
    assert_eq!(env[0], json!({"name": "ISTIO_PERCENTAGE", "value": "0"}));
    assert!(undone.is_empty(), "{undone:?}");
}
