//! Records of who did what, held against where everything stood before.

use super::Desk;
use super::recalls::ASKED;
use crate::rollout::audit::{Audit, ITSELF, Stand, part};
use crate::rollout::command::{Command, Verb, short_giver};
use crate::rollout::reason::Reason;
use crate::rollout::status::{CommandOutcome, CommandResult, ComponentStatus};

impl Desk<'_> {
    /// Where the components stand that a command names; all of them where none is named.
    pub(super) fn stands(&self, command: Option<&Command>) -> Vec<Stand> {
        let named = |c: &&ComponentStatus| command.is_none_or(|command| command.names(&c.name));
        self.status
            .components
            .iter()
            .filter(named)
            .map(Stand::of)
            .collect()
    }

    /// Records a command, whatever became of it. What it did to its components is no change of the daemon's own.
    pub(super) fn audit_command(&mut self, outcome: &CommandOutcome, before: &[Stand], after: &[Stand]) {
        self.out.audits.push(Audit::of(outcome, before, after, self.now));
        for stand in after {
            if let Some(known) = self.stood.iter_mut().find(|known| known.name == stand.name) {
                *known = stand.clone();
            }
        }
    }

    /// Records what changed since without a command, and says in the history who did it. Before commands are obeyed
    /// and after: what came of itself in the same look is not the command's.
    pub(super) fn audit_changes(&mut self) {
        for i in 0..self.status.components.len() {
            let Some(c) = self.status.components.get(i) else {
                continue;
            };
            let now = Stand::of(c);
            let Some(known) = self.stood.iter_mut().find(|known| known.name == c.name) else {
                continue;
            };
            let before = std::mem::replace(known, now.clone());
            if !before.differs(&now) {
                continue;
            }
            let moved = before.weight != now.weight;
            let entry = c.history.last().filter(|entry| moved && entry.at == self.now);
            let (what, message) =
                entry.map_or((c.reason, &c.message), |entry| (entry.reason, &entry.message));
            let ((who, command), message) = (self.doer(c), part(message));
            let mark = command.or_else(|| c.mark.clone());
            let id = mark.filter(|_| moved).unwrap_or_else(|| self.id(i));
            let noted = entry.is_some();
            self.out.audits.push(Audit {
                id: id.clone(),
                at: self.now,
                who: who.clone(),
                what: what.to_string(),
                before: before.to_string(),
                after: now.to_string(),
                message,
                commanded: false,
            });
            let Some(c) = self.status.components.get_mut(i) else {
                continue;
            };
            // The daemon's own steps are most of a history, and a status has little room.
            if let Some(entry) = c.history.last_mut().filter(|_| noted && who != ITSELF) {
                entry.id = Some(id);
                entry.who = Some(short_giver(&who, 64));
            }
        }
    }

    /// Who is behind where a component stands now, and by which command, where one is known for it.
    fn doer(&self, c: &ComponentStatus) -> (String, Option<String>) {
        let newest = c.history.last().filter(|entry| entry.at == self.now);
        let reason = newest.map_or(c.reason, |entry| entry.reason);
        if matches!(
            reason,
            Reason::Drifted | Reason::DriftAdopted | Reason::GitOpsFight
        ) {
            let manager = c
                .drifts
                .last()
                .map(|drift| format!("{} (field manager)", drift.manager));
            return (manager.unwrap_or_else(unknown), None);
        }
        if !matches!(
            reason,
            Reason::Manual | Reason::RollbackRequested | Reason::Emergency
        ) {
            return (ITSELF.to_owned(), None);
        }
        // A lowering bears the command's id, also where that was done without a daemon and waits yet.
        let is_it = |waiting: &&Command| Some(&waiting.id) == c.mark.as_ref() && waiting.names(&c.name);
        if let Some(command) = self.seen.commands.iter().find(is_it) {
            return (self.who_gave(command), Some(command.id.clone()));
        }
        let all = || self.status.commands.iter().rev();
        let by_id = all().find(|o| Some(&o.id) == c.mark.as_ref());
        // Where that id could not be used, the sentence names who asked. A raise by hand has neither: whoever set a
        // weight last is it.
        let message = newest.map_or(&c.message, |entry| &entry.message);
        let says = |o: &&CommandOutcome| {
            let who = o.who.as_deref().filter(|_| o.verb == Verb::Rollback.word());
            who.is_some_and(|who| {
                message
                    .strip_prefix(who)
                    .is_some_and(|rest| rest.starts_with(ASKED))
            })
        };
        let raised = reason == Reason::Manual && newest.is_none_or(|entry| entry.to > entry.from);
        let sets = |o: &&CommandOutcome| {
            raised
                && o.verb == Verb::Set.word()
                && matches!(o.result, CommandResult::Accepted | CommandResult::Partly)
        };
        let outcome = by_id.or_else(|| all().find(says)).or_else(|| all().find(sets));
        let who = outcome.and_then(|o| o.who.clone()).unwrap_or_else(unknown);
        (who, outcome.map(|o| o.id.clone()).filter(|_| !raised))
    }
}

fn unknown() -> String {
    "unknown".to_owned()
}
