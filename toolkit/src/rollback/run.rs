//! Undoing, one step after the other.

use super::plan::{Undo, named};
use crate::apply::gateway::{self, Host};
use crate::apply::item::stamped;
use crate::apply::needs::annotate;
use crate::apply::run::{Became, Line, said};
use crate::cluster::{self, Cluster, Kind, MANAGER, annotation, exactly, meta};
use crate::marks;
use crate::pace::{Pace, paced};
use futures::StreamExt as _;
use gradual_rollout_migration::input::Key;
use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// How often a write is tried that somebody else's write came before.
const TRIES: usize = 5;

fn line(object: String, action: &'static str, result: Result<(), String>) -> Line {
    let (became, message) = match result {
        Ok(()) => (Became::Written, String::new()),
        Err(why) => (Became::Failed, why),
    };
    Line {
        object,
        action,
        result: became,
        message,
    }
}

/// Takes the marks off Ingresses: from here on nothing cleans them up.
pub async fn unmark(cluster: &Cluster, pace: &Pace, marked: &BTreeSet<Key>) -> Vec<Line> {
    let gone = json!({"metadata": {
        "labels": {marks::MIGRATED: null},
        "annotations": {
            marks::MIGRATED_AT: null, marks::SOURCE: null, marks::ACCEPTED: null, marks::PROBED_AT: null, marks::EDGE_PROBED_AT: null,
            marks::REQUESTS: null,
        },
    }});
    let gone = &gone;
    let work = marked.iter().map(|key| async move {
        let object = cluster::INGRESS.named(&key.0, &key.1);
        let Some(api) = cluster.api(&cluster::INGRESS, Some(&key.0)) else {
            return line(
                object,
                "unmark",
                Err("the cluster serves no Ingresses".to_owned()),
            );
        };
        let params = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        // Only our own words are taken away, whatever else was changed meanwhile.
        match api.patch(&key.1, &params, &Patch::Merge(gone)).await {
            Ok(_) => line(object, "unmark", Ok(())),
            // What is gone has no mark.
            Err(kube::Error::Api(status)) if status.code == 404 => line(object, "unmark", Ok(())),
            Err(error) => line(object, "unmark", Err(said(&error))),
        }
    });
    paced(work, pace).collect().await
}

/// Says on routes that go that they do, before anything else of them is undone: without that one that was killed looks like an
/// `apply` that was. Returns all that goes, as it is then. Going back does not depend on it, so that it could not be said is
/// no failure.
pub async fn note(
    cluster: &Cluster,
    pace: &Pace,
    deleted: &[(Kind, Value)],
    now: Timestamp,
) -> (Vec<Line>, Vec<(Kind, Value)>) {
    let second = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let body = json!({"metadata": {"annotations": {marks::GOING_BACK: second.to_string()}}});
    let body = &body;
    let params = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let params = &params;
    let (mut lines, mut noted) = (Vec::new(), BTreeMap::new());
    let work = noting(deleted).map(|route| async move {
        let (namespace, name) = gateway::key(route);
        let api = cluster.api(&cluster::VIRTUAL_SERVICE, Some(&namespace))?;
        let now = api.patch(&name, params, &Patch::Merge(body)).await.ok()?;
        serde_json::to_value(now).ok()
    });
    for now in paced(work, pace).collect::<Vec<_>>().await.into_iter().flatten() {
        lines.push(line(named(&cluster::VIRTUAL_SERVICE, &now), "note", Ok(())));
        noted.insert(meta(&now, "uid").to_owned(), now);
    }
    let all = deleted.iter().map(|(kind, object)| {
        let newer = noted.get(meta(object, "uid")).filter(|now| same(now, object));
        (*kind, newer.unwrap_or(object).clone())
    });
    let all = all.collect();
    (lines, all)
}

/// The routes among what goes that do not say so yet.
pub fn noting(deleted: &[(Kind, Value)]) -> impl Iterator<Item = &Value> {
    let routes = deleted
        .iter()
        .filter(|(kind, _)| *kind == cluster::VIRTUAL_SERVICE);
    routes
        .map(|(_, route)| route)
        .filter(|route| !marks::going_back(route))
}

