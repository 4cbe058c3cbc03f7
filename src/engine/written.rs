//! A status as it is written: its text, and what of it others wait for.
//!
//! It is long and written often, so no tree is made of it: two texts are compared, and one is sent.

use crate::rollout::status::GradualRolloutStatus;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};

/// A status as it is written.
#[derive(Debug)]
pub(super) struct Written {
    text: Box<RawValue>,
    /// What it has: of these, those that vanish are named when the next one is written.
    members: BTreeSet<String>,
    lowerings: BTreeSet<String>,
    intents: BTreeSet<String>,
}

impl Written {
    /// A status as it is about to be written.
    pub(super) fn of(status: &GradualRolloutStatus) -> Result<Self, serde_json::Error> {
        let text = serde_json::value::to_raw_value(status)?;
        let members: BTreeMap<String, &RawValue> = serde_json::from_str(text.get())?;
        let components = || status.components.iter();
        let lowerings = components().filter_map(|c| Some(c.lowering.as_ref()?.id.clone()));
        let intents = components().filter_map(|c| Some(c.intent.as_ref()?.id.clone()));
        Ok(Self {
            members: members.into_keys().collect(),
            lowerings: lowerings.collect(),
            intents: intents.collect(),
            text,
        })
    }

    /// A status as it was read: what it meant to us, and what else the object has.
    pub(super) fn found(raw: &Value, status: &GradualRolloutStatus) -> Self {
        let mut found = Self::of(status).unwrap_or_else(|error| {
            tracing::error!(%error, "a status that was just read cannot be serialised");
            Self::nothing()
        });
        found.members.extend(
            raw.as_object()
                .into_iter()
                .flatten()
                .map(|(name, _)| name.clone()),
        );
        found
    }

    fn nothing() -> Self {
        Self {
            text: RawValue::NULL.to_owned(),
            members: BTreeSet::new(),
            lowerings: BTreeSet::new(),
            intents: BTreeSet::new(),
        }
    }

    /// Whether it says the same as another.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        self.text.get() == other.text.get()
    }

    /// What it says.
    pub(super) fn read(&self) -> GradualRolloutStatus {
        serde_json::from_str(self.text.get()).unwrap_or_default()
    }

    /// The ids of the lowerings in it.
    pub(super) fn lowerings(&self) -> &BTreeSet<String> {
        &self.lowerings
    }

    /// Whether it declares this raise.
    pub(super) fn declares(&self, intent: &str) -> bool {
        self.intents.contains(intent)
    }

    /// Whether this lowering is anywhere in it.
    pub(super) fn names(&self, order: &str) -> bool {
        self.text.get().contains(order)
    }

    /// The merge patch that makes this of `before`: what vanishes is named, for a merge patch leaves alone what it does
    /// not name. Every member is a list, which is replaced whole, or a scalar.
    pub(super) fn over(&self, before: &Self) -> Result<Box<RawValue>, serde_json::Error> {
        let gone: Vec<&String> = before.members.difference(&self.members).collect();
        let Some(rest) = self.text.get().strip_prefix('{').filter(|_| !gone.is_empty()) else {
            return Ok(self.text.clone());
        };
        let mut patch = String::with_capacity(self.text.get().len() + 64);
        patch.push('{');
        for (n, name) in gone.iter().enumerate() {
            let last = n + 1 == gone.len() && self.members.is_empty();
            patch.push_str(&serde_json::to_string(name)?);
            patch.push_str(if last { ":null" } else { ":null," });
        }
        patch.push_str(rest);
        RawValue::from_string(patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemars::schema_for;
    use serde_json::json;

    #[test]
    fn what_vanishes_from_a_status_is_named_in_the_patch() {
        let status = |value: Value| serde_json::from_value::<GradualRolloutStatus>(value).unwrap();
        let component = json!({"name": "shop"});
        for (old, new) in [
            (
                json!({"phase": "pilot", "frozen": "all", "components": [component]}),
                json!({"phase": "widen"}),
            ),
            (
                json!({"phase": "pilot", "of a later version": {"a": 1}}),
                json!({}),
            ),
            (
                json!({"phase": "pilot"}),
                json!({"phase": "pilot", "progress": "0/1"}),
            ),
            (Value::Null, json!({"phase": "pilot"})),
        ] {
            let before = Written::found(&old, &serde_json::from_value(old.clone()).unwrap_or_default());
            let after = Written::of(&status(new.clone())).unwrap();
            let patch: Value = serde_json::from_str(after.over(&before).unwrap().get()).unwrap();
            let mut patched = old.clone();
            json_patch::merge(&mut patched, &patch);
            assert_eq!(patched, new, "{old} with {patch}");
        }
    }

    #[test]
    fn no_member_of_a_status_is_an_object_of_which_a_part_could_be_left_behind() {
        let schema = serde_json::to_value(schema_for!(GradualRolloutStatus)).unwrap();
        for (name, member) in schema["properties"].as_object().unwrap() {
            let told = member.to_string();
            let scalar = ["array", "string", "integer"].iter().any(|kind| {
                member["type"] == json!(kind)
                    || member["type"]
                        .as_array()
                        .is_some_and(|all| all.contains(&json!(kind)))
            });
            assert!(scalar, "{name}: {told}");
        }
    }

    #[test]
    fn what_was_read_and_is_as_it_was_need_not_be_written() {
        let raw = json!({"phase": "pilot", "components": [{"name": "shop", "intent": {
            "id": "01A", "weight": "5%", "reason": "Step", "at": "2026-03-02T02:00:00Z", "objects": []}}]});
        let status: GradualRolloutStatus = serde_json::from_value(raw.clone()).unwrap();
        let found = Written::found(&raw, &status);
        assert!(found.says_the_same(&Written::of(&status).unwrap()));
        assert!(found.declares("01A") && !found.declares("01B") && found.lowerings().is_empty());
        assert_eq!(found.read(), status);
    }
}
