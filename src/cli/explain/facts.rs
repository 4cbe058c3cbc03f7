//! What there is to say about a component, gathered from its spec and status: the same for people and programs.

use crate::cli::limits;
use crate::cli::plan::opening;
use crate::rollout::arrival::Measured;
use crate::rollout::command::ago;
use crate::rollout::duration::Span;
use crate::rollout::plan::{Plan, PlannedCheck, PlannedComponent, PlannedStep};
use crate::rollout::reason::{Reason, State};
use crate::rollout::spec::GradualRollout;
use crate::rollout::status::{CheckStatus, ComponentStatus, GradualRolloutStatus, HistoryEntry, Weights};
use crate::rollout::window::Opening;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// A status that is looked after is written once a minute; twice that is old.
const OLD: Duration = Duration::from_secs(120);

/// A component explained.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Facts {
    pub(super) namespace: String,
    pub(super) rollout: String,
    pub(super) component: String,
    /// What makes the rest doubtful: an old status, no daemon, a spec that cannot be used.
    pub(super) doubts: Vec<String>,
    pub(super) state: Option<State>,
    pub(super) reason: Option<Reason>,
    pub(super) message: String,
    /// In percent.
    pub(super) weight: Option<Percents>,
    /// What part of the requests arrives at the canary, as far as it can be measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) measured: Option<Measured>,
    /// The same as a sentence.
    #[serde(skip)]
    pub(super) arrives: Option<String>,
    /// What the gateways that carry its routes find fault with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) gateways: Option<String>,
    pub(super) since: Option<Timestamp>,
    pub(super) phase: Option<Place>,
    pub(super) hold: Option<Hold>,
    /// The next declared step.
    pub(super) next: Option<Next>,
    /// Whether weights may rise now.
    pub(super) window: Option<Door>,
    pub(super) gates: Vec<Gate>,
    /// Everything that is waited for, the nearest first.
    pub(super) waiting_for: Vec<Wait>,
    /// When the metrics were last counted.
    pub(super) counted_until: Option<Timestamp>,
    /// Each check: all of its status, and its limits.
    pub(super) checks: Vec<Value>,
    pub(super) history: Vec<HistoryEntry>,
}

/// Weights in percent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Percents {
    pub(super) asked: f64,
    pub(super) written: f64,
    pub(super) observed: Option<f64>,
}

/// Where in the plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Place {
    pub(super) name: String,
    /// From 1; 0 before the first.
    pub(super) step: i32,
    pub(super) of: usize,
}

/// How much of the step's hold is done.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Hold {
    pub(super) asked: Span,
    pub(super) done: Span,
    pub(super) left: Span,
    /// A person ended it.
    pub(super) ended: bool,
}

/// The next step.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Next {
    /// In percent.
    pub(super) weight: f64,
    pub(super) phase: String,
    /// No earlier than this, if every check passes by then.
    pub(super) not_before: Option<Timestamp>,
}

/// Whether the calendar lets weights rise.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Door {
    pub(super) open: bool,
    /// When that changes, as far as it is known.
    pub(super) until: Option<Timestamp>,
    pub(super) why: Option<String>,
}

/// What stands before the next step's phase.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Gate {
    pub(super) phase: String,
    pub(super) needs: String,
    pub(super) open: bool,
}

/// Something that is waited for.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Wait {
    pub(super) what: String,
    /// Until then at the earliest; absent where only an event ends it.
    pub(super) until: Option<Timestamp>,
}

impl Facts {
    pub(super) fn of(
        rollout: &GradualRollout,
        namespace: &str,
        component: &str,
        daemon: Option<String>,
        now: Timestamp,
    ) -> Self {
        let status = rollout.status.clone().unwrap_or_default();
        let plan = Plan::parse(&rollout.spec);
        let mut facts = Self {
            namespace: namespace.to_owned(),
            rollout: rollout.metadata.name.clone().unwrap_or_default(),
            component: component.to_owned(),
            doubts: daemon.into_iter().collect(),
            state: None,
            reason: None,
            message: "no daemon has looked at it yet".to_owned(),
            weight: None,
            measured: None,
            arrives: None,
            gateways: None,
            since: None,
            phase: None,
            hold: None,
            next: None,
            window: None,
            gates: Vec::new(),
            waiting_for: Vec::new(),
            counted_until: None,
            checks: Vec::new(),
            history: Vec::new(),
        };
        let Some(c) = status.component(component) else {
            return facts;
        };
        facts.doubt(rollout, &status, c, &plan, now);
        facts.stand(c);
        match &plan {
            Ok(plan) => facts.plan(plan, &status, c, now),
            Err(_) => facts.checks = c.checks.iter().map(|check| told(check, None)).collect(),
        }
        facts
    }

    fn doubt(
        &mut self,
        rollout: &GradualRollout,
        status: &GradualRolloutStatus,
        c: &ComponentStatus,
        plan: &Result<Plan, Vec<crate::rollout::plan::Problem>>,
        now: Timestamp,
    ) {
        if let Err(problems) = plan {
            let first = problems.first().map(ToString::to_string).unwrap_or_default();
            self.doubts.push(format!(
                "the spec cannot be used, so limits are not shown: {first}"
            ));
        }
        let generations = (rollout.metadata.generation, status.observed_generation);
        if let (Some(is), Some(was)) = generations
            && is != was
        {
            self.doubts.push(format!(
                "the spec changed since: this status is about generation {was}, it is {is} now"
            ));
        }
        if let Some(due) = c
            .next_check_at
            .filter(|due| now.duration_since(*due).unsigned_abs() > OLD && *due < now)
        {
            self.doubts.push(format!(
                "this status is old: it was to be looked at again {} ago, at {due:.0}",
                ago(due, now)
            ));
        }
    }

