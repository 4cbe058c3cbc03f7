//! Whether a component may go on: every reason not to, in order, and only then the next declared step.

use super::recalls::unrecalled;
use super::{Desk, say};
use crate::rollout::bounded::{FAILURE_KEPT, cut};
use crate::rollout::command::Verb;
use crate::rollout::duration::Span;
use crate::rollout::judge::Outlook;
use crate::rollout::observation::{Raise, Routers};
use crate::rollout::plan::{PlannedComponent, PlannedStep};
use crate::rollout::reason::{Reason, State};
use crate::rollout::sabotage;
use crate::rollout::status::{CommandOutcome, CommandResult, ComponentStatus};
use crate::rollout::weight::Weight;
use std::time::Duration;

/// How the sentence begins when nothing was seen for `judge.blindAfter`: an alarm. And where all but one check was.
const LONG_DARK: [&str; 2] = [
    "nothing was seen for more than",
    "a check could not be told for more than",
];

/// The alarm's sentence.
pub(super) fn long_dark(one: bool, after: Duration, message: &str) -> String {
    let [all, single] = LONG_DARK;
    format!("{} {}: {message}", if one { single } else { all }, Span(after))
}

fn is_long_dark(message: &str) -> bool {
    LONG_DARK.iter().any(|begin| message.starts_with(begin))
}

/// Whether two sentences say the same, but for what is counted in them.
fn says_the_same(a: &str, b: &str) -> bool {
    let counted = |word: &&str| !word.contains(|c: char| c.is_ascii_digit());
    a.split_whitespace()
        .filter(counted)
        .eq(b.split_whitespace().filter(counted))
}

/// How a sentence about a lowering that fails begins.
pub(super) const NOT_WRITTEN: &str = "not written yet, going to";
/// What stands between that and what was said before it: whoever asked for a lowering, and the reason given, outlive
/// the trouble with writing it.
const WHY: &str = "; why: ";

/// What was said before a lowering could not be written.
pub(super) fn cause(message: &str) -> Option<&str> {
    let said = if message.starts_with(NOT_WRITTEN) {
        message.split_once(WHY).map(|(_, cause)| cause)
    } else {
        Some(message)
    };
    said.filter(|cause| !cause.is_empty())
}

/// Above this weight control has less than 10% left to compare with.
const FREEZE_ABOVE: u16 = 900;

/// Whether the sentence may come to say something else while the code stays: it is told as soon as it does.
const fn waits_for_others(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::AwaitingApproval
            | Reason::WaitingForChecklist
            | Reason::WaitingForRollout
            | Reason::WaitingForGate
            | Reason::WaitingForDependency
            | Reason::WaitingForTurn
            | Reason::Frozen
    )
}

/// What is said of a weight that a person set, and by whom where that is known.
pub(super) fn by_hand(weight: Weight, who: Option<&str>) -> String {
    let set = who.map_or_else(
        || format!("{weight} was set by hand"),
        |who| format!("{who} set {weight}"),
    );
    format!("{set}; the plan waits until `resume`, a breach still rolls back")
}

/// How a weight stands that no plan moves: set by a person, or left where it was because what was asked for is not
/// there.
fn stays(c: &ComponentStatus) -> String {
    let at = c.weight.written;
    // What was put back in between changes nothing about whose weight it is.
    let last = c.history.iter().rev().find(|h| h.reason != Reason::DriftReverted);
    if c.weight.asked > at {
        format!("{} was asked for and is not written; {at} now", c.weight.asked)
    } else if last.is_some_and(|h| h.reason == Reason::Manual && h.to == at) {
        format!("{at} stays as it was set by hand")
    } else {
        format!("it stays at {at}")
    }
}

/// Why nothing rises now.
pub(super) struct Stop(pub(super) Reason, pub(super) String);

