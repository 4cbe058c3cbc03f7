//! From an Ingress's back end to a Service's port.

use super::Options;
use super::book::Book;
use super::features::{Features, Protocol};
use super::names;
use crate::input::{Backend, Inventory, Key, Port, ServicePort, TargetPort};
use crate::istio::{Destination, PortSelector};
use crate::report::Code;

/// The key of nginx's upstream: everything with the same key is split by the same canary.
pub(super) type Upstream = (String, String, Port);

/// A Service's port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resolved {
    pub destination: Destination,
    pub upstream: Upstream,
    /// Its namespace and name.
    pub service: (String, String),
    /// Whether Istio knows by name or `appProtocol` that HTTP/2 is spoken there.
    pub http2: bool,
    /// What is worth telling although it works.
    pub remark: Option<Code>,
}

impl Resolved {
    /// Whether Istio speaks HTTP/2 to it and nginx does not: that looks at `backend-protocol` alone.
    pub(super) fn spoken_to_otherwise(&self, features: &Features) -> bool {
        self.http2 && matches!(features.protocol, Protocol::Http | Protocol::Https)
    }
}

/// Why there is none.
pub(super) type Unresolved = (Code, String);

/// Finds the port.
pub(super) fn resolve(
    backend: &Backend,
    ingress: &Key,
    inventory: &Inventory,
    options: &Options,
    book: &Book<'_>,
) -> Result<Resolved, Unresolved> {
    let namespace = ingress.0.as_str();
    let (name, port) = match backend {
        Backend::Service { name, port } => (name, port),
        Backend::Resource { object } => return Err((Code::ResourceBackend, object.clone())),
        Backend::None => return Err((Code::BackendMissing, String::new())),
    };
    if !names::is_label(name) {
        return Err((Code::NameInvalid, format!("Service {namespace}/{name}")));
    }
    let service = (namespace.to_owned(), name.clone());
    let found = |number: u16, http2: bool, remark: Option<Code>| Resolved {
        destination: Destination {
            host: format!("{name}.{namespace}.svc.{}", options.cluster_domain),
            port: PortSelector { number },
        },
        upstream: (namespace.to_owned(), name.clone(), port.clone()),
        service: service.clone(),
        http2,
        remark,
    };
    let Some(known) = inventory.services.get(&service) else {
        return match port {
            Port::Number(number) if book.accepts(Some(ingress), Code::ServiceMissing) => {
                Ok(found(*number, false, Some(Code::ServiceMissing)))
            }
            // A name alone is no port that could be written: that the Service may be missing does not find one.
            Port::Name(port) if book.accepts(Some(ingress), Code::ServiceMissing) => Err((
                Code::PortMissing,
                format!("Service {namespace}/{name} is not there, so what its port {port} is"),
            )),
            Port::Number(_) | Port::Name(_) => {
                Err((Code::ServiceMissing, format!("Service {namespace}/{name}")))
            }
        };
    };
    if let Some(external) = &known.external_name {
        return Err((Code::ExternalName, external.clone()));
    }
    let port = known.ports.iter().find(|candidate| leads(candidate, port));
    let Some(candidate) = port else {
        return Err((Code::PortMissing, format!("Service {namespace}/{name}")));
    };
    let remark = (!named(candidate, backend)).then_some(Code::PortTarget);
    Ok(found(candidate.port, speaks_http2(candidate), remark))
}

/// nginx takes the Service's port by number and name, and by target port too.
fn leads(candidate: &ServicePort, port: &Port) -> bool {
    match port {
        Port::Number(number) => {
            candidate.port == *number || candidate.target_port == Some(TargetPort::Number(*number))
        }
        Port::Name(name) => {
            candidate.name.as_ref() == Some(name)
                || candidate.target_port == Some(TargetPort::Name(name.clone()))
        }
    }
}

fn named(candidate: &ServicePort, backend: &Backend) -> bool {
    match backend {
        Backend::Service { port, .. } => match port {
            Port::Number(number) => candidate.port == *number,
            Port::Name(name) => candidate.name.as_ref() == Some(name),
        },
        Backend::Resource { .. } | Backend::None => false,
    }
}

/// As Istio tells protocols from a port (its documentation of protocol selection).
fn speaks_http2(port: &ServicePort) -> bool {
    let word = |text: &str| {
        let text = text.to_ascii_lowercase();
        ["grpc", "http2"].iter().any(|protocol| {
            text == *protocol
                || text
                    .strip_prefix(protocol)
                    .is_some_and(|rest| rest.starts_with('-'))
        })
    };
    match port.app_protocol.as_deref() {
        Some(text) => text == "kubernetes.io/h2c" || word(text),
        None => port.name.as_deref().is_some_and(word),
    }
}
