//! Samples in, rollbacks out.

use super::advance::long_dark;
use super::{Desk, say};
use crate::rollout::arrival::{Arrival, Measured};
use crate::rollout::explain::limits;
use crate::rollout::judge::{Beside, Context, How, Judgement, Outlook};
use crate::rollout::ledger::Ledger;
use crate::rollout::observation::Seen;
use crate::rollout::plan::CheckSet;
use crate::rollout::reason::{Reason, State, Verdict};
use crate::rollout::sabotage;
use crate::rollout::sample::Reading;
use crate::rollout::spec::OnBlind;
use crate::rollout::status::{CheckStatus, ComponentStatus};
use jiff::Timestamp;

/// The checks as they were judged, with the limits that they were held to, as people read them.
pub(super) fn with_limits(mut checks: Vec<CheckStatus>, set: &CheckSet) -> Vec<CheckStatus> {
    for status in &mut checks {
        let Some(check) = set.checks.iter().find(|check| check.rule.name == status.name) else {
            continue;
        };
        let (promote, rollback) = limits::of(check);
        let clipped = |text: String| Some(text.chars().take(96).collect());
        (status.promote, status.rollback) = (clipped(promote), clipped(rollback));
    }
    checks
}

impl Desk<'_> {
    /// Takes in a component's new samples, judges them, and orders a rollback if that is what they say.
    pub(super) fn judge(&mut self, i: usize) {
        self.judged.resize_with(self.status.components.len(), || None);
        self.lifted.resize_with(self.status.components.len(), || None);
        let (plan, seen, now) = (self.plan, self.seen, self.now);
        let Some(planned) = self.planned(i) else { return };
        let Some(c) = self.status.components.get(i) else {
            return;
        };
        let over = c.state.is_terminal()
            && !(c.state == State::RolledBack && c.weight.written > plan.rollback_to && c.lowering.is_none());
        if over || c.detached || planned.component.arms.is_none() || c.since.is_none() {
            return;
        }
        self.heed_arms(i, planned);
        let sabotaged = sabotage::broken(11) && seen.first;
        let c = self.status.components.get_mut(i);
        let Some(mut ledger) = c.and_then(|c| c.evidence.take()).filter(|_| !sabotaged) else {
            return;
        };
        let Some(c) = self.status.components.get(i) else {
            return;
        };
        let context = self.context(i, planned, c);
        let set = plan.check_set_at(planned, c.weight.written);
        let mut recorded = c.recorded.clone();
        if let Some(history) = seen.components.get(&c.name).and_then(|s| s.history.as_ref()) {
            ledger.learn(history, &context);
            recorded = recorded.or_else(|| ledger.record(history, now, &context));
        }
        let recorded = recorded.filter(|_| planned.wants_history());
        let reading = seen.components.get(&c.name).and_then(|s| s.reading.as_ref());
        let held = ledger.judged;
        let look = |r| take_in(&mut ledger, (r, self.sight(i)), &context);
        let (another, counted) = reading.map_or_else(Default::default, look);
        let mut beside = c.beside.clone().filter(|_| !set.is_plain());
        if !set.is_plain() {
            let beside = beside.get_or_insert_with(|| Beside::begin(&ledger));
            beside.absorb(set, self.sight(i), &context);
        }
        let outlook = ledger.outlook(&context);
        let quiet = planned.component.pool.is_some() && matches!(outlook, Outlook::Insufficient { .. });
        let lifted = quiet.then(|| lifted(beside.as_ref(), set, &context));
        // The words for each check are made anew when they may say something else, not at every look.
        let stale = seen.refresh || c.checks.is_empty() || beside.is_some() || !agrees(c, &outlook);
        let (judgement, unclear) = weigh(&ledger, beside.as_ref(), set, &context, (outlook, stale));
        let Judgement { checks, outlook } = judgement;
        let checks = with_limits(checks, set);
        let blind = darkness(&outlook).or(unclear.map(|(since, message)| (since, message, true)));
        if blind.is_some() {
            // A hold is time in which everything that decides was seen.
            ledger.judged = held;
        }
        let measured = measure(&ledger, &context, c.measured, stale);
        let deviation = deviation(c, measured, &outlook);
        // What was not seen while nobody was there to look is nobody's darkness.
        let unlooked = self.sight(i).unlooked && darkness(&outlook).is_some();
        let verdict = self.verdict(&outlook).filter(|_| !unlooked);
        let told: Vec<(String, bool)> = Beside::news(&c.checks, &checks, set)
            .map(|(status, check)| {
                (
                    format!("{}: {}", status.name, status.message),
                    check.effect.is_loud(),
                )
            })
            .collect();
        let Some(c) = self.status.components.get_mut(i) else {
            return;
        };
        // Walking, `advance` says the new one in this very decision.
        if another && c.reason == Reason::Blind && c.state == State::Walking {
            c.message.clear();
            self.news = true;
        }
        c.held = Some(ledger.judged);
        c.measured = measured;
        c.evidence = Some(ledger);
        self.news |= c.recorded != recorded;
        c.recorded = recorded;
        c.beside = beside;
        if stale {
            c.checks = checks;
        }
        if let Some(slot) = self.judged.get_mut(i) {
            *slot = Some(outlook);
        }
        if let Some(slot) = self.lifted.get_mut(i) {
            *slot = lifted;
        }
        if counted {
            self.counted.push(i);
        }
        for (message, warning) in told {
            self.note(i, Reason::CheckBreached, message, warning);
        }
        if let Some(message) = deviation {
            self.note(i, Reason::NotAchievable, message, true);
        }
        if !unlooked {
            self.tell_darkness(i, blind);
        }
        if let Some((reason, message)) = verdict {
            self.condemn(i, reason, message);
        }
    }

    /// After `judge.blindAfter` in the dark somebody has to know, once: whatever state the component is in.
    fn tell_darkness(&mut self, i: usize, blind: Option<(Timestamp, String, bool)>) {
        let (now, after) = (self.now, self.plan.judge.blind_after);
        let Some(c) = self.status.components.get_mut(i) else {
            return;
        };
        let Some((since, message, one)) = blind else {
            c.blind_told = false;
            return;
        };
        // At 0% nobody looks while nothing may rise (paused, frozen, outside its windows): that nothing was seen since
        // is no darkness. A look that found nothing is.
        let reading = self.seen.components.get(&c.name).and_then(|s| s.reading.as_ref());
        if c.weight.written.is_zero() && !matches!(reading, Some(Reading::Blind(_))) {
            return;
        }
        if c.blind_told || now.duration_since(since).unsigned_abs() < after {
            return;
        }
        c.blind_told = true;
        self.out.changed = true;
        let text = long_dark(one, after, &message);
        self.note(i, Reason::Blind, text, true);
    }

    /// Whether an outlook means rollback, and why.
    pub(super) fn verdict(&self, outlook: &Outlook) -> Option<(Reason, String)> {
        match outlook {
            Outlook::Breach { check, how, message } => {
                let reason = if *how == How::LostTraffic {
                    Reason::LostTraffic
                } else {
                    Reason::Breach
                };
                Some((reason, format!("{check}: {message}")))
            }
            Outlook::Unknown { kind, since, message } => {
                let long = self.now.duration_since(*since).unsigned_abs() >= self.plan.judge.blind_after;
                let acts = match self.plan.judge.on_blind {
                    OnBlind::Hold => false,
                    OnBlind::Rollback => kind.source_answers(),
                    OnBlind::RollbackAlways => true,
                };
                (long && acts).then(|| (Reason::BlindRollback, format!("no data since {since}: {message}")))
            }
            Outlook::Promotable
            | Outlook::Between { .. }
            | Outlook::Insufficient { .. }
            | Outlook::Unclear { .. }
            | Outlook::Settling { .. }
            | Outlook::SharedOutage { .. }
            | Outlook::ControlBad { .. }
            | Outlook::NotArriving { .. }
            | Outlook::NotAchievable { .. } => None,
        }
    }

    pub(super) fn condemn(&mut self, i: usize, reason: Reason, message: String) {
        let ready = self.sight(i).control_ready;
        let refresh = self.seen.refresh;
        let to = self.plan.rollback_to;
        let Some(c) = self.status.components.get_mut(i) else {
            return;
        };
        let target = to.min(c.weight.written);
        // A lowering to somewhere above does not stand in the way of one that goes further.
        if c.weight.written <= to || c.lowering.as_ref().is_some_and(|order| order.weight <= target) {
            return;
        }
        if ready == Some(false) {
            let first = c.reason != Reason::ControlNotReady;
            let text =
                format!("{message}; not rolled back, for control has no ready endpoint to take the traffic");
            say(c, Reason::ControlNotReady, refresh, || text.clone());
            if first {
                self.note(i, Reason::ControlNotReady, text, true);
            }
            return;
        }
        if sabotage::broken(6) && c.paused_by.is_some() {
            return;
        }
        self.roll_back(i, target, reason, message, false, None);
    }
}

