//! `confirm`: a person says that it is done.

use super::connect;
use super::exit::{Exit, Failure};
use super::wish::who;
use crate::rollout::router_spec::Router;
use crate::rollout::spec::GradualRollout;
use crate::rollout::weight::Weight;
use crate::routing::{confirmation, confirmed, confirmed_key};
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
    let Some(value) = status.and_then(|c| confirmation(c, &who())) else {
        return Err(Failure::refused(format!(
            "{component} of {name} waits for nobody: `gradual-rollout status` shows what it waits for"
        )));
    };
    let weight = confirmed(&value).map_or(Weight::ZERO, |stamp| stamp.weight());
    cluster
        .annotate(namespace, name, &confirmed_key(component), &value)
        .await
        .map_err(connect::failure)?;
    writeln!(out, "confirmed: {component} of {name} is at {weight}")?;
    Ok(Exit::Done)
}
