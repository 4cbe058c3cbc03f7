//! stub
use super::check::*;
use super::ledger::*;
use super::sample::*;
use super::spec::*;
use super::status::CheckStatus;
use super::weight::Weight;
use jiff::Timestamp;
/// c
pub struct Context<'a> {
    /// .
    pub rules: &'a [CheckRule],
    /// .
    pub judge: &'a JudgeRules,
    /// .
    pub weight: Weight,
    /// .
    pub before: Weight,
    /// .
    pub traffic: Traffic,
    /// .
    pub baseline: Option<&'a Baseline>,
    /// .
    pub looks: u32,
    /// .
    pub has_control: bool,
    /// .
    pub clock_runs: bool,
    /// .
    pub now: Timestamp,
}
/// j
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// .
    pub checks: Vec<CheckStatus>,
    /// .
    pub outlook: Outlook,
}
/// o
#[allow(missing_docs)]
#[derive(Clone, Debug, PartialEq)]
pub enum Outlook {
    Promotable,
    Between {
        check: String,
        message: String,
    },
    Insufficient {
        message: String,
    },
    Unknown {
        kind: Dark,
        since: Timestamp,
        message: String,
    },
    Settling {
        until: Timestamp,
    },
    SharedOutage {
        message: String,
    },
    ControlBad {
        message: String,
    },
    NotArriving {
        message: String,
    },
    Breach {
        check: String,
        lost_traffic: bool,
        message: String,
    },
}
#[allow(missing_docs)]
impl Ledger {
    pub fn begin(_since: Timestamp, _settled_at: Timestamp) -> Self {
        Self::default()
    }
    pub fn absorb(&mut self, _r: &Reading, _c: &Context<'_>) {}
    pub fn judge(&self, _ctx: &Context<'_>) -> Judgement {
        Judgement {
            checks: vec![],
            outlook: Outlook::Promotable,
        }
    }
    pub fn freeze(&self, now: Timestamp) -> Option<Baseline> {
        Some(Baseline { at: now })
    }
}
