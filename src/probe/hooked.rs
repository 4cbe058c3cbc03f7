//! Hooks as routed objects: what they say put into an object's form, and a patch of that turned into what they are told.

use super::hooks::{HookFailure, HookState, Hooks};
use crate::routing::{Called, ObjectPatch, PatchBody, Stamp, Target, hook_object};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is no object of the cluster has no versions of its own: each of these is greater than those before.
pub fn later() -> u64 {
    static VERSION: AtomicU64 = AtomicU64::new(1);
    VERSION.fetch_add(1, Ordering::Relaxed)
}

impl Hooks {
    /// What a hook says now, as an object.
    pub async fn read(&self, target: &Target<'_>, called: Called<'_>) -> Result<Arc<Value>, HookFailure> {
        // An answer is as old as its question.
        let version = later();
        let said = self.get(called.hook, called.component).await?;
        Ok(object(target, &said, version))
    }

    /// Sets what was drafted from `read`, and gives what the hook says afterwards.
    pub async fn write(
        &self,
        target: &Target<'_>,
        called: Called<'_>,
        read: &Value,
        patch: &ObjectPatch,
    ) -> Result<Arc<Value>, HookFailure> {
        let unusable = |message: String| HookFailure::Refused(message);
        let mut written = read.clone();
        let PatchBody::Json(operations) = &patch.body;
        json_patch::patch(&mut written, operations).map_err(|e| unusable(e.to_string()))?;
        let wanted = target.read(&written).map_err(|e| unusable(e.to_string()))?;
        let state = HookState {
            weight: wanted.weight,
            id: wanted.stamp.as_ref().map(|stamp| stamp.id().to_owned()),
            reason: wanted.stamp.as_ref().map(|stamp| stamp.reason().to_owned()),
        };
        let before = read.pointer("/spec/id").and_then(Value::as_str);
        let said = self.put(called.hook, called.component, &state, before).await?;
        // Only now: a question that was asked before this answer came must not overtake it.
        Ok(object(target, &said, later()))
    }
}

impl Hooks {
    /// Puts back what cannot be read, and why it cannot: 0 is right whatever it says. Either way a sentence: that it was
    /// set, or not. Never the end of it, for nobody knows what became of it until it is read.
    pub async fn put_back_unread(
        &self,
        target: &Target<'_>,
        called: Called<'_>,
        stamp: &Stamp,
        unread: &str,
    ) -> Result<String, String> {
        let (hook, component) = (called.hook, called.component);
        let put = self
            .put_nothing(hook, component, (stamp.id(), stamp.reason()))
            .await;
        let object = target.object();
        match put {
            Ok(()) => Ok(format!("{object}: 0% was set and cannot be read back: {unread}")),
            Err(failure) => Err(format!(
                "{object}: 0% was not set: {failure}; nor can it be read: {unread}"
            )),
        }
    }
}

fn object(target: &Target<'_>, said: &HookState, version: u64) -> Arc<Value> {
    // What it does not remember of our reason, nobody knows.
    let reason = said.reason.as_deref().unwrap_or("Unknown");
    let stamp = said.id.as_deref().filter(|id| is_ours(id)).and_then(|id| {
        Stamp::new(id, said.weight, reason)
            .or_else(|_| Stamp::new(id, said.weight, "Unknown"))
            .ok()
    });
    Arc::new(hook_object(
        target.object(),
        target.stamp_key(),
        said.weight,
        (said.id.as_deref(), stamp.as_ref()),
        version,
    ))
}

/// Our writes are named by ULIDs. Whoever else sets a weight must not seem to be us.
fn is_ours(id: &str) -> bool {
    id.parse::<ulid::Ulid>().is_ok()
}