impl Desk<'_> {
    /// Raises a component's weight, or says why not.
    pub(super) fn advance(&mut self, i: usize) {
        let Some(planned) = self.planned(i) else { return };
        if !self.in_spec(i) {
            self.tell_failure(i);
            self.watch_orphan(i, planned);
            return;
        }
        if self.status.components.get(i).is_some_and(|c| c.detached) {
            return;
        }
        self.rejoin(i);
        self.place(i);
        self.tell_failure(i);
        let Some(c) = self.status.components.get(i) else {
            return;
        };
        if c.state == State::Manual {
            self.by_hand(i);
            self.tell_by_hand(i);
        }
        let Some(c) = self.status.components.get(i) else {
            return;
        };
        let watched = planned.component.arms.is_some()
            && (!c.state.is_terminal() || self.has_more_to_lose(c))
            && !matches!(self.sight(i).routers, Routers::Claimed(_))
            && self.worth_watching(i, c, planned);
        if watched {
            self.out.watched.push(c.name.clone());
        }
        if c.state != State::Walking {
            return;
        }
        let turn = self.turn(i, c, planned);
        let asks = matches!(&turn, Ok(_) | Err(Stop(Reason::WaitingForGate, _)));
        if asks && let Some(next) = planned.next_above(c.weight.written).copied() {
            self.question(i, &next);
        }
        let Some(c) = self.status.components.get(i) else {
            return;
        };
        match turn {
            Ok((step, reason)) => self.rise(i, step, reason),
            Err(Stop(Reason::Completed, message)) => self.complete(i, planned, message),
            Err(_) if self.may_join(i, c) => {
                let written = c.weight.written;
                self.ask(i, written, Reason::Joined);
            }
            Err(Stop(reason, message)) => {
                // What a check came to is said by the component, too.
                let refresh = self.seen.refresh || self.judged_otherwise(i);
                let alarm = matches!(
                    reason,
                    Reason::SharedOutage
                        | Reason::ControlBad
                        | Reason::NotArriving
                        | Reason::NotAchievable
                        | Reason::RouterUnreadable
                        | Reason::Claimed
                        | Reason::Ineligible
                        | Reason::RouterSplit
                        | Reason::SpecChanged
                        | Reason::Complaints
                        | Reason::AwaitingApproval
                        | Reason::WaitingForChecklist
                        | Reason::DependencyFailed
                );
                let Some(c) = self.status.components.get_mut(i) else {
                    return;
                };
                let news = c.reason != reason && alarm;
                // The sentence that went with the alarm.
                let long_blind = is_long_dark(&message) && !is_long_dark(&c.message);
                let said = !c.message.is_empty();
                // Whom a pool waits for may change, the code does not.
                let other = reason == Reason::WaitingForPool && c.message != message;
                // What is wrong now may be something else than what was wrong first, and so may be the remedy.
                let told = c.message != message
                    && (waits_for_others(reason)
                        || matches!(reason, Reason::Claimed | Reason::InvalidSpec)
                        || matches!(
                            reason,
                            Reason::Blind | Reason::RouterUnreadable | Reason::Ineligible
                        ) && !says_the_same(&c.message, &message));
                self.news |= told;
                let other = other || told;
                say(c, reason, refresh || long_blind || other || !said, || {
                    message.clone()
                });
                if news {
                    self.note(i, reason, message, true);
                }
            }
        }
    }

    /// Whether something new may be brought to the weight that the component has: under all that a step needs except
    /// the end of the hold and the gates of another weight.
    fn may_join(&self, i: usize, c: &ComponentStatus) -> bool {
        let waits = match &self.sight(i).routers {
            Routers::Read(objects) => objects.iter().any(|o| o.joins) && !objects.iter().all(|o| o.joins),
            Routers::Unread | Routers::Unreadable(_) | Routers::Claimed(_) => false,
        };
        waits
            && !c.weight.written.is_zero()
            && self.planned(i).is_some_and(|p| p.component.arms.is_some())
            && self.routers_ready(i, c).is_ok()
            && !self.paused(c)
            && unrecalled(c).is_ok()
            && self.uncomplained(c).is_ok()
            && self.open().is_ok()
            && self.judged_well(i, c).is_ok()
    }

    /// What was removed from the spec rises no more, and is still judged.
    fn watch_orphan(&mut self, i: usize, planned: &PlannedComponent) {
        let Some(c) = self.status.components.get(i) else {
            return;
        };
        let judged = c.state == State::Orphaned || self.has_more_to_lose(c);
        if judged && !c.weight.written.is_zero() && planned.component.arms.is_some() {
            self.out.watched.push(c.name.clone());
        }
    }

    /// A lowering that cannot be written, or not be read back, must not look as if it were only slow.
    fn tell_failure(&mut self, i: usize) {
        let seen = self.sight(i);
        let failure = match (&seen.failure, &seen.routers) {
            (Some(failure), _) | (None, Routers::Unreadable(failure) | Routers::Claimed(failure)) => {
                failure.clone()
            }
            (None, Routers::Read(_) | Routers::Unread) => return,
        };
        let Some(c) = self.status.components.get_mut(i) else {
            return;
        };
        let Some(order) = &c.lowering else { return };
        let why = cause(&c.message).map(|cause| format!("{WHY}{cause}"));
        let message = format!(
            "{NOT_WRITTEN} {}: {}{}",
            order.weight,
            cut(&failure, FAILURE_KEPT),
            why.unwrap_or_default()
        );
        if c.message != message {
            c.message.clone_from(&message);
            self.out.changed = true;
            self.note(i, Reason::WriteFailed, message, true);
        }
    }

    /// One that walks alone has caught up when what it does next belongs to the phase the rollout is in.
    pub(super) fn rejoin(&mut self, i: usize) {
        let Some(c) = self.status.components.get(i).filter(|c| c.alone) else {
            return;
        };
        let next = self
            .planned(i)
            .and_then(|p| p.next_above(c.weight.written))
            .map(|s| s.phase);
        let caught_up = next.is_none_or(|phase| phase >= self.phase) && self.hold_over(i, c);
        if caught_up && let Some(c) = self.status.components.get_mut(i) {
            c.alone = false;
        }
    }

    /// Phase and step for people.
    fn place(&mut self, i: usize) {
        let standing = self
            .status
            .components
            .get(i)
            .and_then(|c| self.standing(i, c))
            .copied();
        let first = self.plan.components.get(i).and_then(|p| p.steps.first()).copied();
        let name = standing
            .or(first)
            .and_then(|s| self.plan.phases.get(s.phase))
            .map(|p| p.name.clone());
        if let Some(c) = self.status.components.get_mut(i) {
            c.phase = name;
            c.step = Some(standing.map_or(0, |s| i32::try_from(s.index + 1).unwrap_or(i32::MAX)));
        }
    }

    fn worth_watching(&self, i: usize, c: &ComponentStatus, planned: &PlannedComponent) -> bool {
        if !c.weight.written.is_zero() || c.state == State::Manual {
            return true;
        }
        // At 0% there is nothing to judge until it is this component's turn.
        !self.paused(c)
            && planned
                .next_above(Weight::ZERO)
                .is_some_and(|next| self.gates(i, c, next).is_ok())
            && self.open().is_ok()
    }

    /// A person's raise: asked for until it is written, breached, or no longer wanted.
    fn by_hand(&mut self, i: usize) {
        let Some(c) = self.status.components.get(i) else {
            return;
        };
        if c.weight.asked <= c.weight.written || c.lowering.is_some() {
            return;
        }
        match self.wanted_by_hand(c) {
            Some(weight)
                if self.routers_ready(i, c).is_ok() && (c.forced || !(self.frozen() || self.paused(c))) =>
            {
                self.ask(i, weight, Reason::Manual);
            }
            Some(_) => {}
            None => {
                let Some(c) = self.status.components.get_mut(i) else {
                    return;
                };
                let message = format!(
                    "{} was asked for and could not be written in time; it stays at {}",
                    c.weight.asked, c.weight.written
                );
                c.weight.asked = c.weight.written;
                c.raise_by = None;
                c.reason = Reason::Manual;
                c.message.clone_from(&message);
                self.note(i, Reason::WriteFailed, message, true);
            }
        }
    }

    /// Who set a component to this weight, by the last command that did.
    pub(super) fn who_set(&self, c: &ComponentStatus, weight: Weight) -> Option<String> {
        let about = |o: &&CommandOutcome| {
            o.verb == Verb::Set.word()
                && matches!(o.result, CommandResult::Accepted | CommandResult::Partly)
                && o.components.iter().any(|name| *name == c.name || name == "*")
        };
        let last = self.status.commands.iter().rev().find(about)?;
        let same = last.message.contains(&format!("going to {weight}"));
        last.who.clone().filter(|_| same)
    }

    /// A weight that a person set stays, and what is wrong with what carries it is told all the same, until it is well
    /// again.
    fn tell_by_hand(&mut self, i: usize) {
        const WRONG: [Reason; 5] = [
            Reason::RouterUnreadable,
            Reason::Claimed,
            Reason::Ineligible,
            Reason::RouterSplit,
            Reason::RouteNotAccepted,
        ];
        let Some(c) = self.status.components.get(i) else {
            return;
        };
        if c.lowering.is_some() {
            return;
        }
        let blind = self.blind_by_hand(i, c);
        match self.routers_ready(i, c) {
            // Whoever moved one of several by hand made them disagree: that is what is told.
            Err(Stop(Reason::RouterSplit, _)) if c.reason == Reason::DriftAdopted => {}
            Err(Stop(reason, message)) if WRONG.contains(&reason) => {
                let message = format!("{message}; {}", stays(c));
                let news = c.reason != reason;
                let Some(c) = self.status.components.get_mut(i) else {
                    return;
                };
                let other = c.message != message;
                say(c, reason, other, || message.clone());
                if news {
                    self.note(i, reason, message, true);
                }
            }
            Ok(()) if blind.is_some() => {
                let message = blind.unwrap_or_default();
                let Some(c) = self.status.components.get_mut(i) else {
                    return;
                };
                let other = c.reason == Reason::Blind && !says_the_same(&c.message, &message);
                self.news |= other;
                say(c, Reason::Blind, other, || message);
            }
            Ok(()) if c.reason == Reason::Blind || WRONG.contains(&c.reason) => {
                let who = self.who_set(c, c.weight.written);
                let Some(c) = self.status.components.get_mut(i) else {
                    return;
                };
                let stays = stays(c);
                let message = if stays.ends_with("set by hand") {
                    by_hand(c.weight.written, who.as_deref())
                } else {
                    format!("{stays}; the plan waits until `resume`, a breach still rolls back")
                };
                say(c, Reason::Manual, true, || message);
            }
            Ok(()) | Err(_) => {}
        }
    }

    /// What is said of a weight that a person set while nobody would see it fail.
    fn blind_by_hand(&self, i: usize, c: &ComponentStatus) -> Option<String> {
        let outlook = self.judged.get(i)?.as_ref()?;
        if c.weight.written.is_zero() || c.recall.is_some() {
            return None;
        }
        let (since, message, one) = match outlook {
            Outlook::Unknown { kind, since, message } if self.is_dark(c, *kind, *since) => {
                (since, message, false)
            }
            Outlook::Unclear { since, message } => (since, message, true),
            Outlook::Unknown { .. }
            | Outlook::Breach { .. }
            | Outlook::Promotable
            | Outlook::Between { .. }
            | Outlook::Insufficient { .. }
            | Outlook::Settling { .. }
            | Outlook::SharedOutage { .. }
            | Outlook::ControlBad { .. }
            | Outlook::NotArriving { .. }
            | Outlook::NotAchievable { .. } => return None,
        };
        let after = self.plan.judge.blind_after;
        let long = self.now.duration_since(*since).unsigned_abs() >= after;
        let why = if long {
            long_dark(one, after, message)
        } else {
            message.clone()
        };
        let what = if one { "a breach of one check" } else { "a breach" };
        Some(format!(
            "{what} cannot be seen now: {why}; {}, until `resume`",
            stays(c)
        ))
    }

    fn rise(&mut self, i: usize, step: PlannedStep, reason: Reason) {
        let now = self.now;
        if let Some(c) = self.status.components.get_mut(i)
            && step.weight.permille() > FREEZE_ABOVE
            && c.baseline.is_none()
            && !sabotage::broken(12)
        {
            c.baseline = c.evidence.as_ref().and_then(|l| l.freeze(now));
        }
        if reason == Reason::PromotedInsufficient
            && let Some(c) = self.status.components.get(i)
        {
            let message = format!(
                "{} had too few requests to tell for {}; going on, as the resource says",
                c.weight.written,
                Span(self.plan.judge.insufficient_after)
            );
            self.note(i, reason, message, false);
        }
        self.make_use(i, &step);
        self.ask(i, step.weight, reason);
    }

    fn ask(&mut self, i: usize, weight: Weight, reason: Reason) {
        let id = self.id(i);
        let failure = self.sight(i).failure.clone();
        let Some(c) = self.status.components.get_mut(i) else {
            return;
        };
        let (code, message) = match failure {
            Some(failure) => (Reason::WriteFailed, format!("writing {weight} failed: {failure}")),
            None if weight == c.weight.written => {
                (Reason::Raising, format!("bringing what is new to {weight}"))
            }
            None => (
                Reason::Raising,
                format!("writing {weight}, {} now", c.weight.written),
            ),
        };
        if c.state == State::Walking || code == Reason::WriteFailed {
            say(c, code, true, || message);
        }
        self.out.raises.push(Raise {
            component: c.name.clone(),
            id,
            weight,
            reason,
        });
    }

    fn complete(&mut self, i: usize, planned: &PlannedComponent, message: String) {
        let fingerprint = planned.fingerprint.clone();
        let Some(c) = self.status.components.get_mut(i) else {
            return;
        };
        c.state = State::Completed;
        c.retry = None;
        c.fingerprint = Some(fingerprint);
        c.alone = false;
        say(c, Reason::Completed, true, || message.clone());
        self.out.watched.retain(|name| *name != c.name);
        self.note(i, Reason::Completed, message, false);
    }
}
