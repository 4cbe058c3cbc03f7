//! An Ingress as ingress-nginx stores it: read, and in the order in which it is served.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::Options;
use super::settings::Settings;
use crate::model::answer::Port;
use crate::model::objects::{self, Object};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    default_backend: Option<Backend>,
    rules: Vec<RawRule>,
    tls: Vec<Tls>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct RawRule {
    host: String,
    http: Option<Http>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Http {
    paths: Vec<RawPath>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawPath {
    path: String,
    path_type: Option<String>,
    backend: Backend,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Backend {
    service: Option<RawService>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct RawService {
    name: String,
    port: RawPort,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct RawPort {
    name: Option<String>,
    number: Option<u16>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Tls {
    hosts: Vec<String>,
}

/// A Service's port in the Ingress's own namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The Service's namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its port.
    pub port: Port,
}

impl Service {
    /// The key under which ingress-nginx keeps the upstream. It is not unique: `a-b`/`c` and `a`/`b-c` share theirs,
    /// and the Service of the older Ingress gets the traffic of both.
    pub fn upstream(&self) -> String {
        match &self.port {
            Port::Only => format!("{}-INVALID", self.namespace),
            port @ (Port::Number(_) | Port::Name(_)) => format!("{}-{}-{port}", self.namespace, self.name),
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Path {
    pub(super) text: String,
    pub(super) exact: bool,
    /// `None` for a resource, which ingress-nginx passes over.
    pub(super) service: Option<Service>,
}

#[derive(Debug, Clone)]
pub(super) struct Rule {
    /// `_` where the rule names none.
    pub(super) host: String,
    /// `None` where the rule has no `http`.
    pub(super) paths: Option<Vec<Path>>,
}

#[derive(Debug, Clone)]
pub(super) struct Ingress {
    pub(super) default: Option<Service>,
    pub(super) rules: Vec<Rule>,
    /// Whether it has a tls section at all: one that names none of its hosts still gives them the default certificate.
    pub(super) tls: bool,
    pub(super) tls_hosts: Vec<String>,
    pub(super) settings: Arc<Settings>,
}

/// The Ingresses among `values`, oldest first; of the same second, the later name first. Also what was unreadable.
pub(super) fn read(values: &[Value], options: &Options) -> (Vec<Ingress>, Vec<String>) {
    let (mut objects, unread) = objects::of_kind::<Spec>(values, "Ingress");
    objects.sort_by(|a, b| {
        let age = a.metadata.created().cmp(b.metadata.created());
        age.then_with(|| b.metadata.key().cmp(&a.metadata.key()))
    });
    (
        objects.iter().map(|object| ingress(object, options)).collect(),
        unread,
    )
}

fn ingress(object: &Object<Spec>, options: &Options) -> Ingress {
    let namespace = object.metadata.namespace();
    let spec = &object.spec;
    let rule = |raw: &RawRule| Rule {
        host: if raw.host.is_empty() {
            "_".to_owned()
        } else {
            raw.host.clone()
        },
        paths: raw
            .http
            .as_ref()
            .map(|http| http.paths.iter().map(|raw| path(raw, namespace)).collect()),
    };
    Ingress {
        default: spec
            .default_backend
            .as_ref()
            .and_then(|backend| service(backend, namespace)),
        rules: spec.rules.iter().map(rule).collect(),
        tls: !spec.tls.is_empty(),
        tls_hosts: spec
            .tls
            .iter()
            .flat_map(|tls| &tls.hosts)
            .map(|host| host.to_ascii_lowercase())
            .collect(),
        settings: Arc::new(Settings::read(&object.metadata.annotations, options)),
    }
}

/// Everything that is not `Exact` is served as `Prefix`, an empty path as `/`.
fn path(raw: &RawPath, namespace: &str) -> Path {
    Path {
        text: if raw.path.is_empty() {
            "/".to_owned()
        } else {
            raw.path.clone()
        },
        exact: raw.path_type.as_deref() == Some("Exact"),
        service: service(&raw.backend, namespace),
    }
}

fn service(backend: &Backend, namespace: &str) -> Option<Service> {
    let service = backend.service.as_ref()?;
    let port = match (service.port.number, &service.port.name) {
        (Some(number), _) if number > 0 => Port::Number(number),
        (_, Some(name)) if !name.is_empty() => Port::Name(name.clone()),
        _ => Port::Only,
    };
    Some(Service {
        namespace: namespace.to_owned(),
        name: service.name.clone(),
        port,
    })
}
