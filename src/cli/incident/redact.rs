//! What must not leave the cluster. By kind, and not by guessing alone: of a ConfigMap and of a Deployment's variables
//! only what this program sets is shown; everywhere else what is called like a secret is not.

use serde_json::Value;

/// What stands in a secret's place.
const GONE: &str = "[redacted]";
/// Names of values that this program sets or reads in controllers.
const OURS: [&str; 14] = [
    "networking_mode",
    "istio_percentage",
    "enable_istio_monitoring",
    "NETWORKING_MODE",
    "ISTIO_PERCENTAGE",
    "ENABLE_ISTIO_MONITORING",
    "EMERGENCY_ROLLBACK",
    "ROLLBACK_TIMESTAMP",
    "USE_ISTIO_NETWORKING",
    "USE_INGRESS_NETWORKING",
    "ISTIO_ENABLED",
    "ISTIO_GATEWAY",
    "ENABLE_ISTIO_WEBHOOKS",
    "VIRTUALSERVICE_MUTATING_ANNOTATIONS",
];
/// Parts of names that secrets have.
const SECRET: [&str; 10] = [
    "password",
    "passwd",
    "secret",
    "token",
    "credential",
    "authorization",
    "cookie",
    "apikey",
    "api-key",
    "private",
];

/// An object without secrets, and without what only says who wrote which field.
pub(super) fn object(mut json: Value) -> Value {
    if let Some(metadata) = json.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
        // A copy of the whole object, secrets included.
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
    }
    if json.get("kind").and_then(Value::as_str) == Some("ConfigMap") {
        for field in ["data", "binaryData"] {
            let values = json.get_mut(field).and_then(Value::as_object_mut);
            for (name, value) in values.into_iter().flatten() {
                if !OURS.contains(&name.as_str()) {
                    *value = GONE.into();
                }
            }
        }
    }
    walk(&mut json);
    json
}

fn walk(json: &mut Value) {
    match json {
        Value::Object(fields) => {
            let variable = fields.get("name").and_then(Value::as_str).map(str::to_owned);
            if let (Some(name), Some(Value::String(_))) = (&variable, fields.get("value"))
                && !OURS.contains(&name.as_str())
            {
                fields.insert("value".to_owned(), GONE.into());
            }
            for (name, value) in fields {
                if value.is_string() && is_secret(name) && !OURS.contains(&name.as_str()) {
                    *value = GONE.into();
                } else {
                    walk(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(walk),
        Value::String(text) => {
            if let Some(plain) = address(text) {
                *text = plain;
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    // References name where a secret is, and not what it is.
    let reference = name.ends_with("name") || name.ends_with("ref") || name.ends_with("file");
    !reference && SECRET.iter().any(|part| name.contains(part))
}

/// A URL without user, password and query, where it has one of them.
fn address(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    if !["http", "https"].contains(&scheme) || text.contains(char::is_whitespace) {
        return None;
    }
    let (path, query) = rest
        .split_once('?')
        .map_or((rest, false), |(path, _)| (path, true));
    let (host, user) = match path.split_once('@') {
        Some((before, host)) if !before.contains('/') => (host, true),
        _ => (path, false),
    };
    (query || user).then(|| {
        let tail = if query { format!("?{GONE}") } else { String::new() };
        format!("{scheme}://{host}{tail}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn no_secret_of_a_routed_object_gets_out_and_what_is_ours_is_shown() {
        let deployment = json!({
            "kind": "Deployment",
            "metadata": {"name": "d", "managedFields": [{}], "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": "hunter2", "rollout.sealos.io/w.d": "01A 5% Step"}},
            "spec": {"template": {"spec": {"containers": [{"name": "controller", "image": "i", "env": [
                {"name": "ISTIO_PERCENTAGE", "value": "5"}, {"name": "DB", "value": "hunter2"},
                {"name": "REF", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}]}}},
        });
        let shown = object(deployment);
        let text = shown.to_string();
        assert!(
            !text.contains("hunter2") && !text.contains("managedFields"),
            "{text}"
        );
        assert!(
            text.contains("01A 5% Step") && text.contains("secretKeyRef"),
            "{text}"
        );
        let env = &shown["spec"]["template"]["spec"]["containers"][0]["env"];
        assert_eq!(env[0]["value"], "5");
        let map = object(json!({"kind": "ConfigMap", "data": {"istio_percentage": "5", "dsn": "hunter2"}}));
        assert_eq!(map["data"], json!({"istio_percentage": "5", "dsn": GONE}));
        let rollout = object(
            json!({"spec": {"hook": {"url": "https://me:hunter2@lb/x?token=hunter2"},
            "probe": {"headers": {"Authorization": "Bearer hunter2", "Host": "shop"}}}}),
        );
        assert!(!rollout.to_string().contains("hunter2"), "{rollout}");
        assert_eq!(rollout["spec"]["probe"]["headers"]["Host"], "shop");
        assert_eq!(rollout["spec"]["hook"]["url"], "https://lb/x?[redacted]");
    }
}
