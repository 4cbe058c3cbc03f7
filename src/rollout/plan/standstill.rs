//! Plans that can never be walked to their end, because what a gate asks for comes only behind it: of its own rollout, or of
//! others that wait for it in turn.
//!
//! Waiting is monotone: what is open stays open while weights rise. So all plans are walked as far as any of them goes, with
//! every other gate open, and whoever is not at its end then never will be.

use super::{Plan, PlannedGate, PlannedStep};
use crate::rollout::gate_spec::{Gate, RolloutGate, RolloutIs};
use crate::rollout::weight::Weight;

/// A plan among those that are known together.
#[derive(Clone, Copy, Debug)]
pub struct Together<'a> {
    /// The rollout's namespace.
    pub namespace: &'a str,
    /// The rollout's name.
    pub name: &'a str,
    /// What it does.
    pub plan: &'a Plan,
}

/// A gate that never opens.
#[derive(Debug)]
pub struct Stuck<'a> {
    /// Whose it is, as its place among the plans.
    pub rollout: usize,
    /// The gate.
    pub gate: &'a PlannedGate,
    /// Why it never opens, and what to do.
    pub message: String,
}

/// The gates that never open, whatever people and addresses say. Rollouts that are not among `all` are taken to do as asked.
pub fn standstill<'a>(all: &[Together<'a>]) -> Vec<Stuck<'a>> {
    let walk = Walk::to_its_end(all);
    let closed: Vec<(usize, &PlannedGate)> = (0..all.len())
        .flat_map(|at| walk.closed(at).into_iter().map(move |gate| (at, gate)))
        .collect();
    let told = |(at, gate): &(usize, &'a PlannedGate)| {
        let Gate::Rollout(asked) = &gate.gate else {
            return None;
        };
        let message = match ring(all, &closed, *at, asked) {
            Some(ring) if ring.len() > 1 => format!(
                "it requires {asked}, and so each waits for the next for ever: {}; take one of these gates out, or ask for \
                 what comes before the other's gate",
                ring.join(" → ")
            ),
            _ => format!(
                "it requires {asked}, which comes only behind this gate, and waits for ever: name another rollout, or a \
                 weight that is reached before"
            ),
        };
        Some(Stuck {
            rollout: *at,
            gate,
            message,
        })
    };
    closed.iter().filter_map(told).collect()
}

