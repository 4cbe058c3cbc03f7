//! The resource with every default filled in and every rule checked: what the rest of the core works by.

mod checks;
mod defaults;
mod depends;
mod gates;
mod limits;
mod pool;
mod probe;
mod promql;
mod read;
mod retry;
mod set;
mod source;
#[cfg(test)]
mod tests;

use super::check::{CheckRule, JudgeRules};
use super::complaint::ComplaintRules;
use super::spec::{Component, GradualRolloutSpec, OnDelete, OnFailure, Router, Scope, Traffic};
use super::status::{ComponentStatus, GradualRolloutStatus};
use super::weight::Weight;
use super::window::Calendar;
use read::{Reader, arms_digests};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

pub use defaults::default_checks;
pub use gates::PlannedGate;
pub(in crate::rollout) use read::digest;
pub use read::routers_digest;
pub use retry::RetryRule;
pub use set::{
    Against, CheckSet, CheckSource, Class, Effect, Gauge, GaugeAsk, GaugeLimits, Pair, PlannedCheck,
    STREAMS_MAX, Stream,
};

/// A first weight above this needs `allowJump`.
pub const FIRST_WEIGHT_MAX: Weight = match Weight::from_percent(10) {
    Some(weight) => weight,
    None => Weight::ZERO,
};
/// A jump of more points than this (in permille) needs `allowJump`.
pub const JUMP_MAX_PERMILLE: u16 = 300;

/// Something in the spec that cannot be used: where, what, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The field, like `spec.phases[1].steps[0].weight`.
    pub path: String,
    /// What is wrong, and the remedy.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// A plan that can be walked.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The components, in the order of the spec.
    pub components: Vec<PlannedComponent>,
    /// Components that the spec no longer names, and that have canary traffic: judged and put back, never raised.
    pub orphans: Vec<PlannedComponent>,
    /// Components that the spec no longer names, and whose routes another component of it has taken over.
    pub released: Vec<PlannedComponent>,
    /// The phases, in the order they run. A spec with `steps` has one, named `steps`.
    pub phases: Vec<PlannedPhase>,
    /// The spec's checks over the defaults.
    pub checks: Vec<PlannedCheck>,
    /// How judging works.
    pub judge: JudgeRules,
    /// When weights may rise.
    pub calendar: Calendar,
    /// Where a rollback goes.
    pub rollback_to: Weight,
    /// Who goes back.
    pub scope: Scope,
    /// What the others do.
    pub on_failure: OnFailure,
    /// Whether it begins again by itself.
    pub retry: Option<RetryRule>,
    /// Of which group only so many run at once.
    pub group: Option<String>,
    /// What a deletion does.
    pub on_delete: OnDelete,
    /// The spec says pause.
    pub paused: bool,
    /// When people's complaints are too many, and what they do then.
    pub complaints: ComplaintRules,
}

/// A component and the steps it walks, over all its phases.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedComponent {
    /// As written.
    pub component: Component,
    /// Its checks, by phase; of one that is in no phase any more, the spec's own.
    pub checks: Vec<CheckSet>,
    /// Its steps in order.
    pub steps: Vec<PlannedStep>,
    /// Changes when its routers, its arms or its own step weights change, and only then.
    pub fingerprint: String,
    /// What its canary's and its control's samples are selected by, as digests: evidence is about these.
    pub arms: [u32; 2],
}

impl PlannedComponent {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.component.name
    }

    /// Its kind of traffic.
    pub fn traffic(&self) -> Traffic {
        self.component.traffic.unwrap_or_default()
    }

    /// Some check of it, in some phase, is held against control's past.
    pub fn wants_history(&self) -> bool {
        self.checks.iter().any(CheckSet::wants_history)
    }

    /// Whether one of its routers moves requests: a controller's switch alone moves new objects, so that its weight is
    /// no share of requests and cannot be verified by them.
    pub fn moves_requests(&self) -> bool {
        self.component
            .routers
            .iter()
            .any(|router| !matches!(router, Router::ControllerSwitch(_)))
    }

    /// The next declared weight above one, in phases from `phase` on.
    pub fn next_above(&self, weight: Weight) -> Option<&PlannedStep> {
        self.steps.iter().find(|s| s.weight > weight)
    }

    /// The last step that declares exactly this weight.
    pub fn step_at(&self, weight: Weight) -> Option<&PlannedStep> {
        self.steps.iter().rev().find(|s| s.weight == weight)
    }
}

/// One step of one component.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlannedStep {
    /// The phase, as an index.
    pub phase: usize,
    /// Its place in the phase, from 0.
    pub index: usize,
    /// The weight.
    pub weight: Weight,
    /// How long it is held.
    pub hold: Duration,
}

