//! Samples of quiet components, as one. The counts stand with the members alone: who leaves takes its own along. What a
//! pool has of its own is the evidence on their sums, tick by tick, and how much control's errors cluster.

use super::buckets;
use super::judge::Context;
use super::ledger::{Baseline, Ledger};
use super::sample::{Arm, Counts, Histogram, Tick};
use super::tally::{Ring, Slot, Tally};
use jiff::Timestamp;
use std::time::Duration;

impl Ledger {
    /// A pool's evidence on members that have the same weight, from nothing.
    pub fn begin_pool(members: &[&Self]) -> Self {
        let since = members.iter().map(|m| m.since).min().unwrap_or_default();
        let settled_at = members.iter().map(|m| m.settled_at).min().unwrap_or_default();
        // A guess of one member's is as good as none for the level, and better for power.
        let aims = members.iter().map(|m| &m.aims).find(|aims| !aims.is_empty());
        Self {
            aims: aims.cloned().unwrap_or_default(),
            ..Self::begin(since, settled_at)
        }
    }

    /// The same pool, its evidence from nothing: a member was put back, and its data no longer count.
    #[must_use]
    pub fn begin_pool_anew(&self) -> Self {
        Self {
            noise: self.noise,
            pivot: self.pivot,
            aims: self.aims.clone(),
            last: self.last,
            ..Self::begin(self.since, self.settled_at)
        }
    }

    /// Takes up what members counted at this look, as one tick. Nobody's chance to be a canary request depends on
    /// whether it fails, as long as all members have one weight; so the sums may be held to control's like those of a
    /// single component.
    pub fn share(&mut self, ticks: &[&Tick], members: &[&Self], ctx: &Context<'_>) {
        let before = [self.noise.errors.phi(), self.noise.slow.phi()];
        let errors = self.noise.errors.mind(members.iter().map(|m| &m.noise.errors));
        let slow = self.noise.slow.mind(members.iter().map(|m| &m.noise.slow));
        if errors || slow {
            self.temper(before);
        }
        let Some(tick) = summed(ticks) else { return };
        // Members that are read one after the other cover the same time.
        let from = self.last.map_or(tick.from, |last| last.max(tick.from));
        let length = Duration::try_from(tick.to.duration_since(from)).unwrap_or_default();
        let none = Counts::default();
        let canary = tick.canary.counts().unwrap_or(&none);
        let control = tick.control.counts().unwrap_or(&none);
        self.learn_noise(control, length);
        self.gather_evidence(&tick, canary, control, length, ctx);
        self.last = Some(self.last.map_or(tick.to, |last| last.max(tick.to)));
    }

    /// The members' counts as one, with the pool's evidence. Only to be judged, not to be kept.
    #[must_use]
    pub fn of_members(&self, members: &[&Self]) -> Self {
        let bounds = common(members.iter().map(|m| m.bounds.as_slice()));
        let n = u64::try_from(members.len()).unwrap_or(u64::MAX).max(1);
        let all = |sum: &dyn Fn(&Self) -> Tally| {
            let each = members.iter().map(|m| thinned(&sum(m), &m.bounds, &bounds));
            let mut together = Tally::default();
            each.for_each(|tally| together.merge(&tally));
            // They count at the same time, not one after the other.
            together.millis /= n;
            together
        };
        let ring = |ring: &dyn Fn(&Self) -> Ring| {
            let slots = |m: &&Self| {
                let had = m.bounds.clone();
                ring(m).0.into_iter().map(move |slot| (slot, had.clone()))
            };
            let mut slots: Vec<Slot> = members
                .iter()
                .flat_map(slots)
                .map(|(slot, had)| {
                    let mut tally = thinned(&slot.tally, &had, &bounds);
                    tally.millis /= n;
                    Slot { tally, ..slot }
                })
                .collect();
            slots.sort_by_key(|slot| slot.to);
            Ring(slots)
        };
        let every =
            |rate: &dyn Fn(&Self) -> Option<f64>| members.iter().map(|m| rate(m)).sum::<Option<f64>>();
        Self {
            last: members.iter().filter_map(|m| m.last).max(),
            control_seen: members.iter().any(|m| m.control_seen),
            canary_seen: members.iter().any(|m| m.canary_seen),
            rate_before: every(&|m| m.rate_before),
            usual: every(&|m| m.usual),
            raise: all(&|m| m.raise.clone()),
            blocks: [all(&Self::all), Tally::default()],
            recent: ring(&|m| m.recent.clone()),
            slow: ring(&|m| m.slow.clone()),
            lines: self.lines.clone(),
            noise: self.noise,
            pivot: self.pivot,
            aims: self.aims.clone(),
            bounds,
            ..Self::begin(self.since, self.settled_at)
        }
    }