/// The rollouts from one that is asked for back to the one that asks, as each waits for the next.
fn ring(
    all: &[Together<'_>],
    closed: &[(usize, &PlannedGate)],
    from: usize,
    asked: &RolloutGate,
) -> Option<Vec<String>> {
    let shown = |at: usize| all.get(at).map(|one| format!("{}/{}", one.namespace, one.name));
    let (mut walk, mut at) = (vec![shown(from)?], place(all, from, asked)?);
    let mut seen = vec![from];
    while !seen.contains(&at) {
        seen.push(at);
        walk.push(shown(at)?);
        let next = closed.iter().find(|(of, _)| *of == at)?;
        let Gate::Rollout(asked) = &next.1.gate else {
            return None;
        };
        at = place(all, at, asked)?;
    }
    if walk.len() > 1 {
        walk.push(shown(at)?);
    }
    Some(walk)
}

/// Which of the plans a gate of one of them asks about.
fn place(all: &[Together<'_>], from: usize, asked: &RolloutGate) -> Option<usize> {
    let own = all.get(from)?.namespace;
    let namespace = asked.namespace.as_deref().unwrap_or(own);
    all.iter()
        .position(|one| one.namespace == namespace && one.name == asked.name)
}

/// How far every plan has come: of each component the number of steps that are done.
struct Walk<'p, 'a> {
    all: &'p [Together<'a>],
    done: Vec<Vec<usize>>,
}

impl<'a> Walk<'_, 'a> {
    fn to_its_end<'p>(all: &'p [Together<'a>]) -> Walk<'p, 'a> {
        let done = all.iter().map(|one| vec![0; one.plan.components.len()]).collect();
        let mut walk = Walk { all, done };
        loop {
            let mut moved = false;
            for at in 0..all.len() {
                moved |= walk.step(at);
            }
            if !moved {
                return walk;
            }
        }
    }

    /// Takes every component of a plan one step on where that can be. True when one went.
    fn step(&mut self, at: usize) -> bool {
        let Some(one) = self.all.get(at) else { return false };
        let phase = self.phase(at);
        let mut moved = false;
        for i in 0..one.plan.components.len() {
            if self.waits(at, i, phase).is_none_or(|gates| !gates.is_empty()) {
                continue;
            }
            if let Some(done) = self.done.get_mut(at).and_then(|all| all.get_mut(i)) {
                *done += 1;
                moved = true;
            }
        }
        moved
    }

    /// The gates that are shut before a component's next step; `None` where it has none, or something else is before it.
    fn waits(&self, at: usize, i: usize, phase: usize) -> Option<Vec<&'a PlannedGate>> {
        let one = self.all.get(at)?;
        let planned = one.plan.components.get(i)?;
        let done = *self.done.get(at)?.get(i)?;
        let next = *planned.steps.get(done)?;
        let depends = planned.component.depends_on.iter().flatten();
        let mut depends =
            depends.filter_map(|name| one.plan.components.iter().position(|c| c.name() == name));
        if next.phase > phase || depends.any(|on| !self.has(at, on, next.weight)) {
            return None;
        }
        let before = done.checked_sub(1).and_then(|n| planned.steps.get(n));
        let entered = before.is_some_and(|step| step.phase == next.phase);
        let gates = one.plan.phases.get(next.phase)?.gates_before(next, entered);
        Some(gates.filter(|gate| !self.is_open(at, gate)).collect())
    }

    /// The gates that a plan stands before at the end of all.
    fn closed(&self, at: usize) -> Vec<&'a PlannedGate> {
        let phase = self.phase(at);
        let mut found: Vec<&'a PlannedGate> = Vec::new();
        let components = self.done.get(at).map_or(0, Vec::len);
        for gate in (0..components).filter_map(|i| self.waits(at, i, phase)).flatten() {
            if !found.iter().any(|known| known.key == gate.key) {
                found.push(gate);
            }
        }
        found
    }

    /// The phase that a plan is in: the first of which a component has a step to go.
    fn phase(&self, at: usize) -> usize {
        let Some(one) = self.all.get(at) else { return 0 };
        let done = self.done.get(at).into_iter().flatten();
        let ahead = one.plan.components.iter().zip(done);
        let phases = ahead.filter_map(|(planned, done)| Some(planned.steps.get(*done)?.phase));
        phases.min().unwrap_or(one.plan.phases.len())
    }

    /// The last step that a component has done, and whether more are ahead.
    fn stands(&self, at: usize, i: usize) -> Option<(Option<&'a PlannedStep>, bool)> {
        let planned = self.all.get(at)?.plan.components.get(i)?;
        let done = *self.done.get(at)?.get(i)?;
        let reached = done.checked_sub(1).and_then(|n| planned.steps.get(n));
        Some((reached, done < planned.steps.len()))
    }

    fn ended(&self, at: usize, i: usize) -> bool {
        self.stands(at, i).is_none_or(|(_, more)| !more)
    }

    /// Whether a component has a weight, or is at its plan's end.
    fn has(&self, at: usize, i: usize, weight: Weight) -> bool {
        let reached = self.stands(at, i).and_then(|(reached, _)| reached);
        self.ended(at, i) || reached.is_some_and(|step| step.weight >= weight)
    }

    fn is_open(&self, at: usize, gate: &PlannedGate) -> bool {
        let Gate::Rollout(asked) = &gate.gate else {
            return true;
        };
        let Some(other) = place(self.all, at, asked) else {
            return true;
        };
        let components = self.all.get(other).map_or(&[][..], |one| &one.plan.components);
        let mut meant = components
            .iter()
            .enumerate()
            .filter(|(_, c)| asked.component.as_ref().is_none_or(|name| c.name() == name));
        meant.all(|(i, _)| match (asked.is, asked.weight) {
            (RolloutIs::AtLeast, Some(weight)) => self.has(other, i, weight),
            (RolloutIs::Completed | RolloutIs::AtLeast, _) => self.ended(other, i),
        })
    }
}

#[cfg(test)]
mod tests;
