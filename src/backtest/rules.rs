//! The rules of a plan, wherever it keeps them.

use crate::rollout::check::CheckRule;
use crate::rollout::plan::{CheckSource, Class, Plan, PlannedCheck, PlannedComponent};

/// Every rule that is held to the arms' counts and decides, to change it.
pub(super) fn each(plan: &mut Plan) -> impl Iterator<Item = &mut CheckRule> {
    let components = plan.components.iter_mut();
    components
        .flat_map(|planned| &mut planned.checks)
        .flat_map(|set| &mut set.rules)
}

/// Whether what a check needs is in a record of the arms' counters, and whether it moves traffic.
fn is_recorded(check: &PlannedCheck) -> bool {
    check.source == CheckSource::Arms && check.effect.class() == Class::Decides
}

/// The plan with these rules alone, and without checks that a record of the arms' counters cannot answer: what is
/// not recorded must not look like darkness.
#[must_use]
pub fn only(plan: &Plan, keep: impl Fn(&CheckRule) -> bool) -> Plan {
    let mut plan = plan.clone();
    let stays = |check: &PlannedCheck| is_recorded(check) && keep(&check.rule);
    plan.checks.retain(stays);
    for phase in &mut plan.phases {
        phase.checks.retain(stays);
    }
    for set in plan.components.iter_mut().flat_map(|planned| &mut planned.checks) {
        set.checks.retain(stays);
        set.rules.retain(&keep);
        set.streams.clear();
    }
    plan
}

/// The checks of a component that a record of the arms' counters cannot answer, by name.
pub fn unrecorded(planned: &PlannedComponent) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for check in planned.checks.iter().flat_map(|set| &set.checks) {
        let name = check.rule.name.as_str();
        if !is_recorded(check) && !names.contains(&name) {
            names.push(name);
        }
    }
    names
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
