//! What Istio, or the Gateway API, demands of an object beyond its schema: the rules of its webhook and of its CEL
//! expressions, as far as they concern kinds that are written here. A schema is checked elsewhere; here only what a
//! schema cannot say.
//!
//! Source: istio/istio `pkg/config/validation` and the CEL rules of its CRDs.

mod access;
mod destination_rule;
mod gateway;
mod gateway_api;
mod http_route;
mod order;
mod virtual_service;
mod words;

use gateway_api::Grant;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A rule that an object breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Kind, namespace and name.
    pub object: String,
    /// The field, as `spec.http[0].timeout`.
    pub field: String,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.object, self.field, self.message)
    }
}

/// Checks objects one by one, and against each other. Kinds that are not known pass.
pub fn check(objects: &[Value]) -> Vec<Broken> {
    let mut checker = Checker::new(objects);
    objects.iter().flat_map(|object| checker.take(object)).collect()
}

/// The same for objects that are not all there at once.
#[derive(Debug)]
pub struct Checker {
    grants: BTreeSet<Grant>,
    rules_by_host: BTreeMap<String, String>,
}

impl Checker {
    /// With the `ReferenceGrants` among these.
    pub fn new(objects: &[Value]) -> Self {
        Self {
            grants: gateway_api::grants(objects),
            rules_by_host: BTreeMap::new(),
        }
    }

    /// What the next object breaks.
    pub fn take(&mut self, object: &Value) -> Vec<Broken> {
        let mut at = At::new(object);
        let spec = object.get("spec").unwrap_or(&Value::Null);
        match text(object, "kind") {
            "VirtualService" => virtual_service::check(&mut at, spec),
            "Gateway" if gateway_api::is(object) => gateway_api::gateway(&mut at, spec),
            "HTTPRoute" => gateway_api::route(&mut at, object, spec, &self.grants),
            "Gateway" => gateway::check(&mut at, object, spec),
            "DestinationRule" => {
                destination_rule::check(&mut at, spec);
                let host = text(spec, "host").to_owned();
                if let Some(other) = self.rules_by_host.insert(host.clone(), at.object.clone()) {
                    at.wrong("spec.host", format!("{host:?} has another rule already: {other}"));
                }
            }
            "AuthorizationPolicy" => access::check(&mut at, spec),
            _ => {}
        }
        at.found
    }
}

/// The object that is looked at, and what was found.
struct At {
    object: String,
    found: Vec<Broken>,
}

impl At {
    fn new(object: &Value) -> Self {
        let meta = object.get("metadata").unwrap_or(&Value::Null);
        Self {
            object: format!(
                "{} {}/{}",
                text(object, "kind"),
                text(meta, "namespace"),
                text(meta, "name")
            ),
            found: Vec::new(),
        }
    }

    fn wrong(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.found.push(Broken {
            object: self.object.clone(),
            field: field.into(),
            message: message.into(),
        });
    }

    /// Notes it where something does not hold.
    fn demand(&mut self, holds: bool, field: &str, message: &str) {
        if !holds {
            self.wrong(field, message);
        }
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value
        .get(key)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// Texts of a list.
fn texts<'a>(value: &'a Value, key: &str) -> Vec<&'a str> {
    list(value, key).iter().filter_map(Value::as_str).collect()
}

/// How many of these fields are there.
fn present(value: &Value, keys: &[&str]) -> usize {
    keys.iter()
        .filter(|key| value.get(**key).is_some_and(|found| !found.is_null()))
        .count()
}

#[cfg(test)]
mod tests;
