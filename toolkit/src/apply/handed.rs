//! To which `GradualRollouts` Ingresses are handed over: one alone may move the traffic of an Ingress.

use super::gateway;
use super::live::texts;
use super::plan::{Plan, Sources};
use super::probed;
use super::select::{Batch, object, shown};
use super::split::{self, Bindings};
use crate::answering::canary;
use crate::cluster::{self, Cluster, label};
use crate::convert::Seen;
use crate::finding::{Finding, Severity};
use crate::marks;
use crate::see::items;
use crate::trouble::Trouble;
use gradual_rollout_migration::input::Key;
use serde_json::Value;

/// Whether a rollout splits an Ingress once that has its mark: by its labels or its name, and by its namespace.
pub fn selects(rollout: &Value, key: &Key, ingress: &Value) -> bool {
    let (home, _) = gateway::key(rollout);
    let chosen = |router: &Value| {
        let Some(chosen) = router.pointer("/ingressNginx/ingresses") else {
            return false;
        };
        let mut namespaces = texts(chosen, "/namespaces").peekable();
        let within = match namespaces.peek() {
            None => home == key.0,
            Some(_) => namespaces.any(|name| name == key.0),
        };
        let has = |(name, value): (&String, &Value)| match name.as_str() {
            marks::MIGRATED => value.as_str() == Some("true"),
            name => label(ingress, name) == value.as_str(),
        };
        let labels = chosen.get("matchLabels").and_then(Value::as_object);
        let named = texts(chosen, "/names").any(|name| name == key.1);
        within && (named || labels.is_some_and(|labels| labels.iter().all(has)))
    };
    items(rollout, "/spec/components").any(|component| items(component, "/routers").any(chosen))
}

/// The rollouts of a cluster; none where it does not know the kind yet.
pub async fn read(cluster: &Cluster) -> Result<Vec<Value>, Trouble> {
    cluster.all(&cluster::GRADUAL_ROLLOUT, None).await
}

/// Ingresses of a plan that get their mark and that a rollout selects by it: they join at the percent that runs.
pub fn joining(rollouts: &[Value], plan: &Plan, seen: &Seen) -> Vec<Finding> {
    let mut findings = Vec::new();
    for mark in &plan.marks {
        let Some(ingress) = seen.ingresses.get(&mark.key) else {
            continue;
        };
        if marks::migrated(ingress) || canary(ingress) {
            continue;
        }
        for rollout in rollouts.iter().filter(|r| selects(r, &mark.key, ingress)) {
            let (namespace, name) = gateway::key(rollout);
            findings.push(Finding {
                code: "APPLY-JOINS",
                severity: Severity::Warning,
                object: object(&mark.key),
                message: format!(
                    "with its mark it is selected by {}: it joins at the percent that runs there, and was not probed",
                    cluster::GRADUAL_ROLLOUT.named(&namespace, &name)
                ),
                remedy: format!(
                    "run migrate probe on it at once; where that finds a difference, take the traffic back: \
                     gradual-rollout rollback -n {namespace} {name}"
                ),
            });
        }
    }
    findings
}

/// Components that a rollout has and would lose, as the batch has none of their Ingresses: their traffic would be nobody's.
pub fn dropped(rollouts: &[Value], body: &Value) -> Option<Finding> {
    let (namespace, name) = gateway::key(body);
    let names = |rollout: &Value| -> Vec<String> {
        let all = items(rollout, "/spec/components");
        all.filter_map(|component| Some(component.get("name")?.as_str()?.to_owned()))
            .collect()
    };
    let live = rollouts
        .iter()
        .find(|rollout| gateway::key(rollout) == gateway::key(body))?;
    let now = names(body);
    let lost: Vec<String> = names(live)
        .into_iter()
        .filter(|name| !now.contains(name))
        .collect();
    (!lost.is_empty()).then(|| Finding {
        code: "APPLY-ROLLOUT-SHRINKS",
        severity: Severity::Blocker,
        object: cluster::GRADUAL_ROLLOUT.named(&namespace, &name),
        message: format!(
            "it moves the traffic of {} too, which the batch does not have: it would let go of them",
            shown(&lost)
        ),
        remedy: "name those as well (--batch), or another rollout".to_owned(),
    })
}

