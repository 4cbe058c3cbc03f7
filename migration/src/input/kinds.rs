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
    /// Fields that no Ingress has: mistyped, or in the wrong place.
    pub strangers: Vec<String>,
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
    /// By what two certificates with their keys are known to be the same; none where there is no certificate in PEM.
    pub certificate: Option<u64>,
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

/// An `IngressClass`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct IngressClass {
    pub meta: Metadata,
    /// `spec.controller`.
    pub controller: String,
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

pub(super) fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    d: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(d)?.unwrap_or_default())
}

/// Text by key; what YAML made a number or a boolean of is taken as it was meant.
pub(super) fn words<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    let given = Option::<BTreeMap<String, Value>>::deserialize(deserializer)?.unwrap_or_default();
    let text = |value: Value| match value {
        Value::String(text) => text,
        Value::Null => String::new(),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => other.to_string(),
    };
    Ok(given.into_iter().map(|(key, value)| (key, text(value))).collect())
}
