//! Why an object could not be put back, and what to do about it.

use crate::cluster::by_hand;
use crate::routing::RoutingError;

/// Why an object could not be put back.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum Error {
    /// The cluster.
    #[error(transparent)]
    Cluster(#[from] by_hand::Error),
    /// The object is not what the rollout says.
    #[error(transparent)]
    Routing(Box<RoutingError>),
    /// The canary goes by another name in the object.
    #[error("{0}")]
    Renamed(String),
    /// A hook was not read or set.
    #[error("{0}")]
    Hook(String),
    /// Pods are not started anew before what they read is written; what that is.
    #[error("not restarted before {0} is written")]
    Restart(String),
    /// A hook does not say what it has; why not.
    #[error("{0}")]
    Mute(String),
    /// A hook took 0%, and does not say what it has.
    #[error("{0}")]
    Unread(String),
    /// The command's id cannot stand in a stamp.
    #[error(transparent)]
    Stamp(#[from] crate::routing::NotAStamp),
}

impl From<RoutingError> for Error {
    fn from(error: RoutingError) -> Self {
        Self::Routing(Box::new(error))
    }
}

impl Error {
    /// Whether the same again, a little later, may well be answered otherwise.
    pub(super) fn passes(&self) -> bool {
        matches!(self, Self::Cluster(error) if error.is_silence() || matches!(error, by_hand::Error::Conflict(_)))
    }

    /// What to do about it now.
    pub(in crate::cli) fn remedy(&self) -> &'static str {
        match self {
            Self::Cluster(by_hand::Error::Forbidden { .. }) => {
                "run it as somebody who may get and patch this object, or have them lower it by hand"
            }
            Self::Cluster(by_hand::Error::NotFound(_) | by_hand::Error::NoDefinition) => {
                "what is not there carries no traffic; if it goes by another name now, lower that one by hand"
            }
            Self::Cluster(by_hand::Error::NoRoom { .. }) => {
                "raise the limit of open files, then run it again"
            }
            Self::Cluster(
                by_hand::Error::Unreachable { .. }
                | by_hand::Error::Ill { .. }
                | by_hand::Error::NoConnection(_),
            ) => {
                "run it again; if the API server stays away, lower it where the traffic enters (load balancer, DNS)"
            }
            Self::Cluster(by_hand::Error::Conflict(_)) => {
                "somebody writes to it all the time: stop them, then run it again"
            }
            Self::Cluster(by_hand::Error::Refused { .. }) => {
                "read the refusal (a webhook, a policy or a quota), then lower it by hand: kubectl edit"
            }
            Self::Routing(_) | Self::Renamed(_) => {
                "it is not what the resource says: lower it by hand: kubectl edit"
            }
            Self::Restart(_) => "see to that one, and run it again",
            Self::Hook(_) | Self::Mute(_) => "set its weight to 0 there by hand",
            Self::Unread(_) => "look there whether it is at 0%, or run it again once its GET answers",
            Self::Stamp(_) => "lower it by hand: kubectl edit",
        }
    }
}