/// Ingresses that a rollout would split and that another one splits already.
pub fn taken(rollouts: &[Value], body: &Value, plan: &Plan, seen: &Seen) -> Vec<Finding> {
    let own = gateway::key(body);
    let mut findings = Vec::new();
    for rollout in rollouts.iter().filter(|rollout| gateway::key(rollout) != own) {
        let both: Vec<String> = seen
            .ingresses
            .iter()
            .filter(|(key, ingress)| {
                let marked = marks::migrated(ingress) || plan.marks.iter().any(|mark| mark.key == **key);
                marked && selects(body, key, ingress) && selects(rollout, key, ingress)
            })
            .map(|(key, _)| format!("{}/{}", key.0, key.1))
            .collect();
        if both.is_empty() {
            continue;
        }
        let (namespace, name) = gateway::key(rollout);
        findings.push(Finding {
            code: "APPLY-HANDED-OVER-ALREADY",
            severity: Severity::Blocker,
            object: cluster::GRADUAL_ROLLOUT.named(&namespace, &name),
            message: format!(
                "it moves the traffic already of {}: two rollouts would undo each other's steps",
                shown(&both)
            ),
            remedy: format!(
                "name it (--rollout {namespace}/{name}) with all of its namespaces, hand over others, or delete it first"
            ),
        });
    }
    findings
}

/// Canaries of people among what a rollout would split: nginx uses one canary of an upstream, and it is theirs.
pub fn splitting(body: &Value, plan: &Plan, seen: &Seen) -> Option<Finding> {
    let taken = |key: &Key, ingress: &Value| {
        let marked = marks::migrated(ingress) || plan.marks.iter().any(|mark| mark.key == *key);
        marked && canary(ingress) && selects(body, key, ingress)
    };
    let all = seen.ingresses.iter().filter(|(key, ingress)| taken(key, ingress));
    let all: Vec<String> = all.map(|(key, _)| format!("{}/{}", key.0, key.1)).collect();
    (!all.is_empty()).then(|| Finding {
        code: "APPLY-CANARY-SPLITS",
        severity: Severity::Blocker,
        object: "batch".to_owned(),
        message: format!(
            "nginx uses one canary of an upstream, and has {}: the rollout could never move a request of what that splits",
            shown(&all)
        ),
        remedy: "end it first, one way or the other (delete it), apply and probe again; or hand over namespaces without one"
            .to_owned(),
    })
}

/// What keeps a batch from being handed over.
const KEEPING: [&str; 7] = [
    "APPLY-NOT-PROBED",
    "APPLY-CANARY-SPLITS",
    "APPLY-HANDED-OVER-ALREADY",
    "APPLY-ROLLOUT-SHRINKS",
    "APPLY-SPLIT-LISTENER",
    "APPLY-SPLIT-UNBOUND",
    "APPLY-SPLIT-ADDRESSES",
];

/// Whether a finding keeps a batch from being handed over.
pub fn keeps(finding: &Finding) -> bool {
    finding.severity == Severity::Blocker && KEEPING.contains(&finding.code)
}

/// Plans a batch, with what there is to say of handing it over to the listener that was found: where that is refused, no
/// route is bound for it.
pub fn plan(
    sources: Sources<'_>,
    rollouts: &[Value],
    body: Option<Value>,
    found: Option<Result<String, Finding>>,
    batch: &Batch,
) -> Result<Plan, Trouble> {
    let (args, seen) = (sources.args, sources.seen);
    let bindings = Bindings::new(rollouts, body.as_ref());
    let binding = Sources {
        bindings: &bindings,
        ..sources
    };
    let mut plan = binding.plan(batch.clone())?;
    if args.secrets_only {
        return Ok(plan);
    }
    let own = plan.findings.len();
    plan.findings.extend(joining(rollouts, &plan, seen));
    let Some(body) = body else {
        return Ok(plan);
    };
    let mut told: Vec<Finding> = Vec::new();
    match found {
        Some(Ok(listener)) => {
            let there = (&plan, sources.live, seen);
            told.extend(split::judge(&args.handing_over, &listener, &body, there));
        }
        Some(Err(lacking)) => told.push(lacking),
        None => {}
    }
    told.extend(taken(rollouts, &body, &plan, seen));
    told.extend(dropped(rollouts, &body));
    told.extend(splitting(&body, &plan, seen));
    told.extend(probed::find(args, &plan, seen, &body));
    if told.iter().any(keeps) {
        let joins = plan.findings.split_off(own);
        plan = sources.plan(batch.clone())?;
        plan.findings.extend(joins);
    }
    plan.findings.extend(told);
    plan.hand_over(body);
    Ok(plan)
}