/// One phase.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedPhase {
    /// Its name.
    pub name: String,
    /// The components that walk it, by index.
    pub components: Vec<usize>,
    /// What must be given before its first weight, or before one of its steps.
    pub gates: Vec<PlannedGate>,
    /// Its checks: the spec's, with its own overrides.
    pub checks: Vec<PlannedCheck>,
}

/// The fingerprint of a component whose steps nobody knows any more: what is put back by such a plan waits for a
/// person, for no later plan can be told to be the same.
pub const UNKNOWN: &str = "?";

impl Plan {
    /// Reads a spec. Every problem is reported, not the first alone.
    pub fn parse(spec: &GradualRolloutSpec) -> Result<Self, Vec<Problem>> {
        let mut reader = Reader::default();
        let plan = reader.plan(spec);
        if reader.problems.is_empty() {
            Ok(plan)
        } else {
            Err(reader.problems)
        }
    }

    /// A component by name, orphans included.
    pub fn component(&self, name: &str) -> Option<&PlannedComponent> {
        self.components
            .iter()
            .chain(&self.orphans)
            .chain(&self.released)
            .find(|c| c.name() == name)
    }

    /// Every component whose traffic is watched over: the spec's and the orphans.
    pub fn cared_for(&self) -> impl Iterator<Item = &PlannedComponent> {
        self.components.iter().chain(&self.orphans)
    }

    /// Over how many bodies of evidence a component's chance of a false rollback is split: its own, and its pool's.
    pub fn halves(&self, component: &PlannedComponent) -> u32 {
        let pool = component.component.pool.as_ref();
        let members = || {
            self.components
                .iter()
                .filter(|c| c.component.pool.as_ref() == pool)
        };
        if pool.is_some() && members().count() > 1 {
            2
        } else {
            1
        }
    }

    /// Whether the spec names a component.
    pub fn names(&self, name: &str) -> bool {
        self.components.iter().any(|c| c.name() == name)
    }

    /// What a component was by another name, if it was only renamed: what the status knows by the same routers, and the
    /// spec does not name.
    pub fn renamed<'s>(
        &self,
        component: &PlannedComponent,
        status: &'s GradualRolloutStatus,
    ) -> Option<&'s ComponentStatus> {
        let others = || {
            let all = status.components.iter();
            all.filter(|c| !self.names(&c.name))
        };
        if status.component(component.name()).is_some() || others().next().is_none() {
            return None;
        }
        let digest = routers_digest(&component.component);
        others().find(|c| {
            let told = c.definition.as_deref().map(routers_digest);
            [told.as_ref(), c.back.as_ref(), c.routed_by.as_ref()].contains(&Some(&digest))
        })
    }

    /// Takes in the components that the status knows and the spec no longer names. `is_taken` tells whether another
    /// component of the spec writes what this one wrote.
    pub fn take_in(&mut self, status: &GradualRolloutStatus, is_taken: impl Fn(&Component) -> bool) {
        // What was detached is not ours to care for, in the spec or out of it; but our marks have to come off.
        let kept = status
            .components
            .iter()
            .filter(|c| !c.detached || c.letting_go.is_some());
        for c in kept {
            let renamed = || {
                let is_it =
                    |p: &&PlannedComponent| self.renamed(p, status).is_some_and(|was| was.name == c.name);
                let mut before = self.components.iter().find(is_it)?.component.clone();
                before.name.clone_from(&c.name);
                Some(Box::new(before))
            };
            let Some(component) = c.definition.clone().or_else(renamed) else {
                continue;
            };
            let component = &*component;
            if self.component(&component.name).is_some() {
                continue;
            }
            let kept = PlannedComponent {
                component: component.clone(),
                arms: arms_digests(component),
                checks: vec![CheckSet::of(&self.checks, component)],
                steps: Vec::new(),
                fingerprint: String::new(),
            };
            if is_taken(component) {
                self.released.push(kept);
            } else {
                self.orphans.push(kept);
            }
        }
    }

    /// The checks that apply to a weight of a component: those of the phase that declares it, or of the phase of
    /// the last declared step below it.
    pub fn check_set_at<'a>(&self, component: &'a PlannedComponent, weight: Weight) -> &'a CheckSet {
        static NONE: CheckSet = CheckSet {
            checks: Vec::new(),
            rules: Vec::new(),
            streams: Vec::new(),
            asks: BTreeMap::new(),
        };
        let step = component
            .step_at(weight)
            .or_else(|| component.steps.iter().rev().find(|s| s.weight < weight));
        let phase = step.or(component.steps.first()).map(|s| s.phase);
        phase
            .and_then(|phase| component.checks.get(phase))
            .or(component.checks.first())
            .unwrap_or(&NONE)
    }

    /// Those of [`Plan::check_set_at`] that are counted on the arms and decide.
    pub fn checks_at<'a>(&self, component: &'a PlannedComponent, weight: Weight) -> &'a [CheckRule] {
        &self.check_set_at(component, weight).rules
    }
}