/// What the judge would say of a component if there were requests enough on its arms: checks that are counted apart
/// keep their say.
fn lifted(beside: Option<&Beside>, set: &CheckSet, ctx: &Context<'_>) -> Outlook {
    let enough = Judgement {
        checks: Vec::new(),
        outlook: Outlook::Promotable,
    };
    match beside {
        Some(beside) => beside.join(enough, set, ctx).0.outlook,
        None => enough.outlook,
    }
}

/// What all checks come to, with words where they may say something else than before; and what cannot be told beside.
fn weigh(
    ledger: &Ledger,
    beside: Option<&Beside>,
    set: &CheckSet,
    context: &Context<'_>,
    (outlook, stale): (Outlook, bool),
) -> (Judgement, Option<(Timestamp, String)>) {
    if let Some(beside) = beside {
        return beside.join(ledger.judge(context), set, context);
    }
    let judgement = if stale {
        ledger.judge(context)
    } else {
        Judgement {
            checks: Vec::new(),
            outlook,
        }
    };
    (judgement, None)
}

/// Since when nothing can be told, and why; and whether it is one check alone that cannot.
fn darkness(outlook: &Outlook) -> Option<(Timestamp, String, bool)> {
    if let Outlook::Unknown { since, message, .. } | Outlook::Unclear { since, message } = outlook {
        let one = matches!(outlook, Outlook::Unclear { .. });
        return Some((*since, message.clone(), one));
    }
    None
}

