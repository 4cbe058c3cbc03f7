//! Verdicts and blame: what was counted, held to the limits.

use super::check::{CheckRule, JudgeRules};
use super::ledger::{Baseline, Ledger};
use super::sample::Dark;
use super::spec::Traffic;
use super::status::CheckStatus;
use super::weight::Weight;
use jiff::Timestamp;

/// What the judge works by, beside what was counted.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The checks of this phase.
    pub rules: &'a [CheckRule],
    /// How judging works.
    pub judge: &'a JudgeRules,
    /// The weight that is being judged.
    pub weight: Weight,
    /// The weight before this one.
    pub before: Weight,
    /// The kind of traffic.
    pub traffic: Traffic,
    /// Control's frozen behaviour, for when it is too small to compare with.
    pub baseline: Option<&'a Baseline>,
    /// Over how many steps of this attempt the chance of a false rollback is split.
    pub looks: u32,
    /// Whether the component names a control arm.
    pub has_control: bool,
    /// Whether hold time counts now: not while paused or frozen.
    pub clock_runs: bool,
    /// The time now.
    pub now: Timestamp,
}

/// What the judge says.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// Each check, in the order of the rules.
    pub checks: Vec<CheckStatus>,
    /// All of them together.
    pub outlook: Outlook,
}

/// What the verdicts of all checks come to.
#[derive(Clone, Debug, PartialEq)]
pub enum Outlook {
    /// Every check that has a promote limit passes on all data and on the last window.
    Promotable,
    /// A check is between its limits.
    Between {
        /// Which.
        check: String,
        /// Why, for people.
        message: String,
    },
    /// Too few requests to tell.
    Insufficient {
        /// How many of how many, for people.
        message: String,
    },
    /// Nothing can be seen.
    Unknown {
        /// What kind of darkness.
        kind: Dark,
        /// Since when.
        since: Timestamp,
        /// Why, for people.
        message: String,
    },
    /// Data is not judged yet.
    Settling {
        /// Until then.
        until: Timestamp,
    },
    /// Both arms are over the limit, the canary not much worse.
    SharedOutage {
        /// Which check.
        check: String,
        /// How bad, for people.
        message: String,
    },
    /// Control is over the limit, the canary is not.
    ControlBad {
        /// Which check.
        check: String,
        /// How bad, for people.
        message: String,
    },
    /// The canary gets no requests, although the total is unchanged.
    NotArriving {
        /// How many were expected, for people.
        message: String,
    },
    /// The traffic has to go back.
    Breach {
        /// Which check; `traffic` when requests were lost.
        check: String,
        /// By which path.
        how: How,
        /// Why, for people.
        message: String,
    },
}

/// By which path a breach was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The sequential test and the point estimate agree.
    Evidence,
    /// So many failures that no statistics are needed.
    Trip,
    /// A measured value was over its limit for the check's whole `for`.
    Sustained,
    /// Requests vanished when the canary's share was raised.
    LostTraffic,
}

impl Ledger {
    /// Holds what was counted to the limits.
    pub fn judge(&self, ctx: &Context<'_>) -> Judgement {
        Judgement {
            checks: Vec::new(),
            outlook: self.outlook(ctx),
        }
    }

    /// The outlook alone: the same as [`Ledger::judge`] gives, without the words for each check.
    pub fn outlook(&self, ctx: &Context<'_>) -> Outlook {
        Outlook::Unknown {
            kind: Dark::NotYet,
            since: ctx.now,
            message: "nothing was looked at yet".to_owned(),
        }
    }
}
