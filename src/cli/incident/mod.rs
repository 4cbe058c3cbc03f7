//! `incident`: what is known of a rollout, in one file, for those who ask afterwards what happened.
//!
//! Nothing is written to the cluster, and nothing has to be there: what cannot be had is named in `MISSING.txt`.
//! Secrets do not get in (`redact`).

pub(super) mod args;
mod bundle;
mod cluster;
mod daemon;
mod metrics;
mod redact;

use super::connect;
use super::exit::{Exit, Failure};
use super::output_to::OutputTo;
use super::{find, table};
use crate::clock::Clock;
use crate::rollout::spec::GradualRollout;
use crate::settings::Settings;
use args::IncidentArgs;
use bundle::Bundle;
use std::io::Write;
use std::path::PathBuf;

/// A rollout, and which of its components are asked about.
struct Subject {
    rollout: GradualRollout,
    components: Vec<String>,
}

impl Subject {
    fn name(&self) -> &str {
        self.rollout.metadata.name.as_deref().unwrap_or_default()
    }
}

/// Collects the bundle and writes it.
pub(super) async fn run(
    settings: &Settings,
    args: &IncidentArgs,
    to: Option<&OutputTo>,
    out: &mut dyn Write,
) -> Result<Exit, Failure> {
    let now = Clock::System.now();
    let namespace = settings.namespace.as_str();
    let place = place(to, namespace, now)?;
    if let Some(path) = &place {
        super::output::writable(path)?;
    }
    let cluster = connect::reach(settings).await?;
    let rollouts = connect::rollouts(&cluster, namespace, args.rollout.as_deref()).await?;
    let subjects = subjects(rollouts, args, namespace)?;
    let mut bundle = Bundle::new(format!("incident-{namespace}-{}", stamp(now)));
    cluster::collect(&cluster, settings, &subjects, now, &mut bundle).await;
    let url = args
        .daemon
        .clone()
        .unwrap_or_else(|| format!("http://{}", settings.listen));
    daemon::collect(&cluster, settings, &url, &mut bundle).await;
    metrics::collect(settings, &subjects, now, &mut bundle).await;
    let told = bundle.told();
    let bytes = bundle.tar(now)?;
    match place {
        None => out.write_all(&bytes)?,
        Some(path) => {
            super::output::bytes(&path, &bytes)?;
            writeln!(
                out,
                "{}",
                table::plain(&format!("{} written: {told}", path.display()))
            )?;
        }
    }
    Ok(Exit::Done)
}

/// Where it goes; `None`: the standard output.
fn place(to: Option<&OutputTo>, namespace: &str, now: jiff::Timestamp) -> Result<Option<PathBuf>, Failure> {
    match to {
        None => Ok(Some(PathBuf::from(format!(
            "incident-{namespace}-{}.tar",
            stamp(now)
        )))),
        Some(OutputTo::Place(path)) if path.as_os_str() == "-" => Ok(None),
        Some(OutputTo::Place(path)) => Ok(Some(path.clone())),
        Some(OutputTo::Form(_)) => Err(Failure::usage(
            "incident writes a tar file: -o FILE.tar, or -o - for the standard output",
        )),
    }
}

/// A time as a part of a file's name.
fn stamp(now: jiff::Timestamp) -> String {
    now.strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn subjects(
    rollouts: Vec<GradualRollout>,
    args: &IncidentArgs,
    namespace: &str,
) -> Result<Vec<Subject>, Failure> {
    if let Some(component) = &args.component {
        let rollout = find::one(rollouts, args.rollout.as_deref(), component, namespace)?;
        return Ok(vec![Subject {
            rollout,
            components: vec![component.clone()],
        }]);
    }
    let named = |r: &GradualRollout| args.rollout.is_none() || r.metadata.name == args.rollout;
    let all: Vec<Subject> = rollouts
        .into_iter()
        .filter(named)
        .map(|rollout| Subject {
            components: find::components(&rollout),
            rollout,
        })
        .collect();
    if all.is_empty() {
        return Err(Failure::refused(format!(
            "there is no such GradualRollout in the namespace {namespace}: name another with -n or --rollout"
        )));
    }
    Ok(all)
}
