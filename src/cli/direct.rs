//! Lowering without a daemon: the routed objects are written from here, stamped so that the next daemon recognises
//! it as its own. Nothing here can raise a weight.

mod clear;
mod error;
mod reading;

pub(super) use error::Error;
pub(super) use reading::{control, objects, says, says_by};

use super::connect::Reach;
use super::emergency::later;
use super::insist::Question;
use super::pursue::Claimed;
use crate::cluster::by_hand;
use crate::probe::HookFailure;
use crate::rollout::command::{Command, Verb};
use crate::rollout::reason::Reason;
use crate::rollout::spec::{Component, GradualRollout};
use crate::rollout::weight::Weight;
use crate::routing::{
    Change, ClaimKey, Home, Left, ObjectKind, ObjectPatch, ObjectRef, Seen, Stamp, Stock, Target, Write,
    WriteMode, found, needs,
};
use jiff::Timestamp;
use serde_json::Value;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Times that a write which lost a race is computed anew.
const ATTEMPTS: u32 = 40;
/// From this attempt on it waits a little before the next: many are at it.
const PATIENT_FROM: u32 = 8;

/// The path of a change that is about all of it.
const WHOLE: &str = "the object";

/// What was, or would be, written to an object.
#[derive(Debug)]
pub(super) struct Written {
    /// The object.
    pub object: ObjectRef,
    /// The weight it said before; `None` where that could not be read.
    pub from: Option<Weight>,
    /// The weight it says now.
    pub to: Weight,
    /// Field by field.
    pub changes: Vec<Change>,
    /// It was there before, by this very command's write: nothing was sent.
    pub already: bool,
    /// It gives the canary no more than was asked for.
    stands: bool,
    /// Why it bears no mark of this rollback, where it stands at its weight already.
    pub unmarked: Option<Error>,
    /// What it leaves, and that people have to know of.
    pub left: Left,
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
    /// Until when what the cluster does not answer is tried again, and how many requests are under way at once.
    /// `None`: it is told at once.
    pub patience: Option<(Instant, &'a Semaphore)>,
    /// What anybody claims, as far as it is known: nothing of others is written.
    pub claimed: &'a Claimed,
}

impl Written {
    /// Whether the object is there afterwards, and was before.
    pub(super) fn stays(&self) -> bool {
        !self.changes.iter().any(|change| change.path == WHOLE)
    }

