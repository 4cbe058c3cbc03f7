//! `DestinationRule`.

use serde::Serialize;

/// How a Service is spoken to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DestinationRule {
    /// The Service's full name.
    pub host: String,
    /// Who follows it: the gateway's namespace alone, so that nothing changes inside the mesh.
    pub export_to: Vec<String>,
    /// How.
    pub traffic_policy: TrafficPolicy,
}

/// By port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrafficPolicy {
    /// Each port's own.
    pub port_level_settings: Vec<PortPolicy>,
}

/// A port by number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct PortSelector {
    /// The Service's port.
    pub number: u16,
}

/// How a port is spoken to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PortPolicy {
    /// Which.
    pub port: PortSelector,
    /// How requests are spread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_balancer: Option<LoadBalancer>,
    /// Connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_pool: Option<ConnectionPool>,
    /// TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<UpstreamTls>,
}

/// How requests are spread.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum LoadBalancer {
    /// By an algorithm.
    Simple(&'static str),
    /// By something of the request.
    ConsistentHash(ConsistentHash),
}

/// By what of the request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ConsistentHash {
    /// A header.
    HttpHeaderName(String),
    /// A cookie.
    HttpCookie(Cookie),
    /// The client's address.
    UseSourceIp(bool),
    /// A parameter of the query.
    HttpQueryParameterName(String),
}

/// A cookie that Envoy gives where it is absent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Cookie {
    /// Its name.
    pub name: String,
    /// Its path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Its age; `0s` ends with the browser's session, absent means that none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<String>,
    /// Other attributes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<CookieAttribute>,
}

/// An attribute of a cookie.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct CookieAttribute {
    /// Its name.
    pub name: String,
    /// Its value, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// Connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ConnectionPool {
    /// Of TCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpPool>,
    /// Of HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpPool>,
}

/// TCP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TcpPool {
    /// For how long connecting may take, as `5s`.
    pub connect_timeout: String,
}

/// HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpPool {
    /// UPGRADE: HTTP/2 is spoken from the start.
    pub h2_upgrade_policy: &'static str,
}

/// TLS towards the back end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UpstreamTls {
    /// SIMPLE.
    pub mode: &'static str,
    /// Said, not left to a default: nginx does not verify.
    pub insecure_skip_verify: bool,
    /// The name in the handshake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
}
