//! How soon a healthy canary may rise: the price of positive evidence at low traffic.

use super::attempt::{Attempt, checks};
use super::draw::{Draw, real};
use super::traffic::{Model, TICK, WELL};
use super::trial::{on_all_cores, quantile};
use crate::rollout::judge::Outlook;

/// Error ratios of both arms.
pub(crate) const BASES: [f64; 2] = [0.0003, 0.002];
/// Requests per second of both arms; the canary has 5% of them.
pub(crate) const QUIET: [f64; 5] = [0.05, 0.5, 2.0, 20.0, 200.0];
/// What a day at 5% has to hold, for 332 requests without an error: from here on half of the canaries may rise.
const ENOUGH_RPS: f64 = 0.5;

/// A kind of traffic, and seconds from the raise to the first look at which every check passed, of each run in order.
pub(crate) struct Climb {
    pub(crate) base: f64,
    pub(crate) rps: f64,
    pub(crate) seconds: Vec<f64>,
}

impl Climb {
    /// The share of the runs that came so far within a day.
    pub(crate) fn share(&self) -> f64 {
        let count = self.seconds.iter().filter(|s| s.is_finite()).count() as u64;
        real(count) / real((self.seconds.len() as u64).max(1))
    }
}

/// Canaries as good as control at 5% for a day, and what is wrong: one within its limits may rise in the end.
pub(crate) fn climbs(seed: u64, rates: &[f64], runs: u64) -> (Vec<Climb>, Vec<String>) {
    let mut found = Vec::new();
    let mut wrong = Vec::new();
    for base in BASES {
        for &rps in rates {
            let seconds = climb(base, rps, seed, runs);
            let one = Climb { base, rps, seconds };
            if base < 0.001 && rps >= ENOUGH_RPS && quantile(&one.seconds, 0.5).is_infinite() {
                wrong.push(format!(
                    "{base} errors at {rps} requests/s: only {} rose",
                    one.share()
                ));
            }
            found.push(one);
        }
    }
    (found, wrong)
}

fn climb(base: f64, rps: f64, seed: u64, runs: u64) -> Vec<f64> {
    let rules = checks();
    let model = Model {
        base,
        ..Model::plain(rps)
    };
    let mut seconds = on_all_cores(runs, |n| {
        let draw = Draw::new(seed, 0x000c_1100_0000 ^ rps.to_bits() ^ n);
        let mut attempt = Attempt::new(&rules, model.clone(), draw, true);
        attempt.raise(5);
        let day = 86_400 / TICK;
        let first = (1..=day).find(|_| attempt.tick(WELL, WELL, false) == Outlook::Promotable);
        first.map_or(f64::INFINITY, |ticks| real(ticks * TICK))
    });
    seconds.sort_by(f64::total_cmp);
    seconds
}
