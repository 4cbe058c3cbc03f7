//! A stand-in for the deployment controller: status follows the pod template after a while.

use super::json::{meta, text};
use super::store::Store;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

/// Watches Deployments for ever: a new generation is seen at once, and rolled out after `delay`. A task of the
/// sandbox; it never returns.
pub async fn roll_out_deployments(store: Store, delay: Duration) {
    let mut changes = store.subscribe("deployments.apps");
    let mut due: BTreeMap<(Instant, String, String), i64> = BTreeMap::new();
    for deployment in store.list("deployments.apps") {
        observe(&store, &deployment, delay, &mut due);
    }
    loop {
        let next = due.keys().next().cloned();
        let at = next.as_ref().map(|(at, _, _)| *at);
        tokio::select! {
            change = changes.recv() => match change {
                Ok(change) if change.deleted => {}
                Ok(change) => observe(&store, &change.object, delay, &mut due),
                Err(RecvError::Lagged(_)) => {
                    for deployment in store.list("deployments.apps") {
                        observe(&store, &deployment, delay, &mut due);
                    }
                }
                Err(RecvError::Closed) => std::future::pending().await,
            },
            () = async { match at { Some(at) => tokio::time::sleep_until(at).await, None => std::future::pending().await } } => {
                if let Some(key) = next
                    && let Some(generation) = due.remove(&key)
                {
                    finish(&store, &key.1, &key.2, generation);
                }
            }
        }
    }
}

fn number(object: &Value, pointer: &str) -> i64 {
    object
        .pointer(pointer)
        .and_then(Value::as_i64)
        .unwrap_or_default()
}

/// Sees a new generation: until it is rolled out no replica is up to date.
fn observe(
    store: &Store,
    deployment: &Arc<Value>,
    delay: Duration,
    due: &mut BTreeMap<(Instant, String, String), i64>,
) {
    let generation = number(deployment, "/metadata/generation");
    if number(deployment, "/status/observedGeneration") == generation {
        return;
    }
    let (namespace, name) = (
        meta(deployment, "namespace").to_owned(),
        meta(deployment, "name").to_owned(),
    );
    let ready = number(deployment, "/status/readyReplicas");
    let status = json!({
        "observedGeneration": generation, "replicas": ready, "readyReplicas": ready, "availableReplicas": ready,
        "updatedReplicas": 0,
        "conditions": conditions(store, deployment, ready > 0, "ReplicaSetUpdated"),
    });
    write(store, &namespace, &name, status);
    due.retain(|(_, ns, n), _| *ns != namespace || *n != name);
    due.insert((Instant::now() + delay, namespace, name), generation);
}

fn finish(store: &Store, namespace: &str, name: &str, generation: i64) {
    let Some(deployment) = store.get("deployments.apps", namespace, name) else {
        return;
    };
    if number(&deployment, "/metadata/generation") != generation {
        return;
    }
    let replicas = number(&deployment, "/spec/replicas");
    let status = json!({
        "observedGeneration": generation, "replicas": replicas, "readyReplicas": replicas,
        "availableReplicas": replicas, "updatedReplicas": replicas,
        "conditions": conditions(store, &deployment, true, "NewReplicaSetAvailable"),
    });
    write(store, namespace, name, status);
}

fn conditions(store: &Store, deployment: &Value, available: bool, progress: &str) -> Value {
    let now = store.stamp();
    let before = deployment.pointer("/status/conditions").and_then(Value::as_array);
    let condition = |kind: &str, status: bool, reason: &str| {
        let status = if status { "True" } else { "False" };
        let since = before
            .into_iter()
            .flatten()
            .find(|c| text(c, "/type") == kind && text(c, "/status") == status)
            .map_or(now.as_str(), |c| text(c, "/lastTransitionTime"));
        json!({"type": kind, "status": status, "reason": reason, "lastTransitionTime": since, "lastUpdateTime": now})
    };
    json!([
        condition(
            "Available",
            available,
            if available {
                "MinimumReplicasAvailable"
            } else {
                "MinimumReplicasUnavailable"
            }
        ),
        condition("Progressing", true, progress),
    ])
}

fn write(store: &Store, namespace: &str, name: &str, status: Value) {
    if let Err(failure) = store.put_status("deployments.apps", namespace, name, status) {
        // It was deleted meanwhile: there is nothing left to report on.
        tracing::debug!(%failure, namespace, name, "unable to write the status of the deployment");
    }
}
