//! What a component waits for, and until when.

use super::facts::{Facts, Wait};
use crate::rollout::duration::Span;
use crate::rollout::plan::Plan;
use crate::rollout::reason::{Reason, State};
use crate::rollout::spec::{InsufficientThen, OnBlind};
use crate::rollout::status::ComponentStatus;
use jiff::Timestamp;

impl Facts {
    /// What is waited for and until when: the reason it stands for, then hold, gates and window as far as they are
    /// still ahead.
    #[expect(clippy::too_many_lines, reason = "a line for each reason")]
    pub(super) fn waits(&self, plan: &Plan, c: &ComponentStatus, now: Timestamp) -> Vec<Wait> {
        if c.state.is_terminal() {
            let what = if c.state == State::RolledBack {
                "`retry`, or another plan"
            } else {
                "nothing: the plan is finished"
            };
            let again = self.retry.as_ref().and_then(|retry| {
                let n = retry.tried + 1;
                Some(wait(
                    format!("its own retry, {n} of {}", retry.times),
                    Some(retry.due?),
                ))
            });
            return again.into_iter().chain([wait(what, None)]).collect();
        }
        let mut waits = Vec::new();
        let judge = &plan.judge;
        let settled = c.since.map(|since| since + judge.settle + 2 * judge.interval);
        let done = c.held.unwrap_or_default().0;
        let passes = "every check within its promote limit, on all data and on the last window";
        match c.reason {
            Reason::Settling => waits.push(wait("data that is judged", settled)),
            Reason::BetweenLimits => waits.push(wait(passes, None)),
            Reason::Insufficient => {
                let left = judge.insufficient_after.saturating_sub(done);
                let then = match judge.insufficient_then {
                    InsufficientThen::Hold => "it stays until there are enough, or a person decides",
                    InsufficientThen::Promote => "it goes on all the same after that",
                };
                let until = (judge.insufficient_then == InsufficientThen::Promote)
                    .then(|| now.checked_add(left).ok())
                    .flatten();
                waits.push(wait(format!("more requests; {then}"), until));
            }
            Reason::Blind => {
                let then = match judge.on_blind {
                    OnBlind::Hold => "it holds for as long as it takes".to_owned(),
                    OnBlind::Rollback | OnBlind::RollbackAlways => {
                        format!("rolled back after {} of darkness", Span(judge.blind_after))
                    }
                };
                waits.push(wait(format!("fresh data; {then}"), None));
            }
            Reason::SharedOutage | Reason::ControlBad => waits.push(wait("control to recover", None)),
            Reason::NotArriving => waits.push(wait("requests on the canary", None)),
            Reason::NotAchievable => waits.push(wait(
                "as many requests on the canary as its weight asks for",
                None,
            )),
            Reason::RouteNotAccepted => {
                waits.push(wait(
                    "a gateway that accepts the route and finds its back ends",
                    None,
                ));
            }
            Reason::WaitingForTurn => waits.push(wait(
                "its turn: so many rollouts run already as the operator lets run at once",
                None,
            )),
            Reason::DependencyFailed => waits.push(wait("a `retry` of what it depends on", None)),
            Reason::Complaints => {
                let found = plan.complaints.too_many(&c.complaints, now);
                waits.push(wait(
                    "no further complaint, or a person's `resume`",
                    found.map(|found| found.until),
                ));
            }
            Reason::Paused
            | Reason::Manual
            | Reason::Drifted
            | Reason::DriftAdopted
            | Reason::GitOpsFight => {
                waits.push(wait("a person's `resume`", None));
            }
            Reason::Raising
            | Reason::Lowering
            | Reason::Joined
            | Reason::RouterSettling
            | Reason::Ineligible => {
                waits.push(wait("the routed objects", None));
            }
            Reason::Starting
            | Reason::Step
            | Reason::CheckBreached
            | Reason::RouteAccepted
            | Reason::HoldingStep
            | Reason::WaitingForPhase
            | Reason::WaitingForPool
            | Reason::AwaitingApproval
            | Reason::WaitingForChecklist
            | Reason::WaitingForRollout
            | Reason::WaitingForGate
            | Reason::WaitingForDependency
            | Reason::AutomaticRetry
            | Reason::OutsideWindow
            | Reason::Frozen
            | Reason::Completed
            | Reason::PromotedInsufficient
            | Reason::Breach
            | Reason::LostTraffic
            | Reason::BlindRollback
            | Reason::ComplaintRollback
            | Reason::RollbackRequested
            | Reason::Emergency
            | Reason::OtherFailed
            | Reason::Deleted
            | Reason::HalfRaised
            | Reason::RouterUnreadable
            | Reason::RouterSplit
            | Reason::WriteFailed
            | Reason::NoSource
            | Reason::DriftReverted
            | Reason::SpecChanged
            | Reason::StoppedByFailure
            | Reason::PhaseFailed
            | Reason::Orphaned
            | Reason::PreviewChanged
            | Reason::Claimed
            | Reason::InvalidSpec
            | Reason::ControlNotReady => {}
        }
        if let Some(hold) = self.hold.as_ref().filter(|hold| !hold.left.0.is_zero()) {
            let what = format!("{} more of judged time at this weight", hold.left);
            waits.push(wait(what, now.checked_add(hold.left.0).ok()));
        }
        waits.extend(self.gates.iter().filter(|gate| !gate.open).map(|gate| {
            let what = format!("phase {}: {}", gate.phase, gate.needs);
            wait(what, None)
        }));
        if let Some(frozen) = self.frozen.as_ref().filter(|_| self.next.is_some()) {
            waits.push(wait(format!("the end of the freeze: {frozen}"), None));
        }
        if let Some(door) = self
            .window
            .as_ref()
            .filter(|door| !door.open && self.next.is_some())
        {
            let what = match &door.why {
                Some(why) => format!("the end of a freeze ({why})"),
                None => "an open window".to_owned(),
            };
            waits.push(wait(what, door.until));
        }
        waits
    }
}

fn wait(what: impl Into<String>, until: Option<Timestamp>) -> Wait {
    Wait {
        what: what.into(),
        until,
    }
}
