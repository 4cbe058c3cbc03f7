//! What the arguments of an ingress-nginx controller say against a split.

use super::finding::{Code, Finding};
use super::locations::{is_true, names};
use crate::routing::seen::text;
use serde_json::Value;
use std::collections::BTreeMap;

fn words(container: &Value) -> impl Iterator<Item = &str> {
    ["args", "command"]
        .iter()
        .filter_map(|field| container.get(field)?.as_array())
        .flatten()
        .filter_map(Value::as_str)
}

/// Whether a container runs ingress-nginx.
pub(super) fn is_controller(container: &Value) -> bool {
    words(container).any(|w| w.ends_with("nginx-ingress-controller"))
        || text(container, "/image").is_some_and(|i| i.contains("ingress-nginx/controller"))
}

/// Its flags; one without a value is true.
pub(super) fn flags(container: &Value) -> BTreeMap<&str, &str> {
    let told = words(container).filter_map(|w| w.strip_prefix("--"));
    told.map(|w| w.split_once('=').unwrap_or((w, "true"))).collect()
}

/// Reads a workload (Deployment, `DaemonSet`); nothing is found in one that runs no ingress-nginx.
pub fn controller_findings(workload: &Value) -> Vec<Finding> {
    let containers = workload
        .pointer("/spec/template/spec/containers")
        .and_then(Value::as_array);
    let mut found = Vec::new();
    for container in containers.into_iter().flatten().filter(|c| is_controller(c)) {
        let told = flags(container);
        let flag = |name: &str| told.get(name).copied();
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
        if flag("disable-svc-external-name").is_some_and(is_true) {
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
