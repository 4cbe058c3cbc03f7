//! Persons' words about gates: approvals, and items of checklists.

use super::Desk;
use crate::rollout::command::Command;
use crate::rollout::gate_spec::Gate;
use crate::rollout::plan::PlannedGate;
use crate::rollout::reason::State;
use crate::rollout::status::{Approved, CommandResult, ComponentStatus};

/// As many as the status holds.
const MARKS_KEPT: usize = 128;

impl Desk<'_> {
    pub(super) fn approve(&mut self, command: &Command) -> (CommandResult, String) {
        if command.expired(self.now, true) {
            return (
                CommandResult::Expired,
                "it came too late: give it again if it is still wanted".to_owned(),
            );
        }
        if let Some(refusal) = self.refused_by_freeze(command) {
            return (CommandResult::Refused, refusal);
        }
        self.find_phase();
        let wish = &command.wish;
        let item = wish.item.as_deref();
        let fits = |gate: &PlannedGate| {
            let kind = match (&gate.gate, item) {
                (Gate::Approval(_), None) => true,
                (Gate::Checklist(list), Some(item)) => list.items.iter().any(|known| known == item),
                _ => false,
            };
            kind && wish.phase.as_ref().is_none_or(|name| *name == gate.phase)
                && wish.weight.is_none_or(|weight| gate.weight() == Some(weight))
        };
        let fitting: Vec<(usize, &PlannedGate)> = self
            .plan
            .phases
            .iter()
            .enumerate()
            .flat_map(|(at, phase)| phase.gates.iter().map(move |gate| (at, gate)))
            .filter(|(_, gate)| fits(gate))
            .collect();
        let ahead = |at: usize| wish.phase.is_some() || at >= self.phase;
        let waited_for = fitting.iter().find(|(_, gate)| self.is_waited_for(gate, item));
        let next = waited_for.or_else(|| {
            fitting
                .iter()
                .find(|(at, gate)| ahead(*at) && !self.is_given(gate, item))
        });
        let Some((_, gate)) = next else {
            return self.nothing_to_open(command, &fitting);
        };
        let gate = (*gate).clone();
        let clip = |text: &str| text.chars().take(256).collect::<String>();
        let expires = match &gate.gate {
            Gate::Approval(approval) => approval.expires,
            Gate::Checklist(_) | Gate::Rollout(_) | Gate::Http(_) => None,
        };
        let given = Approved {
            phase: gate.phase.clone(),
            step: gate.weight(),
            item: wish.item.clone(),
            by: clip(&self.giver(command).unwrap_or_default()),
            at: self.now,
            comment: Some(clip(&wish.reason)).filter(|text| !text.is_empty()),
            expires_at: expires.and_then(|span| self.now.checked_add(span.0).ok()),
            used_at: None,
        };
        let until = given
            .expires_at
            .map(|end| format!(", until {end:.0} unless it is made use of"));
        self.put(given);
        let message = match item {
            None => format!("the gate of {gate} is open{}", until.unwrap_or_default()),
            Some(item) => format!("{item} of {gate} is ticked{}", self.still_open(&gate)),
        };
        (CommandResult::Accepted, message)
    }

    /// Takes the place of an earlier word about the same; words about gates that are no longer planned go.
    fn put(&mut self, given: Approved) {
        let plan = self.plan;
        let planned = |a: &Approved| {
            let mut gates = plan.phases.iter().flat_map(|phase| &phase.gates);
            gates.any(|gate| gate.is_meant_by(a))
        };
        let same = |a: &Approved| a.phase == given.phase && a.step == given.step && a.item == given.item;
        self.status.approvals.retain(|a| !same(a) && planned(a));
        self.status.approvals.push(given);
        let excess = self.status.approvals.len().saturating_sub(MARKS_KEPT);
        self.status.approvals.drain(..excess);
    }

    /// Whether a component stands before a gate that is shut for it.
    fn is_waited_for(&self, gate: &PlannedGate, item: Option<&str>) -> bool {
        let mut components = self.status.components.iter().enumerate();
        components.any(|(i, c)| {
            let next = self.planned(i).and_then(|p| p.next_above(c.weight.written));
            c.state == State::Walking
                && next.is_some_and(|next| {
                    (next.phase <= self.phase || c.alone)
                        && self.gates_before(i, c, next).any(|g| g.key == gate.key)
                })
                && self.word(c, gate, item).is_none()
        })
    }

    /// Whether somebody gave a word that is still good, for all whose plans are not done.
    fn is_given(&self, gate: &PlannedGate, item: Option<&str>) -> bool {
        let mut words = self.status.approvals.iter();
        words.any(|a| {
            let good = gate.is_meant_by(a) && a.item.as_deref() == item && !a.is_void(self.now);
            let mut ended = self.status.components.iter().filter_map(|c| match c.state {
                State::RolledBack | State::Manual | State::Drifted => ended(c),
                State::Walking => c.approved_from,
                State::Completed | State::Orphaned => None,
            });
            good && (item.is_some() || ended.all(|end| a.at >= end))
        })
    }

    fn still_open(&self, gate: &PlannedGate) -> String {
        let Gate::Checklist(list) = &gate.gate else {
            return String::new();
        };
        let open: Vec<&str> = list
            .items
            .iter()
            .map(String::as_str)
            .filter(|item| !self.is_given(gate, Some(item)))
            .collect();
        if open.is_empty() {
            ", and with it the list is done".to_owned()
        } else {
            format!("; open are {}", open.join(", "))
        }
    }

    fn nothing_to_open(
        &self,
        command: &Command,
        fitting: &[(usize, &PlannedGate)],
    ) -> (CommandResult, String) {
        let wish = &command.wish;
        let item = wish.item.as_deref();
        let named = wish.phase.is_some() || wish.weight.is_some() || item.is_some();
        if let Some((_, gate)) = fitting
            .first()
            .filter(|(_, gate)| named && self.is_given(gate, item))
        {
            let message = match item {
                None => format!("{gate} was open already"),
                Some(item) => format!("{item} of {gate} was ticked already"),
            };
            return (CommandResult::Accepted, message);
        }
        let gates = || self.plan.phases.iter().flat_map(|phase| &phase.gates);
        let message = if let Some(item) = item {
            let lists: Vec<String> = gates()
                .filter_map(|gate| match &gate.gate {
                    Gate::Checklist(list) => Some(format!("{gate}: {}", list.items.join(", "))),
                    Gate::Approval(_) | Gate::Rollout(_) | Gate::Http(_) => None,
                })
                .collect();
            if lists.is_empty() {
                "no phase or step of this plan has a checklist".to_owned()
            } else {
                format!(
                    "no checklist waits for {item:?}; the plan's lists are {}",
                    lists.join("; ")
                )
            }
        } else {
            let names: Vec<String> = gates()
                .filter(|gate| matches!(gate.gate, Gate::Approval(_)))
                .map(ToString::to_string)
                .collect();
            if names.is_empty() {
                "no phase of this plan requires approval".to_owned()
            } else if named && fitting.is_empty() {
                format!(
                    "there is no gate that requires approval there; the plan's gates are {}",
                    names.join(", ")
                )
            } else {
                format!(
                    "no gate waits to be opened, those ahead are open; the plan's gates are {}",
                    names.join(", ")
                )
            }
        };
        (CommandResult::Refused, message)
    }
}

/// When the attempt ended that a component is to begin anew from: an approval from before was not for the next.
pub(super) fn ended(c: &ComponentStatus) -> Option<jiff::Timestamp> {
    c.since.max(c.history.last().map(|entry| entry.at))
}
