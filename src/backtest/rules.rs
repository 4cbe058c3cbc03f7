//! The rules of a plan, wherever it keeps them.

use crate::rollout::check::CheckRule;
use crate::rollout::plan::Plan;
use std::time::Duration;

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

/// The longest that any rule looks back.
pub fn longest_look_back(plan: &Plan) -> Duration {
    let rules = plan
        .phases
        .iter()
        .flat_map(|phase| &phase.checks)
        .chain(&plan.checks);
    rules
        .map(|rule| rule.for_.max(rule.window))
        .max()
        .unwrap_or_default()
}
