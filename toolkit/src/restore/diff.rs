//! The backup, what is there now, and who changed it since: three sides of every field that differs.

use crate::backup::sanitise::sanitised;
use crate::cluster::Kind;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

/// A field that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// Where, from the top.
    pub path: Vec<String>,
    /// What the backup says; none where it has nothing.
    pub backup: Option<Value>,
    /// What is there; none where nothing is.
    pub now: Option<Value>,
    /// Who wrote what is there, other than this program.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changed_by: Vec<Author>,
}

/// Who wrote a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Author {
    /// The field manager.
    pub manager: String,
    /// When, as the cluster says it.
    pub time: String,
}

impl Difference {
    /// The path as people write it.
    pub fn field(&self) -> String {
        let mut text = String::new();
        for part in &self.path {
            if part.contains(['.', '/']) {
                text.extend(["[", part, "]"]);
            } else {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(part);
            }
        }
        text
    }
}

/// Fields of living objects that the cluster or an autoscaler moves, and that are left to them.
fn alive(kind: &Kind, path: &[String]) -> bool {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match path.as_slice() {
        ["apiVersion" | "kind"] | ["metadata", "ownerReferences"] => true,
        ["spec", "clusterIP" | "clusterIPs"] => kind.kind == "Service",
        ["spec", "replicas"] | ["metadata", "annotations", "deployment.kubernetes.io/revision"] => {
            kind.kind == "Deployment"
        }
        _ => false,
    }
}

/// Every field in which an object that exists differs from what was kept of it. Lists are compared as a whole.
pub fn compare(kind: &Kind, kept: &Value, live: &Value, taken_at: Timestamp) -> Vec<Difference> {
    let mut found = Vec::new();
    let now = sanitised(live);
    walk(&mut Vec::new(), Some(kept), Some(&now), &mut |path, kept, now| {
        if !alive(kind, path) {
            found.push(Difference {
                path: path.to_vec(),
                backup: kept.cloned(),
                now: now.cloned(),
                changed_by: authors(live, path, now.is_some(), taken_at),
            });
        }
    });
    found
}

/// What of `kept` goes into an object that exists: everything but what is left to the cluster.
pub fn merged(kind: &Kind, kept: &Value, live: &Value) -> Value {
    let mut next = kept.as_object().cloned().unwrap_or_default();
    let take = |next: &mut Map<String, Value>, field: &str| {
        if let Some(value) = live.get(field) {
            next.insert(field.to_owned(), value.clone());
        }
    };
    for field in ["apiVersion", "kind", "status"] {
        take(&mut next, field);
    }
    let mut meta = live
        .get("metadata")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    meta.remove("managedFields");
    for field in ["labels", "annotations"] {
        match kept.pointer("/metadata").and_then(|kept| kept.get(field)) {
            Some(value) => meta.insert(field.to_owned(), value.clone()),
            None => meta.remove(field),
        };
    }
    next.insert("metadata".to_owned(), Value::Object(meta));
    let mut next = Value::Object(next);
    walk(
        &mut Vec::new(),
        Some(kept),
        Some(&sanitised(live)),
        &mut |path, _, now| {
            if alive(kind, path)
                && path
                    .first()
                    .is_some_and(|first| first == "spec" || path.len() == 3)
            {
                put(&mut next, path, now);
            }
        },
    );
    next
}

fn put(object: &mut Value, path: &[String], value: Option<&Value>) {
    let Some((last, above)) = path.split_last() else {
        return;
    };
    let mut at = object;
    for part in above {
        let Some(map) = at.as_object_mut() else { return };
        at = map
            .entry(part.clone())
            .or_insert_with(|| Value::Object(Map::new()));
    }
    let Some(map) = at.as_object_mut() else { return };
    match value {
        Some(value) => map.insert(last.clone(), value.clone()),
        None => map.remove(last),
    };
}

/// Is told a path and what is there on both sides.
type Tell<'a> = dyn FnMut(&[String], Option<&Value>, Option<&Value>) + 'a;

/// Tells every place in which two values differ. An empty map and an absent one are the same to the cluster.
fn walk(path: &mut Vec<String>, kept: Option<&Value>, now: Option<&Value>, tell: &mut Tell<'_>) {
    let empty = Map::new();
    let map = |value: Option<&'_ Value>| value.is_none_or(Value::is_object);
    if !(map(kept) && map(now)) || path.len() > 32 {
        if kept != now {
            tell(path, kept, now);
        }
        return;
    }
    let of = |value: Option<&'_ Value>| value.and_then(Value::as_object).cloned();
    let (kept, now) = (of(kept).unwrap_or_default(), of(now).unwrap_or(empty));
    let mut fields: Vec<&String> = kept.keys().chain(now.keys()).collect();
    fields.sort();
    fields.dedup();
    for field in fields {
        path.push(field.clone());
        walk(path, kept.get(field), now.get(field), tell);
        path.pop();
    }
}

