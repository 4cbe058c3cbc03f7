//! What must not leave the cluster. By kind, and not by guessing alone: of a ConfigMap and of a Deployment's variables
//! only what this program sets is shown; everywhere else what is called like a secret is not.

mod text;

use serde_json::Value;
pub(super) use text::without_secrets;

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
/// Parts of names that secrets have, without what separates words.
const SECRET: [&str; 15] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "credential",
    "authorization",
    "cookie",
    "apikey",
    "accesskey",
    "signingkey",
    "jwt",
    "bearer",
    "private",
];
/// So many texts within texts are read. What is deeper is not shown.
const DEEPEST: usize = 8;

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
    walk(&mut json, 0);
    json
}

fn walk(json: &mut Value, depth: usize) {
    match json {
        Value::Object(fields) => {
            let variable = fields.get("name").and_then(Value::as_str).map(str::to_owned);
            if let (Some(name), Some(value)) = (&variable, fields.get_mut("value"))
                && !OURS.contains(&name.as_str())
            {
                if value.is_string() {
                    *value = GONE.into();
                } else if is_secret(name) {
                    blank(value);
                }
            }
            for (name, value) in fields {
                if is_secret(name) && !OURS.contains(&name.as_str()) {
                    blank(value);
                } else {
                    walk(value, depth);
                }
            }
        }
        Value::Array(items) => {
            // `--password` and what it is stand one after the other.
            let mut flag = false;
            for item in items {
                let is_flag = item.as_str().is_some_and(text::is_flag);
                if flag && !is_flag {
                    blank(item);
                } else {
                    walk(item, depth);
                }
                flag = is_flag;
            }
        }
        Value::String(text) => *text = within(text, depth),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A text without secrets, also where it is JSON itself.
fn within(said: &str, depth: usize) -> String {
    let begins = said.trim_start().starts_with(['{', '[', '"']);
    let Some(mut inner) = begins.then(|| serde_json::from_str::<Value>(said).ok()).flatten() else {
        return without_secrets(said);
    };
    if depth >= DEEPEST {
        return GONE.to_owned();
    }
    let before = inner.clone();
    walk(&mut inner, depth + 1);
    // Written as it was where nothing of it goes.
    if inner == before {
        said.to_owned()
    } else {
        inner.to_string()
    }
}

/// Takes every value out, of whatever form; what is in it and how many stays to be seen.
fn blank(value: &mut Value) {
    match value {
        Value::String(_) | Value::Number(_) => *value = GONE.into(),
        Value::Array(items) => items.iter_mut().for_each(blank),
        Value::Object(fields) => fields.values_mut().for_each(blank),
        Value::Null | Value::Bool(_) => {}
    }
}

fn is_secret(name: &str) -> bool {
    let separates = |c: &char| !matches!(c, '-' | '_' | '.' | ' ');
    let name: String = name
        .chars()
        .filter(separates)
        .collect::<String>()
        .to_ascii_lowercase();
    // References name where a secret is, and not what it is.
    let reference = name.ends_with("name") || name.ends_with("ref") || name.ends_with("file");
    !reference && SECRET.iter().any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
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

    #[test]
    fn a_secret_goes_whatever_form_it_has_and_what_is_none_stays() {
        for leaks in [
            json!({"match": [{"headers": {"x-api-key": {"exact": "LEAK"}}}]}),
            json!({"metadata": {"annotations": {"db-url": "postgres://u:LEAK@db/x?sslpassword=LEAK"}}}),
            json!({"metadata": {"annotations": {"see": "ask https://u:LEAK@host/x, or http://h/y?key=LEAK for it"}}}),
            json!({"metadata": {"annotations": {"json": r#"{"password":"LEAK"}"#}}}),
            json!({"metadata": {"annotations": {"gate": r#"{"client_secret":"LEAK"}"#}}}),
            json!({"metadata": {"annotations": {"run": "DB_PASSWORD=LEAK"}}}),
            json!({"args": ["--password=LEAK", "--token", "LEAK", "-v"]}),
            json!({"args": ["postgres://a:LEAK@h/d"]}),
            json!({"command": ["sh", "-c", "export TOKEN=LEAK"]}),
            json!({"headers": [{"name": "Authorization", "value": {"exact": "LEAK"}}]}),
            json!({"credentials": {"user": "LEAK", "pin": 1234, "more": ["LEAK"]}}),
        ] {
            let shown = object(leaks.clone()).to_string();
            assert!(
                !shown.contains("LEAK") && !shown.contains("1234"),
                "{leaks}\n{shown}"
            );
        }
        let kept = json!({"args": ["--level=info", "-v", "http://shop:8080/x"], "secretName": "s",
            "annotations": {"a": "{\"b\": [1]}", "rollout.sealos.io/w.d": "01A 5% Step"}});
        assert_eq!(object(kept.clone()), kept);
    }

    /// A secret in one of the forms in which it may stand in a text.
    fn in_words() -> impl Strategy<Value = String> {
        let name = prop::sample::select(vec![
            "password",
            "DB_PASSWORD",
            "x-api-key",
            "api_key",
            "clientSecret",
            "auth-token",
        ]);
        let form = 0..10_usize;
        (name, form, "[a-z ]{0,12}", "[a-z ]{0,12}").prop_map(|(name, form, before, after)| {
            let secret = match form {
                0 => format!("{name}=LEAK"),
                1 => format!("--{name}=LEAK"),
                2 => format!("--{name} LEAK"),
                3 => format!("{name}: LEAK"),
                4 => format!("{name}=\"a LEAK\""),
                5 => format!("{{\"{name}\": \"LEAK\"}}"),
                6 => format!("{{\\\"{name}\\\":\\\"LEAK\\\"}}"),
                7 => "postgres://u:LE/AK@db:5432/x".replace("LE/AK", "LEAK/LEAK"),
                8 => "https://h/x?q=LEAK#LEAK".to_owned(),
                _ => "u:LEAK@tcp(db:3306)/x".to_owned(),
            };
            format!("{before} {secret} {after}")
        })
    }

    /// Values of any form with such a text somewhere in them, or anything under a name that secrets have.
    fn nests() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            in_words().prop_map(Value::from),
            Just(json!({"x-api-key": "LEAK"})),
            Just(json!({"name": "TOKEN", "value": "LEAK"})),
            any::<bool>().prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 24, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 1..3).prop_map(Value::from),
                inner.clone().prop_map(|v| json!({"spec": v, "kept": "KEPT"})),
                inner
                    .clone()
                    .prop_map(|v| json!({"cookie": {"LEAKS": v, "exact": ["LEAK", {"b": "LEAK"}]}})),
                inner.prop_map(|v| Value::from(v.to_string())),
            ]
        })
    }

    fn values(json: &Value) -> Vec<String> {
        match json {
            Value::Object(fields) => fields.values().flat_map(values).collect(),
            Value::Array(items) => items.iter().flat_map(values).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => vec![json.to_string()],
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_nest_of_values_and_texts_lets_a_secret_out(nest in nests()) {
            let shown = object(json!({"spec": nest, "kept": "KEPT"}));
            for value in values(&shown) {
                let own = value.replace("LEAKS", "");
                prop_assert!(!own.contains("LEAK"), "{value}");
            }
            prop_assert_eq!(&shown["kept"], "KEPT");
        }

        #[test]
        fn no_line_of_a_log_lets_a_secret_out(line in in_words()) {
            let shown = without_secrets(&line);
            prop_assert!(!shown.contains("LEAK"), "{shown}");
        }
    }
}
