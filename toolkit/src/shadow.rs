//! Ingresses of one host and path: nginx serves the oldest, with its guards. One that goes and comes back is the youngest.

use crate::apply::select::shown;
use crate::cluster::{self, Cluster, meta};
use crate::finding::{Finding, Severity};
use crate::restore::plan::{Doing, Step};
use crate::see::{entries, items, text};
use crate::trouble::Trouble;
use gradual_rollout_migration::input::Key;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The Ingresses of a cluster.
pub async fn read(cluster: &Cluster) -> Result<BTreeMap<Key, Value>, Trouble> {
    let all = cluster.all(&cluster::INGRESS, None).await?.into_iter();
    let key = |object: &Value| {
        (
            meta(object, "namespace").to_owned(),
            meta(object, "name").to_owned(),
        )
    };
    Ok(all.map(|object| (key(&object), object)).collect())
}

/// Host, path, and whether that is exact.
fn locations(ingress: &Value) -> BTreeSet<(String, String, bool)> {
    let mut all = BTreeSet::new();
    for rule in items(ingress, "/spec/rules") {
        let host = text(rule, "/host").unwrap_or_default().to_ascii_lowercase();
        for path in items(rule, "/http/paths") {
            let exact = text(path, "/pathType") == Some("Exact");
            all.insert((host.clone(), text(path, "/path").unwrap_or("/").to_owned(), exact));
        }
    }
    all
}

/// Whether an Ingress is only beside another of its host and path.
fn canary(ingress: &Value) -> bool {
    entries(ingress, "/metadata/annotations")
        .any(|(name, value)| name.ends_with("/canary") && value.as_str() == Some("true"))
}

/// Others of a class, host and path of an Ingress, and of them those that are younger.
fn others<'a>(
    key: &'a Key,
    ingress: &'a Value,
    all: &'a BTreeMap<Key, Value>,
) -> impl Iterator<Item = (&'a Key, &'a Value)> {
    let own = locations(ingress);
    let class = |ingress: &Value| text(ingress, "/spec/ingressClassName").map(ToOwned::to_owned);
    let own_class = class(ingress);
    all.iter().filter(move |(other, there)| {
        *other != key
            && !canary(there)
            && !canary(ingress)
            && class(there) == own_class
            && !locations(there).is_disjoint(&own)
    })
}

fn named(key: &Key) -> String {
    format!("{}/{}", key.0, key.1)
}

/// The younger Ingresses that nginx would serve without one.
pub fn behind(key: &Key, ingress: &Value, all: &BTreeMap<Key, Value>) -> Vec<String> {
    let since = meta(ingress, "creationTimestamp");
    others(key, ingress, all)
        .filter(|(_, there)| meta(there, "creationTimestamp") >= since)
        .map(|(other, _)| named(other))
        .collect()
}

/// That Ingresses which came back are younger than others of their host and path now.
pub async fn younger(cluster: &Cluster, steps: &[Step], written: &[String]) -> Result<Vec<Finding>, Trouble> {
    let back: Vec<&Step> = steps
        .iter()
        .filter(|step| step.kind == cluster::INGRESS && matches!(step.doing, Doing::Create))
        .filter(|step| written.contains(&step.object()))
        .collect();
    if back.is_empty() {
        return Ok(Vec::new());
    }
    let all = read(cluster).await?;
    let told = back.iter().filter_map(|step| {
        let key = (step.namespace.clone(), step.name.clone());
        let came: Vec<String> = others(&key, &step.kept, &all)
            .filter(|(other, _)| !back.iter().any(|step| step.namespace == other.0 && step.name == other.1))
            .map(|(other, _)| named(other))
            .collect();
        (!came.is_empty()).then(|| Finding {
            code: "RESTORE-YOUNGER",
            severity: Severity::Warning,
            object: step.object(),
            message: format!(
                "it came back younger than {}, of the same host and path: nginx serves that, with that one's guards",
                shown(&came)
            ),
            remedy: "look at the guards of both; to have this one served, delete the other and write it again".to_owned(),
        })
    });
    Ok(told.collect())
}
