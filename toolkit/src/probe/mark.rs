//! The mark of an Ingress whose hosts both sides answer alike: `cleanup` waits for it.

use super::Suite;
use super::code;
use super::hit::Hit;
use super::target::hosts;
use crate::cluster::annotation;
use crate::finding::Severity;
use crate::marks;
use crate::place::Place;
use crate::put;
use crate::see::{self, kinds, text};
use futures::StreamExt;
use kube::api::{Patch, PatchParams};
use serde_json::{Map, Value, json};

/// How many are written at once.
const AT_ONCE: usize = 16;

/// What became of the marks.
#[derive(Debug, Default)]
pub(super) struct Marked {
    /// What was written.
    pub names: Vec<&'static str>,
    /// `namespace/name` of those that have it now.
    pub done: Vec<String>,
    /// Those that have no mark of the edge, as nginx let a question through that their guard should have kept out.
    pub unguarded: Vec<String>,
    /// `namespace/name` of those that had it, and have not any more, as something is wrong with their hosts.
    pub withdrawn: Vec<String>,
    /// Those that should have it and have not, or have it and should not, and why.
    pub failed: Vec<String>,
}

/// Marks every migrated Ingress whose hosts have no blocker, and takes earlier marks off those that have one. Only as it was listed: one that changed since must be
/// asked for anew. By merge patch, as server-side apply would take our other marks away.
pub(super) async fn alike(
    place: &Place<'_>,
    ingresses: &[&Value],
    usual: &[Value],
    names: &[&'static str],
    hits: &[Hit],
) -> Marked {
    let at = put::stamp((place.now)()).to_string();
    let wanted = ingresses.iter().zip(usual).filter(|(ingress, usual)| {
        marks::migrated(ingress)
            && marks::as_converted(ingress) != Some(false)
            && !differs(ingress, &hosts(usual), hits)
    });
    let mut unguarded = Vec::new();
    let mut noted: Vec<(&Value, Map<String, Value>)> = Vec::new();
    for (ingress, usual) in wanted {
        let mut notes: Map<String, Value> = names
            .iter()
            .map(|name| ((*name).to_owned(), at.clone().into()))
            .collect();
        if unanswered(ingress, hits) {
            notes.remove(marks::PROBED_AT);
        }
        if unasked(&hosts(usual), hits) && notes.remove(marks::EDGE_PROBED_AT).is_some() {
            unguarded.push(name(ingress));
        }
        if !notes.is_empty() {
            noted.push((ingress, notes));
        }
    }
    let noted = noted.into_iter().map(|(ingress, notes)| {
        let version = text(ingress, "/metadata/resourceVersion");
        (ingress, json!({"resourceVersion": version, "annotations": notes}))
    });
    let mut marked = Marked {
        names: names.to_vec(),
        unguarded,
        ..Marked::default()
    };
    for (name, failure) in write(place, noted.collect()).await {
        match failure {
            None => marked.done.push(name),
            Some(why) => marked.failed.push(format!("{name}: {why}")),
        }
    }
    for (name, failure) in write(place, withdrawing(ingresses, usual, names, hits)).await {
        match failure {
            None => marked.withdrawn.push(name),
            Some(why) => marked.failed.push(format!(
                "{name}: its mark of before could not be taken off, and `apply --rollout` and `cleanup` still go by it: {why}"
            )),
        }
    }
    marked
}

/// What of earlier marks is not true any more: the gateway was well then, and something is wrong with the hosts now. Each
/// suite takes off the mark that it stands for, also where it was not asked for everything: one difference is enough. What
/// could not be compared says nothing.
fn withdrawing<'a>(
    ingresses: &[&'a Value],
    usual: &[Value],
    names: &[&'static str],
    hits: &[Hit],
) -> Vec<(&'a Value, Value)> {
    let mut all = Vec::new();
    for (ingress, usual) in ingresses.iter().zip(usual) {
        let hosts = hosts(usual);
        let wrong: Vec<&Hit> = hits
            .iter()
            .filter(|hit| grave(hit) && about(ingress, &hosts, hit))
            .collect();
        let off: Map<String, Value> = [marks::PROBED_AT, marks::EDGE_PROBED_AT]
            .into_iter()
            .filter(|name| annotation(ingress, name).is_some())
            .filter(|name| {
                let own = |hit: &&Hit| stands(hit.suite) == Some(*name);
                !wrong.is_empty() && names.contains(name) || wrong.iter().any(own)
            })
            .map(|name| (name.to_owned(), Value::Null))
            .collect();
        if !off.is_empty() {
            all.push((*ingress, json!({"annotations": off})));
        }
    }
    all
}

/// The mark that a suite is part of.
fn stands(suite: &str) -> Option<&'static str> {
    if suite == Suite::Routes.word() {
        return Some(marks::PROBED_AT);
    }
    let edge = Suite::Edge.parts().iter().any(|part| suite == part.word());
    edge.then_some(marks::EDGE_PROBED_AT)
}

/// Writes to the metadata of Ingresses: the name of each, and why it could not be written.
async fn write(place: &Place<'_>, all: Vec<(&Value, Value)>) -> Vec<(String, Option<String>)> {
    let client = &place.client;
    futures::stream::iter(all)
        .map(|(ingress, notes)| async move {
            let (namespace, name) = (see::namespace(ingress), see::name(ingress));
            let writing = PatchParams {
                field_manager: Some(put::MANAGER.to_owned()),
                ..PatchParams::default()
            };
            let api = kinds::INGRESS.within(client, namespace);
            let mark = json!({"metadata": notes});
            let written = api.patch(name, &writing, &Patch::Merge(&mark)).await;
            (
                see::place(Some(namespace), name),
                written.err().map(|error| error.to_string()),
            )
        })
        .buffered(AT_ONCE)
        .collect()
        .await
}

/// Whether something is wrong with one of the hosts: a blocker about it, or about all of them. What could not be
/// compared is not known to be alike.
fn differs(ingress: &Value, hosts: &[String], hits: &[Hit]) -> bool {
    hits.iter()
        .filter(|hit| grave(hit) || hit.code == code::UNSTABLE.name)
        .any(|hit| about(ingress, hosts, hit))
}

/// Whether something is known to be wrong.
fn grave(hit: &Hit) -> bool {
    hit.severity == Severity::Blocker && !hit.explained
}

fn name(ingress: &Value) -> String {
    see::place(Some(see::namespace(ingress)), see::name(ingress))
}

/// Whether something is said of an Ingress, of one of its hosts, or of all.
fn about(ingress: &Value, hosts: &[String], hit: &Hit) -> bool {
    match &hit.ingress {
        Some(one) => *one == name(ingress),
        None => !hit.host.contains('.') || has(hosts, &hit.host),
    }
}

/// Whether no back end of it was seen, and nobody agreed with that.
fn unanswered(ingress: &Value, hits: &[Hit]) -> bool {
    hits.iter().any(|hit| {
        hit.code == code::NO_BACKEND.name
            && !hit.accepted
            && hit.ingress.as_ref().is_some_and(|one| *one == name(ingress))
    })
}

/// Whether a guard of one of the hosts was not tested.
fn unasked(hosts: &[String], hits: &[Hit]) -> bool {
    hits.iter()
        .any(|hit| hit.code == code::GUARD_UNASKED.name && has(hosts, &hit.host))
}

/// Whether a name that was asked for is one of some hosts, or under one.
pub(super) fn has(hosts: &[String], name: &str) -> bool {
    hosts.iter().any(|host| match host.strip_prefix("*.") {
        Some(rest) => name.ends_with(&format!(".{rest}")),
        None => name == host,
    })
}
