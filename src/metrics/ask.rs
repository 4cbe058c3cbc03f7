//! What a source is asked about one component.

use super::matcher::Matcher;
use super::snapshot::Snapshot;
use crate::rollout::spec::{ArmSource, Arms, Traffic};
use jiff::Timestamp;
use std::fmt;

/// What is asked of a source about one component.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// The resource, as `namespace/name`. For messages.
    pub rollout: String,
    /// The component's name. For messages.
    pub component: String,
    /// Which series belong to which arm.
    pub arms: Arms,
    /// What kind of traffic it is: long-lived traffic has no latency to judge.
    pub traffic: Traffic,
    /// Whether any check looks at latency. Without one, no bucket is fetched.
    pub wants_latency: bool,
    /// Whether the same hour a day and a week ago is asked for too. Expensive: only where nearly all traffic is on
    /// the canary and control says nothing any more.
    pub wants_history: bool,
}

/// Which of the two paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The new path.
    Canary,
    /// The old path.
    Control,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Canary => "canary",
            Self::Control => "control",
        })
    }
}

/// A label matcher that cannot be asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct AskError {
    /// Which field, from the arms on: `arms.canary.labels.host`.
    pub path: String,
    /// What is wrong with it and what to write instead.
    pub message: String,
}

impl Ask {
    /// The arms that are named, canary first.
    pub fn sides(&self) -> impl Iterator<Item = (Side, &ArmSource)> {
        let control = self.arms.control.as_ref().map(|source| (Side::Control, source));
        std::iter::once((Side::Canary, &self.arms.canary)).chain(control)
    }

    /// Whether buckets are fetched.
    pub fn latency(&self) -> bool {
        self.wants_latency && self.traffic == Traffic::Requests
    }

    /// Changes when other series are asked for, and stays the same from build to build: it is persisted.
    pub fn fingerprint(&self) -> String {
        // FNV-1a: the standard library's hasher may change between releases.
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        let mut feed = |text: &str| {
            for byte in text.bytes().chain([0xff]) {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        };
        for (side, source) in self.sides() {
            feed(&side.to_string());
            feed(source.preset.facts().requests);
            feed(&format!("{:?}", source.preset));
            for (label, value) in &source.labels {
                feed(label);
                feed(value);
            }
        }
        format!("{hash:016x}")
    }

    /// Refuses what no source can be asked.
    pub fn check(&self) -> Result<(), AskError> {
        match problems(&self.arms).into_iter().next() {
            Some(problem) => Err(problem),
            None => Ok(()),
        }
    }

    /// An answer in which no series was found: what a source fills in.
    pub fn unanswered(&self, at: Timestamp) -> Snapshot {
        Snapshot::empty(self, at)
    }
}

/// Everything that is wrong with the label matchers of both arms, each with its path.
pub fn problems(arms: &Arms) -> Vec<AskError> {
    let control = arms.control.as_ref().map(|source| (Side::Control, source));
    std::iter::once((Side::Canary, &arms.canary))
        .chain(control)
        .flat_map(|(side, source)| source.labels.iter().map(move |pair| (side, pair)))
        .filter_map(|(side, (label, value))| {
            let message = Matcher::parse(label, value)
                .and_then(|matcher| matcher.check())
                .err()?;
            Some(AskError {
                path: format!("arms.{side}.labels.{label}"),
                message,
            })
        })
        .collect()
}
