//! Who made a canary Ingress or an alias Service: which component of which resource. Two resources of one namespace may
//! well have components of one name, so the label with the component alone does not tell.

use super::locations::names;
use super::{CANARY, COMPONENT, MANAGED_BY, MANAGER, ROLLOUT};
use crate::routing::home::Home;
use crate::routing::seen::text;
use crate::routing::stamp::{STAMP_PREFIX, Stamp, stamp_key};
use serde_json::Value;
use std::sync::Arc;

/// A component of a resource, as it marks what it makes.
#[derive(Clone, Debug)]
pub(in crate::routing) struct Maker {
    component: String,
    /// `namespace/name` of the resource; empty where it has no name yet.
    rollout: String,
}

/// Whose an Ingress of a canary's name is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::routing) enum Whose {
    /// This component made it, and it says so.
    Ours,
    /// A component of this name made it, and it does not say of which resource: it was made before that was said, or a
    /// tool took it off.
    OursByName,
    /// A component made it that has let go of it: whoever splits the upstream takes it up.
    LetGo,
    /// It says nothing of who made it, for somebody took off all of that; but it has the name of a canary of ours and
    /// leads to the alias of that name, as nothing else does. Nobody's, until the alias or what is claimed tells.
    Unsaid,
    /// Another component made it, of this resource or another: who, in words.
    Anothers(String),
    /// None of ours.
    Strangers,
}

impl Maker {
    pub(in crate::routing) fn new(component: &str, home: &Home) -> Self {
        let rollout = if home.rollout.is_empty() {
            String::new()
        } else {
            format!("{}/{}", home.namespace, home.rollout)
        };
        Self {
            component: component.to_owned(),
            rollout,
        }
    }

    /// What the annotation of what it makes says; `None` where the resource has no name.
    pub(super) fn mark(&self) -> Option<&str> {
        (!self.rollout.is_empty()).then_some(self.rollout.as_str())
    }

    pub(super) fn component(&self) -> &str {
        &self.component
    }

    /// Whose an Ingress is.
    pub(super) fn whose(&self, json: &Value) -> Whose {
        let labelled = component_of(json);
        let by_name = labelled == Some(self.component.as_str()) || is_marked(&self.component, json);
        let marked = is_stamped(json);
        match rollout_of(json) {
            Some(rollout) if !self.rollout.is_empty() => {
                if rollout != self.rollout {
                    Whose::Anothers(who(labelled, Some(rollout)))
                } else if by_name {
                    Whose::Ours
                } else if labelled.is_some() {
                    Whose::Anothers(who(labelled, Some(rollout)))
                } else {
                    unsaid(json)
                }
            }
            Some(_) | None if labelled.is_some() && !marked => Whose::LetGo,
            Some(_) | None if by_name => Whose::OursByName,
            Some(_) | None if labelled.is_some() && !self.rollout.is_empty() => {
                Whose::Anothers(who(labelled, None))
            }
            Some(_) | None => unsaid(json),
        }
    }

    /// Whether this component made the Ingress, wherever it stands: by its labels, or, where a tool replaced those, by
    /// our mark and by where it leads.
    pub(super) fn made(&self, json: &Arc<Value>) -> bool {
        matches!(self.whose(json), Whose::Ours | Whose::OursByName)
            && (component_of(json) == Some(self.component.as_str()) || leads_to_its_alias(json))
    }

    /// Another resource that an alias Service says it was made for.
    pub(super) fn of_another_resource(&self, alias: &Value) -> Option<Whose> {
        let rollout = rollout_of(alias).filter(|_| !self.rollout.is_empty())?;
        (rollout != self.rollout).then(|| Whose::Anothers(who(component_of(alias), Some(rollout))))
    }

    /// Whether another component made an alias Service.
    pub(super) fn is_alias_of_another(&self, json: &Value) -> bool {
        let other = |rollout: &str| !self.rollout.is_empty() && rollout != self.rollout;
        component_of(json).is_some_and(|component| component != self.component)
            || rollout_of(json).is_some_and(other)
    }

    /// Whether this component made an alias Service, as far as it tells.
    pub(super) fn made_alias(&self, json: &Value) -> bool {
        component_of(json) == Some(self.component.as_str()) && !self.is_alias_of_another(json)
    }
}

/// The component that the labels of one of ours name.
fn component_of(json: &Value) -> Option<&str> {
    let labels = json.pointer("/metadata/labels")?;
    let label = |key: &str| labels.get(key)?.as_str();
    (label(MANAGED_BY) == Some(MANAGER))
        .then(|| label(COMPONENT))
        .flatten()
}

/// The resource that it was made for, where it says.
fn rollout_of(json: &Value) -> Option<&str> {
    let annotations = json.pointer("/metadata/annotations")?;
    annotations.get(ROLLOUT)?.as_str().filter(|said| !said.is_empty())
}

/// Whether an Ingress carries the mark of this component's writes.
fn is_marked(component: &str, json: &Value) -> bool {
    let mark = json
        .pointer("/metadata/annotations")
        .and_then(|a| a.get(stamp_key(component))?.as_str());
    mark.is_some_and(|mark| mark.parse::<Stamp>().is_ok())
}

/// Whether it carries the mark of any component's writes: what was let go of has none.
fn is_stamped(json: &Value) -> bool {
    let annotations = json.pointer("/metadata/annotations").and_then(Value::as_object);
    annotations.is_some_and(|all| all.keys().any(|key| key.starts_with(STAMP_PREFIX)))
}

/// Whose an Ingress is that says nothing of who made it.
fn unsaid(json: &Value) -> Whose {
    let (_, name) = names(json);
    let ours = name.starts_with(CANARY) && !is_stamped(json) && leads_to_its_alias(json);
    if ours { Whose::Unsaid } else { Whose::Strangers }
}

/// Whether all its rules lead to an alias of its own name, as those of a canary of ours do: a copy's lead elsewhere.
pub(super) fn leads_to_its_alias(json: &Value) -> bool {
    let (_, name) = names(json);
    let rules = json.pointer("/spec/rules").and_then(Value::as_array);
    let all = rules
        .into_iter()
        .flatten()
        .filter_map(|rule| rule.pointer("/http/paths")?.as_array());
    let mut paths = all.flatten().peekable();
    paths.peek().is_some() && paths.all(|path| text(path, "/backend/service/name") == Some(name))
}

fn who(component: Option<&str>, rollout: Option<&str>) -> String {
    let component = component.map_or_else(String::new, |component| format!("component {component}"));
    match (component.is_empty(), rollout) {
        (false, Some(rollout)) => format!("{component} of the GradualRollout {rollout}"),
        (true, Some(rollout)) => format!("the GradualRollout {rollout}"),
        (_, None) => component,
    }
}

/// What to say to have somebody else's canary let go of, where its maker is no more.
pub(super) fn release_command(json: &Value) -> String {
    let (namespace, name) = names(json);
    let annotations = json.pointer("/metadata/annotations").and_then(Value::as_object);
    let keys = annotations.into_iter().flat_map(serde_json::Map::keys);
    let marks: Vec<String> = keys
        .filter(|key| key.as_str() == ROLLOUT || key.starts_with(STAMP_PREFIX))
        .map(|key| format!("{key}-"))
        .collect();
    let resource = text(json, "/kind").unwrap_or("ingress").to_lowercase();
    format!(
        "kubectl -n {namespace} annotate {resource} {name} {}",
        marks.join(" ")
    )
}
