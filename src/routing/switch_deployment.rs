//! The controller switch in the environment of a Deployment's container.
//!
//! A Deployment's status moves all the time, so its version is demanded only while the component has no stamp yet.
//! Afterwards the stamp's old value is the fence (see [`super::patch`]), and tests name the container and the
//! variables. The list of containers is never replaced.

use super::controller_switch::{
    EMERGENCY, EMERGENCY_AT, Mode, Reader, emergency, never_above, percent, variables,
};
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
    fn at(&self, names: &[&str]) -> PointerBuf {
        let mut path = PointerBuf::from_tokens(CONTAINERS);
        path.push_back(self.index.as_str());
        for name in names {
            path.push_back(*name);
        }
        path
    }

    fn change(&self, name: &str, from: Option<&str>, to: &str) -> Change {
        Change {
            path: format!("env {name} of container {:?}", self.name),
            from: from.map(str::to_owned),
            to: Some(to.to_owned()),
        }
    }

    /// Drafts a variable that stands there with a plain value.
    fn set(&self, name: &str, (index, value): (usize, Option<&str>), new: &str, draft: &mut Draft<'_>) {
        let index = index.to_string();
        draft.test(self.at(&["env", &index, "name"]), name.into());
        if let Some(value) = value {
            draft.test(self.at(&["env", &index, "value"]), value.into());
        }
        if value != Some(new) {
            let change = self.change(name, value, new);
            draft.set(self.at(&["env", &index, "value"]), new.into(), change);
        }
    }

    /// Every place of a variable, in the order in which they count.
    fn all(&self, name: &str) -> Vec<(usize, &'j Value)> {
        let env = self.env.map_or(&[][..], Vec::as_slice).iter().enumerate();
        env.filter(|(_, variable)| text(variable, "/name") == Some(name))
            .collect()
    }

    fn variable(&self, object: &ObjectRef, name: &str) -> Result<Variable<'j>, RoutingError> {
        let mut found = self.all(name).into_iter();
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

/// The container that a lowering writes to: where the one that is meant was renamed, the only one that has its variables.
fn container_to_lower<'j>(
    switch: &ControllerSwitch,
    object: &ObjectRef,
    json: &'j Value,
) -> Result<Container<'j>, RoutingError> {
    let strict = container(switch, object, json);
    let Err(RoutingError::NoSuchContainer { .. }) = strict else {
        return strict;
    };
    let owned = variables(switch, String::new(), Mode::Ingress);
    let all = member(json, "/spec/template/spec/containers").and_then(Value::as_array);
    let mut having = all.into_iter().flatten().filter_map(|one| {
        let name = text(one, "/name")?;
        let named = ControllerSwitch {
            container: Some(name.to_owned()),
            ..switch.clone()
        };
        let found = container(&named, object, json).ok()?;
        let has = |(name, _): &(&str, String)| !found.all(name).is_empty();
        owned.iter().any(has).then_some(found)
    });
    match (having.next(), having.next()) {
        (Some(found), None) => Ok(found),
        _ => strict,
    }
}

/// What a lowering cannot write, as sentences: variables that take their value from elsewhere.
pub(super) fn left(switch: &ControllerSwitch, object: &ObjectRef, json: &Value) -> Vec<String> {
    let Ok(container) = container_to_lower(switch, object, json) else {
        return Vec::new();
    };
    let owned = variables(switch, String::new(), Mode::Ingress);
    // Of several the last counts.
    let from_elsewhere = |name: &str| {
        let all = container.all(name);
        all.last()
            .is_some_and(|(_, variable)| member(variable, "/valueFrom").is_some())
    };
    let left = owned.into_iter().filter(|(name, _)| from_elsewhere(name));
    left.map(|(name, _)| container.value_from_error(object, name).to_string())
        .collect()
}

/// Drafts the variables of a weight. What they said before does not matter, so that a rollback is never kept waiting
/// by a value that cannot be read. A lowering writes what it can: a variable that stands twice wherever it stands, and
/// one that takes its value from elsewhere not at all.
pub(super) fn draft(
    switch: &ControllerSwitch,
    object: &ObjectRef,
    json: &Value,
    (weight, mode, lowering): (Weight, WriteMode, bool),
    draft: &mut Draft<'_>,
) -> Result<(), RoutingError> {
    let container = if lowering {
        container_to_lower(switch, object, json)?
    } else {
        container(switch, object, json)?
    };
    draft.same_object();
    draft.test(container.at(&["name"]), container.name.into());
    let says = container
        .all("ISTIO_PERCENTAGE")
        .last()
        .and_then(|(_, v)| text(v, "/value"));
    let weight = if lowering {
        never_above(says, weight)
    } else {
        weight
    };
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
    let down = says
        .and_then(|says| says.parse().ok())
        .and_then(Weight::from_percent);
    let stands = flagged && down.is_some_and(|down| down <= weight);
    variables.extend(emergency(mode, weight, (flagged, stands)));
    for (position, (name, new)) in variables.into_iter().enumerate() {
        match container.variable(object, name) {
            Ok(Variable::Plain { index, value }) => container.set(name, (index, value), &new, draft),
            Ok(Variable::Absent) => {
                let change = container.change(name, None, &new);
                additions.push((json!({"name": name, "value": new}), change));
            }
            Ok(Variable::FromElsewhere) | Err(_) if lowering => {
                let plain = container.all(name).into_iter();
                for (index, variable) in plain.filter(|(_, v)| member(v, "/valueFrom").is_none()) {
                    container.set(name, (index, text(variable, "/value")), &new, draft);
                }
            }
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
        draft.test(container.at(&["env"]), Value::Array(env.clone()));
    } else {
        draft.versioned();
        draft.scaffold(container.at(&["env"]), json!([]));
    }
    for (variable, change) in additions {
        draft.set(container.at(&["env", "-"]), variable, change);
    }
    Ok(())
}
