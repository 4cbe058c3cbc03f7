//! What the daemon would refuse beside the plan: names that no object can have, routers and arms that cannot work.

use crate::metrics;
use crate::rollout::plan::{Plan, PlannedGate, Problem};
use crate::rollout::rings::{Course, Rings, Standing};
use crate::rollout::router_spec::Router;
use crate::rollout::spec::GradualRollout;
use crate::routing::{ClaimKey, targets};

/// Every such problem, each with its field. Whether the daemon may write to other namespaces is its settings' word
/// and not judged here.
pub(super) fn problems(rollout: &GradualRollout, plan: &Plan) -> Vec<Problem> {
    let mut problems = names(rollout);
    let namespace = rollout.metadata.namespace.as_deref().unwrap_or("default");
    let mut claims = Vec::<ClaimKey>::new();
    for (i, planned) in plan.components.iter().enumerate() {
        let routers = format!("spec.components[{i}].routers");
        let mut problem = |path: String, message: String| problems.push(Problem { path, message });
        let weights: Vec<_> = planned.steps.iter().map(|s| s.weight).collect();
        let mut own = Vec::new();
        for target in targets(&planned.component, namespace) {
            for error in target.check(&weights) {
                problem(routers.clone(), error.to_string());
            }
            own.extend(target.claims());
        }
        if let Some(twice) = own.iter().find(|key| claims.iter().any(|k| k.overlaps(key))) {
            let message = format!("another component of this rollout writes {twice} too");
            problem(routers, message);
        }
        claims.append(&mut own);
        for error in planned.component.arms.iter().flat_map(metrics::problems) {
            problem(format!("spec.components[{i}].{}", error.path), error.message);
        }
    }
    problems.extend(checks(rollout, plan));
    problems.extend(gates(rollout, plan));
    problems
}

/// Gates that can never open, whatever other rollouts do. A daemon goes on working such a resource, and says it where it
/// waits.
fn gates(rollout: &GradualRollout, plan: &Plan) -> Vec<Problem> {
    let Some(course) = course(rollout, plan) else {
        return Vec::new();
    };
    let rings = Rings::of([(&course, Standing::default())]);
    let problem = |(phase, gate): (usize, &PlannedGate)| {
        let (ring, closes) = rings.through(course.key(), &gate.key)?;
        let path = gate_path(rollout, phase, gate);
        closes.then(|| Problem {
            path,
            message: ring.to_string(),
        })
    };
    course.gates().filter_map(problem).collect()
}

/// What of a rollout waits for others, and is waited for; `None` where it asks about none.
pub(super) fn course(rollout: &GradualRollout, plan: &Plan) -> Option<Course> {
    let namespace = rollout.metadata.namespace.as_deref().unwrap_or("default");
    let name = rollout.metadata.name.as_deref().unwrap_or_default();
    Course::of(namespace, name, plan)
}

/// The list that a gate stands in, as the spec is written.
pub(super) fn gate_path(rollout: &GradualRollout, phase: usize, gate: &PlannedGate) -> String {
    let phase = match rollout.spec.phases {
        Some(_) => format!("spec.phases[{phase}]"),
        None => "spec".to_owned(),
    };
    let step = gate.step.map(|(n, _)| format!(".steps[{n}]")).unwrap_or_default();
    format!("{phase}{step}.requires")
}

/// Checks that no source can be asked, such as a matcher that is no regular expression.
fn checks(rollout: &GradualRollout, plan: &Plan) -> Vec<Problem> {
    let phases = rollout.spec.phases.iter().flatten().zip(&plan.phases);
    let phases = phases.enumerate().map(|(i, (phase, planned))| {
        let path = format!("spec.phases[{i}].checks");
        (path, phase.checks.as_ref(), &planned.checks)
    });
    let own = (
        "spec.checks".to_owned(),
        rollout.spec.checks.as_ref(),
        &plan.checks,
    );
    let mut problems = Vec::new();
    for (path, written, planned) in std::iter::once(own).chain(phases) {
        for (i, check) in written.into_iter().flatten().enumerate() {
            let known = planned.iter().find(|p| p.rule.name == check.name);
            if let Some(Err(message)) = known.map(|p| metrics::gauge::check(&p.source)) {
                let path = format!("{path}[{i}]");
                problems.push(Problem { path, message });
            }
        }
    }
    problems
}

/// Names that the API server would never take, or under which it can have nothing.
fn names(rollout: &GradualRollout) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut subdomain = |path: String, name: &str| {
        if name.is_empty() || name.len() > 253 || !name.split('.').all(is_label) {
            let message = format!(
                "{name:?} is no name of an object: at most 253 of a-z, 0-9, - and ., each part beginning and ending with a letter or digit"
            );
            problems.push(Problem { path, message });
        }
    };
    subdomain(
        "metadata.name".to_owned(),
        rollout.metadata.name.as_deref().unwrap_or_default(),
    );
    let mut namespaces = vec![("metadata.namespace".to_owned(), &rollout.metadata.namespace)];
    for (i, component) in rollout.spec.components.iter().enumerate() {
        for (j, router) in component.routers.iter().enumerate() {
            let at = format!("spec.components[{i}].routers[{j}]");
            match router {
                Router::Istio(istio) => {
                    for (k, routes) in istio.virtual_services.iter().enumerate() {
                        let at = format!("{at}.istio.virtualServices[{k}]");
                        subdomain(format!("{at}.name"), &routes.name);
                        namespaces.push((format!("{at}.namespace"), &routes.namespace));
                    }
                }
                Router::GatewayApi(route) => {
                    let at = format!("{at}.gatewayApi");
                    subdomain(format!("{at}.name"), &route.name);
                    namespaces.push((format!("{at}.namespace"), &route.namespace));
                    for (arm, backend) in [("canary", &route.canary), ("control", &route.control)] {
                        subdomain(format!("{at}.{arm}.name"), &backend.name);
                        namespaces.push((format!("{at}.{arm}.namespace"), &backend.namespace));
                    }
                }
                // An address, which `problem` looks at.
                Router::Hook(_) | Router::Manual(_) => {}
                Router::IngressNginx(nginx) => {
                    let at = format!("{at}.ingressNginx");
                    for (k, name) in nginx.ingresses.names.iter().flatten().enumerate() {
                        subdomain(format!("{at}.ingresses.names[{k}]"), name);
                    }
                    subdomain(format!("{at}.gateway.service"), &nginx.gateway.service);
                    subdomain(format!("{at}.gateway.namespace"), &nginx.gateway.namespace);
                }
                Router::ControllerSwitch(switch) => {
                    let at = format!("{at}.controllerSwitch");
                    for (field, name) in [
                        ("configMap", &switch.config_map),
                        ("deployment", &switch.deployment),
                    ] {
                        if let Some(name) = name {
                            subdomain(format!("{at}.{field}"), name);
                        }
                    }
                }
            }
        }
    }
    for (path, namespace) in namespaces {
        if let Some(name) = namespace
            .as_deref()
            .filter(|name| name.len() > 63 || !is_label(name))
        {
            let message = format!("{name:?} is no namespace: 1 to 63 of a-z, 0-9 and -");
            problems.push(Problem { path, message });
        }
    }
    problems
}

/// A part of a DNS name.
fn is_label(part: &str) -> bool {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !part.is_empty() && part.chars().all(legal) && !part.starts_with('-') && !part.ends_with('-')
}
