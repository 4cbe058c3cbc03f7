//! The share that nginx sends to the gateway, and bringing it back to 0.

use crate::apply::live::texts;
use crate::apply::select::shown;
use crate::cluster::{self, Cluster, annotation, meta};
use crate::finding::{Finding, Severity};
use crate::marks;
use crate::place::Place;
use crate::trouble::Trouble;
use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// Who gives commands; `GitOps` tools know it as a person's hand.
const HAND: &str = "gradual-rollout-cli";

/// How often it is looked whether the traffic is back.
const EVERY: Duration = Duration::from_secs(1);

/// Ingresses that make nginx send a share of some namespaces' requests to a gateway.
async fn splitting(cluster: &Cluster, namespaces: &BTreeSet<String>) -> Result<Vec<String>, Trouble> {
    let mut found = Vec::new();
    for namespace in namespaces {
        let all = cluster.all(&cluster::INGRESS, Some(namespace)).await?;
        let splits = all
            .iter()
            .filter(|ingress| marks::ours(ingress) && splits(ingress));
        found.extend(splits.map(|ingress| format!("{namespace}/{}", meta(ingress, "name"))));
    }
    Ok(found)
}

/// Whether an Ingress is a canary with a share.
fn splits(ingress: &Value) -> bool {
    let notes = ingress
        .pointer("/metadata/annotations")
        .and_then(Value::as_object);
    let mut all = notes.into_iter().flatten();
    all.any(|(name, value)| {
        name.ends_with("/canary-weight") && value.as_str().is_none_or(|weight| weight.trim() != "0")
    })
}

/// Brings it back, and waits until it is. Rollouts that send nothing by now are told as well: one that stands at 0 would
/// raise while it is undone.
pub async fn back(
    cluster: &Cluster,
    namespaces: &BTreeSet<String>,
    wait: Duration,
    place: &mut Place<'_>,
) -> Result<Vec<String>, Trouble> {
    let told = tell(cluster, namespaces, (place.now)()).await?;
    let splitting_now = splitting(cluster, namespaces).await?;
    if splitting_now.is_empty() {
        return Ok(told);
    }
    if told.is_empty() {
        return Err(nobody(&splitting_now));
    }
    writeln!(
        place.err,
        "waiting until nginx has all requests again; told: {}",
        told.join(", ")
    )?;
    let mut waited = Duration::ZERO;
    loop {
        let left = splitting(cluster, namespaces).await?;
        if left.is_empty() {
            return Ok(told);
        }
        if (place.stopped)() {
            return Err(Trouble::TimedOut(format!(
                "told to end while nginx still sends requests to the gateway by {}; the rollouts were told to go back, and nothing else was undone: ask again for the same",
                left.join(", ")
            )));
        }
        if waited >= wait {
            return Err(Trouble::TimedOut(format!(
                "after {} s nginx still sends requests to the gateway by {}: look at gradual-rollout status, and whether its daemon runs: without one, gradual-rollout emergency-rollback takes the share back. Nothing was undone; ask again when it is back",
                wait.as_secs(),
                left.join(", ")
            )));
        }
        tokio::time::sleep(EVERY).await;
        waited += EVERY;
    }
}

/// That nginx sends a share again: a raise that was under way when its rollout was told came through meanwhile, or
/// somebody raised by hand.
pub async fn again(cluster: &Cluster, namespaces: &BTreeSet<String>) -> Result<Option<Finding>, Trouble> {
    let splitting = splitting(cluster, namespaces).await?;
    Ok((!splitting.is_empty()).then(|| Finding {
        code: "ROLLBACK-SHARE-AGAIN",
        severity: Severity::Blocker,
        object: "rollback".to_owned(),
        message: format!(
            "nginx sends requests to the gateway again, by {}, so nothing was closed there",
            shown(&splitting)
        ),
        remedy: "look at gradual-rollout status, and ask again: it is brought back first".to_owned(),
    }))
}

/// Every rollout that splits Ingresses of some namespaces, with the components that do.
async fn sending(
    cluster: &Cluster,
    namespaces: &BTreeSet<String>,
) -> Result<Vec<(Value, Vec<String>)>, Trouble> {
    let all = cluster.all(&cluster::GRADUAL_ROLLOUT, None).await?;
    let sending = all.into_iter().map(|rollout| {
        let components = components(&rollout, namespaces);
        (rollout, components)
    });
    Ok(sending.filter(|(_, components)| !components.is_empty()).collect())
}

