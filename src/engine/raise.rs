//! Raises: the routed objects are read, the raise is persisted, and each write carries the version of that read.

use super::doors::Doors;
use super::lane::Objects;
use super::order::{Pair, swapped};
use super::select::{NoStock, Prepared, stock};
use crate::cluster::cache::{Cache, Cached};
use crate::cluster::objects::{self, FIELD_MANAGER};
use crate::rollout::observation::Raise;
use crate::rollout::spec::Component;
use crate::rollout::status::{Fence, Intent};
use crate::rollout::weight::Weight;
use crate::routing::{Home, ObjectKind, ObjectRef, Stamp, Target, Write, WriteMode, found, write_together};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// How long a controller's pods may take to roll out before the edge follows.
const ROLLOUT_TIMEOUT: Duration = Duration::from_secs(300);
/// As many fences are written down: the status has its bounds, and each write carries its own fence anyway.
const FENCES: usize = 16;
/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// What is known of what a raise is about.
#[derive(Debug)]
pub(super) struct Known {
    /// The resource.
    pub(super) home: Home,
    /// What its selections find and is another's, and whose.
    pub(super) taken: BTreeMap<ObjectRef, String>,
    /// What its selections had found when it was last told what it claims.
    pub(super) found: BTreeSet<ObjectRef>,
}

/// (a) Reads every routed object of a component afresh. Refuses when they are not where the raise starts from, or when
/// something speaks against a split. What we make and is not there yet is made, at weight 0; what nothing wants any
/// more is deleted. A raise to the weight that the component has is for what is new alone.
pub(super) async fn prepare(
    doors: Doors,
    component: Component,
    known: Known,
    from: Weight,
    raise: Raise,
) -> Result<Prepared, String> {
    let mut stock =
        stock(&doors.cache, &component, &known.home.namespace).map_err(|missing| match missing {
            NoStock::Syncing => "what it selects is being listed".to_owned(),
            NoStock::Problem(message) => message,
        })?;
    stock.set_taken(known.taken);
    let found = found(&component, &known.home, &stock);
    if let Some(new) = found.sought.iter().find(|s| !known.found.contains(&s.key.object)) {
        // Nobody was told yet that it is claimed here, so nobody could say that it is theirs.
        return Err(format!("{} is new among what it selects", new.key.object));
    }
    if let Some(obstacle) = found.obstacle() {
        return Err(obstacle);
    }
    let mut read = Objects::new();
    for target in found.targets.iter().filter(|target| target.is_stray()) {
        sweep(&doors, target, &raise).await?;
    }
    for target in found.targets.iter().filter(|target| !target.is_stray()) {
        let json = get_or_make(&doors, target, &raise).await?;
        let seen = target.read(&json).map_err(|e| e.to_string())?;
        let joins = seen.joins && seen.weight <= raise.weight;
        if raise.weight == from && !joins {
            continue;
        }
        if !seen.is_silent() && seen.agreed() != Some(from) && !joins {
            return Err(format!("{} says {}, not {from}", target.object(), seen.weight));
        }
        // A weight that the object cannot say is found out before anything is declared.
        target
            .write(&json, &stamp("check", raise.weight, "Check")?, WriteMode::Normal)
            .map_err(|e| e.to_string())?;
        read.push((target.object().clone(), json));
    }
    Ok(Prepared { stock, objects: read })
}

/// Reads an object; one that we make is made first where it is missing. Nothing that is made has any weight.
async fn get_or_make(doors: &Doors, target: &Target<'_>, raise: &Raise) -> Result<Arc<Value>, String> {
    let read = || within(REQUEST_TIMEOUT, doors.get_if_any(target));
    let births = target.births(&stamp(&raise.id, Weight::ZERO, &raise.reason.to_string())?);
    let missing = || {
        format!(
            "there is no {}: create it, or correct the router's name",
            target.object()
        )
    };
    let known = read().await?;
    if swapped(Pair::MakeDeclare)
        && let (None, [born, ..]) = (&known, births.as_slice())
    {
        return Ok(Arc::new(born.clone()));
    }
    // The alias may be what is missing.
    let wanted = births.iter().skip(usize::from(known.is_some()));
    for object in wanted {
        doors.leads()?;
        within(
            REQUEST_TIMEOUT,
            objects::create(&doors.client, object, FIELD_MANAGER),
        )
        .await?;
    }
    match known {
        Some(json) => Ok(json),
        None => read().await?.ok_or_else(missing),
    }
}

/// What is made only now that its raise is declared: in no build that is used.
async fn made_late(
    doors: &Doors,
    target: &Target<'_>,
    json: &Value,
    intent: &Intent,
) -> Result<Option<Arc<Value>>, String> {
    if !swapped(Pair::MakeDeclare) || json.pointer("/metadata/uid").is_some() {
        return Ok(None);
    }
    for object in target.births(&stamp(&intent.id, Weight::ZERO, &intent.reason.to_string())?) {
        let made = objects::create(&doors.client, &object, FIELD_MANAGER);
        within(REQUEST_TIMEOUT, made).await?;
    }
    within(REQUEST_TIMEOUT, doors.get_if_any(target)).await
}

