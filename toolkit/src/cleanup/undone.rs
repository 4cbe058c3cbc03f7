//! Ingresses that came back: their routes are not those of hosts that the gateway serves alone any more.

use super::merge;
use crate::answering::typed;
use crate::apply::gateway;
use crate::apply::keep;
use crate::apply::read::from;
use crate::cluster::{self, Cluster, annotation};
use crate::finding::{Finding, Severity};
use crate::marks;
use gradual_rollout_migration::input::Key;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Takes the note of a cleanup off the routes of Ingresses that are there, so that whoever deletes one later is not taken
/// for the cleanup. A route of which another Ingress is still gone keeps it, for that one.
pub async fn undone<'a>(
    cluster: &Cluster,
    routes: impl Iterator<Item = &'a Value>,
    back: &BTreeSet<Key>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let noted = routes.filter(|route| annotation(route, marks::CLEANED_AT).is_some());
    for route in noted.filter(|route| !from(route).is_disjoint(back)) {
        let mut gone = BTreeSet::new();
        for key in from(route).difference(back) {
            let there = matches!(cluster.get(&cluster::INGRESS, &key.0, &key.1).await, Ok(Some(_)));
            if !there && keep::cleaned(route, key) {
                gone.insert(key.clone());
            }
        }
        let cleaned = typed(&gone);
        if annotation(route, marks::CLEANED) == Some(cleaned.as_str()) {
            continue;
        }
        let notes = if gone.is_empty() {
            json!({marks::CLEANED_AT: null, marks::CLEANED: null})
        } else {
            json!({marks::CLEANED: cleaned})
        };
        let key = gateway::key(route);
        let patch = json!({"metadata": {"annotations": notes}});
        if let Err(why) = merge(cluster, &cluster::VIRTUAL_SERVICE, &key, &patch).await {
            findings.push(Finding {
                code: "CLEANUP-NOTE-STAYS",
                severity: Severity::Warning,
                object: cluster::VIRTUAL_SERVICE.named(&key.0, &key.1),
                message: format!(
                    "its annotation {} could not be taken off, though its Ingress is there again: {why}",
                    marks::CLEANED_AT
                ),
                remedy:
                    "take it off, or ask again: who deletes the Ingress would be taken for migrate cleanup"
                        .to_owned(),
            });
        }
    }
    findings
}
