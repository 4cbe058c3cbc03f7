//! The rules of a plan, wherever it keeps them.

use crate::rollout::check::CheckRule;
use crate::rollout::plan::{CheckSet, CheckSource, Class, Plan, PlannedCheck, PlannedComponent};

/// Every rule that is held to counts, those on the arms and those beside them, to change it.
pub(super) fn each(plan: &mut Plan) -> impl Iterator<Item = &mut CheckRule> {
    let components = plan.components.iter_mut();
    components
        .flat_map(|planned| &mut planned.checks)
        .flat_map(|set| {
            let beside = set.streams.iter_mut().flat_map(|stream| &mut stream.rules);
            set.rules.iter_mut().chain(beside)
        })
}

/// The rules of a set that may move or hold the weight, each with whether it may put it back.
pub(super) fn acting(set: &CheckSet) -> impl Iterator<Item = (&CheckRule, bool)> {
    let beside = set.streams.iter().filter(|stream| stream.class != Class::Shows);
    let beside = beside.flat_map(|stream| {
        let decides = stream.class == Class::Decides;
        stream.rules.iter().map(move |rule| (rule, decides))
    });
    set.rules.iter().map(|rule| (rule, true)).chain(beside)
}

/// The plan with these checks alone, told by component and check: what is not recorded must not look like darkness.
#[must_use]
pub fn only(plan: &Plan, keep: impl Fn(&str, &PlannedCheck) -> bool) -> Plan {
    let mut plan = plan.clone();
    let names: Vec<String> = plan.components.iter().map(|c| c.name().to_owned()).collect();
    let somewhere = |check: &PlannedCheck| names.iter().any(|name| keep(name, check));
    plan.checks.retain(somewhere);
    for phase in &mut plan.phases {
        phase.checks.retain(somewhere);
    }
    for planned in &mut plan.components {
        let name = planned.name().to_owned();
        for set in &mut planned.checks {
            set.checks.retain(|check| keep(&name, check));
            let (checks, rules, streams) = (&set.checks, &mut set.rules, &mut set.streams);
            let stays = |rule: &CheckRule| checks.iter().any(|check| check.rule.name == rule.name);
            rules.retain(stays);
            for stream in streams.iter_mut() {
                stream.rules.retain(stays);
            }
            streams.retain(|stream| !stream.rules.is_empty());
        }
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

/// Every rule that is held to the arms' own series, whatever it may do and whatever it calls an error; each once.
pub fn on_series<'p>(plan: &'p Plan, planned: &'p PlannedComponent) -> Vec<&'p CheckRule> {
    let mut rules = of(plan, planned);
    for step in &planned.steps {
        let set = plan.check_set_at(planned, step.weight);
        let streams = set.streams.iter();
        let beside =
            streams.filter(|stream| matches!(stream.source, CheckSource::Arms | CheckSource::Errors(_)));
        for rule in beside.flat_map(|stream| &stream.rules) {
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        }
    }
    rules
}
