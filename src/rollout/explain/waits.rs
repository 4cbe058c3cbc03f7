//! What a component waits for, and until when.

use super::facts::{Facts, Wait};
use crate::rollout::duration::Span;
use crate::rollout::plan::Plan;
use crate::rollout::reason::{Reason, State};
use crate::rollout::spec::{InsufficientThen, OnBlind};
use crate::rollout::status::ComponentStatus;
use crate::rollout::weight::Weight;
use jiff::Timestamp;

impl Facts {
    /// What is waited for and until when: the reason it stands for, then hold, gates and window as far as they are
    /// still ahead.
    pub(super) fn waits(&self, plan: &Plan, c: &ComponentStatus, now: Timestamp) -> Vec<Wait> {
        if c.state.is_terminal() {
            let what = if c.state != State::RolledBack {
                "nothing: the plan is finished"
            } else if c.reason == Reason::Emergency {
                "`retry`, given by a person"
            } else {
                "`retry`, or another plan"
            };
            let again = self.retry.as_ref().and_then(|retry| {
                let n = retry.tried + 1;
                Some(wait(
                    format!("its own retry, {n} of {}", retry.times),
                    Some(retry.due?),
                ))
            });
            let going = c.lowering.as_ref().filter(|_| c.state == State::RolledBack);
            let going = going.map(|order| wait(going_back(c, order.weight), None));
            return going.into_iter().chain(again).chain([wait(what, None)]).collect();
        }
        let judged = by_judgement(plan, c, now);
        let mut waits = Vec::from_iter(judged.or_else(|| by_world(c.reason).map(|what| wait(what, None))));
        if let Some(hold) = self.hold.as_ref().filter(|hold| !hold.left.0.is_zero()) {
            let what = format!("{} more of judged time at this weight", hold.left);
            waits.push(wait(what, Some(plan.calendar.held(now, hold.left.0))));
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

/// What was ordered back and is not back: what the routed objects say so far. What hinders it stands in the message.
fn going_back(c: &ComponentStatus, to: Weight) -> String {
    let observed = c.weight.observed;
    let at = observed.map_or_else(
        || format!("{} was written last", c.weight.written),
        |observed| format!("they say {observed} now"),
    );
    format!(
        "every routed object to be back at {to} ({at}): it is tried again by itself, and the message says what hinders it"
    )
}

/// What ends a reason that the judge, or people's complaints, gave.
fn by_judgement(plan: &Plan, c: &ComponentStatus, now: Timestamp) -> Option<Wait> {
    let judge = &plan.judge;
    let told = |what: &str, until| Some(wait(what, until));
    if c.reason == Reason::Settling {
        let settled = c.since.map(|since| since + judge.settle + 2 * judge.interval);
        return told("data that is judged", settled);
    }
    if c.reason == Reason::Insufficient {
        let done = c.held.unwrap_or_default().0;
        let left = judge.insufficient_after.saturating_sub(done);
        let then = match judge.insufficient_then {
            InsufficientThen::Hold => "it stays until there are enough, or a person decides",
            InsufficientThen::Promote => "it goes on all the same after that",
        };
        let until = (judge.insufficient_then == InsufficientThen::Promote)
            .then(|| now.checked_add(left).ok())
            .flatten();
        return told(&format!("more requests; {then}"), until);
    }
    if c.reason == Reason::Blind {
        let then = match judge.on_blind {
            OnBlind::Hold => "it holds for as long as it takes".to_owned(),
            OnBlind::Rollback | OnBlind::RollbackAlways => {
                format!("rolled back after {} of darkness", Span(judge.blind_after))
            }
        };
        return told(&format!("fresh data; {then}"), None);
    }
    if c.reason == Reason::Complaints {
        let found = plan.complaints.too_many(&c.complaints, now);
        return told(
            "no further complaint, or a person's `resume`",
            found.map(|found| found.until),
        );
    }
    None
}

/// What ends any other reason for which a component stands. `None`: it waits for nothing of its own, or hold, gates and
/// window say for what.
fn by_world(reason: Reason) -> Option<&'static str> {
    Some(match reason {
        Reason::BetweenLimits => "every check within its promote limit, on all data and on the last window",
        Reason::SharedOutage | Reason::ControlBad => "control to recover",
        Reason::NotArriving => "requests on the canary",
        Reason::NotAchievable => "as many requests on the canary as its weight asks for",
        Reason::RouteNotAccepted => "a gateway that accepts the route and finds its back ends",
        Reason::WaitingForTurn => "its turn: so many rollouts run already as the operator lets run at once",
        Reason::WaitingForPool => {
            "the members of its pool: nobody rises before every live one may, and the message names who may not"
        }
        Reason::DependencyFailed => "a `retry` of what it depends on",
        Reason::StoppedByFailure => "a `retry` of the component that failed, or a person's `resume`",
        Reason::PhaseFailed => "a `retry` of a component of the phase that failed",
        Reason::Paused | Reason::Manual | Reason::Drifted | Reason::DriftAdopted | Reason::GitOpsFight => {
            "a person's `resume`"
        }
        Reason::Raising
        | Reason::Lowering
        | Reason::Joined
        | Reason::RouterSettling
        | Reason::Ineligible
        | Reason::HalfRaised
        | Reason::DriftReverted => "the routed objects",
        Reason::NotLowered => "routes that give the canary nothing any more: the message names those that do",
        Reason::RouterUnreadable => "routed objects that can be read: the message names the one that cannot",
        Reason::RouterSplit => "routed objects that agree on one weight, or a person's `resume`",
        Reason::WriteFailed => {
            "a write that is taken: it is tried again by itself, and the message says what refused it"
        }
        Reason::NoSource => {
            "a source to judge by: name its arms in the resource, or a Prometheus in the settings"
        }
        Reason::SpecChanged => "a declared weight to go on from: correct the steps, or use `set`",
        Reason::Orphaned => "its place in the spec, or a person's `rollback` or `detach`",
        Reason::PreviewChanged => "its routes for testers or its mirror: they are written again by itself",
        Reason::Claimed => {
            "the resource that has the routed object, which the message names, to let go of it"
        }
        Reason::InvalidSpec => "a spec that can be used: the message names what to correct",
        Reason::ControlNotReady => "a ready endpoint of control, to put the traffic back to",
        Reason::CheckBreached => "every check within its limits",
        Reason::Settling
        | Reason::Insufficient
        | Reason::Blind
        | Reason::Complaints
        | Reason::Starting
        | Reason::Step
        | Reason::RouteAccepted
        | Reason::HoldingStep
        | Reason::WaitingForPhase
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
        | Reason::Deleted => return None,
    })
}

fn wait(what: impl Into<String>, until: Option<Timestamp>) -> Wait {
    Wait {
        what: what.into(),
        until,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_that_stands_in_the_way_says_what_ends_it() {
        for reason in [
            Reason::NoSource,
            Reason::RouterSplit,
            Reason::RouterUnreadable,
            Reason::NotLowered,
            Reason::WriteFailed,
            Reason::SpecChanged,
            Reason::PhaseFailed,
            Reason::StoppedByFailure,
            Reason::Orphaned,
            Reason::Claimed,
            Reason::InvalidSpec,
            Reason::ControlNotReady,
            Reason::WaitingForPool,
            Reason::PreviewChanged,
            Reason::SharedOutage,
            Reason::Drifted,
        ] {
            assert!(by_world(reason).is_some(), "{reason:?}");
        }
    }
}
