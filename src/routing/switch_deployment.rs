//! The controller switch in the environment of a Deployment's container.
//!
//! A Deployment's status moves all the time, so its version is demanded only while the component has no stamp yet.
//! Afterwards the stamp's old value is the fence (see [`super::patch`]), and tests name the container and the
//! variables. The list of containers is never replaced.

use super::controller_switch::{EMERGENCY, EMERGENCY_AT, Mode, Reader, emergency, percent, variables};
use super::error::RoutingError;
use super::object::ObjectRef;
use super::patch::{Change, Draft, malformed};
use super::seen::{Reading, member, text};
use super::target::WriteMode;
use crate::rollout::router_spec::{ControllerSwitch, DeploymentFlags};
use crate::rollout::weight::Weight;
use json_patch::jsonptr::PointerBuf;
use serde_json::{Value, json};

const CONTAINERS: [&str; 4] = ["spec", "template", "spec", "containers"];

struct Container<'j> {
    index: String,
    name: &'j str,
    env: Option<&'j Vec<Value>>,
}

/// A variable as it stands.
enum Variable<'j> {
    Absent,
    Plain { index: usize, value: Option<&'j str> },
    FromElsewhere,
}

fn container<'j>(
    switch: &ControllerSwitch,
    object: &ObjectRef,
    json: &'j Value,
) -> Result<Container<'j>, RoutingError> {
    let wanted = switch.container.as_deref().unwrap_or("controller");
    let containers = member(json, "/spec/template/spec/containers")
        .and_then(Value::as_array)
        .ok_or_else(|| malformed(object, "spec.template.spec.containers", "a list"))?;
    let found = containers.iter().enumerate().find_map(|(index, container)| {
        let name = text(container, "/name").filter(|name| *name == wanted)?;
        Some((index, name, container))
    });
    let Some((index, name, container)) = found else {
        let names: Vec<&str> = containers.iter().filter_map(|c| text(c, "/name")).collect();
        return Err(RoutingError::NoSuchContainer {
            object: object.clone(),
            container: wanted.to_owned(),
            found: names.join(", "),
        });
    };
    let env = match member(container, "/env") {
        None => None,
        Some(Value::Array(env)) => Some(env),
        Some(_) => return Err(malformed(object, format!("container {name:?}: env"), "a list")),
    };
    Ok(Container {
        index: index.to_string(),
        name,
        env,
    })
}

impl<'j> Container<'j> {
    fn variable(&self, object: &ObjectRef, name: &str) -> Result<Variable<'j>, RoutingError> {
        let mut found = self
            .env
            .map_or(&[][..], Vec::as_slice)
            .iter()
            .enumerate()
            .filter(|(_, variable)| text(variable, "/name") == Some(name));
        match (found.next(), found.next()) {
            (None, _) => Ok(Variable::Absent),
            (Some((_, variable)), None) if member(variable, "/valueFrom").is_some() => {
                Ok(Variable::FromElsewhere)
            }
            (Some((index, variable)), None) => Ok(Variable::Plain {
                index,
                value: text(variable, "/value"),
            }),
            (Some((first, _)), Some((second, _))) => Err(RoutingError::Ambiguous {
                object: object.clone(),
                what: format!("the variable {name} of container {:?}", self.name),
                found: format!("env[{first}] and env[{second}]"),
                remedy: "remove one",
            }),
        }
    }

    fn value_from_error(&self, object: &ObjectRef, name: &str) -> RoutingError {
        RoutingError::ValueFrom {
            object: object.clone(),
            container: self.name.to_owned(),
            variable: name.to_owned(),
        }
    }
}

/// What mode and percentage say.
pub(super) fn read(
    switch: &ControllerSwitch,
    object: &ObjectRef,
    json: &Value,
) -> Result<Vec<Reading>, RoutingError> {
    let container = container(switch, object, json)?;
    let flags = switch.flags.unwrap_or_default();
    // What could not be written is told now, not at the first raise.
    let owned = variables(switch, String::new(), Mode::Dual);
    for name in owned
        .iter()
        .map(|(name, _)| *name)
        .chain([EMERGENCY, EMERGENCY_AT])
    {
        if let Variable::FromElsewhere = container.variable(object, name)? {
            return Err(container.value_from_error(object, name));
        }
    }
    let reader = Reader {
        object,
        value: |name: &str| match container.variable(object, name) {
            Ok(Variable::Plain { value, .. }) => value,
            Ok(Variable::Absent | Variable::FromElsewhere) | Err(_) => None,
        },
        prefix: "env ",
    };
    let mode = match flags {
        DeploymentFlags::Mode => reader.mode("NETWORKING_MODE")?,
        DeploymentFlags::Switches => reader.switches()?,
        DeploymentFlags::Webhook => reader.webhook()?,
    };
    reader.read("ISTIO_PERCENTAGE", mode)
}

