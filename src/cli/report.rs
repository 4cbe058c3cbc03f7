//! What was done, for people and for the record.

use super::emergency::{Health, Step, Told};
use super::exit::Exit;
use super::view::View;
use jiff::Timestamp;
use serde::Serialize;

/// What became of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Ended {
    /// Done by the daemon, and read back.
    Done,
    /// Done from here, because no daemon is alive.
    DoneDirectly,
    /// Not done.
    Refused,
    /// The cluster did not answer.
    Unreachable,
    /// Put back while it was waited for.
    RolledBack,
    /// Not done in time.
    TimedOut,
}

impl Ended {
    /// Whether what was asked is so.
    pub(super) fn well(self) -> bool {
        matches!(self, Self::Done | Self::DoneDirectly)
    }
}

/// A component in the report.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    /// The rollout.
    pub rollout: String,
    /// The component.
    pub component: String,
    /// What became of it.
    pub result: Ended,
    /// The same as a sentence.
    pub message: String,
}

/// The record of a command.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// What was asked.
    pub command: String,
    /// The emergency's mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<&'static str>,
    /// The namespace.
    pub namespace: String,
    /// Who asked.
    pub who: String,
    /// Why.
    pub reason: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
    /// Whether a daemon was alive, as a sentence.
    pub daemon: String,
    /// How it ended: the exit code.
    pub exit: u8,
    /// Why nothing was done, where nobody could even be found to do it for: then nothing of the components is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Each component.
    pub components: Vec<Entry>,
    /// Every component as it stood before.
    pub before: Vec<View>,
    /// Every component as it stands after; empty when that could not be read.
    pub after: Vec<View>,
    /// In an emergency: how long it took until the last object was written, in milliseconds from the beginning, without
    /// the time that a person took to confirm it; absent when nothing is back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub put_back_in_ms: Option<u64>,
    /// What carries the traffic, before and after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// How the rollback was verified.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// Who was told.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<Told>,
}

/// The exit code of a command from what became of each component.
pub(super) fn exit(entries: &[Entry]) -> Exit {
    let any = |ended: Ended| entries.iter().any(|e| e.result == ended);
    let well = entries.iter().filter(|e| e.result.well()).count();
    if any(Ended::RolledBack) {
        // Whatever else was done: a script must learn that a canary was found bad.
        Exit::RolledBack
    } else if well == entries.len() {
        Exit::Done
    } else if well > 0 {
        Exit::Partly
    } else if any(Ended::TimedOut) {
        Exit::TimedOut
    } else if any(Ended::Unreachable) {
        Exit::Unreachable
    } else {
        Exit::Refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_says_how_much_was_done() {
        let exit = |ends: &[Ended]| {
            let entries: Vec<Entry> = ends
                .iter()
                .map(|result| Entry {
                    rollout: "r".into(),
                    component: "c".into(),
                    result: *result,
                    message: String::new(),
                })
                .collect();
            exit(&entries)
        };
        assert_eq!(exit(&[Ended::Done, Ended::DoneDirectly]), Exit::Done);
        assert_eq!(exit(&[Ended::Done, Ended::Refused]), Exit::Partly);
        assert_eq!(exit(&[Ended::Done, Ended::TimedOut]), Exit::Partly);
        assert_eq!(exit(&[Ended::Refused]), Exit::Refused);
        assert_eq!(exit(&[Ended::Refused, Ended::Unreachable]), Exit::Unreachable);
        assert_eq!(exit(&[Ended::Done, Ended::Unreachable]), Exit::Partly);
        assert_eq!(exit(&[Ended::TimedOut, Ended::Refused]), Exit::TimedOut);
        assert_eq!(exit(&[Ended::RolledBack, Ended::Done]), Exit::RolledBack);
    }
}
