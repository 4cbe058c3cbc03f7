//! Reading a resource, and writing its status: one write at a time, each on the version it was decided on.

use crate::cluster::rollouts::RawRollout;
use crate::rollout::plan::{Plan, Problem};
use crate::rollout::spec::{Component, GradualRolloutSpec};
use crate::rollout::status::GradualRolloutStatus;
use crate::routing::{ClaimKey, ObjectKind, Target, needs, targets};
use serde_json::Value;
use std::collections::BTreeSet;

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
    // A definition in a status may be older than what the operator allows now, and is no way round it.
    plan.orphans.retain(|orphan| {
        let elsewhere = |namespace: &String| *namespace != raw.namespace && !allowed.contains(namespace);
        let written = targets(&orphan.component, &raw.namespace);
        let made = needs(&orphan.component, &raw.namespace);
        let made = made.iter().filter(|(kind, _)| *kind == ObjectKind::Ingress).map(|(_, namespace)| namespace);
        let stray = written.iter().map(|t| &t.object().namespace).chain(made).find(|ns| elsewhere(ns));
        if let Some(namespace) = stray {
            let (rollout, component) = (&raw.name, orphan.name());
            tracing::warn!(
                rollout, component, namespace,
                "a component that is no longer in the spec routes in another namespace; it is left alone until \
                 watch.foreign_namespaces names it"
            );
        }
        stray.is_none()
    });
    claims.extend(plan.orphans.iter().flat_map(|p| written(&p.component)));
    if problems.is_empty() {
        Ok(Sound { plan, claims })
    } else {
        Err(problems)
    }
}

/// The ids of the lowerings that a status has.
pub(super) fn lowerings(status: &Value) -> BTreeSet<String> {
    let components = status.pointer("/components").and_then(Value::as_array);
    let ids = components
        .into_iter()
        .flatten()
        .filter_map(|c| c.pointer("/lowering/id")?.as_str());
    ids.map(str::to_owned).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::status::ComponentStatus;
    use serde_json::json;

    fn component(name: &str, namespace: &str) -> Value {
        json!({"name": name, "routers": [{"istio": {
            "virtualServices": [{"name": name, "namespace": namespace}],
            "canary": {"host": "a"}, "control": {"host": "b"}}}]})
    }

    fn raw(component: &Value) -> RawRollout {
        RawRollout {
            namespace: "apps".into(),
            name: "demo".into(),
            spec: json!({"components": [component], "steps": [{"weight": "5%", "hold": "1h"}]}),
            ..RawRollout::default()
        }
    }

    #[test]
    fn another_namespace_is_refused_unless_the_operator_names_it() {
        let status = GradualRolloutStatus::default();
        assert!(read(&raw(&component("shop", "apps")), &status, &[]).is_ok());
        let problems = read(&raw(&component("shop", "other")), &status, &[]).unwrap_err();
        assert!(
            problems[0].message.contains("watch.foreign_namespaces"),
            "{problems:?}"
        );
        assert!(read(&raw(&component("shop", "other")), &status, &["other".into()]).is_ok());
        let mut nginx = component("shop", "apps");
        nginx["routers"] = json!([{"ingressNginx": {"ingresses": {"matchLabels": {"app": "a"}, "namespaces": ["other"]},
            "gateway": {"namespace": "apps", "service": "gw", "port": 80}}}]);
        assert!(
            read(&raw(&nginx), &status, &[]).is_err(),
            "canaries in another namespace"
        );
    }

    #[test]
    fn a_definition_in_the_status_is_no_way_into_another_namespace() {
        let definition = serde_json::from_value(component("old", "other")).unwrap();
        let old = ComponentStatus {
            name: "old".into(),
            definition: Some(Box::new(definition)),
            ..ComponentStatus::default()
        };
        let status = GradualRolloutStatus {
            components: vec![old],
            ..GradualRolloutStatus::default()
        };
        let own = raw(&component("shop", "apps"));
        let orphans = |allowed: &[String]| read(&own, &status, allowed).unwrap().plan.orphans.len();
        assert_eq!(orphans(&[]), 0);
        assert_eq!(orphans(&["other".into()]), 1);
    }
}
