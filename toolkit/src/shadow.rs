//! Ingresses of one host and path: nginx serves the oldest, with its guards. One that goes and comes back is the youngest.

use crate::answering::canary;
use crate::apply::select::shown;
use crate::cluster::{self, Cluster, meta};
use crate::finding::{Finding, Severity};
use crate::restore::plan::{Doing, Step};
use crate::see::{items, text};
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

/// Class, host, path, and whether that is exact.
type Location = (Option<String>, String, String, bool);

fn locations(ingress: &Value) -> BTreeSet<Location> {
    let mut all = BTreeSet::new();
    let class = text(ingress, "/spec/ingressClassName").map(ToOwned::to_owned);
    for rule in items(ingress, "/spec/rules") {
        let host = text(rule, "/host").unwrap_or_default().to_ascii_lowercase();
        for path in items(rule, "/http/paths") {
            let exact = text(path, "/pathType") == Some("Exact");
            let path = text(path, "/path").unwrap_or("/").to_owned();
            all.insert((class.clone(), host.clone(), path, exact));
        }
    }
    all
}

/// Ingresses by what they serve.
#[derive(Debug)]
pub struct Beside<'a> {
    all: BTreeMap<Location, Vec<(&'a Key, &'a Value)>>,
}

impl<'a> Beside<'a> {
    /// Of some Ingresses.
    pub fn new(ingresses: &'a BTreeMap<Key, Value>) -> Self {
        let mut all: BTreeMap<Location, Vec<(&Key, &Value)>> = BTreeMap::new();
        for (key, ingress) in ingresses.iter().filter(|(_, ingress)| !canary(ingress)) {
            for location in locations(ingress) {
                all.entry(location).or_default().push((key, ingress));
            }
        }
        Self { all }
    }

    /// Others of a class, host and path of an Ingress.
    fn others(&self, key: &Key, ingress: &Value) -> BTreeMap<&'a Key, &'a Value> {
        if canary(ingress) {
            return BTreeMap::new();
        }
        let found = locations(ingress);
        let found = found
            .iter()
            .filter_map(|location| self.all.get(location))
            .flatten();
        found.filter(|(other, _)| *other != key).copied().collect()
    }

    /// The younger Ingresses that nginx would serve without one.
    pub fn behind(&self, key: &Key, ingress: &Value) -> Vec<String> {
        let since = meta(ingress, "creationTimestamp");
        self.others(key, ingress)
            .into_iter()
            .filter(|(_, there)| meta(there, "creationTimestamp") >= since)
            .map(|(other, _)| named(other))
            .collect()
    }
}

fn named(key: &Key) -> String {
    format!("{}/{}", key.0, key.1)
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
    let beside = Beside::new(&all);
    let told = back.iter().filter_map(|step| {
        let key = (step.namespace.clone(), step.name.clone());
        let came: Vec<String> = beside
            .others(&key, &step.kept)
            .into_iter()
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
