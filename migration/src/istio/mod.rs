//! The Istio objects that are written, as small typed structs, and how they become text.
//!
//! Only fields that the converter sets are here. Fields without a value are absent, never null.

mod access;
mod destination;
mod gateway;
mod virtual_service;
mod write;

pub use access::{AccessRule, AuthorizationPolicy, From, Operation, Selector, Source, To};
pub use destination::{
    ConnectionPool, ConsistentHash, Cookie, CookieAttribute, DestinationRule, HttpPool, LoadBalancer,
    PortPolicy, PortSelector, TcpPool, TrafficPolicy, UpstreamTls,
};
pub use gateway::{Gateway, Server, ServerPort, ServerTls};
pub use virtual_service::{
    CorsPolicy, Destination, DirectResponse, HeaderOperations, Headers, HttpMatch, HttpRoute, Redirect,
    RegexRewrite, Retries, Rewrite, SniMatch, StringMatch, TlsRoute, VirtualService, WeightedDestination,
};
pub use write::{NotWritten, to_json, to_yaml};

use serde::Serialize;
use std::collections::BTreeMap;

/// What every object says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Meta {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// An object: version, kind, metadata, spec.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Object<S> {
    /// Group and version.
    pub api_version: &'static str,
    /// Kind.
    pub kind: &'static str,
    /// Metadata.
    pub metadata: Meta,
    /// What is asked.
    pub spec: S,
}

/// A kind that is written.
pub trait Kind: Serialize {
    /// Group and version.
    const API_VERSION: &'static str;
    /// Kind.
    const KIND: &'static str;

    /// Makes an object of it.
    fn object(self, metadata: Meta) -> Object<Self>
    where
        Self: Sized,
    {
        Object {
            api_version: Self::API_VERSION,
            kind: Self::KIND,
            metadata,
            spec: self,
        }
    }
}

const NETWORKING: &str = "networking.istio.io/v1";

impl Kind for VirtualService {
    const API_VERSION: &'static str = NETWORKING;
    const KIND: &'static str = "VirtualService";
}

impl Kind for Gateway {
    const API_VERSION: &'static str = NETWORKING;
    const KIND: &'static str = "Gateway";
}

impl Kind for DestinationRule {
    const API_VERSION: &'static str = NETWORKING;
    const KIND: &'static str = "DestinationRule";
}

impl Kind for AuthorizationPolicy {
    const API_VERSION: &'static str = "security.istio.io/v1";
    const KIND: &'static str = "AuthorizationPolicy";
}
