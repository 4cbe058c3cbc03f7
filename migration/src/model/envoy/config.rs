//! `VirtualService` and Gateway as they are written.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// `VirtualService.spec`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct VirtualService {
    pub(super) hosts: Vec<String>,
    pub(super) gateways: Vec<String>,
    pub(super) http: Vec<HttpRoute>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct HttpRoute {
    pub(super) r#match: Vec<Match>,
    pub(super) route: Vec<Weighted>,
    pub(super) redirect: Option<Redirect>,
    pub(super) direct_response: Option<DirectResponse>,
    pub(super) rewrite: Option<Rewrite>,
    pub(super) headers: Headers,
    pub(super) delegate: Option<Value>,
    pub(super) fault: Option<Value>,
    pub(super) cors_policy: Option<Value>,
}

/// Of the three kinds one; none of them is "present".
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct StringMatch {
    pub(super) exact: Option<String>,
    pub(super) prefix: Option<String>,
    pub(super) regex: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Match {
    pub(super) uri: Option<StringMatch>,
    pub(super) scheme: Option<StringMatch>,
    pub(super) method: Option<StringMatch>,
    pub(super) authority: Option<StringMatch>,
    pub(super) headers: BTreeMap<String, Option<StringMatch>>,
    pub(super) without_headers: BTreeMap<String, Option<StringMatch>>,
    pub(super) query_params: BTreeMap<String, Option<StringMatch>>,
    pub(super) port: Option<u16>,
    pub(super) ignore_uri_case: bool,
    pub(super) gateways: Vec<String>,
    pub(super) source_labels: BTreeMap<String, String>,
    pub(super) source_namespace: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Weighted {
    pub(super) destination: Destination,
    pub(super) weight: u64,
    pub(super) headers: Headers,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Destination {
    pub(super) host: String,
    pub(super) port: Option<PortNumber>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct PortNumber {
    pub(super) number: u16,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Redirect {
    pub(super) uri: String,
    pub(super) authority: String,
    pub(super) scheme: String,
    pub(super) prefix_rewrite: String,
    pub(super) port: Option<u16>,
    pub(super) derive_port: Option<String>,
    #[serde(rename = "redirectCode")]
    pub(super) code: u16,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct DirectResponse {
    pub(super) status: u16,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Rewrite {
    pub(super) uri: String,
    pub(super) authority: String,
    #[serde(rename = "uriRegexRewrite")]
    pub(super) regex: Option<RegexRewrite>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct RegexRewrite {
    pub(super) r#match: String,
    pub(super) rewrite: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Headers {
    pub(super) request: HeaderOperations,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct HeaderOperations {
    pub(super) set: BTreeMap<String, String>,
    pub(super) add: BTreeMap<String, String>,
}

impl Headers {
    /// Setting the host is a rewrite of it; `set` wins over `add`.
    pub(super) fn authority(&self) -> Option<&str> {
        let mut all = self.request.set.iter().chain(&self.request.add);
        all.find(|(key, _)| key.eq_ignore_ascii_case("host") || *key == ":authority")
            .map(|(_, host)| host.as_str())
    }
}

/// `Gateway.spec`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Gateway {
    pub(super) servers: Vec<Server>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Server {
    pub(super) port: ServerPort,
    pub(super) hosts: Vec<String>,
    pub(super) tls: Option<Tls>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct ServerPort {
    pub(super) number: u16,
    pub(super) protocol: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Tls {
    pub(super) https_redirect: bool,
    pub(super) mode: String,
}
