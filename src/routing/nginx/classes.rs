//! Which Ingresses one controller serves together, as far as manifests of classes and controllers tell.

use super::controller::{flags, is_controller};
use crate::routing::seen::text;
use serde_json::Value;
use std::collections::BTreeMap;

/// What ingress-nginx calls itself in an `IngressClass` unless it is told otherwise.
const CONTROLLER: &str = "k8s.io/ingress-nginx";

/// What is known of classes. Nothing by default: then nobody can tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Classes {
    /// The controller of each class.
    by_name: BTreeMap<String, String>,
    /// Controllers whose flags are known; `true`: it serves Ingresses without a class, too.
    controllers: BTreeMap<String, bool>,
}

impl Classes {
    /// Learns from an `IngressClass`, or from a workload that runs ingress-nginx; anything else says nothing.
    pub fn learn(&mut self, object: &Value) {
        if text(object, "/kind") == Some("IngressClass") {
            if let (Some(name), Some(by)) = (text(object, "/metadata/name"), text(object, "/spec/controller"))
            {
                self.by_name.insert(name.to_owned(), by.to_owned());
            }
            return;
        }
        let containers = object
            .pointer("/spec/template/spec/containers")
            .and_then(Value::as_array);
        for container in containers.into_iter().flatten().filter(|c| is_controller(c)) {
            let flags = flags(container);
            let by = flags.get("controller-class").copied().unwrap_or(CONTROLLER);
            let without = flags
                .get("watch-ingress-without-class")
                .is_some_and(|v| super::is_true(v));
            *self.controllers.entry(by.to_owned()).or_default() |= without;
            // The old annotation is held against this.
            let class = flags.get("ingress-class").copied().unwrap_or("nginx");
            self.by_name
                .entry(class.to_owned())
                .or_insert_with(|| by.to_owned());
        }
    }

    /// Whether one controller serves both; `None` when nobody can tell. No class is a class of its own here.
    pub(super) fn together(&self, first: Option<&str>, other: Option<&str>) -> Option<bool> {
        match (first, other) {
            _ if first == other => Some(true),
            (Some(a), Some(b)) => Some(self.by_name.get(a)? == self.by_name.get(b)?),
            (Some(named), None) | (None, Some(named)) => {
                self.controllers.get(self.by_name.get(named)?).copied()
            }
            (None, None) => Some(true),
        }
    }
}
