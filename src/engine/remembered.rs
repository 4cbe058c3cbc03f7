//! What is worked by where a spec cannot be used and no other is known, after a restart: the components that were begun,
//! and of the spec every part that is not itself at fault. They are judged and put back, and nothing rises.

use super::persist::{self, Sound, read};
use crate::cluster::rollouts::RawRollout;
use crate::rollout::plan::{Plan, UNKNOWN, routers_digest};
use crate::rollout::spec::Component;
use crate::rollout::status::GradualRolloutStatus;
use crate::rollout::weight::Weight;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Read in this order: what decides where traffic goes back before what decides when.
const FIRST: [&str; 4] = ["rollback", "judge", "complaints", "checks"];
/// Parts that are put together from the status and from what is read at the end.
const APART: [&str; 4] = ["components", "steps", "phases", "allowJump"];
/// What of a check may be missing, the first first: nothing rises, so a promotion's limits are needed least.
const SPARE: [&str; 4] = ["promote", "for", "baseline", "rollback"];
/// A hold that is surely no slip: nothing rises, so it decides nothing.
const HOLD: &str = "1d";

/// A plan that was put together.
#[derive(Debug)]
pub(super) struct Remembered {
    /// What is worked by.
    pub(super) sound: Sound,
    /// Parts of the spec that are not, because they are at fault.
    pub(super) without: Vec<String>,
}

impl Remembered {
    /// What holds until the spec is mended, in words.
    pub(super) fn words(&self) -> String {
        if self.without.is_empty() {
            return "until it is mended nothing rises, and the rest of the spec holds".to_owned();
        }
        format!(
            "until it is mended nothing rises, and the defaults hold in place of {}",
            self.without.join(", ")
        )
    }
}

/// What can still be worked by; `None` where nothing of it was ever begun.
pub(super) fn remembered(
    raw: &RawRollout,
    status: &GradualRolloutStatus,
    allowed: &[String],
) -> Option<Remembered> {
    let spec = persist::without_nulls(&raw.spec);
    let known: Vec<&Component> = status
        .components
        .iter()
        .filter(|c| !c.detached)
        .filter_map(|c| c.definition.as_deref())
        .collect();
    // By the routers that the status remembers, the slip may be gone.
    if !known.is_empty()
        && let Some(spec) = with_routers(&spec, &known)
        && let Ok(sound) = read(&with(raw, spec), status, allowed)
    {
        return Some(Remembered {
            sound,
            without: Vec::new(),
        });
    }
    let components = begun(&spec, &known, status);
    if components.is_empty() {
        return None;
    }
    let bare =
        json!({"components": components, "allowJump": true, "steps": [{"weight": "100%", "hold": HOLD}]});
    let alone = json!({"components": known, "allowJump": true, "steps": [{"weight": "100%", "hold": HOLD}]});
    let reads = |spec: &Value| read(&with(raw, spec.clone()), status, allowed);
    // What carries traffic first: others are left out where they stand in its way.
    let base = [bare, alone].into_iter().find(|spec| reads(spec).is_ok())?;
    let (whole, mut without) = pieced(&spec, &base);
    for (stepped, lacks) in steps(&spec, &whole) {
        if let Ok(sound) = reads(&stepped) {
            without.extend(lacks);
            return Some(unknown(sound, without));
        }
    }
    if spec.get("phases").is_some() {
        without.push("phases".to_owned());
    }
    if let Ok(sound) = reads(&whole) {
        return Some(unknown(sound, without));
    }
    let nothing = vec!["everything but the components".to_owned()];
    reads(&base).ok().map(|sound| unknown(sound, nothing))
}

fn with(raw: &RawRollout, spec: Value) -> RawRollout {
    RawRollout { spec, ..raw.clone() }
}

/// Nobody knows what the plan is to become, so what goes back by this one waits for a person.
fn unknown(mut sound: Sound, without: Vec<String>) -> Remembered {
    for planned in &mut sound.plan.components {
        UNKNOWN.clone_into(&mut planned.fingerprint);
    }
    Remembered { sound, without }
}

/// The spec with its components as the status remembers them.
fn with_routers(spec: &Value, known: &[&Component]) -> Option<Value> {
    let mut spec = spec.clone();
    let components = spec.pointer_mut("/components")?.as_array_mut()?;
    for definition in known {
        let same = components
            .iter_mut()
            .find(|c| c.get("name").and_then(Value::as_str) == Some(&definition.name));
        if let Some(component) = same {
            *component = serde_json::to_value(definition).ok()?;
        }
    }
    Some(spec)
}