/// What the rollout of the Deployment waits for; `None` when every pod runs what is written.
pub(super) fn waiting_for(json: &Value) -> Option<String> {
    let number = |pointer: &str| json.pointer(pointer).and_then(Value::as_i64).unwrap_or(0);
    let replicas = json
        .pointer("/spec/replicas")
        .and_then(Value::as_i64)
        .unwrap_or(1);
    let (updated, available, all) = (
        number("/status/updatedReplicas"),
        number("/status/availableReplicas"),
        number("/status/replicas"),
    );
    if number("/status/observedGeneration") < number("/metadata/generation") {
        Some("its controller has not seen the change yet".to_owned())
    } else if updated < replicas {
        Some(format!("{updated} of {replicas} pods are updated"))
    } else if all > updated {
        Some(format!("{} old pods have not ended", all - updated))
    } else if available < replicas {
        Some(format!("{available} of {replicas} pods are available"))
    } else {
        None
    }
}

/// Drafts the variables of a weight. What they said before does not matter, so that a rollback is never kept waiting
/// by a value that cannot be read.
pub(super) fn draft(
    switch: &ControllerSwitch,
    object: &ObjectRef,
    json: &Value,
    weight: Weight,
    mode: WriteMode,
    draft: &mut Draft<'_>,
) -> Result<(), RoutingError> {
    let container = container(switch, object, json)?;
    let at = |names: &[&str]| {
        let mut path = PointerBuf::from_tokens(CONTAINERS);
        path.push_back(container.index.as_str());
        for name in names {
            path.push_back(*name);
        }
        path
    };
    draft.same_object();
    draft.test(at(&["name"]), container.name.into());

    let percent = percent(object, "ISTIO_PERCENTAGE", weight)?;
    let networking = Mode::of(weight, switch.at_full.unwrap_or_default());
    let flagged = matches!(
        container.variable(object, EMERGENCY),
        Ok(Variable::Plain {
            value: Some("true"),
            ..
        })
    );
    let mut additions = Vec::new();
    let mut variables = variables(switch, percent, networking);
    let weighing = variables.len();
    variables.extend(emergency(mode, weight, flagged));
    for (position, (name, new)) in variables.into_iter().enumerate() {
        let change = |from: Option<String>| Change {
            path: format!("env {name} of container {:?}", container.name),
            from,
            to: Some(new.clone()),
        };
        match container.variable(object, name) {
            Ok(Variable::Plain { index, value }) => {
                let index = index.to_string();
                draft.test(at(&["env", &index, "name"]), name.into());
                if let Some(value) = value {
                    draft.test(at(&["env", &index, "value"]), value.into());
                }
                if value != Some(&new) {
                    draft.set(
                        at(&["env", &index, "value"]),
                        new.as_str().into(),
                        change(value.map(str::to_owned)),
                    );
                }
            }
            Ok(Variable::Absent) => additions.push((json!({"name": name, "value": new}), change(None))),
            // The flags of an emergency are a courtesy to the controller: they never stand in the rollback's way.
            Ok(Variable::FromElsewhere) | Err(_) if position >= weighing => {}
            Ok(Variable::FromElsewhere) => return Err(container.value_from_error(object, name)),
            Err(error) => return Err(error),
        }
    }
    if additions.is_empty() {
        return Ok(());
    }
    if let Some(env) = container.env {
        // The whole list as it was read: only so is it sure that nobody added the variable meanwhile.
        draft.test(at(&["env"]), Value::Array(env.clone()));
    } else {
        draft.versioned();
        draft.scaffold(at(&["env"]), json!([]));
    }
    for (variable, change) in additions {
        draft.set(at(&["env", "-"]), variable, change);
    }
    Ok(())
}
