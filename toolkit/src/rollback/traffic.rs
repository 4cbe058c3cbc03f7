//! The share that nginx sends to the gateway, and bringing it back to 0.

use crate::apply::gateway;
use crate::apply::handed::selects;
use crate::apply::live::texts;
use crate::apply::select::shown;
use crate::cluster::{self, Cluster, annotation, label, meta};
use crate::finding::{Finding, Severity};
use crate::marks;
use crate::place::Place;
use crate::see::{items, text};
use crate::trouble::Trouble;
use gradual_rollout_migration::input::Key;
use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Who gives commands; `GitOps` tools know it as a person's hand.
const HAND: &str = "gradual-rollout-cli";

/// How often it is looked whether the traffic is back.
const EVERY: Duration = Duration::from_secs(1);

/// Whose traffic comes back.
#[derive(Debug, Default)]
pub struct Scope {
    /// The namespaces of all that goes back.
    pub namespaces: BTreeSet<String>,
    /// Where Ingresses were named: those that are there, and their hosts. Of the namespaces others may stay.
    pub only: Option<(BTreeMap<Key, Value>, BTreeSet<String>)>,
    /// Ingresses that stay migrated.
    pub staying: BTreeMap<Key, Value>,
}

/// Ingresses that make nginx send a share of what goes back to a gateway.
async fn canaries(cluster: &Cluster, scope: &Scope) -> Result<Vec<Value>, Trouble> {
    let mut found = Vec::new();
    for namespace in &scope.namespaces {
        let all = cluster.all(&cluster::INGRESS, Some(namespace)).await?;
        let concerned = |ingress: &Value| {
            let named = || items(ingress, "/spec/rules").filter_map(|rule| text(rule, "/host"));
            let has = |hosts: &BTreeSet<String>| {
                named().next().is_none() || named().any(|host| hosts.contains(&host.to_ascii_lowercase()))
            };
            scope.only.as_ref().is_none_or(|(_, hosts)| has(hosts))
        };
        let splits = all.into_iter();
        found.extend(
            splits.filter(|ingress| marks::ours(ingress) && splits_some(ingress) && concerned(ingress)),
        );
    }
    Ok(found)
}

fn names(canaries: &[Value]) -> Vec<String> {
    let name = |ingress: &Value| format!("{}/{}", meta(ingress, "namespace"), meta(ingress, "name"));
    canaries.iter().map(name).collect()
}

async fn splitting(cluster: &Cluster, scope: &Scope) -> Result<Vec<String>, Trouble> {
    Ok(names(&canaries(cluster, scope).await?))
}

