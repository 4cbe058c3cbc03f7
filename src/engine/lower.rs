//! Lowers: their own lane. No retry layer, no patience: every object at once, each until it is done.

use super::doors::Doors;
use super::order::{Pair, swapped};
use super::raise::{cached, stamp};
use super::select::stock_at_any_cost;
use crate::cluster::ClusterError;
use crate::cluster::objects;
use crate::rollout::observation::Lower;
use crate::rollout::reason::Reason;
use crate::rollout::spec::Component;
use crate::rollout::weight::Weight;
use crate::routing::{self, ClaimKey, Home, ObjectRef, RoutingError, Stamp, Target, Write, WriteMode, found};
use futures::future::join_all;
use jiff::Timestamp;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// One attempt may take this long.
const ATTEMPT: Duration = Duration::from_secs(2);
/// The first wait between attempts; each is [`GROWTH`] times the one before, up to [`SLOWEST`].
const FIRST_WAIT: Duration = Duration::from_millis(10);
const SLOWEST: Duration = Duration::from_secs(1);
/// Where half of all writes are refused, seven attempts are enough 99 times in 100: their waits come to 163 ms and
/// their jitter to 60 ms at most, which keeps a rollback within a quarter of a second. Doubling would take 630 ms.
const GROWTH: f64 = 1.4;
/// Every so many attempts the object is read afresh whatever became of the last one.
const READ_AGAIN: u64 = 8;
/// Lost races that are tried again without a wait.
const RACES: u32 = 5;
/// What is deleted carries no mark any more, so a daemon that dies then must have said before why it went. Where that
/// cannot be written it goes all the same after so long: the weight it had is 0 by then.
const RECORD: Duration = Duration::from_secs(1);

/// What a lowering reports while it goes on: a failure in words, for the status.
pub(super) type Failure = (String, String);
/// The lowerings that the status has, as it was last written.
pub(super) type Recorded = watch::Receiver<BTreeSet<String>>;

/// How long a router further in waits for the first attempt at the one before it. The edge goes first, so that nobody
/// is sent to where nobody listens any more; but a router that hangs must not keep the others up.
const HEAD_START: Duration = Duration::from_millis(250);

/// Lowers every routed object of a component, router by router from the edge: each begins when the first attempts at
/// the one before it have ended, or after [`HEAD_START`]. Returns when all are done.
pub(super) async fn lower(
    doors: Doors,
    component: Component,
    home: Home,
    order: Lower,
    at: Timestamp,
    told: Told,
) {
    let mut wait = FIRST_WAIT;
    loop {
        let (mut stock, unread) =
            stock_at_any_cost(&doors.client, &doors.cache, &component, &home.namespace).await;
        stock.set_taken(told.taken.clone());
        let all = found(&component, &home, &stock);
        edge_first(&doors, &all.targets, &order, at, &told).await;
        // Where nobody knows what there is, there may be more to lower. So where all there is says that it is
        // another's, who claims nothing of it: that one may be no more, and then nobody watches over it.
        let Some(error) = unread.first().cloned().or_else(|| all.nothing_of_ours()) else {
            return;
        };
        tracing::warn!(component = order.component, %error, "what is to be lowered is not known, again");
        drop(told.failures.try_send((order.component.clone(), error.clone())));
        tokio::time::sleep(wait).await;
        wait = wait.mul_f64(GROWTH).min(SLOWEST);
    }
}

/// What a lowering tells its actor, and what it is told.
pub(super) struct Told {
    pub(super) failures: mpsc::Sender<Failure>,
    pub(super) recorded: Recorded,
    /// Something has no traffic any more, and waits for the status.
    pub(super) waits: Arc<AtomicBool>,
    /// What anybody claims of the component's objects: where it cannot be told which route is meant, not another's.
    pub(super) claimed: Vec<ClaimKey>,
    /// The newest mark of ours that was read back, if any: an emergency's that is newer is not written over.
    pub(super) mark: String,
    /// What its selections find and is another's.
    pub(super) taken: BTreeMap<ObjectRef, String>,
}

