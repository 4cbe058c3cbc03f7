//! `decide`: from what is asked, where it stands and what was seen, to what happens next.
//!
//! Pure, and harmless to call again: nothing here asks the clock, waits, or remembers. Actions are levels, not
//! edges: a raise or lowering is asked for until it is read back, so that a crash in between heals by itself.

mod advance;
mod again;
mod approve;
mod arms;
mod audits;
mod choosers;
mod commands;
mod complaints;
pub mod conditions;
mod depends;
mod drift;
mod enroll;
mod followed;
mod formerly;
mod gates;
mod gateways;
mod given;
mod joint;
mod judging;
mod late;
mod leaving;
mod left;
mod phases;
mod pools;
mod previews;
mod recalls;
mod requires;
mod routers;
#[cfg(test)]
pub(crate) mod rules;
mod verbs;

pub use commands::refuse;
pub use leaving::{last_lowers, let_go};

use self::again::is_where_a_person_put_it;
use super::arrival::Arrival;
use super::audit::Stand;
use super::complaint::unescaped;
use super::judge::{Context, Outlook};
use super::late::is_late;
use super::ledger::Ledger;
use super::observation::{Decision, Lower, Note, OUR_MANAGERS, Observation, Routed, Routers, Seen};
use super::plan::{Plan, PlannedComponent, UNKNOWN};
use super::reason::{Reason, State, Verdict};
use super::spec::{Preset, Probe};
use super::status::{
    ComponentStatus, Drift, GradualRolloutStatus, HISTORY_KEPT, HistoryEntry, Intent, Lowering,
};
use super::weight::Weight;
use crate::rollout::sabotage;
use jiff::Timestamp;
use std::borrow::Cow;
use std::time::Duration;

/// Decides what happens next. The status goes in by value and comes back as [`Decision::next`].
pub fn decide(plan: &Plan, status: GradualRolloutStatus, seen: &Observation, now: Timestamp) -> Decision {
    let seen = formerly::by_names_of_now(plan, &status, seen);
    let mut desk = Desk::new(plan, status, &seen, now);
    desk.enroll();
    desk.heed_pause();
    for i in 0..desk.status.components.len() {
        desk.look(i);
        desk.hear_left(i);
    }
    desk.audit_changes();
    desk.obey();
    desk.begin_again();
    for i in 0..desk.status.components.len() {
        desk.hear(i);
        desk.hear_recall(i);
        desk.judge(i);
    }
    desk.pool();
    desk.widen_rollback();
    desk.find_phase();
    desk.step_together();
    for i in 0..desk.status.components.len() {
        desk.advance(i);
        desk.preview(i);
    }
    desk.wait_in_line();
    desk.conclude();
    desk.audit_changes();
    desk.decision()
}

/// Records a raise that is about to be written, ahead of writing it.
pub fn declare(status: &mut GradualRolloutStatus, component: &str, intent: Intent) {
    if let Some(c) = status.component_mut(component) {
        c.reason = Reason::Raising;
        c.message = format!("writing {}, {} now", intent.weight, c.weight.written);
        c.weight.asked = intent.weight;
        c.intent = Some(intent);
    }
}

/// An id for an action of a component at a time.
fn id_of(component: &str, now: Timestamp) -> String {
    let seed = component.bytes().fold(0x6c62_272e_07bb_0142_u128, |h, b| {
        (h ^ u128::from(b)).wrapping_mul(0x0100_0000_01b3)
    });
    let millis = u64::try_from(now.as_millisecond()).unwrap_or(0);
    ulid::Ulid::from_parts(millis, seed).to_string()
}

