//! `AuthorizationPolicy`.

use serde::Serialize;
use std::collections::BTreeMap;

/// Who is denied what at the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuthorizationPolicy {
    /// Which pods.
    pub selector: Selector,
    /// DENY.
    pub action: &'static str,
    /// Rules, of which one suffices.
    pub rules: Vec<AccessRule>,
}

/// Pods by label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Selector {
    /// The labels.
    pub match_labels: BTreeMap<String, String>,
}

/// Who, and what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccessRule {
    /// Who.
    pub from: Vec<From>,
    /// What.
    pub to: Vec<To>,
}

/// Who.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct From {
    /// By source.
    pub source: Source,
}

/// By address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// In one of these ranges.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remote_ip_blocks: Vec<String>,
    /// In none of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_remote_ip_blocks: Vec<String>,
}

/// What.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct To {
    /// By operation.
    pub operation: Operation,
}

/// By host and path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// Hosts.
    pub hosts: Vec<String>,
    /// Paths; none: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// But not these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_paths: Vec<String>,
}
