//! A component's lane: one write under way at most, and a lowering that clears it.

use super::select::Prepared;
use crate::rollout::status::Intent;
use crate::rollout::weight::Weight;
use crate::routing::ObjectRef;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// The routed objects of a component as they were just read, in the order of its targets.
pub(super) type Objects = Vec<(ObjectRef, Arc<Value>)>;

/// What is under way for a component.
#[derive(Debug, Default)]
pub(super) enum Lane {
    /// Nothing.
    #[default]
    Idle,
    /// (a) the routed objects are being read for a raise.
    Preparing {
        /// The weight it is for.
        weight: Weight,
        /// To stop it.
        task: AbortHandle,
    },
    /// (b) the raise stands in the status that is being persisted.
    Declared {
        /// The raise.
        intent: Intent,
        /// What it was decided on.
        prepared: Prepared,
    },
    /// (c) it is being written.
    Writing {
        /// To stop it: what already left is fenced by the versions it carries.
        task: AbortHandle,
    },
    /// What reaches the canary beside its weight is being written; the weights stay as they are.
    Beside {
        /// To stop it: what already left is fenced by the version it carries.
        task: AbortHandle,
    },
    /// Traffic is being lowered; repeated until it is done.
    Lowering {
        /// The lowering's id.
        id: String,
        /// To stop it, for a deeper lowering.
        task: AbortHandle,
        /// Since when.
        since: Instant,
        /// Whether something has no traffic any more, and only waits for the status to say so before it is deleted.
        waits: Arc<AtomicBool>,
    },
}

impl Lane {
    /// Whether the routed objects may be half-written.
    pub(super) const fn is_busy(&self) -> bool {
        matches!(
            self,
            Self::Declared { .. } | Self::Writing { .. } | Self::Lowering { .. }
        )
    }

    /// Stops whatever is under way.
    pub(super) fn clear(&mut self) {
        match std::mem::take(self) {
            Self::Idle | Self::Declared { .. } => {}
            Self::Preparing { task, .. }
            | Self::Writing { task }
            | Self::Beside { task }
            | Self::Lowering { task, .. } => {
                task.abort();
            }
        }
    }
}
