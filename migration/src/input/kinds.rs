//! The kinds that matter, with the fields that matter.

use super::{Key, Origin};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What every object says of itself.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its namespace; `default` where none is given, as kubectl does.
    #[serde(default = "default_namespace", deserialize_with = "namespace")]
    pub namespace: String,
    /// When it was created (RFC 3339); absent in files that were never applied.
    #[serde(default)]
    pub creation_timestamp: Option<String>,
    /// Labels.
    #[serde(default, deserialize_with = "words")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(default, deserialize_with = "words")]
    pub annotations: BTreeMap<String, String>,
    /// Who owns it.
    #[serde(default, deserialize_with = "or_default")]
    pub owner_references: Vec<Owner>,
}

impl Metadata {
    /// Namespace and name.
    pub fn key(&self) -> Key {
        (self.namespace.clone(), self.name.clone())
    }
}

/// An owner.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct Owner {
    /// Its kind.
    #[serde(default)]
    pub kind: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
}

/// An Ingress (networking.k8s.io/v1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ingress {
    /// Metadata.
    pub meta: Metadata,
    /// Where it was read.
    pub origin: Origin,
    /// `spec.ingressClassName`.
    pub class: Option<String>,
    /// `spec.defaultBackend`.
    pub default_backend: Option<Backend>,
    /// `spec.tls`.
    pub tls: Vec<Tls>,
    /// `spec.rules`.
    pub rules: Vec<Rule>,
}

/// An entry of `spec.tls`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// Hosts, as written.
    #[serde(default, deserialize_with = "or_default")]
    pub hosts: Vec<String>,
    /// The Secret; none or empty means the controller's default certificate.
    #[serde(default)]
    pub secret_name: Option<String>,
}

/// A rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// The host; none or empty stands for every host without a rule.
    pub host: Option<String>,
    /// The paths; none where the rule has no `http`.
    pub paths: Option<Vec<Path>>,
}

/// A path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// As written; may be empty.
    pub path: String,
    /// How it is compared.
    pub path_type: PathType,
    /// What serves it.
    pub backend: Backend,
}

/// How a path is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum PathType {
    /// Octet by octet.
    Exact,
    /// By elements; `ImplementationSpecific` and an absent type are this for ingress-nginx.
    Prefix,
}

/// What serves a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backend {
    /// A Service's port.
    Service {
        /// Its name, in the Ingress's namespace.
        name: String,
        /// Its port.
        port: Port,
    },
    /// Another object, which ingress-nginx skips.
    Resource {
        /// Kind and name.
        object: String,
    },
    /// Nothing that can be understood.
    None,
}

/// A Service's port as an Ingress writes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Port {
    /// By number.
    Number(u16),
    /// By name.
    Name(String),
}

impl std::fmt::Display for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// A Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Metadata.
    pub meta: Metadata,
    /// `spec.externalName`, where the type says so.
    pub external_name: Option<String>,
    /// The ports.
    pub ports: Vec<ServicePort>,
}

/// A Service's port.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ServicePort {
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
    /// Its number.
    pub port: u16,
    /// Where it leads.
    #[serde(default)]
    pub target_port: Option<TargetPort>,
    /// What is spoken there.
    #[serde(default)]
    pub app_protocol: Option<String>,
}

/// A container's port, by number or name.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged)]
pub enum TargetPort {
    /// By number.
    Number(u16),
    /// By name.
    Name(String),
}

/// A Secret without its values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secret {
    /// Metadata.
    pub meta: Metadata,
    /// Its type.
    pub secret_type: String,
    /// Keys with a value.
    pub keys: BTreeSet<String>,
}

impl Secret {
    /// Whether certificate and key are there. Whether they fit each other or a host is not looked at.
    pub fn has_certificate(&self) -> bool {
        self.keys.contains("tls.crt") && self.keys.contains("tls.key")
    }
}

/// A ConfigMap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigMap {
    /// Metadata.
    pub meta: Metadata,
    /// Its data.
    pub data: BTreeMap<String, String>,
}

fn default_namespace() -> String {
    "default".to_owned()
}

fn namespace<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let given = Option::<String>::deserialize(deserializer)?;
    Ok(given
        .filter(|text| !text.is_empty())
        .unwrap_or_else(default_namespace))
}

fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(d: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(d)?.unwrap_or_default())
}

/// Text by key; what YAML made a number or a boolean of is taken as it was meant.
fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let given = Option::<BTreeMap<String, Value>>::deserialize(deserializer)?.unwrap_or_default();
    let text = |value: Value| match value {
        Value::String(text) => text,
        Value::Null => String::new(),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => other.to_string(),
    };
    Ok(given.into_iter().map(|(key, value)| (key, text(value))).collect())
}

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

pub(super) fn secret(value: &Value) -> Result<Secret, String> {
    let mut keys = BTreeSet::new();
    for pointer in ["/data", "/stringData"] {
        let data: BTreeMap<String, Option<String>> = part(value, pointer)?;
        let filled = data
            .into_iter()
            .filter(|(_, v)| v.as_ref().is_some_and(|v| !v.is_empty()));
        keys.extend(filled.map(|(key, _)| key));
    }
    let secret_type: Option<String> = part(value, "/type")?;
    Ok(Secret {
        meta: meta(value)?,
        secret_type: secret_type.unwrap_or_else(|| "Opaque".to_owned()),
        keys,
    })
}

pub(super) fn config_map(value: &Value) -> Result<ConfigMap, String> {
    #[derive(Default, Deserialize)]
    struct Data(#[serde(deserialize_with = "words")] BTreeMap<String, String>);
    let data: Data = part(value, "/data")?;
    Ok(ConfigMap {
        meta: meta(value)?,
        data: data.0,
    })
}

/// The arguments of ingress-nginx's controller, where a workload runs it.
pub(super) fn controller_flags(value: &Value) -> Vec<String> {
    let containers = value
        .pointer("/spec/template/spec/containers")
        .and_then(Value::as_array);
    let words = |container: &Value, field: &str| -> Vec<String> {
        let list = container.get(field).and_then(Value::as_array);
        let texts = list.into_iter().flatten().filter_map(Value::as_str);
        texts.map(ToOwned::to_owned).collect()
    };
    for container in containers.into_iter().flatten() {
        let all = [words(container, "command"), words(container, "args")].concat();
        if all.iter().any(|word| word.ends_with("nginx-ingress-controller")) {
            return all.into_iter().filter(|word| word.starts_with("--")).collect();
        }
    }
    Vec::new()
}
