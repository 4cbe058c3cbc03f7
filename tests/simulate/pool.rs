//! Pools of healthy canaries: how often a member goes back by its own evidence, and how often all go by the pool's.

use super::attempt::{Attempt, STEPS, Weather, checks};
use super::draw::{Draw, real};
use super::promises::{ENOUGH, allowed};
use super::traffic::{Ill, Model, WELL};
use super::trial::on_all_cores;
use crate::rollout::check::CheckRule;
use crate::rollout::judge::{Context, Outlook};
use crate::rollout::ledger::{Baseline, Ledger};

/// Members of a pool, and the requests per second of each.
pub(crate) const MEMBERS: u64 = 10;
pub(crate) const RPS: f64 = 0.2;

/// What became of many pools.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pools {
    pub(crate) runs: u64,
    /// Members that went back by their own evidence.
    pub(crate) alone: u64,
    /// Pools that went back as a whole.
    pub(crate) whole: u64,
}

impl Pools {
    /// The share of all members that went back, in percent.
    pub(crate) fn share(self) -> f64 {
        100.0 * real(self.alone + self.whole * MEMBERS) / real((self.runs * MEMBERS).max(1))
    }
}

/// Many pools of healthy members, with bursts, a shared outage and a Prometheus that restarts; and what is wrong.
pub(crate) fn pools(seed: u64, runs: u64, hold: u64) -> (Pools, Vec<String>) {
    let rules = checks();
    let each = on_all_cores(runs, |n| {
        healthy(&rules, Draw::new(seed, 0x0b00_1000_0000 + n), seed + n, hold)
    });
    let sum = Pools {
        runs,
        alone: each.iter().map(|(alone, _)| alone).sum(),
        whole: each.iter().map(|(_, whole)| u64::from(*whole)).sum(),
    };
    let mut wrong = Vec::new();
    // The promise is each member's, and its own evidence and the pool's spend from one budget. Members of one pool go
    // back together: where there are few pools, a single one is many members.
    let (members, back) = (runs * MEMBERS, sum.alone + sum.whole * MEMBERS);
    let most = if members >= ENOUGH {
        allowed(members)
    } else {
        allowed(runs) * MEMBERS
    };
    if back > most {
        wrong.push(format!(
            "{back} of {members} healthy members of pools went back, {} alone and {} whole pools",
            sum.alone, sum.whole
        ));
    }
    (sum, wrong)
}

/// Walks a pool of healthy members through all steps: how many went back alone, and whether all others did.
fn healthy(rules: &[CheckRule], mut draw: Draw, seed: u64, hold: u64) -> (u64, bool) {
    let weather = Weather {
        outage: true,
        restart: true,
        history: true,
    };
    let member = |n: u64| {
        let mut one = Attempt::new(
            rules,
            Model::wild(RPS),
            Draw::new(seed, 0x0b00_2000 + n),
            weather.history,
        );
        one.looks *= 2;
        one
    };
    let mut members: Vec<Attempt<'_>> = (0..MEMBERS).map(member).collect();
    let all = hold * STEPS.len() as u64;
    // For all of them at once: what they have in common is what could fool a pool.
    let (outage, dark) = (draw.below(all - hold - 30), draw.below(all - 50));
    let (mut at, mut alone) = (0, 0);
    for percent in STEPS {
        for member in &mut members {
            member.raise(percent);
        }
        let ledgers: Vec<&Ledger> = members.iter().map(|m| &m.ledger).collect();
        let (mut pool, mut begun) = (Ledger::begin_pool(&ledgers), 1);
        for _ in 0..hold {
            let failing = (outage..outage + 30).contains(&at);
            let ill = if failing {
                Ill { errors: 0.2, ..WELL }
            } else {
                WELL
            };
            let is_dark = (dark..dark + 24).contains(&at);
            at += 1;
            let mut ticks = Vec::new();
            let before = members.len();
            members.retain_mut(|m| {
                let (outlook, tick) = m.look(ill, ill, is_dark);
                let stays = !matches!(outlook, Outlook::Breach { .. });
                ticks.extend(tick.filter(|_| stays));
                stays
            });
            alone += (before - members.len()) as u64;
            if members.len() < before {
                (pool, begun) = (pool.begin_pool_anew(), begun + 1);
            }
            let Some(first) = members.first() else {
                return (alone, false);
            };
            let ledgers: Vec<&Ledger> = members.iter().map(|m| &m.ledger).collect();
            let baselines: Vec<_> = members.iter().map(|m| m.baseline.as_ref()).collect();
            let baseline = Baseline::of_members(&baselines);
            let own = first.context(first.traffic.time());
            let context = Context {
                baseline: baseline.as_ref(),
                looks: own.looks << begun.min(16),
                ..own
            };
            pool.share(&ticks.iter().collect::<Vec<_>>(), &ledgers, &context);
            let mut sum = pool.of_members(&ledgers);
            if matches!(sum.outlook(&context), Outlook::Breach { .. }) {
                return (alone, true);
            }
            pool.remember_pivot(&mut sum, &context);
        }
    }
    (alone, false)
}
