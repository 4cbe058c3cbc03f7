//! Routes for testers and mirrors: read afresh, computed, written with the version that was read.

use super::raise::within;
use crate::cluster::ClusterError;
use crate::cluster::cache::Cache;
use crate::cluster::connect::Client;
use crate::cluster::objects::{self, FIELD_MANAGER};
use crate::rollout::observation::PreviewOrder;
use crate::rollout::spec::Component;
use crate::routing::{Target, targets};
use std::time::Duration;

/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Lost races in a row that are tried again.
const RACES: u32 = 3;

/// Brings every routed object to what is wanted beside its weight. The weights and our marks stay as they are: a raise
/// that was read before loses its race and is decided anew.
pub(super) async fn write(
    client: Client,
    cache: Cache,
    component: Component,
    namespace: String,
    order: PreviewOrder,
) -> Result<(), String> {
    for target in targets(&component, &namespace) {
        let mut races = 0;
        while let Err(error) = once(&client, &cache, &target, &order).await? {
            races += 1;
            if races > RACES {
                return Err(error.to_string());
            }
        }
    }
    Ok(())
}

/// The inner error is a lost race.
async fn once(
    client: &Client,
    cache: &Cache,
    target: &Target<'_>,
    order: &PreviewOrder,
) -> Result<Result<(), ClusterError>, String> {
    let json = within(REQUEST_TIMEOUT, objects::get(client, target.object())).await?;
    let seen = target.read(&json).map_err(|e| e.to_string())?;
    // A write of ours that nobody read back yet may well have put the traffic back: then it is decided anew.
    let known = order.mark.as_deref().unwrap_or_default();
    if seen
        .stamp
        .is_some_and(|stamp| stamp.puts_back() && stamp.id() > known)
    {
        cache.put(target.object(), json);
        return Err(format!(
            "{} was put back since it was last looked at",
            target.object()
        ));
    }
    let patch = target.preview(&json, &order.wanted).map_err(|e| e.to_string())?;
    let Some(patch) = patch else {
        cache.put(target.object(), json);
        return Ok(Ok(()));
    };
    let write = objects::patch(client, target.object(), &patch, FIELD_MANAGER, false);
    match tokio::time::timeout(REQUEST_TIMEOUT, write).await {
        Ok(Ok(answer)) => {
            cache.put(target.object(), answer);
            Ok(Ok(()))
        }
        Ok(Err(error)) if error.is_race() => Ok(Err(error)),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {}s", REQUEST_TIMEOUT.as_secs())),
    }
}
