//! What is written on routes before their Ingresses are deleted. A route is what a cleanup and a rollback have in common:
//! whoever writes on it first keeps the other from going on.

use crate::apply::gateway;
use crate::apply::read::from;
use crate::apply::run::said;
use crate::cluster::{self, Cluster, MANAGER, annotation, meta};
use crate::marks;
use crate::standing::Standing;
use gradual_rollout_migration::input::Key;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

/// How often a write is tried that somebody else's write came before: Ingresses of one route are deleted side by side.
const TRIES: usize = 20;

/// The routes of an Ingress that a rollback gives back.
pub(super) fn going_back(standing: &Standing, key: &Key) -> Vec<String> {
    let routes = standing.live.ours(&cluster::VIRTUAL_SERVICE);
    let routes = routes.filter(|route| marks::going_back(route) && from(route).contains(key));
    routes
        .map(|route| {
            let (namespace, name) = gateway::key(route);
            cluster::VIRTUAL_SERVICE.named(&namespace, &name)
        })
        .collect()
}

/// Writes notes on a route as it was looked at, or as it is by now, unless a rollback of it was begun meanwhile.
pub(super) async fn write(cluster: &Cluster, route: &Value, notes: &Value) -> Result<(), String> {
    let (namespace, name) = gateway::key(route);
    let Some(api) = cluster.api(&cluster::VIRTUAL_SERVICE, Some(&namespace)) else {
        return Err("the cluster serves no VirtualServices".to_owned());
    };
    let params = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let mut now = route.clone();
    for _ in 0..TRIES {
        if marks::going_back(&now) {
            return Err("a rollback of it was begun while this was judged".to_owned());
        }
        let there = |(note, value): (&String, &Value)| annotation(&now, note) == value.as_str();
        if notes.as_object().is_some_and(|notes| notes.iter().all(there)) {
            return Ok(());
        }
        let patch =
            json!({"metadata": {"resourceVersion": meta(&now, "resourceVersion"), "annotations": notes}});
        match api.patch(&name, &params, &Patch::Merge(&patch)).await {
            Ok(_) => return Ok(()),
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(said(&error)),
        }
        match cluster.get(&cluster::VIRTUAL_SERVICE, &namespace, &name).await {
            Ok(Some(newer)) => now = newer,
            Ok(None) => return Err("it is not there any more".to_owned()),
            Err(error) => return Err(said(&error)),
        }
    }
    Err(format!("it was changed {TRIES} times while it was written"))
}
