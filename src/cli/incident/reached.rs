//! Which rollouts it is about, by the cluster; and what to do without one.

use super::{Bundle, Subject};
use crate::cli::connect::{self, Reach};
use crate::cli::exit::Failure;
use crate::cli::find;
use crate::cli::incident::args::IncidentArgs;
use crate::cluster::by_hand::Error;
use crate::rollout::spec::GradualRollout;
use crate::settings::Settings;
use std::time::Duration;

/// How long the way to the cluster may take to be set up: some kubeconfigs run a program for it.
const SET_UP: Duration = Duration::from_secs(10);
/// What is missing with the cluster.
const ITS: &str = "resources with their history and what `explain` says, routed objects, Events, the Lease, and logs of the \
                   daemon's pods: only the cluster has them";

/// What could be reached.
pub(super) struct Reached {
    /// The cluster, where it answers.
    pub(super) cluster: Option<Reach>,
    /// The rollouts, where they could be read.
    pub(super) subjects: Option<Vec<Subject>>,
    /// Whether that is so.
    pub(super) known: bool,
}

/// The rollouts that are asked about. A cluster that is not there, or does not tell, is named as missing; that there is no
/// such rollout in one that does is an error of whoever asks.
pub(super) async fn resources(
    settings: &Settings,
    args: &IncidentArgs,
    bundle: &mut Bundle,
) -> Result<Reached, Failure> {
    let nothing = |cluster| Reached {
        cluster,
        subjects: None,
        known: false,
    };
    let cluster = match tokio::time::timeout(SET_UP, connect::reach(settings)).await {
        Ok(Ok(cluster)) => cluster,
        Ok(Err(failure)) => {
            bundle.lack(&format!("{ITS}: {failure}"));
            return Ok(nothing(None));
        }
        Err(_) => {
            let within = SET_UP.as_secs();
            bundle.lack(&format!(
                "{ITS}: the kubeconfig gave no connection within {within}s"
            ));
            return Ok(nothing(None));
        }
    };
    let namespace = settings.namespace.as_str();
    match listed(&cluster, namespace, args.rollout.as_deref()).await {
        Ok(rollouts) => Ok(Reached {
            cluster: Some(cluster),
            subjects: Some(subjects(rollouts, args, namespace)?),
            known: true,
        }),
        Err(error @ Error::NotFound(_)) => Err(connect::failure(error)),
        // Whoever does not answer this answers nothing else, and each question would be waited for.
        Err(error) if error.is_silence() || matches!(error, Error::NoConnection(_)) => {
            bundle.lack(&format!("{ITS}: {error}"));
            Ok(nothing(None))
        }
        Err(error) => {
            bundle.lack(&format!(
                "resources with their history, what `explain` says, and routed objects: {error}"
            ));
            Ok(nothing(Some(cluster)))
        }
    }
}

/// The rollouts of a namespace. Whoever may not list them names one: that needs the right to get it alone.
async fn listed(cluster: &Reach, namespace: &str, named: Option<&str>) -> Result<Vec<GradualRollout>, Error> {
    match (cluster.rollouts(namespace).await, named) {
        (Err(Error::Forbidden { .. }), Some(name)) => {
            let one = cluster.rollout(namespace, name).await;
            one.map(|one| vec![one])
        }
        (listed, _) => listed,
    }
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
