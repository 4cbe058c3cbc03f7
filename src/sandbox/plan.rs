//! The rollouts that are played: the Sealos plan as it is, and the same components in hours instead of weeks.

use crate::rollout::spec::{GradualRollout, GradualRolloutSpec};
use serde_json::{Value, json};

/// The Sealos plan.
const SEALOS: &str = include_str!("../../config/sealos.yaml");

/// A plan that is built into the program and cannot be read: a mistake in the program.
#[derive(Debug, thiserror::Error)]
#[error("the built-in plan cannot be read: {0}")]
pub struct BadPlan(String);

/// Which rollout is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Three weeks, five components.
    Sealos,
    /// The same components in hours: 5%, 10%, 25%, then 50%, 75% and, when approved, 100%.
    Hours,
    /// Three steps in minutes, for real time.
    Minutes,
    /// Two steps of one component in seconds, for real time.
    Seconds,
    /// Hours, with little traffic: a step is promoted when it had too few requests for an hour.
    Quiet,
    /// The frontend and the launchpad in hours, behind routes of the Gateway API instead of Istio's.
    Routes,
}

impl Plan {
    /// The resource as it is written to the store.
    pub fn manifest(self) -> Result<Value, BadPlan> {
        let mut manifest: Value = serde_saphyr::from_str(SEALOS).map_err(|e| BadPlan(e.to_string()))?;
        let spec = match self {
            // Looked at every half a minute: three weeks of looks are what the story's real time is spent on.
            Self::Sealos => json!({"judge": {"interval": "30s"}}),
            Self::Hours => hours("20m", "10s"),
            Self::Quiet => {
                let mut spec = hours("20m", "10s");
                put(
                    &mut spec,
                    "judge",
                    json!({"interval": "10s", "insufficient": {"after": "1h", "then": "promote"}}),
                );
                spec
            }
            Self::Routes => routes(&manifest),
            Self::Minutes => minutes(),
            Self::Seconds => seconds(&manifest),
        };
        if let (Some(old), Value::Object(new)) =
            (manifest.get_mut("spec").and_then(Value::as_object_mut), spec)
        {
            if self != Self::Sealos {
                old.remove("schedule");
                // Their phases end where the platform's edge begins.
                if let Some(components) = old.get_mut("components").and_then(Value::as_array_mut) {
                    components.retain(|c| c.get("name").and_then(Value::as_str) != Some("edge"));
                }
            }
            old.extend(new);
        }
        Ok(manifest)
    }

    /// The same, read.
    pub fn rollout(self) -> Result<GradualRollout, BadPlan> {
        read(&self.manifest()?)
    }
}

fn read(manifest: &Value) -> Result<GradualRollout, BadPlan> {
    let spec = manifest.get("spec").cloned().unwrap_or_default();
    let spec: GradualRolloutSpec = serde_json::from_value(spec).map_err(|e| BadPlan(e.to_string()))?;
    let text = |pointer: &str| {
        manifest
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let mut rollout = GradualRollout::new(&text("/metadata/name"), spec);
    rollout.metadata.namespace = Some(text("/metadata/namespace"));
    Ok(rollout)
}

fn put(spec: &mut Value, key: &str, value: Value) {
    if let Some(spec) = spec.as_object_mut() {
        spec.insert(key.to_owned(), value);
    }
}

fn steps(hold: &str, weights: &[&str]) -> Value {
    weights
        .iter()
        .map(|weight| json!({"weight": weight, "hold": hold}))
        .collect()
}

fn hours(hold: &str, interval: &str) -> Value {
    json!({
        "phases": [
            {"name": "pilot", "components": ["terminal"], "steps": steps(hold, &["5%"])},
            {"name": "controllers", "steps": steps(hold, &["10%", "25%"])},
            {"name": "widen", "steps": steps(hold, &["50%", "75%"])},
            {"name": "cutover", "requires": [{"approval": {}}], "steps": steps(hold, &["100%"])},
        ],
        "judge": {"interval": interval},
    })
}

fn minutes() -> Value {
    json!({
        "phases": [
            {"name": "pilot", "components": ["terminal"], "steps": steps("10s", &["5%"])},
            {"name": "widen", "steps": steps("10s", &["10%", "40%"])},
            {"name": "cutover", "requires": [{"approval": {}}], "steps": steps("10s", &["70%", "100%"])},
        ],
        "checks": [
            {"name": "errors", "for": "10s"}, {"name": "p95", "for": "10s"},
            {"name": "throughput", "promote": "none"},
        ],
        "judge": {"interval": "2s", "settle": "3s"},
    })
}

/// The two components that Istio routes, routed by `HTTPRoute`s.
fn routes(manifest: &Value) -> Value {
    let all = manifest.pointer("/spec/components").and_then(Value::as_array);
    let routed = |component: &Value| {
        let name = component.get("name").and_then(Value::as_str)?;
        component.pointer("/routers/0/istio")?;
        let backend = |arm: &str| json!({"name": format!("{name}-{arm}"), "port": 80});
        let route = json!({"kind": "HTTPRoute", "name": name, "canary": backend("istio"), "control": backend("ingress")});
        let mut component = component.clone();
        put(&mut component, "routers", json!([{ "gatewayApi": route }]));
        Some(component)
    };
    let components: Vec<Value> = all.into_iter().flatten().filter_map(routed).collect();
    let mut spec = hours("20m", "10s");
    put(&mut spec, "components", json!(components));
    let phases = json!([
        {"name": "widen", "steps": steps("20m", &["10%", "25%", "50%", "75%"])},
        {"name": "cutover", "requires": [{"approval": {}}], "steps": steps("20m", &["100%"])},
    ]);
    put(&mut spec, "phases", phases);
    spec
}

/// The frontend alone.
fn seconds(manifest: &Value) -> Value {
    let all = manifest.pointer("/spec/components").and_then(Value::as_array);
    let named = |component: &&Value| component.get("name").and_then(Value::as_str) == Some("frontend");
    let one: Vec<&Value> = all.into_iter().flatten().filter(named).collect();
    let mut spec = minutes();
    put(&mut spec, "components", json!(one));
    put(
        &mut spec,
        "phases",
        json!([{"name": "only", "steps": steps("5s", &["10%", "40%"])}, {"name": "rest", "steps": steps("5s", &["70%", "100%"])}]),
    );
    spec
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::plan;

    #[test]
    fn every_plan_can_be_walked() {
        for which in [
            Plan::Sealos,
            Plan::Hours,
            Plan::Minutes,
            Plan::Seconds,
            Plan::Quiet,
            Plan::Routes,
        ] {
            let rollout = which.rollout().unwrap();
            let parsed = plan::Plan::parse(&rollout.spec)
                .map_err(|p| format!("{which:?}: {p:?}"))
                .unwrap();
            let components = match which {
                Plan::Seconds => 1,
                Plan::Routes => 2,
                Plan::Sealos => 7,
                Plan::Hours | Plan::Quiet | Plan::Minutes => 6,
            };
            assert_eq!(parsed.components.len(), components, "{which:?}");
            for component in &parsed.components {
                assert_eq!(component.steps.last().unwrap().weight.permille(), 1000);
            }
        }
    }
}
