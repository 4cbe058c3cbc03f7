//! The rules of a plan, wherever it keeps them.

use crate::rollout::check::CheckRule;
use crate::rollout::plan::{Plan, PlannedComponent};

/// Every rule of the plan, to change it.
pub(super) fn each(plan: &mut Plan) -> impl Iterator<Item = &mut CheckRule> {
    let phases = plan.phases.iter_mut().flat_map(|phase| &mut phase.checks);
    phases.chain(&mut plan.checks)
}

/// The plan with these rules alone.
#[must_use]
pub fn only(plan: &Plan, keep: impl Fn(&CheckRule) -> bool) -> Plan {
    let mut plan = plan.clone();
    plan.checks.retain(&keep);
    for phase in &mut plan.phases {
        phase.checks.retain(&keep);
    }
    plan
}

/// Every rule that applies to a component at some weight of its plan, each once.
pub fn of<'p>(plan: &'p Plan, planned: &'p PlannedComponent) -> Vec<&'p CheckRule> {
    let mut rules: Vec<&CheckRule> = Vec::new();
    for step in &planned.steps {
        for rule in plan.checks_at(planned, step.weight) {
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        }
    }
    rules
}
