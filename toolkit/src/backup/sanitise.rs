//! What of an object is kept: what people and programs asked for, not what the cluster made of it.

use crate::cluster::{Kind, annotation, meta};
use serde_json::{Map, Value};

/// Fields of `metadata` that are kept. Finalizers are not: whoever needs one adds it again, and one whose controller is
/// gone would keep the object for ever.
const KEPT: [&str; 5] = ["name", "namespace", "labels", "annotations", "ownerReferences"];

/// `ConfigMaps` that the cluster itself writes into every namespace.
const MADE: [&str; 2] = ["kube-root-ca.crt", "istio-ca-root-cert"];

/// An object without what only the cluster writes: no status, versions, ids and times.
pub fn sanitised(object: &Value) -> Value {
    let mut kept = Map::new();
    for (field, value) in object.as_object().into_iter().flatten() {
        match field.as_str() {
            "status" => {}
            "metadata" => {
                let meta = value.as_object().into_iter().flatten();
                let meta = meta.filter(|(name, _)| KEPT.contains(&name.as_str()));
                kept.insert(
                    field.clone(),
                    meta.map(|(name, value)| (name.clone(), value.clone())).collect(),
                );
            }
            _ => {
                kept.insert(field.clone(), value.clone());
            }
        }
    }
    Value::Object(kept)
}

/// What is kept of an object, with when it was created: of Ingresses nginx serves the oldest.
pub fn aged(object: &Value) -> Value {
    let mut kept = sanitised(object);
    let since = object
        .pointer("/metadata/creationTimestamp")
        .filter(|since| since.is_string());
    if let (Some(since), Some(meta)) = (since, kept.get_mut("metadata").and_then(Value::as_object_mut)) {
        meta.insert("creationTimestamp".to_owned(), since.clone());
    }
    kept
}

/// Takes out of what was kept when it was created: nobody can give that back. None where the backup does not say it.
pub fn take_age(kept: &mut Value) -> Option<String> {
    let meta = kept.get_mut("metadata").and_then(Value::as_object_mut)?;
    let since = meta.remove("creationTimestamp")?;
    since
        .as_str()
        .filter(|since| !since.is_empty())
        .map(ToOwned::to_owned)
}

/// Whether an object is worth keeping: not one that is being deleted, and not one that the cluster writes anew.
pub fn kept(kind: &Kind, object: &Value) -> bool {
    let made = kind.kind == "ConfigMap"
        && (MADE.contains(&meta(object, "name"))
            || annotation(object, "control-plane.alpha.kubernetes.io/leader").is_some());
    meta(object, "deletionTimestamp").is_empty() && !made
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{CONFIG_MAP, INGRESS};
    use serde_json::json;

    #[test]
    fn labels_annotations_owners_and_what_is_asked_stay_and_the_rest_goes() {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"}, "status": {"x": 1},
            "metadata": {"name": "a", "namespace": "n", "uid": "u", "resourceVersion": "1", "generation": 3,
                "creationTimestamp": "t", "managedFields": [], "finalizers": ["x/y"], "labels": {"l": "1"},
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
                "ownerReferences": [{"kind": "A", "name": "a", "uid": "u"}]}});
        assert_eq!(
            sanitised(&object),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"},
                "metadata": {"name": "a", "namespace": "n", "labels": {"l": "1"},
                    "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
                    "ownerReferences": [{"kind": "A", "name": "a", "uid": "u"}]}})
        );
    }

    #[test]
    fn what_is_being_deleted_and_what_the_cluster_writes_is_left_out() {
        let named = |name: &str| json!({"metadata": {"name": name}});
        assert!(kept(&CONFIG_MAP, &named("mine")));
        assert!(!kept(&CONFIG_MAP, &named("kube-root-ca.crt")));
        assert!(kept(&INGRESS, &named("kube-root-ca.crt")));
        let dying = json!({"metadata": {"name": "a", "deletionTimestamp": "2026-01-01T00:00:00Z"}});
        assert!(!kept(&CONFIG_MAP, &dying));
    }
}
