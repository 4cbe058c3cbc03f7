//! The ways out: routed objects of the cluster, and hooks, which are read and written as if they were some.

use crate::cluster::ClusterError;
use crate::cluster::cache::Cache;
use crate::cluster::connect::Client;
use crate::cluster::objects::{self, FIELD_MANAGER};
use crate::probe::{HookFailure, Hooks};
use crate::routing::{Called, ObjectPatch, Target};
use serde_json::Value;
use std::sync::Arc;

/// Whoever writes has these.
#[derive(Clone)]
pub(super) struct Doors {
    pub(super) client: Client,
    pub(super) cache: Cache,
    pub(super) hooks: Option<Arc<Hooks>>,
}

impl Doors {
    /// Reads afresh.
    pub(super) async fn get(&self, target: &Target<'_>) -> Result<Arc<Value>, ClusterError> {
        match target.hook() {
            None => objects::get(&self.client, target.object()).await,
            Some(called) => ask(self.hooks.as_deref(), target, called).await,
        }
    }

    /// Reads afresh; `None` when there is none.
    pub(super) async fn get_if_any(&self, target: &Target<'_>) -> Result<Option<Arc<Value>>, ClusterError> {
        match self.get(target).await {
            Ok(json) => Ok(Some(json)),
            Err(ClusterError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes what was drafted from `read`, and gives what it is afterwards.
    pub(super) async fn patch(
        &self,
        target: &Target<'_>,
        read: &Value,
        patch: &ObjectPatch,
    ) -> Result<Arc<Value>, ClusterError> {
        let Some(called) = target.hook() else {
            return objects::patch(&self.client, target.object(), patch, FIELD_MANAGER, false).await;
        };
        let attempt = || format!("writing {}", target.object());
        let hooks = self.hooks.as_deref().ok_or_else(|| nobody(attempt()))?;
        let said = hooks.write(target, called, read, patch).await;
        said.map_err(|failure| sorted(attempt(), failure))
    }
}

/// Asks a hook what it says.
pub(super) async fn ask(
    hooks: Option<&Hooks>,
    target: &Target<'_>,
    called: Called<'_>,
) -> Result<Arc<Value>, ClusterError> {
    let attempt = || format!("reading {}", target.object());
    let hooks = hooks.ok_or_else(|| nobody(attempt()))?;
    let said = hooks.read(target, called).await;
    said.map_err(|failure| sorted(attempt(), failure))
}

fn nobody(attempt: String) -> ClusterError {
    ClusterError::Hook {
        attempt,
        message: "this daemon calls no hooks".to_owned(),
    }
}

fn sorted(attempt: String, failure: HookFailure) -> ClusterError {
    match failure {
        HookFailure::Race => ClusterError::Conflict { attempt },
        HookFailure::Refused(message) | HookFailure::Failed(message) => {
            ClusterError::Hook { attempt, message }
        }
    }
}
