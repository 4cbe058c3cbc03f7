//! `confirm`: a person says that it is done.

use super::connect;
use super::exit::{Exit, Failure};
use super::wish::who;
use crate::rollout::router_spec::Router;
use crate::rollout::spec::GradualRollout;
use crate::routing::{Stamp, confirmed_key};
use crate::settings::Settings;
use std::io::Write;

/// Confirms what a component waits for.
pub(super) async fn run(
    settings: &Settings,
    component: &str,
    rollout: Option<&str>,
    out: &mut dyn Write,
) -> Result<Exit, Failure> {
    let cluster = connect::connect().await?;
    let namespace = settings.namespace.as_str();
    let rollouts = cluster.rollouts(namespace).await.map_err(connect::failure)?;
    let of = |r: &&GradualRollout| {
        let name = r.metadata.name.as_deref();
        rollout.is_none_or(|wanted| name == Some(wanted))
            && r.spec
                .components
                .iter()
                .any(|c| c.name == component && c.routers.iter().any(|r| matches!(r, Router::Manual(_))))
    };
    let found: Vec<&GradualRollout> = rollouts.iter().filter(of).collect();
    let names = || -> Vec<&str> { found.iter().filter_map(|r| r.metadata.name.as_deref()).collect() };
    let one = match found.as_slice() {
        [one] => *one,
        [] => {
            return Err(Failure::refused(format!(
                "no component {component:?} with the router `manual` in {namespace}: nobody is asked anything"
            )));
        }
        _ => {
            return Err(Failure::usage(format!(
                "{component} is in {}: choose one with --rollout",
                names().join(", ")
            )));
        }
    };
    let name = one.metadata.name.as_deref().unwrap_or_default();
    let status = one.status.as_ref().and_then(|s| s.component(component));
    let waits = status
        .and_then(|c| c.routers.iter().find(|r| r.router == "manual"))
        .is_some_and(|r| r.waiting_for.is_some());
    let wanted = status.and_then(|c| match (&c.lowering, &c.intent) {
        (Some(order), _) => Some((order.id.clone(), order.weight, order.reason)),
        (None, Some(intent)) => Some((intent.id.clone(), intent.weight, intent.reason)),
        (None, None) => None,
    });
    let Some((id, weight, reason)) = wanted.filter(|_| waits) else {
        return Err(Failure::refused(format!(
            "{component} of {name} waits for nobody: `gradual-rollout status` shows what it waits for"
        )));
    };
    let stamp = Stamp::new(&id, weight, &reason.to_string()).map_err(|e| Failure::internal(e.to_string()))?;
    let value = format!("{stamp} by {}", who());
    cluster
        .annotate(namespace, name, &confirmed_key(component), &value)
        .await
        .map_err(connect::failure)?;
    writeln!(out, "confirmed: {component} of {name} is at {weight}")?;
    Ok(Exit::Done)
}
