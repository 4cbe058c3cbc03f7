//! What earlier runs were told to accept: an Ingress that is as it was is served as it was, whoever asks again without.
//!
//! It is kept in a ConfigMap in the gateway's namespace, where who may only write Ingresses cannot write it; what stands on
//! an Ingress is for people to read.

use super::args::ApplyArgs;
use super::live::Live;
use super::plan::Mark;
use super::read::from;
use super::run::said;
use crate::cluster::{self, Cluster, MANAGER};
use crate::convert::Seen;
use crate::digest;
use crate::dry::DryRun;
use crate::marks;
use crate::trouble::Trouble;
use gradual_rollout_migration::convert::Conversion;
use gradual_rollout_migration::input::Key;
use gradual_rollout_migration::report::{Code, explain};
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The `ConfigMap` that has it.
pub const RECORD: &str = "gradual-rollout-accepted";

/// What is written of an Ingress: which, what was accepted, and the digest of what it was, with a space between.
type Entries = BTreeMap<String, String>;

/// The key of an Ingress. Names may be longer than keys, so it stands in the value too.
fn entry(key: &Key) -> String {
    digest::short(&json!([key.0, key.1]))
}

/// The codes that were accepted of an Ingress as it is.
fn of(record: &Value, key: &Key, ingress: &Value) -> Option<BTreeSet<Code>> {
    let text = record.pointer("/data")?.get(entry(key))?.as_str()?;
    let mut words = text.split(' ');
    let (name, codes, source) = (words.next()?, words.next()?, words.next()?);
    let (_, prefix) = source.split_once('@')?;
    if name != format!("{}/{}", key.0, key.1) || marks::source(ingress, prefix) != source {
        return None;
    }
    // A code that a later version does not know any more cannot refuse.
    Some(
        codes
            .split(',')
            .filter_map(|code| Some(explain(code)?.code))
            .collect(),
    )
}

/// What was accepted of Ingresses that are as they were converted, and that the gateway serves so: whoever changes one has
/// to be asked anew.
pub fn accepted(seen: &Seen, live: &Live, record: Option<&Value>) -> BTreeMap<Key, BTreeSet<Code>> {
    let Some(record) = record else {
        return BTreeMap::new();
    };
    let served: BTreeSet<Key> = live.ours(&cluster::VIRTUAL_SERVICE).flat_map(from).collect();
    seen.ingresses
        .iter()
        .filter(|(key, _)| served.contains(*key))
        .filter_map(|(key, ingress)| Some((key.clone(), of(record, key, ingress)?)))
        .collect()
}

/// The codes that would have refused each Ingress had they not been accepted, by comma.
pub fn lost(conversion: &Conversion) -> BTreeMap<Key, String> {
    let said = conversion.report.ingresses.iter().filter_map(|result| {
        let entries = result.entries.iter().filter(|entry| entry.accepted);
        let codes: BTreeSet<&str> = entries.map(|entry| entry.code.text()).collect();
        let codes = codes.into_iter().collect::<Vec<_>>().join(",");
        (!codes.is_empty()).then(|| ((result.namespace.clone(), result.name.clone()), codes))
    });
    said.collect()
}

/// The record of a cluster, where there is one.
pub async fn read(cluster: &Cluster, namespace: &str) -> Result<Option<Value>, Trouble> {
    cluster
        .get(&cluster::CONFIG_MAP, namespace, RECORD)
        .await
        .map_err(|error| Trouble::kube(format!("read ConfigMap {namespace}/{RECORD}"), &error))
}

/// What has to be written of marks that the record does not have as it is.
pub fn entries(all: &[Mark], record: Option<&Value>) -> Entries {
    let accepting = all.iter().filter(|mark| !mark.accepted.is_empty());
    let wanted = accepting.map(|mark| {
        let text = format!("{}/{} {} {}", mark.key.0, mark.key.1, mark.accepted, mark.source);
        (entry(&mark.key), text)
    });
    let has = |key: &str, text: &str| {
        let there = record.and_then(|record| record.pointer("/data")?.get(key)?.as_str());
        there == Some(text)
    };
    wanted.filter(|(key, text)| !has(key, text)).collect()
}

/// Writes it.
pub async fn write(
    cluster: &Cluster,
    args: &ApplyArgs,
    namespace: &str,
    entries: &Entries,
) -> Result<(), String> {
    let Some(api) = cluster.api(&cluster::CONFIG_MAP, Some(namespace)) else {
        return Err("the cluster serves no ConfigMaps".to_owned());
    };
    if args.dry_run == Some(DryRun::Client) {
        return Ok(());
    }
    let dry_run = args.dry_run == Some(DryRun::Server);
    let params = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        dry_run,
        ..PatchParams::default()
    };
    match api
        .patch(RECORD, &params, &Patch::Merge(&json!({"data": entries})))
        .await
    {
        Ok(_) => return Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        Err(error) => return Err(said(&error)),
    }
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "data": entries,
        "metadata": {"name": RECORD, "namespace": namespace, "labels": {marks::MANAGED_BY: marks::OURS}},
    });
    let object = cluster::object(object).map_err(|trouble| trouble.to_string())?;
    let params = PostParams {
        dry_run,
        field_manager: Some(MANAGER.to_owned()),
    };
    api.create(&params, &object)
        .await
        .map(drop)
        .map_err(|error| said(&error))
}