/// Everything a decision is made on, in one place.
struct Desk<'a> {
    plan: &'a Plan,
    seen: &'a Observation,
    now: Timestamp,
    status: GradualRolloutStatus,
    out: Decision,
    /// Something is seen otherwise that nothing rests on.
    news: bool,
    before: Vec<Digest>,
    /// Where each component stood before, as far as somebody may be asked about it.
    stood: Vec<Stand>,
    /// What the judge said of each component of the status; `None` where nothing is judged.
    judged: Vec<Option<Outlook>>,
    /// The rollout's phase, as an index; the number of phases when all are done.
    phase: usize,
    /// The phase in which every component failed.
    phase_failed: bool,
    nobody: Seen,
    /// Of members of pools, what the judge would say if there were requests enough on their arms.
    lifted: Vec<Option<Outlook>>,
    /// Members of pools whose newest tick was counted in this look.
    counted: Vec<usize>,
    /// Components whose evidence began anew in this look, for their arms were edited.
    renewed: Vec<usize>,
    /// What each pool comes to, at each weight.
    sums: Vec<pools::Sum>,
    /// Whom a member of a pool waits for, and why, for people.
    held_by: Vec<Option<String>>,
    /// Components whose rollback was found out about in this look, by its mark.
    found_back: Vec<usize>,
    /// Of these, those that followed another, and stood where their plan had brought them.
    found_along: Vec<usize>,
}

/// What is worth a write when it changes.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Digest {
    stands: Standing,
    reason: Reason,
    observed: Option<Weight>,
    arrival: Option<Arrival>,
    verdicts: [Verdict; 16],
}

/// What of it must be persisted at once.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Standing {
    state: State,
    asked: Weight,
    written: Weight,
    step: Option<i32>,
    since: Option<Timestamp>,
    flags: [bool; 11],
    attempt: i32,
    history: Option<Timestamp>,
}

impl Digest {
    fn of(c: &ComponentStatus) -> Self {
        let stands = Standing {
            state: c.state,
            asked: c.weight.asked,
            written: c.weight.written,
            step: c.step,
            since: c.since,
            flags: [
                c.owed.is_some(),
                c.intent.is_some(),
                c.lowering.is_some(),
                c.paused_by.is_some(),
                c.hold_ended,
                c.alone,
                c.released,
                c.baseline.is_some(),
                c.raise_by.is_some(),
                c.recall.is_some(),
                c.letting_go.is_some(),
            ],
            attempt: c.attempt,
            history: c.history.last().map(|h| h.at),
        };
        Self {
            stands,
            reason: c.reason,
            observed: c.weight.observed,
            arrival: c.measured.map(|m| m.verdict),
            verdicts: verdicts(c),
        }
    }
}

fn verdicts(c: &ComponentStatus) -> [Verdict; 16] {
    let mut verdicts = [Verdict::Unknown; 16];
    for (slot, check) in verdicts.iter_mut().zip(&c.checks) {
        *slot = check.verdict;
    }
    verdicts
}

impl<'a> Desk<'a> {
    fn new(plan: &'a Plan, status: GradualRolloutStatus, seen: &'a Observation, now: Timestamp) -> Self {
        let before = status.components.iter().map(Digest::of).collect();
        let stood = status.components.iter().map(Stand::of).collect();
        Self {
            plan,
            seen,
            now,
            status,
            out: Decision::default(),
            news: false,
            before,
            stood,
            judged: Vec::new(),
            phase: 0,
            phase_failed: false,
            nobody: Seen::default(),
            lifted: Vec::new(),
            counted: Vec::new(),
            renewed: Vec::new(),
            sums: Vec::new(),
            held_by: Vec::new(),
            found_back: Vec::new(),
            found_along: Vec::new(),
        }
    }

