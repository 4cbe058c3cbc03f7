//! Why a verb did not end well.

use thiserror::Error;

/// How a verb ended that was not in trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// What was asked is done (exit 0).
    Done,
    /// It will not be done: the report says why (exit 3).
    Refused,
    /// Some of it is done; the report names the rest (exit 4).
    Partly,
}

/// What stopped a verb: what was attempted, on which object, and what to do now.
#[derive(Debug, Error)]
pub enum Trouble {
    /// The command line or a file is wrong (exit 64).
    #[error("{0}")]
    Usage(String),
    /// It will not be done (exit 3).
    #[error("{0}")]
    Refused(String),
    /// The cluster, or something else that is needed, cannot be reached (exit 69).
    #[error("{0}")]
    Unreachable(String),
    /// It was not done before the wait was over (exit 75).
    #[error("{0}")]
    TimedOut(String),
    /// The output cannot be written.
    #[error("unable to write the output: {0}")]
    Output(#[from] std::io::Error),
    /// The program is at fault (exit 1).
    #[error("{0}")]
    Internal(String),
}

impl Trouble {
    /// The same, with more to say.
    #[must_use]
    pub fn and(mut self, more: &str) -> Self {
        match &mut self {
            Self::Usage(said)
            | Self::Refused(said)
            | Self::Unreachable(said)
            | Self::TimedOut(said)
            | Self::Internal(said) => {
                said.push_str("; ");
                said.push_str(more);
            }
            Self::Output(_) => {}
        }
        self
    }

    /// What an answer of the API server, or its silence, means.
    pub fn kube(doing: impl AsRef<str>, error: &kube::Error) -> Self {
        let doing = doing.as_ref();
        if let kube::Error::Api(status) = error {
            if status.code == 429 || status.code >= 500 {
                return Self::Unreachable(format!(
                    "unable to {doing}: {}. The API server is not well, or asked too much: ask again",
                    status.message
                ));
            }
            let remedy = match status.code {
                401 => ": log in again, the API server does not know who asks",
                403 => ": have the right granted, or use an account that has it",
                409 => ": somebody else changed it; look at the object and try again",
                _ => "",
            };
            return Self::Refused(format!("unable to {doing}: {}{remedy}", status.message));
        }
        // The first words are the client's own affair; the last say what happened on the way.
        let mut last: &dyn std::error::Error = error;
        while let Some(deeper) = last.source() {
            last = deeper;
        }
        Self::Unreachable(format!(
            "unable to {doing}: {last}. Look which cluster is meant (kubectl config current-context), and whether it is up"
        ))
    }
}
