//! Lowering without a daemon: the routed objects are written from here, stamped so that the next daemon recognises
//! it as its own. Nothing here can raise a weight.

use super::connect::Reach;
use crate::cluster::by_hand;
use crate::probe::HookFailure;
use crate::rollout::command::{Command, Verb};
use crate::rollout::reason::Reason;
use crate::rollout::spec::{Component, GradualRollout};
use crate::rollout::weight::Weight;
use crate::routing::{
    Change, ObjectKind, ObjectPatch, ObjectRef, RoutingError, Stamp, Stock, Target, Write, WriteMode, found,
    needs,
};
use jiff::Timestamp;
use serde_json::Value;
use std::time::Duration;

/// Times that a write which lost a race is computed anew.
const ATTEMPTS: u32 = 40;
/// From this attempt on it waits a little before the next: many are at it.
const PATIENT_FROM: u32 = 8;

/// Why an object could not be put back.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The cluster.
    #[error(transparent)]
    Cluster(#[from] by_hand::Error),
    /// The object is not what the rollout says.
    #[error(transparent)]
    Routing(Box<RoutingError>),
    /// A hook was not read or set.
    #[error("{0}")]
    Hook(String),
    /// The command's id cannot stand in a stamp.
    #[error(transparent)]
    Stamp(#[from] crate::routing::NotAStamp),
}

impl From<RoutingError> for Error {
    fn from(error: RoutingError) -> Self {
        Self::Routing(Box::new(error))
    }
}

/// What was, or would be, written to an object.
#[derive(Clone, Debug)]
pub(super) struct Written {
    /// The object.
    pub object: ObjectRef,
    /// The weight it said before.
    pub from: Weight,
    /// The weight it says now.
    pub to: Weight,
    /// Field by field.
    pub changes: Vec<Change>,
}

/// What a write is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order<'a> {
    /// The command, whose id the stamps carry.
    pub command: &'a Command,
    /// The weight.
    pub weight: Weight,
    /// Whether a weight below it may rise to it: in a dry run of `set` only, never here.
    pub may_raise: bool,
    /// When it was given; the same for all objects and attempts, or pods restart twice.
    pub at: Timestamp,
}

/// The component of a name: the spec's, or one that was removed from it and still has traffic.
pub(super) fn component<'r>(rollout: &'r GradualRollout, name: &str) -> Option<&'r Component> {
    let known = rollout.status.as_ref().and_then(|s| s.component(name));
    let spec = rollout.spec.components.iter().find(|c| c.name == name);
    spec.or_else(|| known?.definition.as_deref())
}

/// Where canaries of a component may be. What cannot be listed stands beside, by the object that it is about.
async fn stock(cluster: &Reach, component: &Component, namespace: &str) -> (Stock, Vec<(ObjectRef, Error)>) {
    let (mut stock, mut unread) = (Stock::default(), Vec::new());
    for (kind, namespace) in needs(component, namespace) {
        if kind != ObjectKind::Ingress {
            continue;
        }
        match cluster.list(kind, &namespace).await {
            Ok(objects) => stock.put(kind, &namespace, objects),
            Err(error) => {
                let name = format!("(canaries of {})", component.name);
                let object = ObjectRef {
                    kind,
                    namespace,
                    name,
                };
                unread.push((object, error.into()));
            }
        }
    }
    (stock, unread)
}

/// Lowers every object of a component, each on its own: one that fails does not keep the others up.
pub(super) async fn lower(
    cluster: &Reach,
    component: &Component,
    namespace: &str,
    order: Order<'_>,
) -> Vec<(ObjectRef, Result<Written, Error>)> {
    let order = Order {
        may_raise: false,
        ..order
    };
    let (stock, unread) = stock(cluster, component, namespace).await;
    let all = found(component, namespace, &stock).targets;
    let writes = all.into_iter().map(|target| async move {
        let object = target.object().clone();
        (object, write(cluster, &target, order).await)
    });
    let unread = unread.into_iter().map(|(object, error)| (object, Err(error)));
    futures::future::join_all(writes)
        .await
        .into_iter()
        .chain(unread)
        .collect()
}

/// What an order would write to every object of a component, as things are now.
pub(super) async fn preview(
    cluster: &Reach,
    component: &Component,
    namespace: &str,
    order: Order<'_>,
) -> Vec<(ObjectRef, Result<Written, Error>)> {
    let (stock, unread) = stock(cluster, component, namespace).await;
    let all = found(component, namespace, &stock).targets;
    let previews = all.into_iter().map(|target| async move {
        let drafted = read_and_draft(cluster, &target, order).await;
        (target.object().clone(), drafted)
    });
    let unread = unread.into_iter().map(|(object, error)| (object, Err(error)));
    futures::future::join_all(previews)
        .await
        .into_iter()
        .chain(unread)
        .collect()
}

