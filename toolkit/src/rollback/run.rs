//! Undoing, one step after the other.

use super::plan::{Undo, named};
use super::watch::{Lost, Watch};
use crate::apply::gateway::{self, Beneath, Host};
use crate::apply::item::stamped;
use crate::apply::live::hosts;
use crate::apply::needs::annotate;
use crate::apply::run::{Became, Line, said, under, width};
use crate::cluster::{self, Cluster, Kind, MANAGER, annotation, exactly, meta};
use crate::marks;
use crate::pace::{Pace, paced};
use futures::StreamExt as _;
use gradual_rollout_migration::input::Key;
use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use std::cmp::Reverse;
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
            // It was there when it was looked at: whoever deletes Ingresses meanwhile leaves their hosts to the gateway alone.
            Err(kube::Error::Api(status)) if status.code == 404 => line(
                object,
                "unmark",
                Err("it is not there any more: somebody deleted it since it was looked at".to_owned()),
            ),
            Err(error) => line(object, "unmark", Err(said(&error))),
        }
    });
    paced(work, pace).collect().await
}

/// What became of routes that were told that they go.
#[derive(Debug, Default)]
pub struct Noted {
    /// What was done.
    pub lines: Vec<Line>,
    /// All that goes, as it is then.
    pub deleted: Vec<(Kind, Value)>,
    /// Routes that somebody else wrote since they were looked at, by a cleanup for one, which deletes their Ingresses next.
    pub changed: Vec<String>,
}