/// Deletes one of ours that nothing wants any more.
async fn sweep(doors: &Doors, target: &Target<'_>, raise: &Raise) -> Result<(), String> {
    let Some(json) = within(REQUEST_TIMEOUT, doors.get_if_any(target)).await? else {
        return Ok(());
    };
    let stamp = stamp(&raise.id, Weight::ZERO, &raise.reason.to_string())?;
    match target.lower(Some(&json), &stamp, Weight::ZERO, WriteMode::Normal) {
        Ok(Write::Delete {
            uid,
            resource_version,
        }) => {
            let delete = objects::delete(&doors.client, target.object(), &uid, &resource_version);
            within(REQUEST_TIMEOUT, delete).await
        }
        Ok(Write::Patch(_) | Write::Nothing) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// The versions that the raise is fenced by.
pub(super) fn fences(objects: &Objects) -> Vec<Fence> {
    let text = |json: &Value, at: &str| {
        json.pointer(at)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    objects
        .iter()
        .take(FENCES)
        .map(|(object, json)| Fence {
            object: object.to_string(),
            uid: text(json, "/metadata/uid"),
            resource_version: text(json, "/metadata/resourceVersion"),
        })
        .collect()
}

/// (c) Writes a declared raise, edge last, so that nobody is sent to where nobody listens yet. (d) What the server
/// answers is what is read back.
pub(super) async fn write(
    doors: Doors,
    component: Component,
    home: Home,
    intent: Intent,
    prepared: Prepared,
) -> Result<(), String> {
    let stamp = stamp(&intent.id, intent.weight, &intent.reason.to_string())?;
    let all = found(&component, &home, &prepared.stock).targets;
    let order = raise_order(&all);
    let mut rolling: Vec<&Target<'_>> = Vec::new();
    let mut router = None;
    // What an answer of ours says takes the place of what was read: it came of the version that the raise is fenced by.
    let mut answers: BTreeMap<&ObjectRef, Arc<Value>> = BTreeMap::new();
    for beside in order.chunk_by(|a, b| a.object() == b.object()) {
        let Some(target) = beside.first() else { continue };
        // What was not read is already where it should be, or nothing wants it any more.
        let Some(json) = answers
            .get(target.object())
            .or_else(|| prepared.read(target.object()))
        else {
            continue;
        };
        if router.replace(target.router()) != Some(target.router()) {
            // Nobody is sent to where nobody listens yet: what is further in has taken up its change first.
            for deployment in rolling.drain(..) {
                rolled_out(&doors.cache, deployment).await?;
            }
        }
        let made = made_late(&doors, target, json, &intent).await?;
        let json = made.as_ref().unwrap_or(json);
        let patch = write_together(beside, json, &stamp).map_err(|e| e.to_string())?;
        doors.leads()?;
        let write = doors.patch(target, json, &patch);
        let answer = if target.instructions().is_some() {
            // A person takes as long as a person takes.
            write.await.map_err(|e| e.to_string())?
        } else {
            within(REQUEST_TIMEOUT, write).await?
        };
        doors.cache.put(target.object(), answer.clone());
        answers.insert(target.object(), answer);
        if target.object().kind == ObjectKind::Deployment {
            rolling.extend(beside);
        }
    }
    // A controller that is told in two places has heard both when its pods have started anew: the raise is done then.
    for deployment in rolling {
        let beside = all.iter().filter(|target| target.router() == deployment.router());
        if beside.count() > 1 {
            rolled_out(&doors.cache, deployment).await?;
        }
    }
    Ok(())
}

/// The innermost router first and the edge last; within a router as its objects are listed, for a controller's pods
/// that restart read the `ConfigMap` that was written before.
fn raise_order<'t, 'c>(all: &'t [Target<'c>]) -> Vec<&'t Target<'c>> {
    let mut order: Vec<&Target<'_>> = all.iter().collect();
    if swapped(Pair::InnerEdge) {
        return order;
    }
    if swapped(Pair::MapPods) {
        order.reverse();
    }
    order.sort_by_key(|target| std::cmp::Reverse(target.router()));
    order
}

/// Waits until a Deployment has taken up its change, as its watch shows it.
async fn rolled_out(cache: &Cache, target: &Target<'_>) -> Result<(), String> {
    let mut changes = cache.changes();
    let wait = async {
        loop {
            if let Cached::Object(json) = cache.get(target.object())
                && target.read(&json).is_ok_and(|seen| seen.settled)
            {
                return;
            }
            // Lagging behind is no harm: the cache holds the newest.
            if let Err(tokio::sync::broadcast::error::RecvError::Closed) = changes.recv().await {
                return;
            }
        }
    };
    tokio::time::timeout(ROLLOUT_TIMEOUT, wait)
        .await
        .map_err(|_| format!("{} did not roll out within 300s", target.object()))
}

/// The mark that a write leaves.
pub(super) fn stamp(id: &str, weight: Weight, reason: &str) -> Result<Stamp, String> {
    Stamp::new(id, weight, reason).map_err(|e| e.to_string())
}

/// A request with a deadline.
pub(super) async fn within<T>(
    limit: Duration,
    request: impl Future<Output = Result<T, crate::cluster::ClusterError>>,
) -> Result<T, String> {
    match tokio::time::timeout(limit, request).await {
        Ok(answer) => answer.map_err(|e| e.to_string()),
        Err(_) => Err(format!("no answer within {}s", limit.as_secs())),
    }
}

/// The newest object of a target: from the watch, or else read.
pub(super) fn cached(cache: &Cache, target: &Target<'_>) -> Option<Arc<Value>> {
    match cache.get(target.object()) {
        Cached::Object(json) => Some(json),
        Cached::Syncing | Cached::Missing | Cached::Problem(_) => None,
    }
}