/// Closes hosts at the Gateways; one that has no other is deleted.
pub async fn close(cluster: &Cluster, pace: &Pace, undo: &Undo) -> Vec<Line> {
    let mut lines = Vec::new();
    for gateway in &undo.gateways {
        pace.turn().await;
        let result = close_one(cluster, gateway, &undo.hosts).await;
        lines.push(line(named(&cluster::GATEWAY, gateway), "close", result));
    }
    lines
}

async fn close_one(cluster: &Cluster, gateway: &Value, hosts: &BTreeSet<Host>) -> Result<(), String> {
    let (namespace, name) = gateway::key(gateway);
    let mut now = gateway.clone();
    for _ in 0..TRIES {
        match put(cluster, &now, hosts).await {
            Ok(()) => return Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(said(&error)),
        }
        // Somebody opened or closed something else meanwhile.
        match cluster.get(&cluster::GATEWAY, &namespace, &name).await {
            Ok(Some(newer)) => now = newer,
            Ok(None) => return Ok(()),
            Err(error) => return Err(said(&error)),
        }
    }
    Err(format!(
        "it was changed by somebody else {TRIES} times while it was written"
    ))
}

async fn put(cluster: &Cluster, gateway: &Value, hosts: &BTreeSet<Host>) -> Result<(), kube::Error> {
    let (namespace, name) = gateway::key(gateway);
    let Some(api) = cluster.api(&cluster::GATEWAY, Some(&namespace)) else {
        return Ok(());
    };
    let Some(left) = gateway::without(gateway, &|host| hosts.contains(host)) else {
        return api.delete(&name, &exactly(gateway, false)).await.map(drop);
    };
    let body = json!({
        "apiVersion": cluster.version(&cluster::GATEWAY), "kind": "Gateway",
        "metadata": {
            "name": name, "namespace": namespace, "resourceVersion": meta(gateway, "resourceVersion"),
            "labels": {marks::MANAGED_BY: marks::OURS},
        },
        "spec": left.get("spec"),
    });
    let mut body = stamped(body, None);
    if marks::untouched(gateway) == Some(false) {
        // What somebody edited stays known as edited: else the next apply would take it for its own, and away.
        let before = annotation(gateway, marks::WRITTEN).unwrap_or_default();
        annotate(&mut body, marks::WRITTEN, before);
    }
    // Servers that others added stay in the list, which is one field.
    let params = PatchParams::apply(MANAGER).force();
    api.patch(&name, &params, &Patch::Apply(&body)).await.map(drop)
}

/// Deletes objects of one kind after those of another, each as it was looked at; on a dry run it is only checked.
pub async fn delete(cluster: &Cluster, pace: &Pace, all: &[(Kind, Value)], dry_run: bool) -> Vec<Line> {
    let mut lines = Vec::new();
    for group in all.chunk_by(|a, b| a.0 == b.0) {
        let work = group.iter().map(|(kind, object)| async move {
            line(
                named(kind, object),
                "delete",
                gone(cluster, kind, object, dry_run).await,
            )
        });
        lines.extend(paced(work, pace).collect::<Vec<Line>>().await);
    }
    lines
}

/// Deletes an object unless another took its place or it asks for something else by now; a controller that only wrote
/// its status is no reason to leave it.
async fn gone(cluster: &Cluster, kind: &Kind, object: &Value, dry_run: bool) -> Result<(), String> {
    let (namespace, name) = (meta(object, "namespace"), meta(object, "name"));
    let Some(api) = cluster.api(kind, Some(namespace)) else {
        return Ok(());
    };
    let mut now = object.clone();
    for _ in 0..TRIES {
        match api.delete(name, &exactly(&now, dry_run)).await {
            Ok(_) => return Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(said(&error)),
        }
        match cluster.get(kind, namespace, name).await {
            Ok(None) => return Ok(()),
            Ok(Some(newer)) if same(&newer, object) => now = newer,
            Ok(Some(_)) => return Err("somebody changed it since it was looked at".to_owned()),
            Err(error) => return Err(said(&error)),
        }
    }
    Err(format!("it was changed {TRIES} times while it was deleted"))
}

/// Whether an object is the same one and asks for the same.
fn same(a: &Value, b: &Value) -> bool {
    meta(a, "uid") == meta(b, "uid") && marks::spec(a) == marks::spec(b) && a.get("data") == b.get("data")
}
