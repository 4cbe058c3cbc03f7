//! Objects against the schemas of Istio's own CRDs, where those are at hand.

use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Schemas by kind, of the versions that are written.
static SCHEMAS: OnceLock<BTreeMap<String, Value>> = OnceLock::new();

/// The files with the CRDs: in the directory named by `GRADUAL_ROLLOUT_CRDS`, or beside the repository.
fn file(name: &str) -> Option<PathBuf> {
    let named = std::env::var_os("GRADUAL_ROLLOUT_CRDS").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/crds");
    let file = named.clone().unwrap_or(beside).join(name);
    if file.is_file() {
        return Some(file);
    }
    assert!(
        named.is_none(),
        "GRADUAL_ROLLOUT_CRDS names a directory without {name}: {}",
        file.display()
    );
    // Past the harness, which shows nothing that a test says that passes.
    let mut terminal = std::io::stderr();
    writeln!(
        terminal,
        "skipped: no {name}; name its directory in GRADUAL_ROLLOUT_CRDS"
    )
    .unwrap();
    None
}

fn load() -> BTreeMap<String, Value> {
    let istio = [
        "virtualservices",
        "gateways",
        "destinationrules",
        "authorizationpolicies",
    ];
    let gateway_api = ["httproutes", "gateways", "referencegrants"];
    let mut all = of_file("istio.yaml", &istio);
    all.extend(of_file("gateway-api.yaml", &gateway_api));
    all
}

/// Schemas of a file, by version and kind.
fn of_file(name: &str, wanted: &[&str]) -> BTreeMap<String, Value> {
    let Some(file) = file(name) else {
        return BTreeMap::new();
    };
    let text = std::fs::read_to_string(file).unwrap();
    text.split("\n---")
        .filter(|document| {
            wanted
                .iter()
                .any(|name| document.contains(&format!("\n  name: {name}.")))
        })
        .flat_map(|document| {
            let crd: Value = serde_saphyr::from_str(document).unwrap();
            let text = |pointer: &str| crd.pointer(pointer).unwrap().as_str().unwrap().to_owned();
            let (group, kind) = (text("/spec/group"), text("/spec/names/kind"));
            let versions = crd["spec"]["versions"].as_array().unwrap().iter();
            let of = |version: &Value| {
                let name = version["name"].as_str().unwrap();
                let schema = version["schema"]["openAPIV3Schema"].clone();
                (format!("{group}/{name} {kind}"), schema)
            };
            versions.map(of).collect::<Vec<_>>()
        })
        .collect()
}

/// Demands that every object keeps the schema of its kind.
pub(crate) fn check(objects: &[Value]) {
    let schemas = SCHEMAS.get_or_init(load);
    for object in objects {
        let text = |name: &str| object[name].as_str().unwrap();
        let Some(schema) = schemas.get(&format!("{} {}", text("apiVersion"), text("kind"))) else {
            assert!(schemas.is_empty(), "no schema of {object}");
            continue;
        };
        let mut wrong = Vec::new();
        violations(&schema["properties"]["spec"], &object["spec"], "spec", &mut wrong);
        assert!(wrong.is_empty(), "{wrong:?} {object}");
    }
}

/// Types, members, bounds, words, and alternatives of members.
fn violations(schema: &Value, value: &Value, path: &str, out: &mut Vec<String>) {
    let fits = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        _ => true,
    };
    if !fits {
        out.push(format!("{path} is no {}", schema["type"]));
    }
    let words = schema["enum"].as_array();
    if words.is_some_and(|words| !words.contains(value)) {
        out.push(format!("{path} is none of {}", schema["enum"]));
    }
    let number = value.as_f64();
    if number
        .zip(schema["maximum"].as_f64())
        .is_some_and(|(n, most)| n > most)
        || number
            .zip(schema["minimum"].as_f64())
            .is_some_and(|(n, least)| n < least)
    {
        out.push(format!("{path} is out of bounds"));
    }
    let length = value
        .as_array()
        .map(Vec::len)
        .or_else(|| value.as_str().map(|text| text.chars().count()));
    for (most, least) in [("maxItems", "minItems"), ("maxLength", "minLength")] {
        let bound = |name: &str| schema[name].as_u64().and_then(|n| usize::try_from(n).ok());
        if length.zip(bound(most)).is_some_and(|(n, most)| n > most)
            || length.zip(bound(least)).is_some_and(|(n, least)| n < least)
        {
            out.push(format!("{path} is too long or too short"));
        }
    }
    if !members(schema, value) {
        out.push(format!("{path} has the wrong members together"));
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        violations(&schema["items"], item, &format!("{path}[{index}]"), out);
    }
    for (name, member) in value.as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        match (&schema["properties"][name], &schema["additionalProperties"]) {
            (Value::Null, Value::Null) if schema["properties"].is_object() => {
                out.push(format!("{path} is unknown"));
            }
            (Value::Null, additional) => violations(additional, member, &path, out),
            (property, _) => violations(property, member, &path, out),
        }
    }
}

/// Required members, and `oneOf`, `anyOf`, `allOf` and `not` of them.
fn members(schema: &Value, value: &Value) -> bool {
    let all = |name: &str| schema[name].as_array();
    let required = all("required").is_none_or(|names| {
        names
            .iter()
            .all(|name| value.get(name.as_str().unwrap()).is_some())
    });
    let count = |all: &Vec<Value>| all.iter().filter(|schema| members(schema, value)).count();
    required
        && all("oneOf").is_none_or(|all| count(all) == 1)
        && all("anyOf").is_none_or(|all| count(all) > 0)
        && all("allOf").is_none_or(|all| count(all) == all.len())
        && (schema["not"].is_null() || !members(&schema["not"], value))
}

#[test]
fn the_check_sees_mistakes() {
    let Some(schema) = SCHEMAS
        .get_or_init(load)
        .get("networking.istio.io/v1 VirtualService")
    else {
        return;
    };
    let wrong = |spec: Value| {
        let mut out = Vec::new();
        violations(&schema["properties"]["spec"], &spec, "spec", &mut out);
        out
    };
    let http = |route: Value| wrong(serde_json::json!({"hosts": ["a.com"], "http": [route]}));
    assert!(http(serde_json::json!({"match": [{"uri": {"exact": "/", "prefix": "/"}}]})).len() == 1);
    assert!(http(serde_json::json!({"timeout": 5})).len() == 1);
    assert!(http(serde_json::json!({"odd": 5})).len() == 1);
    assert!(
        http(serde_json::json!({"rewrite": {"uriRegexRewrite": {"match": "a", "rewrite": "b"}}})).is_empty()
    );
}
