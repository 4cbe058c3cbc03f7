//! Gateway.

use serde::Serialize;
use std::collections::BTreeMap;

/// Servers of the gateway pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Gateway {
    /// Labels of the gateway's pods.
    pub selector: BTreeMap<String, String>,
    /// Servers.
    pub servers: Vec<Server>,
}

/// A server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Server {
    /// Its port.
    pub port: ServerPort,
    /// Hosts, as `namespace/host`.
    pub hosts: Vec<String>,
    /// TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ServerTls>,
}

/// A server's port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServerPort {
    /// Number.
    pub number: u16,
    /// A name, unique in the Gateway.
    pub name: String,
    /// HTTP, HTTPS or TLS.
    pub protocol: &'static str,
}

/// A server's TLS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerTls {
    /// SIMPLE or PASSTHROUGH.
    pub mode: &'static str,
    /// The Secret, in the namespace of the gateway's pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential_name: Option<String>,
    /// Ciphers of TLS up to 1.2; none: those of the gateway's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cipher_suites: Vec<String>,
}
