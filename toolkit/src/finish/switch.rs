//! The switches of controllers: variables of a Deployment's containers and keys of a `ConfigMap`.

use crate::cluster::{Kind, annotation, meta};
use crate::marks;
use serde_json::{Map, Value, json};

/// Variables, and what they are when there is nothing but Istio.
const VARIABLES: [(&str, &str); 5] = [
    ("NETWORKING_MODE", "istio"),
    ("ISTIO_PERCENTAGE", "100"),
    ("USE_ISTIO_NETWORKING", "true"),
    ("USE_INGRESS_NETWORKING", "false"),
    ("ISTIO_ENABLED", "true"),
];

/// Keys, and the same.
const KEYS: [(&str, &str); 2] = [("networking_mode", "istio"), ("istio_percentage", "100")];

/// What has to be written to a controller's object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Switch {
    /// It has none of the switches.
    None,
    /// All are as they should be.
    Set,
    /// This strategic merge patch sets them, and writes down what was there.
    Patch(Value),
}

/// The containers of a Deployment.
fn containers(deployment: &Value) -> impl Iterator<Item = &Value> {
    let all = deployment
        .pointer("/spec/template/spec/containers")
        .and_then(Value::as_array);
    all.into_iter().flatten()
}

/// What sets the switches of an object.
pub fn on(kind: &Kind, object: &Value) -> Switch {
    if kind.kind == "ConfigMap" {
        return keys(object);
    }
    let (mut known, mut before, mut patches) = (0, Vec::new(), Vec::new());
    for container in containers(object) {
        let mut env = Vec::new();
        for entry in container
            .get("env")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let name = entry.get("name").and_then(Value::as_str).unwrap_or_default();
            let Some((_, wanted)) = VARIABLES.iter().find(|(variable, _)| *variable == name) else {
                continue;
            };
            known += 1;
            if entry.get("value").and_then(Value::as_str) == Some(*wanted) {
                continue;
            }
            before.push(json!({"container": container.get("name"), "entry": entry}));
            env.push(json!({"name": name, "value": wanted, "valueFrom": null}));
        }
        if !env.is_empty() {
            patches.push(json!({"name": container.get("name"), "env": env}));
        }
    }
    match (known, patches.is_empty()) {
        (0, _) => Switch::None,
        (_, true) => Switch::Set,
        (_, false) => Switch::Patch(remembering(
            object,
            &json!({"env": before}),
            json!({"spec": {"template": {"spec": {"containers": patches}}}}),
        )),
    }
}

fn keys(object: &Value) -> Switch {
    let (mut known, mut before, mut data) = (0, Map::new(), Map::new());
    for (key, wanted) in KEYS {
        let Some(said) = object.get("data").and_then(|data| data.get(key)) else {
            continue;
        };
        known += 1;
        if said.as_str() != Some(wanted) {
            before.insert(key.to_owned(), said.clone());
            data.insert(key.to_owned(), wanted.into());
        }
    }
    match (known, data.is_empty()) {
        (0, _) => Switch::None,
        (_, true) => Switch::Set,
        (_, false) => Switch::Patch(remembering(
            object,
            &json!({"data": before}),
            json!({"data": data}),
        )),
    }
}

/// A patch that also writes down what was there; refused if the object changed. What a run before wrote down stays, but for
/// what somebody set since, which is what stands there now.
fn remembering(object: &Value, before: &Value, mut patch: Value) -> Value {
    let said = match annotation(object, marks::BEFORE_FINISH) {
        None => before.to_string(),
        Some(text) => serde_json::from_str(text)
            .map_or_else(|_| text.to_owned(), |earlier| newer(earlier, before).to_string()),
    };
    if let Some(patch) = patch.as_object_mut() {
        patch.insert(
            "metadata".to_owned(),
            json!({
                "resourceVersion": meta(object, "resourceVersion"),
                "annotations": {marks::BEFORE_FINISH: said},
            }),
        );
    }
    patch
}

/// What was there before an earlier run, with what stood there before this one.
fn newer(mut earlier: Value, before: &Value) -> Value {
    let Some(all) = earlier.as_object_mut() else {
        return before.clone();
    };
    for (field, now) in before.as_object().into_iter().flatten() {
        let told = all.entry(field.clone()).or_insert_with(|| now.clone());
        match (told, now) {
            (Value::Object(told), Value::Object(now)) => {
                told.extend(now.iter().map(|(key, value)| (key.clone(), value.clone())));
            }
            (Value::Array(told), Value::Array(now)) => {
                let place =
                    |one: &Value| (one.get("container").cloned(), one.pointer("/entry/name").cloned());
                told.retain(|one| !now.iter().any(|other| place(other) == place(one)));
                told.extend(now.iter().cloned());
            }
            (told, now) => *told = now.clone(),
        }
    }
    earlier
}

/// A patch that puts back what was there before, and leaves written down what that was.
pub fn remembering_still(mut patch: Value) -> Value {
    if let Some(meta) = patch.pointer_mut("/metadata").and_then(Value::as_object_mut) {
        meta.remove("annotations");
    }
    patch
}

