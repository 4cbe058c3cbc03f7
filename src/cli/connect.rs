//! Reaching the cluster, and what its errors mean for the exit code.

use super::exit::{Exit, Failure};
use crate::cluster::by_hand::{ByHand, Error};
use crate::daemon::hooks;
use crate::probe::Hooks;
use crate::rollout::spec::GradualRollout;
use crate::settings::Settings;
use std::ops::Deref;

/// The rollouts of a namespace. Whoever may not list them names one: that needs the right to get it alone.
pub(super) async fn rollouts(
    cluster: &ByHand,
    namespace: &str,
    named: Option<&str>,
) -> Result<Vec<GradualRollout>, Failure> {
    match (cluster.rollouts(namespace).await, named) {
        (Err(Error::Forbidden { .. }), Some(name)) => {
            let one = cluster.rollout(namespace, name).await.map_err(failure)?;
            Ok(vec![one])
        }
        (Err(error @ Error::Forbidden { .. }), None) => Err(unlisted(&error)),
        (listed, _) => listed.map_err(failure),
    }
}

/// Nothing was named, and nothing may be listed.
pub(super) fn unlisted(error: &Error) -> Failure {
    Failure::refused(format!(
        "{error}; name the rollout with --rollout NAME, which needs no right to list"
    ))
}

/// Connects as the current kubeconfig says.
pub(super) async fn connect() -> Result<ByHand, Failure> {
    ByHand::connect().await.map_err(failure)
}

/// The exit code of an error.
#[expect(clippy::needless_pass_by_value, reason = "reads well in map_err")]
pub(super) fn failure(error: Error) -> Failure {
    let exit = match &error {
        Error::NoConnection(_) | Error::Unreachable { .. } | Error::Ill { .. } | Error::NoRoom { .. } => {
            Exit::Unreachable
        }
        Error::NotFound(_)
        | Error::NoDefinition
        | Error::Conflict(_)
        | Error::Forbidden { .. }
        | Error::Refused { .. } => Exit::Refused,
    };
    Failure::new(exit, error.to_string())
}

/// The cluster, and the hooks that this program may call itself.
pub(super) struct Reach {
    cluster: ByHand,
    /// Why none is called, where none can be.
    hooks: Result<Hooks, String>,
}

impl Deref for Reach {
    type Target = ByHand;

    fn deref(&self) -> &ByHand {
        &self.cluster
    }
}

impl Reach {
    /// What calls hooks, or why nobody does.
    pub(super) fn hooks(&self) -> Result<&Hooks, String> {
        self.hooks.as_ref().map_err(Clone::clone)
    }
}

/// The same, with the hooks that the settings allow.
pub(super) async fn reach(settings: &Settings) -> Result<Reach, Failure> {
    Ok(Reach {
        cluster: connect().await?,
        hooks: hooks(&settings.hook_hosts, settings.hook_key_file.clone()),
    })
}