/// Counts a new look. Whether the sentence now has to tell of another darkness, or of the first; and whether there was
/// something to count.
fn take_in(ledger: &mut Ledger, (reading, sight): (&Reading, &Seen), context: &Context<'_>) -> (bool, bool) {
    ledger.see_endpoints(sight.canary_ready, sight.control_ready);
    let darkness = |ledger: &Ledger| ledger.dark.as_ref().map(|dark| dark.kind);
    let before = darkness(ledger);
    let counted = ledger.absorb(reading, context);
    let another = darkness(ledger).is_some_and(|kind| before != Some(kind));
    (another, counted)
}

/// The share that arrives. Its band takes a hundred logarithms: like the words, it is made anew only when it may say
/// something else.
fn measure(ledger: &Ledger, context: &Context<'_>, known: Option<Measured>, stale: bool) -> Option<Measured> {
    let news = |known: Measured| ledger.deviates(context) != (known.verdict == Arrival::NotAchievable);
    if stale || known.is_none_or(news) {
        ledger.measured(context)
    } else {
        known
    }
}

/// What is told when requests begin to arrive in another share than the weight's. What holds the plan is told there.
fn deviation(c: &ComponentStatus, measured: Option<Measured>, outlook: &Outlook) -> Option<String> {
    let measured = measured.filter(|m| m.verdict == Arrival::NotAchievable)?;
    let known = c.measured.is_some_and(|m| m.verdict == Arrival::NotAchievable);
    let holds = matches!(outlook, Outlook::NotAchievable { .. });
    (!known && !holds).then(|| measured.sentence(c.weight.written))
}

/// Whether the checks' words, written at an earlier look, still fit the outlook.
fn agrees(c: &ComponentStatus, outlook: &Outlook) -> bool {
    let any = |verdict| c.checks.iter().any(|check| check.verdict == verdict);
    match outlook {
        Outlook::Promotable => c
            .checks
            .iter()
            .all(|k| matches!(k.verdict, Verdict::Pass | Verdict::Skipped)),
        Outlook::Insufficient { .. } => {
            any(Verdict::Insufficient) && !any(Verdict::Hold) && !any(Verdict::Unknown)
        }
        Outlook::Between { .. } => any(Verdict::Hold) && !any(Verdict::Unknown),
        Outlook::Unknown { .. } | Outlook::Unclear { .. } => any(Verdict::Unknown),
        Outlook::Settling { .. } => c.reason == Reason::Settling,
        Outlook::SharedOutage { .. } => c.reason == Reason::SharedOutage,
        Outlook::ControlBad { .. } => c.reason == Reason::ControlBad,
        Outlook::NotArriving { .. } => c.reason == Reason::NotArriving,
        Outlook::NotAchievable { .. } => c.reason == Reason::NotAchievable,
        Outlook::Breach { .. } => false,
    }
}
