//! A batch handed to a `GradualRollout`: from then on the daemon moves its traffic, step by step, and puts it back.

use super::args::ApplyArgs;
use super::select::shown;
use super::split;
use crate::cluster::{self, Cluster, MANAGER};
use crate::convert::args::key;
use crate::dry::DryRun;
use crate::marks;
use crate::trouble::Trouble;
use gradual_rollout_migration::convert::Options;
use gradual_rollout_migration::input::Key;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Components of one rollout; beyond that the cluster's rules cost too much.
const MOST: usize = 64;

/// Weights and how long each is held: those of the migration plan.
const STEPS: [(&str, &str); 9] = [
    ("5%", "3d"),
    ("10%", "1d"),
    ("25%", "1d"),
    ("40%", "2d"),
    ("50%", "2d"),
    ("75%", "2d"),
    ("90%", "1d"),
    ("95%", "1d"),
    ("100%", "1d"),
];

/// The rollout of a batch: a component for each namespace, of the Ingresses that have the mark; `listener` is the Gateway that
/// takes their share.
pub fn body(
    args: &ApplyArgs,
    options: &Options,
    batch: &BTreeSet<Key>,
    listener: Option<&str>,
) -> Result<Option<Value>, Trouble> {
    let (Some(rollout), Some(split)) = (&args.handing_over.rollout, &args.handing_over.split) else {
        return Ok(None);
    };
    let (namespace, name) = key("--rollout", rollout)?;
    let ((gateway_namespace, service), port) = split::typed_as(split)?;
    let namespaces: BTreeSet<&String> = batch.iter().map(|(namespace, _)| namespace).collect();
    if namespaces.len() > MOST {
        return Err(Trouble::Usage(format!(
            "--rollout: a GradualRollout has {MOST} components at most, and the batch has {} namespaces: hand over smaller batches",
            namespaces.len()
        )));
    }
    let arm = |namespace: &str, canary: &str| json!({"preset": "ingress-nginx", "labels": {"exported_namespace": namespace, "canary": canary}});
    let mut gateway = json!({
        "namespace": gateway_namespace, "service": service, "port": port, "clusterDomain": options.cluster_domain,
    });
    if let (Some(listener), Some(gateway)) = (listener, gateway.as_object_mut()) {
        gateway.insert("name".to_owned(), listener.into());
    }
    let gateway = &gateway;
    let components: Vec<Value> = namespaces
        .iter()
        .map(|namespace| {
            json!({
                "name": namespace,
                "routers": [{"ingressNginx": {
                    "ingresses": {"matchLabels": {marks::MIGRATED: "true"}, "namespaces": [namespace]},
                    "gateway": gateway,
                }}],
                "arms": {"canary": arm(namespace, "~..+"), "control": arm(namespace, "~-?")},
            })
        })
        .collect();
    let steps: Vec<Value> = STEPS
        .iter()
        .map(|(weight, hold)| json!({"weight": weight, "hold": hold}))
        .collect();
    Ok(Some(json!({
        "apiVersion": "rollout.sealos.io/v1alpha1", "kind": "GradualRollout",
        "metadata": {
            "name": name, "namespace": namespace, "labels": {marks::MANAGED_BY: marks::OURS},
            "annotations": {marks::HANDED_OVER: "migrate apply"},
        },
        "spec": {"components": components, "steps": steps, "onDelete": "restore"},
    })))
}

/// Writes it; one that is there and not ours is left alone.
pub async fn write(cluster: &Cluster, args: &ApplyArgs, body: &Value) -> Result<String, String> {
    let (namespace, name) = super::gateway::key(body);
    let object = cluster::GRADUAL_ROLLOUT.named(&namespace, &name);
    let Some(api) = cluster.api(&cluster::GRADUAL_ROLLOUT, Some(&namespace)) else {
        return Err(
            "the cluster serves no GradualRollouts: gradual-rollout generate crd | kubectl apply -f -"
                .to_owned(),
        );
    };
    match cluster.get(&cluster::GRADUAL_ROLLOUT, &namespace, &name).await {
        Ok(Some(live)) if !marks::ours(&live) => {
            return Err("it is there, and this program did not make it: take another name".to_owned());
        }
        Ok(_) => {}
        Err(error) => return Err(super::run::said(&error)),
    }
    if args.dry_run == Some(DryRun::Client) {
        return Ok(object);
    }
    let mut params = PatchParams::apply(MANAGER);
    params.dry_run = args.dry_run == Some(DryRun::Server);
    match api.patch(&name, &params, &Patch::Apply(body)).await {
        Ok(_) => Ok(object),
        Err(error) => Err(super::run::said(&error)),
    }
}

/// The components of a rollout, for people.
pub fn components(body: &Value) -> String {
    let all = body.pointer("/spec/components").and_then(Value::as_array);
    let names = all
        .into_iter()
        .flatten()
        .filter_map(|component| component.get("name")?.as_str());
    shown(&names.map(ToOwned::to_owned).collect::<Vec<_>>())
}