/// What [`back`] would tell, as `namespace/name`; refused as it is there where nobody could be told.
pub async fn telling(cluster: &Cluster, namespaces: &BTreeSet<String>) -> Result<Vec<String>, Trouble> {
    let splitting = splitting(cluster, namespaces).await?;
    let told: Vec<String> = sending(cluster, namespaces)
        .await?
        .iter()
        .map(|(rollout, _)| format!("{}/{}", meta(rollout, "namespace"), meta(rollout, "name")))
        .collect();
    if told.is_empty() && !splitting.is_empty() {
        return Err(nobody(&splitting));
    }
    Ok(told)
}

fn nobody(splitting: &[String]) -> Trouble {
    Trouble::Refused(format!(
        "nginx sends requests to the gateway by {}, and no GradualRollout of these namespaces could be told to stop: take the share back first (gradual-rollout rollback, or kubectl delete ingress). Nothing was undone",
        splitting.join(", ")
    ))
}

/// Tells every rollout that splits Ingresses of some namespaces to go back. A lowering command never expires, and one
/// more of it does nothing.
async fn tell(
    cluster: &Cluster,
    namespaces: &BTreeSet<String>,
    now: Timestamp,
) -> Result<Vec<String>, Trouble> {
    let mut told = Vec::new();
    for (rollout, components) in sending(cluster, namespaces).await? {
        let (namespace, name) = (meta(&rollout, "namespace"), meta(&rollout, "name"));
        let millis = u64::try_from(now.as_millisecond()).unwrap_or_default();
        let id = ulid::Ulid::from_parts(millis, ulid::Ulid::generate().random());
        let wish = json!({
            "components": components, "reason": "migrate rollback", "who": HAND,
        });
        let key = format!("rollout.sealos.io/command.rollback.{id}");
        let patch = json!({"metadata": {"annotations": {key: wish.to_string()}}});
        let params = PatchParams {
            field_manager: Some(HAND.to_owned()),
            ..PatchParams::default()
        };
        cluster
            .must(&cluster::GRADUAL_ROLLOUT, Some(namespace))?
            .patch(name, &params, &Patch::Merge(&patch))
            .await
            .map_err(|error| {
                Trouble::kube(
                    format!("tell GradualRollout {namespace}/{name} to go back"),
                    &error,
                )
            })?;
        told.push(format!("{namespace}/{name}"));
    }
    Ok(told)
}

/// The components of a rollout that split Ingresses of some namespaces.
fn components(rollout: &Value, namespaces: &BTreeSet<String>) -> Vec<String> {
    let all = rollout.pointer("/spec/components").and_then(Value::as_array);
    let home = meta(rollout, "namespace");
    let splits = |component: &&Value| {
        let routers = component.get("routers").and_then(Value::as_array);
        routers.into_iter().flatten().any(|router| {
            let Some(chosen) = router.pointer("/ingressNginx/ingresses") else {
                return false;
            };
            let mut named = texts(chosen, "/namespaces").peekable();
            if named.peek().is_none() {
                return namespaces.contains(home);
            }
            named.any(|name| namespaces.contains(name))
        })
    };
    let names = all.into_iter().flatten().filter(splits);
    names
        .filter_map(|component| component.get("name")?.as_str())
        .map(ToOwned::to_owned)
        .collect()
}

/// Rollouts of this program whose components are all of some namespaces: nothing is left for them to do.
pub async fn done_with(cluster: &Cluster, namespaces: &BTreeSet<String>) -> Result<Vec<Value>, Trouble> {
    let all = cluster.all(&cluster::GRADUAL_ROLLOUT, None).await?;
    Ok(all
        .into_iter()
        .filter(|rollout| marks::ours(rollout) && annotation(rollout, marks::HANDED_OVER).is_some())
        .filter(|rollout| {
            let count = rollout
                .pointer("/spec/components")
                .and_then(Value::as_array)
                .map_or(0, Vec::len);
            components(rollout, namespaces).len() == count
        })
        .collect())
}
