//! Reading a resource, and writing its status: one write at a time, each on the version it was decided on.

use crate::cluster::rollouts::RawRollout;
use crate::rollout::plan::{Plan, Problem};
use crate::rollout::spec::{Component, GradualRolloutSpec};
use crate::rollout::status::GradualRolloutStatus;
use crate::routing::{ClaimKey, ObjectKind, Target, needs, targets};
use serde_json::Value;

/// A resource that can be worked by.
#[derive(Debug)]
pub(super) struct Sound {
    /// Its plan.
    pub(super) plan: Plan,
    /// The parts of objects it writes.
    pub(super) claims: Vec<ClaimKey>,
}

/// A resource's spec as it is written.
pub(super) fn spec(raw: &RawRollout) -> Result<GradualRolloutSpec, Vec<Problem>> {
    // An explicit null means the same as absence to the API server; not so to serde.
    let spec = without_nulls(&raw.spec);
    serde_path_to_error::deserialize(spec).map_err(|error| {
        let path = format!("spec.{}", error.path());
        vec![Problem {
            path,
            message: error.into_inner().to_string(),
        }]
    })
}

/// Reads a resource's spec. `allowed` names foreign namespaces it may write to.
///
/// Components that the status knows and the spec no longer names are part of the plan, unless another component has
/// taken over what they wrote.
pub(super) fn read(
    raw: &RawRollout,
    status: &GradualRolloutStatus,
    allowed: &[String],
) -> Result<Sound, Vec<Problem>> {
    let mut plan = Plan::parse(&spec(raw)?)?;
    let (mut problems, mut claims) = (Vec::new(), Vec::<ClaimKey>::new());
    for (i, planned) in plan.components.iter().enumerate() {
        let path = format!("spec.components[{i}].routers");
        let weights: Vec<_> = planned.steps.iter().map(|s| s.weight).collect();
        let mut own = Vec::new();
        for (_, namespace) in needs(&planned.component, &raw.namespace)
            .into_iter()
            .filter(|(kind, namespace)| *kind == ObjectKind::Ingress && *namespace != raw.namespace)
            .filter(|(_, namespace)| !allowed.contains(namespace))
        {
            problems.push(Problem {
                path: path.clone(),
                message: format!(
                    "canary Ingresses would be written in {namespace}, another namespace; the operator may allow it in the daemon's settings (watch.foreign_namespaces)"
                ),
            });
        }
        for target in targets(&planned.component, &raw.namespace) {
            let object = target.object();
            if object.namespace != raw.namespace && !allowed.contains(&object.namespace) {
                let message = format!(
                    "{object} is in another namespace; the operator may allow it in the daemon's settings (watch.foreign_namespaces)"
                );
                problems.push(Problem {
                    path: path.clone(),
                    message,
                });
            }
            problems.extend(target.check(&weights).into_iter().map(|e| Problem {
                path: path.clone(),
                message: e.to_string(),
            }));
            own.extend(target.claims());
        }
        if let Some(twice) = own.iter().find(|key| claims.iter().any(|k| k.overlaps(key))) {
            let message = format!("another component of this resource writes {twice} too");
            problems.push(Problem { path, message });
        }
        claims.append(&mut own);
    }
    let written = |component: &Component| -> Vec<ClaimKey> {
        let all = targets(component, &raw.namespace);
        all.iter().flat_map(Target::claims).collect()
    };
    plan.take_in(status, |component| {
        let keys = written(component);
        keys.iter().any(|key| claims.iter().any(|k| k.overlaps(key)))
    });
    claims.extend(plan.orphans.iter().flat_map(|p| written(&p.component)));
    if problems.is_empty() {
        Ok(Sound { plan, claims })
    } else {
        Err(problems)
    }
}

/// Reads a status; what cannot be read is as if nothing was written, and said.
pub(super) fn read_status(raw: &RawRollout) -> GradualRolloutStatus {
    if raw.status.is_null() {
        return GradualRolloutStatus::default();
    }
    serde_json::from_value(without_nulls(&raw.status)).unwrap_or_else(|error| {
        tracing::warn!(rollout = %raw.name, namespace = %raw.namespace, %error, "the status cannot be read; positions are found by weight");
        GradualRolloutStatus::default()
    })
}

/// The same without members that are null.
pub(super) fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .filter(|(_, v)| !v.is_null())
            .map(|(k, v)| (k.clone(), without_nulls(v)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}