    /// From where to where, for people.
    pub(super) fn way(&self) -> String {
        let from = self
            .from
            .map_or_else(|| "(unreadable)".to_owned(), |from| from.to_string());
        format!("{from} → {}", self.to)
    }
}

impl<'a> Order<'a> {
    /// The object as a lowering takes it, where nothing of others is written.
    fn lowered(&self, target: &Target<'a>, json: &Value) -> Target<'a> {
        target.for_lowering(json, self.claims_on(target))
    }

    /// The mark that an object gets. In an emergency its id is above that of the one that is there, whatever the clocks
    /// say: a daemon takes an older mark for somebody's copy.
    fn mark(&self, seen: Option<&Seen>, weight: Weight) -> Result<Stamp, Error> {
        let id = self.command.id.as_str();
        let found = seen.and_then(|seen| seen.stamp.as_ref()).map(Stamp::id);
        let found = found.filter(|found| self.command.wish.emergency && *found != id);
        // What the command surpasses already was there, whatever the clock here says.
        let now = self
            .command
            .given_at()
            .map_or(self.at, |given| given.max(self.at));
        let later = found.and_then(|found| later(id, found.parse().into_iter(), now));
        let id = later.as_deref().unwrap_or(id);
        Ok(Stamp::new(id, weight, &reason(self.command).to_string())?)
    }

    fn claims_on(&self, target: &Target<'_>) -> &'a [ClaimKey] {
        let claimed = self.claimed.get(target.object());
        claimed.map_or(&[][..], Vec::as_slice)
    }

    /// Whether what cannot be read is written all the same, as the daemon does it. What somebody sets to a weight above
    /// 0 may be a raise.
    fn is_blind(&self) -> bool {
        !self.may_raise && (self.command.verb != Verb::Set || self.weight.is_zero())
    }

    /// Whether a hook that does not say what it has is set all the same: only to nothing, which no weight is below.
    pub(super) fn goes_unread(&self) -> bool {
        self.weight.is_zero() && !self.may_raise
    }
}

/// The component of a name: the spec's, or one that was removed from it and still has traffic.
pub(super) fn component<'r>(rollout: &'r GradualRollout, name: &str) -> Option<&'r Component> {
    let known = rollout.status.as_ref().and_then(|s| s.component(name));
    let spec = rollout.spec.components.iter().find(|c| c.name == name);
    spec.or_else(|| known?.definition.as_deref())
}

/// Where canaries of a component may be. What cannot be listed stands beside, by the object that it is about.
async fn stock(
    cluster: &Reach,
    component: &Component,
    home: &Home,
    patience: Option<(Instant, &Semaphore)>,
) -> (Stock, Vec<(ObjectRef, Error)>) {
    let (mut stock, mut unread) = (Stock::default(), Vec::new());
    for (kind, namespace) in needs(component, &home.namespace) {
        if kind != ObjectKind::Ingress {
            continue;
        }
        let list = async || cluster.list(kind, &namespace).await.map_err(Error::from);
        match patiently(patience, list).await {
            Ok(objects) => stock.put(kind, &namespace, objects),
            Err(error) => {
                let name = format!("(canaries of {})", component.name);
                let object = ObjectRef {
                    kind,
                    namespace,
                    name,
                };
                unread.push((object, error));
            }
        }
    }
    (stock, unread)
}

/// Lowers every object of a component, each on its own: one that fails does not keep the others up.
pub(super) async fn lower(
    cluster: &Reach,
    component: &Component,
    home: &Home,
    order: Order<'_>,
) -> Vec<(ObjectRef, Result<Written, Error>)> {
    let order = Order {
        may_raise: false,
        ..order
    };
    let (stock, unread) = stock(cluster, component, home, order.patience).await;
    let all = found(component, home, &stock);
    let foreign = all.nothing_of_ours().map(|why| {
        let object = ObjectRef {
            kind: ObjectKind::Ingress,
            namespace: home.namespace.clone(),
            name: format!("(canaries of {})", component.name),
        };
        (object, Err(Error::Hook(why)))
    });
    let all = all.targets;
    if order.command.verb == Verb::Set {
        let too_fine = too_fine(cluster, &all, order).await;
        if !too_fine.is_empty() {
            return too_fine;
        }
    }
    let routers = all.chunk_by(|a, b| a.router() == b.router());
    let writes = routers.map(|router| write_router(cluster, router, order));
    let unread = unread.into_iter().map(|(object, error)| (object, Err(error)));
    futures::future::join_all(writes)
        .await
        .into_iter()
        .flatten()
        .chain(unread)
        .chain(foreign)
        .collect()
}

/// At once, but for pods that read one of the objects when they start: these start when that is written, or never would anew.
async fn write_router(
    cluster: &Reach,
    router: &[Target<'_>],
    order: Order<'_>,
) -> Vec<(ObjectRef, Result<Written, Error>)> {
    let (last, first): (Vec<_>, Vec<_>) = router.iter().partition(|target| target.starts_anew());
    let all = async |targets: Vec<&Target<'_>>| {
        let each = targets.into_iter().map(|target| async move {
            let written = write(cluster, target, order).await;
            (target.object().clone(), written)
        });
        futures::future::join_all(each).await
    };
    let mut written = all(first).await;
    let Some((map, _)) = written.iter().find(|(_, written)| written.is_err()) else {
        written.extend(all(last).await);
        return written;
    };
    let map = map.to_string();
    let kept = |target: &Target<'_>| (target.object().clone(), Err(Error::Restart(map.clone())));
    written.extend(last.into_iter().map(kept));
    written
}

/// The objects that cannot say a weight exactly: where there is one, none is written.
async fn too_fine(
    cluster: &Reach,
    all: &[Target<'_>],
    order: Order<'_>,
) -> Vec<(ObjectRef, Result<Written, Error>)> {
    let drafts = all.iter().map(|target| async move {
        let drafted = read_and_draft(cluster, target, order).await;
        (target.object().clone(), drafted)
    });
    let drafts = futures::future::join_all(drafts).await.into_iter();
    let is_fine = |error: &Error| matches!(error, Error::Routing(e) if e.category() == "TooFine");
    drafts
        .filter(|(_, drafted)| drafted.as_ref().is_err_and(is_fine))
        .collect()
}

/// What an order would write to every object of a component, as things are now.
pub(super) async fn preview(
    cluster: &Reach,
    component: &Component,
    home: &Home,
    order: Order<'_>,
) -> Vec<(ObjectRef, Result<Written, Error>)> {
    let (stock, unread) = stock(cluster, component, home, None).await;
    let all = found(component, home, &stock).targets;
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

/// The object; `None` when it is not there and does not have to be.
async fn read(cluster: &Reach, target: &Target<'_>) -> Result<Option<Value>, Error> {
    if let Some(instructions) = target.instructions() {
        return Err(Error::Hook(format!("only a person can set it: {instructions}")));
    }
    if let Some(called) = target.hook() {
        let hooks = cluster.hooks().map_err(Error::Hook)?;
        let said = hooks.read(target, called).await;
        return said.map(|json| Some((*json).clone())).map_err(|failure| {
            let said = failure.to_string();
            if failure.is_refused() {
                Error::Hook(said)
            } else {
                Error::Mute(said)
            }
        });
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
    let mut races = 0;
    loop {
        match patiently(order.patience, async || attempt(cluster, target, order).await).await {
            // Lost a race: what was read is not what is there. Read and compute again, at once.
            Err(Error::Cluster(by_hand::Error::Conflict(_))) if races + 1 < ATTEMPTS => {
                races += 1;
                if races >= PATIENT_FROM {
                    // Apart from the others, who lost the same race at the same time.
                    let mine = u64::from(std::process::id() % 17);
                    tokio::time::sleep(Duration::from_millis(5 + mine)).await;
                }
            }
            ended => return ended,
        }
    }
}

/// Tries again what the cluster does not answer, as long as there is patience. Nobody holds a place while they wait.
async fn patiently<T>(
    patience: Option<(Instant, &Semaphore)>,
    attempt: impl AsyncFn() -> Result<T, Error>,
) -> Result<T, Error> {
    let Some((end, places)) = patience else {
        return attempt().await;
    };
    let question = Question {
        doing: "putting traffic back",
        end,
        places: Some(places),
    };
    // A lost race is no silence: it is read and computed anew.
    let passes = |error: &Error| matches!(error, Error::Cluster(error) if error.is_silence());
    question.insist(passes, attempt).await
}

/// Reads, computes, writes, once.
async fn attempt(cluster: &Reach, target: &Target<'_>, order: Order<'_>) -> Result<Written, Error> {
    let json = match read(cluster, target).await {
        Err(Error::Mute(unread)) if order.goes_unread() => {
            return Err(put_back_unread(cluster, target, order, &unread).await);
        }
        read => read?,
    };
    let (written, write) = match draft(target, json.as_ref(), order) {
        Ok(drafted) => drafted,
        Err(error) => return Err(clear::refused(cluster, target, json.as_ref(), (order, error)).await),
    };
    let done = match (&write, &json) {
        (Write::Patch(patch), Some(json)) => patched(cluster, target, json, patch).await,
        (
            Write::Delete {
                uid,
                resource_version,
            },
            json,
        ) => {
            let deleted = cluster.delete(target.object(), uid, resource_version).await;
            match (deleted, json) {
                // Whoever may not delete may still be able to patch.
                (Err(by_hand::Error::Forbidden { .. }), Some(json)) if order.command.wish.emergency => {
                    emptied(cluster, target, json, order).await
                }
                (deleted, _) => deleted.map_err(Error::from),
            }
        }
        (Write::Patch(_) | Write::Nothing, _) => Ok(()),
    };
    match done {
        Ok(()) => Ok(written),
        // Somebody else deleted it: it carries nothing.
        Err(Error::Cluster(by_hand::Error::NotFound(_))) if target.absent().is_some() => Ok(written),
        // What cannot be written says what was asked for all the same.
        Err(error) if written.stands && !error.passes() && order.command.verb == Verb::Rollback => {
            Ok(Written {
                to: written.from.unwrap_or(written.to),
                changes: Vec::new(),
                unmarked: Some(error),
                ..written
            })
        }
        Err(error) => Err(error),
    }
}

/// Sets a hook to 0% that does not say what it has, as the daemon does: 0% is right whatever it is. Nobody knows what
/// became of it, so it is never a success.
async fn put_back_unread(cluster: &Reach, target: &Target<'_>, order: Order<'_>, unread: &str) -> Error {
    let (Some(called), Ok(hooks)) = (target.hook(), cluster.hooks()) else {
        return Error::Mute(unread.to_owned());
    };
    let stamp = Stamp::new(
        &order.command.id,
        Weight::ZERO,
        &reason(order.command).to_string(),
    );
    let stamp = match stamp {
        Ok(stamp) => stamp,
        Err(error) => return error.into(),
    };
    match hooks.put_back_unread(target, called, &stamp, unread).await {
        Ok(set) => Error::Unread(set),
        Err(not_set) => Error::Hook(not_set),
    }
}

/// Leaves an object that should go where it is, with nothing for the canary.
async fn emptied(cluster: &Reach, target: &Target<'_>, json: &Value, order: Order<'_>) -> Result<(), Error> {
    let stamp = Stamp::new(
        &order.command.id,
        Weight::ZERO,
        &reason(order.command).to_string(),
    )?;
    let patch = target.write(json, &stamp, WriteMode::Emergency { at: order.at })?;
    patched(cluster, target, json, &target.journalled(json, patch)).await
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
    let target = &match json {
        Some(json) if !order.may_raise => order.lowered(target, json),
        _ => target.clone(),
    };
    if let Some(json) = json.filter(|_| !order.may_raise)
        && let Some(nothing) = clear::nothing_to_lower(target, json)
    {
        return Ok(nothing);
    }
    let absent = || target.absent().filter(|_| json.is_none());
    let seen = match (json, absent()) {
        (Some(json), _) => match target.read(json) {
            Ok(seen) => Some(seen),
            Err(_) if order.is_blind() => None,
            Err(error) => return Err(error.into()),
        },
        (None, Some(seen)) => Some(seen),
        (None, None) => return Err(by_hand::Error::NotFound(target.object().to_string()).into()),
    };
    let weight = match json {
        _ if order.may_raise || seen.as_ref().is_some_and(Seen::is_silent) => order.weight,
        // Where places of the object disagree, the lowest is what must not be raised.
        Some(json) => {
            let lowest = seen.as_ref().map_or(order.weight, |seen| seen.lowest);
            let wanted = order.weight.min(lowest);
            // A rollback takes what is nearest below. A person who sets a weight wants that one.
            if order.command.verb == Verb::Set
                && seen.is_some()
                && wanted == order.weight
                && let Some(error) = target.validate_object(json, &[wanted]).into_iter().next()
            {
                return Err(error.into());
            }
            target.at_most(json, wanted)?
        }
        None => Weight::ZERO,
    };
    let left = json
        .filter(|_| !order.may_raise)
        .map(|json| target.left_among(json, Some(order.claims_on(target))))
        .unwrap_or_default();
    // The mark of this very command, and of no emergency before it: what was raised since may have another raise on
    // its way, which only a mark that it has not read stops.
    let told_before = |seen: &Seen| {
        let stamp = seen.stamp.as_ref();
        stamp.is_some_and(|s| s.id() == order.command.id && s.weight() <= order.weight)
    };
    let stands = |seen: &Seen| !seen.is_silent() && seen.weight <= order.weight && seen.choosers.is_none();
    let there = |seen: &&Seen| seen.weight <= order.weight && seen.choosers.is_none() && told_before(seen);
    if order.command.wish.emergency
        && json.is_some()
        && let Some(seen) = seen.as_ref().filter(there)
    {
        let written = Written {
            object: target.object().clone(),
            from: Some(seen.weight),
            to: seen.weight,
            changes: Vec::new(),
            already: true,
            stands: true,
            unmarked: None,
            left,
        };
        return Ok((written, Write::Nothing));
    }
    let stamp = order.mark(seen.as_ref(), weight)?;
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
        path: WHOLE.to_owned(),
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
        stands: seen.as_ref().is_some_and(stands),
        unmarked: None,
        from: seen.map(|seen| seen.weight),
        to: weight,
        changes,
        already: json.is_none(),
        left,
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
mod tests;
