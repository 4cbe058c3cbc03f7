//! What has to be watched for a resource.

use super::gauges;
use super::persist::Sound;
use crate::cluster::cache::Cache;
use crate::routing::{ObjectKind, needs, targets};
use std::collections::BTreeSet;

/// Has everything watched that a resource routes by or is judged by. Gives the kinds and namespaces in which its
/// selections look.
pub(super) fn want(cache: &Cache, sound: &Sound, namespace: &str) -> BTreeSet<(ObjectKind, String)> {
    let mut scopes = BTreeSet::new();
    for key in sound.claims.values().flatten() {
        cache.want(key.object.kind, &key.object.namespace);
    }
    for planned in sound.plan.cared_for() {
        for (kind, namespace) in needs(&planned.component, namespace) {
            cache.want(kind, &namespace);
            if kind == ObjectKind::Ingress {
                cache.want_endpoints(&namespace);
            }
            scopes.insert((kind, namespace));
        }
        for target in targets(&planned.component, namespace) {
            for (namespace, _) in target.control_services() {
                cache.want_endpoints(&namespace);
            }
        }
        if planned.checks.iter().any(gauges::reads_deployments) {
            cache.want(ObjectKind::Deployment, namespace);
        }
    }
    scopes
}
