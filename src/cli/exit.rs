//! How a command ends: a code that scripts rely on, and a sentence for people.

use std::fmt;
use std::io;
use std::process::ExitCode;

/// The exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// What was asked is done; an emergency that ended as asked is done too.
    Done = 0,
    /// A mistake of the program itself.
    Internal = 1,
    /// While it was waited for, the traffic was rolled back automatically.
    RolledBack = 2,
    /// It was not done: the message says why, and what to do.
    Refused = 3,
    /// Some of it is done; the report names the rest.
    Partly = 4,
    /// The command line, a file or a setting cannot be understood.
    Usage = 64,
    /// The cluster (or another service that is needed) cannot be reached.
    Unreachable = 69,
    /// It was not done before the wait was over.
    TimedOut = 75,
}

impl Exit {
    /// The number.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// A command that did not end well: what to tell, and how to exit.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What to tell people, without `error:`; empty when everything was told already.
    pub message: String,
}

impl Failure {
    /// With a code and a message.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
        }
    }

    /// The command line, a file or a setting is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// It will not be done.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(Exit::Refused, message)
    }

    /// The program is at fault.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Exit::Internal, message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<io::Error> for Failure {
    /// Output that nobody reads any more (`gradual-rollout status | head -1`) is success.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::new(Exit::Done, "")
        } else {
            Self::internal(format!("unable to write the output: {error}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_can_rely_on_the_numbers() {
        let codes = [
            (Exit::Done, 0),
            (Exit::Internal, 1),
            (Exit::RolledBack, 2),
            (Exit::Refused, 3),
            (Exit::Partly, 4),
            (Exit::Usage, 64),
            (Exit::Unreachable, 69),
            (Exit::TimedOut, 75),
        ];
        for (exit, code) in codes {
            assert_eq!(exit.code(), code, "{exit:?}");
        }
    }

    #[test]
    fn a_closed_pipe_is_success_and_a_full_disk_is_not() {
        let closed = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(closed.exit, Exit::Done);
        let full = Failure::from(io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(full.exit, Exit::Internal);
    }
}