    fn stand(&mut self, c: &ComponentStatus) {
        let Weights {
            asked,
            written,
            observed,
        } = c.weight;
        self.state = Some(c.state);
        self.reason = Some(c.reason);
        c.message.clone_into(&mut self.message);
        self.weight = Some(Percents {
            asked: asked.percent(),
            written: written.percent(),
            observed: observed.map(crate::rollout::weight::Weight::percent),
        });
        self.measured = c.measured;
        self.arrives = c
            .measured
            .map(|m| format!("{:?}: {}", m.verdict, m.sentence(written)));
        self.gateways.clone_from(&c.gateways);
        self.since = c.since;
        self.history.clone_from(&c.history);
        self.counted_until = c
            .evidence
            .as_ref()
            .and_then(crate::rollout::ledger::Ledger::counted_until);
    }

    fn plan(&mut self, plan: &Plan, status: &GradualRolloutStatus, c: &ComponentStatus, now: Timestamp) {
        let Some(planned) = plan.component(&c.name) else {
            self.checks = c.checks.iter().map(|check| told(check, None)).collect();
            return;
        };
        let written = c.weight.written;
        let set = plan.check_set_at(planned, written);
        self.checks = c
            .checks
            .iter()
            .map(|check| told(check, set.check(&check.name)))
            .collect();
        let standing = planned.steps.iter().rev().find(|s| s.weight <= written);
        self.phase = c.phase.clone().map(|name| Place {
            of: steps_in(plan, planned, &name),
            step: c.step.unwrap_or_default(),
            name,
        });
        let walking = c.state == State::Walking;
        let next = planned.next_above(written).filter(|_| !c.state.is_terminal());
        if let Some(step) = standing.filter(|_| !c.state.is_terminal()) {
            let done = c.held.unwrap_or_default();
            self.hold = Some(Hold {
                asked: Span(step.hold),
                done,
                left: Span(if c.hold_ended {
                    Duration::ZERO
                } else {
                    step.hold.saturating_sub(done.0)
                }),
                ended: c.hold_ended,
            });
        }
        let left = self.hold.as_ref().map_or(Duration::ZERO, |hold| hold.left.0);
        self.window = Some(door(plan, now));
        self.next = next.map(|step| Next {
            weight: step.weight.percent(),
            phase: name_of(plan, step),
            not_before: walking
                .then(|| now.checked_add(left).ok().map(|at| opening(&plan.calendar, at)))
                .flatten(),
        });
        if let Some(next) = next {
            self.gates = gates(plan, status, c, standing, next);
        }
        self.waiting_for = self.waits(plan, c, now);
    }
}

fn name_of(plan: &Plan, step: &PlannedStep) -> String {
    plan.phases
        .get(step.phase)
        .map(|phase| phase.name.clone())
        .unwrap_or_default()
}

fn steps_in(plan: &Plan, planned: &PlannedComponent, phase: &str) -> usize {
    planned
        .steps
        .iter()
        .filter(|step| name_of(plan, step) == phase)
        .count()
}

fn door(plan: &Plan, now: Timestamp) -> Door {
    match plan.calendar.at(now) {
        Opening::Open => Door {
            open: true,
            until: None,
            why: None,
        },
        Opening::Closed(next) => Door {
            open: false,
            until: next,
            why: None,
        },
        Opening::Frozen { until, reason } => Door {
            open: false,
            until: Some(until),
            why: Some(reason),
        },
    }
}

fn gates(
    plan: &Plan,
    status: &GradualRolloutStatus,
    c: &ComponentStatus,
    standing: Option<&PlannedStep>,
    next: &PlannedStep,
) -> Vec<Gate> {
    let phase = name_of(plan, next);
    let mut gates = Vec::new();
    let at = |name: &str| plan.phases.iter().position(|p| p.name == name);
    let current = status.phase.as_deref().unwrap_or_default();
    if standing.is_none_or(|s| s.phase != next.phase) && next.phase > 0 {
        gates.push(Gate {
            needs: format!("the phases before it are done; the rollout is in {current}"),
            open: c.alone || at(current).is_none_or(|at| at >= next.phase),
            phase: phase.clone(),
        });
    }
    let entered = standing.is_some_and(|s| s.phase == next.phase);
    if plan.phases.get(next.phase).is_some_and(|p| p.approval) && !entered {
        let by = status.approvals.iter().find(|a| a.phase == phase);
        gates.push(Gate {
            needs: by.map_or_else(
                || "a person's `approve`".to_owned(),
                |a| format!("approved by {}", a.by),
            ),
            open: by.is_some(),
            phase,
        });
    }
    gates
}

/// A check's status as it stands, whatever fields it has, with the rule's limits.
fn told(check: &CheckStatus, planned: Option<&PlannedCheck>) -> Value {
    let mut told = match serde_json::to_value(check) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    if let Some(planned) = planned {
        let rule = &planned.rule;
        let (promote, rollback) = limits::of(planned);
        told.insert("metric".to_owned(), json!(planned.metric));
        told.insert("promote".to_owned(), json!(promote));
        told.insert("rollback".to_owned(), json!(rollback));
        told.insert("for".to_owned(), json!(Span(rule.for_)));
        told.insert("window".to_owned(), json!(Span(rule.window)));
    }
    Value::Object(told)
}
