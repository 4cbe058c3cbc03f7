//! Written `VirtualServices` and Gateway API routes against the schemas of their own CRDs, where those are at hand.

use super::*;
use crate::rollout::observation::Wanted;
use crate::rollout::preview::Preview;
use gradual_rollout_apiserver::Store;
use gradual_rollout_apiserver::clock::Clock;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// A file of the directory with `istio.yaml` and `gateway-api.yaml`, the projects' own CRDs: named by
/// `GRADUAL_ROLLOUT_CRDS`, or beside the repository.
fn crds(name: &str) -> Option<PathBuf> {
    let named = std::env::var_os("GRADUAL_ROLLOUT_CRDS").map(PathBuf::from);
    let file = named
        .clone()
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/crds"))
        .join(name);
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

fn definition(file: &Path, name: &str) -> Value {
    let text = std::fs::read_to_string(file).unwrap();
    let document = text
        .split("\n---")
        .find(|document| document.contains(&format!("\n  name: {name}\n")))
        .unwrap();
    serde_saphyr::from_str(document).unwrap()
}

/// Each served version of a definition, with its schema.
fn schemas(file: &Path, name: &str) -> Vec<(String, Value)> {
    let crd = definition(file, name);
    let versions = crd["spec"]["versions"].as_array().unwrap();
    versions
        .iter()
        .filter(|version| version["served"] == true)
        .map(|version| {
            let name = version["name"].as_str().unwrap().to_owned();
            (name, version["schema"]["openAPIV3Schema"].clone())
        })
        .collect()
}

/// A server that has the definition, with its namespace: what a real one would refuse for the schema, `oneOf`, patterns and
/// rules in CEL included, it refuses.
fn server(file: &Path, name: &str) -> Store {
    let store = Store::new(Clock::simulated("2026-03-02T02:00:00Z".parse().unwrap()));
    store.namespace("apps");
    store.register_crd(&definition(file, name)).unwrap();
    store
}

fn admitted(store: &Store, object: &Value) -> Result<(), String> {
    let mut object = object.clone();
    object["metadata"]
        .as_object_mut()
        .unwrap()
        .remove("resourceVersion");
    store
        .put(object)
        .map(drop)
        .map_err(|failure| failure.body().to_string())
}

/// The part of structural schemas that these objects meet: types, required and unknown members, bounds.
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
        out.push(format!("{path} is not of type {}", schema["type"]));
    }
    if let (Some(number), Some(minimum)) = (value.as_f64(), schema["minimum"].as_f64())
        && number < minimum
    {
        out.push(format!("{path} is below {minimum}"));
    }
    if let (Some(number), Some(maximum)) = (value.as_f64(), schema["maximum"].as_f64())
        && number > maximum
    {
        out.push(format!("{path} is above {maximum}"));
    }
    for required in schema["required"].as_array().into_iter().flatten() {
        if value.get(required.as_str().unwrap()).is_none() {
            out.push(format!("{path} lacks {required}"));
        }
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

#[test]
fn written_virtual_services_fit_the_schema_of_the_crd() {
    let Some(file) = crds("istio.yaml") else {
        return;
    };
    let store = server(&file, "virtualservices.networking.istio.io");
    let schema = schemas(&file, "virtualservices.networking.istio.io")
        .swap_remove(0)
        .1;
    for list in ["http", "tls", "tcp"] {
        let routers = format!(
            "- istio: {{virtualServices: [{{name: shop, kind: {list}}}], canary: {{host: new}}, control: {{host: old}}}}\n"
        );
        let component = component(&routers);
        let targets = targets(&component, "apps");
        let mut object = json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": {"name": "shop", "namespace": "apps", "resourceVersion": "1"},
            "spec": {"hosts": ["shop"], list: [{"match": [{}], "route": [
                {"destination": {"host": "new", "port": {"number": 80}}},
                {"destination": {"host": "old"}, "weight": 100}]}]}});
        if list == "tls" {
            object["spec"]["tls"][0]["match"][0]["sniHosts"] = json!(["shop"]);
        }
        let wanted = Wanted::Told {
            preview: Preview {
                headers: [("canary".to_owned(), "true".to_owned())].into(),
                cookie: Some("who=tester".parse().unwrap()),
                mirror: Weight::from_permille(125),
            },
            command: "01J8".into(),
        };
        let testers = targets[0].preview(&object, &wanted).unwrap();
        assert_eq!(testers.is_some(), list == "http");
        if let Some(testers) = testers {
            serve(&testers, &mut object).unwrap();
        }
        for weight in [percent(5), permille(125), Weight::FULL, Weight::ZERO] {
            let patch = targets[0]
                .write(&object, &stamp("01J8", weight), WriteMode::Normal)
                .unwrap();
            serve(&patch, &mut object).unwrap();
            let mut found = Vec::new();
            violations(&schema["properties"]["spec"], &object["spec"], "spec", &mut found);
            assert_eq!(found, Vec::<String>::new(), "{list} at {weight}");
            assert_eq!(admitted(&store, &object), Ok(()), "{list} at {weight}");
        }
        if list == "http" {
            let mut both = object.clone();
            both["spec"]["http"][0]["match"][0]["headers"]["canary"]["prefix"] = "t".into();
            assert!(
                admitted(&store, &both).is_err(),
                "one condition of a header, not two"
            );
        }
        // The check must be able to fail.
        let mut found = Vec::new();
        let last = object["spec"][list].as_array().unwrap().len() - 1;
        assert_eq!(last, usize::from(list == "http"));
        object["spec"][list][last]["route"][0]["weight"] = "5".into();
        object["spec"][list][last]["route"][0]["wieght"] = 5.into();
        violations(&schema["properties"]["spec"], &object["spec"], "spec", &mut found);
        assert_eq!(found.len(), 2, "{found:?}");
    }
}