    /// Remembers from the sum by which quantile of control's latencies the next tick is compared.
    pub fn remember_pivot(&mut self, sum: &mut Self, ctx: &Context<'_>) {
        sum.find_pivot(ctx);
        self.pivot = sum.pivot;
        self.aims.clone_from(&sum.aims);
    }
}

impl Baseline {
    /// Members' frozen control arms as one; `None` unless all of them have one.
    pub fn of_members(baselines: &[Option<&Self>]) -> Option<Self> {
        let all: Vec<&Self> = baselines.iter().copied().collect::<Option<_>>()?;
        let bounds_ms = common(all.iter().map(|b| b.bounds_ms.as_slice()));
        let mut sum = Self {
            at: all.iter().map(|b| b.at).max()?,
            ..Self::default()
        };
        let mut latency = Tally::default();
        for b in all {
            sum.requests = sum.requests.saturating_add(b.requests);
            sum.errors = sum.errors.saturating_add(b.errors);
            // The least calm member's, as everywhere in a pool.
            if let Some([errors, slow]) = b.phi {
                let [e, s] = sum.phi.unwrap_or([1.0; 2]);
                sum.phi = Some([e.max(errors), s.max(slow)]);
            }
            let mut one = Tally::default();
            one.control.latency.clone_from(&b.latency);
            latency.merge(&thinned(&one, &b.bounds_ms, &bounds_ms));
        }
        sum.latency = latency.control.latency;
        sum.bounds_ms = bounds_ms;
        Some(sum)
    }
}

/// Bucket bounds that all have that have any.
fn common<'b>(lists: impl Iterator<Item = &'b [f64]>) -> Vec<f64> {
    let mut lists = lists.filter(|bounds| !bounds.is_empty());
    let mut kept = lists.next().map(<[f64]>::to_vec).unwrap_or_default();
    for bounds in lists {
        kept.retain(|bound| bounds.iter().any(|b| b.total_cmp(bound).is_eq()));
    }
    kept
}

/// The same counts by fewer bounds.
fn thinned(tally: &Tally, had: &[f64], kept: &[f64]) -> Tally {
    let mut tally = tally.clone();
    for arm in [&mut tally.canary, &mut tally.control] {
        if !arm.latency.is_empty() && had != kept {
            arm.latency = buckets::onto(kept, had, &arm.latency).unwrap_or_default();
        }
    }
    tally
}

/// Members' ticks of one look as one; of latencies those whose buckets are the first one's.
fn summed(ticks: &[&Tick]) -> Option<Tick> {
    let from: Timestamp = ticks.iter().map(|t| t.from).min()?;
    let to = ticks.iter().map(|t| t.to).max()?;
    let arm = |of: &dyn Fn(&Tick) -> Arm| {
        let mut sum: Option<Counts> = None;
        for counts in ticks.iter().map(|t| of(t)) {
            let Arm::Seen(counts) = counts else { continue };
            match &mut sum {
                None => sum = Some(counts),
                Some(sum) => add(sum, counts),
            }
        }
        sum.map_or(Arm::Absent, Arm::Seen)
    };
    Some(Tick {
        from,
        to,
        canary: arm(&|t| t.canary.clone()),
        control: arm(&|t| t.control.clone()),
        usual_rate: None,
    })
}

fn add(sum: &mut Counts, more: Counts) {
    sum.requests = sum.requests.saturating_add(more.requests);
    sum.errors = sum.errors.saturating_add(more.errors);
    let Some(histogram) = more.latency else { return };
    match &mut sum.latency {
        Some(Histogram { bounds_ms, counts }) if *bounds_ms == histogram.bounds_ms => {
            for (sum, more) in counts.iter_mut().zip(&histogram.counts) {
                *sum = sum.saturating_add(*more);
            }
        }
        Some(_) => {}
        None => sum.latency = Some(histogram),
    }
}
