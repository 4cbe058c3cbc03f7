//! People's wishes, in the order they were given. Each is dealt with once: its id then stands in the status.

use super::{Desk, remember, restart, say};
use crate::rollout::command::{Command, RAISE_EXPIRES, Verb, ago};
use crate::rollout::judge::{Beside, Outlook};
use crate::rollout::reason::{Reason, State};
use crate::rollout::sample::Dark;
use crate::rollout::status::{Approved, COMMANDS_KEPT, CommandOutcome, CommandResult, ComponentStatus};
use crate::rollout::weight::Weight;
use crate::rollout::window::Opening;

/// What became of a command for one component.
type Answer = Result<String, String>;

impl Desk<'_> {
    /// Obeys every command that was not dealt with before.
    pub(super) fn obey(&mut self) {
        for (key, error) in &self.seen.malformed {
            if !self.known(&error.id) {
                let outcome = (error.id.as_str(), error.verb.as_str(), None);
                self.record(outcome, CommandResult::Refused, &error.message);
            }
            self.out.done.push(key.clone());
        }
        let commands = &self.seen.commands;
        for (at, command) in commands.iter().enumerate() {
            if !self.known(&command.id) {
                let later = commands.get(at + 1..).unwrap_or_default();
                let (result, message) = self.carry_out(command, later);
                let who = Some(command.wish.who.clone()).filter(|w| !w.is_empty());
                self.record((&command.id, command.verb.word(), who), result, &message);
            }
            self.out.done.push(command.key());
        }
    }

    fn known(&self, id: &str) -> bool {
        self.status.commands.iter().any(|c| c.id == id)
    }

    fn record(
        &mut self,
        (id, verb, who): (&str, &str, Option<String>),
        result: CommandResult,
        message: &str,
    ) {
        let clip = |text: &str, n: usize| text.chars().take(n).collect::<String>();
        self.status.commands.push(CommandOutcome {
            id: clip(id, 63),
            verb: clip(verb, 16),
            who: who.map(|w| clip(&w, 256)),
            at: self.now,
            result,
            message: clip(message, 2048),
        });
        let excess = self.status.commands.len().saturating_sub(COMMANDS_KEPT);
        self.status.commands.drain(..excess);
        self.out.changed = true;
    }

    fn carry_out(&mut self, command: &Command, later: &[Command]) -> (CommandResult, String) {
        let unknown: Vec<&str> = command
            .wish
            .components
            .iter()
            .map(String::as_str)
            .filter(|name| *name != "*" && self.status.component(name).is_none())
            .collect();
        if !unknown.is_empty() {
            let there: Vec<&str> = self.status.components.iter().map(|c| c.name.as_str()).collect();
            let message = format!(
                "no component is named {}; there are {}",
                unknown.join(", "),
                there.join(", ")
            );
            return (CommandResult::Refused, message);
        }
        if command.verb == Verb::Approve {
            return self.approve(command);
        }
        let (mut good, mut bad, mut sentences) = (0, 0, Vec::new());
        let (mut expired, mut cancelled) = (0, 0);
        for i in 0..self.status.components.len() {
            let Some(c) = self.status.components.get(i) else {
                continue;
            };
            if !command.names(&c.name) {
                continue;
            }
            let name = c.name.clone();
            let raises = self.would_raise(command, c);
            let answer = if command.expired(self.now, raises) {
                expired += 1;
                let given = command
                    .given_at()
                    .map_or_else(String::new, |at| format!(", given {} ago", ago(at, self.now)));
                Err(format!(
                    "it came too late{given}: give it again if it is still wanted"
                ))
            } else if raises && command.given_at().is_none() && command.wish.expires_at.is_none() {
                Err("its id is no ULID, so nobody can tell how old it is: give it with expiresAt".to_owned())
            } else if raises
                && later
                    .iter()
                    .any(|l| l.names(&name) && !self.would_raise_named(l, &name))
            {
                cancelled += 1;
                Err("a later lowering command takes its place".to_owned())
            } else {
                self.one(i, command)
            };
            match answer {
                Ok(message) => {
                    good += 1;
                    sentences.push(format!("{name}: {message}"));
                }
                Err(message) => {
                    bad += 1;
                    sentences.push(format!("{name}: {message}"));
                }
            }
        }
        let gone = &self.out.detached;
        self.status
            .components
            .retain(|c| c.state != State::Orphaned || !gone.contains(&c.name));
        let result = match (good, bad) {
            (0, n) if n == expired && n > 0 => CommandResult::Expired,
            (0, n) if n == cancelled && n > 0 => CommandResult::Cancelled,
            (0, _) => CommandResult::Refused,
            (_, 0) => CommandResult::Accepted,
            _ => CommandResult::Partly,
        };
        (result, sentences.join("; "))
    }

    /// Whether a command would let traffic to this canary grow.
    #[expect(
        clippy::unused_self,
        reason = "reads as a question to the desk, beside its sibling"
    )]
    fn would_raise(&self, command: &Command, c: &ComponentStatus) -> bool {
        match command.verb {
            Verb::Set => command.wish.weight.is_some_and(|w| w > c.weight.written),
            Verb::Resume | Verb::Approve | Verb::Promote | Verb::Retry => true,
            Verb::Pause | Verb::Rollback | Verb::Detach => false,
        }
    }

    fn would_raise_named(&self, command: &Command, name: &str) -> bool {
        // Pause and detach lower nothing, yet whoever gave one after a raise does not want the raise.
        self.status
            .component(name)
            .is_some_and(|c| self.would_raise(command, c))
    }

    fn one(&mut self, i: usize, command: &Command) -> Answer {
        let orphan = self
            .status
            .components
            .get(i)
            .is_some_and(|c| c.state == State::Orphaned);
        if orphan
            && matches!(
                command.verb,
                Verb::Set | Verb::Rollback | Verb::Retry | Verb::Resume | Verb::Promote
            )
        {
            let message = "it is no longer in the spec, so its routed objects are not known: put it back into the spec \
                 first, or change its weight by hand and detach it";
            return Err(message.to_owned());
        }
        let who = if command.wish.who.is_empty() {
            "somebody"
        } else {
            command.wish.who.as_str()
        }
        .to_owned();
        match command.verb {
            Verb::Set => self.set(i, command, &who),
            Verb::Rollback => Ok(self.put_back(i, command, &who)),
            Verb::Retry => self.retry(i),
            Verb::Detach => Ok(self.detach(i)),
            Verb::Pause => Ok(self.pause(i, &who)),
            Verb::Resume => self.resume(i),
            Verb::Promote => self.promote(i),
            Verb::Approve => Err("approve opens a phase, not a component".to_owned()),
        }
    }

    fn put_back(&mut self, i: usize, command: &Command, who: &str) -> String {
        let Some(written) = self.status.components.get(i).map(|c| c.weight.written) else {
            return String::new();
        };
        let observed = self
            .status
            .components
            .get(i)
            .and_then(|c| c.weight.observed)
            .unwrap_or(written);
        let to = command.wish.weight.unwrap_or(self.plan.rollback_to);
        // Neither a rollback nor an emergency ever raises.
        let target = if cfg!(sabotage_14) {
            to
        } else {
            to.min(written).min(observed)
        };
        let reason = if command.wish.emergency {
            Reason::Emergency
        } else {
            Reason::RollbackRequested
        };
        let why = if command.wish.reason.is_empty() {
            "no reason given"
        } else {
            command.wish.reason.as_str()
        };
        let message = format!("{who} asked to put it back to {target}: {why}");
        self.roll_back(
            i,
            target,
            reason,
            message,
            command.wish.emergency,
            Some(command.id.clone()),
        );
        format!("going to {target}")
    }

    fn set(&mut self, i: usize, command: &Command, who: &str) -> Answer {
        let Some(weight) = command.wish.weight else {
            return Err("set needs a weight".to_owned());
        };
        let Some(c) = self.status.components.get(i) else {
            return Err(String::new());
        };
        let written = c.weight.written;
        let deeper = c
            .lowering
            .as_ref()
            .is_some_and(|order| order.reason.is_rollback() && order.weight < weight);
        if deeper && !command.wish.force {
            return Err("its traffic is being put back right now: wait for that, then retry it; --force sets all the same".to_owned());
        }
        if weight > written && !command.wish.force {
            self.may_set(i)?;
        }
        let warning = if weight > written { self.advice(i) } else { None };
        let Some(c) = self.status.components.get_mut(i) else {
            return Err(String::new());
        };
        let message = format!("{who} set {weight}; the plan waits until `resume`, a breach still rolls back");
        c.fingerprint = None;
        c.state = State::Manual;
        c.reason = Reason::Manual;
        c.message.clone_from(&message);
        if weight > written {
            c.weight.asked = weight;
            c.lowering = None;
            c.raise_by = Some(self.now + RAISE_EXPIRES);
        } else {
            self.order(i, weight, Reason::Manual, false, Some(command.id.clone()));
        }
        self.note(i, Reason::Manual, message, false);
        Ok(format!(
            "going to {weight}{}",
            warning.map(|w| format!(" ({w})")).unwrap_or_default()
        ))
    }

    /// What refuses a raise by hand, short of force.
    fn may_set(&self, i: usize) -> Result<(), String> {
        let Some(c) = self.status.components.get(i) else {
            return Ok(());
        };
        let force = "--force does it all the same";
        if self.paused(c) {
            return Err(format!("it is paused: resume it first; {force}"));
        }
        if let Opening::Frozen { until, reason } = self.plan.calendar.at(self.now) {
            return Err(format!("weights are frozen until {until} ({reason}); {force}"));
        }
        if self.sight(i).control_ready == Some(false) {
            return Err(format!(
                "control has no ready endpoint to take the traffic back; {force}"
            ));
        }
        if let (State::RolledBack, Reason::Breach | Reason::LostTraffic) = (c.state, c.reason) {
            return Err(format!(
                "it was rolled back for {} ({}): retry it, or {force}",
                c.reason, c.message
            ));
        }
        match self.outlook_now(i) {
            Some(Outlook::Breach { message, .. }) => {
                Err(format!("it is over a rollback limit ({message}); {force}"))
            }
            Some(Outlook::Unknown {
                kind: Dark::Down | Dark::Refused,
                message,
                ..
            }) => Err(format!("the metrics' source is down ({message}); {force}")),
            _ => Ok(()),
        }
    }

    /// What only warns about a raise by hand.
    fn advice(&self, i: usize) -> Option<String> {
        match self.outlook_now(i) {
            Some(
                Outlook::Insufficient { message }
                | Outlook::Unknown { message, .. }
                | Outlook::Unclear { message, .. },
            ) => Some(format!("warning: {message}")),
            _ => None,
        }
    }

    fn outlook_now(&self, i: usize) -> Option<Outlook> {
        let (planned, c) = (self.planned(i)?, self.status.components.get(i)?);
        planned.component.arms.as_ref()?;
        let mut ledger = c.evidence.clone()?;
        let context = self.context(i, planned, c);
        if let Some(reading) = &self.sight(i).reading {
            ledger.absorb(reading, &context);
        }
        let set = self.plan.check_set_at(planned, c.weight.written);
        if set.is_plain() {
            return Some(ledger.outlook(&context));
        }
        let mut beside = c.beside.clone().unwrap_or_else(|| Beside::begin(&ledger));
        beside.absorb(set, self.sight(i), &context);
        Some(beside.join(ledger.judge(&context), set, &context).outlook)
    }

    fn pause(&mut self, i: usize, who: &str) -> String {
        let Some(c) = self.status.components.get_mut(i) else {
            return String::new();
        };
        c.paused_by = Some(who.to_owned());
        // A raise that nobody has written yet is not wanted any more.
        c.raise_by = None;
        c.weight.asked = c.weight.asked.min(c.weight.written);
        "paused: nothing rises, every lowering still happens".to_owned()
    }

    fn resume(&mut self, i: usize) -> Answer {
        let spec_paused = self.plan.paused;
        let Some(c) = self.status.components.get_mut(i) else {
            return Err(String::new());
        };
        let was = c.state;
        if c.paused_by.is_none() && !matches!(was, State::Manual | State::Drifted) {
            let hint = if spec_paused {
                "spec.paused holds it: edit the resource"
            } else {
                "it is not paused"
            };
            let hint = if was == State::RolledBack {
                "it was rolled back: `retry` begins again"
            } else {
                hint
            };
            return Err(hint.to_owned());
        }
        c.paused_by = None;
        c.raise_by = None;
        c.drifts.clear();
        if matches!(was, State::Manual | State::Drifted) {
            c.state = State::Walking;
            c.weight.asked = c.weight.written;
        }
        say(c, Reason::Starting, true, || "resumed".to_owned());
        Ok(if spec_paused {
            "resumed, but spec.paused still holds it"
        } else {
            "back on its plan"
        }
        .to_owned())
    }

    fn promote(&mut self, i: usize) -> Answer {
        let Some(c) = self.status.components.get_mut(i) else {
            return Err(String::new());
        };
        if c.state != State::Walking || c.weight.written.is_zero() {
            return Err(format!("it holds no step now ({})", c.state));
        }
        c.hold_ended = true;
        Ok("this step's hold is over; the checks, the window and the gates still apply".to_owned())
    }

    fn retry(&mut self, i: usize) -> Answer {
        let (now, judge) = (self.now, &self.plan.judge);
        self.find_phase();
        // Whoever begins in a phase that the others have left walks alone, and they do not wait.
        let behind = self
            .plan
            .components
            .get(i)
            .and_then(|p| p.steps.first())
            .is_some_and(|s| s.phase < self.phase);
        let Some(c) = self.status.components.get_mut(i) else {
            return Err(String::new());
        };
        if !c.state.is_terminal() {
            return Err(format!("it is not at an end ({}): nothing to retry", c.state));
        }
        let at = c.weight.written;
        restart(c, now, judge);
        c.alone = behind;
        remember(c, now, at, at, Reason::Starting, "retry");
        self.note(
            i,
            Reason::Starting,
            "the plan begins again with fresh evidence".to_owned(),
            false,
        );
        Ok("its plan begins again".to_owned())
    }

    fn detach(&mut self, i: usize) -> String {
        let Some(c) = self.status.components.get_mut(i) else {
            return String::new();
        };
        let (name, at, orphan) = (c.name.clone(), c.weight.written, c.state == State::Orphaned);
        self.out.detached.push(name);
        if orphan {
            // Taken off the list when the command has been through it.
            self.out.changed = true;
            return format!(
                "let go at {at}; its marks stay on the routed objects, which are no longer known"
            );
        }
        c.state = State::Manual;
        c.lowering = None;
        c.intent = None;
        c.weight.asked = at;
        c.reason = Reason::Manual;
        c.message =
            format!("detached at {at}: our marks are off the routed objects; `resume` takes it up again");
        format!("let go at {at}; it is still in the spec, so `resume` takes it up again")
    }

    fn approve(&mut self, command: &Command) -> (CommandResult, String) {
        let open = |name: &str, desk: &Self| desk.status.approvals.iter().any(|a| a.phase == name);
        if command.expired(self.now, true) {
            return (
                CommandResult::Expired,
                "it came too late: give it again if it is still wanted".to_owned(),
            );
        }
        self.find_phase();
        let gate = match &command.wish.phase {
            Some(name) => self.plan.phases.iter().find(|p| &p.name == name && p.approval),
            None => self
                .plan
                .phases
                .iter()
                .skip(self.phase)
                .find(|p| p.approval && !open(&p.name, self)),
        };
        let Some(gate) = gate else {
            let gates: Vec<&str> = self
                .plan
                .phases
                .iter()
                .filter(|p| p.approval)
                .map(|p| p.name.as_str())
                .collect();
            let message = if gates.is_empty() {
                "no phase of this plan requires approval".to_owned()
            } else {
                format!(
                    "no gate waits to be opened; the plan's gates are {}",
                    gates.join(", ")
                )
            };
            return (CommandResult::Refused, message);
        };
        let name = gate.name.clone();
        if open(&name, self) {
            return (CommandResult::Accepted, format!("{name} was open already"));
        }
        let by = command.wish.who.chars().take(256).collect();
        self.status.approvals.push(Approved {
            phase: name.clone(),
            by,
            at: self.now,
        });
        (CommandResult::Accepted, format!("the gate of {name} is open"))
    }

    /// The weight that a person's raise still asks for.
    pub(super) fn wanted_by_hand(&self, c: &ComponentStatus) -> Option<Weight> {
        let wanted = c.state == State::Manual && c.weight.asked > c.weight.written;
        (wanted && c.raise_by.is_some_and(|until| self.now <= until)).then_some(c.weight.asked)
    }
}