/// The components that were begun: what carries canary traffic as the status remembers it, and what is back at 0 where
/// the spec still names the very routers that it was put back by.
fn begun(spec: &Value, known: &[&Component], status: &GradualRolloutStatus) -> Vec<Value> {
    let is_back = |component: &Component| {
        let c = status.component(&component.name).filter(|c| !c.detached);
        c.is_some_and(|c| c.back.is_some() && c.back == Some(routers_digest(component)))
    };
    let written = spec.pointer("/components").and_then(Value::as_array);
    // What the spec has removed is an orphan beside them, as by any spec; where all of it is, it is all there is.
    let named: Vec<&str> = names(spec).collect();
    let is_named = |c: &&&Component| named.contains(&c.name.as_str());
    let mut all: Vec<Component> = known.iter().filter(is_named).map(|c| (*c).clone()).collect();
    if all.is_empty() {
        all = known.iter().map(|c| (*c).clone()).collect();
    }
    for component in written.into_iter().flatten() {
        let Ok(component) = serde_json::from_value::<Component>(component.clone()) else {
            continue;
        };
        if !all.iter().any(|c| c.name == component.name) && is_back(&component) {
            all.push(component);
        }
    }
    let names: Vec<String> = all.iter().map(|c| c.name.clone()).collect();
    // In the order of the status, which is the spec's as it was.
    all.sort_by_key(|c| status.components.iter().position(|known| known.name == c.name));
    for component in &mut all {
        // Whom it goes after decides how it rises, and nothing rises.
        if let Some(after) = &mut component.depends_on {
            after.retain(|name| names.contains(name));
        }
    }
    all.iter().filter_map(|c| serde_json::to_value(c).ok()).collect()
}

/// Whether the plan can be read, whoever's the routes are.
fn reads(spec: &Value) -> bool {
    let spec = RawRollout {
        spec: spec.clone(),
        ..RawRollout::default()
    };
    persist::spec(&spec).is_ok_and(|spec| Plan::parse(&spec).is_ok())
}

fn and(base: &Value, key: &str, value: Value) -> Value {
    let mut spec = base.clone();
    if let Some(members) = spec.as_object_mut() {
        members.insert(key.to_owned(), value);
    }
    spec
}

/// The base with every other part of the spec that can be read, each by itself, and the names of those that cannot.
fn pieced(spec: &Value, base: &Value) -> (Value, Vec<String>) {
    let (mut whole, mut without) = (base.clone(), Vec::new());
    let Some(members) = spec.as_object() else {
        return (whole, without);
    };
    let rest = members.keys().map(String::as_str);
    let rest = rest.filter(|key| !FIRST.contains(key) && !APART.contains(key));
    for key in FIRST.into_iter().chain(rest) {
        let Some(value) = members.get(key) else { continue };
        let full = and(&whole, key, value.clone());
        if reads(&full) {
            whole = full;
            continue;
        }
        let fits = |value: &Value| reads(&and(&whole, key, value.clone()));
        let (kept, lacks) = sifted(value, fits);
        without.extend(lacks.into_iter().map(|what| {
            if what.is_empty() {
                key.to_owned()
            } else {
                format!("{key}.{what}")
            }
        }));
        if let Some(kept) = kept {
            whole = and(&whole, key, kept);
        }
    }
    (whole, without)
}