/// Who, other than this program, wrote a field since the backup. Of a field that is gone nobody says who took it away:
/// then it is everybody who wrote to the object since.
fn authors(live: &Value, path: &[String], there: bool, taken_at: Timestamp) -> Vec<Author> {
    let entries = live.pointer("/metadata/managedFields").and_then(Value::as_array);
    let mut found = Vec::new();
    for entry in entries.into_iter().flatten() {
        let text = |field: &str| entry.get(field).and_then(Value::as_str).unwrap_or_default();
        let (manager, time) = (text("manager"), text("time"));
        if manager.starts_with("gradual-rollout") || text("subresource") == "status" {
            continue;
        }
        let since = time.parse::<Timestamp>().map_or(true, |time| time > taken_at);
        let has = entry.get("fieldsV1").is_some_and(|fields| owns(fields, path));
        if (there && has) || (!there && since) {
            found.push(Author {
                manager: manager.to_owned(),
                time: time.to_owned(),
            });
        }
    }
    found
}

/// Whether fields as the cluster writes them reach to a path, or to something in or around it.
fn owns(fields: &Value, path: &[String]) -> bool {
    let mut at = fields;
    for part in path {
        let Some(map) = at.as_object() else { return false };
        // Nothing below: it is owned as a whole.
        if map.keys().all(|key| key == ".") {
            return true;
        }
        match map.get(&format!("f:{part}")) {
            Some(below) => at = below,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{DEPLOYMENT, INGRESS, SERVICE};
    use serde_json::json;

    const TAKEN: &str = "2026-01-05T02:00:00Z";

    fn differences(kept: &Value, live: &Value) -> Vec<Difference> {
        compare(&INGRESS, kept, live, TAKEN.parse().unwrap())
    }

    fn live(manager: &str, time: &str) -> Value {
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "status": {},
            "metadata": {"name": "a", "namespace": "n", "uid": "u", "labels": {"x": "2", "y.z/w": "1"},
                "managedFields": [
                    {"manager": manager, "operation": "Update", "time": time,
                        "fieldsV1": {"f:metadata": {"f:labels": {".": {}, "f:x": {}}}}},
                    {"manager": "gradual-rollout", "operation": "Apply", "time": time,
                        "fieldsV1": {"f:metadata": {"f:labels": {"f:y.z/w": {}}}}},
                ]},
            "spec": {"rules": [{"host": "a"}]}})
    }

    fn kept() -> Value {
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {"name": "a", "namespace": "n", "labels": {"x": "1"}, "annotations": {}},
            "spec": {"rules": [{"host": "a"}]}})
    }

    #[test]
    fn a_field_is_told_with_who_wrote_it_and_ours_with_nobody() {
        let found = differences(&kept(), &live("kubectl-edit", "2026-01-05T03:00:00Z"));
        assert_eq!(found.len(), 2, "{found:#?}");
        assert_eq!(found[0].field(), "metadata.labels.x");
        assert_eq!(found[0].changed_by[0].manager, "kubectl-edit");
        assert_eq!(found[1].field(), "metadata.labels[y.z/w]");
        assert_eq!((&found[1].backup, &found[1].changed_by), (&None, &Vec::new()));
    }

    #[test]
    fn a_field_that_is_gone_was_taken_by_whoever_wrote_since() {
        let mut kept = kept();
        kept["metadata"]["labels"] = json!({"x": "2", "y.z/w": "1", "gone": "1"});
        let found = differences(&kept, &live("helm", "2026-01-05T03:00:00Z"));
        assert_eq!(
            (found.len(), found[0].changed_by[0].manager.as_str()),
            (1, "helm")
        );
        let found = differences(&kept, &live("helm", "2026-01-05T01:00:00Z"));
        assert_eq!(found[0].changed_by, []);
    }

    #[test]
    fn replicas_and_addresses_are_left_to_the_cluster_and_the_rest_is_put_back() {
        let kept =
            json!({"metadata": {"name": "a", "labels": {"l": "1"}}, "spec": {"replicas": 1, "paused": true}});
        let live = json!({"apiVersion": "apps/v1", "metadata": {"name": "a", "uid": "u", "resourceVersion": "7",
            "annotations": {"deployment.kubernetes.io/revision": "4", "mine": "1"}, "managedFields": [1]},
            "spec": {"replicas": 5}, "status": {"x": 1}});
        let taken = TAKEN.parse().unwrap();
        let fields: Vec<String> = compare(&DEPLOYMENT, &kept, &live, taken)
            .iter()
            .map(Difference::field)
            .collect();
        assert_eq!(
            fields,
            ["metadata.annotations.mine", "metadata.labels.l", "spec.paused"]
        );
        assert_eq!(
            merged(&DEPLOYMENT, &kept, &live),
            json!({"apiVersion": "apps/v1", "metadata": {"name": "a", "uid": "u", "resourceVersion": "7",
                "annotations": {"deployment.kubernetes.io/revision": "4"}, "labels": {"l": "1"}},
                "spec": {"replicas": 5, "paused": true}, "status": {"x": 1}})
        );
        let kept = json!({"spec": {"clusterIP": "10.0.0.1", "type": "LoadBalancer"}});
        let live = json!({"spec": {"clusterIP": "10.0.0.2", "type": "NodePort"}});
        assert_eq!(compare(&SERVICE, &kept, &live, taken).len(), 1);
        assert_eq!(merged(&SERVICE, &kept, &live)["spec"]["clusterIP"], "10.0.0.2");
    }
}
