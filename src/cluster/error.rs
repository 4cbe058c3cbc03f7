//! What can go wrong with a request, in words that say what was attempted and what to do.

use std::time::Duration;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// Somebody wrote in between (409).
    #[error("{attempt}: somebody else changed it in between; it is read and decided anew")]
    Conflict {
        /// What was attempted, on which object.
        attempt: String,
    },
    /// What the write rests on is no longer so: a `test` of its patch failed (422 that names no field).
    #[error("{attempt}: the object has another shape than when it was read; it is read and decided anew")]
    Changed {
        /// What was attempted, on which object.
        attempt: String,
    },
    /// The server finds the object invalid (422 that names fields). The same write is refused again.
    #[error("{attempt}: the server refused it: {message}")]
    Invalid {
        /// What was attempted, on which object.
        attempt: String,
        /// What the server says.
        message: String,
    },
    /// There is no such object, or no such kind (404).
    #[error("{attempt}: there is none: {message}")]
    NotFound {
        /// What was attempted, on which object.
        attempt: String,
        /// What the server says.
        message: String,
        /// The server does not know the kind, at least for now: whether there is such an object it does not say.
        unserved: bool,
    },
    /// No permission (401, 403).
    #[error("{attempt}: no permission: {message}; deploy/rbac.yaml grants what is needed")]
    Forbidden {
        /// What was attempted, on which object.
        attempt: String,
        /// What the server says.
        message: String,
    },
    /// No answer in time.
    #[error("{attempt}: no answer within {}s", .after.as_secs())]
    Timeout {
        /// What was attempted, on which object.
        attempt: String,
        /// How long was waited.
        after: Duration,
    },
    /// The server answered with another error.
    #[error("{attempt}: the server answered {code}: {message}")]
    Server {
        /// What was attempted, on which object.
        attempt: String,
        /// Its code.
        code: u16,
        /// What it says.
        message: String,
    },
    /// What is no object of the cluster was not read or set.
    #[error("{attempt}: {message}")]
    Hook {
        /// What was attempted, on which hook.
        attempt: String,
        /// Why not.
        message: String,
    },
    /// No connection, or an answer that is none.
    #[error("{attempt}: the cluster cannot be reached: {message}")]
    Unreachable {
        /// What was attempted, on which object.
        attempt: String,
        /// The chain of causes.
        message: String,
    },
}

impl ClusterError {
    /// Sorts a client's error.
    pub fn new(attempt: impl Into<String>, error: kube::Error) -> Self {
        let attempt = attempt.into();
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "whatever is no answer of the API is no answer"
        )]
        match error {
            // Only a patch that does not fit is refused without naming a field.
            kube::Error::Api(status)
                if status.code == 422 && status.details.as_ref().is_none_or(|d| d.causes.is_empty()) =>
            {
                Self::Changed { attempt }
            }
            // An object that is missing is named.
            kube::Error::Api(status)
                if status.code == 404 && status.details.as_ref().is_none_or(|d| d.name.is_empty()) =>
            {
                Self::NotFound {
                    attempt,
                    message: status.message.clone(),
                    unserved: true,
                }
            }
            kube::Error::Api(status) => Self::of_status(attempt, status.code, status.message.clone()),
            other => Self::Unreachable {
                attempt,
                message: chain(&other),
            },
        }
    }

    /// Sorts an answer's code.
    pub fn of_status(attempt: String, code: u16, message: String) -> Self {
        match code {
            409 => Self::Conflict { attempt },
            422 => Self::Invalid { attempt, message },
            404 => Self::NotFound {
                attempt,
                message,
                unserved: false,
            },
            401 | 403 => Self::Forbidden { attempt, message },
            _ => Self::Server {
                attempt,
                code,
                message,
            },
        }
    }

    /// No answer in time.
    pub fn timeout(attempt: impl Into<String>, after: Duration) -> Self {
        Self::Timeout {
            attempt: attempt.into(),
            after,
        }
    }

    /// The write rested on something that is no longer so: read again, decide again.
    pub const fn is_race(&self) -> bool {
        matches!(self, Self::Conflict { .. } | Self::Changed { .. })
    }

    /// A stable name for metrics and Events.
    pub const fn category(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => "Conflict",
            Self::Changed { .. } => "Changed",
            Self::Invalid { .. } => "Invalid",
            Self::NotFound { .. } => "NotFound",
            Self::Forbidden { .. } => "Forbidden",
            Self::Timeout { .. } => "Timeout",
            Self::Server { .. } => "Server",
            Self::Hook { .. } => "Hook",
            Self::Unreachable { .. } => "Unreachable",
        }
    }
}

/// An error with its causes, each once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refused(details: &serde_json::Value) -> ClusterError {
        let status = json!({"status": "Failure", "code": 422, "reason": "Invalid", "message": "no", "details": details});
        ClusterError::new(
            "writing x",
            kube::Error::Api(serde_json::from_value(status).unwrap()),
        )
    }

    #[test]
    fn a_patch_that_no_longer_fits_is_a_race_and_an_invalid_object_is_none() {
        assert!(refused(&json!(null)).is_race());
        assert!(refused(&json!({"name": "shop"})).is_race());
        let invalid = refused(
            &json!({"causes": [{"field": "status.x", "message": "too big", "reason": "FieldValueInvalid"}]}),
        );
        assert!(!invalid.is_race(), "to send it again at once would never end");
        assert_eq!(invalid.category(), "Invalid");
    }
}
