//! The part of the resource that names routes of the Gateway API.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Weights of back ends in a route of the Gateway API. Only the two named back ends' weights are edited; the pair
/// keeps its sum, third back ends keep their share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewayApi {
    /// The route's kind.
    pub kind: RouteKind,
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its namespace. Default: the resource's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// Names of rules (`spec.rules[].name`). Without names exactly one rule may carry the pair; two are an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub rules: Option<Vec<String>>,
    /// The new path.
    pub canary: Backend,
    /// The old path.
    pub control: Backend,
}

/// The kind of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum RouteKind {
    /// `HTTPRoute`
    #[serde(rename = "HTTPRoute")]
    Http,
    /// `GRPCRoute`
    #[serde(rename = "GRPCRoute")]
    Grpc,
    /// `TLSRoute`
    #[serde(rename = "TLSRoute")]
    Tls,
    /// `TCPRoute`
    #[serde(rename = "TCPRoute")]
    Tcp,
}

/// A back end as the route refers to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Backend {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its port. Left out, whatever port the route has; name it where the route has the back end twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// Its kind. Default Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub kind: Option<String>,
    /// Its API group. Default: the core group, that of Services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub group: Option<String>,
    /// Its namespace. Default: the route's own. Another one takes a `ReferenceGrant` there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
}