/// The patch that puts back what was there before; none where nothing was written.
pub fn back(object: &Value) -> Option<Result<Value, String>> {
    let text = annotation(object, marks::BEFORE_FINISH)?;
    let before: Value = match serde_json::from_str(text) {
        Ok(before) => before,
        Err(error) => {
            return Some(Err(format!(
                "annotation {} is unreadable: {error}",
                marks::BEFORE_FINISH
            )));
        }
    };
    let mut patch = json!({"metadata": {
        "resourceVersion": meta(object, "resourceVersion"),
        "annotations": {marks::BEFORE_FINISH: null},
    }});
    let map = patch.as_object_mut()?;
    if let Some(data) = before.get("data") {
        map.insert("data".to_owned(), data.clone());
    }
    if let Some(env) = before.get("env").and_then(Value::as_array) {
        let containers: Vec<Value> = env
            .iter()
            .map(|one| {
                let mut entry = one.get("entry").cloned().unwrap_or_default();
                if let Some(entry) = entry.as_object_mut() {
                    // A merge keeps what it is not told to take away.
                    entry.entry("value").or_insert(Value::Null);
                    entry.entry("valueFrom").or_insert(Value::Null);
                }
                json!({"name": one.get("container"), "env": [entry]})
            })
            .fold(Vec::new(), merged);
        let spec = json!({"template": {"spec": {"containers": containers}}});
        map.insert("spec".to_owned(), spec);
    }
    Some(Ok(patch))
}

/// Puts the variables of one container together.
fn merged(mut all: Vec<Value>, one: Value) -> Vec<Value> {
    let same = all.iter_mut().find(|other| other.get("name") == one.get("name"));
    match same
        .and_then(|other| other.get_mut("env"))
        .and_then(Value::as_array_mut)
    {
        Some(env) => env.extend(
            one.get("env")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .cloned(),
        ),
        None => all.push(one),
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{CONFIG_MAP, DEPLOYMENT};

    fn deployment(env: &Value) -> Value {
        json!({"metadata": {"name": "a", "resourceVersion": "7"}, "spec": {"template": {"spec": {"containers": [
            {"name": "proxy", "image": "p"}, {"name": "controller", "image": "c", "env": env}]}}}})
    }

    #[test]
    fn only_variables_that_a_container_has_are_set_and_what_they_were_is_written_down() {
        let object = deployment(
            &json!([{"name": "OTHER", "value": "1"}, {"name": "NETWORKING_MODE", "value": "dual"},
            {"name": "ISTIO_ENABLED", "value": "true"}, {"name": "ISTIO_PERCENTAGE", "valueFrom": {"x": 1}}]),
        );
        let Switch::Patch(patch) = on(&DEPLOYMENT, &object) else {
            panic!("nothing to set")
        };
        assert_eq!(
            patch["spec"]["template"]["spec"]["containers"],
            json!([{"name": "controller", "env": [
                {"name": "NETWORKING_MODE", "value": "istio", "valueFrom": null},
                {"name": "ISTIO_PERCENTAGE", "value": "100", "valueFrom": null}]}])
        );
        let mut switched = object.clone();
        switched["metadata"]["annotations"] = patch["metadata"]["annotations"].clone();
        let back = back(&switched).unwrap().unwrap();
        assert_eq!(
            back["spec"]["template"]["spec"]["containers"],
            json!([{"name": "controller", "env": [
                {"name": "NETWORKING_MODE", "value": "dual", "valueFrom": null},
                {"name": "ISTIO_PERCENTAGE", "value": null, "valueFrom": {"x": 1}}]}])
        );
    }

    #[test]
    fn what_people_set_between_two_runs_is_what_comes_back() {
        let object = |mode: &str, on: &str| {
            deployment(
                &json!([{"name": "NETWORKING_MODE", "value": mode}, {"name": "ISTIO_ENABLED", "value": on}]),
            )
        };
        let noted = |mut object: Value, kind: &Kind, of: &Value| {
            let Switch::Patch(patch) = on(kind, of) else {
                panic!("nothing to set")
            };
            object["metadata"]["annotations"] = patch["metadata"]["annotations"].clone();
            object
        };
        let first = noted(object("ingress", "true"), &DEPLOYMENT, &object("dual", "false"));
        let second = noted(object("istio", "true"), &DEPLOYMENT, &first);
        let back_to = back(&second).unwrap().unwrap();
        assert_eq!(
            back_to["spec"]["template"]["spec"]["containers"][0]["env"],
            json!([{"name": "ISTIO_ENABLED", "value": "false", "valueFrom": null},
                {"name": "NETWORKING_MODE", "value": "ingress", "valueFrom": null}])
        );
        let map = |mode: &str, share: &str| {
            json!({"metadata": {"name": "c", "resourceVersion": "7"},
            "data": {"networking_mode": mode, "istio_percentage": share}})
        };
        let first = noted(map("istio", "30"), &CONFIG_MAP, &map("dual", "50"));
        let second = noted(map("istio", "100"), &CONFIG_MAP, &first);
        let data = json!({"networking_mode": "dual", "istio_percentage": "30"});
        assert_eq!(back(&second).unwrap().unwrap()["data"], data);
    }

    #[test]
    fn nothing_to_set_is_told_from_nothing_to_know() {
        assert_eq!(
            on(
                &DEPLOYMENT,
                &deployment(&json!([{"name": "OTHER", "value": "1"}]))
            ),
            Switch::None
        );
        assert_eq!(
            on(
                &DEPLOYMENT,
                &deployment(&json!([{"name": "NETWORKING_MODE", "value": "istio"}]))
            ),
            Switch::Set
        );
        assert_eq!(on(&CONFIG_MAP, &json!({"data": {"a": "b"}})), Switch::None);
        assert_eq!(
            on(&CONFIG_MAP, &json!({"data": {"networking_mode": "istio"}})),
            Switch::Set
        );
        assert_eq!(back(&json!({"metadata": {}})), None);
        assert!(
            back(&json!({"metadata": {"annotations": {marks::BEFORE_FINISH: "{"}}}))
                .unwrap()
                .is_err()
        );
    }
}
