//! People's wishes, in the order they were given. Each is dealt with once: the status then holds what became of it.

use super::given::{Given, Waiting, all, clip, keep, trim};
use super::verbs::unusable;
use super::{Desk, forget, previews};
use crate::rollout::audit::{Audit, Stand};
use crate::rollout::command::{Command, NotACommand, Verb, ago};
use crate::rollout::complaint::unescaped;
use crate::rollout::observation::Routers;
use crate::rollout::reason::State;
use crate::rollout::several;
use crate::rollout::status::{CommandOutcome, CommandResult, ComponentStatus, GradualRolloutStatus};
use crate::rollout::weight::Weight;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// The longest message of an outcome, in characters.
const ROOM: usize = 2048;

/// As many names are kept of whom a command named; more than a rollout has are all.
const NAMES: usize = 128;
/// The longest of them, in characters.
const NAME: usize = 63;

/// What became of a command for one component.
pub(super) type Answer = Result<String, String>;

impl Desk<'_> {
    /// Obeys every command that was not dealt with before, in the order in which they were given, as long as there is room
    /// to remember that. What stops or puts back does so in any case: as long as its annotation is there, it also cancels
    /// every older raise, whenever that one's turn comes.
    pub(super) fn obey(&mut self) {
        let waiting = Waiting::of(&self.seen.commands, &self.seen.malformed);
        if trim(&mut self.status, &waiting) {
            self.out.changed = true;
        }
        let mut room = waiting.room(&self.status.commands);
        let mut skipped = false;
        for given in self.in_order() {
            if !self.known(given) {
                skipped |= room == 0;
                if skipped {
                    self.stop_at_once(given);
                    continue;
                }
                room -= 1;
                self.deal_with(given, &waiting);
            }
            self.out.done.push(given.key());
        }
    }

    fn deal_with(&mut self, given: Given<'_>, waiting: &Waiting) {
        match given {
            Given::Command(command) => {
                let before = self.stands(Some(command));
                let (result, message, refused) = self.carry_out(command);
                let after = self.stands(Some(command));
                let outcome = outcome(given, self.giver(command), result, &message, self.now);
                self.record(CommandOutcome { refused, ..outcome }, (&before, &after), waiting);
            }
            Given::Slip(_, error) => {
                let outcome = outcome(given, None, CommandResult::Refused, &error.message, self.now);
                self.record(outcome, (&[], &[]), waiting);
            }
        }
    }

    /// A command whose turn has not come: what it stops or puts back does not wait for that.
    fn stop_at_once(&mut self, given: Given<'_>) {
        let Given::Command(command) = given else {
            return;
        };
        let goes_on = |c: &ComponentStatus| match command.verb {
            Verb::Rollback => c.state != State::RolledBack,
            Verb::Pause => c.paused_by.is_none(),
            Verb::Set
            | Verb::Resume
            | Verb::Approve
            | Verb::Promote
            | Verb::Retry
            | Verb::Detach
            | Verb::HeaderRoute
            | Verb::Mirror
            | Verb::Complaint => false,
        };
        let mut named = self.status.components.iter().filter(|c| command.names(&c.name));
        if named.any(goes_on) {
            // Recorded when its turn comes.
            drop(self.carry_out(command));
            self.out.changed = true;
        }
    }

    /// Who gave a command, as well as it is known.
    pub(super) fn giver(&self, command: &Command) -> Option<String> {
        let known = self.seen.givers.get(&command.key()).cloned();
        known.or_else(|| Some(command.wish.who.clone()).filter(|w| !w.is_empty()))
    }

    /// The same for a sentence.
    pub(super) fn who_gave(&self, command: &Command) -> String {
        self.giver(command).unwrap_or_else(|| "somebody".to_owned())
    }

    fn record(&mut self, outcome: CommandOutcome, (before, after): (&[Stand], &[Stand]), waiting: &Waiting) {
        self.audit_command(&outcome, before, after);
        keep(&mut self.status, outcome, waiting);
        self.out.changed = true;
    }

    fn carry_out(&mut self, command: &Command) -> (CommandResult, String, Vec<String>) {
        let unknown: Vec<&str> = command
            .wish
            .components
            .iter()
            .map(String::as_str)
            .filter(|name| *name != "*" && self.status.component(name).is_none())
            .collect();
        let there: Vec<&str> = self.status.components.iter().map(|c| c.name.as_str()).collect();
        // A slip in one name keeps no other component's traffic where nobody wants it.
        let proceeds = command.verb == Verb::Rollback && unknown.len() < command.wish.components.len();
        if !unknown.is_empty() && !proceeds {
            let message = format!(
                "no component is named {}; there are {}",
                unknown.join(", "),
                there.join(", ")
            );
            return (CommandResult::Refused, message, Vec::new());
        }
        if command.verb == Verb::Approve {
            let (result, message) = self.approve(command);
            return (result, message, Vec::new());
        }
        let stranger = |name: &&str| {
            let why = format!("no component is named so; there are {}", there.join(", "));
            ((*name).to_owned(), Err(why))
        };
        let mut answers: Vec<(String, Answer)> = unknown.iter().map(stranger).collect();
        let (mut good, mut bad) = (0, answers.len());
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
            let overtaken = self.overtaken(command, c);
            let answer = if command.expired(self.now, raises) {
                expired += 1;
                let given = command
                    .given_at()
                    .map_or_else(String::new, |at| format!(", given {} ago", ago(at, self.now)));
                Err(format!(
                    "it came too late{given}: give it again if it is still wanted"
                ))
            } else if raises && self.is_ageless(command) && command.wish.expires_at.is_none() {
                Err("its id is no ULID and no time that has come, so nobody can tell how old it is: give it with expiresAt".to_owned())
            } else if let Some(against) = self.against(command, c) {
                cancelled += 1;
                Err(against.to_string())
            } else if let Some(refusal) = self.refused_by_freeze(command).filter(|_| raises) {
                Err(refusal)
            } else {
                self.one(i, command)
            };
            let answer = answer.map(|done| match overtaken {
                Some(later) => format!("{done}; {later}"),
                None => done,
            });
            match answer {
                Ok(_) => good += 1,
                Err(_) => bad += 1,
            }
            answers.push((name, answer));
        }
        let (gone, plan) = (&self.out.detached, self.plan);
        self.status
            .components
            .retain(|c| plan.names(&c.name) || !gone.contains(&c.name));
        let result = match (good, bad) {
            (0, n) if n == expired && n > 0 => CommandResult::Expired,
            (0, n) if n == cancelled && n > 0 => CommandResult::Cancelled,
            (0, _) => CommandResult::Refused,
            (_, 0) => CommandResult::Accepted,
            _ => CommandResult::Partly,
        };
        let without = answers.iter().filter(|(_, answer)| answer.is_err());
        let refused = match result {
            CommandResult::Partly => without.map(|(name, _)| name.clone()).collect(),
            // For none of them, or for all.
            CommandResult::Accepted
            | CommandResult::Refused
            | CommandResult::Expired
            | CommandResult::Cancelled => Vec::new(),
        };
        (result, several::answers(&answers, ROOM), refused)
    }

    /// Whether a command would let traffic to this canary grow.
    #[expect(
        clippy::unused_self,
        reason = "reads as a question to the desk, beside its sibling"
    )]
    pub(super) fn would_raise(&self, command: &Command, c: &ComponentStatus) -> bool {
        match command.verb {
            Verb::Set => command.wish.weight.is_some_and(|w| w > c.weight.written),
            Verb::Resume | Verb::Approve | Verb::Promote | Verb::Retry => true,
            Verb::Pause | Verb::Rollback | Verb::Detach | Verb::Complaint => false,
            Verb::HeaderRoute | Verb::Mirror => previews::would_add(command),
        }
    }

    fn one(&mut self, i: usize, command: &Command) -> Answer {
        let orphan = !self.in_spec(i);
        // Taken up now, it would begin on the day on which somebody mends the spec, and surprise everybody.
        let begins = matches!(command.verb, Verb::Retry | Verb::Promote);
        if let Some(problem) = self
            .seen
            .invalid
            .as_ref()
            .filter(|_| begins || orphan && command.verb != Verb::Detach && self.planned(i).is_none())
        {
            return Err(format!("{}; then give the command again", unusable(problem)));
        }
        if orphan
            && matches!(
                command.verb,
                Verb::Set | Verb::Retry | Verb::Resume | Verb::Promote | Verb::HeaderRoute | Verb::Mirror
            )
        {
            let message =
                "it is no longer in the spec: put it back into the spec first, roll it back, or detach it";
            return Err(message.to_owned());
        }
        if command.verb == Verb::Rollback && self.planned(i).is_none() {
            let message = "it is no longer in the spec, and its routed objects are not known: put it back into the \
                 spec first, or change its weight by hand and detach it";
            return Err(message.to_owned());
        }
        let detached = self.status.components.get(i).is_some_and(|c| c.detached);
        if detached && command.restores() {
            return Ok("left alone, for it was detached".to_owned());
        }
        if let Routers::Claimed(theirs) = &self.sight(i).routers
            && matches!(
                command.verb,
                Verb::Set | Verb::Rollback | Verb::Promote | Verb::HeaderRoute | Verb::Mirror
            )
        {
            let theirs = theirs.clone();
            return self.one_of_anothers(i, command, &theirs);
        }
        if command.restores() && self.sight(i).control_ready == Some(false) {
            return Ok(self.keep_for_want_of_control(i));
        }
        let who = self.who_gave(command);
        let raised = self
            .status
            .components
            .get(i)
            .is_some_and(|c| self.would_raise(command, c));
        let theirs = match &self.sight(i).routers {
            Routers::Claimed(theirs) => format!("; nothing of it is written: {theirs}"),
            Routers::Unread | Routers::Unreadable(_) | Routers::Read(_) => String::new(),
        };
        let answer = match command.verb {
            Verb::Set => self.set(i, command, &who),
            Verb::Rollback => Ok(self
                .recalled(i, command, &who)
                .unwrap_or_else(|| self.put_back(i, command, &who))),
            Verb::Retry => self.retry(i).map(|done| done + &theirs),
            Verb::Detach => self.detach(i, command.wish.restore),
            Verb::Pause => Ok(self.pause(i, &who)),
            Verb::Resume => self.resume(i, command.given_at()).map(|done| done + &theirs),
            Verb::Promote => self.promote(i),
            Verb::HeaderRoute | Verb::Mirror => self.beside_the_weight(i, command),
            Verb::Complaint => self.complain(i, command),
            Verb::Approve => Err("approve opens a phase, not a component".to_owned()),
        };
        let takes_up = matches!(command.verb, Verb::Set | Verb::Rollback | Verb::Resume) && answer.is_ok();
        let answer = answer.map(|done| match self.heed(i, command.verb, raised) {
            Some(recalled) => done + &recalled,
            None => done,
        });
        if detached
            && takes_up
            && let Some(c) = self.status.components.get_mut(i)
        {
            // What was counted while it was its owner's is not evidence for anything of ours.
            c.detached = false;
            c.letting_go = None;
            forget(c, self.now, &self.plan.judge);
        }
        answer
    }

    /// A command that would write what is another resource's.
    fn one_of_anothers(&mut self, i: usize, command: &Command, theirs: &str) -> Answer {
        if command.restores() {
            return Ok("left alone, for its routes are another's".to_owned());
        }
        if command.verb != Verb::Rollback {
            return Err(format!("nothing of it is written: {theirs}"));
        }
        // Nothing is there to put back; but whoever said so does not want it to begin when the owner lets go.
        let who = self.who_gave(command);
        let owed = self.status.components.get(i).and_then(|c| c.owed);
        drop(self.put_back(i, command, &who));
        self.is_anothers(i);
        let to = command.wish.weight.unwrap_or(self.plan.rollback_to);
        if let Some(c) = self.status.components.get_mut(i) {
            c.owed = Some(owed.map_or(to, |owed| owed.min(to)));
        }
        Err(format!(
            "nothing of it is written, and it stays back until `retry`: {theirs}"
        ))
    }

    /// Whether nobody can tell how old a command is: a number that is no time, or will be one, is none of a clock.
    fn is_ageless(&self, command: &Command) -> bool {
        let numbered = command.id.bytes().all(|b| b.is_ascii_digit());
        command.given_at().is_none() || numbered && self.is_ahead(command)
    }

    /// Why a raising command is not taken while everything is frozen; `--force` takes it.
    pub(super) fn refused_by_freeze(&self, command: &Command) -> Option<String> {
        let frozen = self.seen.frozen.as_ref().filter(|_| !command.wish.force)?;
        Some(format!("{}; --force takes it all the same", frozen.says))
    }

    /// The weight that a person's raise still asks for.
    pub(super) fn wanted_by_hand(&self, c: &ComponentStatus) -> Option<Weight> {
        let wanted = c.state == State::Manual && c.weight.asked > c.weight.written;
        (wanted && c.raise_by.is_some_and(|until| self.now <= until)).then_some(c.weight.asked)
    }
}

