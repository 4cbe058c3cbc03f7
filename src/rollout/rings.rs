//! Rollouts, and components of one, that wait for each other in a circle: by `requires`, by their phases, by `dependsOn`.
//!
//! Found by walking all plans at once, as far as they come where everything else goes well: every check passes, every
//! person approves, whatever is not known here is there already. Who stands even so stands for ever, and whom each waits
//! for leads round.

mod walk;

use super::gate_spec::Gate;
use super::plan::{Plan, PlannedGate, PlannedPhase, PlannedStep};
use super::reason::State;
use super::status::GradualRolloutStatus;
use super::weight::Weight;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use walk::Walk;

/// Namespace and name of a rollout.
pub type Key = (String, String);

/// So many of those that wait for each other are named.
const NAMED: usize = 8;

/// What of a plan somebody else's step may wait for, and what its own steps wait for.
#[derive(Clone, Debug, PartialEq)]
pub struct Course {
    key: Key,
    components: Vec<Walker>,
    /// The phases, each with those of its gates that ask about rollouts.
    phases: Vec<PlannedPhase>,
}

#[derive(Clone, Debug, PartialEq)]
struct Walker {
    name: String,
    depends_on: Vec<usize>,
    steps: Vec<PlannedStep>,
}

impl Course {
    /// What of a plan waits, and is waited for. `None`: it asks about no rollout, so that it is in no circle.
    pub fn of(namespace: &str, name: &str, plan: &Plan) -> Option<Self> {
        let about = |gate: &&PlannedGate| matches!(gate.gate, Gate::Rollout(_));
        let phases: Vec<PlannedPhase> = plan
            .phases
            .iter()
            .map(|phase| PlannedPhase {
                name: phase.name.clone(),
                components: phase.components.clone(),
                gates: phase.gates.iter().filter(about).cloned().collect(),
                checks: Vec::new(),
            })
            .collect();
        if phases.iter().all(|phase| phase.gates.is_empty()) {
            return None;
        }
        let place = |name: &String| plan.components.iter().position(|c| c.name() == name);
        let walker = |planned: &super::plan::PlannedComponent| Walker {
            name: planned.name().to_owned(),
            depends_on: planned
                .component
                .depends_on
                .iter()
                .flatten()
                .filter_map(place)
                .collect(),
            steps: planned.steps.clone(),
        };
        Some(Self {
            key: (namespace.to_owned(), name.to_owned()),
            components: plan.components.iter().map(walker).collect(),
            phases,
        })
    }

    /// The rollout's namespace and name.
    pub const fn key(&self) -> &Key {
        &self.key
    }

    /// The gates that ask about rollouts, each with its phase's place.
    pub fn gates(&self) -> impl Iterator<Item = (usize, &PlannedGate)> {
        let phases = self.phases.iter().enumerate();
        phases.flat_map(|(i, phase)| phase.gates.iter().map(move |gate| (i, gate)))
    }
}

/// How far a rollout has come already.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    phase: Option<String>,
    components: BTreeMap<String, Stands>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Stands {
    weight: Weight,
    completed: bool,
    /// Its phase does not wait for it.
    passed_over: bool,
}

impl Standing {
    /// What a status says of it.
    pub fn of(status: &GradualRolloutStatus) -> Self {
        let components = status.components.iter().map(|c| {
            let stands = Stands {
                weight: c.weight.written,
                completed: c.state == State::Completed,
                passed_over: c.state.is_terminal() || c.alone,
            };
            (c.name.clone(), stands)
        });
        Self {
            phase: status.phase.clone(),
            components: components.collect(),
        }
    }
}

/// One link of a circle, as a sentence of whom waits for what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Link {
    rollout: Key,
    says: String,
}

/// Those that wait for each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring(Vec<Link>);

impl fmt::Display for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rollouts: BTreeSet<&Key> = self.0.iter().map(|link| &link.rollout).collect();
        let who = if rollouts.len() > 1 {
            "these rollouts wait for each other"
        } else {
            "it waits for itself"
        };
        let said = self.0.iter().take(NAMED).map(|link| link.says.as_str());
        let mut links: Vec<String> = said.map(str::to_owned).collect();
        if self.0.len() > NAMED {
            links.push(format!(
                "and so on, {} more, round to the first",
                self.0.len() - NAMED
            ));
        }
        write!(
            f,
            "{who}, and would for ever: {}. Take one of these `requires` out, or let it ask for what is reached without it",
            links.join("; ")
        )
    }
}

/// What never comes, of the rollouts that are known.
#[derive(Debug)]
pub struct Rings<'a>(Walk<'a>);

impl<'a> Rings<'a> {
    /// Walks these plans as far as they come, each from where it stands, or from its beginning. Of a rollout that is there
    /// twice the first counts.
    pub fn of(courses: impl IntoIterator<Item = (&'a Course, Standing)>) -> Self {
        let mut walk = Walk::default();
        for (course, standing) in courses {
            walk.join(course, &standing);
        }
        walk.run();
        Self(walk)
    }

    /// The rollouts that never come to their end.
    pub fn stuck(&self) -> BTreeSet<Key> {
        self.0.stuck()
    }

    /// The circle that keeps a gate shut for ever: the one that leads back to the gate, or else the one that it only waits
    /// behind. `None`: it can open, as far as anybody here knows.
    pub fn through(&self, rollout: &Key, gate: &str) -> Option<(Ring, bool)> {
        let (links, own) = self.0.round(rollout, gate)?;
        Some((Ring(links), own))
    }
}

#[cfg(test)]
mod tests;
