//! All plans at once, as far as they come.

use super::{Course, Key, Link, Standing};
use crate::rollout::gate_spec::{Gate, RolloutGate, RolloutIs};
use crate::rollout::plan::{PlannedGate, PlannedStep};
use crate::rollout::weight::Weight;
use std::collections::{BTreeMap, BTreeSet};

/// A component of a rollout, by their places.
type Node = (usize, usize);

#[derive(Debug)]
struct Walking<'a> {
    course: &'a Course,
    at: Vec<At>,
    /// The phases before this one are done.
    phase: usize,
}

#[derive(Clone, Copy, Debug)]
struct At {
    weight: Weight,
    completed: bool,
    passed_over: bool,
}

/// What keeps a component from its next step, for ever.
#[derive(Clone, Copy, Debug)]
enum Block<'a> {
    /// A member of an earlier phase.
    Phase(usize),
    /// What it depends on.
    Depends(usize),
    /// A component of another rollout, or of its own.
    Gate(&'a PlannedGate, &'a RolloutGate, Node),
}

impl Block<'_> {
    const fn waits_for(&self, rollout: usize) -> Node {
        match self {
            Self::Phase(c) | Self::Depends(c) => (rollout, *c),
            Self::Gate(_, _, node) => *node,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Walk<'a> {
    all: Vec<Walking<'a>>,
    places: BTreeMap<&'a Key, usize>,
}

impl<'a> Walk<'a> {
    pub(super) fn join(&mut self, course: &'a Course, standing: &Standing) {
        if self.places.contains_key(&course.key) {
            return;
        }
        let at = course.components.iter().map(|c| {
            let stands = standing.components.get(&c.name).copied().unwrap_or_default();
            At {
                weight: stands.weight,
                completed: stands.completed || c.steps.is_empty(),
                passed_over: stands.passed_over,
            }
        });
        let named = standing.phase.as_ref();
        let phase = named.and_then(|name| course.phases.iter().position(|p| p.name == *name));
        self.places.insert(&course.key, self.all.len());
        self.all.push(Walking {
            course,
            at: at.collect(),
            phase: phase.unwrap_or(0),
        });
    }

    /// Until nobody comes any further. Weights only rise here, so it ends.
    pub(super) fn run(&mut self) {
        let mut moved = true;
        while moved {
            moved = false;
            for i in 0..self.all.len() {
                moved |= self.pass_phases(i);
                let components = self.all.get(i).map_or(0, |walking| walking.at.len());
                for c in 0..components {
                    while self.step(i, c) {
                        moved = true;
                    }
                }
            }
        }
    }

    fn at(&self, (i, c): Node) -> Option<&At> {
        self.all.get(i)?.at.get(c)
    }

    fn next(&self, (i, c): Node) -> Option<&'a PlannedStep> {
        let at = self.at((i, c))?;
        let walker = self.all.get(i)?.course.components.get(c)?;
        walker
            .steps
            .iter()
            .find(|step| step.weight > at.weight)
            .filter(|_| !at.completed)
    }

    fn step(&mut self, i: usize, c: usize) -> bool {
        let Some(at) = self.at((i, c)).copied().filter(|at| !at.completed) else {
            return false;
        };
        let to = match self.next((i, c)) {
            Some(next) if self.blocks((i, c), *next).is_empty() => At {
                weight: next.weight,
                ..at
            },
            Some(_) => return false,
            None => At {
                completed: true,
                ..at
            },
        };
        if let Some(place) = self.all.get_mut(i).and_then(|walking| walking.at.get_mut(c)) {
            *place = to;
        }
        true
    }

    /// Whether a phase waits for a component of it.
    fn keeps(walking: &Walking<'_>, phase: usize, c: usize) -> bool {
        let Some(at) = walking.at.get(c).filter(|at| !at.completed && !at.passed_over) else {
            return false;
        };
        let steps = walking.course.components.get(c).map(|walker| &walker.steps);
        let top = steps.and_then(|steps| steps.iter().rev().find(|step| step.phase <= phase));
        top.is_some_and(|top| at.weight < top.weight)
    }

    fn pass_phases(&mut self, i: usize) -> bool {
        let Some(walking) = self.all.get_mut(i) else {
            return false;
        };
        let before = walking.phase;
        while let Some(phase) = walking.course.phases.get(walking.phase) {
            let kept = phase.components.iter();
            if kept.into_iter().any(|c| Self::keeps(walking, walking.phase, *c)) {
                break;
            }
            walking.phase += 1;
        }
        walking.phase != before
    }

    fn blocks(&self, (i, c): Node, next: PlannedStep) -> Vec<Block<'a>> {
        let mut blocks = Vec::new();
        let Some(walking) = self.all.get(i) else {
            return blocks;
        };
        let Some(walker) = walking.course.components.get(c) else {
            return blocks;
        };
        if next.phase > walking.phase {
            let now = walking.course.phases.get(walking.phase);
            let members = now.into_iter().flat_map(|phase| &phase.components);
            let kept = members.filter(|member| Self::keeps(walking, walking.phase, **member));
            blocks.extend(kept.map(|member| Block::Phase(*member)));
        }
        for on in &walker.depends_on {
            let there = |at: &At| at.completed || at.weight >= next.weight;
            if !walking.at.get(*on).is_some_and(there) {
                blocks.push(Block::Depends(*on));
            }
        }
        let at = walking.at.get(c).map_or(Weight::ZERO, |at| at.weight);
        let standing = walker.steps.iter().rev().find(|step| step.weight <= at);
        let entered = standing.is_some_and(|step| step.phase == next.phase);
        let gates = walking.course.phases.get(next.phase).into_iter();
        for gate in gates.flat_map(|phase| phase.gates_before(next, entered)) {
            if let Gate::Rollout(asked) = &gate.gate {
                let short = self.short_of(&walking.course.key.0, asked);
                blocks.extend(short.into_iter().map(|node| Block::Gate(gate, asked, node)));
            }
        }
        blocks
    }

    /// The components that a gate still waits for. Those that nobody here knows are as far as anybody asks.
    fn short_of(&self, own: &str, asked: &RolloutGate) -> Vec<Node> {
        let namespace = asked.namespace.clone().unwrap_or_else(|| own.to_owned());
        let Some(at) = self.places.get(&(namespace, asked.name.clone())).copied() else {
            return Vec::new();
        };
        let components = self.all.get(at).into_iter();
        let components = components.flat_map(|other| other.course.components.iter().zip(&other.at));
        let enough = |stands: &At| match (asked.is, asked.weight) {
            _ if stands.completed => true,
            (RolloutIs::AtLeast, Some(weight)) => stands.weight >= weight,
            (RolloutIs::Completed | RolloutIs::AtLeast, _) => false,
        };
        components
            .enumerate()
            .filter(|(_, (walker, _))| asked.component.as_ref().is_none_or(|name| walker.name == *name))
            .filter(|(_, (_, stands))| !enough(stands))
            .map(|(c, _)| (at, c))
            .collect()
    }

    pub(super) fn stuck(&self) -> BTreeSet<Key> {
        let stands = |walking: &&Walking<'_>| walking.at.iter().any(|at| !at.completed);
        let stuck = self.all.iter().filter(stands);
        stuck.map(|walking| walking.course.key.clone()).collect()
    }

    fn blocked(&self, node: Node) -> Vec<Block<'a>> {
        self.next(node)
            .map_or_else(Vec::new, |next| self.blocks(node, *next))
    }

    /// The links from a gate back to it, or else those of a circle that it waits behind; true in the first case. `None`:
    /// nothing keeps it shut for ever.
    pub(super) fn round(&self, rollout: &Key, key: &str) -> Option<(Vec<Link>, bool)> {
        let i = *self.places.get(rollout)?;
        let shut = |block: &&Block<'a>| matches!(block, Block::Gate(gate, ..) if gate.key == key);
        let components = 0..self.all.get(i)?.at.len();
        let behind: Vec<(Node, Block<'a>)> = components
            .map(|c| (i, c))
            .flat_map(|node| self.blocked(node).into_iter().map(move |block| (node, block)))
            .filter(|(_, block)| shut(&block))
            .collect();
        // The shortest way from what the gate waits for back to one who stands before it.
        let goals: BTreeSet<Node> = behind.iter().map(|(node, _)| *node).collect();
        let (first, block) = *behind.first()?;
        let starts: BTreeSet<Node> = behind.iter().map(|(_, block)| block.waits_for(i)).collect();
        if let Some(mut way) = self.way(&starts, &goals) {
            way.insert(0, (first, block));
            return Some((self.said(&way), true));
        }
        // Whom it waits for stands in a circle of others: every walk among those that stand ends in one.
        let mut walked: Vec<(Node, Block<'a>)> = Vec::new();
        let mut node = block.waits_for(i);
        loop {
            if let Some(begins) = walked.iter().position(|(known, _)| *known == node) {
                return Some((self.said(walked.get(begins..)?), false));
            }
            let block = *self.blocked(node).first()?;
            walked.push((node, block));
            node = block.waits_for(node.0);
        }
    }

    fn way(&self, starts: &BTreeSet<Node>, goals: &BTreeSet<Node>) -> Option<Vec<(Node, Block<'a>)>> {
        let mut from: BTreeMap<Node, Option<(Node, Block<'a>)>> =
            starts.iter().map(|node| (*node, None)).collect();
        let mut queue: std::collections::VecDeque<Node> = starts.iter().copied().collect();
        while let Some(node) = queue.pop_front() {
            if goals.contains(&node) {
                let mut way = Vec::new();
                let mut at = node;
                while let Some(Some((before, block))) = from.get(&at) {
                    way.insert(0, (*before, *block));
                    at = *before;
                }
                return Some(way);
            }
            for block in self.blocked(node) {
                let to = block.waits_for(node.0);
                if let std::collections::btree_map::Entry::Vacant(entry) = from.entry(to) {
                    entry.insert(Some((node, block)));
                    queue.push_back(to);
                }
            }
        }
        None
    }

    fn said(&self, way: &[(Node, Block<'a>)]) -> Vec<Link> {
        let link = |((i, c), block): &(Node, Block<'a>)| {
            let course = self.all.get(*i)?.course;
            let name = |c: usize| {
                course
                    .components
                    .get(c)
                    .map_or("?", |walker| walker.name.as_str())
            };
            let (namespace, rollout) = &course.key;
            let says = match block {
                Block::Gate(gate, asked, _) => {
                    format!("{namespace}/{rollout} before {gate} requires {asked}")
                }
                Block::Depends(on) => format!(
                    "{} of {namespace}/{rollout} goes after {}, on which it depends",
                    name(*c),
                    name(*on)
                ),
                Block::Phase(member) => format!(
                    "{} of {namespace}/{rollout} goes on when the phase of {} before it is done",
                    name(*c),
                    name(*member)
                ),
            };
            Some(Link {
                rollout: course.key.clone(),
                says,
            })
        };
        way.iter().filter_map(link).collect()
    }
}
