//! Records of who did what, held against where everything stood before.

use super::Desk;
use crate::rollout::audit::{Audit, ITSELF, Stand, part};
use crate::rollout::command::{Command, short_giver};
use crate::rollout::reason::Reason;
use crate::rollout::status::{CommandOutcome, ComponentStatus};

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
            let (who, message) = (self.doer(c), part(message));
            let id = c.mark.clone().filter(|_| moved).unwrap_or_else(|| self.id(i));
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

    /// Who is behind where a component stands now.
    fn doer(&self, c: &ComponentStatus) -> String {
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
            return manager.unwrap_or_else(|| "unknown".to_owned());
        }
        if !matches!(
            reason,
            Reason::Manual | Reason::RollbackRequested | Reason::Emergency
        ) {
            return ITSELF.to_owned();
        }
        // The lowering carries the command's id; a raise by hand does not, and the last one who set it is it.
        let all = || self.status.commands.iter().rev();
        let by_id = all().find(|o| Some(&o.id) == c.mark.as_ref());
        let verbs = |o: &&CommandOutcome| ["set", "rollback", "detach"].contains(&o.verb.as_str());
        let outcome = by_id.or_else(|| all().find(verbs));
        outcome
            .and_then(|o| o.who.clone())
            .unwrap_or_else(|| "unknown".to_owned())
    }
}
