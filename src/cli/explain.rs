//! `explain COMPONENT`: why it is where it is, from the resource alone. No daemon need be alive, and what is old is
//! said to be old.

mod picture;
#[cfg(test)]
mod tests;

use super::args::Output;
use super::exit::{Exit, Failure};
use super::{connect, find, lines, output};
use crate::cluster::by_hand::Daemon;
use crate::rollout::explain::{Facts, Subject};
use crate::rollout::plan::Plan;
use crate::rollout::spec::GradualRollout;
use crate::settings::Settings;
use jiff::Timestamp;
use std::io::Write;

/// Reads the rollout that has the component, and explains it.
pub(super) async fn run(
    settings: &Settings,
    component: &str,
    rollout: Option<&str>,
    now: Timestamp,
    form: Output,
    out: &mut dyn Write,
) -> Result<Exit, Failure> {
    let cluster = connect::connect().await?;
    let rollouts = cluster
        .rollouts(&settings.namespace)
        .await
        .map_err(connect::failure)?;
    let rollout = find::one(rollouts, rollout, component, &settings.namespace)?;
    let daemon = cluster
        .daemon_in(&settings.lease_namespaces(), &settings.lease.name, now)
        .await;
    let silent = match daemon {
        Ok(Daemon::Alive { .. }) => None,
        Ok(Daemon::Silent { message }) => Some(format!(
            "no daemon is alive: {message}. Nothing advances and nothing is rolled back by itself."
        )),
        Err(error) => Some(format!("unknown whether a daemon is alive: {error}")),
    };
    let facts = facts(&rollout, &settings.namespace, component, silent, now);
    match form {
        Output::Json | Output::Yaml => output::data(out, form, &facts)?,
        Output::Table => picture::write(out, &facts, lines::width(), now)?,
        Output::Wide => picture::write(out, &facts, None, now)?,
    }
    Ok(Exit::Done)
}

/// The same as a text without colours, for files.
pub(super) fn text(
    rollout: &GradualRollout,
    namespace: &str,
    component: &str,
    daemon: Option<String>,
    now: Timestamp,
) -> Result<String, Failure> {
    let facts = facts(rollout, namespace, component, daemon, now);
    let mut bytes = Vec::new();
    picture::write(&mut bytes, &facts, None, now)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(anstream::adapter::strip_str(&text).to_string())
}

/// What the API tells too: it is the same function of spec and status.
fn facts(
    rollout: &GradualRollout,
    namespace: &str,
    component: &str,
    daemon: Option<String>,
    now: Timestamp,
) -> Facts {
    let subject = Subject {
        namespace,
        rollout: rollout.metadata.name.as_deref().unwrap_or_default(),
        generation: rollout.metadata.generation,
        plan: &Plan::parse(&rollout.spec),
        status: &rollout.status.clone().unwrap_or_default(),
    };
    Facts::of(subject, component, daemon, now)
}
