//! Writing one object, although others write too.

use super::args::ApplyArgs;
use super::gateway;
use super::item::{self, Change, Item};
use super::run::said;
use super::select::shown;
use crate::cluster::{self, Cluster, MANAGER, meta};
use crate::dry::DryRun;
use crate::marks;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::Value;

/// How often a write is tried that somebody else's write came before.
const TRIES: usize = 8;

/// How objects are written.
pub fn params(args: &ApplyArgs, force: bool) -> PatchParams {
    let mut params = PatchParams::apply(MANAGER);
    params.force = force;
    params.dry_run = args.dry_run == Some(DryRun::Server);
    params
}

/// Writes an object. One that was read at a version is written at that version, or at a newer one that asks for the
/// same: a controller writes its status whenever it likes. A Gateway that was not there is created: two batches that
/// both saw none would else take each other's hosts away. One that another batch opened hosts in meanwhile is written
/// with those too. Returns what there is to say of that, mostly nothing. A dry run that asks nobody ends here.
pub async fn send(
    cluster: &Cluster,
    item: &Item,
    live: Option<&Value>,
    args: &ApplyArgs,
) -> Result<String, String> {
    let Some(api) = cluster.api(&item.kind, Some(&item.namespace)) else {
        return Err(format!("the cluster does not serve {}", item.kind.resource()));
    };
    if args.dry_run == Some(DryRun::Client) {
        return Ok(String::new());
    }
    // A certificate has one source, so a copy that differs from it is wrong whoever changed it.
    let mut params = params(args, args.overwrite || item.kind == cluster::SECRET);
    let mut body = item.body.clone();
    let mut live = live.cloned();
    let mut said_so = String::new();
    if item.kind == cluster::GATEWAY && live.is_none() {
        let created = create(&api, &body, args).await;
        if created == Ok(true) {
            return Ok(said_so);
        }
        let newer = newest(cluster, item).await?;
        // Whoever says no may have lost the answer that it was made.
        if newer.is_none() {
            created?;
        }
        body = beside(&body, None, newer.as_ref())?;
        BESIDE.clone_into(&mut said_so);
        live = newer;
    }
    for _ in 0..TRIES {
        let Err(error) = api.patch(&item.name, &params, &Patch::Apply(&body)).await else {
            return Ok(said_so);
        };
        let version = meta(&body, "resourceVersion").to_owned();
        let own = only_ours(&error) && !params.force;
        if !own && (!is_conflict(&error) || version.is_empty()) {
            return Err(said(&error));
        }
        let newer = newest(cluster, item).await?;
        let same = |newer: &Value| {
            live.as_ref()
                .is_some_and(|live| marks::spec(live) == marks::spec(newer))
        };
        let Some(newer) = newer else {
            return Err(said(&error));
        };
        // Asked for twice, as the first answer was lost: it is as it should be. One that is noted to go is not.
        let whole = item::noted(&body, &newer) && !marks::going_back(&newer);
        if item::change(&body, Some(&newer)) == Change::Same && whole {
            return Ok(said_so);
        }
        let now = meta(&newer, "resourceVersion").to_owned();
        if !own && version == now {
            // Not its version is in the way.
            return Err(said(&error));
        }
        if !same(&newer) {
            if item.kind != cluster::GATEWAY {
                return Err(said(&error));
            }
            body = beside(&body, live.as_ref(), Some(&newer))?;
            BESIDE.clone_into(&mut said_so);
            live = Some(newer);
        }
        // What we wrote by another way, as restore does, is in nobody's way.
        params.force |= own;
        at(&mut body, &now);
    }
    Err(format!(
        "it was changed {TRIES} times while it was written; ask again: what is written is not written twice"
    ))
}

/// What is told of a Gateway that had to be written once more.
const BESIDE: &str = "another batch wrote it at the same time; written once more, with the hosts of both";

/// Sends an object at a version.
fn at(body: &mut Value, version: &str) {
    if let Some(meta) = body.pointer_mut("/metadata").and_then(Value::as_object_mut) {
        meta.insert("resourceVersion".to_owned(), version.into());
    }
}

async fn newest(cluster: &Cluster, item: &Item) -> Result<Option<Value>, String> {
    let newer = cluster.get(&item.kind, &item.namespace, &item.name).await;
    newer.map_err(|error| said(&error))
}

/// Creates an object. False where one is there.
async fn create(api: &Api<DynamicObject>, body: &Value, args: &ApplyArgs) -> Result<bool, String> {
    let params = PostParams {
        dry_run: args.dry_run == Some(DryRun::Server),
        field_manager: Some(MANAGER.to_owned()),
    };
    let object = cluster::object(body.clone()).map_err(|trouble| trouble.to_string())?;
    match api.create(&params, &object).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(said(&error)),
    }
}

/// A Gateway beside one that another batch has written since it was read: with the hosts that were opened since. Where some
/// were closed since it is not for this batch to open them again.
fn beside(body: &Value, read: Option<&Value>, newer: Option<&Value>) -> Result<Value, String> {
    let Some(newer) = newer.filter(|newer| marks::ours(newer) && marks::untouched(newer) == Some(true))
    else {
        return Err("somebody else wrote it meanwhile: look at it, and ask again".to_owned());
    };
    let before = read.map(gateway::open).unwrap_or_default();
    let now = gateway::open(newer);
    let wanted = gateway::open(body);
    let closed: Vec<String> = before
        .difference(&now)
        .filter(|host| wanted.contains(*host) && !gateway::beneath::under(host, &now))
        .map(|(namespace, host)| format!("{namespace}/{host}"))
        .collect();
    if !closed.is_empty() {
        return Err(format!(
            "hosts were closed in it while it was written ({}): look who goes back, and ask again",
            shown(&closed)
        ));
    }
    let opened = gateway::Beneath {
        hosts: now.difference(&before).cloned().collect(),
        ..gateway::Beneath::default()
    };
    let both = gateway::keeping(body.clone(), newer, &opened);
    let mut both = item::stamped(both, None);
    at(&mut both, meta(newer, "resourceVersion"));
    Ok(both)
}

fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}

/// Whether nobody but this program, writing by another way, has fields that are applied.
fn only_ours(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else {
        return false;
    };
    let causes = status.details.as_ref().map_or(&[][..], |details| &details.causes);
    let ours = format!("conflict with \"{MANAGER}\"");
    status.code == 409
        && !causes.is_empty()
        && causes
            .iter()
            .all(|cause| cause.reason == "FieldManagerConflict" && cause.message.starts_with(&ours))
}
