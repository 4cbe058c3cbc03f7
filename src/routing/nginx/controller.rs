//! What the arguments of an ingress-nginx controller say against a split.

use super::finding::{Code, Finding};
use super::locations::names;
use crate::routing::seen::text;
use serde_json::Value;

/// Reads a workload (Deployment, `DaemonSet`); nothing is found in one that runs no ingress-nginx.
pub fn controller_findings(workload: &Value) -> Vec<Finding> {
    let containers = workload
        .pointer("/spec/template/spec/containers")
        .and_then(Value::as_array);
    let mut found = Vec::new();
    for container in containers.into_iter().flatten() {
        let words: Vec<&str> = ["args", "command"]
            .iter()
            .filter_map(|field| container.get(field)?.as_array())
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let named = words.iter().any(|w| w.ends_with("nginx-ingress-controller"));
        if !named && !text(container, "/image").is_some_and(|i| i.contains("ingress-nginx/controller")) {
            continue;
        }
        let flag = |name: &str| {
            words.iter().find_map(|w| {
                let value = w.strip_prefix("--")?.strip_prefix(name)?;
                if value.is_empty() {
                    Some("true")
                } else {
                    value.strip_prefix('=')
                }
            })
        };
        let (namespace, name) = names(workload);
        let mut say = |code: Code, flag: &str, message: &str, remedy: &str| {
            found.push(Finding {
                code,
                severity: code.severity(),
                object: format!("ingress-nginx {namespace}/{name}"),
                field: Some(flag.to_owned()),
                message: message.to_owned(),
                remedy: remedy.to_owned(),
            });
        };
        if flag("disable-svc-external-name") == Some("true") {
            let message = "it resolves no Service of type ExternalName, which the alias is";
            say(
                Code::ExternalNameOff,
                "--disable-svc-external-name",
                message,
                "remove the flag for the time of the rollout",
            );
        }
        if flag("watch-namespace").is_some_and(|v| !v.is_empty()) {
            let message = "it serves one namespace; canaries elsewhere are not seen";
            say(
                Code::WatchesOneNamespace,
                "--watch-namespace",
                message,
                "choose Ingresses of that namespace only",
            );
        }
    }
    found
}