fn outcome(
    given: Given<'_>,
    who: Option<String>,
    result: CommandResult,
    message: &str,
    at: Timestamp,
) -> CommandOutcome {
    let (id, verb, digest) = given.known_by();
    let (components, automatic) = match given {
        Given::Command(command) => (whom(command), command.wish.automatic),
        Given::Slip(..) => (Vec::new(), false),
    };
    CommandOutcome {
        components,
        automatic,
        id,
        verb,
        digest: Some(digest),
        who: who.map(|w| clip(&unescaped(&w), 256)),
        at,
        result,
        message: clip(&unescaped(message), ROOM),
        refused: Vec::new(),
    }
}

/// Whom a command names, as its outcome keeps it.
fn whom(command: &Command) -> Vec<String> {
    let names = &command.wish.components;
    if names.len() > NAMES || names.iter().any(|name| name == "*") {
        return vec!["*".to_owned()];
    }
    names.iter().map(|name| clip(name, NAME)).collect()
}

/// Answers what waits on a resource of which nothing can be worked: refused, with the reason. What puts traffic back is
/// kept for the day on which it can. Gives the annotations that are done with, and the records.
pub fn refuse(
    status: &mut GradualRolloutStatus,
    (commands, malformed): (&[Command], &[(String, NotACommand)]),
    givers: &BTreeMap<String, String>,
    problem: &str,
    now: Timestamp,
) -> (Vec<String>, Vec<Audit>) {
    let (mut done, mut audits) = (Vec::new(), Vec::new());
    let waiting = Waiting::of(commands, malformed);
    let room = waiting.room(&status.commands);
    for given in all(commands, malformed) {
        let (names, who, message) = match given {
            Given::Command(command) if command.verb == Verb::Rollback => continue,
            Given::Command(command) => {
                let giver = givers.get(&command.key()).cloned();
                let who = giver.or_else(|| Some(command.wish.who.clone()).filter(|who| !who.is_empty()));
                let message = format!("{}; then give the command again", unusable(problem));
                (Some(command), who, message)
            }
            Given::Slip(_, error) => (None, None, error.message.clone()),
        };
        if audits.len() >= room {
            break;
        }
        done.push(given.key());
        if status.commands.iter().any(|known| given.is_told_by(known)) {
            continue;
        }
        let outcome = outcome(given, who, CommandResult::Refused, &message, now);
        let named = |c: &&ComponentStatus| names.is_some_and(|command| command.names(&c.name));
        let stands: Vec<Stand> = status.components.iter().filter(named).map(Stand::of).collect();
        audits.push(Audit::of(&outcome, &stands, &stands, now));
        keep(status, outcome, &waiting);
    }
    (done, audits)
}
