//! Pools: only what is alike may share its samples.

use super::read::Reader;
use super::{CheckSet, PlannedComponent, PlannedPhase};
use crate::rollout::spec::{Preset, Step};
use std::collections::BTreeMap;

impl Reader {
    /// Members of a pool walk the same steps and are held to the same checks, each with requests of its own.
    pub(super) fn pools(&mut self, phases: &[(PlannedPhase, Vec<Step>)], components: &[PlannedComponent]) {
        let mut first: BTreeMap<&str, Vec<&PlannedComponent>> = BTreeMap::new();
        for (i, member) in components.iter().enumerate() {
            let Some(pool) = member.component.pool.as_deref() else {
                continue;
            };
            let path = format!("spec.components[{i}].pool");
            let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            let edge = |c: Option<char>| c.is_some_and(|c| c != '-');
            if pool.len() > 63
                || !pool.chars().all(legal)
                || !edge(pool.chars().next())
                || !edge(pool.chars().last())
            {
                let message = format!(
                    "{pool:?} is no name of a pool: 1 to 63 of a-z, 0-9 and -, with no - at either end"
                );
                self.problem(&path, message);
            }
            if member.component.arms.is_none() {
                let message = format!(
                    "{} names no arms, so it has no samples to share: add arms, or leave pool out",
                    member.name()
                );
                self.problem(&path, message);
            }
            let others = first.entry(pool).or_default();
            if let Some(other) = others.first() {
                for message in differences(phases, other, member) {
                    self.problem(&path, message);
                }
            }
            if let Some(twin) = others.iter().find(|other| is_counted_twice(other, member)) {
                let message = format!(
                    "{} and {} of pool {pool} select the same series, which would count twice: give each arms of its own",
                    member.name(),
                    twin.name()
                );
                self.problem(&path, message);
            }
            others.push(member);
        }
    }
}

fn is_counted_twice(one: &PlannedComponent, other: &PlannedComponent) -> bool {
    let canary = |c: &PlannedComponent| c.component.arms.as_ref().map(|arms| arms.canary.clone());
    canary(one).is_some() && canary(one) == canary(other)
}

/// What keeps two components from sharing their samples, each with the field and the remedy.
fn differences(
    phases: &[(PlannedPhase, Vec<Step>)],
    first: &PlannedComponent,
    member: &PlannedComponent,
) -> Vec<String> {
    let (a, b) = (first.name(), member.name());
    let mut found = Vec::new();
    let walked = |c: &PlannedComponent| {
        let mut names: Vec<&str> = Vec::new();
        for step in &c.steps {
            let name = phases
                .get(step.phase)
                .map_or("", |(phase, _)| phase.name.as_str());
            if names.last() != Some(&name) {
                names.push(name);
            }
        }
        names.join(", ")
    };
    if first.steps != member.steps {
        found.push(format!(
            "{b} walks the phases {}, and {a} of the same pool {}: name all members in the same spec.phases[].components, or leave pool out",
            walked(member),
            walked(first)
        ));
    }
    let mut differs = first.checks.iter().zip(&member.checks).enumerate();
    if let Some((phase, (one, other))) = differs.find(|(_, (one, other))| one != other) {
        let lacks = |one: &CheckSet, other: &CheckSet| {
            let alone = one.checks.iter().find(|c| !other.checks.contains(c));
            alone.map(|c| c.rule.name.clone())
        };
        let check = lacks(one, other)
            .or_else(|| lacks(other, one))
            .unwrap_or_default();
        let phase = phases.get(phase).map_or("", |(phase, _)| phase.name.as_str());
        found.push(format!(
            "check {check} is in force for only one of {a} and {b} in phase {phase}: name all members of the pool in its checks[].components, or leave pool out"
        ));
    }
    if first.traffic() != member.traffic() {
        found.push(format!(
            "{b} and {a} of the same pool differ in spec.components[].traffic: give both the same, or leave pool out"
        ));
    }
    if seen_from(first) != seen_from(member) {
        found.push(format!(
            "{b} and {a} of the same pool are measured in different ways: give both the same preset in spec.components[].arms, and both a control arm or none"
        ));
    }
    found
}

/// How a component is measured: where its requests are seen, and whether there is something to compare with.
fn seen_from(c: &PlannedComponent) -> Option<(Preset, Option<&str>, bool)> {
    let arms = c.component.arms.as_ref()?;
    let (preset, reporter) = arms.canary.vantage();
    Some((preset, reporter, arms.control.is_some()))
}
