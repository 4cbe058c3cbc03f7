//! What must be given before a step: persons' words, other rollouts, addresses that say yes, and a turn.

use super::Desk;
use super::advance::Stop;
use crate::rollout::gate_spec::Gate;
use crate::rollout::observation::{Question, Turn};
use crate::rollout::plan::{PlannedGate, PlannedStep};
use crate::rollout::reason::Reason;
use crate::rollout::status::{Approved, ComponentStatus};

impl Desk<'_> {
    /// The gates that stand before a component's next step.
    pub(super) fn gates_before(
        &self,
        i: usize,
        c: &ComponentStatus,
        next: &PlannedStep,
    ) -> impl Iterator<Item = &PlannedGate> {
        let entered = self.standing(i, c).is_some_and(|s| s.phase == next.phase);
        let phase = self.plan.phases.get(next.phase);
        let next = *next;
        phase
            .into_iter()
            .flat_map(move |phase| phase.gates_before(next, entered))
    }

    /// The newest word of a person about a gate, or about an item of it, that counts for a component.
    pub(super) fn word(
        &self,
        c: &ComponentStatus,
        gate: &PlannedGate,
        item: Option<&str>,
    ) -> Option<&Approved> {
        let meant = |a: &&Approved| gate.is_meant_by(a) && a.item.as_deref() == item;
        let given = self.status.approvals.iter().rev().find(meant)?;
        // Whoever begins again climbs under nobody's old leave; what was made ready stays ready.
        let begun = c.retry.and_then(|retry| retry.begun);
        let from = begun.max(c.approved_from).filter(|_| item.is_none());
        let counts = !given.is_void(self.now) && from.is_none_or(|from| given.at >= from);
        counts.then_some(given)
    }

    /// Approvals, checklists and other rollouts.
    pub(super) fn required(&self, i: usize, c: &ComponentStatus, next: &PlannedStep) -> Result<(), Stop> {
        for gate in self.gates_before(i, c, next) {
            match &gate.gate {
                Gate::Approval(_) => self.approved(c, gate)?,
                Gate::Checklist(list) => {
                    let open: Vec<&str> = list
                        .items
                        .iter()
                        .map(String::as_str)
                        .filter(|item| self.word(c, gate, Some(item)).is_none())
                        .collect();
                    if !open.is_empty() {
                        let message = format!(
                            "{gate} waits for {}: tick each with `approve --item NAME`",
                            open.join(", ")
                        );
                        return Err(Stop(Reason::WaitingForChecklist, message));
                    }
                }
                Gate::Rollout(other) => {
                    let answer = self.seen.answers.get(&gate.question(&c.name));
                    let says = match answer {
                        Some(answer) if answer.open => continue,
                        Some(answer) => answer.says.clone(),
                        None => "nothing is known of it yet".to_owned(),
                    };
                    let message = format!("{gate} waits for {other}: {says}");
                    return Err(Stop(
                        Reason::WaitingForRollout,
                        message.chars().take(1024).collect(),
                    ));
                }
                // Asked last, when nothing else stands in the way.
                Gate::Http(_) => {}
            }
        }
        Ok(())
    }

    fn approved(&self, c: &ComponentStatus, gate: &PlannedGate) -> Result<(), Stop> {
        if self.word(c, gate, None).is_some() {
            return Ok(());
        }
        let message = match self.status.approvals.iter().rev().find(|a| gate.is_meant_by(a)) {
            Some(a) if a.is_void(self.now) => format!(
                "{gate} needs a person's `approve`: that of {} at {:.0} was not made use of in time, and is void",
                a.by, a.at
            ),
            Some(a) => format!(
                "{gate} needs a person's `approve`: that of {} was for the attempt before",
                a.by
            ),
            None => format!("{gate} needs a person's `approve`"),
        };
        Err(Stop(Reason::AwaitingApproval, message))
    }

    /// What addresses say, each asked only when nothing else stands in the way.
    pub(super) fn answered(&self, i: usize, c: &ComponentStatus, next: &PlannedStep) -> Result<(), Stop> {
        for gate in self.gates_before(i, c, next) {
            let Some(http) = gate.http() else { continue };
            let says = match self.seen.answers.get(&gate.question(&c.name)) {
                Some(answer) if answer.open => continue,
                Some(answer) => answer.says.clone(),
                None => "it is being asked".to_owned(),
            };
            let message = format!("{gate} waits for {} to say so: {says}", http.url);
            return Err(Stop(Reason::WaitingForGate, message.chars().take(1024).collect()));
        }
        Ok(())
    }

    /// Has the addresses asked that stand before a step.
    pub(super) fn question(&mut self, i: usize, next: &PlannedStep) {
        let Some(c) = self.status.components.get(i) else {
            return;
        };
        let questions: Vec<Question> = self
            .gates_before(i, c, next)
            .filter(|gate| gate.http().is_some())
            .map(|gate| Question {
                key: gate.question(&c.name),
                gate: gate.key.clone(),
                component: c.name.clone(),
                weight: next.weight,
            })
            .collect();
        self.out.questions.extend(questions);
    }

    /// Remembers that persons' approvals before a step were made use of.
    pub(super) fn make_use(&mut self, i: usize, next: &PlannedStep) {
        let Some(c) = self.status.components.get(i) else {
            return;
        };
        let gates: Vec<PlannedGate> = self
            .gates_before(i, c, next)
            .filter(|gate| matches!(gate.gate, Gate::Approval(_)))
            .cloned()
            .collect();
        let now = self.now;
        for given in &mut self.status.approvals {
            let used =
                given.used_at.is_none() && !given.is_void(now) && gates.iter().any(|g| g.is_meant_by(given));
            if used {
                given.used_at = Some(now);
                self.out.changed = true;
            }
        }
    }

    /// Whether the rollout has begun, and is not over: a component of it is between its first raise and its end.
    pub(super) fn runs(&self) -> bool {
        self.status.runs()
    }

    /// Whether it may be among the rollouts that run at once.
    pub(super) fn has_turn(&self) -> Result<(), Stop> {
        if self.runs() {
            return Ok(());
        }
        match &self.seen.turn {
            Turn::Unlimited | Turn::Held => Ok(()),
            Turn::Free => Err(Stop(Reason::WaitingForTurn, "its turn is being taken".to_owned())),
            Turn::Full(why) => Err(Stop(Reason::WaitingForTurn, why.clone())),
        }
    }

    /// Notes since when the rollout waits for its turn: whoever waits longest is next.
    pub(super) fn wait_in_line(&mut self) {
        let waits = self
            .status
            .components
            .iter()
            .any(|c| c.reason == Reason::WaitingForTurn);
        let begins = !self.out.raises.is_empty() && !self.runs();
        self.out.wants_turn = waits || begins;
        let over = self.status.components.iter().all(|c| c.state.is_terminal());
        let since = self.status.waits_for_turn_since;
        let since = if self.runs() || over {
            None
        } else {
            since.or(waits.then_some(self.now))
        };
        self.out.changed |= since != self.status.waits_for_turn_since;
        self.status.waits_for_turn_since = since;
    }
}
