//! Lowers: their own lane. No retry layer, no patience: every object at once, each until it is done.

use super::raise::{cached, stamp};
use super::select::stock_at_any_cost;
use crate::cluster::ClusterError;
use crate::cluster::cache::Cache;
use crate::cluster::connect::Client;
use crate::cluster::objects::{self, FIELD_MANAGER};
use crate::rollout::observation::Lower;
use crate::rollout::spec::Component;
use crate::routing::{Target, Write, WriteMode, found};
use futures::future::join_all;
use jiff::Timestamp;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// One attempt may take this long.
const ATTEMPT: Duration = Duration::from_secs(2);
/// The first wait between attempts; it doubles up to [`SLOWEST`].
const FIRST_WAIT: Duration = Duration::from_millis(10);
const SLOWEST: Duration = Duration::from_secs(1);
/// Lost races that are tried again without a wait.
const RACES: u32 = 5;

/// What a lowering reports while it goes on: a failure in words, for the status.
pub(super) type Failure = (String, String);

/// Lowers every routed object of a component, all at once. Returns when all are done.
pub(super) async fn lower(
    client: Client,
    cache: Cache,
    component: Component,
    namespace: String,
    order: Lower,
    at: Timestamp,
    failures: mpsc::Sender<Failure>,
) {
    let mut wait = FIRST_WAIT;
    loop {
        let (stock, unread) = stock_at_any_cost(&client, &cache, &component, &namespace).await;
        let all = found(&component, &namespace, &stock).targets;
        join_all(
            all.iter()
                .map(|target| one(&client, &cache, target, &order, at, &failures)),
        )
        .await;
        // Where nobody knows what there is, there may be more to lower.
        let Some(error) = unread.first() else { return };
        tracing::warn!(component = order.component, %error, "what is to be lowered cannot be listed, again");
        drop(failures.try_send((order.component.clone(), error.to_string())));
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(SLOWEST);
    }
}

async fn one(
    client: &Client,
    cache: &Cache,
    target: &Target<'_>,
    order: &Lower,
    at: Timestamp,
    failures: &mpsc::Sender<Failure>,
) {
    let mut wait = FIRST_WAIT;
    let mut races = 0;
    let mut known = cached(cache, target);
    for attempt in 0_u64.. {
        match attempt_once(client, cache, target, order, at, known.take()).await {
            // What is not there carries no traffic. If it comes back, it comes with its own weight, and is looked at.
            Ok(()) | Err(Trouble::Gone) => return,
            // Somebody wrote in between. Over and over, it is no race: then the server refuses the patch itself.
            Err(Trouble::Race(_)) if races < RACES => {
                races += 1;
                continue;
            }
            Err(Trouble::Race(message) | Trouble::Other(message)) => {
                tracing::warn!(object = %target.object(), weight = %order.weight, attempt, error = %message, "lowering failed, again");
                // A full queue means that failures are already being read; the next one will do.
                drop(failures.try_send((order.component.clone(), message)));
            }
        }
        // Spread the attempts of many components; no need for good randomness.
        let jitter = Duration::from_millis(
            (attempt.wrapping_mul(7) + order.id.bytes().map(u64::from).sum::<u64>()) % 10,
        );
        tokio::time::sleep(wait + jitter).await;
        wait = (wait * 2).min(SLOWEST);
    }
}

enum Trouble {
    /// There is no such object.
    Gone,
    /// Somebody wrote in between: read again at once.
    Race(String),
    /// Anything else, in words.
    Other(String),
}

async fn attempt_once(
    client: &Client,
    cache: &Cache,
    target: &Target<'_>,
    order: &Lower,
    at: Timestamp,
    known: Option<Arc<Value>>,
) -> Result<(), Trouble> {
    let other = |e: String| Trouble::Other(e);
    let json = match known {
        Some(json) => json,
        None => timed(objects::get(client, target.object())).await?,
    };
    // To somewhere above zero an object may be too coarse; then it goes below rather than above.
    // Whatever is lower already stays lower: this lane never raises. An object whose old weights cannot be read is
    // written all the same.
    let ceiling = target
        .read(&json)
        .map_or(order.weight, |seen| seen.lowest.min(order.weight));
    let weight = target.at_most(&json, ceiling).map_err(|e| other(e.to_string()))?;
    let stamp = stamp(&order.id, weight, &order.reason.to_string()).map_err(other)?;
    let mode = if order.emergency {
        WriteMode::Emergency { at }
    } else {
        WriteMode::Normal
    };
    let object = target.object();
    let write = target.lower(Some(&json), &stamp, order.weight, mode);
    match write.map_err(|e| other(e.to_string()))? {
        Write::Patch(patch) => {
            let answer = timed(objects::patch(client, object, &patch, FIELD_MANAGER, false)).await?;
            cache.put(object, answer);
        }
        Write::Delete {
            uid,
            resource_version,
        } => {
            timed(objects::delete(client, object, &uid, &resource_version)).await?;
        }
        Write::Nothing => {}
    }
    Ok(())
}

async fn timed<T>(request: impl Future<Output = Result<T, ClusterError>>) -> Result<T, Trouble> {
    match tokio::time::timeout(ATTEMPT, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) if error.is_race() => Err(Trouble::Race(error.to_string())),
        Ok(Err(ClusterError::NotFound { .. })) => Err(Trouble::Gone),
        Ok(Err(error)) => Err(Trouble::Other(error.to_string())),
        Err(_) => Err(Trouble::Other("no answer within 2s".to_owned())),
    }
}
