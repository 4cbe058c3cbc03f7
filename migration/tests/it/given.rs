//! Ingresses and what they need, as few words as possible.

use gradual_rollout_migration::convert::{Conversion, Options, Target, convert};
use gradual_rollout_migration::input::{self, Source};
use gradual_rollout_migration::report::{Code, IngressResult, explain};
use gradual_rollout_migration::rules;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// An Ingress that grows.
#[derive(Clone, Debug)]
pub(crate) struct Ingress(pub(crate) Value);

impl Ingress {
    /// `namespace/name`.
    pub(crate) fn new(key: &str) -> Self {
        let (namespace, name) = key.split_once('/').unwrap();
        Self(json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {"namespace": namespace, "name": name, "annotations": {}},
            "spec": {"ingressClassName": "nginx", "rules": []}
        }))
    }

    pub(crate) fn note(mut self, name: &str, value: &str) -> Self {
        let name = if name.contains('/') {
            name.to_owned()
        } else {
            format!("nginx.ingress.kubernetes.io/{name}")
        };
        self.0["metadata"]["annotations"][name] = value.into();
        self
    }

    /// The day of May 2024 on which it was created.
    pub(crate) fn day(mut self, day: u8) -> Self {
        self.0["metadata"]["creationTimestamp"] = format!("2024-05-{day:02}T00:00:00Z").into();
        self
    }

    pub(crate) fn tls(mut self, hosts: &[&str], secret: &str) -> Self {
        let tls = &mut self.0["spec"]["tls"];
        if tls.is_null() {
            *tls = json!([]);
        }
        tls.as_array_mut()
            .unwrap()
            .push(json!({"hosts": hosts, "secretName": secret}));
        self
    }

    pub(crate) fn default(mut self, service: &str) -> Self {
        self.0["spec"]["defaultBackend"] = json!({"service": {"name": service, "port": {"number": 80}}});
        self
    }

    /// A path in a rule of its own; the host may be empty.
    pub(crate) fn path(self, host: &str, kind: &str, path: &str, service: &str) -> Self {
        let port = json!({"number": 80});
        self.path_to(
            host,
            kind,
            path,
            json!({"service": {"name": service, "port": port}}),
        )
    }

    pub(crate) fn path_to(mut self, host: &str, kind: &str, path: &str, backend: Value) -> Self {
        let mut rule = json!({"http": {"paths": [{"path": path, "pathType": kind, "backend": backend}]}});
        if !host.is_empty() {
            rule["host"] = host.into();
        }
        self.0["spec"]["rules"].as_array_mut().unwrap().push(rule);
        self
    }
}

/// A Service with port 80 to target port 8080.
pub(crate) fn service(key: &str) -> Value {
    let (namespace, name) = key.split_once('/').unwrap();
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": namespace, "name": name},
        "spec": {"ports": [{"name": "web", "port": 80, "targetPort": 8080}]}})
}

pub(crate) fn secret(key: &str) -> Value {
    let (namespace, name) = key.split_once('/').unwrap();
    json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"namespace": namespace, "name": name}, "data": {"tls.crt": "eA==", "tls.key": "eA=="}})
}

/// The controller's ConfigMap.
pub(crate) fn config(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"namespace": "ingress-nginx", "name": "ingress-nginx-controller"}, "data": data})
}

/// What was given, and what came out.
pub(crate) struct Done {
    pub(crate) conversion: Conversion,
}

/// Converts Ingresses; Services that they name, and Secrets, are there.
pub(crate) fn convert_all(ingresses: &[Ingress]) -> Done {
    convert_with(ingresses, &[], &Options::default())
}

pub(crate) fn convert_with(ingresses: &[Ingress], more: &[Value], options: &Options) -> Done {
    let mut objects: Vec<Value> = ingresses.iter().map(|ingress| ingress.0.clone()).collect();
    for ingress in ingresses {
        let namespace = ingress.0["metadata"]["namespace"].as_str().unwrap();
        for name in names(&ingress.0["spec"], "service") {
            objects.push(service(&format!("{namespace}/{name}")));
        }
        for tls in ingress.0["spec"]["tls"].as_array().into_iter().flatten() {
            let name = tls["secretName"].as_str().unwrap_or_default();
            if !name.is_empty() {
                objects.push(secret(&format!("{namespace}/{name}")));
            }
        }
    }
    let given = |object: &Value| {
        more.iter()
            .any(|m| m["kind"] == object["kind"] && m["metadata"] == object["metadata"])
    };
    objects.retain(|object| !given(object));
    objects.extend_from_slice(more);
    convert_objects(&objects, options)
}

