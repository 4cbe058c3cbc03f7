//! `incident`: what is known of a rollout, in one file, for those who ask afterwards what happened.
//!
//! Nothing is written to the cluster, and nothing has to be there: what cannot be had is named in `MISSING.txt`.
//! Secrets do not get in (`redact`).

pub(super) mod args;
mod bundle;
mod cluster;
mod daemon;
mod metrics;
mod reached;
mod redact;

use super::exit::{Exit, Failure};
use super::output_to::OutputTo;
use super::progress::Progress;
use super::table;
use crate::clock::Clock;
use crate::rollout::spec::GradualRollout;
use crate::settings::Settings;
use args::IncidentArgs;
use bundle::Bundle;
use reached::Reached;
use std::io::{IsTerminal as _, Write};
use std::path::PathBuf;
use std::time::Duration;

/// How long the cluster may take for all that it knows, and for the logs of the daemons.
const CLUSTER_WITHIN: Duration = Duration::from_secs(60);
const LOGS_WITHIN: Duration = Duration::from_secs(30);

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
    let place = place(to, namespace, now, std::io::stdout().is_terminal())?;
    if let Some(path) = &place {
        super::output::writable(path)?;
    }
    let mut bundle = Bundle::new(format!("incident-{namespace}-{}", stamp(now)));
    let Reached {
        cluster,
        subjects,
        known,
    } = reached::resources(settings, args, &mut bundle).await?;
    if let Some(cluster) = &cluster {
        let subjects = subjects.as_deref();
        let collect = cluster::collect(
            cluster,
            settings,
            args.rollout.as_deref(),
            subjects,
            now,
            &mut bundle,
        );
        if tokio::time::timeout(CLUSTER_WITHIN, collect).await.is_err() {
            let within = CLUSTER_WITHIN.as_secs();
            bundle.lack(&format!(
                "what the cluster knows, from there on in the order of README.txt: not all was answered within {within}s"
            ));
        }
    }
    let url = args
        .daemon
        .clone()
        .unwrap_or_else(|| format!("http://{}", settings.listen));
    daemon::collect(&url, &mut bundle).await;
    if let Some(cluster) = &cluster {
        let collect = daemon::logs(cluster, settings, &mut bundle);
        if tokio::time::timeout(LOGS_WITHIN, collect).await.is_err() {
            let within = LOGS_WITHIN.as_secs();
            bundle.lack(&format!(
                "logs from there on: not all were answered within {within}s"
            ));
        }
    }
    metrics::collect(settings, subjects.as_deref(), now, &mut bundle).await;
    let told = bundle.told();
    let bytes = bundle.tar(now)?;
    let told = if known {
        told
    } else {
        format!("PARTIAL, the resources themselves could not be read: {told}")
    };
    match place {
        None => {
            // As it is: what `out` leaves off for those who read text would be missing in an archive.
            let mut raw = std::io::stdout().lock();
            raw.write_all(&bytes)?;
            raw.flush()?;
            Progress::new().tell(&told);
        }
        Some(path) => {
            super::output::bytes(&path, &bytes)?;
            writeln!(
                out,
                "{}",
                table::plain(&format!("{} written: {told}", path.display()))
            )?;
        }
    }
    Ok(if known { Exit::Done } else { Exit::Partly })
}

/// Where it goes; `None`: the standard output.
fn place(
    to: Option<&OutputTo>,
    namespace: &str,
    now: jiff::Timestamp,
    terminal: bool,
) -> Result<Option<PathBuf>, Failure> {
    match to {
        None => Ok(Some(PathBuf::from(format!(
            "incident-{namespace}-{}.tar",
            stamp(now)
        )))),
        Some(OutputTo::Place(path)) if path.as_os_str() == "-" && terminal => Err(Failure::usage(
            "the bundle is a tar archive, and the standard output is a terminal: name a file with -o FILE.tar, or pipe it on \
             (`gradual-rollout incident -o - | tar tf -`)",
        )),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_goes_through_a_pipe_and_never_onto_a_terminal() {
        let now = "2026-03-02T09:00:00Z".parse().unwrap();
        let to = |to: &str| OutputTo::Place(PathBuf::from(to));
        let told = place(Some(&to("-")), "apps", now, true).unwrap_err();
        assert_eq!(told.exit, Exit::Usage);
        assert!(
            told.message.contains("-o FILE.tar") && told.message.contains("| tar"),
            "{told}"
        );
        assert_eq!(place(Some(&to("-")), "apps", now, false).unwrap(), None);
        let file = place(Some(&to("x.tar")), "apps", now, true).unwrap();
        assert_eq!(file, Some(PathBuf::from("x.tar")));
    }
}
