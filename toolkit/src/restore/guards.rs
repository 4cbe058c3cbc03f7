//! Routes and policies are of Ingresses: where one stays as it is now, what was made of it before does too. Else a list that
//! was made shorter since the backup would be long again at the gateway, and short at nginx.

use super::args::RestoreArgs;
use super::plan::{Doing, Plan, Step};
use crate::apply::inputs::{self, Noted};
use crate::apply::read::from;
use crate::apply::select::shown;
use crate::cluster::{self, Cluster, Kind, meta};
use crate::finding::{Finding, Severity};
use crate::marks;
use crate::trouble::Trouble;
use gradual_rollout_migration::input::Key;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What is made of Ingresses.
const MADE: [Kind; 3] = [
    cluster::VIRTUAL_SERVICE,
    cluster::AUTHORIZATION_POLICY,
    cluster::DESTINATION_RULE,
];

/// Takes steps out of a plan whose Ingresses would not be what they were made of; `left` are the steps that are not taken.
pub async fn held_back(
    cluster: &Cluster,
    plan: &mut Plan,
    left: &[Step],
) -> Result<(Vec<Step>, Vec<Finding>), Trouble> {
    let made = |step: &Step| MADE.contains(&step.kind) && !from(&step.kept).is_empty();
    if !plan.steps.iter().any(made) {
        return Ok((Vec::new(), Vec::new()));
    }
    let mut after: BTreeMap<Key, Value> = BTreeMap::new();
    for ingress in cluster.all(&cluster::INGRESS, None).await? {
        let key = (
            meta(&ingress, "namespace").to_owned(),
            meta(&ingress, "name").to_owned(),
        );
        after.insert(key, ingress);
    }
    let ingress = |step: &&Step| step.kind == cluster::INGRESS;
    let key = |step: &Step| (step.namespace.clone(), step.name.clone());
    for step in plan.steps.iter().filter(ingress) {
        after.insert(key(step), step.kept.clone());
    }
    let staying: BTreeSet<Key> = left.iter().filter(ingress).map(key).collect();
    let others = |step: &Step| -> Vec<String> {
        let mut keys = from(&step.kept);
        if let Doing::Change { live, .. } = &step.doing {
            keys.extend(from(live));
        }
        let differs = |key: &Key| {
            let same = after
                .get(key)
                .and_then(|ingress| inputs::as_noted(&step.kept, key, ingress));
            same.map_or_else(|| staying.contains(key), |same| !same)
        };
        keys.iter()
            .filter(|key| differs(key))
            .map(|(namespace, name)| format!("{namespace}/{name}"))
            .collect()
    };
    let (mut stays, mut findings) = (Vec::new(), Vec::new());
    for step in std::mem::take(&mut plan.steps) {
        let others = if made(&step) { others(&step) } else { Vec::new() };
        if others.is_empty() {
            plan.steps.push(step);
            continue;
        }
        findings.push(Finding {
            code: "RESTORE-INGRESS-STAYS",
            severity: Severity::Warning,
            object: step.object(),
            message: format!(
                "left as it is: it was made of Ingress {}, which is another now and stays so",
                shown(&others)
            ),
            remedy: "write it anew: migrate apply --ingress; or put the Ingress back too: --overwrite"
                .to_owned(),
        });
        stays.push(step);
    }
    Ok((stays, findings))
}

/// What may be accepted here.
const OTHER: &str = "RESTORE-INGRESS-OTHER";

/// Says what of `--accept` is nothing that can be accepted.
pub fn check(args: &RestoreArgs) -> Result<(), Trouble> {
    match args.accept.iter().find(|code| *code != OTHER) {
        None => Ok(()),
        Some(typed) => Err(Trouble::Usage(format!(
            "--accept {typed:?}: only {OTHER} can be accepted here"
        ))),
    }
}

/// Takes Ingresses out of a plan that are gone, and that the backup has otherwise than their routes were made of them: nginx
/// would serve them without the guards that they got since, while the gateway still has these.
pub async fn older(
    args: &RestoreArgs,
    cluster: &Cluster,
    plan: &mut Plan,
) -> Result<(Vec<Step>, Vec<Finding>), Trouble> {
    let gone = |step: &Step| step.kind == cluster::INGRESS && matches!(step.doing, Doing::Create);
    if !plan.steps.iter().any(gone) || !cluster.serves(&cluster::VIRTUAL_SERVICE) {
        return Ok((Vec::new(), Vec::new()));
    }
    let routes = cluster.all(&cluster::VIRTUAL_SERVICE, None).await?;
    let accepted = !args.accept.is_empty();
    let (mut left, mut findings) = (Vec::new(), Vec::new());
    for step in std::mem::take(&mut plan.steps) {
        let ours = routes.iter().filter(|route| marks::ours(route));
        let key = (step.namespace.clone(), step.name.clone());
        let noted = if gone(&step) {
            inputs::noted_by(ours, &key, &step.kept)
        } else {
            Noted::Nowhere
        };
        let Noted::Otherwise(route) = noted else {
            plan.steps.push(step);
            continue;
        };
        let (why, remedy) = if accepted {
            (
                "it is created as it was then",
                "accepted: look at it at once, and give it back what it lacks".to_owned(),
            )
        } else {
            (
                "it is not created",
                format!(
                    "name the backup that has it as it was last, which cleanup was given; or say --accept {OTHER}"
                ),
            )
        };
        findings.push(Finding {
            code: OTHER,
            severity: if accepted {
                Severity::Warning
            } else {
                Severity::Blocker
            },
            object: step.object(),
            message: format!(
                "the backup has it otherwise than it was when {route} was made of it: nginx would serve it without what was changed since, guards among it; {why}"
            ),
            remedy,
        });
        if accepted {
            plan.steps.push(step);
        } else {
            left.push(step);
        }
    }
    if !left.is_empty() {
        let gateway = |step: &Step| step.kind == cluster::GATEWAY;
        let steps = std::mem::take(&mut plan.steps);
        let (gateways, steps): (Vec<Step>, Vec<Step>) = steps.into_iter().partition(gateway);
        plan.steps = steps;
        findings.extend(gateways.iter().map(super::halted));
        left.extend(gateways);
    }
    Ok((left, findings))
}