/// The greatest weight that a component's routed objects say now, and why some could not be read.
pub(super) async fn says(
    cluster: &Reach,
    component: &Component,
    namespace: &str,
) -> (Option<Weight>, Vec<String>) {
    let (stock, unlisted) = stock(cluster, component, namespace).await;
    let all = found(component, namespace, &stock).targets;
    let reads = all.into_iter().map(|target| async move {
        match read(cluster, &target).await? {
            Some(json) => Ok::<Weight, Error>(target.read(&json)?.weight),
            None => Ok(Weight::ZERO),
        }
    });
    let (mut highest, mut unread) = (None, Vec::new());
    unread.extend(unlisted.into_iter().map(|(_, error)| error.to_string()));
    for read in futures::future::join_all(reads).await {
        match read {
            Ok(weight) => highest = highest.max(Some(weight)),
            Err(error) => unread.push(error.to_string()),
        }
    }
    (highest, unread)
}

/// The object; `None` when it is not there and does not have to be.
async fn read(cluster: &Reach, target: &Target<'_>) -> Result<Option<Value>, Error> {
    if let Some(instructions) = target.instructions() {
        return Err(Error::Hook(format!("only a person can set it: {instructions}")));
    }
    if let Some(called) = target.hook() {
        let hooks = cluster.hooks().map_err(Error::Hook)?;
        let said = hooks.read(target, called).await;
        return said
            .map(|json| Some((*json).clone()))
            .map_err(|failure| Error::Hook(failure.to_string()));
    }
    match cluster.object(target.object()).await {
        Ok(json) => Ok(Some(json)),
        Err(by_hand::Error::NotFound(_)) if target.absent().is_some() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn read_and_draft(cluster: &Reach, target: &Target<'_>, order: Order<'_>) -> Result<Written, Error> {
    let json = read(cluster, target).await?;
    draft(target, json.as_ref(), order).map(|(written, _)| written)
}

async fn write(cluster: &Reach, target: &Target<'_>, order: Order<'_>) -> Result<Written, Error> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let json = read(cluster, target).await?;
        let (written, write) = draft(target, json.as_ref(), order)?;
        let done = match (&write, &json) {
            (Write::Patch(patch), Some(json)) => patched(cluster, target, json, patch).await,
            (
                Write::Delete {
                    uid,
                    resource_version,
                },
                _,
            ) => cluster
                .delete(target.object(), uid, resource_version)
                .await
                .map_err(Error::from),
            (Write::Patch(_) | Write::Nothing, _) => Ok(()),
        };
        match done {
            Ok(()) => return Ok(written),
            // Somebody else deleted it: it carries nothing.
            Err(Error::Cluster(by_hand::Error::NotFound(_))) if target.absent().is_some() => {
                return Ok(written);
            }
            // Lost a race: what was read is not what is there. Read and compute again, at once.
            Err(Error::Cluster(by_hand::Error::Conflict(_))) if attempt < ATTEMPTS => {
                if attempt >= PATIENT_FROM {
                    // Apart from the others, who lost the same race at the same time.
                    let mine = u64::from(std::process::id() % 17);
                    tokio::time::sleep(Duration::from_millis(5 + mine)).await;
                }
            }
            Err(error) => return Err(error),
        }
    }
}

async fn patched(
    cluster: &Reach,
    target: &Target<'_>,
    json: &Value,
    patch: &ObjectPatch,
) -> Result<(), Error> {
    let Some(called) = target.hook() else {
        return Ok(cluster.patch(target.object(), json, patch, false).await?);
    };
    let hooks = cluster.hooks().map_err(Error::Hook)?;
    match hooks.write(target, called, json, patch).await {
        Ok(_) => Ok(()),
        Err(HookFailure::Race) => Err(by_hand::Error::Conflict(target.object().to_string()).into()),
        Err(failure) => Err(Error::Hook(failure.to_string())),
    }
}

