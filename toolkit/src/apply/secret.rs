//! Copies of certificates in the gateway's namespace, the only one in which it reads them.

use super::item::{Change, Item};
use super::select::shown;
use crate::cluster::{self, annotation, meta};
use crate::digest;
use crate::finding::{Finding, Severity};
use crate::marks;
use crate::preflight::certificate::Certificate;
use gradual_rollout_migration::input::Key;
use gradual_rollout_migration::report::SecretCopy;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Keys that a gateway reads.
const KEYS: [&str; 3] = ["tls.crt", "tls.key", "ca.crt"];

/// The copy of a certificate as it should be.
pub fn copy(copy: &SecretCopy, source: &Value) -> Value {
    let data: Map<String, Value> = source
        .get("data")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter(|(key, _)| KEYS.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let data = Value::Object(data);
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {
            "name": copy.to_name, "namespace": copy.to_namespace,
            "labels": {marks::MANAGED_BY: marks::OURS},
            "annotations": {
                marks::COPY_OF: format!("{}/{}", copy.from_namespace, copy.from_name),
                marks::WRITTEN: digest::short(&data),
            },
        },
        "data": data,
    })
}

/// What has to be done about a copy. One that differs from its source is written anew, whoever changed it: a
/// certificate has one source.
pub fn item(wanted: &SecretCopy, source: &Value, live: Option<&Value>, hosts: BTreeSet<String>) -> Item {
    let body = copy(wanted, source);
    let change = match live {
        None => Change::Create,
        Some(live) if annotation(live, marks::COPY_OF).is_none() => Change::Foreign,
        Some(live)
            if !renewed(source, live)
                && annotation(live, marks::COPY_OF) == annotation(&body, marks::COPY_OF) =>
        {
            Change::Same
        }
        Some(_) => Change::Update,
    };
    Item {
        kind: cluster::SECRET,
        namespace: wanted.to_namespace.clone(),
        name: wanted.to_name.clone(),
        body,
        change,
        hosts,
    }
}

/// Whether a certificate differs from its copy.
pub fn renewed(source: &Value, copy: &Value) -> bool {
    KEYS.iter().any(|key| {
        let of = |secret: &Value| secret.get("data").and_then(|data| data.get(*key)).cloned();
        of(source) != of(copy)
    })
}

/// The certificate that a Secret is a copy of, whichever verb made it.
pub fn source(copy: &Value) -> Option<Key> {
    let (namespace, name) = annotation(copy, marks::COPY_OF)?.split_once('/')?;
    Some((namespace.to_owned(), name.to_owned()))
}

/// A copy as it should be after its source was renewed, with the labels that the verb that made it gave it.
pub fn anew(live: &Value, source: &Value) -> Value {
    let labels = live.pointer("/metadata/labels").cloned().unwrap_or_default();
    crate::secret::copy(source, meta(live, "namespace"), meta(live, "name"), &labels)
}

/// That a certificate is not there that a Gateway is to show; `ours`: for a host of the batch.
pub fn gone(wanted: &SecretCopy, hosts: &BTreeSet<String>, ours: bool) -> Finding {
    let hosts = shown(&hosts.iter().cloned().collect::<Vec<_>>());
    Finding {
        code: "APPLY-CERTIFICATE-GONE",
        severity: if ours {
            Severity::Blocker
        } else {
            Severity::Warning
        },
        object: format!("Secret {}/{}", wanted.from_namespace, wanted.from_name),
        message: if ours {
            format!("it has no tls.crt that could be copied; hosts left out: {hosts}")
        } else {
            format!(
                "it has no tls.crt that could be copied; hosts of another batch show it, and keep the copy that is there: {hosts}"
            )
        },
        remedy: "look why the certificate is not there: kubectl describe certificate".to_owned(),
    }
}

/// Hosts that a certificate stands for and that another server of the Gateway has, by another: browsers use one connection for
/// all hosts of a certificate. `of` has what a credential is a copy of.
pub fn covering<'a>(
    showing: &BTreeMap<String, BTreeSet<String>>,
    of: &dyn Fn(&str) -> Option<&'a Value>,
) -> Vec<Finding> {
    let mut having: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for (credential, hosts) in showing {
        for host in hosts {
            let domain = host.split_once('.').map(|(_, domain)| domain);
            for name in std::iter::once(host.as_str()).chain(domain) {
                having.entry(name).or_default().push((host, credential));
            }
        }
    }
    let mut findings = Vec::new();
    for credential in showing.keys() {
        let Some(certificate) = of(credential).and_then(|secret| Certificate::of(secret).ok()) else {
            continue;
        };
        let names = certificate
            .names
            .iter()
            .map(|name| name.strip_prefix("*.").unwrap_or(name));
        let near = names.filter_map(|name| having.get(name)).flatten();
        let others: BTreeSet<String> = near
            .filter(|(host, other)| other != credential && certificate.covers(host))
            .map(|(host, other)| format!("{host} ({other})"))
            .collect();
        if !others.is_empty() {
            findings.push(Finding {
                code: "APPLY-CERTIFICATE-COVERS",
                severity: Severity::Warning,
                object: format!("Secret {credential}"),
                message: format!(
                    "it stands for hosts that another server shows another for: {}; browsers use one connection for all hosts of a certificate, and get 404 there",
                    shown(&others.into_iter().collect::<Vec<_>>())
                ),
                remedy: "have these hosts in one Secret (in the gateway's namespace, or the controller's default certificate), or give each a certificate of its own name alone; look with migrate probe --suite multi-tenant".to_owned(),
            });
        }
    }
    findings
}
