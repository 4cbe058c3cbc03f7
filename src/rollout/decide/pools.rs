//! Pools: quiet components that share their samples for promotion, step together, and go back one by one or all.

use super::Desk;
use super::advance::Stop;
use crate::rollout::judge::{Context, Outlook};
use crate::rollout::ledger::{Baseline, Ledger};
use crate::rollout::plan::{PlannedComponent, PlannedStep};
use crate::rollout::reason::{Reason, State};
use crate::rollout::sabotage;
use crate::rollout::sample::{Reading, Tick};
use crate::rollout::status::{ComponentStatus, PoolStatus};
use crate::rollout::weight::Weight;
use std::collections::BTreeMap;

/// Over how many bodies of evidence the chance is split for a pool's, given over how many for a member's own, which
/// is half of all. Of the other half the first evidence at a weight has half, the second a quarter, and so on.
pub(super) fn split(own: u32, again: i32) -> u32 {
    let halvings = u32::try_from(again).unwrap_or(0).saturating_add(1);
    own.saturating_mul(2_u32.saturating_pow(halvings))
}

/// What a pool comes to at one weight.
pub(super) struct Sum {
    pool: String,
    weight: Weight,
    /// How many share their samples.
    members: usize,
    outlook: Outlook,
}

impl Desk<'_> {
    /// The pool a component is in, as the spec says.
    fn pool_of(&self, i: usize) -> Option<&str> {
        let planned = self.planned(i).filter(|_| self.in_spec(i))?;
        planned.component.pool.as_deref()
    }

    /// Sums what members of each pool have counted, judges the sums, and orders rollbacks if that is what they say.
    pub(super) fn pool(&mut self) {
        let mut groups: BTreeMap<(String, Weight), Vec<usize>> = BTreeMap::new();
        for (i, c) in self.status.components.iter().enumerate() {
            if let Some(pool) = self.pool_of(i).filter(|_| self.shares(i, c)) {
                let group = groups.entry((pool.to_owned(), c.weight.written)).or_default();
                group.push(i);
            }
        }
        groups.retain(|_, members| members.len() > 1);
        let mut known = std::mem::take(&mut self.status.pools);
        for ((pool, weight), members) in groups {
            let at = known.iter().position(|p| p.name == pool && p.weight == weight);
            let before = at.map(|at| known.remove(at));
            self.out.changed |= before.is_none();
            let Some((status, outlook)) = self.sum(&pool, weight, &members, before) else {
                continue;
            };
            self.status.pools.push(status);
            self.sums.push(Sum {
                pool,
                weight,
                members: members.len(),
                outlook,
            });
        }
        self.out.changed |= !known.is_empty();
        self.put_pools_back();
    }

    /// Whether a component's samples count for its pool: it is judged, has canary traffic, and is not itself in
    /// breach or on its way back.
    fn shares(&self, i: usize, c: &ComponentStatus) -> bool {
        let outlook = self.judged.get(i).and_then(Option::as_ref);
        outlook.is_some_and(|o| !matches!(o, Outlook::Breach { .. }))
            && !c.state.is_terminal()
            && !c.detached
            && c.lowering.is_none()
            && !c.weight.written.is_zero()
    }

    fn sum(
        &mut self,
        pool: &str,
        weight: Weight,
        members: &[usize],
        before: Option<PoolStatus>,
    ) -> Option<(PoolStatus, Outlook)> {
        let statuses: Vec<&ComponentStatus> = members
            .iter()
            .filter_map(|i| self.status.components.get(*i))
            .collect();
        let ledgers: Vec<&Ledger> = statuses.iter().filter_map(|c| c.evidence.as_ref()).collect();
        let names: Vec<String> = statuses.iter().map(|c| c.name.clone()).collect();
        let mut status = before.unwrap_or_else(|| PoolStatus {
            name: pool.to_owned(),
            weight,
            ..PoolStatus::default()
        });
        let mut shared = status
            .evidence
            .take()
            .unwrap_or_else(|| Ledger::begin_pool(&ledgers));
        let renewed = members.iter().any(|i| self.renewed.contains(i));
        let left = renewed
            || status
                .members
                .iter()
                .any(|name| !names.contains(name) && !self.has_moved_on(name, weight));
        if left {
            shared = shared.begin_pool_anew();
            status.again = status.again.saturating_add(1);
        }
        let changed = status.members != names;
        let baselines: Vec<Option<&_>> = statuses.iter().map(|c| c.baseline.as_ref()).collect();
        let baseline = Baseline::of_members(&baselines);
        let (first, of_first) = (*members.first()?, *statuses.first()?);
        let planned = self.planned(first)?;
        let own = self.context(first, planned, of_first);
        let ctx = Context {
            baseline: baseline.as_ref(),
            looks: split(own.looks, status.again),
            ..own
        };
        let ticks: Vec<&Tick> = members.iter().filter_map(|i| self.tick_of(*i)).collect();
        shared.share(&ticks, &ledgers, &ctx);
        let mut sum = shared.of_members(&ledgers);
        let judgement = sum.judge(&ctx);
        shared.remember_pivot(&mut sum, &ctx);
        status.members = names;
        let set = self.plan.check_set_at(planned, of_first.weight.written);
        status.checks = super::judging::with_limits(judgement.checks, set);
        status.evidence = Some(shared);
        self.out.changed |= changed;
        Some((status, judgement.outlook))
    }

    /// A member's tick that was counted in this look.
    fn tick_of(&self, i: usize) -> Option<&Tick> {
        let reading = self.sight(i).reading.as_ref();
        match reading.filter(|_| self.counted.contains(&i))? {
            Reading::Fresh(tick) => Some(tick),
            Reading::Waiting | Reading::Blind(_) => None,
        }
    }

    /// Whether a component left a weight by going on: what it has shown there still counts.
    fn has_moved_on(&self, name: &str, weight: Weight) -> bool {
        self.status.component(name).is_some_and(|c| {
            c.state == State::Completed || (!c.state.is_terminal() && c.weight.written > weight)
        })
    }

    /// Puts back every member of a pool that is in breach as a whole.
    fn put_pools_back(&mut self) {
        let breached: Vec<(String, Reason, String)> = self
            .sums
            .iter()
            .filter(|sum| matches!(sum.outlook, Outlook::Breach { .. }))
            .filter_map(|sum| {
                let (reason, message) = self.verdict(&sum.outlook)?;
                let (pool, n, weight) = (&sum.pool, sum.members, sum.weight);
                let message = format!("pool {pool}, {n} members at {weight} together: {message}");
                Some((pool.clone(), reason, message))
            })
            .collect();
        for (pool, reason, message) in breached {
            for i in 0..self.status.components.len() {
                let stays = self
                    .status
                    .components
                    .get(i)
                    .is_none_or(|c| c.state.is_terminal() || c.detached);
                if !stays && self.pool_of(i) == Some(pool.as_str()) {
                    self.condemn(i, reason, message.clone());
                }
            }
        }
    }

    fn sum_of(&self, i: usize, c: &ComponentStatus) -> Option<&Sum> {
        let pool = self.pool_of(i)?;
        let mut sums = self.sums.iter();
        sums.find(|s| s.pool == pool && s.weight == c.weight.written)
    }

    /// What the judge says of a component with its pool's samples in place of its own, where its own are too few
    /// and the pool's are good; `None` where its own decide.
    pub(super) fn shared(&self, i: usize, c: &ComponentStatus) -> Option<&Outlook> {
        let lifted = self.lifted.get(i)?.as_ref()?;
        let good = self
            .sum_of(i, c)
            .is_some_and(|sum| sum.outlook == Outlook::Promotable);
        (good || self.is_left_behind(i, c)).then_some(lifted)
    }

    /// Whether its pool allowed the next step and has gone there without it.
    fn is_left_behind(&self, i: usize, c: &ComponentStatus) -> bool {
        let ahead = |j: &usize| {
            let other = self.status.components.get(*j);
            other.is_some_and(|other| other.weight.written > c.weight.written)
        };
        c.released && self.mates(i, c).iter().any(ahead)
    }

    /// Why too few samples are too few with those of the pool, too.
    pub(super) fn with_pool(&self, i: usize, c: &ComponentStatus, message: &str) -> String {
        let Some(sum) = self.sum_of(i, c) else {
            return message.to_owned();
        };
        let (pool, n) = (&sum.pool, sum.members);
        let all = match &sum.outlook {
            Outlook::Insufficient { message }
            | Outlook::Between { message, .. }
            | Outlook::SharedOutage { message }
            | Outlook::ControlBad { message }
            | Outlook::NotArriving { message }
            | Outlook::NotAchievable { message }
            | Outlook::Unknown { message, .. }
            | Outlook::Unclear { message, .. }
            | Outlook::Breach { message, .. } => message.as_str(),
            Outlook::Settling { .. } => "not judged yet",
            Outlook::Promotable => "good",
        };
        format!("{message}; pool {pool}, {n} members together: {all}")
    }

    /// The other members that go up with a component: those that walk, or are kept from walking by what is seen. Who
    /// is at an end, paused or set by hand is not waited for; who walks alone after a retry goes with its like.
    fn mates(&self, i: usize, c: &ComponentStatus) -> Vec<usize> {
        let Some(pool) = self.pool_of(i) else {
            return Vec::new();
        };
        let goes = |(j, other): &(usize, &ComponentStatus)| {
            *j != i
                && self.pool_of(*j) == Some(pool)
                && other.alone == c.alone
                && !other.detached
                && !other.state.is_terminal()
                && other.state != State::Manual
                && other.paused_by.is_none()
        };
        let all = self.status.components.iter().enumerate();
        all.filter(goes).map(|(j, _)| j).collect()
    }

    /// Finds for each member of a pool whom it has to wait for.
    pub(super) fn step_together(&mut self) {
        let n = self.status.components.len();
        self.held_by.resize_with(n, || None);
        if !self.plan.components.iter().any(|c| c.component.pool.is_some()) {
            return;
        }
        // Who has caught up is waited for from now on.
        for i in 0..n {
            if self.pool_of(i).is_some() && self.status.components.get(i).is_some_and(|c| !c.detached) {
                self.rejoin(i);
            }
        }
        let stops: Vec<Option<String>> = (0..n).map(|i| self.own_stop(i)).collect();
        let mut released = Vec::new();
        for i in 0..n {
            let Some(c) = self.status.components.get(i) else {
                continue;
            };
            if self.pool_of(i).is_none() {
                continue;
            }
            let mates = self.mates(i, c);
            let behind = self.is_left_behind(i, c);
            let holds = mates.iter().find_map(|j| {
                let other = self.status.components.get(*j)?;
                let (name, at) = (&other.name, other.weight.written);
                match at.cmp(&c.weight.written) {
                    std::cmp::Ordering::Greater => None,
                    std::cmp::Ordering::Equal if behind => None,
                    std::cmp::Ordering::Less => Some(format!("{name} is at {at}")),
                    std::cmp::Ordering::Equal => {
                        let stop = stops.get(*j)?.as_ref()?;
                        Some(format!("{name}: {stop}"))
                    }
                }
            });
            if holds.is_none() && stops.get(i).is_some_and(Option::is_none) && !mates.is_empty() {
                released.push(i);
            }
            if let Some(slot) = self.held_by.get_mut(i) {
                *slot = holds;
            }
        }
        for i in released {
            if let Some(c) = self
                .status
                .components
                .get_mut(i)
                .filter(|c| !c.weight.written.is_zero())
            {
                c.released = true;
            }
        }
    }

    /// What keeps a member of a pool itself from going on; `None` where nothing does.
    fn own_stop(&self, i: usize) -> Option<String> {
        self.pool_of(i)?;
        let planned = self.planned(i)?;
        let c = self.status.components.get(i)?;
        if c.state != State::Walking {
            return Some(c.message.clone());
        }
        match self.may_rise(i, c, planned) {
            Ok(_) | Err(Stop(Reason::Completed, _)) => None,
            Err(Stop(_, message)) => Some(message),
        }
    }

    /// Every reason not to rise, the others of its pool included.
    pub(super) fn turn(
        &self,
        i: usize,
        c: &ComponentStatus,
        planned: &PlannedComponent,
    ) -> Result<(PlannedStep, Reason), Stop> {
        let own = self.may_rise(i, c, planned);
        let goes_on = matches!(&own, Ok(_) | Err(Stop(Reason::Completed, _)));
        match self.held_by.get(i).and_then(Option::as_ref) {
            Some(who) if goes_on && !sabotage::broken(1) => {
                let pool = self.pool_of(i).unwrap_or_default();
                let message = format!("pool {pool} steps together, and waits for {who}");
                Err(Stop(Reason::WaitingForPool, message.chars().take(1024).collect()))
            }
            _ => own,
        }
    }
}
