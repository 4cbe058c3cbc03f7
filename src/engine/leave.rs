//! Letting go of routed objects: our marks come off, and where it is asked for, what stood there before us comes back.

use super::doors::Doors;
use super::raise::within;
use super::select::stock_at_any_cost;
use crate::cluster::ClusterError;
use crate::cluster::objects;
use crate::rollout::spec::Component;
use crate::routing::{Home, ObjectRef, Target, Write, found};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Lost races that are tried again: a Deployment's status moves while its pods roll out.
const RACES: u32 = 10;

/// What letting go came to.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// Originals that stay away, and why: nothing that trying again would change.
    pub(super) kept: Vec<String>,
    /// What could not be written.
    pub(super) failed: Vec<String>,
}

/// Lets go of a component's objects, each on its own: one that fails does not keep the others up. With `restore` the
/// originals come back; without, the weights stay as they are. `taken` is what its selections find and is another's.
pub(super) async fn leave(
    doors: Doors,
    component: Component,
    (home, taken): (Home, BTreeMap<ObjectRef, String>),
    restore: bool,
) -> Left {
    let mut left = Left::default();
    let (mut stock, unread) =
        stock_at_any_cost(&doors.client, &doors.cache, &component, &home.namespace).await;
    stock.set_taken(taken);
    left.failed.extend(unread);
    let all = found(&component, &home, &stock).targets;
    let beside: Vec<&Target<'_>> = all.iter().collect();
    for target in &all {
        match one(&doors, target, &beside, restore).await {
            Ok(kept) => left.kept.extend(kept),
            Err(message) => left.failed.push(message),
        }
    }
    left
}

async fn one(
    doors: &Doors,
    target: &Target<'_>,
    beside: &[&Target<'_>],
    restore: bool,
) -> Result<Option<String>, String> {
    let mut races = 0;
    loop {
        let read = within(REQUEST_TIMEOUT, gone(doors.get(target))).await?;
        // There is nothing to take marks off.
        let Some(json) = read else { return Ok(None) };
        let (write, kept) = if restore {
            target.give_back(&json, beside)
        } else {
            (target.release(&json), None)
        };
        let object = target.object();
        let write = async {
            match write {
                Write::Patch(patch) => {
                    let answer = doors.patch(target, &json, &patch).await?;
                    doors.cache.put(object, answer);
                }
                Write::Delete {
                    uid,
                    resource_version,
                } => objects::delete(&doors.client, object, &uid, &resource_version).await?,
                Write::Nothing => {}
            }
            Ok(())
        };
        match tokio::time::timeout(REQUEST_TIMEOUT, write).await {
            Ok(Ok(())) => return Ok(kept),
            Ok(Err(error)) if error.is_race() && races < RACES => races += 1,
            Ok(Err(ClusterError::NotFound { .. })) => return Ok(None),
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => {
                return Err(format!(
                    "{}: no answer within {}s",
                    target.object(),
                    REQUEST_TIMEOUT.as_secs()
                ));
            }
        }
    }
}

/// An object that is not there is an answer too.
async fn gone<T>(request: impl Future<Output = Result<T, ClusterError>>) -> Result<Option<T>, ClusterError> {
    match request.await {
        Err(ClusterError::NotFound { .. }) => Ok(None),
        other => other.map(Some),
    }
}
