//! From documents to the kinds that matter.

use super::Origin;
use super::kinds::{
    Backend, ConfigMap, Ingress, IngressClass, Metadata, Path, PathType, Port, Rule, Secret, Service,
    or_default, words,
};
use super::release::{self, Release};
use super::strangers::strangers;
use serde::Deserialize;
use serde_json::Value;
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};

/// `namespace/name` of any object.
pub(super) fn name_of(value: &Value) -> String {
    let text = |pointer| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    match text("/metadata/namespace") {
        "" => text("/metadata/name").to_owned(),
        namespace => format!("{namespace}/{}", text("/metadata/name")),
    }
}

fn part<T: for<'de> Deserialize<'de> + Default>(value: &Value, pointer: &str) -> Result<T, String> {
    match value.pointer(pointer) {
        None | Some(Value::Null) => Ok(T::default()),
        Some(found) => T::deserialize(found)
            .map_err(|error| format!("{}: {error}", pointer.trim_start_matches('/').replace('/', "."))),
    }
}

fn meta(value: &Value) -> Result<Metadata, String> {
    let meta: Metadata = part(value, "/metadata")?;
    if meta.name.is_empty() {
        return Err("metadata.name is missing".to_owned());
    }
    Ok(meta)
}

#[derive(Deserialize)]
struct RawBackend {
    service: Option<RawService>,
    resource: Option<RawResource>,
}

#[derive(Deserialize)]
struct RawService {
    name: String,
    port: Option<RawPort>,
}

#[derive(Deserialize)]
struct RawPort {
    name: Option<String>,
    number: Option<u16>,
}

#[derive(Deserialize)]
struct RawResource {
    kind: String,
    name: String,
}

impl From<Option<RawBackend>> for Backend {
    fn from(raw: Option<RawBackend>) -> Self {
        let Some(raw) = raw else { return Self::None };
        if let Some(resource) = raw.resource {
            let object = format!("{} {}", resource.kind, resource.name);
            return Self::Resource { object };
        }
        let Some(service) = raw.service else {
            return Self::None;
        };
        let port = match service.port {
            Some(RawPort { name: Some(name), .. }) if !name.is_empty() => Port::Name(name),
            Some(RawPort {
                number: Some(number), ..
            }) => Port::Number(number),
            _ => return Self::None,
        };
        let name = service.name;
        Self::Service { name, port }
    }
}

#[derive(Deserialize)]
struct RawRule {
    host: Option<String>,
    http: Option<RawHttp>,
}

#[derive(Deserialize)]
struct RawHttp {
    #[serde(default, deserialize_with = "or_default")]
    paths: Vec<RawPath>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawPath {
    path: Option<String>,
    path_type: Option<String>,
    backend: Option<RawBackend>,
}

impl TryFrom<RawPath> for Path {
    type Error = String;

