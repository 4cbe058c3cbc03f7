//! Writing down which Ingresses both sides answered alike: `cleanup` asks for it.

use super::ProbeArgs;
use super::hit::Hit;
use crate::apply::run::said;
use crate::cluster::{self, Cluster, MANAGER, meta};
use crate::finding::Severity;
use crate::marks;
use crate::pace::paced;
use crate::place::Place;
use crate::trouble::Trouble;
use futures::StreamExt as _;
use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Notes written in a second at most.
const RATE: u32 = 100;

/// Writes the time on every migrated Ingress none of whose hosts was answered otherwise. Returns how many, and what the
/// cluster refused.
pub(super) async fn write(
    args: &ProbeArgs,
    ingresses: &[&Value],
    hits: &[Hit],
    place: &Place<'_>,
) -> Result<(usize, Vec<String>), Trouble> {
    let cluster = Cluster::look(&place.client, &[cluster::INGRESS]).await?;
    let bad: BTreeSet<&str> = hits
        .iter()
        .filter(|hit| hit.severity == Severity::Blocker || (args.strict && hit.severity == Severity::Warning))
        .map(|hit| hit.host.as_str())
        .collect();
    let now = (place.now)();
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let patch = json!({"metadata": {"annotations": {marks::PROBED_AT: now.to_string()}}});
    let (cluster, patch) = (&cluster, &patch);
    let alike = ingresses
        .iter()
        .filter(|ingress| marks::migrated(ingress) && is_alike(ingress, &bad));
    let work = alike.map(|ingress| async move {
        let (namespace, name) = (meta(ingress, "namespace"), meta(ingress, "name"));
        let params = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        // By merge: server-side apply under the same manager would take the other marks away.
        let api = cluster
            .must(&cluster::INGRESS, Some(namespace))
            .map_err(|e| e.to_string())?;
        let done = api.patch(name, &params, &Patch::Merge(patch)).await;
        done.map(drop)
            .map_err(|error| format!("Ingress {namespace}/{name}: {}", said(&error)))
    });
    let all: Vec<Result<(), String>> = paced(work, RATE).collect().await;
    let written = all.iter().filter(|one| one.is_ok()).count();
    Ok((written, all.into_iter().filter_map(Result::err).collect()))
}

/// Whether none of an Ingress's hosts was answered otherwise. A wildcard was asked by names under it.
fn is_alike(ingress: &Value, bad: &BTreeSet<&str>) -> bool {
    let rules = ingress.pointer("/spec/rules").and_then(Value::as_array);
    let hosts = rules
        .into_iter()
        .flatten()
        .filter_map(|rule| rule.get("host")?.as_str());
    let mut hosts = hosts.map(str::to_ascii_lowercase).peekable();
    // What takes the requests of all other hosts was not asked by name.
    hosts.peek().is_some()
        && hosts.all(|host| {
            let under = host.strip_prefix('*');
            !bad.iter()
                .any(|asked| *asked == host || under.is_some_and(|domain| asked.ends_with(domain)))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_that_differs_keeps_its_ingress_from_being_alike() {
        let ingress = |hosts: &[&str]| {
            let rules: Vec<Value> = hosts.iter().map(|host| json!({"host": host})).collect();
            json!({"spec": {"rules": rules}})
        };
        let bad = BTreeSet::from(["x.a.com"]);
        assert!(is_alike(&ingress(&["y.a.com", "b.com"]), &bad));
        assert!(!is_alike(&ingress(&["y.a.com", "X.a.com"]), &bad));
        assert!(!is_alike(&ingress(&["*.a.com"]), &bad));
        assert!(!is_alike(&json!({"spec": {"defaultBackend": {}}}), &bad));
    }
}