    fn planned(&self, i: usize) -> Option<&'a PlannedComponent> {
        let name = &self.status.components.get(i)?.name;
        // The list is in the plan's order; orphans come behind.
        let named = self.plan.components.get(i).filter(|p| p.name() == name);
        named.or_else(|| self.plan.orphans.iter().find(|p| p.name() == name))
    }

    fn sight(&self, i: usize) -> &Seen {
        let name = self.status.components.get(i).map_or("", |c| c.name.as_str());
        self.seen.components.get(name).unwrap_or(&self.nobody)
    }

    /// Whether a check has come to another verdict in this decision.
    fn judged_otherwise(&self, i: usize) -> bool {
        let now = self.status.components.get(i).map(verdicts);
        now != self.before.get(i).map(|before| before.verdicts)
    }

    fn note(&mut self, i: usize, reason: Reason, message: String, warning: bool) {
        let component = self.status.components.get(i).map(|c| c.name.clone());
        let clean = match unescaped(&message) {
            Cow::Owned(clean) => Some(clean),
            Cow::Borrowed(_) => None,
        };
        self.out.notes.push(Note {
            component,
            reason,
            message: clean.unwrap_or(message),
            warning,
        });
    }

    /// An id for an action of this component at this time: sorts by time, the same for the same inputs.
    fn id(&self, i: usize) -> String {
        let name = self.status.components.get(i).map_or("", |c| c.name.as_str());
        id_of(name, self.now)
    }

    /// Orders a lowering: from now on it is asked for until every routed object carries its id.
    fn order(&mut self, i: usize, weight: Weight, reason: Reason, emergency: bool, id: Option<String>) {
        // Marks are compared by age: an id that says nothing of it, or that claims to be from tomorrow, is not used.
        let latest = u64::try_from(self.now.as_millisecond()).unwrap_or(0);
        let mark = self.status.components.get(i).and_then(|c| c.mark.clone());
        let sound = |id: &String| {
            id.parse::<ulid::Ulid>()
                .is_ok_and(|id| id.timestamp_ms() <= latest)
                // What an alert began is older than what was written since, and would be taken for a copy of old.
                // The very write that is there already, by a command that needed no daemon, keeps its id.
                && mark.as_ref().is_none_or(|mark| id >= mark)
        };
        let id = id.filter(sound).unwrap_or_else(|| self.id(i));
        let at = self.now;
        let Some(c) = self.status.components.get_mut(i) else {
            return;
        };
        c.intent = None;
        c.raise_by = None;
        c.weight.asked = weight;
        c.lowering = Some(Lowering {
            id,
            weight,
            reason,
            at,
            emergency,
        });
    }

    /// Puts a component's traffic back for good.
    fn roll_back(
        &mut self,
        i: usize,
        to: Weight,
        reason: Reason,
        message: String,
        emergency: bool,
        id: Option<String>,
    ) {
        let (held, fingerprint) = (self.is_held(i, reason), self.plan_then(i, reason));
        let by_a_person = self
            .status
            .components
            .get(i)
            .is_some_and(is_where_a_person_put_it);
        // What is under way to less is not stopped above it.
        let going = self.status.components.get(i).and_then(|c| c.lowering.as_ref());
        let to = going.map_or(to, |order| order.weight.min(to));
        self.order(i, to, reason, emergency, id);
        let mut message = message;
        if reason.is_automatic_rollback() && !held && !by_a_person {
            if let Some(again) = self.schedule_retry(i) {
                message = format!("{message}; {again}");
            }
        } else if let Some(c) = self.status.components.get_mut(i) {
            // Where a person said so, nothing begins again but by a person.
            c.retry = None;
        }
        if let Some(c) = self.status.components.get_mut(i) {
            c.state = State::RolledBack;
            c.fingerprint = fingerprint;
            c.hold_ended = false;
            c.alone = false;
            c.forced = false;
            c.follows = None;
            // What waits to go further waits still.
            c.recall = c.recall.take().filter(|recall| recall.weight < to);
            c.reason = reason;
            message.clone_into(&mut c.message);
        }
        self.note(i, reason, message, true);
    }

    /// Whether what is put back for this reason waits for a person, whatever is edited: what a person put back in an
    /// emergency does, also after what it had kept went back by itself. Whoever mends the routers has not said that
    /// traffic may return.
    fn is_held(&self, i: usize, reason: Reason) -> bool {
        let put_back = |c: &ComponentStatus| c.state == State::RolledBack && c.fingerprint.is_none();
        reason == Reason::Emergency || self.status.components.get(i).is_some_and(put_back)
    }

    /// The plan of a component that is put back for this reason, for a change of it begins it anew; `None` for what is
    /// held.
    fn plan_then(&self, i: usize, reason: Reason) -> Option<String> {
        // Beside a spec that cannot be used nobody knows what it is to become: that waits for a person, too.
        let known = self.seen.invalid.is_none();
        let planned = self.planned(i).filter(|_| known && !self.is_held(i, reason))?;
        Some(planned.fingerprint.clone()).filter(|plan| plan != UNKNOWN)
    }

    fn decision(mut self) -> Decision {
        for i in 0..self.status.components.len() {
            self.define(i);
        }
        for c in &self.status.components {
            if let Some(going) = &c.letting_go {
                self.out.detached.push(c.name.clone());
                self.out.restored.extend(going.restore.then(|| c.name.clone()));
            }
            if let Some(order) = &c.lowering {
                self.out.lowers.push(Lower {
                    component: c.name.clone(),
                    id: order.id.clone(),
                    weight: order.weight,
                    reason: order.reason,
                    emergency: order.emergency,
                });
            }
        }
        if self.status.observed_generation != Some(self.seen.generation) {
            self.status.observed_generation = Some(self.seen.generation);
            self.out.changed = true;
        }
        self.out.changed |= self.before.len() != self.status.components.len() || sabotage::broken(15);
        for (c, before) in self.status.components.iter().zip(&self.before) {
            let digest = Digest::of(c);
            self.out.changed |= digest.stands != before.stands;
            self.news |= digest != *before;
        }
        self.out.at_once = self.out.changed || self.news && !self.out.notes.is_empty();
        self.out.changed |= self.news;
        self.out.next = self.status;
        self.out
    }

    fn wake(&mut self, at: Timestamp) {
        self.out.wake_at = Some(self.out.wake_at.map_or(at, |known| known.min(at)));
    }

    fn context<'c>(&'c self, i: usize, planned: &'c PlannedComponent, c: &'c ComponentStatus) -> Context<'c> {
        let weight = c.weight.written;
        let arms = planned.component.arms.as_ref();
        let set = self.plan.check_set_at(planned, weight);
        Context {
            rules: &set.rules,
            judge: &self.plan.judge,
            weight,
            before: c
                .history
                .last()
                .filter(|h| h.to == weight)
                .map_or(Weight::ZERO, |h| h.from),
            traffic: planned.traffic(),
            preset: arms.map_or(Preset::Istio, |arms| arms.canary.preset),
            late: is_late(planned.traffic()),
            recorded: c.recorded.as_ref(),
            probe_every: planned
                .component
                .probe
                .as_ref()
                .map_or(Duration::ZERO, Probe::every),
            baseline: c.baseline.as_ref(),
            // Evidence that is gathered apart spends of the same chance.
            looks: u32::try_from(planned.steps.len())
                .unwrap_or(u32::MAX)
                .max(1)
                .saturating_mul(set.deciding_streams().saturating_add(1))
                .saturating_mul(self.plan.halves(planned)),
            has_control: arms.is_some_and(|a| a.control.is_some()),
            moves_requests: planned.moves_requests(),
            verifiable: planned.moves_requests() && !self.seen.recorded,
            clock_runs: !self.paused(c) && self.complained(c).is_none() && !self.frozen() && self.settled(i),
            now: self.now,
        }
    }

    /// Whether a freeze is in force, the resource's or one for all.
    fn frozen(&self) -> bool {
        self.plan.calendar.frozen(self.now) || self.seen.frozen.is_some()
    }

    fn paused(&self, c: &ComponentStatus) -> bool {
        self.seen.invalid.is_some() || self.is_paused_by_a_person(c)
    }

    /// Whether a person said stop: then others' raises are theirs to make.
    fn is_paused_by_a_person(&self, c: &ComponentStatus) -> bool {
        self.plan.paused || c.paused_by.is_some()
    }

    /// Whoever pauses the resource has the last word over a raise that was forced before and is not written yet.
    fn heed_pause(&mut self) {
        if self.plan.paused && self.status.observed_generation != Some(self.seen.generation) {
            for c in &mut self.status.components {
                c.forced = false;
            }
        }
    }

    /// Whether there is canary traffic that a rollback would still take away: then it is judged, whatever was decided
    /// about it before.
    fn has_more_to_lose(&self, c: &ComponentStatus) -> bool {
        c.state == State::RolledBack && c.weight.written > self.plan.rollback_to && c.lowering.is_none()
    }

    /// The routed objects, as far as they were read.
    fn routed(&self, i: usize) -> &[Routed] {
        match &self.sight(i).routers {
            Routers::Read(objects) => objects,
            Routers::Unread | Routers::Unreadable(_) | Routers::Claimed(_) => &[],
        }
    }

    /// Every routed object has taken up its change, and is carried.
    fn settled(&self, i: usize) -> bool {
        self.routed(i).iter().all(|o| o.settled && o.refusal.is_none())
    }
}

