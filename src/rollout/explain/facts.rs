//! What there is to say about a component, gathered from its spec and status: the same for people and programs.

use super::limits;
use super::router::{RouterView, routers};
use crate::rollout::arrival::Measured;
use crate::rollout::command::ago;
use crate::rollout::duration::Span;
use crate::rollout::gate_spec::Gate as Required;
use crate::rollout::ledger::Ledger;
use crate::rollout::plan::{
    CheckSource, GaugeAsk, Plan, PlannedCheck, PlannedComponent, PlannedGate, PlannedStep, Problem,
};
use crate::rollout::reason::{Reason, State};
use crate::rollout::spec::MetricName;
use crate::rollout::stands::Stands;
use crate::rollout::status::{
    Approved, CheckStatus, ComponentStatus, Condition, GradualRolloutStatus, HistoryEntry, LeftOver, Weights,
};
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
pub struct Facts {
    /// The rollout's namespace.
    pub namespace: String,
    /// The rollout.
    pub rollout: String,
    /// The component.
    pub component: String,
    /// What makes the rest doubtful: an old status, no daemon, a spec that cannot be used.
    pub doubts: Vec<String>,
    /// The kind of place it is in; absent before a daemon has looked.
    pub state: Option<Stands>,
    /// Why it is there.
    pub reason: Option<Reason>,
    /// The same as a sentence.
    pub message: String,
    /// Where it is on its way to, in percent, while a lowering is not read back from every routed object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub going_to: Option<f64>,
    /// In percent.
    pub weight: Option<Percents>,
    /// What part of the requests arrives at the canary, as far as it can be measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
    /// The same as a sentence.
    #[serde(skip)]
    pub arrives: Option<String>,
    /// What the gateways that carry its routes find fault with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateways: Option<String>,
    /// What reaches the canary although the weight was lowered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<LeftOver>,
    /// Since when the weight stands.
    pub since: Option<Timestamp>,
    /// Each router, from the edge.
    pub routers: Vec<RouterView>,
    /// Where in the plan.
    pub phase: Option<Place>,
    /// How much of the step's hold is done.
    pub hold: Option<Hold>,
    /// The next declared step.
    pub next: Option<Next>,
    /// Whether weights may rise now.
    pub window: Option<Door>,
    /// What stands before the next step.
    pub gates: Vec<Gate>,
    /// When it begins again by itself, after a rollback that no person asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Again>,
    /// Why nothing rises anywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frozen: Option<String>,
    /// Everything that is waited for, the nearest first.
    pub waiting_for: Vec<Wait>,
    /// When the metrics were last counted.
    pub counted_until: Option<Timestamp>,
    /// Each check: all of its status, and its limits.
    pub checks: Vec<Value>,
    /// What its pool comes to at its weight.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<Pool>,
    /// What happened to its weight, oldest first.
    pub history: Vec<HistoryEntry>,
}

/// The samples of a pool.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// Whose samples are summed; none while nobody else of the pool has this weight.
    pub members: Vec<String>,
    /// What each check comes to on their sum.
    pub checks: Vec<CheckStatus>,
}

/// Weights in percent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Percents {
    /// What is wanted.
    pub asked: f64,
    /// What was written and read back.
    pub written: f64,
    /// What the routed objects say.
    pub observed: Option<f64>,
}

/// Where in the plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Place {
    /// The phase.
    pub name: String,
    /// From 1; 0 before the first.
    pub step: i32,
    /// How many steps the component has in it.
    pub of: usize,
}

/// How much of the step's hold is done.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hold {
    /// All of it.
    pub asked: Span,
    /// Judged time so far.
    pub done: Span,
    /// What is left of it.
    pub left: Span,
    /// A person ended it.
    pub ended: bool,
}

/// The next step.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Next {
    /// In percent.
    pub weight: f64,
    /// The phase that declares it.
    pub phase: String,
    /// No earlier than this, if every check passes by then.
    pub not_before: Option<Timestamp>,
}

