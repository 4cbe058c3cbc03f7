//! New pods of a Deployment.

use super::Told;
use super::switch::Switch;
use crate::cluster::{self, Cluster, meta};
use crate::place::Place;
use crate::trouble::Trouble;
use serde_json::Value;
use std::time::Duration;

/// How often it is looked whether a Deployment is rolled out.
const EVERY: Duration = Duration::from_secs(2);

/// Waits until new pods of every Deployment run, also of one that was told by a run before: that may have given up waiting.
pub(super) async fn rolled_out(
    cluster: &Cluster,
    told: &[Told],
    wait: u64,
    advice: &str,
    place: &mut Place<'_>,
) -> Result<(), Trouble> {
    let named: Vec<&Told> = told
        .iter()
        .filter(|one| one.kind == cluster::DEPLOYMENT)
        .collect();
    let of = |count: usize| format!("waiting for {count} Deployments to be rolled out");
    let changed = named.iter().filter(|one| matches!(one.switch, Switch::Patch(_)));
    let changed = changed.count();
    let mut said = changed > 0;
    if said {
        writeln!(place.err, "{}", of(changed))?;
    }
    let (mut waited, wait) = (Duration::ZERO, Duration::from_secs(wait));
    loop {
        let mut late = Vec::new();
        for one in &named {
            let (namespace, name) = (meta(&one.object, "namespace"), meta(&one.object, "name"));
            let now = cluster.get(&one.kind, namespace, name).await;
            let now =
                now.map_err(|error| Trouble::kube(format!("read Deployment {namespace}/{name}"), &error))?;
            if !now.as_ref().is_some_and(is_rolled_out) {
                late.push(format!("{namespace}/{name}"));
            }
        }
        if late.is_empty() {
            return Ok(());
        }
        if !said {
            said = true;
            writeln!(place.err, "{}", of(late.len()))?;
        }
        if waited >= wait {
            return Err(Trouble::TimedOut(format!(
                "after {} s new pods of {} do not run: look at kubectl rollout status, and {advice}",
                wait.as_secs(),
                late.join(", ")
            )));
        }
        tokio::time::sleep(EVERY).await;
        waited += EVERY;
    }
}

fn is_rolled_out(deployment: &Value) -> bool {
    let number = |pointer: &str| {
        deployment
            .pointer(pointer)
            .and_then(Value::as_i64)
            .unwrap_or_default()
    };
    let wanted = deployment
        .pointer("/spec/replicas")
        .and_then(Value::as_i64)
        .unwrap_or(1);
    number("/status/observedGeneration") >= number("/metadata/generation")
        && number("/status/updatedReplicas") == wanted
        && number("/status/availableReplicas") == wanted
        && number("/status/replicas") == wanted
}