async fn edge_first(doors: &Doors, all: &[Target<'_>], order: &Lower, at: Timestamp, told: &Told) {
    let mut routers: Vec<Vec<&Target<'_>>> = Vec::new();
    for target in all {
        match routers.last_mut() {
            Some(router) if router.first().is_some_and(|t| t.router() == target.router()) => {
                router.push(target);
            }
            Some(_) | None => routers.push(vec![target]),
        }
    }
    if swapped(Pair::EdgeInner) {
        routers.reverse();
    }
    // How many first attempts of each router have ended.
    let tried: Vec<watch::Sender<usize>> = routers.iter().map(|_| watch::channel(0).0).collect();
    let before = std::iter::once(None).chain(tried.iter().zip(&routers).map(Some));
    // When a router begins is counted from the start of the lowering, so that the waits never add to a serial one.
    let began = tokio::time::Instant::now();
    let mut jobs = Vec::new();
    for (n, ((router, tried), before)) in routers.iter().zip(&tried).zip(before).enumerate() {
        let latest = began + HEAD_START * u32::try_from(n).unwrap_or(u32::MAX);
        jobs.push(async move {
            if let Some((tried, router)) = before {
                let mut tried = tried.subscribe();
                let ended = tried.wait_for(|ended| *ended >= router.len());
                // Late or done: now it is this one's turn.
                drop(tokio::time::timeout_at(latest, ended).await);
            }
            // Pods that read the map when they start are started when it is written.
            let (last, first): (Vec<_>, Vec<_>) =
                router.iter().copied().partition(|target| target.starts_anew());
            let (first, last) = if swapped(Pair::MapPods) {
                (last, first)
            } else {
                (first, last)
            };
            for beside in [first, last] {
                join_all(
                    beside
                        .iter()
                        .map(|target| one(doors, target, order, at, told, tried)),
                )
                .await;
            }
        });
    }
    join_all(jobs).await;
}

async fn one(
    doors: &Doors,
    target: &Target<'_>,
    order: &Lower,
    at: Timestamp,
    told: &Told,
    tried: &watch::Sender<usize>,
) {
    let mut wait = FIRST_WAIT;
    let mut races = 0;
    let mut known = cached(&doors.cache, target);
    for attempt in 0_u64.. {
        // What was refused is sent again as it was, without another read that may be refused, too: versions tell whether
        // it is still true. What is refused for what is in it is not sent for ever.
        if attempt % READ_AGAIN == READ_AGAIN - 1 {
            known = None;
        }
        let ended = attempt_once(doors, target, order, at, &mut known, told).await;
        if attempt == 0 {
            tried.send_modify(|ended| *ended += 1);
        }
        let message = match ended {
            // What is not there carries no traffic. If it comes back, it comes with its own weight, and is looked at.
            Ok(()) | Err(Trouble::Gone) => return,
            // Somebody wrote in between. Over and over, it is no race: then the server refuses the patch itself.
            Err(Trouble::Race(_)) if races < RACES => {
                known = None;
                races += 1;
                continue;
            }
            Err(Trouble::Race(message)) => {
                known = None;
                message
            }
            Err(Trouble::Other(message)) => message,
        };
        tracing::warn!(object = %target.object(), weight = %order.weight, attempt, error = %message, "lowering failed, again");
        // A full queue means that failures are already being read; the next one will do.
        drop(told.failures.try_send((order.component.clone(), message)));
        // Spread the attempts of many components; no need for good randomness.
        let jitter = Duration::from_millis(
            (attempt.wrapping_mul(7) + order.id.bytes().map(u64::from).sum::<u64>()) % 10,
        );
        tokio::time::sleep(wait + jitter).await;
        wait = wait.mul_f64(GROWTH).min(SLOWEST);
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
    doors: &Doors,
    target: &Target<'_>,
    order: &Lower,
    at: Timestamp,
    known: &mut Option<Arc<Value>>,
    told: &Told,
) -> Result<(), Trouble> {
    let other = |e: String| Trouble::Other(e);
    let json = match known {
        Some(json) => json.clone(),
        None => match timed(doors.get(target)).await {
            Ok(json) => known.insert(json).clone(),
            Err(Trouble::Other(unread)) if order.weight.is_zero() && target.hook().is_some() => {
                return Err(unread_hook(doors, target, order, &unread).await);
            }
            Err(trouble) => return Err(trouble),
        },
    };
    let target = &target.for_lowering(&json, &told.claimed);
    let json = cleared(doors, target, json, known).await?;
    if target.read(&json).is_err() && target.leads_nowhere(&json) {
        // There is nothing to take away, and nothing to write it to: it is as low as it can be.
        tracing::info!(object = %target.object(), "nothing to lower: none of its routes has the pair");
        return Ok(());
    }
    if let Some(renamed) = target.renamed(&json).filter(|_| target.read(&json).is_err()) {
        *known = None;
        return Err(Trouble::Other(renamed));
    }
    if target
        .read(&json)
        .is_ok_and(|seen| is_an_emergencys(&seen, order, told))
    {
        // The actor looks at it, and takes that up.
        return Ok(());
    }
    let left = target.left_among(&json, Some(&told.claimed));
    let stuck = (!left.stuck.is_empty()).then(|| left.stuck.join("; "));
    if let Some(stuck) = &stuck
        && target.read(&json).is_ok_and(|seen| is_done(&seen, order))
    {
        // What can be written is; the rest is looked at again until somebody has given it control back.
        *known = None;
        return Err(Trouble::Other(stuck.clone()));
    }
    // To somewhere above zero an object may be too coarse; then it goes below rather than above.
    // Whatever is lower already stays lower: this lane never raises. An object whose old weights cannot be read is
    // written all the same.
    let ceiling = target
        .read(&json)
        .ok()
        .filter(|seen| !seen.is_silent())
        .map_or(order.weight, |seen| seen.lowest.min(order.weight));
    let weight = match (target.at_most(&json, ceiling), &stuck) {
        (Ok(weight), _) => weight,
        // What is out of reach says more than what cannot be found.
        (Err(_), Some(stuck)) => {
            *known = None;
            return Err(Trouble::Other(stuck.clone()));
        }
        (Err(error), None) => return Err(unfit(known, &error)),
    };
    let stamp = stamp(&order.id, weight, &order.reason.to_string()).map_err(other)?;
    let mode = if order.emergency {
        WriteMode::Emergency { at }
    } else {
        WriteMode::Normal
    };
    let object = target.object();
    let write = target.lower(Some(&json), &stamp, order.weight, mode);
    match write.map_err(|e| unfit(known, &e))? {
        Write::Patch(patch) => {
            let patch = target.journalled(&json, patch);
            let write = doors.patch(target, &json, &patch);
            let answer = if target.instructions().is_some() {
                // A person takes as long as a person takes.
                write.await.map_err(|e| other(e.to_string()))?
            } else {
                timed(write).await?
            };
            doors.cache.put(object, answer);
        }
        Write::Delete {
            uid,
            resource_version,
        } => {
            let emptied = if target.is_stray() {
                None
            } else {
                empty(doors, target, &json, &stamp, mode).await?
            };
            let emptied = emptied.inspect(|answer| *known = Some(answer.clone()));
            let version = emptied.as_deref().and_then(version).unwrap_or(&resource_version);
            told.waits.store(true, Ordering::Relaxed);
            let mut recorded = told.recorded.clone();
            let known = recorded.wait_for(|orders| orders.contains(&order.id));
            // Late or known: now it goes.
            if !swapped(Pair::RecordDelete) {
                drop(tokio::time::timeout(RECORD, known).await);
            }
            timed(objects::delete(&doors.client, object, &uid, version)).await?;
        }
        Write::Nothing => {}
    }
    if let Some(stuck) = stuck {
        *known = None;
        return Err(Trouble::Other(stuck));
    }
    if let Some(left) = left.sentence() {
        // Whoever looks at it sees it and tells people, for as long as it is so.
        tracing::warn!(%object, left, "lowered, and not all of it");
    }
    Ok(())
}

/// The object without our rules and our mirror, where no weight of it can be lowered: they go at once, whatever the rest
/// waits for.
async fn cleared(
    doors: &Doors,
    target: &Target<'_>,
    json: Arc<Value>,
    known: &mut Option<Arc<Value>>,
) -> Result<Arc<Value>, Trouble> {
    let Some((patch, _)) = target.clear(&json) else {
        return Ok(json);
    };
    let answer = timed(doors.patch(target, &json, &patch)).await?;
    doors.cache.put(target.object(), answer.clone());
    Ok(known.insert(answer).clone())
}

/// Whether what can be written of an object bears an order's mark already, and is where it goes.
fn is_done(seen: &routing::Seen, order: &Lower) -> bool {
    let marked = seen.stamp.as_ref().is_some_and(|stamp| stamp.id() == order.id);
    !seen.is_silent() && seen.weight <= order.weight && marked
}

/// Whether an object that is put back for another component's sake was put back meanwhile by somebody who called an
/// emergency: that mark says who it was and that it waits for a person, and what was read before it cannot land either.
fn is_an_emergencys(seen: &routing::Seen, order: &Lower, told: &Told) -> bool {
    let emergency = Reason::Emergency.to_string();
    let newer = |stamp: &Stamp| stamp.reason() == emergency && stamp.id() > told.mark.as_str();
    order.reason == Reason::OtherFailed
        && !seen.is_silent()
        && seen.weight <= order.weight
        && seen.stamp.as_ref().is_some_and(newer)
}

/// A hook that takes weights and cannot say them is put back without being read; it is read as soon as it can be.
async fn unread_hook(doors: &Doors, target: &Target<'_>, order: &Lower, unread: &str) -> Trouble {
    let stamp = match stamp(&order.id, Weight::ZERO, &order.reason.to_string()) {
        Ok(stamp) => stamp,
        Err(error) => return Trouble::Other(error),
    };
    let put = doors.put_back_unread(target, &stamp, unread);
    match tokio::time::timeout(ATTEMPT, put).await {
        Ok(said) => Trouble::Other(said),
        Err(_) => Trouble::Other(format!(
            "{}: 0% was sent, and no answer came within 2s; {unread}",
            target.object()
        )),
    }
}

/// What is known of an object cannot be lowered: it may have been mended since, so it is read again at once.
fn unfit(known: &mut Option<Arc<Value>>, error: &RoutingError) -> Trouble {
    *known = None;
    Trouble::Other(error.to_string())
}

/// Brings what is about to be deleted to 0 and marks it: the traffic goes back with this write, and whoever takes over
/// in between sees why. What cannot be written so is deleted as it is; then `None`.
async fn empty(
    doors: &Doors,
    target: &Target<'_>,
    json: &Value,
    stamp: &Stamp,
    mode: WriteMode,
) -> Result<Option<Arc<Value>>, Trouble> {
    let marked = target.read(json).is_ok_and(|seen| {
        let ours = |mark: &Stamp| mark.id() == stamp.id();
        seen.weight.is_zero() && seen.stamp.as_ref().is_some_and(ours)
    });
    if marked {
        return Ok(None);
    }
    let object = target.object();
    let patched = match target.write(json, stamp, mode) {
        Ok(patch) => timed(doors.patch(target, json, &patch)).await,
        Err(error) => Err(Trouble::Other(error.to_string())),
    };
    match patched {
        Ok(answer) => {
            doors.cache.put(object, answer.clone());
            Ok(Some(answer))
        }
        Err(Trouble::Other(error)) => {
            tracing::warn!(%object, error, "not brought to 0 before it is deleted");
            Ok(None)
        }
        Err(trouble @ (Trouble::Gone | Trouble::Race(_))) => Err(trouble),
    }
}

fn version(json: &Value) -> Option<&str> {
    json.pointer("/metadata/resourceVersion")?.as_str()
}

async fn timed<T>(request: impl Future<Output = Result<T, ClusterError>>) -> Result<T, Trouble> {
    match tokio::time::timeout(ATTEMPT, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) if error.is_race() => Err(Trouble::Race(error.to_string())),
        // While the kind is not served nobody knows what there is: it may come back with its traffic.
        Ok(Err(ClusterError::NotFound { unserved: false, .. })) => Err(Trouble::Gone),
        Ok(Err(error)) => Err(Trouble::Other(error.to_string())),
        Err(_) => Err(Trouble::Other("no answer within 2s".to_owned())),
    }
}