/// Whether the calendar lets weights rise.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Door {
    /// They may rise now.
    pub open: bool,
    /// When that changes, as far as it is known.
    pub until: Option<Timestamp>,
    /// The reason of a freeze.
    pub why: Option<String>,
}

/// What stands before the next step's phase.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gate {
    /// The phase behind it.
    pub phase: String,
    /// What opens it.
    pub needs: String,
    /// It is open.
    pub open: bool,
    /// Who opened it, when and with what words, where a person did.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub by: Vec<Approved>,
}

/// Beginning again by itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Again {
    /// How often it has already.
    pub tried: i32,
    /// How often at most.
    pub times: i32,
    /// When it does next.
    pub due: Option<Timestamp>,
}

/// Something that is waited for.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Wait {
    /// What.
    pub what: String,
    /// Until then at the earliest; absent where only an event ends it.
    pub until: Option<Timestamp>,
}

/// The rollout that the component is of, as whoever explains it has read it.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub rollout: &'a str,
    /// The generation of the spec that `plan` is of.
    pub generation: Option<i64>,
    /// Its spec, read.
    pub plan: &'a Result<Plan, Vec<Problem>>,
    /// Where it stands.
    pub status: &'a GradualRolloutStatus,
}

impl Facts {
    /// Explains a component; `daemon` is what makes it doubtful that one is alive.
    pub fn of(subject: Subject<'_>, component: &str, daemon: Option<String>, now: Timestamp) -> Self {
        let Subject { plan, status, .. } = subject;
        let mut facts = Self {
            namespace: subject.namespace.to_owned(),
            rollout: subject.rollout.to_owned(),
            component: component.to_owned(),
            doubts: daemon.into_iter().collect(),
            state: None,
            reason: None,
            message: status.refused().map_or_else(
                || "no daemon has looked at it yet".to_owned(),
                Condition::sentence,
            ),
            going_to: None,
            weight: None,
            measured: None,
            arrives: None,
            gateways: None,
            left: None,
            since: None,
            routers: Vec::new(),
            phase: None,
            hold: None,
            next: None,
            window: None,
            gates: Vec::new(),
            retry: None,
            frozen: status.frozen.clone(),
            waiting_for: Vec::new(),
            counted_until: None,
            checks: Vec::new(),
            pool: None,
            history: Vec::new(),
        };
        let Some(c) = status.component(component) else {
            return facts;
        };
        facts.doubt(subject, c, now);
        facts.stand(c, status.refused());
        match plan {
            Ok(plan) => facts.plan(plan, status, c, now),
            Err(_) => facts.checks = c.checks.iter().map(|check| told(check, None, None)).collect(),
        }
        facts
    }

