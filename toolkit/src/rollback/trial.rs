//! Whether the cluster would take back what was cleaned up: asked before anything is undone.
//!
//! Each Ingress is created on a dry run, which goes through admission as it will in earnest: a block of ours, a policy of
//! somebody else, a quota. Whom a block exempts the API server knows best.

use super::back::Back;
use super::written;
use crate::apply::run::Line;
use crate::apply::select::shown;
use crate::block;
use crate::cluster::Cluster;
use crate::finding::{Finding, Severity};
use crate::pace::{Pace, paced};
use crate::restore::plan::Step;
use crate::restore::write;
use futures::StreamExt as _;
use kube::Client;

/// What lifts a block.
const LIFT: &str = "gradual-rollout migrate block --mode warn, or take it away: gradual-rollout migrate unblock, or rollback --all --unblock";

/// What is said of a block that stands; nothing of it is the case where the block goes first.
pub const OF_BLOCKS: [&str; 2] = ["ROLLBACK-BLOCKED", "ROLLBACK-BLOCK-STANDS"];

/// Webhooks that have effects beside their answer cannot be tried, which says nothing about the write.
const UNTRIABLE: &str = "does not support dry run";

/// Why what comes back would be refused, and what stands in the way of controllers that make Ingresses again.
pub async fn findings(
    client: &Client,
    cluster: &Cluster,
    pace: &Pace,
    steps: &[Step],
    controllers: bool,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let work = steps
        .iter()
        .map(|step| async move { (step, write::write(cluster, client, step, true).await) });
    let mut refused: Vec<(String, String)> = Vec::new();
    let mut untried = false;
    let mut stream = std::pin::pin!(paced(work, pace));
    while let Some((step, tried)) = stream.next().await {
        if tried.done {
            continue;
        }
        let why: Vec<String> = tried
            .findings
            .into_iter()
            .map(|finding| finding.message)
            .collect();
        let why = why.join("; ");
        if why.contains(UNTRIABLE) {
            untried = true;
        } else {
            refused.push((step.object(), why));
        }
    }
    refused.sort();
    let blocking = if refused.is_empty() && !untried && !controllers {
        Ok(None)
    } else {
        block::denying(client).await
    };
    let (by_block, others): (Vec<_>, Vec<_>) =
        refused.into_iter().partition(|(_, why)| block::is_refusal(why));
    let by = blocking.as_ref().ok().cloned().flatten();
    findings.extend(blocked(&by_block, by.as_deref()));
    findings.extend(others.into_iter().map(|(object, why)| Finding {
        code: "ROLLBACK-NOT-TAKEN",
        severity: Severity::Blocker,
        object,
        message: format!("the cluster would not take it back, so nothing is undone; on a dry run {why}"),
        remedy: "mend that and ask again".to_owned(),
    }));
    if by_block.is_empty() && (untried || controllers) {
        findings.extend(match blocking {
            Ok(None) => None,
            Ok(Some(by)) => Some(stands(by, controllers)),
            Err(trouble) => Some(stands(
                format!("a block, if there is one ({trouble}),"),
                controllers,
            )),
        });
    }
    findings
}

fn blocked(refused: &[(String, String)], by: Option<&str>) -> Option<Finding> {
    let (_, why) = refused.first()?;
    let names: Vec<String> = refused.iter().map(|(object, _)| object.clone()).collect();
    Some(Finding {
        code: "ROLLBACK-BLOCKED",
        severity: Severity::Blocker,
        object: by.unwrap_or("the block on new Ingresses").to_owned(),
        message: format!(
            "it denies new hosts, and would refuse what was cleaned up, so nothing is undone: {}; the first on a dry run: {why}",
            shown(&names)
        ),
        remedy: format!(
            "have it only warn, then ask again: {LIFT}. Or exempt whoever goes back: gradual-rollout migrate block --mode deny --exempt-user USER"
        ),
    })
}

fn stands(object: String, controllers: bool) -> Finding {
    let whom = if controllers {
        "controllers that make Ingresses again are refused unless they are exempt"
    } else {
        "whether it would refuse what was cleaned up could not be tried, as a webhook takes no dry run"
    };
    Finding {
        code: "ROLLBACK-BLOCK-STANDS",
        severity: Severity::Warning,
        object,
        message: format!("it denies new hosts: {whom}"),
        remedy: format!("have it only warn: {LIFT}"),
    }
}

/// What would come back, and from which folder where there are several.
pub fn lines(back: &Back, several: bool) -> Vec<Line> {
    let from = |step: &Step| {
        let key = (step.namespace.clone(), step.name.clone());
        back.from.get(&key).filter(|_| several)
    };
    back.steps
        .iter()
        .map(|step| Line {
            message: from(step).map(|dir| format!("from {dir}")).unwrap_or_default(),
            ..written(step.object(), "come back")
        })
        .collect()
}
