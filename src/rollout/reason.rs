//! The closed vocabularies: states, reasons, verdicts. Stable: dashboards, scripts and stamps rely on them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The kind of place a component is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum State {
    /// It walks its plan: its weight rises when everything allows it.
    #[default]
    Walking,
    /// A person set its weight: it stays there with the rollback armed, until `resume`.
    Manual,
    /// Somebody else lowered its weight: it stays there until `resume`.
    Drifted,
    /// It was put back, or is being: while `lowering` stands its traffic is not back, and the conditions say so. Terminal:
    /// stays until `retry` or another plan.
    // Told by the API and the command line as what it is then; read here alike, wherever it comes from.
    #[serde(alias = "RollingBack")]
    RolledBack,
    /// It finished its plan and its last hold. Terminal likewise.
    Completed,
    /// It was removed from the spec while it had traffic: untouched and judged, until `detach`.
    Orphaned,
}

impl State {
    /// Whether only `retry` or another plan moves it on.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::RolledBack | Self::Completed)
    }
}

/// A check's verdict.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum Verdict {
    /// Within the promote limit, with enough requests to say so.
    Pass,
    /// Above the promote limit, not (or not surely) above the rollback limit: stay.
    Hold,
    /// Too few requests to tell.
    Insufficient,
    /// No fresh data.
    #[default]
    Unknown,
    /// Over the rollback limit.
    Breach,
    /// Does not apply here: switched off, or not measurable for this traffic.
    Skipped,
}

/// Why a component is where it is, or why its weight changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Reason {
    /// Nothing was looked at yet.
    #[default]
    Starting,
    // --- on the way ---
    /// The plan's next step was written.
    Step,
    /// It holds the step's weight for the step's time.
    HoldingStep,
    /// Data since the last change is not judged yet.
    Settling,
    /// A raise is being written.
    Raising,
    /// A lowering is being written.
    Lowering,
    /// Other components of an earlier phase are not done.
    WaitingForPhase,
    /// It may go on, and another member of its pool may not.
    WaitingForPool,
    /// The next phase or step needs a person's `approve`.
    AwaitingApproval,
    /// Items of the next phase's or step's checklist are not ticked.
    WaitingForChecklist,
    /// Another rollout has not come so far as this one's next phase or step requires.
    WaitingForRollout,
    /// An address that is asked has not said that it may go on.
    WaitingForGate,
    /// A component that it depends on has not come so far.
    WaitingForDependency,
    /// So many rollouts run already as may run at once.
    WaitingForTurn,
    /// After a rollback that no person asked for, the plan begins again by itself.
    AutomaticRetry,
    /// The schedule's windows are closed.
    OutsideWindow,
    /// A freeze is in force.
    Frozen,
    /// A person said stop.
    Paused,
    /// Too many people complained.
    Complaints,
    /// A person set this weight.
    Manual,
    /// Something new to route was brought to the component's weight.
    Joined,
    /// The plan is finished and the last hold is over.
    Completed,
    // --- what the judge says ---
    /// A check is between its promote and its rollback limit.
    BetweenLimits,
    /// Too few requests to tell.
    Insufficient,
    /// Too few requests to tell, for so long that the plan said to go on.
    PromotedInsufficient,
    /// No fresh data.
    Blind,
    /// Both arms are over the limit, the canary not much worse.
    SharedOutage,
    /// Control is over the limit, the canary is not.
    ControlBad,
    /// The canary gets no requests although the total is unchanged.
    NotArriving,
    /// The canary gets surely another share of the requests than its weight asks for.
    NotAchievable,
    /// A check that moves no traffic is past its rollback limit.
    CheckBreached,
    // --- why traffic went back ---
    /// A check's rollback limit was passed.
    Breach,
    /// Requests vanished when the canary's share was raised.
    LostTraffic,
    /// The canary's series vanished, and the resource says to roll back then.
    BlindRollback,
    /// Too many people complained, and the resource says to roll back then.
    ComplaintRollback,
    /// A person asked.
    RollbackRequested,
    /// A person asked, in an emergency.
    Emergency,
    /// Another component failed, and the resource says that all go back.
    OtherFailed,
    /// The resource was deleted, and says to restore.
    Deleted,
    /// A half-written raise was taken back.
    HalfRaised,
    // --- what stands in the way ---
    /// A routed object cannot be read or does not carry the pair.
    RouterUnreadable,
    /// What is routed does not fit for a split: the list of what is missing.
    Ineligible,
    /// A lowering is done, and requests reach the canary by routes that it does not write.
    NotLowered,
    /// A routed object has not taken up its change yet.
    RouterSettling,
    /// No gateway carries a routed object, or one cannot reach its back ends.
    RouteNotAccepted,
    /// Every gateway carries the routed objects again.
    RouteAccepted,
    /// The routed objects of the component disagree.
    RouterSplit,
    /// A write was refused or failed.
    WriteFailed,
    /// The component names no source of samples.
    NoSource,
    /// Somebody else lowered the weight.
    Drifted,
    /// Somebody else raised the weight; it was put back.
    DriftReverted,
    /// Somebody else raised the weight while it was theirs to set.
    DriftAdopted,
    /// The same field manager changes the weight again and again.
    GitOpsFight,
    /// The spec changed, and no declared weight follows the written one.
    SpecChanged,
    /// Another component failed, and the resource says to stop then.
    StoppedByFailure,
    /// A component that it depends on was put back.
    DependencyFailed,
    /// Every component of a phase failed.
    PhaseFailed,
    /// It was removed from the spec above 0%.
    Orphaned,
    /// Another, older resource owns a routed object.
    Claimed,
    /// The spec cannot be used.
    InvalidSpec,
    /// It is to go back, by the judge, complaints or an alert, but control has no ready endpoint to take the traffic.
    ControlNotReady,
    /// Routes for testers or a mirror were written or removed, or somebody else took them away.
    PreviewChanged,
}

impl Reason {
    /// Whether traffic that went back for it went back without a person's word: what may begin again by itself.
    pub const fn is_automatic_rollback(self) -> bool {
        matches!(self, Self::Breach | Self::LostTraffic | Self::BlindRollback)
    }

    /// Whether a stamp with this reason means that the traffic was put back for good.
    pub const fn is_rollback(self) -> bool {
        matches!(
            self,
            Self::Breach
                | Self::LostTraffic
                | Self::BlindRollback
                | Self::ComplaintRollback
                | Self::RollbackRequested
                | Self::Emergency
                | Self::OtherFailed
                | Self::Deleted
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl std::str::FromStr for Reason {
    type Err = serde::de::value::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::deserialize(serde::de::value::StrDeserializer::new(text))
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
