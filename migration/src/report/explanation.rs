//! Every code: what becomes of it, how bad that is, what a user observes, what to do.
//!
//! Codes are stable: scripts and accept lists name them.

use super::table::{CODES, Code};
use serde::{Serialize, Serializer};

/// What became of a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Requests meet what they met before.
    Converted,
    /// Nearly: the finding says where not.
    Approximated,
    /// It is not in the output, and routes are.
    Dropped,
    /// The route is not in the output.
    Refused,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Few will notice.
    Low,
    /// Some will notice.
    Medium,
    /// Many will notice.
    High,
    /// It cannot go on like that.
    Blocker,
}

impl Severity {
    /// The word.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Blocker => "blocker",
        }
    }
}

/// What a code means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The code.
    pub code: Code,
    /// What becomes of it.
    pub outcome: Outcome,
    /// How bad that is.
    pub severity: Severity,
    /// Whether a security control is at stake.
    pub sec: bool,
    /// Whether `--accept` lets the route pass without it. Where not, there is nothing that could be written.
    pub acceptable: bool,
    /// What a user will observe.
    pub effect: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

/// The explanation of a code as typed.
pub fn explain(code: &str) -> Option<&'static Explanation> {
    CODES.iter().find(|known| known.code.text() == code)
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text())
    }
}

macro_rules! codes {
    ([] $($name:ident $text:literal $outcome:ident $severity:ident [$($flag:ident)*] $effect:literal $remedy:literal;)*) => {
        /// A stable code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = concat!("`", $text, "`")] $name,)*
        }

        /// All codes.
        pub static CODES: &[Explanation] = &[$(Explanation {
            code: Code::$name,
            outcome: Outcome::$outcome,
            severity: Severity::$severity,
            sec: has(&[$(stringify!($flag)),*], "sec"),
            acceptable: has(&[$(stringify!($flag)),*], "may"),
            effect: $effect,
            remedy: $remedy,
        }),*];

        impl Code {
            /// The code as people and scripts write it.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What it means.
            pub const fn explanation(self) -> Explanation {
                match self {
                    $(Self::$name => Explanation {
                        code: Self::$name,
                        outcome: Outcome::$outcome,
                        severity: Severity::$severity,
                        sec: has(&[$(stringify!($flag)),*], "sec"),
                        acceptable: has(&[$(stringify!($flag)),*], "may"),
                        effect: $effect,
                        remedy: $remedy,
                    },)*
                }
            }
        }
    };
}

/// Whether a flag is among those of a code; the first letters differ.
pub(super) const fn has(flags: &[&str], flag: &str) -> bool {
    let mut rest = flags;
    while let [first, others @ ..] = rest {
        if let (Some(a), Some(b)) = (first.as_bytes().first(), flag.as_bytes().first())
            && *a == *b
        {
            return true;
        }
        rest = others;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_code_is_named_once_and_says_what_to_do() {
        let names: BTreeSet<&str> = CODES.iter().map(|e| e.code.text()).collect();
        assert_eq!(names.len(), CODES.len());
        for explanation in CODES {
            assert_eq!(explain(explanation.code.text()), Some(explanation));
            assert!(!explanation.effect.is_empty() && !explanation.remedy.is_empty());
            assert!(!explanation.acceptable || explanation.outcome == Outcome::Refused);
            assert!(
                !explanation.sec || explanation.outcome != Outcome::Converted,
                "{explanation:?}"
            );
        }
        assert_eq!(explain("NO-SUCH-CODE"), None);
    }
}