fn draft(target: &Target<'_>, json: Option<&Value>, order: Order<'_>) -> Result<(Written, Write), Error> {
    let absent = || target.absent().filter(|_| json.is_none());
    let seen = match (json, absent()) {
        (Some(json), _) => target.read(json)?,
        (None, Some(seen)) => seen,
        (None, None) => return Err(by_hand::Error::NotFound(target.object().to_string()).into()),
    };
    let weight = match json {
        _ if order.may_raise || seen.is_silent() => order.weight,
        // Where places of the object disagree, the lowest is what must not be raised.
        Some(json) => target.at_most(json, order.weight.min(seen.lowest))?,
        None => Weight::ZERO,
    };
    let stamp = Stamp::new(&order.command.id, weight, &reason(order.command).to_string())?;
    let mode = if order.command.wish.emergency {
        WriteMode::Emergency { at: order.at }
    } else {
        WriteMode::Normal
    };
    let write = match json {
        Some(json) if order.may_raise && !weight.is_zero() => Write::Patch(target.write(json, &stamp, mode)?),
        json => target.lower(json, &stamp, order.weight, mode)?,
    };
    let write = match (write, json) {
        (Write::Patch(patch), Some(json)) => Write::Patch(target.journalled(json, patch)),
        (write, _) => write,
    };
    let whole = |from: Option<&str>, to: Option<&str>| Change {
        path: "the object".to_owned(),
        from: from.map(str::to_owned),
        to: to.map(str::to_owned),
    };
    let changes = match &write {
        Write::Patch(patch) => patch.changes.clone(),
        Write::Delete { .. } => vec![whole(Some("there"), Some("deleted"))],
        Write::Nothing if weight.is_zero() => Vec::new(),
        Write::Nothing => vec![whole(None, Some("made at 0% first"))],
    };
    let written = Written {
        object: target.object().clone(),
        from: seen.weight,
        to: weight,
        changes,
    };
    Ok((written, write))
}

fn reason(command: &Command) -> Reason {
    match (command.verb, command.wish.emergency) {
        (_, true) => Reason::Emergency,
        (Verb::Rollback, false) => Reason::RollbackRequested,
        _ => Reason::Manual,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::find::example;
    use crate::cli::manifest::{self, Manifest};
    use crate::rollout::command::Wish;
    use serde_json::json;

    fn shop(canary: u32) -> Value {
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": {"name": "shop", "namespace": "default", "uid": "u", "resourceVersion": "7"},
            "spec": {"http": [{"route": [
                {"destination": {"host": "shop", "subset": "canary"}, "weight": canary},
                {"destination": {"host": "shop", "subset": "control"}, "weight": 100 - canary},
            ]}]}
        })
    }

    fn drafted(canary: u32, to: u16, may_raise: bool, emergency: bool) -> Written {
        let Some(Manifest::Rollout(rollout, _)) = manifest::read("x", &example("shop", "default")).pop()
        else {
            unreachable!()
        };
        let weight = Weight::from_percent(to).unwrap();
        let command = Command {
            id: "01B".into(),
            verb: Verb::Rollback,
            wish: Wish {
                components: vec!["shop".into()],
                weight: Some(weight),
                route: None,
                item: None,
                phase: None,
                reason: String::new(),
                who: String::new(),
                force: false,
                emergency,
                restore: false,
                expires_at: None,
            },
        };
        let at = "2026-03-02T09:00:00Z".parse().unwrap();
        let order = Order {
            command: &command,
            weight,
            may_raise,
            at,
        };
        let all = crate::routing::targets(component(&rollout, "shop").unwrap(), "default");
        draft(&all[0], Some(&shop(canary)), order).unwrap().0
    }

    #[test]
    fn a_write_without_a_daemon_lowers_and_never_raises() {
        assert_eq!(drafted(40, 0, false, false).to, Weight::ZERO);
        assert_eq!(
            drafted(40, 10, false, false).to,
            Weight::from_percent(10).unwrap()
        );
        assert_eq!(
            drafted(5, 10, false, false).to,
            Weight::from_percent(5).unwrap(),
            "below already: it stays"
        );
        assert_eq!(
            drafted(5, 10, true, false).to,
            Weight::from_percent(10).unwrap(),
            "a preview of `set`"
        );
    }

    #[test]
    fn the_stamp_tells_the_next_daemon_who_and_why() {
        let stamp = |written: &Written| {
            written
                .changes
                .iter()
                .filter_map(|c| c.to.clone())
                .find(|to| to.starts_with("01B"))
                .unwrap()
        };
        assert_eq!(stamp(&drafted(40, 0, false, true)), "01B 0% Emergency");
        assert_eq!(stamp(&drafted(40, 0, false, false)), "01B 0% RollbackRequested");
        let again = drafted(0, 0, false, false);
        assert_eq!(
            stamp(&again),
            "01B 0% RollbackRequested",
            "at 0 already: still stamped"
        );
    }
}