/// Says on routes that go that they do, before anything else of them is undone: from then on no cleanup deletes their
/// Ingresses, and one that was killed does not look like an `apply` that was. Going back does not depend on it, so that it
/// could not be said is no failure.
pub async fn note(cluster: &Cluster, pace: &Pace, deleted: &[(Kind, Value)], now: Timestamp) -> Noted {
    let second = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let body = json!({"metadata": {"annotations": {marks::GOING_BACK: second.to_string()}}});
    let body = &body;
    let params = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let params = &params;
    let (mut told, mut noted) = (Noted::default(), BTreeMap::new());
    let work = noting(deleted).map(|route| async move {
        let (namespace, name) = gateway::key(route);
        let api = cluster.api(&cluster::VIRTUAL_SERVICE, Some(&namespace))?;
        let now = api.patch(&name, params, &Patch::Merge(body)).await.ok()?;
        serde_json::to_value(now).ok()
    });
    for now in paced(work, pace).collect::<Vec<_>>().await.into_iter().flatten() {
        told.lines
            .push(line(named(&cluster::VIRTUAL_SERVICE, &now), "note", Ok(())));
        noted.insert(gateway::key(&now), now);
    }
    for (kind, object) in deleted {
        let route = *kind == cluster::VIRTUAL_SERVICE;
        let newer = noted.get(&gateway::key(object)).filter(|_| route);
        if newer.is_some_and(|now| !same(now, object)) {
            told.changed.push(named(kind, object));
        }
        told.deleted.push((*kind, newer.unwrap_or(object).clone()));
    }
    told
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

/// Closes hosts at the Gateways; one that has no other is deleted. Right before each write the Ingresses are read again, and
/// what they do not serve stays open: returns which these are.
pub async fn close(
    cluster: &Cluster,
    pace: &Pace,
    undo: &Undo,
    watch: &Watch,
) -> (Vec<Line>, BTreeMap<Key, Lost>) {
    let (mut lines, mut lost) = (Vec::new(), BTreeMap::new());
    for gateway in &undo.gateways {
        pace.turn().await;
        match close_one(cluster, gateway, undo, watch, &mut lost).await {
            Ok(false) => {}
            Ok(true) => lines.push(line(named(&cluster::GATEWAY, gateway), "close", Ok(()))),
            Err(why) => lines.push(line(named(&cluster::GATEWAY, gateway), "close", Err(why))),
        }
    }
    (lines, lost)
}

/// Whether anything was closed.
async fn close_one(
    cluster: &Cluster,
    gateway: &Value,
    undo: &Undo,
    watch: &Watch,
    lost: &mut BTreeMap<Key, Lost>,
) -> Result<bool, String> {
    let (namespace, name) = gateway::key(gateway);
    let mut staying = undo.staying(gateway);
    let mut now = gateway.clone();
    for _ in 0..TRIES {
        lost.extend(watch.look(cluster).await.map_err(|trouble| trouble.to_string())?);
        let held = watch.hosts(lost);
        let hosts: BTreeSet<Host> = undo.hosts.difference(&held).cloned().collect();
        staying.hosts.extend(held);
        if gateway::open(&now).is_disjoint(&hosts) {
            return Ok(false);
        }
        match put(cluster, &now, &hosts, &staying).await {
            Ok(()) => return Ok(true),
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(true),
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(said(&error)),
        }
        // Somebody opened or closed something else meanwhile.
        match cluster.get(&cluster::GATEWAY, &namespace, &name).await {
            Ok(Some(newer)) => now = newer,
            Ok(None) => return Ok(true),
            Err(error) => return Err(said(&error)),
        }
    }
    Err(format!(
        "it was changed by somebody else {TRIES} times while it was written"
    ))
}

/// Opens hosts again that were closed a moment ago, as the Gateways had them.
pub async fn reopen(cluster: &Cluster, undo: &Undo, hosts: &BTreeSet<Host>) -> Vec<Line> {
    let mut lines = Vec::new();
    for gateway in &undo.gateways {
        if !gateway::open(gateway).is_disjoint(hosts) {
            let result = reopen_one(cluster, gateway, hosts).await;
            lines.push(line(named(&cluster::GATEWAY, gateway), "open again", result));
        }
    }
    lines
}

async fn reopen_one(cluster: &Cluster, before: &Value, hosts: &BTreeSet<Host>) -> Result<(), String> {
    let (namespace, name) = gateway::key(before);
    let Some(api) = cluster.api(&cluster::GATEWAY, Some(&namespace)) else {
        return Ok(());
    };
    let Some(was) = gateway::without(before, &|host| !hosts.contains(host), &Beneath::default()) else {
        return Ok(());
    };
    let again = Beneath {
        hosts: hosts.clone(),
        ..Beneath::default()
    };
    for _ in 0..TRIES {
        let now = cluster.get(&cluster::GATEWAY, &namespace, &name).await;
        let now = now.map_err(|error| said(&error))?;
        let next = match &now {
            Some(now) => gateway::keeping(now.clone(), &was, &again),
            None => was.clone(),
        };
        let body = written(
            cluster,
            now.as_ref().unwrap_or(&json!({})),
            &next,
            &namespace,
            &name,
        );
        let params = PatchParams::apply(MANAGER).force();
        match api.patch(&name, &params, &Patch::Apply(&body)).await {
            Ok(_) => return Ok(()),
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(said(&error)),
        }
    }
    Err(format!(
        "it was changed by somebody else {TRIES} times while it was written"
    ))
}

/// A Gateway as it is sent, in place of the one that is there.
fn written(cluster: &Cluster, there: &Value, next: &Value, namespace: &str, name: &str) -> Value {
    let mut body = json!({
        "apiVersion": cluster.version(&cluster::GATEWAY), "kind": "Gateway",
        "metadata": {
            "name": name, "namespace": namespace,
            "labels": {marks::MANAGED_BY: marks::OURS},
        },
        "spec": next.get("spec"),
    });
    let version = meta(there, "resourceVersion");
    if let (false, Some(meta)) = (
        version.is_empty(),
        body.pointer_mut("/metadata").and_then(Value::as_object_mut),
    ) {
        meta.insert("resourceVersion".to_owned(), version.into());
    }
    let mut body = stamped(body, None);
    if marks::untouched(there) == Some(false) {
        // What somebody edited stays known as edited: else the next apply would take it for its own, and away.
        let before = annotation(there, marks::WRITTEN).unwrap_or_default();
        annotate(&mut body, marks::WRITTEN, before);
    }
    body
}

async fn put(
    cluster: &Cluster,
    gateway: &Value,
    hosts: &BTreeSet<Host>,
    staying: &Beneath,
) -> Result<(), kube::Error> {
    let (namespace, name) = gateway::key(gateway);
    let Some(api) = cluster.api(&cluster::GATEWAY, Some(&namespace)) else {
        return Ok(());
    };
    let Some(left) = gateway::without(gateway, &|host| hosts.contains(host), staying) else {
        return api.delete(&name, &exactly(gateway, false)).await.map(drop);
    };
    let body = written(cluster, gateway, &left, &namespace, &name);
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
            Ok(Some(_)) => {
                return Err(
                    "somebody changed it since it was looked at: ask again, which looks at all of it anew"
                        .to_owned(),
                );
            }
            Err(error) => return Err(said(&error)),
        }
    }
    Err(format!("it was changed {TRIES} times while it was deleted"))
}