/// Whether an Ingress is a canary with a share.
fn splits_some(ingress: &Value) -> bool {
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
    scope: &Scope,
    wait: Duration,
    place: &mut Place<'_>,
) -> Result<Vec<String>, Trouble> {
    let told = tell(cluster, scope, (place.now)()).await?;
    let splitting_now = splitting(cluster, scope).await?;
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
        let left = splitting(cluster, scope).await?;
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
pub async fn again(cluster: &Cluster, scope: &Scope) -> Result<Option<Finding>, Trouble> {
    let splitting = splitting(cluster, scope).await?;
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

/// Every rollout that splits what goes back, with the components that do.
async fn sending(cluster: &Cluster, scope: &Scope) -> Result<Vec<(Value, Vec<String>)>, Trouble> {
    let all = cluster.all(&cluster::GRADUAL_ROLLOUT, None).await?;
    let made = canaries(cluster, scope).await?;
    let sending = all.into_iter().map(|rollout| {
        let components = components(&rollout, scope, &made);
        (rollout, components)
    });
    Ok(sending.filter(|(_, components)| !components.is_empty()).collect())
}

/// What [`back`] would tell, as `namespace/name`; refused as it is there where nobody could be told.
pub async fn telling(cluster: &Cluster, scope: &Scope) -> Result<Vec<String>, Trouble> {
    let splitting = splitting(cluster, scope).await?;
    let told: Vec<String> = sending(cluster, scope)
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

/// That Ingresses which stay lose their share as well: a component has one for all that it selects.
pub async fn together(cluster: &Cluster, scope: &Scope) -> Result<Vec<Finding>, Trouble> {
    let mut findings = Vec::new();
    for (rollout, components) in sending(cluster, scope).await? {
        let (namespace, name) = gateway::key(&rollout);
        for component in components {
            let of = |one: &&Value| text(one, "/name") == Some(&component);
            let Some(one) = items(&rollout, "/spec/components").find(of) else {
                continue;
            };
            let alone = alone(&rollout, one);
            let others = scope.staying.iter();
            let others = others.filter(|(key, ingress)| selects(&alone, key, ingress));
            let others: Vec<String> = others.map(|(key, _)| format!("{}/{}", key.0, key.1)).collect();
            if others.is_empty() {
                continue;
            }
            findings.push(Finding {
                code: "ROLLBACK-SHARE-TOGETHER",
                severity: Severity::Warning,
                object: cluster::GRADUAL_ROLLOUT.named(&namespace, &name),
                message: format!(
                    "component {component} has one share for all that it selects, so with what goes back that of {} goes back to 0, which stay migrated; the GradualRollout stays for them",
                    shown(&others)
                ),
                remedy: format!(
                    "when this is done, have theirs raised again: gradual-rollout retry -n {namespace} -c {component}"
                ),
            });
        }
    }
    Ok(findings)
}

/// Tells every rollout that splits what goes back to do so. A lowering command never expires, and one
/// more of it does nothing.
async fn tell(cluster: &Cluster, scope: &Scope, now: Timestamp) -> Result<Vec<String>, Trouble> {
    let mut told = Vec::new();
    for (rollout, components) in sending(cluster, scope).await? {
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

/// A rollout with one of its components.
fn alone(rollout: &Value, component: &Value) -> Value {
    json!({"metadata": rollout.get("metadata"), "spec": {"components": [component]}})
}

/// The components of a rollout that split what goes back; `made` are canaries that have a share of it.
fn components(rollout: &Value, scope: &Scope, made: &[Value]) -> Vec<String> {
    let home = meta(rollout, "namespace");
    let within = |component: &Value| {
        items(component, "/routers").any(|router| {
            let Some(chosen) = router.pointer("/ingressNginx/ingresses") else {
                return false;
            };
            let mut named = texts(chosen, "/namespaces").peekable();
            if named.peek().is_none() {
                return scope.namespaces.contains(home);
            }
            named.any(|name| scope.namespaces.contains(name))
        })
    };
    let maker = |component: &Value| {
        let of = format!("{home}/{}", meta(rollout, "name"));
        made.iter().any(|canary| {
            annotation(canary, "rollout.sealos.io/rollout").is_none_or(|rollout| rollout == of)
                && label(canary, "rollout.sealos.io/component")
                    .is_none_or(|name| text(component, "/name") == Some(name))
        })
    };
    let splits = |component: &&Value| {
        within(component)
            && scope.only.as_ref().is_none_or(|(leaving, _)| {
                let alone = alone(rollout, component);
                let chosen = |(key, ingress)| selects(&alone, key, ingress);
                maker(component) || leaving.iter().any(chosen)
            })
    };
    let names = items(rollout, "/spec/components").filter(splits);
    names
        .filter_map(|component| component.get("name")?.as_str())
        .map(ToOwned::to_owned)
        .collect()
}

/// Rollouts of this program for which nothing is left to do: they moved the traffic of what goes back, and select nothing that
/// stays.
pub async fn done_with(cluster: &Cluster, scope: &Scope) -> Result<Vec<Value>, Trouble> {
    let all = cluster.all(&cluster::GRADUAL_ROLLOUT, None).await?;
    Ok(all
        .into_iter()
        .filter(|rollout| marks::ours(rollout) && annotation(rollout, marks::HANDED_OVER).is_some())
        .filter(|rollout| {
            let stays = |(key, ingress)| selects(rollout, key, ingress);
            !components(rollout, scope, &[]).is_empty() && !scope.staying.iter().any(stays)
        })
        .collect())
}