    fn doubt(&mut self, subject: Subject<'_>, c: &ComponentStatus, now: Timestamp) {
        if let Err(problems) = subject.plan {
            let first = problems.first().map(ToString::to_string).unwrap_or_default();
            self.doubts.push(format!(
                "the spec cannot be used, so limits are not shown: {first}"
            ));
        }
        let generations = (subject.generation, subject.status.observed_generation);
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

    fn stand(&mut self, c: &ComponentStatus, refused: Option<&Condition>) {
        let Weights {
            asked,
            written,
            observed,
        } = c.weight;
        self.state = Some(c.stands());
        self.reason = Some(c.reason);
        if refused.is_none() {
            c.message.clone_into(&mut self.message);
        }
        self.weight = Some(Percents {
            asked: asked.percent(),
            written: written.percent(),
            observed: observed.map(crate::rollout::weight::Weight::percent),
        });
        self.going_to = c.lowering.as_ref().map(|order| order.weight.percent());
        self.measured = c.measured;
        self.arrives = c
            .measured
            .map(|m| format!("{:?}: {}", m.verdict, m.sentence(written)));
        self.gateways.clone_from(&c.gateways);
        self.left.clone_from(&c.left);
        self.since = c.since;
        self.routers = routers(&c.routers);
        self.history.clone_from(&c.history);
        self.counted_until = c.evidence.as_ref().and_then(Ledger::counted_until);
    }

    fn plan(&mut self, plan: &Plan, status: &GradualRolloutStatus, c: &ComponentStatus, now: Timestamp) {
        let Some(planned) = plan.component(&c.name) else {
            self.checks = c.checks.iter().map(|check| told(check, None, None)).collect();
            return;
        };
        let written = c.weight.written;
        let set = plan.check_set_at(planned, written);
        self.checks = c
            .checks
            .iter()
            .map(|check| {
                told(
                    check,
                    set.check(&check.name).map(|found| (found, planned)),
                    c.evidence.as_ref(),
                )
            })
            .collect();
        self.pool = planned.component.pool.as_ref().map(|name| {
            let mut sums = status.pools.iter();
            let sum = sums.find(|p| p.name == *name && p.members.contains(&c.name));
            Pool {
                name: name.clone(),
                members: sum.map(|p| p.members.clone()).unwrap_or_default(),
                checks: sum.map(|p| p.checks.clone()).unwrap_or_default(),
            }
        });
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
            not_before: walking.then(|| plan.calendar.opening(plan.calendar.held(now, left))),
        });
        if let Some(next) = next {
            self.gates = gates(plan, status, c, standing, next, now);
        }
        self.retry = c.retry.zip(plan.retry).map(|(retry, rule)| Again {
            tried: retry.tried,
            times: rule.times,
            due: retry.due,
        });
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
    now: Timestamp,
) -> Vec<Gate> {
    let phase = name_of(plan, next);
    let mut gates = Vec::new();
    let at = |name: &str| plan.phases.iter().position(|p| p.name == name);
    let current = status.phase.as_deref().unwrap_or_default();
    if standing.is_none_or(|s| s.phase != next.phase) && next.phase > 0 {
        gates.push(Gate {
            needs: format!("the phases before it are done; the rollout is in {current}"),
            open: c.alone || at(current).is_none_or(|at| at >= next.phase),
            by: Vec::new(),
            phase: phase.clone(),
        });
    }
    if let Some(on) = plan
        .component(&c.name)
        .and_then(|p| p.component.depends_on.as_ref())
    {
        let reached = |name: &&String| {
            let other = status.component(name);
            other.is_some_and(|o| {
                o.state == State::Completed
                    || (o.state != State::RolledBack && o.weight.written >= next.weight)
            })
        };
        let behind: Vec<&str> = on
            .iter()
            .filter(|name| !reached(name))
            .map(String::as_str)
            .collect();
        gates.push(Gate {
            needs: format!("{} to have {} or to be finished", on.join(" and "), next.weight),
            open: behind.is_empty(),
            by: Vec::new(),
            phase: phase.clone(),
        });
    }
    let entered = standing.is_some_and(|s| s.phase == next.phase);
    let planned = plan.phases.get(next.phase);
    for gate in planned
        .into_iter()
        .flat_map(|phase| phase.gates_before(*next, entered))
    {
        gates.push(required(gate, status, c, now));
    }
    gates
}