/// What of a value can be read, and the names of what cannot; an empty name is the value itself.
fn sifted(value: &Value, fits: impl Fn(&Value) -> bool) -> (Option<Value>, Vec<String>) {
    let mut lacks = Vec::new();
    match value {
        Value::Object(members) => {
            let mut kept = Map::new();
            for (name, member) in members {
                kept.insert(name.clone(), member.clone());
                if !fits(&Value::Object(kept.clone())) {
                    kept.remove(name);
                    lacks.push(name.clone());
                }
            }
            (Some(Value::Object(kept)), lacks)
        }
        Value::Array(items) => {
            let mut kept = Vec::new();
            for (i, item) in items.iter().enumerate() {
                let name = item.get("name").and_then(Value::as_str);
                let name = name.map_or_else(|| i.to_string(), str::to_owned);
                let fits = |item: &Value| {
                    let mut all = kept.clone();
                    all.push(item.clone());
                    fits(&Value::Array(all))
                };
                let (item, lack) = item_of(item, fits);
                lacks.extend(lack.map(|what| format!("{name}{what}")));
                kept.extend(item);
            }
            (Some(Value::Array(kept)), lacks)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => (None, vec![String::new()]),
    }
}

/// An item of a list as it can be read: whole, without the one part that is at fault, or not at all; and what is missing.
fn item_of(item: &Value, fits: impl Fn(&Value) -> bool) -> (Option<Value>, Option<String>) {
    if fits(item) {
        return (Some(item.clone()), None);
    }
    for name in SPARE {
        let mut less = item.clone();
        let had = less.as_object_mut().and_then(|members| members.remove(name));
        if had.is_some() && fits(&less) {
            return (Some(less), Some(format!(".{name}")));
        }
    }
    (None, Some(String::new()))
}

/// The whole with the spec's own steps or phases: as they are, and then as near to that as can be read. Each with what it
/// lacks. Where a component stands in its plan decides which phase's checks it is held to.
fn steps(spec: &Value, whole: &Value) -> Vec<(Value, Vec<String>)> {
    let with = |key: &str, value: Value| {
        let mut spec = whole.clone();
        if let Some(members) = spec.as_object_mut() {
            members.remove("steps");
            members.insert(key.to_owned(), value);
        }
        spec
    };
    if let Some(phases) = spec.get("phases").and_then(Value::as_array) {
        let mine = members(phases, whole);
        let straight = ascending(&mine, whole);
        let mut lacks = Vec::new();
        let mut sifted_phases = without_checks(&straight);
        for (i, phase) in straight.iter().enumerate() {
            let Some(checks) = phase.get("checks") else {
                continue;
            };
            let place = |checks: &Value| {
                let mut all = sifted_phases.clone();
                if let Some(phase) = all.get_mut(i) {
                    *phase = and(phase, "checks", checks.clone());
                }
                all
            };
            let (kept, lack) = sifted(checks, |checks| {
                reads(&with("phases", Value::Array(place(checks))))
            });
            let name = phase.get("name").and_then(Value::as_str).unwrap_or_default();
            lacks.extend(
                lack.into_iter()
                    .map(|what| format!("phases.{name}.checks.{what}")),
            );
            if let Some(kept) = kept {
                sifted_phases = place(&kept);
            }
        }
        return vec![
            (with("phases", Value::Array(mine)), Vec::new()),
            (with("phases", Value::Array(straight)), Vec::new()),
            (with("phases", Value::Array(sifted_phases)), lacks),
        ];
    }
    let Some(steps) = spec.get("steps").and_then(Value::as_array) else {
        return Vec::new();
    };
    let (straight, _) = straightened(steps, Weight::ZERO);
    vec![
        (with("steps", Value::Array(steps.clone())), Vec::new()),
        (with("steps", Value::Array(straight)), Vec::new()),
    ]
}

/// The phases of those components that are worked.
fn members(phases: &[Value], whole: &Value) -> Vec<Value> {
    let names: Vec<&str> = names(whole).collect();
    let mut mine = Vec::new();
    for phase in phases {
        let mut phase = phase.clone();
        if let Some(listed) = phase.get_mut("components").and_then(Value::as_array_mut) {
            listed.retain(|name| name.as_str().is_some_and(|name| names.contains(&name)));
            if listed.is_empty() {
                continue;
            }
        }
        mine.push(phase);
    }
    mine
}

fn without_checks(phases: &[Value]) -> Vec<Value> {
    let mut phases = phases.to_vec();
    for members in phases.iter_mut().filter_map(Value::as_object_mut) {
        members.remove("checks");
    }
    phases
}

/// The phases without gates, with weights that never fall along a component's steps; a phase that has none left is gone.
fn ascending(phases: &[Value], whole: &Value) -> Vec<Value> {
    let mut reached: BTreeMap<&str, Weight> = names(whole).map(|name| (name, Weight::ZERO)).collect();
    let mut all = Vec::new();
    for phase in phases {
        let listed = phase.get("components").and_then(Value::as_array);
        let walks = |name: &str| listed.is_none_or(|all| all.iter().any(|one| one.as_str() == Some(name)));
        let mut mine: Vec<_> = reached.iter_mut().filter(|(name, _)| walks(name)).collect();
        let floor = mine.iter().map(|(_, weight)| **weight).max().unwrap_or_default();
        let steps = phase.get("steps").and_then(Value::as_array);
        let (steps, last) = straightened(steps.map_or(&[][..], Vec::as_slice), floor);
        if steps.is_empty() {
            continue;
        }
        for (_, weight) in &mut mine {
            **weight = last;
        }
        let mut phase = and(phase, "steps", Value::Array(steps));
        if let Some(members) = phase.as_object_mut() {
            members.remove("requires");
        }
        all.push(phase);
    }
    all
}

/// The names of a spec's components.
fn names(whole: &Value) -> impl Iterator<Item = &str> {
    let components = whole.get("components").and_then(Value::as_array);
    components
        .into_iter()
        .flatten()
        .filter_map(|c| c.get("name")?.as_str())
}

/// Steps without gates and with holds that can be read, without those that are below a weight or not above the one before;
/// and the last weight.
fn straightened(steps: &[Value], floor: Weight) -> (Vec<Value>, Weight) {
    let (mut kept, mut last) = (Vec::new(), floor);
    for step in steps {
        let weight = step
            .get("weight")
            .and_then(|w| serde_json::from_value::<Weight>(w.clone()).ok());
        let fits = |weight: &Weight| *weight > last || kept.is_empty() && *weight == last && !last.is_zero();
        if let Some(weight) = weight.filter(fits) {
            last = weight;
            kept.push(json!({"weight": weight, "hold": HOLD}));
        }
    }
    (kept, last)
}

#[cfg(test)]
mod tests;