pub(crate) fn convert_objects(objects: &[Value], options: &Options) -> Done {
    let text = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    convert_text(&text, options)
}

/// Everything that comes out keeps Istio's rules, and every path has one result.
pub(crate) fn convert_text(text: &str, options: &Options) -> Done {
    let source = Source {
        name: "given.yaml".to_owned(),
        text: text.to_owned(),
    };
    let inventory = input::read(&[source]);
    let conversion = convert(&inventory, options).unwrap();
    assert_eq!(rules::check(&conversion.objects), []);
    crate::schema::check(&conversion.objects);
    if options.target == Target::Istio {
        hosts_are_the_same(&conversion.objects);
    }
    for ingress in inventory.ingresses.values() {
        let told = conversion
            .report
            .ingresses
            .iter()
            .find(|r| r.name == ingress.meta.name && r.namespace == ingress.meta.namespace);
        let told: Vec<&str> = told
            .unwrap()
            .paths
            .iter()
            .map(|path| path.field.as_str())
            .collect();
        let mut wanted: Vec<String> = Vec::new();
        for (r, rule) in ingress.rules.iter().enumerate() {
            for p in 0..rule.paths.as_ref().map_or(0, Vec::len) {
                wanted.push(format!("spec.rules[{r}].http.paths[{p}]"));
            }
        }
        if ingress.default_backend.is_some() {
            wanted.push("spec.defaultBackend".to_owned());
        }
        assert_eq!(told, wanted, "each path once");
    }
    Done { conversion }
}

/// Every host of a Gateway has routes, and every host with routes is in a Gateway, by its own name or by a wildcard of its
/// namespace.
fn hosts_are_the_same(objects: &[Value]) {
    let of = |kind: &'static str| objects.iter().filter(move |object| object["kind"] == kind);
    let listed: BTreeSet<String> = of("Gateway")
        .flat_map(|gateway| texts(&gateway["spec"]["servers"], "hosts"))
        .collect();
    let routed: BTreeSet<String> = of("VirtualService")
        .flat_map(|service| {
            let namespace = service["metadata"]["namespace"].as_str().unwrap();
            let hosts = service["spec"]["hosts"].as_array().unwrap().iter();
            hosts.map(move |host| format!("{namespace}/{}", host.as_str().unwrap()))
        })
        .collect();
    assert!(listed.is_subset(&routed), "{listed:?} {routed:?}");
    let covers = |listed: &str, host: &str| {
        let (namespace, name) = listed.split_once('/').unwrap();
        let (mine, host) = host.split_once('/').unwrap();
        namespace == mine && name.strip_prefix('*').is_some_and(|rest| host.ends_with(rest))
    };
    for host in &routed {
        let reached = listed.contains(host) || listed.iter().any(|name| covers(name, host));
        assert!(reached, "{host} is not among {listed:?}");
    }
}

fn texts(servers: &Value, key: &str) -> BTreeSet<String> {
    let all = servers.as_array().into_iter().flatten();
    all.flat_map(|server| server[key].as_array().unwrap())
        .map(|text| text.as_str().unwrap().to_owned())
        .collect()
}

pub(crate) fn names(value: &Value, key: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    match value {
        Value::Object(map) => {
            for (k, v) in map {
                if k == key {
                    all.extend(v["name"].as_str().map(ToOwned::to_owned));
                }
                all.extend(names(v, key));
            }
        }
        Value::Array(items) => items.iter().for_each(|item| all.extend(names(item, key))),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    all
}

impl Done {
    pub(crate) fn objects(&self, kind: &str) -> Vec<&Value> {
        self.conversion
            .objects
            .iter()
            .filter(|object| object["kind"] == kind)
            .collect()
    }

    pub(crate) fn ingress(&self, name: &str) -> &IngressResult {
        self.conversion
            .report
            .ingresses
            .iter()
            .find(|ingress| ingress.name == name)
            .unwrap()
    }

    /// Whether an Ingress has a finding with this code, which must exist.
    pub(crate) fn told(&self, name: &str, code: &str) -> bool {
        let code = code_of(code);
        self.ingress(name).entries.iter().any(|entry| entry.code == code)
    }

    /// Whether a text is anywhere in the objects.
    pub(crate) fn says(&self, text: &str) -> bool {
        self.conversion
            .objects
            .iter()
            .any(|object| object.to_string().contains(text))
    }
}

pub(crate) fn code_of(code: &str) -> Code {
    explain(code).unwrap_or_else(|| panic!("no code {code}")).code
}

pub(crate) fn accepting(codes: &[&str]) -> Options {
    Options {
        accept: codes.iter().map(|code| code_of(code)).collect(),
        ..Options::default()
    }
}