#[test]
fn written_routes_fit_every_served_version_of_the_gateway_apis_crds() {
    let Some(file) = crds("gateway-api.yaml") else {
        return;
    };
    for kind in [
        ObjectKind::HttpRoute,
        ObjectKind::GrpcRoute,
        ObjectKind::TlsRoute,
        ObjectKind::TcpRoute,
    ] {
        let store = server(&file, &format!("{}.{}", kind.plural(), kind.group()));
        let all = schemas(&file, &format!("{}.{}", kind.plural(), kind.group()));
        assert_eq!(all[0].0, kind.version(), "{kind:?}: the preferred version");
        for (version, schema) in &all {
            let known = kind.versions().contains(&version.as_str());
            assert!(known, "{kind:?} is served as {version} too");
            let routers = format!(
                "- gatewayApi: {{kind: {}, name: shop, canary: {{name: new, port: 80}}, control: {{name: old, port: 80}}}}\n",
                kind.kind()
            );
            let component = component(&routers);
            let targets = targets(&component, "apps");
            let mut object = json!({"apiVersion": format!("{}/{version}", kind.group()), "kind": kind.kind(),
                "metadata": {"name": "shop", "namespace": "apps", "resourceVersion": "1"},
                "spec": {"parentRefs": [{"name": "public"}], "rules": [{"backendRefs": [
                    {"name": "new", "port": 80}, {"name": "old", "port": 80}]}]}});
            if kind == ObjectKind::TlsRoute {
                object["spec"]["hostnames"] = json!(["shop.example.com"]);
            }
            for weight in [percent(5), permille(125), permille(1), Weight::FULL, Weight::ZERO] {
                let patch = targets[0]
                    .write(&object, &stamp("01J8", weight), WriteMode::Normal)
                    .unwrap();
                serve(&patch, &mut object).unwrap();
                let mut found = Vec::new();
                violations(&schema["properties"]["spec"], &object["spec"], "spec", &mut found);
                assert_eq!(found, Vec::<String>::new(), "{kind:?} {version} at {weight}");
                assert_eq!(
                    admitted(&store, &object),
                    Ok(()),
                    "{kind:?} {version} at {weight}"
                );
            }
            // The check must be able to fail.
            object["spec"]["rules"][0]["backendRefs"][0]["weight"] = 1_000_001.into();
            let mut found = Vec::new();
            violations(&schema["properties"]["spec"], &object["spec"], "spec", &mut found);
            assert_eq!(found.len(), 1, "{found:?}");
        }
    }
}
