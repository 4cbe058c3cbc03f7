//! Reading a resource, and writing its status: one write at a time, each on the version it was decided on.

use crate::cluster::rollouts::RawRollout;
use crate::rollout::plan::{Plan, PlannedComponent, Problem};
use crate::rollout::spec::{Component, GradualRolloutSpec, Router};
use crate::rollout::status::GradualRolloutStatus;
use crate::routing::{ClaimKey, ObjectKind, Part, named, needs, targets};
use serde_json::Value;
use std::collections::BTreeMap;

/// A resource that can be worked by.
#[derive(Debug)]
pub(super) struct Sound {
    /// Its plan.
    pub(super) plan: Plan,
    /// The parts of objects that each of its components writes.
    pub(super) claims: BTreeMap<String, Vec<ClaimKey>>,
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
    let (mut problems, mut claims) = (Vec::new(), BTreeMap::<String, Vec<ClaimKey>>::new());
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
        let taken = |key: &&ClaimKey| claims.values().flatten().any(|k| k.overlaps(key));
        if let Some(twice) = own.iter().find(taken) {
            let message = format!("another component of this resource writes {twice} too");
            problems.push(Problem { path, message });
        }
        claims.insert(planned.name().to_owned(), own);
    }
    let all: Vec<ClaimKey> = claims.values().flatten().cloned().collect();
    problems.extend(abandoned(&plan, status, &all, &raw.namespace));
    plan.take_in(status, |component| {
        let keys = named(component, &raw.namespace);
        keys.iter().any(|key| all.iter().any(|k| k.overlaps(key)))
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
    let orphans = plan.orphans.iter();
    claims.extend(orphans.map(|p| (p.name().to_owned(), named(&p.component, &raw.namespace))));
    if problems.is_empty() {
        Ok(Sound { plan, claims })
    } else {
        Err(problems)
    }
}

/// Components whose routers were edited while they carry canary traffic, so that nobody would watch over what is no
/// longer among them. Until that is back such an edit is not taken up.
fn abandoned(
    plan: &Plan,
    status: &GradualRolloutStatus,
    claims: &[ClaimKey],
    namespace: &str,
) -> Vec<Problem> {
    let nginx = |component: &Component| {
        component
            .routers
            .iter()
            .any(|r| matches!(r, Router::IngressNginx(_)))
    };
    let mut problems = Vec::new();
    // One that another takes over by its new name is taken over whole, or somebody stands there alone.
    let gone = status
        .components
        .iter()
        .filter(|c| !c.detached && !plan.names(&c.name));
    for (c, before) in gone.filter_map(|c| Some((c, c.definition.as_deref()?))) {
        let name = &c.name;
        let is_taken = |key: &ClaimKey| claims.iter().any(|k| k.overlaps(key));
        let (taken, left): (Vec<_>, Vec<_>) = routes(before, namespace).into_iter().partition(is_taken);
        let selects = |component: &Component| {
            let nginx = component
                .routers
                .iter()
                .find(|r| matches!(r, Router::IngressNginx(_)));
            nginx.and_then(|router| serde_json::to_value(router).ok())
        };
        let selection = selects(before);
        let same = |p: &&PlannedComponent| selects(&p.component) == selection;
        if let Some(successor) = plan.components.iter().find(same).filter(|_| selection.is_some()) {
            problems.push(Problem {
                path: "spec.components".to_owned(),
                message: format!(
                    "{name} has canary Ingresses with canary traffic, and they bear its name: roll it back before it \
                     is called {}",
                    successor.name()
                ),
            });
        } else if let (Some(taken), Some(order)) = (taken.first(), &c.lowering) {
            problems.push(Problem {
                path: "spec.components".to_owned(),
                message: format!(
                    "{taken} of {name} is another component's now, and {name} is going to {} ({}) and not known to be \
                     there: nobody else would bring it there, so this is taken up then",
                    order.weight, order.reason
                ),
            });
        } else if let (Some(taken), Some(left)) = (taken.first(), left.first()) {
            problems.push(Problem {
                path: "spec.components".to_owned(),
                message: format!(
                    "{taken} of {name}, which has canary traffic, is another component's now, and nobody would watch \
                     over {left}: take over all of its routers, or roll {name} back (or detach it), and this is taken up then"
                ),
            });
        }
    }
    for (i, planned) in plan.components.iter().enumerate() {
        let Some(c) = status.component(planned.name()).filter(|c| !c.detached) else {
            continue;
        };
        let Some(before) = c.definition.as_deref() else {
            continue;
        };
        let left = named(before, namespace)
            .into_iter()
            .find(|key| !claims.iter().any(|k| k.overlaps(key)));
        let renamed = left.as_ref().and_then(followed).unwrap_or_default();
        let left = left.map(|key| key.to_string());
        let left = left.or_else(|| {
            let pairs = pairs(&planned.component);
            let lost = self::pairs(before).into_iter().find(|pair| !pairs.contains(pair));
            lost.map(|(canary, _)| format!("the pair with the canary {canary}"))
        });
        let left = left.or_else(|| {
            (nginx(before) && !nginx(&planned.component)).then(|| "its canary Ingresses".to_owned())
        });
        if let Some(left) = left {
            problems.push(Problem {
                path: format!("spec.components[{i}].routers"),
                message: format!(
                    "{left} would be left with its share of {} at {}, and nobody would watch over it: put it back into \
                     the routers, or roll {} back (or detach it), and this is taken up then{renamed}",
                    planned.name(),
                    c.weight.written.max(c.weight.asked),
                    planned.name()
                ),
            });
        }
    }
    problems
}

/// How the resource follows a named route that was renamed, and keeps its share: whatever has the pair is watched over in
/// between.
fn followed(key: &ClaimKey) -> Option<String> {
    let Part::Route { route, .. } = &key.part else {
        return None;
    };
    (route != "*").then(|| {
        format!(
            "; if {route} was only renamed, take the names out of this router first, so that it goes by the pair, and write \
             the new name in a second edit"
        )
    })
}

/// What a component routes, beside the marks that bear its name.
fn routes(component: &Component, namespace: &str) -> Vec<ClaimKey> {
    let mut all = named(component, namespace);
    all.retain(|key| !matches!(key.part, Part::Stamp(_)));
    all
}

/// The two ends of each router that names them, as they are written: the same route with another pair is another split.
fn pairs(component: &Component) -> Vec<(Value, Value)> {
    let ends = |value: Value| {
        let end = |name: &str| value.get(name).cloned().unwrap_or_default();
        (end("canary"), end("control"))
    };
    component
        .routers
        .iter()
        .filter_map(|router| match router {
            Router::Istio(istio) => serde_json::to_value(istio).ok(),
            Router::GatewayApi(gateway) => serde_json::to_value(gateway).ok(),
            Router::IngressNginx(_) | Router::Hook(_) | Router::Manual(_) | Router::ControllerSwitch(_) => {
                None
            }
        })
        .map(ends)
        .collect()
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
    fn a_renamed_route_is_followed_in_two_edits_and_who_tries_it_in_one_is_told_so() {
        let named = |routes: &[&str]| {
            let mut shop = component("shop", "apps");
            if !routes.is_empty() {
                shop["routers"][0]["istio"]["virtualServices"][0]["routes"] = json!(routes);
            }
            shop
        };
        let problems = |before: &Value, now: &Value| {
            let shop = ComponentStatus {
                name: "shop".into(),
                definition: Some(Box::new(serde_json::from_value(before.clone()).unwrap())),
                ..ComponentStatus::default()
            };
            let status = GradualRolloutStatus {
                components: vec![shop],
                ..GradualRolloutStatus::default()
            };
            read(&raw(now), &status, &[]).err().unwrap_or_default()
        };
        let told = problems(&named(&["p"]), &named(&["pp"]));
        assert!(
            told[0].message.contains("http/p would be left")
                && told[0].message.contains("if p was only renamed"),
            "{told:?}"
        );
        assert_eq!(problems(&named(&["p"]), &named(&[])).len(), 0, "the first edit");
        assert_eq!(problems(&named(&[]), &named(&["pp"])).len(), 0, "the second");
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