    fn try_from(raw: RawPath) -> Result<Self, String> {
        let path_type = match raw.path_type.as_deref() {
            Some("Exact") => PathType::Exact,
            None | Some("Prefix" | "ImplementationSpecific" | "") => PathType::Prefix,
            Some(other) => return Err(format!("pathType {other:?} does not exist")),
        };
        Ok(Self {
            path: raw.path.unwrap_or_default(),
            path_type,
            backend: raw.backend.into(),
        })
    }
}

pub(super) fn ingress(value: &Value) -> Result<Ingress, String> {
    let raw: Option<Vec<RawRule>> = part(value, "/spec/rules")?;
    let mut rules = Vec::new();
    for rule in raw.unwrap_or_default() {
        let paths = rule
            .http
            .map(|http| http.paths.into_iter().map(Path::try_from).collect());
        rules.push(Rule {
            host: rule.host.filter(|host| !host.is_empty()),
            paths: paths.transpose()?,
        });
    }
    let default: Option<RawBackend> = part(value, "/spec/defaultBackend")?;
    let class: Option<String> = part(value, "/spec/ingressClassName")?;
    Ok(Ingress {
        meta: meta(value)?,
        // Two copies of an object are the same wherever they were read; the place is filled in later.
        origin: Origin::default(),
        class: class.filter(|class| !class.is_empty()),
        default_backend: default.map(|raw| Backend::from(Some(raw))),
        tls: part(value, "/spec/tls")?,
        rules,
        strangers: strangers(value),
    })
}

/// What can be known of an Ingress that cannot be read: hosts and paths, and the annotations that protect them. Its
/// back ends are none that exist.
pub(super) fn ghost(value: &Value) -> Option<Ingress> {
    let text = |value: &Value, pointer: &str| {
        let found = value.pointer(pointer).and_then(Value::as_str);
        found.filter(|text| !text.is_empty()).map(ToOwned::to_owned)
    };
    let list = |value: &Value, pointer: &str| -> Vec<Value> {
        let found = value.pointer(pointer).and_then(Value::as_array);
        found.cloned().unwrap_or_default()
    };
    let unknown = || Backend::Service {
        name: String::new(),
        port: Port::Number(0),
    };
    let path = |path: &Value| Path {
        path: text(path, "/path").unwrap_or_default(),
        path_type: match text(path, "/pathType").as_deref() {
            Some("Exact") => PathType::Exact,
            _ => PathType::Prefix,
        },
        backend: unknown(),
    };
    let rule = |rule: &Value| Rule {
        host: text(rule, "/host"),
        paths: rule
            .get("http")
            .map(|http| list(http, "/paths").iter().map(path).collect()),
    };
    let rules: Vec<Rule> = list(value, "/spec/rules").iter().map(rule).collect();
    let default = ["/spec/backend", "/spec/defaultBackend"]
        .iter()
        .any(|field| value.pointer(field).is_some());
    let mut meta: Metadata = part(value, "/metadata").unwrap_or_default();
    if meta.namespace.is_empty() {
        "default".clone_into(&mut meta.namespace);
    }
    (default || !rules.is_empty()).then(|| Ingress {
        meta,
        origin: Origin::default(),
        class: text(value, "/spec/ingressClassName"),
        default_backend: default.then(unknown),
        tls: part(value, "/spec/tls").unwrap_or_default(),
        rules,
        // It is refused as it is.
        strangers: Vec::new(),
    })
}

pub(super) fn ingress_class(value: &Value) -> Result<IngressClass, String> {
    let controller: Option<String> = part(value, "/spec/controller")?;
    Ok(IngressClass {
        meta: meta(value)?,
        controller: controller.unwrap_or_default(),
    })
}

pub(super) fn service(value: &Value) -> Result<Service, String> {
    let kind: Option<String> = part(value, "/spec/type")?;
    let external: Option<String> = part(value, "/spec/externalName")?;
    Ok(Service {
        meta: meta(value)?,
        external_name: external.filter(|_| kind.as_deref() == Some("ExternalName")),
        ports: part(value, "/spec/ports")?,
    })
}

/// What is wrong is told by field alone: the reader's own words would repeat a value.
pub(super) fn secret(value: &Value) -> Result<Secret, String> {
    fn silent<T: for<'de> Deserialize<'de> + Default>(value: &Value, pointer: &str) -> Result<T, String> {
        part(value, pointer).map_err(|_| {
            format!(
                "{}: it has another type than it must have",
                pointer.trim_start_matches('/')
            )
        })
    }
    let mut keys = BTreeSet::new();
    let mut pair = BTreeMap::new();
    for pointer in ["/data", "/stringData"] {
        let data: BTreeMap<String, Option<String>> = silent(value, pointer)?;
        for (key, value) in data {
            let Some(value) = value.filter(|value| !value.is_empty()) else {
                continue;
            };
            if ["tls.crt", "tls.key"].contains(&key.as_str()) {
                pair.insert(key.clone(), value);
            }
            keys.insert(key);
        }
    }
    // A certificate is anybody's to read; with its key it is the same only where it is the same.
    let pem = pair.get("tls.crt").is_some_and(|text| {
        let begins = ["-----BEGIN", "LS0tLS1CRUdJ"];
        begins.iter().any(|begin| text.starts_with(begin))
    });
    let certificate = (pem && pair.len() == 2).then(|| {
        let mut hasher = DefaultHasher::new();
        pair.hash(&mut hasher);
        hasher.finish()
    });
    let secret_type: Option<String> = silent(value, "/type")?;
    silent::<Metadata>(value, "/metadata")?;
    Ok(Secret {
        meta: meta(value)?,
        secret_type: secret_type.unwrap_or_else(|| "Opaque".to_owned()),
        keys,
        certificate,
    })
}

pub(super) fn config_map(value: &Value) -> Result<ConfigMap, String> {
    #[derive(Default, Deserialize)]
    struct Data(#[serde(deserialize_with = "words")] BTreeMap<String, String>);
    let data: Data = part(value, "/data")?;
    let known = [
        "apiVersion",
        "kind",
        "metadata",
        "data",
        "binaryData",
        "immutable",
    ];
    let fields = value.as_object().into_iter().flatten();
    if let Some((name, _)) = fields
        .into_iter()
        .find(|(name, _)| !known.contains(&name.as_str()))
    {
        return Err(format!("{name}: no ConfigMap has this field"));
    }
    Ok(ConfigMap {
        meta: meta(value)?,
        data: data.0,
    })
}

/// The arguments of ingress-nginx's controller, where a workload runs it, and its release.
pub(super) fn controller(value: &Value) -> Option<(Vec<String>, Option<Release>)> {
    let containers = value
        .pointer("/spec/template/spec/containers")
        .and_then(Value::as_array);
    let words = |container: &Value, field: &str| -> Vec<String> {
        let list = container.get(field).and_then(Value::as_array);
        let texts = list.into_iter().flatten().filter_map(Value::as_str);
        texts.map(ToOwned::to_owned).collect()
    };
    // The controller's own variable, in every manifest of it.
    let namespace = value.pointer("/metadata/namespace").and_then(Value::as_str);
    let namespace = namespace.filter(|name| !name.is_empty()).unwrap_or("default");
    for container in containers.into_iter().flatten() {
        let all = [words(container, "command"), words(container, "args")].concat();
        if all.iter().any(|word| word.ends_with("nginx-ingress-controller")) {
            let flags = joined(&all).into_iter();
            let known = |flag: String| flag.replace("$(POD_NAMESPACE)", namespace);
            return Some((flags.map(known).collect(), release::release(container)));
        }
    }
    None
}

/// Flags with their values, which may be arguments of their own; switches have none.
fn joined(words: &[String]) -> Vec<String> {
    let switch = |flag: &str| {
        let name = flag.trim_start_matches('-');
        [
            "enable-",
            "disable-",
            "watch-ingress-without-class",
            "ingress-class-by-name",
            "update-status",
            "deep-inspect",
        ]
        .iter()
        .any(|known| name.starts_with(known))
    };
    let mut flags: Vec<String> = Vec::new();
    let mut waits = false;
    for word in words {
        if word.starts_with("--") {
            waits = !word.contains('=') && !switch(word);
            flags.push(word.clone());
        } else if let Some(flag) = flags.last_mut().filter(|_| waits && !word.starts_with('-')) {
            flag.push('=');
            flag.push_str(word);
            waits = false;
        } else {
            waits = false;
        }
    }
    flags
}