/// Says why a component is where it is; the sentence is made anew only when the reason changes or `refresh` asks.
fn say(c: &mut ComponentStatus, reason: Reason, refresh: bool, message: impl FnOnce() -> String) {
    if c.reason != reason || refresh {
        c.reason = reason;
        c.message = message();
    }
}

/// Fresh evidence: nothing that was seen before counts.
fn forget(c: &mut ComponentStatus, now: Timestamp, judge: &super::check::JudgeRules) {
    // Of the weight before it keeps how much traffic there was in all, and since when it is dark.
    let at = settled_at(now, judge);
    let ledger = c.evidence.as_ref();
    c.evidence = Some(ledger.map_or_else(|| Ledger::begin(now, at), |l| l.follow(now, at)));
    c.beside = None;
    c.held = None;
    c.released = false;
    c.measured = None;
    c.checks.clear();
}

/// From when data at a weight written at `since` is judged. Two scrapes on top of settle, because the first samples
/// after a change still cover time before it.
fn settled_at(since: Timestamp, judge: &super::check::JudgeRules) -> Timestamp {
    since + judge.settle + 2 * judge.interval
}

/// Begins the plan again.
fn restart(c: &mut ComponentStatus, now: Timestamp, judge: &super::check::JudgeRules) {
    c.state = State::Walking;
    c.reason = Reason::Starting;
    c.fingerprint = None;
    c.owed = None;
    c.recall = None;
    c.intent = None;
    c.hold_ended = false;
    c.baseline = None;
    c.recorded = None;
    c.attempt += 1;
    c.approved_from = approve::ended(c).or(c.approved_from);
    complaints::settle(c, None);
    if let Some(preview) = &mut c.preview {
        // What was said by command was said of the attempt before.
        preview.asked = None;
        preview.command = None;
    }
    forget(c, now, judge);
}

