//! Canaries go with what they split, and after it: while that is there nginx would send all of its requests one way, and the
//! gateway would not.

use crate::answering::{canary, typed};
use crate::apply::read::from;
use crate::apply::select::object;
use crate::canaries;
use crate::cluster;
use crate::finding::{Finding, Severity};
use crate::standing::Standing;
use gradual_rollout_migration::input::Key;
use serde_json::Value;
use std::collections::BTreeSet;

/// What a canary splits and that is there.
fn splits(standing: &Standing, key: &Key) -> BTreeSet<Key> {
    let routes = standing.live.ours(&cluster::VIRTUAL_SERVICE);
    let its = routes.filter(|route| from(route).contains(key));
    its.flat_map(canaries::serving)
        .filter(|other| other != key && standing.has(other))
        .collect()
}

/// Takes canaries out of what goes of which something that they split stays.
pub(super) fn left(standing: &Standing, going: &mut Vec<(Key, &Value)>) -> Vec<Finding> {
    let goes: Vec<Key> = going.iter().map(|(key, _)| key.clone()).collect();
    staying(standing, &goes, going)
}

/// The same, where it is known what goes.
pub(super) fn staying(standing: &Standing, goes: &[Key], going: &mut Vec<(Key, &Value)>) -> Vec<Finding> {
    let mut findings = Vec::new();
    going.retain(|(key, ingress)| {
        let mut stay = BTreeSet::new();
        if canary(ingress) {
            stay = splits(standing, key);
            stay.retain(|other| !goes.contains(other));
        }
        if !stay.is_empty() {
            findings.push(Finding {
                code: "CLEANUP-CANARY",
                severity: Severity::Blocker,
                object: object(key),
                message: format!(
                    "it is a canary, and splits {}, which stays: without it nginx would send nothing its way, and the gateway would",
                    typed(&stay)
                ),
                remedy: "clean those up with it".to_owned(),
            });
        }
        stay.is_empty()
    });
    findings
}
