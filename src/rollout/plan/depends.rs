//! Which component goes after which: names that are there, no circle, and no waiting for each other.

use super::read::Reader;
use super::{PlannedComponent, PlannedStep};
use crate::rollout::spec::Component;
use crate::rollout::weight::Weight;
use std::collections::BTreeMap;

impl Reader {
    /// Checks `dependsOn` of every component.
    pub(super) fn dependencies(&mut self, components: &[PlannedComponent]) {
        let place = |name: &str| components.iter().position(|c| c.name() == name);
        let mut edges: Vec<Vec<usize>> = Vec::new();
        for (i, planned) in components.iter().enumerate() {
            let mut to = Vec::new();
            for (n, name) in planned.component.depends_on.iter().flatten().enumerate() {
                let path = format!("spec.components[{i}].dependsOn[{n}]");
                match place(name) {
                    None => {
                        let known: Vec<&str> = components.iter().map(PlannedComponent::name).collect();
                        let message =
                            format!("no component is named {name:?}; there are {}", known.join(", "));
                        self.problem(path, message);
                    }
                    Some(on) if to.contains(&on) => self.problem(path, format!("{name:?} is there twice")),
                    Some(on) => {
                        if let Some(message) = components.get(on).and_then(|on| deadlock(planned, on)) {
                            self.problem(path, message);
                        }
                        to.push(on);
                    }
                }
            }
            edges.push(to);
        }
        if let Some((first, circle)) = circle(components, &edges) {
            let message = format!("{circle}: each would wait for the next for ever; take one dependency out");
            self.problem(format!("spec.components[{first}].dependsOn"), message);
        }
    }
}

/// Where a component would wait for what its dependency reaches only in a later phase.
fn deadlock(of: &PlannedComponent, on: &PlannedComponent) -> Option<String> {
    let last = on.steps.last().map(|s| s.phase)?;
    let reached = |step: &PlannedStep| {
        let reach = on
            .steps
            .iter()
            .filter(|s| s.phase <= step.phase)
            .map(|s| s.weight)
            .max();
        // One that has finished its plan is enough, whatever its last weight is.
        last <= step.phase || reach.unwrap_or(Weight::ZERO) >= step.weight
    };
    let stuck = of.steps.iter().find(|step| !reached(step))?;
    Some(format!(
        "{} is to have {} before {} has: its own phases bring it there only later, so both would wait for ever; \
         let it reach that weight in the same phase or an earlier one",
        of.name(),
        stuck.weight,
        on.name()
    ))
}

/// A circle, if there is one, as `a → b → a`, with the component that closes it. Members of a pool step together, so
/// that whoever waits for one of them waits for all.
fn circle(components: &[PlannedComponent], edges: &[Vec<usize>]) -> Option<(usize, String)> {
    let node = |i: usize| -> usize {
        let pool = |c: &Component| c.pool.clone();
        let mine = components.get(i).and_then(|c| pool(&c.component));
        let first = components
            .iter()
            .position(|c| mine.is_some() && pool(&c.component) == mine);
        first.unwrap_or(i)
    };
    let mut out: BTreeMap<usize, Vec<(usize, usize)>> = BTreeMap::new();
    for (from, to) in edges.iter().enumerate() {
        out.entry(node(from))
            .or_default()
            .extend(to.iter().map(|to| (from, *to)));
    }
    for start in out.keys().copied() {
        // A walk from here along the edges; it is a circle when it comes back.
        let mut stack: Vec<Vec<(usize, usize)>> = out
            .get(&start)
            .into_iter()
            .flatten()
            .map(|edge| vec![*edge])
            .collect();
        let mut seen = Vec::new();
        while let Some(walk) = stack.pop() {
            let Some(&(_, to)) = walk.last() else { continue };
            if node(to) == start {
                return Some((walk.first()?.0, shown(components, &walk)));
            }
            if seen.contains(&node(to)) {
                continue;
            }
            seen.push(node(to));
            for edge in out.get(&node(to)).into_iter().flatten() {
                let mut longer = walk.clone();
                longer.push(*edge);
                stack.push(longer);
            }
        }
    }
    None
}

fn shown(components: &[PlannedComponent], walk: &[(usize, usize)]) -> String {
    let name = |i: usize| components.get(i).map_or("?", PlannedComponent::name);
    let mut text = String::new();
    let mut at: Option<usize> = None;
    let first = walk.first().map(|(from, _)| *from);
    for (from, to) in walk {
        match at {
            None => text.push_str(name(*from)),
            // Two members of one pool.
            Some(at) if at != *from => {
                text.push_str(" (in one pool with ");
                text.push_str(name(*from));
                text.push(')');
            }
            Some(_) => {}
        }
        text.push_str(" → ");
        text.push_str(name(*to));
        at = Some(*to);
    }
    if let (Some(at), Some(first)) = (at, first)
        && at != first
    {
        text.push_str(" (in one pool with ");
        text.push_str(name(first));
        text.push(')');
    }
    text
}
