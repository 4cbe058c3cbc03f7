//! The resource whose routed objects are meant.

use crate::rollout::spec::GradualRollout;

/// A resource by namespace and name. What its selections look through is there unless they say otherwise, and what we
/// make for it says that it was made for this one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Home {
    /// Its namespace.
    pub namespace: String,
    /// Its name; empty where there is none yet, as of a draft: then nothing that we made is another's or its own.
    pub rollout: String,
}

impl Home {
    /// The resource of this namespace and name.
    pub fn new(namespace: &str, rollout: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            rollout: rollout.to_owned(),
        }
    }

    /// A resource that has yet to be written.
    pub fn unnamed(namespace: &str) -> Self {
        Self::new(namespace, "")
    }

    /// A resource as it was read; `namespace` where it names none.
    pub fn of(rollout: &GradualRollout, namespace: &str) -> Self {
        let metadata = &rollout.metadata;
        Self::new(
            metadata.namespace.as_deref().unwrap_or(namespace),
            metadata.name.as_deref().unwrap_or_default(),
        )
    }
}
