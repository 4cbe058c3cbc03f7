//! What Istio would not take although nothing here refused it. One bad value must not cost the whole conversion, so the
//! host or the Service that has it is refused, and everything is converted once more.

use crate::input::Key;
use crate::rules::Broken;
use serde_json::Value;
use std::collections::BTreeMap;

/// Hosts and Services whose objects would break a rule, and which.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Spoilt {
    pub hosts: BTreeMap<String, String>,
    /// By namespace and name.
    pub services: BTreeMap<Key, String>,
}

impl Spoilt {
    /// Takes what an object breaks.
    pub(super) fn learn(&mut self, object: &Value, broken: &[Broken]) {
        let Some(told) = broken
            .first()
            .map(|broken| format!("{}: {}", broken.field, broken.message))
        else {
            return;
        };
        if let Some(host) = object.pointer("/spec/host").and_then(Value::as_str) {
            let mut labels = host.split('.').map(ToOwned::to_owned);
            if let (Some(service), Some(namespace)) = (labels.next(), labels.next()) {
                self.services.entry((namespace, service)).or_insert(told);
            }
            return;
        }
        let listed = object
            .pointer("/spec/hosts/0")
            .or_else(|| object.pointer("/spec/hostnames/0"))
            .or_else(|| object.pointer("/spec/rules/0/to/0/operation/hosts/0"));
        let catch_all = (object.get("kind").and_then(Value::as_str) == Some("HTTPRoute")).then_some("*");
        if let Some(host) = listed.and_then(Value::as_str).or(catch_all) {
            self.hosts.entry(host.to_owned()).or_insert(told);
        }
    }
}