/// One gate of the spec, and what was said about it.
fn required(gate: &PlannedGate, status: &GradualRolloutStatus, c: &ComponentStatus, now: Timestamp) -> Gate {
    let words: Vec<&Approved> = status.approvals.iter().filter(|a| gate.is_meant_by(a)).collect();
    let begun = c.retry.and_then(|retry| retry.begun);
    let counts =
        |a: &&&Approved| !a.is_void(now) && (a.item.is_some() || begun.is_none_or(|begun| a.at >= begun));
    let (needs, open) = match &gate.gate {
        Required::Approval(_) => match words.last() {
            Some(a) if counts(&a) => (format!("approved by {} at {:.0}{}", a.by, a.at, said(a)), true),
            Some(a) if a.is_void(now) => (
                format!(
                    "{}: that of {} at {:.0} was not made use of in time, and is void",
                    gate.gate, a.by, a.at
                ),
                false,
            ),
            Some(a) => (
                format!("{}: that of {} was for the attempt before", gate.gate, a.by),
                false,
            ),
            None => (gate.gate.to_string(), false),
        },
        Required::Checklist(list) => {
            let told =
                list.items.iter().map(
                    |item| match words.iter().find(|a| a.item.as_ref() == Some(item)) {
                        Some(a) => format!("{item} (ticked by {} at {:.0}{})", a.by, a.at, said(a)),
                        None => format!("{item} (open)"),
                    },
                );
            let done = list
                .items
                .iter()
                .all(|item| words.iter().any(|a| a.item.as_ref() == Some(item)));
            (told.collect::<Vec<_>>().join(", "), done)
        }
        Required::Rollout(other) => (other.to_string(), passed(c, Reason::WaitingForRollout)),
        Required::Http(http) => (
            format!(
                "{} to say so, asked when nothing else stands in the way",
                http.url
            ),
            false,
        ),
    };
    Gate {
        phase: gate.to_string(),
        needs,
        open,
        by: words.into_iter().cloned().collect(),
    }
}

/// Whether it waits for something that comes after a gate, so that the gate was open at the last look.
fn passed(c: &ComponentStatus, gate: Reason) -> bool {
    c.reason != gate
        && matches!(
            c.reason,
            Reason::WaitingForGate | Reason::WaitingForTurn | Reason::Raising
        )
}

fn said(a: &Approved) -> String {
    a.comment
        .as_ref()
        .map(|text| format!(": {text}"))
        .unwrap_or_default()
}

/// Whether the check has a control arm to be seen at all.
fn is_compared(check: &PlannedCheck, component: &PlannedComponent) -> bool {
    match &check.source {
        CheckSource::Arms | CheckSource::Errors(_) => {
            let arms = component.component.arms.as_ref();
            check.metric != MetricName::Throughput && arms.is_some_and(|arms| arms.control.is_some())
        }
        CheckSource::Pair(pair) => pair.series.control.is_some(),
        CheckSource::Gauge(gauge) => match &gauge.ask {
            GaugeAsk::Cpu(series) | GaugeAsk::Memory(series) | GaugeAsk::CertificateExpiry(series) => {
                series.control.is_some()
            }
            GaugeAsk::Query(query) => query.control.is_some(),
            GaugeAsk::Readiness(_) | GaugeAsk::Probe => false,
        },
    }
}

/// A check's status as it stands, whatever fields it has, with the rule's limits.
fn told(
    check: &CheckStatus,
    planned: Option<(&PlannedCheck, &PlannedComponent)>,
    ledger: Option<&Ledger>,
) -> Value {
    let mut told = match serde_json::to_value(check) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    if let Some((planned, component)) = planned {
        let rule = &planned.rule;
        let (promote, rollback) = limits::of(planned);
        told.insert("metric".to_owned(), json!(planned.metric));
        told.insert("promote".to_owned(), json!(promote));
        told.insert("rollback".to_owned(), json!(rollback));
        told.insert("compared".to_owned(), json!(is_compared(planned, component)));
        told.insert(
            "counted".to_owned(),
            json!(!matches!(planned.source, CheckSource::Gauge(_))),
        );
        if matches!(planned.source, CheckSource::Arms)
            && check.evidence.is_some()
            && let Some((phi, is_supposed)) = ledger.and_then(|ledger| ledger.bursts(rule.metric))
        {
            told.insert("bursts".to_owned(), json!((phi * 10.0).round() / 10.0));
            told.insert("burstsSupposed".to_owned(), json!(is_supposed));
        }
        told.insert("for".to_owned(), json!(Span(rule.for_)));
        told.insert("window".to_owned(), json!(Span(rule.window)));
    }
    Value::Object(told)
}