/// Deletes routes whose hosts are closed, the widest first: nothing that a narrower one keeps from it is led on meanwhile.
/// Each goes only while the Ingresses that serve its hosts now are what they were; one of those that nginx guards only while
/// no wider one is left over it. Returns the Ingresses that were not.
pub async fn delete_routes(
    cluster: &Cluster,
    pace: &Pace,
    routes: &[(Kind, Value)],
    guarded: &BTreeSet<Host>,
    watch: &Watch,
) -> (Vec<Line>, BTreeMap<Key, Lost>) {
    let mut widest: Vec<(Kind, Value)> = routes.to_vec();
    let width = |one: &(Kind, Value)| width(&hosts(&one.1));
    widest.sort_by_key(|one| Reverse(width(one)));
    let (mut lines, mut lost) = (Vec::new(), BTreeMap::new());
    let mut left: BTreeSet<String> = BTreeSet::new();
    for tier in widest.chunk_by(|a, b| width(a) == width(b)) {
        let over = |route: &Value| {
            guarded.contains(&gateway::key(route)) && hosts(route).iter().any(|host| under(host, &left))
        };
        let (stay, go): (Vec<_>, Vec<_>) = tier.iter().cloned().partition(|(_, route)| over(route));
        lines.extend(stay.iter().map(|(kind, route)| {
            let why = "left: a wider route is left, which would take its requests without its guards";
            line(named(kind, route), "delete", Err(why.to_owned()))
        }));
        left.extend(stay.iter().flat_map(|(_, route)| hosts(route)));
        for (route, line, more) in delete_tier(cluster, pace, &go, watch).await {
            if line.result != Became::Written {
                left.extend(hosts(route));
            }
            lines.push(line);
            lost.extend(more);
        }
    }
    (lines, lost)
}

/// The same of routes of which none is over another.
async fn delete_tier<'r>(
    cluster: &Cluster,
    pace: &Pace,
    routes: &'r [(Kind, Value)],
    watch: &Watch,
) -> Vec<(&'r Value, Line, Option<(Key, Lost)>)> {
    let work = routes.iter().map(|(kind, route)| async move {
        let (result, lost) = match watch.look_at(cluster, route).await {
            Ok(Some((key, lost))) => {
                let why = format!("left: Ingress {}/{}: {}", key.0, key.1, lost.said());
                (Err(why), Some((key, lost)))
            }
            Ok(None) => (gone(cluster, kind, route, false).await, None),
            Err(why) => (Err(format!("left: its Ingresses could not be read: {why}")), None),
        };
        (route, line(named(kind, route), "delete", result), lost)
    });
    paced(work, pace).collect().await
}

/// Whether an object is the same one and asks for the same: in its `spec`, and in what is noted on it of the Ingresses that
/// it serves.
fn same(a: &Value, b: &Value) -> bool {
    const NOTES: [&str; 6] = [
        marks::CLEANED_AT,
        marks::CLEANED,
        marks::FROM,
        marks::CANARIES,
        marks::CLOSED,
        marks::SOURCES,
    ];
    meta(a, "uid") == meta(b, "uid")
        && marks::spec(a) == marks::spec(b)
        && a.get("data") == b.get("data")
        && NOTES
            .iter()
            .all(|name| annotation(a, name) == annotation(b, name))
}