/// Records a change of weight.
fn remember(c: &mut ComponentStatus, at: Timestamp, from: Weight, to: Weight, reason: Reason, message: &str) {
    let message = message.chars().take(256).collect();
    c.history.push(HistoryEntry {
        at,
        from,
        to,
        reason,
        message,
        who: None,
        id: None,
    });
    let excess = c.history.len().saturating_sub(HISTORY_KEPT);
    c.history.drain(..excess);
}

/// So many foreign changes by one field manager within an hour are a fight.
const FIGHT: usize = 3;

/// Records a foreign change; true when it makes a fight.
fn is_fight(c: &mut ComponentStatus, drift: Drift) -> bool {
    const WITHIN: Duration = Duration::from_secs(3600);
    let since = drift.at - WITHIN;
    c.drifts.retain(|d| d.at >= since);
    let manager = drift.manager.clone();
    c.drifts.push(drift);
    let excess = c.drifts.len().saturating_sub(8);
    c.drifts.drain(..excess);
    times(c, &manager) >= FIGHT
}

/// Whether one of the recorded managers was in a fight.
fn was_fought(c: &ComponentStatus) -> bool {
    c.drifts.iter().any(|d| times(c, &d.manager) >= FIGHT)
}

/// How many of the recorded foreign changes are this manager's. Our own are nobody's fight: a command that wrote without
/// a daemon, or another daemon.
fn times(c: &ComponentStatus, manager: &str) -> usize {
    if manager.starts_with(OUR_MANAGERS) {
        return 0;
    }
    c.drifts.iter().filter(|d| d.manager == manager).count()
}
