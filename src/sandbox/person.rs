//! The one who is asked where only a person can set a weight: obliging, and done at once.

use super::apiserver::Store;
use crate::rollout::status::GradualRolloutStatus;
use crate::routing::{confirmation, confirmed_key};
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;

const ROLLOUTS: &str = "gradualrollouts.rollout.sealos.io";
/// Who it is, in what is written.
const WHO: &str = "sandbox";

/// Does what is asked for and confirms it, until the story is over.
pub(super) async fn oblige(store: Store) {
    let mut changes = store.subscribe(ROLLOUTS);
    loop {
        for rollout in store.list(ROLLOUTS) {
            // What waits for nobody is not read any further.
            if rollout.get("status").is_some_and(waits) {
                confirm(&store, &rollout);
            }
        }
        if let Err(RecvError::Closed) = changes.recv().await {
            return;
        }
    }
}

fn waits(status: &Value) -> bool {
    let components = status.get("components").and_then(Value::as_array);
    let routers = components
        .into_iter()
        .flatten()
        .filter_map(|component| component.get("routers")?.as_array())
        .flatten();
    routers
        .filter(|router| router.get("router").and_then(Value::as_str) == Some("manual"))
        .any(|router| router.get("waitingFor").is_some())
}

fn confirm(store: &Store, rollout: &Value) {
    let status = rollout.get("status").cloned().unwrap_or_default();
    let Ok(status) = serde_json::from_value::<GradualRolloutStatus>(status) else {
        return;
    };
    for component in &status.components {
        let key = confirmed_key(&component.name);
        let known = rollout
            .pointer("/metadata/annotations")
            .and_then(|all| all.get(&key)?.as_str());
        let Some(said) = confirmation(component, WHO).filter(|said| Some(said.as_str()) != known) else {
            continue;
        };
        let mut changed = rollout.clone();
        let Some(metadata) = changed.get_mut("metadata").and_then(Value::as_object_mut) else {
            continue;
        };
        let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
        if let Some(annotations) = annotations.as_object_mut() {
            annotations.insert(key, said.into());
            if let Err(error) = store.put(changed) {
                tracing::warn!(%error, "nobody could confirm");
            }
            // One at a time: the next is seen at the next change, which this is.
            return;
        }
    }
}
