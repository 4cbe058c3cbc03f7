//! Why something could not be read or written, told apart by what the person who reads it can do: nobody was there, who
//! was there had too much to do or was ill, or this machine has no room for another connection.

use crate::cluster::connect::ConnectError;
use std::error::Error as Cause;

/// The codes of "too many open files", of this process and of the machine.
const NO_MORE_FILES: [i32; 2] = [24, 23];

/// Why something could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no usable kubeconfig: its own words say what to do.
    #[error("unable to reach the cluster: {0}")]
    NoConnection(#[from] ConnectError),
    /// No answer from where the kubeconfig points to.
    #[error("unable to reach the cluster while {doing}: {cause}; check KUBECONFIG and the network")]
    Unreachable {
        /// What was attempted.
        doing: String,
        /// Why it failed.
        cause: String,
    },
    /// The API server answered that it has too much to do, or that it is ill (429, 5xx).
    #[error("the API server answered {code} while {doing}: {message}; {}", remedy(*.code))]
    Ill {
        /// What was attempted.
        doing: String,
        /// Its code.
        code: u16,
        /// Its words.
        message: String,
    },
    /// This process, or this machine, has no room for another connection.
    #[error(
        "too many open files on this machine while {doing}, so no connection could be opened: raise the limit (`ulimit -n \
         4096`) and run it again"
    )]
    NoRoom {
        /// What was attempted.
        doing: String,
    },
    /// There is no such object.
    #[error("{0} does not exist")]
    NotFound(String),
    /// The cluster does not know the custom resource.
    #[error(
        "the cluster does not know GradualRollouts: install the definition with `kubectl apply -f deploy/crd.yaml`"
    )]
    NoDefinition,
    /// Somebody else wrote first, or the object has another shape by now.
    #[error("{0} changed in between: nothing was written to it; try again")]
    Conflict(String),
    /// It is not allowed.
    #[error("not allowed while {doing}: {message}")]
    Forbidden {
        /// What was attempted.
        doing: String,
        /// The API server's words.
        message: String,
    },
    /// The API server said no.
    #[error("the API server refused {doing}: {message}")]
    Refused {
        /// What was attempted.
        doing: String,
        /// Its words.
        message: String,
    },
}

impl Error {
    /// Whether nothing was said about what was asked: a little later there may well be an answer.
    pub const fn is_silence(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Ill { .. } | Self::NoRoom { .. }
        )
    }

    /// Nobody answered in time.
    pub fn no_answer(doing: &str, within: std::time::Duration) -> Self {
        Self::Unreachable {
            doing: doing.to_owned(),
            cause: format!("no answer within {}s", within.as_secs()),
        }
    }
}

const fn remedy(code: u16) -> &'static str {
    match code {
        429 => "it has too much to do: try again in a moment",
        502..=504 => {
            "it is not ready, or what stands in front of it does not reach it: try again in a moment, and look at the API \
             server"
        }
        _ => "the fault is the API server's own: try again, and look at its log",
    }
}

/// What an error means for a person. `what` is named when it does not exist; without it, a 404 means that the
/// cluster does not know the kind.
pub(super) fn told(error: kube::Error, doing: &str, what: Option<&str>) -> Error {
    let doing = doing.to_owned();
    let kube::Error::Api(status) = error else {
        return if has_no_room(&error) {
            Error::NoRoom { doing }
        } else {
            let cause = chain(&error);
            Error::Unreachable { doing, cause }
        };
    };
    let (code, message) = (status.code, status.message.clone());
    match (code, what) {
        (404, Some(what))
            if !status.reason.is_empty() && status.details.as_ref().is_some_and(|d| !d.name.is_empty()) =>
        {
            Error::NotFound(what.to_owned())
        }
        (404, _) => Error::NoDefinition,
        (409 | 422, Some(what)) if status.details.as_ref().is_none_or(|d| d.causes.is_empty()) => {
            Error::Conflict(what.to_owned())
        }
        (401 | 403, _) => Error::Forbidden { doing, message },
        (429 | 500.., _) => Error::Ill { doing, code, message },
        _ => Error::Refused { doing, message },
    }
}

/// Whether no more files could be opened: said by the operating system, however deep it stands among the causes.
fn has_no_room(error: &(dyn Cause + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(one) = cause {
        let code = one
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::raw_os_error);
        if code.is_some_and(|code| NO_MORE_FILES.contains(&code)) {
            return true;
        }
        cause = one.source();
    }
    false
}

/// An error with its causes, each said once.
fn chain(error: &dyn Cause) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let message = cause.to_string();
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answered(code: u16) -> Error {
        let status = json!({"status": "Failure", "code": code, "reason": "", "message": "no"});
        let status = serde_json::from_value(status).unwrap();
        told(kube::Error::Api(status), "reading x", None)
    }

    #[test]
    fn who_answers_that_it_is_busy_or_ill_is_not_said_to_be_out_of_reach() {
        for (code, remedy) in [
            (429, "it has too much to do"),
            (500, "look at its log"),
            (503, "it is not ready"),
        ] {
            let error = answered(code);
            let text = error.to_string();
            assert!(error.is_silence(), "{text}");
            assert!(
                text.starts_with(&format!("the API server answered {code} while reading x: no; ")),
                "{text}"
            );
            assert!(
                text.contains(remedy) && !text.contains("unable to reach"),
                "{text}"
            );
        }
    }

    #[test]
    fn no_room_for_another_connection_is_said_to_be_that() {
        for code in NO_MORE_FILES {
            // As a client wraps it.
            let deep = std::io::Error::from_raw_os_error(code);
            let error = told(kube::Error::Service(Box::new(Wrapped(deep))), "reading x", None);
            let text = error.to_string();
            assert!(error.is_silence(), "{text}");
            assert!(
                text.contains("too many open files") && text.contains("ulimit -n"),
                "{text}"
            );
        }
        let other = std::io::Error::from_raw_os_error(111);
        let error = told(kube::Error::Service(Box::new(Wrapped(other))), "reading x", None);
        assert!(
            error.to_string().contains("unable to reach the cluster"),
            "{error}"
        );
    }

    #[derive(Debug)]
    struct Wrapped(std::io::Error);

    impl std::fmt::Display for Wrapped {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("client error")
        }
    }

    impl Cause for Wrapped {
        fn source(&self) -> Option<&(dyn Cause + 'static)> {
            Some(&self.0)
        }
    }
}
