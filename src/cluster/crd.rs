//! The definition of the custom resource, and its rules evaluated without a server.

use crate::rollout::spec::GradualRollout;
use kube::CustomResourceExt as _;
use serde_json::Value;

/// The definition of the custom resource, as `kubectl apply` takes it.
pub fn definition() -> Value {
    serde_json::to_value(GradualRollout::crd()).unwrap_or_default()
}

/// A rule of the resource's schema that an object breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenRule {
    /// The field, like `spec.phases[0].steps`.
    pub path: String,
    /// The rule's message.
    pub message: String,
}

/// The bounds and rules of the schema that an object breaks, as the API server would find them. Types and words
/// are not looked at.
pub fn broken_rules(object: &Value) -> Vec<BrokenRule> {
    let definition = definition();
    let Some(schema) = definition.pointer("/spec/versions/0/schema/openAPIV3Schema") else {
        return Vec::new();
    };
    let broken = super::bounds::broken(schema, object, "");
    if !broken.is_empty() {
        // As in the API server: rules are looked at when the form is right.
        return broken;
    }
    match kube::core::cel::Validator::new().validate(schema, object, None) {
        Ok(()) => Vec::new(),
        Err(errors) => errors
            .into_vec()
            .into_iter()
            .map(|e| BrokenRule {
                path: e.field_path.trim_start_matches('.').to_owned(),
                message: e.message,
            })
            .collect(),
    }
}
