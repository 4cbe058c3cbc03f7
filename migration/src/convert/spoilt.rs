//! What Istio would not take although nothing here refused it. One bad value must not cost the whole conversion, so the
//! host or the Service that has it is refused, and everything is converted once more.

use crate::input::Key;
use crate::rules;
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
    /// Looks through objects, and says whether there is anything new.
    pub(super) fn learn(&mut self, objects: &[Value]) -> bool {
        let all = rules::check(objects);
        if all.is_empty() {
            return false;
        }
        let before = self.clone();
        let named: BTreeMap<String, &Value> = objects.iter().map(|object| (name(object), object)).collect();
        for broken in all {
            let Some(object) = named.get(&broken.object) else {
                continue;
            };
            let told = format!("{}: {}", broken.field, broken.message);
            if let Some(host) = object.pointer("/spec/host").and_then(Value::as_str) {
                let mut labels = host.split('.').map(ToOwned::to_owned);
                if let (Some(service), Some(namespace)) = (labels.next(), labels.next()) {
                    self.services.entry((namespace, service)).or_insert(told);
                }
                continue;
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
        *self != before
    }
}

/// An object's name as a broken rule has it.
fn name(object: &Value) -> String {
    let text = |pointer: &str| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    format!(
        "{} {}/{}",
        text("/kind"),
        text("/metadata/namespace"),
        text("/metadata/name")
    )
}
