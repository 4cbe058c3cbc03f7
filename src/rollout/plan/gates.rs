//! The gates of a plan: which there are, and which of them stand before a step.

use super::read::Reader;
use super::{PlannedPhase, PlannedStep};
use crate::rollout::gate_spec::{Gate, HttpGate};
use crate::rollout::spec::Phase;
use crate::rollout::status::Approved;
use crate::rollout::weight::Weight;
use std::fmt;

/// Approvals and items of checklists in one resource: each may stand in the status.
const MARKS_MAX: usize = 128;

/// One gate, and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedGate {
    /// The phase behind it.
    pub phase: String,
    /// The step behind it, as its place in the phase and its weight; `None`: the phase as a whole.
    pub step: Option<(usize, Weight)>,
    /// Unique in the plan, and the same as long as nothing before it in its list changes.
    pub key: String,
    /// What opens it.
    pub gate: Gate,
}

impl PlannedGate {
    /// The weight of the step behind it, where it is a step's.
    pub fn weight(&self) -> Option<Weight> {
        self.step.map(|(_, weight)| weight)
    }

    /// Under which name it is asked for a component: addresses are asked for each, other rollouts once.
    pub fn question(&self, component: &str) -> String {
        match &self.gate {
            Gate::Http(_) => format!("{}/{component}", self.key),
            Gate::Rollout(_) | Gate::Approval(_) | Gate::Checklist(_) => self.key.clone(),
        }
    }

    /// What it asks an address, if it does.
    pub fn http(&self) -> Option<&HttpGate> {
        match &self.gate {
            Gate::Http(http) => Some(http),
            Gate::Approval(_) | Gate::Checklist(_) | Gate::Rollout(_) => None,
        }
    }

    /// Whether what a person did was done about this gate: an approval, or the tick of an item.
    pub fn is_meant_by(&self, approved: &Approved) -> bool {
        approved.phase == self.phase
            && approved.step == self.weight()
            && match &self.gate {
                Gate::Approval(_) => approved.item.is_none(),
                Gate::Checklist(list) => approved
                    .item
                    .as_ref()
                    .is_some_and(|item| list.items.contains(item)),
                Gate::Rollout(_) | Gate::Http(_) => false,
            }
    }
}

/// Where it stands, for people: `cutover`, `cutover at 95%`.
impl fmt::Display for PlannedGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.phase)?;
        match self.weight() {
            Some(weight) => write!(f, " at {weight}"),
            None => Ok(()),
        }
    }
}

impl PlannedPhase {
    /// The gates before a step of it: its own, and, where the component has not `entered` the phase, the phase's.
    pub fn gates_before(&self, next: PlannedStep, entered: bool) -> impl Iterator<Item = &PlannedGate> {
        self.gates.iter().filter(move |gate| match gate.step {
            None => !entered,
            Some((index, _)) => index == next.index,
        })
    }

    /// Whether a person must approve somewhere in it.
    pub fn wants_approval(&self) -> bool {
        self.gates
            .iter()
            .any(|gate| matches!(gate.gate, Gate::Approval(_)))
    }
}

impl Reader {
    /// The gates of a phase, as they are written.
    pub(super) fn gates(&mut self, at: &str, name: &str, phase: &Phase) -> Vec<PlannedGate> {
        let own = phase.requires.iter().flatten().map(|gate| (None, gate));
        let steps = phase.steps.iter().enumerate().flat_map(|(i, step)| {
            let gates = step.requires.iter().flatten();
            gates.map(move |gate| (Some((i, step.weight)), gate))
        });
        let mut gates: Vec<PlannedGate> = Vec::new();
        let mut places: Vec<(Option<(usize, Weight)>, usize)> = Vec::new();
        for (step, gate) in own.chain(steps) {
            let n = places.iter().filter(|(place, _)| *place == step).count();
            places.push((step, n));
            let path = match step {
                Some((i, _)) => format!("{at}steps[{i}].requires[{n}]"),
                None => format!("{at}requires[{n}]"),
            };
            if let Some((field, message)) = gate.mistake() {
                self.problem(format!("{path}.{field}"), message);
            }
            let twice = matches!(gate, Gate::Approval(_))
                && gates
                    .iter()
                    .any(|known| known.step == step && matches!(known.gate, Gate::Approval(_)));
            if twice {
                let message = "one approval opens both: write it once".to_owned();
                self.problem(format!("{path}.approval"), message);
            }
            if n >= 4 {
                self.problem(&path, "a gate too many: 4 at most before one step");
            }
            let place = step.map_or_else(|| name.to_owned(), |(_, weight)| format!("{name}@{weight}"));
            gates.push(PlannedGate {
                phase: name.to_owned(),
                step,
                key: format!("{place}/{n}"),
                gate: gate.clone(),
            });
        }
        gates
    }

    /// Persons' marks are kept in the status, which is bounded.
    pub(super) fn count_marks(&mut self, phases: &[&PlannedPhase]) {
        let marks: usize = phases
            .iter()
            .flat_map(|phase| &phase.gates)
            .map(|gate| match &gate.gate {
                Gate::Approval(_) => 1,
                Gate::Checklist(list) => list.items.len(),
                Gate::Rollout(_) | Gate::Http(_) => 0,
            })
            .sum();
        if marks > MARKS_MAX {
            let message =
                format!("{marks} approvals and items are too many: {MARKS_MAX} at most in one resource");
            self.problem("spec.phases", message);
        }
    }
}
